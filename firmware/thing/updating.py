"""What takes an update: loaded for one, and forgotten after it.

A bundle is 8 bytes, "UXMPPUP1", the size of its manifest in 4, the manifest (see `slots`), 64
bytes of an Ed25519 signature, and the files, one after another. The manifest goes to flash first.
When its signature is right it is "manifest.new" in the other slot, and the files are written
there; those that are there already, by their hashes, are not asked for: so it goes on after a cut.
When all are there, and right when they are read again, it is renamed to "manifest", and the slots
are switched. What looks at manifests and slots is in `installing`, which is not in memory while
the bytes come.
"""

import asyncio
import gc
import hashlib
import os
from binascii import hexlify, unhexlify

import slots
from uxmpp.client import StanzaError
from uxmpp.jid import bare

from .memory import forget
from .words import plain

#: The most bytes of a manifest, which bounds the number of files, and of a bundle.
MAX_MANIFEST = 16384
MAX_BUNDLE = 1 << 20
#: Verifying a signature makes much garbage: after so many bytes it is collected.
GARBAGE = 32768
#: The manifest, until it is known to be right, and until all files are.
BESIDE = "update.new"
NEW = "manifest.new"
_ENOSPC = 28


async def fetch(update, asker, url):
    """Fetch a bundle from an URL; `asker` None: because it was begun before a restart. Whether it
    is installed; what becomes of it is told."""
    keep = call("keep", update)
    to = asker.jid if asker else keep.get("to")
    starts = 0 if asker else keep.get("starts", 0) + 1
    if starts > update.tries:  # what ends each start is not to be begun with each
        call("keep", update, None, None, None)
        return False
    if starts:
        call("keep", update, url, to, starts)
    files = update.thing.surfaces.get("files")
    bundle = Bundle(update, to)
    if files:
        await files.lock.acquire()
    try:
        await bundle.bring(_download(bundle, url, starts))
    finally:
        if files:
            files.lock.release()
    await bundle.say(bundle.text)
    call("keep", update, None, None, None)
    return bundle.installed


async def _download(bundle, url, starts):
    update = bundle.update
    config = update.thing.config
    trust = config.get("files", {})
    if "ca" not in trust and "pin" not in trust:
        trust = config
    trust = trust.get("ca"), trust.get("pin"), config.get("nameserver")
    failed = 0
    while bundle.need is not None:
        need = bundle.need
        response = why = None
        try:
            from uxmpp.http import get

            response = await get(url, *trust, offset=need)
            await bundle.read(response)
        except OSError as e:
            if e.args[:1] == (_ENOSPC,) or getattr(e, "status", 500) < 500:
                raise
            why = e
        finally:
            if response:
                response.close()
        response = get = None
        if bundle.headed and not bundle.version:
            # Neither TLS nor what makes it is in memory meanwhile. Where this waits, it keeps what
            # it waited for before; and a task that was cancelled stays until its turn
            for _ in range(2):
                await asyncio.sleep(0)
            _unload()
            await bundle.check()
            # Who comes back is told by the bare JID
            call("keep", update, url, bundle.to and bare(bundle.to), starts)
        if bundle.need is None or bundle.need > need:
            failed = 0
        elif why:
            failed += 1
            if failed >= update.tries:
                raise why
            await asyncio.sleep(update.pause_s * 2 ** (failed - 1))


def _unload():
    forget("uxmpp.http_get")
    forget("uxmpp.http")


async def take(update, files, asker, offer):
    """Take a bundle, or the rest of one, by a bytestream: (what to say of it, whether it is
    installed). `offer`: as Update.offered() has it."""
    name, _, size, _, id = offer
    if files.lock.locked():
        return "update refused: I am busy with another file; try again later", False
    bundle = Bundle(update, asker.jid)
    async with files.lock:
        await bundle.bring(_stream(bundle, files, name, size, (asker.jid, id)))
    return bundle.text, bundle.installed


async def _stream(bundle, files, name, size, key):
    at = name[:-4].rpartition("+")
    if at[1] and at[2].isdigit() and len(at[2]) < 8:
        # With the first block: who offers it may begin at once
        bundle.rest = int(at[2])
        size += bundle.rest
    bundle.sized(size)
    bundle.alone = False
    await _listen(bundle, files, key)
    async with bundle.lock:
        if bundle.at < size:
            raise OSError("it ended after {} of {} bytes".format(bundle.at, size))


