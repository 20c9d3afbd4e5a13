# mypy: ignore-errors
# ruff: noqa: PTH123 - MicroPython has no pathlib
"""A device with a ReliableClient that tells of each line it has to the server: how many sessions
there were, whether the last one goes on after a cut, and the milliseconds from TCP's connect."""

import asyncio
import sys
import time

import config
from uxmpp.reliable import ReliableClient

begin = 0


async def trying():
    global begin
    begin = time.ticks_ms()


def line():
    took = time.ticks_diff(time.ticks_ms(), begin)
    print("line", client.sessions, client.acks(), took)


async def online():
    print("modules", *sorted([name for name in sys.modules if name.startswith("uxmpp")]))


with open(config.CA, "rb") as f:
    client = ReliableClient(
        config.JID, config.PASSWORD, f.read(), host=config.HOST, port=config.PORT, direct=True
    )
client.first_pause_s = client.max_pause_s = 0.05
client.on_try = trying
client.on_line = line
client.on_online = online


def main():
    asyncio.run(client.run())
