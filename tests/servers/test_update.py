"""Updates of a device's program, on Prosody, with a board's heap: by URL and in-band, cut and gone
on with; what is refused; what does not start, and what never logs in."""

import asyncio
import hashlib
import re
from contextlib import suppress

import pytest
from slixmpp.exceptions import IqError

from host_tools.flash import boards, bytecode, content
from host_tools.flash.mpy import FIRMWARE, LIBRARY_OPT, compile_file
from host_tools.lab import micropython
from host_tools.lab.device import Device
from host_tools.lab.lab import Lab
from host_tools.lab.web import Answer, Web
from host_tools.update import bundle, keys

from .helper import PASSWORDS, online, until
from .test_files import Person, owner_of, sharing

SIMULATED = FIRMWARE.parent / "host_tools" / "lab" / "simulated"
BOARD = "esp32"
#: A restart, and a login after it.
RESTART_S = 30
INSTALLED = "update {}: installed, restarting in a moment"
# What a test waits for otherwise, and no word of what takes long on a busy machine
HASTE = """
from thing import chat, update
from uxmpp import client
chat.Chat.slow_s = 60
update.Update.settle_s = 0.1
update.Update.pause_s = 0.1
client.Client.first_pause_s = 0.1
"""

# A program that never gets a session, and gives up soon
MUTE = """
async def nowhere():
    raise OSError("no way out")
thing.client.on_try = nowhere
thing.surfaces["update"].confirm_s = 0.2
thing.run()
"""


