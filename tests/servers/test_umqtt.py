"""Programs for MQTT on boards of two servers, and people who know nothing of it."""

import ast
import asyncio
import builtins
import json
import os
import signal
import sys
import xml.etree.ElementTree as ET
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from host_tools.flash import bytecode, mpy
from host_tools.lab import micropython
from host_tools.lab.certs import Authority
from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.federation import Federation
from host_tools.lab.process import die_with
from host_tools.lab.prosody import Prosody

from .helper import LIMIT_S, PROGRAMS, both, condition, owner_of, pinged, recorded

# One worker starts the servers for all
pytestmark = pytest.mark.xdist_group("umqtt")

ACCOUNTS = {
    "a.example": {"gauge": "g", "hall": "h", "ann": "a", "eve": "e"},
    "b.example": {"board": "b", "ben": "x", "lamp": "l"},
}
SERVICE = "pubsub.a.example"
ANN, HALL = "ann@a.example", "hall@a.example"
BEN, BOARD, LAMP = "ben@b.example", "board@b.example", "lamp@b.example"
#: Bytes of a stanza that the servers take. Prosody takes as much as it reads at once above that.
MAX_STANZA = 3_000
LARGE = 20_000
#: That much is there several times while it is sent.
LARGE_HEAP = "240k"
CREATION = {"add_permissions": {"prosody:registered": ["pubsub:create-node"]}}
PUBSUB = "http://jabber.org/protocol/pubsub"
OPEN = "".join(
    f"<field var='{name}'><value>{value}</value></field>"
    for name, value in (
        ("FORM_TYPE", f"{PUBSUB}#node_config"),
        ("pubsub#access_model", "open"),
        ("pubsub#persist_items", 1),
    )
)
# Codes: of CONNACK, of MQTT 5, of errno
NO_SERVICE, NOT_AUTHORIZED = 3, 5
REFUSED, FORBIDDEN, BAD_FILTER, BAD_TOPIC, TOO_LARGE, BAD_QOS = 128, 135, 143, 144, 149, 155
ABORTED, NOT_CONNECTED, UNREACHABLE = 103, 107, 113


@pytest.fixture(scope="module")
def world():
    limit = {"stanza_size_limit": MAX_STANZA}
    prosody = {"settings": CREATION, "modules": ("offline",), **limit}
    members = {
        "a.example": (Prosody, ACCOUNTS["a.example"], prosody),
        "b.example": (Ejabberd, ACCOUNTS["b.example"], limit),
    }
    with Federation(members) as world:
        yield world


@pytest.fixture(scope="module")
def flash(tmp_path_factory):
    """The folder with what is on a board."""
    folder = tmp_path_factory.mktemp("flash")
    bytecode.library(folder)
    mpy.compile_file(PROGRAMS / "puppet.py", folder / "puppet.mpy", opt=0)
    (folder / "boot.py").write_text("import puppet\n")
    return folder


class ProgramError(Exception):
    """What a program raised: the name of its class, its code, its text."""


