"""A watch: messages, answers by a touch, an alarm, a timer, where it is. See docs/watch.md."""

import asyncio
import time

import hal
from thing import Thing
from thing.clock import BASE, parse
from thing.registry import Param, duration, seconds
from wrist import Wrist

FIND_S = 300
MINUTE = "{3:02}:{4:02}"
SECOND = "{0}-{1:02}-{2:02} {3:02}:{4:02}:{5:02}"

thing = Thing()
clock, zone = thing.clock, thing.zone
due = {"alarm": None, "timer": None, "seen": 0}  # ("07", "30"); Unix time; its minutes
looking = asyncio.Event()


def local(how, when=None):
    when = when or clock.now()
    return "--:--" if when is None else how.format(*zone.local(when))


def idle():
    date = clock.now() and zone.local(clock.now())
    try:
        count = hal.accel.steps
    except ValueError:  # it does not count them
        count = None
    level = thing.registry.find("battery").value
    return local(MINUTE), date and date[1:3] + date[6:], level, count, thing.client.online


wrist = Wrist(hal, clock.uptime_s, idle, thing.folder + "face.raw")
thing.task(wrist.run)
thing.sensor("battery", unit="%", low=15, hysteresis=5, poll=60)(hal.battery.level)
thing.sensor("charging")(hal.battery.charging)
thing.file("background", suffix=".raw", max=wrist.face_bytes, role="operator")(wrist.dress)
thing.command("face", params=(Param("off", ("off",)),))(wrist.undress)


@thing.sensor("steps")
def steps():
    return hal.accel.steps


@thing.sensor("time")
def time_here():
    return local(SECOND)


@thing.setting("alarm", str, max=5, value="off")
def alarm(text):
    when = None
    if text.lower() != "off":
        text = ("0" + text)[-5:]
        when = h, m = text[:2], text[3:]
        if text[2:3] != ":" or len(m) != 2 or not (h + m).isdigit() or h > "23" or m > "59":
            raise ValueError("must be a time such as 07:30, or off")
    due["alarm"] = when
    return text.lower()


@thing.setting("timer", str, max=19, value="off")
def timer(text):
    when = None
    now = clock.now()
    kept = text.count("-") == text.count(":") == 2
    if kept:
        y, mo, d, h, m, s = text.replace(" ", ":").replace("-", ":").split(":")
        when = zone.epoch(y, mo, d, h, m) + int(s)
    elif text.lower() != "off":
        when = (now or 0) + int(seconds(text))
    near = kept and now is None or now and when and when - 86400 <= now and (kept or when > now)
    if when is not None and not near:
        raise ValueError("must be up to a day, and I have to know the time")
    due["timer"] = when
    return local(SECOND, when) if when else "off"


@thing.command("find", params=())
async def find():
    looking.clear()
    wrist.search(looking.set)
    try:
        await asyncio.wait_for(looking.wait(), FIND_S)
        return "somebody has touched me"
    except asyncio.TimeoutError:
        wrist.search(None)
        return "nobody has touched me for " + duration(FIND_S)


def message(text, asker):
    async def answer(reply):
        await thing.say(asker.jid, reply)

    try:
        before = wrist.put(asker.person.partition("@")[0], local(MINUTE), text, answer)
    except ValueError as e:
        return str(e)
    return "Behind {} others.".format(before) if before else "It is on the display."


thing.unknown = message  # what is no word of ours


@thing.command("show", params=(Param("text", max=500),), role="viewer")
def show(text):  # what is one
    wrist.put("message", local(MINUTE), text)


@thing.task
async def watch():
    warned = None
    level = thing.registry.find("battery")
    while True:
        now = clock.now()
        if now is not None:
            if due["timer"] and now >= due["timer"]:
                if now - due["timer"] < wrist.ring_s:  # not what was over before the start
                    wrist.ring("Timer", local(MINUTE))
                thing.registry.find("timer").value = timer("off")
            minute = now // 60
            if minute != due["seen"]:
                # Summer time may leave it out, or have it twice
                at = due["alarm"] and zone.epoch(*zone.local(now)[:3] + due["alarm"]) // 60
                if at and due["seen"] < at <= minute <= at + 1:
                    wrist.ring("Alarm", local(MINUTE))
                due["seen"] = minute
                keep_time(now)
        if level.alarmed != warned:
            warned = level.alarmed
            wrist.warn(warned and level.value)
        await asyncio.sleep(1)


def keep_time(now):
    """Have the chip know the time, in UTC; or tell it: `now` is None."""
    kept = hal.rtc.get_localtime()
    kept = kept and parse("{}-{}-{}T{}:{}:{}".format(*kept))
    if now is None:
        if kept:
            clock.set(kept)
    elif kept is None or abs(kept - now) > 2:
        hal.rtc.set_localtime(time.gmtime(now - BASE))


keep_time(clock.now())
thing.run()
