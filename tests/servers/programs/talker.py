"""The app `everything`, with what takes long or goes wrong. More may be asked of it at a time, and
from a `go` to the next `work` it loses its patience sooner, lest the tests wait: not at other
times, when a busy machine may make anything take that long."""

import asyncio

from thing import Thing
from thing.registry import Param
from thing.words import Pending

run = Thing.run
Thing.run = lambda self: None

from everything import thing  # noqa: E402 - it runs what it has declared

go_on = asyncio.Event()
thing.access.owner_burst = thing.access.burst = thing.access.total_burst = 10000
chat = thing.surfaces["chat"]
chat.slow_s = 60
thing.registry.find("temperature").poll = 86400  # it is read when somebody asks


@thing.command("work", params=())
async def work():
    chat.slow_s = 60  # of what comes next: the patience with this one is counted already
    go_on.clear()
    await go_on.wait()


@thing.command("go", params=())
def go():
    chat.slow_s = 0.1
    go_on.set()


@thing.command("hurry", params=(Param("confirm_s", int),))
def hurry(confirm_s):
    Pending.confirm_s = confirm_s


@thing.command("add", params=(Param("a", int), Param("b", float, default=0.5)))
def add(a, b):
    return a + b


@thing.command("fail", params=())
def fail():
    raise RuntimeError("out of paper")


@thing.command("refuse", params=())
def refuse():
    raise ValueError("not on a Sunday")


run(thing)
