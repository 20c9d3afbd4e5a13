"""What takes a file that a message offers: loaded for one, and forgotten after it."""

import asyncio
import hashlib
import os
from binascii import unhexlify

from uxmpp.client import StanzaError

from .files import Incoming, amount
from .memory import forget
from .words import clean, plain

_OOB = "jabber:x:oob"
_SFS = "urn:xmpp:sfs:0"


def run(files, stanza, asker):
    """As Files.receive(), a coroutine."""
    update = files.thing.surfaces.get("update")
    try:
        offer = update and _offer(stanza)
        if offer and offer[0].lower().endswith(".uxb"):
            stanza.children = ()
            return update.offered(files, asker, offer)
    except ValueError:
        pass
    return _take(files, stanza, asker)


async def _take(files, stanza, asker):
    thing = files.thing
    try:
        name, url, size, sha, id = _offer(stanza)
        stanza.children = ()  # a transfer may take long
        entry = _entry(files, name, asker)
        name = clean(name)
    except ValueError as e:
        return str(e), False
    text = "{}: {}: ".format(entry.name, plain(name))
    try:
        box = _Box(files, entry, size, sha)
        if not url and files.lock.locked():
            raise ValueError("I am busy with another file; try again later")
        async with files.lock:
            if entry.working:
                raise ValueError("the one before is still being used; try again later")
            try:
                if url:
                    await _fetch(files, url, box)
                else:
                    await _listen(files, (asker.jid, id), box)
                # It may have been long: the role is looked up again
                _entry(files, name, asker)
                box.keep()
            finally:
                box.drop()
    except ValueError as e:
        return text + plain(str(e) or repr(e)), False
    except (OSError, MemoryError) as e:
        why = "no room in flash" if e.args[:1] == (28,) else thing.why(e)  # ENOSPC
        raise OSError("{}not received: {}".format(text, why))
    forget("uxmpp.http_get")
    forget("uxmpp.http")
    files.count += 1
    thing.log("{} by {} ({})".format(entry.name, asker.person, asker.via))
    said = "{}, {}".format(name, amount(box.size))
    entry.value = said
    entry.when = thing.clock.uptime_s()
    files.apart += 1
    entry.working = True
    try:
        result = await thing.call(thing.act_s, entry.do, box.path)
        if hasattr(result, "share"):
            result = await result.share(thing, asker)
        text = said if result is None else str(result)
    except Exception as e:
        text = thing.why(e)
        if not isinstance(e, ValueError):
            thing.fault(entry.name, e)
            text = "failed: " + text
    finally:
        entry.working = False
        files.apart -= 1
    thing.changed(entry)
    return "{}: {}".format(entry.name, plain(text)), True


def _offer(stanza):
    # (name, URL or None, size or None, SHA-256 or None, id of a bytestream). Raises ValueError
    url = stanza.find("x", _OOB)
    url = url and url.find("url")
    url = url and url.text.strip()
    body = stanza.find("body")
    name = size = sha = id = None
    el = stanza.find("file-sharing", _SFS)
    if el:
        from uxmpp.xep.sfs import parse

        try:
            told = parse(el)
        except ValueError as e:
            raise ValueError("That message is no use: {}.".format(e))
        name, size, sha, id = told["name"], told["size"], told["sha256"], told["id"]
        url = told["url"] or url
        forget("uxmpp.xep.sfs")
    elif not url:
        url = body.text.strip()
    if url:
        scheme, _, rest = url.partition("://")
        scheme = scheme.lower()
        if scheme == "aesgcm":
            raise ValueError("That file is encrypted (aesgcm). Send it without encryption.")
        if scheme != "https":
            raise ValueError("I fetch files by https only.")
        if name is None:
            rest = rest.partition("#")[0].partition("?")[0]
            name = _unquoted(rest.rpartition("/")[2])
    elif not id:
        raise ValueError("There is no address in that message to fetch the file from.")
    elif size is None:
        raise ValueError("How long the file is has to be said before.")
    return name or "", url, size, sha, id


def _unquoted(text):
    # RFC 3986 section 2.1
    first, *parts = text.encode().split(b"%")
    try:
        return (first + b"".join([unhexlify(p[:2]) + p[2:] for p in parts])).decode()
    except ValueError:  # UnicodeError, too
        return ""


def _entry(files, name, asker):
    # The Incoming that a file of that name is for. Raises ValueError
    thing = files.thing
    found = thing.registry.kind(Incoming)
    if not found:
        raise ValueError("I take no files.")
    raw = name.encode()
    for c in b'/\\:*?"<>|':
        if c in raw:
            raise ValueError('The name of that file cannot be: no path, and none of :*?"<>|.')
    seen = len(clean(name)) == len(name) and min(raw or b"\0") > 31 and 127 not in raw
    if not seen or len(name) > files.max_name or name.startswith("."):
        raise ValueError("The name of that file cannot be: one line, and no dot in front of it.")
    raw = raw.lower()
    fit = [e for e in found if raw.endswith(e.suffix.encode().lower())]
    exact = [e for e in fit if raw == (e.name + e.suffix).encode().lower()]
    most = max([len(e.suffix) for e in fit] + [0])
    fit = exact or [e for e in fit if len(e.suffix) == most]
    if len(fit) != 1:
        known = ["{}{} (*{})".format(e.name, e.suffix, e.suffix) for e in fit or found]
        raise ValueError("{}: I take {}.".format(plain(name)[:32], " or ".join(known)))
    entry = fit[0]
    if not thing.access.allows(asker.person, entry.sender):
        raise ValueError("{}: only for the role {}.".format(entry.name, entry.sender))
    return entry


