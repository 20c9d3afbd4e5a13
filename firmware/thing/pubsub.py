"""Values for programs: each declaration is a node that holds its last value.

It is published when a reading differs, or is a minute old, when a control is set, a command done,
an event happens, and once after the start; the newest value only, however often it changes and
however long there is no session. The node is PREFIX/NAME, at the device's own account (XEP-0163;
subscribe by asking for "PREFIX/NAME+notify") or at a service (XEP-0060; subscribe to the node).
Its one item, "current", holds one of

    <json xmlns='urn:xmpp:json:0'>{"name": "temperature", "value": 21.5, "unit": "°C",
        "time": "2026-03-07T16:24:30Z"}</json>
    <fields xmlns='urn:xmpp:iot:sensordata'>...</fields>

(XEP-0335, XEP-0323). `value` is a number, true or false, a text, or null where `error` says why
there is none; there is no `unit` where there is none, and no `time` as long as nobody knows it.
What a command answered is for who may have it done: where that takes more than the role viewer,
`value` is "done".

Nobody but people with a role sees a node. On an account of the device's own that follows from the
roster; at a service, and on an account with other contacts, they are the members of a whitelist.
(Some services, as ejabberd's, tell everybody the names of their nodes, but not what is in them.)
The node of a declaration that is no more stays as it is.

With "mqtt" for its payload, at a service, a node is a topic with a retained message as programs
for MQTT know it, and PREFIX/NAME/set is one by which they set: see `mqtt`.

Configuration, `pubsub`: {"service": JID (none: the own account), "prefix": text (the local part of
the account), "payload": "json", "fields" or "mqtt" ("json"), "min_s": seconds (1)}.
"""

import asyncio
import json

from uxmpp.jid import prepare, split
from uxmpp.xep.pubsub import publish
from uxmpp.xml import Element

from .memory import forget
from .clock import stamp
from .registry import Command, Entry

_NEVER = (0, 0, None, None)


class Pubsub:
    """Publishes what is declared. What the server or the service refuses is tried again after
    longer and longer pauses."""

    features = ()
    #: The Mqtt of payload "mqtt", else None.
    mqtt = None
    #: Seconds between two items of a node at least, and between two looks at what is due.
    min_s = 1
    tick_s = 0.2
    #: Seconds after which a reading is published though it is the same.
    refresh_s = 60
    #: The first pause in seconds after a failure, and the longest; it doubles in between.
    first_pause_s = 5
    max_pause_s = 300
    #: The most characters of a value that is a text, and of an error.
    max_text = 500
    #: So many reasons of failures are logged in a session, each once.
    max_said = 8

    def __init__(self, thing):
        self._thing = thing
        self._session = None  # the one that has begun
        self._dirty = []  # what is to be published, at most every declaration
        # name -> (not before this look, seconds of the next pause, what was published, when)
        self._rest = {}
        self._ready = []  # names of nodes that are as they should be
        self._said = []
        self._prefix = None  # nothing is published
        self._now = 0  # the number of looks
        #: How often publishing failed.
        self.failures = 0
        try:
            self._configure(**thing.config.get("pubsub", {}))
        except (ValueError, TypeError, AttributeError) as e:
            thing.log("pubsub: {}: nothing is published".format(e))
        thing.access.on_change.append(self._anew)

    def _configure(self, service=None, prefix=None, payload="json", min_s=min_s):
        self._service = service and prepare(service)
        if prefix is None:
            prefix = split(self._thing.client.account)[0]
        self._payload = payload
        if payload not in ("json", "fields", "mqtt") or not 0 <= min_s <= 86400:
            raise ValueError("payload must be json, fields or mqtt, min_s up to 86400")
        self.min_s = min_s
        if payload == "mqtt":
            from .mqtt import Mqtt

            self.mqtt = Mqtt(self._thing, self, self._service, prefix + "/")
        self._prefix = prefix + "/"

    async def online(self):
        """A session began."""
        if not self._session:
            self._anew()
        self._session = self._thing.client.sessions
        self._rest = {}
        self._ready = []
        self._said = []
        if self.mqtt:
            self.mqtt.begin()

    def changed(self, entry):
        """`entry` has a value to be published."""
        _, _, last, when = self._rest.get(entry.name, _NEVER)
        if (
            last == (entry.value, entry.error)
            and when is not None
            and hasattr(entry, "read")
            and entry.when - when < self.refresh_s
        ):
            return
        if entry not in self._dirty:
            self._dirty.append(entry)

    def _anew(self, person=None):
        # All once more: it is new, or other people may see it
        self._ready = []
        self._rest = {}
        for entry in self._thing.registry.entries:
            if entry.value is not None or entry.error:
                self.changed(entry)

    async def run(self):
        """Publish what is due, until cancelled."""
        client = self._thing.client
        while self._prefix:
            await asyncio.sleep(self.tick_s)
            self._now = now = self._now + 1
            if self.mqtt:
                await self.mqtt.prepare()
            entries = list(self._dirty)
            for entry in entries:
                name = entry.name
                due, pause, _, _ = self._rest.get(name, _NEVER)
                if now < due or not client.online or self._session != client.sessions:
                    continue
                self._dirty.remove(entry)
                wait = self.min_s
                last = (entry.value, entry.error)
                when = entry.when
                try:
                    await (self.mqtt or self).publish(entry)
                    pause = 0
                except Exception as e:  # of a value that has no text, too
                    self._rest.pop(name, None)
                    self.changed(entry)
                    if not client.online:
                        break
                    last = None
                    wait = pause = min(max(2 * pause, self.first_pause_s), self.max_pause_s)
                    self.failed(name, self._thing.why(e))
                self._rest[name] = (now + int(wait / self.tick_s) + 1, pause, last, when)
            if entries:
                forget("nodes")

    def failed(self, name, why):
        """Count that the node of `name` failed, and log why, each reason once in a session."""
        self.failures += 1
        if name in self._ready:
            self._ready.remove(name)
        if why not in self._said and len(self._said) < self.max_said:
            self._said.append(why)
            self._thing.log("pubsub: {}{}: {}".format(self._prefix, name, why))

    async def publish(self, entry):
        """Publish the value of a declaration. Raises StanzaError, OSError."""
        thing = self._thing
        ready = self._ready
        if isinstance(entry, Command) and entry.role != "viewer":
            entry = Entry(entry.name, {"value": "done", "when": entry.when})
        alone = not self._service and thing.access.alone and not thing.config.get("shared")
        if self._payload == "json":
            payload = self._json(entry)
        else:
            from .fields import payload as made

            payload = made(thing, entry)
            if not payload:
                return
        access = "presence" if alone else "whitelist"
        node = self._prefix + entry.name
        if entry.name not in ready:
            from .nodes import prepare

            await prepare(thing, self._service, node, access)
        await publish(thing.client, self._service, node, payload, "current", access)
        if entry.name not in ready:
            ready.append(entry.name)

    def _json(self, entry):
        value = entry.value
        if isinstance(value, float):
            if value - value != 0:  # JSON has no name for it
                value = None
        elif value is not None and not isinstance(value, (bool, int)):
            value = str(value)[: self.max_text]
        told = {"name": entry.name, "value": value}
        if entry.unit:
            told["unit"] = entry.unit
        clock = self._thing.clock
        now = clock.now()
        if now and entry.when is not None:
            told["time"] = stamp(now - clock.uptime_s() + entry.when)
        if entry.error:
            told["error"] = entry.error[: self.max_text]
        return Element("json", "urn:xmpp:json:0", None, [json.dumps(told)])
