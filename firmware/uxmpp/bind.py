"""After a login without Bind 2 (XEP-0386): resource binding (RFC 6120 section 7), and resumption
(XEP-0198 sections 3 and 5) as elements of their own. Loaded only for servers of that kind."""

from .stream import StreamError
from .xml import Element

#: The most stanzas that may come before the answer to <enable/> or <resume/>.
MAX_EARLY = 16

_STREAM = "http://etherx.jabber.org/streams"
_BIND = "urn:ietf:params:xml:ns:xmpp-bind"
_SM = "urn:xmpp:sm:3"


async def bind(stream, sasl2, sm):
    """From a login to a session; whether an earlier one was resumed. `sm`: an sm.Acks or None.
    Raises as Stream.login()."""
    # After SASL2 the stream goes on
    features = await (stream.expect("features", _STREAM) if sasl2 else stream.open())
    if sm and not features.find("sm", _SM):
        sm.told(Element("failed", _SM))
        sm = None
    if sm and sm.id:
        if await _manage(stream, sm, Element("resume", _SM, {"h": str(sm.h), "previd": sm.id})):
            return True
    ask = Element("iq", None, {"type": "set", "id": "bind"})
    resource = getattr(stream, "resource", None)
    wanted = ask.add("bind", _BIND)
    if resource:
        wanted.add("resource", None, None, resource)
    await stream.write(ask)
    el = await stream.expect("iq", "jabber:client")
    bound = el.find("bind", _BIND)
    if not bound:
        raise StreamError("no resource")
    stream.jid = bound.find("jid").text
    if sm:
        await _manage(stream, sm, Element("enable", _SM, {"resume": sm.resume}))
    return False


async def _manage(stream, sm, ask):
    await stream.write(ask)
    early = []
    while True:
        el = await stream.read()
        if el.xmlns == _SM and len(el.name) > 1:  # not <r/> or <a/>
            break
        if len(early) == MAX_EARLY:
            raise StreamError("no <enabled/>")
        early.append(el)
    resumed = sm.told(el)
    if sm.on and early:
        # What came before it is not counted by the server
        stream._read[:0] = early
        uncounted = len([el for el in early if el.xmlns == "jabber:client"])
        sm.h = (sm.h - uncounted) & 0xFFFFFFFF
    return resumed
