"""`uxmpp deploy`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import UxmppError
from ..flash import boards, flasher, ports
from ..flash.progress import Bars
from ..provision import device_file


def deploy(
    config: Annotated[
        Path, typer.Argument(help="The device's settings.", metavar="[DEVICE.TOML]")
    ] = Path("device.toml"),
    port: Annotated[
        str | None, typer.Option(help="The serial port; else the one that the board is found on.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="The board may be another device, or hold another board's program."
        ),
    ] = False,
    login: Annotated[
        bool,
        typer.Option(
            "--login", help="Derive the login keys anew: the account's password was changed."
        ),
    ] = False,
    keep_password: Annotated[
        bool,
        typer.Option(
            "--keep-password",
            help="Where the board has no login keys, write the password itself: without the "
            "server, and whoever reads the board's flash has it.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent and removed.")
    ] = False,
) -> None:
    """Send what has changed to a board that runs MicroPython, and restart its program."""
    from ..flash import deploy as work

    with Bars(Console(highlight=False)) as bars:
        device = device_file.read(config)
        if not device.values.get("board"):
            raise UxmppError(f'{config}: which board? Write board = "…"; uxmpp boards lists them')
        board = boards.load(device.values["board"], config.parent)
        flasher.check_board(board)
        work.send(
            board,
            device,
            ports.choose(board, port, bars.say),
            bars,
            replace=replace,
            anew=login,
            keep_password=keep_password,
            dry_run=dry_run,
        )
