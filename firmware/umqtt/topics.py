"""Topics at a PubSub service (XEP-0060): what umqtt.simple and a Thing speak MQTT with.

Each topic is a node. Its item "current" is the retained message, "message" the last one that is
not, "will" a last will; people who share topics own their nodes together.
"""

import asyncio
import os
from binascii import hexlify

from uxmpp.client import StanzaError
from uxmpp.jid import bare
from uxmpp.xml import Element

from . import forget, mapping
from .mapping import MappingError, MQTTException, matches, message, payload

XMLNS = "http://jabber.org/protocol/pubsub"
EVENT = XMLNS + "#event"
KEPT = 1
CLEAN = 2
_DISCO = "http://jabber.org/protocol/disco#items"
_EHOSTUNREACH = 113
# What the service says, and the code for it
_CODES = {
    "forbidden": mapping.NOT_AUTHORIZED,
    "not-authorized": mapping.NOT_AUTHORIZED,
    "not-allowed": mapping.NOT_AUTHORIZED,
    "not-acceptable": mapping.TOO_LARGE,
    "policy-violation": mapping.TOO_LARGE,
    "resource-constraint": mapping.QUOTA,
}


def query(xmlns, name, node):
    """As uxmpp.xep.pubsub's, which would be loaded for it."""
    ask = Element("pubsub", xmlns)
    return ask, ask.add(name, None, {"node": node})


