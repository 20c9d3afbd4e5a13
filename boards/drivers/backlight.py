"""The light behind a display."""

_DUTY = (0, 6553, 26214, 65535)


class Backlight:
    """`pwm`: a machine.PWM of its pin."""

    def __init__(self, pwm):
        self._pwm = pwm

    def set(self, level):
        """0 is off, 3 the brightest."""
        self._pwm.duty_u16(_DUTY[level])
