"""Fixtures of the tests with faults: those of the tests with servers."""

from servers.conftest import shared, world  # noqa: F401
