"""A board's log by its serial line, with times: what `uxmpp monitor` does."""

import contextlib
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from ..errors import UxmppError
from . import ports
from .ports import PortError
from .traceback import Decoder

#: Seconds of silence after which the beginning of a line is shown.
IDLE_S = 0.4
#: How often a port that is gone is looked for, seconds.
LOOK_S = 0.2
#: The most characters of a line; a longer one is cut in pieces.
MAX_LINE = 2000
#: The most pieces that wait to be shown.
MAX_WAITING = 10_000
#: The most bytes of a log file; nothing is added to a longer one.
MAX_LOG = 64 * 1024 * 1024
#: What stands in the place of a secret.
HIDDEN = "••••"

_IMPROV = b"IMPROV\x01"
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_SECRETS = ("password", "keys", "pair")


class MonitorError(UxmppError):
    """What cannot be shown or kept, and why."""


def secrets(values: Mapping[str, Any]) -> list[str]:
    """Return the secrets that stand in a device.toml: what is never shown."""
    found: list[str] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += secrets(value)
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, Mapping):
                    found += secrets(each)
                elif key == "keys" and isinstance(each, str) and not each.startswith("SCRAM-"):
                    found.append(each)
        elif key in _SECRETS and isinstance(value, str):
            found.append(value)
    return sorted({text for text in found if text}, key=len, reverse=True)


