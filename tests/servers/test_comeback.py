"""After a cut the device comes back by itself, whatever cut it, and says what it owes."""

import asyncio
import re
import time

import pytest
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from .helper import (
    LIMIT_S,
    Relay,
    bodies,
    both,
    check_pauses,
    device_of,
    failed_tries,
    lines,
    meter_of,
    online,
    owner_of,
    ready,
    recorded,
    set_level,
    tries,
    until,
)

LEVEL = {"level": ("20", {"delta": 1, "poll": 0.05})}
CLOSED = "the server closed the stream"
CUT = r".*(cut|lost|closed|reset|ECONNRESET|EOF|system-shutdown|shutting down).*"


async def status_of(owner, jid):
    """The counters of the device: (cuts, faults, dropped, refused)."""
    status = await owner.ask(jid, "status")
    found = re.search(r"(\d+) cuts, (\d+) faults, (\d+) dropped, (\d+) refused", status)
    return tuple(map(int, found.groups()))


@both
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_server_ends_and_comes_back(world, runtime, end):
    """Told in order or by kill -9; what fell due in between is told afterwards, as it is then."""

    async def main(device):
        server = world.server
        async with owner_of(world) as owner:
            jid = await online(device)
            first = await owner.next_message(jid)
            assert first.body == "level: 20"
            getattr(server, end)()
            found = await failed_tries(device, world.jid("dev"), 3)
            assert re.fullmatch(CLOSED + "|" + CUT, found[0][0]), found
            for why, _ in found[1:]:
                assert re.fullmatch(r"127\.0\.0\.1:\d+: .*(refused|ECONNREFUSED|failed).*", why)
            # Neither is ever to be heard of: while it is away it does not even look
            set_level(device, "50")
            await failed_tries(device, world.jid("dev"), 4)
            set_level(device, "60")
            server.start()
            await owner.connect()
            again = await online(device, 2)
            message = await owner.next_message(again, LIMIT_S)
            if message.xml.get("id") == first.xml.get("id"):
                # The server took its acknowledgement with it, and it was sent again
                message = await owner.next_message(again, LIMIT_S)
            assert message.body == "level: 60"
            check_pauses(tries(device, world.jid("dev")), 0.2, 0.8)
            assert await status_of(owner, again) == (1, 0, 0, 0)
            assert bodies(owner, again) == []
            assert "Traceback" not in device.output()

    with meter_of(world, runtime, LEVEL, {"first_pause_s": 0.2, "max_pause_s": 0.8}) as device:
        asyncio.run(main(device))


async def idle(relay, seconds):
    """Wait until the device, after so many seconds without a word, says something."""
    sent, since = len(relay.sent[-1]), time.monotonic()

    def broken():
        nonlocal sent, since
        now = len(relay.sent[-1]), time.monotonic()
        if now[0] == sent:
            return False
        quiet = now[1] - since
        sent, since = now
        return quiet > 0.8 * seconds

    await until(broken, "ping")


async def close_streams(lab, user):
    """Have the server end the sessions of `user`, in order and without an error."""
    # In a thread: a relay in this loop is to go on meanwhile
    await asyncio.to_thread(lab.server._control, "shell", "c2s", "close", lab.jid(user))


@both
def test_server_closes_the_stream(world, runtime):
    """Sessions that do not last make the pauses longer, one that lasts makes them short again."""
    tune = {"first_pause_s": 0.1, "max_pause_s": 0.4, "silence_s": 3, "stable_s": 1}

    async def main(device, relay):
        there = world.jid("dev")
        async with owner_of(world) as owner:
            for number in range(1, 5):
                await online(device, number)
                if number == 1:
                    assert (await owner.next_message(there)).body == "level: 20"
                await close_streams(world, "dev")
            await online(device, 5)
            found = tries(device, there)
            assert [why for why, _ in found] == [CLOSED] * 4
            check_pauses(found, 0.1, 0.4)
            for number in range(6, 8):
                # The first question comes when the session has lasted for stable_s
                await idle(relay, 1.6)
                await close_streams(world, "dev")
                await online(device, number)
                check_pauses(tries(device, there)[number - 2 :], 0.1, 0.4)
                jid = await online(device, number)
                await owner.presence(jid, lambda p: p.status == "level: 20")
            # As long as there is nothing new there is nothing to tell
            assert await status_of(owner, there) == (6, 0, 0, 0)
            assert bodies(owner, there) == []

    async def through_relay():
        async with Relay(world.server.host, world.server.c2s_port) as relay:
            places = {"host": relay.host, "port": relay.port}
            with meter_of(world, runtime, LEVEL, tune, **places) as device:
                await main(device, relay)

    asyncio.run(through_relay())