class Ranges(Web):
    """An HTTPS server that honours `Range: bytes=N-`: what it was asked for is in `asked`. The
    n-th answer is cut after so many bytes, `cuts`, and waits before each piece, `pauses`."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.cuts = []
        self.pauses = []
        self.asked = []

    def _usual(self, request):
        answer = super()._usual(request)
        at = re.fullmatch(r"bytes=(\d+)-", request.header("range") or "")
        self.asked.append(int(at[1]) if at else 0)
        cut = self.cuts.pop(0) if self.cuts else None
        pause = self.pauses.pop(0) if self.pauses else 0.0
        if answer.status != 200 or not at:
            return answer
        total = len(answer.body)
        span = f"bytes {at[1]}-{total - 1}/{total}"
        body = answer.body[int(at[1]) :]
        return Answer(206, [("Content-Range", span)], body, cut=cut, pause_s=pause)


class Slots(Device):
    """A device whose folder is its flash: `program` in slot a."""

    def __init__(self, lab, user, program, **changes):
        config = lab.device_config(user, owners=["owner"], surfaces=["chat"])
        config.update(changes)
        folder = lab.folder / f"{user}-slots"
        app = FIRMWARE / "main.py"
        super().__init__(config, folder=folder, app=app, files=[lab.ca_der], restarts=True)
        for name in ("boot.py", "main.py"):
            (folder / name).write_bytes((FIRMWARE / name).read_bytes())
        compile_file(FIRMWARE / "slots.py", folder / "slots.mpy", opt=LIBRARY_OPT)
        (folder / "start.py").write_text("import boot, main\n")
        bytecode.tree(SIMULATED, folder / "simulated", opt=LIBRARY_OPT)
        for path, data in {**program.files, "manifest": program.manifest}.items():
            file = folder / "a" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        (folder / "b").mkdir()

    def _command(self):
        path = [self.folder, self.folder / "simulated"]
        found = micropython.find(32)
        return found.command(self.folder / "start.py", heap=self.heap, path=path)

    def tree(self, slot):
        """The files of a slot."""
        folder = self.folder / slot
        return {
            p.relative_to(folder).as_posix(): p.read_bytes()
            for p in folder.rglob("*")
            if p.is_file()
        }


class Program:
    """A version of an app, and its bundle."""

    def __init__(self, folder, key, version, source, app="sensor", board=BOARD, more=None):
        path = folder / f"{app}-{version}.py"
        path.write_text(source)
        self.files = {
            **content.slot_files(boards.load(BOARD), FIRMWARE / "apps" / "sensor.py"),
            **(more or {}),
        }
        compiled = compile_file(path, folder / "app.mpy", name="app.py")
        self.files["app.mpy"] = compiled.read_bytes()
        self.manifest = content.manifest(boards.load(board), app, version, self.files)
        self.bundle = bundle.build(self.manifest, self.files, key)
        self.manifest = bundle.read(self.bundle).manifest.data()
        self.head = 12 + len(self.manifest) + 64

    def place(self, path):
        """Where a file is in the bundle."""
        return self.bundle.index(self.files[path], self.head)


class World:
    def __init__(self, lab, folder):
        self.lab = lab
        self.folder = folder
        self.key = keys.new(folder / "key.pem")
        self.sensor = (FIRMWARE / "apps" / "sensor.py").read_text()

    def program(self, version, source="", key=None, **more):
        return Program(
            self.folder, key or self.key, version, HASTE + (source or self.sensor), **more
        )

    def device(self, user, program, **changes):
        changes["update"] = {"key": self.key.public, "confirm_s": 60}
        return Slots(self.lab, user, program, **changes)


@pytest.fixture(scope="module")
def lab():
    settings = {"network_settings": {"nagle": False}}
    with Lab(PASSWORDS, web=True, settings=settings) as lab:
        yield lab


@pytest.fixture(scope="module")
def world(lab, tmp_path_factory):
    return World(lab, tmp_path_factory.mktemp("programs"))


async def resumed(me, text):
    """(manifest's hash, offset) that `update` tells."""
    answer = await me.asked("update")
    assert text in answer, answer
    found = re.search(r"resume ([0-9a-f]{64}) (\d+)", answer)
    return found[1], int(found[2])


def test_by_url(lab, world):
    old, new = world.program("1.1.0"), world.program("1.2.0", more={"more.mpy": bytes(20_000)})

    async def main():
        async with (
            Ranges(lab.server.certificate, at=lab.server.web_port) as web,
            owner_of(lab) as owner,
        ):
            with world.device("dev", old) as device:
                device.wait_online()
                me = Person(owner, lab.jid("dev"), web)
                while "temperature" not in (await me.next()).body:
                    pass
                assert "version 1.1.0, up " in await me.asked("status")
                await refusals(me, device)
                await cuts(me, device)
                await confirmed(me, device)
                await given_up(me, device)

    async def said(me):
        while True:
            text = await me.said()
            if not re.fullmatch(
                r"update [\d.]+: \d\d %|update: I fetch it|(temp|humi).*", text, re.S
            ):
                return text

    async def offered(me, data, path="/x.uxb"):
        me.web.files[path] = data
        await me.owner.say(me.jid, f"update {me.web.base}{path}")
        return await said(me)

    async def refusals(me, device):
        other = keys.new(world.folder / "other.pem")
        tampered = bytearray(new.bundle)
        tampered[new.place("thing/chat.mpy") + 100] ^= 1
        wrong = "its signature is wrong: it was changed, or signed by another key"
        for data, why in (
            (world.program("1.2.0", key=other).bundle, wrong),
            (new.bundle.replace(b"1.2.0", b"1.3.0", 1), wrong),
            (bytes(tampered), "thing/chat.mpy is not what was signed"),
            (world.program("1.0.9").bundle, "1.0.9 is not newer than 1.1.0"),
            (old.bundle, "1.1.0 is not newer than 1.1.0"),
            (
                world.program("1.2.0", board="pico-w").bundle,
                "it is for the board pico-w, and this is esp32",
            ),
            (
                world.program("1.2.0", app="switch").bundle,
                "it is for the app switch, and this is sensor",
            ),
            (new.bundle + b"x", f"it has {len(new.bundle) + 1} bytes, and its manifest says "),
            (b"<html>" * 100, "it is no bundle of an update"),
        ):
            text = await offered(me, data)
            assert text.startswith(f"update refused: {why}"), text
            assert not device.tree("b")
        await me.owner.say(me.jid, "update http://localhost/x.uxb")
        assert (await said(me)).startswith("update refused: not an https URL")
        me.web.answers["/gone"] = Answer(404)
        await me.owner.say(me.jid, f"update {me.web.base}/gone")
        assert await said(me) == "update broken off: HTTP status 404"
        assert device.boots == 1 and (device.folder / "slot").read_text() == "a"
        there = f"running 1.1.0 of sensor on {BOARD}, slot a\nthe other slot is empty"
        assert await me.asked("update") == there

    async def cuts(me, device):
        web = me.web
        web.asked.clear()
        # In the midst of the head; of a file; and three times where nothing comes
        web.cuts = [None, new.place("more.mpy") + 15_000 - new.head, 0, 0, 0]
        text = await offered(me, new.bundle)
        assert text == "update broken off: the connection was cut; what has arrived is kept"
        at = new.place("more.mpy")
        assert web.asked == [0, new.head, at, at, at], web.asked
        told = await resumed(me, f"1.2.0 is on its way: {at} of {len(new.bundle)} bytes")
        assert told == (hashlib.sha256(new.manifest).hexdigest(), at)
        # The power fails in the midst of it: it goes on by itself, and tells who asked
        web.asked.clear()
        web.pauses = [0, 0.05]
        await me.owner.say(me.jid, f"update {web.base}/x.uxb")
        later = device.folder / "b" / "thing" / "clock.mpy"
        await until(lambda: web.asked == [0, at] and later.exists(), "some more files")
        device.kill()
        assert (device.folder / "slot").read_text() == "a"
        web.asked.clear()
        device.start()

    async def confirmed(me, device):
        text = await said(me)
        assert text == INSTALLED.format("1.2.0"), text
        assert me.web.asked[0] == 0 and me.web.asked[1] > new.place("more.mpy"), me.web.asked
        assert device.tree("b") == {**new.files, "manifest": new.manifest}
        assert await said(me) == "running 1.2.0 (was 1.1.0)"
        assert (device.folder / "slot").read_text() == "b"
        await me.owner.say(me.jid, "status")
        while "version 1.2.0, up " not in (await me.next()).body:
            pass  # what it measured came first

    async def given_up(me, device):
        broken = world.program("1.3.0", "import nowhere\n")
        assert await offered(me, broken.bundle) == INSTALLED.format("1.3.0")
        why = "1.3.0 did not start (ImportError: no module named 'nowhere'): 1.2.0 is back"
        assert await said(me) == why
        # One that never gets a session
        mute = world.sensor.replace("\nthing.run()", MUTE)
        mute = world.program("1.4.0", mute)
        assert await offered(me, mute.bundle) == INSTALLED.format("1.4.0")
        assert await said(me) == "1.4.0 did not log in: 1.2.0 is back"
        await me.owner.say(me.jid, "update")
        assert "the other slot has 1.4.0" in await said(me)

    asyncio.run(main())


def test_in_band(lab, world):
    old, new = world.program("1.1.0"), world.program("1.2.0", more={"more.mpy": bytes(20_000)})

    async def main():
        async with (
            owner_of(lab, plugins=("xep_0047",)) as owner,
            owner_of(lab, "stranger") as other,
        ):
            with world.device(
                "idle", old, surfaces=["chat", "files"], operators=[lab.jid("stranger")]
            ) as device:
                me = Person(owner, await online(device), None)
                while "temperature" not in (await me.next()).body:
                    pass
                await sent(me, device)
                other = Person(other, await online(device, 3), None)
                text = await other.offered(xml=sharing(b"x", "x.uxb", id="o"), body="")
                assert text == "update refused: only for the role owner"

    async def send(me, data, name, id, cut=None):
        me.offer(xml=sharing(data, name, id=id), body="")
        ibb = me.owner.client.plugin["xep_0047"]
        stream = await ibb.open_stream(me.jid, sid=id, block_size=1024, timeout=30)
        with suppress(IqError):  # what is wrong is told, too
            await stream.sendall(data[:cut], timeout=30)
            await stream.close(timeout=30)
        while True:
            text = await me.said()
            if not re.match(r"update [\d.]+: \d\d %$|file: I am at it|temperature|humid", text):
                return text

    async def sent(me, device):
        cut = new.place("more.mpy") + 15_000
        text = await send(me, new.bundle, "x.uxb", "u1", cut)
        why = f"it ended after {cut} of {len(new.bundle)} bytes; what has arrived is kept"
        assert text == f"update broken off: {why}", text
        at = new.place("more.mpy")
        told = await resumed(me, f"1.2.0 is on its way: {at} of {len(new.bundle)} bytes")
        assert told == (hashlib.sha256(new.manifest).hexdigest(), at)
        device.kill()
        device.start()
        me.jid = await online(device, 2)
        text = await send(me, new.bundle[at:], f"x+{at}.uxb", "u2")
        assert text == INSTALLED.format("1.2.0"), text
        while (text := await me.said()) != "running 1.2.0 (was 1.1.0)":
            assert "temperature" in text or text.startswith("update 1.2.0: "), text
        assert device.tree("b") == {**new.files, "manifest": new.manifest}

    asyncio.run(main())
