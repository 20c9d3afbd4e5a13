"""A device of the lab: the agent and an app under a real interpreter, in a folder of its own."""

import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from ..flash import bytecode
from ..flash.mpy import FIRMWARE, LIBRARY_OPT
from . import micropython
from .errors import LabError
from .process import POLL_S, STOP_LIMIT_S, Child

START_LIMIT_S = 30.0
#: What a board leaves to a program; a Pico W has about 190 KB.
BOARD_HEAP = "160k"
#: The exit code of a board that resets itself: see simulated/power.py.
RESET_CODE = 3
#: The exit code of a board in deep sleep: see simulated/power.py.
SLEEP_CODE = 4
#: How long wake() waits for a board to fall asleep.
SLEEP_LIMIT_S = 10.0
#: How often a device with `restarts` boots again; then it stays down.
MAX_RESTARTS = 20

_SIMULATED = Path(__file__).parent / "simulated"
_BOARDS = FIRMWARE.parent / "boards"
# What stands in a folder of its own, on the path only where board.json speaks of it
_PARTS = ("clock", "wifi")

Runtime = Literal["32", "64", "cpython"]


class Device:
    """The app `app` of firmware/apps (or a file of one's own) on the interpreter `runtime`: "32"
    or "64" for MicroPython, which runs `.mpy` in a heap of `heap`, or "cpython".

    `config` is written as device.json; `readings` is what the simulated DHT22 measures, one
    (°C, %) after another, None where it does not answer. `folder` is made, or used as it is.

    `board` is written as board.json: {"clock": …} has it start without knowing the time, {"wifi":
    …} gives it a WiFi (see simulated/clock and simulated/wifi). With `restarts` it boots again,
    MAX_RESTARTS times, when it resets itself; its console log goes on. `boots` counts the starts.
    From deep sleep it wakes up like that, too: {"sleep": {"second_ms": 5}} says how many
    milliseconds a second of that sleep takes, else 1000.

    `hal` is the folder below boards/ whose drivers it gets, `chips` what is soldered to its buses
    and measured there, written as chips.json (see simulated/bus.py).
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        folder: Path,
        app: str | Path = "sensor",
        runtime: Runtime = "32",
        heap: str = BOARD_HEAP,
        readings: Sequence[tuple[float, float] | None] = ((21.5, 40.0),),
        files: Iterable[Path] = (),
        board: Mapping[str, Any] | None = None,
        restarts: bool = False,
        hal: str | None = None,
        chips: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        if not re.fullmatch(r"[1-9]\d*[kmKM]?", heap):
            raise LabError(f"heap {heap!r}: must be a size like {BOARD_HEAP}")
        self.folder = folder
        self.runtime = runtime
        self.heap = heap
        self.log = folder / "console.log"
        self._app = FIRMWARE / "apps" / f"{app}.py" if isinstance(app, str) else app
        self._child: _Board | None = None
        self._restarts = restarts
        self._boots = 0
        self._path = [_SIMULATED / part for part in _PARTS if part in (board or {})]
        # Its own modules, and the folder with the package `drivers`
        self._hal = [_BOARDS / hal, _BOARDS] if hal else []
        if not self._app.is_file():
            raise LabError(f"{self._app}: there is no such app")
        if hal and not (_BOARDS / hal / "hal.py").is_file():
            raise LabError(f"{_BOARDS / hal}: there is no hal.py")
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, folder)
        if board is not None:
            self.set_board(board)
        self._chips: dict[str, dict[str, Any]] = {}
        if chips is not None:
            self.set_chips(chips)
        (folder / "device.json").write_text(json.dumps(dict(config)), "utf-8")
        (folder / "readings.json").write_text(json.dumps({"dht": readings}), "utf-8")

    def start(self) -> Self:
        """Start the app; it goes on by itself. Raises LabError."""
        argv, env = self._command()
        self.kill()
        self._child = _Board(
            f"device on {self.runtime}",
            argv,
            log=self.log,
            env=env,
            cwd=self.folder,
            restarts=MAX_RESTARTS if self._restarts else 0,
        )
        return self

    def set_board(self, board: Mapping[str, Any]) -> None:
        """Write another board.json, from one moment to the next. The device may be running; parts
        that it had none of at its start, it has none of now."""
        new = self.folder / "board.json.new"
        new.write_text(json.dumps(dict(board)), "utf-8")
        new.replace(self.folder / "board.json")

    def set_pins(self, levels: Mapping[int, int]) -> None:
        """Write what the input pins read from now on: {13: 1}."""
        new = self.folder / "pins.json.new"
        new.write_text(json.dumps({str(pin): level for pin, level in levels.items()}), "utf-8")
        new.replace(self.folder / "pins.json")

    def set_chips(self, chips: Mapping[str, Mapping[str, Any]]) -> None:
        """Write what chips say from now on, {"bma423": {"steps": 812}}; the rest stays."""
        for name, values in chips.items():
            self._chips[name] = {**self._chips.get(name, {}), **values}
        new = self.folder / "chips.json.new"
        new.write_text(json.dumps(self._chips), "utf-8")
        new.replace(self.folder / "chips.json")

    def wake(self, why: Literal["timer", "pin", "touch"] = "pin") -> None:
        """End its deep sleep, or the one that begins. Raises LabError where it does not sleep."""
        if self._child is None:
            raise LabError("the device was not started")
        child = self._child
        child.wait_until(lambda: child.wake(why), "deep sleep", SLEEP_LIMIT_S)

    def _command(self) -> tuple[list[str], dict[str, str]]:
        if self.runtime == "cpython":
            # Its own folder is the last: the app `camera` imports the hardware's `camera`
            folders = (*self._path, *self._hal, FIRMWARE, _SIMULATED, self._app.parent)
            path = os.pathsep.join(map(str, folders))
            env = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
            return [sys.executable, "-P", str(self._app)], env
        flash = self.folder / "flash"
        if not flash.exists():
            bytecode.library(flash)
            # All programs of a folder are one tree, whichever of them is the app
            bytecode.tree(self._app.parent, flash)
            (flash / self._app.with_suffix(".mpy").name).replace(flash / "main.mpy")
            if self._hal:
                bytecode.tree(_BOARDS / "drivers", flash / "drivers", opt=LIBRARY_OPT)
                bytecode.tree(self._hal[0], flash, opt=LIBRARY_OPT)
            # What stands in for the hardware is not to take more memory than that
            bytecode.tree(_SIMULATED, self.folder / "simulated", opt=LIBRARY_OPT)
        (self.folder / "boot.py").write_text("import main\n", "utf-8")
        simulated = self.folder / "simulated"
        parts = [simulated / part.name for part in self._path]
        return micropython.find(int(self.runtime)).command(
            self.folder / "boot.py", heap=self.heap, path=[*parts, flash, simulated]
        )

    @property
    def child(self) -> Child:
        """The running program. Raises LabError before start()."""
        if self._child is None:
            raise LabError("the device was not started")
        return self._child

    @property
    def boots(self) -> int:
        """How often it was started, by start() or by itself."""
        return self._boots + (self._child.boots if self._child else 0)

    def check(self) -> None:
        """Raise LabError when its program has ended, with what it said last."""
        if not self.child.running:
            said = self.output().strip().splitlines() or ["nothing"]
            raise LabError(f"the device's program ended ({self.heap} heap): {said[-1]}")

    def wait_online(self, timeout_s: float = START_LIMIT_S) -> None:
        """Wait until its console says that there is a session. Raises LabError."""
        self.child.wait_for_line(r": online$", timeout_s)

    def output(self) -> str:
        """All that its console said."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def stop(self) -> None:
        """End it; its folder stays."""
        if self._child is not None:
            self._boots += self._child.boots
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """End it as a power cut does, by SIGKILL; its folder stays, and start() boots it again."""
        if self._child is not None:
            self._boots += self._child.boots
            self._child.kill()
            self._child = None
            # A line that the cut broke off does not go on with the next boot's first
            if self.output()[-1:] not in ("", "\n"):
                with self.log.open("a") as log:
                    log.write("\n")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class _Board(Child):
    """A Child that is started again, `restarts` times, when it ends with RESET_CODE, or some time
    after it ended with SLEEP_CODE. For whoever looks at it, it runs on meanwhile."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path,
        restarts: int,
    ) -> None:
        self.boots = 1

        def again() -> Child:
            return Child(name, argv, log=log, env=env, cwd=cwd)

        self._again = again
        self._restarts = restarts
        self._folder = cwd
        self._wakes_at: float | None = None  # of time.monotonic(), while it is asleep
        self._why = "timer"
        self._lock = threading.Lock()
        super().__init__(name, argv, log=log, env=env, cwd=cwd)
        if restarts:
            threading.Thread(target=self._watch, name="lab-board", daemon=True).start()

    @property
    def running(self) -> bool:
        """Whether it runs, or is about to boot again."""
        with self._lock:
            code = self._process.poll()
            if code == SLEEP_CODE and self._restarts > 0:
                if self._sleeps():
                    return True
                code = RESET_CODE
            if code == RESET_CODE and self._restarts > 0:
                self._restarts -= 1
                try:
                    self._process = self._again()._process
                except LabError:
                    self._restarts = 0  # it has ended, then
                    return False
                self.boots += 1
                code = None
            return code is None

    def stop(self, timeout_s: float = STOP_LIMIT_S) -> int:
        """End it: ask, wait at most `timeout_s`, kill; return its exit code."""
        self._stay_down()
        return super().stop(timeout_s)

    def kill(self) -> int:
        """End it at once, without a chance to clean up; return its exit code."""
        self._stay_down()
        code = super().kill()
        # Whatever it was at, reset or deep sleep: the next start is a new one
        (self._folder / "reset.txt").unlink(missing_ok=True)
        return code

    def wait(self, timeout_s: float) -> int:
        """Wait until it has ended for good, and return its exit code; LabTimeout."""
        end = time.monotonic() + timeout_s
        while self.running and time.monotonic() < end:
            time.sleep(POLL_S)
        return super().wait(0.0 if self.running else STOP_LIMIT_S)

    def wake(self, why: str) -> bool:
        """End its deep sleep; whether it was asleep."""
        with self._lock:
            asleep = self._process.poll() == SLEEP_CODE and self._restarts > 0
            if asleep:
                self._why = why
                self._wakes_at = 0.0
        return asleep

    def _sleeps(self) -> bool:
        """Return whether its deep sleep goes on; at its end, have it know why."""
        if self._wakes_at is None:
            ms = int((self._folder / "deepsleep.txt").read_text())
            board = self._folder / "board.json"
            script = json.loads(board.read_text("utf-8")) if board.exists() else {}
            second_s = script.get("sleep", {}).get("second_ms", 1000) / 1000
            self._wakes_at = time.monotonic() + ms / 1000 * second_s
        if time.monotonic() < self._wakes_at:
            return True
        (self._folder / "wake.txt").write_text(self._why)
        self._wakes_at = None
        self._why = "timer"
        return False

    def _stay_down(self) -> None:
        with self._lock:
            self._restarts = 0

    def _watch(self) -> None:
        while self.running:
            time.sleep(POLL_S)
