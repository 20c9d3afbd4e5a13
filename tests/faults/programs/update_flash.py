"""What the programs about updates share: a board's flash with two slots, programs that tell their
version, bundles that are signed, and a device without a server."""
# ruff: noqa: PTH102, PTH123, PTH208, UP032 - MicroPython has no pathlib

import asyncio
import builtins
import os
import sys
from binascii import hexlify

import bundles
import vfs
from thing import Thing, installing, update, updating
from thing.access import Asker
from thing.clock import Clock
from uxmpp import http

GEOMETRY = {"readsize": 32, "progsize": 32, "lookahead": 32}
SIZE = 4096
BLOCKS = 48
SEED = b"the owner's key, 32 bytes of it."
OTHER = b"another key, of 32 bytes as well"
URL = "https://files.example/app.uxb"
PATH = list(sys.path)
# There is memory for all of it here, and what stands in for http has to stay
for module in (installing, update, updating):
    module.forget = lambda name: None


def program(version, source="import sys\nsys.argv[0] = {!r}\n"):
    """The files of a program that tells its version in sys.argv[0] when it runs."""
    big = sum([int(part) * 37 for part in version.split(".")])
    return {
        "app.py": source.format(version).encode(),
        "thing/one.mpy": bytes([i * big & 255 for i in range(1500 + big)]),
        "thing/same.mpy": b"same " * 400,
        "uxmpp/two.mpy": version.encode() * 90,
        "uxmpp/xep/three-{}.mpy".format(version): b"",
    }


def bundle_of(files, version, seed=SEED, key=None):
    """The signed bundle of a program."""
    return bundles.bundle(bundles.manifest(files, version, key=key), files, seed)


class Reset(Exception):  # noqa: N818 - it is no error
    """The board restarts."""


class Machine:
    """In the place of `machine`."""

    @staticmethod
    def reset():
        raise Reset


sys.modules["machine"] = Machine


async def offline(*args, **more):
    """In the place of http.get while nothing is served."""
    raise OSError("no server")


http.get = offline


class Access:
    owners = ("owner@example.org",)

    def rank(self, person):
        return 3

    def allows(self, person, role):
        return True


class Files:
    def __init__(self):
        self.lock = asyncio.Lock()


OWNER = Asker(Access(), "owner@example.org/phone", "chat")


class Device(Thing):
    """The agent without a server."""

    def __init__(self):
        self.access = Access()
        self.folder = ""
        self.config = {"update": {"key": hexlify(bundles.public(SEED)).decode()}, "pin": "ab"}
        self.lines = []
        self.said = []
        self.clock = Clock()
        self.surfaces = {}
        self.restarts = 0
        self.update = self.surfaces["update"] = update.Update(self)
        self.update.pause_s = self.update.settle_s = 0
        self.update.spare_bytes = 0

    def log(self, text):
        self.lines.append(text)

    def spare(self):
        return True

    async def say(self, to, text):
        self.said.append(text)

    def fault(self, name, e):
        raise e

    def restart(self, why):
        self.restarts += 1


class Served:
    """A server's answer, cut after `cut` bytes of the whole."""

    def __init__(self, data, offset, cut=None):
        self.offset = offset
        self.total = len(data)
        self.whole = True
        self._data = memoryview(data)[offset:cut]
        self._cut = cut

    async def read(self):
        data = bytes(self._data[:512])
        self._data = self._data[512:]
        if not data and self._cut:
            raise OSError("the connection was cut")
        return data

    def close(self):
        pass


def fetch(device, data, cut=None):
    """Have a device fetch a bundle; the first connection for its files is cut. What it said
    last."""
    cuts = [None, cut]

    async def get(url, ca, pin, nameserver, offset=0):
        return Served(data, offset, cuts.pop(0) if cuts else None)

    async def main():
        await device.update.word(OWNER, URL)
        await device.update._task

    http.get = get
    asyncio.run(main())
    http.get = offline
    return device.said[-1]


def stream(device, data):
    """Send a device a bundle by a bytestream; what it said."""

    async def listen(sink, files, key):
        for i in range(0, len(data), 512):
            await sink.write(data[i : i + 512])

    async def main():
        offer = "x.uxb", None, len(data), None, "sid"
        updating._listen = listen
        text, _ = await device.update.offered(Files(), OWNER, offer)
        if device.update._task:
            await device.update._task
        return text

    return asyncio.run(main())


def session(device):
    """A login; what the device said."""

    async def main():
        await device.update.online()
        if device.update._task:
            await device.update._task

    asyncio.run(main())
    return device.said


def boot(firmware):
    """Run boot.py and main.py of the firmware until a program runs: its version, or None."""
    said = builtins.print
    builtins.print = lambda *words: None
    try:
        while True:
            sys.path[:] = PATH
            sys.argv[0] = None
            sys.modules.pop("app", None)
            try:
                for name in ("boot.py", "main.py"):
                    with open(firmware + "/" + name) as f:
                        exec(f.read(), {"__name__": "__main__"})
                return sys.argv[0]
            except Reset:
                pass
    finally:
        builtins.print = said


def write(folder, files, text):
    """A slot with these files, in the working folder."""
    made = []
    for path, data in list(files.items()) + [("manifest", text)]:
        path = folder + "/" + path
        at = path.find("/")
        while at > 0:
            if path[:at] not in made:
                os.mkdir(path[:at])
                made.append(path[:at])
            at = path.find("/", at + 1)
        with open(path, "wb") as f:
            f.write(data)


def read(path):
    """The bytes of a file, None where there is none."""
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return None


def mount(flash):
    """Have a flash be the working folder."""
    vfs.mount(vfs.VfsLfs2(flash, **GEOMETRY), "/flash")
    os.chdir("/flash")


def unmount():
    """The opposite."""
    os.chdir("/")
    vfs.umount("/flash")
