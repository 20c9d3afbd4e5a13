"""A DNS server on loopback that says what a test tells it to."""

import asyncio
import struct

A = 1
SRV = 33


class FakeDNS(asyncio.DatagramProtocol):
    """`async with FakeDNS(records) as dns:`. `records`: (name, A or SRV) to a list, of "1.2.3.4"
    or of (priority, weight, port, target); what is not in it has no records. `queries`: what was
    asked, in order. `answer`, if set, is called with each packet instead and returns the packets
    to send back."""

    def __init__(self, records=None, answer=None):
        self.records = records or {}
        self.queries = []
        self.answer = answer or (lambda packet: [self.reply(packet)])

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        port = self._transport.get_extra_info("sockname")[1]
        self.address = f"127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_):
        self._transport.close()

    def datagram_received(self, data, addr):
        name, kind, _ = asked(data)
        self.queries.append((name, kind))
        for packet in self.answer(data):
            self._transport.sendto(packet, addr)

    def reply(self, packet):
        """The right answer to a question."""
        name, kind, end = asked(packet)
        found = self.records.get((name, kind), [])
        flags = 0x8580 if found else 0x8583
        out = packet[:2] + struct.pack("!5H", flags, 1, len(found), 0, 0) + packet[12:end]
        for record in found:
            data = bytes(map(int, record.split("."))) if kind == A else _service(record)
            out += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data
        return out


def asked(packet):
    """(name, kind, index after it) of the question in a packet."""
    labels = []
    i = 12
    while packet[i]:
        labels.append(packet[i + 1 : i + 1 + packet[i]].decode())
        i += packet[i] + 1
    return ".".join(labels), struct.unpack_from("!H", packet, i + 1)[0], i + 5


def _service(record):
    priority, weight, port, target = record
    name = b"".join(bytes([len(p)]) + p.encode() for p in target.split(".")) + b"\0"
    return struct.pack("!3H", priority, weight, port) + name
