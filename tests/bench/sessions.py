"""Whole sessions on a board's memory: the least heap in which one works, and what it keeps."""

import asyncio
import json
import re
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from host_tools.lab.errors import LabError, LabTimeout
from host_tools.lab.owner import Owner
from host_tools.lab.process import Child

from . import peers
from .mqtt import Mqtt
from .registry import Result, figure
from .search import smallest
from .world import ACCOUNTS, World

# A session on loopback takes half a second: these decide only where a device hangs.
READY_LIMIT_S = 8.0
ECHO_LIMIT_S = 4.0
ECHOES = 20
HEAP_KB = 160
# A device that tries again would do so for longer than a measurement waits.
_TROUBLE = re.compile(r"next try in|MemoryError|memory allocation failed")
_TLS_NOTE = (
    "TLS's own buffers are the system's here, as on an ESP32; an RP2040 has them on this heap too"
)

_T = TypeVar("_T")
_trials = count(1)


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
        self._sessions: set[str] = set()
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
        return self._runner.run(_ended(device, self._ready(device.trial)))

    def report(self, device: Device) -> str:
        """Wait for a message of a new session of the device and return its full JID."""
        return self._runner.run(_ended(device, self._new_session()))

    def ask(self, device: Device, jid: str, text: str) -> str:
        """Say `text` to the device's full JID and return what it answers."""
        answer = self._owner.ask(jid, text, ECHO_LIMIT_S)
        return self._runner.run(_ended(device, answer))

    async def _ready(self, trial: str) -> str:
        end = time.monotonic() + READY_LIMIT_S
        while True:
            left = max(end - time.monotonic(), 0.0)
            message = await self._owner.next_message(self.device, left)
            if message.body == f"ready {trial}":
                return message.sender

    async def _new_session(self) -> str:
        end = time.monotonic() + READY_LIMIT_S
        while True:
            left = max(end - time.monotonic(), 0.0)
            sender = (await self._owner.next_message(self.device, left)).sender
            if sender not in self._sessions:
                self._sessions.add(sender)
                return sender


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


@figure("least.echo", "smallest heap that logs in over verified TLS and echoes", "KB", target=48)
def least_echo(world: World) -> Result:
    """The core's smallest useful device, beside umqtt's."""
    with Chat(world) as chat:
        found = {}
        for direct in (True, False):
            path = [
                world.core, world.programs, world.program("echo", chat.config(direct=direct)),
            ]  # fmt: skip

            def trial(kb: int, path: Sequence[Path] = path) -> None:
                with Device(world, "echo", path, kb) as device:
                    _echoed(chat, device, 1)

            found[direct] = smallest(_failing(trial), low=16, high=HEAP_KB, step=_step(world))
    missing: list[str] = []
    least = peers.optional(lambda: _umqtt_least(world), peers.UMQTT, missing)
    beside = {} if least is None else {peers.UMQTT: float(least)}
    note = (
        f"Prosody, direct TLS ({found[False]} KB with STARTTLS), 32-bit MicroPython, .mpy; "
        f"{_TLS_NOTE}"
    )
    return Result(found[True], beside, "; ".join([note, *missing]))


@figure("least.sensor", "smallest heap in which sensor.py reports and answers", "KB", target=72)
def least_sensor(world: World) -> Result:
    """The agent's smallest useful device: its app, as it is."""
    path = [world.sensor, world.thing, world.core, world.simulated]
    lab = world.lab
    folder = world.folder / "sensor-files"
    folder.mkdir(exist_ok=True)
    shutil.copy(lab.ca_der, folder)
    config = {
        "jid": lab.jid("greenhouse"),
        "password": ACCOUNTS["greenhouse"],
        "owners": [lab.jid("owner")],
        "ca": lab.ca_der.name,
        "host": lab.server.host,
        "port": lab.server.c2s_tls_port,
        "direct": True,
    }
    (folder / "device.json").write_text(json.dumps(config))
    (folder / "readings.json").write_text(json.dumps({"dht": [[21.5, 40.0]]}))
    with Chat(world) as chat:

        def trial(kb: int) -> None:
            with Device(world, "sensor", path, kb, start="", cwd=folder) as device:
                jid = chat.report(device)
                answer = chat.ask(device, jid, "temperature")
                if not answer.startswith("temperature: 21.5"):
                    raise LabError(f"{answer!r} instead of the temperature")

        kb = smallest(_failing(trial), low=24, high=HEAP_KB, step=_step(world))
    return Result(
        kb,
        note=f"login, roster, presence, the first report, the answer to one question; {_TLS_NOTE}",
    )


def _session(world: World) -> list[int]:
    """Return the live heap before the login, at rest after it, and at its peak; measured once."""
    if "session" not in world.measured:
        with Chat(world) as chat:
            path = [world.core, world.programs, world.program("heap", chat.config())]
            with Device(world, "echo_heap", path, HEAP_KB) as device:
                _echoed(chat, device, ECHOES)
                world.measured["session"] = device.heap()
    return world.measured["session"]


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
