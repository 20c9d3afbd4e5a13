"""What the agent says and does: reports, presence, chat, roles, and what it answers by itself."""

import asyncio
import re
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from host_tools.lab.owner import Owner

from .chat_lines import normal
from .helper import (
    bodies,
    both,
    condition,
    lines,
    meter_of,
    online,
    owner_of,
    pinged,
    ready,
    recorded,
    set_level,
    until,
)
from .helper import device_of as any_device_of

CLIENT = "{jabber:client}"
DISCO = "http://jabber.org/protocol/disco#info"
FEATURES = {
    "urn:xmpp:ping", DISCO, "jabber:iq:version", "urn:xmpp:time",
    # The chat's and the presence's
    "urn:xmpp:receipts", "urn:xmpp:chat-markers:0", "http://jabber.org/protocol/chatstates",
    "urn:xmpp:message-correct:0", "urn:xmpp:styling:0", "http://jabber.org/protocol/caps",
}  # fmt: skip
HELP = """\
*level*: the reading in cm
*mood*: the reading
*lamp*: on or off
*mode*: auto, off, Half Open
*speed*: a number in rpm
*label*: a text of up to 200 characters
*lock*: on or off
*stuck*: on or off
*add* [VALUE] [VALUE]
*say*
*beep*
*fail*
*reset*
*question* [VALUE]
Also: status, mute, unmute, who, role, log. help NAME tells more."""
STATUS = """\
\\*level\\*: {}
\\*mood\\*: calm
\\*lamp\\*: {}
\\*mode\\*: not known
\\*speed\\*: not known
\\*label\\*: not known
\\*lock\\*: not known
\\*stuck\\*: on
up \\d+ s, {} cuts, {} faults, {} dropped, {} refused"""
FREE = r", \d+ of 1\d\d KB free"


def run(lab, runtime, main, **changes):
    """Run `main(device, owner, jid)` with a station that has told `owner` its first reading."""

    async def with_owner():
        async with owner_of(lab) as owner:
            with device_of(lab, runtime, **changes) as device:
                await main(device, owner, await ready(device, owner))

    asyncio.run(with_owner())


def device_of(lab, runtime, **changes):
    """A device with the program `station`, of which any number of things may be asked."""
    return any_device_of(lab, runtime, "patient", **changes)


async def check_talk(owner, jid, table):
    """Whether each text gets the answer that stands beside it."""
    got = [(text, normal(await owner.ask(jid, text))) for text, _ in table]
    assert got == list(table)


def done(device):
    """What the station did: its console without the lines of its log."""
    return [
        line
        for line in device.output().splitlines()
        if not re.search(r": online$|^\w+: \w+Error\(|^\w+.* by \S+ \(chat\)$", line)
    ]


async def said_until(owner, jid, text):
    """What `jid` says up to and with the first message with `text` in it."""
    got = []
    await until(lambda: got.extend(bodies(owner, jid)) or any(text in b for b in got), lambda: got)
    return got


async def said_until_now(owner, jid):
    """What `jid` said that nobody has looked at yet."""
    await owner.say(jid, "say now")
    return (await said_until(owner, jid, "'now'"))[:-1]


# Reports and presence


@both
def test_first_report(shared, runtime):
    """The owner, who never asked for anything, is told the state and sees the device."""

    async def main(device, owner, jid):
        presence = await owner.presence(shared.jid("dev"), lambda p: p.status == "level: 20 cm")
        assert (presence.jid, presence.type, presence.status) == (jid, "available", "level: 20 cm")
        assert await said_until_now(owner, jid) == []
        # Whoever writes for the first time knows no resource
        assert await owner.ask(shared.jid("dev"), "mood") == "mood: calm"
        assert done(device) == []

    run(shared, runtime, main)


