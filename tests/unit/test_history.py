"""The history: slots, batches, the ring, times that are not known or jump, what it does to flash,
and what people are told of it. Damage is in cpython/test_history_corruption.py, power cuts in
tests/faults."""

import asyncio
import os

from helper import allocated, temporary
from thing import history
from thing.history import History
from thing.registry import Control, Occupancy, Sensor
from thing.sparkline import summary

HEAP = "1200k"

KEEP = 300
NOW = 1795343400  # a multiple of KEEP
START = NOW // KEEP
LIMIT_S = 20


class Clock:
    """One that is moved by hand."""

    def __init__(self, epoch=NOW, up=0):
        self.epoch = epoch
        self.up = up

    def now(self):
        return self.epoch

    def uptime_s(self):
        return self.up

    def go(self, s):
        self.up += s
        if self.epoch is not None:
            self.epoch += s


class Thing:
    """All that a History needs of one."""

    def __init__(self, folder, entries, clock):
        self.folder = folder
        self.entries = entries
        self.registry = self
        self.clock = clock
        self.lines = []
        self.log = self.lines.append


class Folder:
    """A folder of its own, gone at the end; counts what is written, and fails when told to."""

    def __enter__(self):
        self.path = temporary("history") + "/"
        os.mkdir(self.path[:-1])
        self.written = []
        self.removed = []
        self.broken = None  # an exception for whatever would be written
        self.unreadable = False
        history.open = self._open
        history.os = self
        return self

    def __exit__(self, *exc):
        del history.open
        history.os = os
        for n in self.names():
            os.remove(self.path + "history/" + n)
        if "history" in os.listdir(self.path):
            os.rmdir(self.path + "history")
        os.rmdir(self.path[:-1])

    def _open(self, path, mode):
        if mode == "rb":
            if self.unreadable:
                raise OSError(5)
        else:
            if self.broken:
                raise self.broken
            self.written.append(path.rpartition("/")[2])
        return open(path, mode)

    def mkdir(self, path):
        os.mkdir(path)

    def listdir(self, path):
        # In no order that could be relied on
        names = os.listdir(path)
        names.sort(reverse=True)
        return names

    def stat(self, path):
        return os.stat(path)

    def remove(self, path):
        if self.broken:
            raise self.broken
        self.removed.append(path.rpartition("/")[2])
        os.remove(path)

    def names(self):
        try:
            names = os.listdir(self.path + "history")
        except OSError:
            return []
        names.sort()
        return names

    def size(self):
        return sum([os.stat(self.path + "history/" + n)[6] for n in self.names()])

    def boot(self, *entries, clock=None, **limits):
        """A history that has opened its files."""
        self.thing = Thing(self.path, list(entries), clock or Clock())
        made = History(self.thing)
        for k in limits:
            setattr(made, k, limits[k])
        step(made)
        return made


class StepError(Exception):
    pass


class Loop:
    # asyncio, for one turn of run()
    TimeoutError = asyncio.TimeoutError

    async def sleep(self, s):
        self.slept = s
        raise StepError


def step(made):
    """One turn of run(); how long it would have slept."""
    loop = history.asyncio = Loop()
    try:
        made.run().send(None)
    except StepError:
        pass
    finally:
        history.asyncio = asyncio
    return loop.slept


def sensor(name="temperature", keep=KEEP, unit="\u00b0C"):
    return Sensor(name, None, unit=unit, keep=keep)


def take(made, entry, *values):
    """Readings, one a slot, from the present one on."""
    for value in values:
        entry.value = value
        made.changed(entry)
        made._thing.clock.go(entry.keep)


def fill(made, entry, values):
    """As take(), for many."""
    for i, value in enumerate(values):
        take(made, entry, value)
        if i % 16 == 15:
            step(made)


def told(made, name="temperature", since=0, until=1 << 32):
    return list(made.recall(name, since, until))


