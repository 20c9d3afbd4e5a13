"""Display controllers on SPI, for either interpreter: what MIPI's command set means, drawn into
the file `display.raw`. It begins with 8 bytes: awake (1), on (2) and inverted (4) in one, MADCTL,
the backlight in %, 0, columns and rows (16 bits each); then two bytes a pixel, by the address that
they were written to."""

import machine
from outside import path

_NOP, _SWRESET, _SLPIN, _SLPOUT, _INVOFF, _INVON = 0x00, 0x01, 0x10, 0x11, 0x20, 0x21
_DISPOFF, _DISPON, _CASET, _RASET, _RAMWR = 0x28, 0x29, 0x2A, 0x2B, 0x2C
_MADCTL, _COLMOD = 0x36, 0x3A
# Two bytes a pixel, on both interfaces or on the serial one
_RGB565 = (0x55, 0x05)
_BLANK = bytes(480)
_HEAD = 8


class Controller:
    """A display controller. Its pins stand in chips.json: {"st7789": {"cs": 5, "dc": 27, "light":
    12, "reset": 14}}. Raises ValueError for what a driver must not do: pixels of another format,
    and addresses that are not there."""

    columns = 240
    rows = 320
    _wired = False

    def __init__(self):
        self.selected = False
        self._data = False
        self._light = 0
        self._file = open(path("display.raw"), "w+b", 0)
        self._reset()
        self._file.seek(_HEAD)
        for _ in range(self.columns * self.rows * 2 // len(_BLANK)):
            self._file.write(_BLANK)

    def set(self, values):
        """The pins, once."""
        if not self._wired:
            self._wired = True
            wires = machine.wires
            wires[values["cs"]] = self._select
            wires[values["dc"]] = self._mean
            wires[values["light"]] = self._lit
            if "reset" in values:
                wires[values["reset"]] = self._pulled

    def _select(self, level):
        self.selected = not level

    def _mean(self, level):
        self._data = bool(level)

    def _lit(self, percent):
        self._light = percent
        self._tell()

    def _pulled(self, level):
        if not level:
            self._reset()

    def _reset(self):
        self._state = self._madctl = self._colmod = self._command = 0
        self._x = (0, self.columns - 1)
        self._y = (0, self.rows - 1)
        self._got = b""
        self._tell()

    def _tell(self):
        f = self._file
        f.seek(0)
        size = self.columns.to_bytes(2, "big") + self.rows.to_bytes(2, "big")
        f.write(bytes((self._state, self._madctl, self._light, 0)) + size)

    def write(self, buf):
        """A command, or its data."""
        if not self._data:
            for command in bytes(buf):
                self._begin(command)
        elif self._command == _RAMWR:
            self._draw(memoryview(buf))
        elif self._command in (_CASET, _RASET, _MADCTL, _COLMOD):
            self._got += bytes(buf)
            self._take(self._got)

    def _begin(self, command):
        self._command = command
        self._got = b""
        state = self._state
        if command == _SWRESET:
            self._reset()
        elif command == _RAMWR:
            self._at = 0
            if self._colmod not in _RGB565:
                raise ValueError("display: pixels are not of two bytes")
        elif command in (_SLPIN, _DISPOFF, _INVOFF):
            self._state = state & ~{_SLPIN: 1, _DISPOFF: 2, _INVOFF: 4}[command]
        elif command in (_SLPOUT, _DISPON, _INVON):
            self._state = state | {_SLPOUT: 1, _DISPON: 2, _INVON: 4}[command]
        if state != self._state:
            self._tell()

    def _take(self, got):
        if self._command == _COLMOD:
            self._colmod = got[0]
        elif self._command == _MADCTL:
            if got[0] & 0x20:
                raise ValueError("display: exchanged rows and columns are not simulated")
            self._madctl = got[0]
            self._tell()
        elif len(got) == 4:
            first, last = got[0] << 8 | got[1], got[2] << 8 | got[3]
            size = self.columns if self._command == _CASET else self.rows
            if not first <= last < size:
                raise ValueError("display: {} to {} of {}".format(first, last, size))
            if self._command == _CASET:
                self._x = (first, last)
            else:
                self._y = (first, last)

    def _draw(self, data):
        x, last = self._x
        y, bottom = self._y
        wide = (last - x + 1) * 2
        f = self._file
        i = 0
        while i < len(data):
            row = self._at // wide
            off = self._at % wide
            n = min(wide - off, len(data) - i)
            if y + row > bottom:
                raise ValueError("display: more pixels than there are places")
            f.seek(_HEAD + ((y + row) * self.columns + x) * 2 + off)
            f.write(data[i : i + n])
            i += n
            self._at += n
