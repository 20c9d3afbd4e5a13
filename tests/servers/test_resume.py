"""The reliable client against real servers: sessions go on after a cut, logins take one round
trip, and what the server refuses or gets wrong ends in a way that works."""

import asyncio
import json
import re
import time
from contextlib import asynccontextmanager

import pytest

from host_tools.lab.device import Device
from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.lab import Lab
from host_tools.lab.prosody import Prosody

from .fake_server import Between
from .helper import (
    LIMIT_S,
    PASSWORDS,
    PROGRAMS,
    RUNTIMES,
    Relay,
    both,
    failed_tries,
    lines,
    owner_of,
    pinged,
    recorded,
    until,
)

USERS = {user: PASSWORDS[user] for user in ("owner", "dev")}
#: What is tried again at once.
QUICK = {"first_pause_s": 0.05, "max_pause_s": 0.1}
LINE = r"^line (\S+) acks (\w+) sessions (\d+)$"
PRESENCE = "{jabber:client}presence"

# One worker starts it for all: that takes seconds
EJABBERD = pytest.param(Ejabberd, marks=pytest.mark.xdist_group("resume-ejabberd"))
on_servers = pytest.mark.parametrize("lab", [Prosody, EJABBERD], indirect=True)
on_prosody = pytest.mark.parametrize("lab", [Prosody], indirect=True)


@pytest.fixture(scope="module")
def lab(request):
    with Lab(USERS, server=request.param) as lab:
        yield lab


def session_of(lab, runtime, name, place=None, state=None, tune=None, **changes):
    """A device with the program `session`, in a folder `name` of its own. `place`: where it
    connects, by direct TLS, if not at the server itself; `state`: its state.json."""
    config = lab.device_config("dev", watcher=lab.jid("owner"), tune={**QUICK, **(tune or {})})
    config.pop("owners")
    server = place or lab.server
    port = place.port if place else lab.server.c2s_tls_port
    config |= {"host": server.host, "port": port, "direct": True, **changes}
    device = Device(
        config,
        folder=lab.folder / f"{name}-{runtime}",
        app=PROGRAMS / "session.py",
        runtime=runtime,
        files=[lab.ca_der],
    )
    if state is not None:
        (device.folder / "state.json").write_text(json.dumps(state))
    return device


def state_of(device):
    return json.loads((device.folder / "state.json").read_text())


def do(device, *commands):
    """Have the device do commands of the program `session`."""
    new = device.folder / "do.new"
    new.write_text("".join(f"{c}\n" for c in commands))
    new.replace(device.folder / "do.txt")


async def line(device, number=1):
    """Wait until the device has had a line for the `number`th time: (full JID, whether its
    stanzas are acknowledged, sessions so far) of the last one."""
    last = (await lines(device, LINE, number))[-1]
    return last[1], last[2] == "True", int(last[3])


def printed(device, word):
    """What stands behind `word` in the device's console lines."""
    return re.findall(rf"^{word} (.*)$", device.output(), re.M)


async def bodies(owner, jid, number):
    """Wait until `owner` got `number` messages from `jid` (and whatever else there is)."""
    found = []

    def got():
        for m in [m for m in owner.messages if m.sender == jid]:
            owner.messages.remove(m)
            found.append(m.body)
        return len(found) >= number

    await until(got, lambda: f"{number} messages, only {found}")
    return found


def numbered(word, number):
    return [f"{word} {n}" for n in range(number)]


def on_all(main, *args):
    """Run the coroutine function `main(runtime, *args)` on all runtimes at once."""

    async def at_once():
        await asyncio.gather(*(main(runtime, *args) for runtime in RUNTIMES))

    asyncio.run(at_once())


def for_all(do_it, afterwards=None):
    """A coroutine function that waits until it was called for each runtime, and has `do_it()`
    done once in a thread, then `afterwards`."""
    barrier = asyncio.Barrier(len(RUNTIMES))

    async def once():
        if await barrier.wait() == 0:
            await asyncio.to_thread(do_it)
            if afterwards:
                await afterwards()
        await barrier.wait()

    return once


@asynccontextmanager
async def relayed(lab, port=None):
    async with Relay(lab.server.host, port or lab.server.c2s_tls_port) as relay:
        yield relay


# The session goes on


