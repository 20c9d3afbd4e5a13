"""Durable reports: each arrives once, in order, with its time, whatever happens on the way."""

import asyncio
import random
import re
import time

import pytest
from servers.helper import PASSWORDS, both, owner_of, set_level, tries, until

from host_tools.lab.lab import Lab

from .helper import Agent, behind, texts, through

#: What arrives is noted soon, and a report of more than a second is late.
QUICK = {"outbox": {"batch_s": 0.2}, "delivery": {"late_s": 1}}


@pytest.fixture(scope="module")
def plain():
    """A server without stream management."""
    with Lab(PASSWORDS, sm=False) as lab:
        yield lab


async def told(owner, device, number, limit_s=20):
    """Wait until `owner` has heard of so many reports, and return its ledger."""
    ledger = owner.ledger(device.jid)
    await owner.until(
        lambda: len(ledger) >= number, f"{number} reports in {device.output()}", limit_s
    )
    return ledger


async def emptied(device, limit_s=15):
    """Wait until its outbox has no file."""
    await until(lambda: not device.outbox(), lambda: f"empty outbox: {device.output()}", limit_s)


def kept(device, text):
    """Whether a file of its outbox holds a report with that text."""
    return any(text.encode() in file.read_bytes() for file in device.outbox())


def check_stamps(device, entries, made):
    """Whether they say that they were made at `made`, two numbers of seconds since 1970."""
    for entry in entries:
        own = [moment for who, moment in entry.stamps if who == device.jid]
        assert len(own) == 1, entry
        assert made[0] - 2 < own[0].timestamp() < made[1] + 2, (entry, made)


@both
def test_made_while_offline(shared, runtime):
    """In order, with the time they were made at. Each owner gets each, and one who is not there
    gets them from the server, when he comes."""

    async def main():
        async with behind(shared) as network, owner_of(shared) as owner:
            owners = [shared.jid("owner"), shared.jid("idle")]
            device = Agent(shared, runtime, QUICK, owners=owners, **through(network))
            with device:
                await device.online()
                network.refuse()
                network.cut()
                await until(lambda: tries(device, device.jid), "try")
                made = [time.time()]
                device.do("keep 10 kept")
                await device.lines("^done keep")
                device.do("report 10 off")
                await device.lines("^safe", 10)
                made.append(time.time())
                await until(lambda: time.time() > made[1] + 2.1, "time")
                network.heal()
                ledger = await told(owner, device, 20)
                assert ledger.bodies == texts("kept", 10) + texts("off", 10)
                check_stamps(device, ledger, made)
                # Nothing is on its way that they would have to wait for
                await emptied(device)
                device.do("report 3 on")
                await told(owner, device, 23)
                assert ledger.bodies[20:] == texts("on", 3)
                assert [e.stamp for e in ledger][20:] == [None] * 3
                await emptied(device)
            async with owner_of(shared, "idle") as idle:
                other = await told(idle, device, 23)
            for book in (ledger, other):
                assert not book.conflicts and not book.duplicates
            assert other.bodies == ledger.bodies
            check_stamps(device, other.entries[:20], made)

    asyncio.run(main())


@both
def test_outage_is_no_receipt(shared, runtime):
    """What was on its way when the line died has not arrived because nobody said so for long."""
    tune = {
        "delivery": {"receipt_s": 0.3},
        "client": {"silence_s": 60},
        "outbox": {"batch_s": 0.1},
    }

    async def main():
        async with behind(shared) as network, owner_of(shared) as owner:
            with Agent(shared, runtime, tune, **through(network)) as device:
                await device.online()
                network.hold()
                device.do("report 6 flying")
                await device.lines("^safe flying", 6)
                network.refuse()
                network.reset()
                device.do("report 1 more")
                await device.lines("^safe more")
                gone = time.time()
                await until(lambda: time.time() > gone + 2.5, "outage")
                device.kill()
                network.release()
                network.heal()
                device.start()
                ledger = await told(owner, device, 7)
                assert ledger.bodies == texts("flying", 6) + texts("more", 1)
                await emptied(device)

    asyncio.run(main())


