"""Name resolution over non-blocking UDP: the system's own would block the loop on a board, without
end where the network is half there. Loaded only where a name has to be resolved."""

import asyncio
import os
import random
import socket

from . import dns

#: Seconds to wait for a DNS server's answer, and how often to ask.
TIMEOUT_S = 3
TRIES = 3
#: The DNS server to ask where neither the configuration nor the system names one.
NAMESERVER = "9.9.9.9"


def _nameserver():
    # The DNS server that the network told the system of
    try:
        import network

        return network.WLAN(network.STA_IF).ifconfig()[3]
    except (ImportError, AttributeError):
        pass
    try:
        with open("/etc/resolv.conf") as f:
            for line in f:
                words = line.split()
                if words[:1] == ["nameserver"] and ":" not in words[1]:
                    return words[1]
    except OSError:
        pass
    return NAMESERVER


async def ask(name, kind, nameserver=None):
    """DNS records of `kind` for `name`: what dns.answer() returns. `nameserver`: "address" or
    "address:port". Raises OSError when no answer comes."""
    host, _, port = (nameserver or _nameserver()).partition(":")
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.setblocking(False)
        # A connected socket takes answers from that server alone
        s.connect(socket.getaddrinfo(host, int(port or 53))[0][-1])
        for _ in range(TRIES):
            id = int.from_bytes(os.urandom(2), "big")
            s.send(dns.question(id, name, kind))
            for _ in range(TIMEOUT_S * 50):
                await asyncio.sleep(0.02)
                try:
                    found = s.recv(512)
                except OSError:  # nothing yet, or nobody there
                    continue
                found = dns.answer(found, id, kind)
                if found is not None:
                    return found
        e = "no answer from " + host
    except (OSError, ValueError) as x:
        e = x
    finally:
        s.close()
    raise OSError("DNS: {}: {}".format(name, e))


async def services(domain, nameserver=None):
    """Where the SRV records of `domain` (RFC 6120, XEP-0368) say to connect: a list of (host,
    port, with TLS from the first byte), best first; [] without records."""
    found = []
    for service in ("_xmpps-client._tcp.", "_xmpp-client._tcp."):
        for r in await ask(service + domain, dns.SRV, nameserver):
            found.append(r[:2] + ((r[3], r[2], service[5] == "s"),))
    return [r[2] for r in dns.order(found, random.random)]


async def address(host, nameserver=None):
    """The first IPv4 address of `host`."""
    if host == "localhost":
        return "127.0.0.1"
    found = await ask(host, dns.A, nameserver)
    if not found:
        raise OSError("DNS: " + host + " has no address")
    return found[0]
