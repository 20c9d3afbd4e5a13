"""How Hypothesis looks for examples: the same ones in every CI run, new ones at home."""

import os

from hypothesis import HealthCheck, settings

CI = os.environ.get("CI", "").lower() == "true"
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

# Without a deadline: the machine may be busy. A failure prints how to see it again.
settings.register_profile("home", deadline=None, print_blob=True, suppress_health_check=SLOW)
settings.register_profile(
    "ci", settings.get_profile("home"), derandomize=True, database=None, max_examples=200
)


def pytest_configure(config):
    # Named on the command line, another profile wins
    if not config.getoption("hypothesis_profile", None):
        settings.load_profile("ci" if CI else "home")
