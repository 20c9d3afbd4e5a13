"""Passwords and tokens: from wherever they are kept, never from the command line."""

import getpass
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import UxmppError

VARIABLE = "UXMPP_PASSWORD"
WIFI_VARIABLE = "UXMPP_WIFI_PASSWORD"
#: What the keyring and systemd know it by.
SERVICE = "uxmpp"
WIFI_SERVICE = "uxmpp-wifi"
CREDENTIAL = "password"


def password(jid: str, kept: str | None = None, *, ask: bool = True) -> str | None:
    """Return the password of `jid`, or None where nobody has it: systemd's credential, the
    environment (which forgets it), `kept`, the keyring if there is one, or with `ask` whoever
    sits at the terminal. Raises UxmppError for a credential that cannot be read."""
    given = os.environ.pop(VARIABLE, None)
    return (
        _credential()
        or given
        or kept
        or _keyring(jid)
        or (_typed(f"Password of {jid}") if ask else None)
    )


def other(variable: str, what: str, name: str, *, ask: bool = True) -> str | None:
    """Return another secret than a device's password: the environment's `variable` (which forgets
    it), what the keyring has for `name`, or with `ask` what the one at the terminal types who is
    asked for `what`; None where nobody has it."""
    return os.environ.pop(variable, None) or _keyring(name) or (_typed(what) if ask else None)


def wifi_password(ssid: str, *, ask: bool = True) -> str | None:
    """Return the password of the WiFi network `ssid`, "" for an open one, or None where nobody
    knows: the environment (which forgets it), the keyring, or with `ask` who is at the terminal.
    """
    given = os.environ.pop(WIFI_VARIABLE, None)
    if given is None:
        given = _keyring(ssid, WIFI_SERVICE)
    if given is None and ask:
        given = typed(f"Password of the WiFi {ssid} (none: Enter)")
    return given


def keyring() -> Any:
    """Return the package keyring. Raises UxmppError where it is not installed."""
    try:
        return import_module("keyring")
    except ImportError:
        raise UxmppError("there is no keyring here: pip install 'uxmpp[keyring]'") from None


def keep(jid: str, secret: str) -> None:
    """Put the password of `jid` into the keyring. Raises UxmppError where that does not work."""
    try:
        keyring().set_password(SERVICE, jid, secret)
    except UxmppError:
        raise
    except Exception as e:  # locked, without a desktop; each backend has errors of its own
        said = " ".join(str(e).split())
        raise UxmppError(f"the keyring does not take the password of {jid}: {said}") from None


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


def _keyring(name: str, service: str = SERVICE) -> str | None:
    try:
        found = import_module("keyring").get_password(service, name)
    except Exception:  # not installed, or locked, or without a desktop
        return None
    return found if isinstance(found, str) else None


def _typed(what: str) -> str | None:
    return typed(what) or None


def typed(what: str) -> str | None:
    """Return what whoever sits at the terminal types when asked for `what`, unseen; "" for no
    more than Enter, None where nobody sits there."""
    if not (sys.stdin and sys.stdin.isatty()):
        return None
    try:
        return getpass.getpass(f"{what}: ")
    except EOFError:
        return None
