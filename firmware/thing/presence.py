"""What people see of the device in their contact list: a line of its state, and whether it is
asleep, or an alarm stands."""

import asyncio

from uxmpp.xml import Element

from .memory import forget
from .registry import Sensor


class Presence:
    """The presence of a Thing: away while it sleeps, dnd while an alarm stands. Its status is
    `status` of the configuration, with the state of the declaration NAME for each {NAME} and the
    alarms that stand for {alarms}. Without that: the alarms, else the first sensor."""

    #: Seconds between two presences at least; the last state always goes out.
    min_s = 2
    #: Seconds from the first presence of a session to the next.
    first_s = 0.2
    #: Seconds until it follows the value of a sensor that is never reported.
    refresh_s = 60
    #: The most characters of a status.
    max_status = 200

    def __init__(self, thing):
        self._thing = thing
        self._asleep = None
        self._shown = None  # (show, status, alarms)
        self._task = None  # nothing goes out until it ends
        self._due = self._told = False
        self._can = (0, None)  # the number of features, and <c/>
        thing.client.features = getattr(thing.client, "features", []) + [
            "http://jabber.org/protocol/caps"
        ]

    async def asleep(self, text):
        """Show `text`, "asleep until 14:30", and away; None: as ever. Returns when that is on its
        way. Raises OSError without a session."""
        self._asleep = text
        await self.announce(True)

    def changed(self, entry):
        """`entry` has a new value: say so soon. Of a reading its reports decide when, but for the
        first, and for alarms."""
        if self._shown and (
            not isinstance(entry, Sensor)
            or entry.nothing in self._shown[1]
            or self._standing() != self._shown[2]
            or entry.every is entry.delta is None
            and self._thing.clock.uptime_s() - self._at > self.refresh_s
        ):
            self._due = True
            self._wait(0)

    async def announce(self, again=False):
        """Bring the presence up to date: now, or as soon as there is a line and `min_s` are over;
        `again`: now, though it may be. That raises OSError without a session."""
        thing = self._thing
        alarms = self._standing()
        show = "away" if self._asleep else "dnd" if alarms else None
        status = (self._asleep or self._status(alarms))[: self.max_status]
        shown = (show, status, alarms)
        if not again:
            if shown == self._shown:
                return
            if self._task or not thing.client.online:
                self._due = True
                self._wait(self.min_s)
                return
        # On an account of its own 0: less would keep from it what is sent to the bare JID
        priority = thing.config.get("shared") and "-1"
        children = [
            Element(name, None, None, [text])
            for name, text in (("show", show), ("status", status), ("priority", priority))
            if text
        ]
        self._due = False
        await thing.access.announce(children + [self._caps()])
        self._shown = shown
        self._at = thing.clock.uptime_s()
        # The first of a session knows no reading yet
        self._wait(self.first_s if again else self.min_s)

    def _caps(self):
        # Computed as long as there are more features; what does that leaves memory
        client = self._thing.client
        count, element = self._can
        if count != len(client.features):
            from uxmpp.xep.caps import element as made

            element = made(client)
            self._can = (len(client.features), element)
            forget("uxmpp.xep.caps")
        return element

    def _wait(self, seconds):
        if not self._task:
            self._task = asyncio.create_task(self._later(seconds))

    async def _later(self, seconds):
        await asyncio.sleep(seconds)
        self._task = None
        if self._due:
            try:
                await self.announce()
            except (OSError, MemoryError):
                self._due = True
                self._wait(self.min_s)

    def _standing(self):
        sensors = self._thing.registry.kind(Sensor)
        return ", ".join([s.name + ": " + s.alarmed for s in sensors if s.alarmed])

    def _status(self, alarms):
        thing = self._thing
        registry = thing.registry
        template = thing.config.get("status")
        if not template:
            if alarms:
                return alarms
            for s in registry.kind(Sensor):
                return s.name + ": " + s.state()
            return "online"
        text, *parts = template.split("{")
        unknown = []
        for part in parts:
            name, end, rest = part.partition("}")
            entry = registry.find(name)
            if name == "alarms" and end:
                part = (alarms or "no alarm") + rest
            elif entry and end:
                part = entry.state() + rest
            else:
                part = "{" + part
                unknown.append("{" + name + end)
            text += part
        if unknown and not self._told:
            self._told = True
            thing.log("status: there is no " + ", ".join(unknown))
        return text
