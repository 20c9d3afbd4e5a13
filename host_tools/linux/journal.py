"""Where the lines of a device go: to systemd's journal with their priority (sd-daemon(3)), or
elsewhere with the time."""

import io
import os
import threading
import time
from contextlib import suppress
from typing import TextIO

ERROR = 3
WARNING = 4
INFO = 6


class Lines:
    """A text stream that begins each line of `stream` with its priority, `level` unless it is
    set otherwise, where `journal`, else with the time. For whoever prints it is `stream`, but it
    never fails: what cannot be written, to a full disk or in the locale's characters, is no
    reason to do nothing else."""

    def __init__(self, stream: TextIO, level: int, journal: bool) -> None:
        self._stream = stream
        self._journal = journal
        self._begun = False
        self._lock = threading.RLock()
        self.level = level
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write; a line begins where the last has ended."""
        with self._lock, suppress(OSError):
            for part in text.splitlines(keepends=True) if "\n" in text else (text,):
                if part and not self._begun:
                    self._stream.write(self._prefix())
                self._stream.write(part)
                self._begun = part[-1:] != "\n" if part else self._begun
            # Who looks at a log that goes into a file or a pipe wants to see it now
            if not self._begun:
                self._stream.flush()
        return len(text)

    def _prefix(self) -> str:
        return f"<{self.level}>" if self._journal else time.strftime("%Y-%m-%d %H:%M:%S ")

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def is_journal(stream: TextIO) -> bool:
    """Whether a stream leads to systemd's journal (JOURNAL_STREAM, systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
