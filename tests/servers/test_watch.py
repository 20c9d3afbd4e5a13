"""The watch: what people write to it is on its display, and what its wearer touches goes back.

The pictures in docs/ are made here, on a T-Watch 2020 with 32-bit MicroPython in 160 KB; after a
change `UXMPP_PICTURES=1 python -m pytest tests/servers/test_watch.py` writes them anew. Look at
them before they are committed."""

import asyncio
import os
import re
from itertools import count
from pathlib import Path

import pytest
from PIL import Image

from host_tools.lab.device import Device
from host_tools.lab.display import SIZE, WATCHES, picture, same
from host_tools.lab.errors import LabError
from host_tools.lab.lab import Lab

from .helper import bodies, lines, online, owner_of, pinged, until

DOCS = Path(__file__).resolve().parents[2] / "docs"
BOARD = "t-watch-2020"
WATCH = WATCHES[BOARD]
BLACK = Image.new("RGB", (SIZE, SIZE))
BUZZ = r"^pwm 4: 60 %"
# Where there are buttons
LEFT, MIDDLE, DISMISS, TEXT = (40, 210), (120, 210), (228, 16), (120, 100)

_taps = count(1)


def watch_of(lab):
    """The watch of the account `dev`; its clock chip says 07:20."""
    return Device(
        lab.device_config("dev", owners=["anna"], viewers=[lab.jid("ben")]),
        folder=lab.folder / "watch",
        app="watch",
        files=[lab.ca_der],
        board={"clock": "unset"},
        hal=BOARD,
        chips=WATCH.soldered(
            pcf8563={"time": [2026, 11, 22, 7, 20, 0]},
            axp202={"percent": 80},
            bma423={"steps": 4812},
        ),
    )


async def touch(device, place):
    """Touch the display once; when this returns, it shows what comes of it."""
    number = next(_taps)
    device.set_chips({"ft6x36": {"touch": [*place, number]}})
    await lines(device, "^touch: over$", number)


def buzzes(device):
    """How often it has shaken."""
    return len(re.findall(BUZZ, device.output(), re.M))


async def shows(device, name):
    """Wait until the display shows the picture docs/NAME.png, or write it anew."""
    file = DOCS / f"{name}.png"
    if os.environ.get("UXMPP_PICTURES"):
        await asyncio.sleep(2)
        picture(device, BOARD).save(file, optimize=True)
    wanted = Image.open(file).convert("RGB")
    try:
        await until(lambda: same(picture(device, BOARD), wanted), f"{name} on the display")
    except AssertionError:
        picture(device, BOARD).save(device.folder / f"{name}.png")
        raise


@pytest.fixture
def world():
    with Lab({"anna": "open sesame", "ben": "x", "dev": "device's own", "stranger": "y"}) as lab:
        yield lab


def test_watch(world):
    async def main():
        async with owner_of(world, "anna") as owner, owner_of(world, "ben") as friend:
            device = watch_of(world)
            # In place of Bosch's program; the simulated chip wants but its length
            (device.folder / "bma423.bin").write_bytes(bytes(6144))
            with device:
                await messages(device, owner, friend, await online(device))
            device.set_chips({"pcf8563": {"time": [2026, 11, 22, 7, 29, 57]}})
            buzzed = buzzes(device)
            with device:
                await rings(device, owner, await online(device, 2), buzzed)

    async def messages(device, owner, friend, jid):
        async def answer(line, person=owner):
            return await person.ask(jid, line, 15)

        assert same(picture(device, BOARD), BLACK)
        # Somebody without a role is not there: nothing shakes, and the display stays off
        async with owner_of(world, "stranger") as stranger:
            await stranger.say(jid, "Buy our watches!")
            await pinged(stranger)
        assert await answer("steps") == "steps: 4812"
        assert same(picture(device, BOARD), BLACK) and "pwm" not in device.output()
        assert await answer("Dinner is ready! Are you coming?") == "It is on the display."
        await lines(device, BUZZ, 2)
        await shows(device, "watch-message")
        # Others wait behind it; what is said to who wrote it
        long = "Ünïcödé 😀 “" + "very long " * 40 + "”"
        assert await answer(long, friend) == "Behind 1 others."
        assert await answer("no", friend) == "Behind 2 others."
        await touch(device, MIDDLE)
        reply = await owner.next_message(jid, 15)
        assert (reply.body, reply.sender) == ("On my way", jid)
        pages = [picture(device, BOARD).tobytes()]
        while len(pages) < 2 or pages[-1] != pages[0]:
            await touch(device, TEXT)
            pages.append(picture(device, BOARD).tobytes())
        assert len(set(pages)) == len(pages) - 1 == 4
        await touch(device, LEFT)
        assert (await friend.next_message(jid, 15)).body == "OK"
        # Or it is only put away
        await touch(device, DISMISS)
        # Words are words
        assert await answer("battery") == "battery: 80 %"
        assert (await answer("time")).startswith("time: 2026-11-22 07:2")
        assert await answer("alarm 24:30") == "alarm: must be a time such as 07:30, or off"
        assert await answer("alarm 7:30") == "alarm: 07:30"
        assert await answer("timer 2 days") == (
            "timer: must be up to a day, and I have to know the time"
        )
        assert (await answer("timer 1s")).startswith("timer: 2026-11-22 07:2")
        await lines(device, BUZZ, buzzes(device) + 2)
        await touch(device, TEXT)
        assert (await answer("timer")).startswith("timer: off")
        await owner.say(jid, "find")
        await until(lambda: picture(device, BOARD).getpixel((1, 1)) == (255, 255, 255), "light")
        await touch(device, TEXT)
        await until(lambda: "find: somebody has touched me" in bodies(owner, jid), "find")
        assert (await answer("timer 1h")).startswith("timer: 2026-11-22 08:2")
        # A bound
        for i in range(8):
            await answer(f"on my desk {i}")
        said = "8 wait to be looked at; try later"
        assert await answer("Hello?") == said and await answer("show on") == "show: " + said
        assert "faults: " not in device.output() and "Error" not in device.output()

    async def rings(device, owner, jid, buzzed):
        # The settings were kept; the messages were not
        assert (await owner.ask(jid, "timer", 15)).startswith("timer: 2026-11-22 08:2")
        await lines(device, BUZZ, buzzed + 1)
        await shows(device, "watch-alarm")
        await touch(device, TEXT)
        buzzed = buzzes(device)
        device.set_chips({"axp202": {"percent": 12}})
        # The owner is told twice: the answer, and the alarm
        await owner.say(jid, "battery")
        said = [(await owner.next_message(jid, 15)).body for _ in range(2)]
        assert sorted(said) == ["battery: 12 %, alarm: below 15 %", "battery: 12 %, below 15 %"]
        await lines(device, BUZZ, buzzed + 1)
        await shows(device, "watch-battery")
        assert ", 0 faults, " in await owner.ask(jid, "status", 15)

    asyncio.run(main())


def test_what_is_no_watch(tmp_path):
    with pytest.raises(LabError, match="no-watch: there is no hal.py"):
        Device({}, folder=tmp_path, app="watch", hal="no-watch")
    with pytest.raises(LabError, match="no-watch: the lab has no such watch: t-watch-2020, "):
        picture(tmp_path, "no-watch")
    with pytest.raises(LabError, match="display.raw: there is no display"):
        picture(tmp_path, BOARD)
    (tmp_path / "display.raw").write_bytes(b"\7\xc0\x64\0\0\xf0\1\x40" + bytes(1000))
    with pytest.raises(LabError, match="not 240 x 320 pixels"):
        picture(tmp_path, BOARD)
