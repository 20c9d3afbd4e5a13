"""Many durable reports through many faults, and whether each arrived once and in order."""

import asyncio
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from servers.helper import owner_of, until

from host_tools.lab.device import BOARD_HEAP, Device
from host_tools.lab.errors import LabError
from host_tools.lab.ledger import Ledger
from host_tools.lab.network import FaultyNetwork
from host_tools.lab.schedule import NETWORK_KINDS, SERVER_KINDS, Schedule

PROGRAMS = Path(__file__).resolve().parent / "programs"

#: Of sixty-four faults four are the server's own, which take long.
KINDS = NETWORK_KINDS * 6 + SERVER_KINDS
#: A device in a hurry: what takes half a minute in life takes a second here.
TUNE = {
    "first_pause_s": 0.05,
    "max_pause_s": 0.4,
    "silence_s": 1.2,
    "login_timeout_s": 1.5,
}
#: More than a login takes on the line, both ways.
LOGIN_BYTES = 6000
#: A fault that found no line to befall within so many seconds befalls what there is.
FAULT_LIMIT_S = 5.0
#: How long after the owner had the last report the device may not know of it.
ARRIVED_LIMIT_S = 90.0
#: How many reports may wait: so many fit into the outbox with their headers.
MOST_WAITING = 600


@dataclass
class Haul:
    """What came of it: the owner's ledger, how often the device connected, what of its heap was
    free with each session, and how long it took."""

    ledger: Ledger
    connections: int
    free: list[int]
    seconds: float
    story: str


def haul(lab, *, reports, faults, seed, runtime="32", heap=BOARD_HEAP, kinds=KINDS, limit_s=900.0):
    """Have a device make `reports` numbered reports while `faults` faults befall it. LabError, or
    an AssertionError with the story, when they do not arrive in time."""
    schedule = [
        # The one befalls a login, the next one a session
        replace(fault, after=fault.after + LOGIN_BYTES) if number % 2 else fault
        for number, fault in enumerate(Schedule(seed, faults, kinds, longest_s=0.3))
    ]
    return asyncio.run(_haul(lab, reports, schedule, seed, runtime, heap, limit_s))


async def _haul(lab, reports, schedule, seed, runtime, heap, limit_s):
    begin = time.monotonic()
    server = lab.server
    async with (
        owner_of(lab) as owner,
        FaultyNetwork(server.host, server.c2s_tls_port, seed=seed) as network,
    ):
        device = Device(
            lab.device_config(
                "dev", owners=["owner"], host=network.host, port=network.port, direct=True
            ),
            folder=lab.folder / f"diary-{seed}",
            app=PROGRAMS / "diary.py",
            runtime=runtime,
            heap=heap,
            files=[lab.ca_der],
        )
        told = {"count": reports, "most": MOST_WAITING, "tune": TUNE}
        (device.folder / "diary.json").write_text(json.dumps(told))

        def allow(number):
            new = device.folder / "limit.new"
            new.write_text(str(number))
            new.replace(device.folder / "limit.txt")

        allow(reports // (len(schedule) + 1) + 1)
        ledger = owner.ledger(lab.jid("dev"))
        with device:
            stay = asyncio.create_task(_stay_connected(owner))
            # The reports are made in step with the faults
            pace = asyncio.create_task(_pace(network, schedule, reports, allow))
            functions = {
                "stop": server.stop,
                "kill": server.kill,
                "restart": server.restart,
                "forget": server.forget,
            }
            play = asyncio.create_task(
                network.play(schedule, server=functions, limit_s=FAULT_LIMIT_S)
            )
            try:
                while not play.done():
                    device.check()
                    await asyncio.wait({play}, timeout=1.0)
                play.result()
                allow(reports)
                await until(
                    lambda: len(ledger) >= reports or not device.child.running,
                    lambda: (
                        f"{reports} reports, only {len(ledger)}; seed {seed}\n"
                        f"{network.story()}\n{device.output()[-4000:]}"
                    ),
                    limit_s - (time.monotonic() - begin),
                )
                await until(
                    lambda: "all arrived" in device.output() or not device.child.running,
                    lambda: f"end; seed {seed}\n{network.story()}\n{device.output()[-4000:]}",
                    ARRIVED_LIMIT_S,
                )
            finally:
                for task in (stay, pace, play):
                    task.cancel()
                await asyncio.gather(stay, pace, play, return_exceptions=True)
            output = device.output()
            assert "Traceback" not in output, output[-4000:]
        free = [int(m[1]) for m in re.finditer(r"^free (\d+)", output, re.M)]
        seconds = time.monotonic() - begin
        return Haul(ledger, len(network.opened), free, seconds, network.story())


async def _pace(network, schedule, reports, allow):
    while True:
        done = len([p for p in network.played if p.ended is not None])
        number = network.played[-1].number if network.played else 0
        allow(reports * (max(done, number) + 1) // (len(schedule) + 1) + 1)
        await asyncio.sleep(0.1)


async def _stay_connected(owner):
    while True:
        if not owner.connected:
            with suppress(LabError):
                await owner.connect(5.0)
        await asyncio.sleep(0.1)
