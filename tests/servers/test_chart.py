"""The chart that a device draws and sends, and what it says where it cannot."""

import asyncio
import hashlib
import ssl
import time
import urllib.request
from base64 import b64decode
from contextlib import closing
from io import BytesIO

from PIL import Image, ImageChops
from thing.chart import PALETTE
from thing.font import columns

from host_tools.lab.lab import Lab

from .helper import PASSWORDS, device_of, online, owner_of
from .pictures import CHART, chart, keep_history

TEST_LIMIT_S = 120.0
KEEP = 300
DAY = 86400
PLOT = range(26, 143)  # rows
TEXT, LINE = 2, 3
FILE = "{urn:xmpp:file:metadata:0}file"
THUMB = "{urn:xmpp:thumbs:1}thumbnail"
SLOW = "chart: I am at it."
#: One chart is 13.5 KB, two are more.
QUOTA = 20_000


def test_the_picture_in_the_documents(tmp_path):
    path, said = chart(tmp_path)
    with Image.open(path) as drawn, Image.open(CHART) as kept:
        assert ImageChops.difference(drawn.convert("RGB"), kept.convert("RGB")).getbbox() is None
    words = said.split()
    figures = {name: int(words[words.index(name) + 1]) for name in ("size", "kept", "most")}
    # asyncio, that such a program has not loaded before, is 4 KB of it
    assert figures["size"] == 13494 and figures["kept"] < 7000 and figures["most"] < 7000, said


class Chart:
    """The pixels of a PNG, by Pillow."""

    def __init__(self, data):
        with Image.open(BytesIO(data)) as image:
            image.load()
            assert (image.format, image.mode, image.size) == ("PNG", "P", (320, 160))
            assert bytes(image.getpalette()[:12]) == PALETTE
            self.rows = [image.crop((0, y, 320, y + 1)).tobytes() for y in range(160)]

    def says(self, text):
        """Whether a text stands there."""
        wanted = columns(text)[:-1]
        lines = [bytes(TEXT * (c >> y & 1) for c in wanted) for y in range(7)]
        return any(
            all(self.rows[y + i][x : x + len(wanted)] == line for i, line in enumerate(lines))
            for y in range(154)
            for x in range(320 - len(wanted))
            if self.rows[y][x : x + len(wanted)] == lines[0]
        )

    def line(self, share):
        """The rows of the line where so much of the day is over."""
        left = max(row.find(TEXT) for row in self.rows[26:142]) + 1
        x = left + int((312 - left) * share)
        return [y for y in PLOT if self.rows[y][x] == LINE]


def plateaus(now):
    """A history that began a day ago: 10, nothing, 15, and 20 °C, a quarter each."""
    first = (now - DAY) // KEEP + 1
    for i in range(DAY // KEEP - 2):
        level = (10.0, None, 15.0, 20.0)[i * 4 * KEEP // DAY]
        if level is not None:
            yield (first + i) * KEEP, level, level, level


def test_chart():
    async def main(lab):
        now = int(time.time())
        device = device_of(
            lab, "32", "greenhouse", surfaces=["chat", "history", "files"], timezone="<+03>-3"
        )
        keep_history(device.folder, "temperature", KEEP, plateaus(now))
        (device.folder / "readings.json").write_text('{"dht": [[20.0, 40.0]]}')
        with device:
            async with owner_of(lab) as owner:
                jid = await online(device)

                async def heard():
                    # What is only to say that it takes long here
                    while (message := await owner.next_message(jid)).body == SLOW:
                        pass
                    return message

                async def asked(line):
                    await owner.say(jid, line)
                    return (await heard()).body

                assert (await heard()).body.startswith("temperature: 20 °C")
                await owner.say(jid, "chart temperature 24h")
                message = await heard()
                url = message.body
                assert url.startswith("https://") and url.endswith("/temperature.png"), url
                assert "temperature.png, 13 KB" in (await heard()).body
                tls = ssl.create_default_context(cafile=lab.ca_pem)

                def fetch():
                    with closing(urllib.request.urlopen(url, context=tls)) as answer:
                        return answer.read()

                picture = Chart(await asyncio.to_thread(fetch))
                for text in ("temperature °C", "min 10, max 20", "06:00", "18:00"):
                    assert picture.says(text), text
                # The hour may have ended meanwhile
                hours = [time.gmtime(t + 3 * 3600) for t in (now, time.time())]
                hours = [time.strftime("%Y-%m-%d %H:", hour) for hour in hours]
                assert any(map(picture.says, hours)), hours
                for share, rows in ((0.1, 142), (0.6, 84), (0.9, 26)):
                    assert picture.line(share)[-1] in (rows, rows - 1), picture.line(share)
                assert not picture.line(0.3) and not picture.line(0.45)
                # The thumbnail has the same line: 10, nothing, 15, 20
                named = message.xml.find(f".//{FILE}/{THUMB}")
                told = [named.get(name) for name in ("media-type", "width", "height")]
                assert told == ["image/png", "80", "40"]
                cid = named.get("uri").removeprefix("cid:")
                answer = await owner.iq(jid, f"<data xmlns='urn:xmpp:bob' cid='{cid}'/>")
                data = b64decode(answer.findtext("{urn:xmpp:bob}data"))
                assert cid == f"sha1+{hashlib.sha1(data).hexdigest()}@bob.xmpp.org"
                assert len(data) < 700, len(data)
                with Image.open(BytesIO(data)) as image:
                    assert (image.format, image.size) == ("PNG", (80, 40))
                    small = image.convert("RGB")
                marked = [
                    [y for y in range(40) if small.getpixel((x, y)) != (255, 255, 255)]
                    for x in (8, 30, 48, 72)
                ]
                assert marked == [[39], [], [20], [0]], marked
                # What cannot be
                assert await asked("chart visitor") == "chart: there is no history of visitor"
                assert "60 s to 7 days" in await asked("chart temperature 1s")
                # The server takes no more today: in words, then, and why
                said = (await asked("chart temperature 24h")).splitlines()
                assert said[0].startswith("temperature, last 24 h: min 10 °C at "), said
                assert len(said) == 3 and "temperature.png: cannot be sent: " in said[2], said
                # And with nothing to show
                assert (await asked("chart humidity")).startswith("chart: there is no history")
                output = device.output()
                assert "MemoryError" not in output, output

    with Lab(PASSWORDS, upload_quota=QUOTA) as lab:
        asyncio.run(asyncio.wait_for(main(lab), TEST_LIMIT_S))
