"""The app firmware/apps/camera.py, on 32-bit MicroPython in a board's heap."""

import asyncio
import re
import ssl
import urllib.request
import xml.etree.ElementTree as ET
from contextlib import closing
from io import BytesIO

from PIL import Image, ImageChops, ImageStat

from .helper import device_of, lines, online, owner_of

TEST_LIMIT_S = 120.0
SAID = re.compile(r"snap: \d{4}-\d\d-\d\dT\d{6}Z\.jpg, (\d+ KB|\d+ B)$")


class Photographer:
    """The owner of a camera."""

    def __init__(self, lab, owner, device, jid):
        self.owner = owner
        self.device = device
        self.jid = jid
        self._tls = ssl.create_default_context(cafile=lab.ca_pem)

    async def next(self):
        """The next message, but for what is only to say that it takes long here."""
        while (message := await self.owner.next_message(self.jid)).body == "snap: I am at it.":
            pass
        return message

    async def said(self):
        """What the device says next, without the age of a state."""
        return re.sub(r", since \d+ s$", "", (await self.next()).body)

    async def asked(self, line):
        await self.owner.say(self.jid, line)
        return await self.said()

    async def photo(self, caption=None):
        """The picture that the device's next message links to."""
        message = await self.next()
        if caption:
            assert f">{caption}<" in ET.tostring(message.xml, "unicode")
        return await self.fetched(message.body)

    async def fetched(self, url):
        """The picture at an address; `data` is it as it came."""
        assert url.startswith("https://"), url

        def fetch():
            with closing(urllib.request.urlopen(url, context=self._tls)) as answer:
                return answer.read()

        data = await asyncio.to_thread(fetch)
        image = Image.open(BytesIO(data))
        image.load()
        image.data = data
        return image

    async def snap(self, line="snap"):
        """A photo that was asked for."""
        await self.owner.say(self.jid, line)
        image = await self.photo()
        assert SAID.match(await self.said())
        return image


def apart(a, b):
    """How far two pictures are apart, 0 to 255."""
    return max(ImageStat.Stat(ImageChops.difference(a, b)).mean)


def test_camera(world):
    async def main():
        device = device_of(world, "32", "camera", surfaces=["chat", "files"])
        with device:
            async with owner_of(world) as owner:
                me = Photographer(world, owner, device, await online(device))
                await photos(me)
                await refusals(me)
                await alerts(me)
                await time_lapses(me)
                assert ", 0 faults" not in await me.asked("status")  # the camera's, in refusals()
                assert "MemoryError" not in device.output()

    asyncio.run(asyncio.wait_for(main(), TEST_LIMIT_S))


async def photos(me):
    first = await me.snap()
    assert first.size == (640, 480) and 50_000 < len(first.data) < 70_000
    # One frame at a time: who comes second waits, and gets one of his own
    await me.owner.say(me.jid, "snap qvga")
    await me.owner.say(me.jid, "snap QVGA")
    said = [(await me.next()).body for _ in range(4)]
    assert len([b for b in said if SAID.match(b)]) == 2
    one, other = [await me.fetched(b) for b in said if not SAID.match(b)]
    assert one.size == other.size == (320, 240) and one.data != other.data
    assert await me.asked("size qvga") == "size: QVGA"
    assert await me.asked("quality 30") == "quality: 30 %"
    assert await me.asked("rotate 180") == "rotate: 180"
    assert await me.asked("flash auto") == "flash: auto"
    turned = await me.snap()
    assert len(turned.data) < len(one.data) * 0.9
    assert apart(turned.rotate(180), one) * 4 < apart(turned, one)
    assert [m[0] for m in await lines(me.device, r"^pin 4: .$")] == ["pin 4: 1", "pin 4: 0"]


async def refusals(me):
    (me.device.folder / "no_picture").touch()
    assert await me.asked("snap") == "snap: failed: the camera gives no picture"
    (me.device.folder / "no_picture").unlink()
    for line, answer in (
        ("snap huge", "snap: size must be QVGA, VGA, SVGA, XGA, UXGA, not huge"),
        ("quality 101", "quality: must be a whole number, 10 to 95 %, not 101"),
        ("rotate 90", "rotate: must be 0, 180, not 90"),
        ("quiet 22-7", "quiet: must be like 22:00-07:00, or off, not 22-7"),
        ("quiet 22:00-24:00", "quiet: must be like 22:00-07:00, or off, not 22:00-24:00"),
        ("timelapse often", "timelapse: must be a time such as 90s, 10m or 2h, not often"),
    ):
        assert await me.asked(line) == answer
    for line in ("every 1s for 1h", "every 10s for 2h", "every 10m", "every 0s for 1s"):
        assert "timelapse: must be like every 10m for 2h" in await me.asked("timelapse " + line)


async def alerts(me):
    me.device.set_pins({13: 1})
    assert await me.asked("pause 1h") == "pause: 3600 s"
    await me.owner.say(me.jid, "arm")
    # Three parts of the device say something, in whatever order
    came = [await me.next() for _ in range(3)]
    [photo] = [m for m in came if ">intruder<" in ET.tostring(m.xml, "unicode")]
    came.remove(photo)
    assert sorted(m.body for m in came) == ["armed: on", "intruder: something moves"]
    assert '"armed": "True"' in (me.device.folder / "settings.json").read_text()
    assert (await me.fetched(photo.body)).size == (320, 240)
    assert await me.asked("motion") == "motion: occupied"
    assert await me.asked("quiet 00:00-00:00") == "quiet: 00:00-00:00"
    assert await me.asked("pause 1s") == "pause: 1 s"
    # Nothing in the time of two photos
    assert await me.asked("timelapse every 2s for 4s") == "timelapse: 2 to go"
    while (said := await me.asked("timelapse")) != "timelapse: none":
        assert said in ("timelapse: 2 to go", "timelapse: 1 to go")
        await asyncio.sleep(0.2)
    me.device.set_pins({13: 0})
    assert await me.asked("disarm") == "armed: off"
    assert '"armed": "False"' in (me.device.folder / "settings.json").read_text()


async def time_lapses(me):
    assert await me.asked("timelapse every 10 min for 2 h") == "timelapse: 12 to go"
    assert await me.asked("timelapse stop") == "timelapse: none"
    assert await me.asked("quiet Off") == "quiet: Off"
    assert await me.asked("timelapse every 2s for 4s") == "timelapse: 2 to go"
    first = await me.photo("timelapse, 1 to go")
    assert apart(first, await me.photo("timelapse, 0 to go")) > 0
    assert await me.asked("timelapse") == "timelapse: none"
