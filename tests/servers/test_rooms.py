"""A device in group chats (XEP-0045): whom it answers there, and who gets nothing."""

import asyncio
import re
import time
from contextlib import asynccontextmanager

from host_tools.lab.errors import LabTimeout

from .helper import condition, device_of, lines, online, owner_of, pinged, until

LIMIT_S = 20.0
TEST_LIMIT_S = 90.0
#: More than a device takes of a stanza.
LONG = "x" * 8192


def play(main):
    """Run a test, which may not take longer than TEST_LIMIT_S."""
    asyncio.run(asyncio.wait_for(main(), TEST_LIMIT_S))


class Occupant:
    """An owner or a stranger in a room, by slixmpp."""

    def __init__(self, owner, room, nick):
        self.owner = owner
        self.room = room
        self.nick = nick
        self.present = {}  # nick -> whether they are there, as the last presence says
        self._refused = asyncio.Event()
        owner.client.add_event_handler("groupchat_presence", self._seen)
        owner.client.add_event_handler("presence_error", lambda _: self._refused.set())

    def _seen(self, presence):
        if presence["from"].bare == self.room:
            self.present[presence["from"].resource] = presence["type"] != "unavailable"

    async def enter(self, *, open_to_all=False):
        """Join; who makes the room opens it (XEP-0045 section 10.1), and may let all see the real
        JIDs."""
        while not (joined := await self._join()):
            # While a device finds out that there is no such room, the room is locked
            await asyncio.sleep(0.1)
        muc = self.muc
        if 201 in joined[0]["muc"]["status_codes"]:
            form = await muc.get_room_config(self.room, timeout=LIMIT_S)
            form["type"] = "submit"
            form["values"] = {"muc#roomconfig_whois": "anyone"} if open_to_all else {}
            await muc.set_room_config(self.room, form, timeout=LIMIT_S)
        return self

    async def _join(self):
        # What slixmpp returns, or None for a refusal: it does not see Prosody's
        self._refused.clear()
        join = asyncio.create_task(
            self.muc.join_muc_wait(self.room, self.nick, maxstanzas=0, timeout=LIMIT_S)
        )
        refused = asyncio.create_task(self._refused.wait())
        try:
            await asyncio.wait((join, refused), return_when=asyncio.FIRST_COMPLETED)
            return join.result() if join.done() else None
        finally:
            join.cancel()
            refused.cancel()

    @property
    def muc(self):
        """slixmpp's XEP-0045."""
        return self.owner.client.plugin["xep_0045"]

    def say(self, text):
        self.owner.client.send_message(mto=self.room, mbody=text, mtype="groupchat")

    async def sees(self, nick, there=True):
        """Wait until somebody is in the room, or is not any more."""
        await until(lambda: self.present.get(nick) is there, f"{nick}, {there}", LIMIT_S)

    async def heard(self, nick):
        """What `nick` says next."""
        return (await self.owner.next_message(f"{self.room}/{nick}", LIMIT_S)).body

    def send(self, xml):
        self.owner.client.send_raw(xml)

    async def echoed(self, text):
        """Say it, and wait until the room has told it to all. A parser that had an overlong tag
        in pieces may only go on when as much again has come."""
        before = list(self.owner.messages)
        self.say(text)
        self.send(" " * len(LONG))
        await until(
            lambda: [m for m in self.owner.messages if m not in before and m.body == text],
            text,
            LIMIT_S,
        )

    async def asked(self, text, nick="kitchen"):
        """What `nick` answers, without the age of a state."""
        self.say(text)
        return re.sub(r", since \d+ (s|min)$", "", await self.heard(nick))


@asynccontextmanager
async def inside(lab, user, room, nick, plugins=("xep_0045", "xep_0004"), **options):
    async with owner_of(lab, user, plugins=plugins) as owner:
        yield await Occupant(owner, f"{room}@conference.{lab.domain}", nick).enter(**options)


def kitchen(lab, room, program="everything", surfaces=("rooms",)):
    """A device that is in `room` as kitchen, and belongs to the group lamps."""
    return device_of(
        lab,
        "32",
        program,
        surfaces=list(surfaces),
        rooms=[f"{room}@conference.{lab.domain}/kitchen"],
        groups=["lamps"],
    )


