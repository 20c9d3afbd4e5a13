# ruff: noqa: PTH123 - MicroPython has no pathlib
"""A device that measures what stands in files, and prints each reading. meter.json has `tune`,
attributes of its client, and `sensors`, (name, options) of each; `takes` among the options are the
seconds that one reading after another takes. The command `tune` sets such an attribute later."""

import asyncio
import json

from thing import Thing
from thing.registry import Param
from thing.reports import Reports

Reports.tick_s = 0.05
thing = Thing()
with open("meter.json") as f:
    told = json.load(f)
for key, value in told["tune"].items():
    setattr(thing.client, key, value)
thing.guard.reset_after = 0  # the pauses are short, the start of a server is not


def declare(name, takes=(0,), **options):
    number = 0

    @thing.sensor(name, **options)
    async def read():
        nonlocal number
        await asyncio.sleep(takes[number % len(takes)])
        number += 1
        with open(name + ".txt") as f:
            text = f.read()
        print(name, text)
        if text == "broken":
            raise OSError("no echo")
        try:
            return float(text)
        except ValueError:
            return text


@thing.command("tune", params=(Param("name"), Param("value", float)))
def tune(name, value):
    setattr(thing.client, name, value)


for name, options in told["sensors"]:
    declare(name, **options)
thing.run()
