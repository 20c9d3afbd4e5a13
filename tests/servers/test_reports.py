"""What a device tells by itself: alarms with hysteresis, events, in few messages, and not to those
who are mute. Settings that survive a restart, and one that somebody spoilt."""

import asyncio
import re
import time

from .helper import both, device_of, lines, online, owner_of

LIMIT_S = 40.0
#: One message with events in so many seconds: that of the program `hasty`.
ALERT_S = 5


def run(lab, main, app="everything"):
    """Run `main(device, owner, jid)` with a device that has everything that can be declared."""

    async def with_owner():
        async with owner_of(lab) as owner:
            with device_of(lab, "32", app) as device:
                jid = await online(device)
                if app != "door":
                    assert await said(owner, jid) == "motion: empty"
                await main(device, owner, jid)

    asyncio.run(with_owner())


async def said(owner, jid):
    """The next message, not asked for."""
    return (await owner.next_message(jid, LIMIT_S)).body


async def both_said(owner, jid, line, answer, alert):
    """Say `line`; there is an answer, and an alert by a part of its own: which one comes first is
    open."""
    await owner.say(jid, line)
    assert {await said(owner, jid), await said(owner, jid)} == {answer, alert}


def test_alarm(shared):
    async def main(device, owner, jid):
        await owner.subscribe(shared.jid("dev"))
        alert = "temperature: 31 °C, above 30 °C"
        await both_said(owner, jid, "setpoint 30", "setpoint: 30 °C", alert)
        presence = await owner.presence(jid, lambda p: "above" in p.status, LIMIT_S)
        assert presence.show == "dnd"
        # Back, but not by as much as hysteresis asks for
        await owner.ask(jid, "setpoint 28,5")
        assert await owner.ask(jid, "temperature") == ("temperature: 29.5 °C, alarm: above 30 °C")
        alert = "temperature: 28 °C, no longer above 30 °C"
        await both_said(owner, jid, "setpoint 27", "setpoint: 27 °C", alert)
        await owner.presence(jid, lambda p: not p.show, LIMIT_S)
        assert not owner.messages

    run(shared, main)


def test_many_events_in_few_messages(shared):
    # More than may go out at once, and more than wait: the oldest are only counted
    async def main(device, owner, jid):
        begin = time.monotonic()
        told = []
        for i in range(20):
            await owner.say(jid, f"ring {i}")
            while (text := await said(owner, jid)) != "ring: done":
                told.append(text)
        while not told or "doorbell: 19" not in told[-1]:
            told.append(await said(owner, jid))
        whole = "\n".join(told)
        rung = [int(n) for n in re.findall(r"^doorbell: (\d+)", whole, re.M)]
        left_out = sum(
            int(n) for n in re.findall(r"^(\d+) earlier ones are left out$", whole, re.M)
        )
        assert rung == sorted(set(rung))
        assert len(rung) + left_out == 20
        assert len(told) <= 5 + (time.monotonic() - begin) / ALERT_S + 1

    run(shared, main, "hasty")


def test_mute(shared):
    async def main(device, owner, jid):
        assert await owner.ask(jid, "mute 2h") == (
            "Mute for 2 h: no reports, and no alarms but durable ones."
        )
        await owner.ask(jid, "ring bob")
        # The event is told of by a part of its own
        while not (await owner.ask(jid, "doorbell")).startswith("doorbell: bob, "):
            pass
        assert await owner.ask(jid, "unmute") == "You are told everything again. Left out: 1."
        await both_said(owner, jid, "ring alice", "ring: done", "doorbell: alice")
        assert await owner.ask(jid, "unmute") == "You are told everything."
        # A mute that is over says so. At once: it is to ring before that
        await owner.say(jid, "mute 2s")
        await owner.say(jid, "ring carol")
        assert (await said(owner, jid)).startswith("Mute for 2 s: ")
        assert await said(owner, jid) == "ring: done"
        assert await said(owner, jid) == "While you were mute, 1 was left out."

    run(shared, main)


def test_outage(world):
    # What happened meanwhile comes in one message, in order
    async def main(device, owner, jid):
        await owner.disconnect()
        world.server.stop()
        await lines(device, r"next try in")
        device.set_pins({14: 1})
        await lines(device, r"^told: open")
        device.set_pins({14: 0})
        await lines(device, r"^told: closed")
        world.server.start()
        await owner.connect()
        assert await said(owner, world.jid("dev")) == "door: open\ndoor: closed"

    run(world, main, "door")


def test_settings(shared):
    async def main(device, owner, jid):
        assert await owner.ask(jid, "interval 2 min") == "interval: 120 s"
        assert await owner.ask(jid, "label north side") == "label: north side"
        device.stop()
        device.start()
        jid = await online(device, 2)
        assert await said(owner, jid) == "motion: empty"
        assert (await owner.ask(jid, "interval")).startswith("interval: 120 s")
        assert (await owner.ask(jid, "label")).startswith("label: north side")
        assert "interval is 120" in device.output()
        device.stop()
        # One value that cannot be, and the others hold
        (device.folder / "settings.json").write_text(
            '{"version": 1, "values": {"interval": "soon", "label": "south side", "gone": "x"}}'
        )
        device.start()
        jid = await online(device, 3)
        assert await said(owner, jid) == "motion: empty"
        assert "settings.json: interval: not used" in device.output()
        assert (await owner.ask(jid, "interval")).startswith("interval: 60 s")
        assert (await owner.ask(jid, "label")).startswith("label: south side")
        device.stop()
        (device.folder / "settings.json").write_text('{"version": 1, "lab')
        device.start()
        jid = await online(device, 4)
        assert await said(owner, jid) == "motion: empty"
        assert "settings.json: damaged: not used" in device.output()
        assert (await owner.ask(jid, "label")).startswith("label: kitchen")

    run(shared, main)


@both
def test_a_sensor_that_misbehaves_takes_nothing_with_it(shared, runtime):
    async def main():
        with device_of(shared, runtime, "unruly") as device:
            async with owner_of(shared) as owner:
                jid = await online(device)
                await lines(device, "^good", 4)
                await lines(device, "^begun", 2)
                status = await owner.ask(jid, "status")
                while "\nup " not in status:  # a report
                    status = await said(owner, jid)
                status = status.replace("*", "").splitlines()
                assert "hangs: no reading: it took more than 0.5 s" in status
                assert "cancels: no reading: cancelled" in status
                assert "raises: no reading: none left" in status
                assert [line for line in status if line.startswith("good: ")]

    asyncio.run(main())
