"""A board's flash in a file, for either interpreter: a block device for vfs.VfsLfs2."""

import power

_BLANK = b"\xff"
_STOPS = ("before", "half", "after")


class BlockFile:
    """`blocks` blocks of `block_size` bytes in the file `path`, which is made where there is
    none; the extended interface of vfs.AbstractBlockDev. `writes` counts writes and erases.

    `stop_after` n: the process ends as by kill -9 at the n-th of them (1 is the first), `stop`
    "before" it, "half" way through its bytes, or "after" it, and says so on the console.
    """

    def __init__(self, path, block_size=4096, blocks=64, stop_after=None, stop="before"):
        if stop not in _STOPS:
            raise ValueError("stop: " + stop)
        self.block_size = block_size
        self.blocks = blocks
        self.writes = 0
        self._stop_after = stop_after
        self._stop = stop
        try:
            self._file = open(path, "r+b", 0)
        except OSError:
            self._file = open(path, "w+b", 0)
        size = self._file.seek(0, 2)
        for _ in range(blocks - size // block_size):
            self._file.write(_BLANK * block_size)

    def readblocks(self, n, buf, off=0):
        """Fill `buf` from block `n` on, `off` bytes into it."""
        self._file.seek(n * self.block_size + off)
        self._file.readinto(buf)

    def writeblocks(self, n, buf, off=None):
        """Write `buf` there; without `off` whole blocks, which need no erase before."""
        self._write(n * self.block_size + (off or 0), buf)

    def ioctl(self, op, arg):
        """As vfs.AbstractBlockDev: 3 sync, 4 how many blocks, 5 their size, 6 erase block."""
        if op == 4:
            return self.blocks
        if op == 5:
            return self.block_size
        if op == 6:
            self._write(arg * self.block_size, _BLANK * self.block_size)
        return 0

    def _write(self, at, data):
        self.writes += 1
        stop = self._stop if self.writes == self._stop_after else None
        if stop:
            print("power cut: write {}, {}".format(self.writes, stop))
        if stop != "before":
            self._file.seek(at)
            self._file.write(memoryview(data)[: len(data) // 2] if stop == "half" else data)
        if stop:
            power.cut()
