"""Partition tables of an ESP32: where the file system is."""

import hashlib
import random
import struct

import pytest

from host_tools.flash import boards, partitions
from host_tools.flash.partitions import PartitionError, Region, file_system, parse
from host_tools.lab import standin

MIB = 1 << 20
NVS = ("nvs", 1, 2, 0x9000, 0x6000)
APP = ("factory", 0, 0, 0x10000, 0x1F0000)
VFS = ("vfs", 1, 0x81, 0x200000, 0x200000)


def table(*entries, md5=True):
    made = b"".join(
        struct.pack("<2sBBII16sI", b"\xaa\x50", kind, subtype, at, size, name.encode(), 0)
        for name, kind, subtype, at, size in entries
    )
    if md5:
        made += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(made).digest()
    return made.ljust(0xC00, b"\xff")


def test_where_the_file_system_is():
    found = parse(table(NVS, APP, VFS))
    assert [(p.name, p.type, p.subtype, p.at, p.size) for p in found] == [NVS, APP, VFS]
    assert partitions.app(found).name == "factory"
    # The table says it, however large the flash is
    for size in (4, 8, 16):
        assert file_system(found, size * MIB) == Region(0x200000, 0x200000)
    # MicroPython from 1.26 on: what is left
    found = parse(table(NVS, APP))
    for size in (4, 8, 16):
        assert file_system(found, size * MIB) == Region(0x200000, size * MIB - 0x200000, True)
    # The layout for updates over the air; TinyUF2's name; no MD5
    ota = [NVS, ("otadata", 1, 0, 0xF000, 0x2000), ("ota_0", 0, 0x10, 0x20000, 0x180000)]
    ota += [("ota_1", 0, 0x11, 0x1A0000, 0x170000), ("ffat", 1, 0x81, 0x310000, 0xF0000)]
    found = parse(table(*ota, md5=False))
    assert file_system(found, 4 * MIB) == Region(0x310000, 0xF0000)
    assert partitions.app(found).name == "ota_0"
    # Order means nothing, and a size that is no whole block loses its end
    found = parse(table(("vfs", 1, 0x81, 0x200000, 0x10FFF), APP, NVS))
    assert file_system(found, 4 * MIB) == Region(0x200000, 0x10000)
    # An app called vfs is none
    found = parse(table(("vfs", 0, 0, 0x10000, 0x1F0000)))
    assert file_system(found, 4 * MIB).to_end


@pytest.mark.parametrize("name", ["esp32", "esp32-s3", "esp32-c3"])
def test_as_the_boards_files_say(name):
    board = boards.load(name)
    for vfs in (True, False):
        found = parse(standin.partitions(board, vfs=vfs))
        region = file_system(found, board.flash_size)
        assert (region.at, region.size) == (board.fs_offset, board.fs_size)
        assert region.to_end is not vfs


def test_refused():
    good = table(NVS, APP, VFS)
    for data, why in (
        (b"", "there is no partition table at 0x8000"),
        (b"\xff" * 0xC00, "there is no partition table"),
        (b"\xe9" * 0xC00, "there is no partition table"),
        (good[:31], "there is no partition table"),
        (table(), "there is no partition table"),
        (good[:32] + b"\0" + good[33:], "is damaged: entry 1 is none"),
        (good[:40] + b"\1" + good[41:], "is damaged: its MD5 differs"),
        (table(NVS, ("a", 0, 0, 0x10000, 0)), "is damaged: 'a' is 0x0 bytes"),
        (table(NVS, ("a", 0, 0, 0x10001, 1)), "is damaged: 'a' is 0x1 bytes at 0x10001"),
        (table(NVS, ("a", 0, 0, 0xFFFFF000, 0x2000)), "is damaged: 'a'"),
        (table(NVS, ("a", 0, 0, 0xE000, 0x2000)), "'a' at 0xe000 overlaps 'nvs'"),
        (table(("a", 0, 0, 0x8000, 0x1000)), "overlaps 'the table'"),
        (table(("\u00e9", 0, 0, 0x8000, 0x1000)), "overlaps"),
    ):
        with pytest.raises(PartitionError, match=why) as caught:
            parse(data)
        assert "\n" not in str(caught.value)
    with pytest.raises(PartitionError, match="has no app"):
        partitions.app(parse(table(NVS)))
    with pytest.raises(PartitionError, match="end at 0x400000, and the flash at 0x200000"):
        file_system(parse(good), 2 * MIB)
    with pytest.raises(PartitionError, match="leave 0xf000 bytes"):
        file_system(parse(table(NVS, APP)), 0x20F000)
    assert file_system(parse(table(NVS, APP)), 0x210000).size == 0x10000


def test_no_bytes_do_harm():
    good = table(NVS, APP, VFS, md5=False)
    rng = random.Random(6)
    taken = 0
    for n in range(600):
        data = bytearray(good)
        for _ in range(1 + n % 3):
            data[rng.randrange(128)] = rng.randrange(256)
        try:
            region = file_system(parse(bytes(data)), 4 * MIB)
            assert region.at + region.size <= 4 * MIB and region.size >= 0x1000
            taken += 1
        except PartitionError as e:
            assert "\n" not in str(e) and len(str(e)) < 200
    assert 0 < taken < 600
