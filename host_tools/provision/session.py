"""A connection to an XMPP server from the host, by the library that devices have: the same
verified TLS, the same login. One question at a time."""

import asyncio
import json
import secrets
import tempfile
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UxmppError
from .device_file import DeviceFile, firmware

#: Seconds for TCP, TLS and login together, and for an answer.
LOGIN_S = 45
ANSWER_S = 30
#: The most stanzas that may come between a question and its answer.
MAX_OTHERS = 64
#: How much of what a server says is shown.
MAX_SAID = 200

STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
_PLACE = ("jid", "ca", "pin", "host", "port", "direct", "nameserver", "plain")
# What a server says that may have done all the same what it was asked for
_UNSURE = ("internal-server-error", "remote-server-timeout", "undefined-condition")


class ServerError(UxmppError):
    """The server cannot be reached or known, or it does not keep to the protocol."""


class Unreached(ServerError):  # noqa: N818 - what it is
    """There is no connection to the server, or not to the one that we know."""


class WrongPassword(ServerError):  # noqa: N818
    """The server does not take the password: it is another one, or there is no such account."""


class Refused(ServerError):  # noqa: N818
    """The server answered a question with an error (RFC 6120 section 8.3): `condition`, `kind`
    ("wait", "auth" …) and `said`, its own words or the condition."""

    def __init__(self, condition: str, kind: str = "cancel", text: str = "") -> None:
        self.condition = condition
        self.kind = kind
        self.said = f"{condition}: {text}" if text else condition
        super().__init__(self.said)

    @property
    def unsure(self) -> bool:
        """Whether it may have been done all the same."""
        return self.condition in _UNSURE


@dataclass(frozen=True)
class Place:
    """Where a server is, and how it is known: as in device.json; `ca` as bytes of DER. Raises
    ServerError where it is known by neither `ca` nor `pin`."""

    ca: bytes | None
    pin: str | None
    host: str | None = None
    port: int | None = None
    direct: bool = False
    nameserver: str | None = None
    plain: bool = False

    def __post_init__(self) -> None:
        # The library takes it for granted, and would not verify anything
        if not self.ca and not self.pin:
            raise ServerError("neither ca nor pin: there is nothing to know the server by")

    @classmethod
    def of(cls, device: DeviceFile) -> "Place":
        """Return what a device.toml that was read says of it. Raises UxmppError."""
        # Nothing secret is needed for it
        made = {k: v for k, v in device.device_json().items() if k in _PLACE}
        made.update(password="none", pair="")
        with tempfile.TemporaryDirectory(prefix="uxmpp-place-") as folder:
            path = Path(folder, "device.json")
            path.write_text(json.dumps(made), "utf-8")
            try:
                found = firmware("thing.config").load(str(path))
            except ValueError as e:
                raise UxmppError(f"{device.path}: {e}".replace(f"{path}: ", "")) from None
        return cls(
            found.get("ca"),
            found.get("pin"),
            found.get("host"),
            found.get("port"),
            found.get("direct", False),
            found.get("nameserver"),
            found.get("plain", False),
        )


class Session:
    """A stream to a server, after TLS; see secured() and logged_in()."""

    def __init__(self, stream: Any, features: Any, keys: Any = None) -> None:
        self._stream = stream
        #: The stream's features, before a login.
        self.features = features
        #: What the login left, as sasl.Scram.keys.
        self.keys = keys

    async def ask(self, kind: str, payload: Any, to: str | None = None) -> Any:
        """Ask ("get" or "set") and return the answering iq, an Element. Raises Refused and
        ServerError."""
        element = firmware("uxmpp.xml").Element
        number = secrets.token_hex(8)
        attrs = {"type": kind, "id": number, "to": to}
        with _translated("no answer"):
            async with asyncio.timeout(ANSWER_S):
                await self._stream.write(element("iq", None, attrs, [payload]))
                for _ in range(MAX_OTHERS):
                    answer = await self._stream.read()
                    if (
                        answer.name == "iq"
                        and answer.get("id") == number
                        and answer.get("type") in ("result", "error")
                        and (to is None or answer.get("from") in (to, None))
                    ):
                        break
                else:
                    raise ServerError("the server sends other things and does not answer")
        if answer.get("type") == "error":
            raise _refused(answer)
        return answer

    async def close(self) -> None:
        """End the stream."""
        try:
            async with asyncio.timeout(1):
                await self._stream.connection.write(b"</stream:stream>")
        except OSError:  # it has ended
            pass
        finally:
            self._stream.connection.close()


