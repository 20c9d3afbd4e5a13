"""The parser: what it accepts, whole, cut anywhere, and byte by byte."""

from helper import assert_none, raises
from parsing import HEAD, HEADER, check, differs, el, octets, outcome, plain
from uxmpp.xml import Parser

XML = "http://www.w3.org/XML/1998/namespace"

# (what follows the header, the stanzas in it)
NAMESPACES = (
    (b"<m/>", [el("m")]),
    (b"<m></m>", [el("m")]),
    (b"<m xmlns='k'/>", [el("m", "k")]),
    (b"<m xmlns='k'><b/></m><n/>", [el("m", "k", None, el("b", "k")), el("n")]),
    (b"<m><b xmlns='k'><c/></b><d/></m>",
     [el("m", "j", None, el("b", "k", None, el("c", "k")), el("d"))]),
    (b"<m><b xmlns='k'/><d/></m>", [el("m", "j", None, el("b", "k"), el("d"))]),
    # The default namespace may be taken back; a prefix may not
    (b"<m><b xmlns=''><c/></b><d/></m>",
     [el("m", "j", None, el("b", "", None, el("c", "")), el("d"))]),
    (b"<p:m/>", [el("m", "q")]),
    (b"<p:m><b/></p:m>", [el("m", "q", None, el("b"))]),
    (b"<p:m xmlns:p='r'><p:b/></p:m><p:n/>",
     [el("m", "r", None, el("b", "r")), el("n", "q")]),
    (b"<x:m xmlns:x='r' xmlns='k'><b/><x:c/></x:m>",
     [el("m", "r", None, el("b", "k"), el("c", "r"))]),
    (b"<m><x:b xmlns:x='r'/><x:b xmlns:x='t'/></m>",
     [el("m", "j", None, el("b", "r"), el("b", "t"))]),
    # An attribute without a prefix has no namespace; the default one is not its
    (b"<m a='1' p:a='2'/>", [el("m", "j", {"a": "1", "{q}a": "2"})]),
    (b"<m p:a='1' xmlns:p='r'/>", [el("m", "j", {"{r}a": "1"})]),
    (b"<m xmlns:x='q' xmlns:y='r' x:a='1' y:a='2'/>",
     [el("m", "j", {"{q}a": "1", "{r}a": "2"})]),
    (b"<m xml:lang='de'/>", [el("m", "j", {"xml:lang": "de"})]),
    (b"<m xmlns:xml='" + XML.encode() + b"' xml:lang='de'/>", [el("m", "j", {"xml:lang": "de"})]),
    (b"<m xmlns='a&amp;b'><c/></m>", [el("m", "a&b", None, el("c", "a&b"))]),
    (b"<m xmlns:x='a&amp;b'><x:c/></m>", [el("m", "j", None, el("c", "a&b"))]),
    # Spellings that were seen before, in another scope
    (b"<m><b/></m><m xmlns='k'><b/></m><m><b/></m>",
     [el("m", "j", None, el("b")), el("m", "k", None, el("b", "k")), el("m", "j", None, el("b"))]),
    (b"<p:m a='1'/><p:m xmlns:p='r' a='1'/><p:m a='1'/>",
     [el("m", "q", {"a": "1"}), el("m", "r", {"a": "1"}), el("m", "q", {"a": "1"})]),
)  # fmt: skip

