"""Telling systemd how the service is (sd_notify(3)), without a library."""

import os
import socket
from contextlib import suppress

#: The most characters of one message.
MAX_TEXT = 1000
#: Seconds that the manager may take to have room for it.
WAIT_S = 0.2


def notify(*lines: str) -> bool:
    """Tell the service manager, "READY=1" and the like; whether there is one that listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return False
    text = "\n".join(" ".join(line.split())[:MAX_TEXT] for line in lines)
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        # Its queue may be full for a moment; the device has better things to do than to wait long
        s.settimeout(WAIT_S)
        s.sendto(text.encode(errors="replace"), address.replace("@", "\0", 1))
        return True
    return False


def watchdog_ms() -> int:
    """Return the milliseconds within which the manager wants to hear that all is well; 0: it does
    not."""
    text = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID") or str(os.getpid())
    return int(text) // 1000 if text.isdecimal() and pid == str(os.getpid()) else 0