@both
@on_servers
def test_session_goes_on(lab, runtime):
    """What was said meanwhile arrives once, in order, both ways; nobody sees that there was a
    cut; and nothing is written to flash for it."""
    cuts = 20 if lab.server.name == "Prosody" else 8

    async def main():
        async with owner_of(lab) as owner, relayed(lab) as relay:
            with session_of(lab, runtime, "on", relay) as device:
                seen = recorded(owner)
                jid, acks, _ = await line(device)
                assert acks
                await owner.presence(jid)
                for n in range(cuts):
                    do(device, f"{'acked' if n % 2 else 'say'} 3 w{n}")
                    (relay.reset if n % 3 == 1 else relay.cut)()
                    for i in range(2):
                        await owner.say(jid, f"m {2 * n + i}")
                    # It may have been cut before it had heard of the last one
                    again = await line(device, n + 2)
                    assert again == (jid, True, 1), device.output()
                expected = [text for n in range(cuts) for text in numbered(f"w{n}", 3)]
                assert await bodies(owner, jid, len(expected)) == expected
                await until(lambda: len(printed(device, "got")) == 2 * cuts, "messages")
                got = printed(device, "got")
                if lab.server.name != "Prosody":
                    # What comes while a session is resumed was seen before what was kept for it
                    got.sort(key=lambda text: int(text.split()[1]))
                assert got == [f"m {n}" for n in range(2 * cuts)]
                acked = [text for n in range(1, cuts, 2) for text in numbered(f"w{n}", 3)]
                await until(lambda: len(printed(device, "acked")) >= len(acked), "acks")
                assert printed(device, "acked") == acked
                await pinged(owner)
                mine = [e for e in seen if e.tag == PRESENCE and e.get("from") == jid]
                assert [e.get("type") for e in mine] == [None], mine
                assert await bodies(owner, jid, 0) == []
                assert device.output().splitlines().count("state") == 1
                assert printed(device, re.escape(jid) + ":").count("resumed") == cuts

    asyncio.run(main())


@both
@on_servers
def test_question_survives_a_cut(lab, runtime):
    """Its answer comes over the next line."""

    async def main():
        async with owner_of(lab) as owner, relayed(lab) as relay:
            with session_of(lab, runtime, "question", relay) as device:
                await line(device)
                relay.hold()
                sent = len(relay.sent[-1])
                do(device, f"ask {lab.jid('owner')}/nobody")
                await until(lambda: len(relay.sent[-1]) > sent, "question")
                relay.cut()
                relay.release()
                await line(device, 2)
                await lines(device, "^answered service-unavailable$")
                assert owner.connected

    asyncio.run(main())


# How a login goes


def check_one_round_trip(found, resumes):
    """Whether all of a login went out at once."""
    (burst,) = found.bursts_before(b"<success")
    assert len(burst) == 1, burst
    (whole,) = burst
    assert whole.startswith(b"<?xml") and whole.endswith(b"</authenticate>")
    assert whole.count(b"<authenticate") == 1 and b"mechanism='HT-SHA-256-" in whole
    assert b"<fast xmlns='urn:xmpp:fast:0'/>" in whole and b"<request-token" not in whole
    assert (b"<resume " in whole) is resumes, whole
    assert b"<enable " in whole


@both
@on_servers
def test_one_round_trip(lab, runtime):
    """After the first login the next ones take one, in the same session, in a new one, and after
    a restart of the device with nothing but its state."""

    async def main():
        async with Between(lab) as between:
            with session_of(lab, runtime, "trip", between) as device:
                jid, _, _ = await line(device)
                first = between.lines[0]
                # Header, SCRAM's first and final message
                assert len(first.bursts_before(b"<success")) == 3
                assert b"<request-token" in first.up()
                state = state_of(device)
                for n in (1, 2):
                    between.cut()
                    await line(device, n + 1)
                    check_one_round_trip(between.lines[n], True)
                    assert b"<resumed" in between.lines[n].down()
                assert device.output().count("state") == 1
                assert state["token"][0] in ("HT-SHA-256-NONE", "HT-SHA-256-ENDP")
                if lab.server.name == "ejabberd":
                    assert state["token"][0] == "HT-SHA-256-ENDP"
            # Without the password, too: a token stands for it
            with session_of(lab, runtime, "trip2", between, state, password=None) as device:
                again, acks, _ = await line(device)
                assert acks
                check_one_round_trip(between.lines[3], False)
                assert b"<enabled" in between.lines[3].down()
                # The user agent is the same, and so is what the server makes of it
                assert (again == jid) is True
                assert "state" not in device.output()

    asyncio.run(main())


