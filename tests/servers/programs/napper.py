"""A device that can be told to look asleep, follows a node of its contacts, and says how often its
presence went out."""

from thing import Thing
from thing.registry import Param

NODE = "urn:example:weather"
EVENT = "http://jabber.org/protocol/pubsub#event"

thing = Thing()
thing.presence.min_s = 0.6  # else the tests wait
thing.client.features = list(thing.client.features) + [NODE + "+notify"]
state = {"level": 20.0}
announce = thing.access.announce


def counted(children):
    print("presence")
    return announce(children)


thing.access.announce = counted


@thing.sensor("level", unit="cm", poll=0.1, delta=100, high=50)
def level():
    return state["level"]


@thing.control("lamp", bool, value=False)
def lamp(on):
    pass


@thing.command("measure", params=(Param("level", float),))
def measure(value):
    state["level"] = value


@thing.command("nap", params=(Param("text", default=""),))
async def nap(text):
    await thing.presence.asleep(text or None)


def event(stanza, payload):
    items = payload.find("items")
    print("event", stanza.get("from"), items.get("node"), items.elements()[0].elements()[0].text)


thing.client.on("message", EVENT, event)
thing.run()