@asynccontextmanager
async def secured(jid: str, place: Place) -> AsyncIterator[Session]:
    """A stream to the server of `jid` with verified TLS, and nobody logged in. Raises
    ServerError."""
    stream = await _connected(jid, place)
    try:
        with _translated("no stream"):
            async with asyncio.timeout(ANSWER_S):
                features = await stream.open()
        session = Session(stream, features)
        yield session
        await session.close()
    finally:
        stream.connection.close()


async def log_in(
    jid: str, password: str | None, place: Place, keys: Sequence[str | int] | None = None
) -> Session:
    """Log in, by the password or by login keys as device.json has them; to be closed. Raises
    ServerError, WrongPassword."""
    known = None
    if keys:
        name, salt, rounds, client, server = keys
        known = (
            name,
            b64decode(str(salt)),
            rounds,
            b64decode(str(client)),
            b64decode(str(server)),
        )
    stream = await _connected(jid, place)
    sound = False
    try:
        errors = firmware("uxmpp.stream")
        with _translated("no login"):
            try:
                async with asyncio.timeout(LOGIN_S):
                    offered, inline = await stream.features()
                    mechanism = await stream.choose(offered, password, place.plain, known)
                    ended = await stream.auth(mechanism, inline)
                    await stream.bound(ended, mechanism)
            except errors.AuthError as e:
                if "not-authorized" in str(e).split():
                    raise WrongPassword("the server does not take the password") from None
                raise
        sound = True
        return Session(stream, None, mechanism.keys)
    finally:
        if not sound:
            stream.connection.close()


async def login_keys(jid: str, password: str, place: Place) -> list[str | int]:
    """Log in by the password and return device.json's `keys`, which take its place. Raises
    ServerError, WrongPassword."""
    session = await log_in(jid, password, place)
    await session.close()
    if not session.keys:
        raise ServerError("the server has no SCRAM, so there can be no login keys")
    name, salt, rounds, client, server = session.keys
    salt, client, server = (b64encode(v).decode() for v in (salt, client, server))
    return [name, salt, rounds, client, server]


async def _connected(jid: str, place: Place) -> Any:
    net, streams = firmware("uxmpp.net"), firmware("uxmpp.stream")
    domain = firmware("uxmpp.jid").split(jid)[1]
    with _translated("the server cannot be reached", Unreached):
        tls = net.Context(place.ca, place.pin)
        async with asyncio.timeout(LOGIN_S):
            connection, direct = await net.connect(
                domain, place.host, place.port, place.direct, place.nameserver
            )
            try:
                stream = streams.Stream(connection, jid)
                await stream.secure(tls, direct)
            except BaseException:
                connection.close()
                raise
    return stream


@contextmanager
def _translated(what: str, kind: type[ServerError] = ServerError) -> Iterator[None]:
    """Make a ServerError of what the library raises; `what` could not be had."""
    try:
        yield
    except UxmppError:
        raise
    except TimeoutError:
        raise kind(f"{what}: it is silent") from None
    except (OSError, ValueError, firmware("uxmpp.stream").StreamError) as e:
        raise kind(f"{what}: {said(str(e) or repr(e))}") from None
    except AttributeError:  # so the library meets what must be there, and is not
        raise kind(f"{what}: the server does not keep to the protocol") from None


def _refused(answer: Any) -> Refused:
    condition, kind, text = "undefined-condition", "cancel", ""
    error = answer.find("error")
    for el in error.elements() if error else ():
        kind = error.get("type") or kind
        if el.xmlns == STANZAS:
            if el.name == "text":
                text = said(el.text)
            else:
                condition = el.name
    return Refused(condition, kind, text)


def said(text: str) -> str:
    """Return what a server wrote as one line of bounded length that no terminal acts upon."""
    line = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(line.split())
    return line if len(line) <= MAX_SAID else line[: MAX_SAID - 1] + "…"
