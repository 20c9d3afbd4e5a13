"""Accounts by an administrator's ad-hoc command (XEP-0133 section 4.1)."""

import asyncio
from typing import Any

from . import session
from .accounts import AccountError, Exists, MayExist, NotAllowed, Order
from .device_file import firmware
from .register import FORM, fill
from .session import Place, Refused, ServerError, Session, Unreached, WrongPassword, said

COMMANDS = "http://jabber.org/protocol/commands"
ADD_USER = "http://jabber.org/protocol/admin#add-user"
_NOT_FOR_US = ("forbidden", "not-allowed", "item-not-found", "service-unavailable")


class Admin:
    """Has the administrator `jid` make the accounts, in one session, one after another."""

    def __init__(self, jid: str, password: str) -> None:
        self.jid = jid
        self._password = password
        self._session: Session | None = None
        self._lock = asyncio.Lock()
        self._wrong = False

    async def create(self, order: Order) -> None:
        """As Method.create()."""
        async with self._lock:
            again = self._session is not None
            try:
                await self._create(order)
            except ServerError as e:
                # The line may have been cut since the last one
                await self.close()
                if not again:
                    raise
                try:
                    await self._create(order)
                except Exists:
                    raise
                except (AccountError, Unreached):
                    # It was not made now; but the first try may have been heard
                    raise e from None

    async def close(self) -> None:
        """As Method.close()."""
        if self._session:
            session, self._session = self._session, None
            await session.close()

    async def _create(self, order: Order) -> None:
        if not self._session:
            self._session = await self._log_in(_place_of(self.jid, order))
        try:
            await self._command(self._session, order)
        except Refused as e:
            if e.condition == "conflict":
                raise Exists(f"{order.jid}: there is such an account already") from None
            if e.condition in _NOT_FOR_US:
                raise NotAllowed(
                    f"{self.jid} may not add users on {_domain(order)}, or the server has no such "
                    f"command (XEP-0133): {e.said}"
                ) from None
            kind = ServerError if e.unsure else AccountError
            raise kind(f"{order.jid}: the server refuses it: {e.said}") from None

    async def _log_in(self, place: Place) -> Session:
        if not self._wrong:  # not once for each device, or the account is locked
            try:
                return await session.log_in(self.jid, self._password, place)
            except WrongPassword:
                self._wrong = True
        raise NotAllowed(f"{self.jid}: the server does not take the administrator's password")

    async def _command(self, session: Session, order: Order) -> None:
        domain = _domain(order)
        element = firmware("uxmpp.xml").Element
        ask = element("command", COMMANDS, {"node": ADD_USER, "action": "execute"})
        answer = (await session.ask("set", ask, domain)).find("command", COMMANDS)
        form = answer and answer.find("x", FORM)
        if not form:
            raise AccountError(f"{order.jid}: {domain} sends no form for it: {_note(answer)}")
        known = {
            "accountjid": order.jid,
            "password": order.password,
            "password-verify": order.password,
        }
        attrs = {"node": ADD_USER, "sessionid": answer.get("sessionid"), "action": "complete"}
        submit = element("command", COMMANDS, attrs, [fill(form, known, f"{order.jid}: {domain}")])
        answer = (await session.ask("set", submit, domain)).find("command", COMMANDS)
        if answer is None or answer.get("status") != "completed":
            raise ServerError(f"{order.jid}: {domain} does not complete the command")
        note = answer.find("note")
        if note is not None and note.get("type") == "error":
            # Whether it is that the account is there, its words alone would tell
            raise MayExist(f"{order.jid}: {domain} refuses it: {said(note.text)}")


def _note(answer: Any) -> str:
    note = answer and answer.find("note")
    return said(note.text) if note else "nothing"


def _domain(order: Order) -> str:
    return order.jid.partition("@")[2]


def _place_of(jid: str, order: Order) -> Place:
    """Return where the administrator logs in: where the device does, if it is the same domain."""
    if jid.partition("@")[2] == _domain(order):
        return order.place
    return Place(order.place.ca, order.place.pin, nameserver=order.place.nameserver)
