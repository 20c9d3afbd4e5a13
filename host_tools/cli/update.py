"""`uxmpp update`."""

import asyncio
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from ..errors import UxmppError
from ..update import arguments, bundle, keys, send
from ..update.errors import SendError
from ..update.owner import Login

app = typer.Typer(
    help="New versions for devices in the field: build, look at, send.",
    no_args_is_help=True,
    add_completion=False,
)

_Bundle = Annotated[Path, typer.Argument(metavar="FILE.uxb", help="The bundle.")]


@app.command()
def build(
    config: Annotated[
        Path | None, typer.Argument(metavar="[DEVICE.TOML]", help="A device that it is for.")
    ] = None,
    app: Annotated[
        str | None, typer.Option(help="The app: its file, or its name in firmware/apps.")
    ] = None,
    board: Annotated[str | None, typer.Option(help="The board, as uxmpp boards lists it.")] = None,
    version: Annotated[
        str | None, typer.Option(help="1.2.0.  [default: what the device.toml says]")
    ] = None,
    key: Annotated[
        Path | None, typer.Option(help="The private key that it is signed with.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="[default: APP-VERSION-BOARD.uxb]")
    ] = None,
) -> None:
    """Compile an app and the library for a board, and sign them as one bundle."""
    from ..flash import boards, content
    from ..provision import device_file

    if key is None:
        raise UxmppError("--key is missing: the file of the private key; uxmpp keys new makes one")
    surfaces = None
    folder = None
    if config:
        device = device_file.read(config)
        program = content.find_app(device, app)
        surfaces = content.surfaces(device)
        version = version or device.values.get("version")
        if not board:
            board, folder = device.values.get("board"), config.parent
    elif app:
        program = content.find_app(device_file.DeviceFile(Path("device.toml"), {}, {}), app)
    else:
        raise UxmppError("which app? Name a device.toml, or --app and --board")
    if not board:
        raise UxmppError("which board? Name it with --board; uxmpp boards lists them")
    if not version:
        raise UxmppError("which version? Name it with --version, like 1.2.0")
    bundle.version(version)
    made_for = boards.load(board, folder)
    files = content.slot_files(made_for, program, surfaces)
    name = content.app_name(program)
    manifest = content.manifest(made_for, name, version, files)
    signer = keys.read(key)
    data = bundle.build(manifest, files, signer)
    path = output or Path(f"{name}-{version}-{made_for.name}{bundle.SUFFIX}")
    _write(path, data)
    print(
        f"{path}: {name} {version} for {made_for.name}, {len(files)} files, "
        f"{len(data)} bytes, signed by {signer.public[:16]}…"
    )
    if signer.next:
        print(f"It brings the next key, {signer.next[:16]}…")


@app.command()
def show(
    path: _Bundle,
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The public key, or the file of the private one."),
    ] = None,
) -> None:
    """Show what is in a bundle, and check it as a device does."""
    public = keys.public(key) if key else None
    data, found = bundle.load(path, public)
    told = found.manifest
    print(f"{told.app} {told.version} for {told.board}, bytecode {told.mpy}, {len(data)} bytes")
    print("the signature is right" if found.signed else "the signature was not checked: --key")
    if told.key and told.key != public:
        print(f"what comes after it has to be signed by {told.key}")
    for entry in told.files:
        print(f"{entry.size:>8}  {entry.path}")


@app.command("send")
def send_(
    path: _Bundle,
    owner: Annotated[str, typer.Option("--as", metavar="JID", help="An owner of the devices.")],
    to: Annotated[
        list[str] | None, typer.Option(metavar="JID", help="A device; may be repeated.")
    ] = None,
    listed: Annotated[
        Path | None, typer.Option("--list", help="A file with a device's address a line.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Where devices may fetch it, instead of an upload.")
    ] = None,
    in_band: Annotated[
        bool, typer.Option("--in-band", help="Within the chat's stream: slow, and always there.")
    ] = False,
    ca: Annotated[
        Path | None,
        typer.Option(help="The certificate of the server's CA.  [default: this computer's CAs]"),
    ] = None,
    pin: Annotated[
        str | None, typer.Option(help="SHA-256 of the server's own certificate.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Where the server is.  [default: as its domain says]")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="TLS from the first byte, with --host or --port.")
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Check the signature before: as of update show."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Devices at a time.")] = 4,
    wait: Annotated[
        float, typer.Option(min=1, max=86400, help="Seconds that a device may be away.")
    ] = send.Target.online_s,
) -> None:
    """Send a bundle to devices, and wait until each of them runs it."""
    from ..provision import secret
    from ..provision.session import Place

    if url and in_band:
        raise UxmppError("--url and --in-band: one of the two")
    if url:
        arguments.check_url(url)
    data, found = bundle.load(path, keys.public(key) if key else None)
    devices = arguments.devices(to or (), listed)
    jid = arguments.account(owner)
    trust = None if pin else arguments.authorities(ca)
    place = Place(trust, arguments.pin(pin) if pin else None, host, port, direct)
    password = secret.password(jid)
    if not password:
        raise UxmppError(f"no password of {jid}: type it at a terminal, or set {secret.VARIABLE}")
    version = found.manifest.version
    with _Progress(version, several=len(devices) > 1) as report:
        try:
            ended = asyncio.run(
                send.send(
                    lambda session: send.Shipment(
                        data,
                        found,
                        session,
                        report,
                        name=path.name,
                        url=url,
                        way="in-band" if in_band else "auto",
                    ),
                    devices,
                    Login(jid, password, place),
                    report,
                    jobs=jobs,
                    online_s=wait,
                )
            )
        except KeyboardInterrupt:
            report.say("", "interrupted: the same command goes on from there")
            raise
    failed = [how for how in ended.values() if isinstance(how, SendError)]
    if len(devices) > 1:
        print(f"{len(devices) - len(failed)} of {len(devices)} devices run {version}")
        raise typer.Exit(1 if failed else 0)
    if failed:
        raise failed[0]


class _Progress(send.Report):
    """A bar for each device at a terminal, lines elsewhere."""

    def __init__(self, version: str, several: bool) -> None:
        self._version = version
        self._several = several
        self._console = Console(highlight=False)
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, int] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def say(self, device: str, text: str) -> None:
        self._print(f"{device}: {text}" if device else text)

    def at(self, device: str, done: int, total: int) -> None:
        if not self._console.is_terminal:
            # A line for each fifth
            fifth = 5 * done // max(total, 1)
            if self._told.get(device, 0) < fifth < 5:
                self._told[device] = fifth
                self._print(f"{device}: {20 * fifth} %")
            return
        if device not in self._tasks:
            self._bars.start()
            self._tasks[device] = self._bars.add_task(device, total=total)
        self._bars.update(self._tasks[device], completed=done, total=total)

    def ended(self, device: str, how: str | SendError) -> None:
        task = self._tasks.pop(device, None)
        if task is not None:
            self._bars.remove_task(task)
        if not isinstance(how, SendError):
            was = f" (was {how})" if how else " already"
            self._print(f"{device}: runs {self._version}{was}")
        elif self._several:
            self._print(str(how))

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)


def _write(path: Path, data: bytes) -> None:
    # Beside and renamed: what is there is whole
    beside = None
    try:
        handle, beside = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as f:
            f.write(data)
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except OSError as e:
        if beside:
            with suppress(OSError):
                Path(beside).unlink()
        raise UxmppError(f"{path}: cannot be written: {e.strerror}") from None
