"""Loopback ports that no two processes of the lab get at the same time."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from .errors import LabError

# A lease is a locked file named by its port, in one folder for all processes of a user: the
# kernel drops the lock with its holder, and the server can be started again on the same ports.
# The numbers lie below the range that Linux gives to outgoing connections, so that none of these
# takes a port between the check and the server's start.
FIRST = 18000
LAST = 31999
HOSTS = ("127.0.0.1", "::1")


class Ports:
    """A lease on `count` free TCP ports: `numbers`, held until `release()` or the process ends.

    Raises LabError when there are not as many.
    """

    def __init__(self, count: int) -> None:
        self._files: dict[Path, IO[str]] = {}
        taken: list[int] = []
        folder = Path(tempfile.gettempdir()) / f"uxmpp-ports-{os.getuid()}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            for number in random.sample(range(FIRST, LAST + 1), LAST + 1 - FIRST):
                if len(taken) == count:
                    break
                if self._lock(folder / str(number), number):
                    taken.append(number)
        except OSError as e:
            self.release()
            raise LabError(f"cannot keep port leases in {folder}: {e.strerror}") from e
        if len(taken) < count:
            self.release()
            raise LabError(f"no {count} free ports from {FIRST} to {LAST}: stop what uses them")
        self.numbers = tuple(taken)

    def _lock(self, path: Path, number: int) -> bool:
        handle = path.open("w")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
            return False
        # Between the two lines above another process may have given back, and so removed, this
        # file: a lock on it would then exclude nobody.
        if not _is(path, handle):
            handle.close()
            return False
        self._files[path] = handle
        if not _free(number):
            self._give_back(path)
            return False
        return True

    def _give_back(self, path: Path) -> None:
        with self._files.pop(path):
            path.unlink(missing_ok=True)

    def release(self) -> None:
        """Give the ports back; may be called again."""
        for path in list(self._files):
            self._give_back(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def accepts(port: int, host: str = HOSTS[0]) -> bool:
    """Tell whether something accepts connections on `port` now."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def _is(path: Path, handle: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle.fileno()))
    except FileNotFoundError:
        return False


def _free(number: int) -> bool:
    for host in HOSTS:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as s:
                # As servers do: connections that linger from an earlier run are no hindrance.
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind((host, number))
        except OSError:
            if family == socket.AF_INET:
                return False
            # Without IPv6 every IPv6 address fails: the port is still free where it counts.
            if accepts(number, host):
                return False
    return True
