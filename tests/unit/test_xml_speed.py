"""The parser's cost: linear in the bytes, even where each comes alone.

Two sizes are compared with each other, so the speed of the machine does not matter.
"""

import gc

from helper import cpu_seconds
from parsing import HEAD
from uxmpp.xml import Parser

# So much that nothing is collected while the time is taken: what the collector costs depends on
# what else is in the heap.
HEAP = "32M"

SIZE = 7 * 1024


def seconds(before, unit, size, after, chunk):
    # To feed a stanza with `size` bytes made of `unit`, more than once where that is quick:
    # MicroPython counts milliseconds
    data = before + (unit * (size // len(unit) + 1))[:size] + after
    taken = 0
    for _ in range(1 if chunk == 1 else 16):
        parser = Parser()
        parser.max_stanza = 10 * SIZE
        parser.max_elements = SIZE
        list(parser.feed(HEAD))
        gc.collect()
        found = []
        # Of this process alone: other programs may keep the processors busy
        begin = cpu_seconds()
        for i in range(0, len(data), chunk):
            found.extend(parser.feed(data[i : i + chunk]))
        taken += cpu_seconds() - begin
        assert [e.truncated for e in found] == [False]
    return taken


def check_linear(before, unit, after, chunk=1):
    # The best of many runs: everything else that goes on only adds to the time
    one = two = 1000
    for _ in range(30):
        one = min(one, seconds(before, unit, SIZE, after, chunk))
        two = min(two, seconds(before, unit, 2 * SIZE, after, chunk))
        # What takes as long as this is not disturbed by much, and more runs would take for ever
        if two < 2.5 * one or one > 0.5:
            break
    assert two < 3 * one, (unit, two / one)


def test_attribute():
    check_linear(b"<m a='", b"x", b"'/>")


def test_attribute_full_of_ends():
    check_linear(b"<m a='", b'">', b"'/>")


def test_attribute_full_of_ends_in_a_child():
    check_linear(b"<m><b c='d' a=\"", b"'/>", b'"></b></m>')


def test_blanks_in_a_tag():
    check_linear(b"<m", b" ", b"a='1'/>")


def test_text():
    check_linear(b"<m>", b"x", b"</m>")


def test_text_with_line_breaks():
    check_linear(b"<m>", b"x\r\n", b"</m>")


def test_text_full_of_ends():
    check_linear(b"<m>", b"]] >'\"", b"</m>")


def test_text_full_of_references():
    check_linear(b"<m>", b"&amp;..&#x0041;.", b"</m>")


def test_cdata():
    check_linear(b"<m><![CDATA[", b"x", b"]]></m>")


def test_cdata_full_of_ends():
    check_linear(b"<m><![CDATA[", b"]>.", b"]]></m>")


def test_small_chunks():
    check_linear(b"<m a='", b'">', b"'/>", 16)
    check_linear(b"<m>", b"x", b"</m>", 16)


def test_whole():
    check_linear(b"<m a=\"'\" b='", b'">', b"'/>", 100 * SIZE)
    check_linear(b"<m>", b"<b/>", b"</m>", 100 * SIZE)
    check_linear(b"<m>", b"<b>x</b>", b"</m>", 100 * SIZE)
