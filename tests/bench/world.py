"""What the figures share in one run: compiled trees, runtimes, servers, and what was measured."""

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

from host_tools.flash import bytecode, mpy
from host_tools.lab import ejabberd_program, micropython, mosquitto, prosody_program
from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.errors import LabError
from host_tools.lab.lab import Lab
from host_tools.lab.micropython import MicroPython
from host_tools.lab.mosquitto import MosquittoServer

from . import peers
from .registry import Skipped

FIRMWARE = mpy.FIRMWARE
PROGRAMS = Path(__file__).resolve().parent / "programs"
ACCOUNTS = {"owner": "open sesame", "greenhouse": "a long enough password"}


class World:
    """`with World() as world:`; what a figure asks for is made when it is first asked for.

    `quick`: fewer repetitions, wider search steps.
    """

    def __init__(self, quick: bool = False) -> None:
        self.quick = quick
        #: What one measurement found for more than one figure.
        self.measured: dict[str, list[int]] = {}
        #: Names of attributes that stand for what was used, but not by way of this object.
        self.also: set[str] = set()
        self._stack = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="uxmpp-bench-")).resolve()
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @cached_property
    def core(self) -> Path:
        """A folder to import from, with the compiled `uxmpp`."""
        return self._compiled("uxmpp")

    @cached_property
    def loader(self) -> Path:
        """A folder with what chooses a board's program, compiled."""
        for source in sorted(FIRMWARE.glob("*.py")):
            mpy.compile_file(source, self.folder / "mpy-loader" / f"{source.stem}.mpy")
        return self.folder / "mpy-loader"

    @cached_property
    def thing(self) -> Path:
        """A folder to import from, with the compiled `thing`; or Skipped."""
        return self._compiled("thing")

    @cached_property
    def umqtt_ours(self) -> Path:
        """A folder to import from, with our compiled `umqtt`."""
        return self._compiled("umqtt")

    @cached_property
    def library(self) -> Path:
        """A folder to import from, with `uxmpp`, `thing` and our `umqtt` as devices get them."""
        bytecode.library(self.folder / "library")
        return self.folder / "library"

    @cached_property
    def apps(self) -> Path:
        """A folder to import from, with the compiled apps; or Skipped."""
        if not mpy.compile_tree(FIRMWARE / "apps", self.folder / "apps"):
            raise Skipped("firmware/apps has none")
        return self.folder / "apps"

    @cached_property
    def programs(self) -> Path:
        """The folder of the benchmarks' own programs, compiled."""
        mpy.compile_tree(PROGRAMS, self.folder / "programs")
        return self.folder / "programs"

    @cached_property
    def reliable(self) -> Path:
        """A folder to import from before `programs`, with the echo as a ReliableClient."""
        # A switch in the program itself would be measured too
        text = (PROGRAMS / "echo.py").read_text()
        plain = "from uxmpp.client import Client\n"
        assert plain in text
        folder = self.folder / "reliable"
        folder.mkdir()
        source = folder / "echo.py"
        source.write_text(
            text.replace(plain, "from uxmpp.reliable import ReliableClient as Client\n")
        )
        mpy.compile_file(source, folder / "echo.mpy")
        source.unlink()
        return folder

    @cached_property
    def umqtt(self) -> Path:
        """The folder of the compiled `umqtt` (simple, and robust where it is to be had)."""
        folder = self.folder / "umqtt"
        mpy.compile_tree(peers.source(peers.SIMPLE), folder)
        with suppress(LabError):  # then there is no such figure
            mpy.compile_tree(peers.source(peers.ROBUST), folder)
        return folder

    @cached_property
    def umqtt_as_ours(self) -> Path:
        """The folder of upstream's `umqtt.simple`, compiled as devices get ours."""
        folder = self.folder / "umqtt-as-ours"
        mpy.compile_tree(peers.source(peers.SIMPLE), folder, opt=mpy.LIBRARY_OPT)
        return folder

    @cached_property
    def mp32(self) -> MicroPython:
        """The MicroPython with a board's words."""
        return micropython.find(32)

    @cached_property
    def mp64(self) -> MicroPython:
        """The MicroPython with this computer's words."""
        return micropython.find(64)

    @cached_property
    def lab(self) -> Lab:
        """A Prosody with the ACCOUNTS, whose logins are as long as one's that was installed."""
        return self._stack.enter_context(Lab(ACCOUNTS, iterations=10_000))

    @cached_property
    def topics(self) -> Lab:
        """A Prosody with the ACCOUNTS, on which every account may make nodes of PubSub."""
        self.also.add("lab")
        return self._stack.enter_context(
            Lab(
                ACCOUNTS,
                iterations=10_000,
                modules=("offline",),
                settings={"add_permissions": {"prosody:registered": ["pubsub:create-node"]}},
            )
        )

    @cached_property
    def ejabberd(self) -> Lab:
        """An ejabberd with the ACCOUNTS."""
        return self._stack.enter_context(Lab(ACCOUNTS, server=Ejabberd))

    @cached_property
    def mosquitto(self) -> MosquittoServer:
        """A mosquitto, its certificate from the lab's authority."""
        return self._stack.enter_context(MosquittoServer(authority=self.lab.authority))

    def program(self, name: str, config: Mapping[str, object]) -> Path:
        """Return a folder with the compiled module `config` that holds the constants `config`."""
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        lines = (f"{k} = {v!r}\n" for k, v in config.items())
        source = folder / "config.py"
        source.write_text("".join(lines))
        mpy.compile_file(source, folder / "config.mpy")
        source.unlink()
        return folder

    def machine(self) -> dict[str, object]:
        """Describe this machine, and the versions of what this run has used."""
        used = set(self.__dict__) | self.also
        versions: dict[str, Callable[[], str]] = {
            "lab": _prosody_version,
            "ejabberd": _ejabberd_version,
            "mosquitto": mosquitto.version,
            "umqtt": lambda: f"{peers.SIMPLE.version}, robust {peers.ROBUST.version}",
        }
        if "umqtt_as_ours" in used:
            used.add("umqtt")
        found = {name: get() for name, get in versions.items() if name in used}
        if "lab" in found:
            found["prosody"] = found.pop("lab")
        runtimes = [r for r in ("mp32", "mp64") if r in used]
        return {
            "cpu": _cpu(),
            "cores": os.cpu_count() or 0,
            "python": platform.python_version(),
            "micropython": {
                r.removeprefix("mp"): ".".join(map(str, getattr(self, r).version))
                for r in runtimes
            },
            "mpy-cross": mpy.version(),
            "peers": {**found, "slixmpp": version("slixmpp")},
            "quick": self.quick,
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _compiled(self, name: str) -> Path:
        target = self.folder / f"mpy-{name}"
        source = FIRMWARE / name
        if not source.is_dir() or not mpy.compile_tree(source, target / name):
            raise Skipped(f"firmware/{name} is not there yet")
        return target


def _prosody_version() -> str:
    found = prosody_program.find().prefix
    return found.versions["prosody"] if found else "13 or newer, installed"


def _ejabberd_version() -> str:
    found = ejabberd_program.find().prefix
    return found.versions["ejabberd"] if found else "24.12 or newer, installed"


def _cpu() -> str:
    try:
        with Path("/proc/cpuinfo").open() as f:
            for line in f:
                if line.startswith("model name"):
                    return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()
