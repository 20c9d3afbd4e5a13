"""URLs that may be used, and what a web server may answer: whole, in pieces, and wrong."""

import asyncio

from helper import assert_none, raises
from uxmpp.http import MAX_URL, HTTPError, Response, parse
from uxmpp.http_get import Download

HEAP = "160k"
FINE = (
    ("https://a.example", ("a.example", 443, "/")),
    ("HTTPS://A.Example:/x", ("a.example", 443, "/x")),
    ("https://127.0.0.1:8443/a/b?c=d@e:f//#g", ("127.0.0.1", 8443, "/a/b?c=d@e:f//")),
    ("https://up_load-1.example:65535?q#?x/@", ("up_load-1.example", 65535, "/?q")),
    ("https://a.example/%C3%A4%20b", ("a.example", 443, "/%C3%A4%20b")),
    ("https://a.example/" + "x" * (MAX_URL - 18), ("a.example", 443, "/" + "x" * (MAX_URL - 18))),
)
REFUSED = (
    "", "https", "https://", "https:///x", "https://:443/", "//a.example/", "/x", "a.example",
    "http://a.example/", "ftp://a.example/", "xhttps://a.example/", " https://a.example/",
    "https:/a.example/", "https://user@a.example/", "https://user:word@a.example/",
    "https://a.example:pass@b.example/", "https://a.example@/", "https://a\\@b.example/",
    "https://a.example:0/", "https://a.example:65536/", "https://a.example:-1/",
    "https://a.example:+443/", "https://a.example:4 3/", "https://a.example:0x1/",
    "https://a.example:000443/", "https://a.example:443:443/", "https://[::1]/",
    "https://a.example/a b", "https://a.example/\r\nX: y", "https://a.example/\n",
    "https://a.example\t/", "https://a.example/\x00", "https://a.example/\x7f",
    "https://a.example/\xe4", "https://\xe4.example/", "https://a.example/#\n",
    "https://a,b/", "https://a.example/" + "x" * (MAX_URL - 17),
)  # fmt: skip
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: Chunked\r\n\r\n"
# (what comes, the size that is told, the body)
ANSWERS = (
    (OK + b"Content-Length: 5\r\n\r\nhellofurther", 5, b"hello"),
    (b"HTTP/1.0 201\nCONTENT-length:\t0 \n\n", 0, b""),
    (b"HTTP/1.1 299  \r\nA: b\r\n: odd\r\n\r\nto the end", None, b"to the end"),
    (OK + b"\r\n", None, b""),
    (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: y\r\n\r\n" + OK + b"\r\nz",
        None,
        b"z",
    ),
    (OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 3, b"abc"),
    (CHUNKED + b"5;a=b\r\nhello\r\n00A\r\n 0123\r\n789\r\n0\r\n\r\n", None, b"hello 0123\r\n789"),
    (CHUNKED + b"0\r\nTrailer: x", None, b""),
    (OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n", None, b"ab"),
)
CUT = "the connection was cut"
LARGE = "HTTP: the head is too large"
# (what comes, what is raised)
WRONG = (
    (b"", CUT),
    (b"HTTP/1.1 200", CUT),
    (OK + b"A: b\r\n", CUT),
    (b"HTTP/1.1 100 Continue\r\n\r\n", CUT),
    (OK + b"Content-Length: 6\r\n\r\nhello", CUT),
    (CHUNKED + b"5\r\nhel", CUT),
    (CHUNKED + b"5\r\nhello\r\n", CUT),
    (CHUNKED + b"5\r\nhello", CUT),
    (b"<stream:stream>\r\n\r\n", "not an HTTP answer"),
    (b"\r\n\r\n", "not an HTTP answer"),
    (b"HTTP/2 200\r\n\r\n", "not an HTTP answer"),
    (b"HTTP/1.1 20\r\n\r\n", "not an HTTP answer"),
    (b"HTTP/1.1 +20\r\n\r\n", "not an HTTP answer"),
    (OK + b"A: " + b"b" * Response.max_head, LARGE),
    (OK + b"A: b\r\n" * (Response.max_head // 6), LARGE),
    (b"HTTP/1.1 100 Continue\r\n\r\n" * 200, LARGE),
    (OK + b"Content-Length: -1\r\n\r\n", "HTTP: bad Content-Length"),
    (OK + b"Content-Length: 1, 1\r\n\r\n", "HTTP: bad Content-Length"),
    (OK + b"Content-Length:\r\n\r\n", "HTTP: bad Content-Length"),
    (OK + b"Content-Length: 1000000000\r\n\r\n", "HTTP: bad Content-Length"),
    (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP: bad Content-Length"),
    (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "HTTP: unknown Transfer-Encoding"),
    (CHUNKED + b"-5\r\n", "HTTP: bad chunk"),
    (CHUNKED + b"0x5\r\n", "HTTP: bad chunk"),
    (CHUNKED + b"10000000\r\n", "HTTP: bad chunk"),
    (CHUNKED + b"\r\n\r\n", "HTTP: bad chunk"),
    (CHUNKED + b"1\r\nabc\r\n", "HTTP: bad chunk"),
    (CHUNKED + b"1;" + b"x" * 600, LARGE),
)  # fmt: skip
# (what comes, the status, where it redirects to)
MOVED = (
    (b"HTTP/1.1 404 No\r\n\r\n", 404, None),
    (b"HTTP/1.1 507\n\n", 507, None),
    (b"HTTP/1.1 307 x\r\nlocation:  https://b.example/ \r\n\r\nbody", 307, "https://b.example/"),
    (b"HTTP/1.1 302 x\r\nLocation: https://\xe4.example/\r\n\r\n", 302, None),
)


class Wire:
    """What came, handed out in pieces of at most `n` bytes."""

    def __init__(self, data, n):
        self.data = data
        self.n = n

    async def read(self, n=256):
        n = min(n, self.n)
        piece = self.data[:n]
        self.data = self.data[n:]
        return piece

    def close(self):
        self.data = b""


def response_of(wire):
    made = Download()
    made.connection = wire
    return made


async def fetched(data, n):
    response = response_of(Wire(data, n))
    try:
        status = await response.begin()
        body = b""
        while status < 300:
            piece = await response.read(7)
            assert len(piece) <= 7
            if not piece:
                break
            body += piece
        return status, response.location, response.size, body
    finally:
        response.close()
        await asyncio.sleep(0)  # nothing else here ever waits


async def refusal(data, n):
    try:
        return repr(await fetched(data, n))
    except OSError as e:
        return str(e)


def test_urls():
    assert_none([None if parse(url) == found else (url, parse(url)) for url, found in FINE])
    for url in REFUSED:
        e = raises(ValueError, parse, url)
        assert "word" not in str(e) and "pass" not in str(e), e


def test_answers():
    async def main():
        wrong = []
        for data, size, body in ANSWERS:
            for n in (1, 2, 1000):
                found = await fetched(data, n)
                wrong.append(None if found[1:] == (None, size, body) else (data, n, found))
        for data, why in WRONG:
            for n in (3, 1000):
                found = await refusal(data, n)
                wrong.append(None if found == why else (data[:60], n, found))
        for data, status, to in MOVED:
            found = await fetched(data, 9)
            wrong.append(None if found[:2] == (status, to) else (data, found))
        assert_none(wrong)

    asyncio.run(main())


def test_an_answer_that_does_not_come():
    class Silent(Wire):
        async def read(self, n=256):
            await asyncio.sleep(self.n)
            return b"HTTP/1.1 200 OK\r\n\r\n"

    class Trickle(Wire):
        async def read(self, n=256):
            await asyncio.sleep(0.005)
            return await super().read(n)

    async def main():
        response = response_of(Silent(b"", 60))
        response.step_s = 0.02
        try:
            await response.begin()
        except OSError as e:
            assert str(e) == "no answer in time", e
        else:
            raise AssertionError("begun")
        # The time of one step is not the next one's; between them nothing is limited
        response.connection = Silent(b"", 0)
        await asyncio.sleep(0.05)
        assert await response.begin() == 200
        await asyncio.sleep(0.05)
        response.close()
        # Nor is a trickle of bytes an answer; and while one comes, others have their turn
        response = response_of(Wire(OK + b"Content-Length: 103\r\n\r\nabc", 99))
        response.step_s = 0.02
        await response.begin()
        turns = []

        async def turn():
            turns.append(1)

        task = asyncio.create_task(turn())
        assert await response.read(3) == b"abc" and turns
        response.connection = Trickle(bytes(100), 1)
        try:
            await response.read()
        except OSError as e:
            assert str(e) == "no answer in time", e
        else:
            raise AssertionError("read")
        response.close()
        # Who is cancelled by another sees that
        response = response_of(Silent(b"", 60))
        task = asyncio.create_task(response.begin())
        await asyncio.sleep(0.02)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            response.close()
        else:
            raise AssertionError("begun")

    asyncio.run(main())
    e = HTTPError(413)
    assert isinstance(e, OSError) and e.status == 413 and "413" in str(e)
