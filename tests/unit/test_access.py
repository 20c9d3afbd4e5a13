"""Roles and how they change, how much somebody may ask, and the pairing code; time is made up."""

import asyncio
import builtins
import json
import os
import sys

import thing
from helper import assert_none, temporary
from thing.access import Access, Asker
from uxmpp.client import StanzaError
from uxmpp.xml import Element

OWNER, VIEWER, STRANGER = "o@x", "v@x", "s@y"
SILENT = "Too many messages; I am silent for a while."
WELCOME = "You are my owner now. Try help."

PRINT = print
console = []


class Client:
    """What Access has to do with of a client: it notes what is sent, as text."""

    account = "dev@x"
    jid = "dev@x/r"
    max_handlers = 8
    max_queue = 16

    def __init__(self):
        self.sent = []
        self.lines = []
        self.handlers = {}
        self.dropped = 0
        self.roster = []
        self._tasks = []
        self.queue = []
        self.refused = []

    def _refuse(self, el, *why):
        self.refused.append((el.name, why))

    def on(self, kind, xmlns, handler):
        self.handlers[kind, xmlns] = handler

    def log(self, text):
        self.lines.append(text)

    async def send(self, el):
        await asyncio.sleep(0)
        self.sent.append("{} {}".format(el.get("type"), el.get("to")))

    async def iq(self, kind, payload):
        await asyncio.sleep(0)
        answer = Element("iq", "jabber:client")
        if kind == "get":
            query = answer.add("query", "jabber:iq:roster")
            for attrs in self.roster:
                query.add("item", None, attrs)
        else:
            item = payload.elements()[0]
            self.sent.append("roster {} {}".format(item.get("jid"), item.get("subscription")))
        return answer


class Clock:
    now = 100

    def uptime_s(self):
        return self.now


class Thing:
    """What Access has to do with of a Thing."""

    def __init__(self, folder, **config):
        self.folder = folder
        self.config = {"owners": [], "operators": [], "viewers": []}
        self.config.update(config)
        self.client = Client()
        self.clock = Clock()
        self.said = []
        self.faults = []
        self.access = Access(self)

    async def say(self, to, text):
        await asyncio.sleep(0)
        self.said.append((to, text))

    def why(self, e):
        return getattr(e, "condition", None) or str(e)

    def fault(self, name, e):
        self.faults.append(name)

    def starts(self):
        """The same device after a restart."""
        return Thing(self.folder, **self.config)

    def assign(self, person, role):
        asker = Asker(self.access, OWNER + "/a", "chat")
        return self.access.assign(asker, person, role)


def run(main):
    """Run `main(folder)`, a coroutine function; `folder` ends with a slash."""
    folder = temporary("access")
    os.mkdir(folder)
    # As at a start; the last test may have left it open
    sys.modules.pop("thing.pairing", None)
    console.clear()
    builtins.print = console.append
    try:
        asyncio.run(main(folder + "/"))
    finally:
        builtins.print = PRINT
        for name in os.listdir(folder):
            os.remove(folder + "/" + name)
        os.rmdir(folder)


async def turns(number=5):
    """Let what was begun get on."""
    for _ in range(number):
        await asyncio.sleep(0)


def device(folder, **config):
    people = {"owners": [OWNER], "viewers": [VIEWER]}
    people.update(config)
    return Thing(folder, **people)


def forgotten(name):
    # CPython keeps its modules
    return sys.implementation.name == "cpython" or not (
        "thing." + name in sys.modules or hasattr(thing, name)
    )


def people(t):
    return sorted(t.access.people())


# Roles


def test_roles_of_the_configuration():
    async def main(folder):
        t = device(folder, operators=["p@x"])
        access = t.access
        assert [access.rank(p) for p in (OWNER, "p@x", VIEWER, STRANGER, "", "dev@x")] == [
            3, 2, 1, 0, 0, 0,
        ]  # fmt: skip
        assert access.owners == [OWNER] and not access.known(STRANGER)
        assert access.people() == [(OWNER, "owner"), ("p@x", "operator"), (VIEWER, "viewer")]
        assert access.allows("p@x", "operator") and not access.allows("p@x", "owner")
        assert not access.allows(STRANGER, "viewer")
        assert os.listdir(folder) == []

    run(main)


