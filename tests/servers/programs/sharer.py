# ruff: noqa: PTH123 - MicroPython has no pathlib
"""A device that sends files and takes some. `tune.json` has attributes of its surface `files`."""

import asyncio
import json

from thing import Thing
from thing.files import File
from thing.registry import Param

thing = Thing()
thing.client.first_pause_s = 0.4
thing.access.owner_burst = thing.access.burst = thing.access.total_burst = 10000
thing.surfaces["chat"].slow_s = 60
with open("tune.json") as f:
    for name, value in json.load(f).items():
        setattr(thing.surfaces["files"], name, value)
size = Param("size", int)
tiny = (b"\x89PNG tiny", "image/png", 8, 6)


def pieces(size):
    # As of a picture that is drawn: one buffer, and no whole anywhere
    buffer = bytearray(1000)
    for at in range(0, size, 1000):
        buffer[:] = bytes([at // 1000 & 255]) * 1000
        yield memoryview(buffer)[: min(1000, size - at)]


@thing.command("draw", params=(size,))
def draw(size):
    return File("drawn.png", "image/png", (size, lambda: pieces(size)), "a day", 320, 120, tiny)


@thing.command("snap", params=(Param("text", default=""),))
def snap(text):
    return File("photo.jpg", "image/jpeg", "picture.jpg", text)


@thing.command("shot", params=())
def shot():
    return snap("")


@thing.command("lie", params=())
def lie():
    return File("short.bin", "x/y", (5000, lambda: pieces(4000)))


@thing.command("lost", params=())
def lost():
    return File("lost.bin", "x/y", "nothing.bin")


@thing.command("tune", params=(Param("name"), Param("value", int)))
def tune(name, value):
    setattr(thing.surfaces["files"], name, value)


@thing.command("tell", params=(Param("jid", default=""),))
async def tell(jid):
    done = []
    photo = File("alarm.jpg", "image/jpeg", b"\xff\xd8 alarm", done=lambda: done.append(1))
    text = await thing.share(photo, jid or None)
    return f"{text} {done}"


@thing.file("face", suffix=".raw", max=20000)
def face(path):
    with open(path, "rb") as f:
        begin = f.read(3)
    if begin == b"bad":
        raise ValueError("that is no face")
    if begin == b"odd":
        raise RuntimeError("out of paint")
    return f"{path} begins with {begin}"


@thing.file("clip", suffix=".wav", max=5000, role="operator")
async def clip(path):
    await asyncio.sleep(0)


@thing.file("other", suffix=".wav", max=3000)
def other(path):
    return File("back.wav", "audio/wav", path)


thing.run()
