"""A MicroPython for Unix in the place of a board's: what it reads and writes goes over a line."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from .errors import LabError
from .process import KILL_LIMIT_S, die_with, in_lasting_thread, interrupt
from .serial_line import SerialLine

# Between what goes over the line: see simulated/vm/start.py
_MARK = b"\0~U"
_HEAD = len(_MARK) + 5
# In place of a system call, and the calls in which a program of 32 bits waits for another of its
# threads: Linux's futex and futex_time64
_BUSY = ("running", "-1", "240", "422")


class Nobody:
    """Behind a line: a chip that does not listen."""

    def attached(self, line: SerialLine) -> None:
        pass

    def received(self, data: bytes) -> None:
        pass


class Held:
    """Behind a line while one program has ended and the next has not begun."""

    #: As much as a board's buffer holds; the rest is lost.
    MAX = 4096

    def __init__(self) -> None:
        self.data = bytearray()

    def attached(self, line: SerialLine) -> None:
        pass

    def received(self, data: bytes) -> None:
        self.data += data[: self.MAX - len(self.data)]


class Interpreter:
    """The program `argv`, started at once, behind the line of its board. `say` is called with
    what it says there, `event` with what its hardware does, and both in the thread that calls
    take() and end(); `held` is input that it begins with. Raises LabError where it does not
    start."""

    #: How long a Ctrl-C waits for a program that is busy to come to a rest, seconds.
    BUSY_S = 5.0
    #: The most bytes that are read at once.
    CHUNK = 65536
    #: The longest frame, bytes: see simulated/vm/start.py.
    MAX_FRAME = 16 * 1024 * 1024

    def __init__(
        self,
        argv: list[str],
        env: Mapping[str, str],
        folder: Path,
        say: Callable[[bytes], None],
        event: Callable[[str], None],
        held: Held | None = None,
    ) -> None:
        self._say = say
        self._event = event
        #: The host's end of what the interpreter has as standard input and output.
        self.socket, theirs = socket.socketpair()
        #: Whether it came so far that a program may run.
        self.began = False
        self._turn = threading.Lock()
        # Until it has begun nobody would look for a Ctrl-C
        self._held: Held | None = held or Held()
        self._interrupt: int | None = None
        self._got = bytearray()
        self._last = b""
        parent = os.getpid()

        def started() -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                argv,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=theirs.fileno(),
                env=env,
                cwd=folder,
                start_new_session=True,
                preexec_fn=lambda: die_with(parent),
            )

        try:
            self._process = in_lasting_thread(started)
            self.pidfd = os.pidfd_open(self._process.pid)
        except (OSError, subprocess.SubprocessError) as e:
            self.socket.close()
            theirs.close()
            raise LabError(f"MicroPython does not start: {e}") from e
        self.socket.setblocking(False)
        self._theirs = theirs

    # Behind the line

    def attached(self, line: SerialLine) -> None:
        """See serial_line.Behind."""

    def received(self, data: bytes) -> None:
        """Hand the program what the client sends, and interrupt it by the character for that."""
        with self._turn:
            if self._held is None:
                self._hand(data)
            else:
                self._held.received(data)

    def _release(self) -> None:
        """It has begun: hand it what was held."""
        with self._turn:
            held, self._held = self._held, None
            if held is not None:
                self._hand(bytes(held.data))

    def _hand(self, data: bytes) -> None:
        while data:
            char = self._interrupt
            at = -1 if char is None else data.find(char)
            # What nobody reads is lost, as at a full FIFO
            with suppress(OSError):
                self.socket.send(data if at < 0 else data[:at])
            if at < 0:
                return
            if not self._stop_program():
                with suppress(OSError):
                    self.socket.send(data[at : at + 1])
            data = data[at + 1 :]

    def _stop_program(self) -> bool:
        """Interrupt it; whether it still wants that."""
        # The signal ends whatever C function it comes upon. While it sleeps that is a harmless
        # one; in the midst of the file system or of a collection it might not be, and that one
        # sleeps, too, until its other threads (a watchdog's) have told what they hold.
        pid = self._process.pid
        end = time.monotonic() + self.BUSY_S
        try:
            while self._interrupt is not None:
                state, call = self._at()
                if state == "Z" or time.monotonic() > end:
                    interrupt(pid)
                    return True
                if state not in ("R", "D") and call not in _BUSY:
                    # Held there, it cannot go on before the signal has come
                    signal.pidfd_send_signal(self.pidfd, signal.SIGSTOP)
                    try:
                        state, held_at = self._at()
                        while state not in ("T", "Z") and time.monotonic() < end:
                            state, held_at = self._at()
                        if held_at == call:
                            interrupt(pid)
                            return True
                    finally:
                        signal.pidfd_send_signal(self.pidfd, signal.SIGCONT)
                time.sleep(0.001)
        except (OSError, IndexError):  # it has just ended
            return True
        return False

    def _at(self) -> tuple[str, str]:
        """Return the state of its main thread, a letter of Linux's, and the number of the system
        call that it is in, "" where the kernel does not tell."""
        process = Path(f"/proc/{self._process.pid}")
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        try:
            return state, (process / "syscall").read_text().split()[0]
        except OSError:
            return state, ""

    # In the board's thread

    def take(self) -> None:
        """Pass on what it has written."""
        while True:
            try:
                data = self.socket.recv(self.CHUNK)
            except OSError:
                return
            if not data:
                return
            self._got += data
            self._sort(whole=len(data) < self.CHUNK)

    def _sort(self, whole: bool) -> None:
        got = self._got
        while got:
            at = got.find(_MARK)
            if at < 0:
                # The last bytes may be the first ones of a mark
                rest = 0 if whole else len(_MARK) - 1
                self._text(bytes(got[: len(got) - rest]))
                del got[: len(got) - rest]
                return
            if at:
                self._text(bytes(got[:at]))
                del got[:at]
            if len(got) < _HEAD:
                return
            kind = got[len(_MARK)]
            end = _HEAD + int.from_bytes(got[_HEAD - 4 : _HEAD], "little")
            if end > self.MAX_FRAME:  # a program has made that up
                self._text(bytes(got[: len(_MARK)]))
                del got[: len(_MARK)]
                continue
            if len(got) < end:
                return
            data = bytes(got[_HEAD:end])
            del got[:end]
            if kind == ord("K"):
                self._interrupt = data[0] if data[0] != 255 else None
                if not self.began:
                    self.began = True
                    # Not here: it may wait for what comes next
                    threading.Thread(target=self._release, daemon=True).start()
            elif kind == ord("H"):
                self._event(data.decode(errors="replace"))
            elif data:
                self._last = data[-1:]
                self._say(data)

    def _text(self, data: bytes) -> None:
        if data:
            # The byte before was sent already
            cooked = re.sub(rb"(?<!\r)\n", b"\r\n", self._last + data)
            cooked = cooked[2 if self._last == b"\n" else len(self._last) :]
            self._last = data[-1:]
            self._say(cooked)

    def end(self, held: Held) -> int:
        """Take what it wrote last, and hold what it has not read; its exit code."""
        code = self._process.wait(KILL_LIMIT_S)
        self.take()
        with self._turn, suppress(OSError):
            if self._held is not None:
                held.data[:0] = self._held.data
            held.data[:0] = self._theirs.recv(held.MAX, socket.MSG_DONTWAIT)
        if self._got:
            self._text(bytes(self._got))
        self._close()
        return code

    def kill(self) -> None:
        """End it, at once."""
        self._process.kill()
        self._process.wait(KILL_LIMIT_S)
        self._close()

    def _close(self) -> None:
        os.close(self.pidfd)
        self.socket.close()
        self._theirs.close()
