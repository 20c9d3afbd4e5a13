"""Downloads: redirects, and bodies with and without a length."""

import asyncio

from .http import MAX_WRITE, HTTPError, Response, parse

#: How often a download may be sent elsewhere.
MAX_REDIRECTS = 3


async def get(url, ca, pin, nameserver, offset):
    """As http.get()."""
    headers = [("Accept-Encoding", "identity")]
    if offset:
        headers.append(("Range", "bytes={}-".format(offset)))
    for _ in range(MAX_REDIRECTS + 1):
        response = Download()
        status = None
        try:
            await response.ask("GET", url, headers, ca, pin, nameserver)
            status = await response.begin()
        finally:
            if not status or status > 299:
                response.close()
        if status < 300:
            if status != 206:  # the server has no use for Range, or does not honour it
                response.offset = 0
                response.total = response.size
            elif response.offset != offset:
                response.close()
                raise OSError("HTTP: bad Content-Range")
            return response
        to = response.location
        if not to or status not in (301, 302, 303, 307, 308):
            raise HTTPError(status)
        if to.startswith("//"):
            to = "https:" + to
        elif to.startswith("/"):
            to = "https://{}:{}".format(*parse(url)) + to
        url = to
    raise ValueError("too many redirects")


class Download(Response):
    """The answer to a GET: `size` in bytes, and the body by read()."""

    #: None where the server does not say how much it is: then the end may as well be a cut.
    size = None
    #: Where in the file the body begins, and the size of the file, or None.
    offset = 0
    total = None
    #: Where the answer redirects to, or None.
    location = None
    #: Whether read() tells a cut from the end.
    whole = False
    _left = None  # bytes of the body, or of the chunk, that are to come
    _chunked = False

    def header(self, line):
        """As Response.header(). Raises OSError for a length that cannot be."""
        name, _, value = line.partition(b":")
        name = name.lower()
        value = value.strip()
        if name == b"content-length":
            size = int(value) if value.isdigit() and len(value) < 10 else -1
            if size < 0 or self._left not in (None, size):
                raise OSError("HTTP: bad Content-Length")
            self._left = size
        elif name == b"content-range":  # of 206 (RFC 9110 section 14.4)
            first, _, size = value.partition(b"/")
            first = first.partition(b"-")[0].partition(b"bytes ")[2]
            self.offset = int(first) if first.isdigit() and len(first) < 10 else -1
            self.total = int(size) if size.isdigit() and len(size) < 10 else None
        elif name == b"transfer-encoding":
            self._chunked = True
            if value.lower() != b"chunked":
                raise OSError("HTTP: unknown Transfer-Encoding")
        elif name == b"location" and max(value or b"\x7f") < 127:
            self.location = value.decode()

    async def begin(self):
        """As Response.begin()."""
        status = await super().begin()
        if self._chunked:  # it counts, whatever length is told
            self._left = None
        self.size = self._left
        self.whole = self._chunked or self.size is not None
        return status

    def read(self, n=MAX_WRITE):
        """The next `n` bytes of the body, a coroutine: fewer at its end, then b"". Raises OSError,
        also where it ends too early."""
        return self.step(self._filled(n))

    async def _filled(self, n):
        # Not what there is: a trickle would have no limit
        data = b""
        while len(data) < n:
            await asyncio.sleep(0)  # what is there already is read without waiting
            more = await self._read(n - len(data))
            if not more:
                break
            data += more
        return data

    async def _read(self, n):
        if self._chunked and not self._left:
            self.room = 256
            line = b""
            if self._left is None or not await self.line():  # which ends the last chunk
                line = (await self.line()).partition(b";")[0].strip()
            if not line or len(line) > 7 or line.strip(b"0123456789abcdefABCDEF"):
                raise OSError("HTTP: bad chunk")
            self._left = int(line, 16)
            self._chunked = self._left > 0
        left = self._left
        if left is not None and n > left:
            n = left
        data = self.data[:n]
        self.data = self.data[n:]
        if n and not data:
            try:
                data = await self.connection.read(n)
            except OSError:
                # Read together with the last bytes, the end of TLS is not told a second time
                if left is not None:
                    raise
        if left is not None:
            if n and not data:
                raise OSError("the connection was cut")
            self._left = left - len(data)
        elif not data:
            self._left = 0
        return data
