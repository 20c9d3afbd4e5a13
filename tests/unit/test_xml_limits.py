"""The parser's limits: what passes one is skipped, and only its start tag is handed on."""

from helper import assert_none
from parsing import HEAD, HEADER, check, cut, differs, el, octets, outcome
from uxmpp.xml import Parser

SMALL = {"max_stanza": 60}

# (a stanza of more than 60 bytes, its start tag)
TOO_LONG = (
    (b"<m a='1'>" + b"x" * 60 + b"</m>", cut("m", "j", {"a": "1"})),
    # By one byte, wherever it is
    (b"<m>" + b"x" * 54 + b"</m>", cut("m")),
    (b"<m>" + b"x" * 57 + b"</m>", cut("m")),
    (b"<m>" + b"x" * 58 + b"</m>", cut("m")),
    (b"<m>" + b"x" * 52 + b"</m  >", cut("m")),
    (b"<m>" + b"x" * 53 + b"<b/></m>", cut("m")),
    (b"<m>" + b"x" * 54 + b"<b/></m>", cut("m")),
    (b"<m><b a='" + b"x" * 60 + b"'/></m>", cut("m")),
    (b"<m><b><c/>x<c a=\"" + b"x" * 60 + b"\">x</c></b></m>", cut("m")),
    (b"<m><b a='" + b">" * 60 + b"'/></m>", cut("m")),
    (b"<m><b a='" + b"/>" * 30 + b"'>x</b></m>", cut("m")),
    (b"<m><b a='" + b'"/></m>' * 9 + b"'/></m>", cut("m")),
    (b"<m><b a=\"" + b"'/></m>" * 9 + b"\"/></m>", cut("m")),
    (b"<m><b a='\">' b=\"'>\" c='" + b'">' * 30 + b"'/></m>", cut("m")),
    (b"<m>" + b"x" * 60 + b"<b a='></m>'/><c a=\"'></m>\"/></m>", cut("m")),
    (b"<m><![CDATA[" + b"x" * 60 + b"]]></m>", cut("m")),
    (b"<m><![CDATA[" + b"</m>" * 15 + b"]]></m>", cut("m")),
    (b"<m>" + b"x" * 60 + b"<![CDATA[</m>]]><![CDATA[]]]]>x<![CDATA[]>]]></m>", cut("m")),
    (b"<m>" + b"x" * 60 + b"<![CDATA[<m>'\"]]>'\"<b/></m>", cut("m")),
    (b"<m>" + b"<b/>" * 15 + b"</m>", cut("m")),
    (b"<m>" + b"<b a='/'/><c />" * 5 + b"</m>", cut("m")),
    (b"<m>" + b"<b a='/'>x</b>" * 6 + b"</m>", cut("m")),
    (b"<m>" + b"<m></m>" * 9 + b"</m>", cut("m")),
    (b"<m>" + b"<m>" * 20 + b"</m>" * 20 + b"</m>", cut("m")),
    (b"<m>" + b"<b>" * 20 + b"</b >" * 20 + b"</m\n>", cut("m")),
    (b"<m>" + b"x" * 60 + b"&amp; ]] > \xc3\xa4 \r\n\t</m>", cut("m")),
    (b"<m>" + b"\xf0\x9f\x98\x80" * 15 + b"</m>", cut("m")),
    (b"<m a='\xc3\xa4'>" + b"\xc3\xa4" * 30 + b"</m>", cut("m", "j", {"a": "\xe4"})),
    (b"<p:m xmlns='k' p:a='&gt;'><p:m>" + b"x" * 60 + b"</p:m></p:m>",
     cut("m", "q", {"{q}a": ">"})),
    (b"<m xmlns='k'>" + b"<b/>" * 20 + b"</m>", cut("m", "k")),
    # The start tag itself: the attributes that are whole within the limit stay
    (b"<m a='1' b='" + b"x" * 60 + b"'/>", cut("m", "j", {"a": "1"})),
    (b"<m a='1' b='" + b"x" * 60 + b"'>x</m>", cut("m", "j", {"a": "1"})),
    (b"<m a='1' b='2' c='" + b"x" * 60 + b"'><m>x</m></m>", cut("m", "j", {"a": "1", "b": "2"})),
    (b"<m a='1' b='" + b'">' * 60 + b"'>x</m>", cut("m", "j", {"a": "1"})),
    (b"<m a='1' b=\"" + b"'>" * 60 + b"\"/>", cut("m", "j", {"a": "1"})),
    (b"<m \xc3\xa4='\xc3\xa4' b='" + b"x" * 60 + b"'/>", cut("m", "j", {"\xe4": "\xe4"})),
    (b"<m a='\">' b='" + b"\xc3\xa4" * 60 + b"'/>", cut("m", "j", {"a": '">'})),
    (b"<m a='1' b='" + b"&amp;" * 20 + b"'/>", cut("m", "j", {"a": "1"})),
    (b"<m a='1&amp;' b='" + b"x" * 60 + b"'/>", cut("m", "j", {"a": "1&"})),
    (b"<m a='1' " + b"x" * 60 + b"='2'/>", cut("m", "j", {"a": "1"})),
    (b"<m a='1'" + b" " * 60 + b"/>", cut("m", "j", {"a": "1"})),
    (b"<m a='1'" + b"\n" * 60 + b"b='2'>x</m>", cut("m", "j", {"a": "1"})),
    (b"<m a='" + b"x" * 60 + b"' b='2'/>", cut("m")),
    (b"<m a='" + b"/>" * 40 + b"' b='2'>x</m>", cut("m")),
    (b"<m xmlns='k' a='" + b"x" * 60 + b"'/>", cut("m", "k")),
)  # fmt: skip

