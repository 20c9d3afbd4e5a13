"""Accounts by ejabberd's HTTP API (mod_http_api, command `register`)."""

import asyncio
import http.client
import ipaddress
import json
import socket
import ssl
from base64 import b64encode
from contextlib import suppress
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

from ..errors import UxmppError
from .accounts import AccountError, Exists, NotAllowed, Order
from .session import ServerError, said

#: Seconds that an answer may take, all of it, and the most bytes of it that are read.
ANSWER_S = 20
MAX_ANSWER = 65536

_DONE, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _CONFLICT = 200, 401, 403, 404, 409
# From here on it is the server that fails, or one in between: what it has done nobody knows
_FAILED = 500


class Api:
    """Asks the API at `url`, as https://example.org:5443/api, to make the accounts: with a
    bearer token, or by basic authentication as the administrator `jid`, or with neither where the
    server trusts this computer. Plain http is for loopback alone. Certificates are verified by
    the system's authorities and the device's own. Raises UxmppError."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        jid: str | None = None,
        password: str | None = None,
    ) -> None:
        if set(url) & set("@?#"):
            raise UxmppError("--api: the address must be https://host:port/api alone, no secrets")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as e:
            raise UxmppError(f"--api: {url[:64]!r} is no address: {e}") from None
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise UxmppError(f"--api: {url[:64]!r} is not like https://example.org:5443/api")
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise UxmppError(
                f"--api: {url[:64]} would send passwords in the clear: https, or http on loopback"
            )
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, port
        self._path = f"{parts.path.rstrip('/')}/register"
        self.url = f"{parts.scheme}://{parts.netloc}{self._path}"
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {_in_header(token)}"
        elif jid:
            basic = b64encode(f"{jid}:{password or ''}".encode()).decode()
            self._headers["Authorization"] = f"Basic {basic}"

    async def create(self, order: Order) -> None:
        """As Method.create()."""
        status, text = await asyncio.to_thread(self._ask, order)
        words = _words(text)
        if status == _CONFLICT:
            raise Exists(f"{order.jid}: there is such an account already")
        if status in (_UNAUTHORISED, _FORBIDDEN):
            raise NotAllowed(f"{self.url} refuses our token or password ({status}): {words}")
        if status == _NOT_FOUND:
            raise NotAllowed(f"{self.url}: there is no such API (404): {words}")
        if status >= _FAILED:
            raise ServerError(f"{order.jid}: {self.url} fails ({status}): {words}")
        if status != _DONE:
            raise AccountError(f"{order.jid}: {self.url} refuses it ({status}): {words}")

    async def close(self) -> None:
        """As Method.close()."""

    def _ask(self, order: Order) -> tuple[int, bytes]:
        user, _, domain = order.jid.partition("@")
        body = json.dumps({"user": user, "host": domain, "password": order.password}).encode()
        try:
            connection = self._connected(order.place.ca)
            # Its own limit is for each piece that comes
            limit = Timer(ANSWER_S, _cut, (connection.sock,))
            limit.start()
            try:
                connection.request("POST", self._path, body, self._headers)
                answer = connection.getresponse()
                return answer.status, answer.read(MAX_ANSWER)
            finally:
                limit.cancel()
                connection.close()
        except ssl.SSLCertVerificationError as e:
            raise ServerError(f"{self.url}: the certificate: {e.verify_message}") from None
        except (OSError, ValueError, http.client.HTTPException) as e:
            raise ServerError(f"{self.url}: no answer: {said(str(e) or repr(e))}") from None

    def _connected(self, ca: bytes | None) -> http.client.HTTPConnection:
        if self._secure:
            context = ssl.create_default_context()
            if ca:
                context.load_verify_locations(cadata=ca)
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=ANSWER_S, context=context
            )
        else:
            made = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_S)
        try:
            made.connect()
        except BaseException:
            made.close()
            raise
        return made


def _cut(sock: socket.socket) -> None:
    with suppress(OSError):  # it has ended
        sock.shutdown(socket.SHUT_RDWR)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_header(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UxmppError("the API's token is not one: it must be ASCII without blanks")
    return token


def _words(text: bytes) -> str:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        found = text.decode(errors="replace")
    if isinstance(found, dict):
        found = found.get("message", found)
    return said(str(found)) or "nothing"
