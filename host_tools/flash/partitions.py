"""The partition table of an ESP32's firmware, which says where the file system is.

https://docs.espressif.com/projects/esp-idf/en/stable/esp32/api-guides/partition-tables.html
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UxmppError

#: Where the table is in the flash, and its most bytes.
TABLE_AT = 0x8000
MAX_TABLE = 0xC00
#: What MicroPython looks for, of type data.
NAMES = ("vfs", "ffat")
#: The least blocks of a file system that is worth it.
MIN_BLOCKS = 16

_ENTRY = struct.Struct("<2sBBII16sI")
_MAGIC = b"\xaa\x50"
_MD5 = b"\xeb\xeb" + b"\xff" * 14
_APP, _DATA = 0, 1
_BLOCK = 4096


class PartitionError(UxmppError):
    """A partition table that cannot be used, or that leaves no room; the text says why."""


@dataclass(frozen=True)
class Partition:
    """An entry: where it is in the flash and its size, bytes. Types: 0 app, 1 data."""

    name: str
    type: int
    subtype: int
    at: int
    size: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.at + self.size


@dataclass(frozen=True)
class Region:
    """The place of a file system, bytes. `to_end`: nothing in the table limits it, so that it
    ends where the flash does."""

    at: int
    size: int
    to_end: bool = False


def parse(table: bytes) -> list[Partition]:
    """Return the entries of the `table`, what is at 0x8000 of the flash. Raises PartitionError."""
    found: list[Partition] = []
    for start in range(0, min(len(table), MAX_TABLE) - _ENTRY.size + 1, _ENTRY.size):
        raw = table[start : start + _ENTRY.size]
        if raw == b"\xff" * _ENTRY.size:
            break
        if raw[:16] == _MD5:
            if raw[16:] != hashlib.md5(table[:start], usedforsecurity=False).digest():
                raise PartitionError("the partition table is damaged: its MD5 differs")
            break
        magic, kind, subtype, at, size, name, flags = _ENTRY.unpack(raw)
        if magic != _MAGIC:
            if not found:
                raise PartitionError(f"there is no partition table at {TABLE_AT:#x}")
            raise PartitionError(f"the partition table is damaged: entry {len(found)} is none")
        text = name.split(b"\0")[0].decode("ascii", "replace")
        found.append(Partition(text, kind, subtype, at, size))
    if not found:
        raise PartitionError(f"there is no partition table at {TABLE_AT:#x}")
    _check(found)
    return found


def _check(table: Sequence[Partition]) -> None:
    last = Partition("the table", 0, 0, TABLE_AT, 0x1000)
    for part in sorted(table, key=lambda p: p.at):
        if part.at % _BLOCK or part.at + part.size > 1 << 32 or not part.size:
            raise PartitionError(
                f"the partition table is damaged: {part.name!r} is {part.size:#x} bytes at "
                f"{part.at:#x}"
            )
        if part.at < last.end:
            raise PartitionError(
                f"the partition table is damaged: {part.name!r} at {part.at:#x} overlaps "
                f"{last.name!r}"
            )
        last = part


def app(table: Sequence[Partition]) -> Partition:
    """Return the partition that a new board starts: the first app. Raises PartitionError."""
    apps = [p for p in table if p.type == _APP]
    if not apps:
        raise PartitionError("the partition table has no app")
    return min(apps, key=lambda p: p.at)


def file_system(table: Sequence[Partition], flash_size: int) -> Region:
    """Return where MicroPython will have its file system in a flash of `flash_size` bytes: the
    table's own, or, as MicroPython does since 1.26 with a table that has none, all from the end
    of the last partition. Raises PartitionError where there is no room."""
    end = max(p.end for p in table)
    if end > flash_size:
        raise PartitionError(
            f"the firmware's partitions end at {end:#x}, and the flash at {flash_size:#x}: it is "
            "for a board with more flash"
        )
    for name in NAMES:
        for part in table:
            if part.type == _DATA and part.name == name:
                return Region(part.at, part.size // _BLOCK * _BLOCK)
    size = (flash_size - end) // _BLOCK * _BLOCK
    if size < MIN_BLOCKS * _BLOCK:
        raise PartitionError(
            f"the firmware's partitions leave {size:#x} bytes of the flash of {flash_size:#x} for "
            "a file system: it is for a board with more flash"
        )
    return Region(end, size, to_end=True)
