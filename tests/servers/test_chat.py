"""The chat, as people and their clients know it: lines, manners, rich text."""

import asyncio
import re
from html import escape
from itertools import count

import pytest

from host_tools.lab.lab import Lab

from .chat_lines import LINES, normal
from .helper import (
    PASSWORDS,
    bodies,
    both,
    device_of,
    online,
    owner_of,
    pinged,
    recorded,
    until,
)

DISCO = "http://jabber.org/protocol/disco#info"
CLIENT = "{jabber:client}"
RESPONSE = "{urn:xmpp:tmp:quick-response}response"
STATES = "http://jabber.org/protocol/chatstates"
RECEIPTS = "urn:xmpp:receipts"
MARKERS = "urn:xmpp:chat-markers:0"
WHO = {"owner": "owner", "operator": "idle", "viewer": "viewer", "stranger": "stranger"}

_ids = count(1)


def talker_of(lab, runtime, **changes):
    """The program `talker`, with an operator and a viewer."""
    people = {"operators": [lab.jid("idle")], "viewers": [lab.jid("viewer")]}
    return device_of(lab, runtime, "talker", **{**people, **changes})


@pytest.fixture(scope="module")
def talkers():
    """As `shared`, with a viewer's account."""
    with Lab({**PASSWORDS, "viewer": "only looks"}) as lab:
        yield lab


def send(person, jid, line, id=None, replace=None, xml="", kind="chat"):
    """Send `line` as `person`, and what else is in the message; None: no body."""
    if replace:
        xml += f"<replace xmlns='urn:xmpp:message-correct:0' id='{replace}'/>"
    body = "" if line is None else f"<body>{escape(line)}</body>"
    id = id or f"line{next(_ids)}"
    person.client.send_raw(f"<message to='{jid}' type='{kind}' id='{id}'>{body}{xml}</message>")
    return id


def groups(table, most=8):
    """The entries of `table` in turn, as many together as one person says in a row without
    having to know an answer, or being overtaken by one: `blink` waits, if only for a moment."""
    group = []
    for entry in table:
        if group and (
            entry[0] != group[0][0]
            or len(group) == most
            or entry[1]
            and "{" in entry[1]
            or (group[-1][1] or "").lower().startswith("blink")
        ):
            yield group
            group = []
        group.append(entry)
    yield group


async def answer_of(person, jid):
    """The next message of `jid` that says something."""
    return (await person.next_message(jid)).body


@both
def test_lines(talkers, runtime):
    """Each line of the table gets its answer, and no other; strangers get none at all."""

    async def main():
        async with (
            owner_of(talkers) as owner,
            owner_of(talkers, "idle") as operator,
            owner_of(talkers, "viewer") as viewer,
            owner_of(talkers, "stranger") as stranger,
        ):
            people = dict(zip(WHO, (owner, operator, viewer, stranger), strict=True))
            with talker_of(talkers, runtime) as device:
                await converse(people, await online(device))
                faults = re.findall("^fail: .*Error", device.output(), re.M)
                assert len(faults) == 2, device.output()

    async def converse(people, jid):
        assert await answer_of(people["owner"], jid) == "motion: empty"
        code = "0000"
        for group in groups(LINES):
            person = people[group[0][0]]
            # The device does one after the other, in the order in which they came
            for _, line, _, *more in group:
                if line and "{" in line:
                    line = line.format(code=code, wrong=f"{(int(code) + 1) % 10000:04}")
                send(person, jid, line, **(more[0] if more else {}))
            for who, line, expected, *more in group:
                if expected is not None:
                    got = await answer_of(person, jid)
                    while got.startswith("doorbell: ") and not expected.startswith("doorbell: "):
                        got = await answer_of(person, jid)  # an alert, which comes when it comes
                    said = (
                        f"{who} line {LINES.index((who, line, expected, *more))}: {line!r} {more}"
                    )
                    assert normal(got) == expected, f"{said}\n{got!r}\n{expected!r}"
                    code = (re.findall(r"`yes (\d{4})`", got) or [code])[0]
        # Whoever got an answer to what should have none is told of it here
        for person in people.values():
            await pinged(person)
            assert [b for b in bodies(person, jid) if not b.startswith("doorbell: ")] == []

    asyncio.run(main())


