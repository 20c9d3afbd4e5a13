"""device.toml: what people write of a device, and the device.json that is made of it.

Its keys are those of device.json (docs/device.md), and `board`, `app`, `version` and `serial`,
which are for the tools on the host alone.
"""

import copy
import difflib
import json
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import UxmppError
from ..flash.mpy import FIRMWARE
from . import toml_lines, toml_text

#: The most bytes of a file.
MAX_BYTES = 65536
#: The keys that do not travel to the device.
HOST_KEYS = ("board", "app", "version", "serial")

# What a value may be: a type, [that of the elements], {key: that of its value}, or a tuple of
# alternatives. float: any number.
_PART = (str, float)
_LOCATION = (
    "accuracy alt altaccuracy area bearing building country countrycode datum description error"
    " floor lat locality lon postalcode region room speed street text timestamp tzo uri"
)
SCHEMA: dict[str, Any] = {
    "board": str,
    "app": str,
    "version": str,
    "serial": str,
    "jid": str,
    "password": str,
    "keys": [(str, int)],
    "owners": [str],
    "operators": [str],
    "viewers": [str],
    "name": str,
    "ca": str,
    "pin": str,
    "host": str,
    "port": int,
    "direct": bool,
    "plain": bool,
    "nameserver": str,
    "ntp": str,
    "wifi": {"ssid": str, "password": str},
    "watchdog": bool,
    "pair": str,
    "shared": bool,
    "surfaces": [str],
    "status": str,
    "timezone": str,
    "rooms": [(str, {"jid": str, "nick": str, "password": str})],
    "groups": [str],
    "files": {"ca": str, "pin": str, "max_bytes": int},
    "sleep": {"every": int, "awake": int, "inactive": int},
    "update": {"key": str, "confirm_s": int},
    "pubsub": {"service": str, "prefix": str, "payload": str, "min_s": float},
    "profile": {"nick": str, "location": dict.fromkeys(_LOCATION.split(), _PART), "avatar": str},
}
_SAID = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
_PEOPLE = ("owners", "operators", "viewers")


class DeviceFileError(UxmppError):
    """device.toml cannot be used; the text says where, what, and what is expected."""


@dataclass(frozen=True)
class DeviceFile:
    """A device.toml that was read: `values` as they stand there, `lines` where."""

    path: Path
    values: Mapping[str, Any]
    lines: Mapping[toml_lines.Path, int]

    @property
    def jid(self) -> str:
        """The device's account, in normal form."""
        return str(firmware("uxmpp.jid").prepare(self.values["jid"]))

    @property
    def name(self) -> str:
        """A name for its folders and services: the local part of the account, of small letters,
        digits, and dashes for all else."""
        local = self.jid.partition("@")[0]
        return re.sub(r"[^a-z0-9_]+", "-", local).strip("-") or "device"

    @property
    def app(self) -> str | None:
        """What `app` says, or None."""
        return self.values.get("app")

    def device_json(self, password: str | None = None) -> dict[str, Any]:
        """Return what stands in device.json, with `password` if given, and the files of CAs and
        of the avatar by their whole paths."""
        made = {k: copy.deepcopy(v) for k, v in self.values.items() if k not in HOST_KEYS}
        if password:
            made["password"] = password
        parts = [(made, "ca"), (made.get("files", {}), "ca"), (made.get("profile", {}), "avatar")]
        for part, key in parts:
            if part.get(key):
                part[key] = str(self.path.parent.absolute() / part[key])
        return made


def read(path: Path, *, trusted: bool = True) -> DeviceFile:
    """Return the device.toml at `path`, with all in it checked but for what only a server can
    tell, and for the password, which need not be there. Not `trusted`: neither need `ca` nor
    `pin`, which a device has to have. Raises DeviceFileError."""
    text, private = _text(path)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        place = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(e))
        what, line, column = place.groups() if place else (str(e), None, None)
        at = f":{line}" if line else ""
        where = f" (column {column})" if column else " (at the end)" if place else ""
        raise DeviceFileError(
            f"{path}{at}: is not TOML: {what[:1].lower()}{what[1:]}{where}"
        ) from None
    except RecursionError:
        raise DeviceFileError(f"{path}: is not TOML: nested too deeply") from None
    except ValueError:  # sys.get_int_max_str_digits()
        raise DeviceFileError(f"{path}: a number in it is too long") from None
    found = DeviceFile(path, values, toml_lines.lines(text))
    _check_table(found, (), values, SCHEMA)
    if not private and any(_secrets(values)):
        raise DeviceFileError(
            f"{path}: holds the secret {next(_secrets(values))}, and others can read it: "
            f"chmod 600 {path}"
        )
    check_addresses(found)
    _check_as_device(found, trusted)
    return found


