"""MicroPython runtimes on this computer: a 64-bit one, and a 32-bit one with a board's memory."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import debian
from .errors import LabError

OLDEST = (1, 24)
RUN_LIMIT_S = 60.0
BOARD_HEAP = "160k"

PACKAGES = debian.PackageSet(
    "micropython",
    ("micropython", "libc6", "libffi8", "libmbedtls21", "libmbedcrypto16", "libmbedx509-7"),
    "micropython (1.24 or newer), and put it on PATH or into UXMPP_MICROPYTHON64",
)
PACKAGES_32 = debian.PackageSet(
    PACKAGES.name,
    PACKAGES.packages,
    "a 32-bit build of micropython (1.24 or newer), and name it in UXMPP_MICROPYTHON32",
)

_PROBE = "import sys; print(sys.maxsize > 2**31, *sys.implementation.version[:3])"


@dataclass(frozen=True)
class MicroPython:
    """A MicroPython for Unix: word size in bits, the words that start it, its version."""

    bits: int
    argv: tuple[str, ...]
    version: tuple[int, ...]

    def command(
        self,
        script: str | os.PathLike[str],
        *args: str,
        heap: str | None = None,
        path: Iterable[str | os.PathLike[str]] = (),
    ) -> tuple[list[str], dict[str, str]]:
        """Return the words and the environment that run the file `script` with `args`.

        `heap` is a size as `-X heapsize` takes it ("160k"); without one a 32-bit runtime gets a
        board's and a 64-bit one its own. `path` are folders to import from, before the frozen
        modules.
        """
        return [*self._start(heap), os.fspath(script), *args], self._environment(path)

    def command_code(
        self,
        code: str,
        *,
        heap: str | None = None,
        path: Iterable[str | os.PathLike[str]] = (),
    ) -> tuple[list[str], dict[str, str]]:
        """Return the words and the environment that run the source text `code`."""
        return [*self._start(heap), "-c", code], self._environment(path)

    def run(
        self,
        script: str | os.PathLike[str],
        *args: str,
        heap: str | None = None,
        path: Iterable[str | os.PathLike[str]] = (),
        timeout_s: float = RUN_LIMIT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run the file `script` to its end; LabError after `timeout_s`. See `command`."""
        argv, env = self.command(script, *args, heap=heap, path=path)
        return _finish(argv, env, timeout_s)

    def run_code(
        self,
        code: str,
        *,
        heap: str | None = None,
        path: Iterable[str | os.PathLike[str]] = (),
        timeout_s: float = RUN_LIMIT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run the source text `code` to its end; LabError after `timeout_s`. See `command`."""
        argv, env = self.command_code(code, heap=heap, path=path)
        return _finish(argv, env, timeout_s)

    def _start(self, heap: str | None) -> list[str]:
        if heap is None and self.bits == 32:
            heap = BOARD_HEAP
        return [*self.argv, *(("-X", f"heapsize={heap}") if heap else ())]

    def _environment(self, path: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
        # Setting the path replaces the built-in one, and with it the frozen asyncio.
        folders = [*(os.fspath(p) for p in path), ".frozen"]
        return {**os.environ, "MICROPYPATH": ":".join(folders)}


def find(bits: int) -> MicroPython:
    """Return a MicroPython of `bits` (32 or 64).

    Taken is the one that `$UXMPP_MICROPYTHON32` or `$UXMPP_MICROPYTHON64` names, else a fit one
    on PATH, else Debian's, downloaded once. Raises LabError when there is none.
    """
    if bits not in (32, 64):
        raise LabError(f"MicroPython comes with 32 or 64 bits, not {bits}")
    variable = f"UXMPP_MICROPYTHON{bits}"
    named = os.environ.get(variable)
    if named:
        found = _probe((named,))
        if found is None or found.bits != bits or found.version < OLDEST:
            raise LabError(f"{variable}={named} is no MicroPython 1.24 or newer of {bits} bits")
        return found
    on_path = shutil.which("micropython")
    if on_path:
        found = _probe((on_path,))
        if found and found.bits == bits and found.version >= OLDEST:
            return found
    packages = PACKAGES_32 if bits == 32 else PACKAGES
    unpacked = debian.prefix(packages, bits)
    found = _probe(unpacked.argv(Path("usr/bin/micropython")))
    if found is None or found.bits != bits:
        raise LabError(
            f"Debian's {unpacked.arch} MicroPython does not start here: "
            f"install by hand {packages.by_hand}"
        )
    return found


_probed: dict[tuple[str, ...], MicroPython] = {}


def _probe(argv: Sequence[str]) -> MicroPython | None:
    """Return what it says of itself; it is asked once in a process."""
    if tuple(argv) in _probed:
        return _probed[tuple(argv)]
    try:
        done = subprocess.run(
            [*argv, "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
        wide, *version = done.stdout.split()
        numbers = tuple(int(v) for v in version)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    if done.returncode or len(numbers) != 3:
        return None
    found = MicroPython(64 if wide == "True" else 32, tuple(argv), numbers)
    _probed[tuple(argv)] = found
    return found


def _finish(
    argv: list[str], env: dict[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"MicroPython had not ended after {timeout_s:g} s: {argv[-1]}") from None
    except OSError as e:
        raise LabError(f"MicroPython does not start: {argv[0]}: {e.strerror}") from e
