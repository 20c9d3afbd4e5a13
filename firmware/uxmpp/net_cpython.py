"""What CPython does otherwise than `net`: its own ssl module, its own resolver. Not for boards."""

import asyncio
import ssl
from functools import lru_cache

from . import net


class Context:
    """As net.Context."""

    def __init__(self, ca, pin):
        if not pin and not ca:
            raise ValueError("ca or pin: one is needed, to know the server by")
        self.ctx = _context(None if pin else ca)
        self.pin = pin


@lru_cache(maxsize=16)
def _context(ca):
    # Shared: one takes more memory than the rest of a client, and there may be many
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca:
        ctx.load_verify_locations(cadata=ca)
    else:
        # Connection.start_tls() compares the pin, before anything is sent
        ctx.check_hostname = False
        ctx.verify_mode = ssl.CERT_NONE
    return ctx


async def address(host, nameserver):
    """As net.address(); open_connection() looks names up itself, IPv6 and hosts file included,
    without blocking the loop."""
    return host


class Connection(net.Connection):
    """As net.Connection."""

    async def start_tls(self, tls, domain):
        # A new reader: what came in plaintext behind <proceed/> is never read as secure
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(
                self._writer.transport, protocol, tls.ctx, server_hostname=domain
            )
        except ssl.SSLCertVerificationError as e:
            raise OSError("TLS: the certificate: " + e.verify_message) from None
        except ssl.SSLError as e:
            raise OSError("TLS: " + (e.reason or str(e))) from None
        except OSError:
            raise OSError("TLS: the connection was cut") from None
        protocol.connection_made(transport)
        self._raw = self._writer  # would close the socket if it were forgotten
        self._writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._reader = reader
        der = transport.get_extra_info("ssl_object").getpeercert(True)
        if tls.pin and net.sha256(der) != tls.pin:
            raise OSError("TLS: the certificate is not the pinned one")
        tls.der = der
        self.secure = True

    def check(self):
        pass

    async def read(self, n=4096):
        return await self._reader.read(n)

    def _error(self, e):
        return e

    def close(self):
        self._writer.transport.abort()
