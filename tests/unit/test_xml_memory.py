"""The parser's memory: bounded, whatever comes."""

from helper import MICROPYTHON, allocated
from parsing import HEAD
from uxmpp.xml import Element, Parser

# What a board has; the library is compiled from source in it too.
HEAP = "160k"

CHUNK = 1024
MIB = 1024 * 1024


def start():
    parser = Parser()
    # Once through everything, so that what is made only once is there before it is measured
    list(parser.feed(HEAD + b"<m><b a='&lt;'>x<![CDATA[y]]></b></m><m>"))
    list(parser.feed(b"x" * parser.max_stanza + b"\n"))
    list(parser.feed(b"<b a='\n"))
    list(parser.feed(b"'/><![CDATA[\n"))
    assert [e.truncated for e in parser.feed(b"]]></m>")] == [True]
    return parser


def skip(before, chunk, size, after, margin):
    # Feeds a stanza of `size` bytes: `before`, then `chunk` again and again, then `after`
    parser = start()
    before_it = allocated()
    most = 0
    found = list(parser.feed(before))
    chunks = size // len(chunk)
    for i in range(chunks):
        for e in parser.feed(chunk):
            found.append(e)
        if not i % (chunks // 8):
            most = max(most, allocated() - before_it)
    found += parser.feed(after)
    assert [e.name for e in found] == ["m"] and found[0].truncated, found[:2]
    assert found[0].attrs == {"id": "1"}, found[0].attrs
    assert not parser.pending()
    found = None
    left = allocated() - before_it
    # What was held at the most is the stanza up to the limit, more than once while it grows
    assert most < 4 * parser.max_stanza + margin, most
    assert left < 1024 + margin, left
    assert [e.name for e in parser.feed(b"<n/>")] == ["n"]


def skip_all(before, chunk, size, after):
    # CPython keeps byte counts of its own; only the order of magnitude is looked at there
    skip(before, (chunk * CHUNK)[:CHUNK // len(chunk) * len(chunk)], size,
         after, 0 if MICROPYTHON else 16384)  # fmt: skip


def test_skipping_5_mb_of_text():
    skip_all(b"<m id='1'>", b"x", 5 * MIB, b"</m>")


def test_skipping_an_attribute():
    skip_all(b"<m id='1'><b c='", b'>/m>"', MIB, b"'/></m>")


def test_skipping_an_attribute_of_the_stanza():
    skip_all(b"<m id='1' c='", b"/>", MIB, b"'>x</m>")


def test_skipping_cdata():
    skip_all(b"<m id='1'><![CDATA[", b"</m>]]", MIB, b"]]></m>")


def test_skipping_elements():
    skip_all(b"<m id='1'>", b"<b c='/'><d/>x</b>", MIB // 8, b"</m>")


def test_skipping_depth():
    parser = start()
    before = allocated()
    list(parser.feed(b"<m id='1'>"))
    for _ in range(60):
        assert not list(parser.feed(b"<b>" * 300))
    assert allocated() - before < 2 * parser.max_stanza
    for _ in range(60):
        assert not list(parser.feed(b"</b>" * 300))
    assert [e.truncated for e in parser.feed(b"</m>")] == [True]


def test_one_byte_at_a_time():
    parser = start()
    before = allocated()
    list(parser.feed(b"<m>"))
    for i in range(50000):
        assert not list(parser.feed(b"x"))
        if not i % 10000:
            assert allocated() - before < 3 * parser.max_stanza
    list(parser.feed(b"</m>"))
    left = allocated() - before
    assert left < 1024, left


def grown_by(stanzas):
    # What `stanzas`, a generator of bytes, leave behind in the parser
    parser = start()
    before = allocated()
    for data in stanzas:
        assert [e.name for e in parser.feed(data)] == ["m"]
    data = None
    return allocated() - before


def test_nothing_is_kept_of_stanzas():
    # The last one may still be reachable: MicroPython takes old words on the stack for pointers
    grown = grown_by(b"<m>" + b"x" * 1000 + b"</m>" for _ in range(500))
    assert grown < 4096, grown
    grown = grown_by(b"<m>" + b"<b c='d'>x</b>" * 20 + b"</m>" for _ in range(200))
    assert grown < 8192, grown


# What is remembered of tags and names must not depend on how long a stranger makes them.
# (A CPython may remember more of them.)
KEPT = 8192 if MICROPYTHON else 32768


def test_long_names_of_attributes_are_not_kept():
    long = b"x" * 4000
    grown = grown_by(b"<m a%d" % i + long + b"='1'/>" for i in range(90))
    assert grown < KEPT, grown


def test_long_names_of_second_attributes_are_not_kept():
    long = b"x" * 4000
    grown = grown_by(b"<m a='1' a%d" % i + long + b"='1'/>" for i in range(90))
    assert grown < KEPT, grown


def test_long_names_of_elements_are_not_kept():
    long = b"x" * 4000
    grown = grown_by(b"<m><b%d" % i + long + b"/></m>" for i in range(90))
    assert grown < KEPT, grown


def test_long_namespaces_are_not_kept():
    long = b"x" * 4000
    grown = grown_by(b"<m xmlns='a%d" % i + long + b"'/>" for i in range(90))
    assert grown < KEPT, grown


def test_long_blanks_are_not_kept():
    long = b" " * 4000
    grown = grown_by(b"<m" + long + b" " * i + b"/>" for i in range(90))
    assert grown < KEPT, grown
    grown = grown_by(b"<m" + long + b" " * i + b"a='1'/>" for i in range(90))
    assert grown < KEPT, grown


def test_many_names_are_not_kept():
    parser = start()
    before = allocated()
    for i in range(2000):
        data = "<m{0} a{0}='' b{0}=''><c{0} xmlns='d{0}'/></m{0}>".format(i)
        assert len(list(parser.feed(data.encode()))) == 1
    assert allocated() - before < 24 * 1024, allocated() - before


# MicroPython keeps each str of one character for ever once it was taken out of another str, so
# a stranger's text must not be taken apart as str.
def characters(before, after):
    # U+4000 and on, made of bytes: chr() too would keep each of them
    data = before + after
    return grown_by(
        data.replace(b"?", bytes([0xE4, 0x80 + i // 64, 0x80 + i % 64])) for i in range(1500)
    )


def test_characters_of_values_are_not_kept():
    grown = characters(b"<m>?", b"</m>")
    assert grown < 4096, grown
    grown = characters(b"<m>&lt;?&amp;?", b"<![CDATA[?]]></m>")
    assert grown < 4096, grown
    grown = characters(b"<m a='?' b=\"?&lt;'?\" c='\n?'", b">?</m>")
    assert grown < 4096, grown


def test_characters_made_of_references_are_not_kept():
    grown = grown_by(b"<m a='&#%d;'>&#%d;</m>" % (i, i) for i in range(20000, 21500))
    assert grown < 4096, grown


def test_characters_of_names_are_not_kept():
    grown = characters(b"<m><?>", b"</?></m>")
    assert grown < KEPT, grown
    grown = characters(b"<m><x? ?x='1' y?=\"'\"/>", b"</m>")
    assert grown < KEPT, grown
    grown = characters(b"<m xmlns:?='?'><?:b ?:c='1'/>", b"</m>")
    assert grown < KEPT, grown


def test_characters_that_are_escaped_are_not_kept():
    # Made of bytes: chr() too would keep each character
    texts = [b"&\n\xe6\x94" + bytes([i]) for i in range(128, 192)]
    before = allocated()
    for raw in texts:
        text = raw.decode()
        e = Element("m", text, {"a": text, "{" + text + "}b": text}, [text])
        assert len(e.to_bytes("j")) > 20
    left = allocated() - before
    assert left < 1024, left


def pieces():
    # A heap with nothing left but holes of 1 KB
    blocks = []
    try:
        while True:
            blocks.append(bytearray(1024))
    except MemoryError:
        pass
    for i in range(0, len(blocks), 2):
        blocks[i] = None
    return blocks


def check_no_room(before, piece, after):
    # Each size of chunk meets the lack of room at another place. On CPython there is room: the
    # same stanza comes whole.
    for size in range(120, 420, 20):
        parser = Parser()
        found = list(parser.feed(HEAD))[:0]
        chunk = piece * size
        blocks = pieces() if MICROPYTHON else None
        for data in (before,) + (chunk,) * (6000 // size) + (after, b"<n/>"):
            found += parser.feed(data)
        del blocks
        shapes = [(e.name, e.truncated) for e in found]
        assert shapes == [("m", MICROPYTHON), ("n", False)], (size, shapes)
        assert found[0].get("id") == "1"


def test_no_room_for_a_text():
    check_no_room(b"<m id='1'><b>", b"x", b"</b></m>")


def test_no_room_for_a_value():
    check_no_room(b"<m id='1'><b a='", b"x", b"'/></m>")


def test_no_room_for_cdata():
    check_no_room(b"<m id='1'><![CDATA[", b"x", b"]]></m>")


def test_no_room_for_the_start_tag():
    check_no_room(b"<m id='1' a='", b"x", b"'/>")
