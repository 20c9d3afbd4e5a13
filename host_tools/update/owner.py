"""A session of an owner's account, beside the owner's own chat application."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from ..provision.device_file import firmware
from ..provision.session import Place, said
from .errors import SendError

_NODE = "urn:x-uxmpp"  # as uxmpp.xep.caps.NODE


@dataclass(frozen=True)
class Login:
    """Whom to log in as, and where; `place`: how the server is known."""

    jid: str
    password: str
    place: Place


class Owner:
    """A session of the owner's account: `async with Owner(login) as owner`. Raises SendError where
    there is none at the first try; later cuts are survived, as on a device.

    Its presence has a priority below 0: so the server does not give it what waits for the owner,
    and what others write to the owner does not end here.
    """

    #: Seconds until there has to be a session.
    login_s = 60
    #: The most questions, and handlers of what came, at a time.
    max_iqs = 64

    def __init__(self, login: Login) -> None:
        self.login = login
        #: Called with (full JID, text) of each message of somebody in `devices`, and with (full
        #: JID, whether it is there) of each presence of a device's program.
        self.on_text: Callable[[str, str], None] = lambda jid, text: None
        self.on_presence: Callable[[str, bool], None] = lambda jid, there: None
        self.devices: set[str] = set()
        self._stream: Any = None

    async def __aenter__(self) -> Self:
        place = self.login.place
        try:
            self.client = client = firmware("uxmpp.reliable").ReliableClient(
                self.login.jid,
                self.login.password,
                place.ca,
                place.pin,
                place.host,
                place.port,
                place.direct,
                place.plain,
                place.nameserver,
            )
        except (ValueError, OSError) as e:
            raise SendError(f"{self.login.jid}: {said(str(e))}") from None
        self._tried = asyncio.Event()
        client.max_iqs = client.max_handlers = client.max_queue = self.max_iqs
        client.log = lambda text: self._tried.set()
        client.on_online = self._online
        client.accepts = lambda jid, el: jid in self.devices
        client.on("message", None, self._message)
        client.on("presence", None, self._presence)
        log_in = client._login

        async def login(connection: Any, direct: bool) -> Any:
            # Kept, to be ended properly
            self._stream = await log_in(connection, direct)
            return self._stream

        client._login = login
        self._task = asyncio.create_task(client.run())
        try:
            async with asyncio.timeout(self.login_s):
                await self._tried.wait()
        except TimeoutError:
            await self._end()
            raise SendError(f"{client.account}: no session: the server is silent") from None
        except BaseException:
            await self._end()
            raise
        if not client.sessions:
            why = str(client.error) or repr(client.error)
            if "not-authorized" in why.split():
                why = "the server does not take the password"
            await self._end()
            raise SendError(f"{client.account}: no session: {said(why)}")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        # Else the server would keep the session for its return
        if self.client.online and self._stream:
            with suppress(Exception):
                async with asyncio.timeout(1):
                    await self._stream.connection.write(b"</stream:stream>")
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _online(self) -> None:
        await self.show(None)

    async def show(self, to: str | None) -> None:
        """Send the presence to the contacts (None), or to a device that does not count us among
        those. Without a session nothing is sent."""
        element = firmware("uxmpp.xml").Element
        el = element("presence", None, {"to": to})
        el.add("priority", None, None, "-1")
        with suppress(OSError):
            await self.client.send(el)

    async def say(self, to: str, text: str, *children: Any) -> None:
        """Send a chat message. Raises OSError."""
        element = firmware("uxmpp.xml").Element
        attrs = {"to": to, "type": "chat", "id": secrets.token_hex(8)}
        body = element("body", None, None, [text])
        await self.client.send(element("message", None, attrs, [body, *children]))

    def _message(self, stanza: Any, payload: Any) -> None:
        sender = stanza.get("from") or ""
        body = stanza.find("body")
        mine = sender.partition("/")[0] in self.devices and sender != self.client.jid
        # What waited for the owner says nothing of now
        if mine and body and not stanza.find("delay", "urn:xmpp:delay"):
            self.on_text(sender, body.text)

    def _presence(self, stanza: Any, payload: Any) -> None:
        sender = stanza.get("from") or ""
        if sender.partition("/")[0] not in self.devices:
            return
        if stanza.get("type") == "unavailable":
            self.on_presence(sender, False)
        elif stanza.get("type") is None:
            caps = stanza.find("c", "http://jabber.org/protocol/caps")
            if caps and caps.get("node") == _NODE:
                self.on_presence(sender, True)
