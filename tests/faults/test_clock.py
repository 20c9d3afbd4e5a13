"""A board that starts without knowing the time: who is asked for it, and when, and what becomes of
what it had to say before."""

import asyncio
import time

import pytest
from servers.helper import both, owner_of, tries, until

from host_tools.lab.ntp import NtpServer

from .helper import Agent, behind, texts, through

UNSET = {"clock": "unset"}
LATE = {"delivery": {"late_s": 1}, "outbox": {"batch_s": 0.2}}
#: Mode of the NTP server, why the device does not get on, requests that take all that it says.
MODES = (
    ("silent", "no answer", 1),
    ("kiss", "the server does not know the time", 1),
    ("rubbish", "no answer", 6),
)


async def told(owner, device, number):
    """Wait until `owner` has heard of so many reports, and return its ledger."""
    ledger = owner.ledger(device.jid)
    await owner.until(lambda: len(ledger) >= number, f"{number} reports", 20)
    return ledger


async def time_of(device):
    """What the device takes for the time, or None."""
    now = (await device.ask("now", r"^up .* now (\S+)"))[1]
    return None if now == "None" else int(now)


async def check_time(device):
    """Whether what it takes for the time is right."""
    begin = time.time()
    assert begin - 3 < await time_of(device) < time.time() + 3


def check_stamps(device, entries, made):
    """Whether they say that they were made at `made`, two numbers of seconds since 1970."""
    for entry in entries:
        own = [moment for who, moment in entry.stamps if who == device.jid]
        assert len(own) == 1, entry
        assert made[0] - 3 < own[0].timestamp() < made[1] + 3, (entry, made)


@pytest.mark.parametrize("start", ["unset", "2021-01-01"])
def test_ntp_comes_before_tls(shared, start):
    """As a CA's certificate is good for some time only. What was reported before has its time
    afterwards, what is reported at once needs none."""
    tune = {**LATE, "ntp": {"TIMEOUT_S": 1, "TRIES": 2}}

    async def main():
        async with (
            behind(shared) as network,
            NtpServer(mode="silent") as ntp,
            owner_of(shared) as owner,
        ):
            places = {**through(network), "ntp": f"{ntp.host}:{ntp.port}"}
            with Agent(shared, "32", tune, board={"clock": start}, **places) as device:
                made = [time.time()]
                device.do("report 3 early")
                await device.lines("^safe early", 3)
                made.append(time.time())
                whys = []
                for mode, why, number in MODES if start == "unset" else MODES[:1]:
                    ntp.mode = mode
                    asked, tried = ntp.requests, len(tries(device, device.jid))
                    await until(
                        lambda a=asked, n=number, t=tried: (
                            ntp.requests >= a + n and len(tries(device, device.jid)) > t + 1
                        ),
                        lambda m=mode: f"{m} answers in {device.output()}",
                        30,
                    )
                    whys.append(why)
                failed = [why for why, _ in tries(device, device.jid)]
                assert set(failed) == {f"NTP: {ntp.host}: {why}" for why in whys}, failed
                assert not network.opened and await time_of(device) is None
                ntp.mode = "answer"
                await device.lines("^clock: 20")
                await device.online()
                await check_time(device)
                device.do("report 2 now")
                ledger = await told(owner, device, 5)
                assert ledger.bodies == texts("early", 3) + texts("now", 2)
                check_stamps(device, ledger.entries[:3], made)
                assert [e.stamp for e in ledger][3:] == [None] * 2
                # It is asked as long as nobody knows the time, and no longer
                asked = ntp.requests
                network.cut()
                await device.online(2)
                assert ntp.requests == asked and len(device.said("clock: ")) == 1

    asyncio.run(main())


@both
def test_pin_needs_no_clock(shared, runtime):
    """With it no NTP server is asked; the time comes from the XMPP server, and what happens every
    second goes on when the clock jumps by years."""

    async def main():
        async with behind(shared) as network, NtpServer() as ntp, owner_of(shared) as owner:
            places = {**through(network), "ntp": f"{ntp.host}:{ntp.port}"}
            pin = shared.server.certificate.pin
            sensors = {"level": ("20", {"every": 1})}
            arrived = []
            with Agent(
                shared, runtime, LATE, sensors, UNSET, ca=None, pin=pin, **places
            ) as device:
                ledger = owner.ledger(device.jid)
                await device.lines("^clock: 20")
                for n in range(1, 6):
                    await told(owner, device, n)
                    arrived.append(time.monotonic())
                assert ledger.bodies == ["level: 20"] * 5
                # Not all at once; and each may be on its way for longer than another
                assert 2 < arrived[-1] - arrived[0] < 12
                await check_time(device)
                assert ntp.requests == 0 and len(device.said("clock: ")) == 1
                assert not tries(device, device.jid)

    asyncio.run(main())


def test_early_reports_of_a_board_with_a_pin(shared):
    """They are sent late, and say since when."""

    async def main():
        async with behind(shared) as network, owner_of(shared) as owner:
            network.refuse()
            pin = shared.server.certificate.pin
            with Agent(
                shared, "32", LATE, board=UNSET, ca=None, pin=pin, **through(network)
            ) as device:
                made = [time.time()]
                device.do("report 3 early")
                await device.lines("^safe early", 3)
                made.append(time.time())
                await until(lambda: time.time() > made[1] + 2, "time")
                network.heal()
                ledger = await told(owner, device, 3)
                assert ledger.bodies == texts("early", 3)
                check_stamps(device, ledger, made)

    asyncio.run(main())
