"""`ntptime`, which boards have built in: the clock by one question over the network (RFC 5905)."""

import socket
import time

import machine

host = "pool.ntp.org"
#: Seconds until an answer has to be there.
timeout = 1

_EPOCH = 2208988800  # of 1900, before that of 1970


def now():
    """Seconds since 1970, as the server `host` says. Raises OSError."""
    address = socket.getaddrinfo(host, 123)[0][-1]
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.settimeout(timeout)
        s.sendto(b"\x1b" + bytes(47), address)
        answer = s.recv(48)
    finally:
        s.close()
    return int.from_bytes(answer[40:44], "big") - _EPOCH


def settime():
    """Set the clock. Raises OSError."""
    t = time.gmtime(now())
    machine.RTC().datetime((t[0], t[1], t[2], t[6] + 1, t[3], t[4], t[5], 0))
