# ruff: noqa: E402, PTH107, PTH123, UP032 - MicroPython has no pathlib
"""A device whose parts are tuned, and that does what it is told. agent.json has `tune`, attributes
by part; `sensors`, (name, options) of each, which measures what stands in the file NAME.txt; and
`piece`, see fill(). It prints "PBKDF2" when it derives keys from its password. do.txt holds words
for it, a line each, which it removes:

    report N WORD       durable reports "WORD 0" to "WORD N-1"; "safe WORD i" when one is safe
    keep N WORD         the same, without waiting
    say N WORD          reports that are not durable
    now                 print "up SECONDS now TIME cycles WIFI'S"
    login N             a login may take N seconds from now on
    hang                have the client never get through its next try
    fill                leave no heap for a session
"""

import asyncio
import gc
import json
import os
import sys
import time

with open("agent.json") as f:
    told = json.load(f)


def tune(part, target):
    for key, value in told["tune"].get(part, {}).items():
        setattr(target, key, value)


if "ntp" in told["tune"]:
    from thing import ntp

    tune("ntp", ntp)
if "outbox" in told["tune"]:
    from thing.outbox import Outbox

    tune("outbox", Outbox)
if "delivery" in told["tune"]:
    from thing.delivery import Delivery

    tune("delivery", Delivery)

from thing import Thing
from uxmpp.stream import Stream

thing = Thing()
thing.reports.tick_s = 0.05
thing.client.first_pause_s = 0.1
thing.client.max_pause_s = 0.4
tune("client", thing.client)
tune("guard", thing.guard)
tune("thing", thing)
tune("wifi", thing.guard.wifi)
ballast = []
# Its tests ask more than people do
thing.access.owner_burst = thing.access.burst = 1000000
chosen = Stream.choose


async def choose(self, *args):
    mechanism = await chosen(self, *args)
    if hasattr(mechanism, "salted"):
        derived = mechanism.salted

        def salted(salt, rounds):
            print("PBKDF2")
            return (yield from derived(salt, rounds))

        mechanism.salted = salted
    return mechanism


Stream.choose = choose


def declare(name, **options):
    @thing.sensor(name, **options)
    async def read():
        with open(name + ".txt") as f:
            text = f.read()
        if text == "hang":
            print("hanging")
            await asyncio.Event().wait()
        return float(text)


for name, options in told["sensors"]:
    declare(name, **options)


@thing.command("block")
def block():
    print("blocked")
    while True:
        pass


@thing.command("nap", params=(float,))
def nap(seconds):
    time.sleep(seconds)
    return "awake"


@thing.command("eat")
def eat():
    if sys.implementation.name == "micropython":
        return len(bytearray(1 << 24))
    raise MemoryError


@thing.command("heap")
def heap():
    gc.collect()
    return gc.mem_free() if hasattr(gc, "mem_free") else 0


def fill():
    # Until nothing is left that is larger than `piece` bytes
    size = 4096
    gc.collect()
    while size >= told["piece"]:
        try:
            ballast.append(bytearray(size))
        except MemoryError:
            size //= 2
    print("filled")


async def forever():
    print("hanging")
    await asyncio.Event().wait()


async def report(text):
    await thing.report(text, durable=True)
    # In one write: a power cut in the middle of print() leaves half a line
    sys.stdout.write("safe " + text + "\n")


async def do(word, number=0, text=""):
    if word == "login":
        thing.client.login_timeout_s = int(number)
        number = 0
    for i in range(int(number)):
        line = f"{text} {i}"
        if word == "report":
            running.append(asyncio.create_task(report(line)))
        elif word == "keep":
            thing.outbox().keep(line)
        else:
            await thing.report(line)
    if word == "now":
        print("up", thing.clock.uptime_s(), "now", thing.clock.now(), "cycles", thing.guard.cycles)
    elif word == "hang":
        thing.client.on_try = forever
        print("done hang")
    elif word == "fill":
        fill()
    else:
        print("done", word, text)


running = []


async def main():
    running.append(asyncio.create_task(thing.main()))
    while not running[0].done():
        await asyncio.sleep(0.02)
        try:
            with open("do.txt") as f:
                lines = f.read().split("\n")
            os.remove("do.txt")
        except OSError:
            continue
        for line in lines:
            if line:
                await do(*line.split(" "))
    await running[0]


asyncio.run(main())