# Manners

RECEIPT = f"<request xmlns='{RECEIPTS}'/>"
MARKABLE = f"<markable xmlns='{MARKERS}'/>"
ACTIVE = f"<active xmlns='{STATES}'/>"
READING = "temperature: 21.5 °C"
IM = "http://jabber.org/protocol/xhtml-im"
XHTML = "{http://www.w3.org/1999/xhtml}"


def plainly(el):
    """(body or None, (what else there is, and the id that it names) ...) of a message."""
    found = [(c.tag, c.get("id")) for c in el if c.tag != CLIENT + "body"]
    return (el.findtext(CLIENT + "body"), *[f for f in found if "urn:xmpp:sid:0" not in f[0]])


async def said_of(person, jid, got, line, **options):
    """All messages of `jid` that one message brings, as plainly(); and that message's id."""
    del got[:]
    id = send(person, jid, line, **options)
    send(person, jid, "doorbell")
    await until(lambda: "doorbell: nothing yet" in bodies(person, jid), "answer")
    found = [el for el in got if el.tag == CLIENT + "message" and el.get("from") == jid]
    return [plainly(el) for el in found[:-1]], id


@both
def test_manners(talkers, runtime):
    """Receipts, markers and states as they were asked for; to strangers, and to what is no chat,
    none; buttons for what may be answered."""

    received, displayed = f"{{{RECEIPTS}}}received", f"{{{MARKERS}}}displayed"
    composing, active = (f"{{{STATES}}}{s}" for s in ("composing", "active"))
    everything = RECEIPT + MARKABLE + ACTIVE

    async def main():
        async with owner_of(talkers) as owner, owner_of(talkers, "stranger") as stranger:
            with talker_of(talkers, runtime) as device:
                jid = await online(device)
                assert await answer_of(owner, jid) == "motion: empty"
                await check(owner, jid)
                await check_work(owner, jid)
                got = recorded(stranger)
                for kind in ("chat", "normal", "headline", "groupchat", "error"):
                    send(stranger, jid, "temperature", xml=everything, kind=kind)
                await pinged(stranger)
                await owner.ask(jid, "temperature")
                await pinged(stranger)
                # A bounce of the server's is all that an account that does not exist would show
                assert [plainly(el) for el in got if el.get("from") == jid] == []

    async def check(owner, jid):
        got = recorded(owner)

        async def said(line, xml="", **options):
            found, id = await said_of(owner, jid, got, line, xml=xml, **options)
            return [
                tuple(b if not isinstance(b, tuple) else (b[0], b[1] == id) for b in one)
                for one in found
            ]

        assert await said("temperature") == [(READING,)]
        assert await said("temperature", RECEIPT) == [(None, (received, True)), (READING,)]
        assert await said("temperature", MARKABLE) == [(None, (displayed, True)), (READING,)]
        assert await said("temperature", ACTIVE) == [
            (None, (composing, False)),
            (READING, (active, False)),
        ]
        assert await said("temperature", everything, kind="normal") == [
            (None, (received, True)),
            (None, (displayed, True)),
            (None, (composing, False)),
            (READING, (active, False)),
        ]
        # What was understood at once needs no thinking; it was read all the same
        assert await said("temprature now", everything) == [
            (None, (received, True)),
            (None, (displayed, True)),
            (
                "I do not know temprature. Did you mean temperature?",
                (active, False),
                (RESPONSE, False),
            ),
        ]
        silent = [
            ("temperature", {"kind": "groupchat"}),
            ("temperature", {"kind": "headline"}),
            ("temperature", {"kind": "error"}),
            (None, {}),
            (" ", {}),
            (None, {"xml": f"<received xmlns='{RECEIPTS}' id='1'/>"}),
            (None, {"xml": f"<displayed xmlns='{MARKERS}' id='1'/>"}),
            (None, {"xml": f"<composing xmlns='{STATES}'/>"}),
        ]
        for line, options in silent:
            options = {"xml": everything, **options}
            assert await said(line, **options) == [], (line, options)
        assert await buttons(owner, jid, "mode") == [
            ("mode auto", "auto"), ("mode heat", "heat"), ("mode off", "off"),
        ]  # fmt: skip
        assert await buttons(owner, jid, "relai on") == [("relay on", "relay on")]
        (yes, label), no = await buttons(owner, jid, "format")
        assert (label, no) == ("yes", ("no", "no"))
        assert await owner.ask(jid, yes) == "format: empty"
        assert await buttons(owner, jid, "relay") == []

    async def buttons(owner, jid, line):
        send(owner, jid, line)
        message = await owner.next_message(jid)
        return [(el.get("value"), el.get("label")) for el in message.xml.findall(RESPONSE)]

    async def check_work(owner, jid):
        # Long work is told of at once, and the device goes on to talk
        assert await owner.ask(jid, "go") == "go: done"
        id = send(owner, jid, "work", xml=ACTIVE)
        assert await answer_of(owner, jid) == "work: I am at it."
        assert await owner.ask(jid, "temperature") == READING
        send(owner, jid, "go", replace=id)
        did = "I did that already: work. Write it as a new message."
        assert await answer_of(owner, jid) == did
        send(owner, jid, "go")
        assert sorted([await answer_of(owner, jid) for _ in range(2)]) == [
            "go: done",
            "work: done",
        ]

    asyncio.run(main())


