"""Sensor data (XEP-0323) and control (XEP-0325), asked for by slixmpp's own plugins, and what is
refused. The device is a board: 32-bit MicroPython in 160 KB."""

import asyncio
import binascii
import struct
import time
import xml.etree.ElementTree as ET
from collections import namedtuple
from contextlib import asynccontextmanager

import pytest

from host_tools.lab.lab import Lab

from .helper import (
    PASSWORDS,
    PROGRAMS,
    condition,
    device_of,
    lines,
    online,
    owner_of,
    recorded,
    until,
)

SENSOR = "urn:xmpp:iot:sensordata"
CONTROL = "urn:xmpp:iot:control"
FORM = "jabber:x:data"
PLUGINS = ("xep_0004", "xep_0030", "xep_0323", "xep_0325")
ACCOUNTS = {**PASSWORDS, "operator": "operator's", "viewer": "viewer's"}
KEEP = 300
SLOTS = 60
# What fails, and what comes from it, beside the declarations of every kind
MORE = """
@thing.control("stuck", bool, value=False)
def stuck(on):
    raise OSError("jammed")


@thing.control("even", int)
def even(number):
    if number % 2:
        raise ValueError("not even")


# Tables of questions are asked faster than people ask
thing.access.owner_burst = 1000

thing.run()
"""

Got = namedtuple("Got", "result fields at error")


@pytest.fixture(scope="module")
def board():
    """(lab, device, its full JID): a station with all roles, and a history of SLOTS slots."""
    with Lab(ACCOUNTS) as lab:
        app = lab.folder / "app" / "station.py"
        app.parent.mkdir()
        text = (PROGRAMS / "everything.py").read_text("utf-8")
        app.write_text(text.replace("\nthing.run()\n", MORE), "utf-8")
        roles = {"operators": [lab.jid("operator")], "viewers": [lab.jid("viewer")]}
        surfaces = ["chat", "iot", "history"]
        device = device_of(lab, "32", app, surfaces=surfaces, name="hall", **roles)
        remember(device, "temperature")
        with device:
            yield lab, device, asyncio.run(online(device))


def remember(device, name):
    """Give the device SLOTS slots of `name` in flash, of values 0, 1, 2 ..., the last of which is
    over: see firmware/thing/history.py."""
    first = int(time.time()) // KEEP - SLOTS
    folder = device.folder / "history"
    folder.mkdir()
    data = b""
    for i in range(SLOTS):
        record = struct.pack("<Ifff", first + i, i, i - 1, i + 1)
        data += record + struct.pack("<H", binascii.crc32(record) & 0xFFFF)
    (folder / f"{name.encode().hex()}.{KEEP}.{first}").write_bytes(data)


@asynccontextmanager
async def someone(lab, user="owner"):
    """The account `user` with slixmpp's plugins."""
    async with owner_of(lab, user, plugins=PLUGINS) as owner:
        yield owner


async def readout(owner, jid, end=("done", "failure", "rejected"), **asked):
    """What slixmpp's plugin calls back with, up to one of `end`, for a request for data."""
    got = []

    def back(from_jid, result, nodeId=None, timestamp=None, fields=None, error_msg=None):  # noqa: N803
        assert from_jid == jid
        assert (nodeId == "hall") == (result in ("fields", "failure")), nodeId
        got.append(Got(result, fields, timestamp, error_msg))

    owner.client.plugin["xep_0323"].request_data(owner.client.boundjid, jid, back, **asked)
    await until(lambda: got and got[-1].result in end, lambda: got)
    return got


def fields_of(got):
    """name -> (type, value, unit, flags) of all fields."""
    found = {}
    for g in got:
        for f in g.fields or ():
            flags = " ".join(sorted(f.get("flags", {})))
            assert f["name"] not in found
            found[f["name"]] = (f["typename"], f["value"], f.get("unit"), flags)
    return found


NOW = "automaticReadout momentary"


