"""The parser and the serialiser on what nobody thought of; expat judges.

CPython only: MicroPython has neither Hypothesis nor expat.
"""

import re
import xml.etree.ElementTree as ET
from xml.parsers import expat

from hypothesis import assume, event, example, given
from hypothesis import strategies as st
from parsing import HEAD, HEADER, octets, outcome, plain

from uxmpp.xml import Element, Parser

ROOMY = {"max_stanza": 10**6, "max_elements": 10**6, "max_depth": 10**3, "max_attrs": 10**3}
NAMESPACES = ("j", "k", "q", "", "a&b'<\">", "urn:xmpp:x\u00e4")
NOT_CHARACTERS = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

names = st.from_regex(
    r"[A-Za-z_\u00e4\u4e2d][A-Za-z0-9_.\-\u00e4\u4e2d]{0,5}", fullmatch=True
).filter(lambda s: s != "xmlns")
characters = st.characters(codec="utf-8")
text = st.text(characters | st.sampled_from("&<>'\"]\r\n\t \0\uffff"), max_size=8)
namespaces = st.sampled_from(NAMESPACES)
# A namespace of an attribute is never empty, and a } would end it
keys = names | st.builds("{{{}}}{}".format, namespaces.filter(bool), names) | st.just("xml:lang")
attributes = st.dictionaries(keys, text, max_size=4)


def elements(children):
    return st.builds(Element, names, namespaces, attributes, st.lists(text | children, max_size=4))


trees = st.recursive(st.builds(Element, names, namespaces, attributes), elements, max_leaves=12)


def allowed(s):
    return NOT_CHARACTERS.sub("", s)


def expected(e):
    """What should come back of a tree: `plain`, with the text in one piece and allowed."""
    children = []
    for c in e.children:
        c = allowed(c) if isinstance(c, str) else expected(c)
        if isinstance(c, str) and children and isinstance(children[-1], str):
            children[-1] += c
        elif c:
            children.append(c)
    attrs = {k: allowed(v) for k, v in e.attrs.items()}
    return (e.name, e.xmlns, attrs, children, False)


def of_expat(data):
    """`data`, a whole document, as expat understands it, in the form of `plain`."""

    def convert(e):
        xmlns, _, name = e.tag.rpartition("}")
        attrs = {
            k.replace("{http://www.w3.org/XML/1998/namespace}", "xml:"): v
            for k, v in e.attrib.items()
        }
        children = [e.text] if e.text else []
        for c in e:
            children.append(convert(c))
            if c.tail:
                children.append(c.tail)
        return (name, xmlns[1:], attrs, children, False)

    return convert(ET.fromstring(data))


