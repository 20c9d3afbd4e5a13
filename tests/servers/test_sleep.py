"""Deep sleep, over which the session goes on, and light sleep while nobody talks to a device."""

import asyncio
import re

import pytest

from host_tools.lab.device import Device
from host_tools.lab.lab import Lab

from .helper import LIMIT_S, PASSWORDS, PROGRAMS, lines, online, owner_of, pinged, set_level, until

DAMAGED = "what was kept asleep is not used: it is damaged: a new session"
ENDED = "the server kept no session for that long: contacts saw it offline"

#: What makes it awake for a moment only.
HASTE = '\nthing.surfaces["sleep"].awake = 0.3'


def sleeper_of(lab, sleep, board, runtime="32", user="dev", **changes):
    """A device with the program `sleeper`; not started. It is awake for less than device.json
    could say, which has whole seconds."""
    app = lab.folder / f"{user}-sleeper.py"
    text = (PROGRAMS / "sleeper.py").read_text()
    app.write_text(text.replace("\nthing.run()", f"{HASTE}\nthing.run()"))
    config = lab.device_config(user, owners=["owner"], sleep=sleep, **changes)
    device = Device(
        {k: v for k, v in config.items() if v is not None},
        folder=lab.folder / f"{user}-{runtime}",
        app=app,
        runtime=runtime,
        files=[lab.ca_der],
        board=board,
        restarts=True,
    )
    set_level(device, "20")
    return device


def shown(owner):
    """What `owner` sees of the device from now on: (type, status) of each presence."""
    seen = []
    owner.client.add_event_handler("changed_status", lambda _: None)

    def add(stanza):
        if stanza["type"] not in ("subscribe", "subscribed") and stanza["from"].user == "dev":
            seen.append((stanza["type"], stanza["status"]))

    owner.client.add_event_handler("presence", add)
    return seen


async def written(owner, jid, *texts):
    """Say `texts`; the server has them then."""
    for text in texts:
        await owner.say(jid, text)
    await pinged(owner)


async def asleep(device, number):
    """Wait until it has fallen asleep for the `number`th time; for how many ms."""
    found = await lines(device, r"^deepsleep: (\d+) ms$", number)
    return int(found[number - 1][1])


@pytest.mark.parametrize("runtime", ["32"])
def test_session_goes_on_over_deep_sleep(shared, runtime):
    """Five sleeps, one whose memory is damaged, and one that ends with a power cut."""
    surfaces = ["chat", "history", "schedule"]
    device = sleeper_of(shared, {"every": 900, "awake": 1}, {"sleep": {}}, surfaces=surfaces)

    async def main():
        async with owner_of(shared) as owner:
            seen = shown(owner)
            ledger = owner.ledger(shared.jid("dev"))

            async def heard(pattern, what):
                await until(lambda: any(re.search(pattern, b) for b in ledger.bodies), what)

            jid = await online(device)
            assert 870_000 < await asleep(device, 1) <= 900_000
            # Written while it sleeps: it is done, and what only asks is answered
            await written(owner, jid, "lamp on", "lamp")
            device.wake("timer")
            await lines(device, r"^(\S+): resumed$")
            await heard("^lamp: on$", "answer")
            await asleep(device, 2)
            # Too early for all reports; then it sleeps for what is left
            await written(owner, jid, "status", "modules")
            device.wake("pin")
            await heard(r"^\*woke\*: pin, \d+ s ago\n(.+\n)+up 15 min, 0 cuts", "status")
            await heard("^modules: $", "what is loaded")
            assert 870_000 < await asleep(device, 3) < 900_000
            await written(owner, jid, "status", "nap 600")
            device.wake("timer")
            await heard(r"^\*woke\*: timer, \d+ s ago\n(.+\n)+up 30 min, 0 cuts", "status")
            await heard(r"^nap: asleep until \d\d:\d\d UTC$", "nap")
            assert await asleep(device, 4) == 600_000
            set_level(device, "60")
            device.wake("timer")
            await heard("^level: 60 cm, above 50 cm$", "alarm")
            assert await asleep(device, 5) < 300_000
            await pinged(owner)
            memory = device.folder / "rtc.bin"
            memory.write_bytes(memory.read_bytes()[:-1] + b"?")
            told = "\n".join(ledger.bodies).split("\n")
            counts = [told.count(line) for line in ("level: 20 cm", "safe: 3", "rare: 7")]
            assert counts == [3, 3, 1] and not ledger.duplicates, (told, ledger.duplicates)
            assert "unavailable" not in dict(seen)
            away = [status for kind, status in seen if kind == "away"]
            assert len(away) == 5, seen
            assert all(re.fullmatch(r"asleep until \d\d:\d\d UTC", s) for s in away), seen
            assert {m[1] for m in await lines(device, r"^(\S+): resumed$", 4)} == {jid}
            await written(owner, jid, "lamp off")
            device.wake("timer")
            await online(device, 2)
            refusal = "I was away when you wrote: lamp off. Write it again if you still want it."
            await heard(f"^{re.escape(refusal)}$", "refusal")
            await asleep(device, 6)
            # A power cut while it sleeps leaves nothing
            device.kill()
            device.start()
            await lines(device, "^woke: power on$", 2)

    with device:
        asyncio.run(main())
    said = device.output()
    assert said.count(DAMAGED) == 1 and ENDED not in said
    assert said.count("lamp True") == 1 and "lamp False" not in said
    assert "next try" not in said and "it could not sleep" not in said
    assert not (device.folder / "asleep").exists()


