"""Bytestreams between two clients, with what carries their stanzas in place of a server: what is
sent comes as it was, and what is wrong ends the stream on both sides."""

import asyncio
import sys
from binascii import b2a_base64

from helper import assert_none
from uxmpp.client import Client, StanzaError
from uxmpp.xep import ibb
from uxmpp.xml import Element, Parser

HEAP = "600k"
HEADER = b"<s:s xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>"
LIMIT_S = 20
DATA = bytes([i * 7 & 255 for i in range(5000)])


class Sink:
    def __init__(self, jid="", sid="", block=0):
        self.opened = (jid, sid, block)
        self.blocks = []
        self.ended = []

    def write(self, data):
        self.blocks.append(data)

    def end(self):
        self.ended.append("end")

    def failed(self):
        self.ended.append("failed")


class World:
    """Clients a and b, and what either sent, as texts; `sinks` are those of b's streams."""

    def __init__(self):
        self.sent = []
        self.sinks = []
        self.a, self.b = [Client(jid, "", pin="0" * 64) for jid in ("a@x", "b@x")]
        for client in (self.a, self.b):
            client.jid = client.account + "/1"
            client.online = True
            client.lines = []
            client.log = client.lines.append
        ibb.listen(self.b, self.accepts)

    def accepts(self, jid, sid, block):
        if sid == "refused":
            raise StanzaError("not-acceptable")
        self.sinks.append(Sink(jid, sid, block))
        return self.sinks[-1]

    async def carry(self, sender, receiver):
        parser = Parser()
        list(
            parser.feed(b"<s:s xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>")
        )
        while True:
            for el in sender._take():
                el.attrs["from"] = sender.jid
                raw = el.to_bytes("jabber:client")
                self.sent.append(raw.decode())
                for stanza in parser.feed(raw):
                    receiver._route(stanza)
            sender._moved.set()
            await asyncio.sleep(0)

    async def ask(self, payload, jid="b@x/1"):
        """What b answers to a: None or the condition."""
        try:
            await self.a.iq("set", payload, jid)
        except StanzaError as e:
            return e.condition
        return None

    async def data(self, seq, text, sid="s1"):
        el = Element("data", ibb.XMLNS, {"seq": seq, "sid": sid}, [text])
        return await self.ask(el)


def play(main):
    async def run():
        world = World()
        a, b = world.a, world.b
        tasks = [asyncio.create_task(world.carry(*pair)) for pair in ((a, b), (b, a))]
        try:
            await asyncio.wait_for(main(world), LIMIT_S)
        finally:
            for task in tasks:
                task.cancel()
        for name in ("ibb_in", "ibb_out"):
            assert "uxmpp.xep." + name not in sys.modules, name
        for client in (a, b):
            assert not ibb.streams(client).open and not client.streams._task

    asyncio.run(run())


def chunks_of(data, size):
    """A source of `data`, in pieces of `size`, each in the same buffer."""

    def chunks():
        buffer = bytearray(size)
        for i in range(0, len(data), size):
            part = data[i : i + size]
            buffer[: len(part)] = part
            yield memoryview(buffer)[: len(part)]

    return chunks


async def sending(world, data=DATA, sid="s1", block=1024, size=None, chunks=None):
    """What send() raises, or None."""
    try:
        await ibb.send(
            world.a,
            "b@x/1",
            sid,
            len(data) if size is None else size,
            chunks or chunks_of(data, 500),
            block,
        )
    except (StanzaError, OSError) as e:
        return e
    return None


def count(world, text):
    return len([t for t in world.sent if text in t])