@both
def test_report_when_a_sensor_fails_and_works_again(shared, runtime):
    """By message and by presence, from the start on; on the console each failure is one line."""
    states = [
        ("broken", "no reading: no echo"),
        ("21.25", "21.25 cm"),
        ("broken", "no reading: no echo"),
        ("-3", "-3 cm"),
        ("nonsense", "no reading: .+"),
    ]

    device = device_of(shared, runtime)
    set_level(device, "broken")

    async def main():
        async with owner_of(shared) as owner:
            with device:
                await check(owner, await online(device))

    async def check(owner, jid):
        for text, state in states:
            set_level(device, text)
            report = await owner.next_message(jid)
            assert re.fullmatch("level: " + state, report.body), report
            assert report.type == "chat" and report.sender == jid
            await owner.presence(jid, lambda p, r=report: p.status == r.body)
        set_level(device, "broken")
        assert await owner.ask(jid, "level") == "level: no reading: no echo"
        status = await owner.ask(jid, "status")
        assert status.startswith("*level*: no reading: no echo\n*mood*: calm\n")
        faults = int(re.search(r", (\d+) faults, ", status)[1])
        await lines(device, "^level: .*Error", faults)
        await lines(device, r"^level: OSError\(.*no echo")

    asyncio.run(main())


async def was_read(device, name, text):
    """Wait until `name` was read twice with this outcome: so the first was thought about."""
    set_level(device, text, name)
    pattern = rf"^{name} {re.escape(text)}$"
    seen = len(re.findall(pattern, device.output(), re.M))
    await lines(device, pattern, seen + 2)


@both
def test_report_by_delta(shared, runtime):
    """What counts is how far the value moved since the last report, not since the last look."""
    steps = [
        ("level", "20.5"), ("level", "20.9"), ("level", "21"), ("level", "20.25"), ("level", "20"),
        ("door", "open"), ("level", "broken"), ("level", "20"), ("door", "shut"), ("level", "5.5"),
    ]  # fmt: skip
    reports = [
        "level: 20 cm\ndoor: shut",
        "level: 21 cm",
        "level: 20 cm",
        "door: open",
        "level: no reading: no echo",
        "level: 20 cm",
        "door: shut",
        "level: 5.5 cm",
    ]

    async def main(device):
        async with owner_of(shared) as owner:
            jid = await online(device)
            await was_read(device, "level", "20")
            for name, text in steps:
                await was_read(device, name, text)
            assert await said_until(owner, jid, "5.5") == reports
            # The status line is the first sensor's
            await owner.presence(jid, lambda p: p.status == "level: 5.5 cm")

    poll = {"delta": 1, "poll": 0.05}
    sensors = {"level": ("20", {"unit": "cm", **poll}), "door": ("shut", poll)}
    with meter_of(shared, runtime, sensors) as device:
        asyncio.run(main(device))


@both
@pytest.mark.parametrize(
    ("options", "looks"),
    [
        # Not each reading takes as long as the one before
        ({"every": 0.4, "takes": [0.2, 0]}, 1),
        ({"every": 0.4, "delta": 100, "poll": 0.1}, 4),
    ],
    ids=["every", "every-and-delta"],
)
def test_report_by_period(shared, runtime, options, looks):
    """As often as promised, with the reading of then; `looks`: the readings a report."""

    async def main(device):
        async with owner_of(shared) as owner:
            jid = await online(device)
            got, came, readings = [], [], []
            while got.count("level: 21") < 3:
                if len(got) == 2:
                    set_level(device, "21")
                got.append((await owner.next_message(jid)).body)
                came.append(time.monotonic())
                readings.append(len(re.findall("^level ", device.output(), re.M)))
            old = got.count("level: 20")
            assert got == ["level: 20"] * old + ["level: 21"] * 3 and old >= 2
            assert old <= len(re.findall("^level 20$", device.output(), re.M))
            # On a busy machine one comes late, and the next ones soon after it: not all of them
            spans = [b - a for a, b in zip(came, came[2:], strict=False)]
            assert min(spans) < 2 * 0.4 + 0.6 and max(spans) > 2 * 0.4 - 0.2, came
            # The server may hold back one or two
            assert readings[-1] - readings[0] <= looks * ((came[-1] - came[0]) / 0.4 + 1) + 1
            assert readings[-1] >= len(got) + (looks - 1) * 2

    with meter_of(shared, runtime, {"level": ("20", options)}) as device:
        asyncio.run(main(device))