def test_light_sleep(shared):
    """With the server holding back what is of no use to a device, but no command."""
    device = sleeper_of(
        shared, {"inactive": 1}, {"wifi": {"connect_ms": 10}}, user="idle", wifi={"ssid": "home"}
    )

    def told(word, number=1):
        text = shared.server.log.read_text(errors="replace")
        found = re.findall(rf"Received\[c2s\]: <{word} [^>]*urn:xmpp:csi:0", text)
        return len(found) >= number

    async def main():
        async with owner_of(shared) as owner:
            jid = await online(device)
            await until(lambda: told("inactive"), "word that it is inactive")
            await lines(device, "^pm 2$")
            async with asyncio.timeout(LIMIT_S):
                # What else was under way, an acknowledgement say, opens it again for five seconds
                while "Holding buffer (presence update" not in shared.server.log.read_text():
                    owner.client.send_presence(pstatus="here")
                    await asyncio.sleep(0.2)
            assert await owner.ask(jid, "lamp on") == "lamp: on"
            await until(lambda: told("active"), "word that it is active")
            await lines(device, "^pm 1$")
            await until(lambda: told("inactive", 2), "word that it is inactive again")
            assert (await owner.ask(jid, "lamp")).startswith("lamp: on, since")

    with device:
        asyncio.run(main())
    assert "next try" not in device.output()


def test_sleep_longer_than_the_server_waits():
    """On a board without memory that survives, or a clock, and at last without a server."""
    with Lab(PASSWORDS, settings={"smacks_hibernation_time": 1}) as lab:
        board = {"sleep": {"port": "rp2"}, "clock": "unset"}
        pin = lab.server.certificate.pin
        device = sleeper_of(lab, {"every": 900, "awake": 1}, board, ca=None, pin=pin)

        async def main():
            async with owner_of(lab) as owner:
                seen = shown(owner)
                await online(device)
                await asleep(device, 1)
                assert (device.folder / "asleep").exists()
                await until(lambda: "unavailable" in dict(seen), "offline", LIMIT_S)
                # From now on a quarter of an hour takes two seconds
                device.set_board({**board, "sleep": {"port": "rp2", "second_ms": 2.2}})
                device.wake("timer")
                await online(device, 2)
                assert not (device.folder / "asleep").exists()
                # Told by the server, worked out after the sleep, told by the server
                await lines(device, "^clock: ", 3)
                await asleep(device, 2)
                await lines(device, "^woke: timer$", 2)
                # None of the sleeps that follow is to end by itself
                device.set_board(board)
                await online(device, 3)
                (device.folder / "hurry.txt").touch()
                await asleep(device, 3)
                lab.server.kill()
                device.wake("timer")
                await asleep(device, 4)

        with device:
            asyncio.run(main())
        said = device.output()
        assert said.count(ENDED) == 1 and said.count("woke: timer") == 3
