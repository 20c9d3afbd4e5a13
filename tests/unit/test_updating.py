"""Updates: what is taken, in which pieces it comes, what is refused, and what is told of it."""

import asyncio
import hashlib
import json
import os
import sys
from binascii import hexlify

import bundles
import slots
from bundles import bundle, manifest
from helper import MICROPYTHON, assert_none, raises, temporary
from thing import Thing, config, installing, update, updating
from thing.access import Asker
from thing.clock import Clock
from uxmpp import http
from uxmpp.client import StanzaError
from uxmpp.http_get import Download

HEAP = "600k"
SEED = b"the owner's key, 32 bytes of it."
OTHER = b"another key, of 32 bytes as well"
KEY = hexlify(bundles.public(SEED)).decode()
OLD = {"app.mpy": b"old", "thing/same.mpy": b"same" * 300}
NEW = {
    "app.mpy": b"new app",
    "empty.mpy": b"",
    "thing/large.mpy": bytes([i * 7 & 255 for i in range(3000)]),
    "thing/same.mpy": b"same" * 300,
    "uxmpp/xep/last.mpy": b"last" * 100,
}
TEXT = manifest(NEW)
BUNDLE = bundle(TEXT, NEW, SEED)
HEAD = 12 + len(TEXT) + 64
URL = "https://files.example/sensor.uxb"
OWNER = "owner@example.org/phone"
MPY = getattr(sys.implementation, "_mpy", 6) & 255
KEPT = "; what has arrived is kept"


# There is memory for all of it here, and what stands in for http has to stay
for module in (installing, update, updating):
    module.forget = lambda name: None


class Access:
    owners = ("owner@example.org", "other@example.org")

    def rank(self, person):
        return 3 if person in self.owners else 1

    def allows(self, person, role):
        return person in self.owners


class Files:
    def __init__(self):
        self.lock = asyncio.Lock()


class Device(Thing):
    """The agent without a server."""

    def __init__(self, **options):
        self.access = Access()
        self.folder = ""
        self.config = {"update": dict(options, key=options.get("key", KEY)), "pin": "ab"}
        self.lines = []
        self.said = []
        self.clock = Clock()
        self.restarts = []
        self.faults = 0
        self.online = self.room = True
        self.surfaces = {}
        self.update = self.surfaces["update"] = update.Update(self)
        self.update.pause_s = self.update.settle_s = 0

    def log(self, text):
        self.lines.append(text)

    def spare(self):
        return self.room

    async def say(self, to, text):
        if not self.online:
            raise OSError("not online")
        self.said.append((to, text))

    def restart(self, why):
        self.restarts.append(why)


OWNERS = Asker(Access(), OWNER, "chat")
GUEST = Asker(Access(), "guest@example.org/x", "chat")


class Served:
    """A server's answer: `data` from `offset` on, in pieces; cut after `cut` bytes."""

    def __init__(self, data, offset=0, total=True, whole=True, cut=None, piece=512):
        self.offset = offset
        self.total = len(data) if total else None
        self.whole = whole
        self._data = data[offset:] if cut is None else data[offset : offset + cut]
        self._cut = cut
        self._piece = piece
        self.closed = False

    async def read(self):
        data = self._data[: self._piece]
        self._data = self._data[self._piece :]
        if not data and self._cut is not None and self.whole:
            raise OSError("the connection was cut")
        return data

    def close(self):
        self.closed = True


class Server:
    """What answers GETs: one of `answers` each, functions of the offset that is asked for; then
    `data` as it is, in parts if `ranges`."""

    def __init__(self, data=BUNDLE, answers=(), ranges=True):
        self.data = data
        self.answers = list(answers)
        self.ranges = ranges
        self.asked = []

    async def get(self, url, ca, pin, nameserver, offset=0):
        assert url == URL and pin == "ab"
        self.asked.append(offset)
        if self.answers:
            answer = self.answers.pop(0)(offset)
            if isinstance(answer, Exception):
                raise answer
            return answer
        return Served(self.data, offset if self.ranges else 0)


def write(folder, files, text, name="manifest"):
    """A slot with these files."""
    for path, data in list(files.items()) + [(name, text)]:
        path = folder + "/" + path
        at = path.find("/")
        while at > 0:
            try:
                os.mkdir(path[:at])
            except OSError:
                pass
            at = path.find("/", at + 1)
        with open(path, "wb") as f:
            f.write(data)


