"""Values as fields of XEP-0323, and readouts of a device that nobody told the time."""

import asyncio

from helper import assert_none
from thing.clock import EARLIEST
from thing.fields import field, payload, put, when
from thing.iot import CONTROL, Iot
from thing.registry import Command, Control, Entry, Event, Occupancy, Registry, Sensor
from uxmpp.client import StanzaError
from uxmpp.xml import Element

HEAP = "600k"


def nothing(*args):
    pass


PLAIN = Entry("plain", {})
CELSIUS = Sensor("t", nothing, unit="°C")
MOTION = Occupancy("motion", nothing)
MODE = Control("mode", nothing, ("auto", "off"), unit="%")
# (entry, value, element, value attribute, unit, dataType)
VALUES = (
    (PLAIN, True, "boolean", "true", None, None),
    (MOTION, False, "boolean", "false", None, None),
    (PLAIN, 0, "numeric", "0", None, None),
    (CELSIUS, 21, "numeric", "21", "°C", None),
    (CELSIUS, 21.5, "numeric", "21.5", "°C", None),
    (CELSIUS, -0.25, "numeric", "-0.25", "°C", None),
    (CELSIUS, 0.001, "numeric", "0.001", "°C", None),
    (CELSIUS, 20.0, "numeric", "20", "°C", None),
    (CELSIUS, 0.1 + 0.2, "numeric", "0.3", "°C", None),
    (CELSIUS, 123456.0, "numeric", "123456", "°C", None),
    (CELSIUS, 2**40, "numeric", "1099511627776", "°C", None),
    (PLAIN, "a <b>", "string", "a <b>", None, None),
    (CELSIUS, "broken", "string", "broken", None, None),
    (PLAIN, "", "string", "", None, None),
    (PLAIN, (1, 2), "string", "(1, 2)", None, None),
    (MODE, "auto", "enum", "auto", None, "mode"),
)


def checked(entry, value, name, text, unit, kind):
    made = field(entry, value)
    attrs = {"name": entry.name, "value": text, "unit": unit, "dataType": kind}
    attrs["momentary"] = attrs["automaticReadout"] = "true"
    got = {k: v for k, v in made.attrs.items() if v is not None}
    attrs = {k: v for k, v in attrs.items() if v is not None}
    if (made.name, got) != (name, attrs) or made.xmlns != "urn:xmpp:iot:sensordata":
        return value, made.name, got
    return None


def test_values():
    assert_none([checked(*row) for row in VALUES])
    for value in (None, float("nan"), float("inf"), float("-inf")):
        assert field(CELSIUS, value) is None
    made = field(MODE, "off", ("peak", "status"), False)
    assert (made.get("peak"), made.get("status"), made.get("momentary")) == ("true", "true", None)
    assert made.get("writable") == "false"
    assert field(MODE, "off", (), True).get("writable") == "true"


class Known:
    # A clock, an access and a client: only what is asked
    def __init__(self, now):
        self.time = now

    def now(self):
        return self.time

    def uptime_s(self):
        return 100

    def allow(self, person):
        return True

    def on(self, *args):
        pass

    def acks(self):
        return False

    async def send(self, el):
        self.sent.append(el)


class Stub:
    faults = 0

    def __init__(self, now, *entries):
        self.clock = self.access = self.client = Known(now)
        self.client.sent = []
        self.config = {"name": "hall"}
        self.registry = Registry()
        self.surfaces = {}
        for e in entries:
            self.registry.add(e)

    def asker(self, jid, via):
        self.jid = jid
        self.person = "me@here"
        self.rank = 3
        return self

    def may(self, entry, asker):
        return True

    def spare(self):
        return True

    async def read(self, entry):
        if isinstance(entry, Sensor):
            entry.value = entry.read()


def test_when():
    stub = Stub(EARLIEST + 500)
    entry = Sensor("x", nothing)
    assert when(stub, entry) == EARLIEST + 500
    entry.when = 70
    assert when(stub, entry) == EARLIEST + 470
    # The state of a control is that of now
    control = Control("c", nothing, bool)
    control.when = 70
    assert when(stub, control) == EARLIEST + 500
    stub.clock.time = None
    assert when(stub, entry) is None


def test_payload():
    stub = Stub(EARLIEST + 500)
    entry = Sensor("t", nothing, unit="°C")
    assert payload(stub, entry) is None
    entry.value = 1.5
    entry.when = 90
    at = "<node nodeId='hall'><timestamp value='2025-01-01T00:08:10Z'>"
    text = str(payload(stub, entry))
    assert text.startswith("<fields xmlns='urn:xmpp:iot:sensordata'>" + at + "<numeric "), text
    stub.clock.time = None
    assert payload(stub, entry) is None


def test_put():
    fields = Element("fields", "urn:xmpp:iot:sensordata")
    for at in (EARLIEST, EARLIEST, EARLIEST + 1, EARLIEST):
        put(fields, "hall", at, field(PLAIN, at))
    (node,) = fields.elements()
    assert [len(t.elements()) for t in node.elements()] == [2, 1, 1]


