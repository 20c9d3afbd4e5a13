"""The DRV2605 (Texas Instruments): a motor's driver. See bus.py."""

from bus import Chip
from outside import say


class DRV2605(Chip):
    """Prints each change of strength in real-time playback: "motor: 50 %"."""

    address = 0x5A
    _percent = 0

    def put(self, register, value):
        """As Chip.put()."""
        super().put(register, value)
        playing = self.registers[1] & 0x47 == 5
        percent = (self.registers[2] * 100 + 63) // 127 if playing else 0
        if percent != self._percent:
            self._percent = percent
            say("motor: {} %".format(percent))
