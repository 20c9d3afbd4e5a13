"""Group chat (XEP-0045): the device in the rooms of its configuration. It answers who addresses it
by its nick or a word for a group, if the room tells their real JID and that has a role; alarms are
posted. It makes no rooms. `"rooms"`: ["garden@rooms.example", {"jid": "shed@rooms.example",
"nick": "shed", "password": "..."}]; `"groups"`: ["all", "lamps"]."""

import asyncio

from uxmpp.jid import bare, prepare, split
from uxmpp.xml import Element

from . import words
from .registry import duration

_MUC = "http://jabber.org/protocol/muc"


class Room:
    """One that the device should be in."""

    def __init__(self, nick, password):
        self.wanted = nick, password
        self.nick = None  # the present one
        self.tries = 0  # how often another was tried
        self.at = 0  # uptime in seconds when it is to be entered; None: inside; -1: to be left
        self.error = None  # why the device is not in it, as was logged
        self.people = {}  # JID in it -> (bare JID, XEP-0421's id or None), of people with a role
        self.waiting = []  # (uptime in seconds, text) of alarms


class Rooms:
    """As a surface of Thing."""

    #: The most rooms, and people with a role in each.
    max_rooms = 4
    max_occupants = 32
    #: Seconds until a room that was left, or could not be entered, is tried again.
    rejoin_s = 60
    #: How often another nick is tried where it is taken.
    max_nicks = 3
    #: The most alarms that wait to be posted in a room; then the oldest is left out.
    max_waiting = 4
    #: Seconds after which an alarm is posted with its age.
    late_s = 60
    #: The most characters of an answer.
    max_answer = 1000

    features = (_MUC,)

    def __init__(self, thing):
        self._thing = thing
        config = thing.config
        self._session = None  # the one that has begun
        self._groups = [g for g in config.get("groups", ()) if isinstance(g, str)]
        self._rooms = {}  # by bare JID
        self._pending = words.Pending()
        self._done = words.Done()
        self._work = asyncio.Event()
        for room in config.get("rooms", ())[: self.max_rooms]:
            try:
                if isinstance(room, str):
                    room = {"jid": room}
                jid = prepare(room["jid"])
                nick = room.get("nick") or split(jid)[2] or config["name"]
                self._rooms[bare(jid)] = Room(nick, room.get("password"))
            except (ValueError, KeyError, TypeError, AttributeError):
                # Not the room: there may be a password in it
                thing.log("rooms: number {}: must be room@service".format(len(self._rooms) + 1))
        thing.access.guests.append(self._heard)
        thing.access.on_change.append(self._changed)
        thing.client.on("message", "jabber:client", self._message)

    async def online(self):
        """A session began: enter all rooms."""
        self._session = self._thing.client.sessions
        for room in self._rooms.values():
            room.at = room.tries = 0
        self._work.set()

    def _changed(self, person):
        # Who enters is told again who is there: whoever has a role now among them
        for room in self._rooms.values():
            if room.at is None:
                room.at = 0
        self._work.set()

    def inside(self):
        """The bare JIDs of the rooms where the device is, as a list."""
        return [jid for jid, room in self._rooms.items() if room.at is None]

    async def run(self):
        """Enter rooms, come back to them, and post alarms, until cancelled."""
        client = self._thing.client
        while True:
            try:
                await asyncio.wait_for(self._work.wait(), self.rejoin_s / 4)
            except asyncio.TimeoutError:
                pass
            self._work.clear()
            for jid, room in self._rooms.items():
                if client.online and self._session == client.sessions:
                    try:
                        await self._tend(jid, room, self._thing.clock.uptime_s())
                    except (OSError, MemoryError):  # it stays to be done
                        pass

    async def _tend(self, jid, room, now):
        at = room.at
        if at is not None and now >= at:
            presence = Element("presence")
            if at < 0:
                presence.attrs["type"] = "unavailable"
            else:
                room.nick, password = room.wanted
                room.nick += "_" * room.tries
                x = presence.add("x", _MUC)
                x.add("history", None, {"maxstanzas": "0"})
                if password:
                    x.add("password", None, None, password)
            presence.attrs["to"] = jid + "/" + room.nick
            await self._thing.client.send(presence)
            room.at = now + self.rejoin_s
            room.people = {}
        waiting = room.waiting
        while room.at is None and waiting:
            post = waiting[0]
            when, text = post
            if now - when >= self.late_s:
                text += " ({} ago)".format(duration(now - when))
            await self._say(jid, text)
            if post in waiting:
                waiting.remove(post)

    def alert(self, text):
        """Post an alarm, in each room as soon as the device is there."""
        for room in self._rooms.values():
            room.waiting.append((self._thing.clock.uptime_s(), text))
            if len(room.waiting) > self.max_waiting:
                room.waiting.pop(0)
        self._work.set()

    async def _say(self, jid, text):
        message = Element("message", None, {"to": jid, "type": "groupchat"})
        message.add("body", None, None, text[: self.max_answer])
        await self._thing.client.send(message)

    def _heard(self, jid, el):
        # Called for each stanza of people without a role, at once and in order: a handler may come
        # late, or, where there are too many, never. Whatever is not understood leaves a nick that
        # belongs to nobody. An occupant is heard, but not their questions.
        room = self._rooms.get(jid)
        name = el.name
        if not room or name == "iq":
            return False
        sender = el.get("from")
        known = room.people.get(sender)
        if name == "presence":
            room.people.pop(sender, None)
        kind = el.get("type")
        own = sender == jid + "/" + room.nick
        why = None
        thing = self._thing
        if self._session != thing.client.sessions:
            pass
        elif kind == "error":
            # Of a message: a room that was restarted has forgotten who was in it
            error = el.find("error")
            if error and (own or sender == jid):
                why = ["not let in"] + [e.name for e in error.elements()[:1]]
        elif name == "presence":
            why = self._presence(room, sender, kind, own, el)
        elif (
            known
            and room.at is None
            and kind == "groupchat"
            and not el.truncated
            and not el.find("delay", "urn:xmpp:delay")
            and known[1] in (None, _occupant(el))
        ):
            el.person = known[0]
            return True
        if why is not None:
            room.people = {}
            if room.at is None:
                room.at = thing.clock.uptime_s() + self.rejoin_s
            room.tries = (room.tries + 1) % (self.max_nicks + 1) if "conflict" in why else 0
            if room.tries:
                room.at = 0
                self._work.set()
            elif room.error != why:
                room.error = why
                thing.log("{}: {}".format(jid, ", ".join(why)))
        # No handler need see it
        el.children = []
        return True

    def _presence(self, room, sender, kind, own, el):
        # What the room says is believed, if it says it once, what a nick looks like is not.
        # Returns why the device is out of the room, a list, or None.
        said = [e for e in el.elements() if e.xmlns == _MUC + "#user"]
        said = said[0].elements() if len(said) == 1 else ()
        codes = [e.get("code") for e in said if e.name == "status"]
        if kind:
            if room.at is None and (own or "110" in codes) and "303" not in codes:
                return ["out of the room"] + codes
        elif "110" in codes:
            room.nick = split(sender)[2]
            self._work.set()
            if "201" in codes:
                # It would stay locked until the device configures it (section 10.1)
                room.at = -1
                return ["there is no such room; make it, and I shall come"]
            room.at = room.error = None
        else:
            access = self._thing.access
            for item in said:
                real = item.name == "item" and bare(item.get("jid"))
                if (
                    access.rank(real)
                    and real != self._thing.client.account
                    and len(room.people) < self.max_occupants
                ):
                    room.people[sender] = real, _occupant(el)
        return None

    async def _message(self, stanza, payload):
        person = getattr(stanza, "person", None)
        # Another body is the same in another language
        if not person or payload is not stanza.find("body"):
            return
        thing = self._thing
        sender = stanza.get("from")
        jid, _, nick = sender.partition("/")
        line = self._line(self._rooms[jid].nick, payload.text)
        if line is None or not thing.access.allow(person):
            return
        # The role is looked up again
        asker = thing.asker(person + "/" + sender, "room")
        if asker.rank:
            text, _ = await words.answer(thing, line, asker, self._pending, self._done, stanza)
            await self._say(jid, "{}: {}".format(nick[:32], text))

    def _line(self, nick, text):
        # What is said to the device, or None
        text = text.lstrip("@ ")
        for name in [nick] + self._groups:
            if text[: len(name)].lower() == name.lower():
                rest = text[len(name) :]
                line = rest.lstrip(":, ")
                if line != rest:
                    return line
        return None


def _occupant(el):
    # The room's own name of who sent it (XEP-0421): tells them apart, whatever presence was lost
    id = el.find("occupant-id", "urn:xmpp:occupant-id:0")
    return id and id.get("id")
