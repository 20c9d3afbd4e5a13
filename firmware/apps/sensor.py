"""A sensor station: a DHT22 for temperature and humidity, a relay, a lamp that blinks."""

import asyncio

from dht import DHT22
from machine import Pin
from thing import Thing

DHT_PIN = 4
RELAY_PIN = 5
LAMP_PIN = 2

thing = Thing()
dht = DHT22(Pin(DHT_PIN))
relay_pin = Pin(RELAY_PIN, Pin.OUT, value=0)
lamp_pin = Pin(LAMP_PIN, Pin.OUT, value=0)


@thing.sensor("temperature", unit="°C", every=60, delta=0.5)
def temperature():
    dht.measure()
    return dht.temperature()


@thing.sensor("humidity", unit="%", every=60, delta=5)
def humidity():
    return dht.humidity()


@thing.control("relay", bool, value=False)
def relay(on):
    relay_pin.value(on)


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
