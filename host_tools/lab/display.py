"""What is to be seen on a simulated device's display, as a picture; and the watches' wiring."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageDraw

from .device import Device
from .errors import LabError

SIZE = 240

_HEAD = struct.Struct(">BBBxHH")
_AWAKE, _ON, _INVERTED = 1, 2, 4
_MIRROR_Y, _MIRROR_X, _BGR = 0x80, 0x40, 0x08


@dataclass(frozen=True)
class Watch:
    """A board of boards/: how its display is mounted and wired, and its other chips, as chips.json
    has them. `bgr`: red and blue are exchanged behind the glass."""

    controller: dict[str, int]
    chips: dict[str, dict[str, Any]]
    name: str
    turned: bool = False
    round: bool = False
    bgr: bool = False

    def soldered(self, **values: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Return the board's chips, with `values` that they measure, for Device."""
        all_chips = {self.name: dict(self.controller), **self.chips}
        return {chip: {**wiring, **values.get(chip, {})} for chip, wiring in all_chips.items()}


#: The watches, by their folder in boards/.
WATCHES = {
    "t-watch-2020": Watch(
        {"cs": 5, "dc": 27, "light": 12},
        {
            "axp202": {"sda": 21},
            "bma423": {"sda": 21},
            "pcf8563": {"sda": 21},
            "ft6x36": {"sda": 23},
        },
        "st7789",
        turned=True,
    ),
    "t-watch-s3": Watch(
        {"cs": 12, "dc": 38, "light": 45},
        {
            "axp2101": {"sda": 10},
            "bma423": {"sda": 10},
            "pcf8563": {"sda": 10},
            "drv2605": {"sda": 10},
            "ft6x36": {"sda": 39},
        },
        "st7789",
        turned=True,
    ),
    "waveshare-1.28": Watch(
        {"cs": 9, "dc": 8, "light": 2, "reset": 14},
        {"cst816s": {"sda": 6}, "qmi8658": {"sda": 6}, "adc": {"1": 1_300_000}},
        "gc9a01",
        round=True,
        bgr=True,
    ),
}


def watch_of(board: str) -> Watch:
    """Return the Watch of a folder in boards/. Raises LabError."""
    try:
        return WATCHES[board]
    except KeyError:
        raise LabError(f"{board}: the lab has no such watch: {', '.join(WATCHES)}") from None


def picture(device: Device | Path, board: str) -> Image.Image:
    """Return what is seen on the display of the device, or of the one in a folder, which is a
    `board`: SIZE x SIZE, RGB; black where the controller or the light is off. Raises LabError
    where there is no display."""
    watch = watch_of(board)
    folder = device.folder if isinstance(device, Device) else device
    file = folder / "display.raw"
    try:
        data = file.read_bytes()
        state, madctl, light, columns, rows = _HEAD.unpack_from(data)
    except (OSError, struct.error):
        raise LabError(f"{file}: there is no display") from None
    pixels = data[_HEAD.size :]
    if len(pixels) != columns * rows * 2:
        raise LabError(f"{file}: not {columns} x {rows} pixels")
    if not (state & _AWAKE and state & _ON and light):
        return Image.new("RGB", (SIZE, SIZE))
    swapped = bytearray(len(pixels))
    swapped[::2], swapped[1::2] = pixels[1::2], pixels[::2]
    memory = Image.frombytes("RGB", (columns, rows), bytes(swapped), "raw", "BGR;16")
    if madctl & _MIRROR_X:
        memory = memory.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if madctl & _MIRROR_Y:
        memory = memory.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    seen = memory.crop((0, 0, SIZE, SIZE))
    if bool(madctl & _BGR) != watch.bgr:
        red, green, blue = seen.split()
        seen = Image.merge("RGB", (blue, green, red))
    if not state & _INVERTED:
        seen = ImageChops.invert(seen)
    if watch.turned:
        seen = seen.transpose(Image.Transpose.ROTATE_180)
    if watch.round:
        glass = Image.new("L", (SIZE, SIZE))
        ImageDraw.Draw(glass).ellipse((0, 0, SIZE - 1, SIZE - 1), fill=255)
        seen = Image.composite(seen, Image.new("RGB", (SIZE, SIZE)), glass)
    return seen


def same(one: Image.Image, other: Image.Image) -> bool:
    """Return whether two pictures have the same pixels."""
    return one.size == other.size and not ImageChops.difference(one, other).getbbox()
