"""The FT6236 and FT6336 (FocalTech): touch. See bus.py."""

from bus import Chip
from outside import say


class FT6X36(Chip):
    """{"ft6x36": {"touch": [x, y, number]}}: each new number is one tap, there for one look. With
    the next look, when what the tap did is done, it prints "touch: over". What is there at the
    start is no tap."""

    address = 0x38
    _number = None
    _looks = 0  # that the tap is still there for, and one

    def set(self, values):
        """As Chip.set()."""
        super().set(values)
        x, y, number = values.get("touch", (0, 0, 0))
        was = self._number
        self._number = number
        if was not in (None, number):
            self._looks = 2
            self.registers[2:7] = bytes((1, 0x80 | x >> 8, x & 255, y >> 8, y & 255))

    def read(self, n):
        """As Chip.read()."""
        if self._looks == 1:
            self.registers[2] = 0
            say("touch: over")
        self._looks = max(0, self._looks - 1)
        return super().read(n)
