# ruff: noqa: PTH123, PTH208 - MicroPython has no pathlib
"""A device that sleeps, and hurries where others have time. level.txt is what it measures; with a
file hurry.txt it has no patience with servers that are not there."""

import os
import sys

from thing import Thing
from thing.registry import Param
from thing.sleep import Sleep

Sleep.min_s = 1
Sleep.tick_s = 0.05
if "hurry.txt" in os.listdir():
    Sleep.patience_s = 1
thing = Thing()
thing.client.first_pause_s = 0.2
thing.presence.min_s = 0.1
if thing.config.get("wifi"):
    from network import WLAN

    # As boards have them
    WLAN.PM_PERFORMANCE, WLAN.PM_POWERSAVE = 1, 2
    config = WLAN.config

    def said(self, *names, **values):
        if "pm" in values:
            print("pm", values["pm"])
        return config(self, *names, **values)

    WLAN.config = said


@thing.sensor("level", unit="cm", every=900, high=50)
def level():
    with open("level.txt") as f:
        return float(f.read())


@thing.sensor("rare", every=2700)
def rare():
    return 7


@thing.sensor("safe", every=900, durable=True)
def safe():
    return 3


@thing.control("lamp", bool, value=False)
def lamp(on):
    print("lamp", on)


@thing.command("nap", params=(Param("time", int, unit="s"),))
def nap(seconds):
    return thing.sleep(seconds)


@thing.command("modules", params=())
def modules():
    return " ".join([name for name in sys.modules if name in ("thing.nap", "uxmpp.suspend")])


thing.run()
