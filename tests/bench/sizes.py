"""What the bytecode takes in a board's flash.

`ROWS` says which file is counted where: each in one row, by when it is loaded.
"""

from pathlib import Path

from . import peers
from .registry import Result, figure
from .world import World

CORE_TARGET = 18 * 1024
ROWS = {
    # By each client that logs in by SASL2 at a configured address
    "size.core": tuple(
        f"uxmpp/{m}" for m in ("__init__", "client", "jid", "net", "sasl", "stream", "xml")
    ),
    # By a ReliableClient, besides
    "size.reliable": tuple(f"uxmpp/{m}" for m in ("fast", "reliable", "sm")),
    # Where the configuration names no host, or no address
    "size.resolver": tuple(f"uxmpp/{m}" for m in ("dns", "resolver")),
    # By a server without Bind 2, and by the first question
    "size.later": tuple(f"uxmpp/{m}" for m in ("bind", "iq")),
    "size.xep": tuple(
        f"uxmpp/xep/{m}"
        for m in ("__init__", "caps", "disco", "ping", "pubsub", "time", "version")
    ),
    # By each device
    "size.thing": tuple(
        f"thing/{m}"
        for m in (
            "__init__", "access", "builtin", "clock", "guard", "presence", "registry", "reports",
        )
    ),
    # For a moment: at the start, at the beginning of a session, for a question, where it is needed
    "size.thing.later": tuple(
        f"thing/{m}"
        for m in (
            "config", "hints", "ntp", "pairing", "roles", "roster", "settings", "setup", "state",
            "store", "wifi",
        )
    ),
    # Where the configuration turns them on; what is not named as they are answers, and leaves
    "size.chat": ("thing/chat", "thing/words", "thing/rich"),
    "size.forms": ("thing/adhoc", "thing/dataform", "thing/forms"),
    "size.history": ("thing/history", "thing/sparkline"),
    "size.iot": ("thing/control", "thing/fields", "thing/iot", "thing/readout"),
    "size.pubsub": ("thing/card", "thing/nodes", "thing/profile", "thing/pubsub"),
    "size.rooms": ("thing/rooms",),
    "size.schedule": ("thing/planning", "thing/schedule", "thing/zone"),
    # Where there are durable reports
    "size.outbox": ("thing/delivery", "thing/outbox"),
    "size.sensor": ("apps/sensor",),
    "size.greenhouse": ("apps/greenhouse",),
}  # fmt: skip


def _sizes(folder: Path, row: str) -> dict[str, int]:
    """Return the bytes of the row's files below `folder`, by name."""
    files = {name.partition("/")[2]: folder / f"{name}.mpy" for name in ROWS[row]}
    return {name: path.stat().st_size for name, path in files.items()}


def _result(folder: Path, row: str, said: str = "") -> Result:
    sizes = _sizes(folder, row)
    by_size = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    listed = ", ".join(f"{name} {size:,}" for name, size in by_size)
    return Result(sum(sizes.values()), note=f"{said}: {listed}" if said else listed)


def umqtt_sizes(world: World, missing: list[str]) -> dict[str, float]:
    """Return the sizes of umqtt.simple, and of it with robust, as far as they are to be had."""
    folder = peers.optional(lambda: world.umqtt, peers.UMQTT, missing)
    if folder is None:
        return {}
    sizes = {p.stem: p.stat().st_size for p in (folder / "umqtt").glob("*.mpy")}
    found: dict[str, float] = {peers.UMQTT: sizes["simple"]}
    if "robust" in sizes:
        found[peers.UMQTT_ROBUST] = sizes["simple"] + sizes["robust"]
    return found


@figure("size.core", ".mpy -O2 of the core", "B", target=CORE_TARGET, exact=True)
def core(world: World) -> Result:
    """What a login at a configured host and a chat load."""
    missing: list[str] = []
    beside = umqtt_sizes(world, missing) | {peers.MQTT_AS: 11067.0}
    said = "all that a login (SASL2) at a configured address and a chat load"
    result = _result(world.core, "size.core", said)
    return Result(result.ours, beside, "; ".join([result.note, *missing]))


