"""In-Band Bytestreams (XEP-0047): files within the stream, where there is no other way. Data goes
in IQ stanzas, each acknowledged before the next.

This much stays; ibb_out sends and ibb_in receives, each loaded for it and forgotten after it. A
client that listens should have XMLNS among its features.
"""

import asyncio
import gc
import sys

from ..client import StanzaError
from ..xml import Element

XMLNS = "http://jabber.org/protocol/ibb"


class Streams:
    """The open bytestreams of a client, its `streams`."""

    #: The most that others may have open at a time.
    max_in = 2
    #: The largest block that is taken, in bytes: a stanza with it, a third longer in base64, has
    #: to fit Parser.max_stanza, and memory in one piece several times.
    max_block = 1024
    #: A stream of others in which nothing came for so many seconds, or half as many more, is
    #: closed.
    idle_s = 120
    #: Seconds that the answer to a block may take. The line may be cut in between.
    block_s = 60

    #: As listen().
    accepts = None

    def __init__(self, client):
        self.client = client
        #: What is open: an ibb_in.Stream, or None for one that sends, by (full JID, sid).
        self.open = {}
        self._task = None
        client.on("set", XMLNS, self._heard)

    def _heard(self, stanza, payload):
        key = (stanza.get("from"), payload.get("sid"))
        name = payload.name
        if name == "open" and self.accepts:
            from .ibb_in import accept

            try:
                accept(self, key, payload)
                self._task = self._task or asyncio.create_task(self._watch())
            finally:
                self.done(key, False)
            return None
        if key not in self.open:
            raise StanzaError("service-unavailable" if name == "open" else "item-not-found")
        stream = self.open[key]
        if name == "close":
            self.done(key)
            return stream and stream.sink.end()
        if name != "data" or not stream:
            raise StanzaError("feature-not-implemented")
        return stream.data(payload)

    def close(self, key):
        """Tell the other side that a stream is closed, whatever it says to that: a coroutine.
        Raises OSError."""
        jid, sid = key
        attrs = {"type": "set", "id": sid, "to": jid}
        return self.client.send(Element("iq", None, attrs, [closing(sid)]))

    def done(self, key, closed=True):
        """Forget a stream where it is `closed`, and what no stream needs."""
        if closed:
            self.open.pop(key, None)
        others = self.others()
        if self._task and not others and self._task is not asyncio.current_task():
            self._task.cancel()
            self._task = None
        for name, used in (("ibb_out", None in self.open.values()), ("ibb_in", others)):
            if not used and sys.modules.pop("uxmpp.xep." + name, None):
                sys.modules["uxmpp.xep"].__dict__.pop(name, None)
                gc.collect()

    def others(self):
        """The streams that others send, as a list."""
        return [s for s in self.open.values() if s]

    async def _watch(self):
        while self.others():
            await asyncio.sleep(self.idle_s / 2)
            for stream in self.others():
                stream.idle += 1
                if stream.idle > 2:
                    await stream.fail()
        self._task = None


def closing(sid):
    """<close/>."""
    return Element("close", XMLNS, {"sid": sid})


def streams(client):
    """The Streams of a client."""
    if not hasattr(client, "streams"):
        client.streams = Streams(client)
    return client.streams


def listen(client, accepts):
    """Take bytestreams: `accepts(jid, sid, block)`, with the full JID of who wants to send and the
    size of blocks in bytes, raises StanzaError or returns a sink, an object with `write(data)`,
    which takes a block and may be a coroutine function, `end()`, called when the other side has
    closed the stream, and `failed()`, when it broke off. What they raise is the answer. IBB does
    not say how long a whole file is: the sink has to know."""
    streams(client).accepts = accepts


async def send(client, jid, sid, size, chunks, block=1024):
    """Send a file to a full JID. `sid`: a name for the stream, of letters and digits; `size`:
    bytes in all; `chunks`: a function, each call of which begins a new iterator of bytes-like
    pieces of any length, in which the same buffer may come again. `block`: bytes in a stanza at
    the most; where the other side wants smaller ones, half as many, and so on.

    Raises StanzaError for a refusal, OSError where the line, the source or the other side ended
    before the file did; ValueError for an address that cannot be."""
    mine = streams(client)
    key = (jid, sid)
    if "/" not in jid or key in mine.open:
        raise ValueError("no full JID, or a stream that is open: " + jid)
    from .ibb_out import send

    mine.open[key] = None
    try:
        await send(mine, key, size, chunks, block)
    finally:
        mine.done(key, not mine.open.get(key))  # else the other side has opened one of that name
