"""Stand-in firmware: what the boards' tools find in it."""

import hashlib
import struct

import pytest
from esptool.cmds import image_info

from host_tools.flash import boards
from host_tools.lab import standin
from host_tools.lab.errors import LabError

ESP = ("esp32", "esp32-s3", "esp32-c3")
RP2 = ("pico-w", "pico2-w")


@pytest.mark.parametrize("name", ESP)
def test_esptool_calls_it_valid(name, esptool_log, capsys):
    board = boards.load(name)
    made = standin.esp32(board)
    assert made == standin.firmware(board) and len(made) == standin.SIZE
    capsys.readouterr()
    image_info(made)
    app = made[0x10000 - board.firmware_offset :]
    image_info(app)
    said = capsys.readouterr().out
    assert said.count("(valid)") == 4 and "invalid" not in said and "arning" not in said, said
    assert "ESP-IDF: uxmpp stand-in, no MicroPython" in said  # the bootloader
    assert "Project name: uxmpp stand-in" in said and "App version: no MicroPython" in said
    assert f"Flash size: {board.flash_size >> 20}MB" in said
    assert standin.TEXT.encode() in app


@pytest.mark.parametrize("vfs", [True, False])
def test_partition_table(vfs):
    board = boards.load("esp32-s3")
    table = standin.esp32(board, vfs=vfs)[0x8000 - board.firmware_offset :][:0xC00]
    entries = [struct.unpack_from("<HBBII16s", table, i) for i in range(0, 32 * (3 + vfs), 32)]
    assert all(entry[0] == 0x50AA for entry in entries)
    assert [(e[5].rstrip(b"\0"), *e[1:5]) for e in entries] == [
        (b"nvs", 1, 2, 0x9000, 0x6000),
        (b"phy_init", 1, 1, 0xF000, 0x1000),
        (b"factory", 0, 0, 0x10000, board.fs_offset - 0x10000),
        (b"vfs", 1, 0x81, board.fs_offset, board.fs_size),
    ][: 3 + vfs]
    end = 32 * len(entries)
    digest = hashlib.md5(table[:end]).digest()
    assert table[end:] == (b"\xeb\xeb" + b"\xff" * 14 + digest).ljust(0xC00 - end, b"\xff")


def test_by_command(tmp_path, capsys):
    for name in ESP + RP2:
        path = tmp_path / name
        assert standin.main([name, str(path)]) == 0
        assert path.read_bytes() == standin.firmware(boards.load(name))
    assert standin.main(["esp32", str(path), "--no-vfs", "--size", "80000"]) == 0
    assert path.read_bytes() == standin.esp32(boards.load("esp32"), vfs=False, size=80000)
    assert not capsys.readouterr().err
    for words, why in (
        (["esp33", str(path)], "did you mean"),
        (["raspberry-pi", str(path)], "no stand-in for linux"),
        (["esp32", str(path), "--size", "4000"], "no stand-in has 4000 bytes"),
        (["esp32", str(path), "--size", str(3 << 20)], "no stand-in has"),
        (["pico-w", str(path), "--size", str(2 << 20)], "no stand-in has"),
        (["esp32", str(tmp_path / "no" / "folder")], "No such file"),
    ):
        assert standin.main(words) == 1
        said = capsys.readouterr().err
        assert why in said and said.count("\n") == 1, said
    with pytest.raises(LabError, match="takes no UF2"):
        standin.rp2(boards.load("esp32"))
