"""The account of a device: its password, and how it comes to be on the server.

Each way of making accounts (`register`, `invite`, `admin`, `ejabberd_api`) is a Method. Whatever
the way, an account counts as made when a login with its password has succeeded.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import UxmppError
from . import session
from .session import Place, ServerError, Unreached, WrongPassword

#: Random bytes of a password: 144 bits, as 24 letters, digits, - and _.
PASSWORD_BYTES = 18
# None like another, as in thing/pairing.py
_SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
#: Signs of a pairing code, in two groups: 40 bits.
CODE_SIGNS = 8


class AccountError(UxmppError):
    """There is no account; the text says why, and what to do."""


class Exists(AccountError):  # noqa: N818 - what it is
    """There is an account of that name already."""


class MayExist(Exists):
    """The server refuses it in words, which may say that."""


class NotAllowed(AccountError):  # noqa: N818
    """The server does not let us make accounts that way, or not now: the next one would fare no
    better."""


@dataclass(frozen=True)
class Order:
    """An account that is wanted: `jid` in normal form; `invitation`: a token of XEP-0445."""

    jid: str
    password: str = field(repr=False)
    place: Place
    invitation: str | None = field(default=None, repr=False)


class Method(Protocol):
    """A way of making accounts."""

    async def create(self, order: Order) -> None:
        """Have the server make the account. Raises Exists; NotAllowed, AccountError or Unreached
        where it was certainly not made; another ServerError where nobody knows."""

    async def close(self) -> None:
        """Give back what it holds."""


def password() -> str:
    """Return a new password; ASCII, so it is its own prepared form (RFC 7613)."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def pairing_code() -> str:
    """Return a new pairing code, as thing/pairing.py makes them."""
    code = "".join(secrets.choice(_SIGNS) for _ in range(CODE_SIGNS))
    return f"{code[: CODE_SIGNS // 2]}-{code[CODE_SIGNS // 2 :]}"


async def ensure(
    method: Method, order: Order, *, asked: bool, unmade: Callable[[], None] | None = None
) -> tuple[list[str | int], bool]:
    """Have there be the account, with that password; return its login keys, as device.json has
    them, and whether it was made now. `asked`: it may have been asked for before, by a run that
    was interrupted. `unmade` is called where it is certain that no account got that password, so
    that another one may be taken the next time. Raises AccountError, ServerError."""
    if asked:
        try:
            return await session.login_keys(order.jid, order.password, order.place), False
        except WrongPassword:
            pass
    why = AccountError(
        f"{order.jid}: the server says that the account is made, and refuses its password"
    )
    made = False
    try:
        await method.create(order)
        made = True
    except MayExist as e:
        why = e
    except Exists:
        why = Exists(f"{order.jid}: there is such an account already, with another password")
    except (AccountError, Unreached):
        if unmade and not asked:
            unmade()
        raise
    try:
        return await session.login_keys(order.jid, order.password, order.place), made
    except WrongPassword:
        if unmade and not made and not asked:
            unmade()
        raise why from None
    except ServerError:
        if isinstance(why, MayExist):
            raise why from None
        raise
