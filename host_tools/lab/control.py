"""What happens to a simulated board from outside: what it measures, its buttons and its WiFi, set
by a test or, over a socket in the board's folder, by a person at another terminal."""

import json
import math
import os
import re
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UxmppError
from ..flash.boards import Board

#: What a simulated DHT22 measures at first, °C and %.
FIRST = (21.5, 40.0)
#: The longest line over the socket, bytes.
MAX_LINE = 4096
ANSWER_LIMIT_S = 10.0

_SOCKET = "control.sock"
_WORDS = {"on": 1, "off": 0, "up": 1, "down": 0, "yes": 1, "no": 0, "true": 1, "false": 0}


class ControlError(UxmppError):
    """What cannot be set, or is not there to be asked; the text says why."""


@dataclass(frozen=True)
class Name:
    """Something that can be set: its least and most value, its unit, and what it is. `none`: it
    may also be nothing, as where a sensor does not answer; `pin`: a pin's number follows it."""

    name: str
    least: int
    most: int
    unit: str
    what: str
    none: bool = False
    pin: bool = False


NAMES = {
    n.name: n
    for n in (
        Name("temperature", -100, 200, "°C", "of each thermometer; none: no answer", none=True),
        Name("humidity", 0, 100, "%", "of each hygrometer"),
        Name("pressure", 300, 1100, "hPa", "of a BME280"),
        Name("pin", 0, 1, "", "the level of an input: pin4", pin=True),
        Name("adc", 0, 3_300_000, "µV", "at an analog input: adc34", pin=True),
        Name("battery", 0, 100, "%", "of a watch"),
        Name("charging", 0, 1, "", "whether a watch is"),
        Name("steps", 0, 16_000_000, "", "of a watch"),
        Name("wifi", 0, 1, "", "whether the link is up"),
        Name("rssi", -120, 0, "dBm", "the WiFi's strength"),
        Name("picture", 0, 1, "", "whether the camera's sensor answers"),
        Name("bootsel", 0, 1, "", "the button of a Pico, for its program"),
    )
}
#: The chips of sensors that a board may have, besides its DHT22.
SENSORS = ("bme280", "sht30", "ds18b20")
# By chip, what it calls what is measured: see simulated/chips
_CHIPS = {
    "temperature": {"bme280": "celsius", "sht30": "celsius", "ds18b20": "celsius"},
    "humidity": {"bme280": "percent", "sht30": "percent"},
    "pressure": {"bme280": "hpa"},
    "battery": {"axp202": "percent", "axp2101": "percent"},
    "charging": {"axp202": "charging", "axp2101": "charging"},
    "steps": {"bma423": "steps", "qmi8658": "steps"},
}


def number(name: str, text: str) -> tuple[str, Any]:
    """Return what `uxmpp sim set NAME VALUE` means: ("pin", {4: 1}) for "pin4", "on". Raises
    ControlError for what cannot be set so."""
    match = re.fullmatch(r"([a-z]+?)(\d{0,3})", name)
    known = NAMES.get(match[1]) if match else None
    if match is None or known is None or known.pin != bool(match[2]):
        example = f": {name}4, say" if known and known.pin else ""
        names = ", ".join(n + ("N" if NAMES[n].pin else "") for n in NAMES)
        raise ControlError(f"{name[:40]!r} is nothing that can be set{example}; there are {names}")
    word = text.strip().lower()
    value: float | None
    if known.none and word == "none":
        value = None
    elif known.most == 1 and word in _WORDS:
        value = _WORDS[word]
    else:
        try:
            value = float(word)
        except ValueError:
            raise ControlError(f"{name}: {text[:40]!r} is not a number") from None
        value = int(value) if value.is_integer() else value
    return known.name, {int(match[2]): value} if known.pin else value


def check(name: str, value: Any) -> None:
    """Raise ControlError for what set() would not take from any board."""
    known = NAMES[name]
    for each in value.values() if known.pin else (value,):
        _checked(known, each)


