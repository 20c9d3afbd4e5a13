"""`camera` for Linux: the API of micropython-camera-API over picamera2 (what a Raspberry Pi has on
its ribbon), else over V4L2 (USB cameras that give JPEGs, by linuxpy).

Frames are JPEGs, and good for as long as they are held. The camera runs from capture() to
free_buffer(): between photos it takes no power, and its light is off.
"""

import struct
import time
from contextlib import suppress
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

from .errors import HardwareError

#: Seconds from the start of the camera until its exposure is right, and the longest that a frame
#: is waited for.
SETTLE_S = 0.7
FRAME_S = 4.0

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
    16: (1920, 1080),
}
# JPEG (ITU-T T.81): markers, and the tables of section K.3, which MJPEG leaves out
_SOI, _EOI, _SOS = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
_DHT, _APP1 = b"\xff\xc4", b"\xff\xe1"
_TABLES = (
    "00 00010501010101010100000000000000 000102030405060708090a0b",
    "10 0002010303020403050504040000017d "
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25"
    "262728292a3435363738393a434445464748494a535455565758595a636465666768696a737475767778797a83"
    "8485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3"
    "d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa",
    "01 00030101010101010101010000000000 000102030405060708090a0b",
    "11 00020102040403040705040400010277 "
    "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718"
    "191a262728292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a"
    "82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9ca"
    "d2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa",
)
# Exif's orientation by (mirrored, upside down)
_ORIENTATIONS = {(False, False): 1, (True, False): 2, (True, True): 3, (False, True): 4}


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
    FHD = 16


class PixelFormat:
    """As camera.PixelFormat; there is only this one."""

    JPEG = 4


class GrabMode:
    """As camera.GrabMode: whatever it is, a frame is new."""

    WHEN_EMPTY = 0
    LATEST = 1


class _Source(Protocol):
    """A camera: `set` says what its frames are to be, and returns their real width and height;
    `frame` starts it, if need be, and returns a JPEG, None where none comes; `rest` stops it."""

    def set(
        self, width: int, height: int, quality: int, mirror: bool, flip: bool
    ) -> tuple[int, int]: ...

    def frame(self) -> bytes | None: ...

    def rest(self) -> None: ...

    def close(self) -> None: ...


