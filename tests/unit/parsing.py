"""What the tests of the parser share. Runs on CPython and on MicroPython."""

from helper import assert_none
from uxmpp.xml import Parser, XMLError

HEAD = b"<s xmlns='j' xmlns:p='q'>"


def el(name, xmlns="j", attrs=None, *children):
    """An element as `plain` gives it."""
    return (name, xmlns, attrs or {}, list(children), False)


def cut(name, xmlns="j", attrs=None):
    """An element that was over a limit, as `plain` gives it."""
    return (name, xmlns, attrs or {}, [], True)


def plain(e):
    """An Element as tuples, lists and dicts, which compare; None stays None."""
    if e is None:
        return None
    children = [c if isinstance(c, str) else plain(c) for c in e.children]
    return (e.name, e.xmlns, e.attrs, children, bool(e.truncated))


HEADER = el("s")


def outcome(chunks, limits=None):
    """(what was yielded, as `plain`; whether XMLError was raised, or what else; pending())."""
    parser = Parser()
    for k, v in (limits or {}).items():
        setattr(parser, k, v)
    found = []
    try:
        for chunk in chunks:
            for e in parser.feed(chunk):
                found.append(plain(e))
    except XMLError:
        return found, True, None
    except Exception as e:
        return found, repr(e), None
    return found, False, parser.pending()


def octets(data):
    """`data` one byte at a time."""
    for i in range(len(data)):
        yield data[i : i + 1]


def differs(data, found, error=False, pending=False, limits=None, step=1):
    """What is wrong with the outcome of `data` fed whole, byte by byte, or in halves (cut at
    every `step`); None where all is right."""
    want = (found, error, None if error else pending)
    got = outcome([data], limits)
    if got != want:
        return "whole", data[:200], got
    got = outcome(octets(data), limits)
    if got != want:
        return "byte by byte", data[:200], got
    for i in range(1, len(data), step):
        got = outcome([data[:i], data[i:]], limits)
        if got != want:
            return "cut at", i, data[:200], got
    return None


def check(data, found, error=False, pending=False, limits=None, step=1):
    """Assert that the outcome of `data` is this, whatever the chunks."""
    assert_none([differs(data, found, error, pending, limits, step)])
