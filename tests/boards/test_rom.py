"""The ROM loader and its stub, by the real esptool."""

import gc
import os
import re
import socket
import struct
from contextlib import contextmanager

import esptool
import pytest
from esptool.cmds import connect_esp
from esptool.util import FatalError

from host_tools.flash import boards
from host_tools.lab import standin
from host_tools.lab.errors import LabError
from host_tools.lab.flash_file import FlashFile
from host_tools.lab.rom import RomLoader, boot_error, checksum
from host_tools.lab.serial_line import SerialLine

MEGABYTE = 1024 * 1024
LIMIT_S = 30.0


class Rig:
    """A board in its bootloader, and esptool in this process."""

    def __init__(self, board, rom, line, capsys):
        self.board = board
        self.rom = rom
        self.flash = rom.flash
        self.line = line
        self.capsys = capsys

    def esptool(self, *words):
        """Run a command; return what it printed."""
        self.capsys.readouterr()
        esptool.main(["--port", self.line.port, *map(str, words)])
        return self.capsys.readouterr().out

    def error(self, *words):
        """Run a command that fails; return its error, so that nothing keeps its port locked."""
        with pytest.raises(FatalError) as raised:
            self.esptool(*words)
        said = str(raised.value)
        del raised
        gc.collect()
        return said

    def fresh(self):
        """As after a reset into the bootloader."""
        self.line.attach(self.rom)
        self.rom.done.clear()


