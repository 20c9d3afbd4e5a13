"""Many clients in one process: "uxmpp" for devices of a fleet, "slixmpp" for clients of that
library that send presence and a message a minute. `python crowd.py JSON` logs all in, and prints
a line of JSON: what they take, in all.
"""

import asyncio
import json
import os
import resource
import ssl
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

PERIOD_S = 60
PAGE = os.sysconf("SC_PAGE_SIZE")


Told = dict[str, Any]
Accounts = list[tuple[str, str]]


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


class Crowd(ABC):
    """Clients: `told` says where, `accounts` who they are."""

    @abstractmethod
    def __init__(self, told: Told, accounts: Accounts) -> None: ...

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def online(self) -> int: ...

    @abstractmethod
    def sent(self) -> int: ...

    @abstractmethod
    async def close(self) -> None: ...


class Fleet(Crowd):
    """Devices with the app minute.py."""

    def __init__(self, told: Told, accounts: Accounts) -> None:
        from host_tools.lab import fleet

        self._folder = tempfile.TemporaryDirectory(prefix="uxmpp-crowd-")
        config = {
            "owners": [told["to"]],
            "ca": told["ca_der"],
            "host": told["host"],
            "port": told["port"],
        }
        self._fleet = fleet.Fleet(
            [fleet.Account(*a) for a in accounts],
            config,
            Path(__file__).with_name("minute.py"),
            Path(self._folder.name),
            told["ramp_s"],
        )

    def start(self) -> None:
        self._task = asyncio.create_task(self._fleet.run())

    def online(self) -> int:
        return self._fleet.count()["online"]

    def sent(self) -> int:
        return self._fleet.reports

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        self._folder.cleanup()


class Slixmpp(Crowd):
    """As many clients of slixmpp, as small as it makes them: no plugins but its own."""

    def __init__(self, told: Told, accounts: Accounts) -> None:
        import slixmpp

        context = ssl.create_default_context(cafile=told["ca_pem"])
        self._told = told
        self._sent = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._clients: list[Any] = []
        for jid, password in accounts:
            client: Any = slixmpp.ClientXMPP(
                jid,
                password,
                ssl_context=context,
                plugin_config={"feature_mechanisms": {"unencrypted_scram": False}},
            )
            client.enable_direct_tls = False
            client.up = False
            client.add_event_handler("session_start", self._started(client))
            self._clients.append(client)

    def _started(self, client: Any) -> Callable[[object], Coroutine[None, None, None]]:
        async def started(_: object) -> None:
            client.up = True
            self._tasks.append(asyncio.create_task(self._report(client)))

        return started

    async def _report(self, client: Any) -> None:
        await client.get_roster()
        while True:
            client.send_message(mto=self._told["to"], mbody="level: 20 cm", mtype="chat")
            client.send_presence(pstatus="level: 20 cm")
            self._sent += 1
            await asyncio.sleep(PERIOD_S)

    def start(self) -> None:
        self._tasks.append(asyncio.create_task(self._start()))

    async def _start(self) -> None:
        begun = time.monotonic()
        for n, client in enumerate(self._clients):
            due = begun + self._told["ramp_s"] * n / len(self._clients)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            client.connect(self._told["host"], self._told["port"])

    def online(self) -> int:
        return sum(client.up for client in self._clients)

    def sent(self) -> int:
        return self._sent

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for client in self._clients:
            client.abort()


async def main(told: Told) -> None:
    accounts = told["accounts"]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, len(accounts) + 100)), hard))
    kinds: dict[str, type[Crowd]] = {"uxmpp": Fleet, "slixmpp": Slixmpp}
    kind = kinds[told["kind"]]
    # What the first one loads belongs to the program, not to each
    one = kind(told, accounts[:1])
    await up(one, 1, told)
    before = memory()
    crowd = kind(told, accounts[1:])
    begun = time.process_time()
    await up(crowd, len(accounts) - 1, told)
    login = time.process_time() - begun
    await asyncio.sleep(told["settle_s"])
    begun, sent = time.process_time(), crowd.sent()
    await asyncio.sleep(told["measure_s"])
    print(
        json.dumps(
            {
                "memory": memory() - before,
                "login_cpu_s": login,
                "cpu_s": time.process_time() - begun,
                "sent": crowd.sent() - sent,
                "online": crowd.online(),
            }
        ),
        flush=True,
    )
    await crowd.close()
    await one.close()


async def up(crowd: Crowd, number: int, told: Told) -> None:
    crowd.start()
    end = time.monotonic() + told["limit_s"]
    while crowd.online() < number:
        if time.monotonic() > end:
            sys.exit(f"{crowd.online()} of {number} clients are online after {told['limit_s']} s")
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