def tree(folder):
    """{path: bytes} of what is below a folder; {} where there is none."""
    found = {}
    try:
        names = os.listdir(folder)
    except OSError:
        return found
    for name in names:
        path = folder + "/" + name
        if os.stat(path)[0] & 0x4000:
            below = tree(path)
            found.update({name + "/" + key: below[key] for key in below} or {name + "/": b""})
        else:
            with open(path, "rb") as f:
                found[name] = f.read()
    return found


def remove(folder):
    for name in os.listdir(folder):
        if os.stat(folder + "/" + name)[0] & 0x4000:
            remove(folder + "/" + name)
        else:
            os.remove(folder + "/" + name)
    os.rmdir(folder)


class Flash:
    """`with`: the working folder is a device's flash, with the old program in slot a."""

    def __enter__(self):
        self.was = os.getcwd()
        self.folder = temporary("update")
        os.mkdir(self.folder)
        os.chdir(self.folder)
        write("a", OLD, manifest(OLD, "1.1.0"))

    def __exit__(self, *args):
        os.chdir(self.was)
        remove(self.folder)


def state():
    with open("slot") as f:
        return f.read()


def fetched(device, server, asker=OWNERS):
    """Have a device fetch from a server, to the end: what it said last."""

    async def main():
        answer = await device.update.word(asker, URL)
        if answer != "update: I fetch it":
            return answer
        await device.update._task
        return device.said[-1][1]

    was = http.get
    # It is loaded anew for each
    sys.modules["uxmpp.http"] = http
    http.get = server.get
    try:
        return asyncio.run(main())
    finally:
        http.get = was


def asked(device, url=""):
    return asyncio.run(device.update.word(OWNERS, url))


async def nothing(*args):
    pass


def stream(device, data, offset=0, name="x.uxb", size=None, cut=None, block=700, asker=OWNERS):
    """Offer it in chat, and send it by a bytestream: (what is said, whether it is installed)."""
    offer = name, None, len(data) - offset if size is None else size, None, "sid"

    async def listen(sink, files, key):
        assert key == (asker.jid, "sid")
        data_ = data[offset:][:cut]
        try:
            for i in range(0, len(data_), block):
                await sink.write(data_[i : i + block])
            sink.failed() if cut else sink.end()
        except StanzaError:
            sink.failed()
        assert sink.event.is_set()
        if sink.why:
            raise sink.why

    async def main():
        updating._listen = listen
        got = await device.update.offered(Files(), asker, offer)
        if device.update._task:
            await device.update._task
        return got

    return asyncio.run(main())


def installed():
    """Whether slot b has the new program, whole and nothing else, and is to be tried."""
    files = tree("b")
    return files.pop("manifest", None) == TEXT and files == NEW and state() == "b try 0"


def test_by_url():
    for server in (Server(), Server(ranges=False)):
        with Flash():
            device = Device()
            assert device.update.version == "1.1.0"
            said = fetched(device, server)
            assert said == "update 1.2.0: installed, restarting in a moment", said
            assert installed() and device.restarts == ["update"]
            # The head first, to be checked without a connection; then what is needed
            assert server.asked == [0, HEAD], server.asked
            percents = [t for _, t in device.said[:-1]]
            assert percents == ["update 1.2.0: {} %".format(n) for n in (20, 40, 60, 80)], percents
            # At the full JID of who asked
            assert {who for who, _ in device.said} == {OWNER}
            assert not [name for name in os.listdir() if name not in ("a", "b", "slot")]
            assert tree("a")["app.mpy"] == b"old"


def test_in_band():
    with Flash():
        device = Device()
        text = "update 1.2.0: installed, restarting in a moment"
        assert stream(device, BUNDLE) == (text, True)
        assert installed() and device.restarts == ["update"]
    with Flash():
        device = Device()
        assert stream(device, BUNDLE, asker=GUEST) == (
            "update refused: only for the role owner",
            False,
        )
        # Cut, and begun anew; and gone on with
        text = "update broken off: it was broken off" + KEPT
        assert stream(device, BUNDLE, cut=HEAD + 2000) == (text, False)
        need = BUNDLE.find(NEW["thing/large.mpy"])
        answer = asked(device)
        assert answer == (
            "running 1.1.0 of sensor on esp32, slot a\n"
            "1.2.0 is on its way: {} of {} bytes, resume {} {}"
        ).format(need, len(BUNDLE), hexlify(hashlib.sha256(TEXT).digest()).decode(), need), answer
        before = tree("b")
        for offset in (need - 1, 0, HEAD):
            name = "x+{}.uxb".format(offset)
            text = "update refused: it has to go on at {}".format(need)
            assert stream(device, BUNDLE, offset, name) == (text, False)
        name = "x+{}.uxb".format(need)
        text = "update refused: it has {} bytes, and its manifest says {}"
        text = text.format(len(BUNDLE) + 1, len(BUNDLE))
        size = len(BUNDLE) - need + 1
        assert stream(device, BUNDLE, need, name, size) == (text, False)
        assert tree("b") == before
        assert stream(device, BUNDLE, need, name)[1] and installed()
    with Flash():
        text = "update refused: there is nothing here that could go on"
        assert stream(Device(), BUNDLE, 9, "x+9.uxb") == (text, False)


