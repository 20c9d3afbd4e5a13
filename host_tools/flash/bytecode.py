"""Compiled trees, made once for all devices of this machine: a board's library takes seconds."""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from . import mpy

#: The most trees that are kept; those that were not used for longest leave.
MAX_TREES = 24
# A tree counts as used anew after so many seconds; before that nobody waits for the lock
_USED_S = 60.0


def library(target: Path) -> None:
    """Put `uxmpp`, `thing` and `umqtt` as devices get them into the folder `target`. Raises
    MpyError, LabError."""
    _put("library", mpy.FIRMWARE, target, mpy.compile_library)


def tree(source: Path, target: Path, *, opt: int = 2, skip: Sequence[str] = ()) -> None:
    """Put what mpy.compile_tree() makes of `source` into the folder `target`. Raises MpyError,
    LabError."""

    def make(to: Path) -> None:
        to.mkdir()
        mpy.compile_tree(source, to, opt=opt, skip=skip)

    _put("-".join([source.name, f"O{opt}", *skip]), source, target, make)


def _put(what: str, source: Path, target: Path, make: Callable[[Path], object]) -> None:
    key = sha256(mpy.version().encode() + Path(mpy.__file__).read_bytes())
    for path in sorted(source.rglob("*.py")):
        text = path.read_bytes()
        key.update(f"\0{path.relative_to(source)}\0{len(text)}\0".encode() + text)
    try:
        from ..lab.cache import cache_dir, locked
    except ImportError:  # no fcntl: Windows
        with tempfile.TemporaryDirectory() as made:
            make(Path(made, "tree"))
            shutil.copytree(Path(made, "tree"), target, dirs_exist_ok=True)
        return
    folder = cache_dir() / "bytecode"
    kept = folder / f"{what}-{key.hexdigest()[:16]}"
    try:
        if 0 <= time.time() - kept.stat().st_mtime < _USED_S:
            shutil.copytree(kept, target, dirs_exist_ok=True)
            return
    except OSError:
        pass  # it is not there, or leaves just now
    with locked("bytecode"):
        if not kept.is_dir():
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as made:
                make(Path(made, "tree"))
                Path(made, "tree").rename(kept)
            others = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
            for old in others[:-MAX_TREES]:
                shutil.rmtree(old, ignore_errors=True)
        kept.touch()
        shutil.copytree(kept, target, dirs_exist_ok=True)