@both
@on_servers
def test_round_trips_with_starttls(lab, runtime):
    """Header, <starttls/>, TLS 1.3, and then one for the login."""

    async def main():
        async with relayed(lab, lab.server.c2s_port) as relay:
            with session_of(lab, runtime, "starttls", relay, direct=False) as device:
                await line(device)
                # What follows TLS's handshake cannot fall together with what ends it
                relay.delay(0.05)
                first = relay.connections[-1].count.round_trips
                trips = []
                for n in (1, 2, 3):
                    relay.cut()
                    await relay.wait_until(lambda n=n: len(relay.opened) > n, "next try")
                    (connection,) = [c for c in relay.connections if c.sent is relay.sent[-1]]
                    await line(device, n + 1)
                    # What follows the login, the answers to <r/>, counts if it is out already:
                    # on a slow machine, some of it
                    trips.append(connection.count.round_trips)
                assert first >= 6 and 4 <= min(trips) <= 5, (first, trips)

    asyncio.run(main())


@on_servers
def test_token_forgotten(lab):
    """By the server, or wrong in the state: SCRAM follows in the same stream, and a new token."""

    forget = for_all(lab.server.forget)

    async def main(runtime):
        async with Between(lab) as between:
            with session_of(lab, runtime, "forgotten", between) as device:
                jid, *_ = await line(device)
                token = state_of(device)["token"]
                await forget()
                assert await line(device, 2) == (jid, True, 2)
                found = between.lines[-1]
                asked = re.findall(rb"<authenticate[^>]* mechanism='([^']*)'", found.up())
                assert asked == [token[0].encode(), b"SCRAM-SHA-256"], asked
                assert found.up().count(b"<stream:stream") == 1
                assert b"<request-token" in found.up()
                state = state_of(device)
                assert state["token"][0] == token[0] and state["token"][1] != token[1]
                assert device.output().splitlines().count("state") == 2
                number = len(between.lines)
                between.cut()
                await line(device, 3)
                check_one_round_trip(between.lines[number], True)
            state["token"][1] = "secret-token:fast-nobody-knows-it"
            number = len(between.lines)
            with session_of(lab, runtime, "wrong", between, state) as device:
                await line(device)
                assert len(between.lines) == number + 1
                assert b"<failure" in between.lines[number].down()
                # The keys that are kept spare the work
                again = state_of(device)
                assert again["token"] != state["token"] and again["keys"] == state["keys"]

    on_all(main)


@both
@on_prosody
def test_password_changed(lab, runtime):
    """Prosody forgets the tokens with it. The wrong password is one line a try, and the right one
    works again, whatever is kept of the old one."""

    async def main():
        async with relayed(lab) as relay:
            with session_of(lab, runtime, "password", relay) as device:
                await line(device)
                # It knows the moment of the change by whole seconds
                first = int(time.time())
                await until(lambda: int(time.time()) > first, "next second")
                await asyncio.to_thread(lab.add_account, "dev", "another")
                relay.cut()
                found = await failed_tries(device, lab.jid("dev"), 3)
                assert all(why.startswith("login refused: ") for why, _ in found[1:]), found
                await asyncio.to_thread(lab.add_account, "dev", PASSWORDS["dev"])
                await line(device, 2)
                relay.cut()
                await line(device, 3)
                assert "Traceback" not in device.output()

    try:
        asyncio.run(main())
    finally:
        lab.add_account("dev", PASSWORDS["dev"])


# The session does not go on


async def check_lost_session(device, relay, lab, owner, end):
    """Leave a message, a message that is watched over and a question on the way, then have the
    session ended by `end()`, and check what becomes of them."""
    jid, _, _ = await line(device)
    await owner.presence(jid)
    relay.hold()
    do(device, "say 3 plain", "acked 2 watched", f"ask {lab.jid('owner')}/nobody")
    await lines(device, "^said 2 watched$")
    relay.cut()
    relay.refuse()
    relay.release()
    await end(jid)
    relay.accept()
    # A new one, but the same user agent
    found = await line(device, 2)
    assert found[1:] == (True, 2)
    await lines(device, "^unanswered: not online$")
    assert await bodies(owner, found[0], 3) == numbered("plain", 3)
    # What comes behind them shows that nothing else came
    do(device, "acked 1 new")
    assert await bodies(owner, found[0], 1) == ["new 0"]
    await lines(device, "^acked new 0$")
    assert printed(device, "acked") == ["new 0"]


