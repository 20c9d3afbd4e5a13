"""`uxmpp run`."""

from pathlib import Path
from typing import Annotated

import typer

from ..flash import content
from ..linux import run as linux
from ..provision import device_file


def run(
    app: Annotated[
        str | None,
        typer.Argument(help="The app: its file, or its name in firmware/apps.", metavar="[APP]"),
    ] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="The device's settings.")] = Path(
        "device.toml"
    ),
    state: Annotated[
        Path | None,
        typer.Option(
            help="The folder for its files.  [default: systemd's, or ~/.local/state/uxmpp/NAME]"
        ),
    ] = None,
) -> None:
    """A device on this Linux computer, until SIGTERM or Ctrl-C."""
    found = device_file.read(config)
    program = content.find_app(found, app)
    raise typer.Exit(linux.run(program, found, linux.state_folder(found.name, state)))
