"""What people see in their contact list, and what the device says that it can do."""

import asyncio
import time

import pytest

from .helper import condition, device_of, lines, online, owner_of
from .test_pubsub import config_of, item, until_async

CAPS = "{http://jabber.org/protocol/caps}c"
INFO = "http://jabber.org/protocol/disco#info"
NODE = "urn:example:weather"
LIMIT_S = 20.0
STATUS = "{level} {\u00fc}, lamp {lamp} - {alarms} {door} {"
SHOWN = STATUS.replace("{level}", "%s").replace("{lamp}", "%s").replace("{alarms}", "%s")
CALM = "no alarm"


@pytest.fixture(scope="module")
def napper(shared):
    """A device that all tests leave as they found it."""
    with device_of(shared, "32", "napper", status=STATUS) as device:
        yield device


def run(lab, device, main, plugins=()):
    """Run `main(owner, jid)` with an owner who sees the device."""

    async def with_owner():
        async with owner_of(lab, plugins=plugins) as owner:
            jid = await online(device)
            await owner.presence(jid)
            await main(owner, jid)

    asyncio.run(with_owner())


async def shown(owner, jid, status, show="", limit_s=LIMIT_S):
    """The presence of `jid` with that status and show, waiting for it."""
    fits = lambda p: (p.status, p.show) == (status, show)  # noqa: E731
    return await owner.presence(jid, fits, limit_s)


def test_status(shared, napper):
    """The template, as values come and go; an alarm is dnd; asleep is away."""

    async def main(owner, jid):
        first = await shown(owner, jid, SHOWN % ("20 cm", "off", CALM))
        # On an account of its own
        assert first.xml.find("{jabber:client}priority") is None
        await owner.ask(jid, "lamp on")
        await shown(owner, jid, SHOWN % ("20 cm", "on", CALM))
        await owner.say(jid, "measure 50.5")
        await shown(owner, jid, SHOWN % ("50.5 cm", "on", "level: above 50 cm"), "dnd")
        await owner.say(jid, "nap asleep until 14:30")
        await shown(owner, jid, "asleep until 14:30", "away")
        # It stays so, whatever else there is to tell
        await owner.say(jid, "lamp off")
        await owner.say(jid, "measure 20")
        await owner.say(jid, "nap")
        await shown(owner, jid, SHOWN % ("20 cm", "off", CALM))
        assert len(await lines(napper, r"^status: there is no \{\u00fc\}, \{door\}, \{$")) == 1

    run(shared, napper, main)


def test_without_a_template(shared):
    """The alarms, else the first sensor; on a person's account no message is kept from them, and
    what is published there is not for their contacts."""

    async def main(owner, jid):
        presence = await shown(owner, jid, "level: 20 cm")
        assert presence.xml.findtext("{jabber:client}priority") == "-1"
        await owner.say(jid, "measure 51")
        await shown(owner, jid, "level: above 50 cm", "dnd")
        bare = shared.jid("idle")
        await until_async(lambda: item(owner, bare, "idle/lamp"), "item")
        async with owner_of(shared, "idle") as person:
            config = await config_of(person, bare, "idle/lamp")
        assert config["pubsub#access_model"] == "whitelist"
        await lines(device, "^profile: not published: the account is a person's, too$")

    changes = {"shared": True, "surfaces": ["chat", "pubsub", "profile"], "profile": {"nick": "x"}}
    with device_of(shared, "32", "napper", "idle", **changes) as device:
        run(shared, device, main)


def test_not_too_often(shared, napper):
    """Many changes at once are few presences, of which the last is right."""

    async def main(owner, jid):
        states = [SHOWN % ("20 cm", state, CALM) for state in ("off", "on")]
        await shown(owner, jid, states[0])
        count = len(await lines(napper, "^presence$"))
        begin = time.monotonic()
        for i in range(9):
            await owner.say(jid, "lamp " + ("on", "off")[i % 2])
            assert (await owner.next_message(jid)).body
        await shown(owner, jid, states[1])
        await owner.say(jid, "lamp off")
        await shown(owner, jid, states[0])
        took = time.monotonic() - begin
        more = len(await lines(napper, "^presence$")) - count
        assert 2 <= more <= 1 + took / 0.6, (more, took)

    run(shared, napper, main)


def test_capabilities(shared, napper):
    """The hash in its presence is that of its answer, with and without the node."""
    plugins = ("xep_0030", "xep_0115")

    async def main(owner, jid):
        caps = owner.client.plugin["xep_0115"]
        c = owner.presences[jid].xml.find(CAPS)
        assert c.get("hash") == "sha-1"
        node = c.get("node") + "#" + c.get("ver")
        # slixmpp asks, and keeps only what fits the hash
        async with asyncio.timeout(LIMIT_S):
            while (info := await caps.get_caps(verstring=c.get("ver"))) is None:
                await asyncio.sleep(0.01)
        assert ("client", "bot", None, "dev") in info["identities"]
        assert {INFO, CAPS[1:-2], NODE + "+notify"} <= set(info["features"])
        for asked in (f"node='{node}'", ""):
            answer = await owner.iq(jid, f"<query xmlns='{INFO}' {asked}/>")
            query = answer.find(f"{{{INFO}}}query")
            assert query.get("node") == (node if asked else None)
            told = [f.get("var") for f in query.iterfind(f"{{{INFO}}}feature")]
            assert sorted(told) == sorted(info["features"])
        answer = await owner.iq(jid, f"<query xmlns='{INFO}' node='{node}x'/>")
        assert condition(answer)[1] == "item-not-found"

    run(shared, napper, main, plugins)


def test_it_follows_its_contacts(shared, napper):
    """A feature "NODE+notify" brings what they publish; not what strangers do."""
    publish = (
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='{}'><item id='current'>"
        "<weather xmlns='urn:example:weather'>{}</weather></item></publish></pubsub>"
    )

    async def main(owner, jid):
        async with owner_of(shared, "stranger") as stranger:
            await stranger.iq(None, publish.format(NODE, "hail"), "set")
            await owner.iq(None, publish.format(NODE, "rain"), "set")
            person = shared.jid("owner")
            await lines(napper, f"^event {person} {NODE} rain$")
            await owner.iq(None, publish.format("urn:example:other", "x"), "set")
            await owner.iq(None, publish.format(NODE, "sun"), "set")
            await lines(napper, f"^event {person} {NODE} sun$")
            assert len(await lines(napper, "^event ")) == 2

    run(shared, napper, main)
