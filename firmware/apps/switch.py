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
        self.on = self.wanted = False
        self.off_at = None  # uptime in milliseconds
        self.ended = 0  # likewise: since when it is off
        thing.control(name, bool, value=False)(self.set)
        self.entry = thing.registry.find(name)

    async def set(self, on):
        # What is said last holds, also for who waits for the pause to end
        self.want(on)
        while self.wanted == on != self.on:
            await asyncio.sleep(LOOK_S)
        return self.on

    def want(self, on):
        if on and INTERLOCK:
            for r in relays:
                if r is not self and (r.on or r.wanted):
                    r.want(False)
        self.wanted = on
        if self.on or not on:
            self.put(on)

    def put(self, on):
        # Whatever fails here: what may be on counts as on, and goes off in time
        after = setting("auto-off") * 1000 if on else 0
        if on:
            now = thing.clock.uptime_ms()
            self.off_at = now + after if after else None
            self.on = True
            self.pin.value(ON)
        else:
            self.pin.value(1 - ON)
            now = thing.clock.uptime_ms()
            self.ended = now if self.on else self.ended
            self.off_at = None
            self.on = False
        self.entry.value = on
        self.entry.when = now // 1000
        if setting("power-on") == "last":
            keep()
        thing.changed(self.entry)

    def may(self, now):
        # Whether it may go on
        for r in relays:
            if INTERLOCK and r is not self and (r.on or now - r.ended < PAUSE_S * 1000):
                return False
        return True

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
    save(path, {r.entry.name: r.on for r in relays}, thing.log)


relays = [Relay(*r) for r in RELAYS]
pressed = thing.event("button")
thing.setting("auto-off", int, min=0, max=86400, unit="s", value=0)(lambda seconds: None)


@thing.setting("power-on", ("off", "on", "last"), value="off")
def power_on(choice):
    global started
    if started:
        if choice == "last":
            keep()
        return
    started = True
    kept = load(path, thing.log) if choice == "last" else {}
    for r in relays:
        if choice == "on" or kept.get(r.entry.name) is True:
            r.wanted = True
            if INTERLOCK:
                break


@thing.task
async def watch():
    while True:
        await asyncio.sleep(LOOK_S)
        now = thing.clock.uptime_ms()
        for r in relays:
            if r.off_at is not None and now >= r.off_at:
                r.want(False)
        for r in relays:
            r.entry.value = r.on  # whatever came in between while it was set
            if r.button and r.look():
                r.want(not r.wanted)
                pressed("{} {}".format(r.entry.name, "on" if r.wanted else "off"))
            if r.wanted and not r.on and r.may(now):
                r.put(True)


thing.run()
