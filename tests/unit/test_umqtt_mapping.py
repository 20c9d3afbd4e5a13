"""Topics as nodes, filters, messages as payloads: nothing is lost, and nothing damaged passes."""

from helper import MICROPYTHON, assert_none, raises
from parsing import HEAD
from umqtt import mapping
from umqtt.mapping import MappingError, MQTTException
from uxmpp.xml import Element, Parser

HEAP = "600k"
XMLNS = "urn:uxmpp:mqtt:0"

# What is odd in a topic, a node or a message; MicroPython reads "\uD800" in a literal, too
PIECES = [chr(c) for c in range(1, 128)] + [
    "%0A", "%0a", "%25", "%41", "%7F", "%80", "%C3", "%2", "%%", "%G0", "%-1", "%+9", "% 9",
    "\x80", "\x85", "\xa0", "\xad", "\xe9", "e\u0301", "\u0416", "\u2028", "\u200b", "\ufeff",
    "\u212b", "\ufdd0", "\ufffd", "\ud7ff", "\ue000", "\U0001f4a7", "\U0001fffe", "\U0010ffff",
    "home", "temperature", "$SYS", "//", " / ", "]]>", "<![CDATA[", "&amp;", "&#13;", "<!--",
]  # fmt: skip

# What MicroPython's decoder takes, some of it, and UTF-8 is not; or XML does not carry it
NOT_TEXT = (
    b"\x80", b"\xbf", b"\xc0", b"\xe2\x82", b"\xf0\x9f\x92", b"\xe2\x28\xa1", b"a\xffb",
    b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xf0\x80\x80\x80",
    b"\xf0\x8f\xbf\xbf", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb2\xa7",
    b"\xf4\x90\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xf8\x88\x80\x80\x80", b"\xfe", b"\xff",
    b"\xef\xbf\xbe", b"\xef\xbf\xbf", b"?\xc0\x80", b"?\xef\xbf\xbe?", b"\xc3\xa9\xed\xa0\x80",
)  # fmt: skip


