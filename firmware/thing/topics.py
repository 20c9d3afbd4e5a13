"""MQTT's topics for the program of a Thing: what others publish is heard, and it publishes. Others
are programs with umqtt, and other Things. Loaded with the first Thing.topic() or publish().

The service is `service` of the configuration's `pubsub`, else the PubSub service of the account's
domain. A topic that was not there is made, and shared with the owners; one that somebody else has
made can be heard where they share it with the device's account.
"""

import asyncio

from umqtt.mapping import REFUSED, MQTTException, matches, topic_filter
from umqtt.topics import EVENT, KEPT, Topics
from uxmpp.client import StanzaError
from uxmpp.jid import prepare
from uxmpp.xml import Element

from .memory import forget


class Exchange:
    """The topics of a Thing."""

    #: The most messages that wait for the functions of the program; then more are dropped.
    max_waiting = 16
    #: Seconds until a subscription that failed is tried again.
    again_s = 10

    def __init__(self, thing):
        self._thing = thing
        client = thing.client
        access = thing.access
        service = thing.config.get("pubsub", {}).get("service")
        #: The umqtt.topics.Topics underneath.
        self.topics = topics = Topics(client, service and prepare(service), access.owners)
        topics.on_message = self._take
        self._functions = []  # (filter, function)
        self._session = None  # in which all that was kept has come
        self._unheard = []  # filters of which was said that they fail
        self._task = self._work = None
        self._waiting = []
        # There is one handler for each kind of stanza: this one asks the others
        mqtt = getattr(thing.surfaces.get("pubsub"), "mqtt", None)
        self._others = mqtt and mqtt.event
        client.on("message", EVENT, self._event)
        client.on("presence", None, self._gone)
        access.guests.append(self._heard)
        access.on_change.append(self._shares)

    def on(self, name):
        """As Thing.topic()."""
        wanted = topic_filter(name)

        def decorate(f):
            self._functions.append((wanted, f))
            if self._thing.client.online:
                self._begin()
            return f

        return decorate

    async def publish(self, topic, msg, retain=False, qos=0):
        """As Thing.publish()."""
        await self._named()
        await self.topics.publish(topic, msg, retain, qos)

    async def online(self):
        """A session began: subscribe."""
        self._unheard = []
        self._begin()

    def _begin(self):
        if self._task:
            self._task.cancel()
        self._task = asyncio.create_task(self._follow())

    async def _follow(self):
        # To each filter once, until all have gone well, or the session has ended
        client = self._thing.client
        topics = self.topics
        left = list({wanted for wanted, _ in self._functions})
        while left:
            for wanted in list(left):
                try:
                    if self._session != client.sessions:
                        await self._drain()
                    await self._named()
                    for found in await topics.subscribe(wanted):
                        while len(self._waiting) >= self.max_waiting:
                            await asyncio.sleep(0.1)
                        self._take(*found)
                    left.remove(wanted)
                except (MQTTException, OSError, MemoryError) as e:
                    if not client.online:
                        return
                    if wanted not in self._unheard:
                        self._unheard.append(wanted)
                        why = e.args[-1] if e.args else repr(e)
                        self._thing.log("topic {}: {}".format(wanted, why))
            if left:
                await asyncio.sleep(self.again_s)

    async def _drain(self):
        # What was kept for the device has come before the answer
        client = self._thing.client
        session = client.sessions
        try:
            await client.iq("get", Element("ping", "urn:xmpp:ping"))
        except StanzaError:
            pass
        self._session = session
        self.topics.old = None

    async def _named(self):
        topics = self.topics
        if not topics.service:
            from umqtt.service import find

            domain = self._thing.client.domain
            topics.service = await find(self._thing.client, domain)
            forget("umqtt.service")
            if not topics.service:
                raise MQTTException(REFUSED, domain + ": no PubSub service: pubsub can name one")

    def _shares(self, person):
        self.topics.people = self._thing.access.owners

    def _heard(self, person, el):
        # What has happened to topics; and that somebody has gone who left a last will
        if el.name == "message":
            return person == self.topics.service
        return el.get("type") == "unavailable" and self.topics.accepts(person)

    def _event(self, stanza, event):
        done = self._others and self._others(stanza, event)
        if not done:
            if self._session != self._thing.client.sessions:
                self.topics.old = KEPT
            done = self.topics.event(stanza, event)
        return done

    def _gone(self, stanza, payload):
        self.topics.presence(stanza, payload)
        return self._thing.access.presence(stanza, payload)

    def _take(self, topic, msg):
        if len(self._waiting) >= self.max_waiting:
            self._thing.client.dropped += 1
            return
        self._waiting.append((topic, msg))
        if not self._work:
            self._work = asyncio.create_task(self._tell())

    async def _tell(self):
        thing = self._thing
        try:
            while self._waiting:
                topic, msg = self._waiting.pop(0)
                for wanted, f in self._functions:
                    if matches(wanted, topic):
                        try:
                            await thing.call(thing.act_s, f, topic, msg)
                        except Exception as e:
                            thing.fault("topic " + topic, e)
        finally:
            self._work = None


def of(thing):
    """The Exchange of a Thing; made with the first call."""
    found = thing.surfaces.get("topics")
    if not found:
        found = Exchange(thing)
        # Another dict: somebody may be going through this one
        surfaces = dict(thing.surfaces)
        surfaces["topics"] = found
        thing.surfaces = surfaces
    return found
