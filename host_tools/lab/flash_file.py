"""A board's flash as a file: what a virtual board's bootloader writes and its program boots from.

Every access reads or writes the file itself, so that other processes may use it meanwhile.
"""

import os
from pathlib import Path

from .errors import LabError

ERASED = 0xFF
#: What flash is erased by, bytes.
SECTOR = 4096


class FlashFile:
    """The flash in the file `path`, `size` bytes; a new file is erased flash, and its owner's
    alone: what logs a device in will be there. `writes`, `erases`,
    `bytes_written` and `bytes_erased` count. Raises LabError, also for what lies beyond the end.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.writes = 0
        self.erases = 0
        self.bytes_written = 0
        self.bytes_erased = 0
        try:
            there = path.stat().st_size if path.exists() else 0
            if there == 0:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch(0o600)
                path.write_bytes(bytes([ERASED]) * size)
            elif there != size:
                raise LabError(f"{path} has {there} bytes: no flash of {size} bytes")
        except OSError as e:
            raise LabError(f"{path} cannot be used as a flash: {e.strerror}") from e

    def read(self, at: int, n: int) -> bytes:
        """Return `n` bytes from `at`."""
        self._check(at, n)
        fd = os.open(self.path, os.O_RDONLY)
        try:
            return os.pread(fd, n, at)
        finally:
            os.close(fd)

    def write(self, at: int, data: bytes) -> None:
        """Put `data` at `at`, whatever was there."""
        self._put(at, data)
        self.writes += 1
        self.bytes_written += len(data)

    def erase(self, at: int = 0, n: int | None = None) -> None:
        """Erase `n` bytes from `at`: all, if none are given."""
        n = self.size - at if n is None else n
        self._put(at, bytes([ERASED]) * n)
        self.erases += 1
        self.bytes_erased += n

    def _put(self, at: int, data: bytes) -> None:
        self._check(at, len(data))
        fd = os.open(self.path, os.O_WRONLY)
        try:
            os.pwrite(fd, data, at)
        finally:
            os.close(fd)

    def _check(self, at: int, n: int) -> None:
        if at < 0 or n < 0 or at + n > self.size:
            raise LabError(f"{self.path}: {n} bytes at {at:#x} are not in {self.size:#x} bytes")
