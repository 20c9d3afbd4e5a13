"""The serial ports that boards are on."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..errors import UxmppError
from . import boards
from .boards import Board

#: What may stand in front of a port that is not of this computer.
REMOTE = ("socket://", "rfc2217://")
#: The most ports that an error lists.
MAX_LISTED = 8


class PortError(UxmppError):
    """A port that is not there, or not ours to use; the text says what to do."""


@dataclass(frozen=True)
class Port:
    """A serial port of this computer."""

    device: str
    #: What the system calls what is on it, or "".
    description: str
    #: (vendor, product), or None.
    usb: tuple[int, int] | None

    def __str__(self) -> str:
        usb = f"{self.usb[0]:04x}:{self.usb[1]:04x}" if self.usb else ""
        about = ", ".join(filter(None, (self.description, usb)))
        return f"{self.device} ({about})" if about else self.device


def on_usb() -> list[Port]:
    """Return the ports that are on USB, as a board's is."""
    from serial.tools import list_ports  # type: ignore[import-untyped]

    return [
        Port(p.device, "" if p.description in (None, "n/a") else p.description, (p.vid, p.pid))
        for p in sorted(list_ports.comports())
        if p.vid is not None and p.pid is not None
    ]


def of_boards(board: Board | None, there: Iterable[Port]) -> list[Port]:
    """Return those of the ports that may be the board's, or without one any board's."""
    known = {usb for b in ([board] if board else boards.every()) for usb in b.usb}
    return [p for p in there if p.usb in known]


def choose(
    board: Board | None,
    port: str | None,
    say: Callable[[str], None],
    *,
    ask: Callable[[str], str] | None = None,
    there: list[Port] | None = None,
) -> str:
    """Return the port to use: `port` if it is given and there, else the one that the board, or
    any, is found on. Of several, `ask` gets a question and returns the answer; without it (by
    default: where nobody sits at the terminal) several are an error.

    `say` is told what was found. `there`: the ports on USB, if not those of this computer. Raises
    PortError.
    """
    if port:
        check(port)
        return port
    there = on_usb() if there is None else there
    found = of_boards(board, there)
    what = f"the {board.title}" if board else "a board"
    if not found:
        raise PortError(_none(what, there))
    if len(found) == 1:
        say(f"Found {found[0]}")
        return found[0].device
    if ask is None and sys.stdin and sys.stdin.isatty():
        ask = input
    listed = [f"  {i}  {p}" for i, p in enumerate(found, 1)]
    if ask is None:
        raise PortError(f"several ports may be {what}: {_listed(found)}; say which by --port")
    say("\n".join([f"Several ports may be {what}:", *listed]))
    answer = ask(f"Which? [1-{len(found)}] ").strip()
    if not answer.isdecimal() or not 1 <= int(answer) <= len(found):
        raise PortError(f"{answer[:20]!r} is none of 1 to {len(found)}: nothing was done")
    return found[int(answer) - 1].device


def _none(what: str, there: list[Port]) -> str:
    others = f" (there is {_listed(there)})" if there else ""
    return (
        f"no port here looks like {what}{others}: plug it in, by a cable that carries data, or "
        "say which port by --port"
    )


def _listed(found: list[Port]) -> str:
    more = len(found) - MAX_LISTED
    text = ", ".join(map(str, found[:MAX_LISTED]))
    return f"{text} and {more} more" if more > 0 else text


def check(port: str) -> None:
    """Raise PortError for the name of a port that is not there, as far as can be seen without
    opening it."""
    if port.startswith(REMOTE):
        with contextlib.suppress(ValueError):
            if urlsplit(port).hostname and urlsplit(port).port:
                return
        raise PortError(f"port {port}: must be {port.partition('://')[0]}://HOST:PORT")
    if "://" in port:
        raise PortError(f"port {port}: must be a serial port, {' or '.join(REMOTE)}")
    if os.name != "nt" and not os.path.exists(port):  # noqa: PTH110 - a port is a name
        raise PortError(_missing(port))
    if os.path.isfile(port) or os.path.isdir(port):  # noqa: PTH112, PTH113
        raise PortError(f"port {port}: is no serial port")


def _missing(port: str) -> str:
    there = on_usb()
    others = f"there is {_listed(there)}" if there else "no port of a board is there"
    return f"port {port}: there is no such port; {others}"


def open_port(port: str, baud: int = 115200, timeout_s: float | None = None) -> Any:
    """Return the opened port, a serial.Serial that nobody else has open. Raises PortError."""
    import serial  # type: ignore[import-untyped]

    check(port)
    try:
        opened = serial.serial_for_url(port, do_not_open=True, exclusive=True)
        opened.baudrate = baud
        opened.timeout = timeout_s
        opened.open()
    except (serial.SerialException, OSError, ValueError) as e:
        raise PortError(explain(port, e)) from None
    return opened


def explain(port: str, error: Exception) -> str:
    """Return in one line why a port did not open, or stopped, and what to do."""
    number = getattr(error, "errno", None)
    text = " ".join(str(error).split())
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV) or "FileNotFoundError" in text:
        return _missing(port)
    if "Permission denied" in text or number == errno.EACCES:
        return (
            f"port {port}: you may not open it: join the group dialout (or uucp), log in again, "
            "or close the program that has it"
        )
    busy = ("exclusively lock", "Resource busy", "temporarily unavailable", "Access is denied")
    if number in (errno.EBUSY, errno.EAGAIN) or any(said in text for said in busy):
        return f"port {port}: is busy: close the monitor or the other program that has it open"
    if "Connection refused" in text or number == errno.ECONNREFUSED:
        return f"port {port}: nobody listens there"
    if (
        number in (errno.ENOTTY, errno.EISDIR)
        or "Inappropriate ioctl" in text
        or "Could not configure" in text
    ):
        return f"port {port}: is no serial port"
    # The library repeats itself: "could not open port X: [Errno 21] could not open …: why"
    text = text.rpartition("[Errno ")[2].partition("] ")[2] or text
    return f"port {port}: {text.removeprefix(f'could not open port {port}: ')[:200]}"
