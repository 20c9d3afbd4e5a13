# ruff: noqa: PTH104, PTH107, PTH123 - MicroPython has no pathlib
"""A ReliableClient, and a word on its console for all that happens to it. Its device.json has
`tune`, attributes of the client, and `watcher`, who gets its presence. state.json is the client's
state, with bytes as {"hex": …}; do.txt holds commands for it, a line each, which it removes:

    say N WORD          send the watcher "WORD 0" to "WORD N-1"
    acked N WORD        the same, and print when each is acknowledged
    ask JID             ask JID a question, and print what becomes of it
"""

import asyncio
import json
import os
from binascii import hexlify, unhexlify

from uxmpp.client import StanzaError
from uxmpp.reliable import ReliableClient
from uxmpp.xml import Element

with open("device.json") as f:
    config = json.load(f)
tune = config.pop("tune")
watcher = config.pop("watcher")
with open(config["ca"], "rb") as f:
    config["ca"] = f.read()
client = ReliableClient(**config)
for key, value in tune.items():
    setattr(client, key, value)


def packed(value):
    if isinstance(value, (list, tuple)):
        return [packed(v) for v in value]
    return {"hex": hexlify(value).decode()} if isinstance(value, bytes) else value


def unpacked(value):
    if isinstance(value, list):
        return [unpacked(v) for v in value]
    return unhexlify(value["hex"]) if isinstance(value, dict) else value


def read(name):
    try:
        with open(name) as f:
            return f.read()
    except OSError:
        return ""


for key, value in json.loads(read("state.json") or "{}").items():
    client.state[key] = unpacked(value)


def kept():
    with open("state.new", "w") as f:
        json.dump({k: packed(v) for k, v in client.state.items()}, f)
    os.rename("state.new", "state.json")
    print("state")


def line():
    print("line", client.jid, "acks", client.acks(), "sessions", client.sessions)


async def online():
    await client.send(Element("presence"))
    await client.send(Element("presence", None, {"to": watcher}))


def message(stanza, payload):
    body = stanza.find("body")
    if body:
        print("got", body.text)


async def say(number, word, acked):
    for n in range(number):
        text = f"{word} {n}"
        el = Element("message", None, {"to": watcher, "type": "chat"})
        el.add("body", None, None, text)
        while True:
            try:
                await client.send(el, (lambda t=text: print("acked", t)) if acked else None)
                break
            except OSError:
                await asyncio.sleep(0.02)
    print("said", number, word)


async def ask(jid):
    try:
        await client.iq("get", Element("question", "urn:example:q"), to=jid)
        print("answered")
    except StanzaError as e:
        print("answered", e.condition)
    except OSError as e:
        print("unanswered:", e)


async def main():
    running = [asyncio.create_task(client.run())]
    while True:
        lines = read("do.txt").split("\n")
        if len(lines) > 1:
            os.remove("do.txt")
        for words in [x.split(" ") for x in lines if x]:
            if words[0] == "ask":
                task = ask(words[1])
            else:
                task = say(int(words[1]), words[2], words[0] == "acked")
            running.append(asyncio.create_task(task))
        await asyncio.sleep(0.02)


client.on_online = online
client.on_line = line
client.on_state = kept
client.on("message", None, message)
asyncio.run(main())
