"""Addresses."""

from helper import assert_none, raises
from uxmpp import jid


def test_split():
    assert_none([
        None if jid.split(text) == parts else (text, jid.split(text))
        for text, parts in (
            ("a@b/c", ("a", "b", "c")),
            ("a@b", ("a", "b", "")),
            ("b", ("", "b", "")),
            ("b/c", ("", "b", "c")),
            ("a@b.example/c d", ("a", "b.example", "c d")),
            # All after the first slash is resource
            ("a@b/c@d/e", ("a", "b", "c@d/e")),
            ("b/c@d", ("", "b", "c@d")),
            ("b/c/d", ("", "b", "c/d")),
            ("a@b//", ("a", "b", "/")),
            ("a@[::1]/c", ("a", "[::1]", "c")),
            ("", ("", "", "")),
        )
    ])  # fmt: skip


def test_bare():
    assert_none([
        None if jid.bare(text) == want else (text, jid.bare(text))
        for text, want in (
            ("a@b/c", "a@b"),
            ("a@b", "a@b"),
            ("b/c", "b"),
            ("b", "b"),
            ("a@b/c/d@e", "a@b"),
            ("b/c@d", "b"),
            ("", ""),
            (None, ""),
        )
    ])  # fmt: skip


def prepared(text):
    try:
        return jid.prepare(text)
    except ValueError:
        return ValueError


def test_prepare():
    long = "x" * 1023
    assert_none([
        None if prepared(text) == want else (text, prepared(text))
        for text, want in (
            ("a@b/c", "a@b/c"),
            ("  a@b \n", "a@b"),
            ("A.B-C@Example.ORG/Res", "a.b-c@example.org/Res"),
            ("Example.ORG", "example.org"),
            ("example.org.", "example.org"),
            ("a@example.org./r", "a@example.org/r"),
            ("a@b/c d", "a@b/c d"),
            ("a@b/C@D/E", "a@b/C@D/E"),
            ("a@b/\"&'<>:", "a@b/\"&'<>:"),
            ("a@127.0.0.1", "a@127.0.0.1"),
            ("a+b!c#d%e=f@b", "a+b!c#d%e=f@b"),
            ("gr\xfcn@b\xfccher.example/\u00c4", "gr\xfcn@b\xfccher.example/\u00c4"),
            (long + "@b", long + "@b"),
            ("a@b/" + long, "a@b/" + long),
        )
    ])  # fmt: skip


def test_prepare_of_a_domain_with_an_at_in_its_resource():
    assert prepared("b.example/c@d") == "b.example/c@d"


def test_prepare_folds_ascii_only():
    # CPython's lower() knows more letters than MicroPython's
    assert prepared("\xc4B@\xd6X.example") == "\xc4b@\xd6x.example"


def test_prepare_refuses():
    assert_none([
        None if prepared(text) is ValueError else (text, prepared(text))
        for text in (
            "", " ", "@", "@b", "a@", "a@/c", "/c", "@b/c", ".", "a@.", "a@@b", "a@b@c", "a b@c",
            "a@b c", "a\tb@c", "a@b\nc", "a@b/c\0d", "a@b/c\x7f", "a@b/\x1b", "a:b@c", "a@b:5222",
            "a'b@c",
            "a\"b@c", "a&b@c", "a<b@c", "a>b@c", "a@b<c", "a@b'c", "\x7f@b",
            "x" * 1024 + "@b", "a@" + "x" * 1024, "a@b/" + "x" * 1024, "\xe4" * 512 + "@b",
        )
    ])  # fmt: skip
    assert prepared("a@b/") is ValueError
    raises(ValueError, jid.prepare, "a@b/" + "\u20ac" * 342)


def test_prepare_refuses_colons_beside_an_ipv6_address():
    for text in ("a:b@[::1]", "a:b@[::1]/r"):
        assert prepared(text) is ValueError, text


def test_prepare_twice_is_once():
    for text in ("A@B./C", " a@b ", "B/x"):
        once = jid.prepare(text)
        assert jid.prepare(once) == once
