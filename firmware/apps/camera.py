"""A camera: photos when somebody asks, when something moves while it is armed, and every so often.
For MicroPython with micropython-camera-API, and for Linux: see docs/camera.md."""

import asyncio

from camera import Camera, FrameSize, PixelFormat
from machine import Pin
from thing import Thing
from thing.clock import stamp
from thing.files import File
from thing.registry import Param, seconds

FLASH_PIN, PIR_PIN = 4, 13
SIZES = ("QVGA", "VGA", "SVGA", "XGA", "UXGA")
LIGHT_S = 0.3  # the flash before the shot: the exposure follows it
MIN_EVERY_S, MAX_PHOTOS = 2, 500  # of a time lapse

thing = Thing()
light, pir = Pin(FLASH_PIN, Pin.OUT, value=0), Pin(PIR_PIN, Pin.IN)
lock = asyncio.Lock()  # held from the shot until it was sent: the buffer has one frame
told = -86400  # uptime in seconds of the last alert
plan = None  # of the time lapse: (photos to go, seconds between them, uptime of the next)
try:
    camera = Camera(pixel_format=PixelFormat.JPEG, frame_size=FrameSize.VGA, fb_count=1)
except Exception as e:  # who asks for a photo is told
    camera = None
    thing.fault("camera", e)

thing.setting("size", SIZES, value="VGA")(lambda name: None)
thing.setting("quality", int, min=10, max=95, unit="%", value=85)(lambda percent: None)
thing.setting("rotate", ("0", "180"), value="0")(lambda angle: None)
thing.setting("flash", ("off", "on", "auto"), value="off")(lambda when: light.value(when == "on"))
thing.setting("armed", bool, value=False)(lambda on: None)  # builtin: is told who says so
thing.command("arm", params=(), builtin=True)(lambda asker: thing.run_line("armed on", asker))
thing.command("disarm", params=(), builtin=True)(lambda asker: thing.run_line("armed off", asker))
thing.setting("pause", int, min=1, max=86400, unit="s", value=60)(lambda time: None)
thing.occupancy("motion", hold=30, delta=None)(pir.value)
intruder = thing.event("intruder", text="something moves", alarm=True)


def value(name):
    return thing.registry.find(name).value


def free():
    lock.release()  # first: a camera that was pulled out fails here, too
    camera.free_buffer()


@thing.command("snap", params=(Param("size", SIZES, default=None),))
async def snap(size=None, text=""):
    if not camera:
        raise OSError("there is no camera")
    await lock.acquire()
    try:
        camera.init()  # where reconfigure() failed
        size = getattr(FrameSize, size or value("size"))
        if camera.get_frame_size() != size:
            camera.reconfigure(frame_size=size)
        camera.set_quality(value("quality"))
        camera.set_hmirror(value("rotate") == "180")
        camera.set_vflip(value("rotate") == "180")
        if value("flash") == "auto":
            light.on()
            await asyncio.sleep(LIGHT_S)
        camera.capture()  # what waits in the driver is older than the question
        photo = camera.capture()
        if not photo:
            raise OSError("the camera gives no picture")
        name = stamp(thing.clock.now() or 0).replace(":", "") + ".jpg"
        size = camera.get_pixel_width(), camera.get_pixel_height()
        return File(name, "image/jpeg", photo, text, *size, done=free)
    except BaseException:
        free()
        raise
    finally:
        light.value(value("flash") == "on")


@thing.command("timelapse", params=(Param("plan", max=40, default=None),))
def timelapse(text=""):
    global plan
    every, _, whole = text.lower().partition(" for ")
    if every == "stop":
        plan = None
    elif every:
        every = seconds(every.replace("every", ""))
        photos = int(seconds(whole) // every) if whole and every >= MIN_EVERY_S else 0
        if not 0 < photos <= MAX_PHOTOS:
            text = "must be like every 10m for 2h: 1 to {} photos, {} s apart at least"
            raise ValueError(text.format(MAX_PHOTOS, MIN_EVERY_S))
        plan = photos, every, thing.clock.uptime_s()
    return "{} to go".format(plan[0]) if plan else "none"


def asleep(hours):
    if hours.lower() == "off":
        return False
    try:
        times = [part.split(":") for part in hours.split("-")]
        begin, end = [(int(h), int(m)) for h, m in times if int(h) < 24 and int(m) < 60]
    except ValueError:
        raise ValueError("must be like 22:00-07:00, or off, not " + hours)
    now = thing.clock.now()
    t = tuple(thing.zone.local(now or 0)[3:5])
    return now and (begin <= t < end if begin < end else not end <= t < begin)


@thing.setting("quiet", str, max=20, value="off")
def quiet(hours):
    asleep(hours)


@thing.task
async def watch():
    global told
    while True:
        await asyncio.sleep(0.5)
        await thing.read(thing.registry.find("motion"))
        now = thing.clock.uptime_s()
        if pir.value() and value("armed") and now - told >= value("pause"):
            silent = asleep(value("quiet"))  # no alarm, then: looked at again in 5 s
            told = now + 5 - value("pause") if silent else now
            if not silent:
                intruder()
                await thing.share(await snap(text="intruder"))


@thing.task
async def lapse():
    global plan
    while True:
        await asyncio.sleep(0.5)
        now = thing.clock.uptime_s()
        if plan and now >= plan[2]:
            photos, every, at = plan
            plan = (photos - 1, every, max(at + every, now)) if photos > 1 else None
            if not asleep(value("quiet")):
                await thing.share(await snap(text="timelapse, {} to go".format(photos - 1)))


thing.run()
