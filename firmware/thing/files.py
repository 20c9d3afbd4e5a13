"""Files: what the device sends, and what people send to it (XEP-0363, XEP-0447, XEP-0047). What
moves them, `sending` and `receiving`, is loaded with a transfer and forgotten after it.

    "files": {"ca": "web.der", "max_bytes": 65536}

`ca` or `pin`: how the servers are known that files are uploaded to and fetched from, without them
as the XMPP server is; `max_bytes`: how much may be kept of what was received, all in all.
"""

import asyncio
import os

from .access import ROLES
from .memory import forget
from .registry import Entry

_OOB = "jabber:x:oob"
_SFS = "urn:xmpp:sfs:0"
IBB = "http://jabber.org/protocol/ibb"


class File:
    """What a command may return, and Thing.share() sends. `name`: what it is called, "photo.jpg";
    `kind`: its media type; `source`: bytes or another buffer, the path of a file, or (size in
    bytes, a function, each call of which begins a new iterator of pieces of up to 1,024 bytes, in
    which the same buffer may come again); `text`: a caption; `width`, `height`: of a picture, in
    pixels; `thumb`: a small one, (bytes, media type, width, height); `done`: a function without
    arguments, called when the source is not needed any more, however that ended."""

    def __init__(
        self, name, kind, source, text="", width=None, height=None, thumb=None, done=None
    ):
        self.name = name
        self.kind = kind
        self.source = source
        self.text = text
        self.width = width
        self.height = height
        self.thumb = thumb
        self.done = done

    def share(self, thing, asker=None):
        """As Thing.share(); called for what a command returns."""
        return thing.share(self, asker)


class Incoming(Entry):
    """A file that may be sent to the device. `do`: a function or coroutine function of the path
    where it is, called when it is there and whole; what it returns, unless None, is the answer.
    `suffix`: how its name ends, ".raw"; `max`: the most bytes; `role`: who may send it. Raises
    ValueError."""

    suffix = ""
    max = 65536
    nothing = "nothing yet"
    working = False  # its function runs

    def __init__(self, name, do, role="owner", **options):
        super().__init__(name, options)
        if "/" in name or "/" in self.suffix or role not in ROLES:
            raise ValueError(name + ": must be a name without /, and a role")
        self.do = do
        # Not its `role`: there is nothing to set or do
        self.sender = role

    def expected(self):
        """What may be sent, for people: "a file *.raw of up to 20 KB"."""
        return "a file *{} of up to {}".format(self.suffix, amount(self.max))


class Files:
    """As a surface of Thing. There is one transfer at a time. One that breaks off, or that the
    server fails at, is tried again from the start; a refusal is final."""

    features = (_OOB, _SFS, IBB, "urn:xmpp:bob")
    #: The most transfers that wait for their turn; who comes then is to come again.
    max_waiting = 2
    #: How often a file is tried to be sent, and seconds before the second try; they double.
    tries = 3
    pause_s = 2
    #: The most bytes of all that was received; and what is left free in flash at least.
    max_bytes = 262144
    spare_bytes = 16384
    #: A bytestream has to bring so many bytes in so many seconds.
    least = 512
    idle_s = 30
    #: The most characters of a file's name.
    max_name = 100

    def __init__(self, thing):
        self.thing = thing
        config = thing.config
        options = config.get("files", {})
        self.max_bytes = options.get("max_bytes", self.max_bytes)
        if "ca" not in options and "pin" not in options:
            options = config
        #: How a server is known, for uxmpp.http.
        self.trust = {name: options.get(name) for name in ("ca", "pin")}
        self.trust["nameserver"] = config.get("nameserver")
        #: The session, and what its server has for uploads.
        self.service = (None, None)
        #: How many were sent or received, and how many could not be.
        self.count = self.failed = 0
        #: Held by the transfer that goes on.
        self.lock = asyncio.Lock()
        #: How many of those that were received are being used.
        self.apart = 0
        self._busy = 0
        #: Where what comes is written, until it is whole.
        self.partial = thing.folder + "inbox.new"
        try:
            os.remove(self.partial)
        except OSError:  # there is none, as there should be
            pass

    async def share(self, file, to=None):
        """As Thing.share()."""
        try:
            return await self._loaded("sending")(self, file, to)
        except Exception as e:
            self.failed += 1
            text = self.thing.why(e)
            if not text.startswith(file.name):
                text = "{}: {}".format(file.name, text)
                e = OSError(text)
            self.thing.log("files: " + text)
            raise e
        finally:
            try:
                if file.done:
                    file.done()
            except Exception as e:  # whether it was sent is another matter
                self.thing.fault(file.name, e)
            finally:
                self._unload()

    def offered(self, stanza):
        """What the message `stanza` offers for download, as it may be repeated; None for no
        file."""
        body = stanza.find("body")
        body = body.text.strip() if body else ""
        x = stanza.find("x", _OOB)
        url = x and x.find("url")
        url = url and url.text.strip()
        # What some encrypt (XEP-0454) comes without anything beside it
        if stanza.find("file-sharing", _SFS) or body[:7] == "aesgcm:" or url and body in ("", url):
            return body or url or "a file"
        return None

    async def receive(self, stanza, asker):
        """Take the file that a message offers: (what to say, whether it had an effect)."""
        try:
            return await self._loaded("receiving")(self, stanza, asker)
        except Exception as e:
            self.failed += 1
            text = str(e) or repr(e)
            self.thing.log("files: " + text)
            return text, False
        finally:
            self._unload()

    def _loaded(self, name):
        # The function run() of a module, until _unload()
        self._busy += 1
        if self._busy - self.apart > self.max_waiting + 1:
            raise OSError("busy with other files; try again later")
        if not self.thing.spare():
            raise OSError("no memory for files now; try again later")
        return __import__("thing." + name, None, None, (name,)).run

    def _unload(self):
        self._busy -= 1
        if self._busy:
            return
        client = self.thing.client
        streams = getattr(client, "streams", None)
        if streams and not streams.open and not streams.accepts:
            client.on("set", IBB, None)
            del client.streams
            forget("uxmpp.xep.ibb")
        for name in ("http_get", "http", "xep.upload", "xep.oob", "xep.sfs"):
            forget("uxmpp." + name)
        for name in ("sharing", "streaming", "sending", "receiving"):
            forget(name)


def amount(size):
    """A number of bytes as people read it: "61 KB"."""
    return "{} KB".format((size + 500) // 1000) if size >= 10000 else "{} B".format(size)
