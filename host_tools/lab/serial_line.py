"""A serial line to a board that is not there: a pty, or a TCP port as pyserial's URLs name it.

A client (esptool, mpremote, a terminal) opens `port` and talks to whatever sits behind the line at
that moment: a bootloader or a running program. Clients come and go; the line stays.
"""

import os
import select
import shutil
import socket
import tempfile
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from .errors import LabError
from .part import Part
from .ports import HOSTS, Ports

Kind = Literal["pty", "socket", "rfc2217"]

#: What a line and a chip begin with, bits per second.
BAUD = 115_200
#: Start bit, 8 data bits, stop bit.
BITS_PER_BYTE = 10


class Behind(Protocol):
    """What can sit behind a line. Its methods run in the line's thread, one at a time."""

    def attached(self, line: "SerialLine") -> None:
        """It sits behind `line` from now on, and may write to it."""

    def received(self, data: bytes) -> None:
        """The client has sent `data`; pieces are of any size."""


class SerialLine(Part):
    """A line; `port` is what a client opens.

    `kind`: "pty" (raw; no DTR and RTS: Linux has none on a pty), "socket" (`socket://`) or
    "rfc2217" (`rfc2217://`, where DTR and RTS reset the board as they do on a development board).
    Every byte takes 10 bits at `baud`, both ways; with `follows` the speed is the one that chip or
    client last set, `baud` or 115,200 at first; with neither, there is no limit. `on_reset(True)`
    is called when the client resets the board into its bootloader, `on_reset(False)` into its
    program. `bytes_in` (from the client), `bytes_out` and `lost` (nobody read them) count since
    the last clear(), and `busy_s` is the time from the first of these bytes to the last.
    """

    #: The most bytes that wait to be sent; write() waits beyond that, as at a full FIFO.
    MAX_WAITING = 256 * 1024
    #: Bytes for a client that reads nothing for so many seconds are lost, as at a closed port.
    STALLED_S = 1.0
    #: The most that is moved at once, bytes, and on a slow line, seconds.
    CHUNK = 16384
    CHUNK_S = 0.02

    def __init__(
        self,
        kind: Kind = "pty",
        *,
        baud: int | None = None,
        follows: bool = False,
        on_reset: Callable[[bool], None] | None = None,
    ) -> None:
        self.kind = kind
        self.baud = baud or (BAUD if follows else None)
        #: What chip or client last asked for, whether it is followed or not.
        self.asked = baud or BAUD
        self.on_reset = on_reset
        self.port = ""
        self.clear()
        self._follows = follows
        self._behind: Behind | None = None
        self._session: _Session | None = None
        self._folder: Path | None = None
        self._lease: Ports | None = None
        # One at a time: what is received, and the change of who receives it
        self._turn = threading.RLock()

    def start(self) -> Self:
        """Open the line. Raises LabError."""
        if self.kind == "pty":
            self._folder = Path(tempfile.mkdtemp(prefix="uxmpp-line-"))
            self.port = str(self._folder / "tty")
        else:
            self._lease = Ports(1)
            self.port = f"{self.kind}://{HOSTS[0]}:{self._lease.numbers[0]}"
        try:
            self.plug()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End it; the port is gone."""
        self.unplug()
        self.attach(None)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        if self._lease:
            self._lease.release()

    def clear(self) -> None:
        """Count from zero again."""
        self.bytes_in = self.bytes_out = self.lost = 0
        self._first = self._last = 0.0

    @property
    def busy_s(self) -> float:
        """Seconds from the first byte to the last one, either way, since clear()."""
        return self._last - self._first

    def moved(self) -> None:
        """Bytes have come or are going: for the line's own threads."""
        self._last = time.monotonic()
        self._first = self._first or self._last

    @property
    def plugged(self) -> bool:
        """Whether the port is there."""
        return self._session is not None

    def attach(self, behind: Behind | None) -> None:
        """Put `behind` behind the line, in place of what was there; None: nothing."""
        with self._turn:
            self._behind = behind
            if behind is not None:
                behind.attached(self)

    def write(self, data: bytes) -> None:
        """Send `data` to the client; waits while too much is waiting. Without a client, or with
        the line unplugged, it is lost."""
        session = self._session
        if session is None or not session.put(data):
            self.lost += len(data)

    def set_baud(self, baud: int) -> None:
        """Chip or client want another speed."""
        self.asked = baud
        if self._follows:
            self.baud = baud

    def unplug(self) -> None:
        """Pull the cable: the client sees the port vanish. May be called again, and by what sits
        behind the line."""
        session, self._session = self._session, None
        if session is None:
            return
        if self.kind == "pty":
            # First of all: the kernel gives the number of a pty to the next that asks
            Path(self.port).unlink(missing_ok=True)
        session.end()

    def plug(self) -> None:
        """Plug it in again, with the same port. Raises LabError."""
        if self._session is not None:
            return
        try:
            if self._lease is None:
                session: _Session = _Pty(self, Path(self.port))
            else:
                session = _Tcp(self, self._lease.numbers[0])
        except OSError as e:
            raise LabError(f"no serial line ({self.kind}): {e.strerror}") from e
        self._session = session
        session.begin()

    def hand_over(self, data: bytes) -> None:
        """Pass on what the client has sent: for the line's own threads."""
        with self._turn:
            self.bytes_in += len(data)
            self.moved()
            if self._behind is not None:
                self._behind.received(data)

    def reset(self, bootloader: bool) -> None:
        """The client has reset the board by DTR and RTS: for the line's own threads."""
        with self._turn:
            if self.on_reset is not None:
                self.on_reset(bootloader)


