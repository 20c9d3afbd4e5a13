"""The nodes of topics: how they are made, and whose they are. Loaded for a topic that is new."""

from uxmpp.client import StanzaError
from uxmpp.jid import bare, prepare
from uxmpp.xml import Element

from .topics import XMLNS, query

_OWNER = XMLNS + "#owner"
_DISCO = "http://jabber.org/protocol/disco#info"
# The items are the retained message, the last one, and a last will. What comes while a subscriber
# is away is kept by its server: that is what "normal" is for
_CONFIG = (
    b"<x xmlns='jabber:x:data' type='submit'>"
    b"<field var='FORM_TYPE'><value>http://jabber.org/protocol/pubsub#node_config</value></field>"
    b"<field var='pubsub#persist_items'><value>1</value></field>"
    b"<field var='pubsub#max_items'><value>3</value></field>"
    b"<field var='pubsub#access_model'><value>whitelist</value></field>"
    b"<field var='pubsub#publish_model'><value>publishers</value></field>"
    b"<field var='pubsub#send_last_published_item'><value>never</value></field>"
    b"<field var='pubsub#notification_type'><value>normal</value></field></x>"
)


class _Config(Element):
    # A tree of fields would take 5 KB, more than all else in a session

    def _write(self, out, xmlns):
        out.append(_CONFIG)


async def make(topics, node):
    """Make a node that is not there, for oneself and `topics.people`. Raises StanzaError,
    OSError."""
    ask, _ = query(XMLNS, "create", node)
    ask.add("configure").children.append(_Config("x"))
    try:
        await topics.client.iq("set", ask, topics.service)
    except StanzaError as e:
        if e.condition == "forbidden":
            # Some services say so to those who have a part in the node that is there
            ask = Element("query", _DISCO, {"node": node})
            try:
                await topics.client.iq("get", ask, topics.service)
            except StanzaError:
                raise e
        elif e.condition != "conflict":
            raise
    else:
        if topics.people:
            await share(topics, node, topics.people, False)


async def share(topics, node, people, known=True):
    """Have a node owned by oneself and exactly these bare JIDs (section 8.9): only an owner may
    write over what somebody else wrote, on each service. Who is left out loses the subscription,
    too. `known`: somebody may have it already. Raises ValueError, StanzaError, OSError."""
    client = topics.client
    people = [bare(prepare(p)) for p in people]
    people = [p for p in people if p != client.account]
    for kind, none in (("subscription", "none"), ("affiliation", "none")) if known else ():
        ask, change = query(_OWNER, kind + "s", node)
        for el in await _listed(topics, ask, kind):
            jid = el.get("jid")
            if bare(jid) not in people + [client.account] and el.get(kind) != none:
                change.add(kind, None, {"jid": jid, kind: none, "subid": el.get("subid")})
        if change.children:
            await client.iq("set", ask, topics.service)
    ask, change = query(_OWNER, "affiliations", node)
    for person in people:
        change.add("affiliation", None, {"jid": person, "affiliation": "owner"})
    if people:
        await client.iq("set", ask, topics.service)


async def owners(topics, node):
    """The bare JIDs of those who share a node with oneself. Raises StanzaError, OSError."""
    ask, _ = query(_OWNER, "affiliations", node)
    return [
        el.get("jid")
        for el in await _listed(topics, ask, "affiliation")
        if el.get("affiliation") == "owner" and el.get("jid") != topics.client.account
    ]


async def _listed(topics, ask, kind):
    told = (await topics.client.iq("get", ask, topics.service)).find("pubsub", _OWNER)
    told = told and told.find(kind + "s")
    return told.elements() if told else ()