JUST_FITTING = (
    (b"<m>" + b"x" * 53 + b"</m>", el("m", "j", None, "x" * 53)),
    (b"<m>" + b"x" * 52 + b"</m >", el("m", "j", None, "x" * 52)),
    (b"<m>" + b"\xc3\xa4" * 26 + b"x</m>", el("m", "j", None, "\xe4" * 26 + "x")),
    (b"<m a='" + b"x" * 51 + b"'/>", el("m", "j", {"a": "x" * 51})),
    (b"<m a=\"" + b"'>" * 25 + b"'\"/>", el("m", "j", {"a": "'>" * 25 + "'"})),
    (b"<m a='" + b">" * 48 + b"'></m>", el("m", "j", {"a": ">" * 48})),
    (b"<m>" + b"<b/>" * 13 + b"x</m>", el("m", "j", None, *([el("b")] * 13 + ["x"]))),
    (b"<m><![CDATA[" + b"<" * 41 + b"]]></m>", el("m", "j", None, "<" * 41)),
)  # fmt: skip

FEW = {"max_elements": 4, "max_depth": 3, "max_attrs": 3}

# (a stanza, its start tag where it is over a limit, or None)
COUNTED = (
    (b"<m><b/><b/><b/></m>", None),
    (b"<m><b/><b/><b/><b/></m>", cut("m")),
    (b"<m><b></b><b></b><b></b><b a='1'>x</b>y</m>", cut("m")),
    (b"<m><b><c/><c/></b></m>", None),
    (b"<m><b><c/><c/></b><b/></m>", cut("m")),
    (b"<m><![CDATA[a]]><b/><![CDATA[a]]></m>", None),
    (b"<m><![CDATA[a]]><b/><![CDATA[a]]><b a='/m>'/></m>", cut("m")),
    (b"<m><![CDATA[a]]><b/><![CDATA[a]]><![CDATA[</m>]]></m>", cut("m")),
    (b"<m>" + b"<![CDATA[]]>" * 100 + b"</m>", cut("m")),
    (b"<m>" + b"<b/>" * 100 + b"</m>", cut("m")),
    (b"<m><b><c>x</c></b></m>", None),
    (b"<m><b><c><d/></c></b></m>", cut("m")),
    (b"<m><b><c><d>x</d></c></b></m>", cut("m")),
    (b"<m><b><c/><c><d a='>'></d></c></b></m>", cut("m")),
    (b"<m>" + b"<m>" * 99 + b"</m>" * 100, cut("m")),
    (b"<m><b a='' b='' c=''/></m>", None),
    (b"<m><b a='' b='' c='' d=''/></m>", cut("m")),
    (b"<m><b a='' b=\"'\" c='' d='>'>x</b></m>", cut("m")),
    (b"<m><b xmlns='k' b='' c='' d=''/></m>", cut("m")),
    (b"<m a='1' b='2' c='3'/>", None),
    (b"<m a='1' b='2' c='3'>x</m>", None),
    (b"<m a='1' b=\"'\" c='>'>x</m>", None),
    (b"<m a='1' b='2' c='3' d='4'/>", cut("m", "j", {"a": "1", "b": "2", "c": "3"})),
    (b"<m a='1' b='2' c='3' d='4'>x</m>", cut("m", "j", {"a": "1", "b": "2", "c": "3"})),
    (b"<m a='1' b='2' c='3' d='4'><b/></m>", cut("m", "j", {"a": "1", "b": "2", "c": "3"})),
    (b"<m a='1' b='2' c='3' d='4'><b e='5'/>'\"</m>", cut("m", "j", {"a": "1", "b": "2",
     "c": "3"})),
    (b"<m a='1' b='2' c='3' d='4'><b>it's &amp; isn't</b></m>",
     cut("m", "j", {"a": "1", "b": "2", "c": "3"})),
    (b"<m a='1' b='>' c=\"'\" d='4'>x</m>", cut("m", "j", {"a": "1", "b": ">", "c": "'"})),
    (b"<m a='1' b='2' c='3' d='4' e=\"5\" f='6' g='/>'/>",
     cut("m", "j", {"a": "1", "b": "2", "c": "3"})),
    (b"<m xmlns='k' a='1' b='2' d='4'/>", cut("m", "k", {"a": "1", "b": "2"})),
)  # fmt: skip


