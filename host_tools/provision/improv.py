"""Improv Serial, the side of the host: a board is told its WiFi network by the serial line.

The protocol is https://www.improv-wifi.com/serial/; the device's side is
`firmware/thing/improv.py`. What a board says besides packets is its console, and is kept.
"""

import re
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from ..errors import UxmppError
from ..flash import ports
from .session import said

HEAD = b"IMPROV\x01"
STATE, ERROR, COMMAND, RESULT = 1, 2, 3, 4
WAITS, TRIES, JOINED = 2, 3, 4
SEND_WIFI, ASK_STATE, ASK_INFO, ASK_NETWORKS = 1, 2, 3, 4
NOT_JOINED = 3

#: Seconds that a board may take to answer at all: it may be starting.
FIND_LIMIT_S = 15.0
#: Seconds between two questions whether it is there.
ASK_AGAIN_S = 3.0
#: Seconds that a program that was begun anew may take: it tries a network that it knows first.
RESTART_LIMIT_S = 35.0
ANSWER_LIMIT_S = 5.0
SCAN_LIMIT_S = 20.0
JOIN_LIMIT_S = 45.0
#: The most console lines that are kept, bytes of one, and networks.
MAX_LINES = 50
MAX_LINE = 512
MAX_NETWORKS = 64
#: By the standard (IEEE 802.11), in bytes of UTF-8.
MAX_SSID = 32
MAX_PASSWORD = 64

_ERRORS = {
    1: "it could not read the packet",
    2: "it does not know this command",
    3: "it could not join the network",
    255: "something failed there",
}


class ImprovError(UxmppError):
    """The board did not take the network, or is no board that takes one."""


class NotJoinedError(ImprovError):
    """The board tried the network, and could not join it."""


@dataclass(frozen=True)
class Info:
    """What a board says of itself."""

    firmware: str
    version: str
    chip: str
    name: str


@dataclass(frozen=True)
class Network:
    """A WiFi network that the board sees; `signal` in dBm."""

    ssid: str
    signal: int
    secured: bool


def packet(kind: int, data: bytes) -> bytes:
    """Return a packet. Raises ValueError for more than 255 bytes."""
    text = HEAD + bytes((kind, len(data))) + data
    return text + bytes((sum(text) & 255,)) + b"\n"


def command(number: int, data: bytes = b"") -> bytes:
    """Return the packet of a command."""
    return packet(COMMAND, bytes((number, len(data))) + data)


def strings(data: bytes) -> list[str]:
    """Return the texts of a result, each with its length before it; what is cut is left out."""
    found = []
    while data and data[0] < len(data):
        found.append(data[1 : data[0] + 1].decode(errors="replace"))
        data = data[data[0] + 1 :]
    return found


class Reader:
    """Takes what a board sends; `lines` are the last ones of its console."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque(maxlen=MAX_LINES)
        self._data = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the packets (type, data) that are complete now."""
        found: list[tuple[int, bytes]] = []
        self._data += data
        while True:
            at = self._data.find(HEAD)
            if at < 0:
                # What may become a packet begins a line
                self._console(max(self._data.rfind(b"\n") + 1, len(self._data) - MAX_LINE))
                return found
            self._console(at)
            end = 9 + self._data[8] if len(self._data) > 8 else len(self._data)
            if len(self._data) <= end:
                return found
            if sum(self._data[:end]) & 255 == self._data[end]:
                found.append((self._data[7], self._data[9:end]))
                self._data = self._data[end + 1 :]
            else:
                self._data = self._data[len(HEAD) :]

    @property
    def prompt(self) -> bool:
        """Whether the last that was said is MicroPython's prompt: no program runs there."""
        return self._data.startswith(b">>> ")

    def _console(self, end: int) -> None:
        if end > 0:
            text = self._data[:end].decode(errors="replace")
            self.lines.extend(line.rstrip() for line in text.split("\n") if line.strip())
            self._data = self._data[end:]


