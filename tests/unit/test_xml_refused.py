"""The parser: what it refuses, whole, cut anywhere, and byte by byte."""

from helper import assert_none
from parsing import HEAD, HEADER, check, differs, el
from uxmpp.xml import XMLError

XML = b"http://www.w3.org/XML/1998/namespace"
XMLNS = b"http://www.w3.org/2000/xmlns/"

RESTRICTED = (
    b"<!DOCTYPE s>",
    b"<!DOCTYPE s [<!ENTITY a 'b'>]>",
    b"<!-- c -->",
    b"<m><!-- c --></m>",
    b"<m>a<!---->b</m>",
    b"<?php x?>",
    b"<m><?a b?></m>",
    b"<?xml version='1.0'?>",
    b"<m><?xml version='1.0'?></m>",
    b"<m><!ENTITY a 'b'></m>",
    b"<m><![CDAT[x]]></m>",
    b"<m><![cdata[x]]></m>",
    b"<m><! [CDATA[x]]></m>",
    b"<m><![INCLUDE[x]]></m>",
)

REFERENCES = (
    b"&nbsp;", b"&unknown;", b"&;", b"&", b"& ", b"&amp", b"&amp ;", b"& amp;", b"&AMP;", b"&lt<",
    b"&#0;", b"&#x0;", b"&#00;", b"&#1;", b"&#x8;", b"&#xB;", b"&#x1F;", b"&#11;", b"&#31;",
    b"&#xD800;", b"&#xDBFF;", b"&#xDC00;", b"&#xDFFF;", b"&#55296;", b"&#xD83D;&#xDE00;",
    b"&#xFFFE;", b"&#xFFFF;", b"&#65535;", b"&#x110000;", b"&#1114112;", b"&#x100000041;",
    b"&#18446744073709551681;", b"&#" + b"9" * 5000 + b";",
    b"&#;", b"&#x;", b"&#+5;", b"&#-5;", b"&#x+41;", b"&#x-1;", b"&# 65;", b"&#65 ;", b"&#x 41;",
    b"&#1_0;", b"&#x1_0;", b"&#X41;", b"&#0x41;", b"&#x0x41;", b"&#4A;", b"&#xG;", b"&#65",
    b"&#x41",
    b"&#6\xd9\xa5;", b"&#65.0;", b"&#1e2;", b"&#0b1;", b"&#0o101;", b"&#65&#65;", b"&#\n65;",
    b"&x41;",
)  # fmt: skip

TAGS = (
    b"< a>", b"< a/>", b"<\na/>", b"<a/ >", b"<a / >", b"<a b='c'/ >", b"<a//>", b"<a /b>",
    b"<a/b>", b"<>", b"</>", b"< />", b"<m></ m>", b"<m></m/>", b"<m></m a='1'>", b"<m><//m>",
    b"<m></n>", b"<m></M>", b"<m></mm>", b"<mm></m>", b"<m><b></m></b>", b"</m>",
    b"<p:m></m>", b"<m></p:m>", b"<p:m xmlns:x='q'></x:m>", b"<m><<b/></m>", b"<m<b/>",
    b"<m <b/>>",
    b"<1/>", b"<-/>", b"<./>", b"<m&amp;/>", b"<a=b/>", b"<='1'/>", b"<a'b'/>", b"<a\"/>\"/>",
    b"<a,b/>",
    b"<a!/>", b"<a\x7f/>", b"<a;/>", b"<@/>", b"<m>< /m>", b"<'a'/>", b"<m =''/>",
    b"<:m/>", b"<m:/>", b"<:/>", b"<p:p:m/>", b"<p:1/>", b"<p: m/>", b"<p :m/>",
)  # fmt: skip