async def _listen(bundle, files, key):
    # key: (full JID, id of the bytestream)
    from uxmpp.xep.ibb import listen

    client = bundle.update.thing.client

    def accepts(jid, sid, block):
        if (jid, sid) != key or bundle.size or bundle.event.is_set():
            raise StanzaError("not-acceptable")
        return bundle

    listen(client, accepts)
    try:
        size = 0
        while not bundle.event.is_set():
            try:
                await asyncio.wait_for(bundle.event.wait(), files.idle_s)
            except asyncio.TimeoutError:
                # A trickle would keep all others waiting
                if bundle.size - size < files.least:
                    raise OSError("it is too slow")
                size = bundle.size
        if bundle.why:
            raise bundle.why
    finally:
        listen(client, None)
        stream = client.streams.open.get(key)
        if stream:
            await stream.fail()


def call(name, *args):
    """Call a function of `installing`, which is forgotten at once, or when its coroutine has
    ended."""
    from . import installing

    result = getattr(installing, name)(*args)
    forget("installing")
    return result


class Bundle:
    """A bundle that comes: which, how far, into which slot, for whom. A bytestream's sink, too."""

    def __init__(self, update, to):
        self.update = update
        self.to = to
        #: Where in the bundle the next byte is that comes, and that is needed; None: no more is.
        self.at = self.need = 0
        #: How long it is said to be, or None; and by its manifest.
        self.total = None
        self.whole = 0
        #: The SHA-256 of its manifest; the signature; its version, when all that is right.
        self.sha = self.version = None
        self.head = b""
        #: Whether manifest and signature are there; whether it is installed; what to say of it.
        self.headed = self.installed = False
        self.text = ""
        #: Whether somebody else calls check(); where in it the rest begins that is sent, or None.
        self.alone = True
        self.rest = None
        #: The slot that it goes to, and the folder; which of the manifest's files are there, a
        #: byte each.
        slot, self.tries, _ = slots.state()
        self.slot = slots.other(slot)
        self.folder = slots.root() + self.slot + "/"
        self.has = b""
        # Early, as long as there is memory for what reads it
        self._key = unhexlify(call("key", update))
        self._files = self._file = self._f = self._digest = None
        self._end = self._said = 0
        # As a sink
        self.size = 0
        self.event = asyncio.Event()
        self.lock = asyncio.Lock()
        self.why = None

    async def bring(self, coro):
        """Have `coro` bring it, and install it. `text` says what became of it: of what is wrong
        nothing is left, of what only failed all that is right."""
        thing = self.update.thing
        sleep = thing.surfaces.get("sleep")
        if sleep:
            sleep.busy += 1
        self.update.bundle = self
        wrong = False
        try:
            try:
                if self.tries is not None:
                    coro.close()
                    raise ValueError(self.update.version + " has to be confirmed before")
                await coro
                coro = None
                for _ in range(2):  # as above
                    await asyncio.sleep(0)
                _unload()
                if not self.version or self.need is not None:
                    raise OSError("it ended too early")
                await call("install", self)
                self.installed = True
                text = " {}: installed, restarting in a moment".format(self.version)
            finally:
                self._close()
        except ValueError as e:
            wrong = str(e) or repr(e)
        except (OSError, MemoryError) as e:
            text = " broken off: " + thing.why(e)
            if e.args[:1] == (_ENOSPC,):
                wrong = "no room in flash"
            elif self.version:
                text += "; what has arrived is kept"
        if wrong:
            text = " refused: " + wrong
            if self.version:
                await call("clear", self)
        remove(self.folder + BESIDE)
        self.text = "update" + plain(text)
        thing.log(self.text)
        if sleep:
            sleep.busy -= 1

    async def say(self, text):
        """Tell whoever asked for it, or all owners, where there is a session."""
        thing = self.update.thing
        try:
            for to in [self.to] if self.to else thing.access.owners:
                await thing.say(to, text)
        except OSError:
            pass

    def sized(self, total, whole=None):
        """It is said to have so many bytes. Raises ValueError where that cannot be."""
        if total > MAX_BUNDLE:
            raise ValueError("it is longer than {} bytes".format(MAX_BUNDLE))
        if whole is not None and total != whole:
            raise ValueError("it has {} bytes, and its manifest says {}".format(total, whole))
        self.total = total

    async def check(self):
        """Whether it may be installed here; if so, begin with its files. Raises ValueError,
        OSError."""
        limit = hasattr(gc, "threshold")
        if limit:
            gc.threshold(GARBAGE)
        try:
            from .ed25519 import verify

            right = await verify(self._key, b"uxmpp update 1\n" + self.sha, self.head)
        finally:
            if limit:
                gc.threshold(self.update.thing.gc_threshold)
            self.head = b""
            verify = None
            await asyncio.sleep(0)
            forget("ed25519")
            forget("sha512")
        if not right:
            raise ValueError("its signature is wrong: it was changed, or signed by another key")
        await call("check", self)

    async def read(self, response):
        """Take what a server sends, as long as there is use for it. Raises OSError, ValueError."""
        self._close()
        if not self.version:
            self.head = b""
        self.at = offset = response.offset
        if response.total is not None:
            self.sized(response.total, self.whole or None)
        while True:
            data = await response.read()
            if not data:
                break
            await self.add(data)
            if self.headed and not self.version:
                return
            # Much of it is there already: it is quicker to ask anew
            if self.need and offset and self.need - self.at > self.update.gap:
                return
        if self.need is not None:
            if offset or not response.whole:
                raise OSError("the connection was cut")
            raise ValueError("it is too short")

    async def add(self, data):
        """Its next bytes. Raises ValueError for what is wrong with them, OSError."""
        while data:
            if not self.headed:
                data = self._begin(data)
                if self.headed and not self.alone:
                    await self.check()
                continue
            if not self.version:
                return
            size = len(data)
            if self.need is None:
                if self.at + size > self.whole:
                    raise ValueError("there is more of it than its manifest says")
            elif self.at < self.need:
                size = min(size, self.need - self.at)
            else:
                if not self._f:
                    self._open()
                size = min(size, self._end - self.at)
                self._f.write(data[:size])
                self._digest.update(data[:size])
            self.at += size
            data = data[size:]
            if self._f and self.at == self._end:
                self._close(False)
                if hexlify(self._digest.digest()).decode() != self._file[1]:
                    raise ValueError(self._file[2] + " is not what was signed")
                self.next()
            percent = self.at * 5 // self.whole * 20
            if self._said < percent < 100:
                self._said = percent
                await self.say("update {}: {} %".format(self.version, percent))

    def _begin(self, data):
        # Magic and size of the manifest, the manifest, the signature; returns what is left
        if self.at < 12 or self.at >= self._end:
            n = 12 - self.at if self.at < 12 else self._end + 64 - self.at
            self.head += data[:n]
            self.at += len(data[:n])
            if self.at == 12:
                size = int.from_bytes(self.head[8:], "big")
                if self.head[:8] != b"UXMPPUP1" or not size:
                    raise ValueError("it is no bundle of an update")
                if size > MAX_MANIFEST:
                    raise ValueError("its manifest is longer than {} bytes".format(MAX_MANIFEST))
                self._end = 12 + size
                self.head = b""
                self._file = (size, "", BESIDE)
                self._open()
            self.headed = self.at == self._end + 64
            return data[n:]
        n = self._end - self.at
        self._f.write(data[:n])
        self._digest.update(data[:n])
        self.at += len(data[:n])
        if self.at == self._end:
            self._close(False)
            self.sha = self._digest.digest()
        return data[n:]

    def start(self, size, make=True):
        """Begin with the files of "manifest.new", which has `size` bytes; `make`: those that are
        empty are made at once."""
        self._end = 76 + size
        self._files = enumerate(slots.files(self.slot, NEW))
        self.next(make)

    def next(self, make=True):
        """Go on to the next file that is needed: `need`. Raises OSError."""
        for i, file in self._files:
            self._file = file
            self.need = self._end
            self._end += file[0]
            if not self.has[i]:
                if file[0] or not make:
                    return
                self._open()
                self._close(False)
        self.need = None

    def _open(self):
        path = self.folder + self._file[2]
        at = len(self.folder) - 1
        while at > 0:
            try:
                os.mkdir(path[:at])
            except OSError:  # it is there, or else open() fails
                pass
            at = path.find("/", at + 1)
        self._digest = hashlib.sha256()
        self._f = open(path, "wb")

    def _close(self, partial=True):
        # What is `partial` goes
        if self._f:
            f = self._f
            self._f = None
            try:
                f.close()
            except OSError:
                if not partial:
                    raise
            if partial:
                remove(self.folder + self._file[2])

    async def write(self, data):
        """As of an ibb sink; so are end() and failed()."""
        self.size += len(data)
        try:
            async with self.lock:
                if self.rest is not None:
                    await call("resume", self)
                await self.add(data)
        except Exception as e:
            self.why = self.why or e
            raise StanzaError("not-acceptable", "modify")

    def end(self):
        self.event.set()

    def failed(self):
        self.why = self.why or OSError("it was broken off")
        self.event.set()


def remove(path):
    """Remove a file, or with a slash at its end a folder, where there is one."""
    try:
        if path.endswith("/"):
            os.rmdir(path[:-1])
        else:
            os.remove(path)
    except OSError:
        pass
