"""The history on files that were damaged anyhow: it opens, tells every record that was not
touched and goes on.

CPython only: MicroPython has no Hypothesis.
"""

import tempfile
from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from thing.history import _SIZE, History

KEEP = 600
START = 1795343400 // KEEP
COUNT = 44
FIRST = f"74.{KEEP}.{START}"


class Thing:
    """All that a History needs of one; its own registry, clock and entry."""

    name = "t"
    keep = KEEP
    read = None

    def __init__(self, folder, slot=START):
        self.folder = f"{folder}/"
        self.registry = self.clock = self
        self.entries = [self]
        self.lines = []
        self.log = self.lines.append
        self.slot = slot

    def now(self):
        return self.slot * KEEP

    def uptime_s(self):
        return 0


def record(thing, slots):
    """The history, after a slot each."""
    history = History(thing)
    history.segment_bytes = 15 * _SIZE
    history.max_bytes = 5 * 15 * _SIZE
    history.flush()
    list(history.recall("t", 0, 0))
    for slot in slots:
        thing.slot = slot
        thing.value = slot % 100 + 0.5
        history.changed(thing)
    history.flush()
    return history


def told(history):
    found = list(history.recall("t", 0, 1 << 33))
    for when, mean, low, high in found:
        assert mean == low == high == when // KEEP % 100 + 0.5
    slots = [when // KEEP for when, *_ in found]
    assert slots == sorted(set(slots))
    return slots


@cache
def files():
    """The files, by name; in order."""
    with tempfile.TemporaryDirectory() as folder:
        for at in range(0, COUNT, 11):
            history = record(Thing(folder), range(START + at, START + at + 11))
        assert told(history) == list(range(START, START + COUNT))
        found = {p.name: p.read_bytes() for p in sorted(Path(folder, "history").iterdir())}
        assert [len(f) // _SIZE for f in found.values()] == [15, 15, 14]
        return found


def check(name, content, begin, end):
    """As `name` is now `content`: the bytes begin to end of it were touched."""
    first = int(name.rpartition(".")[2])
    touched = range(first + begin // _SIZE, first + -(-end // _SIZE))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "history").mkdir()
        for n, data in {**files(), name: content}.items():
            Path(folder, "history", n).write_bytes(data)
        want = [s for s in range(START, START + COUNT) if s not in touched]
        history = record(Thing(folder, START + COUNT), ())
        slots = told(history)
        assert set(want) <= set(slots) <= set(range(START, START + COUNT)), slots
        # And it goes on from there, in the same file and in a new one
        more = list(range(START + COUNT, START + COUNT + 17))
        record(Thing(folder, more[0]), more[:3])
        thing = Thing(folder, more[3])
        history = record(thing, more[3:])
        assert told(history) == slots + more
        assert told(record(Thing(folder, more[-1]), ())) == slots + more
        assert not thing.lines and not history.failures


def names():
    return st.deferred(lambda: st.sampled_from(sorted(files())))


def test_each_byte():
    # All bits of it, or one; the last file is the one that is written to
    for n, name in enumerate((FIRST, sorted(files())[-1])):
        data = files()[name]
        for i in range(len(data)):
            content = bytearray(data)
            content[i] ^= 1 << i % 8 if (i + n) % 2 else 0xFF
            check(name, bytes(content), i, i + 1)


def test_each_length():
    for name, step in ((FIRST, 7), (sorted(files())[-1], 1)):
        data = files()[name]
        for i in range(0, len(data), step):
            check(name, data[:i], i, len(data))


@given(names(), st.data())
def test_bytes_in_place_of_others(name, data):
    content = files()[name]
    i = data.draw(st.integers(0, len(content)))
    new = data.draw(st.binary(max_size=len(content) - i))
    check(name, content[:i] + new + content[i + len(new) :], i, i + len(new))


@given(names(), st.integers(0, 4), st.integers(1, 4), st.sampled_from([b"\0", b"\xff"]))
def test_blocks(name, i, count, fill):
    content = files()[name]
    i = min(i * 64, len(content))
    j = min(i + count * 64, len(content))
    check(name, content[:i] + fill * (j - i) + content[j:], i, j)


@given(names(), st.binary(max_size=600))
def test_rubbish(name, content):
    check(name, content, 0, len(files()[name]))


@given(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=30))
def test_names_of_files(name):
    # Whatever stands there: what is ours is told, what is not is left alone
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "history").mkdir()
        for n, data in files().items():
            Path(folder, "history", n).write_bytes(data)
        path = Path(folder, "history", name)
        if name in (".", "..") or path.exists() or len(name.encode()) > 200:
            return
        path.write_bytes(b"x")
        assert told(record(Thing(folder, START + COUNT), ())) == list(range(START, START + COUNT))
        assert path.exists()


def test_every_word_as_a_name():
    for name in ("74.600.", "74.600.x", "74..1", "7.600.1", "zz.600.1", "74.600.1.2", "ff.600.1"):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "history").mkdir()
            path = Path(folder, "history", name)
            path.write_bytes(b"x")
            thing = Thing(folder)
            assert told(record(thing, range(START, START + 9))) == list(range(START, START + 9))
            assert path.exists() and not thing.lines