def asked(stub, name, attrs=None, xmlns="urn:xmpp:iot:sensordata"):
    """What is sent for a question: the answer, then what comes by itself."""
    stanza = Element("iq", None, {"type": "get", "id": "1", "from": "me@here/now"})
    question = stanza.add(name, xmlns, attrs)

    async def main():
        iot = Iot(stub)
        stub.client.sent.append(await iot._asked(stanza, question))
        while iot.readouts:
            await asyncio.sleep(0)

    del stub.client.sent[:]
    asyncio.run(main())
    return stub.client.sent


def test_no_time():
    # Each value needs a time: there is none to be made up
    sent = asked(Stub(None, Sensor("t", lambda: 1)), "req", {"seqnr": "1"})
    assert len(sent) == 2 and sent[1] is None
    rejected, error = sent[0].elements()
    assert rejected.find("error").text == "the time is not known yet"
    assert error.get("type") == "wait" and error.elements()[0].name == "unexpected-request"


def test_messages():
    """Four at a time; failures last, of which the last says that it is."""

    def broken():
        return None

    entries = [Sensor("ok{}".format(i), lambda: 1) for i in range(6)]
    entries += [Sensor("bad{}".format(i), broken) for i in range(7)]
    stub = Stub(EARLIEST, *entries)
    accepted, *messages = asked(stub, "req", {"seqnr": "5"})
    assert accepted.name == "accepted" and accepted.get("seqnr") == "5"
    parts = [m.elements()[0] for m in messages]
    assert [p.name for p in parts] == ["fields", "fields", "failure", "failure"]
    assert [p.get("done") for p in parts] == [None, None, None, "true"]
    assert [len(p.elements()) for p in parts] == [1, 1, 4, 3]
    assert parts[3].elements()[2].text == "bad6: no reading"
    # The last fields say that they are, too, where there is nothing behind them
    parts = asked(Stub(EARLIEST, *entries[:6]), "req", {"seqnr": "5", "all": "1"})[1:]
    parts = [p.elements()[0] for p in parts]
    assert [len(p.elements()[0].elements()[0].elements()) for p in parts] == [4, 4, 2]
    assert [p.get("done") for p in parts] == [None, None, "true"]


class Past:
    # A history with a slot each `keep` seconds
    def __init__(self, keep, count):
        self.keep = keep
        self.count = count
        self.asked = None

    def recall(self, name, since, until):
        self.asked = (since, until)
        for i in range(self.count):
            at = MONDAY + i * self.keep
            if since <= at < until:
                yield at, float(i), i - 1.0, i + 1.0


MONDAY = 1736121600  # 2025-01-06
# What is asked for, of slots of six hours in 15 days: the types of the first three, how many
PERIODS = (
    ({"historical": "1"}, ["Week", "Hour", "Hour"], 60),
    ({"historicalHour": "true"}, ["Week", "Hour", "Hour"], 60),
    ({"historicalOther": "true"}, ["Week", "Hour", "Hour"], 60),
    ({"historicalDay": "true"}, ["Week", "Day", "Day"], 15),
    ({"historicalDay": "true", "historicalMinute": "true"}, ["Week", "Hour", "Hour"], 60),
    ({"historicalYear": "true"}, ["Week", "Day", "Day"], 15),
    ({"historicalWeek": "true"}, ["Week", "Week", "Week"], 3),
    ({"historical": "1", "to": "2025-01-06T12:00:00Z"}, ["Week", "Hour", "Hour"], 3),
    ({"historicalDay": "1", "from": "2025-01-18T01:00:00Z"}, ["Day", "Week"], 2),
)


def recalled(asked_for, types, count):
    entry = Sensor("t", nothing, keep=21600)
    # The last slot is not over
    stub = Stub(MONDAY + 60 * 21600 + 1000, entry)
    stub.surfaces["history"] = Past(21600, 61)
    attrs = {"seqnr": "3"}
    attrs.update(asked_for)
    fields = []
    for message in asked(stub, "req", attrs)[1:]:
        for node in message.elements()[0].elements():
            for at in node.elements():
                fields.extend(at.elements())
    found = [[k[10:] for k in f.attrs if k.startswith("historical")] for f in fields]
    if found[:3] != [[t] for t in types] or len(found) != count:
        return asked_for, found[:3], len(found)
    return None


def test_history():
    assert_none([recalled(*row) for row in PERIODS])


def test_nothing_asked_for_by_name():
    entries = (Event("bell", nothing), Command("go", nothing, ()), Control("c", nothing, bool))
    for e in entries:
        (error, none) = asked(Stub(EARLIEST, e), "req", {"seqnr": "1"})
        assert none is None and error.elements()[1].elements()[0].name == "item-not-found"
        e.value = True
        assert len(asked(Stub(EARLIEST, e), "req", {"seqnr": "1"})) == 2


def test_form_of_nothing():
    (x,) = asked(Stub(EARLIEST, Sensor("t", nothing)), "getForm", None, CONTROL)
    assert x.name == "x" and not [el for el in x.elements() if el.name == "field"]
    assert StanzaError
