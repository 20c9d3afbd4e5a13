# ruff: noqa: PTH123 - MicroPython has no pathlib
"""The app `camera`, which the test puts beside this as `shots`, and what its transfers take of the
heap. Each frame is in the file frame.jpg, too.

From the first command `heap` on, all garbage is collected whenever the loop turns. What was in use
then, at least and at most since the command before, in bytes, is the answer: with nothing going on
in between for a moment, the least is the idle device, and the most the peak of what was done."""

import asyncio
import gc
import sys

from thing import Thing

run = Thing.run
Thing.run = lambda self: None

from shots import camera, thing  # noqa: E402 - it runs what it has declared

capture = camera.capture
loaded = list(sys.modules)
looking = False
least = most = 0


def shoot():
    frame = capture()
    with open("frame.jpg", "wb") as f:
        f.write(frame)
    return frame


camera.capture = shoot
thing.client.first_pause_s = 0.4
thing.surfaces["chat"].slow_s = 60
thing.surfaces["files"].pause_s = 0.2


@thing.command("heap", params=())
def heap():
    global looking, least, most
    said = f"{least} {most}"
    gc.collect()
    least = most = gc.mem_alloc()
    looking = True
    return said


@thing.task
async def watch():
    global least, most
    while True:
        if looking:
            gc.collect()
            now = gc.mem_alloc()
            least = min(least, now)
            if now > most:
                most = now
                if now - least > 11500:  # who looks for it finds it in the console
                    print("heap", now - least, [m for m in sys.modules if m not in loaded])
        await asyncio.sleep(0 if looking else 0.05)


run(thing)
