"""What programs see of a device: its values and its profile, at its own account and at a service;
and what those without a role do not see."""

import asyncio
import hashlib
import json
import struct
import time
import zlib
from secrets import token_hex

import pytest

from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.lab import Lab
from host_tools.lab.prosody import Prosody

from .helper import PASSWORDS, device_of, lines, online, owner_of, pinged, recorded, until

PUBSUB = "{http://jabber.org/protocol/pubsub}"
EVENT = "{http://jabber.org/protocol/pubsub#event}"
JSON = "{urn:xmpp:json:0}json"
FIELDS = "{urn:xmpp:iot:sensordata}"
GEOLOC = "http://jabber.org/protocol/geoloc"
NICK = "http://jabber.org/protocol/nick"
AVATAR = "urn:xmpp:avatar:"
#: Seconds between two items of a node at least.
MIN_S = 0.4
PLUGINS = ("xep_0030", "xep_0060", "xep_0080", "xep_0084", "xep_0115", "xep_0163", "xep_0172")
ACCOUNTS = {**PASSWORDS, "hub": "another device's"}
#: Prosody's service has no nodes of people's own unless it is told so.
OPTIONS = {
    Prosody: {"settings": {"add_permissions": {"prosody:registered": ["pubsub:create-node"]}}},
    Ejabberd: {},
}


def server_param(server):
    """One worker starts it, and the station, for all."""
    name = server.__name__.lower()
    return pytest.param(server, id=name, marks=pytest.mark.xdist_group(f"pubsub-{name}"))


@pytest.fixture(scope="module", params=map(server_param, OPTIONS))
def lab(request):
    with Lab(ACCOUNTS, server=request.param, **OPTIONS[request.param]) as lab:
        yield lab


@pytest.fixture(scope="module")
def station(lab):
    """A device that publishes at its own account."""
    with station_of(lab, "dev", {"min_s": MIN_S}) as device:
        yield device


def station_of(lab, user, config):
    """A device with everything, that publishes; it is not started."""
    changes = {"surfaces": ["chat", "pubsub"], "pubsub": config}
    return device_of(lab, "32", "everything", user, **changes)


def client_of(lab, user="owner"):
    return owner_of(lab, user, plugins=PLUGINS)


async def follow(client, *nodes):
    """Ask for events of these nodes of contacts, from now on."""
    client.client.plugin["xep_0163"].add_interest(list(nodes))
    await client.client.plugin["xep_0115"].update_caps(broadcast=True)


def payloads(got, node):
    """What the events in the stanzas `got` brought of a node, oldest first."""
    return [
        item[0]
        for stanza in got
        for items in stanza.iter(EVENT + "items")
        if items.get("node") == node
        for item in items.iterfind(EVENT + "item")
        if len(item)
    ]


def told(got, node):
    """As payloads(), of JSON."""
    return [json.loads(el.text) for el in payloads(got, node) if el.tag == JSON]


async def value(got, node, wanted, field="value"):
    """Wait until the last of a node is that value, and return it all."""

    def last():
        found = told(got, node)
        return found[-1] if found and found[-1].get(field) == wanted else None

    # A node that could not be prepared at once is tried again after 5 s, then 10 s
    return await until(last, lambda: f"{wanted} in {told(got, node)}", 40)


async def item(client, service, node):
    """(item id, payload) of a node as it is kept, or None for an error, or where there is none."""
    ask = f"<pubsub xmlns='{PUBSUB[1:-1]}'><items node='{node}'/></pubsub>"
    answer = await client.iq(service, ask)
    items = answer.findall(f"{PUBSUB}pubsub/{PUBSUB}items/{PUBSUB}item")
    assert len(items) < 2
    return (items[0].get("id"), items[0][0]) if items else None


async def there(client, service, node):
    """The JSON that a node keeps, as soon as there is some."""
    end = time.monotonic() + 40
    while not (found := await item(client, service, node)):
        assert time.monotonic() < end, f"nothing in {node}"
        await asyncio.sleep(0.1)
    return json.loads(found[1].text)