REFUSED = (
    ("", "viewer", "''"),
    ("x", "viewer", "must be an address like name@domain"),
    ("a@x/r", "viewer", "must be an address like name@domain"),
    ("xmpp:a@x/r", "viewer", "must be an address like name@domain"),
    ("a b@x", "viewer", "'a b@x': not an address"),
    ("a@", "viewer", "'a@': not an address"),
    ("<a@x>", "viewer", "'<a@x>': not an address"),
    ("a" * 300 + "@x", "viewer", "must be an address like name@domain"),
    ("DEV@x", "viewer", "that is me"),
    ("dev@x", "none", "that is me"),
    ("a@x", "king", "must be owner, operator, viewer or none, not king"),
    ("a@x", "", "must be owner, operator, viewer or none, not "),
    ("a@x", "Owner", "must be owner, operator, viewer or none, not Owner"),
    (OWNER, "none", "there must be an owner, and there is no other"),
    (OWNER, "operator", "there must be an owner, and there is no other"),
)


def test_roles_that_cannot_be():
    async def main(folder):
        t = device(folder)
        for person, role, why in REFUSED:
            try:
                said = await t.assign(person, role)
            except ValueError as e:
                said = str(e)
            assert said.startswith(why), (person, role, said)
        assert people(t) == [(OWNER, "owner"), (VIEWER, "viewer")]
        assert os.listdir(folder) == [] and t.client.sent == []

    run(main)


def test_a_new_person():
    async def main(folder):
        t = device(folder)
        asker = Asker(t.access, "b@x/phone", "chat")
        assert asker.rank == 0
        assert await t.assign(" XMPP:B@X?message ", "viewer") == "b@x: viewer"
        # At once, for those too who asked before
        assert asker.rank == 1 and t.access.known("b@x")
        assert await t.assign("b@x", "operator") == "b@x: operator"
        assert asker.rank == 2
        assert t.client.lines == ["b@x: viewer, by o@x", "b@x: operator, by o@x"]
        assert t.starts().access.rank("b@x") == 2
        assert await t.assign("b@x", "none") == "b@x: none"
        assert asker.rank == 0
        # Neither they nor who never was anybody is kept
        assert await t.assign("c@x", "none") == "c@x: none"
        with open(folder + "roles.json") as f:
            assert json.load(f) == {"version": 1}
        assert people(t.starts()) == people(t) == [(OWNER, "owner"), (VIEWER, "viewer")]

    run(main)


def test_the_configuration_is_overruled():
    async def main(folder):
        t = device(folder)
        await t.assign(VIEWER, "none")
        assert people(t) == people(t.starts()) == [(OWNER, "owner")]
        # An owner may go when there is another
        await t.assign(VIEWER, "owner")
        await t.assign(OWNER, "none")
        again = t.starts()
        assert people(again) == [(VIEWER, "owner")]
        assert "no other" in str(await refused(again, VIEWER, "viewer"))
        await again.assign(OWNER, "viewer")
        assert people(again.starts()) == [(OWNER, "viewer"), (VIEWER, "owner")]

    run(main)


async def refused(t, person, role):
    try:
        await t.assign(person, role)
    except ValueError as e:
        return e
    raise AssertionError("not refused")


def test_not_more_people_than_may_be():
    async def main(folder):
        t = device(folder)
        t.access.max_people = 4
        await t.assign("a@x", "viewer")
        await t.assign("b@x", "owner")
        assert str(await refused(t, "c@x", "viewer")) == "there are 4 people already"
        # Those who are there may still change, and make room
        await t.assign("a@x", "operator")
        await t.assign("a@x", "none")
        await t.assign("c@x", "viewer")
        assert len(people(t.starts())) == 4

    run(main)


def test_nothing_holds_that_is_not_in_flash():
    async def main(folder):
        t = device(folder + "none/")
        e = await refused(t, "a@x", "viewer")
        assert str(e) == "it cannot be kept in flash; nothing has changed"
        assert str(await refused(t, VIEWER, "none")) == str(e)
        assert people(t) == [(OWNER, "owner"), (VIEWER, "viewer")] and t.client.sent == []
        assert "cannot be written" in t.client.lines[0]

    run(main)


