"""The PCF8563 (NXP): a clock that goes on without the processor, for the years 2000 to 2099."""

_ADDRESS = 0x51


class PCF8563:
    """`i2c`: its bus. Whoever sets it chooses the zone; the watch keeps UTC in it."""

    def __init__(self, i2c):
        self._i2c = i2c

    def get_localtime(self):
        """(year, month, day, hour, minute, second) as it was set to, gone on since; None where it
        was without power, or shows no time."""
        raw = self._i2c.readfrom_mem(_ADDRESS, 0x02, 7)
        if raw[0] & 0x80:
            return None
        s, mi, h, d, _, m, y = [
            (raw[i] & mask) - (raw[i] & mask) // 16 * 6
            for i, mask in enumerate(b"\x7f\x7f\x3f\x3f\x07\x1f\xff")
        ]
        if not (0 < m < 13 and 0 < d < 32 and h < 24 and mi < 60 and s < 60):
            return None
        return 2000 + y, m, d, h, mi, s

    def set_localtime(self, t):
        """Set it; `t`: as get_localtime(), what follows is not looked at."""
        y, m, d, h, mi, s = t[:6]
        raw = bytes([n // 10 * 16 + n % 10 for n in (s, mi, h, d, 0, m, y % 100)])
        self._i2c.writeto_mem(_ADDRESS, 0x02, raw)
