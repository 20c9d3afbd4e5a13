"""Bits of Binary (XEP-0231): small pictures, named by their SHA-1, within a stanza or for those
who ask. A client that keeps some should have XMLNS among its features."""

import hashlib
from binascii import b2a_base64, hexlify

from ..client import StanzaError
from ..xml import Element

XMLNS = "urn:xmpp:bob"
#: The most bytes that are kept for those who ask, all in all, and the most bits.
MAX_BYTES = 4096
MAX_BITS = 4
#: Seconds for which others may keep what they got, if nothing else is said.
MAX_AGE = 86400


def cid(data):
    """The content ID of bytes: "sha1+...@bob.xmpp.org"; an URI of it begins with "cid:"."""
    return "sha1+{}@bob.xmpp.org".format(hexlify(hashlib.sha1(data).digest()).decode())


def element(data, kind, max_age=MAX_AGE):
    """<data/> for bytes of media type `kind`; for a message only where they are less than 1 KB
    (section 2.1). `max_age`: seconds for which it may be kept."""
    # Not in one piece
    texts = [b2a_base64(data[i : i + 192])[:-1].decode() for i in range(0, len(data), 192)]
    return Element("data", XMLNS, {"cid": cid(data), "type": kind, "max-age": max_age}, texts)


def keep(client, data, kind, max_age=MAX_AGE):
    """Have `client` answer those who ask for these bytes, until later ones take their place (see
    MAX_BYTES, MAX_BITS) or the program ends; returns the content ID. Raises ValueError for what
    is too large."""
    if len(data) > MAX_BYTES:
        raise ValueError("more than {} bytes".format(MAX_BYTES))
    id = cid(data)
    bits = [b for b in getattr(client, "bits", ()) if b[0] != id]
    while len(bits) >= MAX_BITS or sum([len(b[1]) for b in bits]) + len(data) > MAX_BYTES:
        bits.pop(0)
    bits.append((id, bytes(data), kind, max_age))
    client.bits = bits
    client.on("get", XMLNS, lambda stanza, payload: _answer(client, payload))
    return id


def forget(client):
    """Keep none any more."""
    client.bits = ()
    client.on("get", XMLNS, None)


def _answer(client, payload):
    for id, data, kind, max_age in client.bits:
        if id == payload.get("cid"):
            return element(data, kind, max_age)
    raise StanzaError("item-not-found")