@both
def test_line_that_goes_silent(world, runtime):
    """An idle server is asked whether it is there; a login has a limit of its own."""
    tune = {"first_pause_s": 0.2, "silence_s": 1.8}

    async def main(relay, device):
        there = world.jid("dev")
        async with owner_of(world) as owner:
            jid = await online(device)
            assert (await owner.next_message(jid)).body == "level: 20"
            # As long as it answers, all is well
            for _ in range(2):
                await idle(relay, 1)
            assert tries(device, there) == []
            # The logins that come from now on; the first one may take its time
            assert await owner.ask(jid, "tune login_timeout_s 1.5") == "tune: done"
            relay.hold()
            begin = time.monotonic()
            await failed_tries(device, there, 1)
            # On a busy machine it takes longer, but not as long as it would by itself
            assert time.monotonic() - begin < 1.8 + 5
            found = await failed_tries(device, there, 2)
            assert [why for why, _ in found] == [
                "the server is silent",
                "the login took too long",
            ]
            set_level(device, "25")
            relay.release()
            await lines(device, ": resumed$")
            assert (await owner.next_message(jid)).body == "level: 25"
            assert await status_of(owner, jid) == (1, 0, 0, 0)
            # One for each try, however many it took: those of a busy machine are slow, too
            assert len(relay.opened) == len(tries(device, there)) + 1

    async def through_relay():
        async with Relay(world.server.host, world.server.c2s_port) as relay:
            places = {"host": relay.host, "port": relay.port}
            with meter_of(world, runtime, LEVEL, tune, **places) as device:
                await main(relay, device)

    asyncio.run(through_relay())


@both
def test_report_by_period_after_a_cut(world, runtime):
    """What was due more than once while there was no session is told once."""
    sensors = {"level": ("20", {"every": 1.5})}

    async def main(device):
        server = world.server
        async with owner_of(world) as owner:
            jid = await online(device)
            assert (await owner.next_message(jid)).body == "level: 20"
            server.stop()
            set_level(device, "50")
            await failed_tries(device, world.jid("dev"), 1)
            read = len(re.findall("^level ", device.output(), re.M))
            begin = time.monotonic()
            await until(lambda: time.monotonic() - begin > 1.6, "period")
            assert len(re.findall("^level ", device.output(), re.M)) == read
            set_level(device, "60")
            server.start()
            await owner.connect()
            again = await online(device, 2)
            assert (await owner.next_message(again, LIMIT_S)).body == "level: 60"
            assert await owner.ask(again, "level") == "level: 60"
            assert bodies(owner, again) == []

    with meter_of(world, runtime, sensors, {"first_pause_s": 0.2, "max_pause_s": 0.4}) as device:
        asyncio.run(main(device))


@both
def test_password_made_right(world, runtime):
    """A refused login is no cut, and nothing of it stays behind; nor of the keys that the login
    before it left."""
    password = world.accounts["dev"]

    def refused(device, number):
        return lines(device, r": login refused: .*; next try in ", number)

    async def main(device):
        async with owner_of(world) as owner:
            await refused(device, 2)
            world.server.add_account("dev", password)
            jid = await online(device)
            assert (await owner.next_message(jid)).body == "level: 20"
            assert await status_of(owner, jid) == (0, 0, 0, 0)
            world.server.add_account("dev", "another")
            # The token would do without the password
            await asyncio.to_thread(world.server.forget)
            known = len(await refused(device, 1))
            await refused(device, known + 3)
            # The same password, but with another salt
            world.server.add_account("dev", password)
            again = await online(device, 2)
            await owner.connect()
            assert await status_of(owner, again) == (1, 0, 0, 0)

    world.server.add_account("dev", "another")
    with meter_of(world, runtime, LEVEL, {"first_pause_s": 0.1, "max_pause_s": 0.2}) as device:
        asyncio.run(main(device))


@both
def test_questions_that_wait_at_a_cut(world, runtime):
    """They end with the session: nothing waits for their answers, and the next ones get theirs."""

    async def main(device):
        async with owner_of(world) as owner:
            jid = await ready(device, owner)
            # Left unanswered: slixmpp would say by itself that it does not know the question
            path = MatchXPath("{jabber:client}iq/{urn:example:q}question")
            owner.client.register_handler(Callback("question", path, lambda _: None))
            asked = recorded(owner)
            for _ in range(3):
                await owner.say(jid, f"question {owner.client.boundjid.full}")
            await until(lambda: len(asked) >= 3, "questions")
            await close_streams(world, "dev")
            again = await online(device, 2)
            for _ in range(3):
                assert (await owner.next_message(again)).body == "question: failed: not online"
            assert await owner.ask(again, f"question {world.domain}") == (
                "question: error service-unavailable"
            )
            cuts, faults, dropped, refused = await status_of(owner, again)
            assert (cuts, faults, dropped, refused) == (1, 3, 0, 0)

    with device_of(world, runtime) as device:
        asyncio.run(main(device))