class Puppet:
    """The program `puppet`, on a board or CPython. `await puppet(code)` has it run `code`, and
    returns what that does; raises ProgramError."""

    def __init__(self, process):
        self._process = process

    async def __call__(self, code, limit_s=LIMIT_S):
        self._process.stdin.write(json.dumps(code).encode() + b"\n")
        async with asyncio.timeout(limit_s):
            while True:
                line = (await self._process.stdout.readline()).decode()
                assert line, f"it ended with {await self._process.wait()}: {code}"
                if line[:2] in ("= ", "! "):
                    break
        said = ast.literal_eval(line[2:])
        if line[0] == "!":
            raise ProgramError(*said)
        return said

    async def refused(self, code):
        """(whether it is an OSError or what else, its code, its text) of what `code` raises."""
        with pytest.raises(ProgramError) as e:
            await self(code)
        kind, number, text = e.value.args
        # CPython has classes for some codes
        if issubclass(getattr(builtins, kind, Exception), OSError):
            kind = "OSError"
        return kind, number, text

    async def cut(self):
        """End it as a power cut does."""
        self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def puppet(flash, runtime="32", heap=micropython.BOARD_HEAP):
    if runtime == "cpython":
        argv = [sys.executable, "-P", str(PROGRAMS / "puppet.py")]
        env = {**os.environ, "PYTHONPATH": str(mpy.FIRMWARE), "PYTHONUNBUFFERED": "1"}
    else:
        boot = flash / "boot.py"
        argv, env = micropython.find(int(runtime)).command(boot, heap=heap, path=[flash])
    parent = os.getpid()
    process = await asyncio.create_subprocess_exec(
        *argv,
        env=env,
        cwd=flash,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=lambda: die_with(parent),
    )
    program = Puppet(process)
    try:
        yield program
    finally:
        if process.returncode is None:
            await program.cut()


def client(lab, user, server=SERVICE, people=(), kind="MQTTClient", id="id", **params):
    """Code that makes the client `c` of an account."""
    where = {"ca": str(lab.ca_der), "host": lab.server.host, "port": lab.server.c2s_port}
    account = {"user": lab.jid(user), "password": lab.accounts[user]}
    return "\n".join(
        (
            f"c = {kind}({id!r}, {server!r}, ssl_params={ {**where, **params}!r}, **{account!r})",
            f"c.people = {tuple(people)!r}",
            "c.set_callback(lambda topic, msg: got.append((topic.decode(), msg)))",
        )
    )


def run(main):
    asyncio.run(asyncio.wait_for(main(), 120))


async def asked(person, payload, kind="set"):
    return await person.iq(SERVICE, f"<pubsub xmlns='{PUBSUB}'>{payload}</pubsub>", kind)


async def follow(person, topic):
    """Have slixmpp subscribe to the node of a topic."""
    answer = await asked(person, f"<subscribe node='{topic}' jid='{person.jid}'/>")
    assert answer.get("type") == "result", ET.tostring(answer)


def told(stanzas):
    """(node, id, text of the payload) of each item in events, as anybody reads them."""
    return [
        (items.get("node"), item.get("id"), "".join(item.itertext()))
        for stanza in stanzas
        for items in stanza.iter(f"{{{PUBSUB}#event}}items")
        for item in items
    ]