async def subscribe(client, service, node):
    """Whether `client` may have the events of a node sent."""
    ask = f"<subscribe node='{node}' jid='{client.jid}'/>"
    answer = await client.iq(service, f"<pubsub xmlns='{PUBSUB[1:-1]}'>{ask}</pubsub>", "set")
    return answer.get("type") == "result"


async def met(lab, device, person, number=1):
    """The full JID of the device, whose presence the person has asked for."""
    jid = await online(device, number)
    bare = jid.partition("/")[0]
    if person.client.client_roster[bare]["subscription"] not in ("to", "both"):
        await person.subscribe(bare)
    await person.presence(jid)
    return jid


async def config_of(client, service, node):
    """{field: value} of a node, asked for by its owner."""
    ask = "<pubsub xmlns='{}#owner'><configure node='{}'/></pubsub>"
    answer = await client.iq(service, ask.format(PUBSUB[1:-1], node))
    return {
        field.get("var"): field.findtext("{jabber:x:data}value")
        for field in answer.iter("{jabber:x:data}field")
    }


def test_values(lab, station):
    """Every kind of declaration, at its own account: typed, timed, as often as may be; people
    with a role see it, by +notify, by subscription and by asking; nobody else does."""

    async def main(device, owner, viewer, stranger):
        jid = await met(lab, device, owner)
        bare = lab.jid("dev")
        got = recorded(owner)
        heard = recorded(stranger)
        nodes = "relay", "temperature", "humidity", "mode", "blink", "doorbell", "setpoint"
        # With one of this run alone: a server does not ask for what it has heard of before
        await follow(owner, *["dev/" + n for n in (*nodes, token_hex(8))])
        await follow(stranger, *["dev/" + n for n in nodes])
        if isinstance(lab.server, Ejabberd):
            # It tells what was there with the first presence alone, and from the moment on when
            # it has asked what the client is interested in
            await until(lambda: [el for el in got if el.get("type") == "get"], "its question")
            first = await there(owner, bare, "dev/temperature")
            relay = await there(owner, bare, "dev/relay")
        else:
            # What was there is told to whoever asks for it from now on
            first = await value(got, "dev/temperature", 21.5)
            relay = await value(got, "dev/relay", False)
        assert first["value"] == 21.5
        assert (first["name"], first["unit"]) == ("temperature", "\u00b0C")
        assert first["time"].startswith("20") and first["time"].endswith("Z")
        assert relay == {"name": "relay", "value": False}
        await owner.ask(jid, "relay on")
        assert "time" in await value(got, "dev/relay", True)
        await owner.ask(jid, "mode heat")
        await value(got, "dev/mode", "heat")
        # What a command answers is not for viewers
        await owner.ask(jid, "blink 2")
        assert "time" in await value(got, "dev/blink", "done")
        assert "2 times" not in (await item(owner, bare, "dev/blink"))[1].text
        await owner.say(jid, "ring Anna")
        await value(got, "dev/doorbell", "Anna")
        await owner.say(jid, "humidity")
        failed = await value(got, "dev/humidity", "no answer", "error")
        assert (failed["value"], failed["unit"]) == (None, "%")
        # Many changes are few items, of which the last is right
        before = len(told(got, "dev/setpoint"))
        begin = time.monotonic()
        for n in range(10, 20):
            await owner.say(jid, f"setpoint {n}")
        await value(got, "dev/setpoint", 19)
        took = time.monotonic() - begin
        more = len(told(got, "dev/setpoint")) - before
        assert 1 <= more <= 3 + took / MIN_S, (more, took)

        id, kept = await item(owner, bare, "dev/relay")
        assert id == "current" and json.loads(kept.text)["value"] is True
        assert await subscribe(viewer, bare, "dev/relay") is False
        assert not await subscribe(stranger, bare, "dev/relay")
        for person in (viewer, stranger):
            assert await item(person, bare, "dev/relay") is None
            assert await item(person, bare, "dev/none") is None
        assert not told(heard, "dev/relay")

        async with client_of(lab, "dev") as other:
            config = await config_of(other, bare, "dev/relay")
        assert config["pubsub#access_model"] == "presence"
        assert config["pubsub#max_items"] == "1"

    async def with_people():
        async with (
            client_of(lab) as owner,
            client_of(lab, "idle") as viewer,
            client_of(lab, "stranger") as stranger,
        ):
            await main(station, owner, viewer, stranger)

    asyncio.run(with_people())


