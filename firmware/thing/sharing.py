"""The talk about a File that is sent: who is told of it, where it may be put, what is said of it,
be it that a bytestream will follow. `sending` loads it where it needs it."""

import asyncio
import os
from binascii import hexlify

from uxmpp.client import StanzaError
from uxmpp.xml import Element

from .files import IBB, amount
from .memory import forget

_INFO = "http://jabber.org/protocol/disco#info"


def who(thing, to):
    """(JID, type of message) of all who are to be told, for the `to` of Thing.share(), as a list;
    the type is None for a form, which shows it by itself."""
    jid = getattr(to, "jid", to)
    via = getattr(to, "via", None)
    rooms = thing.surfaces.get("rooms")
    rooms = rooms.inside() if rooms else ()
    if via == "forms":
        return [(jid, None)]
    if via == "room":
        return [(jid.partition("/")[2].partition("/")[0], "groupchat")]
    if jid:
        return [(jid, "groupchat" if jid in rooms else "chat")]
    told = [(p, "chat") for p in thing.access.owners if not thing.reports.mutes(p)]
    return told + [(room, "groupchat") for room in rooms]


async def place(files, size):
    """(JID of the upload service that takes `size` bytes, None), or (None, why there is none).
    Raises OSError."""
    client = files.thing.client
    session, found = files.service
    if session != client.sessions:
        from uxmpp.xep.upload import find

        found = await find(client)
        if found:  # else there may have been no answer, for once
            files.service = (client.sessions, found)
    if not found:
        return None, "the server has no place for files (XEP-0363)"
    service, most = found
    if most is not None and size > most:
        why = "it has {}, and the server takes {} at most"
        return None, why.format(amount(size), amount(most))
    return service, None


def failed(files, file, e, tries=None):
    """Raise OSError, with a text for people, for an exception `e` that ends the transfer: a
    refusal, or what came after `tries` others. `tries` None: of a bytestream, which has one."""
    thing = files.thing
    status = getattr(e, "status", 500)
    text = getattr(e, "text", None) or thing.why(e)
    if tries is None:
        text = "broken off: " + text
    elif isinstance(e, (OSError, MemoryError)) and status > 499:
        if tries + 1 < files.tries:
            return
        text += "; tried {} times".format(files.tries)
    else:
        text = "cannot be sent: " + text
        try:
            from .clock import parse

            when = thing.zone.local(parse(e.retry))
            text += "; again from {}-{:02}-{:02} {:02}:{:02}".format(*when[:5])
        except (ValueError, TypeError, AttributeError):  # nobody says so
            pass
    raise OSError("{}: {}".format(file.name, text))


async def tell(files, file, source, url, told):
    """Say where it is to those whom who() found. Raises OSError without a session."""
    children = [Element("body", None, None, [url])] + _described(files, file, source, url)
    forget("uxmpp.xep.sfs")
    forget("uxmpp.xep.oob")
    for jid, kind in told:
        if kind:
            await _send(files, jid, kind, children)


async def announce(files, file, source, to, why):
    """Tell the full JID that `to` is of a bytestream (XEP-0047) that will bring it; returns its
    id. `why`: why there is no other way. Raises OSError where this is none."""
    jid = getattr(to, "jid", to)
    if not jid or "/" not in jid or getattr(to, "via", None) == "room":
        raise OSError("{}: {}".format(file.name, why))
    if not await _takes(files.thing.client, jid):
        raise OSError("{}: {}, and your client takes no bytestreams".format(file.name, why))
    id = hexlify(os.urandom(8)).decode()
    for _ in source.chunks():  # its hash is told before
        await asyncio.sleep(0)
    await _send(files, jid, "chat", _described(files, file, source, None, id))
    return id


def _described(files, file, source, url=None, id=None):
    # The elements that tell of it
    from uxmpp.xep.sfs import element, fallback

    thumb = file.thumb
    if thumb:
        from uxmpp.xep.bob import keep

        try:
            cid = keep(files.thing.client, thumb[0], thumb[1])
            thumb = ("cid:" + cid,) + tuple(thumb[1:])
        except ValueError as e:
            files.thing.log("files: thumbnail of {}: {}".format(file.name, e))
            thumb = None
    found = [
        element(
            file.name, file.kind, source.size, source.digest, url, id, file.text or None,
            file.width, file.height, thumb,
        )
    ]  # fmt: skip
    if url:
        from uxmpp.xep.oob import element

        found += [element(url), fallback()]
    return found


async def _takes(client, jid):
    # Whether a full JID takes bytestreams
    try:
        answer = await client.iq("get", Element("query", _INFO), jid)
    except StanzaError:
        return False
    query = answer.find("query", _INFO)
    found = [e.get("var") for e in query.elements()] if query else ()
    return answer.truncated or IBB in found


async def _send(files, to, kind, children):
    # It is there now: a session that ends is no reason not to say so
    attrs = {"to": to, "type": kind, "id": hexlify(os.urandom(6)).decode()}
    for left in range(files.tries, 0, -1):
        try:
            await files.thing.client.send(Element("message", None, attrs, children))
            break
        except OSError:
            if left == 1:
                raise
            await asyncio.sleep(files.pause_s)
