"""`uxmpp install-service`."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import UxmppError
from ..flash import content
from ..linux.service import Service
from ..provision import device_file


def install_service(
    app: Annotated[
        str | None,
        typer.Argument(help="The app: its file, or its name in firmware/apps.", metavar="[APP]"),
    ] = None,
    config: Annotated[Path, typer.Option("--config", "-c", help="The device's settings.")] = Path(
        "device.toml"
    ),
    name: Annotated[
        str | None,
        typer.Option(help="The service is uxmpp-NAME.  [default: from the account]"),
    ] = None,
    user: Annotated[
        bool, typer.Option("--user", help="A service of your own, without root.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--print", help="Write the unit here, and nowhere else.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite another unit of that name.")
    ] = False,
) -> None:
    """A systemd unit that runs a device from boot to shutdown."""
    found = device_file.read(config)
    name = found.name if name is None else name
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", name):
        raise UxmppError(f"name {name[:64]!r}: must be letters, digits, - and _, 64 at most")
    service = Service(name, content.find_app(found, app), found, user)
    if show:
        print(service.text(), end="")
        return
    console = Console(highlight=False)
    new = service.install(force=force)
    said = "is written" if new else "is there already, just so"
    console.print(f"{service.path} {said}. What is left to do:", soft_wrap=True, markup=False)
    for step in service.next_steps():
        console.print(f"  {step}", soft_wrap=True, markup=False)
