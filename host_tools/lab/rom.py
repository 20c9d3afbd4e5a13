"""The bootloader in an ESP32's ROM, and the stub that esptool loads: what esptool talks to.

The protocol: frames of SLIP (RFC 1055); a request is `<BBHI` (0, operation, length, checksum) and
data, a reply the same with 1 and a value, and its data end in a status (esptool's documentation,
"Serial Protocol"). No code runs here: whatever is loaded into RAM and started counts as the stub.
"""

import hashlib
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ..flash.boards import Board
from ..flash.firmware import xor
from ..flash.partitions import MAX_TABLE, TABLE_AT
from .errors import LabError
from .flash_file import SECTOR, FlashFile
from .serial_line import BAUD, SerialLine

OPERATIONS = {
    0x02: "FLASH_BEGIN",
    0x03: "FLASH_DATA",
    0x04: "FLASH_END",
    0x05: "MEM_BEGIN",
    0x06: "MEM_END",
    0x07: "MEM_DATA",
    0x08: "SYNC",
    0x09: "WRITE_REG",
    0x0A: "READ_REG",
    0x0B: "SPI_SET_PARAMS",
    0x0D: "SPI_ATTACH",
    0x0E: "READ_FLASH_SLOW",
    0x0F: "CHANGE_BAUDRATE",
    0x10: "FLASH_DEFL_BEGIN",
    0x11: "FLASH_DEFL_DATA",
    0x12: "FLASH_DEFL_END",
    0x13: "SPI_FLASH_MD5",
    0x14: "GET_SECURITY_INFO",
    0xD0: "ERASE_FLASH",
    0xD1: "ERASE_REGION",
    0xD2: "READ_FLASH",
}
_STUB_ONLY = {"ERASE_FLASH", "ERASE_REGION", "READ_FLASH"}
_ROM_ONLY = {"READ_FLASH_SLOW"}

_HEAD = struct.Struct("<BBHI")
_END, _ESC, _ESC_END, _ESC_ESC = b"\xc0", b"\xdb", b"\xdb\xdc", b"\xdb\xdd"
_CHECKSUM = 0xEF
# What the ROM takes the flash for until it is told
_ROM_FLASH = 2 * 1024 * 1024
_SFDP = 0x50444653
_RDID, _RDSFDP = 0x9F, 0x5A
_GIGADEVICE = 0x40C8
_CRYSTAL_HZ = 40_000_000
_MAC = bytes.fromhex("240ac4000110")


@dataclass(frozen=True)
class _Chip:
    image_id: int
    banner: str
    registers: dict[int, int]
    clock_divider: int
    spi: int  # the base of the registers of SPI1
    spi_usr2: int
    spi_w0: int
    spi_address_high: bool = False  # the address is in the upper bits of its register
    security: bool = True  # knows GET_SECURITY_INFO
    watchdog: int | None = None  # the register that starts it


def _mac_registers(at: int, more: dict[int, int]) -> dict[int, int]:
    # The MAC is the first block of the eFuses, the chip's revision is in words further on
    found = {at: int.from_bytes(_MAC[2:], "big"), at + 4: int.from_bytes(_MAC[:2], "big")}
    return found | {at + word * 4: value for word, value in more.items()}


CHIPS = {
    "esp32": _Chip(
        0,
        "ets Jul 29 2019 12:21:46\r\n\r\nrst:0x1 (POWERON_RESET),"
        "boot:0x3 (DOWNLOAD_BOOT(UART0/UART1/SDIO_REI_REO_V2))\r\nwaiting for download\r\n",
        {
            0x40001000: 0x00F01D83,
            0x3FF5A004: int.from_bytes(_MAC[2:], "big"),
            0x3FF5A008: int.from_bytes(_MAC[:2], "big"),
            # D0WD, revision 3.1: three bits in three places
            0x3FF5A00C: 1 << 15 | 1 << 13 | 1 << 9,
            0x3FF5A014: 1 << 20 | 1 << 24,
            0x3FF6607C: 1 << 31,
            # The calibration of its clock, from which esptool takes the crystal's 40 MHz
            0x3FF5A010: 160,
            0x3FF5F06C: 640 << 7,
        },
        0x3FF40014,
        0x3FF42000,
        0x24,
        0x80,
        spi_address_high=True,
        security=False,
    ),
    "esp32s3": _Chip(
        9,
        "ESP-ROM:esp32s3-20210327\r\nBuild:Mar 27 2021\r\nrst:0x1 (POWERON),"
        "boot:0x0 (DOWNLOAD(USB/UART0))\r\nwaiting for download\r\n",
        _mac_registers(0x60007044, {3: 2 << 18}),
        0x60000014,
        0x60002000,
        0x20,
        0x58,
        watchdog=0x60008098,
    ),
    "esp32c3": _Chip(
        5,
        "ESP-ROM:esp32c3-api1-20210207\r\nBuild:Feb  7 2021\r\nrst:0x1 (POWERON),"
        "boot:0x4 (DOWNLOAD(USB/UART0/1))\r\nwaiting for download\r\n",
        _mac_registers(0x60008844, {3: 4 << 18}),
        0x60000014,
        0x60002000,
        0x20,
        0x58,
        watchdog=0x60008090,
    ),
}


