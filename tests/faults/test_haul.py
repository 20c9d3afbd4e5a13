"""Every durable report arrives once and in the order of creation, whatever happens on the way. The
long form of it is in `make soak`."""

import pytest
from servers.helper import PASSWORDS

from host_tools.lab.lab import Lab

from .haul import haul


@pytest.mark.parametrize(
    ("reports", "faults", "runtime"), [(10_000, 300, "32"), (500, 15, "cpython")]
)
def test_all_reports_arrive(reports, faults, runtime):
    # Prosody's archive takes longer with each message, in the end longer than a login may
    with Lab(PASSWORDS, settings={"default_archive_policy": False}) as lab:
        done = haul(lab, reports=reports, faults=faults, seed=20261122, runtime=runtime)
    print(f"{done.connections} connections, {done.seconds:.0f} s")
    print(f"{len(done.ledger.duplicates)} came again, and were dropped by their ids")
    assert done.ledger.bodies == [str(n) for n in range(reports)], done.story
    assert done.ledger.conflicts == [], done.story
