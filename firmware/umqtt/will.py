"""Last wills. No server of XMPP publishes one: it lies in the node of its topic, and when its
owner's server tells that the owner has gone, the first subscriber who hears it publishes it.
Loaded where there is one."""

import asyncio
import random

from uxmpp.client import StanzaError
from uxmpp.xml import Element

from . import mapping

#: Seconds, at most, until a subscriber publishes the will of somebody who has gone: others may
#: have done so by then.
PAUSE_S = 2
# What a server says of an address that nobody has (RFC 6121 section 8.5.3)
_GONE = ("service-unavailable", "recipient-unavailable", "item-not-found", "gone")


async def leave(topics, topic, msg, retain, qos):
    """Leave a will, and tell those who share its topic that one is there."""
    client = topics.client
    attrs = {"jid": client.jid, "retain": "1" if retain else None, "will": str(qos)}
    await topics.publish(topic, msg, False, 1, "will", attrs)
    topics.will = mapping.node(mapping.topic_name(topic))
    await tell(topics)
    try:
        # Whoever goes after this has a will
        await client.iq("get", Element("ping", "urn:xmpp:ping"))
    except StanzaError:
        pass


async def tell(topics):
    """Tell those who share the topic of one's own will that one is there, and hear them: their
    servers will tell them when one has gone (RFC 6121 section 4.6), or they ask."""
    from . import forget
    from .nodes import owners

    topics.owners = topics.people
    try:
        topics.owners = await owners(topics, topics.will)
    except StanzaError:  # it is somebody else's
        pass
    del owners
    forget("nodes")
    for person in topics.owners:
        await topics.client.send(Element("presence", None, {"to": person}))


async def take_back(topics, topic):
    """There is no will any more."""
    await topics.publish(topic, b"", False, 1, "will")


def watched(topics, node, el, stored):
    """Take the will `el` of a node; `stored`: its owner may have gone long ago."""
    get = el.get
    will = [node, get("jid"), mapping.message(el), get("retain"), get("will"), get("n")]
    topics.wills.append(will)
    if stored:
        asyncio.create_task(look(topics, (will,)))


async def look(topics, wills):
    """Publish those of `wills` whose owners have gone unseen."""
    for will in wills:
        try:
            await topics.client.iq("get", Element("ping", "urn:xmpp:ping"), will[1])
        except StanzaError as e:
            if e.condition in _GONE:
                asyncio.create_task(fire(topics, will))
        except OSError:  # who is busy does not answer
            pass


async def fire(topics, will):
    """Publish the will of somebody who has gone, unless another one does it first, or they are
    back."""
    await asyncio.sleep(PAUSE_S * random.random())
    if will not in topics.wills:
        return
    topics.wills.remove(will)
    node, _, msg, retain, qos, n = will[:6]
    topic = mapping.topic(node)
    try:
        await topics.publish(topic, msg, bool(retain), int(qos == "1"), None, {"n": n})
        if node not in [w[0] for w in topics.wills]:  # else they have left another one
            await take_back(topics, topic)
    except (mapping.MQTTException, OSError):
        # It is not ours to publish: it is known here, then
        topics.dropped += 1
        topics.on_message(topic, msg)