ATTRIBUTES = (
    (b"<m a='1' b=\"2\"/>", [el("m", "j", {"a": "1", "b": "2"})]),
    (b"<m a=\"1\" b='2'></m>", [el("m", "j", {"a": "1", "b": "2"})]),
    (b"<m a=''/>", [el("m", "j", {"a": ""})]),
    (b"<m a='x>y' b=\"it's>\"/>", [el("m", "j", {"a": "x>y", "b": "it's>"})]),
    (b"<m a='/>'/>", [el("m", "j", {"a": "/>"})]),
    (b"<m a='/'>x</m>", [el("m", "j", {"a": "/"}, "x")]),
    (b"<m a='/m>'>x</m>", [el("m", "j", {"a": "/m>"}, "x")]),
    (b"<m a='\"' b='\"\"'/>", [el("m", "j", {"a": '"', "b": '""'})]),
    (b"<m a=\"'\" b='\">' c=\"'>\"/>", [el("m", "j", {"a": "'", "b": '">', "c": "'>"})]),
    (b"<m a='&apos;&quot;&lt;&gt;&amp;'/>", [el("m", "j", {"a": "'\"<>&"})]),
    (b"<m a='&#65;&#x42;&#x63;&#x6A;&#x6a;'/>", [el("m", "j", {"a": "ABcjj"})]),
    (b"<m a='a\tb\nc\r\nd\re'/>", [el("m", "j", {"a": "a b c d e"})]),
    (b"<m a='&#9;&#10;&#13;'/>", [el("m", "j", {"a": "\t\n\r"})]),
    (b"<m a='&#13;\n'/>", [el("m", "j", {"a": "\r "})]),
    (b"<m a='=' b='a=b'/>", [el("m", "j", {"a": "=", "b": "a=b"})]),
    (b"<m a = '1'  b\t=\n'2' \r\n/>", [el("m", "j", {"a": "1", "b": "2"})]),
    (b"<m\ta='1'\n/>", [el("m", "j", {"a": "1"})]),
    (b"<m\r\na='1'\r\n>x</m\r\n>", [el("m", "j", {"a": "1"}, "x")]),
    (b"<m a=']]>'/>", [el("m", "j", {"a": "]]>"})]),
    (b"<m a='&lt;![CDATA['/>", [el("m", "j", {"a": "<![CDATA["})]),
    (b"<m a-b.c_1='1' _x='2'/>", [el("m", "j", {"a-b.c_1": "1", "_x": "2"})]),
    (b"<m \xc3\xa4='\xc3\xb6'/>", [el("m", "j", {"\xe4": "\xf6"})]),
)  # fmt: skip

TEXT = (
    (b"<m>x</m>", [el("m", "j", None, "x")]),
    (b"<m>a<b>c</b>d<e/>f</m>", [el("m", "j", None, "a", el("b", "j", None, "c"), "d", el("e"),
     "f")]),
    (b"<m> <b/>\n</m>", [el("m", "j", None, " ", el("b"), "\n")]),
    (b"<m>a&amp;b&lt;c&gt;&quot;&apos;</m>", [el("m", "j", None, "a&b<c>\"'")]),
    (b"<m>&amp;amp;</m>", [el("m", "j", None, "&amp;")]),
    (b"<m>&#38;lt;</m>", [el("m", "j", None, "&lt;")]),
    (b"<m>a > b ' \" ]] ]&gt; ]]&gt;</m>", [el("m", "j", None, "a > b ' \" ]] ]> ]]>")]),
    (b"<m>&#x9;&#xA;&#xD;&#32;</m>", [el("m", "j", None, "\t\n\r ")]),
    (b"<m>&#0065;&#x000041;&#xD7FF;&#xE000;&#xFFFD;&#x10000;&#x10FFFF;</m>",
     [el("m", "j", None, "AA\ud7ff\ue000\ufffd\U00010000\U0010ffff")]),
    (b"<m>a\nb\r\nc\rd\r\r\ne\te</m>", [el("m", "j", None, "a\nb\nc\nd\n\ne\te")]),
    (b"<m>a\r&#10;b&#13;\n</m>", [el("m", "j", None, "a\n\nb\r\n")]),
    ("<m>\xe9\u20ac\U0001f600\U0010fffd</m>".encode(),
     [el("m", "j", None, "\xe9\u20ac\U0001f600\U0010fffd")]),
    # The edges of what UTF-8 and XML allow
    (b"<m>\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80</m>",
     [el("m", "j", None, "\x7f\x80\u07ff\u0800\ud7ff\ue000")]),
    (b"<m>\xef\xbf\xbd\xf0\x90\x80\x80\xf0\x9f\xbf\xbf\xf4\x8f\xbf\xbf</m>",
     [el("m", "j", None, "\ufffd\U00010000\U0001ffff\U0010ffff")]),
)  # fmt: skip

