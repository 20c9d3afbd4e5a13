"""The AXP2101 (X-Powers): power. See bus.py."""

from bus import Chip


class AXP2101(Chip):
    """{"axp2101": {"percent": 80, "charging": 0}}. The percentage is there while the gauge is
    on."""

    address = 0x34

    def set(self, values):
        """As Chip.set()."""
        super().set(values)
        charging = values.get("charging", 0)
        self.registers[0] = 0x28 if charging else 0x08
        self.registers[1] = 0x20 if charging else 0x40
        self._percent = values.get("percent", 80)

    def read(self, n):
        """As Chip.read()."""
        self.registers[0xA4] = self._percent if self.registers[0x18] & 8 else 0
        return super().read(n)
