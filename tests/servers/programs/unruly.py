"""Sensors that do what no sensor should, and one that works."""

import asyncio

from thing import Thing

thing = Thing()
thing.read_s = 0.5
odd = [21.5, "n/a", 22.5, b"x", (1, 2), float("nan"), None, 10**40]
count = 0


@thing.sensor("hangs", every=1)
async def hangs():
    await asyncio.Event().wait()


@thing.sensor("cancels", every=1)
async def cancels():
    raise asyncio.CancelledError


@thing.sensor("odd", delta=0.5, poll=0.3, high=30)
def odd_values():
    odd.append(odd.pop(0))
    return odd[-1]


@thing.sensor("raises", every=1)
def raises():
    raise MemoryError("none left")


@thing.sensor("good", every=1)
def good():
    global count
    count += 1
    print("good", count)
    return count


@thing.setting("stuck", int, value=1)
async def stuck(value):
    await asyncio.Event().wait()


@thing.task
async def cancelled():
    print("begun")
    raise asyncio.CancelledError


thing.run()
