"""DNS packets, made by hand."""

from helper import assert_none, raises
from uxmpp import dns

ID = 0x1234


def u16(*values):
    return b"".join([bytes((v >> 8, v & 255)) for v in values])


def name(text):
    """A name written out."""
    labels = [label.encode() for label in text.split(".")] if text else []
    return b"".join([bytes((len(label),)) + label for label in labels]) + b"\0"


def record(owner, kind, data, cls=1, size=None):
    size = len(data) if size is None else size
    return owner + u16(kind, cls, 0, 60, size) + data


def packet(
    *records, id=ID, flags=0x8180, asked=b"\1a\2bc\0", kind=1, questions=1, extra=b"", n=None
):
    """An answer; its question's name is at 12."""
    head = u16(id, flags, questions, len(records) if n is None else n, 0, 0)
    return head + (asked + u16(kind, 1)) * questions + b"".join(records) + extra


# "where the question has it": at 12
ASKED = b"\xc0\x0c"


def srv(priority, weight, port, target):
    return record(ASKED, dns.SRV, u16(priority, weight, port) + target)


def a(*octets):
    return record(ASKED, dns.A, bytes(octets))


def outcome(data, kind, id=ID):
    # ValueError, or what was answered; anything else that is raised goes through
    try:
        return dns.answer(data, id, kind)
    except ValueError as e:
        # Also a UnicodeError is a ValueError, but not one that tells anything
        assert not isinstance(e, UnicodeError)
        return ValueError


def test_question():
    assert dns.question(0x1234, "a.bc", dns.A) == (
        b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + b"\1a\2bc\0" + b"\0\1\0\1"
    )
    want = b"\xff\xff\x01\0\0\1\0\0\0\0\0\0" + name("_xmpp-client._tcp.example.org")
    assert dns.question(65535, "_xmpp-client._tcp.example.org", dns.SRV) == want + b"\0\x21\0\1"
    assert dns.question(0, "a", dns.A)[:2] == b"\0\0"
    assert dns.question(255, "a", dns.A)[:2] == b"\0\xff"
    assert dns.question(256, "a", dns.A)[:2] == b"\1\0"
    assert dns.question(1, "x" * 63 + ".a", dns.A)[12:14] == b"\x3fx"


def test_question_refuses():
    for text in ("", ".", "a..b", ".a", "x" * 64, "a." + "x" * 64 + ".b"):
        raises(ValueError, dns.question, 1, text, dns.A)


def test_question_refuses_what_is_too_long():
    # RFC 1035: 255 octets at the most, length octets included
    label = "x" * 61
    assert len(dns.question(1, ".".join([label] * 4 + ["abcde"]), dns.A)) == 12 + 255 + 4
    raises(ValueError, dns.question, 1, ".".join([label] * 4 + ["abcdef"]), dns.A)
    raises(ValueError, dns.question, 1, ".".join(["abc"] * 100), dns.A)


def test_addresses():
    assert outcome(packet(a(192, 0, 2, 1)), dns.A) == ["192.0.2.1"]
    assert outcome(packet(a(0, 0, 0, 0), a(255, 255, 255, 255)), dns.A) == [
        "0.0.0.0", "255.255.255.255",
    ]  # fmt: skip
    assert outcome(packet(), dns.A) == []
    # Through an alias, and among what was not asked for
    alias = record(ASKED, 5, b"\1x" + ASKED)
    other = record(name("x.a.bc"), 1, bytes((10, 0, 0, 1)))
    text = record(ASKED, 16, b"\3abc")
    six = record(ASKED, 28, bytes(16))
    assert outcome(packet(alias, other), dns.A) == ["10.0.0.1"]
    assert outcome(packet(text, six, a(1, 2, 3, 4), text), dns.A) == ["1.2.3.4"]
    assert outcome(packet(srv(1, 2, 3, ASKED)), dns.A) == []
    # The other sections are not looked at
    assert outcome(packet(a(1, 2, 3, 4), extra=a(5, 6, 7, 8)), dns.A) == ["1.2.3.4"]
    assert outcome(bytearray(packet(a(1, 2, 3, 4))), dns.A) == ["1.2.3.4"]