def test_cuts():
    # Wherever it is cut, it goes on with the first file that is not whole
    ends = []
    at = HEAD
    for path in sorted(NEW):
        at += len(NEW[path])
        ends.append(at)
    step = 1409 if MICROPYTHON else 97
    for cut in list(range(1, len(BUNDLE), step)) + [HEAD - 1, HEAD, len(BUNDLE) - 1]:
        with Flash():
            device = Device()

            def once(offset, cut=cut):
                return Served(BUNDLE, 0, cut=cut)

            def after(offset, cut=cut):
                return Served(BUNDLE, offset, cut=max(0, cut - offset))

            server = Server(answers=[once] + [after] * (cut >= HEAD))
            said = fetched(device, server)
            assert installed(), (cut, said, server.asked)
            assert server.asked[-1] == max([HEAD] + [e for e in ends if e <= cut]), cut
    # Given up after so many tries without a step; what is there stays
    for answer in (OSError("no route"), http.HTTPError(503), Served(BUNDLE, 0, cut=0)):
        with Flash():
            device = Device()
            server = Server(answers=[lambda offset, a=answer: a] * 3)
            said = fetched(device, server)
            assert said.startswith("update broken off: ") and len(server.asked) == 3, said
            assert not tree("b") and not device.restarts
    with Flash():
        device = Device()
        cut = [lambda offset: Served(BUNDLE, offset, cut=HEAD + 1500 - offset)] * 5
        said = fetched(device, Server(answers=cut))
        assert said == "update broken off: the connection was cut" + KEPT, said
        assert asked(device).find("1.2.0 is on its way") > 0
        server = Server()
        assert fetched(device, server).find("installed") > 0 and installed()
        assert server.asked == [0, BUNDLE.find(NEW["thing/large.mpy"])]
    # A page that is gone is not asked for again
    with Flash():
        server = Server(answers=[lambda offset: http.HTTPError(404)])
        assert fetched(Device(), server) == "update broken off: HTTP status 404"


def test_what_is_there_is_not_fetched():
    with Flash():
        stale = dict(NEW)
        stale["app.mpy"] = b"older"
        stale["thing/gone.mpy"] = b"gone"
        stale["thing-else.mpy"] = b"else"
        write("b", stale, manifest(stale, "1.0"))
        device = Device()
        assert asked(device).endswith("\nthe other slot has 1.0")
        device.update.gap = 0
        server = Server()
        fetched(device, server)
        assert installed(), tree("b").keys()
        assert server.asked == [0, HEAD]
        # What has come is tried again without a byte of a file
        os.rename("b/manifest", "b/manifest.new")
        slots.switch("a")
        assert Device().update.version == "1.1.0"
        server = Server()
        fetched(device, server)
        assert installed() and server.asked == [0]
    with Flash():
        # From one gap to the next
        some = {path: NEW[path] for path in NEW if path != "app.mpy" and "last" not in path}
        write("b", some, b"")
        device = Device()
        device.update.gap = 1000
        server = Server()
        fetched(device, server)
        assert installed()
        assert server.asked == [0, HEAD, len(BUNDLE) - 400], server.asked