class _Box:
    # What is being received: beside, as long as it is not whole. A bytestream's sink, too

    def __init__(self, files, entry, size, sha):
        self._files = files
        self._entry = entry
        self._sha = sha
        self._said = size
        self._f = None
        self._digest = hashlib.sha256()
        self.size = 0
        self.event = asyncio.Event()  # set when no more will come
        self.why = None  # because of an error
        self.path = "{}inbox/{}{}".format(files.thing.folder, entry.name, entry.suffix)
        self._limit(size)

    def _limit(self, size):
        # How many bytes it may have. Raises ValueError where `size`, if it is known, is more
        files = self._files
        folder = files.thing.folder + "inbox"
        try:
            os.mkdir(folder)
        except OSError:  # it is there
            pass
        known = [e.name + e.suffix for e in files.thing.registry.kind(Incoming)]
        for name in os.listdir(folder):
            if name not in known:  # of an earlier program
                os.remove(folder + "/" + name)
        kept = [folder + "/" + name for name in os.listdir(folder)]
        kept = sum([os.stat(path)[6] for path in kept if path != self.path])
        most = max(0, min(self._entry.max, files.max_bytes - kept))
        if size is not None and size > most:
            raise ValueError("it has {} bytes, and may have {} at most".format(size, most))
        status = os.statvfs(folder)
        free = status[1] * status[4] - files.spare_bytes
        if size is None:
            most = min(most, max(0, free))
        elif free < size:
            raise ValueError("there is room for {} in flash".format(amount(max(0, free))))
        return most

    def begin(self, size):
        """It comes now: `size` bytes, None where nobody knows. Raises ValueError, OSError."""
        said = self._said
        if None not in (size, said) and size != said:
            raise ValueError("it has {} bytes, and not {} as was said".format(size, said))
        self._said = size = said if size is None else size
        self._most = self._limit(size)
        if size is not None:
            self._most = size
        self._f = open(self._files.partial, "wb")

    def add(self, data):
        """Its next bytes. Raises ValueError for too many, OSError."""
        self.size += len(data)
        if self.size > self._most:
            raise ValueError("it has more than {} bytes".format(self._most))
        self._digest.update(data)
        self._f.write(data)

    def ended(self, whole):
        """Raises OSError where nobody can tell its end from a cut: it was not `whole`, and neither
        size nor hash was said."""
        if not (whole or self._sha or self._said is not None):
            raise OSError("the server does not say how long it is")

    def keep(self):
        """Put it in its place, where it is whole; raises ValueError, OSError."""
        if self._said not in (None, self.size):
            raise OSError("it ended after {} of {} bytes".format(self.size, self._said))
        if self._sha and self._digest.digest() != self._sha:
            raise ValueError("its hash is wrong: it is not what was sent")
        self._f.close()
        os.rename(self._files.partial, self.path)
        self._f = None

    def drop(self):
        """Leave nothing of what was not kept."""
        if self._f:
            try:
                self._f.close()
            except OSError:
                pass
            os.remove(self._files.partial)

    def write(self, data):
        """As of an ibb sink; so are end() and failed()."""
        try:
            self.add(data)
        except Exception as e:
            self.why = e
            raise StanzaError("not-acceptable", "modify")

    def end(self):
        self.event.set()

    def failed(self):
        self.why = self.why or OSError("it was broken off")
        self.event.set()


async def _fetch(files, url, box):
    from uxmpp.http import get

    response = await get(url, **files.trust)
    try:
        box.begin(response.size)
        while True:
            data = await response.read()
            if not data:
                break
            box.add(data)
        box.ended(response.whole)
    finally:
        response.close()


async def _listen(files, key, box):
    # key: (full JID, id of the bytestream)
    from uxmpp.xep.ibb import listen

    client = files.thing.client

    def accepts(jid, sid, block):
        if (jid, sid) != key or box.size or box.event.is_set():
            raise StanzaError("not-acceptable")
        return box

    box.begin(None)
    listen(client, accepts)
    try:
        size = 0
        while not box.event.is_set():
            try:
                await asyncio.wait_for(box.event.wait(), files.idle_s)
            except asyncio.TimeoutError:
                # A trickle would keep all others waiting
                if box.size - size < files.least:
                    raise OSError("it is too slow")
                size = box.size
        if box.why:
            raise box.why
    finally:
        listen(client, None)
        stream = client.streams.open.get(key)
        if stream:
            await stream.fail()
