"""What it takes to come back after a cut: round trips and time, by a line with a delay."""

import asyncio
import re
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

from host_tools.lab.errors import LabError
from host_tools.lab.lab import Lab
from host_tools.lab.network import FaultyNetwork
from host_tools.lab.process import Child

from . import peers, sizes
from .registry import Result, figure
from .sessions import HEAP_KB, mqtt_config
from .suite import part
from .wire import SLIXMPP, UMQTT_CONNECT, device, slixmpp_login
from .world import ACCOUNTS, World

#: Each way.
DELAY_S = 0.05
LINE_LIMIT_S = 60.0
CONNACK = 0x20
SERVERS: Mapping[str, Callable[[World], Lab]] = {
    "prosody": lambda world: world.lab,
    "ejabberd": lambda world: world.ejabberd,
}
TITLES = {"prosody": "Prosody", "ejabberd": "ejabberd"}
_MODULES = {
    name.replace("/__init__", "").replace("/", ".")
    for row in ("size.core", "size.reliable")
    for name in sizes.ROWS[row]
    if name != "uxmpp/sasl"  # it leaves memory after the login
}


@dataclass
class Trips:
    """Round trips of each connection up to an answer: those after TLS's handshake, and all."""

    inner: list[int] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)

    def only(self) -> tuple[int, int]:
        """Return the two numbers; LabError where they differ from connection to connection."""
        for found in (self.inner, self.whole):
            if len(set(found)) != 1:
                raise LabError(f"the round trips differ from time to time: {found}")
        return self.inner[0], self.whole[0]


@asynccontextmanager
async def _looked_into(
    lab: Any, ends: Callable[[bytes], bool]
) -> AsyncIterator[tuple[FaultyNetwork, Any, Trips]]:
    """A line to the lab's server, and somebody behind it who opens TLS with the server's key and
    counts up to the answer that `ends` tells."""
    trips = Trips()

    def change(line: Any, up: bool, data: bytes) -> bytes:
        if not up and ends(data):
            trips.inner.append(len(line.bursts()))
            trips.whole.append(network.connections[-1].count.round_trips)
        return data

    async with (
        part("servers.fake_server").Between(lab, change) as between,
        FaultyNetwork(between.host, between.port) as network,
    ):
        network.delay(DELAY_S)
        yield network, between, trips


@asynccontextmanager
async def _line_to(lab: Any) -> AsyncIterator[FaultyNetwork]:
    async with FaultyNetwork(lab.server.host, lab.server.c2s_tls_port) as network:
        network.delay(DELAY_S)
        yield network


class _Resuming:
    """A device on the 32-bit MicroPython with a session through `network`."""

    def __init__(self, world: World, lab: Lab, network: FaultyNetwork) -> None:
        config: dict[str, object] = {
            "JID": lab.jid("greenhouse"),
            "PASSWORD": ACCOUNTS["greenhouse"],
            "HOST": network.host,
            "PORT": network.port,
            "CA": str(lab.ca_der),
        }
        path = [world.core, world.programs, world.program("resume", config)]
        argv, env = world.mp32.command_code(
            "import resume\nresume.main()", heap=f"{HEAP_KB}k", path=path
        )
        log = world.folder / f"resume-{network.port}.log"
        self._child = Child("resume", argv, log=log, env=env)
        self._network = network
        self._lines = 0

    def end(self) -> None:
        """End its program."""
        self._child.kill()

    async def line(self) -> int:
        """Wait for its next line, and return the milliseconds that it took; LabError where that
        is not the first session."""
        self._lines += 1
        _, *told = await self._said(r"^line (\d+) (\w+) (\d+)$", self._lines)
        if told[:2] != ["1", "True"]:
            raise LabError(f"{told[0]} sessions, acknowledged {told[1]}: {self._child.tail()}")
        return int(told[2])

    async def first(self) -> None:
        """Wait for its session, which must have loaded what the sizes say, and no more."""
        await self.line()
        (loaded,) = await self._said(r"^modules .*$", 1)
        if set(loaded.split()[1:]) != _MODULES:
            raise LabError(f"size.core and size.reliable are not what is loaded: {loaded}")

    async def resumed(self) -> int:
        """Cut the line, and return the milliseconds that the next one took."""
        self._network.cut()
        return await self.line()

    async def _said(self, pattern: str, number: int) -> list[str]:
        end = asyncio.get_running_loop().time() + LINE_LIMIT_S
        while True:
            found = list(re.finditer(pattern, self._child.output(), re.M))
            if len(found) >= number:
                return [found[number - 1][0], *found[number - 1].groups()]
            if not self._child.running or asyncio.get_running_loop().time() > end:
                raise LabError(f"no line to the server: {self._child.tail()}")
            await asyncio.sleep(0.01)