def test_one_publishes_and_others_read_on_another_server(world, flash):
    a, b = world["a.example"], world["b.example"]
    first, second, third = (f"garden/bed{i}/temperature" for i in (1, 2, 3))

    async def main():
        async with AsyncExitStack() as stack:
            gauge, board = [await stack.enter_async_context(puppet(flash)) for _ in range(2)]
            ben = await stack.enter_async_context(owner_of(b, "ben"))
            ann = await stack.enter_async_context(owner_of(a, "ann"))
            eve = await stack.enter_async_context(owner_of(a, "eve"))
            await gauge(client(a, "gauge", people=["Board@B.example", BEN]))
            assert await gauge("c.connect()") == 0
            await gauge(f"c.publish({first!r}, '21.5', True, 1)")
            await gauge("c.publish('garden/bed1/humidity', '40', True, 1)")
            await board(client(b, "board", "Pubsub.A.Example"))
            assert await board("c.connect()") == 0
            await board("c.topics.rescan_s = 0.2")
            await board("c.subscribe('garden/+/temperature')")
            assert await board("heard(1)") == [(first, b"21.5")]
            await follow(ben, first)
            got = recorded(ben)
            # Without an answer waited for, and in the order in which they went out
            for i in range(5):
                await gauge(f"c.publish({first!r}, '22.{i}')")
            await gauge(f"c.publish({first!r}, '23 \xb0C', False, 1)")
            texts = [*(f"22.{i}" for i in range(5)), "23 \xb0C"]
            assert await board("heard(6)") == [(first, text.encode()) for text in texts]
            await ben.until(lambda: len(told(got)) == 6, "events")
            assert told(got) == [(first, "message", text) for text in texts]
            (message,) = [m for m in got if "23" in told([m])[0][2]]
            assert message.get("from") == SERVICE
            # A topic that was not there when it was subscribed to
            await gauge(f"c.publish({second!r}, b'18.0', False, 1)")
            assert await board("heard(1)") == [(second, b"18.0")]
            await gauge(f"c.publish({second!r}, bytes(range(256)))")
            assert await board("heard(1)") == [(second, bytes(range(256)))]
            # What people make is a topic if its name is one's: these others are not
            for node in ("garden/%zz/temperature", "garden/+/temperature", third):
                options = f"<x xmlns='jabber:x:data' type='submit'>{OPEN}</x>"
                create = f"<create node='{node}'/><configure>{options}</configure>"
                assert (await asked(ann, create)).get("type") == "result"
                json_value = "<json xmlns='urn:xmpp:json:0'>[17.5, 18]</json>"
                item = f"<publish node='{node}'><item id='current'>{json_value}</item></publish>"
                assert (await asked(ann, item)).get("type") == "result"
            assert await board("heard(1)") == [(third, b"[17.5, 18]")]
            # Who owns a node can have others subscribed to it: who did not ask hears nothing of it
            forced = f"<subscription jid='{BOARD}' subscription='subscribed'/>"
            ask = f"<subscriptions node='unasked'>{forced}</subscriptions>"
            for payload, part in (
                ("<create node='unasked'/>", ""),
                (ask, "#owner"),
                ("<publish node='unasked'><item id='current'><x xmlns='x'/></item></publish>", ""),
            ):
                made = f"<pubsub xmlns='{PUBSUB}{part}'>{payload}</pubsub>"
                assert (await ann.iq(SERVICE, made, "set")).get("type") == "result"
            await board("until(lambda: c.client.refused)")
            assert await board("settled()") == []
            # Those who share a topic may write over each other
            await gauge("c.subscribe('garden/valve')")
            await board("c.publish('garden/valve', 'open', True, 1)")
            await gauge("c.publish('garden/valve', 'shut', True, 1)")
            await board("c.publish('garden/valve', '50 %', True, 1)")
            assert [m for _, m in await gauge("heard(3)")] == [b"open", b"shut", b"50 %"]
            # What is not theirs: nobody makes topics at the server of others
            for code in ("c.subscribe('mine')", "c.publish('mine', 'x')"):
                text = "pubsub.a.example: mine: forbidden"
                assert await board.refused(code) == ("MQTTException", FORBIDDEN, text)
            assert await board("settled()") == []

            # Who shares a topic may change
            get = f"<items node='{first}'/>"
            assert condition(await asked(eve, get, "get")) == ("auth", "forbidden")
            await gauge(f"c.share({first!r}, 'Eve@a.example/phone', {BOARD!r})")
            items = await asked(eve, get, "get")
            assert {"".join(e.itertext()) for e in items.iter(f"{{{PUBSUB}}}item")} == {
                "21.5",
                "23 \xb0C",
            }
            assert condition(await asked(ben, get, "get")) == ("auth", "forbidden")
            del got[:]
            await gauge(f"c.publish({first!r}, 'not for ben', False, 1)")
            assert await board("heard(1)") == [(first, b"not for ben")]
            await pinged(ben)
            assert told(got) == []
            await gauge(f"c.share({first!r})")
            assert condition(await asked(eve, get, "get")) == ("auth", "forbidden")
            assert (await board.refused(f"c.publish({first!r}, '', False, 1)"))[1] == FORBIDDEN
            text = "'b n@b.example': not an address like name@domain"
            code = f"c.share({first!r}, 'b n@b.example')"
            assert await gauge.refused(code) == ("MappingError", REFUSED, text)
            text = "pubsub.a.example: no/such: forbidden"
            code = f"c.share('no/such', {BEN!r})"
            assert await gauge.refused(code) == ("MQTTException", FORBIDDEN, text)
            assert await gauge("free()") > 40_000 and await board("free()") > 40_000

    run(main)


