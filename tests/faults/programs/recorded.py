"""A flash whose writes are recorded, so that a power cut at each of them can be tried."""
# ruff: noqa: PTH123, SIM115 - MicroPython has no pathlib

from block import BlockFile


class Flash(BlockFile):
    """One that notes each write in a journal, or with an `overlay`, a set of blocks, changes only
    copies of these, which stand behind the others. `size`: bytes of a block."""

    def __init__(self, path, size, blocks):
        self.overlay = None
        self.journal = open(path + ".journal", "w+b")
        super().__init__(path, size, 2 * blocks)
        self.blocks = blocks

    def readblocks(self, n, buf, off=0):
        if self.overlay and n in self.overlay:
            n += self.blocks
        super().readblocks(n, buf, off)

    def _write(self, at, data):
        if self.overlay is None:
            self.journal.write(at.to_bytes(4, "big") + len(data).to_bytes(4, "big"))
            self.journal.write(data)
            super()._write(at, data)
            return
        n = at // self.block_size
        if n not in self.overlay:
            block = bytearray(self.block_size)
            self.readblocks(n, block)
            self.put((n + self.blocks) * self.block_size, block)
            self.overlay.add(n)
        self.put(at + self.blocks * self.block_size, data)

    def again(self):
        """From the start: for each write (where, the data), to be written with put()."""
        self.journal.seek(0)
        for n in range(self.blocks):
            self.put(n * self.block_size, b"\xff" * self.block_size)
        for _ in range(self.writes):
            at, size = [int.from_bytes(self.journal.read(4), "big") for _ in range(2)]
            yield at, self.journal.read(size)

    def put(self, at, data):
        self._file.seek(at)
        self._file.write(data)
