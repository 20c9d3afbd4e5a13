"""Colour displays on SPI, by the commands that their controllers share (MIPI DCS): ST7789, GC9A01.

Colours are RGB565: 0xF800 is red, 0x07E0 green, 0x001F blue. Places count from the upper left."""

import time

from thing.font import columns

_SWRESET, _SLPIN, _SLPOUT, _NORON, _INVON = 0x01, 0x10, 0x11, 0x13, 0x21
_DISPOFF, _DISPON, _CASET, _RASET, _RAMWR = 0x28, 0x29, 0x2A, 0x2B, 0x2C
_MADCTL, _COLMOD = 0x36, 0x3A


class Panel:
    """A display of `width` x `height` pixels. `spi`: the bus; `dc`, `cs`, and `reset` where it is
    wired: output pins; `madctl`: how it is mounted; `top`: the first row of the controller's
    memory that is seen. It begins dark and black; poweron() shows it."""

    width = height = 240
    #: Whether the corners cannot be seen.
    round = False
    # What the controller wants before it is used: (command, data), ...
    _setup = ()

    def __init__(self, spi, dc, cs, reset=None, madctl=0, top=0):
        self._spi = spi
        self._dc = dc
        self._cs = cs
        self._top = top
        self._row = bytearray(2 * self.width)  # one for all that is drawn
        if reset:
            reset.off()
            time.sleep(0.02)
            reset.on()
        else:
            self._tell(_SWRESET)
        time.sleep(0.12)
        for command, data in self._setup:
            self._tell(command, data)
        self._tell(_COLMOD, b"\x55")
        self._tell(_MADCTL, bytes((madctl,)))
        self._tell(_INVON)  # as IPS glass has it
        self._tell(_NORON)
        self.fill(0)

    def poweron(self):
        """Wake the controller, and show what is drawn."""
        self._tell(_SLPOUT)
        time.sleep(0.12)
        self._tell(_DISPON)

    def poweroff(self):
        """Show nothing, and have the controller sleep. What is drawn stays."""
        self._tell(_DISPOFF)
        self._tell(_SLPIN)
        time.sleep(0.005)

    def mute(self, quiet):
        """Show nothing for a while, or again what is drawn; quicker than poweroff()."""
        self._tell(_DISPOFF if quiet else _DISPON)

    def fill(self, color, x=0, y=0, w=None, h=None):
        """Fill a rectangle, all without one; what is beyond the edges is left out."""
        w = min(self.width, self.width if w is None else x + w) - max(x, 0)
        h = min(self.height, self.height if h is None else y + h) - max(y, 0)
        if w < 1 or h < 1:
            return
        line = bytes((color >> 8, color & 255)) * w
        self._window(max(x, 0), max(y, 0), w, h)
        for _ in range(h):
            self._spi.write(line)
        self._cs.on()

    def string(self, text, x, y, color=0xFFFF, back=0, scale=2):
        """Draw a line of text, 7 * `scale` pixels high, and the last column left out (6 * len -
        1) * `scale` wide, on `back`; characters that do not fit are left out. Steps of slants are
        filled up, so that large letters look smooth."""
        glyphs = bytes(1) + columns(text)
        n = min(len(glyphs) - 2, (self.width - x + scale) // (6 * scale) * 6 - 1)
        if n < 1 or x < 0 or y < 0 or y + 7 * scale > self.height:
            return
        on = bytes((color >> 8, color & 255)) * scale
        off = bytes((back >> 8, back & 255)) * scale
        wide = 2 * scale
        row = memoryview(self._row)[: n * wide]
        self._window(x, y, n * scale, 7 * scale)
        for i in range(7 * scale):
            bit = 1 << i // scale
            # How far a corner reaches into this line of the pixel: from above, and from below
            high = (scale - 1 - i % scale) * 2
            low = i % scale * 2
            at = 0
            for j in range(1, n + 1):
                c = glyphs[j]
                if c & bit:
                    row[at : at + wide] = on
                else:
                    row[at : at + wide] = off
                    left = glyphs[j - 1]
                    right = glyphs[j + 1]
                    for near, size in ((bit >> 1, high), (bit << 1, low)):
                        if size and c & near:
                            if left & bit and not left & near:
                                row[at : at + size] = on[:size]
                            if right & bit and not right & near:
                                row[at + wide - size : at + wide] = on[:size]
                at += wide
            self._spi.write(row)
        self._cs.on()

    def image(self, stream):
        """Fill all of it with the pixels that come out of a stream: row by row, two bytes each,
        the upper one first. Raises OSError where it ends too early, or cannot be read."""
        row = self._row
        self._window(0, 0, self.width, self.height)
        try:
            for _ in range(self.height):
                if stream.readinto(row) != len(row):
                    raise OSError("too short")
                self._spi.write(row)
        finally:
            self._cs.on()

    def _window(self, x, y, w, h):
        # The pixels that follow go there; the chip stays selected
        y += self._top
        for command, first, size in ((_CASET, x, w), (_RASET, y, h)):
            last = first + size - 1
            self._tell(command, bytes((first >> 8, first & 255, last >> 8, last & 255)))
        self._begin(_RAMWR)

    def _begin(self, command):
        self._dc.off()
        self._cs.off()
        self._spi.write(bytes((command,)))
        self._dc.on()

    def _tell(self, command, data=b""):
        self._begin(command)
        if data:
            self._spi.write(data)
        self._cs.on()
