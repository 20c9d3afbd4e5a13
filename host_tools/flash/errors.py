"""What goes wrong on the way to a board."""

from ..errors import UxmppError

#: In what state a board is.
NOTHING = "Nothing was written."
HALF = "The board is half written and does not start."
WHOLE = "All is written and verified."


class FlashError(UxmppError):
    """A board was not flashed: what happened, in what state it is now, and what to do.

    `written`: whether writing had begun, so that the board is to be flashed again.
    """

    def __init__(self, what: str, *, written: bool = False) -> None:
        super().__init__(what)
        self.written = written
