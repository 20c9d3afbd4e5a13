"""When values are published, and what is done where that fails: with a service that is played."""

import asyncio
import json

from thing import nodes, pubsub
from thing.registry import Command, Control, Registry, Sensor
from uxmpp.client import StanzaError

BAD = (
    {"service": 5},
    {"service": "a@b@c"},
    {"prefix": 5},
    {"payload": "xml"},
    {"min_s": -1},
    {"min_s": "soon"},
    {"node": "x"},
)


class Client:
    account = "dev@example"
    online = True
    sessions = 1


class Clock:
    time = None

    def now(self):
        return self.time

    def uptime_s(self):
        return 100


class Access:
    def __init__(self):
        self.on_change = []
        self.alone = True
        self.found = [("dev@example", "owner"), ("a@example", "owner"), ("b@example", "viewer")]

    def people(self):
        return self.found


class Thing:
    def __init__(self, config):
        self.config = {"pubsub": config}
        self.client = Client()
        self.clock = Clock()
        self.access = Access()
        self.registry = Registry()
        self.lines = []
        self.log = self.lines.append
        for name in ("a", "b"):
            self.registry.add(Control(name, None, int, value=0))

    def why(self, e):
        return getattr(e, "condition", None) or str(e)


def play(main, config=None, **changes):
    """Run `main(thing, surface, sent)`, with looks that follow each other at once: `sent` is what
    the service got, (look, node, value, people); it raises what `thing.refuses` says."""
    thing = Thing(config or {})
    thing.refuses = {}
    sent = []
    surface = pubsub.Pubsub(thing)
    surface.looks = 0
    for key, value in changes.items():
        setattr(surface, key, value)

    async def sleep(seconds):
        surface.looks += 1
        await asleep(0)

    people = []

    async def prepare(thing, to, node, access):
        people.append([p for p, _ in thing.access.people()])

    async def publish(client, to, node, payload, id, access):
        await asleep(0)
        told = json.loads(payload.text)
        sent.append((surface.looks, node, told["value"], people.pop() if people else None))
        surface.last = (to, access, told)
        if node in thing.refuses:
            raise thing.refuses[node]

    class Loop:
        pass

    async def run():
        task = asyncio.create_task(surface.run())
        await main(thing, surface, sent)
        task.cancel()

    asleep = asyncio.sleep
    kept = pubsub.publish, pubsub.asyncio, pubsub.forget
    made = nodes.prepare
    nodes.prepare = prepare
    pubsub.forget = lambda name: None
    Loop.sleep = staticmethod(sleep)
    pubsub.publish, pubsub.asyncio = publish, Loop
    try:
        asyncio.run(run())
    finally:
        pubsub.publish, pubsub.asyncio, pubsub.forget = kept
        nodes.prepare = made


async def looks(surface, count):
    """Wait for so many more looks."""
    end = surface.looks + count
    while surface.looks < end:
        await asyncio.sleep(0)


def test_newest_only():
    async def main(thing, surface, sent):
        a, b = thing.registry.entries
        # Before a session nothing goes out, nor is kept but the last
        for a.value in range(1, 50):
            surface.changed(a)
        await looks(surface, 5)
        assert not sent
        await surface.online()
        await looks(surface, 2)
        people = ["dev@example", "a@example", "b@example"]
        assert [s[1:] for s in sent] == [("dev/a", 49, people), ("dev/b", 0, people)]
        # As often as may be: 1 s is five looks
        sent.clear()
        for a.value in range(50, 100):
            surface.changed(a)
            await looks(surface, 1)
        await looks(surface, 7)
        times = [s[0] for s in sent]
        assert min([y - x for x, y in zip(times, times[1:])]) > 5
        assert 8 <= len(sent) <= 10 and sent[-1][1:] == ("dev/a", 99, None)
        # A line that is down, and a session that has not been prepared
        sent.clear()
        thing.client.online = False
        surface.changed(b)
        await looks(surface, 9)
        thing.client.online = True
        thing.client.sessions += 1
        for a.value in range(3):
            surface.changed(a)
        await looks(surface, 9)
        assert not sent
        await surface.online()
        await looks(surface, 9)
        assert [s[1:3] for s in sent] == [("dev/b", 0), ("dev/a", 2)]

    play(main)


def test_back_off():
    async def main(thing, surface, sent):
        await surface.online()
        thing.refuses = {"x/a": StanzaError("forbidden")}
        await looks(surface, 4000)
        times = [s[0] for s in sent if s[1] == "x/a"]
        gaps = [y - x for x, y in zip(times, times[1:])]
        assert [s[1] for s in sent].count("x/b") == 1
        # 5, 10, 20, ... to 40 s, in looks of 0.2 s
        assert [round(g / 5) for g in gaps[:6]] == [5, 10, 20, 40, 40, 40], gaps
        # Each time with its members, as it may be another node now
        assert None not in [s[3] for s in sent]
        assert surface.failures == len(times)
        assert thing.lines == ["pubsub: x/a: forbidden"]
        # Another reason is another line, in a new session each once more
        thing.refuses = {"x/a": OSError("no answer"), "x/b": StanzaError("forbidden")}
        surface.changed(thing.registry.find("b"))
        await looks(surface, 300)
        assert thing.lines == ["pubsub: x/a: forbidden", "pubsub: x/a: no answer"]
        thing.client.sessions += 1
        await surface.online()
        await looks(surface, 5)
        assert sorted(thing.lines[2:]) == ["pubsub: x/a: no answer", "pubsub: x/b: forbidden"]
        # And well again
        thing.refuses = {}
        del sent[:]
        await looks(surface, 30)
        assert sorted([s[1] for s in sent]) == ["x/a", "x/b"]

    play(main, {"prefix": "x"}, max_pause_s=40)


