# ruff: noqa: PTH123 - MicroPython has no pathlib
"""A device that makes numbered durable reports. diary.json has `count`, how many; `most`, how many
may wait to arrive; `tune`, attributes of its client. As many are made as the file limit.txt
allows. It prints what is free of its heap with every session, and "all arrived"."""

import asyncio
import gc
import json

from thing import Thing

thing = Thing()
with open("diary.json") as f:
    told = json.load(f)
for key, value in told["tune"].items():
    setattr(thing.client, key, value)
# Faults come in such a hurry that it may look as if restarting helped
thing.guard.reset_after = 0
outbox = thing.outbox()
arrived = 0
_done = outbox.done


def done():
    global arrived
    arrived += 1
    _done()


outbox.done = done


def free():
    gc.collect()
    return gc.mem_free() if hasattr(gc, "mem_free") else 0


def log(text):
    print(text)
    if text.endswith(": online") or text.endswith(": resumed"):
        print("free", free(), "sessions", thing.client.sessions, "made", made)


thing.client.log = log
made = 0


async def write():
    global made
    count = told["count"]
    limit = 0
    while made < count:
        while made >= limit or made - arrived >= told["most"]:
            await asyncio.sleep(0.02)
            with open("limit.txt") as f:
                limit = int(f.read())
        outbox.keep(str(made))
        made += 1
        if not made % 8:
            await asyncio.sleep(0)
    while arrived < count:
        await asyncio.sleep(0.05)
    print("all arrived, free", free())


async def main():
    writer = asyncio.create_task(write())
    await thing.main()
    writer.cancel()


asyncio.run(main())
