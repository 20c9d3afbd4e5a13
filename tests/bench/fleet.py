"""Many devices in one process, beside as many clients of another library."""

import asyncio
import json
import subprocess
import sys
from typing import Any

from host_tools.lab import fleet
from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.owner import Owner

from .registry import Result, figure
from .world import PROGRAMS, World

#: Devices, and in a rehearsal.
COUNT, QUICK = 1000, 40
#: Logins a second.
RATE = 20.0
#: Until the first reports are through, and then for how long is looked: two reports each.
SETTLE_S = 20.0
MEASURE_S = 120.0
LIMIT_S = 600.0
OWNER = "owner"


def _crowds(world: World) -> dict[str, Any]:
    """Return what crowd.py says of each kind of client; measured once a run."""
    key = "fleet"
    if key not in _measured:
        world.also |= {"ejabberd"}
        _measured[key] = asyncio.run(_measure(QUICK if world.quick else COUNT))
    return _measured[key]


_measured: dict[str, dict[str, Any]] = {}


async def _measure(count: int) -> dict[str, Any]:
    found: dict[str, Any] = {"count": count}
    with Ejabberd() as server:
        assert server.authority is not None
        accounts = fleet.accounts(f"dev@{server.domain}", "a password of no use", count + 1)
        for account in accounts:
            server.add_account(account.jid.partition("@")[0], account.password)
        owner = server.add_account(OWNER, "open sesame")
        for kind in ("uxmpp", "slixmpp"):
            told = {
                "kind": kind,
                "accounts": [(a.jid, a.password) for a in accounts],
                "to": owner,
                "host": server.host,
                "port": server.c2s_port,
                "ca_der": str(server.authority.der),
                "ca_pem": str(server.authority.pem),
                "ramp_s": count / RATE,
                "settle_s": SETTLE_S,
                "measure_s": MEASURE_S if count > QUICK else 60.0,
                "limit_s": LIMIT_S,
            }
            # Somebody has to get the reports, or the server would keep and then refuse them
            async with Owner(
                owner, "open sesame", server.host, server.c2s_port, server.authority.pem
            ):
                found[kind] = await asyncio.to_thread(_crowd, told)
    return found


def _crowd(told: dict[str, Any]) -> Any:
    done = subprocess.run(
        [sys.executable, str(PROGRAMS / "crowd.py"), json.dumps(told)],
        capture_output=True,
        text=True,
        timeout=2 * LIMIT_S,
    )
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
    return json.loads(done.stdout)


def _note(found: dict[str, Any]) -> str:
    ours, theirs = found["uxmpp"], found["slixmpp"]
    minutes = (MEASURE_S if found["count"] > QUICK else 60.0) / 60
    return (
        f"{found['count']} devices of one process against ejabberd, after the first, which loads "
        f"the program; online {ours['online']} and {theirs['online']} (slixmpp), reports a minute "
        f"{ours['sent'] / minutes:.0f} and {theirs['sent'] / minutes:.0f}; all logins took "
        f"{ours['login_cpu_s']:.1f} and {theirs['login_cpu_s']:.1f} s of CPU"
    )


@figure("fleet.memory", "memory of a device, of many in one CPython process", "KB", soak=True)
def memory(world: World) -> Result:
    """The growth of the resident set."""
    found = _crowds(world)
    each = {k: round(found[k]["memory"] / found["count"] / 1024) for k in ("uxmpp", "slixmpp")}
    return Result(each["uxmpp"], {"slixmpp": each["slixmpp"]}, _note(found))


@figure(
    "fleet.cpu",
    "CPU of a device that reports once a minute, of many in one CPython process",
    "ms/min",
    soak=True,
)
def cpu(world: World) -> Result:
    """Presence and a message a minute each."""
    found = _crowds(world)
    minutes = (MEASURE_S if found["count"] > QUICK else 60.0) / 60
    each = {
        k: round(found[k]["cpu_s"] * 1000 / minutes / found["count"], 1)
        for k in ("uxmpp", "slixmpp")
    }
    return Result(each["uxmpp"], {"slixmpp": each["slixmpp"]}, _note(found))