def test_a_file_that_cannot_be_used():
    async def main(folder):
        damaged = '{"version": 1, "a@x": "king", "b@x": 3, "c@x": ["owner"], "e": "owner"'
        damaged += ', "d@x": "viewer"}'
        for text in ("{", "[]", '{"version": 9, "s@y": "owner"}', damaged):
            with open(folder + "roles.json", "w") as f:
                f.write(text)
            found = people(device(folder))
            assert found[-2:] == [(OWNER, "owner"), (VIEWER, "viewer")], (text, found)
            assert found[:-2] == ([("d@x", "viewer")] if text == damaged else []), found

    run(main)


def test_who_wants_to_know_is_told():
    async def main(folder):
        t = device(folder)
        told = []

        async def later(person):
            await asyncio.sleep(0)
            told.append((person, t.access.rank(person)))

        def fails(person):
            raise OSError("gone")

        t.access.on_change += [lambda p: told.append(p), fails, later]
        await t.assign("a@x", "operator")
        await t.assign("a@x", "operator")  # that is no change
        await t.assign("a@x", "none")
        assert told == ["a@x", ("a@x", 2), "a@x", ("a@x", 0)]
        assert t.faults == ["role", "role"]

    run(main)


# Roster and presence


def test_roster_of_an_account_of_its_own():
    async def main(folder):
        t = device(folder)
        client = t.client
        client.roster = [
            {"jid": OWNER, "subscription": "both"},
            {"jid": STRANGER, "subscription": "from"},
        ]
        await t.access.settle()
        await t.access.announce([])
        assert client.sent == ["roster s@y remove", "subscribe v@x", "None None", "None v@x"]
        client.sent = []
        t.access._shown = [Element("status")]
        await t.assign("a@x", "viewer")
        assert client.sent == ["None a@x", "subscribe a@x"]
        client.sent = []
        await t.assign("a@x", "none")
        await t.assign(VIEWER, "operator")  # they see it already
        assert client.sent == ["unavailable a@x", "unsubscribed a@x", "roster a@x remove"]
        # What goes to the roster goes to nobody by name
        client.sent = []
        await t.access.announce([])
        assert client.sent == ["None None", "None v@x"]

    run(main)


def test_consent_in_advance():
    """Only where the server has said that it knows it."""

    async def main(folder):
        t = device(folder)
        t.client.handlers["features", "urn:xmpp:features:pre-approval"](None, None)
        await t.access.settle()
        sent = sorted(t.client.sent)
        assert sent == ["subscribe o@x", "subscribe v@x", "subscribed o@x", "subscribed v@x"]
        t.client.sent = []
        await t.assign("a@x", "viewer")
        assert t.client.sent == ["subscribe a@x", "subscribed a@x"]
        # The server has said yes for us, and tells it by the roster
        push = t.client.handlers["set", "jabber:iq:roster"]
        query = Element("query", "jabber:iq:roster")
        query.add("item", None, {"jid": "a@x", "subscription": "from"})
        assert "a@x" in t.access._apart
        await push(Element("iq"), query)
        assert "a@x" not in t.access._apart

    run(main)


def test_an_account_that_is_shared():
    async def main(folder):
        t = Thing(folder, shared=True, viewers=[VIEWER], pair="secret code")
        access, client = t.access, t.client
        assert people(t) == [(client.account, "owner"), (VIEWER, "viewer")]
        # There is an owner: no pairing
        assert access.guests == [] and forgotten("pairing")
        client.roster = [{"jid": STRANGER, "subscription": "both"}]
        access._shown = [Element("status")]
        await access.settle()
        await access.announce([Element("status")])
        assert sorted(client.sent) == ["None dev@x", "None v@x"]
        client.sent = []
        await t.assign("a@x", "viewer")
        await t.assign("a@x", "none")
        assert client.sent == ["None a@x", "unavailable a@x"]
        # Neither consent of ours nor that of the person is touched
        query = Element("query", "jabber:iq:roster")
        query.add("item", None, {"jid": STRANGER, "subscription": "from"})
        client.sent = []
        await client.handlers["set", "jabber:iq:roster"](Element("iq"), query)
        asks = Element("presence", None, {"from": VIEWER, "type": "subscribe"})
        await client.handlers["presence", None](asks, None)
        assert client.sent == []
        # Their other applications come online
        comes = Element("presence", None, {"from": "dev@x/phone"})
        access.show_s = 0
        await client.handlers["presence", None](comes, None)
        await turns()
        assert client.sent == ["None dev@x"]
        # ... but not this one
        comes.attrs["from"] = client.jid
        await client.handlers["presence", None](comes, None)
        assert not access._greeting
        assert str(await refused(t, "dev@x", "none")) == "that is me"

    run(main)


