"""What a device does when nothing gets on: the watchdog, WiFi off and on, a restart; and that it
does nothing of it while all is well."""

import asyncio
import os
import re
import time

import pytest
from servers.helper import LIMIT_S, both, owner_of, set_level, tries, until

from host_tools.flash.mpy import FIRMWARE

from .helper import SECRETS, Agent, behind, texts, through

#: A watchdog that a busy machine does not set off, and one that bites while one waits.
#: A third of silence_s is what the server has to answer.
WATCHDOG = {"guard": {"watchdog_ms": 1500, "stuck_s": 0.5}, "client": {"silence_s": 3}}
LEVEL = {"level": ("20", {"every": 60})}
WIFI = {"ssid": "home", "password": "WiFi's own"}


# the watchdog


@both
def test_loop_that_is_blocked(shared, runtime):
    """By what its owner had it do; it comes back, and does not do it again."""

    async def main():
        async with owner_of(shared) as owner:
            with Agent(shared, runtime, WATCHDOG) as device:
                await owner.say(await device.online(), "block")
                await device.lines("^watchdog: reset$")
                jid = await device.online(2)
                # The server, which was not told that it came, sends it again
                assert (await owner.next_message(jid)).body.startswith("I was away when you wrote")
                assert await owner.ask(jid, "nap 0") == "nap: awake"
                assert device.boots == 2
                assert len(device.said("blocked")) == 1

    asyncio.run(main())


@pytest.mark.parametrize("part", ["reports", "client"])
def test_part_that_hangs(shared, part):
    """The loop goes on, and so does the rest."""

    async def main():
        sensors = {"level": ("20", {"every": 0.2})}
        # A sensor alone is given up after some time: here it is not
        tuned = {**WATCHDOG, "thing": {"read_s": 600}}
        async with behind(shared) as network:
            with Agent(shared, "32", tuned, sensors, **through(network)) as device:
                await device.online()
                if part == "reports":
                    set_level(device, "hang")
                else:
                    device.do("hang")
                    await device.lines("^done hang$")
                    network.cut()
                await device.lines("^hanging$")
                set_level(device, "21")
                await device.ask("now", "^up ")  # the loop goes on
                await device.lines("^watchdog: reset$")
                await device.online(2)
                assert device.boots == 2

    asyncio.run(main())


def test_device_that_has_nothing_to_do(shared):
    """For longer than a hanging one is left alone."""

    async def idle(runtime):
        with Agent(shared, runtime, WATCHDOG) as device:
            await device.online()
            up = 0
            while up < 5:
                up = int((await device.ask("now", r"^up (\d+)"))[1])
                await asyncio.sleep(0.1)
            assert device.boots == 1 and len(device.said(".*online")) == 1
            assert not tries(device, device.jid)

    async def main():
        await asyncio.gather(idle("32"), idle("cpython"))

    asyncio.run(main())


class Computer(Agent):
    """A device without a module `machine`."""

    def _command(self):
        return super()._command()[0], {**os.environ, "PYTHONPATH": str(FIRMWARE)}


def test_without_a_watchdog(shared):
    """Where it is switched off, and where there is none, a long step is only that."""
    quick = {"guard": {"watchdog_ms": 300}}

    async def nap(owner, device):
        with device:
            assert await owner.ask(await device.online(), "nap 1") == "nap: awake"
            assert device.boots == 1 and device.child.running

    async def main():
        async with owner_of(shared) as owner:
            await asyncio.gather(
                nap(owner, Agent(shared, "32", quick, watchdog=False)),
                nap(owner, Agent(shared, "cpython", quick, watchdog=False)),
                nap(owner, Computer(shared, "cpython", quick)),
            )

    asyncio.run(main())


# WiFi


@both
def test_wifi_comes_first(shared, runtime):
    async def main():
        async with behind(shared) as network:
            board = {"wifi": {**WIFI, "connect_ms": 60_000}}
            device = Agent(shared, runtime, board=board, wifi=WIFI, **through(network))
            with device:
                await device.lines("^wifi: connecting$")
                begin = time.monotonic()
                await until(lambda: time.monotonic() - begin > 0.3, "time")
                assert not network.opened
                device.set_board({"wifi": WIFI})
                await device.online()
                assert device.said("wifi: ") == ["wifi: on", "wifi: connecting", "wifi: connected"]
                assert not tries(device, device.jid) and len(network.opened) == 1
                # A cut says nothing of the WiFi
                network.cut()
                await device.online(2)
                assert len(device.said("wifi: ")) == 3

    asyncio.run(main())


