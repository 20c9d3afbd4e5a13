"""The BMA423 (Bosch): acceleration and steps. See bus.py."""

from bus import Chip

_PORT = 0x5E
#: What the chip has to be given before it counts steps.
PROGRAM = 6144


class BMA423(Chip):
    """{"bma423": {"steps": 812, "xyz": [0, 0, 1]}}, in g. Steps are counted once PROGRAM bytes
    were loaded as the data sheet says, and the counter was switched on."""

    address = 0x19
    _values = {}

    def __init__(self):
        super().__init__()
        self.registers[0] = 0x13
        self._features = bytearray(70)
        self._loaded = 0

    def set(self, values):
        """As Chip.set()."""
        super().set(values)
        self._values = values
        self._tell()

    def put(self, register, value):
        """As Chip.put()."""
        r = self.registers
        if register == 0x59:
            if value:
                r[0x2A] = 1 if self._loaded == PROGRAM else 2
            else:
                self._loaded = 0
        r[register] = value
        self._tell()

    def write(self, data):
        """As Chip.write(); the port takes all that comes."""
        r = self.registers
        if data[0] != _PORT:
            super().write(data)
            return
        self.at = _PORT
        if not r[0x59]:
            if (r[0x5B] | r[0x5C] << 4) * 2 != self._loaded:
                raise ValueError("bma423: not in order")
            self._loaded += len(data) - 1
        elif len(data) > 1:
            self._features[: len(data) - 1] = data[1:]
        self._tell()

    def read(self, n):
        """As Chip.read()."""
        return bytes(self._features[:n]) if self.at == _PORT else super().read(n)

    def _tell(self):
        r = self.registers
        if r[0x7D] & 4:
            for i, g in enumerate(self._values.get("xyz", (0, 0, 1))):
                # 12 bits, of 2 g or as the range says
                raw = int(g * 1024) >> (r[0x41] & 3)
                r[0x12 + 2 * i] = raw << 4 & 0xF0
                r[0x13 + 2 * i] = raw >> 4 & 255
        counts = r[0x2A] == 1 and self._features[0x3B] & 0x10
        steps = self._values.get("steps", 0) if counts else 0
        r[0x1E:0x22] = steps.to_bytes(4, "little")