def lose_sessions(lab, end):
    """check_lost_session on all runtimes at once; `end(owner)` returns the function `end`."""

    async def main():
        async with owner_of(lab) as owner:
            one = end(owner)

            async def on(runtime):
                async with relayed(lab) as relay:
                    with session_of(lab, runtime, "lost", relay) as device:
                        await check_lost_session(device, relay, lab, owner, one)

            await asyncio.gather(*map(on, RUNTIMES))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("server", "options"),
    [
        (Prosody, {"settings": {"smacks_hibernation_time": 1}}),
        (Ejabberd, {"resume_timeout": 1, "fast": False}),
    ],
    ids=["Prosody", "Ejabberd"],
)
def test_session_expired(server, options):
    def end(owner):
        async def over(jid):
            await owner.presence(jid, lambda p: p.type == "unavailable")

        return over

    with Lab(USERS, server=server, **options) as lab:
        lose_sessions(lab, end)


@on_prosody
def test_server_restarted(lab):
    def end(owner):
        restart = for_all(lab.server.restart, owner.connect)
        return lambda _: restart()

    lose_sessions(lab, end)


@both
@on_servers
def test_unknown_session(lab, runtime):
    """What it wants to resume is not what the server knows."""

    def change(found, up, data):
        if up and found.number == 1:
            return re.sub(rb"previd='[^']*'", b"previd='nonsense'", data)
        return data

    async def main():
        async with owner_of(lab) as owner, Between(lab, change) as between:
            with session_of(lab, runtime, "unknown", between) as device:
                await line(device)
                between.cut()
                do(device, "say 1 x")
                found = await line(device, 2)
                assert found[1:] == (True, 2)
                assert await bodies(owner, found[0], 1) == ["x 0"]
                assert b"<failed" in between.lines[1].down()
                between.cut()
                assert await line(device, 3) == found

    asyncio.run(main())


# Servers that can do less


@both
@on_prosody
def test_acks_are_gone(lab, runtime):
    """The next session is one without: what the last left is said again all the same, first."""
    deaf = False

    def change(found, up, data):
        if found.number == 0:
            return b"" if up and deaf else data
        if up:
            return re.sub(rb"<(enable|resume) [^>]*/>", b"", data)
        return data.replace(b"<sm xmlns='urn:xmpp:sm:3'/>", b"")

    async def main():
        nonlocal deaf
        async with owner_of(lab) as owner, Between(lab, change) as between:
            with session_of(lab, runtime, "gone", between) as device:
                await line(device)
                deaf = True
                do(device, "say 2 old", "acked 1 watched")
                await until(lambda: b"watched 0" in between.lines[0].up(), "message")
                between.cut()
                do(device, "say 2 new")
                jid, *rest = await line(device, 2)
                assert rest == [False, 2]
                assert await bodies(owner, jid, 4) == numbered("old", 2) + numbered("new", 2)
                between.cut()
                assert (await line(device, 3))[1:] == (False, 3)
                assert printed(device, "acked") == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("server", "options", "acks", "token"),
    [
        (Prosody, {"sm": False}, False, True),
        (Prosody, {"fast": False}, True, False),
        (Prosody, {"fast": False, "sm": False}, False, False),
        (Prosody, {"sasl2": False}, True, False),
        (Prosody, {"sasl2": False, "sm": False}, False, False),
        (Ejabberd, {"sm": False}, False, True),
    ],
    ids=lambda x: "-".join(x) if isinstance(x, dict) else getattr(x, "__name__", ""),
)
def test_server_without(server, options, acks, token):
    """Whatever is missing, it works, and the client knows what it can rely on."""

    async def main(runtime, lab):
        async with owner_of(lab) as owner, relayed(lab) as relay:
            with session_of(lab, runtime, "without", relay) as device:
                jid, *rest = await line(device)
                assert rest == [acks, 1]
                assert ("token" in state_of(device)) is token
                for n in range(3):
                    do(device, f"say 2 w{n}")
                    assert await bodies(owner, jid, 2) == numbered(f"w{n}", 2)
                    await owner.say(jid, f"m{n}")
                    await lines(device, f"^got m{n}$")
                    relay.cut()
                    jid, *rest = await line(device, n + 2)
                    assert rest == [acks, 1 if acks else n + 2]
                do(device, "acked 1 last")
                assert await bodies(owner, jid, 1) == ["last 0"]
                if acks:
                    await lines(device, "^acked last 0$")
                else:
                    assert printed(device, "acked") == []
                assert printed(device, "got") == ["m0", "m1", "m2"]
                assert device.output().splitlines().count("state") == 1

    with Lab(USERS, server=server, **options) as lab:
        on_all(main, lab)


