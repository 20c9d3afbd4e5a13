"""What the tests with faults share, besides tests/servers/helper.py: a device with the program
`agent`, of an account of its own."""

import json
import re
from itertools import count
from pathlib import Path

from servers.helper import LIMIT_S, lines, set_level

from host_tools.lab.device import Device
from host_tools.lab.network import FaultyNetwork

PROGRAMS = Path(__file__).resolve().parent / "programs"
PASSWORD = "the device's own"
#: What stands on a console nowhere else.
SECRETS = (PASSWORD, "WiFi's own")

_numbers = count(1)


class Agent(Device):
    """A device with the program `agent`, of the new account `jid`; it is not started. `tune` and
    `sensors` are those of its agent.json, the rest changes of its device.json; None leaves a key
    out. `board` as Device's; it restarts when it resets."""

    def __init__(self, lab, runtime, tune=None, sensors=None, board=None, piece=256, **changes):
        user = f"agent{next(_numbers)}"
        self.jid = lab.add_account(user, PASSWORD)
        self.lab = lab
        self.runtime = runtime
        config = lab.device_config(user, owners=["owner"])
        config.update(changes)
        super().__init__(
            {k: v for k, v in config.items() if v is not None},
            folder=lab.folder / user,
            app=PROGRAMS / "agent.py",
            runtime=runtime,
            files=[lab.ca_der],
            board=board,
            restarts=True,
        )
        sensors = sensors or {}
        options = [(name, options) for name, (_, options) in sensors.items()]
        told = {"tune": tune or {}, "sensors": options, "piece": piece}
        (self.folder / "agent.json").write_text(json.dumps(told))
        for name, (text, _) in sensors.items():
            set_level(self, text, name)

    @property
    def state(self):
        """Its file state.json."""
        return self.folder / "state.json"

    def kept(self):
        """What is in state.json."""
        return json.loads(self.state.read_text())["state"]

    def outbox(self):
        """The files of its outbox."""
        folder = self.folder / "outbox"
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def do(self, *commands):
        """Have it do what stands at the head of programs/agent.py."""
        new = self.folder / "do.new"
        new.write_text("".join(f"{c}\n" for c in commands))
        new.replace(self.folder / "do.txt")

    def configure(self, **changes):
        """Change its device.json; None removes a key."""
        path = self.folder / "device.json"
        config = {**json.loads(path.read_text()), **changes}
        path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))

    async def lines(self, pattern, number=1, limit_s=LIMIT_S):
        """As lines() of the servers' helper."""
        return await lines(self, pattern, number, limit_s)

    async def online(self, number=1, limit_s=LIMIT_S):
        """Wait until it had `number` lines to the server, be they new sessions or not, and return
        its full JID."""
        return (await self.lines(r"^(\S+): (online|resumed)$", number, limit_s))[-1][1]

    async def ask(self, command, pattern):
        """Have it do `command`, and return the match of the line that this prints."""
        number = len(self.said(pattern)) + 1
        self.do(command)
        return (await self.lines(pattern, number))[number - 1]

    def said(self, pattern):
        """The console lines so far that begin as `pattern` says."""
        return [line for line in self.output().splitlines() if re.match(pattern, line)]


def behind(lab, direct=False):
    """A network with faults before the server of `lab`; `direct`: before its port for TLS from the
    first byte."""
    server = lab.server
    return FaultyNetwork(server.host, server.c2s_tls_port if direct else server.c2s_port)


def through(network):
    """What stands in the device.json of a device behind `network`."""
    return {"host": network.host, "port": network.port}


def texts(word, number, first=0):
    """The texts of `number` reports of an agent."""
    return [f"{word} {i}" for i in range(first, first + number)]