class Chosen:
    """The same numbers on each interpreter."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % n

    def text(self, pieces, most):
        return "".join([pieces[self.below(len(pieces))] for _ in range(1 + self.below(most))])

    def bytes(self, most):
        return bytes([self.below(256) for _ in range(self.below(most))])


def carried(el):
    """`el` as it comes out of a stream."""
    parser = Parser()
    parser.max_stanza = 1 << 18
    return list(parser.feed(HEAD + el.to_bytes("j")))[1]


def refused(fn, topic):
    """(code, text) of what `fn(topic)` raises."""
    e = raises(MappingError, fn, topic)
    assert isinstance(e, MQTTException)
    return e.args


# Topics and nodes


def wrong_topic(topic):
    """What is wrong with the way of `topic` to its node and back; None where nothing is."""
    node = mapping.node(topic)
    data = node.encode()
    plain = "%" not in topic and min(topic.encode()) > 31 and "\x7f" not in topic
    got = carried(Element("items", None, {"node": node})).get("node")
    if (
        min(data) < 32
        or b"\x7f" in data
        or (node == topic) != plain
        or got != node
        or mapping.topic(got) != topic
    ):
        return topic, node, got, mapping.topic(got)
    return None


def test_each_byte_in_a_topic():
    wrong = []
    nodes = set()
    for c in range(256):
        for topic in (bytes([c]), b"a" + bytes([c]), bytes([c]) + b"/a"):
            if c == 0 or c > 127 or c in b"+#":
                code, text = refused(mapping.topic_name, topic)
                assert code == 0x90
                what = "wildcards" if c in b"+#" else "UTF-8" if c else "NUL"
                assert what in text, (c, text)
            else:
                found = mapping.topic_name(topic)
                nodes.add(mapping.node(found))
                assert found.encode() == topic
                wrong.append(wrong_topic(found))
    assert_none(wrong)
    assert len(nodes) == 3 * 125


def test_topics_and_back():
    chosen = Chosen(1)
    pieces = [p for p in PIECES if "+" not in p and "#" not in p]
    nodes = {}
    wrong = []
    for _ in range(250):
        topic = chosen.text(pieces, 8)
        for t in (topic, topic.encode(), bytearray(topic.encode())):
            assert mapping.topic_name(t) == topic
        wrong.append(wrong_topic(topic))
        node = mapping.node(topic)
        assert nodes.get(node, topic) == topic, (node, topic, nodes.get(node))
        nodes[node] = topic
    assert_none(wrong)
    # What is on the wire, for those who write a client of their own
    for topic, node in (
        ("home/temperature", "home/temperature"),
        ("50%", "50%25"),
        ("a\tb\x7f/%41", "a%09b%7F/%2541"),
        ("\r\n", "%0D%0A"),
        ("Gr\xfc\xdfe \x85", "Gr\xfc\xdfe \x85"),
        (" / ", " / "),
    ):
        assert mapping.node(topic) == node and mapping.topic(node) == topic, topic


def test_nodes_and_back():
    # A node stands for one topic, or for none: never do two stand for the same
    chosen = Chosen(2)
    none = 0
    for _ in range(1500):
        node = chosen.text(PIECES, 5)
        topic = mapping.topic(node)
        if topic is None:
            none += 1
        else:
            assert mapping.topic_name(topic) == topic
            assert mapping.node(topic) == node, (node, topic)
    assert 300 < none < 1200


def test_nodes_of_no_topic():
    for node in (
        None, "", "+", "#", "a/+/b", "a/#", "a+b", "%", "a%", "%4", "%41", "%0a", "%7f", "%2b",
        "%2B", "%23", "%20", "%2f", "%80", "%C3%A9", "%FF", "%C0%80", "%00", "a%00b", "a\0b",
        "%G0", "%-1", "%+9", "% 9", "%9 ", "%0x", "%_1", "%\u06611", "%%", "%%25", "%250%",
        "\n", "a\tb", "\x7f", "\r", "%0A%", "%0A%C0%80", "\xe9%4",
    ):  # fmt: skip
        assert mapping.topic(node) is None, node


def test_topics_that_are_refused():
    long = b"x" * 65535
    assert mapping.topic_name(long) == "x" * 65535
    for fn, code in ((mapping.topic_name, 0x90), (mapping.topic_filter, 0x8F)):
        for topic, what in (
            ("", "a topic has at least one character"),
            (b"", "a topic has at least one character"),
            ("a\0b", "a topic must not contain NUL"),
            (b"a/\0", "a topic must not contain NUL"),
            (bytearray(b"\0"), "a topic must not contain NUL"),
            (b"x" * 65536, "a topic has 65535 bytes at the most"),
            ("x" * 70000, "a topic has 65535 bytes at the most"),
            ("\xe9" * 32768, "a topic has 65535 bytes at the most"),
            ("a\ufffe", "a topic must be UTF-8"),
        ):
            assert refused(fn, topic) == (code, what), (fn, topic[:9])
        for data in NOT_TEXT:
            assert refused(fn, data) == (code, "a topic must be UTF-8"), data
        lone = eval('"a\\ud800"')
        assert refused(fn, lone) == (code, "a topic must be UTF-8")
    for topic in ("+", "#", "a/+", "+/a", "a/#", "a+b", "C#", b"a/+/b"):
        code, text = refused(mapping.topic_name, topic)
        assert code == 0x90 and text.startswith("a topic to publish to has no wildcards: "), text


# Filters: MQTT 3.1.1, section 4.7


def test_filters_that_are_none():
    for topic in (
        "a#", "#a", "a/b#", "#/", "#/a", "a/#/b", "##", "sport/tennis/#/ranking",
        "sport/tennis#", "sport+", "+a", "++", "a/b+/c", "a/+b", "+#", "#+", "a/+#", "a/#+",
    ):  # fmt: skip
        code, text = refused(mapping.topic_filter, topic)
        why = ("a wildcard is a level of its own", "# is the last level, alone")
        assert code == 0x8F and text.startswith(why), (topic, text)
        assert text.endswith(": " + topic)
    for topic in ("#", "+", "/", "/#", "/+", "+/#", "+/+", "a/#", "a/+/b", "+/a/#", "$SYS/#", "a"):
        assert mapping.topic_filter(topic) == mapping.topic_filter(topic.encode()) == topic


# (filter, topics that match, topics that do not)
MATCHES = (
    ("sport/tennis/player1/#",
     ("sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/",
      "sport/tennis/player1/score/wimbledon"),
     ("sport/tennis/player2", "sport/tennis/player", "sport/tennis/player12", "sport/tennis",
      "x/sport/tennis/player1")),
    ("sport/#", ("sport", "sport/", "sport/a/b/c"), ("sports", "Sport", "/sport", "spor")),
    ("#", ("a", "/", "/a", "a/b/c", "a/$SYS", " "), ("$SYS", "$SYS/a", "$", "$/")),
    ("sport/tennis/+", ("sport/tennis/player1", "sport/tennis/player2", "sport/tennis/"),
     ("sport/tennis/player1/ranking", "sport/tennis", "sport")),
    ("sport/+", ("sport/", "sport/a", "sport/$a"), ("sport", "sport/a/", "sport//")),
    ("+", ("finance", " ", "%"), ("/finance", "finance/", "/", "$SYS")),
    ("+/+", ("/finance", "/", "a/b", "a/"), ("finance", "a/b/c", "//", "$SYS/a")),
    ("/+", ("/finance", "/", "/$SYS"), ("finance", "//", "a/b")),
    ("+/tennis/#", ("sport/tennis", "/tennis", "sport/tennis/a/b"), ("tennis", "$a/tennis")),
    ("sport/+/player1", ("sport/tennis/player1", "sport//player1"),
     ("sport/player1", "sport/tennis/a/player1", "sport/tennis/player1/")),
    ("garden/+/temperature", ("garden/a/temperature",), ("garden/temperature", "garden/a/b")),
    ("$SYS/#", ("$SYS", "$SYS/monitor/Clients"), ("$SY", "SYS", "a/$SYS")),
    ("$SYS/monitor/+", ("$SYS/monitor/Clients", "$SYS/monitor/"), ("$SYS/monitor",)),
    ("+/monitor/Clients", ("a/monitor/Clients", "/monitor/Clients"), ("$SYS/monitor/Clients",)),
    ("$+", (), ("$SYS",)),
    # Section 4.7.3: case, blanks and slashes make a difference; the shortest topic is "/"
    ("ACCOUNTS", ("ACCOUNTS",), ("Accounts", "ACCOUNTS ", " ACCOUNTS", "/ACCOUNTS", "ACCOUNTS/")),
    ("Accounts payable", ("Accounts payable",), ("Accountspayable",)),
    ("/", ("/",), ("a", "//", "a/", "/a")),
    ("//", ("//",), ("/", "///")),
    ("//#", ("/", "//", "///", "//a"), ("", "a/")),
    ("+/#", ("a", "/", "a/b/c"), ("$SYS", "$SYS/a")),
    ("a/+/+/#", ("a/b/c", "a//", "a/b/c/d/e"), ("a/b", "a")),
    # Nobody normalizes
    ("\xe9/+", ("\xe9/1",), ("e\u0301/1", "\xc9/1")),
    ("%41/+", ("%41/+",), ("A/1",)),
)  # fmt: skip


def test_matches():
    wrong = []
    for wanted, those, others in MATCHES:
        for topic in those:
            wrong.append(None if mapping.matches(wanted, topic) else (wanted, topic))
        for topic in others:
            wrong.append((wanted, "not", topic) if mapping.matches(wanted, topic) else None)
    assert_none(wrong)


def test_filters_as_they_are_defined():
    # Level by level, for all topics and filters of up to three levels
    levels = ("", "a", "$a")
    topics = []
    for x in levels:
        topics.append([x])
        for y in levels:
            topics.append([x, y])
            for z in levels:
                topics.append([x, y, z])
    wanted = []
    for x in ("", "a", "$a", "+"):
        wanted += [[x], [x, "#"]]
        for y in ("", "a", "$a", "+"):
            wanted += [[x, y], [x, y, "#"]]
            for z in ("", "a", "$a", "+", "#"):
                wanted.append([x, y, z])
    wanted.append(["#"])
    for w in wanted:
        for t in topics:
            deep = w[-1] == "#"
            fixed = w[:-1] if deep else w
            expected = len(t) >= len(fixed) if deep else len(t) == len(fixed)
            for f, level in zip(fixed, t):
                expected = expected and f in ("+", level)
            if t[0][:1] == "$" and w[0] in ("+", "#"):
                expected = False
            assert mapping.matches("/".join(w), "/".join(t)) == expected, (w, t)


# Messages


def wrong_message(msg):
    """What is wrong with the way of `msg`, bytes, to a payload and back; None: nothing."""
    el = mapping.payload(msg, {"n": "1"})
    data = el.to_bytes("j")
    got = carried(el)
    if got.xmlns != XMLNS or got.get("n") != "1" or mapping.message(got) != msg:
        return msg, data, mapping.message(got)
    if not MICROPYTHON:
        # By another parser, which folds line ends and knows what XML forbids
        import xml.etree.ElementTree as ET
        from base64 import b64decode

        other = ET.fromstring(data)
        text = other.text or ""
        again = b64decode(text, validate=True) if other.get("enc") else text.encode()
        # Blanks at the ends are what others strip
        if again != msg or text != text.strip(" \t\r\n"):
            return msg, data, again
    return None


def plain(msg):
    """Whether a person can read `msg`, bytes, in its payload."""
    return mapping.payload(msg, {}).get("enc") is None


def test_each_byte_in_a_message():
    wrong = []
    for c in range(256):
        one = bytes([c])
        for msg in (one, b"a" + one + b"b", one + b"a", b"a" + one, one * 3, b"?" + one + b"?"):
            wrong.append(wrong_message(msg))
        assert plain(b"a" + one + b"b") == (c in b"\t\n" or 31 < c < 128), c
        assert plain(one) == (32 < c < 128), c
    assert_none(wrong)


def test_messages_and_back():
    chosen = Chosen(3)
    wrong = [wrong_message(msg) for msg in NOT_TEXT]
    assert not [msg for msg in NOT_TEXT if plain(msg)]
    wrong += [wrong_message(bytes(range(256)) * 4), wrong_message(bytes(20000))]
    for _ in range(300):
        wrong.append(wrong_message(chosen.bytes(40)))
        wrong.append(wrong_message(chosen.text(PIECES, 12).encode()))
    # Text that is cut amid a character
    for _ in range(100):
        data = chosen.text(PIECES, 12).encode()
        wrong.append(wrong_message(data[: chosen.below(len(data))]))
    assert_none(wrong)


def test_what_a_person_can_read():
    for text in (
        "21.5", "on", '{"t": 21.5, "unit": "\xb0C"}', "a  b", "a\tb\nc", "\xa0x\xa0", "\x7f",
        "\x85", "\ufdd0", "\ufffd", "\U0001f4a7", "\U0010ffff", "<a>&amp;</a>", "]]>", "?",
        "a?\xe9", "\u2028", "x" * 3000,
    ):  # fmt: skip
        el = mapping.payload(text, {})
        assert el.children == [text] and el.attrs == {}
        assert wrong_message(text.encode()) is None
    for text in (
        " x",
        "x ",
        "\tx",
        "x\n",
        "\n",
        " ",
        "a\rb",
        "a\r\nb",
        "a\0b",
        "a\x0cb",
        "\ufffe",
    ):
        assert not plain(text.encode()), text
        assert mapping.message(carried(mapping.payload(text, {}))) == text.encode()


def test_messages_of_any_kind():
    for msg in (b"ab", bytearray(b"ab"), memoryview(b"ab"), "ab"):
        assert mapping.message(mapping.payload(msg, {})) == b"ab"
    for msg in (b"a\0", bytearray(b"a\0"), memoryview(b"a\0"), "a\0"):
        assert mapping.message(mapping.payload(msg, {})) == b"a\0"
    for msg in (b"", "", bytearray()):
        el = mapping.payload(msg, {"qos": "1"})
        assert el.attrs == {"qos": "1"} and el.children == []
        assert mapping.message(carried(el)) == b""


def test_what_other_programs_publish():
    json = Element("json", "urn:xmpp:json:0", None, ['{"a": "\xe9"}'])
    assert mapping.message(carried(json)) == b'{"a": "\xc3\xa9"}'
    other = Element("value", "urn:example:x", {"unit": "C"}, ["21.5"])
    assert mapping.message(carried(other)) == b"<value xmlns='urn:example:x' unit='C'>21.5</value>"
    # An encoding that nobody has is text; base64 that is none is no message
    el = Element("message", XMLNS, {"enc": "rot13"}, ["ab"])
    assert mapping.message(el) == b"ab"
    for text, found in (("", b""), ("YWI=", b"ab"), (" Y\nW I=\n", b"ab")):
        assert mapping.message(Element("message", XMLNS, {"enc": "base64"}, [text])) == found
    for text in ("YWI", "Y"):
        raises(ValueError, mapping.message, Element("message", XMLNS, {"enc": "base64"}, [text]))
