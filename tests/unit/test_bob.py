"""Bits of binary: their names, and which are there for those who ask."""

from helper import raises
from uxmpp.client import StanzaError
from uxmpp.xep import bob
from uxmpp.xml import Element


class Client:
    def on(self, kind, xmlns, handler):
        assert (kind, xmlns) == ("get", bob.XMLNS)
        self.handler = handler


def asked(client, id):
    """The <data/> that answers, or the condition."""
    try:
        return client.handler(None, Element("data", bob.XMLNS, {"cid": id}))
    except StanzaError as e:
        return e.condition


def test_name_and_element():
    # By sha1sum and base64
    name = "sha1+8843d7f92416211de9ebb963ff4ce28125932878@bob.xmpp.org"
    assert bob.cid(b"foobar") == name
    el = bob.element(b"foobar", "text/plain", 0)
    assert el.attrs == {"cid": name, "type": "text/plain", "max-age": 0}
    assert (el.name, el.xmlns, el.text) == ("data", "urn:xmpp:bob", "Zm9vYmFy")
    assert b" max-age='0'" in el.to_bytes()
    # What is made of pieces is one text, whose end is padded
    data = bytes(range(256)) * 2
    text = bob.element(memoryview(data), "image/png").text
    assert len(text) == 684 and text.startswith("AAECAwQF")
    assert "=" not in text[:-1] and "\n" not in text and text.endswith("/v8=")
    assert bob.element(b"", "image/png").text == ""


def test_what_is_kept():
    client = Client()
    data = bytearray(b"one")
    one = bob.keep(client, data, "image/png")
    data[0] = 0
    assert asked(client, one).text == "b25l" and asked(client, one).get("max-age") == 86400
    assert asked(client, "sha1+00@bob.xmpp.org") == asked(client, None) == "item-not-found"
    # The same again takes no place of its own
    assert bob.keep(client, b"one", "image/gif", 5) == one and len(client.bits) == 1
    assert asked(client, one).attrs == {"cid": one, "type": "image/gif", "max-age": 5}
    # By number, and by size, the oldest leave
    ids = [bob.keep(client, bytes([i]), "image/png") for i in range(bob.MAX_BITS)]
    assert asked(client, one) == "item-not-found"
    assert [asked(client, id).text for id in ids] == ["AA==", "AQ==", "Ag==", "Aw=="]
    most = bytes(bob.MAX_BYTES - 1)
    large = bob.keep(client, most, "image/png")
    assert [b[0] for b in client.bits] == [ids[-1], large]
    e = raises(ValueError, bob.keep, client, most + b"12", "image/png")
    assert str(e) == "more than 4096 bytes" and len(client.bits) == 2
    bob.forget(client)
    assert client.handler is None and not client.bits
