"""What a board holds that would be lost by flashing it, in words."""

import re
from collections.abc import Collection

#: What MicroPython itself puts into an empty file system.
STOCK = {"boot.py"}
#: Names that are told before the rest is left out, and characters of an account.
MAX_NAMED = 4
MAX_SHOWN = 100


def words(names: Collection[str], jid: object = None) -> str | None:
    """Return in words what is lost with the files `names` of a board's root and the account `jid`
    that its device.json says; None where that is nobody's."""
    if not set(names) - STOCK:
        return None
    if isinstance(jid, str) and jid:
        return f"the device {_shown(jid)} and what it keeps"
    some = ", ".join(_shown(name) for name in sorted(names)[:MAX_NAMED])
    return f"files ({some}{' …' if len(names) > MAX_NAMED else ''})"


def _shown(text: str) -> str:
    # Written by whoever had the board before
    return re.sub(r"[^\x21-\x7e]", "?", text)[:MAX_SHOWN]
