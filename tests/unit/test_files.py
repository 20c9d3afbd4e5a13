"""Files: what is sent, to whom, what is said of it; which names are taken, and how much."""

import hashlib
import json
import os

from helper import MICROPYTHON, assert_none, raises, temporary
from thing import Thing, config, files, receiving, sending, sharing
from thing.access import ROLES, Asker
from thing.registry import Registry
from thing.zone import Zone
from uxmpp.client import StanzaError
from uxmpp.xml import Element

HEAP = "600k"
DATA = bytes([i * 7 & 255 for i in range(3000)])
URL = "https://example.org/face.raw"


class _Access:
    # Roles by the name before the @
    def rank(self, person):
        name = person.partition("@")[0]
        return ROLES.index(name) + 1 if name in ROLES else 0

    def allows(self, person, role):
        return self.rank(person) > ROLES.index(role)

    owners = ("owner@example.org", "mute@example.org")


class _Reports:
    def mutes(self, person):
        return person.startswith("mute")


class _Rooms:
    def inside(self):
        return ["garden@rooms.example"]


class Device(Thing):
    """The agent without a server."""

    zone = Zone("CET-1CEST,M3.5.0,M10.5.0/3")

    def __init__(self, folder="", **options):
        self.access = _Access()
        self.reports = _Reports()
        self.registry = Registry()
        self.folder = folder
        self.config = {"pin": "ab", "nameserver": "127.0.0.1", "files": options}
        self.surfaces = {}
        self.lines = []
        self.surfaces["files"] = files.Files(self)

    def log(self, text):
        self.lines.append(text)

    def spare(self):
        return True


def asker(name, via="chat", rest="/phone"):
    return Asker(_Access(), name + "@example.org" + rest, via)


def test_amounts():
    for size, text in ((0, "0 B"), (9999, "9999 B"), (10000, "10 KB"), (61440, "61 KB")):
        assert files.amount(size) == text


def test_sources():
    path = temporary("source")
    with open(path, "wb") as f:
        f.write(DATA)

    def pieces():
        buffer = bytearray(700)
        for i in range(0, 3000, 700):
            n = min(700, 3000 - i)
            buffer[:n] = DATA[i : i + n]
            yield memoryview(buffer)[:n]

    try:
        for given in (DATA, bytearray(DATA), memoryview(DATA), path, (3000, pieces)):
            source = sending.Source(given)
            assert source.size == 3000
            for _ in range(2):  # as often as it is tried
                assert b"".join([bytes(p) for p in source.chunks()]) == DATA
                assert source.digest == hashlib.sha256(DATA).digest()
            assert max([len(p) for p in source.chunks()]) <= 1024
        assert sending.Source(b"").size == 0 and not list(sending.Source(b"").chunks())
        # More or less than was said
        for size in (2999, 3001):
            raises(ValueError, list, sending.Source((size, pieces)).chunks())
    finally:
        os.remove(path)
    raises(OSError, sending.Source, path)


def test_trust():
    device = Device()
    assert device.surfaces["files"].trust == {
        "ca": None, "pin": "ab", "nameserver": "127.0.0.1"
    }  # fmt: skip
    device = Device(ca=b"der", max_bytes=5000)
    assert device.surfaces["files"].trust["ca"] == b"der"
    assert device.surfaces["files"].trust["pin"] is None
    assert device.surfaces["files"].max_bytes == 5000


def test_settings():
    path = temporary("device")
    for value, wrong in (
        ({}, None),
        ({"max_bytes": 5000, "pin": "AB:" * 31 + "AB"}, None),
        ({"size": 1}, "files: size: no such setting"),
        ({"max_bytes": 0}, "files: max_bytes: must be a number"),
        ({"max_bytes": True}, "files: max_bytes: must be a number"),
        ({"max_bytes": -1}, "files: max_bytes: must be a number"),
        ({"ca": 5}, "files: ca: must be a text"),
        ({"pin": "abc"}, "files: pin: must be the SHA-256 of the certificate, 64 hex digits"),
        ({"ca": "missing"}, "files: ca: ./missing cannot be read"),
        ([], "files: must be an object, {...}"),
    ):
        given = {
            "jid": "a@b", "password": "c", "owners": ["d@b"], "pin": "ef" * 32, "files": value,
            "surfaces": ["chat", "files"],
        }  # fmt: skip
        with open(path, "w") as f:
            json.dump(given, f)
        try:
            files = config.load(path)["files"]
            assert wrong is None and files.get("pin") in (None, "ab" * 32), (value, files)
        except config.ConfigError as e:
            said = str(e).replace(path[: path.rfind("/") + 1], "./")
            assert wrong and said.endswith(": " + wrong), (value, said)
        finally:
            os.remove(path)


