"""What the lab's servers share: a folder, ports on loopback, a process that starts and stops."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from .errors import LabError
from .part import Part
from .ports import HOSTS, Ports, accepts
from .process import STOP_LIMIT_S, Child

DOMAIN = "lab.example"
START_LIMIT_S = 60.0


class Server(Part):
    """A server program: `with … as server:`, or start() and, at the end, close().

    `name` is what errors call it. Its files lie in `folder`, made below the given one, and are
    removed by close(). `ports` is how many it needs: they are its own until close().

    A class of it writes its configuration under `_preparing()` and sets what start() needs:
    `_argv`, `_awaited` (ports that accept once it is up), `_output` (the file of what it prints)
    and, where it needs more, `_environment`.
    """

    log: Path
    _stop_limit_s = STOP_LIMIT_S  # then it is killed

    def __init__(self, name: str, domain: str, ports: int, folder: Path | None) -> None:
        self.name = name
        self.domain = domain
        self.host = HOSTS[0]
        self._child: Child | None = None
        self._argv: Sequence[str] = ()
        self._awaited: Sequence[int] = ()
        self._environment: Mapping[str, str] = os.environ
        self._ports = Ports(ports)
        with self._preparing():
            made = tempfile.mkdtemp(prefix=f"{name.lower()}-", dir=folder)
            self.folder = Path(made).resolve()
            self._output = self.folder / "output.log"

    @contextmanager
    def _preparing(self) -> Iterator[None]:
        """Give everything back where what is done under it fails."""
        try:
            yield
        except OSError as e:
            self.close()
            raise LabError(f"cannot write {self.name}'s files: {e}") from e
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self.running and self._child else None

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._child is not None and self._child.running

    def start(self) -> Self:
        """Start it and wait until it accepts connections; LabError with its last log lines."""
        if self.running:
            return self
        child = Child(
            f"{self.name} of {self.domain}",
            self._argv,
            log=self._output,
            env=self._environment,
            cwd=self.folder,
        )
        self._child = child
        waiting = list(self._awaited)

        def ready() -> bool:
            waiting[:] = [p for p in waiting if not accepts(p, self.host)]
            return not waiting

        try:
            child.wait_until(ready, "server on its ports", START_LIMIT_S)
            self._started()
        except LabError as e:
            child.kill()
            said = self._complaints()
            if not said:
                raise
            raise LabError(f"{e} | {said}") from e
        except BaseException:
            child.kill()
            raise
        return self

    def stop(self) -> None:
        """Stop it in order; accounts, data and ports are kept for the next start()."""
        if self._child:
            self._child.stop(self._stop_limit_s)
            self._child = None

    def kill(self) -> None:
        """Stop it without a chance to write or to tell its clients."""
        if self._child:
            self._child.kill()
            self._child = None

    def restart(self) -> None:
        """Stop it in order and start it on the same ports."""
        self.stop()
        self.start()

    def forget(self) -> None:
        """Stop it, drop what it kept of sessions (the tokens of FAST and what stream management
        keeps), and start it again if it ran. Accounts and what they own stay."""
        ran = self.running
        self.stop()
        try:
            self._forget()
        except OSError as e:
            raise LabError(f"cannot remove {self.name}'s files: {e}") from e
        if ran:
            self.start()

    def close(self, *, keep: bool = False) -> None:
        """Stop it, give back its ports and remove its files (unless `keep`)."""
        if keep:
            self.stop()
        elif self._child:  # what it would still write is removed anyway
            self._child.kill()
            self._child = None
        self._ports.release()
        folder = getattr(self, "folder", None)
        if folder and not keep:
            shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def _started(self) -> None:
        """What is to be done each time it has come up."""

    def _forget(self) -> None:
        """Drop what a stopped server kept of sessions; what it keeps in memory is gone anyway."""

    def _complaints(self) -> str:
        """Return what its log says of a failed start, where that is not what it prints."""
        return ""
