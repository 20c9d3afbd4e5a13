"""Whom a device in a room takes for whom, whatever presence is lost, and when it comes and goes:
with a service that is played."""

import asyncio

from thing import rooms
from uxmpp.jid import bare
from uxmpp.xml import Element

MUC = "http://jabber.org/protocol/muc"
USER = MUC + "#user"
ROOM = "garden@rooms.example"
ROLES = {"boss@example": 3, "helper@example": 1}
LIMIT_S = 30


class Client:
    account = "dev@example"
    online = True
    sessions = 0

    def __init__(self):
        self.sent = []

    def on(self, kind, xmlns, handler):
        assert (kind, xmlns) == ("message", "jabber:client")
        self.handler = handler

    async def send(self, el):
        await asyncio.sleep(0)
        if not self.online:
            raise OSError("not online")
        self.sent.append((el.name, el.get("to"), el.get("type"), el.children))


class Clock:
    now = 0

    def uptime_s(self):
        return self.now


class Asker:
    rank = 3


class Thing:
    def __init__(self):
        self.config = {"name": "kitchen", "rooms": [ROOM], "groups": ["lamps"]}
        self.client = Client()
        self.clock = Clock()
        self.access = self
        self.guests = []
        self.on_change = []
        self.lines = []
        self.log = self.lines.append

    def rank(self, person):
        return ROLES.get(person, 0)

    def allow(self, person):
        return True

    def asker(self, jid, via):
        return Asker()


def stanza(name, nick, kind=None, *children):
    sender = ROOM + "/" + nick if nick else ROOM
    return Element(name, "jabber:client", {"from": sender, "type": kind}, list(children))


def presence(nick, real=None, *codes, kind=None, id=None):
    """As the room tells it."""
    x = Element("x", USER)
    x.add("item", None, {"jid": real})
    for code in codes:
        x.add("status", None, {"code": code})
    el = stanza("presence", nick, kind, x)
    if id:
        el.add("occupant-id", "urn:xmpp:occupant-id:0", {"id": id})
    return el


def error(name, nick, condition):
    el = stanza(name, nick, "error")
    el.add("error").add(condition, "urn:ietf:params:xml:ns:xmpp-stanzas")
    return el


def said(nick, text, id=None):
    el = stanza("message", nick, "groupchat")
    el.add("body", None, None, text)
    if id:
        el.add("occupant-id", "urn:xmpp:occupant-id:0", {"id": id})
    return el


def truncated(el):
    el.children = []
    el.truncated = True
    return el


def boss(twice=False):
    el = presence("boss", "boss@example/phone")
    el.children += el.children if twice else []
    return el


# After each of these nobody is called boss, or somebody else
LOST = (
    truncated(presence("boss", "thief@example/x")),
    truncated(presence("boss", "thief@example/x", kind="unavailable")),
    stanza("presence", "boss"),
    presence("boss"),
    presence("boss", "thief@example/boss@example"),
    presence("boss", "boss@example/phone", kind="unavailable"),
    presence("boss", "boss@example/phone", "303", kind="unavailable"),
    boss(twice=True),
    error("presence", "boss", "conflict"),
    # Of the device itself: a kick, whose reason may be long
    presence("kitchen", None, "110", "307", kind="unavailable"),
    truncated(presence("kitchen", None, kind="unavailable")),
    error("presence", None, "item-not-found"),
    error("message", None, "not-acceptable"),
)


def play(main):
    """Run `main(thing, surface, hear)` with the device in the room, in which there is a boss;
    `await hear(stanza)` returns the lines that were answered."""
    thing = Thing()
    surface = rooms.Rooms(thing)
    surface.rejoin_s = 0.04
    lines = []

    async def answer(thing, line, *rest):
        lines.append(line)
        return "well", None

    async def hear(el):
        assert thing.guests[0](bare(el.get("from")), el) is True
        for payload in el.elements():
            if el.name == "message" and payload.xmlns == "jabber:client":
                await thing.client.handler(el, payload)
        found = lines[:]
        lines.clear()
        return found

    async def run():
        task = asyncio.create_task(surface.run())
        thing.client.sessions = 1
        await surface.online()
        await until(lambda: thing.client.sent)
        assert thing.client.sent.pop()[:3] == ("presence", ROOM + "/kitchen", None)
        await hear(boss())
        await hear(presence("kitchen", None, "110"))
        assert await hear(said("boss", "kitchen: hello")) == ["hello"]
        thing.client.sent.clear()
        await main(thing, surface, hear)
        task.cancel()

    kept = rooms.words.answer
    rooms.words.answer = answer
    try:
        asyncio.run(asyncio.wait_for(run(), LIMIT_S))
    finally:
        rooms.words.answer = kept


async def until(true):
    while not true():
        await asyncio.sleep(0)


async def looks():
    """Wait until the surface has looked whether something is due."""
    await asyncio.sleep(0.05)


def test_who_is_who():
    async def main(thing, surface, hear):
        assert await hear(said("boss", "kitchen: relay on")) == ["relay on"]
        assert thing.client.sent.pop()[1:3] == (ROOM, "groupchat")
        assert await hear(said("guest", "kitchen: relay on")) == []
        # A presence of the same person changes nothing
        await hear(presence("boss", "boss@example/phone"))
        assert await hear(said("boss", "Lamps, relay")) == ["relay"]
        old = said("boss", "kitchen: relay on")
        old.add("delay", "urn:xmpp:delay")
        private = said("boss", "kitchen: relay on")
        private.attrs["type"] = "chat"
        for el in (old, private, truncated(said("boss", "kitchen: relay on"))):
            assert await hear(el) == []
        # What is an IQ, or of another room, is not for this surface
        assert thing.guests[0](ROOM, stanza("iq", "boss", "get")) is False
        assert thing.guests[0]("shed@rooms.example", said("boss", "kitchen: relay")) is False

    play(main)


