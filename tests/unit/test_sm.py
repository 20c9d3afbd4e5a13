"""Stream management: what was handled, what is on its way, and what goes again."""

import random

from helper import raises
from uxmpp.sm import XMLNS, Acks, SMError
from uxmpp.xml import Element, Parser

R = b"<r xmlns='urn:xmpp:sm:3'/>"
TOP = 2**32


def el(name, **attrs):
    return Element(name, XMLNS, attrs)


def stanza(n, kind="message", acked=None):
    found = Element(kind, None, {"id": str(n)})
    if acked:
        found.acked = acked
    return found


def wire(n, kind="message"):
    return "<{} id='{}'/>".format(kind, n).encode()


def answer(h):
    return "<a xmlns='urn:xmpp:sm:3' h='{}'/>".format(h).encode()


def wires(first, last):
    return [wire(n) for n in range(first, last)]


def session(h=0, resume="true", id="s1"):
    """An Acks in a session of which `h` stanzas each way were handled."""
    acks = Acks()
    attrs = {"resume": resume, "id": id}
    assert acks.told(Element("enabled", XMLNS, attrs)) is False
    acks.h = acks.acked = h  # so many nobody could count here
    return acks


def sent(acks, *items):
    """What goes out when `items` are due; all of them must be taken."""
    queue = list(items)
    out = acks.take(queue)
    assert queue == []
    return out


class Broken(Element):
    """Cannot be written at the first `times` tries."""

    def __init__(self, n, error, times):
        super().__init__("message", None, {"id": str(n)})
        self.error = error
        self.times = times

    def to_bytes(self, xmlns=None):
        if self.times:
            self.times -= 1
            raise self.error
        return super().to_bytes(xmlns)


# A session, its questions and answers


def test_what_is_offered():
    def offer(acks):
        ask, bind = Element("authenticate", "urn:x"), Element("bind", "urn:b")
        acks.offer(ask, bind)
        return [(e.name, e.xmlns, e.attrs) for e in ask.elements() + bind.elements()]

    enable = ("enable", XMLNS, {"resume": "true"})
    acks = Acks()
    assert not acks.on
    assert offer(acks) == [enable]
    acks = session(TOP - 1)
    acks.handled()
    acks.handled()
    assert offer(acks) == [("resume", XMLNS, {"h": "1", "previd": "s1"}), enable]
    acks.told(el("failed"))
    assert offer(acks) == [enable]


def test_whether_it_can_be_resumed():
    for attrs, id in (
        ({"resume": "true", "id": "x"}, "x"),
        ({"resume": "1", "id": "x"}, "x"),
        ({"resume": "true"}, None),
        ({"resume": "false", "id": "x"}, None),
        ({"resume": "0", "id": "x"}, None),
        ({"id": "x"}, None),
        ({}, None),
    ):
        acks = session()
        assert acks.told(Element("enabled", XMLNS, attrs)) is False
        # Stanzas are counted all the same
        assert acks.on and acks.id == id, attrs
        assert sent(acks, stanza(1)) == [wire(1), R]


def test_order_of_what_goes_out():
    acks = session()
    assert acks.take([]) == []
    assert sent(acks, stanza(1), stanza(2, "iq")) == [wire(1), wire(2, "iq"), R]
    acks.handled()
    acks.told(Element("resumed", XMLNS, {"previd": "s1", "h": "1"}))
    acks.heard(el("r"))
    assert sent(acks, stanza(3)) == [wire(2, "iq"), wire(3), answer(1), R]
    assert acks.take([]) == []


def test_each_question_gets_one_answer():
    acks = session(TOP - 2)
    for h in (TOP - 1, 0, 1):
        acks.handled()
        acks.heard(el("r"))
        assert acks.take([]) == [answer(h)]
        assert acks.take([]) == []
    acks.heard(el("r"))
    acks.heard(el("r"))
    assert acks.take([]) == [answer(1)]


def test_one_question_at_a_time():
    acks = session()
    assert sent(acks, stanza(1)) == [wire(1), R]
    assert acks.asked == 1
    assert sent(acks, stanza(2), stanza(3)) == wires(2, 4)
    acks.heard(el("a", h="1"))
    assert acks.asked == 0
    # What went out behind the question is asked for now
    assert acks.take([]) == [R]
    assert acks.asked == 1
    assert acks.take([]) == []
    acks.heard(el("a", h="3"))
    assert acks.take([]) == [] and acks.asked == 0