class _RefusedError(Exception):
    """A request that is answered with an error: the ROM's code, the stub's."""

    def __init__(self, rom: int, stub: int) -> None:
        super().__init__()
        self.rom = rom
        self.stub = stub


_FORMAT = (0x05, 0xC0)
_FAILED = (0x06, 0xC4)
_SUM = (0x07, 0xC1)
_READ = (0x0A, 0xC2)
_INFLATE = (0x0B, 0xC7)
_SHORT = (0x0B, 0xC8)
_MODE = (0x06, 0xC6)
_TOO_MUCH = (0x06, 0xC9)
_UNKNOWN = (0x05, 0xFF)


@dataclass
class _Writing:
    """What FLASH_BEGIN or FLASH_DEFL_BEGIN has announced."""

    at: int
    size: int
    block: int
    blocks: int
    inflate: "zlib._Decompress | None"
    erased: int  # up to here
    done: int = 0
    seq: int = 0


@dataclass
class _Reading:
    """What READ_FLASH has still to send."""

    data: bytes
    block: int
    ahead: int  # the most bytes that are not acknowledged
    sent: int = 0


@dataclass
class Done:
    """What the loader was asked to do, since the last clear(): names of operations and how often,
    and ranges of the flash (address, bytes), those that join in one."""

    operations: Counter[str] = field(default_factory=Counter)
    erased: list[tuple[int, int]] = field(default_factory=list)
    written: list[tuple[int, int]] = field(default_factory=list)
    #: The statuses of what was refused, (operation, code).
    refused: list[tuple[str, int]] = field(default_factory=list)

    def clear(self) -> None:
        """Forget it all."""
        for part in (self.operations, self.erased, self.written, self.refused):
            part.clear()


