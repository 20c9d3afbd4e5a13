"""A door that tells when it is opened and closed."""

import asyncio

from machine import Pin
from thing import Thing

thing = Thing()
moved = thing.event("door")
contact = Pin(14, Pin.IN)


@thing.task
async def watch():
    was = contact.value()
    while True:
        now = contact.value()
        if now != was:
            was = now
            moved("open" if now else "closed")
            print("told:", "open" if now else "closed")
        await asyncio.sleep(0.05)


thing.run()
