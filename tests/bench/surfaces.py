"""What each surface of the agent keeps of a board's memory, and the least heap for all of them."""

import asyncio
import json
import re
import shutil
import tempfile
from pathlib import Path

from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.errors import LabError
from host_tools.lab.lab import Lab
from host_tools.lab.prosody import Prosody

from .imports import AS_DEVICES, last_line
from .registry import Measure, Result, figure
from .search import smallest
from .sessions import HEAP_KB, Chat, Device, _failing, _step
from .suite import part
from .world import ACCOUNTS, World

#: A board's heap.
BOARD_KB = 160
#: In which names and bytes are counted: all modules at once are more than a board has room for.
COUNT_HEAP = "256k"
#: Each surface, and what it loads when it is used.
SURFACES = {
    "chat": ("hints",),
    "files": ("receiving", "sending", "sharing", "streaming"),
    "forms": ("adhoc", "dataform"),
    "history": ("sparkline", "zone"),
    "iot": ("readout", "control", "fields", "dataform"),
    "profile": ("card",),
    "pubsub": ("nodes",),
    "rich": (),
    "rooms": (),
    "schedule": ("planning", "zone"),
}
#: What greenhouse.py has on.
ALL = tuple(name for name in SURFACES if name != "files")
#: Modules that no program has beside all of these, or that boards alone can load.
APART = (
    "chart",
    "drawing",
    "ed25519",
    "files",
    "font",
    "improv",
    "installing",
    "mqtt",
    "nap",
    "plotting",
    "png",
    "receiving",
    "sending",
    "sha512",
    "sharing",
    "sleep",
    "streaming",
    "topics",
    "update",
    "updating",
    "wifi",
)
#: Of MicroPython's table of names: what is beyond takes 9 KB in one piece, and a program has some
#: of its own.
NAMES = 1260 - 100


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
    done = world.mp32.run_code(
        "import surface_heap\nsurface_heap.main()", path=path, heap=COUNT_HEAP
    )
    found = re.search(r"^heap (\d+) (\d+)$", done.stdout, re.MULTILINE)
    names = re.search(r"n_qstr=(\d+)", done.stdout)
    if done.returncode or not found or not names or int(found[2]) != len(surfaces):
        raise LabError(f"surfaces {surfaces}: {last_line(done.stdout + done.stderr)}")
    return int(found[1]), int(names[1])


def _surface(name: str) -> Measure:
    def measure(world: World) -> Result:
        later = SURFACES[name]
        none = _kept(world, ())[0]
        at_once = _kept(world, (name,))[0] - none
        whole = _kept(world, (name,), later)[0] - none
        said = f"alone, over an agent without any ({none:,} B); {at_once:,} B of it at once"
        return Result(
            whole, note=f"{said}, the rest with the first use: {', '.join(later) or '-'}"
        )

    return measure


for _name in SURFACES:
    figure(f"heap.surface.{_name}", f"heap kept by the surface {_name}", "B")(_surface(_name))


@figure(
    "heap.photo",
    "heap above idle while the camera app uploads a photo of 59 KB",
    "B",
    target=12 * 1024,
)
def photo(world: World) -> Result:
    """The surfaces chat and files; what is loaded for it counts."""
    test = part("servers.test_camera")

    async def measured(lab: Lab) -> int:
        async with test.camera(lab) as photographer:
            least, most = await photographer.measured(photographer.uploaded)
            return int(most - least)

    found = {}
    for server in (Prosody, Ejabberd):
        with Lab(test.PASSWORDS, server=server) as lab:
            found[server.__name__] = asyncio.run(measured(lab))
    said = ", ".join(f"{name} {peak:,}" for name, peak in found.items())
    return Result(max(found.values()), note=f"{said}; not of the first photo; {AS_DEVICES}")


@figure(
    "names.all",
    "names kept when all of the agent was loaded, but for files, sleep and updates",
    "",
    target=NAMES,
    exact=True,
)
def names(world: World) -> Result:
    """The agent with all surfaces of greenhouse.py, and all that they load."""
    modules = sorted(p.stem for p in (world.library / "thing").glob("*.mpy"))
    later = tuple(m for m in modules if m not in ("__init__", *APART))
    found = _kept(world, ALL, later)[1]
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
            folder = _files(world, ALL, jid=chat.device)
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