def test_stanzas_before_enabled():
    """They are handled, and not counted: else the next resumption would be of a wrong count."""
    early = "".join(
        f"<message from='lab.example' type='chat'><body>early {n}</body></message>"
        for n in range(3)
    )

    def change(_, up, data):
        return data if up else data.replace(b"<enabled ", early.encode() + b"<enabled ")

    async def main(runtime, lab):
        async with owner_of(lab) as owner, Between(lab, change) as between:
            with session_of(lab, runtime, "early", between) as device:
                jid, acks, _ = await line(device)
                assert acks
                await lines(device, "^got early 2$")
                assert printed(device, "got") == numbered("early", 3)
                for n in range(2):
                    await owner.say(jid, f"m{n}")
                    await lines(device, f"^got m{n}$")
                    between.cut()
                    assert await line(device, n + 2) == (jid, True, 1)
                assert printed(device, "got")[3:] == ["m0", "m1"]

    with Lab(USERS, sasl2=False) as lab:
        on_all(main, lab)


# Servers that break the rules


TOO_HIGH = (
    rb"<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    rb"<handled-count-too-high xmlns='urn:xmpp:sm:3' h='1000' send-count='\d+'/>"
    rb"</stream:error></stream:stream>$"
)


@both
@on_prosody
def test_acknowledges_too_much(lab, runtime):
    """In <a/>: the stream ends with an error, and a new session begins. In <resumed/>: likewise,
    and then the client goes on."""

    def change(found, up, data):
        if not up and found.number == 0:
            return re.sub(rb"(<a [^>]*)h='\d+'", rb"\1h='1000'", data)
        if not up and found.number == 2:
            return re.sub(rb"(<resumed [^>]*)h='\d+'", rb"\1h='1000'", data)
        return data

    async def main():
        async with owner_of(lab) as owner, Between(lab, change) as between:
            with session_of(lab, runtime, "toohigh", between) as device:
                await failed_tries(device, lab.jid("dev"), 1)
                await until(lambda: re.search(TOO_HIGH, between.lines[0].up()), "stream error")
                jid, _, sessions = await line(device, 2)
                assert sessions == 2
                assert b"<resume " not in between.lines[1].up()
                between.cut()
                await failed_tries(device, lab.jid("dev"), 3)
                assert b"h='1000'" in between.lines[2].down()
                jid, acks, sessions = await line(device, 3)
                assert (acks, sessions) == (True, 3)
                do(device, "acked 1 x")
                assert await bodies(owner, jid, 1) == ["x 0"]
                await lines(device, "^acked x 0$")
                between.cut()
                assert await line(device, 4) == (jid, True, 3)

    asyncio.run(main())


ERROR = (
    b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' from='lab.example' id='1' "
    b"xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    b"<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    b"</stream:error></stream:stream>"
)


@both
@on_prosody
@pytest.mark.parametrize("how", ["error", "close"])
def test_told_too_much_at_once(lab, runtime, how):
    """A server, or a new one in its place, that does not bear it: the next try waits for its
    offer, and the one after need not."""

    def change(found, up, data):
        if up and found.number in (1, 4) and b"<authenticate" in data:
            if how == "error":
                found.answer(ERROR)
            return None
        return data

    async def main():
        async with Between(lab, change) as between:
            with session_of(lab, runtime, "atonce" + how, between) as device:
                await line(device)
                token = state_of(device)["token"]
                for n in (2, 3):
                    between.cut()
                    await line(device, n)
                # The first one failed; then in two round trips; then in one again
                assert len(between.lines) == 4
                header, ask = between.lines[2].bursts_before(b"<success")
                assert b"<authenticate" not in b"".join(header)
                assert b"mechanism='HT-" in b"".join(ask) and b"<resume " in b"".join(ask)
                check_one_round_trip(between.lines[3], True)
                assert state_of(device)["token"] == token
                assert (await line(device, 3))[2] == 1

    asyncio.run(main())