def test_services():
    one = srv(5, 10, 5222, name("xmpp.example.org"))
    assert outcome(packet(one), dns.SRV) == [(5, 10, 5222, "xmpp.example.org")]
    # Numbers of 16 bits; names compressed in whole and in part, and a pointer to a pointer
    two = srv(65535, 65535, 65535, ASKED)
    three = srv(0, 0, 256, b"\4xmpp" + ASKED)
    four = srv(0, 0, 0, b"\xc0\x0e")
    assert outcome(packet(two, three, four), dns.SRV) == [
        (65535, 65535, 65535, "a.bc"), (0, 0, 256, "xmpp.a.bc"), (0, 0, 0, "bc"),
    ]  # fmt: skip
    pointed = 12 + 6 + 4 + 2 + 10 + 6
    five = srv(0, 0, 1, bytes((0xC0, pointed)))
    assert outcome(packet(two, five), dns.SRV)[1] == (0, 0, 1, "a.bc")
    assert outcome(packet(), dns.SRV) == []
    assert outcome(packet(a(1, 2, 3, 4)), dns.SRV) == []


def test_a_service_that_is_not_there():
    assert outcome(packet(srv(0, 0, 0, b"\0")), dns.SRV) == []
    assert outcome(packet(srv(0, 0, 0, b"\0"), srv(0, 0, 1, ASKED)), dns.SRV) == [
        (0, 0, 1, "a.bc")
    ]


def test_numbers_of_questions():
    assert outcome(packet(record(name("a"), 1, b"\1\2\3\4"), questions=0), dns.A) == ["1.2.3.4"]
    assert outcome(packet(a(1, 2, 3, 4), questions=3), dns.A) == ["1.2.3.4"]


def test_not_the_answer():
    data = packet(a(1, 2, 3, 4))
    assert outcome(data, dns.A, ID + 1) is None
    assert outcome(data, dns.A, 0x3412) is None
    assert outcome(packet(id=0), dns.A) is None
    # A question is no answer, not even one's own
    assert outcome(dns.question(ID, "a.bc", dns.A), dns.A) is None
    assert outcome(packet(a(1, 2, 3, 4), flags=0x0180), dns.A) is None


def test_a_server_that_knows_nothing():
    for code in (2, 3, 5):
        assert outcome(packet(flags=0x8180 | code), dns.A) == []


def test_loops():
    # Where the target stands: after header, question, owner, type to length, three numbers
    at = 12 + 10 + 2 + 10 + 6
    for target in (
        bytes((0xC0, at)),
        bytes((0xC0, at + 2, 0xC0, at)),
        bytes((1, 120, 0xC0, at)),
        bytes((1, 120, 0xC0, at + 4, 1, 121, 0xC0, at)),
    ):
        data = packet(srv(1, 2, 3, target))
        assert data[at:] == target
        assert outcome(data, dns.SRV) is ValueError, target
    # An owner that is a loop
    data = packet(record(bytes((0xC0, 12 + 10)), dns.A, b"\1\2\3\4"))
    assert outcome(data, dns.A) is ValueError
    # And a question
    data = packet(a(1, 2, 3, 4), asked=ASKED)
    assert outcome(data, dns.A) is ValueError


def test_names_without_end():
    long = b"\1x" * 200 + b"\0"
    assert outcome(packet(srv(1, 2, 3, long)), dns.SRV) is ValueError
    assert outcome(packet(record(long, 1, b"\1\2\3\4")), dns.A) is ValueError
    # A pointer out of the packet
    for pointer in (b"\xff\xff", b"\xc1\0", b"\xc0\xfe"):
        assert outcome(packet(srv(1, 2, 3, pointer)), dns.SRV) is ValueError


def test_names_that_are_none():
    for target in (b"\1\xff\0", b"\2\xc3x\0", b"\3\x80\x80\x80\0"):
        assert outcome(packet(srv(1, 2, 3, target)), dns.SRV) is ValueError


def test_cut_anywhere():
    wrong = []
    for kind, data in (
        (dns.A, packet(a(1, 2, 3, 4), a(5, 6, 7, 8))),
        (dns.A, packet(record(ASKED, 5, b"\1x" + ASKED), record(b"\1x" + ASKED, 1, b"\1\2\3\4"))),
        (dns.SRV, packet(srv(1, 2, 3, name("x.y.z")), srv(1, 2, 3, b"\1x" + ASKED))),
        (dns.SRV, packet(srv(1, 2, 3, ASKED), srv(1, 2, 3, ASKED), asked=name("_x._tcp.y"))),
        (dns.SRV, packet(srv(1, 2, 3, b"\0"))),
    ):
        whole = outcome(data, kind)
        assert isinstance(whole, list)
        for i in range(len(data)):
            got = outcome(data[:i], kind)
            if got not in (None, [], ValueError):
                wrong.append((kind, i, data[:i], got))
    assert_none(wrong)


