"""The SHT3x (Sensirion): temperature and humidity. See bus.py."""

from bus import Chip


class SHT30(Chip):
    """{"sht30": {"celsius": 21.5, "percent": 40}}; a command is two bytes, each word has a sum."""

    address = 0x44

    def set(self, values):
        """As Chip.set()."""
        super().set(values)
        celsius = round((values.get("celsius", 20) + 45) * 65535 / 175)
        percent = round(values.get("percent", 50) * 65535 / 100)
        self._answer = b"".join([_word(celsius), _word(percent)])

    def write(self, data):
        """As Chip.write(): a command, of which only those that measure are known."""
        if data[0] not in (0x24, 0x2C):
            raise ValueError("sht30: command {}".format(data))

    def read(self, n):
        """As Chip.read()."""
        return self._answer[:n]


def _word(value):
    data = value.to_bytes(2, "big")
    crc = 0xFF
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = crc << 1 ^ 0x131 if crc & 0x80 else crc << 1
    return data + bytes((crc,))