def test_conversation(shared):
    async def main():
        async with (
            inside(shared, "owner", "garden", "boss", open_to_all=True) as boss,
            inside(shared, "stranger", "garden", "guest") as guest,
        ):
            boss.say("kitchen: relay on")  # before it is there
            with kitchen(shared, "garden") as device:
                await boss.sees("kitchen")
                assert await boss.asked("kitchen: temperature") == "boss: temperature: 21.5 °C"
                assert await boss.asked("Kitchen, relay") == "boss: relay: off"
                assert await boss.asked("@kitchen relay on") == "boss: relay: on"
                assert await boss.asked("lamps: relay off") == "boss: relay: off"
                # A code from a room is good there, and only for who asked
                text = await boss.asked("kitchen: format")
                code = text.partition("yes ")[2][:4]
                assert code.isdigit(), text
                guest.say(f"kitchen: yes {code}")
                assert await boss.asked(f"kitchen: yes {code}") == "boss: format: empty"
                # Nobody spoke to it
                for text in ("relay on", "kitchens: relay on", "kitchen", "the kitchen: relay on"):
                    boss.say(text)
                # Somebody without a role did
                for text in ("kitchen: relay on", "lamps: help", "kitchen: temperature"):
                    guest.say(text)
                guest.owner.client.send_message(f"{guest.room}/kitchen", "relay on", mtype="chat")
                for payload in (
                    "<query xmlns='http://jabber.org/protocol/disco#info'/>",
                    "<query xmlns='jabber:iq:version'/>",
                    "<ping xmlns='urn:xmpp:ping'/>",
                ):
                    answer = await guest.owner.iq(f"{guest.room}/kitchen", payload)
                    assert condition(answer) == ("cancel", "service-unavailable")
                assert await boss.asked("kitchen: relay") == "boss: relay: off"
                # What is written twice, in two languages or corrected, is done once
                message = "<message type='groupchat' id='{}' to='{}'>{}</message>"
                body = "<body>kitchen: blink 3</body>"
                boss.send(
                    message.format("b1", boss.room, body + body.replace(">", " xml:lang='de'>", 1))
                )
                assert await boss.heard("kitchen") == "boss: blink: 3 times"
                replace = "<replace xmlns='urn:xmpp:message-correct:0' id='b1'/>"
                boss.send(message.format("b2", boss.room, body.replace("3", "2") + replace))
                assert "I did that already: blink 3" in await boss.heard("kitchen")
                assert len(re.findall("^blink", device.output(), re.M)) == 1
                # An alarm is for all; it may come before the answer
                said = {await boss.asked("kitchen: ring bob"), await boss.heard("kitchen")}
                assert said == {"boss: ring: done", "doorbell: bob"}
                assert not [m for m in boss.owner.messages if m.sender.endswith("/kitchen")]
                assert "stranger" not in device.output()

    play(main)


def test_the_owners_nick_is_not_the_owner(shared):
    async def main():
        async with inside(shared, "owner", "shed", "boss", open_to_all=True) as boss:
            with kitchen(shared, "shed") as device:
                await boss.sees("kitchen")
                assert await boss.asked("kitchen: relay") == "boss: relay: off"
                async with inside(shared, "idle", "shed", "witness") as witness:
                    boss.muc.leave_muc(boss.room, "boss")
                    await witness.sees("boss", False)
                    async with inside(shared, "stranger", "shed", "boss") as thief:
                        for text in ("kitchen: relay on", "kitchen: status", "lamps: format"):
                            thief.say(text)
                        await pinged(thief.owner)
                        thief.muc.leave_muc(thief.room, "boss")
                        await witness.sees("boss", False)
                    await boss.enter()
                    assert await boss.asked("kitchen: relay") == "boss: relay: off"
                    assert await witness.heard("kitchen") == "boss: relay: off"
                    await pinged(witness.owner)
                    assert not [m for m in witness.owner.messages if "/kitchen" in m.sender]
                assert "relay on" not in device.output()

    play(main)


