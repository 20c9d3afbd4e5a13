"""HTTP File Upload (XEP-0363): where files may be put, and a place for one."""

from ..client import StanzaError
from ..xml import Element

XMLNS = "urn:xmpp:http:upload:0"
DISCO = "http://jabber.org/protocol/disco#"
#: The most services of the own server that are asked what they are, and seconds for each answer.
MAX_ITEMS = 8
TIMEOUT_S = 10


async def find(client):
    """(JID of the upload service of the client's server, the most bytes of a file or None); None
    where there is none (section 3). Raises OSError when there is no session."""
    found = [client.domain]
    answer = await _asked(client, client.domain, "items")
    if answer:
        found += [c.get("jid") for c in answer.elements() if c.get("jid")]
    # As most servers call it
    found.sort(key=lambda jid: "upload" not in jid)
    for jid in found[:MAX_ITEMS]:
        answer = await _asked(client, jid, "info")
        if answer and XMLNS in [c.get("var") for c in answer.elements()]:
            return jid, _limit(answer)
    return None


async def _asked(client, jid, kind):
    try:
        answer = await client.iq("get", Element("query", DISCO + kind), jid, TIMEOUT_S)
    except StanzaError:
        return None
    except OSError:
        if not client.online:
            raise
        return None
    return answer.find("query", DISCO + kind)


def _limit(answer):
    # max-file-size of the form that is the upload's: there may be others
    for form in answer.elements():
        fields = {}
        for field in form.elements():
            value = field.find("value")
            fields[field.get("var")] = value.text if value else None
        if fields.get("FORM_TYPE") == XMLNS:
            limit = fields.get("max-file-size") or ""
            if 0 < len(limit) < 16 and not limit.strip("0123456789"):
                return int(limit)
    return None


async def slot(client, service, name, size, kind):
    """A place for the file `name` of `size` bytes and media type `kind`: (URL to put it to,
    [(header, value)] to send along, URL to get it from) (section 5). Raises StanzaError, with the
    server's text, ValueError for a place that may not be used, OSError."""
    ask = Element("request", XMLNS, {"filename": name, "size": str(size), "content-type": kind})
    answer = (await client.iq("get", ask, service)).find("slot", XMLNS)
    put = answer and answer.find("put")
    get = answer and answer.find("get")
    if not put or not get:
        raise ValueError("no upload slot in the answer")
    headers = []
    for c in put.elements():
        name = (c.get("name") or "").strip()
        if c.name == "header" and name.lower() in ("authorization", "cookie", "expires"):
            headers.append((name, c.text.replace("\r", "").replace("\n", "").strip()))
    put, get = [el.get("url") or "" for el in (put, get)]
    # Not before: memory is short while the answer comes
    from ..http import parse

    parse(put)
    parse(get)
    return put, headers, get
