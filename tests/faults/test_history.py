"""The history and power cuts, on MicroPython's littlefs and in a board's heap."""

import pytest

from host_tools.flash.mpy import FIRMWARE, compile_file
from host_tools.lab import micropython
from host_tools.lab.errors import LabError

PROGRAMS = FIRMWARE.parent / "tests" / "faults" / "programs"
SIMULATED = FIRMWARE.parent / "host_tools" / "lab" / "simulated"
HEAP = "160k"
LIMIT_S = 900.0


def test_a_cut_at_every_write(tmp_path):
    try:
        runtime = micropython.find(32)
    except LabError as e:
        pytest.skip(f"no MicroPython of 32 bits: {e}")
    for name in ("clock", "history"):
        compile_file(FIRMWARE / "thing" / f"{name}.py", tmp_path / "thing" / f"{name}.mpy")
    program = PROGRAMS / "history_writes.py"
    image = str(tmp_path / "flash")
    path = [tmp_path, SIMULATED]
    done = runtime.run(program, image, heap=HEAP, path=path, timeout_s=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    words = done.stdout.split()
    checked, writes, slots = (
        int(words[words.index(w) + 1]) for w in ("checked", "writes", "slots")
    )
    # Each of them before it and half way through it, and so many that files were removed
    assert checked == 2 * writes > 200
    assert slots > 80
