"""The bootloader drive of the RP2040 and RP2350."""

import shutil
import struct
import threading
import time

import pytest

from host_tools.flash import boards
from host_tools.lab import standin
from host_tools.lab.errors import LabError
from host_tools.lab.flash_file import FlashFile
from host_tools.lab.rom import boot_error
from host_tools.lab.rp2_drive import BootDrive

LIMIT_S = 20.0
E10, SECOND = 512, 1024


@pytest.mark.parametrize(
    ("name", "board_id"), [("pico-w", "RPI-RP2"), ("pico2-w", "RP2350")], ids=("rp2040", "rp2350")
)
def test_a_uf2_is_written(tmp_path, name, board_id):
    board = boards.load(name)
    flash = FlashFile(tmp_path / "flash", board.flash_size)
    flash.write(0, b"old" * 100_000)
    made = standin.rp2(board)
    # One file with firmware and file system, and blocks for another family among them
    files = standin.uf2(b"files" * 1000, board.uf2_family, board.fs_offset)
    foreign = standin.uf2(b"foreign", 0xE48BFF55)
    both = _renumbered(made, files) + foreign
    source = tmp_path / "both.uf2"
    source.write_bytes(both)
    written = threading.Event()
    with BootDrive(tmp_path / "drive", flash, board, written.set) as drive:
        info = (drive.folder / "INFO_UF2.TXT").read_text()
        assert f"Board-ID: {board_id}\n" in info and "Model: Raspberry Pi RP" in info
        assert drive.mounted and boot_error(board, flash)
        # No more than that: the drive may be gone before a mode or a time could be set
        shutil.copyfile(source, drive.folder / source.name)
        assert written.wait(LIMIT_S)
        assert not drive.mounted and not drive.folder.exists() and not drive.refused
    assert boot_error(board, flash) is None
    assert standin.TEXT.encode() in flash.read(0, 1024)
    assert flash.read(board.fs_offset, 5000) == b"files" * 1000
    assert flash.read(standin.SIZE, 3) == b"old"  # a sector beyond is as it was
    assert flash.read(board.fs_offset + 5120, 3072) == b"\xff" * 3072


def _renumbered(*parts):
    """Join UF2s to one: its blocks are numbered through, but for the one that is to be ignored."""
    blocks = [part[i : i + 512] for part in parts for i in range(0, len(part), 512)]
    kept = [block for block in blocks if block[8] | block[9] << 8 == 0x2000]
    first = b"".join(block for block in blocks if block not in kept)
    return first + b"".join(
        block[:20] + struct.pack("<II", i, len(kept)) + block[28:] for i, block in enumerate(kept)
    )


def test_what_is_not_taken(tmp_path):
    board = boards.load("pico-w")
    flash = FlashFile(tmp_path / "flash", board.flash_size)
    good = standin.rp2(board, size=4096)
    family = board.uf2_family

    def changed(at, value):
        return good[:at] + struct.pack("<I", value) + good[at + 4 :]

    bad = {
        "end.uf2": (good[:-100], "are not whole blocks"),
        "last.uf2": (good[:-512], "15 of 16 blocks"),
        "magic.uf2": (changed(SECOND, 0), "block 2: no block of UF2"),
        "end_magic.uf2": (changed(SECOND - 4, 0), "block 1: no block of UF2"),
        "family.uf2": (standin.uf2(b"x", 0xE48BFF59), f"no block is for family {family:#x}"),
        "pico2.uf2": (standin.rp2(boards.load("pico2-w")), f"no block is for family {family:#x}"),
        "page.uf2": (changed(SECOND + 12, 0x10000280), "not a page of 256"),
        "length.uf2": (changed(SECOND + 16, 128), "not a page of 256"),
        "ram.uf2": (changed(SECOND + 12, 0x20000000), "is not in this flash"),
        "beyond.uf2": (standin.uf2(b"x", family, board.flash_size), "is not in this flash"),
        "count.uf2": (changed(SECOND + 24, 20), "there are 16"),
        "number.uf2": (changed(SECOND + 20, 16), "is number 16 of 16"),
        "twice.uf2": (changed(SECOND + 20, 1), "number 1 or its place is there twice"),
        "readme.txt": (b"drag something here\n", "are not whole blocks"),
        "empty.uf2": (b"", "no block is for family"),
        "large.uf2": (b"\0" * (board.flash_size * 4 + 512), "is larger than"),
    }
    with BootDrive(tmp_path / "drive", flash, board) as drive:
        for name, (data, _) in bad.items():
            (drive.folder / name).write_bytes(data)
        ends = time.monotonic() + LIMIT_S
        while len(drive.refused) < len(bad) and time.monotonic() < ends:
            time.sleep(0.02)
        assert drive.mounted
        refused = dict(entry.split(": ", 1) for entry in drive.refused)
    assert set(refused) == set(bad)
    for name, (_, why) in bad.items():
        assert why in refused[name], name
    assert flash.writes == flash.erases == 0
    assert not drive.folder.exists()
    with pytest.raises(LabError, match="has no bootloader drive"):
        BootDrive(tmp_path, flash, boards.load("esp32"))


def test_it_goes_away_half_way(tmp_path):
    board = boards.load("pico-w")
    flash = FlashFile(tmp_path / "flash", board.flash_size)
    written = threading.Event()
    with BootDrive(tmp_path / "drive", flash, board, written.set) as drive:
        drive.break_after = 100
        (drive.folder / "firmware.uf2").write_bytes(standin.rp2(board, size=8192))
        ends = time.monotonic() + LIMIT_S
        while drive.mounted and time.monotonic() < ends:
            time.sleep(0.02)
        assert not drive.mounted
    assert not written.is_set() and flash.read(100, 8000) == b"\xff" * 8000
    assert boot_error(board, flash) == "no valid second bootloader in flash"