# Round trips


async def _our_trips(world: World, lab: Lab) -> tuple[int, int]:
    async with _looked_into(lab, lambda data: b"<resumed" in data) as (network, _, trips):
        ours = _Resuming(world, lab, network)
        try:
            await ours.first()
            for _ in range(2 if world.quick else 5):
                await ours.resumed()
        finally:
            ours.end()
        return trips.only()


async def _slixmpp_trips(lab: Lab) -> tuple[int, int]:
    async with _looked_into(lab, lambda data: False) as (network, between, _):
        return await slixmpp_login(
            lab,
            network,
            True,
            lambda: (len(between.lines[-1].bursts()), network.count.round_trips),
        )


def _mqtt_lab(world: World) -> Any:
    server = world.mosquitto
    as_xmpp = SimpleNamespace(
        host=server.host,
        domain=server.domain,
        c2s_tls_port=server.tls_port,
        certificate=server.certificate,
    )
    return SimpleNamespace(server=as_xmpp, ca_pem=world.lab.ca_pem)


async def _umqtt_trips(world: World) -> tuple[int, int]:
    async with _looked_into(_mqtt_lab(world), lambda data: data[0] == CONNACK) as found:
        network, _, trips = found
        await device(world, network, "umqtt_login", mqtt_config(world))
        return trips.only()


def _trips(world: World, name: str, missing: list[str]) -> dict[str, tuple[int, int]]:
    """Return the round trips after TLS and all of them, ours and the peers'; measured once."""
    lab = SERVERS[name](world)
    names: dict[str, tuple[str, Callable[[], Awaitable[tuple[int, int]]]]] = {
        "ours": (name, lambda: _our_trips(world, lab)),
        SLIXMPP: (name, lambda: _slixmpp_trips(lab)),
        UMQTT_CONNECT: ("", lambda: _umqtt_trips(world)),
    }
    found = {}
    for who, (server, count) in names.items():
        key = f"resume trips {server} {who}"
        if key not in world.measured:
            counts = _wanted(count, who, missing)
            if counts is None:
                continue
            world.measured[key] = list(counts)
        inner, whole = world.measured[key]
        found[who] = (inner, whole)
    return found


def _wanted(
    count: Callable[[], Awaitable[tuple[int, int]]], who: str, missing: list[str]
) -> tuple[int, int] | None:
    async def counted() -> tuple[int, int]:
        return await count()

    if who == UMQTT_CONNECT:
        return peers.optional(lambda: asyncio.run(counted()), who, missing)
    return asyncio.run(counted())


# Time


