"""The official MicroPython firmware for a board: fetched and kept, or a file; and checked."""

import hashlib
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UxmppError
from . import partitions, uf2
from .boards import Board

#: The oldest MicroPython that the firmware here runs on.
OLDEST = (1, 24)
#: The most bytes of a file.
MAX_BYTES = 64 << 20
#: Seconds for micropython.org to answer at all.
ANSWER_LIMIT_S = 20.0

_SITE = "https://micropython.org/download/"
_SUFFIX = {"esp32": ".bin", "rp2": ".uf2"}
_IMAGE_MAGIC = 0xE9
_HEADER_SIZE = 24
_MAX_SEGMENTS = 16
_BOOTLOADER = "the bootloader"
# The description of an app: behind two headers; its version and name (esp_app_desc_t)
_APP = struct.Struct("<I12x32s32s")
_APP_AT = _HEADER_SIZE + 8
_APP_MAGIC = 0xABCD5432
#: The chip id in an image's extended header: esptool's name of it.
_CHIPS = {
    0: "esp32",
    2: "esp32s2",
    5: "esp32c3",
    9: "esp32s3",
    12: "esp32c2",
    13: "esp32c6",
    16: "esp32h2",
    18: "esp32p4",
    20: "esp32c61",
    23: "esp32c5",
}
_VERSION = re.compile(rb"MicroPython v?(\d+\.\d+(?:\.\d+)?)([-.+\w]{0,40}) on \d{4}-\d\d-\d\d")
_MACHINE = re.compile(rb"[\x20-\x7e]{2,60} with (?:ESP32|RP2)[\x20-\x7e]{0,20}")
_FILE_VERSION = re.compile(r"-v(\d+(?:\.\d+){1,2})\.(?:bin|uf2)")


class FirmwareError(UxmppError):
    """Firmware that is not there, or that this board cannot run; the text says what to do."""


@dataclass(frozen=True)
class Firmware:
    """A file of firmware that was checked for a board."""

    path: Path
    data: bytes
    #: Its MicroPython, "1.25.0", or None where it does not say.
    version: str | None
    #: What it calls the board: "Generic ESP32 module with ESP32", or "".
    machine: str
    #: What an ESP32's calls itself, and its partition table.
    name: str = ""
    table: tuple[partitions.Partition, ...] = ()

    @property
    def title(self) -> str:
        """What people call it: "MicroPython 1.25.0"."""
        if self.version:
            return f"MicroPython {self.version}"
        return self.name or "firmware that does not say its version"


def from_file(board: Board, path: Path) -> Firmware:
    """Return the firmware in a file, checked for the board. Raises FirmwareError."""
    try:
        with path.open("rb") as f:
            data = f.read(MAX_BYTES + 1)
    except OSError as e:
        raise FirmwareError(f"firmware {path}: cannot be read: {e.strerror}") from None
    try:
        return check(board, data, path)
    except UxmppError as e:
        raise FirmwareError(f"firmware {path}: {e}") from None


def check(board: Board, data: bytes, path: Path) -> Firmware:
    """Return what is known of the firmware `data`, or raise UxmppError: what is wrong with it, or
    why it is not for the board."""
    if len(data) > MAX_BYTES:
        raise FirmwareError(f"is longer than {MAX_BYTES} bytes: no firmware")
    if board.port == "rp2":
        found = Firmware(path, data, None, "")
        flash = _check_uf2(board, data)
    else:
        found = _check_esp(board, data, path)
        flash = data
    version = _VERSION.search(flash)
    machine = _MACHINE.search(flash)
    if version:
        number = version[1].decode()
        if tuple(map(int, number.split(".")))[:2] < OLDEST:
            raise FirmwareError(
                f"is MicroPython {number}: uxmpp needs {'.'.join(map(str, OLDEST))} or newer"
            )
        found = replace(found, version=number + version[2].decode())
    return replace(found, machine=machine[0].decode().strip() if machine else "")


def _check_uf2(board: Board, data: bytes) -> bytes:
    if not uf2.is_uf2(data):
        what = "an ESP32's image" if data[:1] == b"\xe9" else "none"
        raise FirmwareError(f"is no UF2 file, but {what}: the {board.title} takes a .uf2")
    assert board.uf2_family is not None
    blocks = uf2.read(data)
    own = uf2.of_family(blocks, board.uf2_family)
    end = max(b.at for b in own) + uf2.PAYLOAD - uf2.XIP
    if end > board.fs_offset:
        raise FirmwareError(
            f"reaches to {end:#x} of the flash, and the file system of {board.path.name} begins "
            f"at {board.fs_offset:#x}: it is for another board"
        )
    if min(b.at for b in own) != uf2.XIP:
        raise FirmwareError("does not begin where the flash does: it is no firmware")
    return uf2.memory(own)