MISMATCH = (
    b"<failure xmlns='urn:xmpp:sasl:2'><aborted xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
    b"<config-version-mismatch xmlns='urn:xmpp:iap:0'/></failure>"
)


@both
@on_prosody
def test_offer_that_has_changed(lab, runtime):
    """XEP-0509: what is sent at once names the offer that it relies on. If there is a new one, the
    login goes on in the same stream with the same token, and relies on that from then on."""
    version = re.compile(rb"<config-version xmlns='urn:xmpp:iap:0'([^>]*)/>")
    asked = []

    def change(found, up, data):
        now = b"v2" if found.number else b"v1"
        if not up:
            mark = b"<config-version xmlns='urn:xmpp:iap:0' scheme='opaque' value='" + now + b"'/>"
            data = data.replace(b"</stream:features>", mark + b"</stream:features>")
            if found.number == 1 and mark in data and len(asked) == 2:
                data += MISMATCH
            return data
        if b"<authenticate" in data:
            relied = version.search(data)
            asked.append(relied and relied[1])
            data = version.sub(b"", data)
            if len(asked) == 2:
                # The header alone
                return data[: data.index(b"<authenticate")]
        return data

    async def main():
        async with Between(lab, change) as between:
            with session_of(lab, runtime, "offer", between) as device:
                await line(device)
                token = state_of(device)["token"]
                for n in (2, 3):
                    between.cut()
                    await line(device, n)
                assert state_of(device)["token"] == token
                assert asked[0] is None and b"'v1'" in asked[1] and b"'opaque'" in asked[1]
                assert b"'v2'" in asked[2] and b"'v2'" in asked[3] and len(asked) == 4, asked
                check_one_round_trip(between.lines[2], True)

    asyncio.run(main())


@both
@on_prosody
@pytest.mark.parametrize("proof", [b"AAAA", b"%%%", None], ids=["wrong", "no-base64", "none"])
def test_wrong_proof(lab, runtime, proof):
    """One who does not know the token is never believed, and never asked by it again."""

    def change(found, up, data):
        if not up and found.number == 1:
            new = b"<additional-data>" + proof + b"</additional-data>" if proof else b""
            return re.sub(rb"<additional-data>[^<]*</additional-data>", new, data)
        return data

    async def main():
        async with Between(lab, change) as between:
            name = f"proof{(proof or b'x')[0]}"
            with session_of(lab, runtime, name, between) as device:
                await line(device)
                token = state_of(device)["token"]
                between.cut()
                await failed_tries(device, lab.jid("dev"), 2)
                await line(device, 2)
                asked = re.findall(rb"mechanism='([^']*)'><init", between.lines[2].up())
                assert asked == [b"SCRAM-SHA-256"]
                assert state_of(device)["token"] != token
                # It said nothing to the one in between
                assert between.lines[1].bursts() == between.lines[1].bursts_before(b"<success")

    asyncio.run(main())


def test_token_that_nobody_asked_for():
    """Nor is one taken that is none."""

    def change(found, up, data):
        secret = b"token='nobody-asked' " if found.number != 1 else b""
        token = b"<token xmlns='urn:xmpp:fast:0' " + secret + b"expiry='2030-01-01T00:00:00Z'/>"
        return data if up else data.replace(b"</success>", token + b"</success>")

    async def main(runtime, lab):
        async with Between(lab, change) as between:
            with session_of(lab, runtime, "nobody", between) as device:
                for n in range(3):
                    await line(device, n + 1)
                    assert b"<token" in between.lines[n].down()
                    assert b"HT-SHA" not in between.lines[n].up()
                    assert "token" not in state_of(device)
                    between.cut()

    with Lab(USERS, fast=False) as lab:
        on_all(main, lab)


