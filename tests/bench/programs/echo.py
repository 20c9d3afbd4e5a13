# mypy: ignore-errors
# ruff: noqa: PTH123 - MicroPython has no pathlib
"""A device that says what it is told, as a user would write it."""

import asyncio
import gc
import os
import sys

import config
from uxmpp.client import Client
from uxmpp.xml import Element

gc.threshold(2048)  # a small heap must not be cut into pieces before it is collected
echoed = 0


def message(to, text):
    el = Element("message", None, {"to": to, "type": "chat"})
    el.add("body", None, None, text)
    return el


async def echo(el, payload):
    global echoed
    body = el.find("body")
    if body:
        await client.send(message(el.get("from"), body.text))
        echoed += 1


async def online():
    await client.send(Element("presence"))
    await client.send(message(config.OWNER, "ready " + os.getenv("BENCH_TRIAL")))


def log(text):
    print(text)
    if not text.endswith(": online"):
        sys.exit(1)  # the first thing that goes wrong decides: no second try here


with open(config.CA, "rb") as f:
    client = Client(
        config.JID, config.PASSWORD, f.read(), host=config.HOST, port=config.PORT,
        direct=config.DIRECT,
    )  # fmt: skip
client.log = log
client.on_online = online
client.on("message", None, echo)


def main():
    asyncio.run(client.run())
