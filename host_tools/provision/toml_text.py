"""TOML, written: what tomllib reads, the other way round, for settings."""

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dumps(values: Mapping[str, Any]) -> str:
    """Return `values` (texts, numbers, booleans, lists, tables of these) as a TOML file. Raises
    ValueError for anything else."""
    lines: list[str] = []
    _table(lines, (), values)
    return "\n".join(lines) + "\n"


def _table(lines: list[str], name: tuple[str, ...], values: Mapping[str, Any]) -> None:
    inner = {k: v for k, v in values.items() if isinstance(v, Mapping)}
    if name:
        lines += ["", f"[{'.'.join(map(_key, name))}]"]
    lines += [f"{_key(k)} = {value(v)}" for k, v in values.items() if k not in inner]
    for key, table in inner.items():
        _table(lines, (*name, key), table)


def value(what: Any) -> str:
    """Return a value as it stands behind the "="."""
    if isinstance(what, bool):
        return "true" if what else "false"
    if isinstance(what, int | float):
        return repr(what)
    if isinstance(what, str):
        # A text of JSON is one of TOML, but for one character
        return json.dumps(what, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(what, list | tuple):
        return f"[{', '.join(map(value, what))}]"
    if isinstance(what, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {value(v)}" for k, v in what.items()) + " }"
    raise ValueError(f"a {type(what).__name__} has no place in a device.toml")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else value(name)