# (a function that makes a bundle, or one; what is said)
def refusals():
    def made(text, files=NEW):
        return lambda: bundle(text, files, SEED)

    wrong = "its signature is wrong: it was changed, or signed by another key"
    no = "its manifest cannot be used"
    app = {"app.mpy": b"x"}
    line = "file 1 {} ".format("0" * 64)
    head = "uxmpp 1\napp sensor\nversion 1.2\nboard esp32\nmpy {}\n".format(MPY)

    def lines(*paths):
        return made((head + "".join([line + p + "\n" for p in paths])).encode(), {})

    yield lambda: bundle(TEXT, NEW, OTHER), wrong
    yield BUNDLE.replace(b"1.2.0", b"9.2.0"), wrong
    yield b"", "it is too short"
    yield BUNDLE[:40], "it is too short"
    yield b"UXMPPUP2" + BUNDLE[8:], "it is no bundle of an update"
    yield b"<html>" * 40, "it is no bundle of an update"
    yield BUNDLE[:8] + bytes(4) + BUNDLE[12:], "it is no bundle of an update"
    yield BUNDLE[:8] + b"\0\0\x40\x01" + BUNDLE[12:], "its manifest is longer than 16384 bytes"
    yield made(manifest(NEW, board="pico-w")), "it is for the board pico-w, and this is esp32"
    yield made(manifest(NEW, app="switch")), "it is for the app switch, and this is sensor"
    for version in ("1.1.0", "1.1", "1.0.9.9", "0.65535", "1"):
        yield made(manifest(NEW, version)), version + " is not newer than 1.1.0"
    for version in ("1.x", "1..2", "2.0.0.0.0", "65536", "-1", "2."):
        yield made(manifest(NEW, version)), "no version: " + version
    if MICROPYTHON:
        text = "its bytecode is of version {}, and this MicroPython loads {}".format(MPY + 1, MPY)
        yield made(manifest(NEW, mpy=MPY + 1)), text
    yield BUNDLE + b"\0", "it has {} bytes, and its manifest says {}"
    yield BUNDLE[:-1], "it has {} bytes, and its manifest says {}"
    large = manifest(app).replace(b"file 1 ", b"file 1048577 ")
    yield made(large, app), "it is longer than 1048576 bytes"
    for text in (b"", head.encode(), TEXT[:-1], TEXT.replace(b"uxmpp 1", b"uxmpp 2"), b"\xff" * 9):
        yield made(text), no if text else "it is no bundle of an update"
    for more in ("app x\n", "key 12\n", "key " + "G" * 64 + "\n", "color red\n", "\n"):
        yield made((head + more + line + "a.mpy\n").encode(), {}), no
    yield made(TEXT + b"key " + KEY.encode() + b"\n"), no
    for path in (
        "/a", "../a", "a/../b", "./a", ".a", "a//b", "a/", "", "a/.b", "a\\b", "a b", "a\xe9",
        "x" * 65, "manifest", "manifest.new", "update.new", "a\x00", "a:b",
    ):  # fmt: skip
        yield lines(path), no
    yield lines("a", "a"), no
    yield lines("b", "a"), no
    yield (
        lines(*["f{:03d}".format(i) for i in range(257)]),
        "its manifest is longer" if False else None,
    )
    for bad in ("file x ", "file -1 ", "file 12345678 ", "file 1 00 ", "file  "):
        yield made((head + bad + "0" * 64 + " a\n").encode(), {}), no


def test_refusals():
    some = {"old.mpy": b"old"}
    with Flash():
        write("b", some, manifest(some, "1.0"))
        before = tree("b"), tree("a")
        device = Device()
        failed = []
        n = 0
        for data, why in refusals():
            n += 1
            if MICROPYTHON and n % 11 != 2:
                continue
            data = data() if callable(data) else data
            if why and "{}" in why:
                why = why.format(len(data), len(BUNDLE))
            said = fetched(device, Server(data))
            if not said.startswith("update refused: " + (why or "")) or "\n" in said:
                failed.append((n, why, said))
            if (tree("b"), tree("a")) != before or "slot" in os.listdir() or device.restarts:
                failed.append((n, "left behind", tree("b"), os.listdir()))
        assert n > 40
        assert_none(failed)
        # In-band, too
        for i, (data, _) in enumerate(refusals()):
            data = data() if callable(data) else data
            if i >= 8:
                break
            said, done = stream(device, data, size=max(len(data), HEAD))
            assert not done and said.startswith("update ") and tree("b") == before[0], said
        assert not device.faults


