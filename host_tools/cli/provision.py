"""`uxmpp provision`."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import UxmppError
from ..provision import device_file, secret
from ..provision.devices_csv import CsvError, Line

if TYPE_CHECKING:
    from ..provision import batch as batches
    from ..provision.accounts import Method

ADMIN_PASSWORD = "UXMPP_ADMIN_PASSWORD"
API_TOKEN = "UXMPP_API_TOKEN"
INVITE = "UXMPP_INVITE"

_T = TypeVar("_T")


class By(StrEnum):
    """Who makes the accounts."""

    register = "register"
    invite = "invite"
    admin = "admin"
    api = "api"


class Keeping(StrEnum):
    """Where passwords stay."""

    file = "file"
    keyring = "keyring"


def provision(
    config: Annotated[
        Path | None,
        typer.Argument(help="One device's settings.", metavar="[DEVICE.TOML]", show_default=False),
    ] = None,
    by: Annotated[
        By,
        typer.Option(
            help="How the account comes to be: in-band registration, an invitation, an "
            "administrator's command, or ejabberd's HTTP API."
        ),
    ] = By.register,
    batch: Annotated[
        Path | None, typer.Option(help="Many devices: a CSV file, a line each.", metavar="CSV")
    ] = None,
    template: Annotated[
        Path, typer.Option(help="What the devices of a batch have in common.")
    ] = Path("device.toml"),
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder for the devices' folders.  [default: for a batch, the name of the "
            "CSV file]",
            show_default=False,
        ),
    ] = None,
    jid: Annotated[
        str | None,
        typer.Option(help="The accounts of a batch, as sensor-{serial}@example.org."),
    ] = None,
    jobs: Annotated[int, typer.Option(help="So many devices at a time.", min=1, max=64)] = 4,
    image: Annotated[
        bool, typer.Option("--image", help="With an image of each device's flash.")
    ] = False,
    label: Annotated[str, typer.Option(help="The size of the labels in mm.")] = "62x29",
    admin: Annotated[
        str | None,
        typer.Option(help=f"The administrator's JID; the password is in {ADMIN_PASSWORD}."),
    ] = None,
    api: Annotated[
        str | None,
        typer.Option(
            help="The API's address, as https://example.org:5443/api; a token is in "
            f"{API_TOKEN}, without --admin."
        ),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(help="What the server asks for besides, NAME=VALUE.", metavar="NAME=VALUE"),
    ] = None,
    keep_password: Annotated[
        Keeping | None,
        typer.Option(
            help="Keep the password, too: in a file for its owner alone, or in the keyring. Else "
            "nobody knows it; the login keys are enough for the device."
        ),
    ] = None,
    forget: Annotated[
        list[str] | None,
        typer.Option(help="Have a finished device of a batch be new again.", metavar="SERIAL"),
    ] = None,
) -> None:
    """Accounts on the server, with passwords of their own, and what goes into the boxes.

    Secrets come from the environment, the keyring or whoever sits at the terminal, never from
    the command line. A batch that was interrupted goes on when it is started again.
    """
    # Only here: uxmpp --help needs none of it
    from ..provision import batch as batches
    from ..provision import devices_csv, one
    from ..provision.label import Size

    size = Size.parse(label)
    if batch and config:
        raise UxmppError("one device or a batch: leave out DEVICE.TOML, or --batch")
    if keep_password is Keeping.keyring:
        secret.keyring()
    made = batches.Made(size, image, batches.Keep(keep_password or "nowhere"))
    if not batch:
        config = config or Path("device.toml")
        device = device_file.read(config)
        if devices_csv.PATTERN in device.jid:
            raise UxmppError(f"{config}: jid: is one for many devices: give a list, --batch CSV")
        if forget:
            raise UxmppError("--forget is for the devices of a batch")
        if not out:
            if image:
                raise UxmppError("--image: say where to, --out FOLDER")
            token = _invitation(by, device.jid) if not device.values.get("keys") else None
            method = _method(by, admin, api, field)
            done = _finished(one.provision(device, method, token, made.keep))
            for text in done or [f"{config} has login keys already: there is nothing to do"]:
                print(text)
            return
        lines, bad = [devices_csv.single(device)], list[CsvError]()
    else:
        device = device_file.read(template)
        for key in ("password", "keys"):
            if device.values.get(key):
                raise UxmppError(
                    f"{template}: {key}: one for all devices: take it out, each gets its own"
                )
        lines, bad = devices_csv.read(batch, device, jid)
        out = out or Path(batch.stem)
    if by is By.invite and not all(line.invitation for line in lines):
        token = _invitation(by, "all those without one of their own")
        lines = [replace(line, invitation=line.invitation or token) for line in lines]
    method = _method(by, admin, api, field)
    if forget:
        batches.forget(out, forget)
    raise typer.Exit(_run(batch or device.path, lines, bad, out, method, made, jobs))


def _run(
    path: Path,
    lines: list[Line],
    bad: list[CsvError],
    out: Path,
    method: "Method",
    made: "batches.Made",
    jobs: int,
) -> int:
    """Do a batch and tell of it; the exit code."""
    from ..provision.batch import Batch, Outcome

    for error in bad:
        print(f"uxmpp: {error}", file=sys.stderr)
    with _Shown(path, len(lines)) as shown:
        work = Batch(lines, out, method, made, jobs=jobs, report=shown)
        try:
            stopped = _finished(work.run())
        except (KeyboardInterrupt, SystemExit):
            shown.error("interrupted: the same command again goes on from here")
            raise
    counts = [f"{n} {o.value}" for o, n in work.counts.items() if n]
    counts += [f"{len(bad)} lines of no use"] if bad else []
    counts += [f"{work.untried} not tried"] if work.untried else []
    print(f"{out}: {', '.join(counts) or 'no devices'}")
    return 1 if stopped or bad or work.counts[Outcome.failed] else 0


def _finished(work: Coroutine[Any, Any, _T]) -> _T:
    """Return what becomes of it; SIGTERM ends it as Ctrl-C does, in order."""

    async def main() -> _T:
        task = asyncio.current_task()
        assert task
        with suppress(NotImplementedError, RuntimeError):  # Windows; another thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)


class _Shown:
    """Progress: a bar at a terminal, else a line a device."""

    def __init__(self, path: Path, total: int) -> None:
        self._path = path
        self._total = total
        self._count = 0
        self._console = Console(highlight=False)
        self._errors = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("devices", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def said(self, line: Line, outcome: "batches.Outcome", why: str) -> None:
        """As Report.said()."""
        self._count += 1
        if why:
            place = f"{self._path}:{line.number}" if line.number else str(self._path)
            self.error(f"{place}: {line.serial}: {why}")
        elif not self._console.is_terminal and outcome != "as it was":
            print(f"[{self._count}/{self._total}] {line.serial} {line.device.jid}: {outcome}")
            sys.stdout.flush()
        self._bar.update(self._task, advance=1, description=line.serial)

    def error(self, text: str) -> None:
        """A line for people, above the bar."""
        console = self._console if self._console.is_terminal else self._errors
        console.print(f"uxmpp: {text}", soft_wrap=True, markup=False)


def _method(by: By, admin: str | None, api: str | None, fields: list[str] | None) -> "Method":
    from ..provision.admin import Admin
    from ..provision.ejabberd_api import Api
    from ..provision.register import Registration

    known = {}
    for text in fields or ():
        name, equals, value = text.partition("=")
        if not name or not equals or name in ("username", "password"):
            raise UxmppError(
                f"--field {name[:32]!r}: must be NAME=VALUE, as email=ann@example.org"
            )
        known[name] = value
    if by in (By.register, By.invite):
        return Registration(known)
    password = None
    if admin:
        admin = _account(admin)
        password = secret.other(ADMIN_PASSWORD, f"Password of {admin}", admin)
        if not password:
            raise UxmppError(f"{admin}: there is no password: set {ADMIN_PASSWORD}")
    if by is By.admin:
        if not admin or not password:
            raise UxmppError("--by admin: who is it? --admin admin@example.org")
        return Admin(admin, password)
    if not api:
        raise UxmppError("--by api: where is it? --api https://example.org:5443/api")
    token = None if admin else secret.other(API_TOKEN, f"Token for {api}", api)
    return Api(api, token=token, jid=admin, password=password)


def _account(text: str) -> str:
    from ..provision.device_file import firmware

    try:
        found = str(firmware("uxmpp.jid").prepare(text))
    except ValueError as e:
        raise UxmppError(f"--admin: {e}") from None
    if "@" not in found or "/" in found:
        raise UxmppError(f"--admin {text[:64]!r}: must be name@domain")
    return found


def _invitation(by: By, whom: str) -> str | None:
    if by is not By.invite:
        return None
    found = secret.other(INVITE, f"Invitation for {whom}", f"invite {whom}")
    if not found:
        raise UxmppError(f"--by invite: there is no invitation for {whom}: set {INVITE}")
    return found
