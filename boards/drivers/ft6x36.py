"""The FT6236 and FT6336 (FocalTech): where a finger is."""

_ADDRESS = 0x38
TOUCH = 5


class FT6X36:
    """`i2c`: its bus."""

    def __init__(self, i2c):
        self._i2c = i2c
        self._down = False

    def get_event(self):
        """(TOUCH, x, y) once for each time that a finger comes down, else None."""
        n, xh, xl, yh, yl = self._i2c.readfrom_mem(_ADDRESS, 0x02, 5)
        was = self._down
        self._down = 0 < n & 15 < 3
        if was or not self._down:
            return None
        return TOUCH, (xh & 15) << 8 | xl, (yh & 15) << 8 | yl
