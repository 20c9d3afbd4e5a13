"""Bytestreams and bits with an independent client at the other end, over a server: both ways,
whole and broken off, and over a line that is cut."""

import asyncio
import random
from base64 import b64encode

import pytest
from slixmpp.exceptions import IqError

from host_tools.lab.device import Device
from host_tools.lab.lab import Lab

from .helper import PASSWORDS, PROGRAMS, Relay, both, condition, lines, online, owner_of, until

IBB = "http://jabber.org/protocol/ibb"
FILE = random.Random(47).randbytes(60 * 1024 - 7)
#: What sending may take of a board's heap, in bytes, what is loaded for it included.
PEAK = 9728


@pytest.fixture(scope="module")
def lab():
    # Else each of many small answers waits for an acknowledgement of the one before, 40 ms
    settings = {"network_settings": {"nagle": False}}
    with Lab({"owner": PASSWORDS["owner"]}, settings=settings) as lab:
        yield lab


class Peer:
    """The owner's bytestreams: `got` are the bytes of each by its sid, `ended` those closed;
    `seen(stream)` is called with each block."""

    def __init__(self, owner):
        self.client = owner.client
        self.plugin = self.client.plugin["xep_0047"]
        self.plugin.auto_accept = True
        self.got = {}
        self.ended = []
        self.seen = lambda stream: None
        self.client.add_event_handler("ibb_stream_start", self._started)
        self.client.add_event_handler("ibb_stream_data", self._data)
        self.client.add_event_handler("ibb_stream_end", lambda s: self.ended.append(s.sid))

    def _started(self, stream):
        self.got[stream.sid] = []

    def _data(self, stream):
        self.got[stream.sid].append(stream.recv_queue.get_nowait())
        self.seen(stream)

    def after(self, blocks, do):
        """Have `do(stream)` done once, when so many blocks of a stream have come."""

        def seen(stream):
            if len(self.got[stream.sid]) == blocks:
                do(stream)

        self.seen = seen

    def whole(self, sid):
        return b"".join(self.got[sid])


def data(sid, seq, block):
    text = block if isinstance(block, str) else b64encode(block).decode()
    return f"<data xmlns='{IBB}' sid='{sid}' seq='{seq}'>{text}</data>"


