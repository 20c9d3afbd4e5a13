"""Which files a program imports, found without running it."""

import ast
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from ..errors import UxmppError

#: The most sources that are kept parsed.
MAX_KEPT = 512


class SourceError(UxmppError):
    """A source that cannot be followed: it cannot be read, or is no Python."""


def files(
    start: Iterable[Path], folders: Sequence[Path], without: Iterable[str] = ()
) -> dict[str, Path]:
    """Return the files that the files `start` import, and what those import, by their path below
    the one of the `folders` that has them: the first does. Modules found in none are somebody
    else's.

    A name that is put together while it runs, `__import__("sensors." + name)`, stands for every
    file of that folder, but for packages that have an `__init__.py`: those name what they import
    so as texts ("ping"), and each of these counts, too. What a package itself imports of
    `without`, whole names of modules, does not count: it does so only where that is wanted.
    Raises SourceError.
    """
    found: dict[str, Path] = {}
    skip = set(without)
    begun = {path.resolve() for path in start}
    waiting = [(path, "") for path in begun]
    while waiting:
        path, package = waiting.pop()
        imported, named = _imported(path, package)
        own = {name for name in skip if package and name.startswith(f"{package}.")}
        for module in sorted((imported | named) - own):
            for name in _parts(module, folders):
                if name in found:
                    continue
                file = next(f / name for f in folders if (f / name).is_file())
                if file.resolve() in begun:
                    continue  # an app named like a module of the hardware
                found[name] = file
                inside = name.rpartition("/")[0].replace("/", ".")
                waiting.append((found[name], inside))
    return dict(sorted(found.items()))


def _parts(module: str, folders: Sequence[Path]) -> list[str]:
    """Return the files that make a module, those of the packages around it included."""
    path = module.removesuffix(".*").replace(".", "/")
    names = []
    at = path
    while at:
        names.append(f"{at}/__init__.py")
        at = at.rpartition("/")[0]
    if module.endswith(".*"):
        # All of a folder, of the first that there is
        folder = next((f for f in folders if (f / path).is_dir()), None)
        if folder and not (folder / path / "__init__.py").is_file():
            names += [f"{path}/{p.name}" for p in sorted((folder / path).glob("*.py"))]
    else:
        names.append(f"{path}.py")
    return [name for name in dict.fromkeys(names) if any((f / name).is_file() for f in folders)]


@lru_cache(maxsize=MAX_KEPT)
def _parsed(path: Path, text: bytes) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as e:
        line = f":{e.lineno}" if isinstance(e, SyntaxError) and e.lineno else ""
        what = e.msg if isinstance(e, SyntaxError) else str(e)
        raise SourceError(f"{path}{line}: is no Python: {what}") from None


def _imported(path: Path, package: str) -> tuple[set[str], set[str]]:
    """Return the whole names of what a file imports, which need not be modules, "name.*" being
    all of that folder; and of what it has texts of."""
    try:
        text = path.read_bytes()
    except OSError as e:
        raise SourceError(f"{path}: cannot be read: {e.strerror}") from None
    names: set[str] = set()
    named: set[str] = set()
    beside = path.parent / "__init__.py"
    for node in ast.walk(_parsed(path, text)):
        if isinstance(node, ast.Import):
            names |= {n.name for n in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")
                up = up[: len(up) - node.level + 1]
                base = ".".join([*up, base] if base else up)
            names |= {base, *(f"{base}.{n.name}" for n in node.names)}
        elif isinstance(node, ast.Call) and _is_import(node):
            names |= _called(node.args[0])
        elif package and isinstance(node, ast.Constant) and isinstance(node.value, str):
            # What is loaded by a name that stands somewhere: "ping", "uxmpp.xep.oob"
            if node.value.isidentifier():
                named |= {f"{package}.{node.value}"} if beside.is_file() else set()
            elif all(part.isidentifier() for part in node.value.split(".")):
                named.add(node.value)
    return names - {""}, named


def _is_import(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name) and node.func.id == "__import__" and bool(node.args)


def _called(name: ast.expr) -> set[str]:
    """Return what a name that may be put together says of the module."""
    whole = isinstance(name, ast.Constant)
    while isinstance(name, ast.BinOp):
        name = name.left
    if isinstance(name, ast.JoinedStr) and name.values:
        name = name.values[0]
    if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
        return set()
    return {name.value} if whole else {f"{name.value.removesuffix('.')}.*"}
