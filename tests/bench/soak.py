"""What only shows after hours: many faults, many connections. `python -m tests.bench --soak`."""

from typing import Any

from host_tools.lab.errors import LabError
from host_tools.lab.lab import Lab

from .registry import Result, figure
from .suite import part
from .world import World

# A fault takes about a second: this only ends a run that hangs
HAUL_LIMIT_S = 7200.0
SEED = 1
#: Connections after which the heap is to grow no more.
SETTLED, SETTLED_QUICK = 100, 10
MOST_GROWN = 1024


def _lab(world: World) -> Lab:
    # Accounts of its own: the programs of those tests log in by other names
    world.also |= {"lab", "mp32"}
    # Prosody's archive takes longer with each message that is in it
    return Lab(part("servers.helper").PASSWORDS, settings={"default_archive_policy": False})


def misplaced(bodies: list[str], reports: int) -> tuple[int, int]:
    """Return how many of the reports "0" to `reports` - 1 never arrived, and how many of those
    in `bodies` are unknown or came after a later one."""
    wanted = {str(n) for n in range(reports)}
    latest = -1
    wrong = 0
    for body in bodies:
        if body not in wanted or int(body) <= latest:
            wrong += 1
        else:
            latest = int(body)
    return len(wanted - set(bodies)), wrong


@figure(
    "soak.reports",
    "durable reports lost, out of order or in conflict, under faults",
    "",
    target=0,
    soak=True,
)
def reports(world: World) -> Result:
    """A device that makes reports, and a network and a server that fail it."""
    number, faults = (1_000, 30) if world.quick else (100_000, 1_000)
    with _lab(world) as lab:
        done: Any = part("faults.haul").haul(
            lab, reports=number, faults=faults, seed=SEED, limit_s=HAUL_LIMIT_S
        )
    ledger = done.ledger
    lost, wrong = misplaced(ledger.bodies, number)
    conflicts = len(ledger.conflicts)
    note = (
        f"{number:,} reports under {faults:,} faults of network and server (seed {SEED}): {lost} "
        f"lost, {wrong} out of order, {conflicts} in conflict; {len(ledger.duplicates):,} "
        f"came again and were dropped by their ids; {done.connections:,} connections, "
        f"{done.seconds:,.0f} s; 32-bit MicroPython, 160 KB, Prosody"
    )
    return Result(lost + wrong + conflicts, note=note)


@figure(
    "soak.heap",
    "drift of the free heap, from the 100th connection to the last",
    "B",
    target=MOST_GROWN,
    soak=True,
)
def heap(world: World) -> Result:
    """A device that reconnects and chats, and its free heap after each connection's messages."""
    reconnects, messages = (60, 2_000) if world.quick else (1_000, 100_000)
    with _lab(world) as lab:
        done: Any = part("faults.endurance").endure(lab, reconnects=reconnects, messages=messages)
    settled = SETTLED_QUICK if world.quick else SETTLED
    if len(done.free) <= settled:
        raise LabError(f"only {len(done.free)} connections of {reconnects}")
    free = done.free[settled - 1 :]
    note = (
        f"gc.mem_free() after a collection, at the end of each of {len(done.free):,} connections: "
        f"{free[0]:,} B at number {settled}, {free[-1]:,} B at the last, {min(free):,} to "
        f"{max(free):,} B in between; the drift is that of the medians of ten; "
        f"{done.messages:,} messages, {done.seconds:,.0f} s; 32-bit MicroPython, 160 KB, Prosody"
    )
    return Result(done.drift(settled), note=note)


@figure(
    "soak.update",
    "places of a power cut in an update after which a device ran neither the old program nor the"
    " new one, whole",
    "",
    target=0,
    soak=True,
)
def update(world: World) -> Result:
    """At each write to flash, before it, half way through it, and after it."""
    tried, writes, further = part("faults.test_update").cut_everywhere(
        world.folder / "cut", SEED, 60 if world.quick else 0
    )
    note = (
        f"{tried:,} places in {writes:,} writes of a life with two updates, a broken one and one "
        f"that never logs in; {further} times the device was updated further from there"
    )
    # What goes wrong is an error that says where
    return Result(0, note=note)
