"""Our umqtt beside the MQTT clients: the same sketch, which subscribes, publishes and pings."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from . import imports, peers
from .registry import Result, figure
from .search import smallest
from .sessions import HEAP_KB, Device, _failing, _step, mqtt_config
from .world import ACCOUNTS, World

SKETCH = "umqtt_sketch"
#: What was measured, and 2 KB for what varies.
LEAST_KB = 80
#: What was measured, and 2 KB.
IMPORT_TARGET = 48 * 1024
#: Of the same steps with mqtt_as, at rest after them, and the least heap, with modules of a few
#: lines in the place of `machine`, `network` and `ssl`.
MQTT_AS_SESSION = 24608.0
MQTT_AS_LEAST = 28.0
_STEPS = "connect over verified TLS, subscribe, publish with QoS 1, receive that, ping"
_COMPILED = "each compiled without line numbers, ours with short private names, as devices get it"

_accounts = count(1)


def _ours(world: World) -> list[Path]:
    # Each time another account, and by the trial another topic: what is made once is made here
    lab = world.topics
    config = {
        "WAY": "umqtt_xmpp",
        "CLIENT": "greenhouse",
        "SERVICE": f"pubsub.{lab.domain}",
        "USER": lab.add_account(f"sketch{next(_accounts)}", ACCOUNTS["greenhouse"]),
        "PASSWORD": ACCOUNTS["greenhouse"],
        "HOST": lab.server.host,
        "PORT": lab.server.c2s_tls_port,
        "DIRECT": True,
        "CA": str(lab.ca_der),
    }
    return [world.program("sketch", config), world.programs, world.library]


def _upstream(world: World) -> list[Path]:
    config = {"WAY": "umqtt_tls", **mqtt_config(world)}
    return [world.program("sketch", config), world.programs, world.umqtt_as_ours]


def _ran(world: World, path: Sequence[Path], kb: int) -> list[int]:
    """Return the heap in use when the sketch had connected, and at its end."""
    with Device(world, SKETCH, path, kb) as device:
        return device.heap()


@figure(
    "heap.import.umqtt",
    "heap kept after import: our umqtt.simple",
    "B",
    target=IMPORT_TARGET,
    exact=True,
)
def kept(world: World) -> Result:
    """All that the import loads, the core and asyncio included."""
    missing: list[str] = []
    module = "umqtt.simple"
    upstream = peers.optional(
        lambda: imports.kept(world, module, [world.umqtt_as_ours]), peers.UMQTT, missing
    )
    beside = {} if upstream is None else {peers.UMQTT: float(upstream)}
    modules = ("uxmpp.client", "uxmpp.reliable", module, "umqtt.topics")
    parts = imports.parts(world, modules, [world.library])
    note = (
        f"import {module}, the core and asyncio included; {_COMPILED}; "
        f"one after the other: {parts} B, the last with the first connect()"
    )
    found = imports.kept(world, module, [world.library])
    return Result(found, beside, "; ".join([note, *missing]))


@figure(
    "least.umqtt", "smallest heap in which a sketch with umqtt.simple works", "KB", target=LEAST_KB
)
def least(world: World) -> Result:
    """A sketch with our umqtt against Prosody, upstream's against mosquitto."""

    def found(path: Sequence[Path] | None, low: int) -> int:
        def trial(kb: int) -> None:
            _ran(world, path or _ours(world), kb)

        return smallest(_failing(trial), low=low, high=HEAP_KB, step=_step(world))

    ours = found(None, 32)
    missing: list[str] = []
    upstream = peers.optional(lambda: found(_upstream(world), 8), peers.UMQTT, missing)
    beside = {peers.MQTT_AS: MQTT_AS_LEAST}
    if upstream is not None:
        beside[peers.UMQTT] = float(upstream)
    note = (
        f"{_STEPS}: ours against Prosody, with a login by password and a topic that is new, the "
        f"others against mosquitto, mqtt_as with a few lines for machine, network and ssl; "
        f"{_COMPILED}; TLS's own buffers are the system's here, as on an ESP32; it varies by 1 KB"
    )
    return Result(ours, beside, "; ".join([note, *missing]))


@figure("heap.session.umqtt", "live heap of a sketch with umqtt.simple, at rest", "B")
def session(world: World) -> Result:
    """What is kept after a subscription and a message, all included."""
    connected, steady = _ran(world, _ours(world), HEAP_KB)
    missing: list[str] = []
    upstream = peers.optional(lambda: _ran(world, _upstream(world), HEAP_KB), peers.UMQTT, missing)
    beside = {peers.MQTT_AS: MQTT_AS_SESSION}
    said = ""
    if upstream is not None:
        beside[peers.UMQTT] = float(upstream[1])
        said = f", {upstream[0]:,} B of upstream's"
    note = f"as least.umqtt, in {HEAP_KB} KB; {connected:,} B of it after connect(){said}"
    return Result(steady, beside, "; ".join([note, *missing]))