class Control:
    """The files by which the simulated hardware of `board` is scripted, in `folder`; the other
    parameters are those of VirtualBoard. What is there already stays as it is, but for what is
    given."""

    def __init__(
        self,
        folder: Path,
        board: Board,
        wifi: Mapping[str, Any] | None = None,
        sensors: Mapping[str, Any] | None = None,
        chips: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        clock: str | None = None,
        second_ms: int = 1000,
    ) -> None:
        self.folder = folder.resolve()
        self._port = board.port
        self._clock = clock
        self._lock = threading.Lock()
        try:
            # Its WiFi's password is there
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            counters = folder / "writes.bin"
            before = counters.read_bytes()[:4] if counters.exists() else bytes(4)
            # No power cut is due
            counters.write_bytes(before.ljust(12, b"\0"))
        except OSError as e:
            raise ControlError(f"{folder} cannot be used: {e.strerror}") from e
        script = self._read("board.json", {})
        had = {} if wifi is not None else script.get("wifi", {})
        script["wifi"] = {**had, **(wifi or {}), "port": board.port}
        script["sleep"] = {"port": board.port, "second_ms": second_ms}
        script["clock"] = clock
        self._write("board.json", script)
        if chips is not None or not (folder / "chips.json").exists():
            self._write("chips.json", {k: dict(v) for k, v in (chips or {}).items()})
        if not (folder / "readings.json").exists():
            self._write("readings.json", {"dht": [list(FIRST)]})
        for name, value in (sensors or {}).items():
            self.set(name, value)

    def path(self) -> list[str]:
        """Return where its interpreter finds the modules of the hardware."""
        parts = ["wifi", f"{self._port}_port"] + (["clock"] if self._clock else [])
        return [*(f"/sim/modules/{part}" for part in parts), "/sim/modules"]

    def set(self, name: str, value: Any) -> None:
        """Set one of NAMES: a number, or for pins numbers by pin, {4: 1}; None where a sensor is
        not to answer. Raises ControlError."""
        known = NAMES.get(name)
        if known is None:
            raise ControlError(f"{name[:40]!r} is nothing that can be set; there are {_all()}")
        with self._lock:
            if known.pin:
                if not isinstance(value, Mapping):
                    raise ControlError(f"{name}: must be values by pin, {{4: 1}}")
                self._set_pins(name, {str(p): _checked(known, v) for p, v in value.items()})
            else:
                self._set(known, _checked(known, value))

    def _set_pins(self, name: str, levels: dict[str, Any]) -> None:
        if name == "pin":
            self._write("pins.json", {**self._read("pins.json", {}), **levels})
        else:
            chips = self._read("chips.json", {})
            chips["adc"] = {**chips.get("adc", {}), **levels}
            self._write("chips.json", chips)

    def _set(self, known: Name, value: Any) -> None:
        name = known.name
        chips = self._read("chips.json", {})
        there = [chip for chip in _CHIPS.get(name, ()) if chip in chips]
        for chip in there:
            if value is not None:
                chips[chip] = {**chips[chip], _CHIPS[name][chip]: value}
        if there and value is not None:
            self._write("chips.json", chips)
        if name in ("temperature", "humidity"):
            script = self._read("readings.json", {})
            last = script["dht"][-1] or self._read("last.json", list(FIRST))
            if value is not None:
                last = [value, last[1]] if name == "temperature" else [last[0], value]
            self._write("last.json", last)
            self._write("readings.json", {"dht": [None if value is None else last]})
        elif name in _CHIPS:
            if not there:
                raise ControlError(f"{name}: the board has none of {', '.join(_CHIPS[name])}")
        elif name in ("wifi", "rssi"):
            script = self._read("board.json", {})
            changed = {"link": "up" if value else "down"} if name == "wifi" else {"rssi": value}
            script["wifi"] = {**script["wifi"], **changed}
            self._write("board.json", script)
        elif name == "bootsel":
            self._write("pins.json", {**self._read("pins.json", {}), name: value})
        elif value:
            (self.folder / "no_picture").unlink(missing_ok=True)
        else:
            (self.folder / "no_picture").touch()

    def set_wifi(self, **script: Any) -> None:
        """Change the script of its WiFi: see simulated/wifi."""
        with self._lock:
            board = self._read("board.json", {})
            board["wifi"] = {**board["wifi"], **script}
            self._write("board.json", board)

    # What a reset and deep sleep leave: see simulated/board.py

    def cause(self) -> int:
        """Return the cause of the next start that the program has left."""
        try:
            return int((self.folder / "reset.txt").read_text())
        except (OSError, ValueError):
            return 1

    def tell_cause(self, cause: int) -> None:
        """Have the next start know its cause."""
        (self.folder / "reset.txt").write_text(str(cause))

    def asleep_s(self) -> float:
        """Return how long the deep sleep that has begun takes, in seconds from now."""
        ms = int((self.folder / "deepsleep.txt").read_text())
        if not ms:
            return math.inf
        second_ms: int = self._read("board.json", {})["sleep"]["second_ms"]
        return ms / 1000 * second_ms / 1000

    def tell_wake(self, why: str) -> None:
        """Have the next start know why the deep sleep has ended."""
        (self.folder / "wake.txt").write_text(why)

    def _read(self, name: str, default: Any) -> Any:
        try:
            return json.loads((self.folder / name).read_text("utf-8"))
        except FileNotFoundError:
            return default

    def _write(self, name: str, content: Any) -> None:
        # From one moment to the next: the board may be reading it
        new = self.folder / f"{name}.new"
        new.write_text(json.dumps(content), "utf-8")
        new.replace(self.folder / name)


