"""A session that outlives the program that began it (XEP-0198): what is kept of it before a board
sleeps deeply, and how the next boot goes on with it. Loaded only for that."""

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
