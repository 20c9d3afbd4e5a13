"""Whole sessions on a board's memory: the least heap in which one works, and what it keeps."""

import asyncio
import json
import re
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from host_tools.lab.errors import LabError, LabTimeout
from host_tools.lab.owner import Owner
from host_tools.lab.process import Child

from . import imports, peers
from .mqtt import Mqtt
from .registry import Result, figure
from .search import smallest
from .world import ACCOUNTS, World

# A session on loopback takes half a second: these decide only where a device hangs.
READY_LIMIT_S = 8.0
ECHO_LIMIT_S = 4.0
ECHOES = 20
HEAP_KB = 160
#: What was measured, rounded up to the next 2 KB.
RELIABLE_KB = 60
SENSOR_KB = 116
#: What sensor.py imports, the users of a part after it. What a part keeps depends on its place:
#: the table of names grows by pieces that double, and the 301st name costs 2.3 KB, the 621st
#: 4.5 KB.
SENSOR_PARTS = (
    "asyncio",
    "uxmpp.xml",
    "uxmpp.client",
    "uxmpp.reliable",
    "thing.registry",
    "thing.words",
    "thing.chat",
    "thing.access",
    "thing.clock",
    "thing.reports",
    "thing.presence",
    "thing.guard",
    "thing.builtin",
    "thing",
)
# A device that tries again would do so for longer than a measurement waits.
_TROUBLE = re.compile(r"next try in|MemoryError|memory allocation failed")
_TLS_NOTE = (
    "TLS's own buffers are the system's here, as on an ESP32; an RP2040 has them on this heap too"
)

_T = TypeVar("_T")
_trials = count(1)
_accounts = count(1)


