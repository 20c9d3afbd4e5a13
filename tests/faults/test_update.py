"""Power cuts in an update, on MicroPython's littlefs: the old program boots or the new one, whole,
and the device says which."""

import random
import signal

import pytest

from host_tools.flash import bytecode
from host_tools.flash.mpy import FIRMWARE, compile_file
from host_tools.lab import micropython
from host_tools.lab.errors import LabError

TESTS = FIRMWARE.parent / "tests"
PROGRAMS = TESTS / "faults" / "programs"
SIMULATED = FIRMWARE.parent / "host_tools" / "lab" / "simulated"
#: What the programs make besides what a board has: bundles, journals, what is compared.
HEAP = "1m"
LIMIT_S = 1800.0
#: Of all positions, about 500, so many are tried here; `make soak` tries all of them.
POSITIONS = 210
KILLS = 8
HOW = ("before", "half", "after")
INSTALLED = "installed, restarting in a moment"


def device_in(folder):
    """A function that runs a program of programs/ with the library as it is on a board."""
    runtime = micropython.find(32)
    bytecode.library(folder / "library")
    compile_file(FIRMWARE / "slots.py", folder / "library" / "slots.mpy")
    compile_file(TESTS / "unit" / "bundles.py", folder / "library" / "bundles.mpy")
    path = [PROGRAMS, folder / "library", SIMULATED]

    def run(program, *args):
        args = [str(a) for a in (FIRMWARE, *args)]
        return runtime.run(PROGRAMS / program, *args, heap=HEAP, path=path, timeout_s=LIMIT_S)

    return run


def cut_everywhere(folder, seed=0, positions=0):
    """Try so many positions in the life of a device, or all: (positions tried, writes of that
    life, updates made from there). Raises AssertionError with what went wrong."""
    done = device_in(folder)("update_writes.py", folder / "flash", seed, positions)
    assert done.returncode == 0, done.stdout + done.stderr
    words = done.stdout.split()
    return tuple(int(words[words.index(w) + 1]) for w in ("checked", "writes", "updated"))


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    try:
        return device_in(tmp_path_factory.mktemp("update"))
    except LabError as e:
        pytest.skip(f"no MicroPython of 32 bits: {e}")


def test_a_cut_at_any_write(tmp_path):
    try:
        micropython.find(32)
    except LabError as e:
        pytest.skip(f"no MicroPython of 32 bits: {e}")
    checked, writes, updated = cut_everywhere(tmp_path, 6, POSITIONS)
    assert checked == POSITIONS < 2 * writes and updated > 10


def test_a_process_killed(device, tmp_path):
    """The same with real deaths, at some of the writes; then it lives, and comes to its end."""
    empty = tmp_path / "empty"
    assert device("update_boots.py", empty, 0, "before").returncode == 0
    image = tmp_path / "flash"
    image.write_bytes(empty.read_bytes())
    done = device("update_boots.py", image, -1, "before")
    lines = done.stdout.splitlines()
    assert lines[-1].startswith("done "), done.stdout + done.stderr
    writes = int(lines.pop().split()[1])
    assert lines[0] == "runs 1.1" and f"said update 1.2: {INSTALLED}" in lines
    assert lines[-2:] == ["runs 1.2", "said running 1.2 (was 1.1)"]
    chosen = random.Random(9)
    first = set()
    for i in range(KILLS):
        # From each part of it one
        stop = 1 + (writes * i + chosen.randrange(writes)) // KILLS if i else writes
        image.write_bytes(empty.read_bytes())
        done = device("update_boots.py", image, stop, HOW[i % 3])
        assert done.returncode == -signal.SIGKILL, f"write {stop}: {done.stdout}{done.stderr}"
        done = device("update_boots.py", image, -1, "before")
        lines = done.stdout.splitlines()
        assert done.returncode == 0, f"write {stop}: {done.stdout}{done.stderr}"
        assert lines[0] in ("runs 1.1", "runs 1.2") and lines[-1].startswith("done "), lines
        assert "runs 1.2" in lines
        first.add(lines[0])
    assert first == {"runs 1.1", "runs 1.2"}


def test_flash_that_is_too_small(device, tmp_path):
    done = device("update_full.py", tmp_path / "flash")
    assert done.returncode == 0, done.stdout + done.stderr
    seen, found, fits = done.stdout.splitlines()
    assert seen.startswith("update refused: there is room for "), seen
    assert found == "update refused: no room in flash"
    assert fits == f"update 1.3: {INSTALLED}"