CDATA = (
    (b"<m><![CDATA[<a>&amp;</m>]]></m>", [el("m", "j", None, "<a>&amp;</m>")]),
    (b"<m>a<![CDATA[b]]>c</m>", [el("m", "j", None, "abc")]),
    (b"<m><![CDATA[a]]><![CDATA[b]]></m>", [el("m", "j", None, "ab")]),
    (b"<m><![CDATA[]]></m>", [el("m")]),
    (b"<m>a<![CDATA[]]>b</m>", [el("m", "j", None, "ab")]),
    (b"<m><![CDATA[]]]></m>", [el("m", "j", None, "]")]),
    (b"<m><![CDATA[]]]]></m>", [el("m", "j", None, "]]")]),
    (b"<m><![CDATA[]]]]><![CDATA[>]]></m>", [el("m", "j", None, "]]>")]),
    (b"<m><![CDATA[>]>]]]></m>", [el("m", "j", None, ">]>]")]),
    (b"<m><![CDATA[<![CDATA[]]></m>", [el("m", "j", None, "<![CDATA[")]),
    (b"<m>a<b/><![CDATA[c]]>d<b/>e</m>", [el("m", "j", None, "a", el("b"), "cd", el("b"), "e")]),
    (b"<m><b><![CDATA[c]]></b>d</m>", [el("m", "j", None, el("b", "j", None, "c"), "d")]),
    (b"<m><![CDATA[a\r\nb\rc]]></m>", [el("m", "j", None, "a\nb\nc")]),
    (b"<m><![CDATA[\xf0\x9f\x98\x80]]></m>", [el("m", "j", None, "\U0001f600")]),
    (b"<m>&lt;<![CDATA[&lt;]]>&lt;</m>", [el("m", "j", None, "<&lt;<")]),
)  # fmt: skip

MARKUP = (
    (b" \t\r\n<m/>\n<n/> ", [el("m"), el("n")]),
    (b"<m />", [el("m")]),
    (b"<m\n/>", [el("m")]),
    (b"<m ></m >", [el("m")]),
    (b"<m></m\r\n\t >", [el("m")]),
    (b"<m a='1' ></m>", [el("m", "j", {"a": "1"})]),
    (b"<m a='1' />", [el("m", "j", {"a": "1"})]),
    (b"<a-b.c_1/>", [el("a-b.c_1")]),
    (b"<_/>", [el("_")]),
    (b"<\xc3\xa4></\xc3\xa4>", [el("\xe4")]),
    (b"<m><m><m/></m></m>", [el("m", "j", None, el("m", "j", None, el("m")))]),
    (b"<m><mm/></m>", [el("m", "j", None, el("mm"))]),
    (b"<m/><m></m><m /><m/>", [el("m")] * 4),
)  # fmt: skip


def check_table(table):
    assert_none([differs(HEAD + body, [HEADER] + stanzas) for body, stanzas in table])


def test_namespaces():
    check_table(NAMESPACES)


def test_attributes():
    check_table(ATTRIBUTES)


def test_text():
    check_table(TEXT)


def test_references_with_many_zeros():
    for zeros in (1, 4, 5, 6, 7, 8, 9, 10, 50):
        data = b"<m a='&#{0}8364;'>&#x{0}20aC;&#{0}65;&#x{0}1F600;</m>".replace(
            b"{0}", b"0" * zeros
        )
        stanza = el("m", "j", {"a": "\u20ac"}, "\u20acA\U0001f600")
        check(HEAD + data, [HEADER, stanza], step=9)


def test_cdata():
    check_table(CDATA)


def test_markup():
    check_table(MARKUP)


def test_stream_end():
    check(HEAD + b"<m/></s>", [HEADER, el("m"), None])
    check(HEAD + b"<m/> </s > \r\n", [HEADER, el("m"), None])
    check(b"<s/>", [el("s", ""), None])
    check(b"<x:s xmlns:x='k' xmlns='j'><m/></x:s>", [el("s", "k"), el("m"), None])