def test_probe():
    acks = session()
    acks.probe()
    assert acks.take([]) == [R]
    assert acks.asked == 1
    assert acks.take([]) == []
    acks.heard(el("a", h="0"))
    assert acks.take([]) == [] and acks.asked == 0


def test_what_is_sent_after_a_question_is_asked_for():
    """Though the answer that comes in between knows nothing of it."""
    acks = session()
    acks.probe()
    assert acks.take([]) == [R]
    assert sent(acks, stanza(0)) == [wire(0)]
    acks.heard(el("a", h="0"))
    assert acks.take([]) == [R]
    acks.heard(el("a", h="1"))
    assert acks.take([]) == []


def test_server_that_does_not_get_on_is_not_asked_at_once():
    acks = session()
    assert sent(acks, stanza(0)) == [wire(0), R]
    for _ in range(3):
        acks.heard(el("a", h="0"))
        assert acks.take([]) == []
    # Until there is something new, or it is time to look
    assert sent(acks, stanza(1)) == [wire(1), R]
    acks.heard(el("a", h="0"))
    acks.probe()
    assert acks.take([]) == [R]


def test_waiting_is_counted_by_others():
    # How long the answer is due is not forgotten by another question, or another stanza
    acks = session()
    sent(acks, stanza(1))
    acks.asked = 3
    acks.probe()
    assert sent(acks, stanza(2)) == [wire(2), R]
    assert acks.asked == 3


# What is on its way


def test_acknowledged_in_order_and_once():
    for h in (0, 5, TOP - 2, TOP - 1):
        acks = session(h)
        done = []
        items = [stanza(n, "message", lambda n=n: done.append(n)) for n in range(4)]
        sent(acks, *items)
        for step, expected in ((0, []), (1, [0]), (1, [0]), (3, [0, 1, 2]), (4, [0, 1, 2, 3])):
            acks.heard(el("a", h=str((h + step) % TOP)))
            assert done == expected, (h, step, done)
            assert len(acks.queue) == 4 - step
        acks.heard(el("a", h=str((h + 4) % TOP)))
        assert done == [0, 1, 2, 3]
        assert acks.take([]) == []


def test_what_is_on_its_way_is_bounded():
    acks = session()
    acks.max_unacked = 3
    queue = [stanza(n) for n in range(7)]
    assert acks.take(queue) == wires(0, 3) + [R]
    assert acks.take(queue) == [] and len(queue) == 4
    acks.heard(el("r"))
    assert acks.take(queue) == [answer(0)]
    acks.heard(el("a", h="2"))
    assert acks.take(queue) == wires(3, 5) + [R]
    # It holds for what goes again, too
    acks.told(el("resumed", h="2"))
    assert acks.take(queue) == wires(2, 5) + [R]
    acks.heard(el("a", h="5"))
    assert acks.take(queue) == wires(5, 7) + [R]
    assert Acks.max_unacked >= 8


def test_callback_that_sends():
    # It may queue the next one, which goes out behind
    acks = session()
    queue = []
    queue.append(stanza(0, "message", lambda: queue.append(stanza(1))))
    assert acks.take(queue) == [wire(0), R]
    acks.heard(el("a", h="1"))
    assert acks.take(queue) == [wire(1), R]


def test_no_memory_to_write_loses_nothing():
    for at in range(3):
        acks = session()
        queue = [stanza(n) for n in range(3)]
        queue[at] = Broken(at, MemoryError(), 1)
        raises(MemoryError, acks.take, queue)
        # What was taken before is on its way as far as anybody knows: the session is over, and
        # the next one says
        assert [e[0] for e in acks.queue] == wires(0, at)
        assert len(queue) == 3 - at
        acks.told(el("resumed", h="0"))
        assert acks.take(queue) == wires(0, 3) + [R], at
        assert acks.take(queue) == []


def test_an_answer_too_large_is_dropped():
    # It would end this session, and each that is resumed after it
    acks = session()
    queue = [stanza(0), Broken(1, MemoryError(), 9), stanza(2)]
    queue[1].name = "iq"
    assert acks.take(queue) == [wire(0), wire(2), R]
    assert (queue, acks.dropped) == ([], 1)


