"""`uxmpp new`."""

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..errors import UxmppError
from ..flash import boards
from ..provision import accounts, device_file, draft, secret, server
from ..provision.device_file import DeviceFile
from . import asking

#: How often something may be answered.
TRIES = 3

_Say = Callable[[str], None]
# Whose file is looked at before there is an account
_NOBODY = "device@example.org"


class NewError(UxmppError):
    """A device.toml is not written, and why."""


def new(
    config: Annotated[
        Path, typer.Argument(help="The file to write.", metavar="[DEVICE.TOML]")
    ] = Path("device.toml"),
    board: Annotated[str | None, typer.Option(help="The board: `uxmpp boards`.")] = None,
    app: Annotated[
        str | None, typer.Option(help="The app: its file, or its name in firmware/apps.")
    ] = None,
    jid: Annotated[
        str | None, typer.Option(metavar="JID", help="The device's account, name@domain.")
    ] = None,
    owner: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JID", help="Who owns it; may be repeated.  [default: a pairing code]"
        ),
    ] = None,
    wifi: Annotated[
        str | None,
        typer.Option(
            metavar="SSID",
            help="Its WiFi; the password as for uxmpp wifi.  [default: over USB, by Improv]",
        ),
    ] = None,
    ca: Annotated[str | None, typer.Option(help="The file of the server's CA.")] = None,
    pin: Annotated[str | None, typer.Option(help="The SHA-256 of its certificate.")] = None,
    surface: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="By what it is reached; may be repeated.  [default: by the app]"
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Where the server is.  [default: as its domain says]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="The server's port.")] = None,
    nameserver: Annotated[str | None, typer.Option(help="Whom to ask for addresses.")] = None,
    keep: Annotated[
        bool,
        typer.Option(
            help="Without --ca and --pin: ask the server, and keep its CA, else its pin."
        ),
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Write a device.toml in which every setting is explained.

    Asks at a terminal for what is not given.
    """
    console = Console(highlight=False)

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)

    if config.exists() and not force:
        raise NewError(f"{config}: is there already; --force overwrites it")
    asks = asking.there()
    values: dict[str, Any] = {}

    def settle(key: str, given: Any, ask: Callable[[], Any]) -> None:
        """Take what is given, else what is answered; what cannot be is asked again."""
        if given or not asks:
            values[key] = given
            return
        for left in reversed(range(TRIES)):
            values[key] = ask()
            try:
                _tried(config, {"jid": _NOBODY, **values}, trusted=False)
                return
            except UxmppError as e:
                if not left:
                    raise
                say(str(e).removeprefix("nothing is written: "))

    settle("board", board, lambda: _board(say))
    linux = bool(values["board"]) and _load(config, values["board"]).port == "linux"
    settle("app", app, lambda: _asked("App", "sensor", _apps()))
    settle("jid", jid, lambda: _asked("The device's account (name@domain)"))
    if not values["jid"]:
        raise NewError("whose account? Say it by --jid name@domain")
    settle("owners", owner, _people)
    if not values["owners"]:
        values |= {"owners": None, "pair": accounts.pairing_code()}
    if not linux:
        values["wifi"] = _wifi(wifi, asks)
    by_app = draft.surfaces(values["app"], _find_app(config, values["app"]))
    if by_app or surface:
        settle("surfaces", surface, lambda: _asked("Surfaces", " ".join(by_app)).split())
        values["surfaces"] = list(values["surfaces"] or by_app)
    if ca:
        ca = Path(os.path.relpath(ca, config.parent)).as_posix()
    values |= {"ca": ca, "pin": pin, "host": host, "port": port, "nameserver": nameserver}
    made = _written(config, values, trusted=bool(ca or pin))
    say(f"{config} is written")
    if values.get("pair"):
        say(f"who sends it this first becomes its owner: pair {values['pair']}")
    if not (ca or pin) and not (keep and _kept(made, say, asks)):
        say(f"what it does not have yet is how to know its server: uxmpp check {config}")
    todo = f"uxmpp run --config {config}" if linux else f"uxmpp flash {config}"
    say(f"next: uxmpp check {config}, then {todo}")


def _written(config: Path, values: dict[str, Any], *, trusted: bool) -> DeviceFile:
    """Write the file, if it is one that can be read."""
    data, found = _tried(config, values, trusted=trusted)
    device_file.write(config, data, _mode(values))
    return DeviceFile(config, found.values, found.lines)


def _tried(config: Path, values: dict[str, Any], *, trusted: bool) -> tuple[bytes, DeviceFile]:
    """Return the file's text, and what is read from it: it was beside `config` for that."""
    if values.get("board"):
        _load(config, values["board"])
    app = _find_app(config, values.get("app"))
    if not values.get("owners") and not values.get("pair"):
        values = {**values, "owners": None, "pair": accounts.pairing_code()}
    try:
        data = draft.text(values, app).encode()
    except UnicodeEncodeError:
        raise NewError("nothing is written: what was given is not UTF-8") from None
    beside = config.with_name(f".{config.name}.draft")
    try:
        device_file.write(beside, data, _mode(values))
        return data, device_file.read(beside, trusted=trusted)
    except UxmppError as e:
        raise type(e)(_of_draft(str(e), str(beside))) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def _mode(values: dict[str, Any]) -> int:
    return 0o600 if draft.secret(values) else 0o644


def _of_draft(text: str, path: str) -> str:
    """Return an error about the draft as one about what was given: it has no lines yet."""
    if not text.startswith(path):
        return text
    head, _, rest = text.removeprefix(path).partition(": ")
    return f"nothing is written: {rest}" if head == "" or head[1:].isdigit() else text


def _find_app(config: Path, app: str | None) -> Path | None:
    from ..flash import content

    if app is None:
        return None
    return content.find_app(DeviceFile(config, {"app": app}, {}))


def _board(say: _Say) -> str:
    there = boards.every()
    say("\n".join(f"  {i:2}  {b.name:16} {b.title}" for i, b in enumerate(there, 1)))
    answer = _asked("Board, its number or name", "esp32")
    if re.fullmatch(r"\d{1,3}", answer) and 1 <= int(answer) <= len(there):
        return there[int(answer) - 1].name
    return answer


def _load(config: Path, board: str) -> boards.Board:
    return boards.load(board, config.parent)


def _apps() -> str:
    from ..flash import mpy

    return ", ".join(sorted(path.stem for path in (mpy.FIRMWARE / "apps").glob("*.py")))


def _people() -> list[str]:
    text = _asked("Its owners' addresses (Enter: whoever has the pairing code)", "")
    return text.replace(",", " ").split()


def _wifi(ssid: str | None, asks: bool) -> dict[str, str]:
    if ssid is None and asks:
        ssid = _asked("WiFi (Enter: over USB, later)", "")
    if not ssid:
        return {}
    password = secret.wifi_password(ssid)
    if password is None:
        raise NewError(
            f"the password of {ssid} is needed: type it at a terminal, or set "
            f"{secret.WIFI_VARIABLE} (empty for an open network); without --wifi the board takes "
            "its network over USB"
        )
    return {"ssid": ssid, "password": password} if password else {"ssid": ssid}


def _kept(made: DeviceFile, say: _Say, asks: bool) -> bool:
    """Look at the server, and keep its CA or its pin; whether that was done."""
    try:
        seen = server.see(made)
    except UxmppError as e:
        say(f"the server was not asked: {e}")
        return False
    say(f"server: {seen.place}, {seen.tls}")
    server.show(seen, made, say)
    doubt = server.doubt(seen, made)
    if doubt and not asks:
        say(f"not kept: {doubt}")
        return False
    how: server.Keep = "ca" if seen.authority else "pin"
    if asks:
        ca = "its CA (c), " if seen.authority else ""
        answer = _asked(
            f"Is that your server? Know it by {ca}its pin (p), not yet (n)",
            "n" if doubt else how[0],
        ).lower()
        if answer[:1] not in ("c", "p"):
            return False
        how = "ca" if answer[0] == "c" else "pin"
    say(server.adopt(seen, made, how))
    return True


def _asked(what: str, default: str | None = None, there: str = "") -> str:
    more = f" ({there})" if there else ""
    hint = f" [{default}]" if default else ""
    return asking.asked(f"{what}{more}{hint}:", default or "")
