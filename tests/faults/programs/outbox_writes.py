"""An outbox on littlefs, and the power cut at every write: outbox_writes.py IMAGE [PART PARTS]

A first life of the device is recorded: each write to flash, and between which writes which put()
returned. What is on flash when the power fails at the n-th write is then what the writes before it
made of it, and half of that one: for every n it is mounted, opened and compared with what was
promised by then. With PART (from 0) and PARTS only every PARTS-th write is tried.

Prints `checked N writes M`, or a traceback.
"""
# ruff: noqa: PTH116, PTH123, PTH208, SIM105, SIM115, UP032

import asyncio
import gc
import os
import sys

import vfs
from outbox import Outbox

SIZE = 4096
BLOCKS = 16
PUTS = 64


class Flash:
    """Blocks in a file. While `overlay` is a dict writes go there, else each is appended to the
    file `journal`."""

    def __init__(self, path):
        self.file = open(path, "w+b")
        for n in range(BLOCKS):
            self.apply(n, 0, b"\xff" * SIZE)
        self.journal = open(path + ".journal", "w+b")
        self.writes = 0
        self.overlay = None

    def readblocks(self, n, buf, off=0):
        if self.overlay and n in self.overlay:
            buf[:] = self.overlay[n][off : off + len(buf)]
        else:
            self.file.seek(n * SIZE + off)
            self.file.readinto(buf)

    def writeblocks(self, n, buf, off=0):
        if self.overlay is None:
            self.journal.write(bytes([n, off >> 8, off & 0xFF, len(buf) >> 8, len(buf) & 0xFF]))
            self.journal.write(buf)
            self.writes += 1
            self.apply(n, off, buf)
            return
        if n not in self.overlay:
            block = bytearray(SIZE)
            self.readblocks(n, block)
            self.overlay[n] = block
        self.overlay[n][off : off + len(buf)] = buf

    def apply(self, n, off, buf):
        self.file.seek(n * SIZE + off)
        self.file.write(buf)

    def ioctl(self, op, arg):
        if op == 4:
            return BLOCKS
        if op == 5:
            return SIZE
        if op == 6:
            self.writeblocks(arg, b"\xff" * SIZE)
        return 0


def mount(flash):
    vfs.mount(vfs.VfsLfs2(flash, readsize=32, progsize=32, lookahead=32), "/flash")


def box_of(lines):
    box = Outbox("/flash/outbox", lines.append)
    box.max_bytes = 2400
    box.segment_bytes = 600
    box.batch_bytes = 250
    box.max_text = 90
    return box


def text(i):
    return "{} humidity {} \u00b0".format(i, "x" * (i * 7 % 60))


class Life:
    """What was promised, and after how many writes."""

    def __init__(self, flash):
        self.flash = flash
        self.put_at = {}  # number of a text -> writes when it was put
        self.saved = {}  # number of a text -> writes when its put() returned
        self.ids = {}
        self.arrived = {}  # number of a text -> writes when it had arrived
        self.noted = {}  # the same -> writes when that was flushed
        self.lost = 0

    async def put(self, box, i):
        self.put_at[i] = self.flash.writes
        await box.put(text(i))
        self.saved[i] = self.flash.writes

    async def boot(self, first, last, take):
        # Puts texts `first` to `last`, and after each three sees to `take` of them
        lines = []
        box = box_of(lines)
        out = []
        for i in range(first, last):
            asyncio.create_task(self.put(box, i))
            await asyncio.sleep(0)
            if i % 3 == 2:
                for _ in range(take):
                    got = box.next()
                    if got:
                        n = int(got[1].split()[0])
                        assert self.ids.setdefault(n, got[0]) == got[0]
                        out.append(n)
                # One is always under way
                while len(out) > 1:
                    box.done()
                    self.arrived[out.pop(0)] = self.flash.writes
                if i % 2:
                    box.flush()
                    await asyncio.sleep(0)
                    self.note()
            if i % 20 == 19:
                box.rewind()
                out = []
        box.flush()
        await asyncio.sleep(0)
        self.note()
        self.lost = box.lost
        assert not [s for s in lines if "room" not in s], lines

    def note(self):
        for n in self.arrived:
            self.noted.setdefault(n, self.flash.writes)

    async def main(self):
        # Never written at all, mostly; then it fills up; then it is emptied
        await self.boot(0, 18, 4)
        await self.boot(18, 50, 0)
        assert self.lost
        await self.boot(50, PUTS, 12)


def check(life, flash, k):
    # What is in flash after k writes is as it was promised
    def sure(fact, *why):
        if not fact:
            raise AssertionError("after write {}: {}".format(k, why))

    flash.overlay = {}
    mount(flash)
    lines = []
    box = box_of(lines)
    found = []
    while True:
        got = box.next()
        if not got:
            break
        n = int(got[1].split()[0])
        sure(got[1] == text(n), got)
        sure(life.ids.get(n, got[0]) == got[0], "id", n)
        sure(not found or n > found[-1], "order", found, n)
        # Only what was flushed is known to have arrived
        sure(life.noted.get(n, k + 1) > k, "arrived", n)
        found.append(n)
        if len(found) % 30 == 0:
            for _ in range(30):
                box.done()
    missing = []
    for n in life.saved:
        if life.saved[n] <= k and life.arrived.get(n, k + 1) > k and n not in found:
            missing.append(n)
    sure(len(missing) <= box.lost <= life.lost, "missing", missing, "lost", box.lost)
    # None is counted as lost and there all the same
    most = len([n for n in life.put_at if life.put_at[n] <= k < life.noted.get(n, k + 1)])
    sure(len(found) + box.lost <= most, "too many", len(found), box.lost, most)
    sure(not missing or not found or max(missing) < found[0], "order of loss", missing, found)
    sure(not lines and not box.failures, lines)
    # And it goes on. Written at once, it needs no loop
    box.batch_bytes = 1
    try:
        box.put("-1 afterwards").send(None)
    except StopIteration:
        pass
    box = box_of(lines)
    last = None
    while True:
        got = box.next()
        if not got:
            break
        last = got[1]
        box.done()
    sure(last == "-1 afterwards", last, lines)
    box.flush()
    if not box.lost:
        for n in os.listdir("/flash/outbox"):
            # An empty one was made just before the power failed
            sure(not os.stat("/flash/outbox/" + n)[6], "left behind", n)
    vfs.umount("/flash")


def main(path, part=0, parts=1):
    flash = Flash(path)
    vfs.VfsLfs2.mkfs(flash, readsize=32, progsize=32, lookahead=32)
    begin = flash.writes
    mount(flash)
    life = Life(flash)
    asyncio.run(life.main())
    vfs.umount("/flash")
    # Again from the start, one write at a time
    writes = flash.writes
    flash.journal.seek(0)
    for n in range(BLOCKS):
        flash.apply(n, 0, b"\xff" * SIZE)
    count = 0
    for k in range(writes):
        n, high, low, size_high, size_low = flash.journal.read(5)
        data = flash.journal.read(size_high << 8 | size_low)
        off = high << 8 | low
        if k >= begin and k % int(parts) == int(part):
            gc.collect()
            check(life, flash, k)
            flash.apply(n, off, data[: len(data) // 2])
            check(life, flash, k)
            count += 2
        flash.apply(n, off, data)
    check(life, flash, writes)
    print("checked", count, "writes", writes - begin, "lost", life.lost, "of", PUTS)


main(*sys.argv[1:])
