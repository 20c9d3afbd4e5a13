"""Many devices in one process, under CPython: each a Thing with its app, its account and its own
simulated hardware."""

import asyncio
import json
import math
import os
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from ..flash.mpy import FIRMWARE
from .errors import LabError
from .own_modules import Program

SIMULATED = Path(__file__).parent / "simulated"
#: The most devices of a process: each needs a socket, and some memory.
MAX_DEVICES = 5000
#: Files that the process needs besides one socket a device.
SPARE_FILES = 64
#: Seconds that they have to say goodbye at the end, all together.
CLOSE_S = 10.0
#: The last lines of a device's log that are kept.
MAX_LINES = 8
#: Seconds between two looks at what is due, at the most: as long as so many devices take together
#: with a look each 5 ms. A device alone looks more often.
MAX_TICK_S = 5.0
LOOK_S = 0.005
#: Readings of a device, a sine around 21 °C; then it begins anew.
READINGS = 60

State = Literal["waiting", "connecting", "online", "ended"]


@dataclass(frozen=True)
class Account:
    """What a device logs in with."""

    jid: str
    password: str


class FleetDevice:
    """A device of a fleet: `config` as device.json but for its account, in the folder `folder`,
    which is made."""

    def __init__(
        self, number: int, account: Account, config: Mapping[str, Any], app: Path, folder: Path
    ) -> None:
        self.number = number
        self.jid = account.jid
        #: The last lines of its log.
        self.lines: deque[str] = deque(maxlen=MAX_LINES)
        #: Seconds between two looks at what is due.
        self.tick_s = 0.0
        #: How many messages it has sent, and how often it began anew.
        self.reports = 0
        self.restarts = 0
        self._app = app
        self._folder = folder
        self._thing: Any = None
        self._ended = False
        folder.mkdir(parents=True, exist_ok=True)
        made = {**config, "jid": account.jid, "password": account.password, "watchdog": False}
        path = folder / "device.json"
        path.touch(0o600)
        path.write_text(json.dumps(made), "utf-8")
        chance = random.Random(number)
        phase = chance.random() * math.tau
        self.set(
            "dht",
            [
                [round(21 + 4 * math.sin(phase + math.tau * i / READINGS), 1), 45.0]
                for i in range(READINGS)
            ],
        )

    def set(self, name: str, value: object) -> None:
        """Write what a sensor measures from now on; see simulated/dht.py. Raises LabError."""
        path = self._folder / "readings.json"
        readings = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        new = path.with_suffix(".new")
        new.write_text(json.dumps({**readings, name: value}), "utf-8")
        new.replace(path)

    @property
    def state(self) -> State:
        """What it is at."""
        if self._thing is None:
            return "ended" if self._ended else "waiting"
        return "online" if self._thing.client.online else "connecting"

    @property
    def full_jid(self) -> str:
        """The JID of its session, with the resource; "" without one."""
        return str(self._thing.client.jid) if self.state == "online" else ""

    @property
    def last(self) -> str:
        """The last line of its log."""
        return self.lines[-1] if self.lines else ""

    def log(self, text: str) -> None:
        """Keep a line of its log."""
        self.lines.append(" ".join(text.split()))

    async def run(self) -> None:
        """Be the device, until it is cancelled; it begins anew where it restarts."""
        try:
            while True:
                self._begin()
                if self._thing is None:
                    raise LabError(f"{self._app.name}: it makes no Thing, or does not run it")
                thing = self._thing
                main = asyncio.create_task(thing.main())
                thing.over = main.cancel
                try:
                    await asyncio.shield(main)
                except asyncio.CancelledError:
                    if not thing.restarting:
                        thing.stop()
                        await asyncio.wait([main])
                        raise
                self.restarts += 1
        except (SystemExit, LabError) as e:
            self.log(f"ended: {e}")
        except Exception as e:  # noqa: BLE001 - the others go on
            self.log(f"ended: {e!r}")
        finally:
            self._thing = None
            self._ended = True

    def _begin(self) -> None:
        thing = ModuleType("thing")
        real = import_module("thing")
        vars(thing).update({k: v for k, v in vars(real).items() if k[:2] != "__"})
        thing.Thing = lambda path="device.json": _thing(self, path)  # type: ignore[attr-defined]
        thing.__path__ = real.__path__
        self._thing = None
        Program(
            self._app,
            (self._app.parent, FIRMWARE / "apps", SIMULATED),
            given={"thing": thing},
            loaded=self._loaded,
            say=self.log,
        ).run()

    def _loaded(self, name: str, module: ModuleType) -> None:
        # Its hardware is its own
        if name == "outside":
            module.folder = f"{self._folder}/"  # type: ignore[attr-defined]
            module.say = self.log  # type: ignore[attr-defined]

    def path(self, name: str) -> str:
        """Return where one of its files is."""
        return str(self._folder / name)

    def runs(self, thing: Any) -> None:
        """Called by its Thing's run()."""
        self._thing = thing


