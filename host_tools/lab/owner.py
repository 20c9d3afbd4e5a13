"""The owner's side of a chat with a device, by an independent client library (slixmpp)."""

import asyncio
import ssl
import xml.etree.ElementTree as ET
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import slixmpp
from slixmpp.plugins.base import PluginNotFound
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

from .errors import LabError, LabTimeout
from .ledger import Ledger

CONNECT_LIMIT_S = 30.0
WAIT_LIMIT_S = 30.0
#: Messages not taken yet that are kept: the last ones. A ledger keeps the texts of all.
MAX_MESSAGES = 10_000

_CLIENT = "{jabber:client}"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Message:
    """A message as it came: `sender` is the full JID, `body` is "" where it has none."""

    sender: str
    body: str
    type: str
    xml: ET.Element


@dataclass(frozen=True)
class Presence:
    """The last presence of a full JID: `type` is "available" or "unavailable"."""

    jid: str
    type: str
    show: str
    status: str
    xml: ET.Element


class Owner:
    """An account at `host`:`port`, used from one event loop: `async with Owner(…) as owner:`.

    The server must show a certificate for the JID's domain, issued by the authority in the file
    `ca_pem`. `direct_tls` False: STARTTLS, and nothing without it. `plugins` are slixmpp's names
    of extensions to load; with `receipts` it answers requests for receipts (XEP-0184). What waits
    raises LabTimeout after its limit (seconds).

    `messages` holds those not taken yet, oldest first (bound: MAX_MESSAGES), `presences` the last
    one per full JID, `client` the slixmpp client after connect(). What was ever said, over all
    connections, is in ledger().
    """

    client: slixmpp.ClientXMPP

    def __init__(
        self,
        jid: str,
        password: str,
        host: str,
        port: int,
        ca_pem: Path,
        direct_tls: bool = False,
        *,
        accept_subscriptions: bool = True,
        plugins: Sequence[str] = (),
        receipts: bool = False,
    ) -> None:
        self.jid = jid
        self.messages: deque[Message] = deque(maxlen=MAX_MESSAGES)
        self.presences: dict[str, Presence] = {}
        self.accept_subscriptions = accept_subscriptions
        self._password = password
        self._host = host
        self._port = port
        self._ca_pem = ca_pem
        self._direct_tls = direct_tls
        self._plugins = (*plugins, "xep_0184") if receipts else plugins
        self._receipts = receipts
        self._ledgers: dict[str, Ledger] = {}
        self._subscriptions: dict[str, bool] = {}
        self._changed = asyncio.Event()
        self._online: asyncio.Future[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether it is logged in."""
        online = self._online
        return online is not None and online.done() and self.client.is_connected()

    async def connect(self, timeout: float = CONNECT_LIMIT_S) -> None:
        """Log in and become available; LabError says why that failed. Works again after a loss."""
        await self.disconnect()
        self.presences.clear()
        try:
            context = ssl.create_default_context(cafile=self._ca_pem)
        except OSError as e:
            raise LabError(f"cannot read the authority's certificate {self._ca_pem}: {e}") from e
        client = slixmpp.ClientXMPP(
            self.jid,
            self._password,
            plugin_config={
                "feature_mechanisms": {"unencrypted_scram": False},
                "xep_0184": {"auto_ack": self._receipts, "auto_request": False},
            },
            ssl_context=context,
        )
        client.enable_direct_tls = self._direct_tls
        client.enable_starttls = not self._direct_tls
        client.enable_plaintext = False
        client.auto_authorize = None  # answered below
        for plugin in self._plugins:
            try:
                client.register_plugin(plugin)
            except PluginNotFound:
                raise LabError(
                    f"slixmpp cannot load {plugin!r}: unknown, or its imports are missing"
                ) from None
        online: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.client = client
        self._online = online

        def failed(why: object) -> None:
            if not online.done():
                online.set_exception(LabError(f"{self.jid} at {self._host}:{self._port}: {why}"))

        def refused(_: object) -> None:
            secure = isinstance(client.socket, ssl.SSLObject)
            failed("the login was refused" if secure else "the server offers no TLS")

        async def started(_: object) -> None:
            try:
                await client.get_roster(timeout=timeout)
            except slixmpp.exceptions.XMPPError as e:
                failed(f"no roster: {e}")
                return
            client.send_presence()
            if not online.done():
                online.set_result(None)

        client.add_event_handler("session_start", started)
        client.add_event_handler("connection_failed", failed)
        client.add_event_handler("ssl_invalid_chain", failed)
        client.add_event_handler("failed_all_auth", refused)
        client.add_event_handler("no_auth", refused)
        client.add_event_handler("disconnected", lambda why: failed(why or "disconnected"))
        client.add_event_handler("presence", self._on_presence)
        every = MatchXPath(f"{_CLIENT}message")
        client.register_handler(Callback("every message", every, self._on_message))
        client.connect(self._host, self._port)
        try:
            async with asyncio.timeout(timeout):
                await online
        except TimeoutError:
            await self._drop()
            raise LabTimeout(
                f"{self.jid} at {self._host}:{self._port}: not online within {timeout:g} s"
            ) from None
        except BaseException:
            await self._drop()
            raise

    async def disconnect(self) -> None:
        """Log out; does nothing without a connection."""
        if self._online is not None:
            await self.client.disconnect(wait=2.0)
            await self._drop()

    async def _drop(self) -> None:
        self._online = None
        self.client.cancel_connection_attempt()
        self.client.abort()
        # slixmpp leaves its sender waiting for ever, which asyncio then complains of.
        sender = getattr(self.client, "_run_out_filters", None)
        if isinstance(sender, asyncio.Future):
            sender.cancel()
            await asyncio.wait([sender], timeout=1.0)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.disconnect()

    async def say(self, to: str, text: str) -> None:
        """Send a chat message."""
        self._need_connection()
        self.client.send_message(mto=slixmpp.JID(to), mbody=text, mtype="chat")

    async def next_message(
        self,
        from_: str | None = None,
        timeout: float = WAIT_LIMIT_S,
    ) -> Message:
        """Take the oldest message with a body, of the bare or full JID `from_` if given."""

        def take() -> Message | None:
            for message in self.messages:
                if message.body and _is_from(message.sender, from_):
                    self.messages.remove(message)
                    return message
            return None

        return await self._wait(take, f"message from {from_ or 'anybody'}", timeout)

    def ledger(self, jid: str) -> Ledger:
        """Return the ledger of all messages of `jid`'s bare JID; it goes on growing."""
        return self._ledgers.setdefault(slixmpp.JID(jid).bare, Ledger())

    async def until(
        self, true: Callable[[], bool], what: str, timeout: float = WAIT_LIMIT_S
    ) -> None:
        """Wait until `true()`, which is asked whenever a message or a presence came; `what` says
        in the LabTimeout what was awaited."""
        await self._wait(lambda: true() or None, what, timeout)

    async def ask(
        self,
        to: str,
        text: str,
        timeout: float = WAIT_LIMIT_S,
    ) -> str:
        """Say `text` and return the body of the next message from `to`.

        What `to` had said before is dropped.
        """
        for message in [m for m in self.messages if _is_from(m.sender, to)]:
            self.messages.remove(message)
        await self.say(to, text)
        return (await self.next_message(to, timeout)).body

    async def presence(
        self,
        bare: str,
        predicate: Callable[[Presence], bool] = lambda p: p.type == "available",
        timeout: float = WAIT_LIMIT_S,
    ) -> Presence:
        """Return the presence of a resource of `bare` that fits, waiting for one if need be."""

        def fitting() -> Presence | None:
            return next(
                (p for p in self.presences.values() if _is_from(p.jid, bare) and predicate(p)),
                None,
            )

        return await self._wait(fitting, f"such presence of {bare}", timeout)

    async def subscribe(self, jid: str, timeout: float = WAIT_LIMIT_S) -> None:
        """Ask for the presence of a bare JID and wait for its consent; LabError if refused."""
        self._need_connection()
        self._subscriptions.pop(jid, None)
        self.client.send_presence_subscription(pto=jid)
        agreed = await self._wait(
            lambda: self._subscriptions.get(jid), f"answer to the subscription by {jid}", timeout
        )
        if not agreed:
            raise LabError(f"{jid} refused the subscription of {self.jid}")

    async def iq(
        self,
        to: str | None,
        payload: str | ET.Element,
        type: Literal["get", "set"] = "get",
        timeout: float = WAIT_LIMIT_S,
    ) -> ET.Element:
        """Send a request with `payload` (XML) and return the answer, a result or an error."""
        self._need_connection()
        stanza: Any = self.client.make_iq(ito=to, itype=type)
        stanza.append(ET.fromstring(payload) if isinstance(payload, str) else payload)
        try:
            answer = await stanza.send(timeout=timeout)
        except slixmpp.exceptions.IqError as e:
            answer = e.iq
        except slixmpp.exceptions.IqTimeout:
            raise LabTimeout(
                f"{self.jid}: no answer of {to or 'the server'} within {timeout:g} s"
            ) from None
        xml: ET.Element = answer.xml
        return xml

    def _need_connection(self) -> None:
        if not self.connected:
            raise LabError(f"{self.jid} is not connected: call connect() first")

    async def _wait(self, look: Callable[[], _T | None], what: str, limit: float) -> _T:
        try:
            async with asyncio.timeout(limit):
                while (found := look()) is None:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise LabTimeout(f"{self.jid}: no {what} within {limit:g} s") from None
        return found

    def _on_message(self, stanza: Any) -> None:
        xml: ET.Element = stanza.xml
        message = Message(
            sender=xml.get("from", self.jid),
            body=xml.findtext(f"{_CLIENT}body") or "",
            type=xml.get("type", "normal"),
            xml=xml,
        )
        self.messages.append(message)
        # What comes back as an error is one's own
        if message.body and message.type != "error":
            self.ledger(message.sender).add(message.sender, message.body, xml)
        self._changed.set()

    def _on_presence(self, stanza: Any) -> None:
        xml: ET.Element = stanza.xml
        sender = xml.get("from", self.jid)
        kind = xml.get("type", "available")
        if kind in ("available", "unavailable"):
            self.presences[sender] = Presence(
                jid=sender,
                type=kind,
                show=xml.findtext(f"{_CLIENT}show") or "",
                status=xml.findtext(f"{_CLIENT}status") or "",
                xml=xml,
            )
        elif kind in ("subscribed", "unsubscribed", "error"):
            self._subscriptions[sender.partition("/")[0]] = kind == "subscribed"
        elif kind == "subscribe" and self.accept_subscriptions:
            self.client.send_presence(pto=slixmpp.JID(sender), ptype="subscribed")
        self._changed.set()


def _is_from(sender: str, jid: str | None) -> bool:
    return jid is None or sender == jid or sender.partition("/")[0] == jid