def test_declarations():
    device = Device()
    entry = device.registry.add(files.Incoming("face", None, suffix=".raw", max=20000))
    assert entry.expected() == "a file *.raw of up to 20 KB"
    assert (entry.role, entry.sender, entry.state()) == (None, "owner", "nothing yet")
    device.file("clip", suffix=".wav", role="viewer")(len)
    assert device.registry.find("clip").do is len
    raises(ValueError, files.Incoming, "a/b", None)
    for error, options in (
        (ValueError, {"suffix": "/../b"}),
        (ValueError, {"role": "guest"}),
        (TypeError, {"size": 3}),
    ):
        raises(error, lambda options=options: files.Incoming("a", None, **options))
    # Without the surface none can come
    device.surfaces.clear()
    device.file("other")(len)
    assert not device.registry.find("other")


def message(body=None, url=None, sfs=False):
    el = Element("message", "jabber:client")
    if body is not None:
        el.add("body", None, None, body)
    if url:
        el.add("x", "jabber:x:oob").add("url", None, None, url)
    if sfs:
        el.add("file-sharing", "urn:xmpp:sfs:0")
    return el


def test_what_is_an_offer():
    offered = Device().surfaces["files"].offered
    assert_none(
        [
            None if offered(message(*what)) == told else (what, offered(message(*what)))
            for what, told in (
                ((URL, URL), URL),
                ((" {}\n".format(URL), URL), URL),
                ((None, URL), URL),
                (("look", None, True), "look"),
                ((None, None, True), "a file"),
                (("aesgcm://example.org/a#0",), "aesgcm://example.org/a#0"),
                # No more than a link
                ((URL,), None),
                (("see " + URL, URL), None),
                (("relay on",), None),
                ((), None),
            )
        ]
    )


def test_names():
    device = Device()
    for name, more in (
        ("face", {"suffix": ".raw"}),
        ("clip", {"suffix": ".wav", "role": "operator"}),
        ("bell", {"suffix": ".wav"}),
        ("note", {"suffix": ".note.txt"}),
        ("text", {"suffix": ".txt"}),
    ):
        device.file(name, **more)(None)
    surface = device.surfaces["files"]

    def entry(name, who="owner"):
        try:
            return receiving._entry(surface, name, asker(who)).name
        except ValueError as e:
            return str(e)

    for name, found in (
        ("face.raw", "face"),
        ("My Face.RAW", "face"),
        ("\u00fcber uns.raw", "face"),
        ("bell.wav", "bell"),
        ("CLIP.WAV", "clip"),
        ("a.note.txt", "note"),
        ("a.txt", "text"),
    ):
        assert entry(name) == found, (name, entry(name))
    for name in ("a.py", "raw", "some.wav", "face.raw.py"):
        assert ": I take " in entry(name), entry(name)
    for name in (
        "", ".raw", "../face.raw", "/face.raw", "a/face.raw", "a\\face.raw", "C:face.raw",
        "face\n.raw", "face\0.raw", "face\x7f.raw", "fa\u202ece.raw", "face\u200b.raw", "*.raw",
        " face.raw", "x" * 100 + ".raw",
    ):  # fmt: skip
        assert entry(name).startswith("The name of that file cannot be: "), (name, entry(name))
    assert entry("face.raw", "operator") == "face: only for the role owner."
    assert entry("clip.wav", "operator") == "clip"
    assert entry("clip.wav", "viewer") == "clip: only for the role operator."
    # The last part of an URL
    for text, name in (
        ("face.raw", "face.raw"),
        ("a%20b%C3%BC.raw", "a b\u00fc.raw"),
        ("%2e%2E%2fb", "../b"),
        ("%", ""),
        ("%4", ""),
        ("%xy", ""),
        ("%ff", ""),
    ):
        assert receiving._unquoted(text) == name, (text, receiving._unquoted(text))
    device.registry.entries.clear()
    assert entry("face.raw") == "I take no files."


def test_who_is_told():
    device = Device()
    who = sharing.who
    assert who(device, None) == [("owner@example.org", "chat")]
    assert who(device, asker("viewer")) == [("viewer@example.org/phone", "chat")]
    assert who(device, asker("viewer", "schedule", "")) == [("viewer@example.org", "chat")]
    assert who(device, asker("viewer", "forms")) == [("viewer@example.org/phone", None)]
    device.surfaces["rooms"] = _Rooms()
    garden = ("garden@rooms.example", "groupchat")
    assert who(device, None) == [("owner@example.org", "chat"), garden]
    assert who(device, garden[0]) == [garden]
    assert who(device, "a@b") == [("a@b", "chat")]
    assert who(device, asker("viewer", "room", "/shed@rooms.example/anna")) == [
        ("shed@rooms.example", "groupchat")
    ]
    device.access.owners = ("mute@example.org",)
    del device.surfaces["rooms"]
    assert who(device, None) == []


class _StatusError(OSError):
    # As uxmpp.http has it
    def __init__(self, text, status):
        super().__init__(text)
        self.status = status