def test_last_will(world, flash):
    a, b = world["a.example"], world["b.example"]
    topic = "shed/status"
    will = client(a, "gauge", people=[BOARD, HALL, BEN])
    will += f"\nc.set_last_will({topic!r}, 'gone', True, 1)"

    async def main():
        async with AsyncExitStack() as stack:
            gauge, board, hall = [await stack.enter_async_context(puppet(flash)) for _ in range(3)]
            ben = await stack.enter_async_context(owner_of(b, "ben"))
            await gauge(will)
            await gauge("c.connect()")
            await gauge(f"c.publish({topic!r}, 'here', True, 1)")
            # Who is the first to publish it is drawn by lot: here it is `hall`
            for one, lab, user, pause_s in ((board, b, "board", 1000.0), (hall, a, "hall", 0.0)):
                await one(client(lab, user))
                await one(f"import umqtt.will\numqtt.will.PAUSE_S = {pause_s}")
                await one("c.connect(False)")
                await one(f"c.subscribe({topic!r})")
                assert await one("heard(1)") == [(topic, b"here")]
            await follow(ben, topic)
            got = recorded(ben)
            await gauge.cut()
            for one in (hall, board):
                assert await one("heard(1)") == [(topic, b"gone")]
                assert await one("settled()") == []
            await ben.until(lambda: len(told(got)) == 2, "events")
            # The second says that there is no will any more
            assert told(got) == [(topic, "current", "gone"), (topic, "will", "")]
            for one in (hall, board):
                assert await one("settled()") == []
                assert await one("c.topics.wills") == []

            gauge = await stack.enter_async_context(puppet(flash))
            await gauge(will)
            await gauge("c.connect()")
            for one in (hall, board):
                await one("until(lambda: c.topics.wills)")
            await gauge("c.disconnect()")
            # Then there is none that could be published
            for one in (hall, board):
                await one("until(lambda: not c.topics.wills)")
                assert await one("settled()") == []
                await one("c.disconnect()")
            # It was left once more, and taken back
            await ben.until(lambda: len(told(got)) == 4, "events")
            del got[:]
            await gauge("c.connect()")
            jid = await gauge("c.client.jid")
            await gauge(f"c.publish({topic!r}, 'back', True, 1)")
            await gauge.cut()
            await ben.until(
                lambda: jid in ben.presences and ben.presences[jid].type == "unavailable", "end"
            )
            # Nobody was there to publish it: the next one who looks does
            await hall("c.connect(False)")
            await hall(f"c.subscribe({topic!r})")
            await hall(f"until(lambda: ({topic!r}, b'gone') in got)")
            found = [msg for _, msg in await hall("settled()")]
            # What was published while it was away, and what is retained may be the same
            assert set(found) == {b"back", b"gone"} and found == sorted(found)
            texts = [
                (topic, "will", "gone"),
                (topic, "current", "back"),
                (topic, "current", "gone"),
            ]
            await ben.until(lambda: told(got)[:3] == texts, "events")
            # Who is told of a topic later on does not take its owner for gone
            await hall("c.disconnect()")
            gauge = await stack.enter_async_context(puppet(flash))
            await gauge(will.replace(BOARD, "x@b.example").replace("status", "state"))
            await gauge("c.connect()")
            await gauge(f"c.share('shed/state', {BOARD!r})")
            await board("umqtt.will.PAUSE_S = 0.0")
            await board("c.connect()")
            await board("c.subscribe('shed/state')")
            await board("from umqtt.simple import drive")
            look = "drive(umqtt.will.look(c.topics, c.topics.wills))"
            looks = asyncio.create_task(board(look))
            while not looks.done():
                await gauge("c.check_msg()")
            await looks
            assert await board("settled()") == []
            assert len(await board("c.topics.wills")) == 1
            await gauge.cut()
            assert await board("heard(1)") == [("shed/state", b"gone")]
            kind, code, text = await hall.refused("c.set_last_will('a/+', 'x')")
            assert (kind, code) == ("MappingError", BAD_TOPIC) and "wildcards" in text

    run(main)


