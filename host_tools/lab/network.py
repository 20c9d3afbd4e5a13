"""A faulty network: a TCP proxy on loopback that delays, cuts, stalls and lies when told to."""

import asyncio
import random
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from .errors import LabError, LabTimeout
from .ports import HOSTS
from .schedule import SERVER_KINDS, Fault, Played

#: Bytes under way in one direction of a connection; then the sender has to wait.
MAX_BUFFER = 1 << 18
#: Bytes taken from a socket at a time.
CHUNK = 1 << 16
#: Connections at a time, those that are kept silent included; more are closed at once.
MAX_CONNECTIONS = 512
#: Bytes of what a client sent that are kept, a connection: the first ones.
MAX_KEPT = 1 << 18
#: Connections of which these are kept: the last ones.
MAX_RECORDED = 200
#: Faults that `played` keeps: the last ones.
MAX_PLAYED = 10_000
#: How long a side may take to end after its FIN.
LINGER_S = 1.0
#: How long `play` waits for a connection that carries something.
UP_LIMIT_S = 30.0

PORTAL = (
    b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\n"
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)

# A throttled line moves a piece this often, or a byte where that would be less.
_TICK_S = 0.02
_RST = struct.pack("ii", 1, 0)

Newcomers = Literal["accept", "close", "reset", "swallow", "babble"]

_NEWCOMERS: dict[tuple[str, str], Newcomers] = {
    ("refuse", "close"): "close",
    ("refuse", "reset"): "reset",
    ("swallow", ""): "swallow",
    ("babble", ""): "babble",
}


@dataclass
class Count:
    """Bytes from the client (`up`) and to it (`down`), and how often it waited for an answer."""

    up: int = 0
    down: int = 0
    round_trips: int = 0


class _Gate:
    """Open, or shut: by hand, or for a time."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self._held = False
        self._timers: set[asyncio.TimerHandle] = set()

    def shut(self) -> None:
        self._held = True
        self._open.clear()

    def shut_for(self, seconds: float) -> None:
        self._open.clear()

        def over() -> None:
            self._timers.discard(timer)
            if not self._held and not self._timers:
                self._open.set()

        timer = asyncio.get_running_loop().call_later(seconds, over)
        self._timers.add(timer)

    def open(self) -> None:
        self._held = False
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._open.set()

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    async def passed(self) -> None:
        await self._open.wait()


class _Line:
    """The faults that go on: of one connection, or for those to come."""

    def __init__(self) -> None:
        self._delays = (0.0, 0.0)
        self._jitter_s = 0.0
        self._rate: float | None = None
        self._split = False

    def _as(self, other: "_Line") -> Self:
        """Take the other's faults."""
        self._delays, self._jitter_s = other._delays, other._jitter_s
        self._rate, self._split = other._rate, other._split
        return self

    def delay(self, up_s: float, down_s: float | None = None, *, jitter_s: float = 0.0) -> None:
        """See FaultyNetwork.delay."""
        self._delays = (up_s, up_s if down_s is None else down_s)
        self._jitter_s = jitter_s

    def throttle(self, bytes_per_s: float | None) -> None:
        """See FaultyNetwork.throttle."""
        if bytes_per_s is not None and bytes_per_s <= 0:
            raise LabError(f"{bytes_per_s:g} bytes per second: a line that stands still is hold()")
        self._rate = bytes_per_s

    def split(self, on: bool = True) -> None:
        """See FaultyNetwork.split."""
        self._split = on