def test_readout_of_all_there_is_now(board):
    """One kind of field for each kind of declaration; what fails is told last, as slixmpp takes it
    for the end."""
    lab, device, jid = board

    async def main():
        async with someone(lab) as owner:
            got = await readout(owner, jid, flags={"momentary": "true"})
            results = [g.result for g in got]
            assert (results[0], results[-1]) == ("accepted", "failure")
            assert set(results[1:-1]) == {"fields"} and len(results) > 3
            assert got[-1].error == "humidity: no reading: no answer"
            assert fields_of(got) == {
                "temperature": ("numeric", "21.5", "°C", NOW),
                "motion": ("boolean", "false", None, NOW),
                "relay": ("boolean", "false", None, NOW),
                "mode": ("enum", "auto", None, NOW),
                "setpoint": ("numeric", "20", "°C", NOW),
                "interval": ("numeric", "60", "s", NOW),
                "label": ("string", "kitchen", None, NOW),
                "stuck": ("boolean", "false", None, NOW),
            }
            # Without flags it is the same, and a name that is not there is only a name
            fields = ["temperature", "nonsense"]
            got = await readout(owner, jid, fields=fields, nodeIds=["hall"])
            assert [g.result for g in got] == ["accepted", "fields", "done"]
            assert list(fields_of(got)) == ["temperature"]

    asyncio.run(main())


def test_readout_by_name(board):
    """What was asked for by its name and has no value is a failure; a command tells what it said
    last, to those who may have it done; an event, what was told when."""
    lab, device, jid = board

    async def main():
        async with someone(lab) as owner:
            await owner.ask(jid, "blink 2")
            before = time.strftime("%Y-%m-%dT%H:%M", time.gmtime())
            await owner.say(jid, "ring Ann")
            await until(lambda: "doorbell: Ann" in [m.body for m in owner.messages], "ring")
            got = await readout(owner, jid, fields=["blink", "doorbell", "even"])
            assert got[-1][::3] == ("failure", "even: not known")
            assert fields_of(got) == {
                "blink": ("string", "2 times", None, NOW),
                "doorbell": ("string", "Ann", None, NOW),
            }
            assert got[1].at[:16] in (before, time.strftime("%Y-%m-%dT%H:%M", time.gmtime()))
            got = await readout(owner, jid, flags={"status": "true", "identity": "1"})
            found = fields_of(got)
            assert found["Name"] == ("string", "hall", None, "automaticReadout identity")
            assert found["Firmware"][1].startswith("uxmpp ")
            assert found["Uptime"][::2] == ("numeric", "s") and len(found) == 4
        async with someone(lab, "viewer") as owner:
            got = await readout(owner, jid, fields=["blink", "doorbell", "label"])
            assert sorted(fields_of(got)) == ["doorbell", "label"]
            (answer,) = await ask(owner, jid, f"<req xmlns='{SENSOR}' seqnr='9' all='true'/>")
            assert answer.find(f"{{{SENSOR}}}accepted").get("seqnr") == "9"
            fields = [f for f in await read(owner, "9") if "writable" in f.attrib]
            assert {f.get("writable") for f in fields} == {"false"}

    asyncio.run(main())


async def ask(owner, jid, *payloads, kind="get"):
    """The answers to IQs that are sent together."""
    return await asyncio.gather(*[owner.iq(jid, payload, kind) for payload in payloads])


async def read(owner, seqnr):
    """All field elements of messages for `seqnr`, of which the last alone says that it is."""
    parts = []
    seen = 0

    def ended():
        nonlocal seen
        for m in list(owner.messages)[seen:]:
            parts.extend(p for p in m.xml if p.get("seqnr") == seqnr)
        seen = len(owner.messages)
        return parts and parts[-1].get("done")

    await until(ended, lambda: parts)
    assert [p.get("done") for p in parts[:-1]] == [None] * (len(parts) - 1)
    found = [[f for t in p.iter(f"{{{SENSOR}}}timestamp") for f in t] for p in parts]
    assert all(len(f) == 4 for f in found[: len(found) - 2])
    return [f for part in found for f in part]