@both
def test_bytestreams(lab, runtime):
    user = f"streams-{runtime}"
    lab.add_account(user, "p")

    async def main():
        plugins = ("xep_0047", "xep_0231", "xep_0030")
        async with (
            Relay(lab.server.host, lab.server.c2s_tls_port) as relay,
            owner_of(lab, plugins=plugins) as owner,
        ):
            config = lab.device_config(user, host=relay.host, port=relay.port, direct=True)
            config.pop("owners")
            device = Device(
                config,
                folder=lab.folder / user,
                app=PROGRAMS / "streams.py",
                runtime=runtime,
                files=[lab.ca_der],
            )
            (device.folder / "photo.jpg").write_bytes(FILE)
            (device.folder / "small.jpg").write_bytes(FILE[:10000])
            (device.folder / "icon.png").write_bytes(FILE[:700])
            with device:
                jid = await online(device)
                await sends(owner, device, jid, relay)
                await receives(owner, device, jid, relay)
                await bits(owner, jid)
                assert device.output().count(": resumed") == 2
                assert "in a handler" not in device.output()

    async def sends(owner, device, jid, relay):
        peer = Peer(owner)

        async def told(sid, file="photo.jpg", how="send"):
            await owner.say(jid, f"{how} {file} {sid}")
            return (await lines(device, f"^out {sid} (.*)$"))[0][1]

        assert await told("s1", how="send" if runtime == "cpython" else "watched") == "whole"
        assert peer.whole("s1") == FILE and peer.ended == ["s1"]
        assert {len(b) for b in peer.got["s1"][:-1]} == {1024}
        if runtime != "cpython":
            found = (await lines(device, r"^heap (\d+) (\d+) (\d+)$"))[0].groups()
            print("heap before: {} B; more at the peak: {}; left: {}".format(*found))
            assert int(found[1]) <= PEAK and int(found[2]) <= 2048
        # Smaller blocks, until there is nothing smaller
        peer.plugin.max_block_size = 300
        assert await told("s2", "icon.png") == "whole"
        assert peer.whole("s2") == FILE[:700] and [len(b) for b in peer.got["s2"]] == [
            256,
            256,
            188,
        ]
        peer.plugin.max_block_size = 100
        assert await told("s3") == "resource-constraint" and "s3" not in peer.got
        peer.plugin.max_block_size = 8192
        peer.plugin.auto_accept = False
        assert await told("s4") == "not-acceptable" and "s4" not in peer.got
        peer.plugin.auto_accept = True
        # Closed in the middle, and by a client that goes on answering
        peer.after(10, lambda stream: stream.close())
        assert await told("s5") == f"OSError closed by {owner.client.boundjid}"
        assert 10 <= len(peer.got["s5"]) <= 12
        # Lost there
        peer.after(10, lambda stream: peer.plugin._streams.clear())
        assert await told("s6") == "item-not-found"
        assert len(peer.got["s6"]) == 10 and "s6" not in peer.ended
        # A block that is lost there
        peer.after(10, lambda stream: setattr(stream, "recv_seq", 10))
        assert await told("s7") == "unexpected-request"
        # The line is cut, and the session goes on
        peer.after(5, lambda stream: relay.cut())
        assert await told("s8", "small.jpg") == "whole"
        assert peer.whole("s8") == FILE[:10000] and device.output().count(": resumed") == 1
        assert peer.ended[-1] == "s8"

    async def receives(owner, device, jid, relay):
        plugin = owner.client.plugin["xep_0047"]

        async def opened(sid, block=1024, **options):
            return await plugin.open_stream(jid, sid=sid, block_size=block, **options)

        async def ended(sid, how):
            await lines(device, f"^in {sid} {how}$")
            return (device.folder / f"in-{sid}").read_bytes()

        for options, expected in (
            ({"block": 4096}, "resource-constraint"),
            ({"use_messages": True}, "not-acceptable"),
            ({"sid": "no"}, "not-acceptable"),
        ):
            with pytest.raises(IqError) as refused:
                await opened(**{"sid": "r0", **options})
            assert refused.value.condition == expected
        stream = await opened("r1")
        await stream.sendall(FILE)
        await stream.close()
        assert await ended("r1", "end") == FILE
        # Many blocks at once, in their order; the line is cut in between
        stream = await opened("r2")
        for i in range(0, 8192, 1024):
            if i == 4096:
                relay.cut()
            await stream.send(FILE[i : i + 1024])
        await asyncio.gather(*(stream.send(FILE[i : i + 1024]) for i in range(8192, 12288, 1024)))
        await stream.close()
        assert await ended("r2", "end") == FILE[:12288]
        stream = await opened("full1")
        with pytest.raises(IqError) as refused:
            await stream.sendall(FILE)
        assert refused.value.condition == "resource-constraint"
        assert await ended("full1", "failed") == b""
        # What is wrong ends it
        for sid, block, expected in (
            ("r3", data("r3", 2, b"x"), "unexpected-request"),
            ("r4", data("r4", 1, "AA!A"), "bad-request"),
            ("r5", data("r5", 1, bytes(1025)), "bad-request"),
            ("r6", data("r7", 1, b"x"), "item-not-found"),
        ):
            if sid == "r6":  # the device ends what is forgotten
                await owner.say(jid, "idle 1.5")
            await opened(sid)
            assert condition(await owner.iq(jid, data(sid, 0, FILE[:9]), "set")) is None
            answer = condition(await owner.iq(jid, block, "set"))
            assert answer == ("cancel", expected)
            assert await ended(sid, "failed") == FILE[:9]

    async def bits(owner, jid):
        came = []
        owner.client.add_event_handler("bob", came.append)
        name = await owner.ask(jid, "bits icon.png")
        await until(lambda: came, "bits in the message")
        assert came[0]["bob"]["data"] == FILE[:100]
        plugin = owner.client.plugin["xep_0231"]
        found = (await plugin.get_bob(jid, name, cached=False))["bob"]
        assert found["data"] == FILE[:700] and found["type"] == "image/png"
        assert found["cid"] == name and found["max_age"] == 86400
        with pytest.raises(IqError) as refused:
            await plugin.get_bob(jid, came[0]["bob"]["cid"], cached=False)
        assert refused.value.condition == "item-not-found"
        info = await owner.client.plugin["xep_0030"].get_info(jid)
        assert {IBB, "urn:xmpp:bob"} <= set(info["disco_info"]["features"])

    asyncio.run(main())