class Lines:
    """Bytes of a serial line to lines for people: whole ones, without what a terminal would act
    on, without `hidden` texts, without Improv's packets and the empty lines before them."""

    def __init__(self, hidden: Iterable[str] = ()) -> None:
        self._hidden = tuple(hidden)
        self._data = b""
        #: Whether the board has said by Improv that it waits for a network.
        self.waits = False

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the lines that are whole now."""
        self._data += data
        while True:
            if self._data.startswith(_IMPROV) and self._packet():
                if self._data.startswith(_IMPROV):
                    return
                continue
            end = self._data.find(b"\n")
            if end < 0 and len(self._data) <= MAX_LINE:
                return
            if not 0 <= end <= MAX_LINE:
                end = MAX_LINE - self._begun(self._data[:MAX_LINE])
            line, self._data = self._data[:end], self._data[end:].removeprefix(b"\n")
            text = self._shown(line)
            if text:
                yield text

    def idle(self) -> str | None:
        """Return the beginning of a line that does not go on, or None. What may become a secret
        or a packet stays back."""
        data = self._data.rstrip(b"\r")
        if not data or _IMPROV.startswith(data[: len(_IMPROV)]):
            return None
        if self._begun(data):
            return None
        self._data = self._data[len(data) :]
        return self._shown(data)

    def end(self) -> str | None:
        """Return what is left when the line has ended, or None."""
        data, self._data = self._data, b""
        return self._shown(data) or None

    def _begun(self, data: bytes) -> int:
        """Return how many bytes at the end of `data` are the beginning of a secret."""
        ends = (h.encode()[:n] for h in self._hidden for n in range(1, len(h.encode())))
        return max((len(e) for e in ends if data.endswith(e)), default=0)

    def _packet(self) -> bool:
        """Take a packet out, where one begins; False where it is none. As long as it is not whole
        it stays."""
        data = self._data
        if len(data) > 7 and not 1 <= data[7] <= 4:  # no type of theirs
            return False
        if len(data) < 9 or len(data) < 10 + data[8]:
            return True
        end = 9 + data[8]
        if sum(data[:end]) & 255 != data[end]:
            return False
        self.waits = self.waits or data[7] == 1 and data[9:10] == b"\2"
        self._data = data[end + 1 :].removeprefix(b"\n")
        return True

    def _shown(self, line: bytes) -> str:
        text = _COLOURS.sub("", line.decode(errors="replace").rstrip("\r"))
        for hidden in self._hidden:
            text = text.replace(hidden, HIDDEN)
        return "".join(c if c.isprintable() else " " for c in text.expandtabs()).rstrip()


class Monitor:
    """Shows what comes over a port. `find` returns the port's name, anew each time that it was
    gone; `show` gets each line; `decoder` explains; `hidden` is never shown; `log`: a file that
    everything is added to, too."""

    def __init__(
        self,
        find: Callable[[], str],
        show: Callable[[str], None],
        *,
        decoder: Decoder | None = None,
        hidden: Iterable[str] = (),
        log: Path | None = None,
        baud: int = 115200,
    ) -> None:
        self._find = find
        self._show = show
        self._decoder = decoder or Decoder()
        self._hidden = tuple(hidden)
        self._lines = Lines(self._hidden)
        self._baud = baud
        self._port: Any = None
        self._log = _opened(log) if log else None
        self._logged = self._log.tell() if self._log else 0
        self._waited = False

    def run(self) -> None:
        """Show what comes until KeyboardInterrupt; a port that goes is waited for. Raises
        PortError where it cannot be opened at first."""
        name = self._find()
        self._port = ports.open_port(name, self._baud, timeout_s=IDLE_S / 2)
        self._say(f"{name}: open; Ctrl-C ends")
        try:
            while True:
                try:
                    self._read()
                except OSError:  # pyserial's errors are
                    self._lost(name)
                    name = self._found()
        finally:
            self._end()

    def send(self, line: str) -> None:
        """Send a line to the board, as if it were typed there."""
        port = self._port
        try:
            if port is None:
                raise OSError
            port.write(line.rstrip("\r\n").encode() + b"\r")
        except OSError:
            self._say("that was not sent: the board is not there")

    def _read(self) -> None:
        """Show what comes; OSError when the port is gone."""
        come: queue.Queue[tuple[str, bytes | None]] = queue.Queue(MAX_WAITING)
        # To decode a traceback takes seconds the first time: what comes meanwhile has its time
        threading.Thread(target=_pump, args=(self._port, come), daemon=True).start()
        at = _now()
        while True:
            try:
                at, data = come.get(timeout=IDLE_S)
            except queue.Empty:
                part = self._lines.idle()
                if part:
                    self._line(at, part)
                continue
            if data is None:
                raise OSError
            for line in self._lines.feed(data):
                self._line(at, line)
            if self._lines.waits and not self._waited:
                self._waited = True
                self._say("the board waits for a WiFi network: `uxmpp wifi` tells it one")

    def _line(self, at: str, text: str) -> None:
        self._put(f"{at}  {text}".rstrip())
        for more in self._decoder.feed(text):
            for hidden in self._hidden:
                more = more.replace(hidden, HIDDEN)
            self._put(f"{'':12}    {more}")

    def _say(self, text: str) -> None:
        """What is not from the board."""
        self._put(f"{_now()}  --- {text}")

    def _put(self, text: str) -> None:
        # First what is kept: whoever presses Ctrl-C has seen nothing that is not
        if self._log and self._logged < MAX_LOG:
            entry = f"{datetime.now().date().isoformat()} {text}\n"
            self._logged += len(entry.encode())
            if self._logged >= MAX_LOG:
                entry += "--- the file is full: nothing more is kept\n"
            try:
                self._log.write(entry)
                self._log.flush()
            except OSError as e:
                self._log = None
                self._show(f"{_now()}  --- the log cannot be written any more: {e.strerror}")
        self._show(text)

    def _lost(self, name: str) -> None:
        self._close()
        rest = self._lines.end()
        if rest:
            self._line(_now(), rest)
        self._say(f"{name}: the board is gone, unplugged or restarted; waiting for it")

    def _found(self) -> str:
        while True:
            try:
                name = self._find()
                self._port = ports.open_port(name, self._baud, timeout_s=IDLE_S / 2)
            except PortError:
                time.sleep(LOOK_S)
                continue
            self._lines = Lines(self._hidden)
            self._say(f"{name}: it is back")
            return name

    def _close(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            with contextlib.suppress(OSError):
                port.close()

    def _end(self) -> None:
        self._close()
        rest = self._lines.end()
        if rest:
            self._line(_now(), rest)
        if self._log:
            self._log.close()


def _pump(port: Any, into: "queue.Queue[tuple[str, bytes | None]]") -> None:
    """Put what comes into a queue with its time, and None when the port is gone."""
    try:
        while True:
            data = port.read(max(1, port.in_waiting))
            if data:
                into.put((_now(), data))
    except Exception:  # noqa: BLE001 - closed meanwhile, or gone, which pyserial tells in many ways
        into.put((_now(), None))


def typed(source: TextIO, monitor: Monitor) -> None:
    """Send the lines of `source` to the board from now on, in a thread of its own."""

    def work() -> None:
        for line in source:
            monitor.send(line)

    threading.Thread(target=work, name="typed", daemon=True).start()


def _now() -> str:
    return datetime.now().strftime("%H:%M:%S.%f")[:12]


def _opened(path: Path) -> TextIO:
    try:
        # What a board says may be private
        path.touch(0o600)
        return path.open("a", encoding="utf-8")
    except OSError as e:
        raise MonitorError(f"{path}: the log cannot be written: {e.strerror}") from None
