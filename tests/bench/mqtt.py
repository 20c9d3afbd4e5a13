"""An MQTT 3.1.1 client of four packets, for the other side of a comparison."""

import socket
import time
from types import TracebackType
from typing import Self

_CONNECT, _PUBLISH, _SUBSCRIBE = 0x10, 0x30, 0x82


class Mqtt:
    """`with Mqtt(host, port) as mqtt:`: connected without TLS and subscribed to `topic`."""

    def __init__(self, host: str, port: int, topic: str) -> None:
        self._socket = socket.create_connection((host, port), timeout=5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        try:
            self._send(_CONNECT, _string("MQTT") + b"\x04\x02\x00\x00" + _string("bench-owner"))
            self._packet(time.monotonic() + 5)
            self._send(_SUBSCRIBE, b"\x00\x01" + _string(topic) + b"\x00")
            self._packet(time.monotonic() + 5)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def publish(self, topic: str, text: str) -> None:
        """Publish `text`, at most once."""
        self._send(_PUBLISH, _string(topic) + text.encode())

    def message(self, limit_s: float) -> str | None:
        """Return the text of the next message, or None when none comes within the limit."""
        end = time.monotonic() + limit_s
        while (packet := self._packet(end)) is not None:
            kind, body = packet
            if kind & 0xF0 == _PUBLISH:
                return body[2 + int.from_bytes(body[:2], "big") :].decode()
        return None

    def _send(self, kind: int, body: bytes) -> None:
        if len(body) > 127:
            raise ValueError("longer than this client can say")
        self._socket.sendall(bytes([kind, len(body)]) + body)

    def _packet(self, end: float) -> tuple[int, bytes] | None:
        while len(self._rest) < 2 or len(self._rest) < 2 + self._rest[1]:
            left = end - time.monotonic()
            if left <= 0:
                return None
            self._socket.settimeout(left)
            try:
                got = self._socket.recv(4096)
            except TimeoutError:
                return None
            if not got:
                raise ConnectionError("the MQTT server closed the connection")
            self._rest += got
        kind, length = self._rest[0], self._rest[1]
        body, self._rest = self._rest[2 : 2 + length], self._rest[2 + length :]
        return kind, body


def _string(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data