async def _times(world: World, missing: list[str]) -> dict[str, list[int]]:
    """Return the milliseconds of each, one after the other in each round."""
    found: dict[str, list[int]] = {}
    ours: dict[str, _Resuming] = {}
    labs = {name: get(world) for name, get in SERVERS.items()}
    mqtt = peers.optional(lambda: world.umqtt and _mqtt_lab(world), UMQTT_CONNECT, missing)
    async with (
        _line_to(labs["prosody"]) as to_prosody,
        _line_to(labs["ejabberd"]) as to_ejabberd,
        _line_to(mqtt or labs["prosody"]) as to_mqtt,
        _line_to(labs["prosody"]) as slixmpp_to_prosody,
        _line_to(labs["ejabberd"]) as slixmpp_to_ejabberd,
    ):
        lines = {
            "prosody": (to_prosody, slixmpp_to_prosody),
            "ejabberd": (to_ejabberd, slixmpp_to_ejabberd),
        }
        try:
            for name, (network, _) in lines.items():
                ours[name] = _Resuming(world, labs[name], network)
                await ours[name].first()
            for _ in range(3 if world.quick else 9):
                for name, (_, network) in lines.items():
                    found.setdefault(name, []).append(await ours[name].resumed())
                    took = await slixmpp_login(labs[name], network, True, partial(_since, network))
                    found.setdefault(f"{SLIXMPP} {name}", []).append(took)
                if mqtt:
                    said = await device(world, to_mqtt, "umqtt_login", mqtt_config(world))
                    found.setdefault(UMQTT_CONNECT, []).append(int(said.split()[-1]))
        finally:
            for resuming in ours.values():
                resuming.end()
    return found


def _since(network: FaultyNetwork) -> int:
    return round((asyncio.get_running_loop().time() - network.opened[-1]) * 1000)


def _all_times(world: World, missing: list[str]) -> dict[str, list[int]]:
    if "resume times" not in world.measured:
        for who, took in asyncio.run(_times(world, missing)).items():
            world.measured[f"resume times {who}"] = took
        world.measured["resume times"] = []
    prefix = "resume times "
    return {k.removeprefix(prefix): v for k, v in world.measured.items() if k.startswith(prefix)}


# The figures

_BESIDE = "slixmpp: its login up to session_start, umqtt.simple: CONNECT up to CONNACK, both anew"


def _register(name: str) -> None:
    title = TITLES[name]

    @figure(
        f"wire.resume.trips.{name}",
        f"XMPP round trips until a session goes on after a cut, {title}",
        "",
        target=1,
        exact=True,
    )
    def after_tls(world: World) -> Result:
        """From the end of TLS's handshake to <resumed/>."""
        missing: list[str] = []
        found = {who: inner for who, (inner, _) in _trips(world, name, missing).items()}
        note = (
            "direct TLS, 50 ms each way; bursts from the client between two answers, counted in "
            f"plaintext by a proxy with the server's key, from the end of TLS's handshake to "
            f"<resumed/>; {_BESIDE}"
        )
        ours = found.pop("ours")
        return Result(ours, {**found}, "; ".join([note, *missing]))

    @figure(
        f"wire.resume.all.{name}",
        f"all round trips until a session goes on after a cut, {title}",
        "",
        exact=True,
    )
    def whole(world: World) -> Result:
        """From the TCP connection to <resumed/>."""
        missing: list[str] = []
        found = {who: all_ for who, (_, all_) in _trips(world, name, missing).items()}
        note = (
            "as wire.resume.trips, TLS 1.3's own included, counted on the line before the proxy; "
            "TCP's own is not among them"
        )
        ours = found.pop("ours")
        return Result(ours, {**found}, "; ".join([note, *missing]))

    @figure(f"wire.resume.ms.{name}", f"time until a session goes on after a cut, {title}", "ms")
    def time(world: World) -> Result:
        """From TCP's connect to <resumed/>."""
        missing: list[str] = []
        times = _all_times(world, missing)
        ours = times[name]
        beside = {SLIXMPP: times[f"{SLIXMPP} {name}"]}
        if UMQTT_CONNECT in times:
            beside[UMQTT_CONNECT] = times[UMQTT_CONNECT]
        note = (
            f"medians of {len(ours)} of each, in turn, from TCP's connect (which is not delayed) "
            "through a relay with 50 ms each way, direct TLS; "
            f"ours {min(ours)} to {max(ours)} ms; {_BESIDE}"
        )
        medians = {who: float(statistics.median(took)) for who, took in beside.items()}
        return Result(statistics.median(ours), medians, "; ".join([note, *missing]))


for _name in SERVERS:
    _register(_name)