def change(path: Path, values: Mapping[str, str | None]) -> None:
    """Set texts of a device.toml that are above its first table; None: the setting is put behind
    a `#`. All else stays as it stands there. Raises DeviceFileError."""
    text, _ = _text(path)
    try:
        before = tomllib.loads(text)
    except ValueError as e:
        raise DeviceFileError(f"{path}: is not TOML: {e}") from None
    lines = text.splitlines(keepends=True)
    places = toml_lines.lines(text)
    added = []
    for key, value in values.items():
        at = places.get((key,))
        line = "" if value is None else f"{key} = {toml_text.value(value)}\n"
        if at:
            lines[at - 1] = line or f"# {lines[at - 1]}"
        elif line:
            added.append(line)
    # Behind the account, which each has, and above any table
    at = places.get(("jid",), 0)
    if added and at and not lines[at - 1].endswith("\n"):
        lines[at - 1] += "\n"
    text = "".join([*lines[:at], *added, *lines[at:]])
    wanted = {k: v for k, v in {**before, **values}.items() if v is not None}
    try:
        made = tomllib.loads(text)
    except ValueError:
        made = {}
    if made != wanted:
        todo = ", ".join(f"{k} = {toml_text.value(v)}" for k, v in values.items() if v is not None)
        raise DeviceFileError(f"{path}: cannot be changed by a tool; write into it: {todo}")
    write(path, text.encode(), path.stat().st_mode & 0o777)


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file, from one moment to the next. Raises DeviceFileError."""
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as f:
            f.write(data)
        beside.replace(path)
    except OSError as e:
        raise DeviceFileError(f"{path}: cannot be written: {e.strerror}") from None


def _text(path: Path) -> tuple[str, bool]:
    """Return what is in the file, and whether it is its owner's alone."""
    try:
        with path.open("rb") as f:
            data = f.read(MAX_BYTES + 1)
            private = os.name == "nt" or not os.fstat(f.fileno()).st_mode & 0o077
    except OSError as e:
        raise DeviceFileError(f"{path}: cannot be read: {e.strerror}") from None
    if len(data) > MAX_BYTES:
        raise DeviceFileError(f"{path}: is longer than {MAX_BYTES} bytes: no device.toml")
    try:
        return data.decode(), private
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise DeviceFileError(f"{path}:{line}: is not UTF-8") from None


def _bad(found: DeviceFile, where: toml_lines.Path, what: str) -> DeviceFileError:
    """Return an error at the setting `where`, or at the next one around it that has a line."""
    known = where
    while known and known not in found.lines:
        known = known[:-1]
    line = f":{found.lines[known]}" if known else ""
    return DeviceFileError(f"{found.path}{line}: {_name(where)}: {what}")


def _name(where: toml_lines.Path) -> str:
    """Return a setting as people count: ("rooms", 0, "jid") is rooms[1].jid."""
    text = "".join(f"[{n + 1}]" if isinstance(n, int) else f".{n}" for n in where)
    return text.removeprefix(".")


def _check_table(
    found: DeviceFile, where: toml_lines.Path, values: Mapping[str, Any], schema: Mapping[str, Any]
) -> None:
    for key, value in values.items():
        if key not in schema:
            raise _bad(found, (*where, key), "no such setting" + _instead(key, where, schema))
        _check(found, (*where, key), value, schema[key])


def _check(found: DeviceFile, where: toml_lines.Path, value: Any, kind: Any) -> None:
    # The alternative of the same shape is the one that was meant
    for k in kind if isinstance(kind, tuple) else (kind,):
        if isinstance(k, dict) and isinstance(value, dict):
            return _check_table(found, where, value, k)
        if isinstance(k, list) and isinstance(value, list):
            for i, v in enumerate(value):
                _check(found, (*where, i), v, k[0])
            return None
        # Python's bool is an int, and nobody's port is true
        if (
            isinstance(k, type)
            and isinstance(value, (int, float) if k is float else k)
            and (k is bool or not isinstance(value, bool))
        ):
            return None
    raise _bad(found, where, f"must be {_expected(kind)}, not {_kind_of(value)}")


def _expected(kind: Any) -> str:
    if isinstance(kind, tuple):
        return " or ".join(map(_expected, kind))
    if isinstance(kind, dict):
        some = ", ".join(list(kind)[:4])
        return f"a table of {some}" + (" …" if len(kind) > 4 else "")
    if isinstance(kind, list):
        return 'a list of texts, ["…"]' if kind == [str] else "a list, [ … ]"
    return _SAID[kind]


def _kind_of(value: Any) -> str:
    # Never the value: it may be a secret
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a table"
    return _SAID.get(type(value), "a date or time")


