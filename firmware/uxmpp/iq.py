"""Questions to others (RFC 6120 section 8.2.3): loaded with the first one."""

import asyncio
import os
from binascii import hexlify

from .client import STANZAS, StanzaError
from .xml import Element


async def ask(client, kind, payload, to, timeout):
    """As Client.iq()."""
    if len(client.iqs) >= client.max_iqs:
        raise OSError("too many iqs")
    id = hexlify(os.urandom(8)).decode()
    done = asyncio.Event()
    client.iqs[id] = entry = [to, done, None]
    try:
        await client.send(Element("iq", None, {"type": kind, "id": id, "to": to}, [payload]))
        await asyncio.wait_for(done.wait(), timeout)
    except asyncio.TimeoutError:
        raise OSError("no answer from " + (to or "the server"))
    finally:
        client.iqs.pop(id)
    answer = entry[2]
    if answer is None:
        raise OSError("not online")
    if answer.get("type") == "error":
        error = answer.find("error") or answer
        text = None
        kind = "undefined-condition"
        retry = None
        for c in error.elements():
            if c.name == "retry":
                retry = c.get("stamp")
            if c.xmlns == STANZAS:
                if c.name == "text":
                    text = c.text
                else:
                    kind = c.name
        e = StanzaError(kind, error.get("type"), text)
        #: When to ask again, where the error says so (XEP-0363 section 7), as XEP-0082 has it.
        e.retry = retry
        raise e
    return answer
