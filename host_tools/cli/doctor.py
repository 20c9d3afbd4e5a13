"""`uxmpp doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UxmppError
from ..flash import boards
from ..provision import device_file


def doctor(
    config: Annotated[
        Path, typer.Argument(help="The device's settings.", metavar="[DEVICE.TOML]")
    ] = Path("device.toml"),
    port: Annotated[
        str | None, typer.Option(help="The serial port; else the one that the board is found on.")
    ] = None,
    no_board: Annotated[
        bool,
        typer.Option(
            "--no-board", help="From this computer, as for a device that runs under Linux."
        ),
    ] = False,
    state: Annotated[
        Path | None,
        typer.Option(
            help="Without a board: the folder of the device's files, as `uxmpp run` has."
        ),
    ] = None,
) -> None:
    """Walk from the port to the owner, and say which step fails, why, and what to do.

    The steps run on the board itself; its program is stopped for them, and started again.
    """
    from ..flash.doctor import Doctor

    device = device_file.read(config)
    name = device.values.get("board")
    if not name and not no_board:
        raise UxmppError(f'{config}: which board? Write board = "…", or give --no-board')
    board = boards.load(name, config.parent) if name and not no_board else None
    if board is not None and board.port == "linux":
        board = None
    if board is None and port:
        raise UxmppError("--port: there is no board to be asked: leave it out")
    if board is None and state is None:
        from ..linux import run

        state = run.state_folder(device.name)
    failed = False
    for result in Doctor(device, board, port, state=state, say=_say).examine():
        failed = failed or result.state == "FAILED"
        _say(str(result))
    raise typer.Exit(1 if failed else 0)


def _say(text: str) -> None:
    print(text, flush=True)