def test_whole():
    async def main(world):
        for length, block, piece in (
            (0, 256, 100),
            (1, 256, 100),
            (255, 256, 256),
            (256, 256, 1),
            (257, 256, 500),
            (1024, 1024, 1024),
            (5000, 1024, 333),
            (5000, 1000, 1024),
            (5000, 300, 4096),
        ):
            data = DATA[:length]
            e = await sending(world, data, block=block, chunks=chunks_of(data, piece))
            sink = world.sinks.pop()
            assert e is None and b"".join(sink.blocks) == data, (length, block, piece, e)
            # Each block but the last is full
            assert not [b for b in sink.blocks[:-1] if len(b) != block]
            assert sink.opened == ("a@x/1", "s1", block) and sink.ended == ["end"]
        # One on its way at a time: each is answered before the next
        kinds = ["type='result'" in t for t in world.sent]
        assert kinds == [False, True] * (len(kinds) // 2)
        assert world.a.iqs == {} and not world.a.lines and not world.b.lines

    play(main)


def test_block_size_is_negotiated():
    async def main(world):
        streams = world.b.streams
        streams.max_block = 300
        assert await sending(world) is None
        assert world.sinks[0].opened[2] == 256 and b"".join(world.sinks[0].blocks) == DATA
        assert count(world, "resource-constraint") == 2 and count(world, "<open") == 3
        streams.max_block = 255
        e = await sending(world)
        assert e.condition == "resource-constraint" and len(world.sinks) == 1
        # Who has no room for another stream does not mean the block
        streams.max_in = 0
        streams.max_block = 1024
        tries = count(world, "<open")
        e = await sending(world)
        assert (e.condition, e.kind) == ("not-acceptable", "wait")
        assert count(world, "<open") == tries + 1

    play(main)


def opening(size="256", sid="s1", **more):
    return Element("open", ibb.XMLNS, dict({"block-size": size, "sid": sid}, **more))


def test_who_may_open():
    async def main(world):
        wrong = []
        for el, expected in (
            (opening("0"), "bad-request"),
            (opening("-1"), "bad-request"),
            (opening("many"), "bad-request"),
            (opening("65536"), "bad-request"),
            (opening("1" * 500), "bad-request"),
            (opening(None), "bad-request"),
            (opening(sid=None), "bad-request"),
            (opening(sid=""), "bad-request"),
            (opening(sid="s" * 65), "bad-request"),
            (opening("1025"), "resource-constraint"),
            (opening("65535"), "resource-constraint"),
            (opening(stanza="message"), "not-acceptable"),
            (opening(sid="refused"), "not-acceptable"),
            (opening("1024", stanza="iq"), None),
            (opening(), "not-acceptable"),  # there is one
            (opening(sid="s2"), None),
            (opening(sid="s3"), "not-acceptable"),
            (Element("close", ibb.XMLNS, {"sid": "s3"}), "item-not-found"),
            (Element("data", ibb.XMLNS, {"seq": 0, "sid": "s3"}), "item-not-found"),
            (Element("data", ibb.XMLNS, {"seq": 0}), "item-not-found"),
            (Element("what", ibb.XMLNS, {"sid": "s2"}), "feature-not-implemented"),
            (Element("close", ibb.XMLNS, {"sid": "s2"}), None),
            (Element("close", ibb.XMLNS, {"sid": "s2"}), "item-not-found"),
        ):
            got = await world.ask(el)
            wrong.append(None if got == expected else (el, got, expected))
        assert_none(wrong)
        # Another resource of the same account is somebody else
        world.a.jid = "a@x/2"
        assert await world.data(0, "AAAA") == "item-not-found"
        world.a.jid = "a@x"
        assert await world.ask(opening(sid="s4")) == "not-acceptable"
        world.a.jid = "a@x/1"
        assert await world.data(0, "AAAA") is None
        assert await world.ask(ibb.closing("s1")) is None
        assert [s.ended for s in world.sinks] == [["end"], ["end"]]
        assert world.sinks[0].blocks == [bytes(3)]
        # A client that only sends takes none, and says so in its own words
        assert await sending(world, b"") is None
        world.sinks.clear()
        back = opening()
        try:
            await world.b.iq("set", back, "a@x/1")
        except StanzaError as e:
            assert e.condition == "service-unavailable"

    play(main)


def test_wrong_data():
    full = b2a_base64(DATA[:256])[:-1].decode()
    over = b2a_base64(DATA[:257])[:-1].decode()

    async def main(world):
        wrong = []
        for seq, text, expected in (
            ("1", full, None),
            ("0", full, "unexpected-request"),
            ("2", full, "unexpected-request"),
            ("-1", full, "unexpected-request"),
            ("one", full, "unexpected-request"),
            (None, full, "unexpected-request"),
            ("1", over, "bad-request"),
            ("1", full[:-1], "bad-request"),
            ("1", "=AAA", "bad-request"),
            ("1", "BBBB=CCC", "bad-request"),
            ("1", "AAA=\nAA=", "bad-request"),
            ("1", "AAAA\nAAA", "bad-request"),
            ("1", " AAA", "bad-request"),
            ("1", "A===", "bad-request"),
            ("1", "====", "bad-request"),
            ("1", "AA-_", "bad-request"),
            ("1", "AA\u00fc\u00fc", "bad-request"),
            ("1", "AA==", None),
        ):
            assert await world.ask(opening()) is None
            assert await world.data(0, full) is None
            before = count(world, "<close")
            got = await world.data(seq, text)
            sink = world.sinks.pop()
            if got:
                # It is closed by who noticed, and what follows is not taken
                assert count(world, "<close") == before + 1 and sink.ended == ["failed"]
                assert await world.data(1, full) == "item-not-found"
            else:
                assert await world.ask(ibb.closing("s1")) is None
                assert len(sink.blocks) == 2 and sink.ended == ["end"]
            wrong.append(None if got == expected else (seq, text, got))
        assert_none(wrong)

    play(main)


def test_seq_wraps():
    async def main(world):
        await world.ask(opening())
        world.b.streams.open["a@x/1", "s1"]._seq = 65535
        assert await world.data(65535, "AAAA") is None
        assert await world.data(0, "AAAA") is None
        assert await world.data("65537", "AAAA") == "unexpected-request"
        # And as the one who sends
        seqs = []
        skipped = 65530
        count = 0

        async def counted(kind, payload, to, timeout=None):
            nonlocal count
            if payload.name == "data":
                count += 1
                if count > skipped:
                    seqs.append(payload.get("seq"))

        def chunks():
            piece = bytes(10)
            for _ in range((skipped + 10) // 10):
                yield piece

        world.a.iq = counted
        assert await sending(world, block=1, size=skipped + 10, chunks=chunks) is None
        assert seqs == [65530, 65531, 65532, 65533, 65534, 65535, 0, 1, 2, 3], seqs

    play(main)


def test_what_ends_it():
    async def main(world):
        # The sink: a refusal of its own is the answer, whatever else it raises is logged
        for what, e, condition in (
            ("write", StanzaError("not-allowed"), "not-allowed"),
            ("write", OSError(28), "internal-server-error"),
            ("end", StanzaError("not-acceptable"), "not-acceptable"),
        ):

            def bad(*data):
                raise e

            made = world.accepts

            def accepts(*args):
                sink = made(*args)
                setattr(sink, what, bad)
                return sink

            ibb.listen(world.b, accepts)
            got = await sending(world)
            assert got.condition == condition, (what, got)
            assert world.sinks.pop().ended == (["failed"] if what == "write" else [])
            ibb.listen(world.b, made)
        assert len(world.b.lines) == 1 and "28" in world.b.lines[0]

        # The source: too short, too long, broken
        def broken():
            yield DATA
            raise OSError(5)

        for size, chunks, text in (
            (5001, None, "not 5001 bytes, as was said"),
            (4999, None, "not 4999 bytes, as was said"),
            (6000, broken, "5"),
        ):
            e = await sending(world, size=size, chunks=chunks)
            assert text in str(e), e
            await until(lambda: not world.b.streams.open)
            sink = world.sinks.pop()
            assert sink.ended == ["end"] and sum([len(b) for b in sink.blocks]) < size

        # The other side: it may close although it has answered
        closed = world.accepts

        class Closing(Sink):
            def write(self, data):
                if len(self.blocks) == 1:
                    world.b.streams.open.clear()
                    asyncio.create_task(world.b.streams.close(("a@x/1", "s1")))
                super().write(data)

        ibb.listen(world.b, lambda *args: world.sinks.append(Closing(*args)) or world.sinks[-1])
        e = await sending(world)
        assert isinstance(e, (OSError, StanzaError)), e
        assert len(world.sinks.pop().blocks) == 2
        ibb.listen(world.b, closed)

        # It may then open another of the same name, before it answers
        sent = world.b.send

        async def send(el):
            if el.get("type") == "result" and world.sinks and len(world.sinks[0].blocks) == 2:
                for payload in (ibb.closing("s1"), opening()):
                    attrs = {"type": "set", "id": "x", "to": "a@x/1"}
                    await sent(Element("iq", None, attrs, [payload]))
            await sent(el)

        world.b.send = send
        ibb.listen(world.a, closed)
        assert "closed" in str(await sending(world))
        world.b.send = sent
        assert list(world.a.streams.open) == [("b@x/1", "s1")]
        await world.b.iq("set", ibb.closing("s1"), "a@x/1")
        assert world.sinks.pop().ended == ["end"]
        await until(lambda: world.sinks[0].ended)
        world.sinks.clear()
        ibb.listen(world.a, None)

        # Who sends is cancelled, be it before it begins: the other side hears of it
        opens = count(world, "<open")
        for moment in (
            lambda: count(world, "<open") > opens,
            lambda: world.sinks and world.sinks[0].blocks,
        ):
            task = asyncio.create_task(sending(world))
            await until(moment)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
            await until(lambda: world.sinks and world.sinks[0].ended)
            assert world.sinks.pop().ended == ["end"]

        # The session
        task = asyncio.create_task(sending(world))
        await until(lambda: world.sinks and world.sinks[0].blocks)
        world.a.online = False
        for entry in world.a.iqs.values():
            entry[1].set()
        assert isinstance(await task, OSError)
        world.a.online = True
        assert await world.ask(ibb.closing("s1")) is None

        # An address that cannot be
        for jid in ("b@x", "b"):
            try:
                await ibb.send(world.a, jid, "s", 1, chunks_of(b"1", 1))
            except ValueError:
                jid = None
            assert jid is None

    play(main)


async def until(true):
    while not true():
        await asyncio.sleep(0)


def test_idle():
    async def main(world):
        world.b.streams.idle_s = 0.4
        assert await world.ask(opening()) is None
        assert await world.ask(opening(sid="s2")) is None
        stream = world.b.streams.open["a@x/1", "s1"]
        for seq in range(6):
            await asyncio.sleep(0.1)
            assert await world.data(seq, "AAAA", "s2") is None
            await world.data(seq, "")  # which is nothing
        first, second = world.sinks
        await until(lambda: first.ended)
        await stream.fail()  # only once
        assert (first.ended, second.ended) == (["failed"], [])
        await until(lambda: count(world, "<close") == 2)
        assert second.ended == ["failed"]
        assert await world.data(6, "AAAA", "s2") == "item-not-found"

    play(main)
