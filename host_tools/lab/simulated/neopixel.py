"""`neopixel` without hardware, for either interpreter: each change prints a line, "neopixel 16:
ff8000 000000", a word a pixel."""

from outside import say


class NeoPixel:
    """As neopixel.NeoPixel."""

    ORDER = (1, 0, 2, 3)

    def __init__(self, pin, n, bpp=3, timing=1):
        self.pin = pin
        self.n = n
        self.bpp = bpp
        self.buf = bytearray(n * bpp)
        self._shown = None

    def __len__(self):
        return self.n

    def __setitem__(self, i, color):
        for k in range(self.bpp):
            self.buf[i * self.bpp + self.ORDER[k]] = color[k]

    def __getitem__(self, i):
        return tuple([self.buf[i * self.bpp + self.ORDER[k]] for k in range(self.bpp)])

    def fill(self, color):
        """Set all pixels."""
        for i in range(self.n):
            self[i] = color

    def write(self):
        """Show what was set."""
        said = " ".join(["".join(["{:02x}".format(v) for v in self[i]]) for i in range(self.n)])
        if said != self._shown:
            self._shown = said
            say("neopixel {}: {}".format(self.pin.id, said))