@both
def test_rich_text(talkers, runtime):
    """Beside the plain text, for those clients that say they can show it."""

    async def main():
        async with (
            owner_of(talkers, plugins=("xep_0030", "xep_0071")) as owner,
            owner_of(talkers, "idle") as operator,
        ):
            asked = recorded(owner)
            with talker_of(talkers, runtime, surfaces=["chat", "rich"]) as device:
                jid = await online(device)
                assert await answer_of(owner, jid) == "motion: empty"
                features = await owner.iq(jid, f"<query xmlns='{DISCO}'/>")
                features = [el.get("var") for el in features.iter(f"{{{DISCO}}}feature")]
                assert {IM, RECEIPTS, MARKERS, STATES, "urn:xmpp:styling:0"} < set(features)
                async for message in answers(owner, jid):
                    if html_of(message):
                        break
                (body,) = html_of(message)
                (p,) = body
                assert [(el.tag, el.text, el.tail) for el in p] == [
                    (XHTML + "strong", "temperature", ": 21.5 °C")
                ]
                await owner.ask(jid, "label <b>&x</b>")
                send(owner, jid, "status")
                message = await owner.next_message(jid)
                ((ul,),) = html_of(message)
                told = message.body.split("\n")
                assert len(ul) == len(told) == 10
                for li, line in zip(ul, told[:-1], strict=False):
                    (strong,) = li
                    assert f"*{strong.text}*{strong.tail}" == line
                assert ul[-1].text == told[-1] and ul[7][0].tail.startswith(": <b>&x</b>, since")
                questions = [
                    el for el in asked if el.tag == CLIENT + "iq" and el.get("from") == jid
                ]
                assert len([el for el in questions if el.get("type") == "get"]) == 1
                for _ in range(3):
                    send(operator, jid, "temperature")
                    message = await operator.next_message(jid)
                    assert (message.body, html_of(message)) == (READING, [])

    async def answers(owner, jid):
        # It may take a few until the client has told what it can show
        for _ in range(50):
            send(owner, jid, "temperature")
            message = await owner.next_message(jid)
            assert message.body == READING
            yield message

    def html_of(message):
        return message.xml.findall(f"{{{IM}}}html/{XHTML}body")

    asyncio.run(main())


@both
def test_account_that_is_shared(talkers, runtime):
    """The person's own other clients are obeyed by full JID; what the server copies is not."""

    async def main():
        async with owner_of(talkers, "dev") as person:
            with talker_of(talkers, runtime, shared=True, owners=[]) as device:
                jid = await online(device)
                await person.next_message(jid)  # the first report
                await converse(person, jid)

    async def converse(person, jid):
        assert await person.ask(jid, "relay on") == "relay: on"
        own = person.client.boundjid.full
        silent = [
            (talkers.jid("dev"), {}),
            (jid, {"xml": "<sent xmlns='urn:xmpp:carbons:2'/>"}),
            (jid, {"kind": "groupchat"}),
        ]
        for to, options in silent:
            send(person, to, "relay off", **options)
        assert normal(await person.ask(jid, "relay")) == "relay: on, since AGE"
        assert own != jid

    asyncio.run(main())