def test_headers():
    for head, want in (
        (b"<s>", el("s", "")),
        (b"<s xmlns='j'>", el("s")),
        (b"\r\n <s xmlns='j'>", el("s")),
        (b"<?xml version='1.0'?><s xmlns='j'>", el("s")),
        (b"<?xml version=\"1.0\"?>\n<s xmlns='j'>", el("s")),
        (b"<?xml version='1.0' encoding='UTF-8'?><s xmlns='j'>", el("s")),
        (b"<?xml version='1.0' encoding=\"utf-8\"?><s xmlns='j'>", el("s")),
        (b"<?xml version='1.0' encoding='utf-8' standalone='yes' ?><s xmlns='j'>", el("s")),
        (b"<x:s to='a' version='1.0' xml:lang='en' xmlns='j' xmlns:x='k'>",
         el("s", "k", {"to": "a", "version": "1.0", "xml:lang": "en"})),
    ):  # fmt: skip
        check(head + b"<m/>", [want, el("m", "j" if b"'j'" in head else "")])


def test_each_stanza_comes_with_its_last_byte():
    parser = Parser()
    data = HEAD + b"<m>a</m><n/><p:o a='>'/></s>"
    found = []
    for i, octet in enumerate(octets(data)):
        found += [(e and e.name, i + 1) for e in parser.feed(octet)]
    ends = [data.index(part) + len(part) for part in (HEAD, b"</m>", b"<n/>", b"'/>", b"</s>")]
    assert found == list(zip(["s", "m", "n", "o", None], ends)), found


def test_pending():
    parser = Parser()
    seen = ""
    for octet in octets(b" " + HEAD + b" <m>x</m> <n/> </s> "):
        list(parser.feed(octet))
        seen += "x" if parser.pending() else "."
    want = "." + "x" * (len(HEAD) - 1) + ". " + "x" * 7 + ". " + "xxx. xxx. "
    assert seen == want.replace(" ", "."), seen


def test_empty_input_is_nothing():
    parser = Parser()
    assert list(parser.feed(b"")) == []
    assert not parser.pending()
    assert outcome([b"", HEAD, b"", b"<m", b"", b"/>", b""]) == ([HEADER, el("m")], False, False)


def test_header_does_not_collect_the_stanzas():
    parser = Parser()
    header = list(parser.feed(HEAD + b"<m>x</m>"))[0]
    list(parser.feed(b"<m/><n>y</n> "))
    assert header.children == []


def test_stanzas_do_not_share_what_they_hold():
    parser = Parser()
    first, second = list(parser.feed(HEAD + b"<m a='1'/><m a='1'/>"))[1:]
    first.attrs["a"] = "2"
    first.children.append("x")
    assert plain(second) == el("m", "j", {"a": "1"})
    first, second = list(parser.feed(b"<m/><m/>"))
    first.attrs["a"] = "2"
    first.children.append("x")
    assert plain(second) == el("m")


def test_parsers_share_nothing():
    one, two = Parser(), Parser()
    list(one.feed(b"<s xmlns='j' xmlns:p='q'><m><p:b a='"))
    assert raises(ValueError, list, two.feed(b"<s><p:b a=''/>"))
    assert [plain(e) for e in one.feed(b"'/></m>")] == [
        el("m", "j", None, el("b", "q", {"a": ""}))
    ]


def test_more_spellings_than_are_remembered():
    data = HEAD
    want = [HEADER]
    for i in range(100):
        data += "<m{0} a{0}='1' b='2'><c{0}/><c{0} xmlns='n{0}'/></m{0}>".format(i).encode()
        want.append(
            el("m%d" % i, "j", {"a%d" % i: "1", "b": "2"}, el("c%d" % i), el("c%d" % i, "n%d" % i))
        )
    assert outcome([data]) == (want, False, False)
    assert outcome(octets(data)) == (want, False, False)
