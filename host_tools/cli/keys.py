"""`uxmpp keys`."""

from pathlib import Path
from typing import Annotated

import typer

from ..update import keys

app = typer.Typer(
    help="The keys that updates are signed with.", no_args_is_help=True, add_completion=False
)

_File = Annotated[Path, typer.Argument(metavar="FILE", help="The private key's file.")]


@app.command()
def new(path: _File) -> None:
    """Make a key, and print the lines that make a device take updates signed by it."""
    made = keys.new(path, keys.passphrase(f"Passphrase of {path} (none: Enter): ", again=True))
    print(keys.line(made.public))
    _say(
        f"{path} is the private key: who has it can replace the program of every device that "
        "knows its public one, which is above. Keep it, and a copy of it elsewhere."
    )


@app.command()
def show(path: _File) -> None:
    """Print a key's lines for device.toml."""
    found = keys.read(path)
    print(keys.line(found.public))
    if found.next:
        print(f"# after it comes {found.next}")


@app.command()
def rotate(
    path: _File,
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The file of the next key.")],
) -> None:
    """Make the key that comes after another one: updates signed by that one bring it along."""
    old = keys.read(path)
    secret = keys.passphrase(f"Passphrase of {new} (none: Enter): ", again=True)
    made = keys.rotate(old, new, secret)
    print(keys.line(made.public))
    _say(
        f"Build the next update with {path}: devices that run it want {new} from then on. "
        f"Keep {path} until all of them do. The lines above are for devices flashed from now on."
    )


def _say(text: str) -> None:
    # Beside what may go into a file
    typer.echo(text, err=True)