def test_chat_with_a_board(world, flash):
    a, b = world["a.example"], world["b.example"]

    async def main():
        async with AsyncExitStack() as stack:
            gauge = await stack.enter_async_context(puppet(flash))
            ann = await stack.enter_async_context(owner_of(a, "ann"))
            ben = await stack.enter_async_context(owner_of(b, "ben"))
            eve = await stack.enter_async_context(owner_of(a, "eve"))
            # The domain has the service; disco tells which
            await gauge(client(a, "gauge", "a.example", people=[ANN, BEN]))
            await gauge("c.set_last_will('home/status', 'gone')")
            await gauge("c.connect()")
            assert await gauge("c.topics.service") == SERVICE
            jid = await gauge("c.client.jid")
            await gauge("c.subscribe('home/relay')")
            await gauge("c.publish('home/temperature', '21.5 \xb0C', True, 1)")
            await gauge("c.publish('home/picture', b'\\x00\\xff', False, 1)")
            waits = asyncio.create_task(gauge("heard(1)"))
            for text in ("home/temperature", "  home/temperature\n"):
                assert await ann.ask(jid, text) == "home/temperature: 21.5 \xb0C"
            assert await ben.ask(jid, "home/temperature") == "home/temperature: 21.5 \xb0C"
            assert await ann.ask(jid, "home/picture") == "home/picture: no text"
            assert await ann.ask(jid, "home/relay") == "home/relay: nothing was published yet"
            known = "home/picture, home/relay, home/status, home/temperature"
            usage = f"TOPIC shows what was published last, TOPIC VALUE publishes: {known}"
            for text in (
                "help",
                "home/kitchen",
                "home/kitchen on",
                "home/+",
                "#",
                "Home/relay on",
            ):
                assert await ann.ask(jid, text) == usage
            # A stranger learns nothing, and changes nothing
            for to in (jid, jid.partition("/")[0]):
                for text in ("help", "home/temperature", "home/relay off"):
                    await eve.say(to, text)
            await pinged(eve)
            assert await ben.ask(jid, "home/temperature 22") == "home/temperature: 22"
            assert await ann.ask(jid, "home/temperature") == "home/temperature: 22"
            await ann.say(jid, "home/relay on, please")
            assert await waits == [("home/relay", b"on, please")]
            assert await gauge("settled()") == []
            assert (await ann.next_message()).body == "home/relay: on, please"
            await pinged(eve)
            assert not [m for m in eve.messages if m.body and m.type != "error"]

    run(main)


