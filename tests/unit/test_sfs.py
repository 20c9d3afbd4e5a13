"""What a message tells of a file, and where it may be uploaded: elements out, and in again."""

import asyncio

from helper import raises
from uxmpp import iq
from uxmpp.client import StanzaError
from uxmpp.xep import oob, sfs, upload
from uxmpp.xml import Parser

HEAP = "160k"
DIGEST = bytes(range(32))
SUMMIT = (
    "<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline' id='s1'>"
    "<file xmlns='urn:xmpp:file:metadata:0'><media-type>image/jpeg</media-type>"
    "<name>summit.jpg</name><size>3032449</size><width>4096</width><height>2160</height>"
    "<hash xmlns='urn:xmpp:hashes:2' algo='sha3-256'>2XarmwTlNxDAMkvymloX3S5+VbylNrJt/l5QyPa+YoU="
    "</hash><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>"
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=</hash></file><sources>"
    "<jinglepub xmlns='urn:xmpp:jinglepub:1' from='romeo@montague.lit/resource' id='9'/>"
    "<url-data xmlns='http://jabber.org/protocol/url-data' target='https://a.example/s.jpg'/>"
    "<url-data xmlns='http://jabber.org/protocol/url-data' target='https://b.example/s.jpg'/>"
    "</sources></file-sharing>"
)
FILE = (
    "<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'>{}</file>"
    "</file-sharing>"
)
HASH = "<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>{}</hash>"
SLOT = "<slot xmlns='urn:xmpp:http:upload:0'>{}</slot>"
PUT = "<put url='https://u.example/1'>{}</put>"
GET = "<get url='https://d.example/1'/>"
HEADERS = (
    "<header name='Authorization'>Basic\r\n x\n</header><header name='Host'>evil</header>"
    "<header name='cOOkie\n'>a=b</header><header name='Cookie'>c=d</header><other name='Cookie'/>"
    "<header name='Expires'/><header>x</header><header name='X-Other'>x</header>"
)


def parsed(text):
    found = list(Parser().feed(("<s xmlns='jabber:client'>" + text).encode()))
    return found[1]


def test_file_sharing():
    told = sfs.parse(parsed(SUMMIT))
    assert told == {
        "name": "summit.jpg",
        "kind": "image/jpeg",
        "size": 3032449,
        "sha256": DIGEST,
        "url": "https://a.example/s.jpg",
        "id": "s1",
    }, told
    thumb = ("cid:sha1+ff@bob.xmpp.org", "image/png", 32, 24)
    made = sfs.element(
        "a & b.png", "image/png", 5, DIGEST, "https://a.example/?a&b", "7", "<hi>", 640, 480, thumb
    )
    again = parsed(made.to_bytes().decode())
    told = sfs.parse(again)
    assert sorted(told.values(), key=str) == sorted(
        ["a & b.png", "image/png", 5, DIGEST, "https://a.example/?a&b", "7"], key=str
    )
    file = again.find("file", sfs.FILE)
    assert again.get("disposition") == "inline"
    assert [file.find(n).text for n in ("width", "height", "desc")] == ["640", "480", "<hi>"]
    assert file.find("thumbnail", "urn:xmpp:thumbs:1").attrs == {
        "uri": thumb[0],
        "media-type": "image/png",
        "width": "32",
        "height": "24",
    }
    # Nothing but what has to be there, as when it comes later
    bare = sfs.element("b.bin", "application/octet-stream", 0, None, None, "8")
    assert bare.get("disposition") == "attachment" and len(bare.children) == 1
    told = sfs.parse(parsed(bare.to_bytes().decode()))
    assert told["size"] == 0 and told["sha256"] is told["url"] is None and told["id"] == "8"
    assert sfs.fallback().to_bytes() == (
        b"<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:sfs:0'><body/></fallback>"
    )


def test_file_sharing_refused():
    told = sfs.parse(parsed(FILE.format("")))
    assert set(told.values()) == {None} and len(told) == 6
    for inside in (
        "<size>-1</size>", "<size>1e3</size>", "<size>1_0</size>", "<size>" + "9" * 16 + "</size>",
        HASH.format(""), HASH.format("AAEC"), HASH.format("!!!"),
    ):  # fmt: skip
        raises(ValueError, sfs.parse, parsed(FILE.format(inside)))
    raises(ValueError, sfs.parse, parsed("<file-sharing xmlns='urn:xmpp:sfs:0'/>"))


def test_oob():
    made = oob.element("https://a.example/?a&b", "what it is")
    assert made.to_bytes() == (
        b"<x xmlns='jabber:x:oob'><url>https://a.example/?a&amp;b</url><desc>what it is</desc></x>"
    )
    assert oob.parse(parsed(made.to_bytes().decode())) == "https://a.example/?a&b"
    for empty in ("<x xmlns='jabber:x:oob'/>", "<x xmlns='jabber:x:oob'><url/></x>"):
        assert oob.parse(parsed(empty)) is None