# Words and answers


@both
def test_words(shared, runtime):
    """However they are written, and what the device makes of what it does not know."""
    level = "level: 20 cm"
    unknown = "I do not know {}. Try help."

    async def main(device, owner, jid):
        table = [
            *[(w, HELP) for w in ("help", "HELP", "/help", "!help", "Help?", " help ", "help me")],
            *[(w, level) for w in ("level", "Level", "/LEVEL", "!level", "level?", "level ?")],
            *[(w, level) for w in ("level:", "level.", "\tlevel\n", "//level", "level please")],
            *[(w, "mood: calm") for w in ("mood", "/mood", "MOOD?")],
            *[(w, "lamp: off") for w in ("lamp", "Lamp?", "/lamp", "!LAMP", "lamp ")],
            ("mode", "mode: not known. 1 auto, 2 off, 3 Half Open"),
            ("stuck?", "stuck: on"),
            ("/beep", "beep: done"),
            ("BEEP", "beep: done"),
            *[(w, "Try help.") for w in ("/", "!", "//!")],
            ("?", "Try help."),
            ("door", unknown.format("door")),
            ("Open the door", unknown.format("open")),
            ("levels", "I do not know levels. Did you mean level?"),
            ("yes", level),
            ("help,lamp", unknown.format("help,lamp")),
            ("21", unknown.format("21")),
            ("grün <&> 日本", unknown.format("grün")),
            ("x" * 200, unknown.format("x" * 32)),
        ]
        await check_talk(owner, jid, table)
        assert done(device) == ["beep", "beep"]

    run(shared, runtime, main)


@both
def test_controls(shared, runtime):
    """Each kind of value as people write it, and what is refused changes nothing."""
    on, off, no = "lamp: on", "lamp: off", "lamp: must be on or off, not {}"
    since = ", since AGE"
    mode = "mode: must be auto, off, Half Open, not {}"
    number = "speed: must be a number in rpm, not {}"
    table = [
        *[(f"lamp {w}", on) for w in ("on", "ON", "true", "Yes", "1", "  on ")],
        *[(f"lamp {w}", no.format(w)) for w in ("sideways", "on off", "2", "o", "onn", "y" * 32)],
        ("lamp " + "y" * 50, no.format("y" * 32)),
        ("lamp", on + since),
        *[(f"lamp {w}", off) for w in ("off", "Off", "false", "no", "0")],
        ("/Lamp ON", on),
        ("lamp?", on + since),
        ("mode off", "mode: off"),
        ("mode AUTO", "mode: auto"),
        ("mode half open", "mode: Half Open"),
        ("mode half", mode.format("half")),
        ("mode on", mode.format("on")),
        ("mode", "mode: Half Open, since AGE. 1 auto, 2 off, 3 Half Open"),
        ("speed 21,5", "speed: 20 rpm"),
        ("speed 38.25", "speed: 30 rpm"),
        ("speed 70", "speed: 70 rpm"),
        ("speed -5", "speed: -10 rpm"),
        ("speed 1e1", "speed: 10 rpm"),
        *[(f"speed {w}", number.format(w)) for w in ("fast", "1 2", "inf", "nan", "1e999", "0x1")],
        ("speed 101", "speed: at most 100"),
        ("speed", "speed: 10 rpm, since AGE"),
        ("label Zwei  Wörter <&> 'x'", "label: Zwei  Wörter <&> 'x'"),
        ("label on", "label: on"),
        ("label", "label: on, since AGE"),
        ("lock on", "lock: on"),
        ("stuck off", "stuck: failed: the motor does not turn"),
        ("stuck", "stuck: on"),
        ("level 5", "level: 20 cm"),
    ]
    did = [
        *["lamp True"] * 6, *["lamp False"] * 5, "lamp True",
        "mode off", "mode auto", "mode Half Open",
        "label Zwei  Wörter <&> 'x'", "label on", "lock True",
    ]  # fmt: skip

    async def main(device, owner, jid):
        await check_talk(owner, jid, table)
        assert done(device) == did
        status = await owner.ask(jid, "status")
        assert ", 1 faults, " in status
        assert normal(status).startswith(
            "*level*: 20 cm\n*mood*: calm\n*lamp*: on, since AGE\n*mode*: Half Open, since AGE\n"
            "*speed*: 10 rpm, since AGE\n*label*: on, since AGE\n*lock*: on, since AGE\n"
            "*stuck*: on\nup "
        )

    run(shared, runtime, main)


