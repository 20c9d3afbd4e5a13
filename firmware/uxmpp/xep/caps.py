"""Entity Capabilities (XEP-0115): what a client can do, as a hash in its presence, so that it is
asked once for all that are alike. Features "NODE+notify" in `client.features` subscribe the client
to that node of its contacts (XEP-0163 section 4.3)."""

import hashlib
from binascii import b2a_base64

from ..xml import Element
from .disco import answer

XMLNS = "http://jabber.org/protocol/caps"
#: The software, as a URI.
NODE = "urn:x-uxmpp"


def element(client):
    """<c/> for a presence of `client`. `client.caps` becomes the node that disco#info is asked for
    then; it is computed again when the identity or the features have changed."""
    now = [getattr(client, "identity", None)] + getattr(client, "features", [])
    if getattr(client, "hashed", None) != now:
        client.caps = NODE + "#" + ver(answer(client, Element("query")))
        client.hashed = now
    node, _, hashed = client.caps.partition("#")
    return Element("c", XMLNS, {"hash": "sha-1", "node": node, "ver": hashed})


def ver(query):
    """The verification string of an answer to disco#info that has no forms, nor names in several
    languages (section 5.1)."""
    who = []
    can = []
    for c in query.elements():
        if c.name == "feature":
            can.append(c.get("var"))
        else:
            who.append("/".join([c.get("category"), c.get("type"), "", c.get("name") or ""]))
    # By code point is by octet, too
    who.sort()
    can.sort()
    text = "<".join(who + can + [""])
    return b2a_base64(hashlib.sha1(text.encode()).digest()).decode().strip()
