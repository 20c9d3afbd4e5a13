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
        """Send Elements or bytes, in one write."""
        await self.connection.write(
            b"".join(
                [p if isinstance(p, bytes) else p.to_bytes("jabber:client") for p in elements]
            )
        )

    async def expect(self, name, xmlns):
        """The next element, which must be that one."""
        return _check(await self.read(), name, xmlns)

    async def open(self, *elements):
        """Begin a new stream; its features. `elements`: sent in the same write as
        the header."""
        self._parser = Parser()
        self._parser.max_cache = 0  # what a login says comes once
        self._read = []
        self._error = None
        # Nobody learns who we are before there is TLS
        me = " from='" + self.jid + "'" if self.connection.secure else ""
        header = (
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{}' "
            "version='1.0' to='{}'{}>"
        ).format(_STREAM, split(self.jid)[1], me)
        await self.write(header.encode(), *elements)
        await self.expect("stream", _STREAM)
        return await self.expect("features", _STREAM)

    async def login(self, tls, direct, password, plain=False, keys=None):
        """From a fresh connection to a bound session. `tls`: a net.Context; `direct`: TLS
        from the first byte; `plain`: the mechanism PLAIN is allowed; `keys`: what the last login
        returned, to be spared the work on the password. Raises AuthError too."""
        await self.secure(tls, direct)
        offered, inline = await self.features()
        mechanism = await self.choose(offered, password, plain, keys)
        await self.bound(await self.auth(mechanism, inline), mechanism)
        return mechanism.keys

    # The parts of a login, for those who put them together otherwise

    async def secure(self, tls, direct):
        """TLS, after STARTTLS if not `direct`."""
        if not direct:
            features = await self.open()
            if not features.find("starttls", _TLS):
                raise StreamError("the server offers no TLS")
            await self.write(Element("starttls", _TLS))
            await self.expect("proceed", _TLS)
            if self._read or self._error or self._parser.pending():
                raise StreamError("plaintext after <proceed/>")
        await self.connection.start_tls(tls, split(self.jid)[1])

    async def features(self, *elements):
        """The names of the mechanisms, and what SASL2 can do in the same round trip; None where
        there is only SASL. `elements`: as for open()."""
        # The features themselves are large, and gone before the next module is loaded
        features = await self.open(*elements)
        offer = features.find("authentication", _SASL2)
        inline = offer and (offer.find("inline") or offer)
        offer = offer or features.find("mechanisms", _SASL) or features
        return [c.text for c in offer.elements() if c.name == "mechanism"], inline

    async def choose(self, offered, password, plain, keys):
        """The strongest mechanism, of those that work by password."""
        # MicroPython holds on to what a coroutine returned until the next one returns
        await asyncio.sleep(0)
        from . import sasl

        name = sasl.choose(offered, plain)
        if not name:
            raise AuthError("the server only offers " + " ".join(offered))
        return sasl.client(name, split(self.jid)[0], password, keys)

    def ask(self, name, first, inline):
        """SASL2's <authenticate/> by the mechanism `name`, with its first response."""
        ask = Element("authenticate", _SASL2, {"mechanism": name})
        ask.add("initial-response", None, None, first)
        if inline.find("bind", _BIND2):
            ask.add("bind", _BIND2).add("tag", None, None, "uxmpp")
        return ask

    async def auth(self, mechanism, inline):
        """Go through SASL; what ends it."""
        from .sasl import b64

        ask = b64(mechanism.first).decode()
        if inline:
            ask = self.ask(mechanism.name, ask, inline)
        else:
            ask = Element("auth", _SASL, {"mechanism": mechanism.name}, [ask])
        while True:
            await self.write(ask)
            el = await self.read()
            if el.name != "challenge":
                return el
            for _ in mechanism.respond(a2b_base64(el.text)):
                await asyncio.sleep(0)
            ask = Element("response", el.xmlns, None, [b64(mechanism.response).decode()])

    async def bound(self, el, mechanism, sm=None):
        """From what ended SASL to a session; True if it is an earlier one, by `sm`."""
        if el.name == "failure":
            raise AuthError("login refused: " + _said(el))
        data = _check(el, "success", el.xmlns)
        if el.xmlns == _SASL2:
            data = el.find("additional-data")
        mechanism.verify(a2b_base64(data.text if data else ""))
        resumed = sm and sm.inline(el)
        if el.find("bound", _BIND2):
            self.jid = el.find("authorization-identifier").text
        elif not resumed:
            from .bind import bind

            resumed = await bind(self, el.xmlns == _SASL2, sm)
        self._parser.max_cache = Parser.max_cache
        return resumed


def _said(el):
    # A condition, and the words of the one who found it
    return " ".join([c.text or c.name for c in el.elements()])


def _check(el, name, xmlns):
    if el.name != name or el.xmlns != xmlns:
        raise StreamError("<{}> instead of <{}>".format(el.name, name))
    return el
