"""The time from an NTP server (SNTP, RFC 4330), without blocking the loop. Loaded where a board
does not know the time."""

import asyncio
import os
import socket

from uxmpp.net import address

from .clock import EARLIEST

SERVER = "pool.ntp.org"
#: Seconds to wait for an answer, and how often to ask.
TIMEOUT_S = 3
TRIES = 2
# Unix time of NTP's own beginning; what seems to lie in its first half is after 2036
_ERA = -2208988800


async def ask(server=SERVER, nameserver=None):
    """The time as Unix time. `server`: "host" or "host:port". Raises OSError when no answer
    comes, or none that tells the time."""
    host, _, port = server.partition(":")
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    e = "no answer"
    try:
        s.setblocking(False)
        # A connected socket takes answers from that server alone
        where = await address(host, nameserver)
        s.connect(socket.getaddrinfo(where, int(port or 123))[0][-1])
        for _ in range(TRIES):
            # Version 4, client; the answer repeats the eight bytes at the end
            cookie = os.urandom(8)
            s.send(b"\x23" + bytes(39) + cookie)
            for _ in range(TIMEOUT_S * 50):
                await asyncio.sleep(0.02)
                try:
                    data = s.recv(64)
                except OSError:  # nothing yet, or nobody there
                    continue
                if len(data) < 48 or data[24:32] != cookie or data[0] & 7 != 4:
                    continue
                now = int.from_bytes(data[40:44], "big") + _ERA
                if not data[40] & 128:
                    now += 1 << 32
                if 0 < data[1] < 16 and data[0] < 192 and any(data[40:48]) and now >= EARLIEST:
                    return now
                e = "the server does not know the time"
    except (OSError, ValueError) as x:
        e = x
    finally:
        s.close()
    raise OSError("NTP: {}: {}".format(host, e))
