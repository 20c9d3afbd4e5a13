"""The boards: what their TOML files say, checked. docs/new-board.md tells how to write one."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UxmppError
from ..provision import toml_lines

FOLDER = Path(__file__).resolve().parents[2] / "boards"
#: The most bytes of a board's file.
MAX_BYTES = 16384

_MEGABYTE = 1024 * 1024
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,31}")
_USB = re.compile(r"([0-9a-f]{4}):([0-9a-f]{4})")


class BoardError(UxmppError):
    """A board's file cannot be used; the text says where, what, and what is expected."""


@dataclass(frozen=True)
class Board:
    """A board. Sizes and offsets are bytes; those of the flash are 0 for Linux."""

    #: The name of its file, and what people call it.
    name: str
    title: str
    #: "esp32", "esp32s3", "esp32c3", "rp2040", "rp2350" or "linux".
    mcu: str
    #: MicroPython's port: "esp32", "rp2" or "linux".
    port: str
    #: What esptool calls it, or None.
    chip: str | None
    #: mpy-cross's -march for native code; the bytecode that is made here needs none.
    mpy_arch: str | None
    flash_size: int
    #: Where the firmware begins; None where a UF2 says it.
    firmware_offset: int | None
    #: Where the official firmware has its file system. The table of an ESP32's firmware in hand
    #: has the last word.
    fs_offset: int
    fs_size: int
    block_size: int
    prog_size: int
    cache_size: int
    read_size: int
    lookahead: int
    #: What MicroPython has for a program, PSRAM included.
    heap: int
    #: (vendor, product) of what it may show up as on USB.
    usb: tuple[tuple[int, int], ...]
    #: Numbers of pins by what is there: led, button, battery ...
    pins: Mapping[str, int] = field(hash=False)
    #: The official MicroPython build, as its download page names it, or None.
    firmware: str | None
    #: How to get into the bootloader, in words.
    bootloader: str
    psram: bool
    #: The folder with its hal.py, beside its file, or None.
    hal: str | None
    #: The family of its UF2 files, or None.
    uf2_family: int | None
    #: What else is to be known of it.
    note: str
    #: Its file.
    path: Path

    @property
    def hal_folder(self) -> Path | None:
        """The folder with its hal.py, or None."""
        return self.path.parent / self.hal if self.hal else None


@dataclass(frozen=True)
class _Mcu:
    """What follows from the MCU, and a board's file may change."""

    port: str
    chip: str | None = None
    mpy_arch: str | None = None
    firmware_offset: int | None = None
    prog_size: int = 32
    cache_size: int = 128
    uf2_family: int | None = None


_MCUS = {
    "esp32": _Mcu("esp32", "esp32", "xtensawin", 0x1000),
    "esp32s3": _Mcu("esp32", "esp32s3", "xtensawin", 0),
    "esp32c3": _Mcu("esp32", "esp32c3", "rv32imc", 0),
    "rp2040": _Mcu("rp2", None, "armv6m", None, 256, 1024, 0xE48BFF56),
    "rp2350": _Mcu("rp2", None, "armv7emsp", None, 256, 1024, 0xE48BFF59),
    "linux": _Mcu("linux"),
}
# Of mpy-cross 1.25
_ARCHS = (
    "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp", "xtensa",
    "xtensawin", "rv32imc",
)  # fmt: skip
_BLOCK = 4096
_READ = _LOOKAHEAD = 32

# (type, its least, its most) of numbers; None: the length of a text
_KEYS: dict[str, tuple[type[Any], int, int]] = {
    "title": (str, 1, 60),
    "mcu": (str, 1, 20),
    "mpy_arch": (str, 1, 20),
    "flash_size": (int, _MEGABYTE // 2, 128 * _MEGABYTE),
    "firmware_offset": (int, 0, 0x10000),
    "fs_offset": (int, 0x10000, 128 * _MEGABYTE),
    "fs_size": (int, 16 * _BLOCK, 128 * _MEGABYTE),
    "block_size": (int, _BLOCK, _BLOCK),
    "prog_size": (int, 1, 1024),
    "cache_size": (int, 16, 4096),
    "read_size": (int, 1, 1024),
    "lookahead": (int, 8, 1024),
    "heap": (int, 48 * 1024, 1 << 40),
    "usb": (list, 0, 16),
    "pins": (dict, 0, 32),
    "firmware": (str, 1, 60),
    "bootloader": (str, 1, 400),
    "psram": (bool, 0, 1),
    "hal": (str, 1, 60),
    "uf2_family": (int, 1, 0xFFFFFFFF),
    "note": (str, 1, 400),
}
_SAID = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    list: 'a list of texts, ["…"]',
    dict: "a table of pins, { led = 2 }",
}
# What makes sense only where there is a flash of ours
_FLASH = (
    "flash_size", "firmware_offset", "fs_offset", "fs_size", "block_size", "prog_size",
    "cache_size", "read_size", "lookahead", "uf2_family",
)  # fmt: skip


