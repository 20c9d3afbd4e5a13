"""In-Band Bytestreams (XEP-0047), as the one who receives: loaded for it."""

from binascii import a2b_base64

from ..client import StanzaError

_MAX_SID = 64
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def accept(streams, key, opening):
    """Open a stream of (full JID, sid) `key`, as <open/> asks for it. Raises StanzaError."""
    jid, sid = key
    size = opening.get("block-size") or ""
    if not sid or len(sid) > _MAX_SID or len(size) > 5 or size.encode().strip(b"0123456789"):
        raise StanzaError("bad-request", "modify")
    size = int(size or 0)
    if not 0 < size < 65536:
        raise StanzaError("bad-request", "modify")
    # The seq of a message that is lost would come to nobody's notice
    if "/" not in (jid or "") or key in streams.open or opening.get("stanza") == "message":
        raise StanzaError("not-acceptable")
    if size > streams.max_block:
        raise StanzaError("resource-constraint", "modify")
    if len(streams.others()) >= streams.max_in:
        raise StanzaError("not-acceptable", "wait")
    streams.open[key] = Stream(streams, key, size, streams.accepts(jid, sid, size))


class Stream:
    """A stream that somebody else sends."""

    def __init__(self, streams, key, block, sink):
        self.sink = sink
        self.idle = 0  # halves of idle_s in which nothing came
        self._streams = streams
        self._key = key
        self._block = block
        self._seq = 0

    async def data(self, payload):
        """Take a <data/>. Raises StanzaError, or what the sink raises; it is closed then."""
        try:
            if payload.get("seq") != str(self._seq):
                raise StanzaError("unexpected-request")
            # Both decoders pass over what is no base64
            text = payload.text
            if len(text) % 4 or text.lstrip(_BASE64) not in ("", "=", "=="):
                raise StanzaError("bad-request")
            text = a2b_base64(text)
            if len(text) > self._block:
                raise StanzaError("bad-request")
            more = self.sink.write(text)
            # The next block may come before the answer to this one
            self._seq = self._seq + 1 & 65535
            if text:
                self.idle = 0
            if more:
                await more
        except Exception as e:
            await self.fail()
            raise e

    async def fail(self):
        """Close it, broken off, unless it has ended."""
        if self._streams.open.get(self._key) is not self:
            return
        self._streams.done(self._key)
        try:
            self.sink.failed()
            await self._streams.close(self._key)
        except Exception as e:
            self._streams.client.log("ibb: " + repr(e))
