"""Group chat (XEP-0045): the device in the rooms of its configuration. It answers who addresses it
by its nick or a word for a group, if the room tells their real JID and that has a role; alarms are
posted. `"rooms"`: ["garden@rooms.example", {"jid": "shed@rooms.example", "nick": "shed",
"password": "..."}]; `"groups"`: ["all", "lamps"]."""

import asyncio

from uxmpp.jid import bare, prepare, split
from uxmpp.xml import Element

from . import words

_MUC = "http://jabber.org/protocol/muc"


class Rooms:
    """As a surface of Thing."""

    #: The most rooms, and people with a role that are in them.
    max_rooms = 4
    max_occupants = 32
    #: Seconds until a room that was left, or could not be entered, is tried again.
    rejoin_s = 60
    #: How often another nick is tried where it is taken.
    max_nicks = 3
    #: The most alarms that wait to be posted.
    max_waiting = 4
    #: The most characters of an answer.
    max_answer = 1000

    features = (_MUC,)

    def __init__(self, thing):
        self._thing = thing
        client = thing.client
        config = thing.config
        self._groups = [g for g in config.get("groups", ()) if isinstance(g, str)]
        self._rooms = {}  # bare JID -> [nick, password, whether it is in, tries of the nick]
        self._people = {}  # JID in the room -> bare JID, of people with a role
        self._waiting = []
        self._pending = words.Pending()
        self._work = asyncio.Event()
        for room in config.get("rooms", ())[: self.max_rooms]:
            try:
                if isinstance(room, str):
                    room = {"jid": room}
                jid = prepare(room["jid"])
                nick = room.get("nick") or split(jid)[2] or config["name"]
                self._rooms[bare(jid)] = [nick, room.get("password"), False, 0]
            except (ValueError, KeyError, TypeError, AttributeError):
                thing.log("rooms: {}: must be room@service".format(str(room)[:64]))
        # An occupant is heard, but not their questions
        thing.access.guests.append(lambda jid, el: el.name != "iq" and jid in self._rooms)
        client.on("message", "jabber:client", self._message)
        client.on("presence", _MUC + "#user", self._presence)
        client.on("error", "jabber:client", self._error)

    async def online(self):
        """Enter all rooms."""
        self._people = {}
        for jid, room in self._rooms.items():
            room[2] = False
            room[3] = 0
            await self._enter(jid, room)

    async def _enter(self, jid, room):
        presence = Element("presence", None, {"to": jid + "/" + room[0]})
        x = presence.add("x", _MUC)
        x.add("history", None, {"maxstanzas": "0"})
        if room[1]:
            x.add("password", None, None, room[1])
        await self._thing.client.send(presence)

    async def run(self):
        """Post alarms, and come back to rooms, until cancelled."""
        while True:
            try:
                await asyncio.wait_for(self._work.wait(), self.rejoin_s)
            except asyncio.TimeoutError:
                pass
            self._work.clear()
            if not self._thing.client.online:
                continue
            posts = self._waiting
            self._waiting = []
            for jid, room in self._rooms.items():
                try:
                    if room[2]:
                        for text in posts:
                            await self._say(jid, text)
                    elif not posts and room[3] >= 0:
                        await self._enter(jid, room)
                except OSError:
                    pass

    def alert(self, text):
        """Post an alarm."""
        if len(self._waiting) >= self.max_waiting:
            self._waiting.pop(0)
        self._waiting.append(text)
        self._work.set()

    async def _say(self, jid, text):
        message = Element("message", None, {"to": jid, "type": "groupchat"})
        message.add("body", None, None, text[: self.max_answer])
        await self._thing.client.send(message)

    def _presence(self, stanza, payload):
        sender = stanza.get("from")
        room = self._rooms.get(bare(sender))
        if not room:
            return
        item = payload.find("item")
        away = stanza.get("type") == "unavailable"
        codes = [s.get("code") for s in payload.elements() if s.name == "status"]
        if "110" in codes:
            if away and "303" not in codes:
                room[2] = False
                if "301" in codes:  # banned
                    room[3] = -1
                self._thing.log("{}: out of the room: {}".format(sender, ", ".join(codes)))
            elif not away:
                room[0] = split(sender)[2]
                room[2] = True
                room[3] = 0
            return
        # What the room says is believed, what a nick looks like is not
        self._people.pop(sender, None)
        real = item and item.get("jid")
        if real and not away and len(self._people) < self.max_occupants:
            person = bare(real)
            if self._thing.access.rank(person) and person != self._thing.client.account:
                self._people[sender] = person

    async def _error(self, stanza, payload):
        # Of a presence: the room could not be entered
        jid = stanza.get("from")
        room = self._rooms.get(bare(jid))
        if stanza.name != "presence" or not room or payload.name != "error":
            return
        why = [e.name for e in payload.elements()]
        if "conflict" in why and 0 <= room[3] < self.max_nicks:
            room[3] += 1
            room[0] += "_"
            await self._enter(bare(jid), room)
        else:
            self._thing.log("{}: no entry: {}".format(jid, ", ".join(why)))

    async def _message(self, stanza, payload):
        sender = stanza.get("from")
        room = self._rooms.get(bare(sender))
        person = self._people.get(sender)
        # The sender's role is looked up again by thing.asker()
        if (
            payload.name != "body"
            or stanza.get("type") != "groupchat"
            or not person
            or stanza.truncated
            or stanza.find("delay", "urn:xmpp:delay")
        ):
            return
        line = self._line(room[0], payload.text)
        thing = self._thing
        if line is None or not thing.access.allow(person):
            return
        asker = thing.asker(person + "/" + sender, "room")
        if asker.rank:
            answer = (await words.answer(thing, line, asker, self._pending))[0]
            await self._say(bare(sender), "{}: {}".format(split(sender)[2][:32], answer))

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
