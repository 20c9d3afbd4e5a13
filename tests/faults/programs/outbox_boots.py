"""One boot of a device with an outbox on littlefs, until its power fails: outbox_boots.py IMAGE
FIRST STOP HOW. Puts texts from number FIRST on, and says what becomes of each, one a line:
`has N ID` when it was there already, `put N`, `out N ID`, `saved N`, `arrived N`; and how many
are lost, `lost N`. STOP 0 makes the file system."""
# ruff: noqa: UP032

import asyncio
import sys

import vfs
from block import BlockFile
from outbox import Outbox

LIMITS = {"max_bytes": 2400, "segment_bytes": 600, "batch_bytes": 250, "max_text": 90}
MOST = 2000


def text(i):
    return "{} humidity {} \u00b0".format(i, "x" * (i * 7 % 60))


def show(word, got):
    n = int(got[1].split()[0])
    assert got[1] == text(n), got
    print(word, n, got[0])
    return n


async def put(box, i):
    await box.put(text(i))
    print("saved", i)


async def main(first):
    box = Outbox("/flash/outbox", lambda line: "room" in line or print("log", line))
    for k in LIMITS:
        setattr(box, k, LIMITS[k])
    box.max_out = 100
    print("lost", box.lost)
    while True:
        got = box.next()
        if not got:
            break
        show("has", got)
    box.rewind()
    print("up")
    out = []
    for i in range(first, first + MOST):
        print("put", i)
        asyncio.create_task(put(box, i))
        await asyncio.sleep(0)
        # For a while nothing arrives, and then all does
        if i % 80 > 50:
            while True:
                got = box.next()
                if not got:
                    break
                out.append(show("out", got))
            while len(out) > 2:
                box.done()
                print("arrived", out.pop(0))
        if not i % 5:
            box.flush()
            await asyncio.sleep(0)
            print("flushed")


def start(image, first, stop, how):
    geometry = {"readsize": 32, "progsize": 32, "lookahead": 32}
    flash = BlockFile(image, 4096, 16, int(stop) or None, how)
    if not int(stop):
        vfs.VfsLfs2.mkfs(flash, **geometry)
        return
    vfs.mount(vfs.VfsLfs2(flash, **geometry), "/flash")
    asyncio.run(main(int(first)))


start(*sys.argv[1:])
