"""The password of a device's account: from wherever it is kept, never from the command line."""

import getpass
import os
import sys
from importlib import import_module
from pathlib import Path

from ..errors import UxmppError

VARIABLE = "UXMPP_PASSWORD"
#: What the keyring and systemd know it by.
SERVICE = "uxmpp"
CREDENTIAL = "password"


def password(jid: str, kept: str | None = None, *, ask: bool = True) -> str | None:
    """Return the password of `jid`, or None where nobody has it: systemd's credential, the
    environment (which forgets it), `kept`, the keyring if there is one, or with `ask` whoever
    sits at the terminal. Raises UxmppError for a credential that cannot be read."""
    given = os.environ.pop(VARIABLE, None)
    return _credential() or given or kept or _keyring(jid) or (_typed(jid) if ask else None)


def _credential() -> str | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    path = Path(folder, CREDENTIAL)
    try:
        # Who wrote the file ended its line
        return path.read_text("utf-8").rstrip("\r\n") or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as e:
        raise UxmppError(f"{path}: the password cannot be read: {e}") from None


def _keyring(jid: str) -> str | None:
    try:
        found = import_module("keyring").get_password(SERVICE, jid)
    except Exception:  # not installed, or locked, or without a desktop
        return None
    return found if isinstance(found, str) else None


def _typed(jid: str) -> str | None:
    if not (sys.stdin and sys.stdin.isatty()):
        return None
    try:
        return getpass.getpass(f"Password of {jid}: ") or None
    except EOFError:
        return None