def test_roles(lab, station):
    """A node is for those with a role as long as they have it, whatever they subscribed to."""
    check_roles(lab, station, "dev", lab.jid("dev"))
    assert "pubsub: " not in station.output()


def test_roles_at_a_service(lab):
    """As at its own account. A node that somebody else made, wide open, is left alone."""
    service = f"pubsub.{lab.domain}"
    ask = f"<pubsub xmlns='{PUBSUB[1:-1]}'><create node='hub/mode'/></pubsub>"

    async def stranger(check):
        async with client_of(lab, "stranger") as client:
            if check:
                return await item(client, service, "hub/mode")
            return (await client.iq(service, ask, "set")).get("type")

    assert asyncio.run(stranger(False)) == "result"
    with station_of(lab, "hub", {"min_s": 0.2, "service": service}) as device:
        check_roles(lab, device, "hub", service)
        # Said once, however often it is tried again
        failed = [line for line in device.output().split("\n") if line.startswith("pubsub: ")]
        assert failed in (["pubsub: hub/mode: conflict"], ["pubsub: hub/mode: forbidden"])
    assert asyncio.run(stranger(True)) is None


def check_roles(lab, device, user, service):
    """Whether the owner sees the relay, and an account that is given a role, until it is taken."""
    node = user + "/relay"

    async def main(device, owner, viewer, stranger):
        jid = await met(lab, device, owner)
        got, seen, heard = recorded(owner), recorded(viewer), recorded(stranger)
        await until_async(lambda: item(owner, service, node), "first item")
        assert await subscribe(owner, service, node)
        assert not await subscribe(viewer, service, node)
        assert await item(viewer, service, node) is None
        role = "role {} {}"
        await owner.ask(jid, role.format(lab.jid("idle"), "viewer"))
        await met(lab, device, viewer)
        await until_async(lambda: subscribe(viewer, service, node), "subscription of a viewer")
        await owner.ask(jid, "relay on")
        await value(got, node, True)
        await value(seen, node, True)
        # All is published once more when the node is as it should be
        before = len(told(got, node))
        await owner.ask(jid, role.format(lab.jid("idle"), "none"))
        await until(lambda: len(told(got, node)) > before, "item after the change of a role")
        await pinged(viewer)
        count = len(told(seen, node))
        await owner.ask(jid, "relay off")
        await value(got, node, False)
        await pinged(viewer)
        assert told(seen, node)[count - 1 :] == told(seen, node)[-1:]
        assert told(seen, node)[-1]["value"] is True
        assert await item(viewer, service, node) is None
        assert not await subscribe(viewer, service, node)
        assert not await subscribe(stranger, service, node)
        assert await item(stranger, service, node) is None
        assert not told(heard, node)

    async def with_people():
        async with (
            client_of(lab) as owner,
            client_of(lab, "idle") as viewer,
            client_of(lab, "stranger") as stranger,
        ):
            await main(device, owner, viewer, stranger)

    asyncio.run(with_people())


async def until_async(ask, what, limit_s=30.0):
    """As until(), of a coroutine function."""
    try:
        async with asyncio.timeout(limit_s):
            while not (found := await ask()):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"no {what} in {limit_s} s") from None
    return found