def test_history(board):
    """Means of slots, as many as are asked for, in messages of a size that a board can make."""
    lab, device, jid = board
    first = min(int(f.suffix[1:]) for f in (device.folder / "history").iterdir())
    stamps = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime((first + i) * KEEP)) for i in (3, 9)]

    async def main():
        async with someone(lab) as owner:
            flags = {"historical": "true", "from": stamps[0], "to": stamps[1]}
            got = await readout(owner, jid, flags=flags)
            values = [f["value"] for g in got for f in g.fields or ()]
            assert values == ["3", "4", "5", "6", "7", "8", "9"]
            assert [g.at for g in got if g.fields][::6] == stamps
            shown = got[1].fields[0]
            assert shown["unit"] == "°C" and shown["flags"]["computed"] == "true"
            got = await readout(owner, jid, flags={"historicalHour": "true"})
            hours = [g.at for g in got if g.fields]
            assert len(hours) in (5, 6) and {t[-7:] for t in hours} == {":00:00Z"}
            # Two at a time, and one for the owner; then they are done
            req = f"<req xmlns='{SENSOR}' seqnr='%s' historicalSecond='true'/>"
            answers = await ask(owner, jid, *[req % n for n in (11, 12, 13, 14)], req % 11)
            wait = ("wait", "resource-constraint")
            assert [condition(a) for a in answers] == [None, None, None, wait, wait]
            for n in ("11", "12", "13"):
                assert len(await read(owner, n)) in (SLOTS, SLOTS + 1)
            owner.messages.clear()
            # One that is cancelled ends without an end
            cancel = f"<cancel xmlns='{SENSOR}' seqnr='15'/>"
            # In one piece, lest it ends before it is cancelled
            came = recorded(owner)
            asked = enumerate((req % 15, req % 16, cancel, cancel))
            owner.client.send_raw(
                "".join(f"<iq type='get' id='all{i}' to='{jid}'>{p}</iq>" for i, p in asked)
            )

            def answers():
                return [el for i in range(4) for el in came if el.get("id") == f"all{i}"]

            await until(lambda: len(answers()) == 4, answers)
            assert answers()[2].find(f"{{{SENSOR}}}cancelled").get("seqnr") == "15"
            assert condition(answers()[3]) == ("cancel", "item-not-found")
            await read(owner, "16")
            parts = [p for m in owner.messages for p in m.xml if p.get("seqnr") == "15"]
            assert len(parts) < SLOTS / 4 and not [p for p in parts if p.get("done")]
            # slixmpp cancels by an IQ of the same id: not before the first has its answer
            plugin = owner.client.plugin["xep_0323"]
            results = []

            def back(result, **_):
                results.append(result)
                if result == "accepted":
                    owner.client.loop.call_soon(plugin.cancel_request, session)

            flags = {"historical": "true"}
            session = plugin.request_data(owner.client.boundjid, jid, back, flags=flags)
            await until(lambda: "cancelled" in results, lambda: results)
            assert results[0] == "accepted" and "done" not in results

    asyncio.run(main())


REQUESTS = [
    ("<req/>", "modify bad-request", "seqnr must be a number"),
    ("<req seqnr='x'/>", "modify bad-request", "seqnr must be a number"),
    ("<req seqnr='123456789012'/>", "modify bad-request", "seqnr must be a number"),
    ("<req seqnr='%s'/>" % ("1" * 1000), "modify bad-request", "seqnr must be a number"),
    ("<cancel/>", "modify bad-request", "seqnr must be a number"),
    ("<cancel seqnr='77'/>", "cancel item-not-found", "no such readout"),
    ("<sorry seqnr='1'/>", "cancel feature-not-implemented", "no readouts at a later time"),
    ("<req seqnr='1' when='2099-01-01T00:00:00Z'/>", "cancel feature-not-implemented",
     "no readouts at a later time"),
    ("<req seqnr='1' historical='1' from='yesterday'/>", "modify bad-request",
     "no time: yesterday"),
    ("<req seqnr='1'><node nodeId='hall'/><node nodeId='attic'/></req>", "cancel item-not-found",
     "the only node is hall"),
    ("<req seqnr='1'><node/></req>", "cancel item-not-found", "the only node is hall"),
    ("<req seqnr='1'><field name='nonsense'/></req>", "cancel item-not-found", "no such field"),
    ("<req seqnr='1'><field/></req>", "cancel item-not-found", "no such field"),
    ("<req seqnr='1' peak='true'/>", "cancel item-not-found", "no such field"),
    ("<req seqnr='1' historical='true'><field name='relay'/></req>", "cancel item-not-found",
     "no such field"),
    ("<req seqnr='1' momentary='true'><field name='who'/></req>", "cancel item-not-found",
     "no such field"),
]  # fmt: skip


def said(answer):
    """(type and condition, text) of an IQ error."""
    text = answer.findtext(".//{urn:ietf:params:xml:ns:xmpp-stanzas}text")
    return " ".join(condition(answer) or ("none",)), text


