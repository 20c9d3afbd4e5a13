"""From a connection to a session (RFC 6120): stream, STARTTLS, SASL and bind; SASL2 with Bind 2
(XEP-0388, XEP-0386) where the server has them."""

import asyncio
from binascii import a2b_base64

from .jid import split
from .xml import Element, Parser, XMLError

try:
    from micropython import const
except ImportError:

    def const(x):
        return x


_STREAM = const("http://etherx.jabber.org/streams")
_TLS = const("urn:ietf:params:xml:ns:xmpp-tls")
_SASL = const("urn:ietf:params:xml:ns:xmpp-sasl")
_SASL2 = const("urn:xmpp:sasl:2")
_BIND = const("urn:ietf:params:xml:ns:xmpp-bind")
_BIND2 = const("urn:xmpp:bind:0")


class StreamError(Exception):
    """The stream cannot go on: what the server said, or what it should not have said."""


class AuthError(StreamError):
    """The server does not let us in."""


class Stream:
    """An XMPP stream over `connection`, for the account `jid`. After login() it reads and writes
    stanzas, and `jid` is the full JID that the server gave. All raise OSError when the line is
    cut, XMLError and StreamError when the other side does not keep to the rules."""

    def __init__(self, connection, jid):
        self.jid = jid
        self.connection = connection
        self._read = []

    async def read(self):
        """The next stanza."""
        while not self._read:
            if self._error:
                raise self._error
            data = await self.connection.read()
            if not data:
                raise OSError("the connection was cut")
            # A generator that waits would keep its last stanza from being freed
            try:
                for el in self._parser.feed(data):
                    self._read.append(el)
            except XMLError as e:
                self._error = e
        el = self._read.pop(0)
        if not el:
            raise OSError("the server closed the stream")
        if el.name == "error" and el.xmlns == _STREAM:
            raise StreamError("stream error: " + _said(el))
        return el

    async def write(self, *elements):
        """Send elements, in one write."""
        await self.connection.write(b"".join([el.to_bytes("jabber:client") for el in elements]))

    async def _expect(self, name, xmlns):
        return _check(await self.read(), name, xmlns)

    async def _open(self):
        # A new stream, and with it a new parser; returns its features
        self._parser = Parser()
        self._parser.max_cache = 0  # what a login says comes once
        self._read = []
        self._error = None
        # Nobody learns who we are before there is TLS
        me = " from='" + self.jid + "'" if self.connection.secure else ""
        await self.connection.write(
            (
                "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{}' "
                "version='1.0' to='{}'{}>"
            )
            .format(_STREAM, split(self.jid)[1], me)
            .encode()
        )
        await self._expect("stream", _STREAM)
        return await self._expect("features", _STREAM)

    async def _offers(self):
        # (namespace of SASL, whether it binds too, the mechanisms). The features themselves are
        # large, and gone before the next module is loaded.
        features = await self._open()
        offer = features.find("authentication", _SASL2)
        xmlns = _SASL2 if offer else _SASL
        inline = offer and offer.find("inline")
        offer = offer or features.find("mechanisms", _SASL)
        names = [c.text for c in offer.elements() if c.name == "mechanism"] if offer else ()
        return xmlns, inline and bool(inline.find("bind", _BIND2)), names

    async def login(self, tls, direct, password, plain=False, keys=None):
        """From a fresh connection to a bound session. `tls`: a net.Context; `direct`: TLS
        from the first byte; `plain`: the mechanism PLAIN is allowed; `keys`: what the last login
        returned, to be spared the work on the password. Raises AuthError too."""
        user, domain, _ = split(self.jid)
        if not direct:
            features = await self._open()
            if not features.find("starttls", _TLS):
                raise StreamError("the server offers no TLS")
            await self.write(Element("starttls", _TLS))
            await self._expect("proceed", _TLS)
            if self._read or self._error or self._parser.pending():
                raise StreamError("plaintext after <proceed/>")
        await self.connection.start_tls(tls, domain)
        xmlns, bind2, offered = await self._offers()
        # MicroPython holds on to what a coroutine returned until the next one returns
        await asyncio.sleep(0)
        from . import sasl

        name = sasl.choose(offered, plain)
        if not name:
            raise AuthError("the server only offers " + " ".join(offered))
        mechanism = sasl.client(name, user, password, keys)
        first = sasl.b64(mechanism.first).decode()
        if xmlns == _SASL2:
            ask = Element("authenticate", xmlns, {"mechanism": name})
            ask.add("initial-response", None, None, first)
            if bind2:
                ask.add("bind", _BIND2).add("tag", None, None, "uxmpp")
        else:
            ask = Element("auth", xmlns, {"mechanism": name}, [first])
        while True:
            await self.write(ask)
            el = await self.read()
            if el.name != "challenge" or el.xmlns != xmlns:
                break
            for _ in mechanism.respond(a2b_base64(el.text)):
                await asyncio.sleep(0)
            text = sasl.b64(mechanism.response).decode()
            ask = Element("response", xmlns, None, [text])
        if el.name == "failure":
            raise AuthError("login refused: " + _said(el))
        _check(el, "success", xmlns)
        data = el.find("additional-data") if xmlns == _SASL2 else el
        mechanism.verify(a2b_base64(data.text if data else ""))
        bound = el.find("bound", _BIND2)
        if bound:
            self.jid = el.find("authorization-identifier").text
        else:
            if xmlns == _SASL2:
                await self._expect("features", _STREAM)
            else:
                await self._open()
            ask = Element("iq", None, {"type": "set", "id": "bind"})
            ask.add("bind", _BIND)
            await self.write(ask)
            el = await self._expect("iq", "jabber:client")
            bound = el.find("bind", _BIND)
            if not bound:
                raise StreamError("no resource")
            self.jid = bound.find("jid").text
        self._parser.max_cache = Parser.max_cache
        return mechanism.keys


def _said(el):
    # A condition, and the words of the one who found it
    return " ".join([c.text or c.name for c in el.elements()])


def _check(el, name, xmlns):
    if el.name != name or el.xmlns != xmlns:
        raise StreamError("<{}> instead of <{}>".format(el.name, name))
    return el
