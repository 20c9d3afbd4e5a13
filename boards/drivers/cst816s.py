"""The CST816S (Hynitron): where a finger is."""

import time

_ADDRESS = 0x15
TOUCH = 5


class CST816S:
    """`i2c`: its bus; `reset`: an output pin. It sleeps, and does not answer, unless touched."""

    def __init__(self, i2c, reset):
        self._i2c = i2c
        self._down = False
        reset.off()
        time.sleep(0.01)
        reset.on()
        time.sleep(0.05)

    def get_event(self):
        """(TOUCH, x, y) once for each time that a finger comes down, else None."""
        was = self._down
        try:
            n, xh, xl, yh, yl = self._i2c.readfrom_mem(_ADDRESS, 0x02, 5)
            self._down = n == 1
        except OSError:  # it sleeps
            self._down = False
        if was or not self._down:
            return None
        return TOUCH, (xh & 15) << 8 | xl, (yh & 15) << 8 | yl
