"""`camera` without hardware, for either interpreter: the part of micropython-camera-API that takes
JPEGs. Its frames show a scene that moves (see `pattern`), and on MicroPython they lie where a
board has them: outside of the heap that is collected.

As there: a frame is good until free_buffer(), the next capture() or reconfigure() (then it is
spoilt on purpose), and reconfigure() forgets the mirroring. While there is a file `no_picture`
(see `outside`), capture() returns None, as it does when the sensor does not answer."""

import os

from outside import path
from pattern import Pattern

# width, height by frame size
_SIZES = {
    1: (160, 120),
    6: (320, 240),
    8: (400, 296),
    9: (480, 320),
    10: (640, 480),
    11: (800, 600),
    12: (1024, 768),
    13: (1280, 720),
    14: (1280, 1024),
    15: (1600, 1200),
}


class FrameSize:
    """As camera.FrameSize, without the odd ones."""

    QQVGA = 1
    QVGA = 6
    CIF = 8
    HVGA = 9
    VGA = 10
    SVGA = 11
    XGA = 12
    HD = 13
    SXGA = 14
    UXGA = 15


class PixelFormat:
    """As camera.PixelFormat; there is only this one."""

    JPEG = 4


class GrabMode:
    """As camera.GrabMode."""

    WHEN_EMPTY = 0
    LATEST = 1


def _outside(size):
    # Memory that the garbage collector does not know, as a board's PSRAM
    try:
        import ffi
        from uctypes import bytearray_at
    except ImportError:
        return bytearray(size)
    at = ffi.open("libc.so.6").func("p", "malloc", "I")(size)
    if not at:
        raise MemoryError
    return bytearray_at(at, size)


class Camera:
    """As camera.Camera; what it need not know here it takes, too."""

    def __init__(
        self,
        pixel_format=4,
        frame_size=6,
        jpeg_quality=85,
        fb_count=1,
        grab_mode=0,
        init=True,
        **pins,
    ):
        if not 0 <= jpeg_quality <= 100:
            raise ValueError("jpeg quality must be in range 0-100")
        if pixel_format != 4 or frame_size not in _SIZES:
            raise ValueError("only JPEGs are simulated, and of few sizes")
        self._size = frame_size
        self._set = [jpeg_quality, False, False]
        self._buffer = self._pattern = None
        self._length = self._taken = 0
        self._ready = False
        if init:
            self.init()

    def init(self):
        """Begin to take pictures."""
        self._ready = True
        self._prepare()

    def _prepare(self):
        if self._pattern is None:
            width, height = _SIZES[self._size]
            # Twice what the driver takes: nobody's quality is too good here. It is never given
            # back, as a camera has few sizes
            size = width * height * 2 // 5
            if self._buffer is None or len(self._buffer) < size:
                self._buffer = _outside(size)
            self._pattern = Pattern(width, height, *self._set)

    def deinit(self):
        """Take no more of them."""
        self.free_buffer()
        self._ready = False

    def reconfigure(self, frame_size=None, pixel_format=None, grab_mode=None, fb_count=None):
        """Begin anew, with another size."""
        self._change(1, False)
        self._change(2, False)
        self.free_buffer()
        if frame_size is not None:
            self._size = frame_size
        self._pattern = None
        self._prepare()

    def _change(self, i, value):
        if not self._ready:
            raise OSError(2)
        if self._set[i] != value:
            self._set[i] = value
            self._pattern = None

    def capture(self):
        """The next picture, as a memoryview; None where there is none."""
        if not self._ready:
            raise OSError(2)
        self.free_buffer()
        try:
            os.stat(path("no_picture"))
            return None
        except OSError:
            pass
        self._prepare()
        self._taken += 1
        self._length = self._pattern.draw(self._buffer, self._taken)
        return memoryview(self._buffer)[: self._length]

    def free_buffer(self):
        """The frame is no longer needed."""
        for i in range(0, self._length, 64):
            self._buffer[i] = 0
        self._length = 0

    def get_quality(self):
        """In percent."""
        return self._set[0]

    def set_quality(self, value):
        """In percent; the next picture has it."""
        self._change(0, value)

    def get_frame_size(self):
        """One of FrameSize."""
        return self._size

    def get_pixel_width(self):
        """In pixels."""
        return _SIZES[self._size][0]

    def get_pixel_height(self):
        """In pixels."""
        return _SIZES[self._size][1]

    def set_hmirror(self, value):
        """Whether left is right."""
        self._change(1, value)

    def set_vflip(self, value):
        """Whether it stands on its head."""
        self._change(2, value)
