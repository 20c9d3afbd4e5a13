"""The AXP202 (X-Powers): power. See bus.py."""

from bus import Chip


class AXP202(Chip):
    """{"axp202": {"percent": 80, "charging": 0, "mv": 3900}}. The gauge tells the percentage only
    while the battery's voltage and current are measured."""

    address = 0x35

    def set(self, values):
        """As Chip.set()."""
        super().set(values)
        r = self.registers
        charging = values.get("charging", 0)
        r[0] = 0x20 if charging else 0
        r[1] = 0x60 if charging else 0x20
        self._percent = values.get("percent", 80)
        raw = int(values.get("mv", 3900) / 1.1)
        r[0x78] = raw >> 4
        r[0x79] = raw & 15

    def read(self, n):
        """As Chip.read()."""
        measured = self.registers[0x82] & 0xC0 == 0xC0
        self.registers[0xB9] = self._percent if measured else 0x7F
        return super().read(n)
