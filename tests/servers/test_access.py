"""Roles that change, the first owner, floods, and an account shared with a person."""

import asyncio
import json
import re
import time

import pytest

from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.lab import Lab
from host_tools.lab.prosody import Prosody

from .helper import (
    PASSWORDS,
    bodies,
    condition,
    device_of,
    lines,
    online,
    owner_of,
    pinged,
    ready,
    recorded,
    until,
)

CLIENT = "{jabber:client}"
ROSTER = "{jabber:iq:roster}"
WELCOME = "You are my owner now. Try help."
SILENT = "Too many messages; I am silent for a while."
PING = "<ping xmlns='urn:xmpp:ping'/>"
LIMIT_S = 20
REPORT = "level: 20 cm"
#: An answer to the owner may take so long, whatever others do: most of it is a busy machine's.
OWNER_S = 15


async def heard(owner, jid):
    """The next message, but for what the device reports by itself."""
    while (text := (await owner.next_message(jid, LIMIT_S)).body) == REPORT:
        pass
    return text


async def ask(owner, jid, text):
    """What `jid` answers, without the styling and the age of a state."""
    bodies(owner, jid)
    await owner.say(jid, text)
    answer = await heard(owner, jid)
    return answer.replace("*", "").partition(", since ")[0]


async def free_kb(owner, jid):
    return int(re.search(r", (\d+) of \d+ KB free", await owner.ask(jid, "status"))[1])


async def roster(account):
    """jid -> subscription, of the account that `account` is logged in to."""
    answer = await account.iq(None, "<query xmlns='jabber:iq:roster'/>")
    return {i.get("jid"): i.get("subscription") for i in answer.iter(ROSTER + "item")}


async def silent(stranger, jid, got):
    """Whether `stranger` has seen nothing of the device but, for each IQ, the error that anybody
    gives who is not there."""
    await pinged(stranger)
    bare = jid.partition("/")[0]
    found = [el for el in got if (el.get("from") or "").partition("/")[0] == bare]
    errors = [el for el in found if el.tag == CLIENT + "iq"]
    assert [condition(el) for el in errors] == [("cancel", "service-unavailable")] * len(errors)
    others = [el for el in found if el not in errors]
    # The server's own words, of an account of which it may not say more
    assert {(el.tag, el.get("type")) for el in others} <= {
        (CLIENT + "presence", kind) for kind in ("unsubscribed", "unavailable", "error")
    }
    got.clear()


async def until_none(other, jid):
    """Wait until `other`'s server knows of no subscription."""
    end = time.monotonic() + LIMIT_S
    while (await roster(other)).get(jid, "none") not in ("none", "from"):
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def until_both(account, jid):
    """Wait until the subscription is mutual."""
    end = time.monotonic() + LIMIT_S
    while (await roster(account)).get(jid) != "both":
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


