"""Motors that shake."""

import time

#: The longest pulse in ms: the program waits for it.
MAX_MS = 200


class Vibrator:
    """A motor behind a transistor. `pwm`: a machine.PWM of its pin."""

    def __init__(self, pwm):
        self._pwm = pwm

    def pulse(self, duty=50, ms=40):
        """Shake for `ms` milliseconds, at most MAX_MS, at `duty` %."""
        self._pwm.duty_u16(duty * 65535 // 100)
        time.sleep(min(ms, MAX_MS) / 1000)
        self._pwm.duty_u16(0)


class Still:
    """In place of a motor that is not there."""

    def pulse(self, duty=50, ms=40):
        """Nothing."""
