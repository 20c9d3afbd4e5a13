"""`uxmpp check`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import UxmppError
from ..provision import checks, device_file, secret, server, session
from ..provision.device_file import DeviceFile
from . import asking


class CheckError(UxmppError):
    """A device.toml that will not work."""


def check(
    config: Annotated[
        Path, typer.Argument(help="The device's settings.", metavar="[DEVICE.TOML]")
    ] = Path("device.toml"),
    offline: Annotated[
        bool, typer.Option("--offline", help="Look at the file alone, ask no server.")
    ] = False,
    keep_ca: Annotated[
        bool, typer.Option("--keep-ca", help="Know the server by its CA from now on.")
    ] = False,
    keep_pin: Annotated[
        bool, typer.Option("--keep-pin", help="Know the server by its own certificate.")
    ] = False,
    login: Annotated[
        bool, typer.Option(help="Try the password: $UXMPP_PASSWORD, keyring, or asked for.")
    ] = True,
) -> None:
    """Look at a device.toml, and at the server that it names.

    Shows where the server is, its certificates, whether the device would accept them, and whether
    the password is right.
    """
    console = Console(highlight=False)

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)

    if keep_ca and keep_pin:
        raise UxmppError("--keep-ca or --keep-pin: a device knows its server by one of them")
    found = device_file.read(config, trusted=False)
    wrong = _findings(found, say)
    if not offline:
        if not wrong or keep_ca or keep_pin:
            _server(found, say, "ca" if keep_ca else "pin" if keep_pin else None, login)
        else:
            say("The server is not asked before that is right.")
    elif not _known(found):
        wrong += 1
        say(f"{config}: ca or pin: one is needed, to know the server by; --keep-ca gets it")
    if wrong:
        raise CheckError(f"{config}: {wrong} setting{'s' if wrong > 1 else ''} will not work")
    say(f"{config}: good")


def _findings(found: DeviceFile, say: server.Say) -> int:
    """Show what is found in the file; return how much of it will not work."""
    wrong = 0
    for finding in checks.findings(found):
        wrong += finding.wrong
        say(finding.text if finding.wrong else f"note: {finding.text}")
    return wrong


def _known(found: DeviceFile) -> bool:
    return bool(found.values.get("ca") or found.values.get("pin"))


def _server(found: DeviceFile, say: server.Say, keep: server.Keep | None, login: bool) -> None:
    """Show the server; keep its CA or pin where that is wanted; log in."""
    seen = server.see(found)
    say(f"server: {seen.place}, {seen.tls}")
    server.show(seen, found, say)
    accepted = _accepted(found, say) if _known(found) and not keep else False
    if not accepted:
        keep = keep or _asked(seen, say)
        if keep is None and not _known(found):
            raise CheckError(
                f"{found.path}: ca or pin: one is needed, to know the server by; is the SHA-256 "
                "right? Then --keep-ca or --keep-pin"
            )
        if keep is None:
            raise CheckError(f"{found.path}: the device would not connect to this server")
        say(server.adopt(seen, found, keep))
        found = device_file.read(found.path)
        if not _accepted(found, say):
            raise CheckError(f"{found.path}: the device would not connect to this server")
    if login:
        _login(found, say)


def _asked(seen: server.Seen, say: server.Say) -> server.Keep | None:
    if not asking.there():
        return None
    ca = "its CA (c), " if seen.authority else ""
    answer = asking.asked(
        f"Should the device know it by {ca}its own certificate (p), or not (Enter)?"
    )
    known: dict[str, server.Keep] = {"c": "ca", "p": "pin"}
    return known.get(answer.lower()[:1])


def _accepted(found: DeviceFile, say: server.Say) -> bool:
    """Have the device's own code connect; show what it says."""
    by = "pin" if found.values.get("pin") else "ca"

    async def main() -> None:
        async with session.secured(found.jid, session.Place.of(found)):
            pass

    try:
        asyncio.run(main())
    except session.ServerError as e:
        why = str(e).removeprefix("the server cannot be reached: ").removeprefix("TLS: ")
        say(f"the device's {by} does not accept it: {why}")
        return False
    say(f"the device's {by} accepts it")
    return True


def _login(found: DeviceFile, say: server.Say) -> None:
    """Try the password, or the keys, where somebody has them."""
    keys = found.values.get("keys")
    password = None if keys else secret.password(found.jid, found.values.get("password"))
    if not keys and password is None:
        say(f"login: not tried, nobody has the password ({secret.VARIABLE}, the keyring)")
        return

    async def main() -> None:
        place = session.Place.of(found)
        await (await session.log_in(found.jid, password, place, keys)).close()

    try:
        asyncio.run(main())
    except session.WrongPassword:
        what = "keys" if keys else "password"
        raise CheckError(
            f"{found.jid}: the server does not take the {what}, or there is no such account: "
            "uxmpp provision makes one, where anybody may register"
        ) from None
    except session.ServerError as e:
        raise CheckError(f"{found.jid}: {e}") from None
    say(f"login: {found.jid} can log in")