class Device:
    """A program on the 32-bit MicroPython: `with Device(world, "echo", path, kb) as device:`.

    `start` is what is called after the import; `cwd` is where it finds its files.
    """

    def __init__(
        self,
        world: World,
        module: str,
        path: Sequence[Path],
        kb: int,
        *,
        start: str = "main()",
        cwd: Path | None = None,
    ) -> None:
        self.trial = str(next(_trials))
        code = f"import {module}\n{module}.{start}" if start else f"import {module}"
        argv, env = world.mp32.command_code(code, heap=f"{kb}k", path=path)
        self.child = Child(
            f"{module} in {kb} KB",
            argv,
            log=world.folder / f"{module}-{self.trial}.log",
            env={**env, "BENCH_TRIAL": self.trial},
            cwd=cwd,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.child.kill()

    def check(self) -> None:
        """Raise LabError when its program has ended or said that something failed."""
        if not self.child.running or _TROUBLE.search(self.child.output()):
            raise LabError(f"{self.child.name}: {self.child.tail()}")

    def heap(self) -> list[int]:
        """Wait for the line with the program's own figures and return them."""
        line = self.child.wait_for_line(r"^heap (.*)$", READY_LIMIT_S)
        return [int(word) for word in line[1].split()]


class Chat:
    """The owner's side, used from outside of an event loop: `with Chat(world) as chat:`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._runner = asyncio.Runner()
        lab = world.lab
        self.device = lab.jid("greenhouse")
        self._owner = Owner(
            lab.jid("owner"),
            ACCOUNTS["owner"],
            lab.server.host,
            lab.server.c2s_tls_port,
            lab.ca_pem,
            direct_tls=True,
        )

    def __enter__(self) -> Self:
        try:
            self._runner.run(self._owner.connect())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._runner.run(self._owner.disconnect())
        finally:
            self._runner.close()

    def new_account(self) -> None:
        """Go on with a device whose account nobody has used. The server keeps a session that can
        be resumed, and tells the account's next one of it."""
        user = f"greenhouse{next(_accounts)}"
        self.device = self._world.lab.add_account(user, ACCOUNTS["greenhouse"])

    def config(self, *, direct: bool = True, port: int | None = None) -> dict[str, object]:
        """Return the constants of a program that logs in here."""
        lab = self._world.lab
        own = lab.server.c2s_tls_port if direct else lab.server.c2s_port
        return {
            "JID": self.device,
            "OWNER": lab.jid("owner"),
            "PASSWORD": ACCOUNTS["greenhouse"],
            "HOST": lab.server.host,
            "PORT": port or own,
            "DIRECT": direct,
            "CA": str(lab.ca_der),
            "ECHOES": ECHOES,
        }

    def ready(self, device: Device) -> str:
        """Wait until the device says that it is ready and return its full JID."""
        text = f"ready {device.trial}"
        return self._runner.run(_ended(device, self._said(lambda body: body == text)))

    def report(self, device: Device, text: str) -> str:
        """Wait until the device reports `text`, and perhaps more, and return its full JID."""
        return self._runner.run(_ended(device, self._said(lambda body: body.startswith(text))))

    def ask(self, device: Device, jid: str, text: str) -> str:
        """Say `text` to the device's full JID and return what it answers."""
        answer = self._owner.ask(jid, text, ECHO_LIMIT_S)
        return self._runner.run(_ended(device, answer))

    async def _said(self, fits: Callable[[str], bool]) -> str:
        end = time.monotonic() + READY_LIMIT_S
        while True:
            left = max(end - time.monotonic(), 0.0)
            message = await self._owner.next_message(self.device, left)
            if fits(message.body):
                return message.sender


async def _ended(device: Device, wanted: Awaitable[_T]) -> _T:
    """Return what `wanted` gives, or raise LabError as soon as the device's program ends."""
    task = asyncio.ensure_future(wanted)
    try:
        while not task.done():
            device.check()
            await asyncio.wait([task], timeout=0.02)
        return await task
    finally:
        task.cancel()


def _failing(trial: Callable[[int], None]) -> Callable[[int], str]:
    def why(kb: int) -> str:
        try:
            trial(kb)
        except (LabError, LabTimeout, ConnectionError) as e:
            return str(e) or repr(e)
        return ""

    return why


def _echoed(chat: Chat, device: Device, times: int) -> None:
    jid = chat.ready(device)
    for n in range(times):
        text = f"ping {device.trial}.{n}"
        answer = chat.ask(device, jid, text)
        if answer != text:
            raise LabError(f"{answer!r} instead of the echo {text!r}")


def _mqtt_echoed(owner: Mqtt, device: Device, times: int) -> None:
    wanted = [f"ready {device.trial}", *(f"ping {device.trial}.{n}" for n in range(times))]
    for i, text in enumerate(wanted):
        if i:
            owner.publish("in", text)
        end = time.monotonic() + (ECHO_LIMIT_S if i else READY_LIMIT_S)
        while owner.message(0.05) != text:
            device.check()
            if time.monotonic() > end:
                raise LabTimeout(f"{device.child.name}: no {text!r}: {device.child.tail()}")


def mqtt_config(world: World, port: int | None = None) -> dict[str, object]:
    """Return the constants of a program that connects to mosquitto over TLS."""
    server = world.mosquitto
    return {
        "CLIENT": "greenhouse",
        "USER": "greenhouse",
        "PASSWORD": ACCOUNTS["greenhouse"],
        "HOST": server.host,
        "PORT": port or server.tls_port,
        "DOMAIN": server.domain,
        "CA": str(world.lab.ca_der),
        "ECHOES": ECHOES,
    }


def _mqtt_path(world: World) -> list[Path]:
    return [world.umqtt, world.programs, world.program("umqtt", mqtt_config(world))]


def _umqtt_least(world: World) -> int:
    path = _mqtt_path(world)
    with Mqtt(world.mosquitto.host, world.mosquitto.port, "out") as owner:

        def trial(kb: int) -> None:
            with Device(world, "umqtt_echo", path, kb) as device:
                _mqtt_echoed(owner, device, 1)

        return smallest(_failing(trial), low=8, high=HEAP_KB, step=_step(world))


def _step(world: World) -> int:
    return 4 if world.quick else 1


def _echo_path(world: World, chat: Chat, *, reliable: bool, direct: bool = True) -> list[Path]:
    if reliable:
        chat.new_account()
    own = [world.reliable] if reliable else []
    return [world.core, *own, world.programs, world.program("echo", chat.config(direct=direct))]


def _least_echo(world: World, chat: Chat, *, direct: bool, reliable: bool) -> int:
    path = _echo_path(world, chat, reliable=reliable, direct=direct)

    def trial(kb: int) -> None:
        own = _echo_path(world, chat, reliable=True, direct=direct) if reliable else path
        with Device(world, "echo", own, kb) as device:
            _echoed(chat, device, 1)

    return smallest(_failing(trial), low=16, high=HEAP_KB, step=_step(world))


@figure("least.echo", "smallest heap that logs in over verified TLS and echoes", "KB", target=48)
def least_echo(world: World) -> Result:
    """The core's smallest useful device, beside umqtt's."""
    with Chat(world) as chat:
        found = {d: _least_echo(world, chat, direct=d, reliable=False) for d in (True, False)}
    missing: list[str] = []
    least = peers.optional(lambda: _umqtt_least(world), peers.UMQTT, missing)
    beside = {} if least is None else {peers.UMQTT: float(least)}
    note = (
        f"Prosody, direct TLS ({found[False]} KB with STARTTLS), 32-bit MicroPython, .mpy; "
        f"{_TLS_NOTE}"
    )
    return Result(found[True], beside, "; ".join([note, *missing]))


@figure(
    "least.reliable", "smallest heap in which the same echo is reliable", "KB", target=RELIABLE_KB
)
def least_reliable(world: World) -> Result:
    """The echo with a ReliableClient: a session that can be resumed, and a token for the next."""
    with Chat(world) as chat:
        found = {d: _least_echo(world, chat, direct=d, reliable=True) for d in (True, False)}
    kept = imports.parts(world, ("uxmpp.client", "uxmpp.reliable"), [world.core])
    return Result(
        found[True],
        note=(
            f"as least.echo, with stream management and a token ({found[False]} KB with "
            f"STARTTLS); kept by the imports: {kept} B; {_TLS_NOTE}"
        ),
    )


@figure(
    "least.sensor", "smallest heap in which sensor.py reports and answers", "KB", target=SENSOR_KB
)
def least_sensor(world: World) -> Result:
    """The agent's smallest useful device: its app, as it is."""
    path = [world.apps, world.library, world.programs / "rom"]
    with Chat(world) as chat:

        def trial(kb: int) -> None:
            chat.new_account()
            folder = _sensor_files(world, chat)
            # By the password first; then, as after a restart, by what it has kept
            for _ in range(2):
                with Device(world, "sensor", path, kb, start="", cwd=folder) as device:
                    text = f"temperature: {device.trial} "
                    answer = chat.ask(device, chat.report(device, text), "temperature")
                    if not answer.startswith(text):
                        raise LabError(f"{answer!r} instead of {text!r}")

        kb = smallest(_failing(trial), low=24, high=HEAP_KB, step=_step(world))
    kept = imports.parts(world, SENSOR_PARTS, path)
    return Result(
        kb,
        note=(
            "login, roster, presence, the first report, the answer to one question, and all that "
            "again after a restart; the target was 72 KB for the first agent (69 KB), to which "
            "were added the reliable client, the guard, the kept state, keys in place of the "
            "password, and the clock (90 KB), and then alarms, events, roles, limits, presence "
            "with capabilities and a richer chat (112 KB), and the hooks for files and sleep; "
            f"it varies by 1 KB; {imports.AS_DEVICES}; kept by the imports, in "
            f"this order: {kept} B; {_TLS_NOTE}"
        ),
    )


def _sensor_files(world: World, chat: Chat) -> Path:
    """Make a folder with the device.json of sensor.py, and what it names."""
    lab = world.lab
    folder = Path(tempfile.mkdtemp(prefix="sensor-", dir=world.folder))
    shutil.copy(lab.ca_der, folder)
    config = {
        "jid": chat.device,
        "password": ACCOUNTS["greenhouse"],
        "owners": [lab.jid("owner")],
        "ca": lab.ca_der.name,
        "host": lab.server.host,
        "port": lab.server.c2s_tls_port,
        "direct": True,
    }
    (folder / "device.json").write_text(json.dumps(config))
    return folder


def _session(world: World, *, reliable: bool = False) -> list[int]:
    """Return the live heap before the login, at rest after it, and at its peak; measured once."""
    key = "session, reliable" if reliable else "session"
    if key not in world.measured:
        with Chat(world) as chat:
            path = _echo_path(world, chat, reliable=reliable)
            with Device(world, "echo_heap", path, HEAP_KB) as device:
                _echoed(chat, device, ECHOES)
                world.measured[key] = device.heap()
    return world.measured[key]


def _umqtt_session(world: World) -> int:
    with (
        Mqtt(world.mosquitto.host, world.mosquitto.port, "out") as owner,
        Device(world, "umqtt_echo", _mqtt_path(world), HEAP_KB) as device,
    ):
        _mqtt_echoed(owner, device, ECHOES)
        return device.heap()[0]


@figure("heap.session", "live heap of the echo session, at rest", "B")
def session(world: World) -> Result:
    """What an idle device with a session keeps, all included."""
    start, steady, _ = _session(world)
    missing: list[str] = []
    umqtt = peers.optional(lambda: _umqtt_session(world), peers.UMQTT, missing)
    note = (
        f"after {ECHOES} echoes in {HEAP_KB} KB, program and modules included, {start:,} B of it "
        f"before the login; {_TLS_NOTE}"
    )
    beside = {} if umqtt is None else {peers.UMQTT: float(umqtt)}
    return Result(steady, beside, "; ".join([note, *missing]))


@figure("heap.session.peak", "live heap of the echo session, at its peak", "B")
def session_peak(world: World) -> Result:
    """The most that is alive at once, which the login needs."""
    note = (
        "collected and read at every turn of the loop, login included; micropython.mem_peak() "
        "counts what was ever allocated and says nothing of it"
    )
    return Result(_session(world)[2], note=note)


@figure("heap.session.reliable", "live heap of the reliable echo session, at rest", "B")
def session_reliable(world: World) -> Result:
    """What an idle ReliableClient keeps."""
    start, steady, peak = _session(world, reliable=True)
    note = f"as heap.session, {start:,} B of it before the login; {peak:,} B at its peak"
    return Result(steady, note=note)
