# ruff: noqa: PTH123 - MicroPython has no pathlib
"""The client alone, with nothing of the agent: says what it is told, and `memory` what is free.
Its device.json has `tune`, attributes of the client, `dns`, those of uxmpp.resolver, and
`reliable`, whether it is a ReliableClient, too."""

import asyncio
import gc
import json

from uxmpp import resolver
from uxmpp.client import Client
from uxmpp.xml import Element

with open("device.json") as f:
    config = json.load(f)
for key, value in config.pop("dns").items():
    setattr(resolver, key, value)
tune = config.pop("tune")
if "ca" in config:
    with open(config["ca"], "rb") as f:
        config["ca"] = f.read()
if config.pop("reliable", False):
    from uxmpp.reliable import ReliableClient as Client
client = Client(**config)
for key, value in tune.items():
    setattr(client, key, value)


async def online():
    await client.send(Element("presence"))


async def message(stanza, payload):
    body = stanza.find("body")
    if stanza.truncated:
        text = "truncated"
    elif not body:
        return
    elif body.text == "memory":
        gc.collect()
        text = str(gc.mem_free()) if hasattr(gc, "mem_free") else "0"
    else:
        text = body.text
    answer = Element("message", None, {"to": stanza.get("from"), "type": "chat"})
    answer.add("body", None, None, text)
    await client.send(answer)


client.on_online = online
client.on("message", None, message)
asyncio.run(client.run())
