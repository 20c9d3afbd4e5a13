"""The nodes of topics: how they are made, and whose they are. Loaded for a topic that is new."""

from uxmpp.client import StanzaError
from uxmpp.xep.pubsub import XMLNS, form, query

_OWNER = XMLNS + "#owner"
# The retained message, the last one, and a last will
_ITEMS = 3
_MORE = (
    ("pubsub#publish_model", "publishers"),
    ("pubsub#send_last_published_item", "never"),
    # What comes while a subscriber is away is kept by its server
    ("pubsub#notification_type", "normal"),
)


async def make(topics, node):
    """Make a node that is not there, for oneself and `topics.people`. Raises StanzaError,
    OSError."""
    ask, _ = query(XMLNS, "create", node)
    ask.add("configure").children.append(form("#node_config", "whitelist", _ITEMS, _MORE))
    try:
        await topics.client.iq("set", ask, topics.service)
    except StanzaError as e:
        if e.condition != "conflict":
            raise
    else:
        if topics.people:
            await share(topics, node, topics.people, False)


async def share(topics, node, people, known=True):
    """Have a node owned by oneself and exactly these bare JIDs (section 8.9): only an owner may
    write over what somebody else wrote, on each service. Who is left out loses the subscription,
    too. `known`: somebody may have it already. Raises StanzaError, OSError."""
    client = topics.client
    people = [p for p in people if p != client.account]
    for kind, none in (("subscription", "none"), ("affiliation", "none")) if known else ():
        ask, change = query(_OWNER, kind + "s", node)
        told = (await client.iq("get", ask, topics.service)).find("pubsub", _OWNER)
        told = told and told.find(kind + "s")
        for el in told.elements() if told else ():
            jid = el.get("jid")
            if jid.split("/")[0] not in people + [client.account] and el.get(kind) != none:
                change.add(kind, None, {"jid": jid, kind: none, "subid": el.get("subid")})
        if change.children:
            await client.iq("set", ask, topics.service)
    ask, change = query(_OWNER, "affiliations", node)
    for person in people:
        change.add("affiliation", None, {"jid": person, "affiliation": "owner"})
    if people:
        await client.iq("set", ask, topics.service)
