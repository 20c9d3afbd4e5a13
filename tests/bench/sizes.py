"""What the bytecode takes in a board's flash."""

from pathlib import Path

from . import peers
from .registry import Result, Skipped, figure
from .world import World

CORE_TARGET = 18 * 1024


def _sizes(folder: Path) -> dict[str, int]:
    return {
        p.relative_to(folder).with_suffix("").as_posix(): p.stat().st_size
        for p in sorted(folder.rglob("*.mpy"))
    }


def _listed(sizes: dict[str, int]) -> str:
    by_size = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {size:,}" for name, size in by_size)


def umqtt_sizes(world: World, missing: list[str]) -> dict[str, float]:
    """Return the sizes of umqtt.simple, and of it with robust, as far as they are to be had."""
    folder = peers.optional(lambda: world.umqtt, peers.UMQTT, missing)
    if folder is None:
        return {}
    sizes = _sizes(folder / "umqtt")
    found: dict[str, float] = {peers.UMQTT: sizes["simple"]}
    if "robust" in sizes:
        found[peers.UMQTT_ROBUST] = sizes["simple"] + sizes["robust"]
    return found


# Loaded only where the configuration names no host, or no address
RESOLVER = ("dns", "resolver")


@figure("size.core", ".mpy -O2 of the core", "B", target=CORE_TARGET, exact=True)
def core(world: World) -> Result:
    """What a login at a configured host and a chat load."""
    sizes = _sizes(world.core / "uxmpp")
    modules = {n: size for n, size in sizes.items() if "/" not in n and n not in RESOLVER}
    missing: list[str] = []
    beside = umqtt_sizes(world, missing) | {peers.MQTT_AS: 11067.0}
    note = f"all that a login at a configured address and a chat load: {_listed(modules)}"
    return Result(sum(modules.values()), beside, "; ".join([note, *missing]))


@figure("size.resolver", ".mpy -O2 of the name resolution", "B", exact=True)
def resolver(world: World) -> Result:
    """What is loaded besides where a name, or the server itself, has to be looked up."""
    sizes = _sizes(world.core / "uxmpp")
    modules = {n: size for n, size in sizes.items() if n in RESOLVER}
    note = f"SRV and A; loaded besides the core where no address is configured: {_listed(modules)}"
    return Result(sum(modules.values()), note=note)


@figure("size.xep", ".mpy -O2 of the extensions", "B", exact=True)
def xep(world: World) -> Result:
    """firmware/uxmpp/xep: each file is imported only when it is used."""
    sizes = _sizes(world.core / "uxmpp" / "xep")
    if not sizes:
        raise Skipped("firmware/uxmpp/xep is empty")
    return Result(sum(sizes.values()), note=_listed(sizes))


@figure("size.thing", ".mpy -O2 of the agent", "B", exact=True)
def thing(world: World) -> Result:
    """Every file of firmware/thing."""
    sizes = _sizes(world.thing / "thing")
    return Result(sum(sizes.values()), note=_listed(sizes))


@figure("size.sensor", ".mpy -O2 of the app sensor.py", "B", exact=True)
def sensor(world: World) -> Result:
    """A whole program on the agent."""
    return Result((world.sensor / "sensor.mpy").stat().st_size)