def load(board: str | Path, folder: Path | None = None) -> Board:
    """Return the board of that name, or the one in a TOML file: a text that ends in `.toml`, or
    has a `/`, is a path, below `folder` if that is given. Raises BoardError."""
    text = str(board)
    if isinstance(board, Path) or text.endswith(".toml") or "/" in text:
        return _read((folder or Path()) / board)
    if text in names():
        return _read(FOLDER / f"{text}.toml")
    if not names():
        raise BoardError(
            f"{FOLDER}: has no boards: install uxmpp from its repository, pip install -e ."
        )
    near = difflib.get_close_matches(text.lower(), names(), 3, 0.5)
    instead = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names())}"
    raise BoardError(
        f"board {text[:40]!r}: there is none of that name; {instead} (a board of your own is "
        "named by its file, ./mine.toml)"
    )


def every() -> list[Board]:
    """Return all boards that come with uxmpp, by name. Raises BoardError."""
    return [load(name) for name in names()]


@cache
def names() -> tuple[str, ...]:
    """Return the names of all boards that come with uxmpp."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def _read(path: Path) -> Board:
    try:
        with path.open("rb") as f:
            data = f.read(MAX_BYTES + 1)
    except OSError as e:
        raise BoardError(f"{path}: cannot be read: {e.strerror}") from None
    except ValueError:  # a zero byte
        raise BoardError(f"{str(path)!r}: is no path of a file") from None
    if len(data) > MAX_BYTES:
        raise BoardError(f"{path}: is longer than {MAX_BYTES} bytes: no file of a board")
    try:
        text = data.decode()
        values = tomllib.loads(text)
        lines = toml_lines.lines(text)
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise BoardError(f"{path}:{line}: is not UTF-8") from None
    except (ValueError, RecursionError) as e:
        raise BoardError(f"{path}: is not TOML: {e}") from None
    return _Reader(path, values, lines).board()


class _Reader:
    """Makes a Board of what stands in a file."""

    def __init__(
        self, path: Path, values: dict[str, Any], lines: Mapping[toml_lines.Path, int]
    ) -> None:
        self._path = path
        self._values = values
        self._lines = lines

    def board(self) -> Board:
        values = self._values
        if not _NAME.fullmatch(self._path.stem):
            raise BoardError(
                f"{self._path}: a board's file is named with small letters, digits, dashes and "
                "dots, 32 at most, and .toml"
            )
        for key, value in values.items():
            self._check(key, value)
        self._needed("title", "mcu", "heap", "bootloader")
        if values["mcu"] not in _MCUS:
            raise self._bad("mcu", f"must be one of {', '.join(_MCUS)}")
        mcu = _MCUS[values["mcu"]]
        if mcu.port == "linux":
            for key in _FLASH:
                if key in values:
                    raise self._bad(key, "has no meaning for mcu linux: leave it out")
        else:
            self._needed("flash_size", "fs_offset", "firmware")
        if values.get("mpy_arch", "x64") not in _ARCHS:
            raise self._bad("mpy_arch", f"must be one of {', '.join(_ARCHS)}")
        if mcu.port == "rp2" and "firmware_offset" in values:
            raise self._bad("firmware_offset", "has no meaning here: a UF2 says where it goes")
        if mcu.port != "rp2" and "uf2_family" in values:
            raise self._bad("uf2_family", "has no meaning here: only an RP2 takes UF2 files")
        flash, at, size = self._regions(mcu)
        linux = mcu.port == "linux"
        board = Board(
            name=self._path.stem,
            title=values["title"],
            mcu=values["mcu"],
            port=mcu.port,
            chip=mcu.chip,
            mpy_arch=values.get("mpy_arch", mcu.mpy_arch),
            flash_size=flash,
            firmware_offset=values.get("firmware_offset", mcu.firmware_offset),
            fs_offset=at,
            fs_size=size,
            block_size=0 if linux else values.get("block_size", _BLOCK),
            prog_size=0 if linux else values.get("prog_size", mcu.prog_size),
            cache_size=0 if linux else values.get("cache_size", mcu.cache_size),
            read_size=0 if linux else values.get("read_size", _READ),
            lookahead=0 if linux else values.get("lookahead", _LOOKAHEAD),
            heap=values["heap"],
            usb=self._usb(),
            pins=dict(values.get("pins", {})),
            firmware=values.get("firmware"),
            bootloader=values["bootloader"],
            psram=values.get("psram", False),
            hal=values.get("hal"),
            uf2_family=values.get("uf2_family", mcu.uf2_family),
            note=values.get("note", ""),
            path=self._path,
        )
        self._check_parts(board)
        return board

    def _check(self, key: str, value: Any) -> None:
        if key not in _KEYS:
            near = difflib.get_close_matches(key.lower(), _KEYS, 1)
            instead = f"did you mean {near[0]}?" if near else f"there are {', '.join(_KEYS)}"
            raise self._bad(key, f"no such key; {instead}")
        kind, least, most = _KEYS[key]
        if type(value) is not kind:  # a bool is an int, too
            raise self._bad(key, f"must be {_SAID[kind]}")
        if kind is int and not least <= value <= most:
            only = f"{least}" if least == most else f"{least:#x} to {most:#x}"
            raise self._bad(key, f"must be {only}, not {value:#x}")
        if kind is not int and kind is not bool and not least <= len(value) <= most:
            raise self._bad(key, f"must have {least} to {most} characters or parts")

    def _needed(self, *keys: str) -> None:
        for key in keys:
            if key not in self._values:
                raise self._bad(key, f"is missing: {_SAID[_KEYS[key][0]]}")

    def _regions(self, mcu: _Mcu) -> tuple[int, int, int]:
        """Return the sizes of flash, and where in it the file system is and how large."""
        if mcu.port == "linux":
            return 0, 0, 0
        values = self._values
        flash, at = values["flash_size"], values["fs_offset"]
        for key in ("flash_size", "fs_offset", "fs_size"):
            if values.get(key, 0) % _BLOCK:
                raise self._bad(key, f"must be whole blocks of {_BLOCK} bytes")
        if at >= flash:
            raise self._bad("fs_offset", f"lies behind the flash, which ends at {flash:#x}")
        size = values.get("fs_size", flash - at)
        if at + size > flash:
            raise self._bad(
                "fs_size", f"{at + size - flash:#x} too many: the flash ends at {flash:#x}"
            )
        return flash, at, size

    def _usb(self) -> tuple[tuple[int, int], ...]:
        found = []
        for i, text in enumerate(self._values.get("usb", ())):
            match = _USB.fullmatch(text) if isinstance(text, str) else None
            if not match:
                raise self._bad("usb", f'{i + 1}: must be vendor:product in hex, "10c4:ea60"')
            found.append((int(match[1], 16), int(match[2], 16)))
        return tuple(found)

    def _check_parts(self, board: Board) -> None:
        for name, pin in board.pins.items():
            if type(pin) is not int or not 0 <= pin < 1024:
                raise self._bad("pins", f"{name}: must be a pin's number, 0 or more")
        if board.block_size:
            for key in ("read_size", "prog_size"):
                if board.cache_size % getattr(board, key):
                    raise self._bad(key, f"must divide cache_size, {board.cache_size}")
            if board.block_size % board.cache_size:
                raise self._bad("cache_size", f"must divide block_size, {board.block_size}")
            if board.lookahead % 8:
                raise self._bad("lookahead", "must be a multiple of 8")
        folder = board.hal_folder
        if folder and not (folder / "hal.py").is_file():
            raise self._bad("hal", f"{folder / 'hal.py'} is missing")

    def _bad(self, key: str, what: str) -> BoardError:
        line = f":{self._lines[key,]}" if (key,) in self._lines else ""
        return BoardError(f"{self._path}{line}: {key[:40]}: {what}")