def test_two_owners_and_a_lost_session(world):
    """Neither gets anything twice, nor out of order, because the other one is there."""
    tune = {"outbox": {"batch_s": 0.1}}

    async def main():
        async with (
            behind(world) as network,
            owner_of(world) as one,
            owner_of(world, "idle") as two,
        ):
            owners = [world.jid("owner"), world.jid("idle")]
            with Agent(world, "32", tune, owners=owners, **through(network)) as device:
                await device.online()
                network.hold()
                device.do("report 5 flying")
                await device.lines("^safe flying", 5)
                network.reset()
                await asyncio.to_thread(world.server.forget)
                network.release()
                for owner in (one, two):
                    await owner.connect()
                for owner in (one, two):
                    ledger = await told(owner, device, 5)
                    assert ledger.bodies == texts("flying", 5)
                await emptied(device)
                for owner in (one, two):
                    assert owner.ledger(device.jid).duplicates == []

    asyncio.run(main())


@both
def test_durable_sensor(shared, runtime):
    """It is read while the device is offline, too; other sensors are not."""
    sensors = {
        "level": ("20", {"every": 0.4, "durable": True}),
        "mood": ("7", {"every": 0.4}),
    }

    async def main():
        async with behind(shared) as network, owner_of(shared) as owner:
            device = Agent(shared, runtime, QUICK, sensors, **through(network))
            with device:
                ledger = owner.ledger(device.jid)
                await owner.until(lambda: {"level: 20", "mood: 7"} <= {*ledger.bodies}, "reports")
                network.refuse()
                network.cut()
                await until(lambda: tries(device, device.jid), "try")
                number = len(ledger)
                for value in ("30", "40", "50"):
                    set_level(device, value)
                    set_level(device, value, "mood")
                    end = time.monotonic() + 0.9
                    await until(
                        lambda e=end, v=value: (
                            time.monotonic() > e and kept(device, f"level: {v}")
                        ),
                        f"level {value}",
                    )
                network.heal()
                await owner.until(lambda: "level: 50" in ledger.bodies[number:], "levels")
                await owner.until(lambda: "mood: 50" in ledger.bodies[number:], "mood")
                levels = [b for b in ledger.bodies if b.startswith("level")]
                moods = [b for b in ledger.bodies if b.startswith("mood")]
                assert levels == sorted(levels) and {"level: 30", "level: 40"} < set(levels)
                assert set(moods) == {"mood: 7", "mood: 50"}
                assert not ledger.conflicts and not ledger.duplicates

    asyncio.run(main())


@both
def test_no_room(shared, runtime):
    """The oldest go, and the owner is told how many, once; even if the power fails in between."""
    limits = {"max_bytes": 4096, "segment_bytes": 1024, "batch_s": 0.1, "max_text": 256}

    async def main():
        async with behind(shared) as network, owner_of(shared) as owner:
            network.refuse()
            device = Agent(shared, runtime, {"outbox": limits}, **through(network))
            with device:
                device.do("keep 200 full", "report 1 end")
                await device.lines("^safe end")
                assert sum(f.stat().st_size for f in device.outbox()) <= 4096
                device.kill()
                device.start()
                network.heal()
                ledger = await told(owner, device, 2)
                await owner.until(lambda: "end 0" in ledger.bodies, "last report")
                await emptied(device)
                notice, *rest = ledger.bodies
                lost = re.fullmatch(
                    r"up to (\d+) reports were lost: there was no room for them", notice
                )
                assert lost and rest == [*texts("full", 200 - int(lost[1]), int(lost[1])), "end 0"]
                assert 0 < int(lost[1]) < 190
                # Nobody hears of it again
                device.kill()
                device.start()
                device.do("report 1 after")
                await owner.until(lambda: ledger.bodies[-1] == "after 0", "report")
                assert ledger.bodies == [notice, *rest, "after 0"] and not ledger.duplicates

    asyncio.run(main())


