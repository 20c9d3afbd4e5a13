"""The QMI8658A (QST): acceleration, and steps. Its gyroscope stays off."""

import time

_ADDRESS = 0x6B
# Two sets of the pedometer's parameters (data sheet, 11.1): at 62.5 Hz a window of 50 samples,
# peaks of 200 and 100 mg; then at most 4 s and at least 0.3 s a step, from 10 steps on
_PEDOMETER = (b"\x32\x00\xcc\x00\x66\x00\x00\x01", b"\xfa\x00\x13\x0a\x00\x04\x00\x02")
_TRIES = 50


class QMI8658:
    """`i2c`: its bus. Raises OSError for another chip, and for one that is not ready."""

    def __init__(self, i2c):
        self._i2c = i2c
        if self._get(0x00, 1)[0] != 0x05:
            raise OSError("qmi8658: another chip answers")
        self._put(0x02, 0x40)  # addresses go on by themselves, the low byte comes first
        self._put(0x08, 0)  # off, while it is told how
        self._put(0x03, 0x07)  # 2 g, 62.5 times a second
        self._put(0x09, 0x80)  # done is told in a register, not by a pin
        for parameters in _PEDOMETER:
            i2c.writeto_mem(_ADDRESS, 0x0B, parameters)
            self._do(0x0D)
        self._put(0x09, 0x90)  # the pedometer
        self._put(0x08, 0x01)  # on

    @property
    def steps(self):
        """The steps since the start, modulo 2**24."""
        return int.from_bytes(self._get(0x5A, 3), "little")

    def xyz(self):
        """The acceleration in g: (x, y, z)."""
        raw = self._get(0x35, 6)
        found = []
        for i in (0, 2, 4):
            value = raw[i] | raw[i + 1] << 8
            found.append((value - (value >> 15 << 16)) / 16384)
        return tuple(found)

    def _do(self, command):
        self._put(0x0A, command)
        for _ in range(_TRIES):
            if self._get(0x2D, 1)[0] & 0x80:
                self._put(0x0A, 0)
                return
            time.sleep(0.002)
        raise OSError("qmi8658: does not get ready")

    def _get(self, register, n):
        return self._i2c.readfrom_mem(_ADDRESS, register, n)

    def _put(self, register, value):
        self._i2c.writeto_mem(_ADDRESS, register, bytes((value,)))
