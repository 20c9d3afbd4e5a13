"""The AXP2101 (X-Powers): battery, charger, and what else gets power."""

_ADDRESS = 0x34


class AXP2101:
    """`i2c`: its bus. `outputs`: which of ALDO1 to 4 and BLDO1 to 2, a bit each from the lowest,
    are to have 3.3 V; the other ones are switched off."""

    def __init__(self, i2c, outputs):
        self._i2c = i2c
        for i in range(6):
            if outputs >> i & 1:
                self._put(0x92 + i, 0x1F, 28)  # 0.5 V and 28 times 0.1 V
        self._put(0x90, 0x3F, outputs)
        self._put(0x18, 0x08, 0x08)  # the gauge

    def level(self):
        """How full the battery is, in %. Raises ValueError where there is none."""
        if not self._get(0x00) & 0x08:
            raise ValueError("there is no battery")
        return min(100, self._get(0xA4))

    def charging(self):
        """Whether the battery is being charged."""
        return self._get(0x01) & 0x60 == 0x20

    def _get(self, register):
        return self._i2c.readfrom_mem(_ADDRESS, register, 1)[0]

    def _put(self, register, mask, bits):
        value = self._get(register) & ~mask | bits
        self._i2c.writeto_mem(_ADDRESS, register, bytes((value,)))