def slots(made, name="temperature"):
    """The numbers of the slots since START."""
    found = [r[0] // KEEP - START for r in told(made, name)]
    assert found == sorted(set(found)), found
    return found


def test_a_slot():
    with Folder() as f:
        t = sensor()
        h = f.boot(t)
        for value in (21.5, 20.5, 24.0, 22):
            t.value = value
            h.changed(t)
            f.thing.clock.go(KEEP // 4)
        # It is over now; the next is not, and is told all the same
        t.value = 19
        h.changed(t)
        for _ in range(2):
            assert told(h) == [(NOW, 22.0, 20.5, 24.0), (NOW + KEEP, 19.0, 19.0, 19.0)]
            assert told(h, until=NOW + KEEP) == [(NOW, 22.0, 20.5, 24.0)]
            assert told(h, since=NOW + 1) == [(NOW + KEEP, 19.0, 19.0, 19.0)]
            assert told(h, since=NOW + KEEP + 1) == told(h, until=NOW) == []
            h.flush()
        # What was read in a slot that is in flash already is not counted
        t.value = 99
        h.changed(t)
        assert told(h)[-1] == (NOW + KEEP, 19.0, 19.0, 19.0)
        h = f.boot(t, clock=Clock(f.thing.clock.epoch))
        assert told(h) == [(NOW, 22.0, 20.5, 24.0), (NOW + KEEP, 19.0, 19.0, 19.0)]
        assert told(h, "humidity") == []
        assert f.names() == ["{}.300.{}".format("74656d7065726174757265", START)]
        assert f.thing.lines == [] and h.failures == 0


def test_what_is_kept():
    with Folder() as f:
        t = sensor()
        door = sensor("door", unit="")
        other = sensor("other", keep=None)
        h = f.boot(t, door, other)
        take(h, t, 1, None, "2", float("nan"), float("inf"), -float("inf"), 1e30, 10**400, -5)
        assert [r[1] for r in told(h)] == [1.0, -5.0] and slots(h) == [0, 8]
        take(h, door, True, False)
        assert [r[1:] for r in told(h, "door")] == [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0)]
        other.value = 1
        h.changed(other)
        # Declared too late
        late = sensor("late")
        late.value = 1
        h.changed(late)
        assert told(h, "other") == told(h, "late") == told(h, "none") == []
        # Other entries have no keep at all
        del other.keep
        f.thing.entries.append(other)
        step(h)
        f.boot(other)


def test_batches():
    with Folder() as f:
        t = sensor()
        h = f.boot(t, batch=4, batch_s=10**6)
        for i in range(1, 40):
            take(h, t, i)
            step(h)
            # The slot is over with its last second
            assert len(f.written) == i // 4, i
        assert slots(h) == list(range(39))
        # Only in RAM: three
        assert slots(f.boot(t)) == list(range(36))
    with Folder() as f:
        h = f.boot(t, batch=100, batch_s=1800)
        for i in range(1, 40):
            take(h, t, i)
            step(h)
            assert len(f.written) == i // 6, i
        # What is read no more does not wait for the next reading
        f.thing.clock.go(1800)
        step(h)
        assert slots(f.boot(t)) == list(range(39))
        # Nothing new is nothing to be written
        h.flush()
        f.written.clear()
        for _ in range(10):
            f.thing.clock.go(1800)
            step(h)
        h.flush()
        assert f.written == []


def test_how_often_it_looks():
    with Folder() as f:
        assert step(f.boot()) == 1800 / 8
        assert step(f.boot(sensor(), sensor("a", keep=3600))) == 150
        assert step(f.boot(sensor(), sensor("a", keep=1))) == 0.5


def test_what_is_not_read_is_looked_at():
    # A control has its value until it is set again
    with Folder() as f:
        c = Control("relay", None, bool, keep=KEEP)
        h = f.boot(c)
        for i in range(20):
            if i == 3:
                c.value = True
                h.changed(c)
            elif i == 11:
                c.value = False
                h.changed(c)
            step(h)
            f.thing.clock.go(KEEP)
        assert [r[1] for r in told(h, "relay")] == [1.0] * 8 + [0.0] * 9
        assert slots(h, "relay") == list(range(3, 20))


def test_the_ring():
    for n in (800, 2000):
        with Folder() as f:
            t = sensor()
            h = f.boot(t)
            most = 0
            for i in range(n):
                take(h, t, i)
                if i % 7 == 0:
                    step(h)
                if f.written:
                    f.written.clear()
                    most = max(most, f.size())
                    assert len(f.names()) <= 3
            found = slots(h)
            assert 288 <= len(found) <= 288 + 2 * 227 and found[-1] == n - 1
            assert found == list(range(n - len(found), n))
            assert [r[1] for r in told(h)] == found
            assert most <= 3 * 4096
            # Each part of it, those that begin about a file among them
            bases = [int(name.split(".")[2]) - START for name in f.names()]
            for first in list(range(found[0], n, 41)) + [b + i for b in bases for i in (-1, 0, 1)]:
                if first < found[0]:
                    continue
                for count in (1, 30, 400):
                    part = told(
                        h, "temperature", (START + first) * KEEP, (START + first + count) * KEEP
                    )
                    assert [r[1] for r in part] == list(range(first, min(first + count, n)))
            assert slots(h) == found
            step(h)
            h.flush()
            assert slots(f.boot(t)) == found


def test_the_most_bytes():
    for keep, files in ((3600, 2), (600, 2), (300, 3), (60, 8), (10, 8), (1, 8)):
        with Folder() as f:
            t = sensor(keep=keep)
            h = f.boot(t)
            for i in range(2500):
                take(h, t, i)
                if i % 16 == 15:
                    step(h)
            h.flush()
            assert len(f.names()) == files, (keep, f.names())
            assert f.size() <= files * 4096 <= h.max_bytes
            assert sum([1 for _ in h.recall("temperature", 0, 1 << 32)]) >= (files - 1) * 227


def test_a_reboot_in_the_middle():
    with Folder() as f:
        t = sensor()
        clock = Clock()
        value = 0
        for _ in range(30):
            h = f.boot(t, clock=clock)
            for _ in range(17):
                take(h, t, value)
                value += 1
            h.flush()
        assert [r[1] for r in told(h)] == slots(h) == list(range(value))
        # One without a flush
        h = f.boot(t, clock=clock)
        take(h, t, 1, 2, 3)
        h = f.boot(t, clock=clock)
        take(h, t, 4)
        assert slots(h)[-2:] == [value - 1, value + 3]
        # And within a slot: what is there stays
        clock.go(10)
        t.value = 7
        h.changed(t)
        h.flush()
        h = f.boot(t, clock=clock)
        t.value = 8
        h.changed(t)
        assert told(h)[-1][1:] == (7.0, 7.0, 7.0)


def test_a_clock_that_is_not_known():
    with Folder() as f:
        t = sensor()
        clock = Clock(None, 70)
        h = f.boot(t, clock=clock)
        take(h, t, 0, 1, 2)
        assert told(h, since=NOW - 86400, until=NOW + 86400) == []
        step(h)
        h.flush()
        assert f.names() == []
        take(h, t, 3)
        clock.epoch = NOW + 4 * KEEP + 10
        # Read from NOW + 10 on: their slots begin by less than one too early, none has two
        assert [r[1] for r in told(h)] == [0.0, 1.0, 2.0, 3.0]
        assert slots(h) == [-1, 0, 1, 2]
        take(h, t, 4)
        assert slots(h) == [-1, 0, 1, 2, 4]
        h.flush()
        assert told(f.boot(t, clock=clock)) == told(h)


def test_a_clock_that_becomes_known_in_a_slot():
    for up in range(0, KEEP, 23):
        for offset in (0, 1, 100, 299):
            with Folder() as f:
                t = sensor()
                clock = Clock(None, up)
                h = f.boot(t, clock=clock)
                for i in range(40):
                    t.value = i
                    h.changed(t)
                    clock.go(60)
                    if i == 20:
                        clock.epoch = NOW + offset
                        step(h)
                found = told(h)
                # Every reading has its slot, none is in two
                assert found[0][2] == 0 and found[-1][3] == 39
                for a, b in zip(found, found[1:]):
                    assert b[0] > a[0] and b[2] == a[3] + 1, (up, offset, found)


def test_a_clock_that_is_never_known():
    with Folder() as f:
        t = sensor()
        clock = Clock(None)
        h = f.boot(t, clock=clock)
        take(h, t, *range(100))
        clock.epoch = NOW
        # The open one besides
        assert [r[1] for r in told(h)] == list(range(51, 100))
        # It is lost with the power; nothing is made up
        clock = Clock(None)
        h = f.boot(t, clock=clock)
        take(h, t, 1, 2, 3)
        h.flush()
        clock = Clock()
        assert told(f.boot(t, clock=clock)) == [] and f.thing.lines == []


def test_a_clock_that_is_lost():
    with Folder() as f:
        t = sensor()
        clock = Clock()
        h = f.boot(t, clock=clock)
        take(h, t, 0, 1)
        h.flush()
        clock.epoch = None
        take(h, t, 2, 3)
        h.flush()
        clock.epoch = NOW + 4 * KEEP
        take(h, t, 4)
        assert slots(h) == [0, 1, 2, 3, 4]
        h.flush()
        assert slots(f.boot(t, clock=clock)) == [0, 1, 2, 3, 4]
        # After a reboot it is known late, and is behind
        clock = Clock(None)
        h = f.boot(t, clock=clock)
        take(h, t, 50, 51, 52, 53)
        clock.epoch = NOW + 6 * KEEP
        assert [r[1] for r in told(h)] == [0, 1, 2, 3, 4, 53]


def test_jumps():
    with Folder() as f:
        t = sensor()
        clock = Clock()
        h = f.boot(t, clock=clock)
        take(h, t, *range(10))
        step(h)
        # Back by less than the ring: what is there stays, no slot comes twice
        for back in (1, 2, 5, 200):
            clock.go(-back * KEEP)
            fill(h, t, [1000] * back)
            assert [r[1] for r in told(h)] == list(range(10)), back
            h.flush()
            # Nor is it written
            assert f.size() == 10 * 18
            h = f.boot(t, clock=clock)
        take(h, t, 10)
        assert [r[1] for r in told(h)] == list(range(11))
        # A little, and on
        t.value = 11
        h.changed(t)
        clock.go(-5)
        t.value = 1000
        h.changed(t)
        clock.go(5)
        t.value = 13
        h.changed(t)
        assert told(h)[-1][1:] == (12.0, 11.0, 13.0)
        h.flush()
        # On by years, and back again: it begins anew, once
        clock.go(10**8)
        take(h, t, 12, 13)
        assert len(slots(h)) == 14
        h.flush()
        clock.epoch = NOW + 20 * KEEP
        take(h, t, 14, 15)
        assert [r[1] for r in told(h, until=NOW + 86400)] == [14, 15]
        assert slots(f.boot(t, clock=clock))[-1] > 10**5
        h.flush()
        assert len(f.names()) == 1
        for _ in range(2):
            assert slots(h) == [20, 21]
            h = f.boot(t, clock=clock)
        take(h, t, 16)
        assert slots(h) == [20, 21, 22]


def test_another_resolution():
    with Folder() as f:
        t = sensor()
        h = f.boot(t, sensor("a/\u00e9\U0001f321"), sensor("b"))
        fill(h, t, range(300))
        for e in f.thing.entries[1:]:
            take(h, e, 1)
        h.flush()
        names = f.names()
        assert len(names) == 4
        with open(f.path + "history/notes.txt", "w") as out:
            out.write("somebody else's")
        h = f.boot(sensor(keep=60), sensor("a/\u00e9\U0001f321"), Control("c", None, bool))
        assert f.thing.lines == [
            "history: temperature every 300 s: removed",
            "history: b every 300 s: removed",
        ] or f.thing.lines == [
            "history: b every 300 s: removed",
            "history: temperature every 300 s: removed",
        ]
        assert len(f.names()) == 2 and "notes.txt" in f.names()
        assert told(h) == [] and len(told(h, "a/\u00e9\U0001f321")) == 1
        # And without keep at all
        f.boot(sensor("a/\u00e9\U0001f321", keep=None))
        assert f.thing.lines == ["history: a/\u00e9\U0001f321 every 300 s: removed"]
        assert f.names() == ["notes.txt"]
        f.boot()
        assert f.thing.lines == []


def test_names_that_are_alike():
    with Folder() as f:
        entries = [
            sensor(n) for n in ("a", "a.300", "aa", "a/b", "a_b", "..", "\u00e4", "a\u0308")
        ]
        h = f.boot(*entries)
        for i, e in enumerate(entries):
            take(h, e, i)
        h.flush()
        h = f.boot(*entries)
        assert len(f.names()) == len(entries)
        for n in f.names():
            assert not n.strip("0123456789abcdef."), n
        for i, e in enumerate(entries):
            assert [r[1] for r in told(h, e.name)] == [i]
        assert f.thing.lines == []


def test_flash_that_fails():
    for e in (OSError(28), MemoryError()):
        with Folder() as f:
            t = sensor()
            h = f.boot(t)
            fill(h, t, range(250))
            h.flush()
            f.broken = e
            for i in range(250, 290):
                take(h, t, i)
                step(h)
            assert h.failures > 3
            assert f.thing.lines == ["history: flash: " + repr(e)]
            # What waits is not lost, and told
            assert slots(h) == list(range(290))
            take(h, t, *range(290, 310))
            step(h)
            f.broken = None
            step(h)
            # So much is lost
            assert slots(h) == list(range(250)) + list(range(262, 310))
            take(h, t, 310)
            h.flush()
            h = f.boot(t, clock=f.thing.clock)
            assert slots(h) == list(range(250)) + list(range(262, 311))
            f.broken = e
            take(h, t, 311)
            h.flush()
            f.broken = None
            h.flush()
            f.thing.lines.clear()
            # It is said again when it happens again
            f.broken = e
            for _ in range(3):
                take(h, t, 1)
                h.flush()
            assert f.thing.lines == ["history: flash: " + repr(e)]


def test_flash_that_cannot_be_read():
    with Folder() as f:
        t = sensor()
        h = f.boot(t)
        take(h, t, *range(20))
        h.flush()
        take(h, t, 20)
        f.unreadable = True
        assert slots(h) == [20]
        assert h.failures == 1 and len(f.thing.lines) == 1
        f.unreadable = False
        assert slots(h) == list(range(21))
        # The folder was taken away
        for n in f.names():
            os.remove(f.path + "history/" + n)
        os.rmdir(f.path + "history")
        h.flush()
        assert slots(h) == slots(f.boot(t)) == [20]


def test_recall_while_it_is_written():
    # Whoever asks may take his time: nothing twice, nothing missing
    with Folder() as f:
        t = sensor()
        h = f.boot(t)
        fill(h, t, range(500))
        step(h)
        take(h, t, *range(500, 520))
        found = []
        for r in h.recall("temperature", (START + 260) * KEEP, NOW * 2):
            found.append(int(r[1]))
            if len(found) % 5 == 0 and len(found) < 60:
                take(h, t, 520 + len(found))
                step(h)
                h.flush()
        assert found[:260] == list(range(260, 520))
        assert found == sorted(found)
        # Even when its file goes meanwhile
        given = h.recall("temperature", 0, NOW * 2)
        assert int(next(given)[1]) < 300
        for _ in range(500):
            take(h, t, 1)
            step(h)
        assert list(given)[-1]
        assert f.thing.lines == [] and h.failures == 0


def test_run():
    async def main():
        with Folder() as f:
            t = sensor()
            f.boot(t)
            h = History(f.thing)
            h.batch_s = 0.01
            task = asyncio.create_task(h.run())
            await asyncio.sleep(0)
            take(h, t, 1, 2, 3)
            while not f.written:
                await asyncio.sleep(0.005)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
            assert slots(f.boot(t)) == [0, 1, 2]

    asyncio.run(asyncio.wait_for(main(), LIMIT_S))


def test_memory():
    with Folder() as f:
        entries = [sensor(n) for n in ("temperature", "humidity", "pressure")]
        h = f.boot(*entries)
        for i in range(600):
            for e in entries:
                e.value = 20.5 + i % 7
                h.changed(e)
            f.thing.clock.go(KEEP)
            if i % 32 == 31:
                step(h)
        f.written.clear()
        f.removed.clear()
        before = allocated()
        sums = 0
        most = 0
        for i, r in enumerate(h.recall("humidity", 0, NOW * 2)):
            sums += r[1]
            if i % 50 == 0:
                most = max(most, allocated() - before)
        assert i > 400 and most < 4000, most


# What people are told


class Zone:
    def local(self, epoch):
        return 2026, 11, epoch // 86400 % 28 + 1, epoch // 3600 % 24, epoch // 60 % 60, 0, 0


class Kept:
    """A history of given records."""

    def __init__(self, *records):
        self.records = records

    def recall(self, name, since, until):
        self.asked = since, until
        for r in self.records:
            if since <= r[0] < until:
                yield r


DAY = NOW // 86400 * 86400


def summed(entry, records, seconds=86400, now=DAY + 86400 - 1):
    return summary(Kept(*records), entry, seconds, now, Zone())


def flat(values, keep=KEEP, begin=DAY):
    return [(begin + i * keep, v, v, v) for i, v in enumerate(values) if v is not None]


def test_the_text():
    t = sensor()
    values = [18.2] * 288
    values[144:] = [20.0 + i / 36 for i in range(144)]
    records = flat(values)
    records[74] = (DAY + 74 * KEEP, 18.2, 17.9, 18.4)
    records[172] = (DAY + 172 * KEEP, 20.8, 20, 26.04)
    assert summed(t, records) == (
        "temperature, last 24 h: min 17.9 \u00b0C at 06:10, max 26.04 \u00b0C at 14:20, "
        "mean 20.09 \u00b0C\n"
        "\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581\u2581"
        "\u2583\u2584\u2584\u2585\u2585\u2586\u2586\u2586\u2587\u2587\u2588\u2588"
    )


def test_constant_one_and_none():
    t = sensor(unit="")
    t.value = 5
    begin = "temperature, last 24 h: "
    assert summed(t, flat([5.0] * 288)) == (
        begin + "min 5 at 00:00, max 5 at 00:00, mean 5\n" + 24 * "\u2584"
    )
    assert summed(t, flat([-2.5], begin=DAY + 3600)) == (
        begin + "min -2.5 at 01:00, max -2.5 at 01:00, mean -2.5\n\u00b7\u2584" + 22 * "\u00b7"
    )
    assert summed(t, ()) == begin + "nothing was recorded"
    assert summed(t, (), now=None) == "temperature: no history while the time is not known"
    t.keep = None
    assert summed(t, ()) == "temperature: no history is kept"
    # Others have none
    del t.keep
    assert summed(t, ()) == "temperature: no history is kept"


def test_gaps_and_lengths():
    t = sensor(unit="%")
    now = DAY + 3600
    values = [1.0, None, 3.0, 4.0, None, None, 7.0, 8.0, None, 4.0, 4.0, 1.0]
    line = "\u2581\u00b7\u2583\u2584\u00b7\u00b7\u2587\u2588\u00b7\u2584\u2584\u2581"
    told = summed(t, flat(values), 3600, now - 1)
    assert told == ("temperature, last 1 h: min 1 % at 00:00, max 8 % at 00:35, mean 4 %\n" + line)
    for seconds, length, columns in (
        (5400, "90 min", 18),
        (100, "100 s", 1),
        (0, "1 s", 1),
        (7200, "2 h", 24),
        (7199, "7199 s", 23),
        (172800, "48 h", 24),
    ):
        h = Kept((now, 1.5, 1.5, 1.5))
        words, line = summary(h, t, seconds, now, Zone()).split("\n")
        assert words.startswith("temperature, last " + length + ": min 1.5 % at "), words
        assert len(line) == columns and line == "\u00b7" * (columns - 1) + "\u2584", line
        # The day, where there is more than one
        assert ("-" in words) == (seconds > 86400), words
        assert h.asked == (now - max(1, seconds), now + 1)


def test_every_column_has_a_slot():
    # Whatever the moment and the length: no gap that is none
    t = sensor()
    records = flat([1.0] * 1000)
    for now in range(DAY + 80000, DAY + 80600, 37):
        for seconds in (1800, 3600, 5000, 7200, 7500, 10000, 40000, 79000):
            assert "\u00b7" not in summed(t, records, seconds, now), (now, seconds)


def test_on_and_off():
    values = [1.0] * 96 + [0.0] * 48 + [0.0] * 144
    records = flat(values)
    records[100] = (records[100][0], 0.5, 0.0, 1.0)
    line = 8 * "\u2588" + 16 * "\u2581"
    door = sensor("door", unit="")
    for value in (True, False, None):
        door.value = value
        assert summed(door, records) == "door, last 24 h: on 34 % of the time\n" + line
    relay = Control("relay", None, bool, value=True, keep=KEEP)
    assert summed(relay, records).startswith("relay, last 24 h: on 34 % of the time\n")
    room = Occupancy("room", None, keep=KEEP)
    assert summed(room, records).startswith("room, last 24 h: occupied 34 % of the time\n")
    # A number that is 0 and 1
    door.value = 1
    assert summed(door, records).startswith("door, last 24 h: min 0 at 08:00, max 1 at 00:00, ")
    door.value = False
    for values, words in (
        ([1.0] * 288, "on 100 %"),
        ([0.0] * 288, "on 0 %"),
        ([0.0] * 287 + [1.0], "on <1 %"),
        ([1.0], "on 100 %"),
    ):
        assert words + " of the time\n" in summed(door, flat(values)), words
    # What it was before it was a bool
    assert "max 7 at" in summed(door, flat([0.0, 7.0]))


def test_from_flash():
    with Folder() as f:
        t = sensor()
        h = f.boot(t, clock=Clock(DAY))
        fill(h, t, [20.0 + i % 24 for i in range(288)])
        h.flush()
        t.value = 18.2
        h.changed(t)
        words, line = summary(h, t, 86400, DAY + 86400, Zone()).split("\n")
        assert words == (
            "temperature, last 24 h: min 18.2 \u00b0C at 00:00, max 43 \u00b0C at 01:55, "
            "mean 31.45 \u00b0C"
        )
        assert line == "\u2581\u2588" * 11 + "\u2581\u2587"