def test_what_cannot_be_written_takes_nothing_with_it():
    for error in (ValueError("x"), TypeError(), AttributeError()):
        for at in range(3):
            acks = session()
            queue = [stanza(n) for n in range(3)]
            queue[at] = Broken(at, error, 9)
            raises(type(error), acks.take, queue)
            acks.told(el("resumed", h="0"))
            rest = [n for n in range(3) if n != at]
            assert acks.take(queue) == [wire(n) for n in rest] + [R], at
            assert queue == []


# The session goes on, or another one begins


def test_resumed():
    for h in (0, TOP - 2):
        acks = session(h)
        done = []
        items = [stanza(n, "message", lambda n=n: done.append(n)) for n in range(4)]
        sent(acks, *items)
        acks.handled()
        assert acks.told(el("resumed", previd="s1", h=str((h + 3) % TOP))) is True
        assert done == [0, 1, 2]
        assert acks.on and acks.id == "s1" and acks.h == (h + 1) % TOP
        assert sent(acks, stanza(4)) == [wire(3), wire(4), R]
        # Cut again, before anything arrived: the same again
        assert acks.told(el("resumed", previd="s1", h=str((h + 3) % TOP))) is True
        assert acks.take([]) == [wire(3), wire(4), R]
        acks.heard(el("a", h=str((h + 5) % TOP)))
        assert done == [0, 1, 2, 3] and not acks.queue


def test_resumed_with_nothing_on_its_way():
    acks = session()
    acks.told(el("resumed", h="0"))
    assert acks.take([]) == [] and not acks.asked
    # An answer that was owed before the cut is not owed on the new line
    sent(acks, stanza(1))
    acks.heard(el("r"))
    acks.probe()
    acks.told(el("resumed", h="1"))
    assert acks.take([]) == [] and not acks.asked


def mixed(acks, done):
    """Send one of each, and return what may go again in another session."""
    sent(
        acks,
        stanza(0),
        stanza(1, "iq"),
        stanza(2, "message", lambda: done.append(2)),
        stanza(3, "presence"),
        stanza(4),
        stanza(5, "iq", lambda: done.append(5)),
    )


def test_failed_then_enabled():
    for failed, again, acked in (
        (el("failed"), [0, 4], []),
        (el("failed", h="0"), [0, 4], []),
        (el("failed", h="1"), [4], []),
        (el("failed", h="3"), [4], [2]),
        (el("failed", h="6"), [], [2, 5]),
    ):
        acks = session()
        acks.handled()
        done = []
        mixed(acks, done)
        assert acks.told(failed) is False
        assert acks.id is None
        assert acks.told(el("enabled", resume="true", id="s2")) is False
        assert (acks.id, acks.h) == ("s2", 0)
        expected = [wire(n) for n in again] + [wire(9), R]
        assert sent(acks, stanza(9)) == expected, failed
        assert done == acked
        # The new session counts from nothing
        for n in range(len(again) + 1):
            acks.heard(el("a", h=str(n + 1)))
        assert not acks.queue and done == acked


def test_enabled_although_there_was_a_session():
    # The server did not even answer <resume/>, or there was none
    acks = session()
    done = []
    mixed(acks, done)
    acks.told(el("enabled", resume="true", id="s2"))
    assert acks.take([]) == [wire(0), wire(4), R]
    assert done == []


def test_failed_and_then_nothing_that_counts():
    for failed, again in ((el("failed"), [0, 4]), (el("failed", h="1"), [4]), (None, [0, 4])):
        acks = session()
        done = []
        mixed(acks, done)
        if failed:
            acks.told(failed)
        assert acks.rest() == [wire(n) for n in again]
        assert acks.rest() == [] and acks.queue == [] and done == []
        # A later session that counts has nothing to do with it
        acks.told(el("enabled", resume="true", id="s2"))
        assert acks.take([]) == []


