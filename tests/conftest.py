"""What holds for every test: where the code is, and that nothing is skipped unseen in CI."""

import gc
import os
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CI = os.environ.get("CI", "").lower() == "true"

for folder in (ROOT, ROOT / "firmware"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

# Where the tests run in the background of a shell, Ctrl-C is ignored by inheritance, also by each
# program that they start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config):
    # Hypothesis: see tests/unit/cpython/conftest.py
    seed = config.getoption("hypothesis_seed", None)
    if seed is None:
        seed = "fixed by each test's own code" if CI else "new, printed with a failure"
    return f"hypothesis seed: {seed}"


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    # Each worker collects all tests, and that makes millions of objects and hardly any garbage
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    # pytest-xdist 3.8 marks the groups of `--dist loadgroup` in `_nodeid`; since pytest 9.2 the
    # id is elsewhere: without a word, each worker would run each file of tests/unit
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        marked = getattr(item, "_nodeid", item.nodeid)
        if marked != item.nodeid:
            item._id = type(item._id).parse(marked)
        if item.get_closest_marker("xdist_group") and "@" not in item.nodeid.rpartition("]")[2]:
            raise pytest.UsageError(f"{item.nodeid}: this pytest-xdist loses the groups of tests")


def _not_skipped(report):
    # An expected failure is reported as skipped too, but says so
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        where = report.longrepr
        reason = where[2] if isinstance(where, tuple) else str(where)
        report.outcome = "failed"
        report.longrepr = f"In CI a skipped test is a failure. {reason}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    return _not_skipped((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector):
    return _not_skipped((yield))