def test_what_cannot_be_published(world, flash):
    a, b = world["a.example"], world["b.example"]
    long = f"y{'/' * 299}"
    cases = (
        ("c.publish(long, 'x')", BAD_TOPIC, "a topic has 65535 bytes at the most"),
        ("c.subscribe(long)", BAD_FILTER, "a topic has 65535 bytes at the most"),
        ("c.publish('a', long)", TOO_LARGE, "a message of 70000 bytes; 65536 is the most"),
        ("c.publish('a\\0b', 'x')", BAD_TOPIC, "a topic must not contain NUL"),
        ("c.publish('', 'x', True)", BAD_TOPIC, "a topic has at least one character"),
        ("c.publish(b'\\xc0\\x80', 'x')", BAD_TOPIC, "a topic must be UTF-8"),
        ("c.publish('a/+', 'x')", BAD_TOPIC, "a topic to publish to has no wildcards: a/+"),
        ("c.publish('#', 'x', qos=1)", BAD_TOPIC, "a topic to publish to has no wildcards: #"),
        ("c.publish('a', 'x', qos=2)", BAD_QOS, "QoS 2 is not there: QoS 1 and 0 are"),
        ("c.subscribe('a/#/b')", BAD_FILTER, "# is the last level, alone: a/#/b"),
        ("c.subscribe('a+')", BAD_FILTER, "a wildcard is a level of its own: a+"),
        ("c.share('+')", BAD_TOPIC, "a topic to publish to has no wildcards: +"),
    )

    async def main():
        async with puppet(flash) as gauge:
            # There is room for it only at first
            await gauge("long = b'x' * 70000")
            await gauge(client(a, "gauge"))
            await gauge("c.connect()")
            for code, number, text in cases:
                kind, found, why = await gauge.refused(code)
                assert (kind, found) == ("MappingError", number), code
                assert why.startswith(text), (code, why)
            await gauge("del long")
            # A message that there is no memory for is not lost without a word
            with pytest.raises(ProgramError, match="MemoryError"):
                await gauge("c.publish('a', bytes(30000))")
            # What this service cannot name: Prosody makes files of nodes
            for qos in (1, 0):
                kind, code, text = await gauge.refused(f"c.publish({long!r}, 'x', False, {qos})")
                assert (kind, code) == ("MQTTException", REFUSED)
                assert text.startswith(f"pubsub.a.example: {long[:64]}: "), text
            await gauge("c.publish('a', 'x', False, 1)")

        # Above the limit of a server there is no answer but the end of the stream
        async with (
            puppet(flash, heap=LARGE_HEAP) as gauge,
            puppet(flash, heap=LARGE_HEAP) as board,
        ):
            for one, lab, user in ((gauge, a, "gauge"), (board, b, "board")):
                await one(client(lab, user, lab.domain))
                await one("c.connect()")
                await one(f"large = 'x' * {LARGE}")
                kind, code, text = await one.refused("c.publish('a', large, False, 1)")
                why = f"a message of {LARGE} bytes, which may be above the server's limit: "
                assert (kind, code) == ("MQTTException", TOO_LARGE) and text.startswith(why), text
                # It is not sent again
                assert await one("c.connect()") == 0
                await one("c.publish('a', 'x', False, 1)")
                # Nor is one blamed that is not too large
                try:
                    await one("c.publish('a', large)")
                except ProgramError as e:
                    assert e.args[1] == TOO_LARGE, e
                kind, code, text = await one.refused("c.publish('a', 'x', False, 1)")
                assert (kind, code) == ("OSError", ABORTED), text
                assert await one("c.connect()") == 0
                await one("c.publish('a', 'x', False, 1)")
                await one("c.disconnect()")

    run(main)


