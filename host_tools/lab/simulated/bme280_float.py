"""`bme280_float`, as github:robert-hh/BME280 has it, as far as the apps use it: reads a BME280
with the calibration of chips/bme280.py."""

from array import array


class BME280:
    """As bme280_float.BME280. Raises OSError where nothing answers at `address`."""

    def __init__(self, mode=4, address=0x76, i2c=None):
        self._where = (address, i2c)
        if i2c.readfrom_mem(address, 0xD0, 1) != b"\x60":
            raise OSError(19)

    def read_compensated_data(self, result=None):
        """array of °C, Pa, %."""
        address, i2c = self._where
        i2c.writeto_mem(address, 0xF2, b"\x04")
        i2c.writeto_mem(address, 0xF4, b"\x91")
        raw = i2c.readfrom_mem(address, 0xF7, 8)
        pascal = (1048576 - (int.from_bytes(raw[:3], "big") >> 4)) * 6250 / 36477
        celsius = ((int.from_bytes(raw[3:6], "big") >> 4) / 16384 - 16) * 3.2
        return array("f", (celsius, pascal, int.from_bytes(raw[6:], "big") * 100 / 65536))