def test_requests_refused(board):
    """As a stanza error, and as slixmpp's plugin understands it."""
    lab, device, jid = board

    async def main():
        async with someone(lab) as owner:
            table = [p.replace(" ", f" xmlns='{SENSOR}' ", 1) for p, *_ in REQUESTS]
            table = [p if "xmlns" in p else p.replace("/>", f" xmlns='{SENSOR}'/>") for p in table]
            for payload, (_, *expected) in zip(table, REQUESTS, strict=True):
                answer = await owner.iq(jid, payload)
                assert list(said(answer)) == expected, payload
                assert [c.tag.partition("}")[2] for c in answer] == ["rejected", "error"]
            got = await readout(owner, jid, fields=["nonsense"])
            assert [g[::3] for g in got] == [("rejected", "no such field")]
            got = await readout(owner, jid, nodeIds=["attic"])
            assert got[0].error == "the only node is hall"

    asyncio.run(main())


async def request(owner, jid, *fields, nodes=None):
    """What slixmpp's plugin says of a set of `fields`, (name, type, value): only a word; of the
    parameters that it names, and of texts, it tells nothing."""
    got = []
    plugin = owner.client.plugin["xep_0325"]

    def back(from_jid, result, nodeIds, fields, error_msg):  # noqa: N803
        assert (nodeIds, fields, error_msg) == ([], [], None)
        got.append(result)

    plugin.set_request(owner.client.boundjid, jid, back, fields, nodes)
    await until(lambda: got, "answer")
    return got[0]


async def state_of(owner, jid, name):
    """The value of the field `name`, None where it has none."""
    found = fields_of(await readout(owner, jid, fields=[name]))
    return found[name][1] if found else None


def test_control(board):
    """One parameter and several, in their order; commands; without an answer."""
    lab, device, jid = board
    sets = [
        ([("relay", "boolean", "true")], "true"),
        ([("mode", "string", "HEAT")], "heat"),
        ([("setpoint", "double", "18.5")], "18.5"),
        ([("setpoint", "int", "19")], "19"),
        ([("interval", "long", "90")], "90"),
        ([("label", "string", "the <b>attic</b>")], "the <b>attic</b>"),
        ([("blink", "string", "4")], "4 times"),
        ([("blink", "int", "5")], "5 times"),
        ([("blink", "boolean", "true")], "3 times"),
        ([("mode", "string", "off"), ("relay", "boolean", "0")], "false"),
    ]

    async def main():
        async with someone(lab) as owner:
            for fields, state in sets:
                assert await request(owner, jid, *fields) == "OK", fields
                assert await state_of(owner, jid, fields[-1][0]) == state
            assert await request(owner, jid, ("relay", "boolean", "1"), nodes=["hall"]) == "OK"
            plugin = owner.client.plugin["xep_0325"]
            plugin.set_command(owner.client.boundjid, jid, [("relay", "boolean", "false")])
            assert await state_of(owner, jid, "relay") == "false"
            # What waited for the device is not done any more
            message = owner.client.make_message(jid, mtype="normal")
            for xml in (
                f"<set xmlns='{CONTROL}'><boolean name='relay' value='true'/></set>",
                "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>",
            ):
                message.append(parsed(xml))
            message.send()
            await lines(device, "^iot: from before: not set$")
            assert await state_of(owner, jid, "relay") == "false"
        done = [m[1] for m in await lines(device, r"^(.+) by owner@\S+ \(iot\)$")]
        assert done[6:9] == ["blink 4", "blink 5", "blink"]
        assert done[9:11] == ["mode off", "relay 0"]
        # slixmpp's message is of a type "set" that is none
        assert done[11:] == ["relay 1", "relay false"]

    asyncio.run(main())


def parsed(xml):
    """An element from its text."""
    return ET.fromstring(xml)


