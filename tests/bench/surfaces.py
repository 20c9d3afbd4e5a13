"""What each surface of the agent keeps of a board's memory, and the least heap for all of them."""

import json
import re
import shutil
import tempfile
from pathlib import Path

from host_tools.lab.errors import LabError
from host_tools.lab.lab import Lab

from .imports import AS_DEVICES, last_line
from .registry import Result, figure
from .search import smallest
from .sessions import HEAP_KB, Chat, Device, _failing, _step
from .world import ACCOUNTS, World

#: A board's heap.
BOARD_KB = 160
#: Each surface, and what it loads when it is used.
SURFACES = {
    "chat": ("hints",),
    "forms": ("adhoc", "dataform"),
    "history": ("sparkline", "zone"),
    "iot": ("readout", "control", "fields", "dataform"),
    "profile": ("card",),
    "pubsub": ("nodes",),
    "rich": (),
    "rooms": (),
    "schedule": ("planning", "zone"),
}
#: Of MicroPython's table of names: what is beyond takes 9 KB in one piece, and a program has some
#: of its own.
NAMES = 1260 - 100
_TITLE = "heap kept by the surface "


def _files(world: World, surfaces: tuple[str, ...], **more: object) -> Path:
    """Make a folder with a device.json that turns on `surfaces`, and what it names."""
    lab: Lab = world.lab
    folder = Path(tempfile.mkdtemp(prefix="surfaces-", dir=world.folder))
    shutil.copy(lab.ca_der, folder)
    config = {
        "jid": lab.jid("greenhouse"),
        "password": ACCOUNTS["greenhouse"],
        "owners": [lab.jid("owner")],
        "ca": lab.ca_der.name,
        "host": lab.server.host,
        "port": lab.server.c2s_tls_port,
        "direct": True,
        "surfaces": list(surfaces),
        "rooms": [f"garden@conference.{lab.domain}"],
        "pubsub": {},
        "profile": {"nick": "Greenhouse"},
        **more,
    }
    (folder / "device.json").write_text(json.dumps(config))
    return folder


def _kept(world: World, surfaces: tuple[str, ...], later: tuple[str, ...] = ()) -> tuple[int, int]:
    """Return the heap in use after a Thing with `surfaces` is made and `later` are imported, and
    how many names there are then."""
    file = _files(world, surfaces) / "device.json"
    config = world.program("surfaces", {"FILE": str(file), "LATER": [f"thing.{m}" for m in later]})
    path = [config, world.programs, world.library]
    done = world.mp32.run_code("import surface_heap\nsurface_heap.main()", path=path)
    found = re.search(r"^heap (\d+) (\d+)$", done.stdout, re.MULTILINE)
    names = re.search(r"n_qstr=(\d+)", done.stdout)
    if done.returncode or not found or not names or int(found[2]) != len(surfaces):
        raise LabError(f"surfaces {surfaces}: {last_line(done.stdout + done.stderr)}")
    return int(found[1]), int(names[1])


def _surface(world: World, name: str) -> Result:
    later = SURFACES[name]
    none = _kept(world, ())[0]
    at_once = _kept(world, (name,))[0] - none
    whole = _kept(world, (name,), later)[0] - none
    said = f"alone, over an agent without any ({none:,} B); {at_once:,} B of it at once"
    return Result(whole, note=f"{said}, the rest with the first use: {', '.join(later) or '-'}")


@figure("heap.surface.chat", _TITLE + "chat", "B")
def chat(world: World) -> Result:
    """Words in, one answer out."""
    return _surface(world, "chat")


@figure("heap.surface.forms", _TITLE + "forms", "B")
def forms(world: World) -> Result:
    """Ad-hoc commands."""
    return _surface(world, "forms")


@figure("heap.surface.history", _TITLE + "history", "B")
def history(world: World) -> Result:
    """The last 24 hours in flash."""
    return _surface(world, "history")


@figure("heap.surface.iot", _TITLE + "iot", "B")
def iot(world: World) -> Result:
    """XEP-0323 and XEP-0325."""
    return _surface(world, "iot")


@figure("heap.surface.profile", _TITLE + "profile", "B")
def profile(world: World) -> Result:
    """Nick, location, avatar."""
    return _surface(world, "profile")


@figure("heap.surface.pubsub", _TITLE + "pubsub", "B")
def pubsub(world: World) -> Result:
    """Items for who follows."""
    return _surface(world, "pubsub")


@figure("heap.surface.rich", _TITLE + "rich", "B")
def rich(world: World) -> Result:
    """XHTML-IM."""
    return _surface(world, "rich")


@figure("heap.surface.rooms", _TITLE + "rooms", "B")
def rooms(world: World) -> Result:
    """Group chat."""
    return _surface(world, "rooms")


@figure("heap.surface.schedule", _TITLE + "schedule", "B")
def schedule(world: World) -> Result:
    """What is done later."""
    return _surface(world, "schedule")


@figure("names.all", "names kept when all of the agent was loaded", "", target=NAMES, exact=True)
def names(world: World) -> Result:
    """Every module of the library, with all surfaces."""
    modules = sorted(
        p.relative_to(world.library).with_suffix("").as_posix().replace("/", ".")
        for p in world.library.rglob("*.mpy")
        if p.stem != "__init__"
    )
    # wifi imports what only boards have
    later = tuple(
        m.removeprefix("thing.") for m in modules if m.startswith("thing.") and m != "thing.wifi"
    )
    found = _kept(world, tuple(SURFACES), later)[1]
    return Result(found, note="MicroPython forgets none of them; room for a program's own is left")


@figure(
    "least.greenhouse",
    "smallest heap in which greenhouse.py works with all surfaces",
    "KB",
    target=BOARD_KB,
)
def least_greenhouse(world: World) -> Result:
    """The agent with all there is: login, presence, rooms, PubSub, and an answer."""
    path = [world.apps, world.library, world.programs / "rom"]
    free = {}
    with Chat(world) as chat:

        def trial(kb: int) -> None:
            chat.new_account()
            folder = _files(world, tuple(SURFACES), jid=chat.device)
            with Device(world, "greenhouse", path, kb, start="", cwd=folder) as device:
                jid = chat.report(device, "temperature: ")
                for text, wanted in (("light on", "light: on"), ("water 1s", "water: 1 s")):
                    answer = chat.ask(device, jid, text)
                    if not answer.startswith(wanted):
                        raise LabError(f"{answer!r} instead of {wanted!r}")
                found = re.search(r"(\d+) of \d+ KB free", chat.ask(device, jid, "status"))
                free[kb] = int(found[1]) if found else 0

        kb = smallest(_failing(trial), low=80, high=HEAP_KB, step=_step(world))
        trial(BOARD_KB)
    return Result(
        kb,
        note=f"login, presence, PubSub, a control, a command, status; in {BOARD_KB} KB "
        f"{free[BOARD_KB]} KB are free at rest; {AS_DEVICES}",
    )
