"""What goes wrong on the way to a board."""

from ..errors import UxmppError


class FlashError(UxmppError):
    """A board was not flashed: what happened, in what state it is now, and what to do.

    `written`: whether writing had begun, so that the board is to be flashed again.
    """

    def __init__(self, what: str, *, written: bool = False) -> None:
        super().__init__(what)
        self.written = written
