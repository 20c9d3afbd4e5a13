"""Elements, and how they are written."""

from helper import assert_none
from parsing import HEAD, el, plain
from uxmpp.xml import Element, Parser, escape


def parsed(data):
    """The one stanza in `data`, whose surroundings have the default namespace "j"."""
    stanzas = list(Parser().feed(HEAD + data))[1:]
    assert len(stanzas) == 1, data
    return stanzas[0]


def test_escape():
    assert_none([
        None if escape(text) == want.encode() else (text, escape(text))
        for text, want in (
            ("", ""),
            ("abc \xe4\u20ac\U0001f600", "abc \xe4\u20ac\U0001f600"),
            ("&<>'\"", "&amp;&lt;&gt;&apos;&quot;"),
            ("&amp;", "&amp;amp;"),
            ("]]>", "]]&gt;"),
            ("<<>>&&", "&lt;&lt;&gt;&gt;&amp;&amp;"),
            ("a\0b\x01c\x08\x0b\x0c\x0e\x1f\x1bd", "abcd"),
            ("\0", ""),
            ("\0&\0", "&amp;"),
            ("\x7f\x80\ufffd\U0010ffff", "\x7f\x80\ufffd\U0010ffff"),
        )
    ])  # fmt: skip


def test_escape_lets_no_noncharacter_out():
    assert escape("a\ufffeb\uffffc") == b"a???b???c"
    assert escape("gr\xfcn\ufffd") == "gr\xfcn\ufffd".encode()


def test_escape_lets_no_surrogate_out():
    # json.loads() makes such strings on MicroPython, whose encode() lets them through
    for code in (0xD800, 0xDBFF, 0xDC00, 0xDFFF):
        assert escape("a" + chr(code) + "b").replace(b"?", b"") == b"ab"


def test_what_is_left_out_does_not_come_together():
    # Nothing that is left out may leave behind something else that is forbidden
    for text in ("]\0]\0>", "&\0amp;", "<\0!--", "\x01<"):
        for back in (parsed(b"<m a='" + escape(text) + b"'/>").get("a"),
                     parsed(b"<m>" + escape(text) + b"</m>").text):  # fmt: skip
            assert back == text.replace("\0", "").replace("\x01", "")


def test_every_ascii_character_comes_back():
    text = "".join([chr(i) for i in range(128)])
    kept = "".join([c for c in text if c >= " " or c in "\t\n\r"])
    e = parsed(Element("m", "j", {"a": text}, [text]).to_bytes("j"))
    assert e.attrs == {"a": kept}, e.attrs
    assert e.text == kept, e.text


def test_bytes():
    wrong = []
    for e, xmlns, want in (
        (Element("m"), None, b"<m/>"),
        (Element("m"), "j", b"<m/>"),
        (Element("m", "j"), None, b"<m xmlns='j'/>"),
        (Element("m", "j"), "j", b"<m/>"),
        (Element("m", "j"), "k", b"<m xmlns='j'/>"),
        (Element("m", ""), "j", b"<m xmlns=''/>"),
        (Element("m", ""), "", b"<m/>"),
        (Element("m", "a&b'"), "j", b"<m xmlns='a&amp;b&apos;'/>"),
        (Element("m", None, None, ["x"]), None, b"<m>x</m>"),
        (Element("m", None, None, ["a", "b"]), None, b"<m>ab</m>"),
        (Element("m", None, None, ["<&>"]), None, b"<m>&lt;&amp;&gt;</m>"),
        (Element("m", None, {"a": "1"}), None, b"<m a='1'/>"),
        (Element("m", None, {"a": None}), None, b"<m/>"),
        (Element("m", None, {"a": ""}), None, b"<m a=''/>"),
        (Element("m", None, {"a": 5}), None, b"<m a='5'/>"),
        (Element("m", None, {"a": 0}), None, b"<m a='0'/>"),
        (Element("m", None, {"a": "\t\r\n'\"<>&"}), None,
         b"<m a='&#9;&#13;&#10;&apos;&quot;&lt;&gt;&amp;'/>"),
        (Element("m", None, {"a": "\0x\x1f"}), None, b"<m a='x'/>"),
        (Element("m", None, {"xml:lang": "de"}), None, b"<m xml:lang='de'/>"),
        (Element("m", None, None, ["\xe4\U0001f600"]), None, "<m>\xe4\U0001f600</m>".encode()),
        (Element("\xe4", None, {"\xf6": "\xfc"}), None, "<\xe4 \xf6='\xfc'/>".encode()),
    ):  # fmt: skip
        got = e.to_bytes(xmlns)
        if got != want:
            wrong.append((want, got))
    assert_none(wrong)


