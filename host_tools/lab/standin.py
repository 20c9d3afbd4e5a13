"""Stand-in firmware, for virtual boards: what a board's tools look at is valid, and it says that
no MicroPython is in it. `python -m host_tools.lab.standin BOARD FILE [--no-vfs] [--size N]`.

A virtual board runs the unix MicroPython in its place; no real board can do anything with it.
"""

import argparse
import hashlib
import struct
import sys
from pathlib import Path

from ..errors import UxmppError
from ..flash import boards
from ..flash.boards import Board
from ..flash.partitions import MAX_TABLE, TABLE_AT
from ..flash.uf2 import ABSOLUTE, XIP
from .errors import LabError
from .rom import CHIPS, RP2350_BLOCK, boot2_crc, checksum

TEXT = "uxmpp stand-in, no MicroPython"
#: How large it is, bytes, if nothing else is asked for: small, so that tests are quick.
SIZE = 96 * 1024
#: What MicroPython's firmware for an ESP32 has, nearly.
REAL_SIZE = 1_700_000

_APP = 0x10000
_MODE_DIO, _FREQUENCY_80M = 2, 0xF
_NO_PIN = 0xEE
# Where code and data of a second bootloader, and the constants of an app, are mapped
_ADDRESSES = {
    "esp32": (0x3FFF0030, 0x40078000, 0x3F400020, 0x40080000),
    "esp32s3": (0x3FCE3810, 0x403C9700, 0x3C000020, 0x40374000),
    "esp32c3": (0x3FCD5820, 0x403CC710, 0x3C000020, 0x40380000),
}
_UF2 = struct.Struct("<8I476sI")
_UF2_MAGICS = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
_HAS_FAMILY, _HAS_EXTENSION = 0x2000, 0x8000
_IGNORE = 0x9957E304


def firmware(board: Board, *, vfs: bool = True, size: int = SIZE) -> bytes:
    """Return the stand-in for `board`, as its official firmware is published. Raises LabError."""
    return rp2(board, size=size) if board.port == "rp2" else esp32(board, vfs=vfs, size=size)


def esp32(board: Board, *, vfs: bool = True, size: int = SIZE) -> bytes:
    """Return an image of `size` bytes, to be written at the board's `firmware_offset`: second
    bootloader, partition table, app. Without `vfs` the table has no entry for the file system, as
    from MicroPython 1.26 on. Raises LabError."""
    if board.mcu not in CHIPS or board.firmware_offset is None:
        raise LabError(f"{board.name}: there is no stand-in for {board.mcu}")
    data, code, constants, more = _ADDRESSES[board.mcu]
    start = board.firmware_offset
    rest = size - (_APP - start)
    if rest < 1024 or _APP + rest > board.fs_offset:
        raise LabError(f"{board.name}: no stand-in has {size} bytes")
    boot = struct.pack("<B3xI32s24s16x", 0x50, 1, TEXT.encode(), b"")
    boot_image = _image(board, [(data, boot), (code, _filler(2048, b"boot"))], code)
    description = struct.pack(
        "<II8x32s32s16s16s32s32xHHB75x",
        0xABCD5432, 0, b"no MicroPython", b"uxmpp stand-in", b"00:00:00", b"Jan  1 2000", b"none",
        0, 99, 16,
    )  # fmt: skip
    # What is left for the constants: headers, paddings and hash take something too
    small = _filler(256, b"code")
    room = rest - len(_image(board, [(constants, b""), (more, small)], more))
    text = description + _text(board)
    text += _filler(room // 16 * 16 - len(text), b"constants")
    app = _image(board, [(constants, text), (more, small)], more)
    merged = boot_image.ljust(TABLE_AT - start, b"\xff") + partitions(board, vfs=vfs)
    return (merged.ljust(_APP - start, b"\xff") + app).ljust(size, b"\xff")


def partitions(board: Board, *, vfs: bool = True) -> bytes:
    """Return the board's partition table (ESP-IDF, "Partition Tables"), with its MD5."""
    entries = [
        (1, 2, 0x9000, 0x6000, b"nvs"),
        (1, 1, 0xF000, 0x1000, b"phy_init"),
        (0, 0, _APP, board.fs_offset - _APP, b"factory"),
    ]
    if vfs:
        # The type says FAT; MicroPython puts littlefs there
        entries.append((1, 0x81, board.fs_offset, board.fs_size, b"vfs"))
    table = b"".join(struct.pack("<HBBII16s4x", 0x50AA, *entry) for entry in entries)
    table += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table).digest()
    return table.ljust(MAX_TABLE, b"\xff")


