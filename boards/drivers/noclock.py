"""In place of a clock chip that is not there."""


class NoClock:
    """As PCF8563, of one that was without power."""

    def get_localtime(self):
        """None."""

    def set_localtime(self, t):
        """Nothing."""
