# ruff: noqa: PTH123 - MicroPython has no pathlib
"""Uploads and downloads: what its device.json has in `cases`, in order, each with a line that
says as JSON how it ended; then `done`. With a `jid` it has a session meanwhile."""

import asyncio
import gc
import hashlib
import json
import sys
from binascii import hexlify

with open("device.json") as f:
    config = json.load(f)
cases = config.pop("cases")
tls = {key: config.get(key) for key in ("ca", "pin")}
if tls["ca"]:
    with open(tls["ca"], "rb") as f:
        tls["ca"] = config["ca"] = f.read()
client = None
if "jid" in config:
    from uxmpp.client import Client
    from uxmpp.xml import Element

    client = Client(**config)
peak = idle = 0


def allocated():
    if not hasattr(gc, "mem_alloc"):
        return 0
    gc.collect()
    return gc.mem_alloc()


def pieces(size):
    # As a camera does: one buffer for all of them
    buffer = bytearray(1024)
    view = memoryview(buffer)
    for at in range(0, size, 1024):
        for i in range(0, 1024, 64):
            buffer[i] = at >> 10 & 255
        watch()
        yield view[: min(1024, size - at)]


def watch():
    global peak
    peak = max(peak, allocated())


def digest(size):
    h = hashlib.sha256()
    for piece in pieces(size):
        h.update(piece)
    return hexlify(h.digest()).decode()


async def download(http, url, limit, **tls):
    response = await http.get(url, **tls)
    try:
        h = hashlib.sha256()
        got = 0
        while got < limit:
            data = await response.read()
            if not data:
                break
            got += len(data)
            h.update(data)
            watch()
        return [response.size, got, hexlify(h.digest()).decode()]
    finally:
        response.close()


def forget(name):
    package, _, name = name.rpartition(".")
    sys.modules.pop(package + "." + name, None)
    sys.modules[package].__dict__.pop(name, None)


async def one(case):
    # Imported here: what it takes counts as memory of the transfer
    from uxmpp import http
    from uxmpp.xep import upload

    if "step_s" in case:
        http.Response.step_s = case["step_s"]
    how = dict(tls)
    if "ca" in case:  # another's
        how["ca"] = bytes(case["ca"])
    if "pin" in case:
        how["pin"] = case["pin"]
    size = case.get("size", 3000)
    told = case.get("told", size)
    if "get" in case:
        return await download(http, case["get"], case.get("limit", 1 << 30), **how)
    headers = [tuple(h) for h in case.get("headers", ())]
    if "put" in case:
        await http.put(
            case["put"], headers, told, lambda: pieces(size), case.get("kind", "x/y"), **how
        )
        return "put"
    found = await upload.find(client)
    put, headers, get = await upload.slot(client, found[0], "a \u00e4.jpg", told, "image/jpeg")
    # As a device does, which has no memory to spare
    del upload
    forget("uxmpp.xep.upload")
    await http.put(put, headers, size, lambda: pieces(size), "image/jpeg", **how)
    sent = peak - idle
    try:
        return [found, get] + await download(http, get, 1 << 30, **how) + [sent, peak - idle]
    finally:
        forget("uxmpp.http_get")
        forget("uxmpp.http")


async def main():
    global peak, idle
    if client:
        task = asyncio.create_task(client.run())  # noqa: F841 - it is to stay alive
        while not client.online:
            await asyncio.sleep(0.05)
    for case in cases:
        if client:  # the last stanza, and what was made of it, live until the next one
            await client.iq("get", Element("ping", "urn:xmpp:ping"), client.domain)
        idle = peak = allocated()
        try:
            result = await one(case)
        except Exception as e:
            status = getattr(e, "status", None)
            name = "OSError" if isinstance(e, OSError) and not status else type(e).__name__
            result = [name, str(e) or repr(e), status]
            if hasattr(e, "condition"):
                result = [name, e.condition, e.text]
        print("result", json.dumps(result))
    print("done")
    while True:
        await asyncio.sleep(60)


asyncio.run(main())