def test_the_owner_is_not_whose_presence_was_lost(shared):
    # What is longer than the device takes comes without what is in it
    async def main():
        async with (
            inside(shared, "stranger", "attic", "thief", open_to_all=True) as thief,
            inside(shared, "owner", "attic", "boss") as boss,
        ):
            with kitchen(shared, "attic") as device:
                await boss.sees("kitchen")
                assert await boss.asked("kitchen: relay") == "boss: relay: off"
                item = f"<item nick='boss' role='none'><reason>{LONG}</reason></item>"
                kick = f"<query xmlns='http://jabber.org/protocol/muc#admin'>{item}</query>"
                assert (await thief.owner.iq(thief.room, kick, "set")).get("type") == "result"
                await thief.sees("boss", False)
                # The second start tag is so long that the device does not see who it is from
                for start in (f"><status>{LONG}</status>", f" a='{LONG}'>"):
                    thief.send(f"<presence to='{thief.room}/boss'{start}</presence>")
                    await thief.echoed("kitchen: relay on")
                await thief.echoed(f"lamps: role {shared.jid('stranger')} owner")
                thief.send(f"<presence to='{thief.room}/thief'/>")
                await thief.sees("boss", False)
                await boss.enter()
                assert await boss.asked("kitchen: relay") == "boss: relay: off"
                for _ in range(2):
                    assert await thief.heard("kitchen") == "boss: relay: off"
                assert not [m for m in thief.owner.messages if m.sender.endswith("/kitchen")]
                assert not re.search("relay on|stranger", device.output())

    play(main)


def test_no_room(shared):
    # The device makes none: it would be locked, and nobody could come
    async def main():
        async with owner_of(shared, plugins=("xep_0045", "xep_0004")) as owner:
            room = f"cellar@conference.{shared.domain}"
            with kitchen(shared, "cellar", "roommate", ("rooms", "chat")) as device:
                jid = await online(device)
                line = f"^{room}: there is no such room; make it, and I shall come$"
                await lines(device, line)
                # What happens in the meantime is posted when there is a room
                await owner.say(jid, "ring bob")
                assert (await owner.next_message(jid, LIMIT_S)).body
                boss = await Occupant(owner, room, "boss").enter(open_to_all=True)
                assert (await boss.heard("kitchen")).startswith("doorbell: bob")
                assert await boss.asked("kitchen: relay") == "boss: relay: off"
                assert len(await lines(device, line)) == 1

    play(main)


def test_a_role_holds_at_once(shared):
    # Also for who is in the room already, and also when it is taken
    async def main():
        async with (
            inside(shared, "owner", "yard", "boss", open_to_all=True) as boss,
            inside(shared, "stranger", "yard", "guest") as guest,
        ):
            with kitchen(shared, "yard"):
                await boss.sees("kitchen")
                jid = shared.jid("stranger")
                answer = await boss.asked(f"kitchen: role {jid} viewer")
                assert answer == f"boss: {jid}: viewer"
                # The room tells the device again who is there
                end = time.monotonic() + LIMIT_S
                while True:
                    guest.say("kitchen: temperature")
                    try:
                        message = await guest.owner.next_message(f"{guest.room}/kitchen", 1)
                    except LabTimeout:
                        assert time.monotonic() < end
                        continue
                    if message.body == "guest: temperature: 21.5 °C":
                        break
                boss.say(f"kitchen: role {jid} none")
                while await boss.heard("kitchen") != f"boss: {jid}: none":
                    pass
                guest.say("kitchen: temperature")
                assert await boss.asked("kitchen: relay") == "boss: relay: off"

    play(main)


def test_a_room_that_hides_who_is_who(shared):
    # Without a real JID there is no role
    async def main():
        async with (
            inside(shared, "idle", "hidden", "host") as host,
            inside(shared, "owner", "hidden", "boss") as boss,
        ):
            with kitchen(shared, "hidden") as device:
                await boss.sees("kitchen")
                boss.say("kitchen: relay on")
                await boss.heard("boss")
                # It did get it: it does what comes after
                jid = await online(device)
                answer = await boss.owner.iq(jid, "<ping xmlns='urn:xmpp:ping'/>")
                assert answer.get("type") == "result"
                await pinged(host.owner)
                assert not [m for m in boss.owner.messages if m.sender.endswith("/kitchen")]
                assert "relay on" not in device.output()

    play(main)


def test_nick_taken_and_thrown_out(shared):
    async def main():
        async with (
            inside(shared, "owner", "barn", "boss", open_to_all=True) as boss,
            inside(shared, "stranger", "barn", "kitchen"),
        ):
            with kitchen(shared, "barn", "roommate"):
                await boss.sees("kitchen_")
                assert await boss.asked("kitchen_: relay", "kitchen_") == "boss: relay: off"
                await boss.muc.set_role(boss.room, "kitchen_", "none")
                await boss.sees("kitchen_", False)
                await boss.sees("kitchen_")
                assert await boss.asked("kitchen_: relay", "kitchen_") == "boss: relay: off"

    play(main)
