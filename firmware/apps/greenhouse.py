"""A greenhouse, with one of each thing that can be declared."""

import asyncio

from dht import DHT22
from machine import Pin
from thing import Thing
from thing.registry import Param

thing = Thing()
air = DHT22(Pin(4))
motion, door = Pin(13, Pin.IN), Pin(14, Pin.IN)
lamp, valve = Pin(2, Pin.OUT), Pin(5, Pin.OUT)


@thing.sensor("temperature", unit="°C", every=3600, low=3, high=35, hysteresis=1, keep=300)
def temperature():
    air.measure()
    return air.temperature()


@thing.occupancy("visitor", hold=60)
def visitor():
    return motion.value()


@thing.control("light", bool, value=False)
def light(on):
    lamp.value(on)


@thing.control("vent", ("closed", "half", "open"), value="closed")
def vent(position):
    print("vent:", position)


@thing.setting("pause", float, min=0, max=24, unit="h", value=8)
def pause(hours):
    print("pause:", hours)


@thing.command("water", params=(Param("time", int, min=1, max=600, unit="s", default=30),))
async def water(time):
    valve.on()
    await asyncio.sleep(time)
    valve.off()
    return "{} s of water".format(time)


@thing.command("drain", params=(), role="owner", confirm=True)
def drain():
    return "the tank is empty"


opened = thing.event("opened", text="the door is open", alarm=True)


@thing.task
async def watch_door():
    was = door.value()
    while True:
        if door.value() != was:
            was = not was
            if was:
                opened()
        await asyncio.sleep(0.1)


thing.run()
