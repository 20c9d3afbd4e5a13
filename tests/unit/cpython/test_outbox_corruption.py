"""The outbox on files that were damaged anyhow: it opens, and keeps every record that is whole.

CPython only: MicroPython has no Hypothesis.
"""

import asyncio
import contextlib
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import event, given
from hypothesis import strategies as st
from thing.outbox import _SIZE, Outbox

WORDS = [f"{i}: 21.5 °C" + "\u4e2dx" * (i % 7) for i in range(40)]


def box_of(folder, log=lambda line: None):
    box = Outbox(str(folder), log)
    box.segment_bytes = 500
    box.max_bytes = 20000
    box.batch_bytes = 150
    box.max_text = 100
    box.max_out = 100
    return box


def take(box):
    found = []
    while (got := box.next()) is not None:
        found.append(got)
    return found


@cache
def files():
    """Some segments of some boots, by name; nothing in them has arrived."""
    with tempfile.TemporaryDirectory() as folder:
        for boot in range(4):

            async def main(words):
                box = box_of(folder)
                for text in words:
                    task = asyncio.create_task(box.put(text))
                    await asyncio.sleep(0)
                box.flush()
                await task

            asyncio.run(main(WORDS[10 * boot : 10 * boot + 10]))
        found = {p.name: p.read_bytes() for p in sorted(Path(folder).iterdir())}
        assert len(found) > 4
        assert [f[1] for f in take(box_of(folder))] == WORDS
        return found


@cache
def ids():
    return [f[0] for f in opened(files())[0]]


def opened(data):
    """What is handed out of files {name: bytes}, and the lines that were logged."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name, content in data.items():
            Path(folder, name).write_bytes(content)
        box = box_of(folder, lines.append)
        found = take(box)
        said = len(lines)
        box.rewind()
        assert take(box) == found
        assert len(lines) == said, lines
        # And it goes on from there. Written at once, it needs no loop
        box.batch_bytes = 1
        with contextlib.suppress(StopIteration):
            box.put("afterwards").send(None)
        assert box.next()[1] == "afterwards"
        again = take(box_of(folder))
        assert [f[1] for f in again] == [f[1] for f in found] + ["afterwards"]
        assert not box.failures
        return found, lines


def places(name):
    """(begin, end, index of its text) of the records of a file."""
    content = files()[name]
    found = []
    for i, text in enumerate(WORDS):
        body = text.encode()
        at = content.find(len(body).to_bytes(2, "little") + b"\2", 0)
        while at >= 0:
            if content[at + _SIZE - 5 : at + _SIZE - 5 + len(body)] == body:
                found.append((at - 5, at - 5 + _SIZE + len(body), i))
            at = content.find(len(body).to_bytes(2, "little") + b"\2", at + 1)
    return found


def check(name, content, begin, end):
    """As `name` is now `content`, the bytes begin to end of it were touched."""
    found, lines = opened({**files(), name: content})
    touched = [i for a, b, i in places(name) if begin < b and a < max(end, begin + 1)]
    want = [t for i, t in enumerate(WORDS) if i not in touched]
    got = [f[1] for f in found]
    # What was touched may be there (it may be as it was), and nothing else may not
    assert [t for t in got if t in want] == want
    assert got == [t for t in WORDS if t in got]
    assert all(ids()[WORDS.index(f[1])] == f[0] for f in found)
    mine = [s for s in lines if f" {name}: " in s]
    assert lines == mine and len(lines) <= 1, lines
    event(f"lines: {len(lines)}, lost: {len(WORDS) - len(found)}")
    # What a power cut may have left at the end is worth no line, anything else is
    if len(got) < len(WORDS) and any(a >= end for a, _, _ in places(name)):
        assert lines


def names():
    return st.deferred(lambda: st.sampled_from(sorted(files())))


@given(names(), st.data())
def test_a_bit(name, data):
    content = bytearray(files()[name])
    i = data.draw(st.integers(0, len(content) - 1))
    content[i] ^= 1 << data.draw(st.integers(0, 7))
    check(name, bytes(content), i, i + 1)


@given(names(), st.data(), st.binary(max_size=40))
def test_bytes_in_place_of_others(name, data, new):
    content = files()[name]
    i = data.draw(st.integers(0, len(content)))
    j = min(len(content), i + data.draw(st.integers(0, 60)))
    # A cut between two records takes nothing from them
    check(name, content[:i] + new + content[j:], i, j)


@given(names(), st.data())
def test_truncation(name, data):
    content = files()[name]
    i = data.draw(st.integers(0, len(content)))
    check(name, content[:i], i, len(content))


@given(names(), st.integers(0, 8), st.integers(1, 4), st.sampled_from([b"\0", b"\xff"]))
def test_blocks(name, i, count, fill):
    content = files()[name]
    i = min(i * 64, len(content))
    j = min(i + count * 64, len(content))
    check(name, content[:i] + fill * (j - i) + content[j:], i, j)


@given(names(), st.binary(max_size=600))
def test_rubbish(name, content):
    check(name, content, 0, len(files()[name]))


@given(names(), st.data())
def test_records_that_were_written_again(name, data):
    # As a write leaves them that failed half way
    content = files()[name]
    records = places(name)
    first = data.draw(st.integers(0, len(records) - 1))
    last = data.draw(st.integers(first, len(records) - 1))
    last = max(i for i in range(first, last + 1) if records[i][2] // 10 == records[first][2] // 10)
    a, b = records[first][0], records[last][1]
    cut = data.draw(st.integers(a, b))
    found, lines = opened({**files(), name: content[:cut] + content[a:]})
    assert [f[1] for f in found] == WORDS
    assert len(lines) <= 1
