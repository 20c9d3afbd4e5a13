"""`uxmpp sim`."""

import errno
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from ..errors import UxmppError
from ..provision import device_file


class _Group(TyperGroup):
    """`uxmpp sim device.toml` is `uxmpp sim start device.toml`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, "--help"):
            args = ["start", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Group,
    help="A device on a virtual board: uxmpp sim DEVICE.TOML starts it, and what is below reaches"
    " it from another terminal.",
    add_completion=False,
)

_Device = Annotated[
    str | None, typer.Option(help="The device's name, where several run.", metavar="NAME")
]
_Folder = Annotated[
    Path | None,
    typer.Option(help="The device's folder.  [default: ~/.local/state/uxmpp/sim/NAME]"),
]


class _Line(StrEnum):
    pty = "pty"
    socket = "socket"
    rfc2217 = "rfc2217"


class _Button(StrEnum):
    reset = "reset"
    boot = "boot"


@app.command()
def start(
    config: Annotated[
        Path, typer.Argument(help="The device's settings.", metavar="[DEVICE.TOML]")
    ] = Path("device.toml"),
    folder: _Folder = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Make its flash anew, from the sources of now.")
    ] = False,
    keep_password: Annotated[
        bool,
        typer.Option(
            "--keep-password", help="Put the password into the flash, which needs no server."
        ),
    ] = False,
    chip: Annotated[
        list[str] | None,
        typer.Option(help="A sensor on its buses, besides a DHT22: bme280, sht30, ds18b20."),
    ] = None,
    line: Annotated[
        _Line, typer.Option(help="What its serial port is; rfc2217 has DTR and RTS.")
    ] = _Line.pty,
    baud: Annotated[
        int | None, typer.Option(min=300, help="Bits a second, else as fast as it can.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="So many devices at once, in one process of CPython: no virtual boards. Their"
            " accounts: NAME-1 and so on, all with the password of the device.toml's.",
        ),
    ] = None,
    ramp: Annotated[
        float, typer.Option(min=0, help="With --count: seconds from the first start to the last.")
    ] = 10.0,
    accounts: Annotated[
        Path | None,
        typer.Option(help="With --count: their accounts, a CSV file with jid and password."),
    ] = None,
    lab: Annotated[
        bool, typer.Option("--lab", help="With --count: on a server that is started for them.")
    ] = False,
) -> None:
    """Start a device on a virtual board, and show its console until Ctrl-C."""
    if count:
        from . import sim_fleet

        sim_fleet.run(
            device_file.read(config),
            count,
            ramp_s=ramp,
            accounts=accounts,
            local=lab,
            folder=folder,
        )
        return
    if accounts or lab:
        raise UxmppError("--accounts and --lab go with --count")
    from ..flash import flasher
    from ..lab import sim

    device = device_file.read(config)
    board = sim.board_of(device)
    wifi = device.values.get("wifi") or sim.WIFI

    console = Console(highlight=False)

    def files() -> Mapping[str, bytes]:
        console.print("Making its flash …")
        return flasher.device_files(device, board, keep_password=keep_password)

    made = sim.Sim(
        board,
        folder.absolute() if folder else sim.home() / device.name,
        files,
        wifi={key: wifi[key] for key in ("ssid", "password") if key in wifi},
        chips=chip or (),
        fresh=fresh,
        kind=line.value,
        baud=baud,
    )

    def say(port: str) -> None:
        lines = [
            f"{board.title}, virtual, as {device.jid}",
            f"Port    {port}",
            f"Flash   {made.folder}" + ("" if made.new else ", as it was left (--fresh: anew)"),
            "Set     uxmpp sim set temperature 30; without a word: what there is",
        ]
        if not device.values.get("wifi"):
            lines.append(
                f"WiFi    uxmpp wifi --port {port} --ssid {sim.WIFI['ssid']}; the password is "
                f"{sim.WIFI['password']}"
            )
        for text in (*lines, "Ctrl-C ends it.", ""):
            console.print(text, soft_wrap=True, markup=False)

    with made.running(say):
        # A thread that waits for ever would not notice a signal
        while not made.unread.wait(1.0):
            pass
    error = made.why_unread
    if error is not None:
        if error.errno == errno.EPIPE:
            raise error  # the reader has gone: no news
        raise UxmppError(f"the console: cannot be written: {error.strerror}")


@app.command("set")
def set_(
    name: Annotated[str | None, typer.Argument(help="What.", metavar="[NAME]")] = None,
    value: Annotated[str | None, typer.Argument(help="To what.", metavar="[VALUE]")] = None,
    device: _Device = None,
    folder: _Folder = None,
) -> None:
    """Set what a running device measures; without a word: list what can be set."""
    from ..lab import control, sim

    if name is None:
        for n in control.NAMES.values():
            values = f"{n.least} to {n.most} {n.unit}".rstrip()
            typer.echo(f"{n.name + ('N' if n.pin else ''):<12} {values:<20} {n.what}")
        return
    if value is None:
        raise UxmppError(f"{name}: to what? uxmpp sim set {name} VALUE")
    control.check(*control.number(name, value))
    control.ask(sim.find(device, folder), ["set", name, value])


@app.command()
def press(
    button: Annotated[_Button, typer.Argument(help="Which one.")],
    device: _Device = None,
    folder: _Folder = None,
) -> None:
    """Press a button of a running device: reset, or reset with BOOT (BOOTSEL) held."""
    from ..lab import control, sim

    said = control.ask(sim.find(device, folder), ["press", button.value])
    if said:
        typer.echo(said)


@app.command()
def play(
    path: Annotated[
        Path, typer.Argument(help="A CSV file: seconds,name,value.", metavar="CURVE.CSV")
    ],
    speed: Annotated[float, typer.Option(min=0.001, help="So many times as fast.")] = 1.0,
    device: _Device = None,
    folder: _Folder = None,
) -> None:
    """Have a running device measure what a file says, as time goes by."""
    from ..lab import sim

    steps = sim.curve(path)
    sim.play(sim.find(device, folder), steps, speed)