def png(size):
    """A picture of 48 by 32, of about so many bytes."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 48, 32, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(49 * 32)))
    text = chunk(b"tEXt", b"Comment\0" + bytes(ord("a") + i % 26 for i in range(size)))
    return b"\x89PNG\r\n\x1a\n" + head + text + rows + chunk(b"IEND", b"")


def test_profile(lab):
    """Published at the first start and when it changed, not at each; what cannot be used is left
    out; what is no more in it is taken back. Beside it values as fields."""
    picture = png(4000)
    profile = {
        "nick": "Gew\u00e4chshaus <1>",
        "location": {"lat": 52.52, "lon": "13.404954", "text": "Behind the house", "planet": 3},
        "avatar": "avatar.png",
    }
    nodes = NICK, GEOLOC, AVATAR + "metadata"
    bare = lab.jid("dev")

    def counts(got):
        return [len(payloads(got, node)) for node in nodes]

    async def all_of(got, true):
        """The last of each node, when these are as they should be: they may come twice."""

        def last():
            found = [payloads(got, node)[-1:] for node in nodes]
            return [f[0] for f in found] if all(f and true(f[0]) for f in found) else None

        return await until(last, lambda: counts(got))

    async def main(owner):
        changes = {"surfaces": ["chat", "profile", "pubsub"], "profile": profile}
        changes["pubsub"] = {"payload": "fields", "prefix": "fields"}
        device = device_of(lab, "32", "everything", **changes)
        (device.folder / "avatar.png").write_bytes(picture)
        path = device.folder / "device.json"
        config = json.loads(path.read_text())
        got = recorded(owner)
        await follow(owner, *nodes, "fields/temperature")
        with device:
            await met(lab, device, owner)
            nick, place, metadata = await all_of(got, lambda el: len(el) or el.text)
            assert nick.text == profile["nick"]
            assert {c.tag.partition("}")[2]: c.text for c in place} == {
                "lat": "52.520000",
                "lon": "13.404954",
                "text": "Behind the house",
            }
            id = hashlib.sha1(picture).hexdigest()
            assert dict(metadata[0].attrib) == {
                "id": id,
                "type": "image/png",
                "bytes": str(len(picture)),
                "width": "48",
                "height": "32",
            }
            avatar = owner.client.plugin["xep_0084"].retrieve_avatar(bare, id)
            found = (await avatar)["pubsub"]["items"]["item"]["avatar_data"]["value"]
            assert found == picture
            fields = await until(lambda: payloads(got, "fields/temperature"), "fields")
            assert fields[-1].tag == FIELDS + "fields"
            (numeric,) = fields[-1].iter(FIELDS + "numeric")
            assert (numeric.get("name"), numeric.get("value")) == ("temperature", "21.5")
            assert len(await lines(device, "^profile: planet: is no part of a location$")) == 1
            await until(lambda: (device.folder / "profile.json").exists(), "profile.json")
        with device:
            # Nothing new, nor a word
            before = counts(got)
            jid = await online(device, 2)
            await owner.presence(jid)
            await owner.say(jid, "relay")
            while (await owner.next_message(jid)).body != "relay: off":
                pass
            await pinged(owner)
            assert counts(got) == before
            assert device.output().count("profile") == 1
        (device.folder / "avatar.png").write_bytes(png(9000))
        config["profile"] = {"nick": "", "location": {"lat": 90.5}, "avatar": "avatar.png"}
        path.write_text(json.dumps(config))
        with device:
            await all_of(got, lambda el: not len(el) and not el.text)
            await lines(device, "^profile: nick: must be a text of up to 200 characters$")
            await lines(device, "^profile: lat: cannot be$")
            await lines(device, "^profile: avatar: is larger than 8192 bytes$")
        async with client_of(lab, "stranger") as stranger:
            assert await item(stranger, bare, NICK) is None

    async def with_owner():
        async with client_of(lab) as owner:
            await main(owner)

    asyncio.run(with_owner())