@figure("size.reliable", ".mpy -O2 of the reliable client", "B", exact=True)
def reliable(world: World) -> Result:
    """Resumption and login by token."""
    said = "what a ReliableClient loads besides the core: XEP-0198, XEP-0484"
    return _result(world.core, "size.reliable", said)


@figure("size.resolver", ".mpy -O2 of the name resolution", "B", exact=True)
def resolver(world: World) -> Result:
    """What is loaded besides where a name, or the server itself, has to be looked up."""
    said = "SRV and A; loaded besides the core where no address is configured"
    return _result(world.core, "size.resolver", said)


@figure("size.later", ".mpy -O2 of what is loaded when it is needed", "B", exact=True)
def later(world: World) -> Result:
    """Each by itself, and seldom."""
    said = "bind with the first server without Bind 2, iq with the first question"
    return _result(world.core, "size.later", said)


@figure("size.xep", ".mpy -O2 of the extensions", "B", exact=True)
def xep(world: World) -> Result:
    """firmware/uxmpp/xep: each file is imported only when it is used."""
    return _result(world.core, "size.xep")


@figure("size.thing", ".mpy -O2 of the agent", "B", exact=True)
def thing(world: World) -> Result:
    """What each device loads, without a surface."""
    return _result(world.thing, "size.thing", "what is always loaded")


@figure("size.thing.later", ".mpy -O2 of what the agent needs for a moment", "B", exact=True)
def thing_later(world: World) -> Result:
    """Loaded when it is needed, and most of it unloaded again."""
    said = "wifi and ntp where there is need; the others leave memory after their work"
    return _result(world.thing, "size.thing.later", said)


@figure("size.chat", ".mpy -O2 of the surfaces chat and rich", "B", exact=True)
def chat(world: World) -> Result:
    """Words in, one answer out."""
    return _result(world.thing, "size.chat")


@figure("size.forms", ".mpy -O2 of the surface forms", "B", exact=True)
def forms(world: World) -> Result:
    """Ad-hoc commands."""
    return _result(world.thing, "size.forms", "adhoc and dataform only while somebody asks")


@figure("size.history", ".mpy -O2 of the surface history", "B", exact=True)
def history(world: World) -> Result:
    """A day in flash."""
    return _result(world.thing, "size.history", "sparkline only while somebody asks")


@figure("size.iot", ".mpy -O2 of the surface iot", "B", exact=True)
def iot(world: World) -> Result:
    """XEP-0323, XEP-0325."""
    return _result(world.thing, "size.iot", "all but iot only while somebody asks")


@figure("size.pubsub", ".mpy -O2 of the surfaces pubsub and profile", "B", exact=True)
def pubsub(world: World) -> Result:
    """Items, and who the device is."""
    said = "nodes at the beginning of a session, card when the profile is new"
    return _result(world.thing, "size.pubsub", said)


@figure("size.rooms", ".mpy -O2 of the surface rooms", "B", exact=True)
def rooms(world: World) -> Result:
    """Group chat."""
    return _result(world.thing, "size.rooms", "with words, as chat")


@figure("size.schedule", ".mpy -O2 of the surface schedule", "B", exact=True)
def schedule(world: World) -> Result:
    """What is done later."""
    return _result(
        world.thing, "size.schedule", "planning only while somebody asks, zone for times"
    )


@figure("size.outbox", ".mpy -O2 of the agent's outbox", "B", exact=True)
def outbox(world: World) -> Result:
    """Reports that survive a power cut."""
    return _result(world.thing, "size.outbox", "loaded only where there are durable reports")


@figure("size.sensor", ".mpy -O2 of the app sensor.py", "B", exact=True)
def sensor(world: World) -> Result:
    """A whole program on the agent."""
    return Result((world.apps / "sensor.mpy").stat().st_size)


@figure("size.greenhouse", ".mpy -O2 of the app greenhouse.py", "B", exact=True)
def greenhouse(world: World) -> Result:
    """The example with one of each declaration."""
    return Result((world.apps / "greenhouse.mpy").stat().st_size)
