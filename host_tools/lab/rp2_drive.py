"""The drive that an RP2040 or RP2350 shows in its bootloader: a folder that takes a UF2."""

import shutil
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from ..flash.boards import Board
from ..flash.uf2 import ABSOLUTE, XIP
from .errors import LabError
from .flash_file import SECTOR, FlashFile
from .part import Part

_BLOCK = struct.Struct("<8I476sI")
_START, _SECOND, _END = 0x0A324655, 0x9E5D5157, 0x0AB16F30
_NOT_MAIN_FLASH, _HAS_FAMILY, _HAS_EXTENSION = 0x1, 0x2000, 0x8000
# "This block is to be ignored": for the RP2350's erratum E10, files begin with one
_IGNORE = 0x9957E304
_PAGE = 256

_INFO = {
    "rp2040": ("UF2 Bootloader v3.0", "Raspberry Pi RP2", "RPI-RP2"),
    "rp2350": ("UF2 Bootloader v1.0", "Raspberry Pi RP2350", "RP2350"),
}


class BootDrive(Part):
    """The drive in `folder`, from start() until a UF2 for `board` has been copied there: that is
    then in `flash`, folder and files go away, and `on_written()` is called, in the drive's own
    thread. What is no UF2, or no whole one, or for another chip, stays without effect, as with
    the real one; `refused` says why. With `break_after` set, the drive goes away when so many
    bytes have been written. Raises LabError.
    """

    INFO = "INFO_UF2.TXT"
    PAGE = "INDEX.HTM"
    #: How often it looks for files, and how long one must not have grown to be judged, seconds.
    LOOK_S = 0.03
    SETTLED_S = 0.3
    #: The most that is noted in `refused`.
    MAX_REFUSED = 100

    def __init__(
        self,
        folder: Path,
        flash: FlashFile,
        board: Board,
        on_written: Callable[[], None] | None = None,
    ) -> None:
        if board.mcu not in _INFO:
            raise LabError(f"{board.name}: an {board.mcu} has no bootloader drive")
        self.folder = folder
        self.flash = flash
        self.board = board
        self.on_written = on_written
        self.refused: list[str] = []
        self.break_after: int | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Show the drive. Raises LabError."""
        version, model, board_id = _INFO[self.board.mcu]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / self.PAGE).write_text("<html></html>\n")
            (self.folder / self.INFO).write_text(
                f"{version}\r\nModel: {model}\r\nBoard-ID: {board_id}\r\n", newline=""
            )
        except OSError as e:
            raise LabError(f"no bootloader drive in {self.folder}: {e.strerror}") from e
        self._over.clear()
        self._thread = threading.Thread(target=self._watch, name="bootloader drive", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Take the drive away, with what is in it. May be called again, and by on_written()."""
        self._over.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def mounted(self) -> bool:
        """Whether the drive is there."""
        return (self.folder / self.INFO).exists()

    def _watch(self) -> None:
        # Size and time of change of each file, since how many looks, and whether it is judged
        seen: dict[str, tuple[tuple[int, int], int, bool]] = {}
        while not self._over.wait(self.LOOK_S):
            for path in self._files():
                try:
                    stat = path.stat()
                    state = stat.st_size, stat.st_mtime_ns
                    before, looks, judged = seen.get(path.name, (None, 0, False))
                    looks, judged = (looks + 1, judged) if state == before else (0, False)
                    if looks and not judged:
                        # Two looks apart at the least: who copies may still set its time
                        judged = self._take(path, looks * self.LOOK_S >= self.SETTLED_S)
                    seen[path.name] = state, looks, judged
                except FileNotFoundError:
                    continue
                if self._over.is_set():
                    return

    def _files(self) -> list[Path]:
        try:
            paths = sorted(self.folder.iterdir())
        except FileNotFoundError:
            return []
        return [path for path in paths if path.name not in (self.INFO, self.PAGE)]

    def _take(self, path: Path, settled: bool) -> bool:
        """Write the file at `path` if it is whole; whether there is nothing more to see."""
        pages: dict[int, bytes] = {}
        most = self.flash.size // _PAGE * 2 * _BLOCK.size
        if not path.is_file():
            return settled
        if path.stat().st_size > most:
            wrong = f"is larger than {most} bytes"
        else:
            try:
                pages = parse(path.read_bytes(), self.board, self.flash.size)
            except ValueError as e:
                wrong = str(e)
        if pages:
            self._write(pages)
            return True
        if settled and len(self.refused) < self.MAX_REFUSED:
            self.refused.append(f"{path.name}: {wrong}")
        return settled

    def _write(self, pages: dict[int, bytes]) -> None:
        left = self.break_after
        erased = set()
        for at, data in sorted(pages.items()):
            sector = at // SECTOR * SECTOR
            if left is not None:
                data = data[:left]
                left -= len(data)
            if sector not in erased and data:
                # As the ROM does it: all of a sector, when the first page of it comes
                self.flash.erase(sector, SECTOR)
                erased.add(sector)
            self.flash.write(at, data)
            if left == 0:
                break
        self.close()
        if left != 0 and self.on_written is not None:
            self.on_written()


def parse(data: bytes, board: Board, size: int) -> dict[int, bytes]:
    """Return what the UF2 `data` has for `board`: its pages by their offset in a flash of `size`
    bytes. Blocks for other families are none of its business. Raises ValueError."""
    if len(data) % _BLOCK.size:
        raise ValueError(f"{len(data)} bytes are not whole blocks")
    families = {board.uf2_family} | ({ABSOLUTE} if board.mcu == "rp2350" else set())
    pages: dict[int, bytes] = {}
    numbers: set[int] = set()
    total = None
    for i in range(0, len(data), _BLOCK.size):
        block = _BLOCK.unpack_from(data, i)
        start, second, flags, at, length, number, count, family, payload, end = block
        where = f"block {i // _BLOCK.size}"
        if (start, second, end) != (_START, _SECOND, _END):
            raise ValueError(f"{where}: no block of UF2")
        extension = int.from_bytes(payload[length : length + 4], "little")
        if flags & _HAS_EXTENSION and extension == _IGNORE:
            continue
        if flags & _NOT_MAIN_FLASH or not flags & _HAS_FAMILY or family not in families:
            continue
        if length != _PAGE or at % _PAGE:
            raise ValueError(f"{where}: {length} bytes at {at:#x}: not a page of {_PAGE}")
        if not XIP <= at <= XIP + size - _PAGE:
            raise ValueError(f"{where}: {at:#x} is not in this flash of {size:#x} bytes")
        total = count if total is None else total
        if count != total or number >= count:
            raise ValueError(f"{where}: is number {number} of {count}, there are {total}")
        if number in numbers or at - XIP in pages:
            raise ValueError(f"{where}: number {number} or its place is there twice")
        numbers.add(number)
        pages[at - XIP] = payload[:_PAGE]
    if not pages:
        raise ValueError(f"no block is for family {board.uf2_family:#x}")
    if len(numbers) != total:
        raise ValueError(f"{len(numbers)} of {total} blocks")
    return pages
