"""MicroPython's `usocket` for CPython: sockets that are streams too, with read() and write()."""

import socket as _socket

getaddrinfo = _socket.getaddrinfo


class socket:  # noqa: N801
    """A TCP socket, as far as a client without TLS uses it."""

    def __init__(self):
        self._socket = _socket.socket()

    def connect(self, address):
        self._socket.connect(address)

    def setblocking(self, flag):
        self._socket.setblocking(flag)

    def setsockopt(self, level, option, value):
        self._socket.setsockopt(level, option, value)

    def close(self):
        self._socket.close()

    def write(self, data, size=None):
        """Write it all, or its first `size` bytes; text is UTF-8."""
        if isinstance(data, str):
            data = data.encode()
        data = memoryview(data)[:size]
        self._socket.sendall(data)
        return len(data)

    def read(self, size):
        """Return `size` bytes, fewer at the end; None where none would come without waiting."""
        data = b""
        while len(data) < size:
            try:
                more = self._socket.recv(size - len(data))
            except BlockingIOError:
                return data or None
            if not more:
                break
            data += more
        return data
