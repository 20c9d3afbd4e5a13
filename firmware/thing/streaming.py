"""What sends a File by a bytestream (XEP-0047), where it cannot be uploaded: see `sending`."""

from uxmpp.xep.ibb import send


async def run(files, file, source, to, why, load, unload):
    """Announce it to the full JID that `to` is, and send it. `why`: why there is no other way;
    `load`, `unload`: sending's. Raises OSError."""
    jid = getattr(to, "jid", to)
    id = await load("thing.sharing", "announce")(files, file, source, to, why)
    await unload()
    try:
        await send(files.thing.client, jid, id, source.size, source.chunks)
    except Exception as e:
        load("thing.sharing", "failed")(files, file, e)
