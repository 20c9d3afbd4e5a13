"""What is too large or too much costs neither the session nor memory."""

import asyncio
import re
from contextlib import suppress

import pytest

from .chat_lines import normal
from .helper import (
    bodies,
    both,
    condition,
    device_of,
    echo_of,
    online,
    owner_of,
    pinged,
    ready,
    recorded,
    until,
)

MESSAGE = "<message type='chat' to='{}'><body>{}</body></message>"
LIMIT_S = 120.0


@pytest.mark.parametrize("size", [5_000, 9_000, 5 * 1024 * 1024])
def test_large_message_in_a_board_heap(shared, size):
    """The sender is told, the session stays, and so does the memory."""

    async def main(device):
        jid = await online(device)
        async with owner_of(shared) as owner:
            for _ in range(3):
                assert await owner.ask(jid, "x" * 50) == "x" * 50
            before = int(await owner.ask(jid, "memory"))
            answer = await owner.ask(jid, "x" * size, LIMIT_S)
            assert answer == ("truncated" if size > 8192 else "x" * size)
            assert await owner.ask(jid, "still there?") == "still there?"
            assert before - int(await owner.ask(jid, "memory")) < 1024
            assert device.output() == jid + ": online\n"

    with echo_of(shared, "32") as device:
        asyncio.run(main(device))


@both
@pytest.mark.parametrize("number", [20, 500])
def test_burst_of_messages(world, runtime, number):
    """As many as one may type in a chat are all answered. Of many more those are dropped that come
    while answers wait for the server, whose acknowledgements stand behind the flood; then all is
    as before."""

    async def main(device):
        async with owner_of(world) as owner:
            jid = await ready(device, owner)
            send = owner.client.send_raw
            for i in range(number):
                send(MESSAGE.format(jid, f"say {i}"))
            await pinged(owner)
            got = []
            if number == 20:
                last = f"say: {number - 1}"
                await until(
                    lambda: got.extend(bodies(owner, jid)) or last in got, lambda: got[-3:]
                )
                assert got == [f"say: {i}" for i in range(number)]
            else:
                for turn in range(10):
                    send(MESSAGE.format(jid, f"say end {turn}"))
                    with suppress(AssertionError):
                        await until(
                            lambda: got.extend(bodies(owner, jid)) or (got and "end" in got[-1]),
                            "end",
                            2,
                        )
                        break
                numbers = [int(t.split()[1]) for t in got if "end" not in t]
                assert len(set(numbers)) == len(numbers) >= 40, got
                assert "end" in got[-1], got[-3:]
            status = await owner.ask(jid, "status")
            assert ", 0 cuts, 0 faults, " in status
            said = device.output().splitlines()
            assert [t for t in said if f" by {owner.jid} (chat)" not in t] == [jid + ": online"]

    with device_of(world, runtime, "patient") as device:
        asyncio.run(main(device))


@both
def test_all_that_was_stored_is_answered(world, runtime):
    """The server delivers in one go what came while the device was away."""

    async def main():
        async with owner_of(world) as owner:
            for _ in range(20):
                owner.client.send_raw(MESSAGE.format(world.jid("dev"), "mood"))
            await pinged(owner)
            with device_of(world, runtime) as device:
                jid = await online(device)
                got = []
                await until(
                    lambda: got.extend(bodies(owner, jid)) or got.count("mood: calm") >= 20,
                    lambda: f"20 answers, only {len(got)}",
                )

    asyncio.run(main())


TOO_LONG = "That message is too long for me."


def attributes(number):
    """An element with so many besides its namespace."""
    return "<x xmlns='urn:example:x' {}/>".format(" ".join(f"a{i}='v'" for i in range(number)))


def elements(number):
    """So many of them, side by side."""
    return "<x xmlns='urn:example:x'>{}</x>".format("<y/>" * (number - 1))


def deep(number):
    """So many of them, one in the other."""
    return f"<x xmlns='urn:example:x'>{'<y>' * (number - 1)}{'</y>' * (number - 1)}</x>"


def text(number):
    """So many bytes."""
    return f"<x xmlns='urn:example:x'>{'x' * number}</x>"


# What goes into a stanza beside its words: within the limits, just beyond, far beyond. (Further
# beyond, Prosody's parser waits for more input, or does not hand the stanza on.)
SIZES = {
    "attributes": (attributes(23), attributes(24), attributes(250)),
    "elements": (elements(120), elements(130), elements(1000)),
    "depth": (deep(15), deep(17), deep(100)),
    "bytes": (text(7500), text(8500), text(50000)),
    "all": (attributes(20) + deep(10) + elements(100), elements(90) + deep(40), elements(129)),
}


def free(status):
    """The KB that are free, from the device's status; None where it does not tell."""
    found = re.search(r", (\d+) of 1\d\d KB free$", status)
    return found and int(found[1])


@both
@pytest.mark.parametrize("kind", SIZES)
def test_stanzas_of_an_owner_at_the_limits(shared, runtime, kind):
    """What is within them is done; of what is not, its sender is told. Memory stays as it was."""
    message = "<message type='chat' to='{}'><body>{}</body>{}</message>"
    iq = "<iq type='{}' to='{}' id='{}'><ping xmlns='urn:xmpp:ping'>{}</ping></iq>"
    within, *beyond = SIZES[kind]
    # The question is one level more
    inner = deep(14) if kind == "depth" else within

    async def send_all(owner, jid, tag):
        got = recorded(owner)
        send = owner.client.send_raw
        send(message.format(jid, "lamp on", within))
        assert (await owner.next_message(jid)).body == "lamp: on"
        send(iq.format("get", jid, f"{tag}-good", inner))
        for i, content in enumerate(beyond):
            send(message.format(jid, "lamp off", content))
            assert (await owner.next_message(jid)).body == TOO_LONG
            for ask in ("get", "set", "result", "error"):
                send(iq.format(ask, jid, f"{tag}-{ask}{i}", content))
            send(f"<presence to='{jid}'><status>lamp off</status>{content}</presence>")
        assert normal(await owner.ask(jid, "lamp")) == "lamp: on, since AGE"
        answers = {
            el.get("id"): condition(el)
            for el in got
            if el.tag == "{jabber:client}iq" and el.get("from") == jid
        }
        no = ("modify", "policy-violation")
        assert answers == {
            f"{tag}-good": None,
            **{f"{tag}-{ask}{i}": no for ask in ("get", "set") for i in range(len(beyond))},
        }

    async def main(device):
        async with owner_of(shared) as owner:
            jid = await ready(device, owner)
            await send_all(owner, jid, 0)
            before = free(await owner.ask(jid, "status"))
            for tag in range(1, 3):
                await send_all(owner, jid, tag)
            status = await owner.ask(jid, "status")
            assert ", 0 cuts, 0 faults, 0 dropped, 0 refused" in status
            if runtime == "32":
                assert abs(free(status) - before) <= 2, (before, status)
            assert bodies(owner, jid) == []
            assert "lamp False" not in device.output()

    with device_of(shared, runtime, "patient") as device:
        asyncio.run(main(device))