@pytest.fixture
def rig(tmp_path, capsys, esptool_log, monkeypatch):
    # Else it spells all bytes in hex for a trace that is off
    monkeypatch.setattr(esptool.loader, "HexFormatter", lambda data, auto_split=True: "")

    @contextmanager
    def make(name, kind="pty", size=None, **line):
        board = boards.load(name)
        rom = RomLoader(board.mcu, FlashFile(tmp_path / "flash", size or board.flash_size))
        with SerialLine(kind, **line) as line:
            line.attach(rom)
            yield Rig(board, rom, line, capsys)

    return make


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [("esp32", 4, "ESP32-D0WD-V3"), ("esp32-s3", 16, "ESP32-S3"), ("esp32-c3", 4, "ESP32-C3")],
)
def test_stub(rig, tmp_path, name, size, said):
    path = tmp_path / "firmware.bin"
    with rig(name, size=size * MEGABYTE) as board:
        at = board.board.firmware_offset
        firmware = standin.esp32(board.board)
        path.write_bytes(firmware)
        assert boot_error(board.board, board.flash) == "invalid header: 0xffffffff"
        out = board.esptool("--baud", 460800, "write-flash", hex(at), path)
        assert said in out and "24:0a:c4:00:01:10" in out and "40MHz" in out
        assert "Hash of data verified." in out
        assert board.flash.read(at, len(firmware)) == firmware
        assert boot_error(board.board, board.flash) is None
        done = board.rom.done
        erased = -(-(at + len(firmware)) // 4096) * 4096 - at
        assert done.erased == [(at, erased)] and done.written == [(at, len(firmware))]
        assert done.operations["FLASH_DEFL_DATA"] > 1 and not done.operations["FLASH_DATA"]
        assert board.line.asked == board.rom.baud == 460800
        assert not [name for name, _ in done.refused if name != "GET_SECURITY_INFO"]

        # The next esptool finds the stub still running, as nobody has reset the board
        assert board.rom.stub
        out = board.esptool("--before", "no-reset", "verify-flash", hex(at), path)
        assert "already running" in out and "Verification successful" in out
        board.fresh()
        assert not board.rom.stub
        board.esptool("read-flash", hex(at), hex(len(firmware)), tmp_path / "back.bin")
        assert (tmp_path / "back.bin").read_bytes() == firmware
        assert f"Detected flash size: {size}MB" in board.esptool("flash-id")
        board.fresh()
        board.esptool("erase-region", "0x8000", "0x1000")
        assert board.rom.done.erased == [(0x8000, 0x1000)]
        why = boot_error(board.board, board.flash)
        assert why == "no bootable app partitions in the partition table"
        board.flash.write(0x8000 + 32, standin.partitions(board.board)[:32])
        board.flash.write(0x8000, standin.partitions(board.board)[:32])
        assert boot_error(board.board, board.flash).startswith("no bootable app")
        board.flash.write(0x8000, standin.partitions(board.board))
        board.flash.write(0x8000 + 20, b"x")
        assert boot_error(board.board, board.flash) == "partition table: MD5 mismatch"
        board.esptool("erase-flash")
        assert board.flash.read(at, len(firmware)) == b"\xff" * len(firmware)


def test_rom_alone(rig, tmp_path):
    path = tmp_path / "firmware.bin"
    left = []
    with rig("esp32-c3") as board:
        board.rom.on_run = lambda: left.append(True)
        firmware = standin.esp32(board.board)
        path.write_bytes(firmware)
        out = board.esptool("--no-stub", "write-flash", "--no-compress", "0x0", path)
        assert "Hash of data verified." in out and board.rom.done.operations["FLASH_DATA"] == 96
        assert board.flash.read(0, len(firmware)) == firmware
        board.esptool("--no-stub", "--baud", 921600, "write-flash", "-z", "0x200000", path)
        assert board.rom.done.operations["FLASH_DEFL_DATA"] == 25
        assert board.flash.read(0x200000, len(firmware)) == firmware
        assert not board.rom.stub and not left
        board.esptool("--no-stub", "read-flash", "0x200000", "0x80", tmp_path / "back.bin")
        assert (tmp_path / "back.bin").read_bytes() == firmware[:0x80]
        # Nothing on this line reaches the reset, but the chip's own watchdog does
        board.esptool("--no-stub", "--after", "watchdog-reset", "erase-region", 0x1000, 0x2000)
        assert board.flash.read(0x1000, 0x2000) == b"\xff" * 0x2000 and left == [True]


def test_what_esptool_refuses(rig, tmp_path):
    path = tmp_path / "firmware.bin"
    with rig("esp32") as board:
        error = board.error("--chip", "esp32s3", "flash-id")
        assert "This chip is ESP32, not ESP32-S3" in error
        path.write_bytes(standin.esp32(boards.load("esp32-c3")))
        error = board.error("write-flash", "0x1000", path)
        assert "is not an ESP32 image" in error
        error = board.error("write-flash", "0x3f0000", path)
        assert "will not fit in 4194304 bytes" in error
        assert not board.rom.done.written and not board.rom.done.erased


def test_what_the_loader_refuses(rig):
    data = b"x" * 0x400
    with rig("esp32") as board:
        board.capsys.readouterr()
        with connect_esp(board.line.port) as rom:
            # The ROM takes every flash for one of 2 MB until it is told
            rom.flash_spi_attach(0)
            with pytest.raises(FatalError, match="result was 0106: Message is ok, but"):
                rom.flash_begin(0x1000, 0x200000)
            rom.flash_set_parameters(4 * MEGABYTE)
            rom.flash_begin(0x1000, 0x200000)
            with pytest.raises(FatalError, match="result was 0107: Checksum error"):
                rom.check_command("write", 0x03, struct.pack("<4I", len(data), 0, 0, 0) + data, 1)
            with pytest.raises(FatalError, match="result was 0106"):
                rom.flash_block(data, 4)
            rom.flash_block(data, 0)
            rom.flash_block(data, 0)  # again, as when the answer was lost
            assert board.flash.read(0x200000, 0x1000) == data + b"\xff" * 0xC00
            with pytest.raises(FatalError, match="result was 0105: The format"):
                rom.check_command("write", 0x03, b"\0\0")

            stub = rom.run_stub()
            with pytest.raises(FatalError, match="result was C600: Not in flash mode"):
                stub.flash_finish()
            with pytest.raises(FatalError, match="result was C400: Failed SPI operation"):
                stub.erase_region(0x3FF000, 0x2000)
            stub.flash_begin(0x400, 0x1000)
            sized = struct.pack("<4I", len(data) + 1, 0, 0, 0) + data
            with pytest.raises(FatalError, match="result was C000: Bad data length"):
                stub.check_command("write", 0x03, sized, checksum(data))
            with pytest.raises(FatalError, match="result was C100: Bad data checksum"):
                stub.check_command("write", 0x03, struct.pack("<4I", len(data), 0, 0, 0) + data)
            with pytest.raises(FatalError, match="result was C800: Not enough data"):
                stub.flash_finish()
            stub.flash_defl_begin(0x400, 0x100, 0x1000)
            with pytest.raises(FatalError, match="result was C700: Inflate error"):
                stub.flash_defl_block(data, 0)
            with pytest.raises(FatalError, match="result was FF00: Command not implemented"):
                stub.check_command("do", 0x77)
        assert board.flash.read(0x1000, 0x400) == b"\xff" * 0x400
        assert ("SPI_FLASH_MD5", 0xC400) not in board.rom.done.refused
        codes = {code for _, code in board.rom.done.refused}
        assert codes >= {0x105, 0x106, 0x107, 0xC000, 0xC100, 0xC400, 0xC600, 0xC700, 0xC800}


def test_noise_on_the_line(rig):
    """What is no frame, or a broken one, is passed over, and what follows is answered."""
    sync = b"\x07\x07\x12\x20" + b"\x55" * 32
    good = b"\xc0" + struct.pack("<BBHI", 0, 8, 36, 0) + sync + b"\xc0"
    noise = [
        os.urandom(64).replace(b"\xc0", b""),
        b"\xc0\xc0\xc0",
        b"\xc0abc\xc0",
        b"\xc0" + struct.pack("<BBHI", 1, 8, 0, 0) + b"\xc0",  # an answer
        b"\xc0" + b"x" * (3 * RomLoader.MAX_FRAME) + b"\xc0",
    ]
    bad = [
        struct.pack("<BBHI", 0, 8, 36, 0) + sync[:-1],
        struct.pack("<BBHI", 0, 8, 36, 0) + b"\xdb" + sync[1:],
        struct.pack("<BBHI", 0, 8, 36, 0) + sync[:-1] + b"\xdb",
    ]
    with rig("esp32-s3", "socket") as board:
        host, port = re.fullmatch(r"socket://(.+):(\d+)", board.line.port).groups()
        with socket.create_connection((host, int(port)), LIMIT_S) as s:
            for piece in noise:
                s.sendall(piece + good)
                assert _frames(s, 8) == [b"\x01\x08\x04\x00\x07\x07\x12\x20" + bytes(4)] * 8
            for piece in bad:
                s.sendall(b"\xc0" + piece + b"\xc0")
                assert _frames(s, 1) == [b"\x01\x08\x04\x00" + bytes(4) + b"\x01\x05\0\0"]
            s.sendall(b"\xc0" + struct.pack("<BBHI", 0, 0x99, 0, 0) + b"\xc0")
            assert _frames(s, 8) == [b"\x01\0\x04\0" + bytes(4) + b"\x01\x05\0\0"] * 8


def _frames(s, count):
    data = b""
    while data.count(b"\xc0") < 2 * count:
        more = s.recv(4096)
        assert more, data
        data += more
    return [part for part in data.split(b"\xc0") if part]


def test_unplugged_in_mid_write(rig, tmp_path, monkeypatch):
    path = tmp_path / "firmware.bin"
    with rig("esp32") as board:
        at = board.board.firmware_offset
        firmware = standin.esp32(board.board)
        path.write_bytes(firmware)
        board.rom.break_after = 70_000
        # Else it looks for the board seven times, a second each
        monkeypatch.setattr(esptool.cmds, "DEFAULT_CONNECT_ATTEMPTS", 1)
        with pytest.raises((FatalError, OSError)) as raised:
            board.esptool("write-flash", hex(at), path)
        said = f"{board.capsys.readouterr().out}{raised.value}"
        assert "Lost connection" in said or "Errno 5" in said, said
        assert not board.line.plugged and not os.path.lexists(board.line.port)
        written = board.flash.read(at, len(firmware))
        assert written[:70_000] == firmware[:70_000] and written[70_000:].count(0xFF) > 20_000
        assert boot_error(board.board, board.flash).startswith("app at 0x10000: ")

        board.line.plug()
        board.fresh()
        assert "Hash of data verified" in board.esptool("write-flash", hex(at), path)
        assert boot_error(board.board, board.flash) is None


def test_no_such_chip_or_flash(tmp_path):
    with pytest.raises(LabError, match="no loader for 'esp8266'"):
        RomLoader("esp8266", FlashFile(tmp_path / "a", MEGABYTE))
    with pytest.raises(LabError, match="no chip has that size"):
        RomLoader("esp32", FlashFile(tmp_path / "b", 3 * MEGABYTE))
    with pytest.raises(LabError, match="no flash of 4194304 bytes"):
        FlashFile(tmp_path / "a", 4 * MEGABYTE)
    with pytest.raises(LabError, match="are not in 0x100000 bytes"):
        FlashFile(tmp_path / "a", MEGABYTE).read(MEGABYTE - 1, 2)
