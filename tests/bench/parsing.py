"""How fast stanzas become elements, beside a parser that checks nothing."""

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from host_tools.lab.errors import LabError

from . import corpus
from .imports import last_line
from .registry import Result, figure
from .world import FIRMWARE, PROGRAMS, World

RUN_LIMIT_S = 120.0
YARDSTICK = "yardstick"
# MB/s of the yardstick where the targets were set, by bytes at a time. Machines differ and are
# shared: our part of it is what counts.
REFERENCE = {512: 7.0, 64: 1.8, 4096: 22.0}
TARGETS = {512: 4.0, 64: 1.5, 4096: 15.0}
# The names in programs/parse.py, and those of the rows
_PEERS = {
    YARDSTICK: YARDSTICK,
    "pull": f"XMLPullParser as in slixmpp {version('slixmpp')}",
    "expat": "expat, a tree of lists",
}


def times(said: str) -> dict[str, list[float]]:
    """Return the seconds of each parser, round by round, in what parse.py said."""
    found: dict[str, list[float]] = {}
    counts = set()
    for line in said.splitlines():
        name, count, seconds = line.split()
        counts.add(count)
        found.setdefault(name, []).append(float(seconds))
    if counts != {str(len(corpus.stanzas()))}:
        raise LabError(f"the parsers saw {', '.join(sorted(counts))} stanzas")
    return found


def _row(world: World, chunk: int, names: Sequence[str], repeat: int, *, wide: bool) -> Result:
    data = corpus.stream()
    file = world.folder / "corpus.xml"
    file.write_bytes(data)
    rounds = 5 if world.quick else 15
    script = PROGRAMS / "parse.py"
    args = [str(file), str(chunk), str(rounds), str(repeat), "ours", *names]
    if wide:
        path = [world.core, world.programs]
        done = world.mp64.run(script, *args, path=path, timeout_s=RUN_LIMIT_S)
    else:
        done = _python(script, args)
    if done.returncode:
        raise LabError(f"parse.py failed: {last_line(done.stdout + done.stderr)}")
    taken = times(done.stdout)
    megabytes = len(data) * repeat / 1e6
    rates = {name: round(megabytes / statistics.median(t), 2) for name, t in taken.items()}
    # Of the same round, for the machine may be twice as fast in the next one
    pairs = zip(taken["ours"], taken[YARDSTICK], strict=True)
    ratio = statistics.median(theirs / ours for ours, theirs in pairs)
    return Result(
        rates.pop("ours"),
        {_PEERS[name]: rate for name, rate in rates.items()},
        f"{ratio:.2f} of the yardstick, a parser with bytes.find and no checks (where the target "
        f"was set, it is {TARGETS[chunk] / REFERENCE[chunk]:.2f} of {REFERENCE[chunk]:g} MB/s); "
        f"{corpus.description()}; CPU time, medians of {rounds} interleaved",
    )


def _python(script: Path, args: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [sys.executable, str(script), *args],
            env={**os.environ, "PYTHONPATH": str(FIRMWARE), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{script.name} had not ended after {RUN_LIMIT_S:g} s") from None


@figure("parse.micropython.512", "parse, MicroPython 64-bit, 512 B a time", "MB/s",
        better="higher", target=TARGETS[512])  # fmt: skip
def micropython_512(world: World) -> Result:
    """In what a device reads at a time."""
    return _row(world, 512, ["yardstick"], 3, wide=True)


@figure("parse.micropython.64", "parse, MicroPython 64-bit, 64 B a time", "MB/s",
        better="higher", target=TARGETS[64])  # fmt: skip
def micropython_64(world: World) -> Result:
    """In crumbs."""
    return _row(world, 64, ["yardstick"], 1, wide=True)


@figure("parse.cpython.4096", "parse, CPython, 4096 B a time", "MB/s",
        better="higher", target=TARGETS[4096])  # fmt: skip
def cpython_4096(world: World) -> Result:
    """On the host, beside parsers in C."""
    return _row(world, 4096, ["yardstick", "pull", "expat"], 5, wide=False)