class Topics:
    """Topics of the service `service`, a JID, by the ReliableClient `client`. `people`: bare JIDs
    of those who share the topics that are made here. Messages go to `on_message(topic, msg)`, str
    and bytes; to be set."""

    #: Seconds between two looks for topics that are new and match a wildcard.
    rescan_s = 10
    #: The most bytes of a message.
    max_bytes = 65536
    #: The most filters, topics with a subscription, topics that are known to be there, and last
    #: wills of others that are watched.
    max_filters = 16
    max_topics = 64
    max_known = 32
    max_wills = 16
    #: How many messages are remembered, to know those that come again.
    max_seen = 16

    def __init__(self, client, service, people=()):
        self.client = client
        self.service = service
        self.people = people
        self.on_message = None
        #: The filters, and the nodes with a subscription; what could not be taken, by count.
        self.filters = []
        self.subscribed = []
        self.dropped = 0
        #: The last wills of others: [node, jid, msg, retain, qos, id]; the node of one's own, and
        #: those who share it.
        self.wills = []
        self.will = None
        self.owners = ()
        #: The nodes that are known to be there: which item was the last, "current" or "message",
        #: None where that is not known.
        self.known = {}
        #: What comes late was kept while there was no session: KEPT, or CLEAN where it is not
        #: wanted; None when all that has come.
        self.old = None
        #: The nodes to which there was a subscription when the session began; None where that is
        #: not known.
        self.kept = ()
        self._seen = []
        self._fetching = {}  # node -> the items that came by themselves meanwhile
        self._poll = None
        client.on("message", EVENT, self.event)
        client.on("presence", None, self.presence)

    def accepts(self, jid):
        """Whether a stanza from the bare JID `jid` is for these topics."""
        return jid == self.service or jid in self.owners or jid in [bare(w[1]) for w in self.wills]

    async def session(self, clean):
        """A session began: be there for what is published. Returns how many subscriptions there
        were; `clean`: they are removed, else what was published while there was no session comes
        first. Raises StanzaError where there is no PubSub, OSError."""
        self.old = CLEAN if clean else KEPT
        self._seen = []
        self.kept = () if clean else None
        if clean:
            self.filters = []
            self.subscribed = []
            self.wills = []
        try:
            await self.client.send(Element("presence"))
            # What is asked after it is answered after what was kept
            answer = await self._ask("get", "subscriptions", None)
            found = answer and answer.find("subscriptions")
            found = found.elements() if found else []
            for el in found if clean else ():
                await self._unsubscribe(el.get("node"), el.get("jid"), el.get("subid"))
            if answer and not clean:
                self.kept = [el.get("node") for el in found]
        finally:
            self.old = None
        self._look()
        if self.wills:
            from .will import look

            asyncio.create_task(look(self, self.wills[:]))
        return len(found)

    async def forget(self):
        """End all subscriptions that were made here. Raises OSError."""
        while self.subscribed:
            await self._unsubscribe(self.subscribed.pop(), self.client.account)

    async def _unsubscribe(self, node, jid, subid=None):
        ask, change = query(XMLNS, "unsubscribe", node)
        change.attrs["jid"] = jid
        change.attrs["subid"] = subid
        try:
            await self.client.iq("set", ask, self.service)
        except StanzaError:  # it ended by itself
            pass

    async def publish(self, topic, msg, retain=False, qos=0, item=None, attrs=None):
        """Publish `msg`, bytes or str: with `qos` 1 until the service has it. Raises
        MQTTException, OSError."""
        topic = mapping.topic_name(topic)
        if qos not in (0, 1):
            raise MappingError(mapping.BAD_QOS, "QoS 2 is not there: QoS 1 and 0 are")
        size = len(msg.encode() if isinstance(msg, str) else msg)
        if size > self.max_bytes:
            text = "a message of {} bytes; {} is the most: MQTTClient.max_bytes"
            raise MappingError(mapping.TOO_LARGE, text.format(size, self.max_bytes))
        node = mapping.node(topic)
        attrs = attrs or {}
        if "n" not in attrs:
            attrs["n"] = hexlify(os.urandom(4)).decode()
        if qos:
            attrs["qos"] = "1"
        known = self.known
        if node not in known:
            await self._make(topic, node)
        ask, change = query(XMLNS, "publish", node)
        item = item or ("current" if retain else "message")
        known[node] = item
        change.add("item", None, {"id": item}).children.append(payload(msg, attrs))
        if size > 1000:
            ask.to_bytes()  # without the memory for it, it would be dropped later on, unsaid
        if qos:
            try:
                await self._iq("set", ask, topic)
            except MQTTException:
                known.pop(node, None)  # it may be made anew
                raise
        else:
            el = Element("iq", None, {"type": "set", "id": "0", "to": self.service}, [ask])
            await self.client.send(el)

    async def subscribe(self, wanted, qos=0):
        """Have what is published to a topic, or to those that a filter matches, sent from now on;
        what is retained, as a list of (topic, msg). Raises MQTTException, OSError."""
        wanted = mapping.topic_filter(wanted)
        if "+" in wanted or "#" in wanted:
            new = wanted not in self.filters
            if new and len(self.filters) >= self.max_filters:
                raise MQTTException(mapping.QUOTA, "too many filters: Topics.max_filters")
            found = await self._scan([wanted])
            # What comes from now on is new
            if new:
                self.filters.append(wanted)
            self._look()
        else:
            node = mapping.node(wanted)
            found = await self._subscribe(wanted, node)
            if found is None:
                await self._make(wanted, node)
                found = await self._subscribe(wanted, node)
        return found or []

    def _look(self):
        if self.filters and not self._poll:
            self._poll = asyncio.create_task(self._scans())

    def close(self):
        """Stop looking for what is new."""
        if self._poll:
            self._poll.cancel()
            self._poll = None

    async def share(self, topic, people):
        """Have a topic shared with exactly these `people`, bare JIDs. Raises MQTTException where
        it is not one's own, OSError."""
        from .nodes import share

        topic = mapping.topic_name(topic)
        try:
            await share(self, mapping.node(topic), people)
            if self.will == mapping.node(topic):
                from .will import tell

                await tell(self)
        except ValueError as e:
            raise MappingError(mapping.REFUSED, str(e))
        except StanzaError as e:
            raise self.refused(e, topic)

    async def stored(self, node, ids):
        """The payloads of a node's items, as a list of (id, Element)."""
        ask, change = query(XMLNS, "items", node)
        for id in ids:
            change.add("item", None, {"id": id})
        answer = (await self.client.iq("get", ask, self.service)).find("pubsub", XMLNS)
        found = answer and answer.find("items")
        return _items(found) if found else []

    def refused(self, e, topic):
        """The MQTTException for a StanzaError, or OSError where the service is out of reach."""
        text = "{}: {}: {}".format(self.service, topic[:64], e.text or e.condition)
        if e.condition.startswith("remote-server-"):
            return OSError(_EHOSTUNREACH, text)
        return MQTTException(_CODES.get(e.condition, mapping.REFUSED), text)

    async def _ask(self, kind, name, node):
        ask, _ = query(XMLNS, name, node)
        return (await self.client.iq(kind, ask, self.service)).find("pubsub", XMLNS)

    async def _iq(self, kind, ask, topic):
        try:
            return await self.client.iq(kind, ask, self.service)
        except StanzaError as e:
            raise self.refused(e, topic)

    async def _make(self, topic, node):
        from .nodes import make

        try:
            await make(self, node)
        except StanzaError as e:
            raise self.refused(e, topic)
        finally:
            del make
            forget("nodes")
        known = self.known
        while len(known) >= self.max_known:
            known.pop(next(iter(known)))
        known[node] = None

    async def _subscribe(self, topic, node, new=False):
        # What is retained, None where the node is not there; `new`: what it holds came after the
        # filter
        if node not in self.subscribed and len(self.subscribed) >= self.max_topics:
            raise MQTTException(mapping.QUOTA, "too many topics: Topics.max_topics")
        ask, change = query(XMLNS, "subscribe", node)
        change.attrs["jid"] = self.client.account
        found = []
        fetching = self._fetching
        fetching[node] = []
        try:
            await self.client.iq("set", ask, self.service)
            if node not in self.subscribed:
                self.subscribed.append(node)
            ids = ("message", "current", "will") if new else ("current", "will")
            for id, el in await self.stored(node, ids):
                if id == "will":
                    self._willed(node, el, True)
                elif new and el.get("n") in self._seen:
                    continue  # two subscribed at once: the event has brought it
                elif id not in fetching.get(node, ()) and (el.children or new):
                    found.append((topic, message(el)))
        except StanzaError as e:
            if e.condition == "item-not-found":
                return None
            # The service says so of a node that keeps no items: there is a subscription
            if e.condition != "feature-not-implemented" or node not in self.subscribed:
                raise self.refused(e, topic)
        except ValueError:
            self.dropped += 1
        finally:
            fetching.pop(node, None)
        return found

    async def _scan(self, filters, new=False):
        # What is retained in the topics that match; `new`: only those that were not there before
        ask = Element("query", _DISCO)
        answer = (await self._iq("get", ask, filters[0])).find("query", _DISCO)
        if not answer:
            text = "{}: its list of nodes is longer than uxmpp.xml.Parser.max_stanza"
            raise MQTTException(mapping.QUOTA, text.format(self.service))
        found = []
        for el in answer.elements():
            node = el.get("node")
            topic = mapping.topic(node)
            if not topic or new and node in self.subscribed:
                continue
            if [wanted for wanted in filters if matches(wanted, topic)]:
                try:
                    found += await self._subscribe(topic, node, new) or ()
                except MQTTException as e:
                    # Those of others that are not for us
                    if e.args[0] != mapping.NOT_AUTHORIZED:
                        raise
        return found

    async def _scans(self):
        while True:
            await asyncio.sleep(self.rescan_s)
            if not self.client.online:
                continue
            try:
                for topic, msg in await self._scan(self.filters, True):
                    self.on_message(topic, msg)
            except (MQTTException, OSError) as e:
                self.dropped += 1
                self.client.log("wildcards: " + str(e.args[-1]))

    def event(self, stanza, event):
        """Handle the event in a message."""
        if bare(stanza.get("from") or "") != self.service:
            return
        late = stanza.find("delay", "urn:xmpp:delay")
        items = event.find("items")
        if stanza.truncated or not items:
            return
        node = items.get("node")
        topic = mapping.topic(node)
        # Whoever owns a node can subscribe others to it, unasked (section 8.8.2)
        kept = self.kept
        known = kept is None or node in kept or node in self.subscribed or node in self._fetching
        if not topic or not known and self.old != KEPT:
            self.client.refused += 1
            return
        for id, el in _items(items):
            n = el.get("n")
            if id == "will":
                self._willed(node, el, late)
                continue
            if node in self.known:
                self.known[node] = id
            if node in self._fetching:
                self._fetching[node].append(id)
            # A last will may be published by two of those who share it
            if n in self._seen or self.old and self._unwanted(el, late):
                continue
            self.wills = [w for w in self.wills if w[5] != n]
            if n:
                self._seen.append(n)
                if len(self._seen) > self.max_seen:
                    self._seen.pop(0)
            self._deliver(topic, el)

    def _unwanted(self, el, late):
        # A clean session begins with nothing, and a broker keeps no messages with QoS 0
        return self.old == CLEAN or late and el.xmlns == mapping.XMLNS and not el.get("qos")

    def _deliver(self, topic, el):
        try:
            msg = message(el)
        except ValueError:
            self.dropped += 1
            return
        self.on_message(topic, msg)

    def _willed(self, node, el, stored):
        self.wills = [w for w in self.wills if w[0] != node]
        if el.get("jid") and len(self.wills) < self.max_wills:
            from .will import watched

            watched(self, node, el, stored)

    def presence(self, stanza, payload):
        """Handle a presence: who has gone may have left a last will."""
        if stanza.get("type") == "unavailable":
            for will in self.wills:
                # Once, however often they go
                if will[1] == stanza.get("from") and len(will) < 7:
                    from .will import fire

                    will.append(None)
                    asyncio.create_task(fire(self, will))


def _items(items):
    # (id, payload) of those that have one
    return [(el.get("id"), el.elements()[0]) for el in items.elements() if el.elements()]
