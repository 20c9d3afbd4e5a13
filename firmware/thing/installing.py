"""What looks at the manifest of an update, and at the slots: loaded before the files come, after
that, and with the first session of a new program."""

import asyncio
import hashlib
import os
import sys
from binascii import hexlify

import slots

from .store import load, save
from .updating import BESIDE, MAX_BUNDLE, NEW, Bundle, remove
from .words import plain

#: The most characters of a path.
MAX_PATH = 64
_MANIFEST = "manifest"
_KEYS = ("uxmpp", "app", "version", "board", "mpy", "key")
_CHARS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./"
_HEX = "0123456789abcdef"


def key(update):
    """The public key that the next update has to be signed by, in hex."""
    told = update.thing.config["update"]["key"]
    kept = load(update.path, update.thing.log)
    # One that came with an update holds until somebody writes another one into device.json
    return kept["key"] if kept.get("of") == told else told


def keep(update, *values):
    """What is in update.json. With `values`, the URL of what is under way, for whom, and how often
    it was begun at a start, that is written first; None: nothing is under way."""
    return _keep(update, zip(("url", "to", "starts"), values))


def _keep(update, changes):
    log = update.thing.log
    kept = load(update.path, log)
    was = dict(kept)
    for name, value in changes:
        kept.pop(name, None)
        if value is not None:
            kept[name] = value
    if kept != was:
        if kept:
            save(update.path, kept, log)
        else:
            os.remove(update.path)
    return kept


async def settle(update):
    """With the first session: confirm a new program, tell the owners, or tell them that it was
    given up; the URL of what is to go on, or None. Raises OSError without a session."""
    thing = update.thing
    slot, tried, why = slots.state()
    mine = slots.head(slot)
    theirs = slots.head(slots.other(slot)).get("version", "the other program")
    text = None
    if tried is not None:
        text = "running {} (was {})".format(mine["version"], theirs)
    elif why:
        why = "did not log in" if why == "boots" else "did not start ({})".format(why)
        text = "{} {}: {} is back".format(theirs, why, mine["version"])
    if text:
        thing.log("update: " + text)
        if why:
            update.text = text + "\n"
        await _tell(thing, plain(text))
        if tried is not None and mine.get("key", key(update)) != key(update):
            of = thing.config["update"]["key"]
            _keep(update, (("key", mine["key"]), ("of", of)))
            if mine["key"] != key(update):
                await _tell(thing, "the new key cannot be kept: the one before still holds")
        slots.switch(slot)
    return keep(update).get("url")


async def _tell(thing, text):
    for owner in thing.access.owners:
        await thing.say(owner, text)


async def state(update):
    """What `update` answers: which version runs, and what is in the other slot."""
    slot, tried, _ = slots.state()
    mine = slots.head(slot)
    text = "running {} of {} on {}, slot {}{}\n".format(
        mine["version"],
        mine["app"],
        mine.get("board"),
        slot,
        "" if tried is None else ", on trial",
    )
    bundle = update.bundle
    if bundle:
        if bundle is update or not bundle.version:
            return text + "an update begins"
        told = "{}{} is being received: {} of {} bytes"
        return told.format(text, bundle.version, bundle.at, bundle.whole)
    other = slots.other(slot)
    bundle = Bundle(update, None)
    try:
        version = await _known(bundle)
        return "{}{} is on its way: {} of {} bytes, resume {} {}".format(
            text, version, bundle.need, bundle.whole, hexlify(bundle.sha).decode(), bundle.need
        )
    except (OSError, ValueError):  # there is none
        theirs = slots.head(other).get("version")
        text += update.text
        return text + "the other slot " + ("has " + theirs if theirs else "is empty")