def test_roles_change_at_once(world):
    """By what an owner says: for chat, presence, roster, and over a restart."""
    there, idle = world.jid("dev"), world.jid("idle")

    async def main(device):
        async with owner_of(world) as owner, owner_of(world, "idle") as other:
            with device:
                jid = await ready(device, owner)
                got = recorded(other)
                await other.say(jid, "mood")
                await silent(other, jid, got)
                # One answer to each who may ask, and the reasons of a refusal
                assert idle + ": viewer" in await ask(owner, jid, f"role XMPP:{idle} viewer")
                await other.presence(there)
                assert await ask(other, jid, "mood") == "mood: calm"
                assert "only for the role" in await ask(other, jid, "lamp on")
                assert "only for the role" in await ask(other, jid, f"role {idle} owner")
                assert idle + ": operator" in await ask(owner, jid, f"role {idle} operator")
                assert await ask(other, jid, "lamp on") == "lamp: on"
                for text, why in (
                    (f"role {idle}/phone viewer", "name@domain"),
                    (f"role {there} viewer", "that is me"),
                    (f"role {world.jid('owner')} none", "there is no other"),
                ):
                    assert why in await ask(owner, jid, text), text
                assert (await roster(other))[there] in ("both", "from")
                await other.subscribe(there)
                assert (await roster(other))[there] == "both"
            with device:
                jid = await online(device, 2)
                await other.presence(jid)
                assert await ask(other, jid, "lamp") == "lamp: off"
                assert idle + ": none" in await ask(owner, jid, f"role {idle} none")
                # They see it go, though it is still there
                await other.presence(jid, lambda p: p.type == "unavailable")
                await until_none(other, there)
                got = recorded(other)
                await other.say(jid, "lamp on")
                other.client.send_raw(f"<presence to='{there}' type='subscribe'/>")
                other.client.send_raw(f"<iq type='get' id='x' to='{jid}'>{PING}</iq>")
                assert await ask(owner, jid, "lamp") == "lamp: off"
                await silent(other, jid, got)
                assert await ask(owner, jid, "who") == f"{world.jid('owner')}: owner"
            async with owner_of(world, "dev") as account:
                assert idle not in await roster(account)

    asyncio.run(main(device_of(world, "32")))


@pytest.mark.parametrize("server", [Prosody, Ejabberd])
def test_pairing(server):
    """A code on the console: strangers learn nothing, whoever writes it is the owner, once."""

    async def main(lab, device):
        there = lab.jid("dev")
        async with owner_of(lab) as owner, owner_of(lab, "stranger") as stranger:
            with device:
                code = (await lines(device, r"^pairing code: (\S+); write `pair \1` to "))[0][1]
                jid = await online(device)
                got = recorded(stranger)
                wrong = "2" * 8 if code[0] != "2" else "3" * 8
                for text in ("hello", "help", "pair"):
                    await stranger.say(there, text)
                # Too soon after the wrong one not even the right one counts
                for text in (f"pair {wrong}", f"pair {code}"):
                    await stranger.say(jid, text)
                await lines(device, r"^pair: a wrong code, 1 of 10$")
                send = stranger.client.send_raw
                send(f"<presence to='{there}' type='subscribe'/><presence to='{jid}'/>")
                answer = await stranger.iq(jid, PING)
                assert condition(answer) == ("cancel", "service-unavailable")
                await silent(stranger, jid, got)
                # As people do it: again, until there is an answer
                texts = [f"/Pair {code.lower()}", f"pair {code.replace('-', ' ')}"]
                end = time.monotonic() + LIMIT_S
                while not (said := [b for b in bodies(owner, there) if b != REPORT]):
                    assert time.monotonic() < end, device.output()
                    await owner.say(there, texts[0])
                    texts.reverse()
                    await asyncio.sleep(0.2)
                assert said[0] == WELCOME
                await owner.presence(jid)
                await owner.subscribe(there)
                await until_both(owner, there)
                # Whoever comes second is a stranger as ever
                await stranger.say(jid, f"pair {code}")
                assert await ask(owner, jid, "lamp on") == "lamp: on"
                assert await ask(owner, jid, "who") == f"{lab.jid('owner')}: owner"
                await silent(stranger, jid, got)
            kept = json.loads((device.folder / "roles.json").read_text())
            assert kept[lab.jid("owner")] == "owner"
            with device:
                jid = await online(device, 2)
                assert await ask(owner, jid, "mood") == "mood: calm"
                assert device.output().count("pairing code: ") == 1

    with Lab(PASSWORDS, server=server) as lab:
        asyncio.run(main(lab, device_of(lab, "32", owners=[], pair="")))


