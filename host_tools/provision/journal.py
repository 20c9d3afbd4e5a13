"""What a batch has done, on a disk that may be interrupted at any point.

`journal.jsonl` is only ever appended to, one JSON object a line, each flushed to the disk. The
passwords of accounts that are not finished yet are files of their own, and go away after that.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from ..errors import UxmppError

#: The most bytes of a journal.
MAX_BYTES = 256 * 1024 * 1024
#: The file, and the folder of passwords, within a batch's folder.
NAME = "journal.jsonl"
SECRETS = ".secrets"
_FORMAT = 1
_BINARY = getattr(os, "O_BINARY", 0)  # Windows


class JournalError(UxmppError):
    """The journal cannot be read or written, or somebody else is at it."""


@dataclass(frozen=True)
class Done:
    """A device that is finished: its account, and what its files were made of."""

    jid: str
    digest: str


class Journal:
    """The journal of the batch in `folder`, which is made: to be closed, or for a `with`. One
    program at a time has it open. Raises JournalError.

    A last line that is torn, as it is after a power cut, counts as not written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        #: The devices that are finished, by serial number.
        self.done: dict[str, Done] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _BINARY, 0o600)
            self._file: BinaryIO = os.fdopen(number, "r+b", buffering=0)
        except OSError as e:
            raise JournalError(f"{self.path}: cannot be opened: {e.strerror}") from None
        try:
            _lock(self._file, self.path)
            self._read()
        except BaseException:
            self._file.close()
            raise

    def add(self, event: str, serial: str, **more: str) -> None:
        """Write that something happened; it is on the disk when this returns."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._write({"event": event, "serial": serial, **more, "at": now})
        self._apply(event, serial, more)

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _apply(self, event: str, serial: str, more: Mapping[str, Any]) -> None:
        if event == "done":
            self.done[serial] = Done(str(more.get("jid")), str(more.get("digest")))
        elif event == "forgotten":
            self.done.pop(serial, None)

    def _write(self, entry: Mapping[str, Any]) -> None:
        data = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        try:
            if self._file.write(data) != len(data):
                raise OSError(0, "no space left")
            os.fsync(self._file.fileno())
        except OSError as e:
            raise JournalError(f"{self.path}: cannot be written: {e.strerror}") from None

    def _read(self) -> None:
        try:
            if os.fstat(self._file.fileno()).st_size > MAX_BYTES:
                raise JournalError(f"{self.path}: is longer than {MAX_BYTES} bytes: no journal")
            data = self._file.read()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                os.ftruncate(self._file.fileno(), whole)
        except OSError as e:
            raise JournalError(f"{self.path}: cannot be read: {e.strerror}") from None
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                entry = json.loads(line)
                if number == 1:
                    version = entry["journal"]
                else:
                    self._apply(entry["event"], entry["serial"], entry)
            except (ValueError, KeyError, TypeError):
                raise JournalError(
                    f"{self.path}:{number}: is no line of a journal: restore it from a copy, or "
                    "remove that line"
                ) from None
            if version != _FORMAT:
                raise JournalError(f"{self.path}: was written by another version of uxmpp")
        if not whole:
            self._write({"journal": _FORMAT})
            for folder in self.path.absolute().parents[:2]:
                self._flush(folder)

    def _flush(self, folder: Path) -> None:
        try:
            flush_folder(folder)
        except OSError as e:
            raise JournalError(f"{folder}: cannot be written: {e.strerror}") from None


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other programs that ask for the same file from what is done meanwhile. Raises
    JournalError where one is at it already."""
    try:
        file = path.open("rb")
    except OSError as e:
        raise JournalError(f"{path}: cannot be read: {e.strerror}") from None
    with file:
        _lock(file, path)
        yield


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: nobody is kept from it
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise JournalError(f"{path}: another uxmpp provision is at it") from None
    except OSError as e:
        raise JournalError(f"{path}: cannot be locked: {e.strerror}") from None


class SecretError(UxmppError):
    """What was kept of a device cannot be read."""


class Secrets:
    """What must not be lost before a device is finished, and must not be kept after it: a file a
    device, below `folder`, for its owner alone. What writes raises JournalError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / SECRETS

    def get(self, serial: str) -> dict[str, str] | None:
        """Return what is kept of a device, its `password` with it, or None. Raises
        SecretError."""
        path = self._path(serial)
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as e:
            raise SecretError(f"{path}: cannot be read: {e}") from None
        if (
            not isinstance(found, dict)
            or not all(isinstance(v, str) for v in found.values())
            or not found.get("password")
        ):
            raise SecretError(f"{path}: is not what was written there")
        return found

    def put(self, serial: str, what: Mapping[str, str]) -> None:
        """Keep it; it is on the disk when this returns."""
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                flush_folder(self.folder.parent)
        except OSError as e:
            raise JournalError(f"{self.folder}: cannot be made: {e.strerror}") from None
        write_private(self._path(serial), json.dumps(what).encode())

    def drop(self, serial: str) -> None:
        """Keep it no more, if it was kept."""
        with suppress(FileNotFoundError):
            try:
                self._path(serial).unlink()
            except FileNotFoundError:
                raise
            except OSError as e:
                raise JournalError(
                    f"{self._path(serial)}: cannot be removed: {e.strerror}"
                ) from None

    def close(self) -> None:
        """Remove the folder, if it is empty."""
        with suppress(OSError):
            self.folder.rmdir()

    def _path(self, serial: str) -> Path:
        return self.folder / f"{serial}.json"


def write_private(path: Path, data: bytes) -> None:
    """Write a file that its owner alone can read, whole or not at all, and onto the disk. Raises
    JournalError."""
    beside = path.with_name(f".{path.name}.new")
    try:
        # What is there may be another's, or lead elsewhere
        beside.unlink(missing_ok=True)
        number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
        try:
            with os.fdopen(number, "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            beside.replace(path)
        except OSError:
            with suppress(OSError):
                beside.unlink()
            raise
        flush_folder(path.parent)
    except OSError as e:
        raise JournalError(f"{path}: cannot be written: {e.strerror}") from None


def flush_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