async def check(bundle):
    """Whether the manifest may be installed here. If so it is in the slot then, and what it does
    not speak of is gone. Raises ValueError, OSError."""
    look = _Look(bundle, BESIDE)
    version = look.manifest()
    if bundle.total is not None:
        bundle.sized(bundle.total, bundle.whole)
    await look.merge()
    look.room()
    if not _there(slots.root() + "slot"):
        slots.switch(slots.state()[0])  # from now on it is not to be guessed from what is there
    remove(bundle.folder + _MANIFEST)
    os.rename(bundle.folder + BESIDE, bundle.folder + NEW)
    await look.start(version)


async def _known(bundle):
    # The version of what is in flash, up to `bundle.need`. Raises OSError where there is nothing
    digest = hashlib.sha256()
    with open(bundle.folder + NEW, "rb") as f:
        size = _read(f, digest)
    bundle.sha = digest.digest()
    look = _Look(bundle, NEW)
    version = look.manifest()
    await look.merge()
    bundle.start(size, False)
    return version


async def resume(bundle):
    """Go on with what is in flash, which is needed from `bundle.rest` on. Raises ValueError,
    OSError."""
    try:
        version = await _known(bundle)
    except OSError:
        raise ValueError("there is nothing here that could go on")
    if bundle.need != bundle.rest:
        raise ValueError("it has to go on at {}".format(bundle.need))
    bundle.sized(bundle.total, bundle.whole)
    bundle.rest = None
    look = _Look(bundle, NEW)
    await look.merge()
    look.room()
    bundle.headed = True
    await look.start(version)
    bundle.at = bundle.need


async def install(bundle):
    """Look at all files again, and have them run from the next boot on. Raises ValueError,
    OSError."""
    for size, sha, path in slots.files(bundle.slot, NEW):
        if not await _right(bundle.folder + path, size, sha):
            raise ValueError(path + " is in flash, but wrong")
    os.rename(bundle.folder + NEW, bundle.folder + _MANIFEST)
    slots.switch(bundle.slot, "try", 0)


async def clear(bundle):
    """Leave nothing in the slot."""
    for path in _walk(bundle.folder, "", True):
        await asyncio.sleep(0)
        if path:
            remove(bundle.folder + path)