def test_any_byte():
    files = {"app.mpy": b"the app", "x.mpy": b"x" * 20}
    data = bundle(manifest(files), files, SEED)
    with Flash():
        before = tree("a")
        device = Device()
        step = 53 if MICROPYTHON else 3
        head = len(data) - 27
        for i in list(range(0, head, step)) + list(range(head, len(data), step // 2)):
            bad = data[:i] + bytes([data[i] ^ 1 << i % 8]) + data[i + 1 :]
            said = fetched(device, Server(bad))
            assert said.startswith("update refused: ") and "\n" not in said, (i, said)
            assert not [p for p in tree("b") if p[-1] != "/"], (i, tree("b"))
            assert tree("a") == before and not device.restarts
            assert slots.state() == ("a", None, "")
        assert fetched(device, Server(data)).endswith("installed, restarting in a moment")


def test_more_than_was_said():
    # A server that does not say how much there is
    for data, why in (
        (BUNDLE + b"more", "refused: there is more of it than its manifest says"),
        (BUNDLE[:-1], "refused: it is too short"),
    ):
        with Flash():
            answer = [lambda offset, d=data: Served(d, 0, total=False)] * 2
            device = Device()
            said = fetched(device, Server(answers=answer))
            assert said == "update " + why and not tree("b"), (said, tree("b"))
    with Flash():
        answer = [lambda offset: Served(BUNDLE, offset, total=False, whole=False)] * 2
        assert fetched(Device(), Server(answers=answer)).find("installed") > 0


def test_not_now():
    with Flash():
        device = Device()
        device.room = False
        said = "update refused: no memory for it now; try again later"
        assert fetched(device, Server()) == said
        device.room = True
        device.update.bundle = device.update
        assert fetched(device, Server()) == "update refused: another one is under way"
        assert stream(device, BUNDLE)[0] == "update refused: another one is under way"
        assert asked(device).endswith("\nan update begins")
        device.update.bundle = None
        assert asked(device) == "running 1.1.0 of sensor on esp32, slot a\nthe other slot is empty"
        # Full: nothing is written
        device.update.spare_bytes = 1 << 50
        said = fetched(device, Server())
        assert said.startswith("update refused: there is room for 0 bytes in flash, and it needs ")
        assert not tree("b")
        # The other slot is where it would go back to
        slots.switch("a", "try", 1)
        device = Device()
        said = fetched(device, Server())
        assert said == "update refused: 1.1.0 has to be confirmed before", said
    with Flash():
        remove("a")
        device = Device()
        assert device.update.version == "" and asked(device).startswith("this device has no slots")
        assert fetched(device, Server()).startswith("update refused: this device has no slots")


def test_confirmed_and_given_up():
    async def boot(device):
        await device.update.online()
        if device.update._task:
            await device.update._task

    new = bundles.public(OTHER)
    with Flash():
        write("b", NEW, manifest(NEW, key=new))
        slots.switch("b", "try", 1)
        device = Device()
        assert device.update.version == "1.2.0"
        device.online = False
        raises(OSError, asyncio.run, boot(device))
        assert state() == "b try 1" and "update.json" not in os.listdir()
        device.online = True
        asyncio.run(boot(device))
        assert state() == "b"
        said = "running 1.2.0 (was 1.1.0)"
        assert device.said == [(owner, said) for owner in Access.owners]
        # From now on by its key, as long as device.json has the one it had
        assert installing.key(device.update) == hexlify(new).decode()
        assert installing.key(Device(key="12" * 32).update) == "12" * 32
        device = Device()
        asyncio.run(boot(device))
        assert not device.said
        newer = bundle(manifest(NEW, "1.3"), NEW, SEED)
        assert fetched(device, Server(newer)).startswith("update refused: its signature is wrong")
        newer = bundle(manifest(NEW, "1.3"), NEW, OTHER)
        assert fetched(device, Server(newer)) == "update 1.3: installed, restarting in a moment"
        assert state() == "a try 0"
        error = "ImportError: no module named 'x'"
        for word, why in (
            ("boots", "did not log in"),
            (error, "did not start ({})".format(error)),
        ):
            slots.switch("b", "back", word)
            device = Device()
            asyncio.run(boot(device))
            told = asked(device).split("\n")
            assert told[1] == "1.3 {}: 1.2.0 is back".format(why), told
            assert told[2] == "the other slot has 1.3"
            assert device.said[0] == (Access.owners[0], "1.3 {}: 1.2.0 is back".format(why)), (
                device.said
            )
            assert state() == "b"


def test_a_key_that_cannot_be_kept():
    with Flash():
        write("b", NEW, manifest(NEW, key=bundles.public(OTHER)))
        slots.switch("b", "try", 1)
        os.mkdir("update.json.new")  # there it would be written
        device = Device()
        asyncio.run(device.update.online())
        said = (
            "running 1.2.0 (was 1.1.0)",
            "the new key cannot be kept: the one before still holds",
        )
        assert device.said == [(owner, text) for text in said for owner in Access.owners]
        assert state() == "b" and installing.key(device.update) == KEY
        assert "cannot be written" in device.lines[-1]
        os.rmdir("update.json.new")


def test_awake_until_it_is_confirmed():
    """A deep sleep without network would be one of the boots that a new program has."""

    class Sleep:
        def __init__(self):
            self.busy = 0

    async def main(device):
        sleep = device.surfaces["sleep"] = Sleep()
        task = asyncio.create_task(device.update.run())
        await asyncio.sleep(0)
        busy = [sleep.busy]
        for device.online in (False, True, True):
            try:
                await device.update.online()
            except OSError:
                assert not device.online
            busy.append(sleep.busy)
        task.cancel()
        return busy

    with Flash():
        write("b", NEW, TEXT)
        slots.switch("b", "try", 1)
        assert asyncio.run(main(Device())) == [1, 1, 0, 0]
        assert asyncio.run(main(Device())) == [0, 0, 0, 0]


def test_a_program_that_does_not_log_in():
    async def main(device):
        await asyncio.wait_for(device.update.run(), 5)

    with Flash():
        write("b", NEW, TEXT)
        slots.switch("b", "try", 1)
        device = Device(confirm_s=0)
        asyncio.run(main(device))
        assert device.restarts == ["no login in 0 s"]
        slots.switch("b")
        device = Device(confirm_s=9)
        asyncio.run(main(device))
        assert not device.restarts


def test_after_a_restart():
    """What was under way by URL goes on with the first session; but not for ever."""

    async def boot(device):
        await device.update.online()
        if device.update._task:
            await device.update._task

    with Flash():
        kept = {"version": 1, "url": URL, "to": "other@example.org"}
        for starts in (0, 2, 3):
            with open("update.json", "w") as f:
                json.dump(dict(kept, starts=starts), f)
            device = Device()
            server = Server(answers=[lambda offset: OSError("x")] * 3)
            was = http.get
            sys.modules["uxmpp.http"] = http
            http.get = server.get
            asyncio.run(boot(device))
            http.get = was
            assert len(server.asked) == (3 if starts < 3 else 0)
            said = [("other@example.org", "update broken off: x")] if starts < 3 else []
            assert device.said == said, device.said
            assert "update.json" not in os.listdir()


def test_configuration():
    path = temporary("device.json")

    def loaded(value):
        told = {
            "jid": "a@b",
            "password": "x",
            "owners": ["c@d"],
            "pin": "ab" * 32,
            "update": value,
        }
        with open(path, "w") as f:
            json.dump(told, f)
        try:
            return config.load(path)
        except ValueError as e:
            return str(e).partition(": ")[2]

    good = loaded({"key": KEY.upper(), "confirm_s": 90})
    assert good["update"] == {"key": KEY, "confirm_s": 90}
    assert good["surfaces"] == ["chat", "update"]
    for value, why in (
        ({}, "update: key: must be a public key, 64 hex digits"),
        ({"key": 5}, "update: key: must be a public key, 64 hex digits"),
        ({"key": "g" * 64}, "update: key: must be a public key, 64 hex digits"),
        ({"key": KEY, "keys": 1}, "update: keys: no such setting"),
        ({"key": KEY, "confirm_s": 59}, "update: confirm_s: must be 60 to 86400 s"),
        ({"key": KEY, "confirm_s": True}, "update: confirm_s: must be 60 to 86400 s"),
        (True, "update: must be an object, {...}"),
    ):
        assert loaded(value) == why, loaded(value)
    os.remove(path)


def test_ranges():
    # What an answer to a request for a part may say (RFC 9110 section 14.4)
    for line, offset, total in (
        (b"Content-Range: bytes 5-9/10", 5, 10),
        (b"content-range:bytes 0-99/*", 0, None),
        (b"Content-Range: bytes */10", -1, 10),
        (b"Content-Range: bytes -5/10", -1, 10),
        (b"Content-Range: lines 5-9/10", -1, 10),
        (b"Content-Range: bytes 1234567890-2/12345678901", -1, None),
        (b"Content-Range:", -1, None),
    ):
        response = Download()
        response.header(line)
        assert (response.offset, response.total) == (offset, total), line
