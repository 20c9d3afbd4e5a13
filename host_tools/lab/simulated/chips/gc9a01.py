"""The GC9A01: see controller.py."""

from chips.controller import Controller


class GC9A01(Controller):
    """With its memory of 240 x 240, and the registers that are shut until 0xFE and 0xEF open
    them."""

    rows = 240
    _open = 0

    def _begin(self, command):
        if command in (0xFE, 0xEF):
            self._open |= 1 if command == 0xFE else 2
        elif command > 0x7F and self._open != 3 and command != 0xB6:
            raise ValueError("display: register {:x} is shut".format(command))
        super()._begin(command)
