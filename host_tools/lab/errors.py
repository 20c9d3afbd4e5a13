"""The errors of the lab."""

from ..errors import UxmppError


class LabError(UxmppError):
    """The lab cannot do what it was asked to."""


class LabTimeout(LabError, TimeoutError):  # noqa: N818 - reads better where it is caught
    """What was awaited did not happen within its limit."""
