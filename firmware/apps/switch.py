"""Relays with push buttons, that may exclude each other, go off by themselves, and know what to do
after a power cut. How they are wired: docs/switch.md."""

import asyncio

from machine import Pin
from thing import Thing
from thing.store import load, save

RELAYS = (("relay1", 5, 13), ("relay2", 12, 14))  # name, pin, pin of a button or None
ON = 1  # the level at which a relay is on; many boards have 0
PRESSED = 0  # the level of a button that is pressed
INTERLOCK = True  # no two relays are on at a time
PAUSE_S = 0.5  # between the one's end and the other's beginning
LOOK_S = 0.02  # how often buttons are looked at
STEADY = 3  # for so many looks a level has to stay: contacts bounce

thing = Thing()
path = thing.folder + "relays.json"
started = False


class Relay:
    def __init__(self, name, pin, button):
        self.pin = Pin(pin, Pin.OUT, value=1 - ON)
        self.button = None if button is None else Pin(button, Pin.IN, Pin.PULL_UP)
        self.level = self.button and self.button.value()  # the last steady one
        self.looks = 0  # at another level since then
        self.wanted = False
        self.off_at = None  # uptime in seconds
        thing.control(name, bool, value=False)(self.set)
        self.entry = thing.registry.find(name)

    async def set(self, on):
        # Who waits for the others to be off may find that something else is wanted by then
        self.wanted = on
        while on and INTERLOCK:
            others = [r for r in relays if r is not self]
            running = [r for r in others if r.entry.value]
            for r in others:
                r.wanted = False
            for r in running:
                r.put(False)
            if not running:
                break
            await asyncio.sleep(PAUSE_S)
            if not self.wanted:
                return self.entry.value
        self.put(on)
        return on

    def put(self, on):
        self.pin.value(ON if on else 1 - ON)
        now = thing.clock.uptime_s()
        after = setting("auto-off")
        self.off_at = now + after if on and after else None
        self.entry.value = on
        self.entry.when = now
        thing.changed(self.entry)
        if setting("power-on") == "last":
            keep()

    def look(self):
        # Whether the button was pressed
        level = self.button.value()
        self.looks = self.looks + 1 if level != self.level else 0
        if self.looks < STEADY:
            return False
        self.level = level
        self.looks = 0
        return level == PRESSED


def setting(name):
    return thing.registry.find(name).value


def keep():
    save(path, {r.entry.name: r.entry.value for r in relays}, thing.log)


relays = [Relay(*r) for r in RELAYS]
pressed = thing.event("button")
thing.setting("auto-off", int, min=0, max=86400, unit="s", value=0)(lambda seconds: None)


@thing.setting("power-on", ("off", "on", "last"), value="off")
async def power_on(choice):
    global started
    if started:
        if choice == "last":
            keep()
        return
    started = True
    kept = load(path, thing.log) if choice == "last" else {}
    for r in relays:
        if choice == "on" or kept.get(r.entry.name) is True:
            await r.set(True)
            if INTERLOCK:
                break


@thing.task
async def watch():
    while True:
        await asyncio.sleep(LOOK_S)
        for r in relays:
            if r.off_at is not None and thing.clock.uptime_s() >= r.off_at:
                r.put(False)
            if r.button and r.look():
                on = await r.set(not r.entry.value)
                pressed("{} {}".format(r.entry.name, "on" if on else "off"))


thing.run()