FAULTS = {
    "password": ({**WIFI, "password": "another"}, r"WiFi: home: .*(-3|password)"),
    "absent": ({**WIFI, "absent": 99}, r"WiFi: home: .*(-2|no such network|not found)"),
    "address": ({**WIFI, "no_address": 99}, "WiFi: home: no address"),
}


def test_wifi_that_cannot_be_joined(shared):
    """One line a try; off and on after some of them, which is counted; and nothing goes out."""

    async def faulty(network, wifi, why):
        tune = {"wifi": {"join_s": 1, "off_s": 0.1}, "guard": {"cycle_after": 2}}
        device = Agent(shared, "32", tune, board={"wifi": wifi}, wifi=WIFI, **through(network))
        with device:
            failed = await until(
                lambda: len(t := tries(device, device.jid)) > 2 and t, "tries", 20
            )
            assert all(re.fullmatch(why, t[0]) for t in failed), failed
            await device.lines(f"^{device.jid}: WiFi: .* 2 failed tries|WiFi: off and on after 2")
            assert device.said("wifi: o")[:3] == ["wifi: on", "wifi: off", "wifi: on"]
            # While that is asked, further tries may fail
            now = await device.ask("now", r"^up .* cycles (\d+)$")
            before = device.output().partition(now[0])[0]
            assert int(now[1]) == before.count("WiFi: off and on after ") >= 1
            assert not network.opened
            device.set_board({"wifi": WIFI})
            await device.online()
            # Nothing else but what happened, and that it listens for another network
            words = "wifi: .*|up .*|PBKDF2|.* next try in .* s|WiFi: off and on .*|.*: online"
            words = f"^(|IMPROV.*|{words})$"
            assert not [x for x in device.output().splitlines() if not re.match(words, x)]
            assert not [x for x in SECRETS if x in device.output()]

    async def main():
        for_each = []
        for wifi, why in FAULTS.values():
            network = behind(shared)
            await network.__aenter__()
            for_each.append((network, wifi, why))
        try:
            await asyncio.gather(*(faulty(*x) for x in for_each))
        finally:
            for network, _, _ in for_each:
                await network.__aexit__(None, None, None)

    asyncio.run(main())


def test_restart_when_nothing_helps(shared):
    """A link that only looks alive: WiFi off and on, then the board; no report is lost, not even
    those that were not in flash yet."""
    tune = {
        "guard": {"cycle_after": 2, "reset_after": 5},
        "wifi": {"off_s": 0.1},
        "outbox": {"batch_s": 300},
    }

    async def main():
        async with behind(shared) as network, owner_of(shared) as owner:
            device = Agent(shared, "32", tune, board={"wifi": WIFI}, wifi=WIFI, **through(network))
            ledger = owner.ledger(device.jid)
            with device:
                await device.online()
                # Before the tries begin, which are soon five
                network.hold()
                device.do("keep 12 gone")
                await device.lines("^done keep gone$")
                assert not device.outbox()
                network.refuse()
                network.cut()
                await device.lines("^restart: 5 tries failed$")
                network.heal()
                await device.online(2)
                await owner.until(lambda: len(ledger) >= 12, "reports")
                assert ledger.bodies == texts("gone", 12) and not ledger.conflicts
                assert device.boots == 2
                console = device.output()
                assert console.count("wifi: off") == 2
                assert console.index("wifi: off") < console.index("restart: ")
                assert len(tries(device, device.jid)) == 5

    asyncio.run(main())