def _instead(key: str, where: toml_lines.Path, schema: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(key.lower(), schema, 1)
    if near:
        return f"; did you mean {near[0]}?"
    # What belongs to the whole file ends up in the last table
    if where and key in SCHEMA:
        return f" in [{_name(where)}]: {key} belongs above the first [table]"
    inside = [t for t, kind in SCHEMA.items() if isinstance(kind, dict) and key in kind]
    if inside and not where:
        return f" here: it belongs into [{inside[0]}]"
    place = f" in [{_name(where)}]" if where else ""
    return f"{place}; there are {', '.join(sorted(schema))}"


def _secrets(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the secrets that stand in the file."""
    yield from (key for key in ("password", "keys", "pair") if values.get(key))
    if values.get("wifi", {}).get("password"):
        yield "wifi.password"
    for i, room in enumerate(values.get("rooms", ())):
        if isinstance(room, dict) and room.get("password"):
            yield _name(("rooms", i, "password"))


def check_addresses(found: DeviceFile) -> None:
    """Check all JIDs, each by its line. Raises DeviceFileError."""
    values = found.values
    account = found.values.get("jid")
    if not account:
        raise _bad(found, ("jid",), "is missing: the device's account, name@domain")
    account = _bare(found, ("jid",), account)
    for role in _PEOPLE:
        for i, person in enumerate(values.get(role, ())):
            if _bare(found, (role, i), person) == account:
                raise _bad(found, (role, i), "is the device itself")
    for i, room in enumerate(values.get("rooms", ())):
        where: toml_lines.Path = ("rooms", i)
        if isinstance(room, dict):
            where = (*where, "jid")
            if "jid" not in room:
                raise _bad(found, where, "is missing: room@service")
            room = room["jid"]
        _bare(found, where, room.partition("/")[0])


def _bare(found: DeviceFile, where: toml_lines.Path, text: str) -> str:
    try:
        jid = str(firmware("uxmpp.jid").prepare(text))
    except ValueError as e:
        raise _bad(found, where, str(e)) from None
    local, at, rest = jid.partition("@")
    if not at or "/" in jid:
        raise _bad(found, where, "must be name@domain, without a resource")
    return jid


def _check_as_device(found: DeviceFile, trusted: bool) -> None:
    """Have the device's own code look at it, as it will at its start."""
    made = found.device_json()
    if not trusted and not made.get("ca"):
        made.setdefault("pin", "0" * 64)
    if not made.get("keys"):
        made["password"] = "not known yet"
    config = firmware("thing.config")
    for i, surface in enumerate(made.get("surfaces", ())):
        if surface not in config.SURFACES:
            schema = dict.fromkeys(config.SURFACES)
            raise _bad(found, ("surfaces", i), "no such surface" + _instead(surface, (), schema))
    with tempfile.TemporaryDirectory(prefix="uxmpp-check-") as folder:
        path = os.path.join(folder, "device.json")  # noqa: PTH118 - the firmware knows no Path
        Path(path).write_text(json.dumps(made), "utf-8")
        try:
            config.load(path)
        except ValueError as e:
            said = str(e).removeprefix(f"{path}: ")
            where: toml_lines.Path = ()
            kind: Any = SCHEMA
            # "files: max_bytes: must be a number"
            while isinstance(kind, dict):
                key, colon, rest = said.partition(": ")
                if not colon or key not in kind:
                    break
                where, kind, said = (*where, key), kind[key], rest
            if not where:
                raise DeviceFileError(f"{found.path}: {said}") from None
            raise _bad(found, where, said) from None
    timezone = found.values.get("timezone")
    if timezone is not None:
        try:
            firmware("thing.zone").Zone(timezone)
        except ValueError as e:
            raise _bad(found, ("timezone",), str(e)) from None
    pubsub = found.values.get("pubsub", {})
    if pubsub.get("payload", "json") not in ("json", "fields", "mqtt"):
        raise _bad(found, ("pubsub", "payload"), "must be json, fields or mqtt")
    if pubsub.get("payload") == "mqtt" and not pubsub.get("service"):
        raise _bad(found, ("pubsub", "payload"), "mqtt needs a service: pubsub.service")
    if not 0 <= pubsub.get("min_s", 0) <= 86400:
        raise _bad(found, ("pubsub", "min_s"), "must be 0 to 86400 seconds")


def firmware(name: str) -> Any:
    """Return a module of the firmware, whose own folder is where it is found."""
    if not FIRMWARE.is_dir():
        raise UxmppError(
            f"{FIRMWARE} is missing: install uxmpp from its repository, pip install -e ."
        )
    if str(FIRMWARE) not in sys.path:
        sys.path.append(str(FIRMWARE))
    return import_module(name)