class _Pace:
    """When bytes have passed a line of a certain speed."""

    # A sleep that took too long is made up for, a pause is not
    LATE_S = 0.05

    def __init__(self) -> None:
        self._free = 0.0

    def seconds(self, n: int, baud: int | None) -> float:
        """Return how long from now it takes until `n` more bytes have passed."""
        if baud is None:
            return 0.0
        now = time.monotonic()
        if now > self._free + self.LATE_S:
            self._free = now
        self._free += n * BITS_PER_BYTE / baud
        return self._free - now


class _Session:
    """The line from plug() to unplug(): a thread that reads, one that writes."""

    def __init__(self, line: SerialLine) -> None:
        self._line = line
        self._over = threading.Event()
        # Readable once it is over, so that no thread goes on waiting for a client
        self._wake, self._waker = os.pipe()
        self._waiting = bytearray()
        self._change = threading.Condition()
        self._sending = threading.Lock()
        self._stalled = False
        self._threads = [
            threading.Thread(target=f, name=f"serial line, {f.__name__}", daemon=True)
            for f in (self._read, self._write)
        ]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._over.set()
        os.write(self._waker, b"!")
        with self._change:
            self._change.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        self.let_go()
        os.close(self._wake)
        os.close(self._waker)

    def put(self, data: bytes) -> bool:
        """Add `data` to what waits; whether that could be done."""
        with self._change:
            while len(self._waiting) >= self._line.MAX_WAITING and not self._over.is_set():
                self._change.wait()
            if self._over.is_set() or self.client() is None:
                return False
            self._waiting += data
            self._change.notify_all()
        return True

    def drop(self) -> None:
        """Forget what waits to be sent."""
        with self._change:
            self._line.lost += len(self._waiting)
            self._waiting.clear()
            self._change.notify_all()

    # What differs by kind

    def client(self) -> int | None:
        """The file descriptor of the client, or None."""
        raise NotImplementedError

    def receive(self, n: int) -> bytes:
        """Wait for the client and return at most `n` bytes of it; b"": look again."""
        raise NotImplementedError

    def encode(self, data: bytes) -> bytes:
        return data

    def let_go(self) -> None:
        raise NotImplementedError

    # The threads

    def _read(self) -> None:
        pace = _Pace()
        while not self._over.is_set():
            data = self.receive(self._chunk())
            if not data or self._over.wait(max(0.0, pace.seconds(len(data), self._line.baud))):
                continue
            self._line.hand_over(data)

    def _write(self) -> None:
        pace = _Pace()
        while True:
            with self._change:
                while not self._waiting and not self._over.is_set():
                    self._change.wait()
                if self._over.is_set():
                    return
                data = bytes(self._waiting[: self._chunk()])
                del self._waiting[: len(data)]
                self._change.notify_all()
            if self._over.wait(max(0.0, pace.seconds(len(data), self._line.baud))):
                return
            # Counted first: who has read them may look at once
            self._line.bytes_out += len(data)
            self._line.moved()
            if not self.send(self.encode(data)):
                self._line.bytes_out -= len(data)
                self._line.lost += len(data)
                self.drop()

    def _chunk(self) -> int:
        baud = self._line.baud
        if baud is None:
            return self._line.CHUNK
        return max(1, min(self._line.CHUNK, int(baud / BITS_PER_BYTE * self._line.CHUNK_S)))

    def wait(self, fd: int | None, events: int, seconds: float | None = None) -> bool:
        """Wait until `fd` is ready; whether it is, and the session is not over."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if fd is not None:
            poll.register(fd, events)
        ready = poll.poll(None if seconds is None else int(seconds * 1000))
        return any(number == fd for number, _ in ready) and not self._over.is_set()

    def send(self, data: bytes) -> bool:
        """Send all of `data`; whether the client took it."""
        with self._sending:
            while data:
                fd = self.client()
                patience = 0.0 if self._stalled else self._line.STALLED_S
                if fd is None or not self.wait(fd, select.POLLOUT, patience):
                    self._stalled = True
                    return False
                try:
                    data = data[os.write(fd, data) :]
                except BlockingIOError:
                    continue
                except OSError:
                    return False
                self._stalled = False
        return True


class _Pty(_Session):
    def __init__(self, line: SerialLine, link: Path) -> None:
        super().__init__(line)
        self._fd, self._slave = os.openpty()
        # Kept open: otherwise the last client to leave would end the line, and the next would
        # find it cooked and echoing
        tty.setraw(self._slave)
        os.set_blocking(self._fd, False)
        link.symlink_to(os.ttyname(self._slave))

    def client(self) -> int | None:
        return self._fd

    def receive(self, n: int) -> bytes:
        if not self.wait(self._fd, select.POLLIN):
            return b""
        try:
            return os.read(self._fd, n)
        except BlockingIOError:
            return b""

    def let_go(self) -> None:
        os.close(self._fd)
        os.close(self._slave)


class _Tcp(_Session):
    """One client at a time; the next waits until it has gone."""

    def __init__(self, line: SerialLine, number: int) -> None:
        super().__init__(line)
        self._listener = socket.create_server((HOSTS[0], number), backlog=4)
        self._client: socket.socket | None = None
        self._telnet: Any = None

    def client(self) -> int | None:
        client = self._client
        return None if client is None else client.fileno()

    def receive(self, n: int) -> bytes:
        client = self._client
        if client is None:
            if self.wait(self._listener.fileno(), select.POLLIN):
                self._accept()
            return b""
        if not self.wait(client.fileno(), select.POLLIN):
            return b""
        try:
            data = client.recv(n)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self._leave()
        elif self._telnet is not None:
            data = b"".join(self._telnet.filter(data))
        return data

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stalled = False
        self._client = client
        if self._line.kind == "rfc2217":
            from serial.rfc2217 import PortManager  # type: ignore[import-untyped]

            self._telnet = PortManager(_Modem(self._line, self), _Raw(self))

    def _leave(self) -> None:
        with self._sending:
            client, self._client, self._telnet = self._client, None, None
        if client is not None:
            client.close()
        self.drop()

    def encode(self, data: bytes) -> bytes:
        return data.replace(b"\xff", b"\xff\xff") if self._telnet is not None else data

    def let_go(self) -> None:
        self._leave()
        self._listener.close()


class _Raw:
    """Where pyserial's PortManager writes its telnet commands."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    def write(self, data: bytes) -> None:
        self._session.send(bytes(data))


