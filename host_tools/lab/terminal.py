"""A program in a terminal that nobody sits at: tmux draws its screen and types for us."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Self, TypeVar

from . import debian
from .errors import LabError, LabTimeout
from .part import Part
from .process import STOP_LIMIT_S, Child

OLDEST = (3, 3)
COMMAND_LIMIT_S = 10.0
START_LIMIT_S = 20.0
POLL_S = 0.05
#: A text that is typed; tmux takes no longer a command.
MAX_TYPED = 4000
#: Rows of a screen that an error cites.
MAX_ROWS_TOLD = 12
#: Rows and columns of a terminal.
SIZES = range(10, 501)

PACKAGES = debian.PackageSet(
    "tmux",
    (
        "tmux",
        "libc-bin",
        "libc6",
        "libcap2",
        "libevent-core-2.1-7t64",
        "libgcc-s1",
        "libjemalloc2",
        "libstdc++6",
        "libsystemd0",
        "libtinfo6",
        "ncurses-base",
    ),
    "tmux (3.3 or newer)",
)

_SOCKET_PATH_LIMIT = 107  # bytes, of a Unix socket's address
_CONFIG = """\
set -s escape-time 0
set -s default-terminal screen-256color
set -g status off
set -g remain-on-exit on
set -g remain-on-exit-format ""
set -g history-limit 0
"""

T = TypeVar("T")


@cache
def find() -> tuple[tuple[str, ...], debian.Prefix | None]:
    """Return the words that start tmux, and where it was unpacked: the one on PATH (then None)
    if it is fit, else Debian's, downloaded once. Raises LabError when neither is to be had."""
    on_path = shutil.which("tmux")
    if on_path:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run(
                [on_path, "-V"], capture_output=True, text=True, timeout=COMMAND_LIMIT_S
            ).stdout
            version = re.search(r"(\d+)\.(\d+)", said)
            if version and tuple(map(int, version.groups())) >= OLDEST:
                return (on_path,), None
    prefix = debian.prefix(PACKAGES)
    return tuple(prefix.argv("usr/bin/tmux")), prefix


def screen_environment(prefix: debian.Prefix | None) -> dict[str, str]:
    """What a program needs, besides its own, to draw on a terminal in UTF-8; `prefix` is where it
    was unpacked, with ncurses-base and libc-bin."""
    if prefix is None:
        return {"LC_ALL": "C.UTF-8"}
    usr = prefix.root / "usr"
    return {
        "LC_ALL": "C.UTF-8",
        "LOCPATH": str(usr / "lib" / "locale"),
        "TERMINFO": str(usr / "share" / "terminfo"),
    }