def test_a_roster_that_cannot_be_changed_now():
    async def main(folder):
        t = device(folder)
        await t.access.settle()

        async def fails(*args):
            await asyncio.sleep(0)
            raise StanzaError("item-not-found")

        t.client.iq = fails
        assert await t.assign(VIEWER, "none") == "v@x: none"
        assert not t.access.known(VIEWER) and t.client.lines[-1] == "roster: v@x: item-not-found"
        # Who may be in the roster still sees nothing any more
        t.client.sent = []
        await t.access.announce([])
        assert t.client.sent == ["None o@x"]

    run(main)


async def comes(t, person, *resources, **attrs):
    for resource in resources:
        el = Element("presence", None, {"from": person + "/" + resource})
        el.attrs.update(attrs)
        await t.client.handlers["presence", None](el, None)


def test_who_comes_online_is_shown_once():
    async def main(folder):
        t = device(folder)
        access, client = t.access, t.client
        access.show_s = 0.01
        client.roster = [{"jid": OWNER, "subscription": "both"}]
        await access.settle()
        client.sent = []
        await comes(t, VIEWER, "a")
        await access._greeting
        # There is nothing yet
        assert client.sent == []
        await access.announce([])
        access._shown = [Element("status")]
        client.sent = []
        # All of their applications by one stanza; the roster does it for the owner
        await comes(t, VIEWER, "a", "b", *["c"] * 100)
        await comes(t, VIEWER, "d", type="unavailable")
        await comes(t, OWNER, "a")
        await access._greeting
        assert client.sent == ["None v@x"] and not access._greeting
        # Who comes while others are shown it is not forgotten
        send = client.send

        async def slowly(el):
            if len(client.sent) < 3:
                await comes(t, VIEWER, "a")
            await send(el)

        client.send = slowly
        client.sent = []
        await comes(t, VIEWER, "a")
        await access._greeting
        assert client.sent == ["None v@x"] * 4
        # Whose role was taken sees nothing
        client.send = send
        await comes(t, VIEWER, "a")
        await t.assign(VIEWER, "none")
        client.sent = []
        await access._greeting
        assert client.sent == []

    run(main)


def test_who_comes_online_when_the_session_ends():
    async def main(folder):
        t = device(folder)
        access, client = t.access, t.client
        access.show_s = 0
        await access.settle()
        access._shown = [Element("status")]
        send = client.send

        async def fails(el):
            raise OSError("not online")

        client.send = fails
        await comes(t, VIEWER, "a")
        await access._greeting
        client.send = send
        client.sent = []
        await comes(t, VIEWER, "a")
        await access._greeting
        assert client.sent == ["None v@x"]

    run(main)


def test_subscriptions_are_answered_within_the_limit():
    async def main(folder):
        t = device(folder)
        await comes(t, VIEWER, *["a"] * 20, type="subscribe")
        await comes(t, STRANGER, "a", type="subscribe")
        assert t.client.sent == ["subscribed v@x"] * 10

    run(main)


def test_pushes_are_not_answered_when_there_is_much_to_send():
    async def main(folder):
        t = device(folder)
        push = t.client.handlers["set", "jabber:iq:roster"]
        for queued, name in ((7, "iq"), (8, None)):
            t.client.queue = [None] * queued
            el = Element("iq")
            await push(el, Element("query", "jabber:iq:roster"))
            assert el.name == name, queued

    run(main)


# What is let in


def stanza(name="message", **attrs):
    return Element(name, "jabber:client", attrs)


def test_guests_are_let_in_as_somebody_says():
    async def main(folder):
        t = device(folder)
        accepts = t.client.accepts
        assert accepts(OWNER, stanza()) and accepts(VIEWER, stanza("iq"))
        assert not accepts(STRANGER, stanza())
        asked = []

        def room(person, el):
            asked.append(person)
            return person == "room@y" and el.name == "message"

        t.access.guests.append(room)
        assert accepts("room@y", stanza()) and not accepts("room@y", stanza("iq"))
        assert not accepts(STRANGER, stanza())
        assert accepts(OWNER, stanza()) and accepts(VIEWER, stanza())
        assert asked == ["room@y", "room@y", STRANGER, VIEWER]

    run(main)