def test_robust_tries_again_only_what_can_go(world, flash):
    a, b = world["a.example"], world["b.example"]
    logged = "\n".join(
        (
            "c.DELAY = 0.1",
            "tries = []",
            "c.log = lambda in_reconnect, e: tries.append((in_reconnect, e.args))",
        )
    )

    async def main():
        async with puppet(flash, heap=LARGE_HEAP) as gauge, puppet(flash) as board:
            for one, code in (
                (gauge, client(a, "gauge", people=[BOARD], kind="robust.MQTTClient")),
                (board, client(b, "board", kind="robust.MQTTClient")),
            ):
                await one("from umqtt import robust")
                await one(f"{code}\n{logged}")
            # With a last will no session is resumed: a cut might be any
            await gauge("c.set_last_will('gone', 'x')")
            await gauge("c.connect()")
            await gauge(f"large = 'x' * {LARGE}")
            kind, number, text = await gauge.refused("c.publish('far', large, False, 1)")
            assert (kind, number) == ("MQTTException", TOO_LARGE), text
            assert len(await gauge("tries")) <= await gauge("c.max_cuts + 1")
            await gauge("c.publish('far', 'x', False, 1)")
            await gauge("c.publish('far', large)")
            await gauge("c.publish('far', 'x', False, 1)")
            for wrong in ("'a\\0b', 'x'", "'+', 'x'", "'a', 'x', False, 2"):
                assert (await gauge.refused(f"c.publish({wrong})"))[0] == "MappingError"
            await gauge("c.disconnect()")

            # A service that does not answer is no better with another line to one's own server
            await board("c.connect()")
            await board("c.publish('far', 'x', False, 1)")
            await board("c.client.iq_timeout_s = 1")
            os.kill(a.server.pid, signal.SIGSTOP)
            try:
                kind, number, text = await board.refused("c.publish('far', 'x', False, 1)")
                assert (kind, number) == ("MQTTException", REFUSED)
                assert text == "no answer from pubsub.a.example"
            finally:
                os.kill(a.server.pid, signal.SIGCONT)
            # What follows may take longer on a busy machine
            await board("del c.client.iq_timeout_s")
            await board("c.publish('far', 'x', False, 1)")
            assert await board("tries") == []
            # One that has gone is waited for
            await asyncio.to_thread(a.server.stop)
            found = await board.refused("MQTTClient.publish(c, 'far', 'x', False, 1)")
            assert found[:2] == ("OSError", UNREACHABLE), found
            goes = asyncio.create_task(board("c.publish('far', 'x', False, 1)", 40))
            await asyncio.to_thread(a.server.start)
            await goes
            tries = await board("tries")
            assert tries and {args[0] for _, args in tries} == {UNREACHABLE}, tries
            assert all(args[1].startswith("pubsub.a.example: ") for _, args in tries), tries

    run(main)


def test_servers_and_services_that_are_not_there(world, flash, tmp_path):
    a = world["a.example"]
    other = Authority(tmp_path, "another")
    none = "no PubSub service"
    cases = (
        (("upload.a.example",), {}, "MQTTException", NO_SERVICE, f"upload.a.example: {none}: "),
        (("upload.b.example",), {}, "MQTTException", NO_SERVICE, f"upload.b.example: {none}: "),
        ((ANN,), {}, "MQTTException", NO_SERVICE, f"server: {ANN} is an account; it has to be "),
        (("x.nowhere.example",), {}, "OSError", UNREACHABLE, f"x.nowhere.example: {none}: "),
        ((), {"port": 1}, "OSError", ABORTED, "127.0.0.1:1: [Errno 111] "),
        ((), {"ca": str(other.der)}, "OSError", ABORTED, "TLS: The certificate is not correctly"),
        ((), {"pin": "00" * 32}, "OSError", ABORTED, "TLS: the certificate is not the pinned one"),
    )

    async def main():
        async with puppet(flash) as gauge:
            for where, params, *expected, text in cases:
                await gauge(client(a, "gauge", *where, **params))
                *found, why = await gauge.refused("c.connect()")
                assert found == expected and why.startswith(text), (where, params, found, why)
                error = await gauge.refused("c.publish('a', 'x')")
                assert error == ("OSError", NOT_CONNECTED, "not connected")
            # robust does not try it for ever, either
            await gauge("from umqtt import robust")
            for kind in ("MQTTClient", "robust.MQTTClient"):
                await gauge(client(a, "gauge", kind=kind) + "\nc.pswd = 'wrong'")
                for call in ("connect", "reconnect")[: 1 + ("." in kind)]:
                    *found, why = await gauge.refused(f"c.{call}()")
                    assert found == ["MQTTException", NOT_AUTHORIZED], why
                    assert why.startswith("login refused: not-authorized"), why
            await gauge(client(a, "gauge"))
            await gauge("c.connect()")
            await gauge("c.publish('a', 'x', False, 1)")

    run(main)


