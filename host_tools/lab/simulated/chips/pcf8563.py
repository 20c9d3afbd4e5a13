"""The PCF8563 (NXP): a clock. It stands still. See bus.py."""

from bus import Chip
from outside import say


def _bcd(n):
    return n // 10 << 4 | n % 10


class PCF8563(Chip):
    """{"pcf8563": {"time": [2026, 11, 22, 7, 30, 0]}}; without a time it has lost it. Prints each
    time that it is set to: "rtc: 2026-11-22 07:30:00"."""

    address = 0x51
    _time = None

    def __init__(self):
        super().__init__()
        self.registers[2] = 0x80

    def set(self, values):
        """As Chip.set()."""
        super().set(values)
        time = values.get("time")
        if time and time != self._time:
            self._time = time
            y, m, d, h, mi, s = [_bcd(n % 100) for n in time]
            self.registers[2:9] = bytes((s, mi, h, d, 0, m, y))

    def write(self, data):
        """As Chip.write()."""
        super().write(data)
        if len(data) == 8:
            s, mi, h, d, _, m, y = ["{:02x}".format(b) for b in self.registers[2:9]]
            say("rtc: 20{}-{}-{} {}:{}:{}".format(y, m, d, h, mi, s))