@both
def test_commands(shared, runtime):
    """With and without arguments, with wrong ones, and where the function fails."""
    table = [
        ("add 2", "add: 2.5"),
        ("add 2 3", "add: 5"),
        ("ADD 2 0,25", "add: 2.25"),
        ("add -2   1.5 ", "add: -0.5"),
        ("add two", "add: value must be a whole number, not two"),
        ("add 1.5", "add: value must be a whole number, not 1.5"),
        ("add 1 x", "add: value must be a number, not x"),
        ("add 1 2 3", "add: value must be a number, not 2 3"),
        (
            "add",
            "add: not so: VALUE: a whole number. VALUE: a number. For the role operator."
            " Example: add 1 1",
        ),
        ("say", "say: "),
        ("say 1 2.5 1,5 -3 Word word?", "say: 1 2.5 1.5 -3 'Word' 'word?'"),
        ("say\nnan 0x10 1e3", "say: 'nan' '0x10' 1000.0"),
        ("beep", "beep: done"),
        ("beep 1", "beep: takes nothing"),
        ("reset", "reset: done"),
        ("fail", "fail: failed: out of paper"),
        ("fail now", "fail: .+"),
        ("level", "level: 20 cm"),
    ]

    async def main(device, owner, jid):
        for text, expected in table:
            answer = await owner.ask(jid, text)
            fits = answer == expected or expected[-2:] == ".+" and re.fullmatch(expected, answer)
            assert fits, (text, answer)
        assert done(device) == ["beep", "reset"]
        # What a person wrote is no fault of the device
        assert re.search(", [123] faults, ", await owner.ask(jid, "status"))
        await lines(device, r"^fail: RuntimeError\(.*out of paper")

    run(shared, runtime, main)


@both
def test_status(shared, runtime):
    """Everything at once, and what the device counted."""

    def check(status, *values):
        pattern = STATUS.format(*values) + ("" if runtime == "cpython" else FREE)
        assert re.fullmatch(pattern, status), status

    async def main(device, owner, jid):
        check(await owner.ask(jid, "status"), "20 cm", "off", 0, 0, 0, 0)
        async with owner_of(shared, "stranger") as stranger:
            for _ in range(2):
                await stranger.say(jid, "lamp on")
            await pinged(stranger)
            await owner.ask(jid, "fail")
            await owner.ask(jid, "Lamp on")
            check(await owner.ask(jid, "/Status?"), "20 cm", r"on, since \d+ s", 0, 1, 0, 2)

    run(shared, runtime, main)


@both
def test_only_what_is_said_to_it(shared, runtime):
    """Other types of messages, and those without words, are neither done nor answered."""
    silent = [
        "type='error'><body>lamp on</body>",
        "type='error'><body>lamp on</body><error type='cancel'>"
        "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        "type='groupchat'><body>lamp on</body>",
        "type='headline'><body>lamp on</body>",
        "type='chat'>",
        "type='chat'><body/>",
        "type='chat'><body> \n\t </body>",
        "type='chat'><subject>lamp on</subject>",
        "type='chat'><body xmlns='urn:example:x'>lamp on</body>",
        "type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/>",
        "type='chat'><received xmlns='urn:xmpp:receipts' id='1'/>",
    ]

    async def main(device, owner, jid):
        for i, rest in enumerate(silent):
            owner.client.send_raw(f"<message to='{jid}' id='m{i}' {rest}</message>")
        assert await said_until_now(owner, jid) == []
        assert done(device) == []
        for kind in ("", "type='normal'", "type='chat'"):
            send = owner.client.send_raw
            send(f"<message to='{jid}' {kind}><body>lamp on</body><x xmlns='x'/></message>")
            assert (await owner.next_message(jid)).body == "lamp: on"
        assert done(device) == ["lamp True"] * 3
        assert ", 0 faults, 0 dropped, 0 refused" in await owner.ask(jid, "status")

    run(shared, runtime, main)