class Client:
    """Answers questions: `answers` are texts or exceptions by (whom, name of the payload)."""

    domain = "a.example"
    online = True

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    async def iq(self, kind, payload, to=None, timeout=None):
        key = (to, payload.xmlns.rpartition("#")[2])
        self.asked.append(key)
        found = self.answers.get(key, OSError("no answer from " + to))
        if isinstance(found, Exception):
            raise found
        return parsed("<iq type='result'>" + found + "</iq>")


def info(*features, form=""):
    inside = "".join(["<feature var='" + f + "'/>" for f in features])
    return "<query xmlns='http://jabber.org/protocol/disco#info'>" + inside + form + "</query>"


def field(name, value):
    return "<field var='" + name + "'><value>" + value + "</value></field>"


def form(kind, limit):
    return (
        "<x xmlns='jabber:x:data' type='result'>"
        + field("FORM_TYPE", kind)
        + field("max-file-size", limit)
        + "</x>"
    )


def found(answers):
    client = Client(answers)
    return asyncio.run(upload.find(client)), client.asked


def test_find():
    items = "<query xmlns='http://jabber.org/protocol/disco#items'>{}</query>"
    many = "".join(["<item jid='n{}.example'/>".format(i) for i in range(20)])
    listed = items.format("<item/>" + many + "<item jid='upload.example'/>")
    own = ("a.example", "items")
    # The service is asked first, its form is the right one of two
    forms = form("urn:xmpp:http:upload", "1") + form(upload.XMLNS, "100000")
    here = info("urn:xmpp:ping", upload.XMLNS, form=forms)
    result, asked = found({own: listed, ("upload.example", "info"): here})
    assert result == ("upload.example", 100000)
    assert asked == [own, ("upload.example", "info")]
    # The server itself, where it has no items; it says no limit, or none that is a number
    limits = [("-5", None), ("9" * 16, None), ("7", 7)]
    for f, limit in [("", None)] + [(form(upload.XMLNS, text), n) for text, n in limits]:
        for no in (items.format(""), StanzaError("service-unavailable"), OSError("no answer")):
            result, asked = found({own: no, ("a.example", "info"): info(upload.XMLNS, form=f)})
            assert result == ("a.example", limit) and len(asked) == 2
    # Nowhere; only so many are asked
    result, asked = found({own: listed, ("upload.example", "info"): info("urn:xmpp:ping")})
    assert result is None and len(asked) == 1 + upload.MAX_ITEMS
    client = Client({})
    client.online = False
    raises(OSError, asyncio.run, upload.find(client))


def test_slot():
    def asked(answer):
        client = Client({("upload.example", upload.XMLNS): answer})
        return asyncio.run(upload.slot(client, "upload.example", "a.jpg", 5, "image/jpeg"))

    put, headers, get = asked(SLOT.format(PUT.format(HEADERS) + GET))
    assert (put, get) == ("https://u.example/1", "https://d.example/1")
    assert headers == [
        ("Authorization", "Basic x"),
        ("cOOkie", "a=b"),
        ("Cookie", "c=d"),
        ("Expires", ""),
    ], headers
    e = raises(StanzaError, asked, StanzaError("not-acceptable", "modify", "too large"))
    assert e.text == "too large"
    plain = PUT.format("")
    for bad in (
        "",
        "<slot xmlns='urn:x'/>",
        SLOT.format(""),
        SLOT.format(plain),
        SLOT.format(GET),
        SLOT.format("<put/><get/>"),
        SLOT.format(plain.replace("https", "http") + GET),
        SLOT.format(plain + GET.replace("https", "http")),
        SLOT.format(plain.replace("//u", "//me:secret@u") + GET),
    ):
        raises(ValueError, asked, bad)


class Refuses:
    """Answers each question as a server whose quota is reached."""

    max_iqs = 8

    def __init__(self, more):
        self.iqs = {}
        self.more = more

    async def send(self, el):
        entry = self.iqs[el.get("id")]
        entry[2] = parsed(
            "<iq type='error'><error type='wait'><resource-constraint "
            "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>" + self.more + "</error></iq>"
        )
        entry[1].set()


def test_when_to_ask_again():
    for more, retry in (
        ("", None),
        ("<retry xmlns='urn:xmpp:http:upload:0' stamp='2026-12-03T23:42:05Z'/>",
         "2026-12-03T23:42:05Z"),
    ):  # fmt: skip
        try:
            asyncio.run(iq.ask(Refuses(more), "get", parsed("<a/>"), "u.example", 5))
        except StanzaError as e:
            assert (e.condition, e.kind, e.retry) == ("resource-constraint", "wait", retry)
        else:
            raise AssertionError(more)
