"""`uxmpp monitor`."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..flash import boards, content, ports
from ..provision import device_file


def monitor(
    config: Annotated[
        Path | None,
        typer.Argument(
            help="The device's settings: they tell the board and the app, and what is secret."
            "  [default: device.toml, where there is one]",
            metavar="[DEVICE.TOML]",
        ),
    ] = None,
    port: Annotated[
        str | None, typer.Option(help="The serial port; else the one that a board is found on.")
    ] = None,
    log: Annotated[Path | None, typer.Option(help="A file that everything is added to.")] = None,
    send: Annotated[
        bool, typer.Option("--send", help="What is typed here goes to the board, line by line.")
    ] = False,
    baud: Annotated[int, typer.Option(help="Bits a second.")] = 115200,
) -> None:
    """Show what a board says, with times and tracebacks decoded, until Ctrl-C."""
    from ..flash import monitor as work
    from ..flash.traceback import Decoder

    device = board = app = None
    hidden: list[str] = []
    if config is None and Path("device.toml").is_file():
        config = Path("device.toml")
    if config is not None:
        device = device_file.read(config)
        hidden = work.secrets(device.values)
        if device.values.get("board"):
            board = boards.load(device.values["board"], config.parent)
        if device.app:
            app = content.find_app(device)
    found = None

    def find() -> str:
        nonlocal found
        # After it was gone silently: a question would hide what comes
        name = ports.choose(board, port, _say if found is None else _nothing)
        found = name
        return name

    shown = work.Monitor(
        find, _say, decoder=Decoder(app, board), hidden=hidden, log=log, baud=baud
    )
    with contextlib.suppress(KeyboardInterrupt):
        if send:
            work.typed(sys.stdin, shown)
        shown.run()


def _say(text: str) -> None:
    print(text, flush=True)


def _nothing(text: str) -> None:
    pass