def test_readings():
    async def main(thing, surface, sent):
        s = thing.registry.add(Sensor("s", None))
        await surface.online()
        # A minute of readings, of which one differs, and then of the same
        for s.when in range(61):
            s.value = 20 + (s.when == 30)
            surface.changed(s)
            await looks(surface, 7)
        assert [x[2] for x in sent if x[1] == "dev/s"] == [20, 21, 20]
        for s.when in range(61, 93):
            surface.changed(s)
            await looks(surface, 7)
        assert [x[2] for x in sent if x[1] == "dev/s"] == [20, 21, 20, 20]
        before = len(sent)
        for _ in range(3):
            surface.changed(thing.registry.find("a"))
            await looks(surface, 7)
        assert len(sent) == before + 3

    play(main)


def test_change_of_roles():
    async def main(thing, surface, sent):
        await surface.online()
        await looks(surface, 9)
        del sent[:]
        thing.access.found.pop()
        thing.access.on_change[0]("b@example")
        await looks(surface, 9)
        people = ["dev@example", "a@example"]
        assert [s[1:] for s in sent] == [("dev/a", 0, people), ("dev/b", 0, people)]

    play(main)


def test_who_may_see():
    def check(config, alone, shared, to, access):
        async def main(thing, surface, sent):
            thing.access.alone = alone
            thing.config["shared"] = shared
            await surface.online()
            await looks(surface, 3)
            assert surface.last[:2] == (to, access), surface.last

        play(main, config)

    check({}, True, False, None, "presence")
    check({}, False, False, None, "whitelist")
    check({}, True, True, None, "whitelist")
    check({"service": "Pubsub.example"}, True, False, "pubsub.example", "whitelist")


def test_payload():
    async def main(thing, surface, sent):
        a = thing.registry.find("a")
        a.when = 40
        table = (
            (True, {"value": True}),
            (21.5, {"value": 21.5}),
            (float("nan"), {"value": None}),
            (None, {"value": None}),
            ('\u00fc"<\n' + "x" * 600, {"value": '\u00fc"<\n' + "x" * 496}),
            ((1, 2), {"value": "(1, 2)"}),
        )
        for value, told in table:
            a.value = value
            assert json.loads(surface._json(a).text) == dict(told, name="a"), value
        thing.clock.time = 1772900730
        a.unit = "cm"
        a.error = "no echo"
        assert json.loads(surface._json(a).text) == {
            "name": "a",
            "value": "(1, 2)",
            "unit": "cm",
            "time": "2026-03-07T16:24:30Z",
            "error": "no echo",
        }

    play(main)


def test_answers_of_commands():
    # Viewers see the node, and may not have done what it tells of
    async def main(thing, surface, sent):
        for role in ("viewer", "operator", "owner"):
            thing.registry.add(Command(role, None, (), role=role, value="the key is 4711", when=7))
        thing.clock.time = 1772900730
        await surface.online()
        await looks(surface, 3)
        told = {s[1]: s[2] for s in sent}
        assert told["dev/viewer"] == "the key is 4711"
        assert told["dev/operator"] == told["dev/owner"] == "done"
        assert surface.last[2]["time"] == "2026-03-07T16:23:57Z"
        # Each time it is done
        del sent[:]
        surface.changed(thing.registry.find("owner"))
        await looks(surface, 9)
        assert [s[1:3] for s in sent] == [("dev/owner", "done")]

    play(main)


def test_answers_as_fields():
    async def main(thing, surface, sent):
        thing.config["name"] = "dev"
        payloads = []

        async def publish(client, to, node, payload, id, access):
            payloads.append(payload.to_bytes().decode())

        pubsub.publish = publish
        thing.clock.time = 1772900730
        e = thing.registry.add(Command("c", None, (), value="the key is 4711", when=7))
        await surface.publish(e)
        e.role = "viewer"
        await surface.publish(e)
        assert "value='done'" in payloads[0] and "4711" not in payloads[0], payloads
        assert "value='the key is 4711'" in payloads[1], payloads

    play(main, {"payload": "fields"})


class Odd:
    def __str__(self):
        raise TypeError("no text")


def test_values_without_a_text():
    # One that cannot be told does not keep the others from being told; nor does a new beginning
    async def main(thing, surface, sent):
        a, b = thing.registry.entries
        a.value = Odd()
        await surface.online()
        await looks(surface, 9)
        assert [s[1] for s in sent] == ["dev/b"]
        assert thing.lines == ["pubsub: dev/a: no text"]
        del sent[:]
        a.value = 1
        again = asyncio.create_task(surface.run())
        surface.changed(b)
        await looks(surface, 60)
        again.cancel()
        assert sorted([s[1:3] for s in sent]) == [("dev/a", 1), ("dev/b", 0)]

    play(main)


def test_bad_configuration():
    for config in BAD:

        async def main(thing, surface, sent):
            await surface.online()
            for _ in range(5):
                await asyncio.sleep(0)
            assert not sent and len(thing.lines) == 1, thing.lines
            assert thing.lines[0].endswith(": nothing is published"), thing.lines

        play(main, config)