class _Look:
    # A look at a manifest and its slot

    def __init__(self, bundle, name):
        self._bundle = bundle
        self._name = name

    def manifest(self):
        """The version; looks at all that the signature does not say. Raises ValueError."""
        bundle = self._bundle
        told = {}
        at = n = 0
        path = bundle.folder + self._name
        whole = 76 + os.stat(path)[6]
        last = ""
        with open(path) as f:
            while True:
                try:
                    line = f.readline(slots.MAX_LINE)
                except UnicodeError:
                    line = "?"
                if not line:
                    break
                word, _, value = line[:-1].partition(" ")
                if line[-1] == "\n" and at < 6 and word == _KEYS[at] and value:
                    told[word] = value
                    at += 1
                    continue
                n += 1
                parts = value.split(" ")
                if (
                    line[-1] != "\n"
                    or at < 5
                    or word != "file"
                    or len(parts) != 3
                    or not parts[0].isdigit()
                    or len(parts[0]) > 7
                    or not _hex(parts[1])
                    or not last < parts[2]
                    or not _path(parts[2])
                ):
                    raise ValueError("its manifest cannot be used: " + line[:64].strip())
                at = 6
                last = parts[2]
                whole += int(parts[0])
        update = bundle.update
        mine = slots.head(slots.state()[0])
        if not n or told["uxmpp"] != "1" or not _hex(told.get("key", key(update))):
            raise ValueError("its manifest cannot be used")
        for name in ("board", "app"):
            if told[name] != mine.get(name):
                text = "it is for the {} {}, and this is {}"
                raise ValueError(text.format(name, told[name], mine.get(name)))
        version = told["version"]
        if slots.number(version) <= slots.number(mine["version"]):
            raise ValueError("{} is not newer than {}".format(version, mine["version"]))
        mpy = getattr(sys.implementation, "_mpy", None)
        if mpy is not None and told["mpy"] != str(mpy & 255):
            text = "its bytecode is of version {}, and this MicroPython loads {}"
            raise ValueError(text.format(told["mpy"], mpy & 255))
        if whole > MAX_BUNDLE:
            raise ValueError("it is longer than {} bytes".format(MAX_BUNDLE))
        bundle.whole = whole
        bundle.has = bytearray(n)
        return version

    async def merge(self, clean=False):
        """Compare what is in the slot with the manifest: which files are there and right, and how
        many blocks of flash more are needed. With `clean`, after that, the others are removed."""
        bundle = self._bundle
        folder = bundle.folder
        size = os.statvfs(folder)[0]
        blocks = i = 0
        made = ""
        old = _walk(folder, "", False)
        name = next(old)
        for n, sha, path in slots.files(bundle.slot, self._name):
            await asyncio.sleep(0)
            while name and name <= path:
                if name == path and not clean:
                    bundle.has[i] = await _right(folder + name, n, sha)
                if name != path or not bundle.has[i]:
                    blocks -= _blocks(os.stat(folder + name)[6], size)
                    if clean:
                        remove(folder + name)
                name = next(old)
            if not bundle.has[i]:
                blocks += _blocks(n, size)
                beside = path.rpartition("/")[0]
                if beside != made:
                    made = beside
                    blocks += 0 if _there(folder + beside) else 2
            i += 1
        while name:
            await asyncio.sleep(0)
            blocks -= _blocks(os.stat(folder + name)[6], size)
            if clean:
                remove(folder + name)
            name = next(old)
        self._needs = blocks

    def room(self):
        """After merge(): raises ValueError where flash is too full."""
        bundle = self._bundle
        status = os.statvfs(bundle.folder)
        free = status[4]
        for path in _walk(slots.root(), "", True):
            if path and path.endswith("/"):
                free += 2  # littlefs counts the two blocks of each folder twice
        free = status[1] * free - bundle.update.spare_bytes
        if free < self._needs * status[0]:
            text = "there is room for {} bytes in flash, and it needs {}"
            raise ValueError(text.format(max(0, free), self._needs * status[0]))

    async def start(self, version):
        """Begin with what is needed. Raises OSError."""
        bundle = self._bundle
        self._name = NEW
        await self.merge(True)
        bundle.version = version
        bundle.start(os.stat(bundle.folder + NEW)[6])


def _hex(text):
    return len(text) == 64 and not text.strip(_HEX)


def _path(path):
    # Whether it stays within the slot, and is none of the manifests
    for c in path.encode():
        if c not in _CHARS:
            return False
    for part in path.split("/"):
        if not part or part.startswith("."):
            return False
    return len(path) <= MAX_PATH and path not in (_MANIFEST, NEW, BESIDE)


def _blocks(size, block):
    # As littlefs needs them, with what it notes in each
    return (size + block - 9) // (block - 8)


def _there(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False


def _read(f, digest):
    # How many bytes there are
    buffer = memoryview(bytearray(512))
    size = 0
    while True:
        n = f.readinto(buffer)
        if not n:
            return size
        digest.update(buffer[:n])
        size += n


async def _right(path, size, sha):
    # Whether a file is what the manifest says
    digest = hashlib.sha256()
    try:
        if os.stat(path)[6] != size:
            return False
        with open(path, "rb") as f:
            _read(f, digest)
    except OSError:
        return False
    await asyncio.sleep(0)
    return hexlify(digest.digest()).decode() == sha


def _walk(folder, below, all):
    # The paths of all files, in order, then None; with `all` the manifests, and folders after what
    # is in them
    names = []
    for name in os.listdir(folder + below[:-1]):
        if os.stat(folder + below + name)[0] & 0x4000:
            name += "/"
        names.append(name)
    names.sort()
    for name in names:
        if name.endswith("/"):
            for path in _walk(folder, below + name, all):
                if path:
                    yield path
            if all:
                yield below + name
        elif all or below + name not in (_MANIFEST, NEW, BESIDE):
            yield below + name
    yield None