def test_some_handlers_are_the_owners():
    async def main(folder):
        t = device(folder)
        t.access.guests.append(lambda person, el: True)
        no = ("resource-constraint", "wait")
        for busy, heard in ((5, True), (6, False), (8, False)):
            t.client._tasks = [None] * busy
            t.client.refused = []
            assert t.client.accepts(VIEWER, stanza()) == heard
            assert t.client.accepts("room@y", stanza()) == heard
            assert t.client.accepts(VIEWER, stanza("iq")) == heard
            assert t.client.accepts(VIEWER, stanza("presence")) == heard
            assert t.client.accepts(OWNER, stanza()) and t.client.accepts(OWNER, stanza("iq"))
            # Who has a role is told; the client answers IQs only
            names = ("message", "iq", "presence")
            assert t.client.refused == ([] if heard else [(n, no) for n in names])

    run(main)


# Limits


def allowed(t, person, tries):
    return len([1 for _ in range(tries) if t.access.allow(person)])


def test_limit_of_a_person():
    async def main(folder):
        t = device(folder)
        assert allowed(t, VIEWER, 100) == 10
        t.clock.now += 1
        assert allowed(t, VIEWER, 5) == 0
        t.clock.now += 1
        assert allowed(t, VIEWER, 5) == 1
        t.clock.now += 7
        assert allowed(t, VIEWER, 5) == 3
        await turns()
        # It was one flood
        assert t.said == [(VIEWER, SILENT)] and t.client.lines == ["v@x: too many messages"]
        assert t.client.dropped == 90 + 5 + 4 + 2
        t.clock.now += 21
        assert allowed(t, VIEWER, 11) == 10
        await turns()
        assert t.said == [(VIEWER, SILENT)] * 2
        # What was not used is not saved up
        t.clock.now += 100000
        assert allowed(t, VIEWER, 100) == 10
        # One in two seconds is never too much
        t.clock.now += 1000
        for _ in range(100):
            t.clock.now += 2
            assert t.access.allow(VIEWER)

    run(main)


def test_limit_of_an_owner():
    async def main(folder):
        t = device(folder, owners=[OWNER, "p@x"])
        assert allowed(t, OWNER, 100) == 40
        t.clock.now += 1
        assert allowed(t, OWNER, 100) == 2
        assert allowed(t, "p@x", 100) == 40
        assert allowed(t, VIEWER, 100) == 10

    run(main)


def test_limit_of_all():
    async def main(folder):
        viewers = ["v{}@x".format(i) for i in range(5)]
        t = device(folder, viewers=viewers)
        assert [allowed(t, v, 100) for v in viewers] == [10, 10, 10, 0, 0]
        # Owners have no part in it
        assert allowed(t, OWNER, 100) == 40
        t.clock.now += 1
        assert [allowed(t, v, 1) for v in viewers] == [0, 0, 0, 1, 1]
        await turns()
        # Whoever has no answer knows why, once
        assert sorted(p for p, _ in t.said) == sorted(viewers + [OWNER])  # noqa: RUF005 - not in MicroPython

    run(main)


def test_limit_of_questions_by_program():
    """Counted apart: who looks around may still write."""

    async def main(folder):
        t = device(folder)

        def heard(person):
            return len([1 for _ in range(100) if t.client.accepts(person, stanza("iq"))])

        assert heard(VIEWER) == 10
        assert t.client.refused == [("iq", ("resource-constraint", "wait"))] * 90
        # To strangers the client says what it says to all of them
        assert heard(STRANGER) == 0 and heard(OWNER) == 100 and len(t.client.refused) == 90
        assert t.client.accepts(VIEWER, stanza()) and allowed(t, VIEWER, 100) == 10
        t.clock.now += 4
        assert heard(VIEWER) == 2
        await t.assign(VIEWER, "none")
        assert sorted(t.access._used) == [] and heard(VIEWER) == 0

    run(main)


def test_strangers_have_no_bucket():
    async def main(folder):
        t = device(folder)
        assert allowed(t, STRANGER, 100) == 0
        await t.assign("a@x", "viewer")
        assert allowed(t, "a@x", 100) == 10
        assert sorted(t.access._used) == ["a@x"]
        await t.assign("a@x", "none")
        await turns()
        assert allowed(t, "a@x", 100) == 0
        assert t.access._used == {} and t.said == [("a@x", SILENT)]

    run(main)


# Pairing

