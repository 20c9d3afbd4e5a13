"""The GC9A01 (Galaxycore), 240 x 240 pixels, behind round glass."""

from drivers.panel import Panel


class GC9A01(Panel):
    """As Panel."""

    round = True
    _setup = (
        # Both together open the registers that follow
        (0xFE, b""),
        (0xEF, b""),
        # Voltages: VREG1A, VREG1B, VREG2A
        (0xC3, b"\x13"),
        (0xC4, b"\x13"),
        (0xC9, b"\x22"),
        # Gamma
        (0xF0, b"\x45\x09\x08\x08\x26\x2a"),
        (0xF1, b"\x43\x70\x72\x36\x37\x6f"),
        (0xF2, b"\x45\x09\x08\x08\x26\x2a"),
        (0xF3, b"\x43\x70\x72\x36\x37\x6f"),
    )

    def __init__(self, spi, dc, cs, reset=None, madctl=0x08):
        # Red and blue are exchanged behind this glass
        super().__init__(spi, dc, cs, reset, madctl)
