"""Power cuts, on MicroPython's littlefs and in a board's heap: what was promised stays."""

import random
import signal

import pytest

from host_tools.flash.mpy import FIRMWARE, compile_file
from host_tools.lab import micropython
from host_tools.lab.errors import LabError

PROGRAMS = FIRMWARE.parent / "tests" / "faults" / "programs"
SIMULATED = FIRMWARE.parent / "host_tools" / "lab" / "simulated"
HEAP = "160k"
LIMIT_S = 900.0
BOOTS = 40
#: So many writes fill the outbox, and begin to drop.
WRITES = 120
HOW = ("before", "half", "after")


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """A function that runs a program of programs/ with the outbox as it is on a board."""
    try:
        runtime = micropython.find(32)
    except LabError as e:
        pytest.skip(f"no MicroPython of 32 bits: {e}")
    flash = tmp_path_factory.mktemp("outbox")
    compile_file(FIRMWARE / "thing" / "outbox.py", flash / "outbox.mpy")

    def run(program, *args):
        args = [str(a) for a in args]
        path = [flash, SIMULATED]
        return runtime.run(PROGRAMS / program, *args, heap=HEAP, path=path, timeout_s=LIMIT_S)

    return run


def test_a_cut_at_every_write(device, tmp_path):
    done = device("outbox_writes.py", tmp_path / "flash")
    assert done.returncode == 0, done.stdout + done.stderr
    words = done.stdout.split()
    checked, writes, lost = (int(words[words.index(w) + 1]) for w in ("checked", "writes", "lost"))
    # Each of them before it and half way through it
    assert checked == 2 * writes > 200
    assert lost > 5


def test_a_process_killed_at_every_write(device, tmp_path):
    """The same with real deaths: a new file system each time, kill -9 at its n-th write, and what
    the next boot finds."""
    empty = tmp_path / "empty"
    assert device("outbox_boots.py", empty, 0, 0, "before").returncode == 0
    image = tmp_path / "flash"
    saved = 0
    for n in range(1, WRITES + 1):
        image.write_bytes(empty.read_bytes())
        said = []
        for stop in (n, 1):
            done = device("outbox_boots.py", image, 0, stop, HOW[n % 3])
            assert done.returncode == -signal.SIGKILL, f"write {n}: {done.stdout}{done.stderr}"
            said.append([line.split() for line in done.stdout.splitlines()])
        promised = {int(w[1]) for w in said[0] if w[0] == "saved"}
        promised -= {int(w[1]) for w in said[0] if w[0] == "arrived"}
        found = [int(w[1]) for w in said[1] if w[0] == "has"]
        assert found == sorted(set(found)), f"write {n}: not in order: {found}"
        missing = promised - set(found)
        lost = next(int(w[1]) for w in said[1] if w[0] == "lost")
        assert len(missing) <= lost, f"write {n}: {missing} of {lost} lost"
        assert not [w for w in said[1] if w[0] == "log"], f"write {n}: {said[1]}"
        ids = {w[1]: w[2] for w in said[0] if w[0] == "out"}
        for words in said[1]:
            if words[0] == "has":
                assert ids.get(words[1], words[2]) == words[2], f"write {n}: {words}"
        saved = max(saved, len(promised))
    assert saved > 20


@pytest.mark.parametrize("seed", range(4))
def test_boot_after_boot(device, tmp_path, seed):
    # As above with a process that is killed, and cuts that come upon what cuts have left
    chosen = random.Random(seed)
    image = tmp_path / "flash"
    assert device("outbox_boots.py", image, 0, 0, "before").returncode == 0
    ids = {}
    states = {"saved": set(), "arrived": set()}
    first = lost = 0
    for _ in range(BOOTS):
        # Now and then so early that nothing new is begun
        stop = chosen.choice([chosen.randrange(1, 8), chosen.randrange(8, 120)])
        done = device("outbox_boots.py", image, first, stop, chosen.choice(HOW))
        said = done.stdout + done.stderr
        assert done.returncode == -signal.SIGKILL, f"seed {seed}: {said}"
        assert "log" not in done.stdout.split(), f"seed {seed}: {said}"
        lines = [line.split() for line in done.stdout.splitlines()]
        has = [int(line[1]) for line in lines if line[0] == "has"]
        assert has == sorted(set(has)), f"seed {seed}: not in order: {has}"
        missing = states["saved"] - states["arrived"] - set(has)
        now = next(int(line[1]) for line in lines if line[0] == "lost")
        assert len(missing) <= now - lost, f"seed {seed}: {missing} of {now - lost} lost"
        assert not missing or not has or max(missing) < has[0], f"seed {seed}: {missing} {has}"
        lost = now
        states["saved"] -= missing
        for word, *rest in lines:
            if word in ("has", "out"):
                n, ident = int(rest[0]), rest[1]
                assert ids.setdefault(n, ident) == ident, f"seed {seed}: {n} has another id"
            elif word == "put":
                first = int(rest[0]) + 1
            elif word in states:
                states[word].add(int(rest[0]))
        assert "power cut" in done.stdout
    assert len(set(ids.values())) == len(ids) > 50
    # It came to all of it
    assert lost > 10 and len(states["saved"]) > 50 and len(states["arrived"]) > 20


def test_a_full_box_in_little_heap(device, tmp_path):
    done = device("outbox_full.py", tmp_path / "box", 110_000)
    assert done.returncode == 0, done.stdout + done.stderr
    kept, most = (int(done.stdout.split()[-i]) for i in (3, 1))
    assert kept > 350
    # The object, what is read ahead, and eight texts that are under way
    assert most < 3000