ATTRIBUTES = (
    b"a=1", b"a=1 ", b"a", b"a=", b"a= ", b"a b='1'", b"a='1'b='2'", b"a='1'a='2'", b"a='1''2'",
    b"a==''",
    b"a:='1'", b":a='1'", b"p:p:a='1'", b"p:1='1'", b"1='1'", b"-a='1'", b"a&amp;='1'", b"'1'",
    b"a '1'",
    b"a='1' '2'", b"='1'", b"a='1' =", b"a='1' b", b"a='1' b/", b"a='1' / ", b"a='<'", b"a='x<y'",
    b"a=\"'<'\"", b"a='1' b='<'", b"a='1' a='2'", b"a='1' b='2' a='1'", b"p:a='1' p:a='2'",
    b"p:a='1' x:a='2' xmlns:x='q'", b"xmlns:x='q' x:a='1' p:a='2'", b"xml:lang='a' xml:lang='b'",
    b"xmlns='j' xmlns='k'", b"xmlns:x='k' xmlns:x='k'", b"x:a='1'", b"a.b c='1'", b"a,='1'",
    b"a='1',b='2'",
    b"xmlns:p=''", b"xmlns:p='r' xmlns:x=''", b"xmlns:xmlns='r'", b"xmlns:xmlns='" + XMLNS + b"'",
    b"xmlns:xml='r'", b"xmlns:xml=''", b"xmlns:x='" + XML + b"'",
      b"xmlns:='r'", b"xmlns:1='r'", b"a='\x01'",
)  # fmt: skip

# A tag or an attribute's name that was seen before is no way around the checks.
# (what follows the header, the stanzas before the one that is refused)
REMEMBERED = (
    (b"<m a='1'm a='2'/>", []),
    (b"<m a='1'/><m b='1'm a='2'/>", [el("m", "j", {"a": "1"})]),
    (b"<m a='1' b='2'/><m a='1'm a='1' b='2'/>", [el("m", "j", {"a": "1", "b": "2"})]),
    (b"<m b='1' a='2'/>< a='1'/>", [el("m", "j", {"b": "1", "a": "2"})]),
    (b"<m b='1' type='2'/>< type='1'/>", [el("m", "j", {"b": "1", "type": "2"})]),
    (b"<m b='1' tpqa='2'/>< tpqa='1' xmlns:p='r'/>", [el("m", "j", {"b": "1", "tpqa": "2"})]),
    (b"<m b='1' p:c='2'/>< p:c='1'/>", [el("m", "j", {"b": "1", "{q}c": "2"})]),
    (b"<m/>< m/>", [el("m")]),
    (b"<m/><m/ >", [el("m")]),
    (b"<m/><m/a>", [el("m")]),
    (b"<m a='1'/><m a ='1'a='1'/>", [el("m", "j", {"a": "1"})]),
    (b"<x:m xmlns:x='r'/><x:m/>", [el("m", "r")]),
    (b"<x:m a='' xmlns:x='r'/><x:m a=''/>", [el("m", "r", {"a": ""})]),
    (b"<m><x:b xmlns:x='r' x:a='1'/><b x:a='1'/></m>", []),
    (b"<m><x:b xmlns:x='r'><x:b/></x:b><x:b/></m>", []),
    (b"<m p:a='' xmlns:x='r' x:a=''/><m p:a='' xmlns:x='q' x:a=''/>",
     [el("m", "j", {"{q}a": "", "{r}a": ""})]),
    (b"<m a='' b=''/><m a='' b='' b=''/>", [el("m", "j", {"a": "", "b": ""})]),
    (b"<m a='' a =''/>", []),
    (b"<m a='' b=''/><m b='' a='' b =''/>", [el("m", "j", {"a": "", "b": ""})]),
)  # fmt: skip

OUTSIDE = (
    b"<m/></m>", b"<m/>\0",     b"x", b"&#32;", b"&amp;", b"<![CDATA[]]>", b"<![CDATA[ ]]>", b"]",
    b">", b"\xc2\xa0", b"\xef\xbb\xbf",
    b"<m/>x<m/>", b"</s><m/>", b"</s></s>", b"</s>x", b"</s><s>", b"</s><?xml version='1.0'?>",
    b"</s><!-- c -->", b"</s>\0", b"</p:s>", b"</s/>", b"</m>",
)  # fmt: skip

ENCODINGS = (
    b"\x80", b"\xbf", b"\xff", b"\xfe", b"\xc3", b"\xc3x", b"\xc3\xc3", b"\xe2\x82", b"\xe2\x82x",
    b"\xe2x",
    b"\xf0\x9f\x98", b"\xf0\x9f", b"\xf0", b"a\x80", b"\xc3\xa4\x80",
    b"\xc0\xaf", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xe0\x9f\xbf", b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf", b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xbf\xbf",
    b"\xed\xa0\xbd\xed\xb8\x80",
    b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80", b"\xef\xbf\xbe", b"\xef\xbf\xbf", b"\xc3\xa4\xef\xbf\xbf",
    b"\xe0", b"\xed", b"\xf4", b"\xef\xbf", b"\xc0",
)  # fmt: skip


