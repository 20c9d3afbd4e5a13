"""`uxmpp sim --count`."""

import asyncio
import contextlib
import csv
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..errors import UxmppError
from ..flash.content import find_app
from ..lab import fleet as lab
from ..provision.device_file import DeviceFile, check_addresses
from ..provision.secret import password

#: The most devices that the table shows, those in trouble first.
MAX_ROWS = 16
#: Seconds between two looks, at a terminal and elsewhere.
LOOK_S = 0.5
LINE_S = 5.0

_STYLES = {"online": "green", "connecting": "yellow", "waiting": "dim", "ended": "bold red"}


def run(
    device: DeviceFile,
    count: int,
    *,
    ramp_s: float,
    accounts: Path | None,
    local: bool,
    folder: Path | None,
) -> None:
    """Run `count` devices as `device` says, until Ctrl-C. Raises UxmppError."""
    app = find_app(device)
    with contextlib.ExitStack() as stack:
        config = device.device_json()
        for name in ("password", "keys", "jid", "wifi"):
            config.pop(name, None)
        if local:
            if count > lab.MAX_DEVICES:
                raise UxmppError(f"--count {count}: {lab.MAX_DEVICES} at most")
            Console().print("Starting a server for them …")
            known = stack.enter_context(_local_server(device, count, config))
        elif accounts:
            known = _read(accounts)
            if len(known) < count:
                raise UxmppError(f"{accounts}: has {len(known)} accounts, not {count}")
        else:
            secret = password(device.jid, device.values.get("password"))
            if not secret:
                raise UxmppError(
                    f"{device.jid}: there is no password: set UXMPP_PASSWORD, or name a file of "
                    "accounts, --accounts FILE.csv, or have a server here, --lab"
                )
            known = lab.accounts(device.jid, secret, count)
        home = folder or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="uxmpp-sim-"))
        )
        made = lab.Fleet(known[:count], config, app, home, ramp_s)
        asyncio.run(_shown(made, device.name))


async def _shown(fleet: lab.Fleet, name: str) -> None:
    console = Console(highlight=False)
    begun = time.monotonic()
    task = asyncio.create_task(fleet.run())
    try:
        if console.is_terminal:
            with Live(console=console, auto_refresh=False) as live:
                while not task.done():
                    live.update(_view(fleet, name, begun), refresh=True)
                    await asyncio.wait([task], timeout=LOOK_S)
                live.update(_view(fleet, name, begun), refresh=True)
        else:
            said = ""
            while not task.done():
                now = _summary(fleet)
                if now != said:
                    console.print(said := now, soft_wrap=True)
                await asyncio.wait([task], timeout=LINE_S if said else LOOK_S)
            console.print(_summary(fleet), soft_wrap=True)
    finally:
        task.cancel()
        await asyncio.wait([task])
    ended = [d for d in fleet.devices if d.state == "ended"]
    if ended:
        raise UxmppError(f"{len(ended)} devices have ended, the first: {ended[0].last}")


def _summary(fleet: lab.Fleet) -> str:
    states = ", ".join(f"{n} {state}" for state, n in fleet.count().items() if n)
    return f"{len(fleet.devices)} devices: {states}; {fleet.reports} reports"


def _view(fleet: lab.Fleet, name: str, begun: float) -> Group:
    minutes = max(time.monotonic() - begun, 1.0) / 60
    head = Text.assemble(
        (name, "bold"),
        f"  {_summary(fleet)}, {fleet.reports / minutes:.0f} a minute; "
        f"{lab.memory_bytes() / 2**20:.0f} MiB in all, {minutes:.1f} min. Ctrl-C ends it.",
    )
    table = Table(box=None, pad_edge=False)
    for title, more in (("account", 24), ("state", 10), ("reports", 7), ("last line", None)):
        table.add_column(title, no_wrap=True, min_width=more, overflow="ellipsis")
    shown = lab.troubled(fleet.devices, MAX_ROWS)
    for d in shown:
        state = Text(d.state, _STYLES[d.state])
        # Who says it stands before it
        last = re.sub(rf"^{re.escape(d.jid)}(/\S+)?: ", "", d.last)
        table.add_row(Text(d.jid), state, str(d.reports), Text(last))
    rest = len(fleet.devices) - len(shown)
    return Group(head, table, *([Text(f"… and {rest} more", "dim")] if rest else []))


def _read(path: Path) -> list[lab.Account]:
    found: dict[str, lab.Account] = {}  # by the name, which is that of the device's folder
    try:
        with path.open(encoding="utf-8-sig", newline="") as f:
            if os.name != "nt" and os.fstat(f.fileno()).st_mode & 0o077:
                raise UxmppError(
                    f"{path}: holds passwords, and others can read it: chmod 600 {path}"
                )
            for n, row in enumerate(csv.DictReader(f), 2):
                jid, secret = row.get("jid"), row.get("password")
                if not jid or not secret:
                    raise UxmppError(
                        f"{path}:{n}: needs the columns jid and password, both filled"
                    )
                device = DeviceFile(path, {"jid": jid}, {("jid",): n})
                check_addresses(device)
                name = device.jid.partition("@")[0]
                if name in found:
                    raise UxmppError(f"{path}:{n}: a device called {name} is above already")
                if len(found) < lab.MAX_DEVICES:
                    found[name] = lab.Account(device.jid, secret)
    except OSError as e:
        raise UxmppError(f"{path}: cannot be read: {e.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as e:
        raise UxmppError(f"{path}: is no CSV file: {e}") from None
    return list(found.values())


@contextmanager
def _local_server(
    device: DeviceFile, count: int, config: dict[str, object]
) -> Iterator[list[lab.Account]]:
    # Imported for this alone
    from secrets import token_urlsafe

    from ..lab.ejabberd import Ejabberd

    local = device.jid.partition("@")[0]
    with Ejabberd() as server:
        known = lab.accounts(f"{local}@{server.domain}", token_urlsafe(12), count)
        for account in known:
            server.add_account(account.jid.partition("@")[0], account.password)
        assert server.authority is not None
        config.pop("pin", None)
        config.update(
            owners=[f"owner@{server.domain}"],
            ca=str(server.authority.der),
            host=server.host,
            port=server.c2s_port,
            direct=False,
        )
        yield known
