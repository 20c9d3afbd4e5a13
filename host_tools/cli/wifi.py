"""`uxmpp wifi`."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from ..errors import UxmppError
from ..flash import boards, ports
from ..provision import improv, secret
from ..provision.session import said
from . import asking

#: How often a password may be typed.
TRIES = 3


def wifi(
    port: Annotated[
        str | None, typer.Option(help="The board's serial port.  [default: the one found]")
    ] = None,
    ssid: Annotated[
        str | None, typer.Option(help="The network's name.  [default: ask, of those it sees]")
    ] = None,
    board: Annotated[str | None, typer.Option(help="Which board to look for.")] = None,
    scan: Annotated[
        bool, typer.Option("--scan", help="List the networks that it sees, and no more.")
    ] = False,
    limit: Annotated[
        float | None,
        typer.Option(min=1, help="Seconds that it may take to answer.  [default: 15]"),
    ] = None,
) -> None:
    """Tell a board its WiFi network over USB, by Improv Serial.

    The password comes from $UXMPP_WIFI_PASSWORD, the keyring, or the terminal.
    """
    console = Console(highlight=False)

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False)

    name = ports.choose(boards.load(board) if board else None, port, say)
    with ports.open_port(name) as opened:
        device = improv.Improv(opened, name)
        info = device.find(limit or improv.FIND_LIMIT_S, limit or improv.RESTART_LIMIT_S)
        # What came by the line no terminal shall act upon
        about = said(f"{info.firmware} {info.version}, {info.chip}".strip(", "))
        board_name = said(info.name) or "a board"
        say(f"{name}: {board_name} ({about})" if about else f"{name}: {board_name}")
        found = device.networks() if scan or ssid is None else []
        if scan:
            say(_listed(found))
            return
        chosen = _chosen(found, say) if ssid is None else ssid
        url = _join(device, chosen, [n for n in found if n.ssid == chosen], say)
    say(f"{board_name} has joined {chosen}, and keeps it")
    if url:
        say(f"to chat with it: {said(url)}")


def _join(
    device: improv.Improv, ssid: str, seen: list[improv.Network], say: Callable[[str], None]
) -> str:
    """Hand over the network; at a terminal a wrong password is asked for again."""
    password = "" if seen and not seen[0].secured else secret.wifi_password(ssid)
    if password is None:
        raise UxmppError(
            f"the password of {ssid} is needed: type it at a terminal, or set "
            f"{secret.WIFI_VARIABLE} (empty for an open network)"
        )
    for left in reversed(range(TRIES)):
        try:
            say(f"Trying {ssid} …")
            return device.join(ssid, password)
        except improv.NotJoinedError as e:
            again = secret.typed(f"{e}.\nThe password again (Enter: give up)") if left else None
            if not again:
                raise
            password = again
    raise AssertionError


def _chosen(found: list[improv.Network], say: Callable[[str], None]) -> str:
    if not asking.there():
        raise UxmppError("which network? Say it by --ssid; --scan lists them")
    say(_listed(found))
    answer = asking.asked("Which? Its number, or its name:")
    if not answer:
        raise UxmppError("no network was chosen, and nothing was changed")
    if answer.isdecimal() and 1 <= int(answer) <= len(found):
        return found[int(answer) - 1].ssid
    return answer


def _listed(found: list[improv.Network]) -> str:
    lines = [
        f"{i:3}  {n.signal:4} dBm  {'' if n.secured else '(open) '}{said(n.ssid)}"
        for i, n in enumerate(found, 1)
    ]
    return "\n".join(lines) or "It sees no network."