@both
def test_within_a_program_of_asyncio(world, flash, runtime):
    """A call that waits is one, as with any other blocking library: it gets its answer, and the
    program goes on after it."""
    program = """
import asyncio
ticks = []
async def tick():
    while True:
        ticks.append(1)
        await asyncio.sleep(0.001)
def heard_one(topic, msg):
    got.append(msg)
    if msg == b"1":
        c.publish("loop", "2", False, 1)
c.set_callback(heard_one)
async def often(n, qos):
    while n:
        c.publish("often", str(n), False, qos)
        n -= 1
        await asyncio.sleep(0)
async def main():
    task = asyncio.create_task(tick())
    c.connect()
    c.subscribe("loop")
    c.publish("loop", "1", False, 1)
    while len(got) < 2:
        c.check_msg()
        await asyncio.sleep(0)
    del ticks[:]
    while len(ticks) < 3:
        await asyncio.sleep(0)
    c.publish("loop", "3")
    c.wait_msg()
    # Several tasks may call it, and be cancelled while they do
    await asyncio.gather(often(5, 0), often(5, 1), often(5, 1))
    try:
        await asyncio.wait_for(often(-1, 0), 0.1)
    except asyncio.TimeoutError:
        c.disconnect()
    task.cancel()
    return asyncio.current_task() is not task
"""

    async def main():
        async with puppet(flash, runtime) as gauge:
            await gauge(client(world["a.example"], "gauge"))
            await gauge(program)
            assert await gauge("asyncio.run(main())")
            # And without a loop of its own
            await gauge("c.connect()")
            await gauge("c.subscribe('loop')")
            await gauge("c.publish('loop', '4')")
            assert await gauge("heard(4)") == [b"1", b"2", b"3", b"4"]
            # A callback that publishes is not called within itself
            await gauge("c.set_callback(lambda t, m: (c.publish('echo', m), got.append(m)))")
            await gauge("[c.publish('loop', str(i)) for i in range(30)]")
            assert await gauge("heard(30)") == [str(i).encode() for i in range(30)]

    run(main)


def test_messages_while_a_board_is_asleep(world, flash):
    """Or without power: then its last session is still there, at its server."""
    a, b = world["a.example"], world["b.example"]
    published = (("1", False, 1), ("2", True, 1), ("no", False, 0), ("3", False, 1))

    async def main():
        async with puppet(flash) as gauge:
            await gauge(client(a, "gauge", people=[LAMP]))
            await gauge("c.connect()")
            await gauge("c.publish('door', '2', True, 1)")
            for cut in (False, True):
                async with puppet(flash) as lamp:
                    await lamp(client(b, "lamp"))
                    assert await lamp("c.connect(False)") == cut
                    await lamp("c.subscribe('door', 1)")
                    assert await lamp("heard(1)") == [("door", b"2")]
                    await (lamp.cut() if cut else lamp("c.disconnect()"))
                for msg, retain, qos in published:
                    await gauge(f"c.publish('door', {msg!r}, {retain}, {qos})")
                async with puppet(flash) as lamp:
                    await lamp(client(b, "lamp"))
                    assert await lamp("c.connect(False)") == 1
                    found = [msg for _, msg in await lamp("heard(3)")]
                    # What a session had taken over may come after the new one has begun
                    if cut and b"no" in found:
                        found += [msg for _, msg in await lamp("heard(1)")]
                        found.remove(b"no")
                    assert found == [b"1", b"2", b"3"]
                    await gauge("c.publish('door', '4')")
                    assert await lamp("heard(1)") == [("door", b"4")]
                    await lamp("c.disconnect()")
                    if not cut:
                        continue
                    await gauge("c.publish('door', '5', False, 1)")
                    # Who begins anew has no subscriptions, and nothing that was kept
                    assert await lamp("c.connect()") == 0
                    await gauge("c.publish('door', '6', False, 1)")
                    assert await lamp("settled()") == []
                    await lamp("c.disconnect()")
                    assert await lamp("c.connect(False)") == 0

    run(main)