# Whether there is a line


SILENCE = 1.5
MARGIN = 5.0  # a busy machine's


@both
@on_prosody
def test_line_that_goes_dead(lab, runtime):
    """It is given up in time; also when the server is still heard, but does not hear."""

    async def main():
        async with owner_of(lab) as owner, relayed(lab) as relay:
            with session_of(lab, runtime, "dead", relay, tune={"silence_s": SILENCE}) as device:
                jid, _, _ = await line(device)
                relay.hold()
                begin = time.monotonic()
                ((why, _),) = await failed_tries(device, lab.jid("dev"), 1)
                assert why == "the server is silent"
                assert time.monotonic() - begin < SILENCE + MARGIN
                relay.release()
                await line(device, 2)
                for connection in relay.connections:
                    connection.delay(3600.0, 0.0)
                number = len(printed(device, re.escape(lab.jid("dev")) + ":"))
                do(device, "say 1 lost")
                begin = time.monotonic()
                n = 0
                while len(printed(device, re.escape(lab.jid("dev")) + ":")) == number:
                    await owner.say(jid, f"m{n}")
                    await lines(device, f"^got m{n}$")
                    n += 1
                    await asyncio.sleep(0.1)
                    assert time.monotonic() - begin < SILENCE + MARGIN
                assert n > 2
                await line(device, 3)
                assert await bodies(owner, jid, 1) == ["lost 0"]

    asyncio.run(main())


def test_line_that_goes_dead_without_acks():
    async def main(runtime, lab):
        async with relayed(lab) as relay:
            with session_of(lab, runtime, "dead", relay, tune={"silence_s": SILENCE}) as device:
                assert not (await line(device))[1]
                relay.hold()
                begin = time.monotonic()
                ((why, _),) = await failed_tries(device, lab.jid("dev"), 1)
                assert why == "the server is silent"
                assert time.monotonic() - begin < SILENCE + MARGIN

    with Lab(USERS, sm=False) as lab:
        on_all(main, lab)


def test_idle_line_is_alive():
    """A server that answers is never given up, with acks or without; and a session that lasted
    makes the pauses short again."""
    tune = {"silence_s": 1.8, "stable_s": 1, "first_pause_s": 0.05, "max_pause_s": 10}

    async def main(lab, runtime):
        async with relayed(lab) as relay:
            with session_of(lab, runtime, "idle", relay, tune=tune) as device:
                for n in range(1, 5):
                    await line(device, n)
                    relay.cut()
                begin = time.monotonic()
                await line(device, 5)
                sent, count = len(relay.sent[-1]), 0

                def asked():
                    nonlocal sent, count
                    count += len(relay.sent[-1]) > sent
                    sent = len(relay.sent[-1])
                    return count >= 3 and time.monotonic() - begin > 2.5 * tune["silence_s"]

                await until(asked, lambda: f"three questions, only {count}")
                found = await failed_tries(device, lab.jid("dev"), 4)
                assert len(found) == 4 and len(relay.opened) == 5, device.output()
                relay.cut()
                found = await failed_tries(device, lab.jid("dev"), 5)
                assert found[4][1] <= 0.1

    async def at_once(*labs):
        await asyncio.gather(*(main(lab, runtime) for lab in labs for runtime in RUNTIMES))

    with Lab(USERS) as with_acks, Lab(USERS, sm=False) as without:
        asyncio.run(at_once(with_acks, without))


# What is missing in the state


@both
@on_prosody
def test_keys_without_a_password(lab, runtime):
    """As long as the server keeps its salt; and one line says what is wrong where they do not
    fit."""

    async def main():
        with session_of(lab, runtime, "keys") as device:
            await line(device)
            state = state_of(device)
        keys = {"keys": state["keys"]}
        with session_of(lab, runtime, "keys2", state=keys, password=None) as device:
            await line(device)
            # Theirs are as good as a password's: a token again, and an agent
            again = state_of(device)
            assert again["keys"] == state["keys"] and {"token", "agent"} <= again.keys()
        keys["keys"][1]["hex"] = "00"
        with session_of(lab, runtime, "keys3", state=keys, password=None) as device:
            found = await failed_tries(device, lab.jid("dev"), 2, LIMIT_S)
            assert all("no password" in why for why, _ in found), found

    asyncio.run(main())
