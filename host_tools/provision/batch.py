"""Many devices in parallel: for each an account, and a folder with all that goes into its box.

A batch may be interrupted at any point and started again. What makes that safe is the order: a
password is on the disk before its account is asked for; an account that a run before may have made
is known by logging in; the password is forgotten only when the folder with the login keys is
there.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from ..errors import UxmppError
from ..flash import boards, content
from . import accounts, box, secret
from .accounts import Method, NotAllowed, Order
from .devices_csv import Line
from .journal import Journal, JournalError, Secrets
from .label import Size
from .session import Place, ServerError

#: The most devices that are worked on at a time.
MAX_JOBS = 64
#: After so many in a row for which the server was not reached, or failed, the rest is left alone.
MAX_UNREACHED = 16


class Keep(StrEnum):
    """Where the passwords stay, besides the login keys that are made of them."""

    nowhere = "nowhere"
    file = "file"
    keyring = "keyring"


class Outcome(StrEnum):
    """What became of a device."""

    made = "account made"
    finished = "finished"  # what an earlier run began
    again = "files made again"
    before = "as it was"
    failed = "failed"


class BatchError(UxmppError):
    """A device of a batch cannot be made."""


@dataclass(frozen=True)
class Made:
    """How a batch's folder is filled: the label's size, with a flash image, passwords kept."""

    size: Size = Size()
    image: bool = False
    keep: Keep = Keep.nowhere


class Report(Protocol):
    """Is told of each device."""

    def said(self, line: Line, outcome: Outcome, why: str) -> None:
        """A device is through; `why` it failed."""


class Batch:
    """The devices of `lines`, their accounts made by `method`, their folders below `folder`;
    `jobs` at a time. Raises UxmppError for what cannot work for any of them."""

    def __init__(
        self,
        lines: Sequence[Line],
        folder: Path,
        method: Method,
        made: Made,
        *,
        jobs: int = 4,
        report: Report | None = None,
    ) -> None:
        self._lines = lines
        self._folder = folder
        self._method = method
        self._made = made
        self._jobs = max(1, min(jobs, MAX_JOBS))
        self._report = report
        self._stop: UxmppError | None = None
        self._unreached = 0
        self._programs: dict[tuple[str | None, ...], str] = {}
        self.counts = dict.fromkeys(Outcome, 0)
        if made.image:
            for line in lines:
                self._program(line)

    @property
    def untried(self) -> int:
        """How many devices were left alone, because none would have fared better."""
        return len(self._lines) - sum(self.counts.values())

    async def run(self) -> UxmppError | None:
        """Make them; return why it stopped before the end, or None. Raises JournalError."""
        with Journal(self._folder) as journal:
            waiting = iter(self._lines)
            secrets = Secrets(self._folder)
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self._jobs):
                        group.create_task(self._work(waiting, journal, secrets))
            except ExceptionGroup as e:
                # What one of them cannot go on with, none can
                raise _first(e) from None
            finally:
                secrets.close()
                await self._method.close()
        return self._stop

    async def _work(self, waiting: Iterator[Line], journal: Journal, secrets: Secrets) -> None:
        for line in waiting:
            if self._stop:
                return
            why = ""
            try:
                outcome = await self._one(line, journal, secrets)
            except JournalError:
                raise
            except NotAllowed as e:
                if self._stop:  # said already
                    return
                self._stop = e
                outcome, why = Outcome.failed, str(e)
            except UxmppError as e:
                outcome, why = Outcome.failed, str(e)
                if isinstance(e, ServerError):
                    self._unreached += 1
                    if self._unreached >= MAX_UNREACHED:
                        self._stop = e
            if outcome is not Outcome.failed:
                self._unreached = 0
            self.counts[outcome] += 1
            if self._report:
                self._report.said(line, outcome, why)

    async def _one(self, line: Line, journal: Journal, secrets: Secrets) -> Outcome:
        serial, jid = line.serial, line.device.jid
        folder = self._folder / serial
        place = Place.of(line.device)
        # One that is there is never left behind its settings
        with_image = self._made.image or box.has_image(folder)
        digest = _digest(line, self._made, self._program(line) if with_image else "")
        done = journal.done.get(serial)
        if done:
            if done.jid != jid:
                raise BatchError(
                    f"was made as {done.jid}: give {jid} another serial number, or --forget it"
                )
            secrets.drop(serial)
            missing = with_image and not (folder / box.IMAGE).exists()
            if done.digest == digest and folder.exists() and not missing:
                return Outcome.before
            keys, code, password = box.kept(folder)
            await self._build(line, keys, _code(line, code), password, with_image)
            journal.add("done", serial, jid=jid, digest=digest)
            return Outcome.again
        kept = secrets.get(serial)
        asked = kept is not None
        if kept is None:
            kept = {
                "jid": jid,
                "password": accounts.password(),
                "pair": accounts.pairing_code(),
            }
            secrets.put(serial, kept)
            journal.add("begun", serial, jid=jid)
        elif kept.get("jid") != jid:
            raise BatchError(
                f"was begun as {kept.get('jid')}, which may be on the server: give {jid} another "
                f"serial number, or remove {secrets.folder / serial}.json"
            )
        order = Order(jid, kept["password"], place, line.invitation)
        keys, new = await accounts.ensure(
            self._method, order, asked=asked, unmade=lambda: secrets.drop(serial)
        )
        journal.add("account", serial, jid=jid, new="yes" if new else "no")
        if self._made.keep is Keep.keyring:
            await asyncio.to_thread(secret.keep, jid, order.password)
        in_file = order.password if self._made.keep is Keep.file else None
        await self._build(line, keys, _code(line, kept.get("pair")), in_file, with_image)
        journal.add("done", serial, jid=jid, digest=digest)
        secrets.drop(serial)
        return Outcome.made if new else Outcome.finished

    async def _build(
        self,
        line: Line,
        keys: Sequence[object],
        code: str | None,
        password: str | None,
        with_image: bool,
    ) -> None:
        work = asyncio.create_task(
            asyncio.to_thread(
                box.build,
                line,
                self._folder / line.serial,
                keys,
                code,
                size=self._made.size,
                with_image=with_image,
                password=password,
            )
        )
        try:
            await asyncio.shield(work)
        finally:
            # Where this was cancelled it goes on: not without the journal, which others may take
            await asyncio.wait((work,))

    def _program(self, line: Line) -> str:
        """Return what tells the program in a device's image from another. Raises BatchError and
        what boards and content raise."""
        device = line.device
        name, surfaces = device.values.get("board"), content.surfaces(device)
        if not name:
            raise BatchError(f'{device.path}: board = "…" is missing: an image is for one')
        key = (name, device.app, *surfaces)
        if key not in self._programs:
            board = boards.load(name, device.path.parent)
            files = content.slot_files(board, content.find_app(device), surfaces)
            made = sha256()
            for path, data in {**content.loader_files(), **files}.items():
                made.update(f"{path} {len(data)} ".encode() + data)
            self._programs[key] = made.hexdigest()
        return self._programs[key]


def forget(folder: Path, serials: Sequence[str]) -> None:
    """Have devices of the batch in `folder` that were finished be new again. Raises BatchError,
    JournalError."""
    with Journal(folder) as journal:
        for serial in serials:
            if serial not in journal.done:
                raise BatchError(f"{journal.path}: there is no finished device {serial[:64]!r}")
        for serial in serials:
            journal.add("forgotten", serial)


def _code(line: Line, code: str | None) -> str | None:
    """Return the pairing code of a device, whose first owner is made by one: that of its line,
    else `code`."""
    values: Mapping[str, object] = line.device.values
    if values.get("owners") or values.get("shared") or "pair" not in values:
        return None
    return str(values["pair"]) or code or accounts.pairing_code()


def _digest(line: Line, made: Made, program: str) -> str:
    """Return what tells whether a device's files would be the same."""
    told = [dict(line.device.values), made.size.width, made.size.height, program]
    files = content.settings_files(line.device)
    told += [f"{name} {sha256(data).hexdigest()}" for name, data in files.items()]
    text = json.dumps(told, sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:32]


def _first(group: ExceptionGroup[Exception]) -> Exception:
    found: Exception = group
    while isinstance(found, ExceptionGroup):
        found = found.exceptions[0]
    return found
