"""A device of the lab: the agent and an app under a real interpreter, in a folder of its own."""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from ..flash.mpy import FIRMWARE, compile_tree
from . import micropython
from .errors import LabError
from .process import Child

START_LIMIT_S = 30.0
#: What a board leaves to a program; a Pico W has about 190 KB.
BOARD_HEAP = "160k"

_SIMULATED = Path(__file__).parent / "simulated"

Runtime = Literal["32", "64", "cpython"]


class Device:
    """The app `app` of firmware/apps (or a file of one's own) on the interpreter `runtime`: "32"
    or "64" for MicroPython, which runs `.mpy` in a heap of `heap`, or "cpython".

    `config` is written as device.json; `readings` is what the simulated DHT22 measures, one
    (°C, %) after another, None where it does not answer. `folder` is made, or used as it is.
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
    ) -> None:
        if not re.fullmatch(r"[1-9]\d*[kmKM]?", heap):
            raise LabError(f"heap {heap!r}: must be a size like {BOARD_HEAP}")
        self.folder = folder
        self.runtime = runtime
        self.heap = heap
        self.log = folder / "console.log"
        self._app = FIRMWARE / "apps" / f"{app}.py" if isinstance(app, str) else app
        self._child: Child | None = None
        if not self._app.is_file():
            raise LabError(f"{self._app}: there is no such app")
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, folder)
        (folder / "device.json").write_text(json.dumps(dict(config)), "utf-8")
        (folder / "readings.json").write_text(json.dumps({"dht": readings}), "utf-8")

    def start(self) -> Self:
        """Start the app; it goes on by itself. Raises LabError."""
        argv, env = self._command()
        self._child = Child(
            f"device on {self.runtime}", argv, log=self.log, env=env, cwd=self.folder
        )
        return self

    def _command(self) -> tuple[list[str], dict[str, str]]:
        if self.runtime == "cpython":
            path = os.pathsep.join(map(str, (FIRMWARE, _SIMULATED)))
            env = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
            return [sys.executable, str(self._app)], env
        flash = self.folder / "flash"
        if not flash.exists():
            for part in ("uxmpp", "thing"):
                compile_tree(FIRMWARE / part, flash / part)
            compile_tree(self._app.parent, flash)
        (self.folder / "boot.py").write_text(f"import {self._app.stem}\n", "utf-8")
        return micropython.find(int(self.runtime)).command(
            self.folder / "boot.py", heap=self.heap, path=[flash, _SIMULATED]
        )

    @property
    def child(self) -> Child:
        """The running program. Raises LabError before start()."""
        if self._child is None:
            raise LabError("the device was not started")
        return self._child

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
            self._child.stop()
            self._child = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
