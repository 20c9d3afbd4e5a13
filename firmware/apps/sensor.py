"""A sensor station: what one sensor measures, movement, a relay, and a lamp that blinks. Which
sensors there are, how they are wired and where their drivers come from: docs/sensor.md."""

import asyncio

from machine import Pin
from thing import Thing

SENSOR = "dht22"  # or "ds18b20", "bme280", "sht3x"; "i2c": which of the last two answers
PINS = (4,)  # of a DHT22 or DS18B20 the one for data, of the others SDA and SCL
MOTION_PIN = None  # of a sensor of movement
RELAY_PIN = 5
LAMP_PIN = 2

if SENSOR == "i2c":
    from sensors.i2c import find

    SENSOR = find(*PINS)
sensor = __import__("sensors." + SENSOR, None, None, ("begin",))
thing = Thing()
lamp_pin = Pin(LAMP_PIN, Pin.OUT, value=0)
measure = None
values = ()


async def read(i):
    # The first is measured anew, the others come with it
    global measure, values
    if not i or not values:
        values = ()
        begun, measure = measure or sensor.begin(*PINS), None  # which fails is begun anew
        new = begun()
        if hasattr(new, "send"):
            new = await new
        values, measure = new, begun
    return values[i]


for i, (name, unit, delta) in enumerate(sensor.TELLS):
    thing.sensor(name, unit=unit, every=60, delta=delta)(lambda i=i: read(i))
if MOTION_PIN is not None:
    thing.occupancy("movement", hold=60)(Pin(MOTION_PIN, Pin.IN).value)
thing.control("relay", bool, value=False)(Pin(RELAY_PIN, Pin.OUT, value=0).value)


@thing.command("blink", params=(int,))
async def blink(times=3):
    if not 0 < times <= 10:
        raise ValueError("1 to 10 times")
    for _ in range(times):
        lamp_pin.value(1)
        await asyncio.sleep(0.2)
        lamp_pin.value(0)
        await asyncio.sleep(0.2)
    return "{} times".format(times)


thing.run()
