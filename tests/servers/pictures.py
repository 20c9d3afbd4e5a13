"""The pictures in docs/: `python -m tests.servers.pictures [chart] [camera]` makes them anew.

chart-day.png is what a device, 32-bit MicroPython in a board's heap, draws of a made-up day;
camera-converse.png what the owner of the app `camera` sees in a web page, by converse.js.
"""

import math
import struct
import sys
import tempfile
from binascii import crc32
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from host_tools.flash import bytecode
from host_tools.lab import micropython
from host_tools.lab.chromium import Chromium
from host_tools.lab.converse import Converse
from host_tools.lab.device import BOARD_HEAP, Device
from host_tools.lab.errors import LabError
from host_tools.lab.lab import Lab

DOCS = Path(__file__).resolve().parents[2] / "docs"
CHART = DOCS / "chart-day.png"
CAMERA = DOCS / "camera-converse.png"
PAINTER = Path(__file__).resolve().parent / "programs" / "painter.py"

#: The day: when it ends, in epoch seconds, and seconds of a slot.
NOW = 1795343250
KEEP = 300
DAY = 86400
ZONE = "CET-1CEST,M3.5.0,M10.5.0/3"

PERSON = "anna"
DEVICE = "camera"
PASSWORDS = {PERSON: "a person's password", DEVICE: "a device's password"}
#: Of the web page, in pixels.
SIZE = (860, 840)


def keep_history(folder, name, keep, slots):
    """Write `slots`, (begin in epoch seconds, mean, low, high), as thing.history has them, into
    the folder `history` of a device's."""
    folder = folder / "history"
    folder.mkdir(exist_ok=True)
    records = []
    for when, *values in slots:
        data = struct.pack("<Ifff", when // keep, *values)
        records.append((when // keep, data + struct.pack("<H", crc32(data) & 0xFFFF)))
    for i in range(0, len(records), 227):
        part = records[i : i + 227]
        path = folder / f"{name.encode().hex()}.{keep}.{part[0][0]}"
        path.write_bytes(b"".join(data for _, data in part))


def day():
    """The slots of a day in a greenhouse: the sun comes, the window is opened, and for an hour
    and a half the power is off."""
    for i in range(DAY // KEEP):
        when = (NOW - DAY) // KEEP * KEEP + KEEP * (i + 1)
        hour = (when + 3600) % DAY / 3600
        if 3.5 <= hour < 5:
            continue
        sun = max(0.0, math.sin((hour - 7) / 11 * math.pi)) if 7 < hour < 18 else 0.0
        mean = 13.5 + 8.5 * sun + 2.5 * math.cos((hour - 17) / 12 * math.pi)
        mean += 0.35 * math.sin(when / 1700) + 0.2 * math.sin(when / 610)
        if 13 <= hour < 14.2:
            mean -= 3.5 * math.sin((hour - 13) / 1.2 * math.pi)
        spread = 0.25 + 0.6 * sun
        yield when, mean, mean - spread, mean + spread


def chart(folder):
    """Have the chart of the day drawn in a folder; returns the picture's path and what the program
    printed. Raises LabError."""
    keep_history(folder, "temperature", KEEP, day())
    bytecode.library(folder / "flash")
    told = [f"{folder}/", NOW, "temperature", "°C", KEEP, DAY, ZONE]
    done = micropython.find(32).run(
        PAINTER, *map(str, told), heap=BOARD_HEAP, path=[folder / "flash"]
    )
    if done.returncode:
        raise LabError(f"no chart: {done.stdout} {done.stderr}")
    return folder / "chart.png", done.stdout


@dataclass(frozen=True)
class Seen:
    """What the owner of a camera sees: `picture`, width and height of the one that was loaded;
    `status`, the HTML of the answer."""

    picture: tuple[int, int]
    status: str


def websocket(lab):
    """Where a lab's Prosody with the module `websocket` has it."""
    return f"wss://{lab.domain}:{lab.server.https_port}/xmpp-websocket"


def camera(lab, path):
    """Have `snap` and `status` said to a camera in a web page, and write what is seen to `path`.
    Raises LabError."""
    jid = lab.jid(DEVICE)
    device = Device(
        lab.device_config(DEVICE, owners=[PERSON], surfaces=["chat", "files", "rich"]),
        folder=lab.folder / DEVICE,
        app="camera",
        files=[lab.ca_der],
    )
    server = lab.server
    with (
        device,
        Chromium(hosts={lab.domain: server.host}, trusted=[server.certificate]) as browser,
        Converse(
            browser,
            lab.jid(PERSON),
            lab.accounts[PERSON],
            websocket(lab),
            width=SIZE[0],
            height=SIZE[1],
            settings={"auto_join_private_chats": [jid]},
        ) as page,
    ):
        device.wait_online()
        page.accept(jid, DEVICE)
        page.say("status")
        status = page.message("free")
        page.say("snap")
        page.message(".jpg, ")
        picture = page.picture()
        page.screenshot(path)
        return Seen(picture, status)


def main(*names):
    for name in names or ("chart", "camera"):
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder)
                if name == "chart":
                    path, said = chart(path)
                    target = CHART
                else:
                    with Lab(PASSWORDS, modules=("websocket",)) as lab:
                        path /= "camera.png"
                        said = camera(lab, path)
                    target = CAMERA
                with Image.open(path) as image:
                    image.save(target, optimize=True)
                print(f"{target}: {said}".strip())
        except LabError as e:
            sys.exit(f"pictures: {e}")


if __name__ == "__main__":
    main(*sys.argv[1:])
