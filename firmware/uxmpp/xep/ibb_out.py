"""In-Band Bytestreams (XEP-0047), as the one who sends: loaded for it."""

import asyncio
from binascii import b2a_base64

from ..client import StanzaError
from ..xml import Element
from .ibb import XMLNS, closing

#: Blocks do not become smaller than so many bytes.
_LEAST = 256


async def send(streams, key, size, chunks, block):
    """As ibb.send()."""
    jid, sid = key
    ask = streams.client.iq
    seq = None
    try:
        while seq is None:
            opening = Element("open", XMLNS, {"block-size": block, "sid": sid, "stanza": "iq"})
            try:
                await ask("set", opening, jid)
                seq = filled = got = 0
            except StanzaError as e:
                if e.condition != "resource-constraint" or block <= _LEAST:
                    raise
                block = max(block // 2, _LEAST)
        buffer = memoryview(bytearray(block))
        for chunk in chunks():
            chunk = memoryview(chunk)
            got += len(chunk)
            if got > size:
                break
            at = 0
            while at < len(chunk):
                part = chunk[at : at + block - filled]
                buffer[filled : filled + len(part)] = part
                at += len(part)
                filled += len(part)
                last = got == size and at == len(chunk)
                if filled == block or last:
                    attrs = {"seq": seq, "sid": sid}
                    data = Element("data", XMLNS, attrs, _texts(buffer[:filled]))
                    await ask("set", data, jid, streams.block_s)
                    if streams.open.get(key, key) and not last:
                        raise OSError("closed by " + jid)
                    seq = seq + 1 & 65535
                    filled = 0
        if got != size:
            raise OSError("not {} bytes, as was said".format(size))
    except (Exception, asyncio.CancelledError) as e:
        # There is no other way to say that it is not whole: the other side knows its length
        try:
            if seq is not None or not isinstance(e, StanzaError):  # it may be open there
                await streams.close(key)
        except Exception:  # no session, or no memory
            pass
        raise e
    try:
        await ask("set", closing(sid), jid)
    except StanzaError as e:
        if e.condition != "item-not-found":  # closed there already
            raise


def _texts(data):
    # Base64, made when it is written, and in pieces: text in one piece would be in memory twice
    for i in range(0, len(data), 192):
        yield b2a_base64(data[i : i + 192])[:-1].decode()