def test_inline():
    def success(*parts):
        found = Element("success", "urn:xmpp:sasl:2", None, ["\n"])
        found.add("authorization-identifier", None, None, "a@b/c")
        for part in parts:
            found.children.append(part)
        return found

    def bound(*parts):
        return Element("bound", "urn:xmpp:bind:0", None, list(parts))

    def enabled():
        return el("enabled", resume="true", id="s2")

    acks = session()
    assert acks.inline(success(el("resumed", h="0"))) is True
    assert acks.inline(success()) is False
    assert acks.id == "s1"
    acks = Acks()
    assert acks.inline(success(bound())) is False
    assert not acks.on
    assert acks.inline(success(bound(enabled()))) is False
    assert acks.on and acks.id == "s2"
    # In both orders, and with Prosody's and ejabberd's ways to say why
    error = Element("error", "jabber:client", {"type": "cancel"})
    for why in (error, Element("item-not-found", "urn:ietf:params:xml:ns:xmpp-stanzas")):
        for first in (True, False):
            acks = session()
            sent(acks, stanza(0), stanza(1), stanza(2, "iq"))
            failed = Element("failed", XMLNS, {"h": "1"}, [why])
            rest = bound(enabled())
            found = success(failed, rest) if first else success(rest, failed)
            assert acks.inline(found) is False
            assert acks.on and acks.id == "s2", first
            assert acks.take([]) == [wire(1), R]
    acks = session()
    # What others call the same is not it
    assert acks.inline(success(Element("failed", "urn:xmpp:sm:2"))) is False
    assert acks.id == "s1"


# A server that miscounts


def check_farewell(acks, h, count):
    out = acks.take([stanza(99)])
    assert len(out) == 1
    parser = Parser()
    text = b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>" + out[0]
    found = []
    for e in parser.feed(text):
        found.append(e)
    _, error, end = found
    assert (error.name, error.xmlns) == ("error", "http://etherx.jabber.org/streams")
    first, second = error.elements()
    assert first.name == "undefined-condition"
    assert first.xmlns == "urn:ietf:params:xml:ns:xmpp-streams"
    assert (second.name, second.xmlns) == ("handled-count-too-high", XMLNS)
    assert second.attrs == {"h": str(h), "send-count": str(count)}
    assert end is None
    # And that is all that goes out
    raises(SMError, acks.take, [])
    raises(SMError, acks.take, [stanza(1)])


def check_a_new_session_works(acks, again):
    assert acks.id is None
    acks.told(el("enabled", resume="true", id="s3"))
    assert sent(acks, stanza(50)) == again + [wire(50), R]
    acks.heard(el("a", h=str(len(again) + 1)))
    assert acks.queue == [] and acks.take([]) == []
    acks.told(el("resumed", h=str(len(again) + 1)))
    assert acks.take([]) == []


def test_h_too_high_in_a():
    for start, h in ((0, 3), (0, 7), (0, TOP - 1), (TOP - 1, 2), (5, 4)):
        acks = session(start)
        done = []
        sent(acks, stanza(0), stanza(1, "message", lambda: done.append(1)))
        acks.heard(el("a", h=str(h)))
        check_farewell(acks, h, (start + 2) % TOP)
        # Nothing was taken for acknowledged
        assert done == [] and len(acks.queue) == 2
        check_a_new_session_works(acks, [wire(0)])


def test_h_too_high_in_resumed():
    acks = session()
    done = []
    sent(acks, stanza(0), stanza(1, "message", lambda: done.append(1)))
    raises(SMError, acks.told, el("resumed", previd="s1", h="3"))
    assert done == [] and len(acks.queue) == 2
    check_a_new_session_works(acks, [wire(0)])


def test_h_too_high_in_failed():
    # The session is gone anyway: what it says is not believed, and that is all
    acks = session()
    done = []
    sent(acks, stanza(0), stanza(1, "message", lambda: done.append(1)))
    assert acks.told(el("failed", h="3")) is False
    assert done == []
    check_a_new_session_works(acks, [wire(0)])


def test_h_missing_or_no_number():
    for attrs in ({}, {"h": ""}, {"h": "x"}, {"h": "1.0"}, {"h": "0x1"}):
        for name in ("a", "resumed"):
            acks = session()
            sent(acks, stanza(0))
            fn = acks.heard if name == "a" else acks.told
            raises(ValueError, fn, Element(name, XMLNS, attrs))
            assert len(acks.queue) == 1
        if attrs.get("h"):
            acks = session()
            sent(acks, stanza(0))
            raises(ValueError, acks.told, Element("failed", XMLNS, attrs))
            assert len(acks.queue) == 1


