"""UF2 files: made, read, joined, and refused."""

import random
import struct

import pytest

from host_tools.flash import boards, uf2
from host_tools.lab import rp2_drive, standin

PICO = boards.load("pico-w")
PICO2 = boards.load("pico2-w")


FIELDS = ("magic", "second", "flags", "at", "size", "number", "total", "family", "data", "end")


def fields(block):
    return struct.unpack("<8I476sI", block)


def test_bytes_of_a_block():
    made = uf2.pack(0x1012C000, b"ab" * 200, 0xE48BFF56)
    assert len(made) == 1024
    first, second = fields(made[:512]), fields(made[512:])
    assert first[:8] == (0x0A324655, 0x9E5D5157, 0x2000, 0x1012C000, 256, 0, 2, 0xE48BFF56)
    assert second[3:7] == (0x1012C100, 256, 1, 2)
    assert first[8] == b"ab" * 128 + bytes(220)
    # A page that is not full ends erased
    assert second[8] == b"ab" * 72 + b"\xff" * 112 + bytes(220)
    assert first[9] == second[9] == 0x0AB16F30
    assert uf2.memory(uf2.read(made)) == (b"ab" * 200).ljust(512, b"\xff")
    assert uf2.memory([]) == b""


@pytest.mark.parametrize("board", [PICO, PICO2], ids=lambda b: b.name)
def test_firmware_and_file_system_in_one(board):
    firmware = standin.rp2(board)
    image = random.Random(6).randbytes(board.fs_size)
    made = uf2.combine(firmware, board.fs_offset, image, board.uf2_family)
    blocks = uf2.read(made)
    own = uf2.of_family(blocks, board.uf2_family)
    # All of the region: 212 or 640 blocks of 4,096 bytes, 16 blocks here each
    count = {"pico-w": 212, "pico2-w": 640}[board.name]
    assert board.fs_size == count * 4096
    assert len(own) == standin.SIZE // 256 + count * 16
    assert [b.number for b in own] == list(range(len(own)))
    assert {b.total for b in own} == {len(own)}
    assert {b.family for b in own} == {board.uf2_family}
    # Of the block that the RP2350's erratum E10 needs, nothing is changed, and it is the first
    ignored = blocks[: len(blocks) - len(own)]
    assert [b.raw for b in ignored] == ([firmware[:512]] if board is PICO2 else [])
    # And so the bootloader drive takes it
    pages = rp2_drive.parse(made, board, board.flash_size)
    assert b"".join(data for at, data in sorted(pages.items()) if at >= board.fs_offset) == image
    assert pages[0] == uf2.of_family(uf2.read(firmware), board.uf2_family)[0].data


def test_refused():
    good = standin.rp2(PICO, size=8192)

    def block(which, **changed):
        """The file with something else in one block."""
        start, end = 512 * which, 512 * which + 512
        values = dict(zip(FIELDS, fields(good[start:end]), strict=True)) | changed
        return good[:start] + struct.pack("<8I476sI", *values.values()) + good[end:]

    for data, why in (
        (b"", "is no UF2"),
        (good[:7], "is no UF2"),
        (b"\xe9" + good[1:], "is no UF2"),
        (good[:-1], "is cut short in block 31"),
        (good[:-512], "is not whole: it has 31 of 32 blocks"),
        (good + good[:512], "is not whole: it has 33 of 32 blocks"),
        (block(3, magic=1), "is damaged: block 3 is none"),
        (block(3, end=1), "is damaged: block 3 is none"),
        (block(3, size=512), "block 3 is for 512 bytes"),
        (block(3, size=0), "block 3 is for 0 bytes"),
        (block(3, at=0x10000301), "block 3 is for 256 bytes at 0x10000301"),
        (block(3, at=0x20000000), "at 0x20000000"),
        (block(3, at=0xFFFFFF00), "at 0xffffff00"),
        (block(3, number=4), "is damaged: blocks are missing"),
        (block(0, total=1 << 31), "is not whole: it has 32 of 2147483648 blocks"),
        (block(3, total=31), "is not whole: it has 32 of 31 blocks"),
        (block(3, at=0x10000400), "is damaged: an address occurs twice"),
        (block(0, total=0), "is not whole: it has 32 of 0 blocks"),
    ):
        with pytest.raises(uf2.Uf2Error, match=why):
            uf2.read(data)
    # What is not for the flash is left out
    assert len(uf2.read(standin.rp2(PICO2) + block(0, flags=0x2001)[:512])) == 385
    at = PICO.fs_offset
    for data, why in (
        (standin.rp2(PICO2), "is for RP2350 .Arm., not for RP2040"),
        (block(3, family=0x1234), "is not whole"),
        (uf2.pack(0x10000000, b"x", 0x1234), "is for the UF2 family 0x00001234, not for RP2040"),
        (uf2.pack(0x10000000, b"x", 0), "is for no family"),
        (uf2.pack(0x10000000 + at, b"x", PICO.uf2_family), "into the file system at 0x12c000"),
        (standin.rp2(PICO2)[:512], "has nothing for RP2040"),
    ):
        with pytest.raises(uf2.Uf2Error, match=why):
            uf2.combine(data, at, b"x" * 4096, PICO.uf2_family)


def test_no_bytes_do_harm():
    good = standin.rp2(PICO, size=4096)
    rng = random.Random(6)
    taken = 0
    for _ in range(300):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            # Mostly in the headers
            data[rng.randrange(16) * 512 + rng.randrange(rng.choice((32, 512)))] = rng.randrange(
                256
            )
        try:
            uf2.combine(bytes(data), PICO.fs_offset, b"x", PICO.uf2_family)
            taken += 1
        except uf2.Uf2Error as e:
            assert "\n" not in str(e) and len(str(e)) < 200
    assert 0 < taken < 300
