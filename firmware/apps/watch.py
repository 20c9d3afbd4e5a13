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
clock = thing.clock
zone = thing.zone
due = {"alarm": None, "timer": None}  # "07:30"; Unix time


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


wrist = Wrist(hal, clock.uptime_s, idle)
thing.task(wrist.run)


@thing.sensor("battery", unit="%", low=15, hysteresis=5, poll=60)
def battery():
    return hal.battery.level()


@thing.sensor("charging")
def charging():
    return hal.battery.charging()


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
        try:
            h, m = text.split(":")
            when = "{:02}:{:02}".format(int(h) % 24, int(m) % 60)
        except ValueError:
            pass
        if when not in (text, "0" + text):
            raise ValueError("must be a time such as 07:30, or off")
    due["alarm"] = when
    return when or "off"


@thing.setting("timer", str, max=19, value="off")
def timer(text):
    when = None
    if text.count("-") == text.count(":") == 2:  # as it is kept
        parts = text.replace(" ", ":").replace("-", ":").split(":")
        when = zone.epoch(*parts[:5]) + int(parts[-1])
    elif text.lower() != "off":
        if clock.now() is None or not 0 < seconds(text) <= 86400:
            raise ValueError("must be up to a day, and I have to know the time")
        when = clock.now() + int(seconds(text))
    due["timer"] = when
    return local(SECOND, when) if when else "off"


@thing.command("find", params=())
async def find():
    found = asyncio.Event()
    wrist.search(found.set)
    try:
        await asyncio.wait_for(found.wait(), FIND_S)
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
    minute = warned = None
    level = thing.registry.find("battery")
    while True:
        now = clock.now()
        if now is not None:
            if due["timer"] and now >= due["timer"]:
                if now - due["timer"] < wrist.ring_s:  # not what was over before the start
                    wrist.ring("Timer", local(MINUTE))
                due["timer"] = None
                thing.registry.find("timer").value = "off"
            if now // 60 != minute:
                minute = now // 60
                if local(MINUTE) == due["alarm"]:
                    wrist.ring("Alarm", due["alarm"])
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
