"""A full outbox of the usual size in what a busy device has left of its heap:
outbox_full.py FOLDER BALLAST. Prints `kept N most M`: so many texts came out, M bytes of heap
were taken meanwhile."""

import asyncio
import gc
import sys

from outbox import Outbox


def taken():
    gc.collect()
    return gc.mem_alloc()


async def main(folder, ballast):
    ballast = bytearray(int(ballast))
    box = Outbox(folder, print)
    made = 0
    while not box.lost:
        for _ in range(8):
            asyncio.create_task(box.put("temperature: 21.5 \u00b0C, humidity: 45 % " + str(made)))
            await asyncio.sleep(0)
            made += 1
        box.flush()
        await asyncio.sleep(0)
    lost = box.lost
    box = None
    before = most = taken()
    box = Outbox(folder, print)
    assert box.lost == lost
    kept = 0
    while True:
        got = box.next()
        if not got:
            break
        assert got[1].endswith(" " + str(lost + kept)), (got, lost + kept)
        kept += 1
        if kept % 8 == 0:
            most = max(most, taken())
            for _ in range(8):
                box.done()
    assert lost + kept == made, (lost, kept, made)
    box.flush()
    print("kept", kept, "most", most - before)
    return ballast


asyncio.run(main(*sys.argv[1:]))
