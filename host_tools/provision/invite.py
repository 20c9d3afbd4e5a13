"""Invitations to make an account (XEP-0401, XEP-0445): the token in their addresses."""

import re
from urllib.parse import unquote

from .accounts import AccountError
from .device_file import firmware

#: The most characters of an invitation.
MAX_CHARS = 1024

_TOKEN = re.compile(r"[!-~]{1,256}")


def token(invitation: str, jid: str) -> str:
    """Return the token of an invitation, an address `xmpp:…?register;preauth=TOKEN` or a bare
    token, for the account `jid`. Raises AccountError for one that is for something else."""
    text = invitation.strip()
    if len(text) > MAX_CHARS:
        raise AccountError(f"{jid}: the invitation is longer than {MAX_CHARS} characters")
    if text.lower().startswith(("http:", "https:")):
        raise AccountError(
            f"{jid}: the invitation is a web page's address: take the xmpp: address from the page"
        )
    if not text.lower().startswith("xmpp:"):
        if not _TOKEN.fullmatch(text):
            raise AccountError(f"{jid}: the invitation is neither an xmpp: address nor a token")
        return text
    address, _, query = text[len("xmpp:") :].partition("?")
    action, *pairs = query.split(";")
    values = dict(pair.partition("=")[::2] for pair in pairs)
    found = unquote(values.get("preauth", ""))
    if action not in ("register", "roster") or not _TOKEN.fullmatch(found):
        raise AccountError(f"{jid}: no invitation: the address must have ?register;preauth=…")
    if action == "roster" and values.get("ibr") != "y":
        raise AccountError(f"{jid}: the invitation is to a contact, not to make an account")
    try:
        whom = str(firmware("uxmpp.jid").prepare(unquote(address)))
    except ValueError as e:
        raise AccountError(f"{jid}: the invitation: {e}") from None
    domain = whom.rpartition("@")[2]
    if domain != jid.partition("@")[2]:
        raise AccountError(f"{jid}: the invitation is for accounts at {domain}")
    if action == "register" and "@" in whom and whom != jid:
        raise AccountError(f"{jid}: the invitation is for {whom}")
    return found
