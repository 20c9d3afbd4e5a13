"""The ST7789V: see controller.py."""

from chips.controller import Controller


class ST7789(Controller):
    """With its memory of 240 x 320."""
