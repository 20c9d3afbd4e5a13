"""The QMI8658A (QST): acceleration and steps. See bus.py."""

from bus import Chip


class QMI8658(Chip):
    """{"qmi8658": {"steps": 812, "xyz": [0, 0, 1]}}, in g. Steps are counted once the pedometer
    has got both its sets of parameters, with the sensors off, and is switched on."""

    address = 0x6B
    _values = {}

    def __init__(self):
        super().__init__()
        self.registers[0] = 0x05
        self._sets = 0

    def set(self, values):
        """As Chip.set()."""
        super().set(values)
        self._values = values
        self._tell()

    def put(self, register, value):
        """As Chip.put()."""
        r = self.registers
        r[register] = value
        if register == 0x0A:
            r[0x2D] = r[0x2D] | 0x80 if value else r[0x2D] & 0x7F
            if value == 0x0D:
                if r[0x08] & 3:
                    raise ValueError("qmi8658: configured while it measures")
                self._sets |= r[0x12]
        self._tell()

    def _tell(self):
        r = self.registers
        if r[0x08] & 1:
            for i, g in enumerate(self._values.get("xyz", (0, 0, 1))):
                raw = int(g * 16384) >> (r[0x03] >> 4 & 7)
                r[0x35 + 2 * i] = raw & 255
                r[0x36 + 2 * i] = raw >> 8 & 255
        counts = self._sets == 3 and r[0x08] & 1 and r[0x09] & 0x10
        steps = self._values.get("steps", 0) if counts else 0
        r[0x5A:0x5D] = steps.to_bytes(3, "little")