def _check_esp(board: Board, data: bytes, path: Path) -> Firmware:
    assert board.chip is not None and board.firmware_offset is not None
    if uf2.is_uf2(data):
        raise FirmwareError(f"is a UF2 file: the {board.title} takes a .bin")
    if data[:1] != bytes((_IMAGE_MAGIC,)):
        begins = f"not with e9, but with {data[:4].hex(' ') or 'nothing'}"
        raise FirmwareError(f"is no firmware for an ESP32: it begins {begins}")
    _check_image(board, data, 0, _BOOTLOADER)
    at = partitions.TABLE_AT - board.firmware_offset
    table = data[at : at + partitions.MAX_TABLE]
    try:
        found = partitions.parse(table)
    except partitions.PartitionError as e:
        raise FirmwareError(
            f"{e}: is it an .app-bin, for updates? Take the .bin of the board's page"
        ) from None
    end = board.firmware_offset + len(data)
    first = partitions.app(found)
    if first.at >= end:
        raise FirmwareError(f"is cut short: it ends at {end:#x}, before its app")
    _check_image(board, data, first.at - board.firmware_offset, "the app")
    region = partitions.file_system(found, board.flash_size)
    if end > region.at:
        raise FirmwareError(
            f"reaches to {end:#x} of the flash, into the file system at {region.at:#x}"
        )
    check_region(board, region)
    name = _name(data, first.at - board.firmware_offset)
    return Firmware(path, data, None, "", name, tuple(found))


def _name(data: bytes, at: int) -> str:
    """Return name and version of the app at `at`, by its description, or ""."""
    magic, version, name = _APP.unpack_from(data.ljust(at + _APP_AT + _APP.size), at + _APP_AT)
    if magic != _APP_MAGIC:
        return ""
    texts = [part.split(b"\0")[0].decode("ascii", "replace") for part in (name, version)]
    return re.sub(r"[^\x20-\x7e]", "?", " ".join(texts)).strip()


def check_region(board: Board, region: partitions.Region) -> None:
    """Check that the file system is where the board's file says, or raise FirmwareError."""
    if (region.at, region.size) != (board.fs_offset, board.fs_size):
        raise FirmwareError(
            f"has its file system at {region.at:#x}, {region.size:#x} bytes, and {board.path.name}"
            f" says {board.fs_offset:#x}, {board.fs_size:#x} bytes: take the board's own firmware,"
            f" {board.firmware}, as new as there is (from 1.26 on it uses all of the flash), or a "
            f"board file with fs_offset = {region.at:#x} and fs_size = "
            f"{region.size:#x}"
        )


