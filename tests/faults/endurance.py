"""A device that is cut off again and again, and spoken to in between: what becomes of its heap."""

import asyncio
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from servers.helper import lines, owner_of

from host_tools.lab.device import BOARD_HEAP, Device
from host_tools.lab.network import FaultyNetwork

PROGRAMS = Path(__file__).resolve().parent / "programs"
#: The handlers that a device runs at a time; of more messages at once some are dropped.
AT_ONCE = 8
#: Every so many sessions the server has forgotten the last one.
NEW_SESSION = 100
LIMIT_S = 30.0


@dataclass
class Endurance:
    """What came of it: what was free of the heap, in bytes after a collection, at the end of each
    connection's messages; the messages both ways; how long it took; what the console said."""

    free: list[int]
    messages: int
    seconds: float
    output: str

    def drift(self, first: int = 100) -> int:
        """By how many bytes the free heap differs from connection `first` on: the medians of ten
        connections each, for right after a new session there is some left that comes back."""
        free = self.free[first - 1 :]
        medians = [statistics.median(free[i : i + 10]) for i in range(0, len(free) - 9, 10)]
        return int(max(medians) - min(medians))


def endure(lab, *, reconnects, messages, runtime="32", heap=BOARD_HEAP):
    """Have a device reconnect `reconnects` times, and exchange `messages` chat messages with its
    owner, as many after each. AssertionError or LabError when something does not come."""
    return asyncio.run(_endure(lab, reconnects, messages, runtime, heap))


async def _endure(lab, reconnects, messages, runtime, heap):
    begin = time.monotonic()
    server = lab.server
    async with (
        owner_of(lab) as owner,
        FaultyNetwork(server.host, server.c2s_tls_port) as network,
    ):
        device = Device(
            lab.device_config(
                "dev", owners=["owner"], host=network.host, port=network.port, direct=True
            ),
            folder=lab.folder / "veteran",
            app=PROGRAMS / "veteran.py",
            runtime=runtime,
            heap=heap,
            files=[lab.ca_der],
        )
        with device:
            jid = (await lines(device, r"^(\S+): online$"))[0][1]
            free = []
            count = 0
            # A question and its answer are two messages
            rounds = -(-messages // (2 * AT_ONCE * reconnects))
            for number in range(1, reconnects + 1):
                if number % NEW_SESSION == 0:
                    await asyncio.to_thread(server.restart)
                    await owner.connect()
                elif number % 2:
                    network.cut()
                else:
                    network.reset()
                await lines(device, r": (online|resumed)$", number + 1, LIMIT_S)
                for turn in range(rounds):
                    asked = {f"echo {number} {turn} {i}" for i in range(AT_ONCE)}
                    for text in sorted(asked):
                        await owner.say(jid, text)
                    while asked:
                        answer = (await owner.next_message(jid, LIMIT_S)).body
                        text = answer.replace(":", "", 1)
                        assert text in asked, answer
                        asked.discard(text)
                        count += 2
                told = await owner.ask(jid, "heap", LIMIT_S)
                free.append(int(re.search(r"(\d+) bytes", told)[1]))
            output = device.output()
        assert "Traceback" not in output, output[-4000:]
        return Endurance(free, count, time.monotonic() - begin, output)
