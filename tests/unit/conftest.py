"""Runs each test file of this folder a second and a third time, on MicroPython of 64 and 32 bits.

A test `test_x` is there as `test_x` (CPython), `test_x[micropython-64]` and
`test_x[micropython-32]`; `-k micropython` and `-k "not micropython"` choose among them. A file is
started once per interpreter, with the tests that were chosen. A file may say how much heap it
gets: `HEAP = "160k"` at the start of a line. The folders below this one are CPython's alone.
"""

import ast
import re
import tracemalloc
from functools import cache
from pathlib import Path

import pytest

from host_tools.lab import micropython
from host_tools.lab.errors import LabError

HERE = Path(__file__).resolve().parent
FIRMWARE = HERE.parents[1] / "firmware"
RUNNER = HERE / "run.py"
# More than a board has: here the test and the library are compiled from source, and a test
# keeps its tables and results. What has to fit in a board's heap says so itself.
HEAP = "400k"
RUN_LIMIT_S = 900.0

_find = cache(micropython.find)


def pytest_collect_file(file_path, parent):
    if file_path.parent == HERE and file_path.match("test_*.py"):
        return MicroPythonFile.from_parent(parent, path=file_path)
    return None


@pytest.fixture(autouse=True)
def _untraced():
    # Tracing memory is slow: it ends with the test that began it
    yield
    tracemalloc.stop()


class MicroPythonFile(pytest.File):
    """The tests of one file, on each MicroPython."""

    def collect(self):
        self.results = {}
        for node in ast.parse(self.path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for bits in (64, 32):
                    yield MicroPythonTest.from_parent(
                        self, name=f"{node.name}[micropython-{bits}]", test=node.name, bits=bits
                    )

    def results_of(self, bits):
        """{test: "" or what its failure printed}; None: what was printed by no test."""
        if bits not in self.results:
            chosen = [
                i.test
                for i in self.session.items
                if isinstance(i, MicroPythonTest) and i.path == self.path and i.bits == bits
            ]
            self.results[bits] = self._run(bits, chosen)
        return self.results[bits]

    def _run(self, bits, chosen):
        heap = re.search(r'^HEAP = "(\w+)"', self.path.read_text(encoding="utf-8"), re.M)
        try:
            done = _find(bits).run(
                RUNNER,
                self.path.stem,
                *chosen,
                heap=heap[1] if heap else HEAP if bits == 32 else None,
                path=[HERE, FIRMWARE],
                timeout_s=RUN_LIMIT_S,
            )
        except LabError as e:
            return {None: str(e)}
        results = {}
        current = None
        for line in done.stdout.splitlines():
            verdict, _, name = line.partition(" ")
            if verdict in ("ok", "FAIL") and name in chosen:
                current = name
                line = "failed" if verdict == "FAIL" else ""
            results[current] = f"{results.get(current, '')}\n{line}".strip()
        said = results.get(None, "")
        results[None] = f"exit status {done.returncode}\n{said}\n{done.stderr}".strip()
        return results


class MicroPythonTest(pytest.Item):
    """One test function on one MicroPython."""

    def __init__(self, *, test, bits, **kwargs):
        super().__init__(**kwargs)
        self.test = test
        self.bits = bits
        self.add_marker(pytest.mark.xdist_group(f"{self.path.stem}-{bits}"))

    def runtest(self):
        try:
            _find(self.bits)
        except LabError as e:
            pytest.skip(f"no MicroPython of {self.bits} bits: {e}")
        results = self.parent.results_of(self.bits)
        failure = results.get(self.test, f"did not run: {results[None]}")
        if failure:
            raise MicroPythonError(failure)

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, MicroPythonError):
            return f"MicroPython, {self.bits} bits: {excinfo.value}"
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, None, self.name


class MicroPythonError(Exception):
    """A test failed there; the text is what it printed."""