# Against a server's side that is as simple as can be


class Server:
    """Its side of stream management. What it is sent arrives in order, up to a cut."""

    def __init__(self, start):
        self.start = start
        self.arrived = []  # of all sessions
        self.begin()

    def begin(self):
        self.handled = 0  # of this session
        self.queue = []  # of what it sent: not acknowledged
        self.acked = 0
        self.owes = False

    def take(self, data):
        if data == R:
            self.owes = True
        elif data.startswith(b"<a "):
            self.trim(int(data.split(b"'")[3]))
        else:
            self.arrived.append(data)
            self.handled += 1

    def h(self):
        return str((self.start + self.handled) % TOP)

    def trim(self, h):
        count = (h - self.start - self.acked) % TOP
        assert count <= len(self.queue), "the client acknowledges what it was not sent"
        del self.queue[:count]
        self.acked += count


def play(seed, steps=150):
    """One random life: (number of stanzas, number of resumptions)."""
    rng = random.Random(seed) if hasattr(random, "Random") else None
    if not rng:
        random.seed(seed)
    rnd = (rng or random).randrange
    start = (0, TOP - 4)[seed % 2]
    acks = session(start)
    server = Server(start)
    done, queue, got = [], [], []
    total = told = resumed = 0
    kinds = {}
    told_of_old = set()  # sessions ended behind these without a word: they may come twice

    def to_client(n):
        got.append(n)
        acks.handled()

    for _ in range(steps):
        what = rnd(10)
        if what < 4:
            plain = rnd(3)
            kinds[total] = plain
            acked = (lambda n=total: done.append(n)) if plain == 1 else None
            queue.append(stanza(total, "iq" if plain == 2 else "message", acked))
            total += 1
        elif what < 6:
            server.queue.append(told)
            to_client(told)
            told += 1
            if rnd(2):
                acks.heard(el("r"))
        elif what < 9:
            if server.owes:
                server.owes = False
                acks.heard(el("a", h=server.h()))
            for data in acks.take(queue):
                server.take(data)
        else:
            # A cut, somewhere in what is under way
            out = acks.take(queue)
            for data in out[: rnd(len(out) + 1)]:
                server.take(data)
            under_way = rnd(3)
            for _ in range(under_way):
                server.queue.append(told)
                told += 1
            server.owes = False
            if rnd(4):
                resumed += 1
                server.trim(acks.h)
                assert acks.told(el("resumed", previd="s1", h=server.h()))
                for n in server.queue:
                    to_client(n)
            else:
                says = rnd(2)
                acks.told(el("failed", h=server.h()) if says else el("failed"))
                if not says:
                    told_of_old.update([e[0] for e in acks.queue])
                # What the server had for the client is lost with the session
                told = len(got)
                server.start = 0
                server.begin()
                acks.told(el("enabled", resume="1", id="s1"))
                # As ReliableClient does with what waits
                queue[:] = [e for e in queue if e.name == "message" and not hasattr(e, "acked")]
        if len(acks.queue) > acks.max_unacked:
            raise AssertionError("more than max_unacked on their way")
        assert acks.h == (server.start + server.acked + len(server.queue)) % TOP
    while queue or acks.queue:
        for data in acks.take(queue):
            server.take(data)
        acks.heard(el("a", h=server.h()))
    # Theirs: in order, each once
    assert got == list(range(told)), got
    # Ours: in order, each once; after a session without a last word perhaps twice
    numbers = [int(data.split(b"'")[1]) for data in server.arrived]
    once = []
    for n, data in zip(numbers, server.arrived):
        if n not in once:
            once.append(n)
        else:
            assert data in told_of_old, ("twice", n)
    assert once == sorted(once), once
    for n in range(total):
        if kinds[n] == 0:
            assert n in once, ("lost", n)
    # A word is kept, and is true
    assert done == sorted(set(done)), done
    for n in done:
        assert n in once and kinds[n] == 1
    return total, resumed


def test_random_lives():
    total = resumed = 0
    first = random.randrange(1 << 24)
    for seed in range(first, first + 30):
        try:
            counts = play(seed)
        except Exception:
            print("seed", seed)
            raise
        total += counts[0]
        resumed += counts[1]
    assert total > 1000 and resumed > 100, (total, resumed)