def test_two_who_have_the_code(world):
    """At the same moment: one of them is the owner. The code came with the configuration."""

    async def main(device):
        async with owner_of(world) as one, owner_of(world, "stranger") as other:
            with device:
                jid = await online(device)
                for who in (one, other, one, other):
                    who.client.send_raw(
                        f"<message to='{jid}' type='chat'><body>pair 12-34-56 ab</body></message>"
                    )
                adopted = (await lines(device, r"^(\S+): owner, by the code$"))[0][1]
                who, loser = (one, other) if adopted == one.jid else (other, one)
                # Their second message is chat
                assert await heard(who, jid) == WELCOME
                assert "pair" in await heard(who, jid)
                got = recorded(loser)
                loser.client.send_raw(f"<message to='{jid}'><body>pair 123456ab</body></message>")
                assert await ask(who, jid, "who") == f"{adopted}: owner"
                await silent(loser, jid, got)
                assert bodies(loser, jid) == []
            # The code is used up, and the owner kept
            with device:
                jid = await online(device, 2)
                assert await ask(who, jid, "mood") == "mood: calm"

    asyncio.run(main(device_of(world, "32", owners=[], pair="1234 56ab")))


def test_a_flood_by_somebody_with_a_role(world):
    """They get what is theirs, one word of why there is no more, and the owner an answer."""

    async def main(device):
        async with owner_of(world) as owner, owner_of(world, "idle") as flooder:
            jid = await ready(device, owner)
            assert await ask(flooder, jid, "mood") == "mood: calm"
            before = await free_kb(owner, jid)
            flooder.messages.clear()
            begin = time.monotonic()
            for i in range(300):
                flooder.client.send_raw(
                    f"<message to='{jid}' type='chat'><body>mood {i}</body></message>"
                )
            for _ in range(4):
                asked = time.monotonic()
                assert await ask(owner, jid, "lamp on") == "lamp: on"
                assert time.monotonic() - asked < OWNER_S
            # In the order of arrival: with this one all are through
            await pinged(flooder)
            await lines(device, "^idle@.*: too many messages$")
            said = []
            await until(lambda: said.extend(bodies(flooder, jid)) or SILENT in said, lambda: said)
            assert await ask(owner, jid, "lamp off") == "lamp: off"
            said += bodies(flooder, jid)
            lasted = time.monotonic() - begin
            assert said.count(SILENT) == 1
            assert 1 < len(said) - 1 <= 10 + lasted / 2
            assert device.output().count("too many messages") == 1
            status = await owner.ask(jid, "status")
            assert ", 0 cuts, 0 faults, " in status
            assert before - await free_kb(owner, jid) <= 2

    with device_of(world, "32", viewers=[world.jid("idle")]) as device:
        asyncio.run(main(device))


def test_a_flood_by_a_stranger(world):
    """Of everything: nothing comes back but the errors, nothing is kept, the owner is served."""

    async def main(device):
        async with owner_of(world) as owner, owner_of(world, "stranger") as stranger:
            jid = await ready(device, owner)
            there = world.jid("dev")
            await stranger.say(jid, "mood")
            before = await free_kb(owner, jid)
            got = recorded(stranger)
            send = stranger.client.send_raw
            for i in range(100):
                send(f"<message to='{jid}' type='chat'><body>mood {i}</body></message>")
                send(f"<iq to='{jid}' type='get' id='f{i}'>{PING}</iq>")
                send(f"<presence to='{jid}'/><presence to='{there}' type='subscribe'/>")
            for _ in range(4):
                asked = time.monotonic()
                assert await ask(owner, jid, "lamp on") == "lamp: on"
                assert time.monotonic() - asked < OWNER_S
            await pinged(stranger)
            assert await ask(owner, jid, "lamp") == "lamp: on"
            await silent(stranger, jid, got)
            status = await owner.ask(jid, "status")
            assert ", 0 cuts, 0 faults, " in status
            assert before - await free_kb(owner, jid) <= 2
            assert "too many" not in device.output()

    with device_of(world, "32") as device:
        asyncio.run(main(device))