def test_server_that_refuses(shared):
    """In whatever way: the device goes on trying, and is there when it may."""
    tune = {"guard": {"reset_after": 0, "watchdog_ms": 4000}}

    async def main():
        async with behind(shared) as network:
            with Agent(shared, "32", tune, **through(network)) as device:
                await device.online()
                # Only now: the first one has the work on the password
                device.do("login 2")
                await device.lines("^done login")
                for change in ("refuse", "babble", "swallow"):
                    number = len(tries(device, device.jid))
                    getattr(network, change)()
                    network.cut()
                    await until(lambda n=number: len(tries(device, device.jid)) > n + 1, "tries")
                # A login that takes longer than it may
                network.accept()
                network.delay(0.8)
                number = len(device.said(".*took too long"))
                await device.lines("the login took too long", number + 1)
                network.heal()
                await device.online(2)
                assert device.boots == 1

    asyncio.run(main())


# a session that begins badly


@both
def test_cut_before_the_presence(shared, runtime):
    """The line goes dead while the roster is asked for, and the session is resumed when nobody
    waits for the answer any more: the owner sees the device all the same."""
    tune = {"client": {"iq_timeout_s": 1, "silence_s": 60}, "thing": {"again_s": 0.2}}

    async def main():
        async with behind(shared) as network, owner_of(shared) as owner:
            network.delay(0.2)
            with Agent(shared, runtime, tune, **through(network)) as device:
                jid = await device.online()
                network.hold()
                begin = time.monotonic()
                await until(lambda: time.monotonic() - begin > 1.5, "end of the question")
                network.reset()
                network.release()
                await device.lines("^\\S+: resumed$")
                await owner.presence(jid, lambda p: p.type == "available", LIMIT_S)
                assert not device.said(r"^\S+: online$")[1:]

    asyncio.run(main())


# memory


def test_no_memory_for_a_session(shared):
    """It restarts after a few tries, and all reports arrive."""
    tune = {"guard": {"starved_after": 3, "reset_after": 50}, "outbox": {"batch_s": 300}}

    async def main():
        async with behind(shared) as network, owner_of(shared) as owner:
            with Agent(shared, "32", tune, piece=2048, **through(network)) as device:
                ledger = owner.ledger(device.jid)
                await device.online()
                network.refuse()
                network.cut()
                await until(lambda: tries(device, device.jid), "try")
                device.do("keep 6 hungry")
                await device.lines("^done keep hungry$")
                device.do("fill")
                await device.lines("^filled")
                network.heal()
                await device.lines("^restart: no memory for a session$")
                await device.online(2)
                await owner.until(lambda: len(ledger) >= 6, "reports", LIMIT_S)
                assert ledger.bodies == texts("hungry", 6)
                assert device.boots == 2
                # What else there is no memory for may fail in another way in between, and for
                # the line that says it there may be none
                found = [why for why, _ in tries(device, device.jid)]
                starved = [why for why in found if why.startswith("memory allocation failed")]
                assert len(starved) >= 2, found

    asyncio.run(main())


def test_heap_that_is_full(shared):
    """Down to the last bytes, in the middle of a session, so that hardly anything can be done:
    that ends in a restart, too."""
    tune = {**WATCHDOG, "outbox": {"batch_s": 0.1}}

    async def main():
        async with behind(shared) as network, owner_of(shared) as owner:
            with Agent(shared, "32", tune, piece=32, **through(network)) as device:
                ledger = owner.ledger(device.jid)
                await device.online()
                network.hold()
                device.do("report 6 kept")
                await device.lines("^safe kept", 6)
                device.do("fill")
                await device.lines("^filled")
                network.reset()
                network.release()
                await device.lines("^(watchdog: )?reset$")
                await owner.until(lambda: len(ledger) >= 6, "reports", 30)
                assert ledger.bodies == texts("kept", 6) and not ledger.conflicts
                assert device.boots == 2

    asyncio.run(main())


@both
def test_handler_without_memory(shared, runtime):
    """Costs that handler's work and nothing else."""

    async def main():
        async with owner_of(shared) as owner:
            with Agent(shared, runtime, sensors=LEVEL) as device:
                ledger = owner.ledger(device.jid)
                jid = await device.online()
                await owner.until(lambda: len(ledger) == 1, "report")
                answer = await owner.ask(jid, "eat")
                assert answer.startswith("eat: failed"), answer
                assert " 0 cuts, 1 faults, " in await owner.ask(jid, "status")
                assert await owner.ask(jid, "nap 0") == "nap: awake"
                assert device.boots == 1 and len(device.said("eat: ")) == 1
                assert not tries(device, device.jid)

    asyncio.run(main())