CODE = "K7QX-2M9F"


def writes(t, person, text, **attrs):
    """`person` writes: whether that was let in."""
    el = stanza(**attrs)
    el.attrs["from"] = person + "/r"
    el.add("body", None, None, text)
    return t.client.accepts(person, el)


def pairing(t):
    (found,) = t.access.guests
    return found


def test_pairing():
    texts = (
        "pair K7QX-2M9F", "PAIR k7qx2m9f", "/pair k7qx 2m9f", "!Pair\tK7QX\u20142M9F",
        "  pair   K7-QX-2M-9F \n", "pair \u201ck7qx\u00a02m9f\u201d.",
    )  # fmt: skip

    async def main(folder):
        for text in texts:
            t = Thing(folder, pair=CODE)
            assert not t.access.owners
            assert not writes(t, STRANGER, text, type="chat"), text
            assert t.access.owners == [STRANGER], text
            await turns()
            assert t.said == [(STRANGER + "/r", WELCOME)]
            assert t.client.lines == ["s@y: owner, by the code"]
            assert console[-1] == "pairing code: as provided; write `pair CODE` to dev@x"
            # Nobody comes second, and nothing of it stays in memory
            assert not writes(t, "t@y", text) and t.access.owners == [STRANGER]
            assert t.access.guests == [] and forgotten("pairing")
            assert people(t.starts()) == [(STRANGER, "owner")]
            os.remove(folder + "roles.json")

    run(main)


def test_pairing_and_the_roster():
    async def main(folder):
        t = Thing(folder, pair=CODE, viewers=[VIEWER])
        await t.access.settle()
        t.client.sent = []
        t.access._shown = [Element("status")]
        told = []
        t.access.on_change.append(told.append)
        # Who has a role already is told once, too: the message is not for the chat
        assert not writes(t, VIEWER, "pair " + CODE)
        await turns()
        assert t.said == [(VIEWER + "/r", WELCOME)] and told == [VIEWER]
        assert t.client.sent == []
        assert writes(t, VIEWER, "status")
        other = Thing(folder + "", pair=CODE, owners=[OWNER])
        assert other.access.guests == []

        os.remove(folder + "roles.json")
        t = Thing(folder, pair=CODE)
        await t.access.settle()
        t.access._shown = [Element("status")]
        writes(t, STRANGER, "pair " + CODE)
        await turns()
        assert t.client.sent == ["None s@y", "subscribe s@y"]

    run(main)


def test_pairing_passes_over_the_rest():
    room = Element("x", "http://jabber.org/protocol/muc#user")

    async def main(folder):
        t = Thing(folder, pair=CODE)
        right = "pair " + CODE
        for text in ("pair", "pair ", "", CODE, "pairing " + CODE, "x " + right, "/", " "):
            writes(t, STRANGER, text)
        writes(t, STRANGER, right, type="groupchat")
        writes(t, STRANGER, right, type="headline")
        writes(t, STRANGER, right, type="error")
        writes(t, "domain", right)
        for el in (stanza(), stanza("iq", type="set"), stanza("presence")):
            assert not t.client.accepts(STRANGER, el)
        for name in ("iq", "presence"):
            el = stanza(name)
            el.add("body", None, None, right)
            assert not t.client.accepts(STRANGER, el)
        el = stanza(type="chat")
        el.add("body", None, None, right)
        el.children.append(room)
        assert not t.client.accepts("room@y", el)
        assert not t.access.owners and pairing(t).attempts == 0
        writes(t, STRANGER, right, type="normal")
        assert t.access.owners == [STRANGER]

    run(main)


WRONG = ("K7QX-2M9", "K7QX-2M9FF", "K7QX-2M9E", "A7QX-2M9F", "K7QX-2M9F K7QX-2M9F", "-", "\u00e9")


def test_wrong_codes_are_spaced():
    async def main(folder):
        t = Thing(folder, pair=CODE)
        p = pairing(t)
        for i, text in enumerate(WRONG):
            writes(t, STRANGER, "pair " + text)
            assert p.attempts == i + 1, text
            # Meanwhile not even the right one counts, whoever writes it
            t.clock.now += (2 << i) - 1
            for person in (STRANGER, "t@y"):
                writes(t, person, "pair " + CODE)
                writes(t, person, "pair WRONG")
            assert p.attempts == i + 1 and not t.access.owners
            t.clock.now += 1
        assert t.said == [] and t.client.sent == []
        writes(t, "t@y", "pair " + CODE)
        assert t.access.owners == ["t@y"]
        lines = ["pair: a wrong code, {} of 10".format(i + 1) for i in range(len(WRONG))]
        assert t.client.lines == lines + ["t@y: owner, by the code"]

    run(main)


