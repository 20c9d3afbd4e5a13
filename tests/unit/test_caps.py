"""What a client says that it can do, as a hash: the specification's own, and when it changes."""

from uxmpp.xep import caps, disco
from uxmpp.xml import Element

HEAP = "160k"
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
MUC = "http://jabber.org/protocol/muc"


class Client:
    identity = ("client", "bot", "greenhouse")


def query(identity, *features):
    category, kind, name = identity
    made = Element("query", INFO)
    made.add("identity", None, {"category": category, "type": kind, "name": name})
    for feature in features:
        made.add("feature", None, {"var": feature})
    return made


def test_ver():
    # Section 5.2 of the specification
    exodus = query(("client", "pc", "Exodus 0.9.1"), MUC, INFO, caps.XMLNS, ITEMS)
    assert caps.ver(exodus) == "QgayPKawpkPSDYmwT/WM94uAlu0="
    # By another program
    bot = query(("client", "bot", "Gew\u00e4chshaus <1>"), "a+notify", "a", "\u00e4", "Z")
    assert caps.ver(bot) == "3tbbJxd4UR6EjhnwgFLaI6m0Wc0=", caps.ver(bot)
    assert caps.ver(query(("client", "bot", None))) == "iaTkyKUZtplRPLviKWlgoSGj+Do="


def test_it_is_that_of_what_is_answered():
    client = Client()
    client.features = [MUC, caps.XMLNS]
    el = caps.element(client)
    assert (el.name, el.xmlns, el.get("hash"), el.get("node")) == (
        "c",
        caps.XMLNS,
        "sha-1",
        caps.NODE,
    )
    assert client.caps == caps.NODE + "#" + el.get("ver")
    told = disco.answer(client, Element("query", INFO))
    assert caps.ver(told) == el.get("ver")
    # Asked for as it was told, it is the same answer
    again = disco.answer(client, Element("query", INFO, {"node": client.caps}))
    assert again.get("node") == client.caps and caps.ver(again) == el.get("ver")


def test_it_is_computed_when_something_changed():
    client = Client()
    answer = caps.answer
    asked = []
    caps.answer = lambda *args: asked.append(args) or answer(*args)
    try:
        first = caps.element(client).get("ver")
        assert caps.element(client).get("ver") == first and len(asked) == 1
        client.features = [MUC]
        second = caps.element(client).get("ver")
        client.features = [ITEMS + "+notify"]
        third = caps.element(client).get("ver")
        client.identity = ("client", "bot", "shed")
        last = caps.element(client).get("ver")
        assert caps.element(client).get("ver") == last and len(asked) == 4
        assert len({first, second, third, last}) == 4
    finally:
        caps.answer = answer
