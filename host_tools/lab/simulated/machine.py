"""`machine` without hardware, for either interpreter: pins whose changes appear on the console,
inputs that read what `pins.json` (see `outside`) says, {"13": 1}, and, loaded on demand from
`board`, `timers` and `bus`, its watchdog, clock and reset, its timers, and its buses."""

import json

from outside import path, say

#: Pins that lead to a chip: what is called with each new level, in place of a line.
wires = {}
_BUSES = ("I2C", "SoftI2C", "SPI", "PWM", "ADC")


class Pin:
    """As machine.Pin; each change prints a line "pin 5: 1"."""

    IN = 0
    OUT = 1

    PULL_UP = 1
    PULL_DOWN = 2

    def __init__(self, id, mode=-1, pull=-1, value=None):
        self.id = id
        self._input = mode == self.IN
        self._value = value or 0

    def value(self, x=None):
        """Without `x` the level; with it, set the level."""
        if x is None:
            if self._input:
                try:
                    with open(path("pins.json")) as f:
                        self._value = json.load(f).get(str(self.id), self._value)
                except (OSError, ValueError):  # nobody moved it
                    pass
            return self._value
        x = 1 if x else 0
        if x != self._value:
            self._value = x
            wire = wires.get(self.id)
            if wire:
                wire(x)
            else:
                say("pin {}: {}".format(self.id, x))
        return None

    __call__ = value

    def on(self):
        """Set high."""
        self.value(1)

    def off(self):
        """Set low."""
        self.value(0)

    def toggle(self):
        """Set the other level."""
        self.value(1 - self._value)


def __getattr__(name):
    # What not every device needs is loaded when it is asked for: memory is a budget here too
    if name in _BUSES:
        import bus

        return getattr(bus, name)
    if name == "Timer":
        from timers import Timer

        return Timer
    import board

    return getattr(board, name)
