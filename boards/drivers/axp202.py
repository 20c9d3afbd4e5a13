"""The AXP202 (X-Powers): battery, charger, and what else gets power."""

_ADDRESS = 0x35


class AXP202:
    """`i2c`: its bus. Switches LDO2 on, at 3.3 V: the backlight."""

    def __init__(self, i2c):
        self._i2c = i2c
        self._put(0x28, 0xF0, 0xF0)  # LDO2: 3.3 V
        self._put(0x12, 0x04, 0x04)  # and on
        # The gauge measures the battery's voltage and current
        self._put(0x82, 0xC0, 0xC0)

    def level(self):
        """How full the battery is, in %. Raises ValueError where there is none, or the gauge does
        not know yet."""
        level = self._get(0xB9)
        if level > 100:
            raise ValueError("the gauge does not know")
        return level

    def charging(self):
        """Whether the battery is being charged."""
        return bool(self._get(0x01) & 0x40)

    def voltage_mv(self):
        """The battery's voltage in mV."""
        return (self._get(0x78) << 4 | self._get(0x79) & 15) * 11 // 10

    def _get(self, register):
        return self._i2c.readfrom_mem(_ADDRESS, register, 1)[0]

    def _put(self, register, mask, bits):
        # Of the others, some keep the processor going
        value = self._get(register) & ~mask | bits
        self._i2c.writeto_mem(_ADDRESS, register, bytes((value,)))