class _Way:
    """One direction of a connection, a queue of (when due, bytes): b"" ends it, None resets it."""

    def __init__(
        self,
        connection: "Connection",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        up: bool,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._writer = writer
        self._up = up
        self._queue: deque[tuple[float, bytes | None]] = deque()
        self._size = 0
        self._due = 0.0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self.dead = False  # what comes from now on is read and dropped

    async def take(self) -> None:
        """Read to the end."""
        data: bytes | None = b"start"
        while data:
            while self._size >= MAX_BUFFER and not self.dead:
                self._room.clear()
                await self._room.wait()
            try:
                data = await self._reader.read(CHUNK)
            except OSError:
                data = None
            if data:
                self._connection._arrived(data, self._up)
            self.put(data)

    def put(self, data: bytes | None) -> None:
        """Send it on its way, behind all that was put before."""
        if self.dead:
            return
        due = time.monotonic() + self._connection._delay_s(self._up)
        self._due = max(self._due, due)
        self._queue.append((self._due, data))
        self._size += len(data or b"")
        self._filled.set()

    def kill(self) -> None:
        """Let nothing through any more."""
        self.dead = True
        self._queue.clear()
        self._room.set()

    async def give(self) -> bool:
        """Hand on what is due, to the end; False where the receiver was not there any more."""
        while True:
            while not self._queue:
                self._filled.clear()
                await self._filled.wait()
            due, data = self._queue[0]
            while (left := due - time.monotonic()) > 0:
                await asyncio.sleep(left)
            await self._connection._passable()
            if not self._queue:  # killed in the meantime
                return True
            self._queue.popleft()
            try:
                if data is None:
                    _reset(self._writer)
                    return True
                if not data:
                    self._writer.write_eof()
                    return True
                await self._write(data)
            except OSError:
                return False
            finally:
                self._size -= len(data or b"")
                self._room.set()

    async def _write(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            if self.dead:
                return
            size, pause = self._connection._piece()
            piece = data[at : at + size] if size else data[at:]
            at += len(piece)
            self._connection._passed(len(piece), self._up)
            self._writer.write(piece)
            await self._writer.drain()
            if at < len(data) or pause:
                await asyncio.sleep(pause)
                await self._connection._passable()


class Connection(_Line):
    """One client's connection: `sent` is what the client sent (the first MAX_KEPT bytes),
    `count` its bytes and round trips, `passed` the bytes handed on, both ways.

    Its faults are those of FaultyNetwork, for it alone."""

    def __init__(
        self,
        network: "FaultyNetwork",
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        super().__init__()
        self._as(network._later)
        self.sent = bytearray()
        self.count = Count()
        self.passed = 0
        self.up = False
        self._network = network
        self._reader = reader
        self._writer = writer
        self._far: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._ways: tuple[_Way, ...] = ()
        self._gate = _Gate()
        self._last_up = False
        self._order = ""
        self._ordered = asyncio.Event()

    def hold(self) -> None:
        """See FaultyNetwork.hold."""
        self._gate.shut()

    def release(self) -> None:
        """See FaultyNetwork.release."""
        self._gate.open()

    def stall(self, seconds: float) -> None:
        """See FaultyNetwork.stall."""
        self._gate.shut_for(seconds)

    def cut(self) -> None:
        """See FaultyNetwork.cut."""
        self._tell("cut")

    def reset(self) -> None:
        """See FaultyNetwork.reset."""
        self._tell("reset")

    def half_open(self, *, server_closed: bool = True) -> None:
        """See FaultyNetwork.half_open."""
        self._tell("half-closed" if server_closed else "kept")

    def _tell(self, order: str) -> None:
        self._order = order
        self.up = False
        for way in self._ways:
            way.kill()
        self._ordered.set()

    # What the two ways ask

    def _arrived(self, data: bytes, up: bool) -> None:
        for count in (self.count, self._network.count):
            if up:
                count.up += len(data)
                count.round_trips += not self._last_up
            else:
                count.down += len(data)
        if up:
            self._last_up = True
            self._keep(data)
        self._network._changed.set()

    def _keep(self, data: bytes) -> None:
        self.sent += data[: max(MAX_KEPT - len(self.sent), 0)]

    def _passed(self, size: int, up: bool) -> None:
        if not up:
            self._last_up = False  # now the client can have waited for it
        self.passed += size
        self._network._changed.set()

    def _delay_s(self, up: bool) -> float:
        jitter_s = self._jitter_s and self._jitter_s * self._network._random.random()
        return self._delays[not up] + jitter_s

    async def _passable(self) -> None:
        gates = (self._gate, self._network._gate)
        while not all(gate.is_open for gate in gates):
            for gate in gates:
                await gate.passed()

    def _piece(self) -> tuple[int, float]:
        """(bytes to hand on at a time or 0 for all, seconds between)."""
        if self._rate is None:
            return int(self._split), 0.0
        size = 1 if self._split else max(1, int(self._rate * _TICK_S))
        return size, size / self._rate

    # Its life

    async def _run(self, host: str, port: int | None) -> None:
        try:
            mode = self._network.newcomers
            if mode != "accept" or port is None:
                await self._turn_away(mode)
                return
            self._far = await asyncio.open_connection(host, port)
            reader, writer = self._far
            for w in (self._writer, writer):
                w.transport.set_write_buffer_limits(high=MAX_BUFFER)
            self._ways = (
                _Way(self, self._reader, writer, up=True),
                _Way(self, reader, self._writer, up=False),
            )
            self.up = not self._order
            if self._order:
                self._tell(self._order)
            await self._carry()
        except OSError:
            pass  # nobody at the server's port: closed, as a client sees it there too
        finally:
            self.up = False
            self._writer.close()
            if self._far:
                self._far[1].close()

    async def _carry(self) -> None:
        takes = [asyncio.create_task(way.take()) for way in self._ways]
        gives = [asyncio.create_task(way.give()) for way in self._ways]
        told = asyncio.create_task(self._ordered.wait())
        try:
            open_ways = set(gives)
            while open_ways and not told.done():
                done, _ = await asyncio.wait(
                    {*open_ways, told}, return_when=asyncio.FIRST_COMPLETED
                )
                open_ways -= {g for g in gives if g in done}
                for i in range(2):
                    # Whom one way cannot reach, the other one does not hear of any more
                    if gives[i] in done and not gives[i].result():
                        self._ways[1 - i].put(None)
            if self._order:
                for give in gives:
                    give.cancel()
                await self._obey(takes)
        finally:
            for task in (*takes, *gives, told):
                task.cancel()
            await asyncio.gather(*takes, *gives, told, return_exceptions=True)

    async def _obey(self, takes: Sequence[asyncio.Task[None]]) -> None:
        """End, or stay without a word, as ordered; another order may come."""
        assert self._far
        ends = (self._writer, self._far[1])
        while True:
            order = self._order
            self._ordered.clear()
            told = asyncio.create_task(self._ordered.wait())
            try:
                if order == "reset":
                    for writer in ends:
                        _reset(writer)
                    return
                if order == "cut":
                    for writer in ends:
                        _eof(writer)
                    # Bytes that nobody reads would make a close() a reset
                    await asyncio.wait(takes, timeout=LINGER_S)
                    return
                if order == "half-closed":
                    _eof(ends[1])
                    asyncio.get_running_loop().call_later(LINGER_S, ends[1].close)
                    awaited = {takes[0]}
                else:
                    awaited = set(takes)
                for take, writer in zip(takes, ends, strict=True):
                    take.add_done_callback(_closing(writer))
                while awaited and not told.done():
                    done, _ = await asyncio.wait(
                        {*awaited, told}, return_when=asyncio.FIRST_COMPLETED
                    )
                    awaited -= done
                if not told.done():
                    return
            finally:
                told.cancel()

    async def _turn_away(self, mode: Newcomers) -> None:
        if mode == "reset":
            _reset(self._writer)
            return
        if mode == "babble":
            self._writer.write(PORTAL)
        if mode != "swallow":
            _eof(self._writer)
        heard = asyncio.create_task(self._hear())
        told = asyncio.create_task(self._ordered.wait())
        limit = None if mode == "swallow" else LINGER_S
        try:
            await asyncio.wait({heard, told}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if self._order == "reset":
                _reset(self._writer)
        finally:
            heard.cancel()
            told.cancel()

    async def _hear(self) -> None:
        with suppress(OSError):
            while data := await self._reader.read(CHUNK):
                self._network.count.up += len(data)
                self._keep(data)


class FaultyNetwork:
    """`async with FaultyNetwork(server_host, server_port) as network:`; clients connect to its
    `host` and `port`. Without a fault it is a relay. A server port of None is nobody: each
    connection is closed. `listen` and `at` are its own address and port (0: any).

    A method that names a fault holds for all connections there are, and those that go on (delay,
    throttle, split, hold, stall) for later ones too; a Connection of `connections` has the same
    methods for itself. They take effect at once and do not wait.

    `sent` is what clients sent, a bytearray per connection (bounds: MAX_KEPT, MAX_RECORDED),
    `opened` the moments of their beginnings (time.monotonic()); both grow by some bytes with every
    connection, so that numbers stay what they are. `count` is the bytes and round trips
    of all, `newcomers` what becomes of new connections, `played` what play() did.
    """

    def __init__(
        self,
        host: str,
        port: int | None,
        *,
        seed: int = 0,
        listen: str = HOSTS[0],
        at: int = 0,
    ) -> None:
        self._target = (host, port)
        self._listen = (listen, at)
        self._random = random.Random(seed)
        self._later = _Line()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = _Gate()
        self._changed = asyncio.Event()
        self.connections: list[Connection] = []
        self.newcomers: Newcomers = "accept"
        self.count = Count()
        self.sent: list[bytearray] = []
        self.opened: list[float] = []
        self.played: deque[Played] = deque(maxlen=MAX_PLAYED)

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._serve, *self._listen)
        except OSError as e:
            raise LabError(f"cannot listen on {self._listen[0]}:{self._listen[1]}: {e}") from e
        name = self._server.sockets[0].getsockname()
        self.host: str = name[0]
        self.port: int = name[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self._gate.open()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self.connections) >= MAX_CONNECTIONS:
            writer.close()
            return
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        connection = Connection(self, reader, writer)
        self.connections.append(connection)
        self.opened.append(time.monotonic())
        self.sent.append(connection.sent)
        if len(self.sent) > MAX_RECORDED:
            self.sent[-MAX_RECORDED - 1] = bytearray()
        self._changed.set()
        try:
            await connection._run(*self._target)
        except asyncio.CancelledError:
            pass  # the network's end
        finally:
            self.connections.remove(connection)
            self._tasks.discard(task)
            self._changed.set()

    # Faults that go on

    def delay(self, up_s: float, down_s: float | None = None, *, jitter_s: float = 0.0) -> None:
        """Let each byte take `up_s` to the server and `down_s` (None: as much) to the client,
        and up to `jitter_s` more. The order is kept; what arrived together goes on together."""
        for line in self._all():
            line.delay(up_s, down_s, jitter_s=jitter_s)

    def throttle(self, bytes_per_s: float | None) -> None:
        """Let no more than so many bytes a second pass each way; None ends that."""
        for line in self._all():
            line.throttle(bytes_per_s)

    def split(self, on: bool = True) -> None:
        """Hand on one byte at a time, each in a segment of its own."""
        for line in self._all():
            line.split(on)

    def hold(self) -> None:
        """Let nothing through, as a line that went dead without a word, until release()."""
        self._gate.shut()

    def release(self) -> None:
        """Let all through that hold() and stall() keep back."""
        self._gate.open()
        for connection in self.connections:
            connection.release()

    def stall(self, seconds: float) -> None:
        """Let nothing through for so long, and then everything."""
        self._gate.shut_for(seconds)

    def heal(self) -> None:
        """End all that goes on; new connections are accepted again."""
        self.delay(0.0)
        self.throttle(None)
        self.split(False)
        self.release()
        self.accept()

    # Faults of the connections there are

    def cut(self) -> None:
        """End the connections in order (FIN) on both sides; what is under way is lost."""
        for connection in list(self.connections):
            connection.cut()

    def reset(self) -> None:
        """Reset the connections (RST) on both sides."""
        for connection in list(self.connections):
            connection.reset()

    def half_open(self, *, server_closed: bool = True) -> None:
        """Leave the clients' sides open and silent for ever. The server's sides are closed, or
        as silent, even when the client has gone."""
        for connection in list(self.connections):
            connection.half_open(server_closed=server_closed)

    # Faults of new connections

    def refuse(self, *, reset: bool = False) -> None:
        """Close new connections at once, or reset them."""
        self.newcomers = "reset" if reset else "close"

    def swallow(self) -> None:
        """Accept new connections and say nothing to them, ever."""
        self.newcomers = "swallow"

    def babble(self) -> None:
        """Answer new connections as a captive portal does: HTTP, and a close."""
        self.newcomers = "babble"

    def accept(self) -> None:
        """Let new connections through again."""
        self.newcomers = "accept"

    def _all(self) -> "Iterator[_Line]":
        yield self._later
        yield from self.connections

    # Schedules

    async def wait_until(
        self, true: Callable[[], bool], what: str, limit_s: float = UP_LIMIT_S
    ) -> None:
        """Wait until `true()`, which is asked when something came, passed, began or ended. Raises
        LabTimeout, which says `what` was awaited."""
        try:
            async with asyncio.timeout(limit_s):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise LabTimeout(f"the network: no {what} within {limit_s:g} s") from None

    async def wait_up(self, size: int = 1, limit_s: float = UP_LIMIT_S) -> None:
        """Wait until a connection has carried `size` bytes from now on. Raises LabTimeout."""
        # A list, not a table by id(): an ended connection's id may come again
        before = [(c, c.passed) for c in self.connections]

        def carried() -> bool:
            return any(
                c.up and c.passed - next((n for b, n in before if b is c), 0) >= size
                for c in self.connections
            )

        await self.wait_until(carried, f"connection that carries {size} bytes", limit_s)

    async def play(
        self,
        schedule: Sequence[Fault],
        gap_s: float = 0.0,
        *,
        server: Mapping[str, Callable[[], object]] | None = None,
        limit_s: float = UP_LIMIT_S,
    ) -> list[Played]:
        """Apply one fault after another. Before each it waits until a connection has carried
        the fault's bytes (at most `limit_s`; then it goes on all the same) and `gap_s` more.

        `server` are functions by name for the kinds of SERVER_KINDS, run in a thread: "stop" and
        "kill" need "restart" too, which follows when the fault has lasted. Returns what was done;
        `played` has it from the moment on when it begins. Raises LabError where a function is
        missing, and what the functions raise.
        """
        server = server or {}
        needed = {f.kind for f in schedule if f.kind in SERVER_KINDS}
        if needed & {"stop", "kill"}:
            needed.add("restart")
        if missing := sorted(needed - server.keys()):
            raise LabError(f"the schedule needs a server's {', '.join(missing)}")
        done = []
        for number, fault in enumerate(schedule):
            entry = Played(number, fault, time.monotonic())
            done.append(entry)
            self.played.append(entry)
            try:
                await self.wait_up(fault.after, limit_s)
                entry.up = True
            except LabTimeout:
                pass
            await asyncio.sleep(gap_s)
            entry.began = time.monotonic()
            await self._apply(fault, server, limit_s)
            entry.ended = time.monotonic()
        return done

    async def _apply(
        self, fault: Fault, server: Mapping[str, Callable[[], object]], limit_s: float
    ) -> None:
        kind, there = fault.kind, fault.variant
        if kind in SERVER_KINDS:
            await asyncio.to_thread(server[kind])
            if kind in ("stop", "kill"):
                await asyncio.sleep(fault.seconds)
                await asyncio.to_thread(server["restart"])
        elif kind in ("cut", "reset"):
            getattr(self, kind)()
        elif kind == "half_open":
            self.half_open(server_closed=there == "closed")
        elif kind == "stall":
            self.stall(fault.seconds)
            await asyncio.sleep(fault.seconds)
        elif kind in ("delay", "throttle", "split"):
            before = _Line()._as(self._later)
            getattr(self, kind)(*([] if kind == "split" else [fault.amount]))
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                for line in self._all():
                    line._as(before)
        else:
            # Only who has to connect notices it
            number = len(self.opened)
            self.newcomers = _NEWCOMERS[kind, there]
            self.cut()
            try:
                with suppress(LabTimeout):
                    await self.wait_until(
                        lambda: len(self.opened) > number, "new connection", limit_s
                    )
                await asyncio.sleep(fault.seconds)
            finally:
                self.accept()

    def story(self) -> str:
        """What play() did, a line each: for the message of a test that fails."""
        first = self.opened[0] if self.opened else 0.0
        return "\n".join(entry.line(first) for entry in self.played)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
    writer.transport.abort()


def _eof(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, RuntimeError):
        writer.write_eof()


def _closing(writer: asyncio.StreamWriter) -> Callable[[object], None]:
    return lambda _: writer.close()
