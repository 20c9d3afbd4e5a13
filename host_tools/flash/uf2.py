"""UF2, the format that a bootloader drive takes: 512-byte blocks, each with its address."""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UxmppError

BLOCK = 512
#: Bytes of flash in a block. The RP2's bootloader takes no other number.
PAYLOAD = 256
#: Where the flash begins in the address space of an RP2.
XIP = 0x10000000
#: The most bytes of a file.
MAX_BYTES = 64 << 20

#: What a family id says.
FAMILIES = {
    0xE48BFF56: "RP2040",
    0xE48BFF57: "RP2 (absolute)",
    0xE48BFF59: "RP2350 (Arm)",
    0xE48BFF5A: "RP2350 (RISC-V)",
    0xE48BFF5B: "RP2350 (Arm, non-secure)",
    0x1C5F21B0: "ESP32",
    0xC47E5767: "ESP32-S3",
    0xD42BA06C: "ESP32-C3",
    0x57755A57: "STM32F4",
    0xADA52840: "nRF52840",
    0x55114460: "SAMD51",
}
#: For any RP2: firmware for an RP2350 begins with a block of it, which its bootloader ignores.
ABSOLUTE = 0xE48BFF57

_HEADER = struct.Struct("<8I")
_MAGIC = (0x0A324655, 0x9E5D5157)
_END = 0x0AB16F30
_NOT_FLASH = 0x0001
_FAMILY = 0x2000


class Uf2Error(UxmppError):
    """Bytes that are no UF2 file, or not of that board; the text says what is wrong."""


@dataclass(frozen=True)
class Block:
    """A block: `at` is its address, `raw` all its 512 bytes."""

    at: int
    data: bytes
    family: int
    number: int
    total: int
    raw: bytes


def is_uf2(data: bytes) -> bool:
    """Tell whether bytes begin as a UF2 file does."""
    return len(data) >= 8 and struct.unpack_from("<II", data) == _MAGIC


def read(data: bytes) -> list[Block]:
    """Return the blocks for the flash, in the file's order. Raises Uf2Error where the file is
    cut short, damaged, or none."""
    if not is_uf2(data):
        raise Uf2Error("is no UF2 file")
    if len(data) > MAX_BYTES:
        raise Uf2Error(f"is longer than {MAX_BYTES} bytes")
    found = []
    for i, start in enumerate(range(0, len(data), BLOCK)):
        raw = data[start : start + BLOCK]
        if len(raw) < BLOCK:
            raise Uf2Error(f"is cut short in block {i}")
        *magic, flags, at, size, number, total, family = _HEADER.unpack_from(raw)
        if tuple(magic) != _MAGIC or struct.unpack_from("<I", raw, BLOCK - 4)[0] != _END:
            raise Uf2Error(f"is damaged: block {i} is none")
        if flags & _NOT_FLASH:
            continue
        if size != PAYLOAD or at % PAYLOAD or at < XIP or at + size > XIP + MAX_BYTES:
            raise Uf2Error(f"is for no RP2: block {i} is for {size} bytes at {at:#x}")
        payload = raw[_HEADER.size : _HEADER.size + size]
        found.append(Block(at, payload, family if flags & _FAMILY else 0, number, total, raw))
    _check_whole(found)
    return found


def _check_whole(blocks: Sequence[Block]) -> None:
    """Check that there is one file here, with all its blocks."""
    for family, count in Counter(b.family for b in blocks).items():
        # The lone block of RP2350-E10 counts as the first of a file that has no other
        if family == ABSOLUTE and count == 1:
            continue
        part = [b for b in blocks if b.family == family]
        for b in part:
            if b.total != count:
                raise Uf2Error(f"is not whole: it has {count} of {b.total} blocks")
        if sorted(b.number for b in part) != list(range(count)):
            raise Uf2Error("is damaged: blocks are missing, and others there twice")
        if len({b.at for b in part}) != count:
            raise Uf2Error("is damaged: an address occurs twice")


def pack(at: int, data: bytes, family: int) -> bytes:
    """Return the UF2 file of `data` (bytes) at the address `at`, a multiple of 256."""
    return _numbered(_split(at, data), family)


def combine(firmware: bytes, at: int, image: bytes, family: int) -> bytes:
    """Return one UF2 file of a firmware's and of an `image` at the offset `at` of the flash, for
    the `family` of a board. Raises Uf2Error where the firmware is for another family, or reaches
    into the image."""
    blocks = read(firmware)
    own = of_family(blocks, family)
    start = XIP + at
    last = max(own, key=lambda b: b.at)
    if last.at + PAYLOAD > start:
        raise Uf2Error(
            f"reaches to {last.at + PAYLOAD - XIP:#x} of the flash, into the file system at "
            f"{at:#x}"
        )
    ignored = b"".join(b.raw for b in blocks if b.family != family)
    return ignored + _numbered([(b.at, b.data) for b in own] + _split(start, image), family)


def of_family(blocks: Sequence[Block], family: int) -> list[Block]:
    """Return the blocks of a family. Raises Uf2Error where there are others, or none."""
    for other in {b.family for b in blocks} - {family, ABSOLUTE}:
        raise Uf2Error(f"is for {name(other)}, not for {name(family)}")
    own = [b for b in blocks if b.family == family]
    if not own:
        raise Uf2Error(f"has nothing for {name(family)}")
    return own


def memory(blocks: Sequence[Block]) -> bytes:
    """Return the flash from the first to the last address of the blocks, 0xFF in the gaps."""
    if not blocks:
        return b""
    first = min(b.at for b in blocks)
    made = bytearray(b"\xff" * (max(b.at for b in blocks) + PAYLOAD - first))
    for b in blocks:
        made[b.at - first : b.at - first + PAYLOAD] = b.data
    return bytes(made)


def name(family: int) -> str:
    """Return what a family is called."""
    return FAMILIES.get(family, f"the UF2 family {family:#010x}" if family else "no family")


def _split(at: int, data: bytes) -> list[tuple[int, bytes]]:
    return [
        (at + i, data[i : i + PAYLOAD].ljust(PAYLOAD, b"\xff"))
        for i in range(0, len(data), PAYLOAD)
    ]


def _numbered(parts: Sequence[tuple[int, bytes]], family: int) -> bytes:
    made = bytearray()
    padding = bytes(BLOCK - _HEADER.size - PAYLOAD - 4)
    for number, (at, data) in enumerate(parts):
        made += _HEADER.pack(*_MAGIC, _FAMILY, at, PAYLOAD, number, len(parts), family)
        made += data + padding + struct.pack("<I", _END)
    return bytes(made)
