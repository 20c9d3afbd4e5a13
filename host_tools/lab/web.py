"""An HTTPS server of one's own, on loopback: it takes and gives files, and fails when told to."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Self

from .certs import Certificate
from .errors import LabError
from .ports import HOSTS

#: Bytes of a request's head, and of its body, that are taken.
MAX_HEAD = 16 * 1024
MAX_BODY = 16 * 1024 * 1024
#: Bytes that are written at a time.
CHUNK = 1024
#: How long a refused request may go on, so that its answer is read.
LINGER_S = 2.0
#: How long the client's part of the end of TLS is waited for; few clients say it.
SHUTDOWN_S = 0.1


@dataclass(frozen=True)
class Answer:
    """What a request is answered with; with `status` 0 the connection is cut instead.

    `length`: the Content-Length that is told, the body's own if -1, none if None. `chunked`: the
    body comes in chunks. `cut`: after so many bytes of it the connection is cut; `endless`: it
    comes again and again; `pause_s`: before each CHUNK of it. `take`: the bytes of the request's
    body that are waited for, None for all. `endless_head`: a head that does not end. `silent`:
    the request is taken, and nothing comes.
    """

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    length: int | None = -1
    chunked: bool = False
    cut: int | None = None
    endless: bool = False
    pause_s: float = 0.0
    take: int | None = None
    endless_head: bool = False
    silent: bool = False


@dataclass
class Request:
    """What came: `headers` in order, their names in lower case; `body`, as far as it was read."""

    method: str
    path: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """Return the first header so named."""
        return next((value for key, value in self.headers if key == name), None)


class Web:
    """`async with Web(certificate) as web:`; its addresses begin with `web.base` ("https://…",
    without a slash at the end), for a certificate that holds for `name`.

    A PUT keeps its body in `files`, by path, and a GET gives it back. What is in `script` answers
    the next requests, one each; what is in `answers` a path. `requests` is what came, in order;
    `plain` is how many came to `plain_base`, which is HTTP without TLS and redirects nowhere;
    `handshakes` is how many connections got as far as TLS.
    """

    def __init__(
        self,
        certificate: Certificate,
        *,
        name: str = "localhost",
        listen: str = HOSTS[0],
        at: int = 0,
    ) -> None:
        self.files: dict[str, bytes] = {}
        self.script: list[Answer] = []
        self.answers: dict[str, Answer] = {}
        self.requests: list[Request] = []
        self.plain = 0
        self.handshakes = 0
        self._name = name
        self._listen = listen
        self._at = at
        self._tasks: set[asyncio.Task[None]] = set()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            self._context.load_cert_chain(certificate.cert_pem, certificate.key_pem)
        except (OSError, ssl.SSLError) as e:
            raise LabError(f"{certificate.cert_pem}: no certificate to serve with: {e}") from e

    async def __aenter__(self) -> Self:
        try:
            self._secure = await asyncio.start_server(
                self._serve,
                self._listen,
                self._at,
                ssl=self._context,
                ssl_shutdown_timeout=SHUTDOWN_S,
                limit=MAX_HEAD,
            )
        except OSError as e:
            raise LabError(f"cannot listen on {self._listen}:{self._at}: {e}") from e
        self._bare = await asyncio.start_server(self._refuse, self._listen, 0)
        self.port: int = self._secure.sockets[0].getsockname()[1]
        self.base = f"https://{self._name}:{self.port}"
        self.plain_base = f"http://{self._name}:{self._bare.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in (self._secure, self._bare):
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _refuse(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.plain += 1
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.handshakes += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._exchange(reader, writer)
        except asyncio.CancelledError:
            pass  # the server is being closed
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        request = Request(method, path)
        for line in filter(None, head[1:]):
            name, _, value = line.partition(":")
            request.headers.append((name.lower(), value.strip()))
        self.requests.append(request)
        size = min(int(request.header("content-length") or 0), MAX_BODY)
        answer = self.script.pop(0) if self.script else self.answers.get(path)
        wanted = size if answer is None or answer.take is None else min(size, answer.take)
        while len(request.body) < wanted:
            piece = await reader.read(min(1 << 16, wanted - len(request.body)))
            if not piece:
                return
            request.body += piece
        if answer is None:
            answer = self._usual(request)
        if answer.silent:
            await reader.read(1)  # until the client gives up
            return
        if not answer.status or not await self._tell(answer, writer):
            return
        # A close with unread data is a reset, which may overtake the answer
        with suppress(asyncio.TimeoutError, OSError):
            async with asyncio.timeout(LINGER_S):
                left = size - len(request.body)
                while left > 0 and (piece := await reader.read(1 << 16)):
                    left -= len(piece)
        writer.close()
        await writer.wait_closed()

    def _usual(self, request: Request) -> Answer:
        if request.method == "PUT":
            self.files[request.path] = request.body
            return Answer(201)
        if request.method == "GET" and request.path in self.files:
            return Answer(body=self.files[request.path])
        return Answer(404)

    async def _tell(self, answer: Answer, writer: asyncio.StreamWriter) -> bool:
        """Send the answer; tell whether it came to its end."""
        reason = ""
        with suppress(ValueError):
            reason = HTTPStatus(answer.status).phrase
        lines = [f"HTTP/1.1 {answer.status} {reason}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        if answer.chunked:
            lines.append("Transfer-Encoding: chunked")
        elif answer.length is not None:
            length = len(answer.body) if answer.length < 0 else answer.length
            lines.append(f"Content-Length: {length}")
        writer.write("\r\n".join(lines).encode("latin-1"))
        if answer.endless_head:
            while True:
                writer.write(b"\r\nX-More: " + b"x" * CHUNK)
                await asyncio.sleep(0)  # drain() alone may never wait once the client has left
                await writer.drain()
        writer.write(b"\r\n\r\n")
        async for piece in _pieces(answer):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece)
            await writer.drain()
        if answer.cut is not None:
            return False
        if answer.chunked:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


async def _pieces(answer: Answer) -> AsyncIterator[bytes]:
    body = answer.body if answer.cut is None else answer.body[: answer.cut]
    while True:
        for i in range(0, len(body), CHUNK):
            await asyncio.sleep(answer.pause_s)
            yield body[i : i + CHUNK]
        if not answer.endless:
            break
