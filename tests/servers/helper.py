"""What the tests with servers share: devices and owners of a lab, and waiting for events."""

import asyncio
import json
import os
import re
import time
from itertools import count
from pathlib import Path

import pytest

from host_tools.lab.device import Device
from host_tools.lab.network import FaultyNetwork
from host_tools.lab.owner import Owner

PROGRAMS = Path(__file__).resolve().parent / "programs"
RUNTIMES = ("32", "cpython")
PASSWORDS = {"owner": "open sesame", "dev": "device's own", "stranger": "let me in", "idle": "x"}
LIMIT_S = 30.0
#: What every line about a failed try looks like: who, why, how long until the next.
TRY = r"^{}: (.+); next try in (\d+\.\d) s$"

both = pytest.mark.parametrize("runtime", RUNTIMES)

#: Without a fault the network is a relay that listens in.
Relay = FaultyNetwork

_numbers = count(1)


def owner_of(lab, user="owner", password=None, **options):
    """The account `user`, used from this process by slixmpp; `options` are those of Owner."""
    server = lab.server
    return Owner(
        lab.jid(user),
        password or lab.accounts[user],
        server.host,
        server.c2s_port,
        lab.ca_pem,
        **options,
    )


def device_of(lab, runtime, app="station", user="dev", **changes):
    """A device of the account `user` with the program `app` of the tests; it is not started.
    `changes` are those of its device.json; None leaves a key out."""
    config = lab.device_config(user, owners=["owner"])
    config.update(changes)
    device = Device(
        {k: v for k, v in config.items() if v is not None},
        folder=lab.folder / f"device{next(_numbers)}",
        app=PROGRAMS / f"{app}.py" if (PROGRAMS / f"{app}.py").exists() else app,
        runtime=runtime,
        files=[lab.ca_der, lab.ca_pem],
    )
    set_level(device, "20")
    return device


def echo_of(lab, runtime, tune=None, dns=None, **changes):
    """As device_of, with the program `echo`, which has no owners. `tune` are attributes of its
    client, `dns` those of uxmpp.resolver."""
    return device_of(lab, runtime, "echo", owners=None, tune=tune or {}, dns=dns or {}, **changes)


def meter_of(lab, runtime, sensors, tune=None, **changes):
    """As device_of, with the program `meter`: `sensors` are (reading, options) by name, `tune`
    attributes of its client."""
    device = device_of(lab, runtime, "meter", **changes)
    options = [(name, options) for name, (_, options) in sensors.items()]
    told = {"sensors": options, "tune": tune or {}}
    (device.folder / "meter.json").write_text(json.dumps(told))
    for name, (text, _) in sensors.items():
        set_level(device, text, name)
    return device


def set_level(device, text, name="level"):
    """What the device's sensor `name` measures from now on; "broken": it fails."""
    new = device.folder / f"{name}.new"
    new.write_text(text)
    new.replace(device.folder / f"{name}.txt")


async def until(true, what, limit_s=LIMIT_S):
    """Wait until `true()`, and return what it returned."""
    end = time.monotonic() + limit_s
    while not (found := true()):
        assert time.monotonic() < end, f"no {what() if callable(what) else what} in {limit_s} s"
        await asyncio.sleep(0.01)
    return found


async def lines(device, pattern, number=1, limit_s=LIMIT_S):
    """Wait for `number` console lines that fit, and return all matches there are then."""

    def fitting():
        assert device.child.running, device.output()
        whole = device.output().rpartition("\n")[0]
        found = [m for line in whole.split("\n") if (m := re.search(pattern, line))]
        return found if len(found) >= number else None

    return await until(
        fitting, lambda: f"{number} lines {pattern!r} in {device.output()!r}", limit_s
    )


async def online(device, number=1, limit_s=LIMIT_S):
    """Wait until the device has had `number` sessions, and return the last one's full JID."""
    return (await lines(device, r"^(\S+): online$", number, limit_s))[-1][1]


async def ready(device, owner):
    """Wait until a `station` has told `owner` its first reading, and return its full JID. From
    then on it speaks when it is spoken to."""
    jid = await online(device)
    assert (await owner.next_message(jid, LIMIT_S)).body == "level: 20 cm"
    return jid


def tries(device, jid):
    """(why, seconds until the next) of each failed try so far."""
    return [
        (m[1], float(m[2]))
        for line in device.output().splitlines()
        if (m := re.match(TRY.format(re.escape(jid)), line))
    ]


async def failed_tries(device, jid, number, limit_s=LIMIT_S):
    """Wait for `number` failed tries and return them all."""
    return await until(
        lambda: len(t := tries(device, jid)) >= number and t,
        lambda: f"{number} failed tries in {device.output()!r}",
        limit_s,
    )


def check_pauses(found, first_s, most_s=300):
    """Whether each pause of failed tries is no longer than it may be, which doubles."""
    for i, (why, pause) in enumerate(found):
        assert pause <= min(first_s * 2**i, most_s) + 0.06, (i, why, pause)


def recorded(owner):
    """A list to which every stanza that comes from now on is added."""
    got = []

    def record(stanza):
        got.append(stanza.xml)
        return stanza

    owner.client.add_filter("in", record)
    return got


async def pinged(owner):
    """When this returns, the server has handled all that `owner` sent before, and `owner` got all
    that the server had for it."""
    answer = await owner.iq(None, "<ping xmlns='urn:xmpp:ping'/>")
    assert answer.get("type") == "result"


def bodies(owner, jid):
    """Take what `jid` said that nobody has looked at yet."""
    bare = jid.partition("/")[0]
    found = [m for m in owner.messages if m.sender.partition("/")[0] == bare]
    for m in found:
        owner.messages.remove(m)
    return [m.body for m in found if m.body]


async def answer(owner, jid, limit_s=LIMIT_S):
    """The text of the next message of `jid` that answers. What it reports by itself comes when it
    comes, and is for the bare JID of the person."""
    while True:
        message = await owner.next_message(jid, limit_s)
        if "/" in message.xml.get("to", ""):
            return message.body


def plain(el):
    """An XML element without who and which: for comparisons."""
    attrs = {k: v for k, v in el.attrib.items() if k not in ("from", "to", "id", "by")}
    attrs.pop("{http://www.w3.org/XML/1998/namespace}lang", None)
    text = (el.text or "").strip()
    return el.tag, tuple(sorted(attrs.items())), text, tuple(plain(c) for c in el)


def condition(answer):
    """(type, condition) of an IQ error, or None."""
    error = answer.find("{jabber:client}error")
    if error is None:
        return None
    names = [c.tag.partition("}")[2] for c in error]
    return error.get("type"), next(n for n in names if n != "text")


def own_loopback():
    """A loopback address for this process and test alone, for a port that is given."""
    n = next(_numbers)
    return f"127.{1 + os.getpid() // 250 % 250}.{1 + os.getpid() % 250}.{1 + n % 250}"
