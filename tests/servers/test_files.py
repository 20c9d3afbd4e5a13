"""Files that a device sends and takes: by every surface, over a web server that fails, over
bytestreams; and what is refused."""

import asyncio
import hashlib
import json
import random
import xml.etree.ElementTree as ET
from base64 import b64encode
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from slixmpp.exceptions import IqError

from host_tools.lab.lab import Lab
from host_tools.lab.web import Answer, Web

from .helper import PASSWORDS, both, condition, device_of, online, owner_of, pinged, until
from .test_rooms import Occupant

CLIENT = "{jabber:client}"
OOB = "{jabber:x:oob}"
SFS = "{urn:xmpp:sfs:0}"
FILE = "{urn:xmpp:file:metadata:0}"
URL = "{http://jabber.org/protocol/url-data}url-data"
COMMANDS = "{http://jabber.org/protocol/commands}"
PICTURE = b"\xff\xd8" + random.Random(363).randbytes(30_000)
FACE = random.Random(447).randbytes(9_000)
LIMIT = 100_000
BUSY = "busy with other files; try again later"
USERS = {"32": "dev", "cpython": "idle"}

_ids = count(1)


@pytest.fixture(scope="module")
def lab():
    # Else each small answer waits for an acknowledgement of the one before, 40 ms
    settings = {"network_settings": {"nagle": False}}
    options = {"web": True, "upload_limit": LIMIT, "settings": settings}
    with Lab({**PASSWORDS, "operator": "o"}, **options) as lab:
        yield lab


def sharer_of(lab, runtime, **changes):
    """The program `sharer`, with an operator."""
    changes.setdefault("surfaces", ["chat", "files", "forms", "iot", "rooms"])
    operators = [lab.jid("operator")]
    device = device_of(lab, runtime, "sharer", USERS[runtime], operators=operators, **changes)
    (device.folder / "tune.json").write_text(json.dumps({"pause_s": 0.05}))
    (device.folder / "picture.jpg").write_bytes(PICTURE)
    return device


