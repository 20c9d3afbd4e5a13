"""A child process with a log, that ends when it is told to and never outlives its parent."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue

from .errors import LabError, LabTimeout

POLL_S = 0.01
STOP_LIMIT_S = 5.0
#: For the end of what was killed: a busy machine takes its time.
KILL_LIMIT_S = 30.0

_PR_SET_PDEATHSIG = 1
# Loaded here because a forked child of a process with threads should do as little as it can.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Child:
    """The program `argv`, started at once; what it writes goes to the end of the file `log`.

    `name` is what errors call it. Where the parent is killed, the kernel kills the child too
    (Linux only). Raises LabError when the program cannot be started.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        try:
            with log.open("ab") as output:
                self._start_of_log = output.tell()
                parent = os.getpid()
                self._process = in_lasting_thread(
                    lambda: subprocess.Popen(
                        argv,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        env=env,
                        cwd=cwd,
                        # A Ctrl-C is for the parent, which then stops its children in order.
                        start_new_session=True,
                        preexec_fn=lambda: die_with(parent),
                    )
                )
        except (OSError, subprocess.SubprocessError) as e:
            raise LabError(f"{name} does not start: {e}") from e

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def stop(self, timeout_s: float = STOP_LIMIT_S) -> int:
        """End it: ask, wait at most `timeout_s`, kill; return its exit code."""
        if self.running:
            self._process.terminate()
            try:
                return self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                pass
        return self.kill()

    def kill(self) -> int:
        """End it at once, without a chance to clean up; return its exit code."""
        if self.running:
            self._process.kill()
        return self._process.wait(KILL_LIMIT_S)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.running:
            self._process.send_signal(number)

    def wait(self, timeout_s: float) -> int:
        """Wait for its end and return its exit code; LabTimeout after `timeout_s`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise LabTimeout(f"{self.name} had not ended after {timeout_s:g} s") from None

    def wait_until(self, true: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Wait until `true()`; LabError as soon as the child ends, LabTimeout after `timeout_s`.

        `what` says in the error what was awaited; the last lines of the log follow it.
        """
        end = time.monotonic() + timeout_s
        while not true():
            if not self.running:
                if true():  # what it did just before its end counts
                    return
                code = self._process.returncode
                raise LabError(f"{self.name} ended with {code} before {what}: {self.tail()}")
            if time.monotonic() > end:
                raise LabTimeout(f"{self.name}: no {what} within {timeout_s:g} s: {self.tail()}")
            time.sleep(POLL_S)

    def wait_for_line(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """Wait for a log line of this run in which the regular expression `pattern` is found.

        Returns the match in the first such line. Raises as `wait_until`.
        """
        found: re.Match[str] | None = None

        def seen() -> bool:
            nonlocal found
            whole, newline, _ = self.output().rpartition("\n")
            if newline:
                matches = (re.search(pattern, line) for line in whole.split("\n"))
                found = next((m for m in matches if m), None)
            return found is not None

        self.wait_until(seen, f"line with {pattern!r}", timeout_s)
        assert found is not None
        return found

    def output(self) -> str:
        """Return what it has written so far."""
        with self.log.open("rb") as f:
            f.seek(self._start_of_log)
            return f.read().decode(errors="replace")

    def tail(self, lines: int = 4) -> str:
        """Return its last `lines` lines as one."""
        said = [" ".join(line.split()) for line in self.output().splitlines() if line.strip()]
        return " | ".join(said[-lines:]) or f"nothing in {self.log}"


def die_with(parent: int) -> None:
    """In a child, between fork and exec: end when `parent` does (Linux only)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it was killed between the fork and the line above
            os._exit(1)


# The kernel takes the end of the *thread* that started a child for the parent's death. Starts
# from another than the main thread (an executor's, say) therefore go through one that lasts.
_Job = tuple[Callable[[], "subprocess.Popen[bytes]"], "SimpleQueue[object]"]
_jobs: "SimpleQueue[_Job]" = SimpleQueue()
_starter: threading.Thread | None = None
_starter_lock = threading.Lock()


def in_lasting_thread(
    start: Callable[[], "subprocess.Popen[bytes]"],
) -> "subprocess.Popen[bytes]":
    """Call what starts a child that uses die_with(), in a thread that lasts; return the child, or
    raise what that raised."""
    if threading.current_thread() is threading.main_thread():
        return start()
    global _starter
    with _starter_lock:
        if _starter is None or not _starter.is_alive():
            _starter = threading.Thread(target=_start_all, name="lab-starter", daemon=True)
            _starter.start()
    answer: SimpleQueue[object] = SimpleQueue()
    _jobs.put((start, answer))
    outcome = answer.get()
    if isinstance(outcome, subprocess.Popen):
        return outcome
    assert isinstance(outcome, BaseException)
    raise outcome


def _start_all() -> None:
    while True:
        start, answer = _jobs.get()
        try:
            answer.put(start())
        except BaseException as e:  # noqa: BLE001 - it is raised where the start was asked for
            answer.put(e)


def interrupt(pid: int) -> None:
    """Send SIGINT to the main thread of a process: another one may have nothing that catches it.
    Raises OSError."""
    if _libc is None or not hasattr(_libc, "tgkill"):
        os.kill(pid, signal.SIGINT)
    elif _libc.tgkill(pid, pid, signal.SIGINT):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