def rp2(board: Board, *, size: int = SIZE) -> bytes:
    """Return a UF2 with `size` bytes for the flash, from its start: the RP2040's second bootloader
    with its CRC, or the RP2350's image definition, and the block that its erratum E10 needs, as
    the official files have it. Raises LabError."""
    if board.port != "rp2" or board.uf2_family is None:
        raise LabError(f"{board.name}: takes no UF2")
    if not 4096 <= size <= board.fs_offset:
        raise LabError(f"{board.name}: no stand-in has {size} bytes")
    if board.mcu == "rp2040":
        boot2 = TEXT.encode().ljust(252, b"\0")
        head = boot2 + boot2_crc(boot2).to_bytes(4, "little")
    else:
        head = TEXT.encode().ljust(256, b"\0") + RP2350_BLOCK
    head = head.ljust(512, b"\0") + _text(board)
    data = head + _filler(size - len(head), b"rp2")
    blocks = uf2(data, board.uf2_family)
    if board.mcu == "rp2350":
        ignored = _UF2.pack(
            *_UF2_MAGICS[:2], _HAS_FAMILY | _HAS_EXTENSION, XIP + 0xFFFF00, 256, 0, 2,
            ABSOLUTE, b"\xef" * 256 + _IGNORE.to_bytes(4, "little"), _UF2_MAGICS[2],
        )  # fmt: skip
        return ignored + blocks
    return blocks


def uf2(data: bytes, family: int, at: int = 0) -> bytes:
    """Return `data`, for offset `at` of the flash, as blocks of UF2."""
    data += b"\0" * (-len(data) % 256)
    count = len(data) // 256
    return b"".join(
        _UF2.pack(
            *_UF2_MAGICS[:2], _HAS_FAMILY, XIP + at + 256 * i, 256, i, count, family,
            data[256 * i : 256 * (i + 1)], _UF2_MAGICS[2],
        )
        for i in range(count)
    )  # fmt: skip


def _text(board: Board) -> bytes:
    # The second as MicroPython names its machine
    return f"{TEXT}\0uxmpp stand-in with {board.mcu.upper()}\0".encode().ljust(128, b"\0")


def _image(board: Board, segments: list[tuple[int, bytes]], entry: int) -> bytes:
    """Return an image as an ESP32's ROM takes it (ESP-IDF, "App Image Format")."""
    size = (board.flash_size // (1024 * 1024)).bit_length() - 1
    chip = CHIPS[board.mcu].image_id
    # Extended header: no write-protect pin, default drive strengths, the chip, its revisions from
    # the first to the last that is named (3.99 or 0.99), a hash at the end
    last = 399 if board.mcu == "esp32" else 99
    image = struct.pack("<4BI", 0xE9, len(segments), _MODE_DIO, size << 4 | _FREQUENCY_80M, entry)
    image += struct.pack("<B3xHBHH4xB", _NO_PIN, chip, 0, 0, last, 1)
    total = checksum(b"")
    for address, data in segments:
        data += b"\0" * (-len(data) % 4)
        image += struct.pack("<II", address, len(data)) + data
        total = checksum(data, total)
    image = image.ljust(len(image) // 16 * 16 + 15, b"\0") + bytes([total])
    return image + hashlib.sha256(image).digest()


def _filler(size: int, seed: bytes) -> bytes:
    """Return bytes that are the same each time, and shrink by a third as code does."""
    made = [
        hashlib.sha256(seed + i.to_bytes(4, "big")).digest() + b"\0" * 16
        for i in range(size // 48 + 1)
    ]
    return b"".join(made)[: max(0, size)]


def main(argv: list[str] | None = None) -> int:
    """Write a stand-in to a file."""
    parser = argparse.ArgumentParser(prog="python -m host_tools.lab.standin", description=TEXT)
    parser.add_argument("board", help="its name, or its TOML file")
    parser.add_argument("file", type=Path)
    parser.add_argument("--no-vfs", action="store_true", help="as from MicroPython 1.26 on")
    parser.add_argument("--size", type=int, default=SIZE, help="bytes")
    given = parser.parse_args(argv)
    try:
        board = boards.load(given.board)
        given.file.write_bytes(firmware(board, vfs=not given.no_vfs, size=given.size))
    except (UxmppError, OSError) as e:
        print(f"standin: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