def test_too_long():
    wrong = []
    for data, start in TOO_LONG:
        assert len(data) > 60
        data = HEAD + data + b"<n>x</n>"
        wrong.append(differs(data, [HEADER, start, el("n", "j", None, "x")], limits=SMALL))
    assert_none(wrong)


def test_too_long_twice():
    wrong = []
    for data, start in TOO_LONG:
        found = [HEADER, start, el("n"), start, None]
        data = HEAD + data + b"\n<n/>" + data + b" </s>"
        wrong.append(differs(data, found, limits=SMALL, step=5))
    assert_none(wrong)


def test_a_name_beyond_ascii_in_a_start_tag_that_is_too_long():
    # Its length in octets is not that in characters
    data = HEAD + b"<\xc3\xa4 a='1' b='" + b"x" * 60 + b"'/><n/>"
    check(data, [HEADER, cut("\xe4", "j", {"a": "1"}), el("n")], limits=SMALL)


def test_blanks_up_to_the_limit():
    # The name is whole
    for tail in (b"/>", b"a='1'>x</m>"):
        data = HEAD + b"<m" + b" " * 60 + tail + b"<n/>"
        check(data, [HEADER, cut("m"), el("n")], limits=SMALL)


def test_a_prefix_that_is_declared_beyond_the_limit():
    # Still not an error: the stanza is well-formed, and anybody may send it
    for data in (
        b"<m a='1' x:b='2' c='" + b"x" * 60 + b"' xmlns:x='r'/>",
        b"<m a='1' x:b='2' c='3' d='4' xmlns:x='r'/>",
    ):
        data = HEAD + data + b"<n/>"
        limits = {"max_stanza": 60, "max_attrs": 3}
        found, error, _ = outcome([data], limits)
        assert not error and [e[0] for e in found] == ["s", "m", "n"], data
        assert found[1][4] and found[1][2]["a"] == "1" and "b" not in found[1][2], found
        check(data, found, limits=limits)


def test_what_stands_behind_a_tag_with_too_many_attributes():
    # Is skipped unread, however it comes
    for rest in (b"\x80", b"<b c='\xff'/>", b"<b e='\xf4\x90'/>"):
        data = HEAD + b"<m a='1' b='2' c='3' d='4'>" + rest + b"</m><n/>"
        limits = {"max_stanza": 60, "max_attrs": 3}
        found, error, _ = outcome([data], limits)
        assert not error and [e[0] for e in found] == ["s", "m", "n"], data
        assert found[1][4] and found[1][2] == {"a": "1", "b": "2", "c": "3"}, found
        check(data, found, limits=limits)


def test_just_fitting():
    wrong = []
    for data, stanza in JUST_FITTING:
        assert len(data) == 60
        found = [HEADER, stanza, stanza, el("n")]
        wrong.append(differs(HEAD + data + b" " + data + b"<n/>", found, limits=SMALL))
        # With one byte less they do not fit
        found, error, _ = outcome([HEAD + data + b"<n/>"], {"max_stanza": 59})
        if error or not found[1][4] or found[2:] != [el("n")]:
            wrong.append(("59", data, error, found))
    assert_none(wrong)


def test_many_small_stanzas_are_not_a_large_one():
    stanza = el("m", "j", {"a": "1"}, "x" * 30)
    data = HEAD + b" " * 100 + (b"<m a='1'>" + b"x" * 30 + b"</m> \n") * 9 + b"<n/>"
    check(data, [HEADER] + [stanza] * 9 + [el("n")], limits=SMALL, step=3)


def test_counts_and_depth():
    wrong = []
    for data, start in COUNTED:
        data = HEAD + data + b"<n>x</n>"
        if start is None:
            start = outcome([data])[0][1]
        wrong.append(differs(data, [HEADER, start, el("n", "j", None, "x")], limits=FEW))
    assert_none(wrong)


def test_counting_starts_anew_with_each_stanza():
    data = HEAD + b"<m><b/><b/><b/></m>" * 5 + b"<m><b/><b/><b/><b/></m>" + b"<m><b/></m>"
    whole = el("m", "j", None, el("b"), el("b"), el("b"))
    found = [HEADER] + [whole] * 5 + [cut("m"), el("m", "j", None, el("b"))]
    check(data, found, limits=FEW)


