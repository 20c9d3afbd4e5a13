# ruff: noqa: PTH123 - MicroPython has no pathlib
"""Draws the chart of a history in flash, as a device does: painter.py FOLDER/ NOW ENTRY UNIT KEEP
SECONDS ZONE. The history is below the folder, and chart.png goes there. Prints bytes of heap and
milliseconds."""

import asyncio
import gc
import sys
import time

from thing.history import History
from thing.plotting import draw
from thing.registry import Registry, Sensor
from thing.zone import Zone

folder, now, name, unit, keep, seconds, zone = sys.argv[1:]


class Device:
    log = print

    def __init__(self):
        self.folder = folder
        self.clock = self
        self.registry = Registry()

    def now(self):
        return int(now)

    def uptime_s(self):
        return 60


def used():
    gc.collect()
    return gc.mem_alloc()


def main():
    device = Device()
    entry = device.registry.add(Sensor(name, None, unit=unit, keep=int(keep)))
    history = History(device)
    before = used()
    begin = time.ticks_ms()
    size, chunks = asyncio.run(draw(history, entry, int(seconds), int(now), Zone(zone)))
    drawn = time.ticks_ms()
    kept = used() - before
    most = 0
    with open(folder + "chart.png", "wb") as f:
        for piece in chunks():
            f.write(piece)
            most = max(most, used() - before)
    begin = time.ticks_diff(drawn, begin)
    done = time.ticks_diff(time.ticks_ms(), drawn)
    print("size", size, "kept", kept, "most", most, "drawn", begin, "written", done)


main()