def _check_image(board: Board, data: bytes, at: int, what: str) -> None:
    """Check an image's header, that it is whole, its checksum, and an app's SHA-256: what the chip
    checks at its start.

    https://docs.espressif.com/projects/esptool/en/latest/esp32/advanced-topics/
    firmware-image-format.html
    """
    header = data[at : at + _HEADER_SIZE]
    if len(header) < _HEADER_SIZE:
        raise FirmwareError(f"is cut short in {what}")
    if header[0] != _IMAGE_MAGIC or not 0 < header[1] <= _MAX_SEGMENTS:
        raise FirmwareError(f"is damaged: {what} does not begin as an image")
    chip = struct.unpack_from("<H", header, 12)[0]
    if _CHIPS.get(chip) != board.chip:
        name = _CHIPS.get(chip, f"the chip with id {chip}")
        raise FirmwareError(f"is for {name}, and the {board.title} has {board.chip}")
    end = at + _HEADER_SIZE
    total = 0xEF
    for _ in range(header[1]):
        start = end + 8
        if start > len(data):
            raise FirmwareError(f"is cut short in {what}")
        end = start + int(struct.unpack_from("<I", data, end + 4)[0])
        if end > len(data):
            raise FirmwareError(f"is cut short in {what}")
        total ^= xor(data[start:end])
    # The checksum is the last byte of the next 16
    end = at + ((end - at) // 16 + 1) * 16
    hashed = header[23] == 1 and what != _BOOTLOADER
    if end + 32 * hashed > len(data):
        raise FirmwareError(f"is cut short in {what}")
    if data[end - 1] != total:
        raise FirmwareError(f"is damaged: the checksum of {what} differs")
    if hashed and hashlib.sha256(data[at:end]).digest() != data[end : end + 32]:
        raise FirmwareError(f"is damaged: the SHA-256 of {what} differs")


def xor(data: bytes) -> int:
    """Return all bytes by exclusive or."""
    # By halves: a number as long as the data folds in a few steps
    size = 1 << max(len(data) - 1, 0).bit_length()
    folded = int.from_bytes(data, "little")
    while size > 1:
        size //= 2
        folded = (folded >> 8 * size) ^ (folded & (1 << 8 * size) - 1)
    return folded


def kept(board: Board) -> list[Path]:
    """Return the files for the board that were fetched before, the newest version last."""
    found = _folder().joinpath(board.port).glob(f"{board.firmware}-v*{_SUFFIX[board.port]}")
    # Without those of a variant, and without previews
    named = [(path, _version(path.name, board)) for path in found]
    return [path for path, version in sorted(named, key=lambda n: n[1]) if version]


def get(board: Board, version: str | None, say: Callable[[str], None]) -> Firmware:
    """Return the official firmware for the board: of a `version` ("1.25.0"), the newest that
    there is ("newest"), or by default the newest of those kept, else the newest.

    `say` is told what is fetched. Raises FirmwareError.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", board.firmware or ""):
        raise FirmwareError(
            f"{board.path.name}: firmware {board.firmware!r}: is no name of an official build; "
            "give it by --firmware FILE"
        )
    wanted = None if version in (None, "newest") else _numbers(version)
    have = [path for path in kept(board) if wanted in (None, _version(path.name, board))]
    if have and version != "newest":
        try:
            return from_file(board, have[-1])
        except FirmwareError as e:
            raise FirmwareError(
                f"{e} (as fetched before: delete it, or give another by --firmware FILE)"
            ) from None
    try:
        path = _fetch(board, wanted, say)
    except UxmppError as e:
        raise FirmwareError(
            f"firmware {board.firmware}: {e}; fetch its {_SUFFIX[board.port]} elsewhere, from "
            f"{_SITE}{_page(board)}/, and give it by --firmware FILE"
        ) from None
    try:
        return from_file(board, path)
    except FirmwareError as e:
        path.unlink(missing_ok=True)
        raise FirmwareError(
            f"{e} (as just fetched, and not kept): give another by --firmware FILE"
        ) from None


def _fetch(board: Board, wanted: tuple[int, ...] | None, say: Callable[[str], None]) -> Path:
    folder = _folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise FirmwareError(f"{folder} cannot be written: {e.strerror}") from None
    say(f"Looking for {board.firmware} at {_SITE}")
    _reach()
    try:
        get_boards, fetch_firmware_files = _mpflash(folder)
        listed = get_boards([board.port], [_page(board)], True)
        suffix = _SUFFIX[board.port]
        there = {
            _version(fw.firmware_file, board): fw
            for fw in listed
            if fw.firmware_file.endswith(suffix)
        }
        there.pop((), None)
        if not there:
            raise FirmwareError("micropython.org lists none")
        if wanted is not None and wanted not in there:
            have = ", ".join(".".join(map(str, v)) for v in sorted(there, reverse=True)[:6])
            raise FirmwareError(f"micropython.org has the versions {have}, and not that one")
        chosen = there[wanted or max(there)]
        say(f"Fetching {chosen.source}")
        (folder / board.port).mkdir(exist_ok=True)
        for fw in fetch_firmware_files([chosen], folder, True):
            return folder / str(fw.firmware_file)
    except FirmwareError:
        raise
    except Exception as e:
        raise FirmwareError(f"micropython.org: {_first(e)}") from None
    raise FirmwareError("the download from micropython.org failed")


def _reach() -> None:
    """See whether the site answers: mpflash waits for ever."""
    import requests

    try:
        answer = requests.head(_SITE, timeout=ANSWER_LIMIT_S, allow_redirects=True)
    except requests.RequestException as e:
        raise FirmwareError(f"micropython.org cannot be reached: {_first(e)}") from None
    if not answer.ok:
        raise FirmwareError(f"micropython.org answers {answer.status_code}")


def _mpflash(folder: Path) -> tuple[Any, Any]:
    """Return mpflash's functions for a board's files and for their download; it says nothing
    itself, and keeps its files in `folder`."""
    from loguru import logger
    from mpflash.config import config

    logger.disable("mpflash")
    config.firmware_folder = folder
    from mpflash.download.from_web import fetch_firmware_files, get_boards

    return get_boards, fetch_firmware_files


def _folder() -> Path:
    from ..lab.cache import cache_dir

    return cache_dir() / "firmware"


def _page(board: Board) -> str:
    """Return the name of the board's page: a variant is on that of its board."""
    return str(board.firmware).partition("-")[0]


def _version(file: str, board: Board) -> tuple[int, ...]:
    """Return the version in a file's name; none for that of another board, and of a preview."""
    match = _FILE_VERSION.fullmatch(file.removeprefix(str(board.firmware)))
    return _numbers(match[1]) if match and file.startswith(str(board.firmware)) else ()


def _numbers(version: str | None) -> tuple[int, ...]:
    text = (version or "").removeprefix("v")
    if not re.fullmatch(r"\d{1,4}(\.\d{1,4}){1,2}", text):
        raise FirmwareError(f"MicroPython {text[:20]!r}: must be a version, 1.25.0, or newest")
    # 1.25 is 1.25.0
    numbers = tuple(map(int, text.split(".")))
    return numbers if len(numbers) == 3 else (*numbers, 0)


def _first(error: Exception) -> str:
    """Return the innermost cause of a failed request, in one line."""
    cause: BaseException = error
    while cause.args and isinstance(cause.args[0], BaseException):
        cause = cause.args[0]
    reason = getattr(cause, "reason", None)
    text = str(reason if isinstance(reason, Exception) else cause)
    # urllib3 puts its objects in front: "<…object at 0x7f…>: Failed to …"
    text = re.sub(r"^.*?object at 0x[0-9a-f]+>: |^HTTPS?Connection\(.*?\): ", "", text)
    lines = text.strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
