"""Topics in a chat: whoever shares them types "home/temperature" to be told what was published
last, and "home/relay on" to publish. Loaded for a message."""

from uxmpp.client import StanzaError
from uxmpp.xml import Element

from . import mapping

#: The most characters of an answer.
MAX_ANSWER = 1000


async def answer(topics, el, text):
    """Do what one of `topics.people` typed, the message `el` with `text`, and say so."""
    if el.get("type") in ("error", "groupchat") or el.find("delay", "urn:xmpp:delay"):
        return
    reply = Element("message", None, {"to": el.get("from"), "type": el.get("type")})
    text = await _answer(topics, text.strip())
    reply.add("body", None, None, text[:MAX_ANSWER])
    await topics.client.send(reply)


async def _answer(topics, text):
    topic, _, value = text.partition(" ")
    value = value.strip()
    known = [mapping.topic(node) for node in set(list(topics.known) + topics.subscribed)]
    known.sort()
    if topic not in known:
        if not known:
            return "no topics yet"
        return "TOPIC shows what was published last, TOPIC VALUE publishes: " + ", ".join(known)
    node = mapping.node(topic)
    try:
        if value:
            await topics.publish(topic, value, False, 1)
            return "{}: {}".format(topic, value)
        found = dict(await topics.stored(node, ("current", "message")))
    except (mapping.MQTTException, OSError) as e:
        return "{}: {}".format(topic, e.args[-1])
    except StanzaError as e:
        return "{}: {}".format(topic, e.text or e.condition)
    el = found.get(topics.known.get(node)) or found.get("message") or found.get("current")
    if not el:
        return topic + ": nothing was published yet"
    try:
        return "{}: {}".format(topic, mapping.message(el).decode())
    except ValueError:
        return topic + ": no text"
