"""`sht30`, as github:robert-hh/SHT30 has it, as far as the apps use it."""


class SHT30:
    """As sht30.SHT30."""

    def __init__(self, i2c=None, delta_temp=0, delta_hum=0, i2c_address=0x44):
        self._where = (i2c_address, i2c)

    def measure(self):
        """(°C, %). Raises SHT30Error where it does not answer."""
        address, i2c = self._where
        try:
            i2c.writeto(address, b"\x2c\x10")
            raw = i2c.readfrom(address, 6)
        except OSError:
            raise SHT30Error("Bus error") from None
        celsius, percent = [int.from_bytes(raw[i : i + 2], "big") / 0xFFFF for i in (0, 3)]
        return celsius * 175 - 45, percent * 100


class SHT30Error(Exception):
    """What the sensor raises."""
