"""What the bytecode takes in a board's flash.

`ROWS` says which file is counted where: each in one row, by when it is loaded.
"""

from collections.abc import Iterable
from pathlib import Path

from . import peers
from .registry import Measure, Result, figure
from .world import World

CORE_TARGET = 18 * 1024
#: What was measured, and 1 KB.
UMQTT_TARGET = 18 * 1024
MQTT_AS_SIZE = 11067.0
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
    # To send files, and to take them
    "size.files": (
        "uxmpp/http", "uxmpp/http_get",
        *(f"uxmpp/xep/{m}" for m in ("bob", "ibb", "ibb_in", "ibb_out", "oob", "sfs", "upload")),
    ),
    "size.thing.files": tuple(
        f"thing/{m}" for m in ("files", "receiving", "sending", "sharing", "streaming")
    ),
    # By each device
    "size.thing": tuple(
        f"thing/{m}"
        for m in (
            "__init__", "access", "builtin", "clock", "guard", "memory", "presence", "registry",
            "reports",
        )
    ),
    # For a moment: at the start, at the beginning of a session, for a question, where it is needed
    "size.thing.later": tuple(
        f"thing/{m}"
        for m in (
            "config", "hints", "improv", "ntp", "pairing", "roles", "roster", "settings", "setup",
            "state", "store", "typography", "wifi",
        )
    ),
    # Where the configuration turns them on; what is not named as they are answers, and leaves
    "size.chat": ("thing/chat", "thing/words", "thing/rich"),
    "size.forms": ("thing/adhoc", "thing/dataform", "thing/forms"),
    "size.history": tuple(
        f"thing/{m}"
        for m in ("chart", "drawing", "font", "history", "plotting", "png", "sparkline")
    ),
    "size.iot": ("thing/control", "thing/fields", "thing/iot", "thing/readout"),
    "size.pubsub": ("thing/card", "thing/nodes", "thing/profile", "thing/pubsub"),
    # MQTT's topics, where the configuration or the program has them
    "size.thing.mqtt": ("thing/mqtt", "thing/topics"),
    "size.rooms": ("thing/rooms",),
    "size.schedule": ("thing/planning", "thing/schedule", "thing/zone"),
    # Where there are durable reports
    "size.outbox": ("thing/delivery", "thing/outbox"),
    # Where device.json has `sleep`
    "size.sleep": ("thing/nap", "thing/sleep", "uxmpp/suspend", "uxmpp/xep/csi"),
    # What chooses the program
    "size.loader": ("boot", "main", "slots"),
    # Where device.json has `update`
    "size.update": tuple(
        f"thing/{m}" for m in ("ed25519", "installing", "sha512", "update", "updating")
    ),
    "size.sensor": (
        "apps/sensor",
        *(f"apps/sensors/{m}" for m in ("bme280", "dht22", "ds18b20", "i2c", "sht3x")),
    ),
    "size.switch": ("apps/switch",),
    "size.camera": ("apps/camera",),
    "size.watch": ("apps/face", "apps/watch", "apps/wrist"),
    "size.greenhouse": ("apps/greenhouse",),
    # By a sketch that publishes and subscribes; of these nodes and settings leave again
    "size.umqtt.simple": tuple(
        f"umqtt/{m}" for m in ("__init__", "mapping", "nodes", "settings", "simple", "topics")
    ),
    # By umqtt.robust, a domain in place of its service, a last will, a chat
    "size.umqtt.later": tuple(f"umqtt/{m}" for m in ("chat", "robust", "service", "will")),
}  # fmt: skip
#: A sum of other rows' files: all that such a sketch loads at a configured address.
SKETCH = (
    *ROWS["size.umqtt.simple"], *ROWS["size.core"], *ROWS["size.reliable"], "uxmpp/iq",
)  # fmt: skip


def _path(world: World, name: str) -> Path:
    part, _, rest = name.partition("/")
    if not rest:
        return world.loader / f"{part}.mpy"
    folder = {
        "uxmpp": lambda: world.core / part,
        "thing": lambda: world.thing / part,
        "umqtt": lambda: world.umqtt_ours / part,
        "apps": lambda: world.apps,
    }[part]()
    return folder / f"{rest}.mpy"


def _sum(world: World, names: Iterable[str]) -> int:
    return sum(_path(world, name).stat().st_size for name in names)