class _Modem:
    """The serial port that pyserial's PortManager is to manage: its speed, and the circuit that
    most ESP32 boards have between DTR, RTS and the chip's EN and IO0."""

    bytesize = 8
    parity = "N"
    stopbits = 1
    xonxoff = rtscts = break_condition = False
    cts = dsr = cd = True
    ri = False

    def __init__(self, line: SerialLine, session: _Session) -> None:
        self._line = line
        self._session = session
        self._dtr = self._rts = self._held = False

    @property
    def baudrate(self) -> int:
        return self._line.asked

    @baudrate.setter
    def baudrate(self, baud: int) -> None:
        self._line.set_baud(baud)

    @property
    def dtr(self) -> bool:
        return self._dtr

    @dtr.setter
    def dtr(self, on: bool) -> None:
        self._dtr = on
        self._held |= self._rts and not on

    @property
    def rts(self) -> bool:
        return self._rts

    @rts.setter
    def rts(self, on: bool) -> None:
        self._rts = on
        if on:
            self._held |= not self._dtr
        elif self._held:
            # RTS alone holds EN low, DTR alone IO0. With both there is neither; but EN rises
            # slowly, so that what counts is DTR when RTS goes.
            self._held = False
            self._line.reset(self._dtr)

    def reset_input_buffer(self) -> None:
        self._session.drop()

    def reset_output_buffer(self) -> None:
        pass
