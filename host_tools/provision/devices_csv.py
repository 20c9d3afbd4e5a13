"""devices.csv: a line a device, its columns what differs from the template."""

import copy
import csv
import difflib
import io
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UxmppError
from . import device_file, journal, toml_text
from .device_file import DeviceFile, DeviceFileError

#: The most bytes of a file, and devices in it.
MAX_BYTES = 16 * 1024 * 1024
MAX_DEVICES = 100_000
#: The fewest letters and digits of a pairing code, as thing/pairing.py has it.
MIN_CODE = 6

SERIAL = "serial"
INVITE = "invite"
#: Stands for the serial number in the texts of a template.
PATTERN = "{serial}"
# They become folders, on file systems that do not tell capitals apart, or drop a dot at the end,
# too
_SERIAL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")
_YES, _NO = ("true", "yes", "1"), ("false", "no", "0")
# Others must not read a file with such columns
_SECRETS = (INVITE, "pair", "wifi.password")
_PATHS = (("ca",), ("files", "ca"), ("profile", "avatar"))


class CsvError(UxmppError):
    """devices.csv cannot be used, or a line of it; the text says where, what and what is
    expected."""


@dataclass(frozen=True)
class Line:
    """A device of the file: `number` of its line, from 1; `device`: its settings, checked."""

    number: int
    serial: str
    device: DeviceFile
    invitation: str | None = None


def read(
    path: Path, template: DeviceFile, jid: str | None = None
) -> tuple[list[Line], list[CsvError]]:
    """Return the devices in the CSV file `path`, and what is wrong with others of its lines.

    A column is `serial`, `invite`, or a setting of device.toml ("name", "profile.location.room"),
    where an empty cell leaves what the template says. `jid`: a pattern for the accounts, before
    the template's own. Raises CsvError where the file as a whole is of no use.
    """
    rows = _rows(path)
    number, header = next(rows, (1, []))
    columns = _columns(path, number, header)
    values = dict(template.values)
    if jid:
        values["jid"] = jid
    if "jid" not in columns and PATTERN not in values["jid"]:
        raise CsvError(
            f"{path}: all devices would have the account {values['jid']}: write {PATTERN} into "
            "the jid of the template, or give a column jid"
        )
    found: list[Line] = []
    bad: list[CsvError] = []
    seen: dict[tuple[str, str], int] = {}
    for number, row in rows:
        if len(found) + len(bad) == MAX_DEVICES:
            raise CsvError(f"{path}:{number}: more than {MAX_DEVICES} devices: split the file")
        try:
            if len(row) != len(columns):
                raise ValueError(f"has {len(row)} cells, and the header {len(columns)}")
            line = _line(number, dict(zip(columns, row, strict=True)), template, values)
            for what, text in ((SERIAL, line.serial), ("jid", line.device.jid)):
                before = seen.setdefault((what, text.casefold()), number)
                if before != number:
                    raise ValueError(f"{what} {text} is that of line {before} already")
            found.append(line)
        except ValueError as e:
            bad.append(CsvError(f"{path}:{number}: {e}"))
    if not found and not bad:
        raise CsvError(f"{path}: has no devices: a line for each below the header")
    return found, bad


def single(device: DeviceFile) -> Line:
    """Return the device of a device.toml as a line; its serial number is that of the file, else
    its name."""
    serial = device.values.get(SERIAL, device.name)
    try:
        _check_serial(serial)
    except ValueError as e:
        raise CsvError(f"{device.path}: {e}") from None
    for key in ("password", "keys"):
        if device.values.get(key):
            raise CsvError(f"{device.path}: {key}: is there already: take it out, to get new ones")
    # Its paths are relative to another folder than the one to be made
    return Line(0, serial, DeviceFile(device.path, _at(device, device.values), {}))


