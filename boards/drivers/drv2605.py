"""The DRV2605 (Texas Instruments): drives a motor with an eccentric mass."""

import time

from drivers.vibrator import MAX_MS

_ADDRESS = 0x5A


class DRV2605:
    """`i2c`: its bus."""

    def __init__(self, i2c):
        self._i2c = i2c
        self._put(0x02, 0)
        self._put(0x1A, 0x36)  # such a motor
        # Without feedback; amplitudes have a sign: without one, 0 would be full speed backwards
        self._put(0x1D, 0xA0)
        self._put(0x01, 0x40)  # standby

    def pulse(self, duty=50, ms=40):
        """Shake for `ms` milliseconds, at most MAX_MS, at `duty` %."""
        self._put(0x01, 0x05)  # it follows register 2
        self._put(0x02, duty * 127 // 100)
        time.sleep(min(ms, MAX_MS) / 1000)
        self._put(0x02, 0)
        self._put(0x01, 0x40)

    def _put(self, register, value):
        self._i2c.writeto_mem(_ADDRESS, register, bytes((value,)))
