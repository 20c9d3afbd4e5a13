"""Who has no role sees of a device what is seen of an account that does not exist, or less."""

import asyncio

import pytest
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from .helper import (
    bodies,
    both,
    device_of,
    lines,
    online,
    owner_of,
    pinged,
    plain,
    ready,
    recorded,
    set_level,
    until,
)

CLIENT = "{jabber:client}"
PING = "<ping xmlns='urn:xmpp:ping'/>"
#: What the server says of an account to those who may not know: not that it is there.
HARMLESS = {"unsubscribe", "unsubscribed", "unavailable"}

IQS = {
    "ping": ("get", "<ping xmlns='urn:xmpp:ping'/>"),
    "disco": ("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
    "disco-node": ("get", "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>"),
    "items": ("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
    "version": ("get", "<query xmlns='jabber:iq:version'/>"),
    "time": ("get", "<time xmlns='urn:xmpp:time'/>"),
    "last": ("get", "<query xmlns='jabber:iq:last'/>"),
    "vcard": ("get", "<vCard xmlns='vcard-temp'/>"),
    "unknown": ("get", "<x xmlns='urn:example:unknown'/>"),
    "unknown-set": ("set", "<x xmlns='urn:example:unknown'/>"),
    "roster": (
        "set",
        "<query xmlns='jabber:iq:roster'><item jid='x@lab.example' subscription='both'/></query>",
    ),
    "roster-get": ("get", "<query xmlns='jabber:iq:roster'/>"),
    "bind": ("set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"),
    "commands": (
        "set",
        "<command xmlns='http://jabber.org/protocol/commands' node='lamp' action='execute'/>",
    ),
    "two": ("get", "<ping xmlns='urn:xmpp:ping'/><time xmlns='urn:xmpp:time'/>"),
    "none": ("get", ""),
}

MESSAGES = {
    "chat": "type='chat'><body>lamp on</body>",
    "normal": "><body>lamp on</body>",
    "headline": "type='headline'><body>lamp on</body>",
    "groupchat": "type='groupchat'><body>lamp on</body>",
    "error": "type='error'><body>lamp on</body>",
    "help": "type='chat'><body>help</body>",
    "status": "type='chat'><body>/status</body><thread>1</thread>",
    "receipt": "type='chat'><body>lamp on</body><request xmlns='urn:xmpp:receipts'/>",
    "marker": "type='chat'><body>lamp</body><markable xmlns='urn:xmpp:chat-markers:0'/>",
    "typing": "type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/>",
    "attention": "type='headline'><attention xmlns='urn:xmpp:attention:0'/>",
    "carbon": "type='chat'><received xmlns='urn:xmpp:carbons:2'>"
    "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat' "
    "from='owner@lab.example/x' to='dev@lab.example'><body>lamp on</body></message>"
    "</forwarded></received>",
}
PRESENCES = {
    "available": "/>",
    "status": "><status>lamp on</status></presence>",
    "probe": "type='probe'/>",
    "subscribe": "type='subscribe'/>",
    "subscribed": "type='subscribed'/>",
    "unsubscribed": "type='unsubscribed'/>",
    "unsubscribe": "type='unsubscribe'/>",
    "error": "type='error'/>",
    "unavailable": "type='unavailable'/>",
}


def send_all(stranger, to, tag):
    """Send one of each kind of stanza to `to`."""
    send = stranger.client.send_raw
    for name, (kind, payload) in IQS.items():
        send(f"<iq type='{kind}' to='{to}' id='iq-{name}-{tag}'>{payload}</iq>")
    for name, rest in MESSAGES.items():
        send(f"<message to='{to}' id='message-{name}-{tag}' {rest}</message>")
    for name, rest in PRESENCES.items():
        send(f"<presence to='{to}' id='presence-{name}-{tag}' {rest}")


async def handled(owner, stranger, jid):
    """When this returns, the device has handled all that `stranger` sent before, and what it
    said to that is in `stranger`'s record."""
    await pinged(stranger)
    assert await owner.ask(jid, "mood") == "mood: calm"
    await pinged(stranger)


def said(got, jid):
    """What came from `jid`, bare or full: what it answers to -> what was said, in order. A
    presence does not say what it answers to."""
    found = {}
    for el in got:
        if (el.get("from") or "").partition("/")[0] == jid:
            found.setdefault(el.get("id") or el.tag, []).append(plain(el))
    return found


def presences(got, jid):
    """What came of presence from the bare JID `jid`."""
    return [
        el
        for el in got
        if el.tag == CLIENT + "presence" and el.get("from").partition("/")[0] == jid
    ]


@both
def test_device_is_like_nobody(world, runtime):
    """Whatever it gets, the device says no more than the server for an account that is none."""

    async def main(device):
        there, nobody, idle = (world.jid(user) for user in ("dev", "nobody", "idle"))
        async with owner_of(world) as owner, owner_of(world, "stranger") as stranger:
            jid = await ready(device, owner)
            resource = jid.partition("/")[2]
            got = recorded(stranger)
            await handled(owner, stranger, jid)
            for tag, part in (("bare", ""), ("full", "/" + resource), ("other", "/x")):
                send_all(stranger, there + part, tag)
                send_all(stranger, nobody + part, tag)
                send_all(stranger, idle + part, tag)
                await handled(owner, stranger, jid)
            known, unknown, account = (said(got, jid) for jid in (there, nobody, idle))
            for name, answers in known.items():
                allowed = unknown[name]
                if name == "iq-time-bare":
                    # The server's own clock
                    continue
                if name.endswith("-bare") or not name.startswith("iq-"):
                    # Here it is the server that answers, and Prosody tells that there is an
                    # account; of the device in it nobody learns
                    allowed = allowed + account.get(name, [])
                assert all(a in allowed for a in answers), (name, answers, allowed)
                assert len(answers) <= max(len(unknown[name]), len(account.get(name, ()))), name
            # The comparison is worth something only where there was something to compare
            assert len(unknown) > 2 * len(IQS)
            assert all(f"iq-{name}-full" in known for name in IQS)
            assert {el.get("type") for el in presences(got, there)} <= {*HARMLESS, "error"}
            assert await owner.ask(jid, "lamp") == "lamp: off"
            assert "lamp" not in device.output()
            # Nothing of it was told to the owner, but for the count
            assert bodies(owner, jid) == []
            status = await owner.ask(jid, "status")
            assert ", 0 faults, 0 dropped, " in status and ", 0 refused" not in status

    with device_of(world, runtime) as device:
        asyncio.run(main(device))


def test_device_without_an_owner_is_like_nobody(world):
    """It waits for the pairing code; of that, too, nobody learns."""
    guess = "<message to='{0}' type='chat'><body>pair 2345-6789</body></message>"

    async def main(device):
        there, nobody = world.jid("dev"), world.jid("nobody")
        async with owner_of(world) as owner, owner_of(world, "stranger") as stranger:
            jid = await online(device)
            resource = "/" + jid.partition("/")[2]
            got = recorded(stranger)
            for to in (there, nobody):
                stranger.client.send_raw(guess.format(to + resource) + guess.format(to))
                send_all(stranger, to + resource, "full")
            await pinged(stranger)
            await lines(device, "^pair: a wrong code, 1 of 10$")
            # With the last of what was sent before, all of it is handled
            ends = [await stranger.iq(to + resource, PING) for to in (there, nobody)]
            assert plain(ends[0]) == plain(ends[1])
            end = asyncio.get_running_loop().time() + 20
            while "You are my owner now. Try help." not in bodies(owner, jid):
                assert asyncio.get_running_loop().time() < end
                await owner.say(jid, "pair right-code")
                await asyncio.sleep(0.2)
            known, unknown = said(got, there), said(got, nobody)
            for name in IQS:
                assert known[f"iq-{name}-full"] == unknown[f"iq-{name}-full"], name
            # An account in which nobody is online is as silent
            assert not [name for name in known if "message" in name]
            assert len(unknown) > len(IQS)
            assert {el.get("type") for el in presences(got, there)} <= {*HARMLESS, "error"}

    with device_of(world, "32", owners=[], pair="RIGHT CODE") as device:
        asyncio.run(main(device))


async def start_watched(world, device, stranger, owner):
    """Start the device and have it change its presence: what the stranger sees of all that."""
    got = recorded(stranger)
    with device:
        jid = await ready(device, owner)
        await owner.subscribe(world.jid("dev"))
        set_level(device, "30")
        await owner.presence(world.jid("dev"), lambda p: p.status == "level: 30 cm")
        await handled(owner, stranger, jid)
        send = stranger.client.send_raw
        send(f"<presence to='{world.jid('dev')}' type='probe'/>")
        send(f"<presence to='{world.jid('dev')}' type='subscribe'/>")
        await handled(owner, stranger, jid)
        set_level(device, "40")
        await owner.presence(world.jid("dev"), lambda p: p.status == "level: 40 cm")
        await handled(owner, stranger, jid)
    await pinged(stranger)
    seen = [el.get("type") for el in presences(got, world.jid("dev"))]
    # Its end is nobody's business either; the server would keep its session for a while
    world.server.delete_account("dev")
    await owner.presence(jid, lambda p: p.type == "unavailable")
    await pinged(stranger)
    assert {el.get("type") for el in presences(got, world.jid("dev"))[len(seen) :]} <= HARMLESS
    return seen


@both
def test_stranger_sees_no_presence(world, runtime):
    async def main():
        async with owner_of(world) as owner, owner_of(world, "stranger") as stranger:
            seen = await start_watched(world, device_of(world, runtime), stranger, owner)
            assert set(seen) <= HARMLESS

    asyncio.run(main())


@both
def test_former_friend_is_a_stranger(world, runtime):
    """Who was let in before, with the same account, is put out before anything is to be seen."""

    async def main():
        there = world.jid("dev")
        async with owner_of(world) as owner, owner_of(world, "stranger") as stranger:
            async with owner_of(world, "dev") as before:
                await stranger.subscribe(there)
                await before.subscribe(world.jid("stranger"))
                await stranger.presence(there)
            await stranger.presence(there, lambda p: p.type == "unavailable")
            seen = await start_watched(world, device_of(world, runtime), stranger, owner)
            assert "unsubscribed" in seen and set(seen) <= HARMLESS
            roster = await stranger.iq(None, "<query xmlns='jabber:iq:roster'/>")
            items = [i for i in roster.iter("{jabber:iq:roster}item") if i.get("jid") == there]
            assert items[0].get("subscription") in ("none", "from")

    asyncio.run(main())


@both
def test_consent_given_in_advance_is_worth_nothing(world, runtime):
    """RFC 6121, 3.4: given by somebody who used the account before."""

    async def main():
        async with owner_of(world) as owner, owner_of(world, "stranger") as stranger:
            async with owner_of(world, "dev") as before:
                before.client.send_raw(
                    f"<presence to='{world.jid('stranger')}' type='subscribed'/>"
                )
                await pinged(before)
            seen = await start_watched(world, device_of(world, runtime), stranger, owner)
            # Prosody says yes by itself, but shows nothing
            assert set(seen) <= {*HARMLESS, "subscribed"}

    asyncio.run(main())


@both
def test_consent_by_another_session_is_taken_back(world, runtime):
    """Somebody with the device's password says yes to a stranger while the device is there."""

    async def main(device):
        there = world.jid("dev")
        async with (
            owner_of(world) as owner,
            owner_of(world, "stranger") as stranger,
            owner_of(world, "dev"),
        ):
            jid = await ready(device, owner)
            await stranger.subscribe(there)
            got = recorded(stranger)
            await handled(owner, stranger, jid)
            await until(
                lambda: any(
                    el.get("type") == "unsubscribed" and el.get("from") == there for el in got
                ),
                "end of the subscription",
            )

    with device_of(world, runtime) as device:
        asyncio.run(main(device))


@both
def test_own_account_is_nobody(world, runtime):
    """Neither what another session of the account says, nor what it claims that others said."""

    async def main(device):
        there = world.jid("dev")
        async with owner_of(world) as owner, owner_of(world, "dev") as other:
            jid = await ready(device, owner)
            got = recorded(other)
            for to in (there, jid):
                for name, rest in MESSAGES.items():
                    other.client.send_raw(f"<message to='{to}' id='{name}' {rest}</message>")
            await handled(owner, other, jid)
            answers = [el for el in got if el.get("from") == jid and el.tag != CLIENT + "presence"]
            assert answers == []
            assert await owner.ask(jid, "lamp") == "lamp: off"
            assert "lamp" not in device.output()

    with device_of(world, runtime) as device:
        asyncio.run(main(device))


@both
def test_forged_answers_are_passed_over(world, runtime):
    """A result counts if it comes from the one who was asked, however well its id is guessed."""
    ask = "<question xmlns='urn:example:q'>"

    async def main(device):
        async with (
            owner_of(world) as owner,
            owner_of(world) as elsewhere,
            owner_of(world, "stranger") as stranger,
            owner_of(world, "dev") as own,
        ):
            jid = await ready(device, owner)
            asked = recorded(owner)
            # Left unanswered: slixmpp would say by itself that it does not know the question
            path = MatchXPath(CLIENT + "iq/{urn:example:q}question")
            owner.client.register_handler(Callback("question", path, lambda _: None))
            await owner.say(jid, "question " + owner.client.boundjid.full)
            question = await until(
                lambda: [el for el in asked if el.find("{urn:example:q}question") is not None],
                "question",
            )
            id = question[0].get("id")
            assert len(id) >= 16
            for liar in (stranger, elsewhere, own):
                for kind in ("result", "error"):
                    liar.client.send_raw(
                        f"<iq type='{kind}' to='{jid}' id='{id}'>{ask}lie</question></iq>"
                    )
                await pinged(liar)
            for wrong in (id[:-1], id.upper() + "x", ""):
                owner.client.send_raw(
                    f"<iq type='result' to='{jid}' id='{wrong}'>{ask}lie</question></iq>"
                )
            assert await owner.ask(jid, "mood") == "mood: calm"
            owner.client.send_raw(
                f"<iq type='result' to='{jid}' id='{id}'>{ask}truth</question></iq>"
            )
            assert (await owner.next_message(jid)).body == "question: answer truth"
            # Once is enough
            owner.client.send_raw(
                f"<iq type='result' to='{jid}' id='{id}'>{ask}twice</question></iq>"
            )
            assert await owner.ask(jid, "mood") == "mood: calm"

    with device_of(world, runtime) as device:
        asyncio.run(main(device))


@both
def test_only_the_server_tells_of_the_roster(world, runtime):
    """A push from anybody else, with or without a role, gets an error and changes nothing."""
    push = "<query xmlns='jabber:iq:roster'><item jid='{}' subscription='from'/></query>"

    async def main(device):
        async with owner_of(world) as owner, owner_of(world, "stranger") as stranger:
            jid = await ready(device, owner)
            got = recorded(stranger)
            for who in (owner, stranger):
                answer = await who.iq(jid, push.format(world.jid("stranger")), "set")
                error = answer.find(CLIENT + "error")
                assert error.get("type") == "cancel"
                assert [c.tag.partition("}")[2] for c in error] == ["service-unavailable"]
            await owner.subscribe(world.jid("dev"))
            set_level(device, "30")
            await owner.presence(world.jid("dev"), lambda p: p.status == "level: 30 cm")
            await handled(owner, stranger, jid)
            assert not presences(got, world.jid("dev"))

    with device_of(world, runtime) as device:
        asyncio.run(main(device))


@both
@pytest.mark.parametrize("size", [5000, 8000, 60000])
def test_size_makes_no_difference(world, runtime, size):
    """Large stanzas of a stranger neither cut the session nor cost memory."""

    async def main(device):
        async with owner_of(world) as owner, owner_of(world, "stranger") as stranger:
            jid = await ready(device, owner)
            got = recorded(stranger)
            for i in range(4):
                stranger.client.send_raw(
                    f"<iq type='get' to='{jid}' id='large{i}'>"
                    f"<ping xmlns='urn:xmpp:ping'>{'x' * size}</ping></iq>"
                )
                stranger.client.send_raw(
                    f"<message to='{jid}' type='chat'><body>{'lamp on ' * (size // 8)}</body>"
                    "</message>"
                )
                await handled(owner, stranger, jid)
            assert list(said(got, world.jid("dev"))) == [f"large{i}" for i in range(4)]
            status = (await owner.ask(jid, "status")).replace("*", "")
            assert "lamp: off" in status and ", 0 cuts, " in status
            assert device.output() == jid + ": online\n"

    with device_of(world, runtime) as device:
        asyncio.run(main(device))