@st.composite
def chunked(draw, data):
    """`data` in pieces."""
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=12).map(sorted))
    return [data[i:j] for i, j in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(st.lists(trees, max_size=3), st.data())
def test_trees_come_back(stanzas, data):
    raw = HEAD + b"\n".join([e.to_bytes("j") for e in stanzas])
    found = [HEADER, *map(expected, stanzas)]
    assert outcome([raw], ROOMY) == (found, False, False)
    assert outcome(data.draw(chunked(raw)), ROOMY) == (found, False, False)
    assert outcome(octets(raw), ROOMY) == (found, False, False)
    for e in stanzas:
        assert of_expat(e.to_bytes()) == expected(e)


# Spellings that the serialiser does not use; `{}` is for what is inside
blanks = st.sampled_from(["", "", " ", "\n", "\t \r\n"])
values = st.sampled_from(
    ["", "1", ">", "/>", "&lt;", "&#65;", "&#x1F600;", "a\nb", "a\r\nb\tc", "&#10;&#13;", "\u00e4",
    "]]>"]
)  # fmt: skip
quoted = st.builds("'{}'".format, values | st.just('"')) | st.builds(
    '"{}"'.format, values | st.just("'")
)
spelt_text = st.sampled_from(
    ["x", " ", "\r\n", "\r", "]] ", ">", "&amp;", "&#13;", "&#x4e2d;", "\u4e2d", "\U0001f600", "'",
    '"']
    + ["<![CDATA[]]>", "<![CDATA[<&>]]]>", "<![CDATA[\r\n]]>", "<![CDATA[\u00e4]]]]>"]
)  # fmt: skip


@st.composite
def spelt(draw, depth=3):
    """An element as text; its prefixes are declared at the root, or by itself."""
    prefix = draw(st.sampled_from(["", "", "p:", "x:"]))
    name = prefix + draw(st.sampled_from(["m", "m", "body", "a.b-c", "\u00e4"]))
    attrs = draw(
        st.dictionaries(
            st.sampled_from(["a", "b", "p:a", "x:a", "xml:lang", "xmlns:z", "type", "n\u00e4"]),
            quoted,
            max_size=4,
        )
    )
    if attrs.get("xmlns:z", "''") in ("''", '""'):
        attrs.pop("xmlns:z", None)
    if draw(st.booleans()):
        attrs["xmlns"] = draw(st.sampled_from(["'j'", '"k"', "''", "'a&amp;b'"]))
    if draw(st.integers(0, 3)) == 3:
        attrs["xmlns:x"] = draw(st.sampled_from(["'r2'", '"r>"']))
    pieces = ["<", name]
    for k in draw(st.permutations(sorted(attrs))):
        pieces += [" ", draw(blanks), k, draw(blanks), "=", draw(blanks), attrs[k]]
    pieces.append(draw(blanks))
    content = draw(st.lists(spelt_text | (spelt(depth - 1) if depth else spelt_text), max_size=4))
    if not content and draw(st.booleans()):
        return "".join([*pieces, "/>"])
    return "".join([*pieces, ">", *content, "</", name, draw(blanks), ">"])


SPELT_HEAD = b"<s xmlns='j' xmlns:p='q' xmlns:x='r'>"


@given(st.lists(spelt(), min_size=1, max_size=3), st.data())
def test_spellings_mean_what_expat_says(stanzas, data):
    raw = SPELT_HEAD + "".join(stanzas).encode()
    whole = of_expat(raw + b"</s>")
    found = [HEADER, *whole[3], None]
    assert outcome([raw, b"</s>"], ROOMY) == (found, False, False)
    assert outcome(data.draw(chunked(raw + b"</s>")), ROOMY) == (found, False, False)
    assert outcome(octets(raw + b"</s>"), ROOMY) == (found, False, False)


limits = st.fixed_dictionaries(
    {
        "max_stanza": st.integers(40, 200),
        "max_elements": st.integers(1, 6),
        "max_depth": st.integers(1, 4),
        "max_attrs": st.integers(1, 5),
    }
)


@given(st.lists(spelt(), min_size=1, max_size=3), limits, st.data())
def test_limits_are_no_error_and_chunks_do_not_matter(stanzas, limits, data):
    raw = "".join([s + "<end/>" for s in stanzas]).encode()
    limits = {**limits, "max_attrs": max(limits["max_attrs"], 3)}
    head = [b"<s xmlns='j' xmlns:p='q' xmlns:x='r'>"]
    want = outcome(head + [raw], limits)
    found, error, pending = want
    assert (error, pending) == (False, False), error
    assert [e[0] for e in found[2::2]] == ["end"] * len(stanzas)
    assert len(found) == 1 + 2 * len(stanzas)
    roomy = outcome(head + [raw], ROOMY)[0]
    for got, whole, spelling in zip(found[1::2], roomy[1::2], stanzas, strict=True):
        event("truncated" if got[4] else "whole")
        if len(spelling.encode()) > limits["max_stanza"]:
            assert got[4]
        if got[4]:
            # A declaration may be beyond the limit, and with it what a namespace is
            assert got[0] == whole[0] and got[3] == []
            assert {k: v for k, v in got[2].items() if k[0] != "{"}.items() <= whole[2].items()
        else:
            assert got == whole
    assert outcome(head + data.draw(chunked(raw)), limits) == want
    assert outcome(head + list(octets(raw)), limits) == want


@given(st.lists(spelt(), min_size=1, max_size=3), limits, st.data())
def test_damage_is_an_xml_error_or_nothing(stanzas, limits, data):
    raw = SPELT_HEAD + "".join(stanzas).encode() + b"</s>"
    for _ in range(data.draw(st.integers(1, 3))):
        i = data.draw(st.integers(0, len(raw)))
        j = data.draw(st.integers(i, min(len(raw), i + 3)))
        raw = raw[:i] + data.draw(DAMAGE) + raw[j:]
    small = data.draw(st.sampled_from([ROOMY, limits]))
    want = outcome([raw], small)
    event(f"error: {want[1]}")
    assert want[1] in (True, False)
    assert outcome(octets(raw), small) == want
    assert outcome(data.draw(chunked(raw)), small) == want


DAMAGE = st.binary(max_size=3) | st.sampled_from(
    [b"<", b">", b"/", b"'", b'"', b"=", b"&", b";", b" ", b"\n", b":", b"<!--", b"<?", b"]]>",
    b"<![CDATA["]
    + [b"</", b"/>", b"<m", b"</m>", b"xmlns", b"xmlns:p='", b"a=''", b" a='1'", b"&#", b"&lt;",
    b"<m a='1'"]
    + [b"\xc0\x80", b"\xed\xa0\x80", b"\xef\xbf\xbf", b"\xf4\x90\x80\x80", b"\0", b"\xe4",
    b"< a='1'", b"m a="]
)  # fmt: skip


@given(st.binary(max_size=60), st.data())
@example(b"\xef\xbb\xbf<s>", None)
def test_anything_is_an_xml_error_or_nothing(raw, data):
    want = outcome([raw])
    assert want[1] in (True, False)
    assert outcome(octets(raw)) == want


def judged(raw):
    """What expat says of a document: "no", "yes", or "restricted" where XMPP is stricter."""
    restricted = False
    depth = 0
    parser = expat.ParserCreate("utf-8", "}")

    def start(name, attrs):
        nonlocal depth
        depth += 1

    def end(name):
        nonlocal depth
        depth -= 1

    def characters(s):
        nonlocal restricted
        i = parser.CurrentByteIndex
        if depth == 1 and raw[i : i + 1] not in b" \t\r\n":
            restricted = True

    def never(*args):
        nonlocal restricted
        restricted = True

    def cdata():
        nonlocal restricted
        restricted = restricted or depth == 1

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartCdataSectionHandler = cdata
    parser.CommentHandler = parser.ProcessingInstructionHandler = never
    parser.StartDoctypeDeclHandler = parser.XmlDeclHandler = never
    try:
        parser.Parse(raw, True)
    except expat.ExpatError:
        return "no"
    return "restricted" if restricted else "yes"


TOKENS = st.sampled_from(
    ["<", ">", "/", "'", '"', "=", " ", "\n", "&", ";", "]", "!", ":", "#", "x", "1", "-", ".",
    "\t", "\r"]
    + ["<m>", "</m>", "<m/>", "<b a='1'>", "</b>", "<p:b p:a='2'/>", "<x:b xmlns:x='r'>", "</x:b>",
    "text"]
    + ["<![CDATA[", "]]>", "<![CDATA[x]]>", "&lt;", "&#65;", "&#x41;", " a='1'", " b=\"2\"",
    " p:a=''"]
    + [" xmlns='k'", " xmlns=''", " xmlns:p='q2'", " xmlns:p=''", " xml:lang='e'", " x:a='1'", "m",
    "a"]
    + ["<b a='1'b='2'/>", "<b a='1' b='2'/>", "< a='1'/>", "<m a='1'm a='1'/>", "<b a", "='1'",
    "='1'/>"]
)  # fmt: skip


@given(st.lists(TOKENS, max_size=14).map("".join))
@example("<m a='1'm a='2'/>")
@example("<m '1'/>")
def test_accepts_what_expat_accepts(body):
    raw = b"<s xmlns='j' xmlns:p='q'><m>" + body.encode() + b"</m></s>"
    verdict = judged(raw)
    found, error, _ = outcome([raw], ROOMY)
    assert error in (True, False)
    accepted = not error and found[-1] is None
    event(verdict)
    if verdict == "yes":
        assert accepted
        assert found[1:-1] == [c for c in of_expat(raw)[3] if not isinstance(c, str)]
    elif verdict == "no":
        assert not accepted
    assert outcome(octets(raw), ROOMY)[:2] == (found, error)


@given(
    st.binary(min_size=1, max_size=4)
    | st.text(min_size=1, max_size=2).map(lambda s: s.encode("utf-8", "surrogatepass"))
)
def test_characters(raw):
    assume(not set(raw) & set(b"<&\r\n\t") and b"]]>" not in raw)
    try:
        s = raw.decode()
        good = not NOT_CHARACTERS.search(s)
    except UnicodeDecodeError:
        good = False
    found, error, _ = outcome([HEAD + b"<m>" + raw + b"</m>"])
    assert error != good
    if good:
        assert found[1][3] == [s]
    if b"'" not in raw:
        assert outcome([HEAD + b"<m a='" + raw + b"'/>"])[1] != good
    assert outcome([HEAD + b"<m><![CDATA[" + raw + b"]]></m>"])[1] != good


@given(
    st.integers(0, 0x120000),
    st.sampled_from(["&#{};", "&#x{:x};", "&#x{:X};", "&#0{};", "&#x{:08x};"]),
)
def test_references(code, form):
    good = code < 0x110000 and not NOT_CHARACTERS.search(chr(code))
    reference = form.format(code).encode()
    found, error, _ = outcome([HEAD + b"<m>" + reference + b"</m>"])
    assert error != good
    if good:
        assert found[1][3] == [chr(code)]


@given(trees)
def test_repr_and_search_agree_with_the_tree(e):
    again = list(Parser().feed(HEAD + e.to_bytes("j")))[1]
    if not again.truncated:
        assert plain(again) == expected(e)
        assert again.text == "".join(
            map(allowed, filter(lambda c: isinstance(c, str), e.children))
        )
        assert [c.name for c in again.elements()] == [
            c.name for c in e.children if not isinstance(c, str)
        ]
