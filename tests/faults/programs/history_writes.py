"""A history on littlefs, and the power cut at every write: history_writes.py IMAGE

Some boots of a device are recorded: each write to flash, and after which of them which slot was
promised, as flush() or run() had written it. What is on flash when the power fails at the n-th
write is then what the writes before it made of it, and half of that one: for every n it is
mounted, opened and compared with what was promised by then; and then it has to go on.

Prints `checked N writes M slots K`, or a traceback.
"""
# ruff: noqa: PTH116, PTH123, PTH208, SIM105, SIM115, UP032

import gc
import os
import sys

import vfs
from recorded import Flash
from thing import history as module
from thing.history import History

SIZE = 4096
BLOCKS = 24
KEEP = 60
START = 1795343400 // KEEP
NAMES = ("temperature", "door")
#: Slots that are there in any case: those of all files but one.
SURE = 3 * 16
#: Slots that are recorded afterwards.
MORE = 20


class Entry:
    read = value = None
    keep = KEEP

    def __init__(self, name):
        self.name = name


class Thing:
    """All that a History needs of one; its own registry and clock."""

    folder = "/flash/"

    def __init__(self, entries):
        self.registry = self.clock = self
        self.entries = entries
        self.lines = []
        self.log = self.lines.append
        self.slot = START

    def now(self):
        return self.slot * KEEP

    def uptime_s(self):
        return 0


def history(thing):
    made = History(thing)
    made.hours = 1
    made.segment_bytes = 300
    made.max_bytes = 1200
    made.batch = 5
    return made


class TurnError(Exception):
    pass


class Loop:
    # In place of asyncio: a turn of run() ends where it would sleep
    async def sleep(self, s):
        raise TurnError


def turn(made):
    try:
        made.run().send(None)
    except TurnError:
        pass


def value(name, slot):
    return float(slot % 100 + len(name))


def take(made, thing, count):
    for _ in range(count):
        for entry in thing.entries:
            entry.value = value(entry.name, thing.slot)
            made.changed(entry)
        thing.slot += 1
        yield


def live(flash, promised):
    thing = Thing([Entry(n) for n in NAMES])
    for boot in range(4):
        made = history(thing)
        turn(made)
        flushed = thing.slot
        for _ in take(made, thing, 24 if boot else 10):
            turn(made)
            if not [ring for ring in made._rings.values() if ring.data]:
                flushed = thing.slot
            promised.append((flash.writes, flushed))
        # One without: what is in RAM is lost, and was never promised
        if boot == 2:
            lost = range(flushed, thing.slot)
        else:
            made.flush()
            promised.append((flash.writes, thing.slot))
    assert lost and not thing.lines and not made.failures, thing.lines
    return thing.slot, lost


def found(made, thing):
    for name in NAMES:
        slots = []
        for when, mean, low, high in made.recall(name, 0, 1 << 32):
            slot = when // KEEP
            assert mean == low == high == value(name, slot), (name, slot, mean)
            assert not slots or slot > slots[-1], (slots, slot)
            slots.append(slot)
        yield slots
    assert not thing.lines and not made.failures, thing.lines


def check(flash, k, until, lost):
    flash.overlay = set()
    vfs.mount(vfs.VfsLfs2(flash, readsize=32, progsize=32, lookahead=32), "/flash")
    thing = Thing([Entry(n) for n in NAMES])
    made = history(thing)
    for slots in found(made, thing):
        # What was written beyond the promise is there without a gap
        end = max([until] + [s + 1 for s in slots])
        want = [s for s in range(START, end) if s not in lost][-SURE:]
        missing = [s for s in want if s not in slots]
        assert not missing, "after write {}: {} missing of {}".format(k, missing, slots)
    # And it goes on, into a file that is not there yet, too; after every second write
    if k % 2:
        vfs.umount("/flash")
        return
    thing.slot = begin = START + 500
    for _ in take(made, thing, MORE):
        turn(made)
    made.flush()
    for slots in found(history(thing), thing):
        assert slots[-MORE:] == list(range(begin, begin + MORE)), (k, slots)
    names = os.listdir("/flash/history")
    assert len(names) <= 8, names
    for n in names:
        assert os.stat("/flash/history/" + n)[6] <= 300
    vfs.umount("/flash")


def main(path):
    module.asyncio = Loop()
    flash = Flash(path, SIZE, BLOCKS)
    vfs.VfsLfs2.mkfs(flash, readsize=32, progsize=32, lookahead=32)
    begin = flash.writes
    vfs.mount(vfs.VfsLfs2(flash, readsize=32, progsize=32, lookahead=32), "/flash")
    promised = []
    end, lost = live(flash, promised)
    vfs.umount("/flash")
    writes = flash.writes
    count = 0
    for k, (at, data) in enumerate(flash.again()):
        if k >= begin:
            until = max([START] + [slot for n, slot in promised if n <= k])
            gc.collect()
            check(flash, k, until, lost)
            flash.put(at, data[: len(data) // 2])
            check(flash, k, until, lost)
            count += 2
        flash.put(at, data)
    print("checked", count, "writes", writes - begin, "slots", end - START)


main(sys.argv[1])