@both
def test_what_was_written_while_it_was_away(world, runtime):
    """A set is not done, but answered; what only reads is answered as ever."""
    away = "I was away when you wrote: {}. Write it again if you still want it."
    table = [
        ("lamp on", away.format("lamp on")),
        ("/Lock ON", away.format("lock ON")),
        ("say " + "x" * 100, away.format("say " + "x" * 28)),
        ("reset", away.format("reset")),
        ("fail", away.format("fail")),
        ("lamp sideways", "lamp: must be on or off, not sideways"),
        ("lamp", "lamp: off"),
        ("mood", "mood: calm"),
        ("help", HELP),
        ("door", "I do not know door. Try help."),
    ]

    async def main():
        async with owner_of(world) as owner:
            for text, _ in table:
                await owner.say(world.jid("dev"), text)
            await pinged(owner)
            with device_of(world, runtime) as device:
                jid = await online(device)
                got = []
                await until(
                    lambda: got.extend(bodies(owner, jid)) or len(got) > len(table), lambda: got
                )
                assert sorted(got) == sorted([a for _, a in table] + ["level: 20 cm"])
                assert done(device) == []
                assert await owner.ask(jid, "lamp on") == "lamp: on"

    asyncio.run(main())


@both
def test_too_long_a_message(shared, runtime):
    """One clear answer, whatever was in it; and of an answer no more than there is room for."""

    async def main(device, owner, jid):
        for text in ("lamp on " * 126, "x" * 9000, "lamp on " * 2000, "label " + "é" * 10000):
            assert await owner.ask(jid, text) == "That message is too long for me."
        assert await owner.ask(jid, "label " + "y" * 200) == "label: " + "y" * 200
        told = "label: must be a text of up to 200 characters, not " + "y" * 32
        assert await owner.ask(jid, "label " + "y" * 201) == told
        said = await owner.ask(jid, "say " + "1e9 " * 200)
        assert len(said) == 2000 and said.startswith("say: 1000000000.0 1000000000.0 ")
        assert done(device) == ["label " + "y" * 200]
        # The counters are there however long what stands before them is
        assert ", 0 cuts, 0 faults, 0 dropped, 0 refused" in await owner.ask(jid, "status")

    run(shared, runtime, main)


# What it answers by itself


