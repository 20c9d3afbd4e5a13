# ruff: noqa: PTH123 - MicroPython has no pathlib
"""A device with one of everything. What it measures stands in the file level.txt, and `broken`
there is a sensor that fails. It comes back sooner than others, lest the tests wait."""

import asyncio

from thing import Thing
from uxmpp.client import StanzaError
from uxmpp.xml import Element

thing = Thing()
thing.client.first_pause_s = 0.4
thing.client.max_pause_s = 2
# What waits for somebody else is not told of: that would come at a time of its own
thing.surfaces["chat"].slow_s = 60


@thing.sensor("level", unit="cm", delta=1, poll=0.1)
def level():
    with open("level.txt") as f:
        text = f.read()
    if text == "broken":
        raise OSError("no echo")
    return float(text)


@thing.sensor("mood")
async def mood():
    await asyncio.sleep(0)
    return "calm"


@thing.control("lamp", bool, value=False)
def lamp(on):
    print("lamp", on)


@thing.control("mode", ("auto", "off", "Half Open"))
def mode(choice):
    print("mode", choice)


@thing.control("speed", float, unit="rpm")
async def speed(rpm):
    await asyncio.sleep(0)
    if rpm > 100:
        raise ValueError("at most 100")
    return rpm // 10 * 10


@thing.control("label", str)
def label(text):
    print("label", text)


@thing.control("lock", bool, role="owner")
def lock(on):
    print("lock", on)


@thing.control("stuck", bool, value=True)
def stuck(on):
    raise OSError("the motor does not turn")


@thing.command("add", params=(int, float))
async def add(a, b=0.5):
    await asyncio.sleep(0)
    return a + b


@thing.command("say")
def say(*words):
    return " ".join([repr(w) for w in words])


@thing.command("beep", params=())
def beep():
    print("beep")


@thing.command("fail")
def fail():
    raise RuntimeError("out of paper")


@thing.command("reset", role="owner")
def reset():
    print("reset")


@thing.command("question", params=(str,))
async def question(jid):
    try:
        answer = await thing.client.iq("get", Element("question", "urn:example:q"), to=jid)
    except StanzaError as e:
        return "error " + e.condition
    return "answer " + answer.elements()[0].text


thing.run()
