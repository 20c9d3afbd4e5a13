"""A region of a virtual board's flash: a block device for vfs.VfsLfs2.

Where it goes it has no loop and no branch, and it allocates little: a Ctrl-C that comes meanwhile
is not to leave a file system that is half changed.
"""

from array import array

import power
from outside import say

BLOCK = 4096


class Flash:
    """`blocks` blocks from the byte `at` of the open file `flash`; the extended interface of
    vfs.AbstractBlockDev. `counter`: an open file of three numbers of 32 bits: the writes and
    erases so far, at which of them the power fails (0: at none), and 0 "before" it, 1 "half" way
    through its bytes or 2 "after" it."""

    def __init__(self, flash, at, blocks, counter):
        self._file = flash
        self._at = at
        self._counter = counter
        self._counts = array("I", (0, 0, 0))
        self._count = memoryview(self._counts)[:1]
        self._blank = b"\xff" * BLOCK
        self._writes = (self._write, self._before, self._half, self._after)
        none = self._none
        size = self._size
        self._ops = (none, none, none, none, lambda arg: blocks, size, self._erase)

    def readblocks(self, n, buf, off=0):
        """Fill `buf` from block `n` on, `off` bytes into it."""
        self._file.seek(self._at + n * BLOCK + off)
        self._file.readinto(buf)

    def writeblocks(self, n, buf, off=0):
        """Write `buf` there."""
        counter = self._counter
        counts = self._counts
        counter.seek(0)
        counter.readinto(counts)
        counts[0] += 1
        counter.seek(0)
        counter.write(self._count)
        self._file.seek(self._at + n * BLOCK + off)
        self._writes[(counts[0] == counts[1]) * (counts[2] + 1)](buf)

    def ioctl(self, op, arg):
        """As vfs.AbstractBlockDev: 4 how many blocks, 5 their size, 6 erase a block."""
        return self._ops[op](arg)

    def _none(self, arg):
        return 0

    def _size(self, arg):
        return BLOCK

    def _erase(self, arg):
        self.writeblocks(arg, self._blank)
        return 0

    def _write(self, buf):
        self._file.write(buf)

    def _before(self, buf, how="before"):
        say("power cut: write {}, {}".format(self._counts[0], how))
        power.cut()

    def _half(self, buf):
        self._file.write(memoryview(buf)[: len(buf) // 2])
        self._before(buf, "half")

    def _after(self, buf):
        self._file.write(buf)
        self._before(buf, "after")
