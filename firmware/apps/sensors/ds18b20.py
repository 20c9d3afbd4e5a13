"""A DS18B20, the first on its wire: for sensor.py."""

import asyncio

#: As dht22's.
TELLS = (("temperature", "°C", 0.5),)


def begin(pin):
    """As dht22's. Raises OSError where there is none."""
    from ds18x20 import DS18X20
    from machine import Pin
    from onewire import OneWire

    wire = DS18X20(OneWire(Pin(pin)))
    found = wire.scan()
    if not found:
        raise OSError("no DS18B20 answers")

    async def measure():
        wire.convert_temp()
        await asyncio.sleep(0.75)
        return (wire.read_temp(found[0]),)

    return measure
