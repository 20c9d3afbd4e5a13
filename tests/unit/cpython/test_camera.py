"""The simulated camera's pictures, decoded by Pillow, and the camera of a Linux computer."""

import sys
from importlib import import_module
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from host_tools.lab import device
from host_tools.linux import camera as linux
from host_tools.linux.errors import HardwareError

SIMULATED = Path(device.__file__).parent / "simulated"


@pytest.fixture
def simulated(monkeypatch, tmp_path):
    """The simulated module `camera`, in a folder of its own."""
    monkeypatch.syspath_prepend(SIMULATED)
    monkeypatch.chdir(tmp_path)
    yield import_module("camera")
    for name in ("camera", "pattern"):
        del sys.modules[name]


def decoded(frame):
    image = Image.open(BytesIO(frame))
    image.load()  # raises for what is cut short
    assert (image.format, image.mode) == ("JPEG", "RGB")
    return image


def apart(a, b):
    """How far two pictures are apart, 0 to 255."""
    return max(ImageStat.Stat(ImageChops.difference(a, b)).mean)


def number_on(image, digits):
    """The number that stands in the picture."""
    light = image.convert("L")
    found = 0
    for i in range(6):
        bits = 0
        for k in range(15):
            at = 16 + 16 * i + k % 3 * 4 + 2, image.height - 24 + k // 3 * 4 + 2
            bits = bits << 1 | (light.getpixel(at) > 128)
        found = found * 10 + digits.index(bits)
    return found


def test_frames_are_pictures_of_their_size_and_quality(simulated):
    lengths = {}
    for name, size, qualities in (
        ("QQVGA", (160, 120), (0, 30, 85, 100)),
        ("VGA", (640, 480), (85,)),
        ("SVGA", (800, 600), (85,)),
    ):
        for quality in qualities:
            camera = simulated.Camera(
                frame_size=getattr(simulated.FrameSize, name), jpeg_quality=quality
            )
            frame = camera.capture()
            assert decoded(frame).size == size
            assert (camera.get_pixel_width(), camera.get_pixel_height()) == size
            lengths[name, quality] = len(frame)
    small = [lengths["QQVGA", quality] for quality in (0, 30, 85, 100)]
    assert sorted(set(small)) == small
    assert 55_000 < lengths["VGA", 85] < 65_000
    assert small[2] * 10 < lengths["VGA", 85] < lengths["SVGA", 85]


def test_each_frame_has_its_number_and_another_scene(simulated):
    digits = import_module("pattern")._DIGITS
    camera = simulated.Camera(frame_size=simulated.FrameSize.HVGA)
    first = decoded(camera.capture())
    for number in range(2, 12):
        image = decoded(camera.capture())
        assert number_on(image, digits) == number
    sky = (0, 0, 480, 90)
    assert 0 < apart(first.crop(sky), image.crop(sky)) < 30  # the sun has moved


def test_mirrored_and_upside_down(simulated):
    def seen(*turned):
        camera = simulated.Camera(frame_size=simulated.FrameSize.QVGA)
        camera.set_hmirror(turned[0])
        camera.set_vflip(turned[1])
        return decoded(camera.capture())

    as_it_is = seen(False, False)
    for turned, undo in (
        ((True, False), Image.Transpose.FLIP_LEFT_RIGHT),
        ((False, True), Image.Transpose.FLIP_TOP_BOTTOM),
        ((True, True), Image.Transpose.ROTATE_180),
    ):
        image = seen(*turned)
        assert apart(image, as_it_is) > 20
        assert (
            apart(image.transpose(undo).crop((0, 0, 320, 200)), as_it_is.crop((0, 0, 320, 200)))
            < 1
        )