def _all() -> str:
    return ", ".join(NAMES)


def _checked(known: Name, value: Any) -> Any:
    if value is None and known.none:
        return None
    if isinstance(value, bool):
        value = int(value)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ControlError(f"{known.name}: {str(value)[:40]!r} is not a number")
    if not known.least <= value <= known.most:
        unit = f" {known.unit}" if known.unit else ""
        raise ControlError(
            f"{known.name}: {value:g} is not possible: must be {known.least} to {known.most}{unit}"
        )
    return value


# From another terminal


class Door:
    """A socket in `folder` at which `do` is asked, a JSON list of words a line: what it returns is
    the answer, a UxmppError its refusal. `with` opens it. Raises ControlError where the folder is
    in use."""

    def __init__(self, folder: Path, do: Callable[[list[str]], str]) -> None:
        self._folder = folder
        self._do = do
        self._socket: socket.socket | None = None

    def check(self) -> None:
        """Raise ControlError where another one is open in the folder."""
        try:
            ask(self._folder, ["ping"])
        except ControlError:
            return
        raise ControlError(f"{self._folder}: a device runs there already")

    def __enter__(self) -> "Door":
        self.check()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / _SOCKET).unlink(missing_ok=True)
            self._socket = socket.socket(socket.AF_UNIX)
            with _Near(self._folder) as name:
                self._socket.bind(name)
            self._socket.listen(4)
        except OSError as e:
            raise ControlError(f"{self._folder}: cannot have a socket: {e.strerror}") from e
        threading.Thread(target=self._serve, args=(self._socket,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._socket is not None:
            # Else the thread would wait in accept() for ever
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            (self._folder / _SOCKET).unlink(missing_ok=True)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.settimeout(ANSWER_LIMIT_S)
            try:
                with client, client.makefile("rw", encoding="utf-8") as lines:
                    words = json.loads(lines.readline(MAX_LINE))
                    try:
                        answer = {"said": self._do([str(word) for word in words])}
                    except UxmppError as e:
                        answer = {"error": str(e)}
                    lines.write(json.dumps(answer) + "\n")
            except (OSError, ValueError, TypeError):  # whoever asked has gone, or asked nonsense
                continue


def ask(folder: Path, words: list[str]) -> str:
    """Return what the Door in `folder` answers. Raises ControlError, also where there is none."""
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(ANSWER_LIMIT_S)
            with _Near(folder) as name:
                s.connect(name)
            s.sendall(json.dumps(words).encode() + b"\n")
            with s.makefile("r", encoding="utf-8") as lines:
                answer = json.loads(lines.readline())
    except (OSError, ValueError) as e:
        raise ControlError(f"no device runs in {folder}: start one with uxmpp sim") from e
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return str(answer["said"])


class _Near:
    """A short name for the socket in a folder: a socket's path has 107 bytes at most."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)

    def __enter__(self) -> str:
        return f"/proc/self/fd/{self._fd}/{_SOCKET}"

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)