@pytest.mark.parametrize("seed", [1, 2])
def test_power_cuts(shared, seed):
    """At any moment: what was said to be safe arrives, in order, and nothing twice but with its
    id."""
    chosen = random.Random(seed)
    cuts = 6

    async def main():
        async with owner_of(shared) as owner:
            device = Agent(shared, "32", {"outbox": {"batch_s": 0.1, "batch_bytes": 200}})
            ledger = owner.ledger(device.jid)
            safe = []
            try:
                for boot in range(cuts):
                    device.start()
                    for part in range(4):
                        device.do(f"report 6 {boot}.{part}")
                        await device.lines(rf"^done report {boot}\.{part}$")
                    await device.lines(rf"^safe {boot}\.", chosen.randrange(1, 24))
                    end = time.monotonic() + chosen.random() * 0.3
                    await until(lambda e=end: time.monotonic() > e, "moment")
                    device.kill()
                    safe = [line[5:] for line in device.said("safe ")]
                device.start()
                device.do("report 1 last")
                await owner.until(lambda: "last 0" in ledger.bodies, "last report", 30)
                await emptied(device)
            finally:
                device.kill()
            made = [t for b in range(cuts) for p in range(4) for t in texts(f"{b}.{p}", 6)]
            got = ledger.bodies
            assert not set(safe) - set(got), f"seed {seed}: {set(safe) - set(got)}"
            assert len(got) == len(set(got)) and not ledger.conflicts
            assert got == [t for t in [*made, "last 0"] if t in set(got)], f"seed {seed}: {got}"
            assert len(safe) > 3 * cuts

    asyncio.run(main())


# a server without stream management


@both
def test_receipts(plain, runtime):
    """They are what empties the outbox; of all owners."""

    async def main():
        async with behind(plain) as network, owner_of(plain, receipts=True) as owner:
            owners = [plain.jid("owner"), plain.jid("idle")]
            tune = {"outbox": {"batch_s": 0.1}}
            device = Agent(plain, runtime, tune, owners=owners, **through(network))
            with device:
                await device.online()
                device.do("report 20 quick")
                # There can be no more on their way, as the other owner is not there
                ledger = await told(owner, device, 8)
                await device.lines("^safe quick", 20)
                assert len(ledger) == 8 and device.outbox()
                async with owner_of(plain, "idle", receipts=True) as idle:
                    other = await told(idle, device, 20)
                    await told(owner, device, 20)
                    await emptied(device)
                for book in (ledger, other):
                    assert book.bodies == texts("quick", 20)
                    assert not book.duplicates and not book.conflicts

    asyncio.run(main())


def test_cut_before_the_receipts(plain):
    """What was on its way is sent again, under its id."""

    async def main():
        async with behind(plain) as network, owner_of(plain) as owner:
            tune = {"outbox": {"batch_s": 0.1}}
            with Agent(plain, "32", tune, **through(network)) as device:
                await device.online()
                device.do("report 3 twice")
                ledger = await told(owner, device, 3)
                network.cut()
                await device.online(2)
                await owner.until(lambda: len(ledger.duplicates) == 3, "duplicates")
                assert ledger.bodies == texts("twice", 3) and not ledger.conflicts
                assert device.outbox()

    asyncio.run(main())


@pytest.mark.parametrize("busy", [False, True], ids=["quiet", "busy"])
def test_owner_who_gives_no_receipts(plain, busy):
    """On a session that lives reports have arrived after a while, be there new ones or not."""
    sensors = {"level": ("20", {"every": 0.1, "durable": True})} if busy else {}

    async def main():
        async with owner_of(plain) as owner:
            tune = {"outbox": {"batch_s": 0.1}, "delivery": {"receipt_s": 1}}
            with Agent(plain, "32", tune, sensors) as device:
                await device.online()
                begin = time.monotonic()
                if busy:
                    # Eight at a time
                    ledger = await told(owner, device, 17)
                    assert time.monotonic() - begin > 1
                else:
                    device.do("report 10 slow")
                    ledger = await told(owner, device, 10)
                    assert time.monotonic() - begin > 1
                    await emptied(device)
                    assert ledger.bodies == texts("slow", 10)
                assert not ledger.duplicates

    asyncio.run(main())