ITEMS = "http://jabber.org/protocol/disco#items"
#: What one may send many of: who, and the stanza.
FLOODS = {
    "refused": ("stranger", "<iq type='get' id='{id}' to='{jid}'>" + PING + "</iq>"),
    "shown": ("idle", "<presence to='{jid}'/>"),
    "asked": (
        "idle",
        "<iq type='get' id='{id}' to='{jid}'><query xmlns='" + ITEMS + "' "
        "node='http://jabber.org/protocol/commands'/></iq>",
    ),
    "subscribed": (
        "idle",
        "<presence to='{bare}' type='subscribe'/><presence to='{bare}' type='unsubscribe'/>",
    ),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_the_owner_is_answered_whatever_others_send(world, kind):
    """No flood takes the place of what the owner asked by words or by program, or of the
    answer to it."""
    who, flood = FLOODS[kind]

    async def main(device):
        async with owner_of(world) as owner, owner_of(world, who) as other:
            jid = await ready(device, owner)
            got = recorded(other)
            for i in range(4):
                for k in range(60):
                    other.client.send_raw(
                        flood.format(jid=jid, bare=world.jid("dev"), id=f"{i}-{k}")
                    )
                # In the middle of it
                async with asyncio.timeout(OWNER_S):
                    said, *answers = await asyncio.gather(
                        ask(owner, jid, "lamp on"),
                        *[owner.iq(jid, PING, timeout=LIMIT_S) for _ in range(3)],
                    )
                assert said == "lamp: on", device.output()
                assert [a.get("type") for a in answers] == ["result"] * 3
            await pinged(other)
            status = await owner.ask(jid, "status")
            assert ", 0 cuts, 0 faults, " in status, device.output()
            if kind == "refused":
                await silent(other, jid, got)
                # When the flood is over it is as if there had been none
                for _ in range(8):
                    answer = await other.iq(jid, PING)
                    assert condition(answer) == ("cancel", "service-unavailable")
            if kind == "shown":
                # One by one, not each for each
                assert 1 <= len([el for el in got if el.tag == CLIENT + "presence"]) <= 20

    viewers = [world.jid("idle")]
    with device_of(world, "32", surfaces=["chat", "forms"], viewers=viewers) as device:
        asyncio.run(main(device))


def test_account_shared_with_a_person(world):
    """The person's other applications are the owner, and the roster stays theirs."""
    there, friend, idle = (world.jid(user) for user in ("dev", "stranger", "idle"))

    async def main(device):
        async with (
            owner_of(world, "dev") as person,
            owner_of(world, "stranger") as stranger,
            owner_of(world, "idle") as viewer,
        ):
            await stranger.subscribe(there)
            await person.subscribe(friend)
            await until_both(person, friend)
            got = recorded(stranger)
            with device:
                jid = await ready(device, person)
                await person.presence(jid)
                await viewer.presence(jid)
                assert await ask(person, jid, "lamp on") == "lamp: on"
                assert await ask(person, jid, "who") == f"{there}: owner\n{idle}: viewer"
                assert (await person.iq(jid, PING)).get("type") == "result"
                # What others write to the person, or the person to others, is not for the device
                await stranger.say(there, "lamp off")
                await person.say(there, "lamp off")
                await person.say(friend, "lamp off")
                await stranger.say(jid, "lamp off")
                assert await ask(viewer, jid, "lamp") == "lamp: on"
                assert f"{friend}: viewer" in await ask(person, jid, f"role {friend} viewer")
                assert await ask(stranger, jid, "mood") == "mood: calm"
                assert f"{friend}: none" in await ask(person, jid, f"role {friend} none")
                await stranger.presence(jid, lambda p: p.type == "unavailable")
                assert await roster(person) == {friend: "both"}
            assert "lamp False" not in device.output()
            # Until they had a role the person's contact saw nothing of the device
            seen = [el for el in got if el.get("from") == jid]
            assert seen[0].tag == CLIENT + "presence"
            assert [m.tag for m in seen].count(CLIENT + "message") == 1

    device = device_of(world, "32", owners=[], viewers=[idle], shared=True)
    asyncio.run(main(device))
