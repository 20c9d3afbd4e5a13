# ruff: noqa: PTH123, SIM115 - MicroPython has no pathlib; a sink's file stays open
"""A ReliableClient that sends and takes bytestreams, and keeps bits. What it is told in a chat:

    send FILE SID           send the file to who says it, and print what became of it
    watched FILE SID        the same, and look at the heap at every turn of the loop
    idle SECONDS            close streams in which nothing came for so long
    bits FILE               keep it, and answer with its content ID, and the bits in the message

Streams that others open become files in-SID; where the SID begins with "full", there is no room.
"""

import asyncio
import gc
import json

from uxmpp.client import StanzaError
from uxmpp.reliable import ReliableClient
from uxmpp.xep import bob, ibb
from uxmpp.xml import Element

with open("device.json") as f:
    config = json.load(f)
with open(config["ca"], "rb") as f:
    config["ca"] = f.read()
client = ReliableClient(**config)
client.first_pause_s = client.max_pause_s = 0.1
client.features = [ibb.XMLNS, bob.XMLNS]


class Sink:
    def __init__(self, sid):
        self._sid = sid
        self._file = open("in-" + sid, "wb")

    def write(self, data):
        if self._sid.startswith("full"):
            raise StanzaError("resource-constraint", "wait", "no room")
        self._file.write(data)

    def end(self):
        self._file.close()
        print("in", self._sid, "end")

    def failed(self):
        self._file.close()
        print("in", self._sid, "failed")


def accepts(jid, sid, block):
    if sid.startswith("no"):
        raise StanzaError("not-acceptable")
    print("in", sid, "from", jid, "by", block)
    return Sink(sid)


def live():
    gc.collect()
    return gc.mem_alloc() if hasattr(gc, "mem_alloc") else 0


async def watched(*what):
    idle = peak = live()
    task = asyncio.create_task(send(*what))
    while not task.done():
        await asyncio.sleep(0)
        peak = max(peak, live())
    task = None
    print("heap", idle, peak - idle, live() - idle)


async def send(jid, name, sid):
    def chunks():
        buffer = bytearray(512)
        with open(name, "rb") as f:
            while True:
                n = f.readinto(buffer)
                if not n:
                    return
                yield memoryview(buffer)[:n]

    with open(name, "rb") as f:
        size = f.seek(0, 2)
    try:
        await ibb.send(client, jid, sid, size, chunks)
        text = "whole"
    except StanzaError as e:
        text = e.condition
    except OSError as e:
        text = "OSError " + str(e)
    print("out", sid, text)


async def message(stanza, payload):
    body = stanza.find("body")
    words = body.text.split(" ") if body else [""]
    if words[0] == "send":
        await send(stanza.get("from"), *words[1:])
    elif words[0] == "watched":
        await watched(stanza.get("from"), *words[1:])
    elif words[0] == "idle":
        client.streams.idle_s = float(words[1])
    elif words[0] == "bits":
        with open(words[1], "rb") as f:
            data = f.read()
        answer = Element("message", None, {"to": stanza.get("from"), "type": "chat"})
        answer.add("body", None, None, bob.keep(client, data, "image/png"))
        answer.children.append(bob.element(data[:100], "image/png"))
        await client.send(answer)


async def online():
    await client.send(Element("presence"))


client.on_online = online
client.on("message", None, message)
ibb.listen(client, accepts)
asyncio.run(client.run())
