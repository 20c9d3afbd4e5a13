"""Stateless File Sharing (XEP-0447): what a file is (XEP-0446), its hash (XEP-0300), a small
picture of it (XEP-0264), and where it is."""

from binascii import a2b_base64, b2a_base64

from ..xml import Element

XMLNS = "urn:xmpp:sfs:0"
FILE = "urn:xmpp:file:metadata:0"
HASHES = "urn:xmpp:hashes:2"
URL = "http://jabber.org/protocol/url-data"


def element(
    name, kind, size, sha256, url=None, id=None, text=None, width=None, height=None, thumb=None
):
    """<file-sharing/> for a message. `kind`: the media type; `size` in bytes; `sha256`: 32 bytes,
    or None; `url`: where it is, or None where that will be told later, of the one with `id`;
    `text`: what it shows; `width`, `height` in pixels; `thumb`: (URI, media type, width, height)
    of a thumbnail."""
    how = "inline" if kind.startswith("image/") else "attachment"
    made = Element("file-sharing", XMLNS, {"disposition": how, "id": id})
    file = made.add("file", FILE)
    for key, value in (
        ("media-type", kind),
        ("name", name),
        ("size", size),
        ("width", width),
        ("height", height),
        ("desc", text),
    ):
        if value is not None:
            file.add(key, None, None, str(value))
    if sha256:
        digest = b2a_base64(sha256).decode().strip()
        file.add("hash", HASHES, {"algo": "sha-256"}, digest)
    if thumb:
        uri, kind, width, height = thumb
        attrs = {"uri": uri, "media-type": kind, "width": width, "height": height}
        file.add("thumbnail", "urn:xmpp:thumbs:1", attrs)
    if url:
        made.add("sources").add("url-data", URL, {"target": url})
    return made


def fallback():
    """<fallback/> for a message whose body is nothing but the URL (section 3.3, XEP-0428)."""
    made = Element("fallback", "urn:xmpp:fallback:0", {"for": XMLNS})
    made.add("body")
    return made


def parse(el):
    """What <file-sharing/> tells, as a dict: name, kind, size, sha256 (bytes), url and id, each
    None where it does not say. Raises ValueError. Who sent it chose the name: it is no path."""
    file = el.find("file", FILE)
    if not file:
        raise ValueError("no file in it")
    told = {"sha256": None, "url": None, "id": el.get("id")}
    for key, name in (("name", "name"), ("kind", "media-type"), ("size", "size")):
        value = file.find(name)
        told[key] = value and value.text.strip() or None
    size = told["size"]
    if size:
        if size.strip("0123456789") or len(size) > 15:
            raise ValueError("bad size")
        told["size"] = int(size)
    for c in file.elements():
        if c.name == "hash" and c.get("algo") == "sha-256":
            told["sha256"] = digest = a2b_base64(c.text)
            if len(digest) != 32:
                raise ValueError("bad hash")
    sources = el.find("sources")
    for c in sources.elements() if sources else ():
        if c.name == "url-data" and not told["url"]:
            told["url"] = c.get("target")
    return told