class Improv:
    """A board on an opened serial port (a serial.Serial), called `name` in errors. The port is
    read in short steps: its timeout is set."""

    def __init__(self, port: Any, name: str) -> None:
        self._port = port
        self._name = name
        port.timeout = 0.05
        self.reader = Reader()
        self._waiting: deque[tuple[int, bytes]] = deque()
        #: The last state that it told, or 0.
        self.state = 0

    def find(
        self, limit_s: float = FIND_LIMIT_S, restart_limit_s: float = RESTART_LIMIT_S
    ) -> Info:
        """Wait until it answers, and return what it says of itself. Raises ImprovError.

        A question holds the byte of Ctrl-C, which ends a program that does not wait for any. Then
        that is begun anew, and nothing more is sent until it says that it listens.
        """
        end = time.monotonic() + limit_s
        again = 0.0
        restarted = False
        while not self.state:
            if time.monotonic() >= end or restarted and self._online():
                raise ImprovError(self._silent(restarted))
            if self.reader.prompt and not restarted:
                restarted = True
                end = time.monotonic() + restart_limit_s
                self._write(b"\x03\x04")  # drop the line that the question's rest is, restart
            elif not restarted and time.monotonic() >= again:
                self._write(command(ASK_STATE))
                again = time.monotonic() + ASK_AGAIN_S
            self._next()
        texts = self._ask(ASK_INFO, b"", ANSWER_LIMIT_S)
        return Info(*(texts + [""] * 4)[:4])

    def networks(self) -> list[Network]:
        """Return the networks that it sees, the strongest first. Raises ImprovError."""
        found: dict[str, Network] = {}
        self._write(command(ASK_NETWORKS))
        end = time.monotonic() + SCAN_LIMIT_S
        while True:
            texts = self._result(ASK_NETWORKS, end)
            if not texts or len(found) >= MAX_NETWORKS:
                return sorted(found.values(), key=lambda n: -n.signal)
            ssid, signal, secured = (texts + ["", ""])[:3]
            number = int(signal) if re.fullmatch(r"-?\d{1,4}", signal, re.A) else 0
            if ssid and (ssid not in found or found[ssid].signal < number):
                found[ssid] = Network(ssid, number, secured != "NO")

    def join(self, ssid: str, password: str) -> str:
        """Have it try the network, and keep it where it can be joined; return the address that
        it tells people then, or "". Raises NotJoinedError, ImprovError."""
        data = b""
        for text, limit, what in (
            (ssid, MAX_SSID, "a network's name"),
            (password, MAX_PASSWORD, "a WiFi password"),
        ):
            raw = text.encode()
            if len(raw) > limit:
                raise ImprovError(f"{what} has {limit} bytes at most, this one {len(raw)}")
            data += bytes((len(raw),)) + raw
        if not ssid:
            raise ImprovError("a network's name is needed: --ssid")
        self.reader.lines.clear()
        texts = self._ask(SEND_WIFI, data, JOIN_LIMIT_S)
        return texts[0] if texts else ""

    def _ask(self, number: int, data: bytes, limit_s: float) -> list[str]:
        self._write(command(number, data))
        return self._result(number, time.monotonic() + limit_s)

    def _result(self, number: int, end: float) -> list[str]:
        while time.monotonic() < end:
            kind, data = self._next()
            if kind == ERROR and data and data[0]:
                raise self._failed(data[0])
            if kind == RESULT and data[:1] == bytes((number,)):
                return strings(data[2:])
        raise ImprovError(f"{self._name}: the board stopped answering: restart it and try again")

    def _next(self) -> tuple[int, bytes]:
        """Return the next packet, (0, b"") where there is none now."""
        import serial  # type: ignore[import-untyped]

        if not self._waiting:
            try:
                data = self._port.read(self._port.in_waiting or 1)
            except (serial.SerialException, OSError) as e:
                raise ImprovError(ports.explain(self._name, e)) from None
            self._waiting.extend(self.reader.feed(data))
        if not self._waiting:
            return 0, b""
        kind, data = self._waiting.popleft()
        if kind == STATE and data:
            self.state = data[0]
        return kind, data

    def _write(self, data: bytes) -> None:
        import serial

        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as e:
            raise ImprovError(ports.explain(self._name, e)) from None

    def _failed(self, error: int) -> ImprovError:
        if error != NOT_JOINED:
            what = _ERRORS.get(error, f"its error is {error}")
            return ImprovError(f"{self._name}: the board refused: {what}")
        # Its log says why, where it is one of ours
        log = [line for line in self.reader.lines if line.startswith("WiFi: ")]
        why = said(log[-1].removeprefix("WiFi: ")) if log else "it could not join the network"
        return NotJoinedError(f"not joined: {why}; nothing was changed on the board")

    def _online(self) -> bool:
        return any(line.endswith((": online", ": resumed")) for line in self.reader.lines)

    def _silent(self, restarted: bool) -> str:
        if self._online():
            return f"{self._name}: the board is on a network and online; its program was restarted"
        did = "; its program was restarted" if restarted else ""
        return (
            f"{self._name}: no board there asks for a network{did}: it does so only while it can "
            'join none, and with "wifi" in its settings'
        )