def check_refused(bodies, step=1):
    """Assert that each of `bodies` is an error, and that the stanza before it comes through."""
    wrong = []
    for body in bodies:
        # The longest are cut in fewer places: each says nothing new
        few = step if len(body) < 1000 else 997
        wrong.append(differs(HEAD + b"<ok/>" + body, [HEADER, el("ok")], error=True, step=few))
    assert_none(wrong)


def test_restricted():
    check_refused(RESTRICTED)


def test_references_in_text():
    check_refused([b"<m>a" + r + b"b</m>" for r in REFERENCES])


def test_references_in_attributes():
    check_refused([b"<m a='a" + r + b"b'/>" for r in REFERENCES])


def test_tags():
    # What follows completes the tag, whatever it was taken for
    check_refused([tag + b"<z></y>" for tag in TAGS])


def test_attributes():
    check_refused([b"<m " + a + b"/>" for a in ATTRIBUTES])
    check_refused([b"<m " + a + b"></m>" for a in ATTRIBUTES])


def test_a_quote_that_is_not_closed_is_not_finished():
    check(HEAD + b"<m a='1></m><n/>", [HEADER], pending=True)
    check(HEAD + b"<m a=\"'></m><n b='/>", [HEADER], pending=True)


def test_what_is_remembered_is_no_way_around():
    wrong = [differs(HEAD + body, [HEADER] + found, error=True) for body, found in REMEMBERED]
    assert_none(wrong)


def test_text_with_the_end_of_cdata():
    check_refused(
        (b"<m>]]></m>", b"<m>a]]]>b</m>", b"<m><b/>]]><b/></m>", b"<m>]]><![CDATA[]]></m>")
    )


def test_outside_of_stanzas():
    for body in OUTSIDE:
        found = [HEADER, el("ok")]
        if body.startswith(b"<m/>"):
            found.append(el("m"))
        if body.startswith(b"</s>"):
            found.append(None)
        # The stanza behind completes what text may go on
        check(HEAD + b"<ok/>" + body + b"<z/>", found, error=True)


def test_control_characters():
    for code in range(32):
        if code in (9, 10, 13):
            continue
        c = bytes([code])
        for body in (
            b"<m>a" + c,
            b"<m a='" + c,
            b"<m" + c,
            b"<m><![CDATA[" + c,
            c,
            b"<" + c,
            b"</" + c,
        ):
            check(HEAD + b"<ok/>" + body, [HEADER, el("ok")], error=True, step=7)
    check(HEAD + b"<ok/><m>a</m>\0", [HEADER, el("ok"), el("m", "j", None, "a")], error=True)
    check(b"\0" + HEAD, [], error=True)


def test_encodings_in_text():
    check_refused([b"<m>" + raw + b"</m>" for raw in ENCODINGS])


def test_encodings_in_attributes():
    check_refused([b"<m a='" + raw + b"'/>" for raw in ENCODINGS])


def test_encodings_in_names():
    check_refused([b"<m" + raw + b"/>" for raw in ENCODINGS], 5)
    check_refused([b"<m a" + raw + b"=''/>" for raw in ENCODINGS], 5)


def test_encodings_in_cdata():
    check_refused([b"<m><![CDATA[" + raw + b"]]></m>" for raw in ENCODINGS])


def test_headers():
    wrong = []
    for head in (
        b"x<s>", b"<s a>", b"</s>", b"<x:s>", b"<s/><s/>", b"<!DOCTYPE s><s>", b"<!-- c --><s>",
        b"<![CDATA[x]]><s>", b"<?xml-stylesheet href='a'?><s>", b"<?x?><s>",
        b"<? xml version='1.0'?><s>",
        b" <?xml version='1.0'?><s>", b"\n<?xml version='1.0'?><s>", b"<?XML version='1.0'?><s>",
        b"<?xml version='1.0'?><?xml version='1.0'?><s>", b"<s><?xml version='1.0'?>",
        b"<?xmlversion='1.0'?><s>", b"HTTP/1.1 400 Bad<s>",
        b"\xff\xfe<\0s\0>\0", b"\x15\x03\x01\0\x02\x02\x46",
    ):  # fmt: skip
        found = []
        if head.startswith(b"<s/>"):
            found = [el("s", ""), None]
        elif head.startswith(b"<s>"):
            found = [el("s", "")]
        wrong.append(differs(head, found, error=True))
    assert_none(wrong)


def test_the_error_is_a_value_error():
    assert issubclass(XMLError, ValueError)
