"""Programs that share a process and little else: each imports modules of its own, as on a board of
its own, from the same folders. What is not in these folders is shared."""

import builtins
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

#: The most compiled files that are kept.
MAX_KEPT = 256

#: What becomes of a module when it is loaded: (its name, the module).
Loaded = Callable[[str, ModuleType], None]


class Program:
    """The file `path`, to be run by run(). It finds modules in `folders`, the first one first.

    `given` are modules, by name, that it gets in place of others; `loaded` is called with each of
    its own before anybody uses it. `say` takes what it prints, a line at a time.
    """

    def __init__(
        self,
        path: Path,
        folders: Sequence[Path],
        *,
        given: Mapping[str, ModuleType] | None = None,
        loaded: Loaded | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._path = path
        self._folders = tuple(folders)
        self._modules: dict[str, ModuleType] = dict(given or {})
        self._loaded = loaded
        self._builtins: dict[str, Any] = {**vars(builtins), "__import__": self._import}
        if say:
            # As print(), but for `file`: a board has none
            self._builtins["print"] = lambda *words, sep=" ", end="", file=None, flush=False: say(
                sep.join(map(str, words))
            )

    def run(self) -> dict[str, Any]:
        """Run it to its end; its globals. Raises whatever it raises."""
        names = {"__name__": "__main__", "__file__": str(self._path), "__package__": None}
        space: dict[str, Any] = {**names, "__builtins__": self._builtins}
        exec(_code(self._path), space)  # noqa: S102 - to run a program is what this is for
        return space

    def _import(
        self,
        name: str,
        space: Mapping[str, Any] | None = None,
        local: Mapping[str, Any] | None = None,
        wanted: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if level:
            package = str((space or {}).get("__package__") or "")
            above = package.rsplit(".", level - 1)[0] if level > 1 else package
            name = f"{above}.{name}" if name else above
        first = name.partition(".")[0]
        if name not in self._modules and not _places(self._folders, first):
            return __import__(name, space, local, wanted or (), 0)
        module = self._load(name)
        if not wanted:
            return module if level else self._modules[first]
        for inner in wanted:
            if inner != "*" and not hasattr(module, inner):
                if not _places(self._folders, f"{name}.{inner}".replace(".", "/")):
                    raise ImportError(f"cannot import {inner} from {name}")
                self._load(f"{name}.{inner}")
        return module

    def _load(self, name: str) -> ModuleType:
        if name in self._modules:
            return self._modules[name]
        package, _, last = name.rpartition(".")
        parent = self._load(package) if package else None
        found = _places(self._folders, name.replace(".", "/"))
        if not found:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        module = ModuleType(name)
        whole = found.is_dir() or found.name == "__init__.py"
        space = vars(module)
        space.update(
            __builtins__=self._builtins,
            __file__=str(found),
            __package__=name if whole else package,
        )
        self._modules[name] = module
        if found.is_file():
            try:
                exec(_code(found), space)  # noqa: S102
            except BaseException:
                del self._modules[name]
                raise
        if self._loaded:
            self._loaded(name, module)
        if parent:
            setattr(parent, last, module)
        return module


@lru_cache(maxsize=MAX_KEPT)
def _code(path: Path) -> CodeType:
    return compile(path.read_bytes(), str(path), "exec")


@lru_cache(maxsize=4096)
def _places(folders: tuple[Path, ...], below: str) -> Path | None:
    # The file of a module, or the folder of a package
    for folder in folders:
        for path in (folder / f"{below}.py", folder / below / "__init__.py"):
            if path.is_file():
                return path
        if (folder / below).is_dir() and below != "__pycache__":
            return folder / below
    return None