def test_lost():
    for el in LOST:

        async def main(thing, surface, hear):
            told = el.to_bytes()
            await hear(el)
            assert await hear(said("boss", "kitchen: relay on")) == [], told

        play(main)


def test_occupant_id():
    # Even where nothing told that boss is another one
    async def main(thing, surface, hear):
        await hear(presence("boss", "boss@example/phone", id="b1"))
        assert await hear(said("boss", "kitchen: relay on", "b1")) == ["relay on"]
        assert await hear(said("boss", "kitchen: relay on", "t2")) == []
        assert await hear(said("boss", "kitchen: relay on")) == []

    play(main)


def test_session():
    # Nobody is known from the last one, be it that its stanzas still come
    async def main(thing, surface, hear):
        thing.client.sessions = 2
        assert await hear(said("boss", "kitchen: relay on")) == []
        await hear(presence("helper", "helper@example/x"))
        surface.alert("fire!")
        await looks()
        assert not thing.client.sent
        await surface.online()
        await until(lambda: thing.client.sent)
        await hear(presence("kitchen", None, "110"))
        await until(lambda: len(thing.client.sent) == 2)
        assert await hear(said("boss", "kitchen: relay on")) == []
        assert await hear(said("helper", "kitchen: relay on")) == []

    play(main)


def test_bodies():
    async def main(thing, surface, hear):
        el = said("boss", "kitchen: blink 3")
        el.add("body", None, {"xml:lang": "de"}, "kitchen: blink 3")
        assert await hear(el) == ["blink 3"]
        # Of people whose word does not count no handler sees anything
        el = said("guest", "kitchen: blink 3")
        await hear(el)
        assert el.children == []

    play(main)


def test_occupants_bound():
    async def main(thing, surface, hear):
        for i in range(2 * surface.max_occupants):
            await hear(presence("boss{}".format(i), "boss@example/x"))
        (room,) = surface._rooms.values()
        assert len(room.people) == surface.max_occupants
        await hear(presence("me", "dev@example/x"))
        assert ROOM + "/me" not in room.people

    play(main)


def test_no_room():
    async def main(thing, surface, hear):
        sent = thing.client.sent
        await hear(presence("kitchen", None, "110", "307", kind="unavailable"))
        await looks()
        assert not sent
        for i in range(1, 4):
            thing.clock.now = i
            await until(lambda: sent)
            assert sent.pop()[:3] == ("presence", ROOM + "/kitchen", None)
            await hear(presence("kitchen", None, "201", "110"))
            await until(lambda: sent)
            # At once, and not back before its time
            assert sent.pop()[:3] == ("presence", ROOM + "/kitchen", "unavailable")
            await hear(presence("kitchen", None, "110", kind="unavailable"))
            await looks()
            assert not sent
        thing.clock.now = 4
        await until(lambda: sent)
        await hear(presence("kitchen", None, "110"))
        assert thing.lines == [
            ROOM + ": out of the room, 110, 307",
            ROOM + ": there is no such room; make it, and I shall come",
        ]

    play(main)


def test_nick_taken():
    async def main(thing, surface, hear):
        sent = thing.client.sent
        thing.client.sessions = 2
        await surface.online()
        for nick in ("kitchen", "kitchen_", "kitchen__", "kitchen___"):
            await until(lambda: sent)
            assert sent.pop()[1] == ROOM + "/" + nick
            # Only of the room's own answer
            await hear(error("presence", "boss", "conflict"))
            await looks()
            assert not sent
            await hear(error("presence", nick, "conflict"))
        await looks()
        assert not sent
        assert thing.lines == [ROOM + ": not let in, conflict"]
        thing.clock.now = 1
        await until(lambda: sent)
        assert sent.pop()[1] == ROOM + "/kitchen"
        await hear(presence("cook", None, "210", "110"))
        await hear(boss())
        assert await hear(said("boss", "cook: relay")) == ["relay"]
        assert await hear(said("boss", "kitchen: relay")) == []

    play(main)


def test_alarms_wait():
    async def main(thing, surface, hear):
        sent = thing.client.sent
        await hear(presence("kitchen", None, "110", "332", kind="unavailable"))
        for i in range(surface.max_waiting + 2):
            surface.alert("alarm {}".format(i))
        await looks()
        assert not sent
        thing.clock.now = 200
        surface.alert("the last")
        await until(lambda: sent)
        assert sent.pop()[0] == "presence"
        await hear(presence("kitchen", None, "110"))
        await until(lambda: len(sent) == surface.max_waiting)
        texts = [children[0].text for _, _, _, children in sent]
        assert texts == ["alarm {} (3 min ago)".format(i) for i in (3, 4, 5)] + ["the last"]
        # And what the line is cut for
        sent.clear()
        thing.client.online = False
        surface.alert("a")
        await looks()
        thing.client.online = True
        surface.alert("b")
        await until(lambda: len(sent) == 2)
        assert [children[0].text for _, _, _, children in sent] == ["a", "b"]

    play(main)
