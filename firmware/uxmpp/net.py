"""TCP connections and TLS.

TLS is always verified, against a CA or a pin; there is no way to turn that off. A pin is the
SHA-256 of the server's certificate: it stands for itself, so neither its name nor its dates are
looked at, and a board needs no clock for it.

What is said here is MicroPython's way; `net_cpython` has what CPython does otherwise.
"""

import asyncio
import hashlib
import sys
from binascii import hexlify

#: Seconds that a TCP connection may take.
TIMEOUT_S = 20


def sha256(data):
    """SHA-256 in hex."""
    return hexlify(hashlib.sha256(data).digest()).decode()


class Context:
    """What start_tls() needs. `ca`: a CA's certificate, bytes of DER; `pin`: SHA-256 of the
    server's own certificate, in lower-case hex. Raises ValueError or OSError for what is no
    certificate."""

    def __init__(self, ca, pin):
        import tls

        self.ctx = ctx = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        self.pin = pin
        #: b"" to have the server's own certificate kept here, bytes of DER, when it has come.
        self.der = None
        #: Whether the last certificate was another one than the pin says.
        self.wrong = False
        ctx.verify_callback = self._verify
        if pin:
            ctx.verify_mode = tls.CERT_OPTIONAL
        else:
            ctx.verify_mode = tls.CERT_REQUIRED
            ctx.load_verify_locations(ca)

    def _verify(self, der, depth):
        if not depth:
            der = bytes(der)
            if self.der is not None:
                self.der = der
            self.wrong = bool(self.pin) and sha256(der) != self.pin
        return not depth and self.wrong


async def connect(domain, host=None, port=None, direct=False, nameserver=None):
    """(Connection to the servers of `domain`, whether TLS starts with the first byte there). A
    configured `host` or `port` wins, with `direct` for TLS from the first byte; else it is where
    the domain's SRV records say. `nameserver`: as for resolver.ask(). Raises OSError."""
    places = ((host or domain, port or (5223 if direct else 5222), direct),)
    if not host and not port:
        from .resolver import services

        try:
            places = (await services(domain, nameserver) or places)[:4]
        except OSError:  # some home routers swallow such questions
            pass
    for host, port, direct in places:
        try:
            e = asyncio.open_connection(await address(host, nameserver), port)
            connection = Connection(*await asyncio.wait_for(e, TIMEOUT_S))
            connection.check()
            return connection, direct
        except asyncio.TimeoutError:
            e = "no answer"
        except OSError as x:
            e = x
    raise OSError("{}:{}: {}".format(host, port, e))


async def address(host, nameserver):
    """The IPv4 address of `host`. Raises OSError."""
    if host.replace(".", "").isdigit():
        return host
    from .resolver import address

    return await address(host, nameserver)


class Connection:
    """A TCP connection. At most one task reads and one writes: on MicroPython, a second writer
    over TLS loses bytes without an error."""

    #: Whether TLS was begun: from then on nothing goes out in the clear.
    secure = False
    _tls = _raw = None

    def __init__(self, reader, writer):
        self._reader = reader
        self._writer = writer

    def check(self):
        """Raise OSError where the connection was refused: MicroPython tells with the next use."""
        s = self._writer.s
        try:
            # Not every board can: what is small goes at once
            s.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY
        except OSError:
            pass
        try:
            s.recv(1)
        except OSError as e:
            if e.args[0] != 11:  # EAGAIN: an XMPP server waits for us to begin
                self.close()
                raise

    async def start_tls(self, tls, domain):
        """Speak TLS from now on; the certificate must be `domain`'s, or the pinned one. `tls`: a
        Context. Raises OSError, here or from the first write() or read()."""
        # A failed handshake forgets the socket without closing it: keep hold of it
        self._raw = self._writer.s
        self._tls = tls
        self.secure = True
        try:
            s = tls.ctx.wrap_socket(
                self._raw, server_hostname=domain, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as e:
            raise self._error(e)
        self._reader = self._writer = asyncio.StreamReader(s)

    async def write(self, data):
        """Send bytes, all of them. Raises OSError."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except (OSError, ValueError) as e:
            raise self._error(e)

    async def read(self, n=256):
        """At most `n` bytes; b"" at the end. Raises OSError."""
        try:
            # What is there already needs no round of polling, which may take a millisecond
            data = self._reader.s.read(n)
            return await self._reader.read(n) if data is None else data
        except (OSError, ValueError) as e:
            raise self._error(e)

    def _error(self, e):
        # mbedtls has negative numbers, or a ValueError with whole sentences
        tls = self._tls
        if not tls or isinstance(e, OSError) and e.args[0] > 0:
            return e
        text = str(e.args[-1]).strip()
        if tls.wrong:
            text = "the certificate is not the pinned one"
        elif e.args[0] == -30336:
            text = "not signed by the configured CA"
        elif e.args[0] in (-29312, -104, -32):  # no close_notify, ECONNRESET, EPIPE
            text = "the connection was cut"
        return OSError("TLS: " + text)

    def close(self):
        """Close the socket; the tasks that wait for it are to be cancelled before."""
        for s in (self._writer.s, self._raw):
            try:
                if s:
                    s.close()
            except OSError:
                pass


if sys.implementation.name != "micropython":
    from .net_cpython import Connection, Context, address  # noqa: F401, F811
