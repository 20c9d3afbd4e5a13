"""The BMA423 (Bosch): acceleration, and steps.

The chip counts steps with a program of Bosch's, 6,144 bytes that it is given at each start: the
table in the maker's BMA423 sensor API, as a file. Without the file there is acceleration alone."""

import time

_ADDRESS = 0x19
_PORT = 0x5E
_PIECE = 32


class BMA423:
    """`i2c`: its bus; `program`: the path of the file. Raises OSError for another chip."""

    def __init__(self, i2c, program="bma423.bin"):
        self._i2c = i2c
        self._counts = False
        if self._get(0x00, 1)[0] != 0x13:
            raise OSError("bma423: another chip answers")
        self._put(0x7E, 0xB6)  # reset
        time.sleep(0.01)
        self._put(0x7C, 0)  # no power saving, which the program could not be loaded in
        time.sleep(0.001)
        try:
            with open(program, "rb") as f:  # noqa: PTH123 - MicroPython has no pathlib
                self._load(f)
        except OSError:  # steps says so
            pass
        self._put(0x40, 0x17)  # 50 times a second, the mean of two
        self._put(0x41, 0)  # 2 g
        self._put(0x7D, 0x04)  # on
        self._put(0x7C, 0x03)

    def _load(self, f):
        self._put(0x59, 0)
        buf = bytearray(_PIECE)
        at = 0
        while f.readinto(buf) == _PIECE:
            # Where it goes: half the offset, in 4 bits and the others
            self._put(0x5B, at // 2 & 15)
            self._put(0x5C, at // 2 >> 4)
            self._i2c.writeto_mem(_ADDRESS, _PORT, buf)
            at += _PIECE
        self._put(0x59, 1)
        time.sleep(0.15)
        if self._get(0x2A, 1)[0] & 31 == 1:
            features = bytearray(self._get(_PORT, 70))
            features[0x3B] |= 0x10  # the step counter
            self._i2c.writeto_mem(_ADDRESS, _PORT, features)
            self._counts = True

    @property
    def steps(self):
        """The steps since the start. Raises ValueError where the chip does not count them."""
        if not self._counts:
            raise ValueError("the chip has not got its program, bma423.bin")
        return int.from_bytes(self._get(0x1E, 4), "little")

    def xyz(self):
        """The acceleration in g: (x, y, z)."""
        raw = self._get(0x12, 6)
        found = []
        for i in (0, 2, 4):
            value = raw[i] >> 4 | raw[i + 1] << 4
            found.append((value - (value >> 11 << 12)) / 1024)
        return tuple(found)

    def _get(self, register, n):
        return self._i2c.readfrom_mem(_ADDRESS, register, n)

    def _put(self, register, value):
        self._i2c.writeto_mem(_ADDRESS, register, bytes((value,)))
