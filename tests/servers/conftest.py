"""Fixtures of the tests with servers."""

import pytest

from host_tools.lab.lab import Lab

from .helper import PASSWORDS


@pytest.fixture
def world():
    """A server with an owner, a device's account, a stranger and one more, for one test."""
    with Lab(PASSWORDS) as lab:
        yield lab


@pytest.fixture(scope="module")
def shared():
    """As `world`, for all tests of a module that leave nothing behind on it."""
    with Lab(PASSWORDS) as lab:
        yield lab