ON = "<boolean name='relay' value='true'/>"
SETS = [
    ("", "modify bad-request", "must set parameters, or a form", None),
    ("<boolean/>", "cancel item-not-found", "name: no such parameter", ""),
    ("<boolean name='relay'/>", "modify bad-request", "relay: value is missing", "relay"),
    ("<string name='relay' value='true'/>", "modify bad-request",
     "relay: must be boolean, not string", "relay"),
    ("<int name='relay' value='1'/>", "modify bad-request", "relay: must be boolean, not int",
     "relay"),
    ("<boolean name='relay' value='maybe'/>", "modify bad-request",
     "relay: must be on or off, not maybe", "relay"),
    ("<double name='interval' value='5'/>", "modify bad-request",
     "interval: must be int, not double", "interval"),
    ("<double name='setpoint' value='99'/>", "modify bad-request",
     "setpoint: must be a number, 5 to 30 °C, not 99", "setpoint"),
    ("<string name='mode' value='warm'/>", "modify bad-request",
     "mode: must be auto, heat, off, not warm", "mode"),
    ("<color name='mode' value='auto'/>", "modify bad-request", "mode: must be string, not color",
     "mode"),
    ("<sound name='label' value='x'/>", "modify bad-request", "label: must be string, not sound",
     "label"),
    ("<boolean name='temperature' value='1'/>", "cancel item-not-found",
     "temperature: no such parameter", "temperature"),
    (ON + "<int name='volume' value='1'/>", "cancel item-not-found", "volume: no such parameter",
     "volume"),
    ("<int name='%s' value='1'/>" % ("x" * 1000), "cancel item-not-found",
     "x" * 32 + ": no such parameter", "x" * 32),
    ("<%s name='relay' value='1'/>" % ("x" * 1000), "modify bad-request",
     "relay: must be boolean, not " + "x" * 32, "relay"),
    (ON + ON, "modify bad-request", "relay: is there twice", "relay"),
    (ON + "<node nodeId='attic'/>", "cancel item-not-found", "the only node is hall", None),
    ("<boolean name='blink' value='false'/>", "modify bad-request", "blink: must be true",
     "blink"),
    ("<string name='blink' value='3 4'/>", "modify bad-request",
     "blink: times must be a whole number, 1 to 10, not 3 4", "blink"),
    (ON + "<int name='blink' value='11'/>", "modify bad-request",
     "blink: times must be a whole number, 1 to 10, not 11", "blink"),
    (ON + "<boolean name='format' value='true'/>", "cancel not-allowed",
     "format: needs a confirmation, in a chat", "format"),
    (ON + f"<x xmlns='{FORM}' type='submit'/>", "modify bad-request",
     "must set parameters, or a form", None),
    (f"<x xmlns='{FORM}' type='form'/>", "modify bad-request", "it is not submitted", None),
    (f"<x xmlns='{FORM}' type='submit'><field var='volume'><value>1</value></field></x>",
     "modify bad-request", None, None),
    (f"<x xmlns='{FORM}' type='submit'><field var='relay'><value>1</value><value>0</value></field>"
     "</x>", "modify bad-request", "relay must be one value", None),
    (f"<x xmlns='{FORM}' type='submit'><field var='relay'><value>1</value></field>"
     "<field var='mode'><value>warm</value></field></x>", "modify bad-request",
     "mode: must be auto, heat, off, not warm", "mode"),
]  # fmt: skip


def test_sets_refused(board):
    """Nothing is done where anything is refused; the parameter is named."""
    lab, device, jid = board

    async def main():
        async with someone(lab) as owner:
            assert await request(owner, jid, ("relay", "boolean", "false")) == "OK"
            for payload, kind, text, var in SETS:
                answer = await owner.iq(jid, f"<set xmlns='{CONTROL}'>{payload}</set>", "set")
                assert said(answer) == (kind, text or said(answer)[1]), payload
                error = answer.find(f".//{{{CONTROL}}}paramError")
                assert (None if error is None else error.get("var")) == var, payload
            answer = await owner.iq(jid, f"<set xmlns='{CONTROL}'>{ON}</set>", "get")
            assert said(answer)[0] == "modify bad-request"
            assert await state_of(owner, jid, "relay") == "false"
            # To slixmpp, which tells no texts
            assert await request(owner, jid, ("volume", "int", "1")) == "NotFound"
            assert await request(owner, jid, ("mode", "string", "")) == "OtherError"
            # The second fails, when the first was done
            fields = f"{ON}<boolean name='stuck' value='true'/><int name='even' value='2'/>"
            answer = await owner.iq(jid, f"<set xmlns='{CONTROL}'>{fields}</set>", "set")
            assert said(answer) == (
                "cancel internal-server-error", "stuck: jammed; done before: relay"
            )  # fmt: skip
            assert await state_of(owner, jid, "relay") == "true"
            assert await state_of(owner, jid, "even") is None
            answer = await owner.iq(
                jid, f"<set xmlns='{CONTROL}'><int name='even' value='3'/></set>", "set"
            )
            assert said(answer) == ("modify bad-request", "even: not even")

    asyncio.run(main())