def test_a_frame_is_good_until_it_is_freed(simulated):
    camera = simulated.Camera()
    frame = camera.capture()
    kept = bytes(frame)
    camera.free_buffer()
    assert bytes(frame) != kept
    camera.set_hmirror(True)
    camera.reconfigure(frame_size=simulated.FrameSize.QQVGA)
    assert camera._set == [85, False, False]
    assert decoded(camera.capture()).size == (160, 120)
    Path("no_picture").touch()
    assert camera.capture() is None
    Path("no_picture").unlink()
    camera.deinit()
    for refused in (camera.capture, lambda: camera.set_quality(50)):
        with pytest.raises(OSError):
            refused()
    camera.init()
    assert camera.capture()
    for options in ({"jpeg_quality": 101}, {"pixel_format": 0}, {"frame_size": 99}):
        with pytest.raises(ValueError):
            simulated.Camera(**options)


# Linux


def test_one_line_where_there_is_no_camera(tmp_path):
    with pytest.raises(HardwareError) as e:
        linux.Camera(device=str(tmp_path / "video9"))
    assert str(e.value) == f"there is no camera: {tmp_path}/video9: No such file or directory"
    (tmp_path / "video9").touch()
    with pytest.raises(HardwareError, match=r"^there is no camera: .*/video9: .+$"):
        linux.Camera(device=str(tmp_path / "video9"))
    if not list(Path("/dev").glob("video*")):
        with pytest.raises(
            HardwareError, match=r"^there is no camera: picamera2 .*, and there is"
        ):
            linux.Camera()


class Kernel:
    """Where frames come from, as picamera2 and V4L2 are used."""

    def __init__(self):
        self.data = b"\xff\xd8 a picture"
        self.set_to = []
        self.rests = 0

    def set(self, *what):
        self.set_to.append(what)
        return what[:2]

    def frame(self):
        return self.data

    def rest(self):
        self.rests += 1

    def close(self):
        pass


def test_the_api_on_linux(monkeypatch):
    kernel = Kernel()
    monkeypatch.setattr(linux, "_open", lambda device: kernel)
    # As the app makes it, and a program for a board
    camera = linux.Camera(
        pixel_format=linux.PixelFormat.JPEG,
        frame_size=linux.FrameSize.VGA,
        fb_count=1,
        grab_mode=linux.GrabMode.LATEST,
        xclk_pin=10,
    )
    assert kernel.set_to == [(640, 480, 85, False, False)]
    assert bytes(camera.capture()) == kernel.data
    kernel.data = None
    assert camera.capture() is None
    camera.free_buffer()
    assert kernel.rests == 1
    camera.set_quality(85)
    camera.set_hmirror(False)
    assert len(kernel.set_to) == 1
    camera.set_quality(50)
    camera.set_vflip(True)
    assert kernel.set_to[1:] == [(640, 480, 50, False, False), (640, 480, 50, False, True)]
    camera.reconfigure(frame_size=linux.FrameSize.SVGA)
    assert kernel.set_to[3] == (800, 600, 50, False, False)
    assert (camera.get_pixel_width(), camera.get_pixel_height()) == (800, 600)
    assert camera.get_frame_size() == linux.FrameSize.SVGA
    camera.deinit()
    with pytest.raises(OSError):
        camera.capture()
    for wrong in ({"pixel_format": 3}, {"frame_size": 77}, {"jpeg_quality": 101}):
        with pytest.raises(ValueError):
            linux.Camera(**wrong)


def test_mjpeg_becomes_a_jpeg_that_says_how_it_is_turned():
    file = BytesIO()
    picture = Image.radial_gradient("L").convert("RGB").crop((0, 0, 200, 160))
    picture.save(file, "JPEG", quality=90)
    whole = file.getvalue()
    # A camera's MJPEG is that without the tables
    short, i = whole[:2], 2
    while whole[i : i + 2] != b"\xff\xda":
        end = i + 2 + int.from_bytes(whole[i + 2 : i + 4], "big")
        if whole[i : i + 2] != b"\xff\xc4":
            short += whole[i:end]
        i = end
    short += whole[i:]
    again = linux._complete(short)
    assert len(again) > len(short) + 400 and b"\xff\xc4" in again
    assert apart(decoded(again), decoded(whole)) == 0
    assert linux._complete(whole) == whole
    assert linux._oriented(whole, 1) == whole
    turned = decoded(linux._oriented(again, 3))
    assert turned.getexif()[0x112] == 3
    assert linux._complete(b"\xff\xd8\xff") == b"\xff\xd8\xff"