def test_refusals():
    device = Device()
    surface = device.surfaces["files"]
    file = files.File("a.jpg", "b/c", b"")

    def said(e, tries=0):
        return str(raises(OSError, sharing.failed, surface, file, e, tries))

    e = StanzaError("resource-constraint", "wait", "Quota reached")
    assert said(e) == "a.jpg: cannot be sent: Quota reached"
    e.retry = "2026-12-03T23:42:05Z"
    assert said(e) == "a.jpg: cannot be sent: Quota reached; again from 2026-12-04 00:42"
    e.retry = "soon"
    assert said(e) == "a.jpg: cannot be sent: Quota reached"
    assert said(StanzaError("forbidden", "auth")) == "a.jpg: cannot be sent: forbidden"
    assert said(ValueError("redirected")) == "a.jpg: cannot be sent: redirected"
    e = _StatusError("HTTP status 404", 404)
    assert said(e) == "a.jpg: cannot be sent: HTTP status 404"
    # These are tried again
    for e in (_StatusError("HTTP status 503", 503), OSError("cut"), MemoryError("no memory")):
        for tries in (0, 1):
            sharing.failed(surface, file, e, tries)
        assert said(e, 2) == "a.jpg: {}; tried 3 times".format(e)
    assert said(OSError("cut"), None) == "a.jpg: broken off: cut"


def test_nothing_goes_out_without_the_surface():
    device = Device()
    device.surfaces.clear()
    done = []
    file = files.File("a", "b/c", b"", done=lambda: done.append(1))
    e = raises(OSError, device.share, file)
    assert "files" in str(e) and done == [1]


def boxes(folder, room):
    """What the _Box does in a folder of a file system with `room` bytes, more or less."""
    device = Device(folder, max_bytes=5000)
    surface = device.surfaces["files"]
    surface.spare_bytes = 0
    device.file("face", suffix=".raw", max=4000)(None)
    device.file("clip", suffix=".wav", max=1 << 30)(None)
    face = device.registry.find("face")
    clip = device.registry.find("clip")
    path = folder + "inbox/face.raw"

    def fill(entry, data, size=None, sha=None, keep=True):
        box = receiving._Box(surface, entry, size, sha)
        try:
            box.begin(None)
            for i in range(0, len(data), 500):
                box.add(data[i : i + 500])
            if keep:
                box.keep()
        finally:
            box.drop()
        return box

    def there():
        return sorted(os.listdir(folder + "inbox"))

    fill(face, DATA, 3000, hashlib.sha256(DATA).digest())
    with open(path, "rb") as f:
        assert f.read() == DATA
    # What is refused, or ends too early, leaves what was there
    for error, args in (
        (ValueError, (face, DATA, 4001)),
        (ValueError, (face, DATA, 2999)),
        (ValueError, (face, bytes(4500))),
        (ValueError, (face, b"x" * 3000, 3000, hashlib.sha256(DATA).digest())),
        (OSError, (face, DATA, 3001)),
        (ValueError, (clip, bytes(2001))),  # with the face more than 5000
    ):
        raises(error, fill, *args)
        assert there() == ["face.raw"], args
    fill(face, b"new", keep=False)
    assert there() == ["face.raw"] and os.stat(path)[6] == 3000
    raises(OSError, os.stat, surface.partial)
    fill(clip, bytes(2000))
    fill(face, b"new")
    assert there() == ["clip.wav", "face.raw"] and os.stat(path)[6] == 3
    # What a power cut left is gone with the next start
    with open(surface.partial, "wb") as f:
        f.write(b"half")
    files.Files(device)
    raises(OSError, os.stat, surface.partial)
    if room:
        surface.max_bytes = 1 << 30
        e = raises(ValueError, fill, clip, b"", room)
        assert str(e).startswith("there is room for ") and str(e).endswith(" in flash"), e
        # Of what was not said to be so large
        clip.max = 4000
        box = receiving._Box(surface, clip, None, None)
        clip.max = 1 << 30
        box.begin(room // 2)
        box._most = room * 2

        def flood():
            for _ in range(room // 256 + 1):
                box.add(bytes(256))
            box.keep()

        e = raises(OSError, flood)
        assert e.args[0] == 28, e  # ENOSPC
        box.drop()
        raises(OSError, os.stat, surface.partial)
        assert there() == ["clip.wav", "face.raw"]


def test_room():
    folder = temporary("box") + "/"
    os.mkdir(folder)
    try:
        boxes(folder, None)
    finally:
        for name in os.listdir(folder + "inbox"):
            os.remove(folder + "inbox/" + name)
        os.rmdir(folder + "inbox")
        os.rmdir(folder)


if MICROPYTHON:

    class _Flash:
        # A board's, of 24 blocks, in RAM
        def __init__(self):
            self._data = bytearray(24 * 4096)

        def readblocks(self, n, buffer, at=0):
            begin = n * 4096 + at
            buffer[:] = self._data[begin : begin + len(buffer)]

        def writeblocks(self, n, buffer, at=0):
            begin = n * 4096 + at
            self._data[begin : begin + len(buffer)] = buffer

        def ioctl(self, what, arg):
            if what == 4:
                return 24
            if what == 5:
                return 4096
            return 0

    def test_full_flash():
        import vfs

        flash = _Flash()
        vfs.VfsLfs2.mkfs(flash)
        vfs.mount(vfs.VfsLfs2(flash), "/flash")
        try:
            boxes("/flash/", 90000)
        finally:
            vfs.umount("/flash")