def _result(world: World, row: str, said: str = "") -> Result:
    sizes = {n.partition("/")[2] or n: _path(world, n).stat().st_size for n in ROWS[row]}
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
    beside = umqtt_sizes(world, missing) | {peers.MQTT_AS: MQTT_AS_SIZE}
    said = "all that a login (SASL2) at a configured address and a chat load"
    result = _result(world, "size.core", said)
    return Result(result.ours, beside, "; ".join([result.note, *missing]))


#: The rows that are sizes and nothing else: of what, and when it is loaded.
_PLAIN = {
    "size.reliable": ("the reliable client", "besides the core: XEP-0198, XEP-0484"),
    "size.resolver": ("the name resolution", "where no address is configured: SRV and A"),
    "size.later": (
        "what is loaded when it is needed",
        "bind with the first server without Bind 2, iq with the first question",
    ),
    "size.xep": ("the extensions", "each only when it is used"),
    "size.files": ("files in the library", "for a transfer; ibb while a bytestream is open"),
    "size.thing": ("the agent", "what is always loaded"),
    "size.thing.later": (
        "what the agent needs for a moment",
        "wifi, improv and ntp where there is need; the others leave memory after their work",
    ),
    "size.chat": ("the surfaces chat and rich", ""),
    "size.forms": ("the surface forms", "adhoc and dataform only while somebody asks"),
    "size.history": (
        "the surface history", "sparkline, and what draws a chart, only while somebody asks"
    ),
    "size.iot": ("the surface iot", "all but iot only while somebody asks"),
    "size.pubsub": (
        "the surfaces pubsub and profile",
        "nodes at the beginning of a session, card when the profile is new",
    ),
    "size.thing.mqtt": (
        "MQTT's topics of a Thing",
        "mqtt for the surface pubsub, topics for the program; with umqtt/mapping and topics",
    ),
    "size.rooms": ("the surface rooms", "with words, as chat"),
    "size.schedule": (
        "the surface schedule", "planning only while somebody asks, zone for times"
    ),
    "size.thing.files": ("the surface files", "all but files only for a transfer"),
    "size.sleep": ("sleep", "where the configuration has it; nap and suspend for a moment"),
    "size.outbox": ("the agent's outbox", "only where there are durable reports"),
    "size.loader": ("the loader", "boot and main travel as sources; it leaves before the program"),
    "size.update": ("updates", "all but update only for one"),
    "size.sensor": ("the app sensor.py", "with the sensors that it knows, of which one is loaded"),
    "size.switch": ("the app switch.py", ""),
    "size.camera": ("the app camera.py", ""),
    "size.watch": ("the app watch.py", "without the drivers of a board"),
    "size.greenhouse": ("the app greenhouse.py", "one of each declaration"),
    "size.umqtt.later": (
        "what of our umqtt is loaded when it is needed",
        "umqtt.robust; a last will; the service of a domain; a chat",
    ),
}  # fmt: skip


def _plain(row: str, said: str) -> Measure:
    def measure(world: World) -> Result:
        return _result(world, row, said)

    return measure


for _row, (_what, _said) in _PLAIN.items():
    figure(_row, f".mpy -O2 of {_what}", "B", exact=True)(_plain(_row, _said))


def _beside_mqtt(world: World, missing: list[str]) -> dict[str, float]:
    return umqtt_sizes(world, missing) | {peers.MQTT_AS: MQTT_AS_SIZE}


@figure(
    "size.umqtt.simple",
    ".mpy -O2 of our umqtt, for a sketch",
    "B",
    target=UMQTT_TARGET,
    exact=True,
)
def umqtt(world: World) -> Result:
    """Our umqtt.simple alone."""
    missing: list[str] = []
    beside = _beside_mqtt(world, missing)
    said = "without uxmpp beneath, which size.umqtt.whole counts; nodes and settings leave again"
    result = _result(world, "size.umqtt.simple", said)
    return Result(result.ours, beside, "; ".join([result.note, *missing]))


@figure("size.umqtt.whole", ".mpy -O2 of all that a sketch with our umqtt loads", "B", exact=True)
def umqtt_whole(world: World) -> Result:
    """Our umqtt.simple and what it stands on."""
    missing: list[str] = []
    beside = _beside_mqtt(world, missing)
    named = {"umqtt": "size.umqtt.simple", "core": "size.core", "reliable": "size.reliable"}
    parts = {name: _sum(world, ROWS[row]) for name, row in named.items()}
    listed = ", ".join(f"{name} {size:,}" for name, size in parts.items())
    note = (
        f"at a configured address, a login by SASL2: {listed}, and uxmpp/iq; the others have a "
        "socket beneath, and with TLS the ssl module"
    )
    return Result(_sum(world, SKETCH), beside, "; ".join([note, *missing]))
