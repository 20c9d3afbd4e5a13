"""MQTT's way into a Thing: the part of `pubsub` that its payload "mqtt" loads.

A value is a retained message at the topic PREFIX/NAME, as umqtt has these; what is published to
PREFIX/NAME/set is done, by Thing.act(), as the one who published it. Who may publish there the
service knows: those whose role is enough. That it tells who it was (itemreply) is looked at, too:
a role that was taken a moment ago does nothing.
"""

import asyncio

from umqtt import mapping
from uxmpp.jid import bare
from uxmpp.xep.pubsub import XMLNS, publish, query

from .memory import forget
from .registry import Command, show

_SET = "/set"
_ACCESS = "whitelist"
_BOTH = (("pubsub#publish_model", "publishers"), ("pubsub#send_last_published_item", "never"))
# Whose wish it is; and nobody keeps it for a device that is away
_SETS = (("pubsub#itemreply", "publisher"), ("pubsub#notification_type", "headline"))


class Mqtt:
    """Of the Pubsub `pubsub`, at its service; topics begin with `prefix`."""

    #: How many messages are remembered, to know those that come again.
    max_seen = 8
    #: The most seconds that a wish waits until it is known whose the node is.
    owned_s = 20

    def __init__(self, thing, pubsub, service, prefix):
        if not service:
            raise ValueError("payload mqtt needs a service")
        self._thing = thing
        self._pubsub = pubsub
        self._to = service
        self._prefix = prefix
        self._left = []  # whose /set is to be prepared
        self._done = []  # the names of values whose node is as it should be
        self._ours = {}  # name -> whether its /set is ours
        self._told = None  # in which session was said that a message was too long
        self._wait = self._longer = 0  # seconds
        self._seen = []
        thing.access.guests.append(self._heard)
        thing.access.on_change.append(self.begin)
        thing.client.on("message", XMLNS + "#event", self.event)

    def begin(self, person=None):
        """All nodes are to be prepared: there is a new session, or the role of a bare JID is
        another."""
        self._wait = self._longer = 0
        self._left = self._entries()
        self._done = []

    async def publish(self, entry):
        """Publish the value of a declaration: a number as JSON has it, "on" or "off", or the text;
        where there is none an empty message: so nothing is retained. Raises StanzaError,
        OSError."""
        name = entry.name
        value = entry.value
        if value is None:
            value = ""
        elif isinstance(value, bool):
            value = show(value)
        if isinstance(entry, Command) and entry.role != "viewer":
            value = "done"
        payload = mapping.payload(str(value)[: self._pubsub.max_text], {})
        done = self._done
        try:
            if name not in done:
                await self._prepare(name)
                done.append(name)
            node = self._topic(name)
            await publish(self._thing.client, self._to, node, payload, "current", _ACCESS)
        except Exception:
            if name in done:
                done.remove(name)
            raise

    def _topic(self, name):
        return mapping.node(self._prefix + name)

    def _entries(self):
        # What asks for a confirmation is not for programs
        registry = self._thing.registry
        return [
            e
            for e in registry.entries
            if e.role
            and not e.builtin
            and not e.confirm
            and len(e.params) < 2
            and not registry.find(e.name + _SET)
        ]

    async def prepare(self):
        """Prepare what may be set, where that is due, and tell the Pubsub of a failure. To be
        called each Pubsub.tick_s, before what is published: who must not set any more is the first
        thing."""
        pubsub = self._pubsub
        left = self._left
        if self._wait > 0:
            self._wait -= pubsub.tick_s
            return
        some = left and left[0]
        # Where other people may set meanwhile it begins anew
        while left and left is self._left:
            entry = left[0]
            try:
                await self._prepare(entry.name + _SET, entry.role)
                left.pop(0)
                self._ours[entry.name] = True
                self._longer = 0
            except Exception as e:
                if self._thing.client.online:
                    left.append(left.pop(0))
                    self._ours[entry.name] = False
                    pause = min(max(2 * self._longer, pubsub.first_pause_s), pubsub.max_pause_s)
                    self._wait = self._longer = pause
                    pubsub.failed(entry.name + _SET, self._thing.why(e))
                break
        if some:
            forget("nodes")

    async def _prepare(self, name, role=None):
        # The node of a value, or with the role that is needed one by which it is set
        from .nodes import prepare

        client = self._thing.client
        node = self._topic(name)
        more = _BOTH + _SETS if role else _BOTH
        await prepare(self._thing, self._to, node, _ACCESS, role, 0 if role else 1, more)
        if role:
            ask, change = query(XMLNS, "subscribe", node)
            change.attrs["jid"] = client.account
            await client.iq("set", ask, self._to)

    def _heard(self, person, el):
        ours = person == self._to and el.name == "message"
        if ours and el.truncated:
            client = self._thing.client
            client.dropped += 1
            if self._told != client.sessions:
                self._told = client.sessions
                self._thing.log("mqtt: a message was too long")
        return ours

    def event(self, stanza, event):
        """Handle an event of XEP-0060: a coroutine where it is one of these, else None."""
        done = None
        items = event.find("items")
        node = items and items.get("node")
        if node and node.endswith(_SET) and stanza.get("from") == self._to:
            for entry in self._entries():
                if self._topic(entry.name + _SET) == node:
                    done = self._act(entry, items, stanza)
        return done

    async def _act(self, entry, items, stanza):
        thing = self._thing
        late = stanza.find("delay", "urn:xmpp:delay")
        sleep = thing.surfaces.get("sleep")
        # Whoever makes a node first can subscribe us to it, and have wishes of others sent again
        tick_s = self._pubsub.tick_s
        for _ in range(int(self.owned_s / tick_s)):
            if entry.name in self._ours:
                break
            await asyncio.sleep(tick_s)
        if not self._ours.get(entry.name):
            thing.client.refused += 1
            return
        for item in items.elements():
            sender = item.get("publisher") or ""
            el = item.elements()
            n = el and el[0].get("n")
            # A last will is for later, and its message has the same id then
            if not el or item.get("id") == "will" or n and n in self._seen:
                continue
            try:
                if not sender:
                    raise ValueError("the service does not tell whose wish it is")
                if not thing.access.allow(bare(sender)):
                    thing.client.refused += 1
                    continue
                if late and not (sleep and sleep.covers(stanza)):
                    raise ValueError("it is late: not done")
                self._seen = self._seen[1 - self.max_seen :] + [n]
                text = _text(el[0])
                # A command without a word may be one without an argument
                words = [text] if text or not isinstance(entry, Command) else []
                await thing.act(entry, words, thing.asker(sender, "mqtt"))
            except ValueError as e:
                thing.client.refused += 1
                # What only owners may set is for their eyes only
                why = "no such value" if entry.role == "owner" else e
                thing.log("{}{}: {} ({})".format(entry.name, _SET, why, bare(sender)))
            except Exception:  # it is logged, and counted
                pass


def _text(el):
    try:
        return mapping.message(el).decode()
    except ValueError:  # UnicodeError is one
        raise ValueError("must be a text")
