"""The watch: what people write to it is on its display, and what its wearer touches goes back.

The pictures in docs/ are made here, on a T-Watch 2020 with 32-bit MicroPython in 176 KB; after a
change `UXMPP_PICTURES=1 python -m pytest tests/servers/test_watch.py` writes them anew. Look at
them before they are committed."""

import asyncio
import json
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
from host_tools.lab.web import Web

from .helper import bodies, lines, online, owner_of, pinged, until

DOCS = Path(__file__).resolve().parents[2] / "docs"
BOARD = "t-watch-2020"
WATCH = WATCHES[BOARD]
BLACK = Image.new("RGB", (SIZE, SIZE))
BUZZ = r"^pwm 4: 60 %"
# Where there are buttons
LEFT, MIDDLE, DISMISS, TEXT = (40, 210), (120, 210), (228, 16), (120, 100)
#: Watches have 1 MB and more; this is what the watch needs, and what it needs to take a face.
HEAP = "176k"
FACE_HEAP = "220k"
# Of a face: all pixels differ from their neighbours, and none is black or white
FACE = b"".join(
    (0x0821 + x * y * 7 % 0xE000).to_bytes(2, "big") for y in range(SIZE) for x in range(SIZE)
)

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
            device.heap = HEAP
            # In place of Bosch's program; the simulated chip wants but its length
            (device.folder / "bma423.bin").write_bytes(bytes(6144))
            with device:
                await messages(device, owner, friend, await online(device))
            device.set_chips({"pcf8563": {"time": [2026, 11, 22, 7, 29, 57]}})
            buzzed = buzzes(device)
            # From here on it takes faces
            file = device.folder / "device.json"
            config = {**json.loads(file.read_text()), "surfaces": ["chat", "files"]}
            file.write_text(json.dumps(config))
            device.heap = FACE_HEAP
            with device:
                jid = await online(device, 2)
                await rings(device, owner, jid, buzzed)
                async with Web(world.server.certificate) as web:
                    await faces(device, owner, friend, jid, web)
                assert ", 0 faults, " in await owner.ask(jid, "status")

    async def messages(device, owner, friend, jid):
        async def answer(line, person=owner):
            return await person.ask(jid, line)

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
        reply = await owner.next_message(jid)
        assert (reply.body, reply.sender) == ("On my way", jid)
        pages = [picture(device, BOARD).tobytes()]
        while len(pages) < 2 or pages[-1] != pages[0]:
            await touch(device, TEXT)
            pages.append(picture(device, BOARD).tobytes())
        assert len(set(pages)) == len(pages) - 1 == 4
        await touch(device, LEFT)
        assert (await friend.next_message(jid)).body == "OK"
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
        assert (await owner.ask(jid, "timer")).startswith("timer: 2026-11-22 08:2")
        await lines(device, BUZZ, buzzed + 1)
        await shows(device, "watch-alarm")
        await touch(device, TEXT)
        buzzed = buzzes(device)
        device.set_chips({"axp202": {"percent": 12}})
        # The owner is told twice: the answer, and the alarm
        await owner.say(jid, "battery")
        said = [(await owner.next_message(jid)).body for _ in range(2)]
        assert sorted(said) == ["battery: 12 %, alarm: below 15 %", "battery: 12 %, below 15 %"]
        await lines(device, BUZZ, buzzed + 1)
        await shows(device, "watch-battery")

    async def faces(device, owner, friend, jid, web):
        web.files.update({"/face.raw": FACE, "/short.raw": FACE[:-1], "/long.raw": FACE + b"x"})

        async def offered(name, person=owner):
            url = f"{web.base}/{name}"
            x = f"<x xmlns='jabber:x:oob'><url>{url}</url></x>"
            person.client.send_raw(
                f"<message to='{jid}' type='chat'><body>{url}</body>{x}</message>"
            )
            # A download may take a while
            while (text := (await person.next_message(jid)).body) == "file: I am at it.":
                pass
            return text

        await touch(device, TEXT)
        assert await offered("face.raw", friend) == "background: only for the role operator."
        assert await offered("face.raw") == "background: it is behind the time"
        swapped = bytearray(FACE)
        swapped[::2], swapped[1::2] = FACE[1::2], FACE[::2]
        face = Image.frombytes("RGB", (SIZE, SIZE), bytes(swapped), "raw", "BGR;16")
        bare = [(0, 0, SIZE, 30), (0, 216, SIZE, SIZE), (0, 0, 8, SIZE)]

        def worn():
            """Whether the face is there, and the time on a plate."""
            seen = picture(device, BOARD)
            colors = [color for _, color in seen.crop((15, 69, 225, 120)).getcolors() or ()]
            on_it = all(same(seen.crop(b), face.crop(b)) for b in bare)
            return on_it and sorted(colors) == [(0, 0, 0), (255, 255, 255)]

        await until(worn, "face")
        # What is no face is not kept, and the one before stays
        said = "background: it has 115199 bytes, and 240 x 240 pixels of RGB565 have 115200"
        assert await offered("short.raw") == said
        said = "background: long.raw: it has 115201 bytes, and may have 115200 at most"
        assert await offered("long.raw") == said
        assert (device.folder / "face.raw").read_bytes() == FACE
        assert not list(device.folder.glob("inbox*/*"))
        assert await owner.ask(jid, "face off") == "face: done"
        await until(
            lambda: not any(picture(device, BOARD).crop(b).getbbox() for b in bare), "no face"
        )
        assert await owner.ask(jid, "face off") == "face: there is none"

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
