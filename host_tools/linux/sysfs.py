"""The kernel's files about sensors that it has drivers for."""

import os
from pathlib import Path

#: Where they are; for tests, and containers that have them elsewhere.
VARIABLE = "UXMPP_SYSFS"


def folder(name: str) -> Path:
    """Return a folder below /sys."""
    return Path(os.environ.get(VARIABLE) or "/sys", name)


def number(path: Path) -> int:
    """Return the number in a file. Raises OSError."""
    text = path.read_text("ascii").strip()
    try:
        return int(text)
    except ValueError:
        raise OSError(f"{path}: is no number: {text[:32]!r}") from None
