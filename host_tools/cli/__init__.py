"""The command `uxmpp`."""

import signal
import sys

import typer

from ..errors import UxmppError
from . import demo, install_service, run

app = typer.Typer(
    help="Chat control for small devices.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("install-service")(install_service.install_service)


@app.callback()
def _several() -> None:
    # With a callback typer keeps the command's name, however few commands there are
    pass


def main() -> None:
    """Run the command; an error is one line and exit code 1, Ctrl-C is 130."""
    # What a command has started is stopped on the way out
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        app()
    except UxmppError as e:
        print(f"uxmpp: {e}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