def _check_serial(serial: str) -> None:
    if not _SERIAL.fullmatch(serial):
        raise ValueError(
            f"serial {serial[:64]!r}: must be 1 to 64 letters, digits, '.', '-' or '_', the first "
            "a letter or digit, the last no '.'"
        )
    if serial.lower() == journal.NAME:
        raise ValueError(f"serial {serial}: must be another one: the journal's file is called so")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of the file that are not blank, each with its number."""
    try:
        with path.open("rb") as f:
            data = f.read(MAX_BYTES + 1)
            private = os.name == "nt" or not os.fstat(f.fileno()).st_mode & 0o077
    except OSError as e:
        raise CsvError(f"{path}: cannot be read: {e.strerror}") from None
    if len(data) > MAX_BYTES:
        raise CsvError(f"{path}: is longer than {MAX_BYTES} bytes: split it")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        number = data.count(b"\n", 0, e.start) + 1
        raise CsvError(f"{path}:{number}: is not UTF-8") from None
    first = text.partition("\n")[0]
    # What spreadsheets write where the comma is for decimals
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if ";" in first else ",", strict=True
    )
    number = 1
    header = True
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                secret = [c for c in cells if c in _SECRETS] if header else []
                header = False
                if secret and not private:
                    raise CsvError(
                        f"{path}: holds secrets ({', '.join(secret)}), and others can read it: "
                        f"chmod 600 {path}"
                    )
                yield number, cells
            number = reader.line_num + 1
    except csv.Error as e:
        raise CsvError(f"{path}:{number}: is not CSV: {e}") from None


def _columns(path: Path, number: int, header: Sequence[str]) -> list[str]:
    for name in header:
        if header.count(name) > 1:
            raise CsvError(f"{path}:{number}: two columns are called {name[:64]!r}")
        if name in ("password", "keys"):
            raise CsvError(
                f"{path}:{number}: column {name}: passwords are made here, and are not for a list"
            )
        if name not in (SERIAL, INVITE) and _kind(name) is None:
            near = difflib.get_close_matches(name.lower(), (SERIAL, INVITE, *_settings()), 1)
            hint = f"; did you mean {near[0]}?" if near else " that a cell can hold"
            raise CsvError(f"{path}:{number}: column {name[:64]!r}: no such setting{hint}")
    if SERIAL not in header:
        there = f"; there are {', '.join(header)}" if any(header) else ""
        raise CsvError(f"{path}:{number}: there is no column {SERIAL}{there[:200]}")
    return list(header)


def _kind(name: str) -> Any:
    """Return the type of a setting that a cell can hold, else None."""
    found: Any = device_file.SCHEMA
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if isinstance(found, tuple):
        found = next((k for k in found if k is str), None)
    return found if found in (str, int, float, bool, [str]) else None


def _settings(within: str = "", schema: Mapping[str, Any] = device_file.SCHEMA) -> list[str]:
    found = []
    for key, kind in schema.items():
        if isinstance(kind, dict):
            found += _settings(f"{within}{key}.", kind)
        elif _kind(within + key) is not None:
            found.append(within + key)
    return found


def _line(
    number: int, cells: Mapping[str, str], template: DeviceFile, defaults: Mapping[str, Any]
) -> Line:
    """Return a line's device. Raises ValueError."""
    serial = cells[SERIAL]
    _check_serial(serial)
    made = copy.deepcopy(dict(defaults))
    for name, text in cells.items():
        if text and name not in (SERIAL, INVITE):
            *tables, key = name.split(".")
            part = made
            for table in tables:
                part = part.setdefault(table, {})
            part[key] = _value(name, text)
    made = _at(template, _filled(made, serial))
    if made.get("pair") and not cells.get("pair"):
        raise ValueError('pair: one code for all devices: write pair = "" into the template')
    made[SERIAL] = serial
    code = sum(c.isascii() and c.isalnum() for c in made.get("pair", ""))
    if made.get("pair") and code < MIN_CODE:
        raise ValueError(f"pair: must have {MIN_CODE} letters and digits at least")
    return Line(number, serial, _checked(template, made), cells.get(INVITE) or None)


def _value(name: str, text: str) -> Any:
    kind = _kind(name)
    if kind == [str]:
        return text.split()
    if kind is bool:
        if text.lower() not in (*_YES, *_NO):
            raise ValueError(f"{name}: must be true or false, not {text[:32]!r}")
        return text.lower() in _YES
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"{name}: must be a number, not {text[:32]!r}") from None
    return text


def _at(template: DeviceFile, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the settings, the files in them by their whole paths."""
    made = copy.deepcopy(dict(values))
    folder = template.path.parent.absolute()
    for *tables, key in _PATHS:
        part = made
        for table in tables:
            part = part.get(table, {})
        if part.get(key):
            part[key] = str(folder / part[key])
    for key in ("app", "board"):
        # Others are names of what uxmpp itself has
        if made.get(key) and (folder / made[key]).is_file():
            made[key] = str(folder / made[key])
    return made


def _filled(what: Any, serial: str) -> Any:
    if isinstance(what, str):
        return what.replace(PATTERN, serial)
    if isinstance(what, list):
        return [_filled(v, serial) for v in what]
    if isinstance(what, dict):
        return {k: _filled(v, serial) for k, v in what.items()}
    return what


def _checked(template: DeviceFile, values: dict[str, Any]) -> DeviceFile:
    """Return the settings as a device.toml that was read."""
    with tempfile.TemporaryDirectory(prefix="uxmpp-line-") as folder:
        path = Path(folder, "device.toml")
        path.touch(0o600)
        path.write_text(toml_text.dumps(values), "utf-8")
        try:
            found = device_file.read(path)
        except DeviceFileError as e:
            said = re.sub(rf"^{re.escape(str(path))}(:\d+)?: ", "", str(e))
            raise ValueError(said) from None
    return DeviceFile(template.path, found.values, {})
