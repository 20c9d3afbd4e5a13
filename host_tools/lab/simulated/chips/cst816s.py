"""The CST816S (Hynitron): touch. See bus.py."""

from chips.ft6x36 import FT6X36


class CST816S(FT6X36):
    """{"cst816s": {"touch": [x, y, number]}}, as of the FT6X36. While nobody touches it the chip
    sleeps, and does not answer."""

    address = 0x15

    def write(self, data):
        """As Chip.write()."""
        if self._looks < 2:
            self.read(0)
            raise OSError(19, "ENODEV")
        super().write(data)
