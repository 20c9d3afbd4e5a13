"""The PubSub service of a domain (XEP-0030). Loaded where what was named is none."""

from uxmpp.client import StanzaError
from uxmpp.xml import Element

_DISCO = "http://jabber.org/protocol/disco#"
#: The most entities of a domain that are asked what they are.
MAX_ITEMS = 16


async def find(client, domain):
    """The JID of a PubSub service among the items of `domain`, or None. Raises OSError."""
    try:
        ask = Element("query", _DISCO + "items")
        found = (await client.iq("get", ask, domain)).find("query", _DISCO + "items")
    except StanzaError:
        return None
    for item in found.elements()[:MAX_ITEMS] if found else ():
        jid = item.get("jid")
        try:
            ask = Element("query", _DISCO + "info")
            told = (await client.iq("get", ask, jid)).find("query", _DISCO + "info")
        except StanzaError:
            continue
        for el in told.elements() if told else ():
            if (el.get("category"), el.get("type")) == ("pubsub", "service"):
                return jid
    return None
