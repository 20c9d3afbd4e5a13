"""`uxmpp new`."""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from ..errors import UxmppError
from ..flash import boards
from ..provision import accounts, device_file, draft, secret, server
from ..provision.device_file import DeviceFile

_Say = Callable[[str], None]


class NewError(UxmppError):
    """A device.toml is not written, and why."""


def new(
    config: Annotated[Path, typer.Argument(help="The file to write.")] = Path("device.toml"),
    board: Annotated[str | None, typer.Option(help="The board: `uxmpp boards`.")] = None,
    app: Annotated[
        str | None, typer.Option(help="The app: its file, or its name in firmware/apps.")
    ] = None,
    jid: Annotated[str | None, typer.Option(help="The device's account, name@domain.")] = None,
    owner: Annotated[
        list[str] | None,
        typer.Option(help="Who owns it; may be given again.  [default: a pairing code]"),
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
        typer.Option(help="By what it is reached; may be given again.  [default: by the app]"),
    ] = None,
    host: Annotated[str | None, typer.Option(help="The server's address, if not by SRV.")] = None,
    port: Annotated[int | None, typer.Option(help="Its port.")] = None,
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
    asks = bool(sys.stdin and sys.stdin.isatty())
    chosen = _board(board, say, asks)
    linux = chosen is not None and boards.load(chosen, config.parent).port == "linux"
    values: dict[str, Any] = {"board": chosen}
    values["app"] = app or (_asked("App", "sensor", _apps()) if asks else None)
    values["jid"] = jid or (_asked("The device's account (name@domain)") if asks else None)
    if not values["jid"]:
        raise NewError("whose account? Say it by --jid name@domain")
    values["owners"] = owner or (_people() if asks else []) or None
    if not values["owners"]:
        values["pair"] = accounts.pairing_code()
    if not linux:
        values["wifi"] = _wifi(wifi, asks)
    values["surfaces"] = list(surface or draft.SURFACES.get(values["app"] or "", draft.DEFAULT))
    if asks and not surface:
        values["surfaces"] = _asked("Surfaces", " ".join(values["surfaces"])).split()
    if ca:
        ca = Path(os.path.relpath(ca, config.parent)).as_posix()
    values |= {"ca": ca, "pin": pin, "host": host, "port": port, "nameserver": nameserver}
    made = _written(config, values, trusted=bool(ca or pin))
    say(f"{config} is written")
    if values.get("pair"):
        say(f"its first owner is who writes to it: pair {values['pair']}")
    if not (ca or pin) and not (keep and _kept(made, say, asks)):
        say(f"what it does not have yet is how to know its server: uxmpp check {config}")
    todo = f"uxmpp run --config {config}" if linux else f"uxmpp flash {config}"
    say(f"next: uxmpp check {config}, then {todo}")


def _written(config: Path, values: dict[str, Any], *, trusted: bool) -> DeviceFile:
    """Write the file, if it is one that can be read."""
    app = None
    with contextlib.suppress(UxmppError):
        app = _find_app(config, values["app"])
    data = draft.text(values, app).encode()
    # First beside it: what cannot be read is not written
    beside = config.with_name(f".{config.name}.draft")
    mode = 0o600 if draft.secret(values) else 0o644
    try:
        device_file.write(beside, data, mode)
        found = device_file.read(beside, trusted=trusted)
        if values["app"]:
            _find_app(config, values["app"])
        os.replace(beside, config)  # noqa: PTH105 - as one step
    except UxmppError as e:
        raise type(e)(_of_draft(str(e), str(beside))) from None
    except OSError as e:
        raise NewError(f"{config}: cannot be written: {e.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    return DeviceFile(config, found.values, found.lines)


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


def _board(given: str | None, say: _Say, asks: bool) -> str | None:
    if given is None and asks:
        there = boards.every()
        say("\n".join(f"  {i:2}  {b.name:16} {b.title}" for i, b in enumerate(there, 1)))
        given = _asked("Board, its number or name", "esp32")
        if given.isdecimal() and 1 <= int(given) <= len(there):
            given = there[int(given) - 1].name
    if given is not None and not (given.endswith(".toml") or "/" in given):
        boards.load(given)
    return given


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
    how: server.Keep = "ca" if seen.authority else "pin"
    if asks:
        answer = _asked(
            "Is that your server? Know it by its CA (c), its pin (p), not yet (n)", how[0]
        )
        if answer[:1] not in ("c", "p"):
            return False
        how = "ca" if answer[0] == "c" else "pin"
    say(server.adopt(seen, made, how))
    return True


def _asked(what: str, default: str | None = None, there: str = "") -> str:
    more = f" ({there})" if there else ""
    hint = f" [{default}]" if default else ""
    try:
        answer = input(f"{what}{more}{hint}: ").strip()
    except EOFError:
        answer = ""
    return answer or default or ""
