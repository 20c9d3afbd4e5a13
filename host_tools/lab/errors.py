"""The errors of the lab."""


class LabError(Exception):
    """One line for the user: what was wrong, where, and what to do about it."""


class LabTimeout(LabError, TimeoutError):  # noqa: N818 - reads better where it is caught
    """What was awaited did not happen within its limit."""