def _thing(device: FleetDevice, path: str) -> Any:
    """Return a Thing for the device."""
    return _class()(device, path)


def _class() -> Any:
    # The firmware can only be imported when its folder is on the path
    global _made
    if _made is not None:
        return _made
    base: Any = import_module("thing").Thing

    class FleetThing(base):  # type: ignore[misc]
        """As Thing; run() leaves the loop to the fleet."""

        over: Callable[[], object] | None = None
        restarting = False

        def __init__(self, device: FleetDevice, path: str) -> None:
            self._device = device
            super().__init__(device.path(path))
            self.reports.tick_s = max(self.reports.tick_s, device.tick_s)
            send = self.client.send

            def counted(el: Any, *more: Any) -> Any:
                if el.name == "message":
                    device.reports += 1
                return send(el, *more)

            self.client.send = counted

        def log(self, text: str) -> None:
            self._device.log(text)

        def run(self) -> None:
            self._device.runs(self)

        def restart(self, why: str) -> None:
            self.log("restart: " + why)
            self.restarting = True
            self.stop()

        def stop(self) -> None:
            """End main()."""
            self._stopping = True
            if self.over:
                self.over()

    _made = FleetThing
    return _made


_made: Any = None


class Fleet:
    """Devices with `accounts`, `app` and the settings `config` (device.json's, without account),
    with their files below `folder`. `ramp_s`: seconds from the first start to the last, by which
    neither the server nor this computer gets all logins at once."""

    def __init__(
        self,
        accounts: Sequence[Account],
        config: Mapping[str, Any],
        app: Path,
        folder: Path,
        ramp_s: float = 10.0,
    ) -> None:
        if not 0 < len(accounts) <= MAX_DEVICES:
            raise LabError(f"a fleet has 1 to {MAX_DEVICES} devices, not {len(accounts)}")
        _allow_files(len(accounts) + SPARE_FILES)
        if str(FIRMWARE) not in sys.path:
            sys.path.append(str(FIRMWARE))
        self._ramp_s = ramp_s
        self._tasks: list[asyncio.Task[None]] = []
        self.devices = [
            FleetDevice(n, account, config, app, folder / account.jid.partition("@")[0])
            for n, account in enumerate(accounts)
        ]
        for device in self.devices:
            device.tick_s = min(MAX_TICK_S, LOOK_S * len(accounts))

    async def run(self) -> None:
        """Start them, and be them until cancelled, or until all have ended."""
        self._tasks = []
        start = time.monotonic()
        try:
            for n, device in enumerate(self.devices):
                due = start + self._ramp_s * n / len(self.devices)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                self._tasks.append(asyncio.create_task(device.run()))
            await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=CLOSE_S)

    async def wait_online(self, limit_s: float) -> None:
        """Wait until all are online; LabError after `limit_s`, or when one has ended."""
        end = time.monotonic() + limit_s
        while missing := [d for d in self.devices if d.state != "online"]:
            ended = [d for d in missing if d.state == "ended"]
            if ended or time.monotonic() > end:
                one = (ended or missing)[0]
                raise LabError(
                    f"{len(missing)} of {len(self.devices)} devices are not online, among them "
                    f"{one.jid}: {one.last or one.state}"
                )
            await asyncio.sleep(0.05)

    def count(self) -> dict[State, int]:
        """How many are at what."""
        found: dict[State, int] = {"waiting": 0, "connecting": 0, "online": 0, "ended": 0}
        for device in self.devices:
            found[device.state] += 1
        return found

    @property
    def reports(self) -> int:
        """How many messages they have sent."""
        return sum(device.reports for device in self.devices)


def accounts(jid: str, password: str, count: int) -> list[Account]:
    """Return `count` accounts of one password that are called after `jid`: sensor@example.org
    gives sensor-1@example.org and so on, with as many digits as the last one has."""
    local, _, domain = jid.partition("@")
    width = len(str(count))
    return [Account(f"{local}-{n:0{width}}@{domain}", password) for n in range(1, count + 1)]


def memory_bytes() -> int:
    """How much memory this process has in use: its resident set."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def troubled(devices: Iterable[FleetDevice], most: int) -> list[FleetDevice]:
    """Return up to `most` devices, those that are not online first."""
    order: dict[State, int] = {"ended": 0, "connecting": 1, "online": 2, "waiting": 3}
    return sorted(devices, key=lambda d: (order[d.state], d.number))[:most]


def _allow_files(count: int) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count or soft == resource.RLIM_INFINITY:
        return
    if hard not in (resource.RLIM_INFINITY,) and hard < count:
        raise LabError(f"{count} files are needed, and {hard} allowed: ulimit -n {count}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
