"""What every error of the host tools is."""


class UxmppError(Exception):
    """One line for the user: what was tried, what is wrong and where, and what to do."""