def test_roles(board):
    """A viewer reads, an operator does not do what is the owner's, and to a stranger the device
    is like an account that does not exist."""
    lab, device, jid = board
    questions = [
        (f"<req xmlns='{SENSOR}' seqnr='1'/>", "get"),
        (f"<cancel xmlns='{SENSOR}' seqnr='1'/>", "get"),
        (f"<getForm xmlns='{CONTROL}'/>", "get"),
        (f"<set xmlns='{CONTROL}'>{ON}</set>", "set"),
    ]

    async def main():
        async with someone(lab, "viewer") as viewer:
            off = ("relay", "boolean", "false")
            assert await request(viewer, jid, off) == "InsufficientPrivileges"
            answer = await viewer.iq(jid, *questions[3])
            assert said(answer) == ("cancel forbidden", "relay: only for the role operator")
            assert await variables(viewer, jid) == []
        async with someone(lab, "operator") as operator:
            got = await request(operator, jid, off, ("label", "string", "x"))
            assert got == "InsufficientPrivileges"
            assert "label" not in await variables(operator, jid)
        async with someone(lab, "stranger") as stranger:
            answers = [await stranger.iq(jid, *q) for q in questions]
            assert {said(a) for a in answers} == {("cancel service-unavailable", None)}
            assert {len(a) for a in answers} == {1}
            stranger.client.plugin["xep_0325"].set_command(
                stranger.client.boundjid, jid, [("relay", "boolean", "true")]
            )
            assert condition(await stranger.iq(jid, *questions[0]))
        assert " by stranger" not in device.output()

    asyncio.run(main())


async def variables(owner, jid):
    """The names in the form that slixmpp gets."""
    answer = await owner.iq(jid, f"<getForm xmlns='{CONTROL}'/>")
    x = answer.find(f"{{{FORM}}}x")
    fields = [f["var"] for f in owner.client.plugin["xep_0004"].stanza.Form(x)["fields"]]
    for el in x.iter(f"{{{FORM}}}field"):
        assert el.find("{urn:xmpp:xdata:dynamic}notSame") is not None
        assert el.find("{http://jabber.org/protocol/xdata-validate}validate") is not None
    return fields


def test_form(board):
    """A form of all that the asker may set, and one of it sent back."""
    lab, device, jid = board

    async def main():
        async with someone(lab) as owner:
            assert await variables(owner, jid) == [
                "relay", "mode", "setpoint", "interval", "label", "blink", "ring", "stuck", "even"
            ]  # fmt: skip
            forms = owner.client.plugin["xep_0004"]
            form = forms.make_form("submit")
            form.add_field(var="mode", value="auto")
            form.add_field(var="setpoint", value="21")
            form.add_field(var="blink", value="")
            answer = await owner.iq(jid, wrapped(form.xml), "set")
            assert answer.get("type") == "result"
            assert answer.find(f"{{{CONTROL}}}setResponse") is not None
            assert await state_of(owner, jid, "mode") == "auto"
            assert await state_of(owner, jid, "setpoint") == "21"
            info = await owner.client.plugin["xep_0030"].get_info(jid)
            assert {SENSOR, CONTROL} <= set(info["disco_info"]["features"])
        # What was left empty is not done
        done = [m[1] for m in await lines(device, r"^(.+) by owner@\S+ \(iot\)$", 2)]
        assert done[-2:] == ["mode auto", "setpoint 21"]

    asyncio.run(main())


def wrapped(x):
    """A <set/> with `x` in it."""
    el = parsed(f"<set xmlns='{CONTROL}'/>")
    el.append(x)
    return el


def test_flood(board):
    """Who asks too much is refused for a while; nobody else is."""
    lab, device, jid = board
    question = f"<cancel xmlns='{SENSOR}' seqnr='1'/>"

    async def main():
        async with someone(lab, "operator") as operator, someone(lab) as owner:
            found = []
            while len(found) < 30 and ("wait", "resource-constraint") not in found:
                found.append(condition(await operator.iq(jid, question)))
            assert found[-1] == ("wait", "resource-constraint"), found
            # Every two seconds there is room for one: the question before it takes that
            payload = f"<set xmlns='{CONTROL}'>{ON}</set>"
            _, answer = await asyncio.gather(
                operator.iq(jid, question), operator.iq(jid, payload, "set")
            )
            assert said(answer)[0] == "wait resource-constraint"
            assert condition(await owner.iq(jid, question)) == ("cancel", "item-not-found")

    asyncio.run(main())
