"""The errors of sending updates."""

from ..errors import UxmppError


class SendError(UxmppError):
    """A device does not run the new version; the text says why, and what it runs."""