def test_the_limits_as_they_come():
    parser = Parser()
    size, elements, depth, attrs = (
        parser.max_stanza, parser.max_elements, parser.max_depth, parser.max_attrs
    )  # fmt: skip
    for n, over in ((0, False), (1, True)):
        for name, data in (
            ("size", b"<m>" + b"x" * (size - 7 + n) + b"</m>"),
            ("elements", b"<m>" + b"<b/>" * (elements - 1 + n) + b"</m>"),
            ("depth", b"<m>" * (depth + n) + b"</m>" * (depth + n)),
            ("attrs", b"<m><b" + b"".join([b" a%d=''" % i for i in range(attrs + n)]) + b"/></m>"),
        ):
            for chunks in ([HEAD + data + b"<n/>"], octets(HEAD + data + b"<n/>")):
                found, error, _ = outcome(chunks)
                assert not error and found[2:] == [el("n")], (name, n, error)
                assert found[1][4] == over, (name, n)


def test_limits_of_a_class():
    class Small(Parser):
        max_stanza = 60

    for stanza in (b"<m>" + b"x" * 54 + b"</m>", b"<m>" + b"x" * 99 + b"</m>"):
        found = list(Small().feed(HEAD + stanza + b"<n/>"))
        assert [e.truncated for e in found] == [False, True, False]
    assert not list(Parser().feed(HEAD + stanza))[1].truncated


def test_a_tag_that_was_cut_is_not_remembered():
    # What was left of it is not a tag, and must not be taken for one later
    for start in (b"<m xmlns='k' a='", b"<m xmlns='k' a=\"", b"<m a='1' b='", b"<m xmlns='k' "):
        quote = start[-1:] if start[-1:] != b" " else b""
        for tail in (b"/>", b">x</m>"):
            if quote:
                long = start + b"x" * 60 + quote + tail
                short = start + b">" + quote + tail
            else:
                long = start + b" " * 60 + tail
                short = start + tail
            found, error, _ = outcome([HEAD + short, short], SMALL)
            assert not error and found[1] == found[2]
            want = outcome([HEAD + short], SMALL)[0][1]
            data = HEAD + long + b"<n/>" + short + b"<n/>"
            got, error, _ = outcome([data], SMALL)
            assert not error and got[3:] == [want, el("n")], (data, error, got)
            check(data, got, limits=SMALL, step=3)


def test_a_tag_that_was_cut_is_no_pattern_for_a_malformed_one():
    # What was between double quotes is not the same between single ones
    data = HEAD + b"<m xmlns=\"k'x\" a='" + b"x" * 60 + b"'/>"
    check(data, [HEADER, cut("m", "k'x")], limits=SMALL)
    data += b"<m xmlns='k'x'></m>'/>"
    check(data, [HEADER, cut("m", "k'x")], error=True, limits=SMALL)


def test_header_too_long():
    # Of the server's doing, so an error
    for attributes in (b" a='" + b"x" * 60, b" a='1' b='" + b">" * 60 + b"'>", b" " * 60 + b">"):
        check(b"<s" + attributes, [], error=True, limits=SMALL)
        check(b"<?xml version='1.0'?>\n<s" + attributes, [], error=True, limits=SMALL)
    check(b"<?xml version='1.0' " + b" " * 60, [], error=True, limits=SMALL)
    check(b"<s xmlns='" + b"x" * 48 + b"'>", [el("s", "x" * 48)], limits=SMALL)
    check(
        b"<?xml version='1.0'?>\n<s xmlns='" + b"x" * 48 + b"'>", [el("s", "x" * 48)], limits=SMALL
    )


def test_errors_in_what_is_skipped():
    for raw in (
        b"<!-- c -->",
        b"<!DOCTYPE m>",
        b"<?a b?>",
        b"\0",
        b"<![CDAT[x]]>",
        b"<b a='\x01'/>",
    ):
        check(HEAD + b"<m>" + b"x" * 60 + raw + b"</m><n/>", [HEADER], error=True, limits=SMALL)
    # After it everything is as ever
    for raw in (b"x", b"</m>", b"<!-- c -->", b"</s><n/>", b"&lt;", b"]]>"):
        found = [HEADER, cut("m")] + ([None] if raw[:2] == b"</" and raw[2:3] == b"s" else [])
        data = HEAD + b"<m>" + b"x" * 60 + b"</m>" + raw + b"<n/>"
        check(data, found, error=True, limits=SMALL)


def test_pending_while_skipping():
    parser = Parser()
    parser.max_stanza = 60
    list(parser.feed(HEAD + b"<m>"))
    for chunk in (
        b"x" * 60,
        b"x" * 99,
        b"<![CDATA[",
        b"</m>",
        b"]]>",
        b"<b a='",
        b">",
        b"'>",
        b"</b>",
    ):
        assert list(parser.feed(chunk)) == []
        assert parser.pending()
    assert [e.truncated for e in parser.feed(b"</m>")] == [True]
    assert not parser.pending()
