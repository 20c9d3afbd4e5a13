"""The ST7789V (Sitronix), 240 x 240 pixels."""

from drivers.panel import Panel

#: Mounted upside down: `madctl`, and `top` of its memory's 320 rows.
TURNED = {"madctl": 0xC0, "top": 80}


class ST7789(Panel):
    """As Panel; all that it needs are the commands that it shares with others."""
