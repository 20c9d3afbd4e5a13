"""The BME280 (Bosch): temperature, humidity, pressure. See bus.py."""

import struct

from bus import Chip


class BME280(Chip):
    """{"bme280": {"celsius": 21.5, "percent": 40, "hpa": 1013.25}}. Its calibration is one with
    which each raw value is a line, so any driver that follows the data sheet reads them."""

    address = 0x76

    def __init__(self):
        super().__init__()
        r = self.registers
        r[0xD0] = 0x60
        # T1, T2 and P1; the others of temperature and pressure are 0
        struct.pack_into("<HhhH", r, 0x88, 16384, 16384, 0, 36477)
        struct.pack_into("<h", r, 0xE1, 100)  # H2

    def set(self, values):
        """As Chip.set()."""
        super().set(values)
        celsius = round((values.get("celsius", 20) / 3.2 + 16) * 16384)
        pascal = round(1048576 - values.get("hpa", 1013.25) * 100 * 36477 / 6250)
        percent = round(values.get("percent", 50) * 65536 / 100)
        r = self.registers
        r[0xF7:0xFA] = (pascal << 4).to_bytes(3, "big")
        r[0xFA:0xFD] = (celsius << 4).to_bytes(3, "big")
        r[0xFD:0xFF] = min(percent, 65535).to_bytes(2, "big")
