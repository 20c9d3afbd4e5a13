"""How the session of a program that ends is ended, or outlives it (XEP-0198): what is kept of it
before a board sleeps deeply, and how the next boot goes on with it. Loaded only for that."""

import asyncio

from .jid import bare

#: The most bytes of stanzas on their way that are kept; with more of them the session is given up.
MAX_BYTES = 1024


def idle(client):
    """Whether nothing is under way in a ReliableClient: no handler runs, no question is open, and
    no stanza waits, or has not been acknowledged by a server that does that."""
    return not (client._tasks or client.iqs or client.queue or client.sm.queue)


def suspend(client):
    """What is to be kept of the session of a client whose run() was cancelled: a dict of what JSON
    can hold. None where it cannot be gone on with, or some of what is on its way is kept by
    somebody else, who will send it again."""
    sm = client.sm
    try:
        sm.take(client.queue)
    except Exception:  # what cannot be sent, or there is no memory for
        return None
    queue = sm.queue
    size = sum([len(e[0]) for e in queue])
    if not sm.id or client.queue or size > MAX_BYTES or [e for e in queue if e[1]]:
        return None
    queue = [[e[0].decode(), e[2]] for e in queue]
    return {"jid": client.jid, "id": sm.id, "h": sm.h, "acked": sm.acked, "queue": queue}


def resume(client, kept):
    """Have run() begin with the session that `kept` is, of suspend(). Raises ValueError for that
    of another account."""
    if bare(kept["jid"]) != client.account:
        raise ValueError("of another account")
    sm = client.sm
    sm.queue = [(text.encode(), None, message) for text, message in kept["queue"]]
    sm.h = kept["h"]
    sm.acked = kept["acked"]
    sm.id = kept["id"]
    client.jid = kept["jid"]


async def close(client):
    """Send what waits in a ReliableClient, and end its session and stream (RFC 6120 section 4.4):
    there is nothing to resume."""
    while client.online and (client.queue or client.rest):
        await asyncio.sleep(0.01)
    # Nothing may follow, neither a question nor what comes again
    sm = client.sm
    sm.end()
    sm.on = False
    sm.queue = []
    client.rest = [b"</stream:stream>"]
    client._moved.set()
    while client.online:
        await asyncio.sleep(0.01)
