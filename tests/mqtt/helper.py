"""Starts the program of the scenarios on an interpreter, and plays the network's faults for it."""

import ast
import asyncio
import json
import os
import shutil
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from host_tools.flash import bytecode, mpy
from host_tools.lab import micropython
from host_tools.lab.network import FaultyNetwork
from host_tools.lab.process import die_with
from tests.bench.peers import ROBUST, SIMPLE, source

PROGRAMS = Path(__file__).resolve().parent / "programs"
PROGRAM = PROGRAMS / "scenarios.py"
#: The clients' accounts, where the server has accounts.
ACCOUNTS = {"a": "a's own", "b": "b's own"}
ROLES = tuple(ACCOUNTS)
#: Seconds for one scenario; one that takes longer hangs. Longer than LIMIT_MS of the program.
LIMIT_S = 120.0
#: How often the program is started again where a scenario hangs or ends it.
MAX_STARTS = 4
#: Scenarios that need more heap than a board has, and how much they get: for a topic of 70 KB, and
#: for long messages beside two clients and this program.
MORE = ("topic_70k", "long_payloads")
MORE_HEAP = "400k"

SCENARIOS = tuple(
    node.name.removeprefix("see_")
    for node in ast.parse(PROGRAM.read_text("utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("see_")
)


class Program:
    """The program of the scenarios on `runtime` ("32", "64", "cpython") with one of the packages
    `umqtt`; its files lie in `folder`, which is made."""

    def __init__(self, folder, runtime):
        self.folder = folder
        self.runtime = runtime
        (folder / "umqtt").mkdir(parents=True)
        self.path = [folder]
        if runtime != "cpython":
            mpy.compile_file(PROGRAM, folder / "scenarios.mpy", opt=0)
            (folder / "boot.py").write_text("import scenarios\n")

    def upstream(self):
        """Give it the package of micropython-lib."""
        for package in (SIMPLE, ROBUST):
            for module in package.modules:
                shutil.copyfile(source(package) / module, self.folder / module)
        if self.runtime == "cpython":
            self.path.append(PROGRAMS / "cpython")
        return self

    def ours(self):
        """Give it the package of the firmware."""
        if self.runtime == "cpython":
            self.path = [mpy.FIRMWARE]
        else:
            bytecode.library(self.folder)
            bytecode.tree(mpy.FIRMWARE / "umqtt", self.folder / "umqtt", opt=mpy.LIBRARY_OPT)
        return self

    def command(self, heap, *args):
        """Return (words, environment) that start it."""
        if self.runtime == "cpython":
            path = os.pathsep.join(map(str, self.path))
            env = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
            return [sys.executable, "-P", str(PROGRAM), *args], env
        return micropython.find(int(self.runtime)).command(
            self.folder / "boot.py", *args, heap=heap, path=self.path
        )


def observe(program, server, config, scenarios=SCENARIOS):
    """Run the scenarios, one after the other, and return {name: what the program printed of it}.

    `server` is (host, port) of the server that the clients reach through relays, `config` a
    function of the relays, {role: FaultyNetwork}, which returns the program's configuration.
    """
    return asyncio.run(_observe(program, server, config, scenarios))


async def _observe(program, server, config, scenarios):
    seen = {}
    async with AsyncExitStack() as stack:
        relays = {role: await stack.enter_async_context(FaultyNetwork(*server)) for role in ROLES}
        for heap in (micropython.BOARD_HEAP, MORE_HEAP):
            names = [n for n in scenarios if (n in MORE) == (heap == MORE_HEAP)]
            for _ in range(MAX_STARTS):
                left = [n for n in names if n not in seen]
                if not left:
                    break
                for relay in relays.values():
                    relay.heal()
                file = program.folder / "scenarios.json"
                file.write_text(json.dumps({**config(relays), "scenarios": left}))
                await _run(program, program.command(heap, str(file)), relays, left, seen)
    for name in scenarios:
        seen.setdefault(name, {"saw": {"failed": "others ended the program"}, "said": []})
    return seen


async def _run(program, command, relays, left, seen):
    """Run it until it ends or hangs; in `seen` there is at least one more after it."""
    argv, env = command
    parent = os.getpid()
    with (program.folder / "errors.log").open("ab") as errors:
        child = await asyncio.create_subprocess_exec(
            *argv,
            env=env,
            cwd=program.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=1 << 20,
            preexec_fn=lambda: die_with(parent),
        )
    why = ""
    faults = _Faults(relays)
    try:
        while not why:
            async with asyncio.timeout(LIMIT_S):
                line = await child.stdout.readline()
                if not line:
                    why = f"the program ended with {await child.wait()}"
                    break
                said = json.loads(line)
                if "scenario" in said:
                    seen[said["scenario"]] = said
                else:
                    await faults.do(*said["control"])
                    child.stdin.write(b"done\n")
    except TimeoutError:
        why = f"it hung for {LIMIT_S:g} s"
    finally:
        faults.close()
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    unseen = [name for name in left if name not in seen]
    if unseen:
        seen[unseen[0]] = {"saw": {"failed": why}, "said": []}


def _open_to(port):
    """Whether the end that connected to `port` has an open connection yet."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split()[2:4] for line in lines]
    return any(to.endswith(f":{port:04X}") and state == "01" for to, state in rows)


class _Faults:
    """The faults that the program may ask for, each of one client's connections."""

    def __init__(self, relays):
        self._relays = relays
        self._tasks = set()

    async def do(self, what, role, *args):
        await getattr(self, f"_{what}")(self._relays[role], *args)

    def close(self):
        for task in self._tasks:
            task.cancel()

    async def _reset(self, relay):
        """Reset the connections; they are gone then, at the client's end too."""
        gone = list(relay.connections)
        relay.reset()
        await relay.wait_until(
            lambda: not any(c in relay.connections for c in gone), "end of a connection"
        )
        # A program that another thread is about to start has them open up to its exec, and as
        # long the kernel resets nothing: what the client writes then is lost without an error
        while _open_to(relay.port):
            await asyncio.sleep(0.005)

    async def _refuse(self, relay):
        """The same, and new ones are reset too."""
        relay.refuse(reset=True)
        await self._reset(relay)

    async def _close(self, relay):
        """Close new connections at once."""
        relay.refuse()

    async def _accept(self, relay):
        relay.accept()

    async def _heal(self, relay):
        relay.heal()

    async def _accept_in(self, relay, seconds):
        async def later():
            await asyncio.sleep(seconds)
            relay.accept()

        self._in_background(later())

    async def _hold(self, relay):
        """Let nothing through the connections there are."""
        for connection in relay.connections:
            connection.hold()

    async def _release_in(self, relay, seconds):
        """Let through after some time what is held."""
        asyncio.get_running_loop().call_later(seconds, relay.release)

    async def _reset_at_next(self, relay):
        """Reset the connections as soon as the client sends something."""
        up = relay.count.up

        async def later():
            await relay.wait_until(lambda: relay.count.up > up, "byte from the client")
            relay.reset()

        self._in_background(later())

    async def _lose_answer(self, relay):
        """Reset the connections as soon as the server answers, and let no answer through."""
        down = relay.count.down
        for connection in relay.connections:
            connection.delay(0.0, 60.0)

        async def later():
            await relay.wait_until(lambda: relay.count.down > down, "answer of the server")
            relay.reset()

        self._in_background(later())

    def _in_background(self, what):
        task = asyncio.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