def drawn(size):
    """What the command `draw` makes."""
    return b"".join(bytes([i & 255]) * 1000 for i in range(size // 1000 + 1))[:size]


class Person:
    """Somebody who talks with the device, which takes one line after another."""

    def __init__(self, owner, jid, web):
        self.owner = owner
        self.jid = jid
        self.web = web

    async def next(self):
        return await self.owner.next_message(self.jid.partition("/")[0])

    async def said(self):
        return (await self.next()).body

    async def asked(self, line):
        await self.owner.say(self.jid, line)
        return await self.said()

    async def sent(self, line=None, kind="chat"):
        """The message that the next file comes by, and its bytes."""
        if line:
            await self.owner.say(self.jid, line)
        message = await self.next()
        xml = message.xml
        assert message.body.startswith(self.web.base + "/"), message.body
        assert message.type == kind
        assert [e.text for e in xml.findall(f"{CLIENT}body")] == [message.body]
        assert xml.findtext(f"{OOB}x/{OOB}url") == message.body
        assert xml.find(f"{SFS}file-sharing/{SFS}sources/{URL}").get("target") == message.body
        data = self.web.files[message.body[len(self.web.base) :]]
        file = xml.find(f"{SFS}file-sharing/{FILE}file")
        digest = b64encode(hashlib.sha256(data).digest()).decode()
        assert file.findtext("{urn:xmpp:hashes:2}hash") == digest
        assert file.findtext(f"{FILE}size") == str(len(data))
        assert file.findtext(f"{FILE}name") == message.body.rpartition("/")[2]
        return file, data

    def offer(self, url=None, xml="", body=None, kind="chat"):
        """Offer a file, as clients do; returns the message's id."""
        if url and not xml.startswith("<file-sharing"):
            xml += f"<x xmlns='jabber:x:oob'><url>{url}</url></x>"
        body = url if body is None else body
        body = f"<body>{body}</body>" if body else ""
        id = f"offer{next(_ids)}"
        self.owner.client.send_raw(
            f"<message to='{self.jid}' type='{kind}' id='{id}'>{body}{xml}</message>"
        )
        return id

    async def offered(self, *args, **more):
        self.offer(*args, **more)
        return await self.said()


def sharing(data=None, name=None, url=None, id=None, size=None, digest=None):
    """<file-sharing/> for a file."""
    el = ET.Element(f"{SFS}file-sharing", {"id": id} if id else {})
    file = ET.SubElement(el, f"{FILE}file")
    if name is not None:
        ET.SubElement(file, f"{FILE}name").text = name
    if data is not None:
        ET.SubElement(file, f"{FILE}size").text = str(len(data) if size is None else size)
        digest = digest or b64encode(hashlib.sha256(data).digest()).decode()
        ET.SubElement(file, "{urn:xmpp:hashes:2}hash", algo="sha-256").text = digest
    if url:
        sources = ET.SubElement(el, f"{SFS}sources")
        ET.SubElement(sources, URL, target=url)
    ET.register_namespace("", "urn:xmpp:sfs:0")
    return ET.tostring(el, "unicode")


def test_sending(lab):
    """By chat, form, XEP-0325, to a room, to the owners; with all that can go wrong on the way."""

    async def main():
        room = f"garden@conference.{lab.domain}"
        plugins = ("xep_0004", "xep_0030", "xep_0045", "xep_0050")
        async with (
            Web(lab.server.certificate, at=lab.server.web_port) as web,
            owner_of(lab, plugins=plugins) as owner,
        ):
            anna = await Occupant(owner, room, "anna").enter(open_to_all=True)
            with sharer_of(lab, "32", rooms=[f"{room}/shed"]) as device:
                me = Person(owner, await online(device), web)
                await anna.sees("shed")
                await usual(me)
                await surfaces(me, anna)
                await faults(me, device)
                await refusals(me)
                text = await me.asked("status")
                assert ", 11 files, 10 failed, " in text, text
                wrong = [t for t in device.output().splitlines() if t.startswith("files: ")]
                assert len(wrong) == 10 and "Traceback" not in device.output(), device.output()

    async def usual(me):
        file, data = await me.sent("snap the garden")
        assert data == PICTURE and file.findtext(f"{FILE}media-type") == "image/jpeg"
        assert file.findtext(f"{FILE}desc") == "the garden"
        assert await me.said() == "snap: photo.jpg, 30 KB, the garden"
        assert me.web.requests[-1].header("content-type") == "image/jpeg"
        file, data = await me.sent("draw 5500")
        assert data == drawn(5500)
        assert [file.findtext(FILE + n) for n in ("width", "height")] == ["320", "120"]
        assert await me.said() == "draw: drawn.png, 5500 B, a day"
        thumb = file.find("{urn:xmpp:thumbs:1}thumbnail")
        cid = thumb.get("uri").partition("cid:")[2]
        answer = await me.owner.iq(me.jid, f"<data xmlns='urn:xmpp:bob' cid='{cid}'/>")
        assert answer.findtext("{urn:xmpp:bob}data") == b64encode(b"\x89PNG tiny").decode()

    async def surfaces(me, anna):
        # To all owners and rooms
        await me.owner.say(me.jid, "tell")
        messages = [await me.owner.next_message() for _ in range(3)]
        assert {(m.type, m.sender.partition("/")[0]) for m in messages} == {
            ("chat", me.jid.partition("/")[0]),
            ("groupchat", anna.room),
        }
        [said] = [m.body for m in messages if not m.body.startswith("https://")]
        assert said == "tell: alarm.jpg, 8 B [1]"
        [url] = {m.body for m in messages if m.body != said}
        assert me.web.files[url[len(me.web.base) :]] == b"\xff\xd8 alarm"
        # In a room: the file, then the answer
        anna.say("shed: snap")
        shed = f"{anna.room}/shed"
        message = await me.owner.next_message(shed)
        assert message.body.endswith("/photo.jpg") and message.type == "groupchat"
        assert message.xml.findtext(f"{OOB}x/{OOB}url") == message.body
        assert await anna.heard("shed") == "anna: snap: photo.jpg, 30 KB"
        me.owner.messages.clear()
        # In a form: its URL, and no message
        adhoc = me.owner.client.plugin["xep_0050"]
        answer = await adhoc.send_command(me.jid, "lie")
        [(kind, text)] = answer["command"]["notes"]
        assert (kind, text.partition(": ")[0]) == ("error", "short.bin")
        answer = await adhoc.send_command(me.jid, "shot")
        [(kind, text)] = answer["command"]["notes"]
        said, _, url = text.partition(": ")
        assert (kind, said) == ("info", "photo.jpg, 30 KB")
        assert me.web.files[url[len(me.web.base) :]] == PICTURE
        # By program: as in the chat
        ask = "<set xmlns='urn:xmpp:iot:control'><string name='draw' value='100'/></set>"
        answer = await me.owner.iq(me.jid, ask, "set")
        assert answer.get("type") == "result"
        assert (await me.sent())[1] == drawn(100)
        await pinged(me.owner)
        assert not me.owner.messages

    async def faults(me, device):
        web = me.web
        # The server fails, then the line, in the middle: nothing is told until all is there
        web.script += [Answer(500), Answer(0, take=9000)]
        before = len(web.requests)
        assert (await me.sent("snap"))[1] == PICTURE
        assert await me.said() == "snap: photo.jpg, 30 KB"
        assert len({r.path for r in web.requests[before:]}) == 3
        for answer, why, tries in (
            (Answer(503), "503; tried 3 times", 3),
            (Answer(0, take=2000), "; tried 3 times", 3),
            (Answer(413), "413", 1),
            (Answer(403), "403", 1),
            (
                Answer(302, (("Location", f"{web.plain_base}/x"),)),
                "cannot be sent: the upload is redirected",
                1,
            ),
        ):
            before = len(web.requests)
            web.script += [answer] * tries
            said = await me.asked("snap")
            assert said.startswith("snap: failed: photo.jpg: ") and said.endswith(why), said
            assert len(web.requests) == before + tries
        assert web.plain == 0 and not web.script

    async def refusals(me):
        said = await me.asked("lie")
        why = "cannot be sent: it is not 5000 bytes long, as was said"
        assert said == f"lie: failed: short.bin: {why}"
        assert (await me.asked("lost")).startswith("lost: failed: lost.bin: [Errno 2]")
        said = await me.asked(f"draw {LIMIT + 1}")
        why = "it has 100 KB, and the server takes 100 KB at most, and your client takes no"
        assert said == f"draw: failed: drawn.png: {why} bytestreams"
        # One after the other, as many as may wait
        for _ in range(4):
            await me.owner.say(me.jid, "draw 9")
        assert await me.said() == f"draw: failed: drawn.png: {BUSY}"
        for _ in range(3):
            await me.sent()
            assert await me.said() == "draw: drawn.png, 9 B, a day"
        # Who is mute is not told, the room is
        assert (await me.asked("mute 1h")).startswith("Mute for 60 min")
        assert await me.asked("tell") == "tell: alarm.jpg, 8 B [1]"

    asyncio.run(main())


@both
def test_receiving(lab, runtime):
    """By URL and by bytestream, from those who may; what is refused leaves nothing behind."""

    async def main():
        async with (
            Web(lab.server.certificate) as web,
            owner_of(lab, plugins=("xep_0030", "xep_0047")) as owner,
            owner_of(lab, "operator") as operator,
            owner_of(lab, "stranger") as stranger,
        ):
            device = sharer_of(lab, runtime, surfaces=["chat", "files"])
            (device.folder / "inbox.new").write_bytes(b"of a power cut")
            with device:
                jid = await online(device)
                assert kept(device) == {}
                me = Person(owner, jid, web)
                await taken(me, device)
                if runtime == "32":
                    await refused(me, device)
                await manners(me, device)
                await by_bytestream(me, device)
                await others(Person(operator, jid, web), Person(stranger, jid, web), device)
                text = await me.asked("status")
                failed = ", 5 failed" if runtime == "32" else ", 3 failed"
                assert "*face*: face.raw, 9000 B, " in text and failed in text, text
                assert "Traceback" not in device.output(), device.output()
                assert "in a handler" not in device.output(), device.output()
                if runtime == "32":
                    await cut_off(me, device)

    def kept(device):
        """What there is of files: path -> bytes."""
        found = [*device.folder.glob("inbox/*"), *device.folder.glob("inbox.*")]
        return {str(p.relative_to(device.folder)): p.read_bytes() for p in found}

    async def taken(me, device):
        web = me.web
        web.files["/up/a%20photo.RAW"] = FACE
        web.files["/face.raw"] = FACE[::-1]
        url = f"{web.base}/up/a%20photo.RAW"
        begin = f"inbox/face.raw begins with {FACE[:3]!r}"
        assert await me.offered(url) == f"face: {begin}"
        assert kept(device) == {"inbox/face.raw": FACE}
        # Where there is a hash, it is checked; names are those of the message
        web.answers["/x"] = Answer(302, (("Location", "/face.raw"),))
        back = FACE[::-1]
        xml = sharing(back, "face.raw", f"{web.base}/x")
        assert (await me.offered(xml=xml, body="my face")).startswith("face: inbox/face.raw")
        assert kept(device) == {"inbox/face.raw": back}
        # In chunks; of a length that only the message tells, or nobody; and nothing at all
        web.answers["/chunks.raw"] = Answer(body=FACE, chunked=True)
        web.answers["/open.raw"] = Answer(body=back, length=None)
        assert (await me.offered(f"{web.base}/chunks.raw")).startswith("face: inbox/face.raw")
        assert kept(device) == {"inbox/face.raw": FACE}
        said = await me.offered(f"{web.base}/open.raw")
        assert said == "face: open.raw: not received: the server does not say how long it is"
        assert kept(device) == {"inbox/face.raw": FACE}
        xml = sharing(back, "face.raw", f"{web.base}/open.raw")
        assert (await me.offered(xml=xml)).startswith("face: inbox/face.raw")
        web.files["/clip.wav"] = b""
        assert await me.offered(f"{web.base}/clip.wav") == "clip: clip.wav, 0 B"
        assert kept(device) == {"inbox/face.raw": back, "inbox/clip.wav": b""}
        # What its function thinks of it
        web.files["/bad.raw"] = b"bad"
        assert await me.offered(f"{web.base}/bad.raw") == "face: that is no face"
        web.files["/odd.raw"] = b"odd"
        assert await me.offered(f"{web.base}/odd.raw") == "face: failed: out of paint"
        web.files["/face.raw"] = FACE
        assert (await me.offered(f"{web.base}/face.raw")).startswith("face: inbox/face.raw")
        assert (await me.asked("face")).startswith("face: face.raw, 9000 B, ")
        said = "face: send a file *.raw of up to 20 KB, "
        assert (await me.asked("help face")).startswith(said)
        (device.folder / "inbox/clip.wav").unlink()

    async def refused(me, device):
        web = me.web
        before = kept(device)
        long = bytes(20_001)
        web.files["/long.raw"] = long
        web.answers["/endless.raw"] = Answer(body=bytes(1024), length=None, endless=True)
        web.answers["/cut.raw"] = Answer(body=FACE, cut=5000)
        web.answers["/plain.raw"] = Answer(302, (("Location", f"{web.plain_base}/face.raw"),))
        web.answers["/lies.raw"] = Answer(body=FACE, length=8999)
        digest = b64encode(hashlib.sha256(b"other").digest()).decode()
        here = f"{web.base}/face.raw"
        most = "and may have 20000 at most"
        no_path = 'The name of that file cannot be: no path, and none of :*?"<>|.'
        no_name = "The name of that file cannot be: one line, and no dot in front of it."
        known = "I take face.raw (*.raw) or clip.wav (*.wav) or other.wav (*.wav)."
        count = len(web.requests)
        # Nothing is asked of the server where it is clear before
        for offer, answer in (
            ({"url": "http://127.0.0.1/face.raw"}, "I fetch files by https only."),
            (
                {"body": f"aesgcm://127.0.0.1/face.raw#{'0' * 88}"},
                "That file is encrypted (aesgcm). Send it without encryption.",
            ),
            ({"xml": sharing(FACE, "../roles.raw", here)}, no_path),
            ({"xml": sharing(FACE, "a\\b.raw", here)}, no_path),
            ({"url": f"{web.base}/x/%2e%2e%2Fdevice.raw"}, no_path),
            ({"url": f"{web.base}/x/a%2Fface.raw"}, no_path),
            ({"xml": sharing(FACE, ".raw", here)}, no_name),
            ({"xml": sharing(FACE, "a\u202egpj.raw", here)}, no_name),
            ({"xml": sharing(FACE, "x" * 97 + ".raw", here)}, no_name),
            ({"url": f"{web.base}/x/%ff.raw"}, no_name),
            ({"url": f"{web.base}/main.py"}, f"main.py: {known}"),
            (
                {"xml": sharing(b"", "some.wav", here)},
                "some.wav: I take clip.wav (*.wav) or other.wav (*.wav).",
            ),
            (
                {"xml": sharing(long, "face.raw", here)},
                f"face: face.raw: it has 20001 bytes, {most}",
            ),
            (
                {"xml": sharing(FACE, "face.raw", here, digest="AAAA")},
                "That message is no use: bad hash.",
            ),
            (
                {"xml": sharing(FACE, "face.raw"), "body": "look"},
                "There is no address in that message to fetch the file from.",
            ),
            (
                {"xml": sharing(None, "face.raw", id="s")},
                "How long the file is has to be said before.",
            ),
            ({"url": "https://a:b@127.0.0.1/face.raw"}, None),
        ):
            said = await me.offered(**offer)
            assert said == answer or not answer and "not an https URL" in said, (offer, said)
        assert len(web.requests) == count
        for offer, answer in (
            ({"url": f"{web.base}/long.raw"}, f"face: long.raw: it has 20001 bytes, {most}"),
            (
                {"xml": sharing(FACE[1:], "face.raw", here)},
                "face: face.raw: it has 9000 bytes, and not 8999 as was said",
            ),
            (
                {"url": f"{web.base}/endless.raw"},
                "face: endless.raw: it has more than 20000 bytes",
            ),
            (
                {"xml": sharing(FACE, "face.raw", here, digest=digest)},
                "face: face.raw: its hash is wrong: it is not what was sent",
            ),
            ({"url": f"{web.base}/plain.raw"}, "not an https URL"),
            # And these are failures
            ({"url": f"{web.base}/none.raw"}, "not received: "),
            ({"url": f"{web.base}/cut.raw"}, "not received: "),
        ):
            said = await me.offered(**offer)
            assert said == answer or answer in said and answer[:4] == "not ", (offer, said)
        assert kept(device) == before and web.plain == 0
        # No room: not in the inbox, not in flash
        for name, value, why in (
            ("spare_bytes", 1 << 60, "there is room for 0 B in flash"),
            ("max_bytes", 8000, "it has 9000 bytes, and may have 8000 at most"),
        ):
            assert (await me.asked(f"tune {name} {value}")).startswith("tune: ")
            assert await me.offered(here) == f"face: face.raw: {why}"
        assert (await me.asked("tune spare_bytes 0")).startswith("tune: ")
        assert (await me.asked("tune max_bytes 262144")).startswith("tune: ")
        assert kept(device) == before

    async def manners(me, device):
        # Receipts; a correction, and what waited while it was away, do nothing again
        url = f"{me.web.base}/face.raw"
        count = len(me.web.requests)
        id = me.offer(url, "<request xmlns='urn:xmpp:receipts'/>")
        assert (await me.said()).startswith("face: inbox/face.raw")
        await me.owner.until(
            lambda: any(
                m.xml.find("{urn:xmpp:receipts}received") is not None for m in me.owner.messages
            ),
            "receipt",
        )
        replace = f"<replace xmlns='urn:xmpp:message-correct:0' id='{id}'/>"
        assert (await me.offered(url, replace)).startswith("I did that already: https://")
        delay = "<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"
        assert (await me.offered(url, delay)).startswith("I was away when you wrote: https://")
        assert len(me.web.requests) == count + 1
        # A link that is part of a line is a line
        assert (await me.offered(url, body=f"see {url}")).startswith("I do not know see.")

    async def by_bytestream(me, device):
        owner = me.owner
        client = owner.client
        plugin = client.plugin["xep_0047"]

        async def opened(sid, xml, block=1024):
            me.offer(xml=xml, body="")
            return await plugin.open_stream(me.jid, sid=sid, block_size=block, timeout=30)

        back = FACE[::-1]
        stream = await opened("s1", sharing(back, "face.raw", id="s1"))
        await stream.sendall(back, timeout=30)
        await stream.close(timeout=30)
        assert (await me.said()).startswith("face: inbox/face.raw begins with ")
        assert kept(device)["inbox/face.raw"] == back
        # Too much, something else, half of it, nothing
        stream = await opened("s2", sharing(back[:1500], "face.raw", id="s2"))
        with suppress(IqError):  # or it does not notice
            await stream.sendall(back, timeout=30)
        assert await me.said() == "face: face.raw: it has more than 1500 bytes"
        stream = await opened("s3", sharing(FACE[:900], "face.raw", id="s3"))
        await stream.sendall(back[:900], timeout=30)
        await stream.close(timeout=30)
        assert await me.said() == "face: face.raw: its hash is wrong: it is not what was sent"
        stream = await opened("s4", sharing(FACE, "face.raw", id="s4"))
        await stream.sendall(FACE[:2000], timeout=30)
        await stream.close(timeout=30)
        why = "not received: it ended after 2000 of 9000 bytes"
        assert await me.said() == f"face: face.raw: {why}"
        assert (await me.asked("tune idle_s 1")).startswith("tune: ")
        me.offer(xml=sharing(FACE, "face.raw", id="s5"), body="")
        # One at a time
        xml = sharing(FACE, "face.raw", id="s6")
        why = "face: face.raw: I am busy with another file; try again later"
        assert await me.offered(xml=xml, body="") == why
        assert await me.said() == "face: face.raw: not received: it is too slow"
        assert (await me.asked("tune idle_s 30")).startswith("tune: ")
        # What nobody announced
        for sid in ("s4", "s7"):
            answer = await owner.iq(
                me.jid,
                f"<open xmlns='http://jabber.org/protocol/ibb' sid='{sid}' block-size='512'/>",
                "set",
            )
            assert condition(answer) == ("cancel", "service-unavailable")
        assert kept(device) == {"inbox/face.raw": back}
        me.web.files["/face.raw"] = FACE
        assert (await me.offered(f"{me.web.base}/face.raw")).startswith("face: inbox")

    async def others(operator, stranger, device):
        url = f"{operator.web.base}/face.raw"
        before = kept(device)
        assert await operator.offered(url) == "face: only for the role owner."
        operator.web.files["/clip.wav"] = b"RIFF"
        assert await operator.offered(f"{operator.web.base}/clip.wav") == "clip: clip.wav, 4 B"
        count = len(operator.web.requests)
        stranger.offer(url)
        stranger.offer(xml=sharing(FACE, "face.raw", id="s"))
        answer = await stranger.owner.iq(
            stranger.jid,
            "<open xmlns='http://jabber.org/protocol/ibb' sid='s' block-size='512'/>",
            "set",
        )
        assert condition(answer) == ("cancel", "service-unavailable")
        assert not stranger.owner.messages and len(operator.web.requests) == count
        assert kept(device) == {**before, "inbox/clip.wav": b"RIFF"}

    async def cut_off(me, device):
        # A power cut in the middle
        before = kept(device)
        me.web.answers["/slow.raw"] = Answer(body=FACE, pause_s=0.2)
        me.offer(f"{me.web.base}/slow.raw")
        partial = Path(device.folder / "inbox.new")
        await until(lambda: partial.exists() and partial.stat().st_size, "the first bytes")
        device.kill()
        assert kept(device).keys() == {*before, "inbox.new"}
        device.start()
        await online(device, 2)
        assert kept(device) == before

    asyncio.run(main())


def test_slot_that_nobody_may_use():
    """On another host, with the device's credentials in it: nothing is sent there."""
    settings = {"http_file_share_base_url": "https://dev:secret@other.example/"}

    async def main(lab):
        with sharer_of(lab, "32", surfaces=["chat", "files"]) as device:
            jid = await online(device)
            async with owner_of(lab) as owner:
                said = await Person(owner, jid, None).asked("draw 1000")
                why = "not an https URL that may be used: 'other.example/"
                assert said.startswith("draw: failed: drawn.png: cannot be sent: " + why), said
                assert "secret" not in said + device.output()

    with Lab(PASSWORDS, web=True, settings=settings) as lab:
        asyncio.run(main(lab))
