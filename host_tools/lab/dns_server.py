"""A DNS server on loopback that says what it is told to (RFC 1035, 2782)."""

import ipaddress
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from .errors import LabError
from .part import Part
from .ports import HOSTS

A = 1
SRV = 33
#: Seconds that a client may keep an answer.
TTL_S = 60
#: The longest question that is read, in bytes.
MAX_QUESTION = 512
#: Questions that are remembered: the last ones.
MAX_QUERIES = 10_000
CLOSE_LIMIT_S = 5.0

_NXDOMAIN = 3
_ANSWER = 0x8580  # an authority's, which would also ask others

Service = tuple[int, int, int, str]  # priority, weight, port, target
Records = Mapping[tuple[str, int], Sequence[str | Service]]


class DnsServer(Part):
    """`with DnsServer(records) as dns:`; it answers at `address`, "127.0.0.1:port" (UDP), from a
    thread of its own.

    `records`: (name in lower case, A or SRV) to a list, of "1.2.3.4" or of (priority, weight,
    port, target); what is not in it has no records. `answer`: called with each packet instead, it
    returns the packets to send back. Both may be set anew at any time.
    `queries`: what was asked, in order (bound: MAX_QUERIES). Raises LabError where it cannot
    listen.
    """

    def __init__(
        self,
        records: Records | None = None,
        answer: Callable[[bytes], Sequence[bytes]] | None = None,
    ) -> None:
        self.records: Records = records or {}
        self.queries: list[tuple[str, int]] = []
        self.answer = answer or (lambda packet: [reply(packet, self.records)])
        self._socket: socket.socket | None = None
        try:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.bind((HOSTS[0], 0))
        except OSError as e:
            self.close()
            raise LabError(f"cannot listen for DNS on {HOSTS[0]}: {e.strerror}") from e
        self.host: str
        self.port: int
        self.host, self.port = self._socket.getsockname()
        self.address = f"{self.host}:{self.port}"
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Answer from now on; what came since it was made is answered too."""
        if self._socket and self._thread is None:
            self._thread = threading.Thread(
                target=self._serve, args=(self._socket,), name="lab-dns", daemon=True
            )
            self._thread.start()
        return self

    def close(self) -> None:
        """End it; may be called again."""
        s, self._socket = self._socket, None
        if s is None:
            return
        if self._thread is not None:
            # An empty packet of its own: closing the socket would not wake the thread
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
                waker.sendto(b"", (self.host, self.port))
            self._thread.join(CLOSE_LIMIT_S)
        s.close()

    def _serve(self, s: socket.socket) -> None:
        while self._socket is s:
            try:
                packet, sender = s.recvfrom(MAX_QUESTION)
            except OSError:  # what was sent to a client that is gone came back
                continue
            try:
                question = asked(packet)[:2]
            except ValueError:
                continue
            self.queries.append(question)
            del self.queries[:-MAX_QUERIES]
            for said in self.answer(packet):
                try:
                    s.sendto(said, sender)
                except OSError:
                    continue


def reply(packet: bytes, records: Records) -> bytes:
    """Return the right answer to a question. Raises ValueError where it is none."""
    name, kind, end = asked(packet)
    found = records.get((name, kind), ())
    # A name without such a record is still a name: resolvers keep "no such name" for all kinds
    known = any(n == name or n.endswith(f".{name}") for n, _ in records)
    flags = _ANSWER if known else _ANSWER | _NXDOMAIN
    out = packet[:2] + struct.pack("!5H", flags, 1, len(found), 0, 0) + packet[12:end]
    for record in found:
        data = _address(record) if isinstance(record, str) else _service(record)
        out += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, TTL_S, len(data)) + data
    return out


def asked(packet: bytes) -> tuple[str, int, int]:
    """Return (name in lower case, kind, index after it) of the question in `packet`. Raises
    ValueError where there is none."""
    labels = []
    i = 12
    try:
        while packet[i]:
            labels.append(packet[i + 1 : i + 1 + packet[i]].decode("ascii").lower())
            i += packet[i] + 1
        return ".".join(labels), struct.unpack_from("!H", packet, i + 1)[0], i + 5
    except (IndexError, struct.error):
        raise ValueError("no whole question") from None


def _address(record: str) -> bytes:
    return ipaddress.IPv4Address(record).packed


def _service(record: Service) -> bytes:
    priority, weight, port, target = record
    name = b"".join(bytes([len(p)]) + p.encode() for p in target.split("."))
    return struct.pack("!3H", priority, weight, port) + name + b"\0"
