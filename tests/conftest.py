"""What holds for every test: where the code is, and that nothing is skipped unseen in CI."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CI = os.environ.get("CI", "").lower() == "true"

for folder in (ROOT, ROOT / "firmware"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def pytest_report_header(config):
    # Hypothesis: see tests/unit/cpython/conftest.py
    seed = config.getoption("hypothesis_seed", None)
    if seed is None:
        seed = "fixed by each test's own code" if CI else "new, printed with a failure"
    return f"hypothesis seed: {seed}"


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
