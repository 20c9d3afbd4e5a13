"""What an import keeps of a board's memory, and the least heap it needs."""

from collections.abc import Sequence
from pathlib import Path

from host_tools.lab.errors import LabError

from . import peers
from .registry import Result, figure
from .search import smallest
from .world import World

CORE = "uxmpp.client"
RELIABLE = "uxmpp.reliable"
AGENT = "thing"
AS_DEVICES = "compiled as devices get it: without line numbers, with short private names"
_FROM_MPY = "32-bit MicroPython, from .mpy, with what it imports itself (asyncio)"


def kept(world: World, module: str, path: Sequence[Path]) -> int:
    """Return how many bytes of the heap an import of `module` keeps."""
    code = (
        "import gc\ngc.collect()\na = gc.mem_alloc()\n"
        f"import {module}\ngc.collect()\nprint(gc.mem_alloc() - a)"
    )
    done = world.mp32.run_code(code, path=path)
    if done.returncode:
        raise LabError(f"import {module} failed: {last_line(done.stdout + done.stderr)}")
    return int(done.stdout.split()[-1])


def parts(world: World, modules: Sequence[str], path: Sequence[Path]) -> str:
    """Return "module bytes, ..." of what each import keeps of the heap, one after the other: what
    two of them import is the first one's. The package `thing` is counted after its parts."""
    thing = next((p / AGENT for p in path if (p / AGENT).is_dir()), None)
    # A stand-in for the package, which would import all of its parts at once
    lines = [
        f"import gc, sys\nclass P: __path__ = {str(thing)!r}\nsys.modules[{AGENT!r}] = P\n"
        if thing
        else "import gc"
    ]
    lines += [
        (f"del sys.modules[{AGENT!r}]\n" if m == AGENT else "")
        + f"gc.collect()\na = gc.mem_alloc()\nimport {m}\ngc.collect()\n"
        f"print('{m}', gc.mem_alloc() - a)"
        for m in modules
    ]
    done = world.mp32.run_code("\n".join(lines), path=path)
    if done.returncode:
        raise LabError(f"the imports failed: {last_line(done.stdout + done.stderr)}")
    found = [line.split() for line in done.stdout.splitlines()]
    return ", ".join(f"{name} {int(size):,}" for name, size in found)


def least(world: World, module: str, path: Sequence[Path], high: int = 128) -> int:
    """Return the KB of the smallest heap in which an import of `module` succeeds."""

    def trial(kb: int) -> str:
        done = world.mp32.run_code(f"import {module}", heap=f"{kb}k", path=path)
        return last_line(done.stdout + done.stderr) if done.returncode else ""

    return smallest(trial, low=4, high=high, step=2 if world.quick else 1)


def last_line(said: str) -> str:
    """Return the last line that is not empty."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


@figure("heap.import.core", "heap kept after import: the core", "B", exact=True)
def core(world: World) -> Result:
    """The core beside the MQTT clients."""
    beside = {peers.MQTT_AS: 15664.0}
    missing: list[str] = []
    folder = peers.optional(lambda: world.umqtt, peers.UMQTT, missing)
    if folder:
        beside[peers.UMQTT] = kept(world, "umqtt.simple", [folder])
        if (folder / "umqtt" / "robust.mpy").exists():
            beside[peers.UMQTT_ROBUST] = kept(world, "umqtt.robust", [folder])
    note = f"import {CORE}: {_FROM_MPY}"
    return Result(kept(world, CORE, [world.core]), beside, "; ".join([note, *missing]))


@figure("heap.import.reliable", "heap kept after import: the reliable client", "B", exact=True)
def reliable(world: World) -> Result:
    """The core with resumption and login by token."""
    return Result(kept(world, RELIABLE, [world.core]), note=f"import {RELIABLE}: {_FROM_MPY}")


@figure("heap.import.thing", "heap kept after import: the agent", "B", exact=True)
def thing(world: World) -> Result:
    """The agent, and the core with it as far as it imports that."""
    path = [world.library]
    return Result(kept(world, AGENT, path), note=f"import {AGENT}: {_FROM_MPY}; {AS_DEVICES}")


@figure("least.import.core", "smallest heap that imports the core", "KB")
def least_core(world: World) -> Result:
    """The core beside the MQTT clients."""
    beside = {peers.MQTT_AS: 26.0}
    missing: list[str] = []
    folder = peers.optional(lambda: world.umqtt, peers.UMQTT, missing)
    if folder:
        beside[peers.UMQTT] = least(world, "umqtt.simple", [folder])
    note = f"import {CORE}: {_FROM_MPY}, -X heapsize"
    return Result(least(world, CORE, [world.core]), beside, "; ".join([note, *missing]))


@figure("least.import.thing", "smallest heap that imports the agent", "KB")
def least_thing(world: World) -> Result:
    """The agent, and the core with it as far as it imports that."""
    path = [world.library]
    return Result(least(world, AGENT, path), note=f"import {AGENT}: {_FROM_MPY}, -X heapsize")