class Terminal(Part):
    """The program `argv` in a terminal of `columns` by `rows`: start() and, at the end, close().

    `name` is what errors call it, `env` its whole environment (TERM and what tmux adds apart).
    Files of tmux lie in a folder of their own, which close() removes. `pid` is the program's, 0
    before start().
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        columns: int = 100,
        rows: int = 30,
    ) -> None:
        if columns not in SIZES or rows not in SIZES:
            raise LabError(
                f"a terminal of {columns} by {rows}: {SIZES.start} to {SIZES.stop - 1} each"
            )
        self.name = name
        self._argv = tuple(argv)
        self._env = dict(env)
        self._size = ("-x", str(columns), "-y", str(rows))
        self._server: Child | None = None
        self.pid = 0
        self._tmux, prefix = find()
        # What tmux itself needs comes from where it lies; what it starts gets `env` alone
        self._own_env = {"PATH": os.environ.get("PATH", os.defpath), **screen_environment(prefix)}
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="uxmpp-tty-")).resolve()
            (self.folder / "tmux.conf").write_text(_CONFIG)
        except OSError as e:
            raise LabError(f"cannot make a folder for a terminal: {e}") from e
        self._socket = self.folder / "socket"
        if len(os.fsencode(self._socket)) > _SOCKET_PATH_LIMIT:
            self.close()
            raise LabError(f"{self.folder} is too long a path: set TMPDIR to a shorter one")

    def start(self) -> Self:
        """Start the program. Raises LabError, also where there is no such program."""
        if shutil.which(self._argv[0], path=self._env.get("PATH", os.defpath)) is None:
            self.close()
            raise LabError(f"{self.name} does not start: there is no program {self._argv[0]}")
        try:
            self._server = Child(
                "tmux",
                # In the foreground, so that it ends with us
                [*self._tmux, "-D", "-u", "-S", str(self._socket), "-f", self._config],
                log=self.folder / "tmux.log",
                env=self._own_env,
                cwd=self.folder,
            )
            self._server.wait_until(self._answers, "answer", START_LIMIT_S)
            settings = [f"{k}={v}" for k, v in self._env.items()]
            # env: tmux would add its own environment, and a shell would read the words
            words = ("env", "-i", "TERM=screen-256color", *settings, *self._argv)
            session = ("new-session", "-d", *self._size, "--", *words)
            # Only for a pane with a pipe does tmux read the last words of a program that ended
            self._run(*session, ";", "pipe-pane", "exec cat >/dev/null")
            self.pid = int(self._run("display-message", "-p", "#{pane_pid}"))
        except BaseException:
            self.close()
            raise
        return self

    @property
    def _config(self) -> str:
        return str(self.folder / "tmux.conf")

    @property
    def running(self) -> bool:
        """Whether the program has not ended yet."""
        return self._look()[0]

    def screen(self) -> str:
        """What is on the screen: its rows, without the blanks at their ends."""
        return self._look()[1]

    def enter(self, text: str) -> None:
        """Type `text`, one line, and Enter. Raises LabError where it cannot be typed."""
        if not text.isprintable() or len(text) > MAX_TYPED:
            raise LabError(
                f"{self.name}: not one line of at most {MAX_TYPED} characters: {text!r}"
            )
        # To tmux a ; at the end of a word begins another command
        words = text[:-1] + "\\;" if text.endswith(";") else text
        typed = ("send-keys", "-l", "--", words, ";") if text else ()
        self._run(*typed, "send-keys", "Enter")

    def press(self, *keys: str) -> None:
        """Press keys, named as tmux names them: Enter, PageUp, M-1."""
        self._run("send-keys", "--", *keys)

    def wait_until(self, true: Callable[[str], T], what: str, limit_s: float) -> T:
        """Wait until `true(screen)`, and return what it returned. LabError, with what the screen
        showed last, when the program ends first, and LabTimeout after `limit_s`; `what` says in it
        what was awaited."""
        end = time.monotonic() + limit_s
        while True:
            running, screen = self._look()
            if found := true(screen):
                return found
            if not running:
                raise LabError(f"{self.name} ended before {what}: {one_line(screen)}")
            if time.monotonic() > end:
                raise LabTimeout(
                    f"{self.name}: no {what} within {limit_s:g} s: {one_line(screen)}"
                )
            time.sleep(POLL_S)

    def close(self, limit_s: float = STOP_LIMIT_S) -> None:
        """End the program: hang up, wait at most `limit_s`, kill. Remove the files."""
        if self._server is not None:
            if self._server.running and self.pid:
                with contextlib.suppress(LabError):
                    self._end_program(limit_s)
            self._server.stop()
            self._server = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_program(self, limit_s: float) -> None:
        # It is a child of tmux, which notices its end; until then the number is nobody else's
        for number in (signal.SIGHUP, signal.SIGKILL):
            end = time.monotonic() + limit_s
            if self.running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, number)
            while self.running and time.monotonic() < end:
                time.sleep(POLL_S)

    def _answers(self) -> bool:
        try:
            self._run("list-sessions")
        except LabError as e:
            return "no sessions" in str(e)
        return True

    def _look(self) -> tuple[bool, str]:
        """(whether the program still has the terminal, the screen)."""
        said = self._run("display-message", "-p", "#{pane_dead}", ";", "capture-pane", "-p", "-J")
        dead, _, screen = said.partition("\n")
        rows = screen.removesuffix("\n").split("\n")
        return dead != "1", "\n".join(row.rstrip() for row in rows)

    def _run(self, *words: str) -> str:
        argv = [*self._tmux, "-S", str(self._socket), *words]
        try:
            done = subprocess.run(
                argv,
                env=self._own_env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=COMMAND_LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            raise LabError(f"tmux {words[0]} had not ended after {COMMAND_LIMIT_S:g} s") from None
        except OSError as e:
            raise LabError(f"tmux does not start: {e.strerror}") from e
        if done.returncode:
            why = " ".join(done.stderr.decode(errors="replace").split())
            raise LabError(f"tmux {words[0]} failed: {why or f'it ended with {done.returncode}'}")
        return done.stdout.decode(errors="replace")


def one_line(screen: str) -> str:
    """The last MAX_ROWS_TOLD rows of a screen that say something, as one line, for errors."""
    rows = [" ".join(row.split()) for row in screen.split("\n")]
    return " | ".join([row for row in rows if row][-MAX_ROWS_TOLD:]) or "an empty screen"
