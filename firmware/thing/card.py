"""Publishing of what profile.py says; loaded where there is something new."""

import gc
import hashlib
from binascii import b2a_base64, hexlify

from uxmpp.client import StanzaError
from uxmpp.xep.pubsub import publish as put
from uxmpp.xml import Element

from .nodes import prepare

#: The most bytes of a picture, and characters of the nickname and of each part of a place.
MAX_AVATAR = 8192
MAX_TEXT = 200
_AVATAR = "urn:xmpp:avatar:"
_PARTS = (
    "accuracy alt altaccuracy area bearing building country countrycode datum description error"
    " floor lat locality lon postalcode region room speed street text timestamp tzo uri"
)
_MOST = {"lat": 90, "lon": 180}


class _Data(Element):
    # The file `name` in base64, which is read when it is sent
    def _write(self, out, xmlns):
        out.append("<data xmlns='{}data'>".format(_AVATAR).encode())
        with open(self.name, "rb") as f:
            for _ in range(0, MAX_AVATAR, 384):
                out.append(b2a_base64(f.read(384))[:-1])
        out.append(b"</data>")


async def publish(thing, profile, picture, again):
    """Publish a profile; whether that went well, but for what cannot be used. `picture`: the path
    of the file; `again`: there may be an earlier profile, of which nothing is to be left. Raises
    OSError where the session ends."""

    def bad(what, e):
        thing.log("profile: {}: {}".format(what, e))

    nick = Element("nick", "http://jabber.org/protocol/nick")
    place = Element("geoloc", "http://jabber.org/protocol/geoloc")
    metadata = Element("metadata", _AVATAR + "metadata")
    items = [("current", nick), ("current", place)]
    location = profile.get("location", {})
    parts = [("nick", profile.get("nick"))] + (
        list(location.items()) if isinstance(location, dict) else [("location", location)]
    )
    for key, value in parts:
        try:
            if key == "nick":
                if value is not None:
                    nick.children.append(_text(value))
            elif key in _PARTS.split():
                if key in _MOST and not abs(float(value)) <= _MOST[key]:
                    raise ValueError("cannot be")
                place.add(key, None, None, _text(value))
            else:
                raise ValueError("is no part of a location")
        except (ValueError, TypeError) as e:
            bad(key, e)
    if "avatar" in profile:
        try:
            info = _info(picture)
            id = info["id"]
            gc.collect()
            # As a stanza, in a batch, in what is left to be sent: else the session would end
            [bytearray(int(info["bytes"]) * 4 // 3 + 800) for _ in range(3)]
            items.append((id, _Data(picture)))
            metadata.add("info", None, info)
        except (OSError, ValueError) as e:
            bad("avatar", e)
        except MemoryError:
            bad("avatar", "no memory for it")
    items.append((id if metadata.children else "current", metadata))
    good = True
    for id, el in items:
        if not el.children and not again and not isinstance(el, _Data):
            continue
        node = el.xmlns or _AVATAR + "data"
        try:
            await prepare(thing, None, node, "presence")
            await put(thing.client, None, node, el, id, "presence")
        except (StanzaError, OSError) as e:
            if not thing.client.online:
                raise OSError
            bad(node, thing.why(e))
            good = False
    return good


def _text(value):
    text = "{:.6f}".format(value) if isinstance(value, float) else str(value)
    if isinstance(value, (bool, list, dict)) or not 0 < len(text) <= MAX_TEXT:
        raise ValueError("must be a text of up to {} characters".format(MAX_TEXT))
    return text


def _info(path):
    # The attributes of <info/>
    size = 0
    sha = hashlib.sha1()
    with open(path, "rb") as f:
        head = f.read(24)
        piece = head
        while piece and size <= MAX_AVATAR:
            size += len(piece)
            sha.update(piece)
            piece = f.read(384)
    if head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
        raise ValueError("is no PNG")
    if size > MAX_AVATAR:
        raise ValueError("is larger than {} bytes".format(MAX_AVATAR))
    return {
        "id": hexlify(sha.digest()).decode(),
        "type": "image/png",
        "bytes": str(size),
        "width": str(int.from_bytes(head[16:20], "big")),
        "height": str(int.from_bytes(head[20:24], "big")),
    }
