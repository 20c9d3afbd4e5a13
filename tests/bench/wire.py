"""What a login costs on the line: round trips and bytes, counted between client and server."""

import asyncio
import ssl
import statistics
from collections.abc import Awaitable, Callable
from dataclasses import replace
from importlib.metadata import version
from typing import TypeVar

import slixmpp

from host_tools.lab.errors import LabError
from host_tools.lab.lab import Lab
from host_tools.lab.network import Count, FaultyNetwork
from host_tools.lab.process import Child

from . import peers
from .registry import Result, figure
from .sessions import HEAP_KB, mqtt_config
from .world import ACCOUNTS, World

LOGIN_LIMIT_S = 60.0
# Each way. What one side sends in one go then arrives in one go, so that a change of the
# direction is a wait for the other side and not a matter of luck.
DELAY_S = 0.03
UMQTT_CONNECT = f"{peers.UMQTT} CONNECT"
SLIXMPP = f"slixmpp {version('slixmpp')}"

_T = TypeVar("_T")
_Login = Callable[[World, FaultyNetwork], Awaitable[Count]]


async def device(
    world: World, relay: FaultyNetwork, module: str, config: dict[str, object]
) -> str:
    """Run the program `module` through `relay` to its end, and return what it printed."""
    config["PORT"] = relay.port
    path = [world.core, world.programs, world.program(module, config)]
    if "umqtt" in module:
        path[0] = world.umqtt
    argv, env = world.mp32.command_code(
        f"import {module}\n{module}.main()", heap=f"{HEAP_KB}k", path=path
    )
    child = Child(module, argv, log=world.folder / f"{module}.log", env=env)
    try:
        end = asyncio.get_running_loop().time() + LOGIN_LIMIT_S
        while child.running:
            if asyncio.get_running_loop().time() > end:
                raise LabError(f"{module} had not ended: {child.tail()}")
            await asyncio.sleep(0.01)
        if child.wait(1.0):
            raise LabError(f"{module} failed: {child.tail()}")
        return child.output()
    finally:
        child.kill()


def _ours(direct: bool) -> _Login:
    async def login(world: World, relay: FaultyNetwork) -> Count:
        lab = world.lab
        config: dict[str, object] = {
            "JID": lab.jid("greenhouse"),
            "PASSWORD": ACCOUNTS["greenhouse"],
            "HOST": lab.server.host,
            "DIRECT": direct,
            "CA": str(lab.ca_der),
        }
        await device(world, relay, "login", config)
        return replace(relay.count)

    return login


async def slixmpp_login(
    lab: Lab, relay: FaultyNetwork, direct: bool, look: Callable[[], _T]
) -> _T:
    """Log in by slixmpp through `relay`, and return what `look()` sees when its session starts."""
    context = ssl.create_default_context(cafile=lab.ca_pem)
    client = slixmpp.ClientXMPP(lab.jid("greenhouse"), ACCOUNTS["greenhouse"], ssl_context=context)
    client.enable_direct_tls = direct
    client.enable_starttls = not direct
    client.enable_plaintext = False
    seen: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

    def started(_: object) -> None:
        if not seen.done():
            seen.set_result(look())

    client.add_event_handler("session_start", started)
    client.connect(relay.host, relay.port)
    try:
        return await asyncio.wait_for(seen, LOGIN_LIMIT_S)
    finally:
        client.cancel_connection_attempt()
        client.abort()
        # slixmpp leaves its sender waiting for ever, which asyncio then complains of.
        sender = getattr(client, "_run_out_filters", None)
        if isinstance(sender, asyncio.Future):
            sender.cancel()
            await asyncio.wait([sender], timeout=1.0)


def _slixmpp(direct: bool) -> _Login:
    async def login(world: World, relay: FaultyNetwork) -> Count:
        return await slixmpp_login(world.lab, relay, direct, lambda: replace(relay.count))

    return login


async def _umqtt(world: World, relay: FaultyNetwork) -> Count:
    await device(world, relay, "umqtt_login", mqtt_config(world))
    return replace(relay.count)


def _counts(world: World, host: str, port: int, login: _Login) -> list[int]:
    """Return the medians of some logins: round trips, bytes up, bytes down."""

    async def once() -> Count:
        async with FaultyNetwork(host, port) as relay:
            relay.delay(DELAY_S)
            return await login(world, relay)

    found = [asyncio.run(once()) for _ in range(3 if world.quick else 7)]
    trips = {c.round_trips for c in found}
    if len(trips) > 1:
        raise LabError(f"the round trips differ from login to login: {sorted(trips)}")
    return [
        found[0].round_trips,
        int(statistics.median(c.up for c in found)),
        int(statistics.median(c.down for c in found)),
    ]


def _logins(world: World, direct: bool, missing: list[str]) -> dict[str, list[int]]:
    """Return the counts of ours and the peers' logins; measured once."""
    server = world.lab.server
    port = server.c2s_tls_port if direct else server.c2s_port
    names: dict[str, Callable[[], list[int]]] = {
        "ours": lambda: _counts(world, server.host, port, _ours(direct)),
        SLIXMPP: lambda: _counts(world, server.host, port, _slixmpp(direct)),
    }
    if direct:
        names[UMQTT_CONNECT] = lambda: _counts(
            world, world.mosquitto.host, world.mosquitto.tls_port, _umqtt
        )
    found = {}
    for name, count in names.items():
        key = f"login {direct} {name}"
        if key not in world.measured:
            counts = peers.optional(count, name, missing) if name == UMQTT_CONNECT else count()
            if counts is None:
                continue
            world.measured[key] = counts
        found[name] = world.measured[key]
    return found


def _trips(world: World, direct: bool) -> Result:
    missing: list[str] = []
    found = {name: c[0] for name, c in _logins(world, direct, missing).items()}
    note = (
        "from the TCP connection to the bound session, TLS 1.3's own included; ours with "
        "SASL2 and Bind 2, slixmpp with SASL and bind"
    )
    ours = found.pop("ours")
    return Result(ours, {**found}, "; ".join([note, *missing]))


def _bytes(world: World, direct: bool) -> Result:
    missing: list[str] = []
    logins = _logins(world, direct, missing)
    up_down = ", ".join(f"{name} {c[1]:,} up and {c[2]:,} down" for name, c in logins.items())
    found = {name: float(c[1] + c[2]) for name, c in logins.items()}
    note = f"both ways, TLS and its certificate included: {up_down}; medians (signatures vary)"
    ours = found.pop("ours")
    return Result(ours, found, "; ".join([note, *missing]))


@figure("wire.direct.trips", "round trips of a login, direct TLS", "")
def direct_trips(world: World) -> Result:
    """Beside slixmpp, and umqtt's CONNECT."""
    return _trips(world, True)


@figure("wire.direct.bytes", "bytes of a login, direct TLS", "B")
def direct_bytes(world: World) -> Result:
    """Beside slixmpp, and umqtt's CONNECT."""
    return _bytes(world, True)


@figure("wire.starttls.trips", "round trips of a login, STARTTLS", "")
def starttls_trips(world: World) -> Result:
    """Beside slixmpp."""
    return _trips(world, False)


@figure("wire.starttls.bytes", "bytes of a login, STARTTLS", "B")
def starttls_bytes(world: World) -> Result:
    """Beside slixmpp."""
    return _bytes(world, False)