class Camera:
    """As camera.Camera. `device` is which camera, where there are several: a number of picamera2,
    or a path of V4L2, "/dev/video2". What a board needs to know besides, as pins, counts for
    nothing. Raises HardwareError where there is no camera."""

    def __init__(
        self,
        *,
        pixel_format: int = PixelFormat.JPEG,
        frame_size: int = FrameSize.QVGA,
        jpeg_quality: int = 85,
        init: bool = True,
        device: int | str | None = None,
        **board: object,
    ) -> None:
        if pixel_format != PixelFormat.JPEG:
            raise ValueError("pixel_format: there is only JPEG")
        self._size = self._checked_size(frame_size)
        self._quality = self._checked_quality(jpeg_quality)
        self._turned = [False, False]
        self._device = device
        self._real = (0, 0)
        self._source: _Source | None = None
        self.init()
        if not init:
            self.deinit()

    def init(self) -> None:
        """Have the camera for oneself, if that is not so yet. Raises HardwareError."""
        if self._source is None:
            self._source = _open(self._device)
            self._set()

    def deinit(self) -> None:
        """Leave it to others."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def reconfigure(
        self,
        *,
        frame_size: int | None = None,
        pixel_format: int | None = None,
        grab_mode: int | None = None,
        fb_count: int | None = None,
    ) -> None:
        """Change the size; as there, what was mirrored is no more."""
        self._ready()
        if frame_size is not None:
            self._size = self._checked_size(frame_size)
        self._turned = [False, False]
        self._set()

    def capture(self) -> memoryview | None:
        """Return a JPEG of what is to be seen now; None where the camera gives none within
        FRAME_S. Raises OSError after deinit(), and where it was pulled out: init() looks for it
        again then."""
        try:
            data = self._ready().frame()
        except OSError:
            self.deinit()
            raise
        return memoryview(data) if data else None

    def free_buffer(self) -> None:
        """No more frames are wanted for now."""
        if self._source is not None:
            self._source.rest()

    def get_frame_size(self) -> int:
        """Return what was asked for, one of FrameSize."""
        return self._size

    def set_frame_size(self, value: int) -> None:
        """As reconfigure(), of the size alone."""
        self._size = self._checked_size(value)
        self._set()

    def get_pixel_width(self) -> int:
        """Return how wide frames are: the nearest that the camera has."""
        return self._real[0]

    def get_pixel_height(self) -> int:
        """Return how high they are."""
        return self._real[1]

    def get_quality(self) -> int:
        """Return the quality in percent."""
        return self._quality

    def set_quality(self, value: int) -> None:
        """Set it; some USB cameras have only one."""
        if value != self._quality:
            self._quality = self._checked_quality(value)
            self._set()

    def get_hmirror(self) -> bool:
        """Return whether left is right."""
        return self._turned[0]

    def set_hmirror(self, value: bool) -> None:
        """Exchange left and right. USB cameras cannot: their pictures say how they are to be
        shown (Exif)."""
        self._turn(0, value)

    def get_vflip(self) -> bool:
        """Return whether it stands on its head."""
        return self._turned[1]

    def set_vflip(self, value: bool) -> None:
        """Exchange top and bottom, likewise."""
        self._turn(1, value)

    def _turn(self, i: int, value: bool) -> None:
        if self._turned[i] != bool(value):
            self._turned[i] = bool(value)
            self._set()

    def _ready(self) -> _Source:
        if self._source is None:
            raise OSError(2, "the camera is off")
        return self._source

    def _set(self) -> None:
        self._real = self._ready().set(*_SIZES[self._size], self._quality, *self._turned)

    @staticmethod
    def _checked_size(value: int) -> int:
        if value not in _SIZES:
            raise ValueError(f"frame_size {value}: there is no such size")
        return value

    @staticmethod
    def _checked_quality(value: int) -> int:
        if not 0 <= value <= 100:
            raise ValueError("jpeg quality must be in range 0-100")
        return value


def _open(device: int | str | None) -> _Source:
    """Return the camera, or raise HardwareError, which says what was looked for."""
    tried = []
    if not isinstance(device, str):
        try:
            return _PiCamera(device or 0)
        except ImportError:
            tried.append("picamera2 is not installed")
        except (IndexError, RuntimeError) as e:
            tried.append(f"picamera2 finds none ({e})")
    if not isinstance(device, int):
        try:
            return _Video(device)
        except ImportError:
            tried.append("linuxpy is not installed (pip install 'uxmpp[linux]')")
        except HardwareError as e:
            tried.append(str(e))
    raise HardwareError("there is no camera: " + ", and ".join(tried))


class _PiCamera:
    """A camera that picamera2 has."""

    def __init__(self, number: int) -> None:
        module: Any = import_module("picamera2")
        if number >= len(module.Picamera2.global_camera_info()):
            raise IndexError(f"no camera {number}")
        self._camera = module.Picamera2(number)
        self._transform: Any = import_module("libcamera").Transform
        self._set: tuple[object, ...] = ()
        self._runs = False

    def set(
        self, width: int, height: int, quality: int, mirror: bool, flip: bool
    ) -> tuple[int, int]:
        camera = self._camera
        camera.options["quality"] = max(1, min(quality, 95))  # beyond it is only larger
        if self._set != (width, height, mirror, flip):
            self.rest()
            turned = self._transform(hflip=int(mirror), vflip=int(flip))
            main = {"size": (width, height)}
            camera.configure(camera.create_still_configuration(main=main, transform=turned))
            self._set = (width, height, mirror, flip)
        real: tuple[int, int] = camera.camera_configuration()["main"]["size"]
        return real

    def frame(self) -> bytes | None:
        if not self._runs:
            self._camera.start()
            self._runs = True
            time.sleep(SETTLE_S)
        file = BytesIO()
        self._camera.capture_file(file, format="jpeg")
        return file.getvalue()

    def rest(self) -> None:
        if self._runs:
            self._camera.stop()
            self._runs = False

    def close(self) -> None:
        self.rest()
        self._camera.close()


class _Video:
    """A camera that the kernel has as /dev/video*, and that gives JPEGs."""

    #: How many buffers the kernel fills ahead.
    BUFFERS = 2

    def __init__(self, path: str | None) -> None:
        self._v4l2: Any = import_module("linuxpy.video.device")
        paths = [Path(path)] if path else sorted(Path("/dev").glob("video*"))
        if not paths:
            raise HardwareError("there is no /dev/video*")
        tried = []
        for file in paths:
            try:
                self._device = self._opened(file)
                break
            except PermissionError:
                tried.append(f"{file}: not permitted (add the user to the group video)")
            except OSError as e:
                tried.append(f"{file}: {e.strerror or e}")
        else:
            raise HardwareError("; ".join(tried[:4]))
        self._stream: Any = None
        self._orientation = 1

    def _opened(self, file: Path) -> Any:
        v4l2 = self._v4l2
        device = v4l2.Device(file)
        try:
            device.open()
            for kind in (v4l2.PixelFormat.MJPEG, v4l2.PixelFormat.JPEG):
                for found in device.info.formats:
                    if found.type == v4l2.BufferType.VIDEO_CAPTURE and found.pixel_format == kind:
                        self._kind = kind
                        return device
            raise HardwareError("gives no JPEGs")
        except BaseException:
            device.close()
            raise

    def set(
        self, width: int, height: int, quality: int, mirror: bool, flip: bool
    ) -> tuple[int, int]:
        self._orientation = _ORIENTATIONS[mirror, flip]
        self.rest()
        kind = self._v4l2.BufferType.VIDEO_CAPTURE
        self._device.set_format(kind, width, height, self._kind)
        with suppress(KeyError, AttributeError, OSError, ValueError):  # it has one of its own
            self._device.controls["compression_quality"].value = quality
        found = self._device.get_format(kind)
        return found.width, found.height

    def frame(self) -> bytes | None:
        begin = time.monotonic()
        settle_s = 0.0
        if self._stream is None:
            stream = self._v4l2.VideoCapture(self._device, size=self.BUFFERS)
            stream.open()
            self._stream = stream
            settle_s = SETTLE_S
        reader = self._stream.buffer.frame_reader
        old = self.BUFFERS  # filled before somebody asked
        while time.monotonic() - begin < settle_s + FRAME_S:
            frame = reader.read(FRAME_S)
            old -= 1
            if frame is None:
                break
            # One that was damaged on its way has no end
            if old < 0 and time.monotonic() - begin >= settle_s and _EOI in frame.data[-64:]:
                return _oriented(_complete(bytes(frame.data)), self._orientation)
        return None

    def rest(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(OSError):  # it was pulled out
                stream.close()

    def close(self) -> None:
        self.rest()
        with suppress(OSError):
            self._device.close()


def _complete(data: bytes) -> bytes:
    """Return a JPEG with the Huffman tables that MJPEG leaves out, where they are."""
    i = 2
    while i + 4 <= len(data) and data[i] == 0xFF:
        marker = data[i : i + 2]
        if marker == _DHT:
            break
        if marker == _SOS:
            tables = bytes.fromhex("".join(_TABLES))
            return data[:i] + _DHT + struct.pack(">H", len(tables) + 2) + tables + data[i:]
        i += 2 + int.from_bytes(data[i + 2 : i + 4], "big")
    return data


def _oriented(data: bytes, orientation: int) -> bytes:
    """Return a JPEG that says how it is to be turned when it is shown (Exif): 1, as it is."""
    if orientation == 1:
        return data
    # One entry in big-endian TIFF: tag 0x112, one SHORT
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)
    return _SOI + _APP1 + struct.pack(">H", len(exif) + 2) + exif + data[2:]