def test_the_longest_space():
    async def main(folder):
        t = Thing(folder, pair="")
        p = pairing(t)
        p.max_attempts = 100
        for _ in range(30):
            writes(t, STRANGER, "pair wrong")
            begin = t.clock.now
            t.clock.now = p._until
        assert p.attempts == 30 and t.clock.now - begin == p.max_space_s == 3600

    run(main)


def test_too_many_wrong_codes():
    async def main(folder):
        t = Thing(folder, pair=CODE)
        p = pairing(t)
        for i in range(10):
            assert t.access.guests == [p]
            if i == 5:
                # A restart neither forgets them nor ends the space
                t = t.starts()
                p = pairing(t)
                assert p.attempts == 5
                writes(t, STRANGER, "pair " + CODE)
                t.clock.now += 31
                writes(t, STRANGER, "pair " + CODE)
                assert not t.access.owners and p.attempts == 5
                t.clock.now += 1
            writes(t, STRANGER, "pair wrong")
            t.clock.now += 3600
        assert p.attempts == 10 and t.access.guests == [] and forgotten("pairing")
        writes(t, STRANGER, "pair " + CODE)
        t = t.starts()
        assert t.client.lines == ["pair: the code is too short, or used up: provide another"]
        writes(t, STRANGER, "pair " + CODE)
        assert t.access.guests == [] and not t.access.owners
        assert forgotten("pairing")
        # A new one has all its attempts
        t = Thing(folder, pair="another 1")
        assert pairing(t).attempts == 0
        writes(t, STRANGER, "pair Another1")
        assert t.access.owners == [STRANGER]

    run(main)


def test_codes_that_are_too_short():
    async def main(folder):
        for code in ("-", "12345", "\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9"):
            t = Thing(folder, pair=code)
            assert t.access.guests == [] and len(t.client.lines) == 1
            for text in (code, "", "-"):
                writes(t, STRANGER, "pair " + text)
            assert not t.access.owners

    run(main)


def test_codes_that_are_made():
    async def main(folder):
        codes = [pairing(Thing(folder, pair=""))._code for _ in range(40)]
        assert len(set(codes)) == 40 and {len(c) for c in codes} == {8}
        signs = set(b"".join(codes))
        assert signs <= set(b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789") and len(signs) > 26
        t = Thing(folder, pair="")
        code = pairing(t)._code.decode()
        text = code[:4] + "-" + code[4:]
        # On the console, but not in the log
        assert console[-1] == "pairing code: {0}; write `pair {0}` to dev@x".format(text)
        assert t.client.lines == []
        for _ in range(10):
            writes(t, STRANGER, "pair wrong")
            t.clock.now += 3600
        writes(t, STRANGER, "pair " + code)
        # Nothing is kept: the next start has a new one, with all its attempts
        assert os.listdir(folder) == [] and t.access.guests == []
        t = t.starts()
        assert pairing(t).attempts == 0
        writes(t, STRANGER, "pair " + pairing(t)._code.decode().lower())
        assert t.access.owners == [STRANGER] and t.starts().access.owners == [STRANGER]

    run(main)


def test_every_sign_is_as_likely():
    async def main(folder):
        t = Thing(folder, pair="")
        module = sys.modules["thing.pairing"]

        class Every:
            at = 0

            def urandom(self, n):
                self.at += n
                return bytes([b & 255 for b in range(self.at - n, self.at)])

        module.os = Every()
        made = b"".join([module.Pairing(t.access, t)._code for _ in range(32)])
        assert_none([None if list(made).count(c) == 8 else c for c in module._SIGNS])

    run(main)


def test_an_owner_who_cannot_be_kept():
    async def main(folder):
        t = Thing(folder + "none/", pair=CODE)
        writes(t, STRANGER, "pair " + CODE)
        await turns()
        assert not t.access.owners and t.said == [] and pairing(t).attempts == 0
        # Nor can the attempts: they count until the restart
        writes(t, STRANGER, "pair wrong")
        assert pairing(t).attempts == 1

    run(main)