class RomLoader:
    """The loader of `chip` ("esp32", "esp32s3", "esp32c3") over `flash`; goes behind a line.

    It starts as the ROM's; the stub replaces it when esptool has loaded one, until reset().
    `on_run()` is called when it is told to leave for the program in flash. `done` is what it was
    asked. With `break_after` set, the line is unplugged when so many bytes of flash data have
    been written: in the midst of a block, and nothing after it. Raises LabError.
    """

    #: The most bytes of a frame; more is thrown away.
    MAX_FRAME = 0x8000 + 64
    #: The most bytes that are loaded into RAM.
    MAX_RAM = 512 * 1024

    def __init__(
        self, chip: str, flash: FlashFile, on_run: Callable[[], None] | None = None
    ) -> None:
        if chip not in CHIPS:
            raise LabError(f"there is no loader for {chip!r}, only {', '.join(CHIPS)}")
        if flash.size & (flash.size - 1):
            raise LabError(f"a flash of {flash.size} bytes: no chip has that size")
        self.chip = chip
        self.flash = flash
        self.on_run = on_run
        self.done = Done()
        self.break_after: int | None = None
        self.baud = BAUD
        self._chip = CHIPS[chip]
        self._line: SerialLine | None = None
        self.reset()

    @property
    def stub(self) -> bool:
        """Whether the stub is running."""
        return self._stub

    def reset(self) -> None:
        """Be the ROM's loader again, as after a reset into the bootloader."""
        self._stub = False
        self._registers = dict(self._chip.registers)
        self._flash_size = min(_ROM_FLASH, self.flash.size)
        self._attached = False
        self._ram = 0
        self._writing: _Writing | None = None
        self._reading: _Reading | None = None
        self._frame: bytearray | None = None
        self._given = 0  # the request's checksum
        self._after: list[Callable[[], None]] = []
        self.baud = BAUD

    # Behind a line

    def attached(self, line: SerialLine) -> None:
        """Begin behind `line`, with the banner that the ROM prints."""
        self.reset()
        self._line = line
        line.set_baud(BAUD)
        line.write(self._chip.banner.encode())

    def received(self, data: bytes) -> None:
        """Take what the client has sent: anything outside of frames is noise."""
        for i, piece in enumerate(data.split(_END)):
            if i:
                # An END closes a frame and may be the one that opens the next
                frame, self._frame = self._frame, bytearray()
                if frame:
                    self._take(bytes(frame))
            if self._frame is not None:
                self._frame += piece
                if len(self._frame) > 2 * self.MAX_FRAME:
                    self._frame = None

    def _take(self, frame: bytes) -> None:
        data = frame.replace(_ESC_END, _END).replace(_ESC_ESC, _ESC)
        if self._reading is not None:
            self._acknowledged(data)
            return
        if len(data) < _HEAD.size or data[0] != 0:
            return
        _, op, length, self._given = _HEAD.unpack_from(data)
        body = data[_HEAD.size :]
        name = OPERATIONS.get(op, f"{op:#04x}")
        self.done.operations[name] += 1
        known = op in OPERATIONS and name not in (_ROM_ONLY if self._stub else _STUB_ONLY)
        if name == "GET_SECURITY_INFO":
            known = self._chip.security
        try:
            if not known:
                raise _RefusedError(*_UNKNOWN)
            if len(body) != length or _broken(frame):
                raise _RefusedError(*_FORMAT)
            value, answer = getattr(self, "_" + name.lower())(body)
        except _RefusedError as e:
            self._refuse(op, name, e, known)
        except struct.error:
            self._refuse(op, name, _RefusedError(*_FORMAT), known)
        else:
            if answer is not None:
                self._reply(op, value, answer + (bytes(2) if self._stub else bytes(4)))
        after, self._after = self._after, []
        for step in after:
            step()

    def _refuse(self, op: int, name: str, error: _RefusedError, known: bool) -> None:
        self.done.refused.append((name, error.stub << 8 if self._stub else 0x100 | error.rom))
        if self._stub:
            self._reply(op, 0, bytes([error.stub, 0]))
        elif known:
            self._reply(op, 0, bytes([1, error.rom, 0, 0]))
        else:
            for _ in range(8):
                self._reply(0, 0, bytes([1, error.rom, 0, 0]))

    def _reply(self, op: int, value: int, data: bytes) -> None:
        self._send(_HEAD.pack(1, op, len(data), value) + data)

    def _send(self, data: bytes) -> None:
        if self._line is not None:
            self._line.write(_END + data.replace(_ESC, _ESC_ESC).replace(_END, _ESC_END) + _END)

    # The operations: each returns the reply's value and data; None for data: no reply

    def _sync(self, body: bytes) -> tuple[int, bytes | None]:
        if body != b"\x07\x07\x12\x20" + b"\x55" * 32:
            raise _RefusedError(*_FORMAT)
        for _ in range(7):
            self._reply(0x08, self._synced, bytes(2 if self._stub else 4))
        return self._synced, b""

    @property
    def _synced(self) -> int:
        return 0 if self._stub else 0x20120707

    def _get_security_info(self, body: bytes) -> tuple[int, bytes]:
        return 0, struct.pack("<IB7xII", 0, 0, self._chip.image_id, 0)

    def _read_reg(self, body: bytes) -> tuple[int, bytes]:
        (at,) = struct.unpack("<I", body)
        if at == self._chip.clock_divider:
            return _CRYSTAL_HZ // self.baud, b""
        return self._registers.get(at, 0), b""

    def _write_reg(self, body: bytes) -> tuple[int, bytes]:
        for at, value, mask, _ in struct.iter_unpack("<IIII", body):
            old = self._registers.get(at, 0)
            self._registers[at] = old & ~mask | value & mask
            if at == self._chip.spi and value & 1 << 18:
                self._flash_command()
            elif at == self._chip.watchdog and value & 1 << 31:
                self._after.append(self._run)
        return 0, b""

    def _flash_command(self) -> None:
        """What the SPI controller does with the command in its registers."""
        chip, registers = self._chip, self._registers
        registers[chip.spi] &= ~(1 << 18)
        command = registers.get(chip.spi + chip.spi_usr2, 0) & 0xFF
        at = registers.get(chip.spi + 4, 0) >> (8 if chip.spi_address_high else 0)
        answer = 0
        if command == _RDID:
            answer = (self.flash.size.bit_length() - 1) << 16 | _GIGADEVICE
        elif command == _RDSFDP and at == 0:
            answer = _SFDP
        registers[chip.spi + chip.spi_w0] = answer

    def _spi_attach(self, body: bytes) -> tuple[int, bytes]:
        struct.unpack("<I" if self._stub else "<I4x", body)
        self._attached = True
        return 0, b""

    def _spi_set_params(self, body: bytes) -> tuple[int, bytes]:
        _, size, _, sector, _, _ = struct.unpack("<6I", body)
        if sector != SECTOR:
            raise _RefusedError(*_FAILED)
        self._flash_size = size
        return 0, b""

    def _change_baudrate(self, body: bytes) -> tuple[int, bytes]:
        baud, _ = struct.unpack("<II", body)
        if not 9600 <= baud <= 5_000_000:
            raise _RefusedError(*_FAILED)
        self._after.append(lambda: self._set_baud(baud))
        return 0, b""

    def _set_baud(self, baud: int) -> None:
        self.baud = baud
        if self._line is not None:
            self._line.set_baud(baud)

    # RAM

    def _mem_begin(self, body: bytes) -> tuple[int, bytes]:
        size, blocks, block, _ = struct.unpack("<IIII", body)
        if size > self.MAX_RAM or blocks * block < size:
            raise _RefusedError(*_FAILED)
        self._ram = size
        return 0, b""

    def _mem_data(self, body: bytes) -> tuple[int, bytes]:
        data, _ = _block(body, self._given)
        if len(data) > self._ram:
            raise _RefusedError(*_TOO_MUCH)
        self._ram -= len(data)
        return 0, b""

    def _mem_end(self, body: bytes) -> tuple[int, bytes]:
        stay, _ = struct.unpack("<II", body)
        if self._ram:
            raise _RefusedError(*_SHORT)
        if not stay:
            self._after.append(self._start_stub)
        return 0, b""

    def _start_stub(self) -> None:
        self._stub = self._attached = True
        self._writing = None
        self._flash_size = self.flash.size
        self._send(b"OHAI")

    # Flash

    def _begin(self, body: bytes, compressed: bool) -> tuple[int, bytes]:
        # The ESP32's ROM does not know the fifth number, whether to encrypt
        extended = self._stub or self._chip.security
        size, blocks, block, at = struct.unpack("<IIII4x" if extended else "<IIII", body)
        self._check(at, size)
        if blocks and not 0 < block <= self.MAX_FRAME - 64:
            raise _RefusedError(*_FORMAT)
        start = at // SECTOR * SECTOR
        inflate = zlib.decompressobj() if compressed else None
        self._writing = writing = _Writing(at, size, block, blocks, inflate, start)
        if size and not self._stub:
            # The ROM erases all of it at first, the stub a sector when it gets there
            self._erase_to(writing, at + size)
        return 0, b""

    def _flash_begin(self, body: bytes) -> tuple[int, bytes]:
        return self._begin(body, False)

    def _flash_defl_begin(self, body: bytes) -> tuple[int, bytes]:
        return self._begin(body, True)

    def _flash_data(self, body: bytes) -> tuple[int, bytes | None]:
        writing = self._open(False)
        data, seq = _block(body, self._given)
        # What is sent again, because an answer was lost, goes where it went
        if seq > writing.seq or seq >= writing.blocks:
            raise _RefusedError(*_TOO_MUCH)
        offset = seq * writing.block
        if not self._put(writing, offset, data[: max(0, writing.size - offset)]):
            return 0, None
        writing.seq = max(writing.seq, seq + 1)
        return 0, b""

    def _flash_defl_data(self, body: bytes) -> tuple[int, bytes | None]:
        writing = self._open(True)
        data, seq = _block(body, self._given)
        if seq == writing.seq - 1:
            return 0, b""
        if seq != writing.seq or seq >= writing.blocks:
            raise _RefusedError(*_TOO_MUCH)
        left = writing.size - writing.done
        assert writing.inflate is not None
        try:
            data = writing.inflate.decompress(data, left + 1)
        except zlib.error:
            raise _RefusedError(*_INFLATE) from None
        if len(data) > left:
            raise _RefusedError(*_TOO_MUCH)
        if not self._put(writing, writing.done, data):
            return 0, None
        writing.seq += 1
        return 0, b""

    def _flash_end(self, body: bytes) -> tuple[int, bytes]:
        (stay,) = struct.unpack("<I", body)
        writing, self._writing = self._writing, None
        if writing is None:
            raise _RefusedError(*_MODE)
        if self._stub and writing.done < writing.size:
            raise _RefusedError(*_SHORT)
        if not self._stub:
            self._after.append(self._run)
        elif not stay:
            self._after.append(self.reset)
        return 0, b""

    _flash_defl_end = _flash_end

    def _spi_flash_md5(self, body: bytes) -> tuple[int, bytes]:
        at, size, _, _ = struct.unpack("<IIII", body)
        self._check(at, size)
        digest = hashlib.md5(self.flash.read(at, size))
        return 0, digest.digest() if self._stub else digest.hexdigest().encode()

    def _read_flash_slow(self, body: bytes) -> tuple[int, bytes]:
        at, size = struct.unpack("<II", body)
        self._check(at, size)
        if size > 64:
            raise _RefusedError(*_READ)
        return 0, self.flash.read(at, size).ljust(64, b"\0")

    def _erase_flash(self, body: bytes) -> tuple[int, bytes]:
        self._erase(0, self.flash.size)
        return 0, b""

    def _erase_region(self, body: bytes) -> tuple[int, bytes]:
        at, size = struct.unpack("<II", body)
        self._check(at, size)
        if at % SECTOR or size % SECTOR:
            raise _RefusedError(*_READ)
        self._erase(at, size)
        return 0, b""

    def _read_flash(self, body: bytes) -> tuple[int, bytes]:
        at, size, block, ahead = struct.unpack("<IIII", body)
        self._check(at, size)
        if not 0 < block <= SECTOR or not ahead:
            raise _RefusedError(*_READ)
        self._reading = _Reading(self.flash.read(at, size), block, ahead * block)
        self._after.append(lambda: self._acknowledged(bytes(4)))
        return 0, b""

    def _acknowledged(self, data: bytes) -> None:
        """Go on with READ_FLASH: the client has so many bytes."""
        reading = self._reading
        assert reading is not None
        if len(data) != 4:
            return
        has = int.from_bytes(data, "little")
        while reading.sent < min(len(reading.data), has + reading.ahead):
            piece = reading.data[reading.sent :][: reading.block]
            reading.sent += len(piece)
            self._send(piece)
        if has >= len(reading.data):
            self._reading = None
            self._send(hashlib.md5(reading.data).digest())

    # What they have in common

    def _open(self, compressed: bool) -> _Writing:
        writing = self._writing
        if writing is None or (writing.inflate is not None) is not compressed:
            raise _RefusedError(*_MODE)
        return writing

    def _check(self, at: int, size: int) -> None:
        if size and (not self._attached or at + size > min(self._flash_size, self.flash.size)):
            raise _RefusedError(*_FAILED)

    def _erase_to(self, writing: _Writing, end: int) -> None:
        end = -(-end // SECTOR) * SECTOR
        if end > writing.erased:
            self._erase(writing.erased, end - writing.erased)
            writing.erased = end

    def _erase(self, at: int, size: int) -> None:
        self.flash.erase(at, size)
        _join(self.done.erased, at, size)

    def _put(self, writing: _Writing, offset: int, data: bytes) -> bool:
        """Write to the flash; whether the line is still there."""
        broken = self.break_after is not None and len(data) >= self.break_after
        if self.break_after is not None:
            data = data[: self.break_after]
            self.break_after = None if broken else self.break_after - len(data)
        if data:
            at = writing.at + offset
            self._erase_to(writing, at + len(data))
            self.flash.write(at, data)
            _join(self.done.written, at, len(data))
            writing.done = max(writing.done, offset + len(data))
        if broken and self._line is not None:
            self._line.unplug()
        return not broken

    def _run(self) -> None:
        self.reset()
        if self.on_run is not None:
            self.on_run()


def boot_error(board: Board, flash: FlashFile) -> str | None:
    """Return why `board` does not start from `flash`, in the words of its ROM, or None if it
    does: an ESP32 looks at its second bootloader, the partition table and the app, by their
    checksums; an RP2040 at the CRC of its second bootloader, an RP2350 at its image's block."""
    if board.port == "rp2":
        if board.mcu == "rp2040":
            boot = flash.read(0, 256)
            good = boot2_crc(boot[:252]) == int.from_bytes(boot[252:], "little")
            return None if good else "no valid second bootloader in flash"
        good = RP2350_BLOCK[:4] in flash.read(0, SECTOR)
        return None if good else "no valid image in flash"
    assert board.firmware_offset is not None
    chip_id = CHIPS[board.mcu].image_id
    error = image_error(flash, board.firmware_offset, chip_id)
    if error:
        return error
    table, app = flash.read(TABLE_AT, MAX_TABLE), None
    for at in range(0, len(table), 32):
        magic, kind, _, start, _ = struct.unpack_from("<HBBII", table, at)
        if magic == 0xEBEB and table[at + 16 : at + 32] != hashlib.md5(table[:at]).digest():
            return "partition table: MD5 mismatch"
        if magic != 0x50AA:
            break
        if kind == 0 and app is None:
            app = start
    if app is not None:
        error = image_error(flash, app, chip_id)
        return f"app at {app:#x}: {error}" if error else None
    return "no bootable app partitions in the partition table"


#: What the RP2350 looks for: an image definition for ARM, and its end.
RP2350_BLOCK = struct.pack("<5I", 0xFFFFDED3, 0x10210142, 0x000001FF, 0, 0xAB123579)


def boot2_crc(data: bytes) -> int:
    """Return the CRC-32 that the RP2040's ROM wants behind `data`: not reflected, not inverted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc


def image_error(flash: FlashFile, at: int, chip_id: int) -> str | None:
    """Return what is wrong with the image at `at` (ESP-IDF, "App Image Format"), or None."""
    head = flash.read(at, 24)
    if head[0] != 0xE9 or head[1] > 16:
        return f"invalid header: {int.from_bytes(head[:4], 'little'):#010x}"
    if int.from_bytes(head[12:14], "little") != chip_id:
        return "image of another chip"
    pos, total = at + 24, _CHECKSUM
    for _ in range(head[1]):
        if pos + 8 > flash.size:
            return "image is not whole"
        (size,) = struct.unpack("<4xI", flash.read(pos, 8))
        if size > flash.size - pos - 8:
            return "image is not whole"
        total = checksum(flash.read(pos + 8, size), total)
        pos += 8 + size
    pos = at + ((pos - at) // 16 + 1) * 16
    if pos + 32 > flash.size:
        return "image is not whole"
    if flash.read(pos - 1, 1)[0] != total:
        return "checksum failed"
    if head[23]:
        digest = hashlib.sha256(flash.read(at, pos - at)).digest()
        if flash.read(pos, 32) != digest:
            return "SHA-256 comparison failed"
    return None


def _block(body: bytes, expected: int) -> tuple[bytes, int]:
    """Return data and number of a block of data."""
    size, seq, _, _ = struct.unpack_from("<IIII", body)
    data = body[16:]
    if len(data) != size:
        raise _RefusedError(*_FORMAT)
    if checksum(data) != expected & 0xFF:
        raise _RefusedError(*_SUM)
    return data, seq


def checksum(data: bytes, total: int = _CHECKSUM) -> int:
    """Return all bytes xor'ed, as blocks and images have it."""
    return total ^ xor(data)


def _broken(frame: bytes) -> bool:
    """Whether there is an escape in `frame` that SLIP does not know."""
    rest = frame.replace(_ESC_END, b".").replace(_ESC_ESC, b".")
    return _ESC in rest


def _join(ranges: list[tuple[int, int]], at: int, size: int) -> None:
    if ranges and sum(ranges[-1]) == at:
        at, size = ranges[-1][0], ranges[-1][1] + size
        ranges.pop()
    ranges.append((at, size))
