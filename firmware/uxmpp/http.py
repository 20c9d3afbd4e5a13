"""Files by HTTP/1.1 (RFC 9110, RFC 9112) over verified TLS: one a connection, in pieces.

TLS is verified as for the XMPP stream, by a CA or a pin, with a context of its own: the client's
is busy with logins. What only downloads need is in `http_get`.
"""

import asyncio

from . import net

#: The most characters of an URL, and bytes of one write.
MAX_URL = 2048
MAX_WRITE = 512


class HTTPError(OSError):
    """An answer that is not 2xx: its `status`."""

    def __init__(self, status):
        super().__init__("HTTP status {}".format(status))
        self.status = status


def parse(url):
    """(host, port, path with its query) of an URL that may be used: https, without credentials,
    blanks, control characters or anything beyond ASCII. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    bad = scheme.lower() != "https" or len(url) > MAX_URL
    for c in rest.encode():
        bad = bad or not 32 < c < 127
    rest = rest.partition("#")[0]
    host = rest.replace("?", "/").partition("/")[0]
    path = rest[len(host) :]
    host, _, port = host.partition(":")
    for c in host.encode():
        bad = bad or not (96 < c | 32 < 123 or 47 < c < 58 or c in b"-._")
    if not bad and host and len(port) < 6 and not port.strip("0123456789"):
        port = int(port or "443")
        if 0 < port < 65536:
            return host.lower(), port, path if path.startswith("/") else "/" + path
    raise ValueError("not an https URL that may be used: " + repr(url.rpartition("@")[2][:64]))


async def put(url, headers, size, chunks, kind, ca=None, pin=None, nameserver=None):
    """Upload `size` bytes of media type `kind`: the pieces of the iterator that `chunks()`
    returns. `headers`: further ones, (name, value). `ca`, `pin`: as for net.Context; `nameserver`:
    as for resolver.ask().

    Raises HTTPError for an answer that is not 2xx; ValueError for an URL or a header that may not
    be used, and for a redirect; OSError for the rest."""
    headers = [("Content-Type", kind), ("Content-Length", str(size))] + headers
    response = Response()
    try:
        await response.ask("PUT", url, headers, ca, pin, nameserver)
        headers = None
        for piece in chunks():
            size -= len(piece)
            if size < 0:
                break
            # A coroutine that has ended is kept until the next one ends: not the headers all the
            # while. And CPython's writes need not wait: they would not hear of a cut
            await asyncio.sleep(0)
            try:
                await response.write(piece)
            except OSError as e:
                try:  # it may have refused already
                    await _done(response)
                except HTTPError:
                    raise
                except OSError:
                    pass
                raise e
        if size:
            raise OSError("the file is not as long as was said")
        await _done(response)
    finally:
        response.close()


async def _done(response):
    status = await response.begin()
    if status // 100 == 3:
        raise ValueError("the upload is redirected")
    if status > 299:
        raise HTTPError(status)


# Here and below: who only passes a coroutine on needs no frame of its own
def get(url, ca=None, pin=None, nameserver=None, offset=0):
    """Download, a coroutine: a http_get.Download that gives the bytes, to be closed. Redirects are
    followed, to https alone. `offset`: the first byte that is wanted; a server may begin at the
    start all the same: see the Download's. Raises what put() raises."""
    from .http_get import get

    return get(url, ca, pin, nameserver, offset)


class Response:
    """A request, and the answer to it."""

    #: Seconds that a step may take, and up to a quarter more: the handshake, a write, the head of
    #: the answer, a piece of its body.
    step_s = 20
    #: The most bytes of the answer's head, interim answers included.
    max_head = 4096
    #: The net.Connection.
    connection = None
    _guard = _task = None

    def __init__(self):
        self.data = b""  # read, but not looked at

    async def ask(self, method, url, headers, ca, pin, nameserver):
        """Connect, and send the head of a request. Raises ValueError, OSError."""
        host, port, path = parse(url)
        for name, value in headers:
            for c in (name + value).encode():
                if c < 32 or c == 127:
                    raise ValueError("control characters in a header")
        tls = net.Context(ca, pin)
        self.connection = (await net.connect(None, host, port, True, nameserver))[0]
        await self.step(self.connection.start_tls(tls, host))
        # In lines: the handshake, which takes most memory, is in the first write
        line = "{} {} HTTP/1.1\r\nHost: {}{}\r\nConnection: close\r\n"
        line = line.format(method, path, host, "" if port == 443 else ":" + str(port))
        await self.write(line.encode())
        for name, value in headers:
            await self.write((name + ": " + value + "\r\n").encode())
        await self.write(b"\r\n")

    async def step(self, coro):
        """What `coro` returns, within `step_s`. Raises OSError."""
        # One guard for all of them: wait_for() makes two tasks each time
        if not self._guard:
            self._guard = asyncio.create_task(self._watch())
        self._waited = 0
        self._task = asyncio.current_task()
        try:
            return await coro
        except asyncio.CancelledError:
            if self._waited < 5:
                raise
            getattr(self._task, "uncancel", int)()  # what CPython counts
            raise OSError("no answer in time")
        finally:
            self._task = None

    async def _watch(self):
        while True:
            await asyncio.sleep(self.step_s / 4)
            self._waited += 1
            if self._waited > 4 and self._task:
                self._task.cancel()

    async def write(self, data):
        """Send bytes of the request. Raises OSError."""
        data = memoryview(data)
        for i in range(0, len(data), MAX_WRITE):
            await self.step(self.connection.write(data[i : i + MAX_WRITE]))

    def begin(self):
        """Read the head of the answer, a coroutine: its status. Raises OSError."""
        self.room = self.max_head
        return self.step(self._head())

    async def _head(self):
        while True:
            words = (await self.line()).split(None, 2) + [b"", b""]
            status = words[1]
            if not words[0].startswith(b"HTTP/1.") or len(status) != 3 or not status.isdigit():
                raise OSError("not an HTTP answer")
            while True:
                line = await self.line()
                if not line:
                    break
                self.header(line)
            status = int(status)
            if status > 199:  # else an interim answer
                return status

    def header(self, line):
        """Called with each header field of the answer, bytes; to be replaced."""

    async def line(self):
        """The next line, as long as `room` bytes suffice. Raises OSError."""
        while True:
            line, end, rest = self.data.partition(b"\n")
            if len(line) >= self.room:
                raise OSError("HTTP: the head is too large")
            if end:
                self.room -= len(line) + 1
                self.data = rest
                return line.strip()
            data = await self.connection.read(256)
            if not data:
                raise OSError("the connection was cut")
            self.data += data

    def close(self):
        """Close the connection, if there is one; no step may be under way."""
        if self._guard:
            self._guard.cancel()
        if self.connection:
            self.connection.close()
