"""The command `uxmpp`."""

import signal
import sys

import typer

from ..errors import UxmppError
from . import (
    boards,
    check,
    demo,
    deploy,
    doctor,
    flash,
    install_service,
    keys,
    monitor,
    new,
    provision,
    run,
    sim,
    update,
    wifi,
)

app = typer.Typer(
    help="Chat control for small devices.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # What stands in brackets in a help text is no markup
    rich_markup_mode=None,
)
# In the order in which they are needed; what is too long for the list has a shorter word there
app.command("boards")(boards.boards)
app.command("new")(new.new)
app.command("check")(check.check)
app.command("provision", short_help="Make accounts on the server, one or a batch.")(
    provision.provision
)
app.command("flash", short_help="Put MicroPython, app and settings onto a board.")(flash.flash)
app.command("wifi")(wifi.wifi)
app.command("monitor", short_help="Show what a board says.")(monitor.monitor)
app.command("doctor", short_help="Find out why a device is not online.")(doctor.doctor)
app.command("deploy", short_help="Send what has changed to a board over USB.")(deploy.deploy)
app.add_typer(keys.app, name="keys")
app.add_typer(
    update.app, name="update", short_help="New versions over the air: build, show, send."
)
app.add_typer(sim.app, name="sim", short_help="A device on a virtual board.")
app.command("run")(run.run)
app.command("install-service")(install_service.install_service)
app.command("demo", short_help="A server, a device, and this terminal as its chat.")(demo.demo)


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
    except OSError as e:  # of files it is a UxmppError by now
        print(f"uxmpp: the output cannot be written: {e.strerror or e}", file=sys.stderr)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as e:
        code = 130 if isinstance(e, KeyboardInterrupt) else e.code
        if code == 130 and sys.stderr.isatty():  # behind its ^C
            print(file=sys.stderr)
        sys.exit(code)