def test_each_octet_changed():
    # Nothing but ValueError comes out, whatever is in the packet
    for kind, data in (
        (dns.A, packet(a(1, 2, 3, 4), record(b"\1x" + ASKED, 5, b"\1y" + ASKED))),
        (dns.SRV, packet(srv(1, 2, 3, b"\1x" + ASKED), srv(4, 5, 6, name("y.z")))),
    ):
        for i in range(len(data)):
            for octet in (0, 1, 12, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFF):
                changed = data[:i] + bytes((octet,)) + data[i + 1 :]
                assert outcome(changed, kind) is not False


def test_more_records_than_there_are():
    for n in (2, 255, 65535):
        assert outcome(packet(a(1, 2, 3, 4), n=n), dns.A) is ValueError
    assert outcome(packet()[:4] + u16(65535, 0, 0, 0), dns.A) is ValueError


def test_records_of_another_class():
    # A record of class CHAOS is no Internet address
    assert outcome(packet(record(ASKED, dns.A, bytes((1, 2, 3, 4)), cls=3)), dns.A) == []


def test_an_address_of_another_size():
    # What is beside the record's data is no address
    for size, data in ((0, b""), (3, b"\1\2\3"), (5, b"\1\2\3\4\5"), (16, bytes(16))):
        bad = record(ASKED, dns.A, data, size=size)
        got = outcome(packet(bad, a(9, 9, 9, 9)), dns.A)
        assert got in (ValueError, ["9.9.9.9"]), (size, got)


def test_labels_of_a_kind_that_is_not():
    # Lengths of 64 to 191 are reserved
    for length in (64, 128, 191):
        target = bytes((length,)) + b"x" * length + b"\0"
        assert outcome(packet(srv(1, 2, 3, target)), dns.SRV) is ValueError, length


class Random:
    """Floats in [0, 1), the same ones on every interpreter."""

    def __init__(self):
        self.state = 1

    def __call__(self):
        self.state = self.state * 48271 % 2147483647
        return self.state / 2147483647


def test_order_by_priority():
    records = [(20, 0, 1, "c"), (10, 0, 1, "b"), (30, 9, 1, "d"), (5, 0, 1, "a")]
    for value in (0.0, 0.5, 0.999999):
        got = dns.order(records, lambda: value)
        assert [r[3] for r in got] == ["a", "b", "c", "d"]
    # The caller's list stays
    assert records[0] == (20, 0, 1, "c") and len(records) == 4
    assert dns.order([], Random()) == []
    assert dns.order(records[:1], Random()) == records[:1]


def test_order_by_weight():
    random = Random()
    records = [(1, 10, 1, "a"), (1, 30, 1, "b"), (1, 60, 1, "c"), (2, 99, 1, "d")]
    first = {"a": 0, "b": 0, "c": 0}
    second = {"a": 0, "b": 0, "c": 0}
    for _ in range(2000):
        got = [r[3] for r in dns.order(records, random)]
        assert sorted(got) == ["a", "b", "c", "d"] and got[3] == "d", got
        first[got[0]] += 1
        second[got[1]] += 1
    for which, share in (("a", 200), ("b", 600), ("c", 1200)):
        assert 0.8 * share < first[which] < 1.2 * share, first
    # After c: a and b stand 1 to 3; after b: a and c 1 to 6; after a: b and c 1 to 2
    assert second["a"] < second["b"] and second["a"] < second["c"], second


def test_order_without_weight():
    random = Random()
    records = [(1, 0, 1, "a"), (1, 0, 1, "b"), (1, 0, 1, "c")]
    for _ in range(50):
        assert sorted([r[3] for r in dns.order(records, random)]) == ["a", "b", "c"]
    # Weight 0 beside others: seldom the first, but never lost
    records = [(1, 0, 1, "a"), (1, 50, 1, "b"), (1, 0, 1, "c")]
    first = 0
    for _ in range(500):
        got = [r[3] for r in dns.order(records, random)]
        assert sorted(got) == ["a", "b", "c"]
        first += got[0] == "b"
    assert first > 450, first


def test_order_of_the_same_record_twice():
    records = [(1, 5, 1, "a"), (1, 5, 1, "a")]
    assert dns.order(records, Random()) == records