@both
def test_questions_of_the_owners_client(shared, runtime):
    name = "Gewächshaus <1>"
    none = ("cancel", "service-unavailable")
    refused = [
        ("get", "<x xmlns='urn:example:unknown'/>"),
        ("get", "<vCard xmlns='vcard-temp'/>"),
        ("get", "<query xmlns='jabber:iq:roster'/>"),
        ("set", "<x xmlns='urn:example:unknown'/>"),
        ("set", "<ping xmlns='urn:xmpp:ping'/>"),
        ("set", f"<query xmlns='{DISCO}'/>"),
        ("set", "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"),
    ]

    async def main(device, owner, jid):
        answer = await owner.iq(jid, "<ping xmlns='urn:xmpp:ping'/>")
        assert (answer.get("type"), len(answer)) == ("result", 0)

        answer = await owner.iq(jid, f"<query xmlns='{DISCO}'/>")
        query = answer.find(f"{{{DISCO}}}query")
        identities = [dict(el.attrib) for el in query.iter(f"{{{DISCO}}}identity")]
        assert identities == [{"category": "client", "type": "bot", "name": name}]
        assert {el.get("var") for el in query.iter(f"{{{DISCO}}}feature")} == FEATURES
        answer = await owner.iq(jid, f"<query xmlns='{DISCO}' node='x'/>")
        assert condition(answer) == ("cancel", "item-not-found")

        answer = await owner.iq(jid, "<query xmlns='jabber:iq:version'/>")
        version = {el.tag.partition("}")[2]: el.text for el in answer[0]}
        assert version["name"] == name and re.fullmatch(r"\d+\.\d+\.\d+", version["version"])
        system = sys.implementation.name if runtime == "cpython" else "micropython"
        assert re.fullmatch(system + r" \d+\.\d+\.\d+", version["os"])

        answer = await owner.iq(jid, "<time xmlns='urn:xmpp:time'/>")
        told = {el.tag.partition("}")[2]: el.text for el in answer[0]}
        assert told["tzo"] == "+00:00"
        utc = datetime.strptime(told["utc"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert abs(utc - datetime.now(UTC)) < timedelta(seconds=5)

        for kind, payload in refused:
            answer = await owner.iq(jid, payload, kind)
            assert condition(answer) == none, (payload, condition(answer))

        got = recorded(owner)
        for i, rest in enumerate(
            (
                "type='get'><ping xmlns='urn:xmpp:ping'/><time xmlns='urn:xmpp:time'/></iq>",
                "type='get'/>",
                "type='set'/>",
                "type='shout'><ping xmlns='urn:xmpp:ping'/></iq>",
                "><ping xmlns='urn:xmpp:ping'/></iq>",
            )
        ):
            owner.client.send_raw(f"<iq to='{jid}' id='odd{i}' {rest}")
        # An answer to what nobody asked is answered least of all
        for i, kind in enumerate(("result", "error")):
            owner.client.send_raw(
                f"<iq to='{jid}' id='not-asked{i}' type='{kind}'><x xmlns='urn:example:x'/></iq>"
            )
        assert await said_until_now(owner, jid) == []
        answers = {el.get("id"): el for el in got if (el.get("id") or "")[:3] in ("odd", "not")}
        assert set(answers) == {f"odd{i}" for i in range(5)}
        for el in answers.values():
            assert condition(el) in (none, ("modify", "bad-request")), condition(el)
        assert ", 0 faults, 0 dropped, 0 refused" in await owner.ask(jid, "status")

    run(shared, runtime, main, name=name)


# Roles

ROLES = {"owner": "owner", "operator": "idle", "viewer": "stranger"}
ALLOWED = {
    # What is written -> the answer, and who gets it; to all others it is refused
    "level": ("level: 20 cm", ("owner", "operator", "viewer")),
    "lamp": ("lamp: off", ("owner", "operator", "viewer")),
    "lock?": ("lock: not known", ("owner", "operator", "viewer")),
    "stuck": ("stuck: on", ("owner", "operator", "viewer")),
    "mode auto": ("mode: auto", ("owner", "operator")),
    "mode nonsense": ("mode: must be auto, off, Half Open, not nonsense", ("owner", "operator")),
    "beep": ("beep: done", ("owner", "operator")),
    "fail": ("fail: failed: out of paper", ("owner", "operator")),
    "lock on": ("lock: on", ("owner",)),
    "reset": ("reset: done", ("owner",)),
    "lock off": ("lock: off", ("owner",)),
}
NEEDED = {"lock on": "owner", "lock off": "owner", "reset": "owner"}
HELP_OF = {
    "owner": HELP,
    "operator": HELP.replace("*lock*: on or off", "*lock*: shows it")
    .replace("*reset*\n", "")
    .replace(" who, role,", ""),
    "viewer": "\n".join(
        ["*level*: the reading in cm", "*mood*: the reading"]
        + [f"*{c}*: shows it" for c in ("lamp", "mode", "speed", "label", "lock", "stuck")]
        + ["Also: status, mute, unmute. help NAME tells more."]
    ),
}  # fmt: skip


@both
def test_roles(world, runtime):
    """Each may do what the role allows, sees the device, and only owners get the reports."""

    roles = {r + "s": [world.jid(ROLES[r])] for r in ("operator", "viewer")}
    there = world.jid("dev")

    async def main():
        async with (
            owner_of(world) as owner,
            owner_of(world, ROLES["operator"]) as operator,
            owner_of(world, ROLES["viewer"]) as viewer,
        ):
            await with_people(owner, operator, viewer)

    async def with_people(owner, operator, viewer):
        with device_of(world, runtime, **roles) as device:
            people = {"viewer": viewer, "operator": operator, "owner": owner}
            jid = await ready(device, owner)
            for role, person in people.items():
                await person.presence(there, lambda p: p.status == "level: 20 cm")
                assert await person.ask(jid, "help") == HELP_OF[role]
                answers = {text: await person.ask(jid, text) for text in ALLOWED}
                expected = {
                    text: answer
                    if role in roles
                    else f"{text.split()[0]}: only for the role {NEEDED.get(text, 'operator')}."
                    for text, (answer, roles) in ALLOWED.items()
                }
                expected["lock?"] = "lock: not known"
                assert answers == expected
                answer = await person.iq(jid, "<ping xmlns='urn:xmpp:ping'/>")
                assert answer.get("type") == "result"
            did = ["mode auto", "beep"]
            assert done(device) == [*did, *did, "lock True", "reset", "lock False"]
            set_level(device, "30")
            assert (await owner.next_message(jid)).body == "level: 30 cm"
            for person in (viewer, operator):
                await person.presence(there, lambda p: p.status == "level: 30 cm")
                assert await said_until_now_viewer(person, jid) == []

    asyncio.run(main())


async def said_until_now_viewer(person, jid):
    """As said_until_now, for one who may only read."""
    await person.say(jid, "mood")
    return (await said_until(person, jid, "mood: calm"))[:-1]


@both
def test_more_than_one_owner(world, runtime):
    """Reports and presence go to each of them, once, however often one is named."""

    owners = [world.jid("owner"), world.jid("idle"), world.jid("owner").upper()]
    there = world.jid("dev")

    async def main():
        async with owner_of(world) as one, owner_of(world, "idle") as two:
            with device_of(world, runtime, owners=owners) as device:
                await with_owners(device, one, two)

    async def with_owners(device, one, two):
        jid = await ready(device, one)
        assert (await two.next_message(jid)).body == "level: 20 cm"
        await two.subscribe(there)
        assert await said_until_now(one, jid) == await said_until_now(two, jid) == []
        for person in (one, two):
            await person.presence(there, lambda p: p.status == "level: 20 cm")
        got = [recorded(person) for person in (one, two)]
        set_level(device, "30")
        for person, stanzas in zip((one, two), got, strict=True):
            assert (await person.next_message(jid)).body == "level: 30 cm"
            await person.presence(there, lambda p: p.status == "level: 30 cm")
            assert await person.ask(jid, "lock on") == "lock: on"
            await pinged(person)
            presences = [
                el.findtext(CLIENT + "status")
                for el in stanzas
                if el.tag == CLIENT + "presence" and el.get("from") == jid
            ]
            assert presences == ["level: 30 cm"]

    asyncio.run(main())


@both
def test_presence_without_a_subscription(world, runtime):
    """Owners see the device at once, even if they do not answer its own wish to see them."""

    async def main():
        server = world.server
        owner = Owner(
            world.jid("owner"),
            world.accounts["owner"],
            server.host,
            server.c2s_port,
            world.ca_pem,
            accept_subscriptions=False,
        )
        async with owner:
            got = recorded(owner)
            with device_of(world, runtime) as device:
                jid = await ready(device, owner)
                await owner.presence(jid, lambda p: p.status == "level: 20 cm")
                set_level(device, "30")
                await owner.presence(jid, lambda p: p.status == "level: 30 cm")
                asked = [el for el in got if el.get("type") == "subscribe"]
                assert len(asked) == 1 and asked[0].get("from") == world.jid("dev")

    asyncio.run(main())


@both
def test_owner_who_comes_later(world, runtime):
    """Whoever has a role and lets the device know of coming online sees it then, as it is."""

    async def main(device):
        async with owner_of(world) as owner:
            # As a phone that was out of reach
            jid = await ready(device, owner)
            await owner.connect()
            await owner.presence(jid, lambda p: p.status == "level: 20 cm")

    with device_of(world, runtime) as device:
        asyncio.run(main(device))
