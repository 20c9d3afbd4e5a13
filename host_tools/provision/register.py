"""Accounts by in-band registration (XEP-0077), also with a token of an invitation (XEP-0445)."""

from collections.abc import Mapping
from typing import Any

from . import invite
from .accounts import AccountError, Exists, NotAllowed, Order
from .device_file import firmware
from .session import Refused, ServerError, Session, said, secured

#: The most fields of a form that are looked at.
MAX_FIELDS = 64

REGISTER = "jabber:iq:register"
FORM = "jabber:x:data"
_FEATURE = "http://jabber.org/features/iq-register"
_TOKEN = ("urn:xmpp:ibr-token:0", "urn:xmpp:invite")
_PREAUTH = "urn:xmpp:pars:0"
_OOB = "jabber:x:oob"
# XEP-0158, and what servers call it besides
_CAPTCHA = ("captcha", "ocr", "qa", "challenge", "SHA-256", "audio_recog", "picture_q", "speech_q")
_CLOSED = ("not-allowed", "forbidden", "service-unavailable", "feature-not-implemented")
# What a person would be told, and what a form says of itself
_NO_FIELDS = ("instructions", "registered", "x", "data")


class Registration:
    """Registers accounts in-band, with a token where an order has an invitation. `fields`: what
    the server may ask for besides name and password, as email."""

    def __init__(self, fields: Mapping[str, str] | None = None) -> None:
        self._fields = dict(fields or {})

    async def create(self, order: Order) -> None:
        """As Method.create()."""
        given = order.invitation
        token = invite.token(given, order.jid) if given is not None else None
        async with secured(order.jid, order.place) as session:
            if token is not None:
                await self._present(session, order, token)
            elif session.features.find("register", _FEATURE) is None:
                raise NotAllowed(
                    f"{_domain(order)} registers no accounts in-band: make it --by admin, api or "
                    "invite"
                )
            await self._register(session, order)

    async def close(self) -> None:
        """As Method.close()."""

    async def _present(self, session: Session, order: Order, token: str) -> None:
        if not any(session.features.find("register", name) for name in _TOKEN):
            raise NotAllowed(f"{_domain(order)} takes no invitations (XEP-0445)")
        ask = firmware("uxmpp.xml").Element("preauth", _PREAUTH, {"token": token})
        try:
            await session.ask("set", ask, _domain(order))
        except Refused as e:
            raise AccountError(
                f"{order.jid}: the invitation is not valid, or not any more: {e.said}"
            ) from None

    async def _register(self, session: Session, order: Order) -> None:
        domain = _domain(order)
        element = firmware("uxmpp.xml").Element
        try:
            answer = await session.ask("get", element("query", REGISTER))
            query = answer.find("query", REGISTER)
            if answer.truncated or query is None:
                raise AccountError(
                    f"{order.jid}: {domain} sends no form for its registration, or one that is "
                    "too long, as with a picture to be read: --by admin, api or invite"
                )
            await session.ask("set", self._filled(query, order))
        except Refused as e:
            raise _explained(order, e) from None

    def _filled(self, query: Any, order: Order) -> Any:
        """Return the <query/> that answers the one that came (XEP-0077 section 5: a form comes
        first)."""
        element = firmware("uxmpp.xml").Element
        known = {
            **self._fields,
            "username": order.jid.partition("@")[0],
            "password": order.password,
        }
        answer = element("query", REGISTER)
        form = query.find("x", FORM)
        if form is not None:
            answer.children.append(fill(form, known, f"{order.jid}: {_domain(order)}"))
            return answer
        asked = [el.name for el in query.elements() if el.name not in _NO_FIELDS]
        words = query.find("instructions")
        web = query.find("x", _OOB)
        if not asked and web is not None:
            url = web.find("url")
            raise NotAllowed(
                f"{_domain(order)} makes accounts on a web page only: "
                f"{said(url.text if url else '')}"
            )
        _missing(
            [name for name in asked if name not in known and name != "key"],
            words.text if words else "",
            f"{order.jid}: {_domain(order)}",
        )
        for el in query.elements():
            if el.name in known or el.name == "key":
                answer.add(el.name, None, None, known.get(el.name, el.text))
        return answer


def fill(form: Any, known: Mapping[str, str], who: str) -> Any:
    """Return the form (XEP-0004) filled in and submitted: hidden fields and proposals as they
    came, others by what is `known` of them. Raises AccountError for what is asked besides; `who`
    asks."""
    element = firmware("uxmpp.xml").Element
    answer = element("x", FORM, {"type": "submit"})
    missing = []
    words = [el.text for el in form.elements() if el.name == "instructions"]
    for field in [el for el in form.elements() if el.name == "field"][:MAX_FIELDS]:
        name, kind = field.get("var") or "", field.get("type") or "text-single"
        values = [el.text for el in field.elements() if el.name == "value"]
        if name in _CAPTCHA or values == ["urn:xmpp:captcha"]:
            raise AccountError(
                f"{who} wants a captcha solved, which is for people: make the account --by admin, "
                "api or invite"
            )
        if kind == "fixed":
            continue
        if name in known:
            values = [known[name]]
        elif kind != "hidden" and field.find("required") and not any(values):
            missing.append(f"{name} ({said(field.get('label') or name)})")
        if name and (any(values) or kind == "hidden"):
            attrs = {"var": name, "type": kind if kind == "hidden" else None}
            made = element("field", FORM, attrs)
            answer.children.append(made)
            for value in values:
                made.add("value", None, None, value)
    _missing(missing, " ".join(words), who)
    return answer


def _missing(names: list[str], words: str, who: str) -> None:
    if any(name in _CAPTCHA for name in names):
        raise AccountError(f"{who} wants a captcha solved: make the account --by admin or api")
    if names:
        told = f" It says: {said(words)}" if words.strip() else ""
        raise AccountError(
            f"{who} also asks for {', '.join(names)}: give it by --field NAME=VALUE.{told}"
        )


def _domain(order: Order) -> str:
    return order.jid.partition("@")[2]


def _explained(order: Order, e: Refused) -> AccountError | ServerError:
    """Return what an error for a registration (XEP-0077 section 3.1) means."""
    domain = _domain(order)
    if e.unsure:
        return ServerError(f"{order.jid}: {domain} fails with the registration: {e.said}")
    if e.condition == "conflict":
        return Exists(f"{order.jid}: there is such an account already")
    if e.kind == "wait" or e.condition == "resource-constraint":
        return NotAllowed(
            f"{order.jid}: {domain} takes no more registrations for the moment ({e.said}): try "
            "again later, or --by admin or api"
        )
    if e.condition in _CLOSED:
        return NotAllowed(f"{domain} does not let us register accounts: {e.said}")
    return AccountError(f"{order.jid}: {domain} refuses the registration: {e.said}")
