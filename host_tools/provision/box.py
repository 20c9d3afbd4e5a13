"""What goes into a device's box: a folder with its settings, login keys, label and flash image.

device.toml   for `uxmpp flash`, `uxmpp run` and people; with the login keys
device.json   what stands in the device's flash, and ca.der and its like beside it
label.svg     the label, and label.png
flash.bin     the image of its file system, where it is wanted
password      the account's password, where it is to be kept
"""

import copy
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UxmppError
from ..flash import boards, content, image
from . import device_file, toml_text
from .device_file import DeviceFile
from .devices_csv import Line
from .journal import flush_folder, write_private
from .label import Label, Size

SETTINGS = "device.toml"
IMAGE = "flash.bin"
PASSWORD = "password"


class BoxError(UxmppError):
    """A device's folder cannot be made."""


def build(
    line: Line,
    folder: Path,
    keys: Sequence[Any],
    code: str | None,
    *,
    size: Size,
    with_image: bool = False,
    password: str | None = None,
) -> None:
    """Make the folder of a device, in the place of one that is there: whole or not at all.

    `keys`: its login keys; `code`: its pairing code, where it has one; `password`: to be put
    beside. Raises BoxError and what boards, content and image raise.
    """
    part = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700, parents=True)
        for name, data in _files(line, part, keys, code).items():
            write_private(part / name, data)
        device = device_file.read(part / SETTINGS)
        label = Label(device.jid, device.values.get("name", device.name), line.serial, code, size)
        write_private(part / "label.svg", label.svg().encode())
        write_private(part / "label.png", label.png())
        if with_image:
            write_private(part / IMAGE, _image(device))
        if password:
            write_private(part / PASSWORD, f"{password}\n".encode())
        old = _recovered(folder)
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
        flush_folder(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as e:
        raise BoxError(f"{folder}: cannot be made: {e.strerror}: {e.filename}") from None


def kept(folder: Path) -> tuple[list[Any], str | None, str | None]:
    """Return login keys, pairing code and, where it is there, the password of a folder that was
    made before. Raises BoxError."""
    try:
        _recovered(folder)
        made = json.loads((folder / "device.json").read_bytes())
        path = folder / PASSWORD
        password = path.read_text().strip() if path.exists() else None
        return list(made["keys"]), made.get("pair") or None, password
    except PermissionError as e:
        raise BoxError(f"{e.filename}: cannot be read: {e.strerror}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise BoxError(
            f"{folder}: has no device.json with login keys, and they were only there: restore it "
            "from a copy, or delete its account on the server and --forget it"
        ) from None


def has_image(folder: Path) -> bool:
    """Whether a folder that was made before holds an image, be it in the midst of a change."""
    return any((f / IMAGE).exists() for f in (folder, _old(folder)))


def _old(folder: Path) -> Path:
    """Return where the folder is during a change of it."""
    return folder.with_name(f".{folder.name}.old")


def _recovered(folder: Path) -> Path:
    """Have the folder as it was before a change of it that was interrupted; return _old()."""
    old = _old(folder)
    if old.exists():
        if folder.exists():
            shutil.rmtree(old)
        else:
            old.rename(folder)
    return old


def _files(line: Line, part: Path, keys: Sequence[Any], code: str | None) -> dict[str, bytes]:
    """Return device.toml, device.json and the files that these name."""
    values: dict[str, Any] = copy.deepcopy(dict(line.device.values))
    values.pop("password", None)
    values["jid"] = line.device.jid
    if code:
        values["pair"] = code
    values["keys"] = list(keys)
    device = DeviceFile(line.device.path, values, {})
    files = content.settings_files(device, keys=keys)
    made = json.loads(files["device.json"])
    # The files lie beside it now; what stays elsewhere is found from here
    for table in (None, "files", "profile"):
        for key in ("ca", "avatar"):
            there = made.get(table, {}) if table else made
            ours = values.get(table, {}) if table else values
            if isinstance(there, dict) and there.get(key):
                ours[key] = there[key]
    for key in ("app", "board"):
        if Path(values.get(key, "")).is_absolute():
            values[key] = os.path.relpath(values[key], part.absolute())
    first = [k for k in ("board", "app", "serial", "jid", "name") if k in values]
    ordered = {k: values[k] for k in (*first, *(k for k in values if k not in first))}
    return {**files, SETTINGS: toml_text.dumps(ordered).encode()}


def _image(device: DeviceFile) -> bytes:
    board = device.values.get("board")
    if not board:
        raise BoxError(f'{device.path}: board = "…" is missing: an image is for one')
    found = boards.load(board, device.path.parent)
    return image.build(found, content.device_files(device, found))