def test_the_namespace_is_written_where_it_changes():
    m = Element("m", "j")
    b = m.add("b")
    b.add("c")
    b.add("d", "k").add("e")
    m.add("f", "k").add("g", "j").add("h", "")
    assert m.to_bytes("j") == (
        b"<m><b><c/><d xmlns='k'><e/></d></b><f xmlns='k'><g xmlns='j'><h xmlns=''/></g></f></m>"
    )
    assert m.to_bytes().startswith(b"<m xmlns='j'><b><c/><d xmlns='k'>")


def test_a_child_without_namespace_has_its_parents():
    m = Element("m", "k", None, [Element("b", None, None, [Element("c")])])
    assert m.to_bytes("j") == b"<m xmlns='k'><b><c/></b></m>"


def test_attributes_with_a_namespace():
    e = Element("m", "j", {"{q}a": "1", "{r&}a": "2", "a": "3", "{q}b": None})
    e.add("b", attrs={"{q}a": "4"})
    again = parsed(e.to_bytes("j"))
    assert again.attrs == {"{q}a": "1", "{r&}a": "2", "a": "3"}
    assert again.find("b").attrs == {"{q}a": "4"}


def test_there_and_back():
    for data in (
        b"<m/>",
        b"<m a='1' xml:lang='de' p:b='2'>x<b xmlns='k'><c/><d xmlns=''>y</d></b><p:e/>z</m>",
        b"<p:m xmlns='k'><b/><p:c><![CDATA[<&>]]></p:c></p:m>",
        b"<m a='&#9;&#10;&#13;&lt;&apos;&quot;'>&#13;&#10;\n&#9;&amp;&#x10FFFF;</m>",
    ):
        one = parsed(data)
        assert plain(parsed(one.to_bytes("j"))) == plain(one)
        assert plain(parsed(one.to_bytes())) == plain(one)
        assert one.to_bytes("j") == parsed(one.to_bytes("j")).to_bytes("j")


def test_repr_is_xml():
    assert repr(Element("m", "j", None, ["\xe4"])) == "<m xmlns='j'>\xe4</m>"


def test_new_elements_share_nothing():
    one, two = Element("m"), Element("m")
    one.attrs["a"] = "1"
    one.children.append("x")
    assert two.attrs == {} and two.children == [] and not two.truncated
    one = Element("m").add("b")
    one.attrs["a"] = "1"
    assert Element("m").add("b").attrs == {}


def test_add():
    m = Element("m", "j")
    b = m.add("b", text="x")
    assert m.children == [b] and plain(b) == el("b", "j", None, "x")
    c = m.add("c", "k", {"a": "1"})
    assert m.children == [b, c] and plain(c) == el("c", "k", {"a": "1"})
    assert m.add("d", "").xmlns == ""
    assert m.add("e").add("f").xmlns == "j"
    assert Element("m").add("b").xmlns is None


def test_add_with_empty_text():
    b = Element("m").add("b", text="")
    assert b.children == []
    b.add("c")
    assert b.to_bytes() == b"<b><c/></b>"


def test_get():
    e = Element("m", "j", {"a": "1", "b": ""})
    assert e.get("a") == "1"
    assert e.get("b") == ""
    assert e.get("c") is None


def test_find_and_elements_and_text():
    m = parsed(b"<m>a<b i='1'/><b i='2'/>b<b xmlns='k'/><c xmlns='k'>x</c><p:d/>c</m>")
    assert m.find("b").get("i") == "1"
    assert m.find("b", "j").get("i") == "1"
    assert m.find("b", "k").xmlns == "k"
    assert m.find("c") is None
    assert m.find("c", "k").text == "x"
    assert m.find("d", "q").name == "d"
    assert m.find("m") is None
    assert m.find("b", "") is None
    assert [e.name for e in m.elements()] == ["b", "b", "b", "c", "d"]
    assert m.text == "abc"
    assert m.find("b").text == ""
    assert m.find("b").elements() == []


def test_a_parsed_element_can_be_changed():
    m = parsed(b"<m a='1'>x<b/></m>")
    m.attrs["a"] = "2"
    m.find("b").add("c", text="y")
    m.add("d", "k")
    assert m.to_bytes("j") == b"<m a='2'>x<b><c>y</c></b><d xmlns='k'/></m>"
