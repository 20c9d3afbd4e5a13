# mypy: ignore-errors
# ruff: noqa: PTH123 - MicroPython has no pathlib
"""A device that logs in, and no more."""

import asyncio
import sys

import config
from uxmpp.client import Client


async def online():
    sys.exit(0)


def log(text):
    if not text.endswith(": online"):
        print(text)
        sys.exit(1)


with open(config.CA, "rb") as f:
    client = Client(
        config.JID, config.PASSWORD, f.read(), host=config.HOST, port=config.PORT,
        direct=config.DIRECT,
    )  # fmt: skip
client.log = log
client.on_online = online


def main():
    asyncio.run(client.run())
