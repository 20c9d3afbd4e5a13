"""A device of a device.toml on a virtual board, for a person: it keeps its flash between runs, and
is reached from other terminals while it runs."""

import codecs
import csv
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ..errors import UxmppError
from ..flash import boards
from ..flash.boards import Board
from ..provision.device_file import DeviceFile
from . import control
from .control import ControlError
from .serial_line import Kind
from .virtual_board import VirtualBoard

#: The network of a device that has none in its device.toml yet, for `uxmpp wifi`.
WIFI = {"ssid": "sim", "password": "simulated"}
#: The most lines of a curve.
MAX_CURVE = 100_000

_MADE = "made.json"
# What is made anew with it
_OWN = ("flash.bin", "control", "drive")
_IMPROV = b"IMPROV\1"
_COLUMNS = ("seconds", "name", "value")
_FIRST = ("temperature", "humidity")


class SimError(UxmppError):
    """What a simulated device cannot do, and why."""


def home() -> Path:
    """Return the folder in which simulated devices have theirs. Raises SimError."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    try:
        return Path(state).expanduser().absolute() / "uxmpp" / "sim"
    except RuntimeError:
        raise SimError("the user has no home: name the device's folder, --folder") from None


def find(device: str | None, folder: Path | None) -> Path:
    """Return the folder of a device that runs: `folder`, the one of the name `device`, else the
    only one that runs. Raises SimError."""
    if folder or device:
        return folder.absolute() if folder else home() / str(device)
    running = []
    for path in sorted(home().glob("*/")):
        try:
            control.ask(path, ["ping"])
        except ControlError:
            continue
        running.append(path)
    if not running:
        raise SimError("no device runs: start one with uxmpp sim DEVICE.TOML")
    if len(running) > 1:
        names = ", ".join(path.name for path in running)
        raise SimError(f"several devices run: name one, --device; there are {names}")
    return running[0]


def board_of(device: DeviceFile) -> Board:
    """Return the board that a device.toml names. Raises UxmppError, also for one that cannot be
    simulated."""
    name = device.values.get("board")
    if not name:
        raise SimError(f'{device.path}: which board? Write board = "…"; uxmpp boards lists them')
    board = boards.load(name, device.path.parent)
    if board.port not in ("esp32", "rp2"):
        raise SimError(f"{board.name}: is no board to simulate: uxmpp run runs the device here")
    return board


class Sim:
    """The device in `folder`: `board`, `wifi` and `chips` (of control.SENSORS, besides those of a
    watch) are what it has, `out` is where its console goes, with the lines of what its hardware
    does between (None: nowhere). With `fresh`, or where there is none, its flash is made of what
    `files()` returns. Raises UxmppError."""

    def __init__(
        self,
        board: Board,
        folder: Path,
        files: Callable[[], Mapping[str, bytes]],
        *,
        wifi: Mapping[str, Any] | None = None,
        chips: Sequence[str] = (),
        fresh: bool = False,
        kind: Kind = "pty",
        baud: int | None = None,
        out: TextIO | None = sys.stdout,
    ) -> None:
        self.folder = folder
        #: Set once nobody reads the console any more, and why.
        self.unread = threading.Event()
        self.why_unread: OSError | None = None
        self._out = out
        self._turn = threading.Lock()
        self._at_start = True  # of a line
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Before anything is removed
            self._door = control.Door(folder, self._asked)
            self._door.check()
            made = _read(folder / _MADE)
            foreign = next((n for n in _OWN if not made and (folder / n).exists()), None)
            if foreign:
                raise SimError(
                    f"{folder}: {foreign} is there, and not of a simulated device: take another "
                    "--folder"
                )
            if made and not fresh and made.get("board") != board.name:
                raise SimError(
                    f"{folder}: has the flash of a {made.get('board')}, not of a {board.name}: "
                    "--fresh makes it anew, another --folder keeps it"
                )
            #: Whether its flash was made now.
            self.new = fresh or not made or "begun" in made
            known = not self.new and (folder / "control" / "chips.json").exists()
            # Refused before anything that takes long
            soldered = None if known and not chips else _soldered(board, chips)
            content: Mapping[str, bytes] = {}
            if self.new:
                content = files()
                # The folder is a device's from here on, even if this is stopped half way
                told = {"board": board.name, "begun": True}
                (folder / _MADE).write_text(json.dumps(told), "utf-8")
                (folder / "flash.bin").unlink(missing_ok=True)
                shutil.rmtree(folder / "control", ignore_errors=True)
            self.board = VirtualBoard(
                board,
                folder,
                wifi=wifi,
                chips=soldered,
                sensors=None if known else dict(zip(_FIRST, control.FIRST, strict=True)),
                kind=kind,
                baud=baud,
                tell=self._tell,
            )
            if self.new:
                self.board.install(content)
                (folder / _MADE).write_text(json.dumps({"board": board.name}), "utf-8")
        except OSError as e:
            raise SimError(f"{folder}: cannot be the device's folder: {e.strerror}") from e

    @contextmanager
    def running(self, say: Callable[[str], None]) -> Iterator[VirtualBoard]:
        """Switch it on, and let others reach it; `say` is called with its port, before."""
        with self._door:
            try:
                self.board.open()
                say(self.board.port)
                self.board.power_on()
                yield self.board
            finally:
                self.board.close()

    def _tell(self, kind: str, what: bytes | str) -> None:
        if isinstance(what, bytes) and what.strip(b"\r\n").startswith(_IMPROV):
            what = "Improv, for uxmpp wifi"  # no text
        with self._turn:
            if isinstance(what, bytes):
                text = self._decode(what).replace("\r\n", "\n")
            else:
                text = ("" if self._at_start else "\n") + f"  ({what})\n"
            if self._out is None or self.unread.is_set():
                return
            try:
                self._out.write(text)
                self._out.flush()
            except OSError as e:
                self.why_unread = e
                self.unread.set()
            self._at_start = text.endswith("\n") if text else self._at_start

    def _asked(self, words: list[str]) -> str:
        if words[:1] == ["set"] and len(words) == 3:
            self.board.set(*control.number(words[1], words[2]))
        elif words == ["press", "reset"]:
            self.board.press_reset()
        elif words == ["press", "boot"]:
            self.board.hold_boot()
            if self.board.loader is None:
                return f"its drive is {self.board.drive}"
            return f"its loader answers at {self.board.port}"
        elif words != ["ping"]:
            raise SimError(f"{' '.join(words)[:60]!r} is not understood")
        return ""


def curve(path: Path) -> list[tuple[float, str, str]]:
    """Return what a CSV file with the columns seconds, name, value says is set when: (seconds from
    its start, name, value), in that order. Raises SimError, ControlError."""
    found: list[tuple[float, str, str]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as f:
            rows = csv.DictReader(f)
            if [name.strip() for name in rows.fieldnames or ()] != list(_COLUMNS):
                raise SimError(f"{path}:1: must be {','.join(_COLUMNS)}")
            rows.fieldnames = list(_COLUMNS)
            for row in rows:
                where = f"{path}:{rows.line_num}"
                if len(found) >= MAX_CURVE:
                    raise SimError(f"{where}: more than {MAX_CURVE} lines")
                if None in row or None in row.values():
                    raise SimError(f"{where}: must have {len(_COLUMNS)} columns")
                try:
                    seconds = float(row["seconds"])
                except ValueError:
                    raise SimError(f"{where}: seconds: must be a number") from None
                if not 0 <= seconds < 1e9 or (found and seconds < found[-1][0]):
                    raise SimError(f"{where}: seconds: must not go back, nor be below 0")
                name, value = row["name"].strip(), row["value"].strip()
                try:
                    control.check(*control.number(name, value))
                except ControlError as e:
                    raise SimError(f"{where}: {e}") from None
                found.append((seconds, name, value))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        why = e.strerror if isinstance(e, OSError) else e
        raise SimError(f"{path}: cannot be read: {why}") from None
    return found


def play(folder: Path, steps: list[tuple[float, str, str]], speed: float = 1.0) -> None:
    """Set what a curve says, when it says so, `speed` times as fast. Raises ControlError."""
    begin = time.monotonic()
    for seconds, name, value in steps:
        time.sleep(max(0.0, begin + seconds / speed - time.monotonic()))
        control.ask(folder, ["set", name, value])


def _soldered(board: Board, chips: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return chips.json of a board with these sensors."""
    for chip in chips:
        if chip not in control.SENSORS:
            raise SimError(f"{chip[:40]!r}: there are {', '.join(control.SENSORS)}")
    found: dict[str, dict[str, Any]] = {chip: {} for chip in chips}
    if board.hal:
        try:
            from .display import WATCHES
        except ImportError:
            raise SimError("a watch's display needs Pillow: pip install 'uxmpp[lab]'") from None
        if board.hal in WATCHES:
            found.update(WATCHES[board.hal].soldered())
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
