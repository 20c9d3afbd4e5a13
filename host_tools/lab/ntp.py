"""An NTP server of one's own, on loopback."""

import asyncio
import random
import struct
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self

from .errors import LabError
from .ports import HOSTS

#: NTP counts seconds from 1900-01-01; this many before 1970-01-01.
EPOCH = 2_208_988_800

_PACKET = struct.Struct("!BBbbII4sQQQQ")
_SERVER = 4  # the mode
_VERSION = 4

Mode = Literal["answer", "silent", "rubbish", "kiss"]


class NtpServer:
    """`async with NtpServer() as ntp:`; it answers at `host`:`port` (UDP) with `now`.

    `now` is None (this machine's clock), a datetime with a time zone or seconds since 1970 that
    stand still, or a function that returns such seconds. `mode`: "answer"; "silent"; "rubbish":
    packets that no client may believe, each time the next one; "kiss": a kiss-of-death packet
    with the code `kiss` (RFC 5905, 7.4). Both may be changed at any time. `requests` counts.
    """

    def __init__(
        self,
        now: datetime | float | Callable[[], float] | None = None,
        *,
        mode: Mode = "answer",
        kiss: str = "DENY",
        listen: str = HOSTS[0],
        at: int = 0,
        seed: int = 0,
    ) -> None:
        self.now = now
        self.mode = mode
        self.kiss = kiss
        self.requests = 0
        self._listen = (listen, at)
        self._random = random.Random(seed)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Protocol(self), local_addr=self._listen
            )
        except OSError as e:
            raise LabError(f"cannot listen on {self._listen[0]}:{self._listen[1]}: {e}") from e
        self._transport = transport
        name = transport.get_extra_info("sockname")
        self.host: str = name[0]
        self.port: int = name[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._transport.close()

    def answers(self, request: bytes) -> list[bytes]:
        """Return the packets that answer `request`."""
        if self.mode == "silent" or len(request) < _PACKET.size:
            return []
        good = self._answer(request)
        if self.mode == "kiss":
            # Leap "unknown", stratum 0, the code as the reference, and no time
            head = bytes([3 << 6 | _VERSION << 3 | _SERVER, 0]) + good[2:12]
            return [head + self.kiss.encode("ascii")[:4].ljust(4, b"\0") + good[16:40] + bytes(8)]
        if self.mode == "rubbish":
            return [self._rubbish(good)]
        return [good]

    def _seconds(self) -> float:
        now = self.now
        if now is None:
            return time.time()
        if isinstance(now, datetime):
            return now.timestamp()
        return now if isinstance(now, int | float) else now()

    def _answer(self, request: bytes) -> bytes:
        # Past 2036 the seconds begin again (RFC 5905, 6)
        stamp = int((self._seconds() + EPOCH) * (1 << 32)) & (1 << 64) - 1
        version = request[0] >> 3 & 7
        asked = struct.unpack_from("!Q", request, 40)[0]
        return _PACKET.pack(
            version << 3 | _SERVER, 2, 6, -20, 0, 0, b"LAB\0", stamp, asked, stamp, stamp
        )  # fmt: skip

    def _rubbish(self, good: bytes) -> bytes:
        number = self.requests % 6
        if number == 0:
            return good[:1]
        if number == 1:
            return good[:47]
        if number == 2:
            return good[:40] + bytes(8)  # no time
        if number == 3:
            return bytes([good[0] & 0xF8 | 3]) + good[1:]  # a client's, not a server's
        if number == 4:
            return good[:24] + self._random.randbytes(8) + good[32:]  # an answer to another
        return self._random.randbytes(48)


class _Protocol(asyncio.DatagramProtocol):
    def __init__(self, server: NtpServer) -> None:
        self._server = server

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for packet in self._server.answers(data):
            self._transport.sendto(packet, addr)
        self._server.requests += 1
