"""The other clients: fetched once into the cache, never part of this repository."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from host_tools.lab.cache import cache_dir, locked
from host_tools.lab.errors import LabError

FETCH_LIMIT_S = 300.0
MQTT_AS = "mqtt_as 0.8.3 (recorded)"

_T = TypeVar("_T")


@dataclass(frozen=True)
class Package:
    """A package by exact content; `modules` are the files of it that are measured."""

    name: str
    version: str
    sha256: str
    modules: tuple[str, ...]


SIMPLE = Package(
    "micropython-umqtt.simple",
    "1.3.4",
    "b6a2520239e3992c63a7de9370ee9b3d9d27819a90359c521f1c0f7ccab8d12f",
    ("umqtt/simple.py",),
)
ROBUST = Package(
    "micropython-umqtt.robust",
    "1.0",
    "22a1b8c8e1128281efb13b3020927d07e33c5b747869da2cd77d37983a9ea002",
    ("umqtt/robust.py",),
)
UMQTT = "umqtt.simple"
UMQTT_ROBUST = "umqtt.simple + robust"


def source(package: Package) -> Path:
    """Return the folder of the package's modules, fetched first if need be; or raise LabError."""
    folder = cache_dir() / "peers" / f"{package.name}-{package.version}-{package.sha256[:8]}"
    if not folder.exists():
        with locked("peers"):
            if not folder.exists():
                _fetch(package, folder)
    return folder


def optional(get: Callable[[], _T], name: str, missing: list[str]) -> _T | None:
    """Return `get()`; where that peer is not to be had, None and a line in `missing`."""
    try:
        return get()
    except LabError as e:
        missing.append(f"{name} not to be had: {e}")
        return None


def _fetch(package: Package, folder: Path) -> None:
    work = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(work, ignore_errors=True)  # of a fetch that was killed; the lock is ours
    try:
        unpacked = work / "unpacked"
        unpacked.mkdir(parents=True)
        wanted = work / "requirements.txt"
        wanted.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
        # pip verifies and unpacks it, and may then refuse it: it was packed for MicroPython's
        # own installer, without a setup.py. What it had unpacked is all that is wanted.
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-clean"]
        argv += ["--require-hashes", "-r", str(wanted)]
        done = subprocess.run(
            [*argv, "-d", str(work / "archives")],
            env={**os.environ, "TMPDIR": str(unpacked)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=FETCH_LIMIT_S,
        )
        kept = work / "kept"
        for module in package.modules:
            found = sorted(unpacked.glob(f"pip-download-*/*/{module}"))
            if not found:
                said = [s.strip() for s in done.stderr.splitlines() if s.startswith("ERROR")]
                why = said[0] if said else f"pip left no {module}"
                raise LabError(f"cannot fetch {package.name} {package.version}: {why}")
            (kept / module).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found[0], kept / module)
        kept.rename(folder)
    except subprocess.TimeoutExpired:
        raise LabError(f"cannot fetch {package.name}: no end in {FETCH_LIMIT_S:g} s") from None
    except OSError as e:
        raise LabError(f"cannot fetch {package.name}: {e}") from e
    finally:
        shutil.rmtree(work, ignore_errors=True)
