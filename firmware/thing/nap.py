"""Falling asleep deeply, and waking up from that: what is kept, and how it is used. Loaded for it
by `sleep`.

What is kept is in RTC memory where there is any and it fits, else in the file `asleep`: `_HEAD`
(magic, version), CRC-32 of the rest, JSON. It is used once: a second start begins a new session.
"""

import asyncio
import json
import os
import struct
import sys
from binascii import crc32

from uxmpp.xml import Element

from .registry import Sensor, duration

_HEAD = b"nap\x01"
_FILE = "asleep"
#: The longest deep sleep of an RP2: its timer counts microseconds in 32 bits.
PICO_MAX_S = 3600
#: The types of a value that is kept.
_PLAIN = (bool, int, float, str)
#: What a board calls the causes of its start, and what people do.
_CAUSES = (
    ("PWRON_RESET", "power on"), ("HARD_RESET", "reset"), ("WDT_RESET", "watchdog"),
    ("SOFT_RESET", "reset by program"),
)  # fmt: skip
_WAKES = (
    ("TIMER_WAKE", "timer"), ("TOUCHPAD_WAKE", "touch"), ("ULP_WAKE", "coprocessor"),
)  # fmt: skip


def begin(sleep):
    """Say why the device started, and go on from what was kept."""
    thing = sleep.thing
    machine = _machine()
    cause = _cause(machine)
    # An RP2's deep sleep ends with a reset by its watchdog, its clock stands still meanwhile, and
    # a watchdog that runs may hang it for good
    pico = cause and not hasattr(machine, "wake_reason")
    if pico:
        thing.config["watchdog"] = False
        sleep.max_s = min(sleep.max_s, PICO_MAX_S)
    try:
        kept = _load(thing, machine)
        if kept:
            if pico and cause == "watchdog":
                cause = "timer"
            _wake(sleep, kept, cause, pico)
    except Exception as e:  # whatever another firmware left there
        thing.client.sm.id = None
        thing.client.sm.queue = []
        thing.log("what was kept asleep is not used: {}: a new session".format(e))
    if cause:
        sleep.event.value = cause
        sleep.event.when = thing.clock.uptime_s()
        thing.log("woke: " + cause)
    elif sleep.every:
        sleep.every = None
        thing.log("sleep: this is no board that can: it stays awake")


def soon(sleep, seconds):
    """As Thing.sleep()."""
    if not 0.001 <= seconds <= sleep.max_s:  # 0 ms is for ever
        raise ValueError("sleep: must be up to {} s".format(sleep.max_s))
    if not hasattr(_machine(), "deepsleep"):
        raise OSError("this is no board that can sleep")
    sleep.wish = seconds
    return _said(sleep.thing, seconds)


async def fall(sleep):
    """Tell people, cut the line in a way that the session goes on, keep what is needed, and sleep
    until the next wake. Returns where it is called off."""
    thing = sleep.thing
    client = thing.client
    used = sleep.used
    ms = _left(sleep)
    if ms is None:
        return
    told = False
    if client.online:
        from uxmpp.suspend import idle

        try:
            if await _idle(idle, sleep):
                # The server is to know what came, lest it comes again
                client.sm.heard(Element("r"))
                await thing.presence.asleep(_said(thing, ms // 1000))
                told = await _idle(idle, sleep)
            if sleep.busy or client._tasks or sleep.wish is None and sleep.used != used:
                await thing.presence.asleep(None)
                return
        except OSError:  # the line was cut: what is kept is all the same
            pass
    from uxmpp.suspend import suspend

    h = client.sm.h
    sleep.asleep = True
    sleep.line.cancel()
    try:
        while client.online:
            await asyncio.sleep(0)
        # What came at the last moment is done; what handlers have to say goes out after the sleep
        left = sleep.settle_s * 10
        while sleep.busy or client._tasks and left > 0:
            left -= 1
            await asyncio.sleep(0.1)
        if client.sm.h != h:
            # If the server ends the session, that comes again, as if it had come later
            told = False
        thing.flush()
        ms = _left(sleep) or ms
        machine = _machine()
        thing.log("asleep for " + duration(ms // 1000))
        _save(thing, machine, _kept(sleep, ms, told, suspend(client)))
        if thing.guard.wifi:
            import network

            network.WLAN(network.STA_IF).active(False)
        machine.deepsleep(ms)
    finally:
        # Nothing works here any more
        thing.restart("it could not sleep")


async def _idle(idle, sleep):
    # Whether all that was under way has arrived in time
    for _ in range(sleep.settle_s * 10):
        if idle(sleep.thing.client):
            return True
        await asyncio.sleep(0.1)
    return False


def _left(sleep):
    # Milliseconds until the next wake; None where that is too soon to sleep
    thing = sleep.thing
    up = thing.clock.uptime_ms()
    least = sleep.min_s * 1000
    if sleep.wish is not None:
        ms = least = int(sleep.wish * 1000)
    else:
        while sleep.due - up < least:
            sleep.due += int(sleep.every * 1000)
        ms = sleep.due - up
    schedule = thing.surfaces.get("schedule")
    now = thing.clock.now()
    for e in schedule.entries if schedule else ():
        left = schedule.left(e, now, up // 1000, now)
        if left is not None:
            ms = min(ms, left * 1000)
    if ms < min(least, sleep.min_s * 1000):
        return None
    return min(ms, sleep.max_s * 1000)


def _said(thing, seconds):
    # What people read of a sleep that begins now
    now = thing.clock.now()
    if now is None or seconds < 60:
        return "asleep for " + duration(int(seconds))
    text = "asleep until {3:02}:{4:02}".format(*thing.zone.local(int(now + seconds)))
    # Whose clock that is, is for the configuration to say
    return text if "timezone" in thing.config else text + " UTC"


def _machine():
    try:
        import machine

        return machine
    except ImportError:  # a computer
        return None


def _cause(machine):
    # Why the board started, in words; None where it cannot sleep
    if not hasattr(machine, "deepsleep"):
        return None
    cause = machine.reset_cause()
    for name, text in _CAUSES:
        if getattr(machine, name, None) == cause:
            return text
    if hasattr(machine, "wake_reason"):
        cause = machine.wake_reason()
        for name, text in _WAKES:
            if getattr(machine, name, None) == cause:
                return text
        return "pin"  # there are several kinds
    return "timer"


def _kept(sleep, ms, told, session):
    # All that is to survive
    thing = sleep.thing
    clock = thing.clock
    reports = thing.reports
    sensors = []
    for s in thing.registry.kind(Sensor):
        last = when, value = reports.told.get(s.name, (None, None))
        early, soon = sleep.early.get(s.name, (None, 0))
        if last is early:
            when += soon  # it was not told since
        values = [v if isinstance(v, _PLAIN) else None for v in (value, s.value)]
        sensors.append([s.name, when, s.when, s.alarmed] + values)
    schedule = thing.surfaces.get("schedule")
    return {
        "session": session, "ms": ms, "told": told, "at": clock.now(), "up": clock.uptime_ms(),
        "due": sleep.due, "drift": sleep.drift, "said": sleep.said, "sensors": sensors,
        "runs": [[e[0], e[6]] for e in schedule.entries] if schedule else [],
        "mute": reports.muted, "waiting": reports.waiting,
    }  # fmt: skip


def _wake(sleep, kept, cause, pico):
    thing = sleep.thing
    clock = thing.clock
    reports = thing.reports
    if kept["session"]:
        from uxmpp.suspend import resume

        resume(thing.client, kept["session"])
        sys.modules.pop("uxmpp.suspend")
        del sys.modules["uxmpp"].suspend
    ms = slept = kept["ms"]
    at = kept["at"]
    now = clock.now()
    # How long it slept only the clock knows, if it was not woken by the timer
    if cause != "timer" and at and now:
        slept = min(max(now - at, 0) * 1000, ms)
    ahead = kept["up"] + slept
    sleep.ahead(ahead)
    thing.lines = [(t + ahead // 1000, text) for t, text in thing.lines]
    sleep.drift = kept["drift"] + slept // 1000
    if at and (pico or now is None) and cause != "power on":
        clock.set(at + slept // 1000)
        sleep.drift += sleep.clock_s
    sleep.said = kept["said"]
    sleep.due = kept["due"]
    for name, when, read, alarmed, value, last in kept["sensors"]:
        s = thing.registry.find(name)
        if isinstance(s, Sensor):
            s.when = read
            s.alarmed = alarmed
            s.value = last
            if when is not None:
                # What falls due soon after a wake is due now: the next one would be late for it
                soon = ms // 4 if cause == "timer" else sleep.awake * 1000
                soon = min(soon, int((s.every or 0) * 250))
                told = reports.told[name] = (when - soon, value)
                sleep.early[name] = (told, soon)
    runs = dict(kept["runs"])
    schedule = thing.surfaces.get("schedule")
    for e in schedule.entries if schedule else ():
        e[6] = runs.get(e[0], e[6])
    reports.muted.update(kept["mute"])
    reports.waiting = [(t, text, alarm) for t, text, alarm in kept["waiting"]] + reports.waiting
    sleep.kept = bool(kept["session"])
    if kept["told"] and at:
        sleep.slept = (at, ms // 1000)


def _save(thing, machine, kept):
    data = json.dumps(kept).encode()
    data = _HEAD + struct.pack("<I", crc32(data)) + data
    try:
        machine.RTC().memory(data)
        return
    except (AttributeError, ValueError, OSError):  # no such memory, or not so much
        pass
    try:
        with open(thing.folder + _FILE, "wb") as f:
            f.write(data)
    except OSError as e:
        thing.log("{}: cannot be written: {}".format(_FILE, e))


def _load(thing, machine):
    # What was kept, which is gone then; None for nothing. Raises ValueError
    data = b""
    try:
        rtc = machine.RTC()
        data = bytes(rtc.memory())
        if data:
            rtc.memory(b"")
    except (AttributeError, ValueError, OSError):
        pass
    path = thing.folder + _FILE
    try:
        found = data
        if not data:
            with open(path, "rb") as f:
                found = f.read()
        os.remove(path)
        data = found  # what stays there would be used again
    except OSError:  # there is none
        pass
    if not data:
        return None
    if data[:4] != _HEAD or struct.pack("<I", crc32(data[8:])) != data[4:8]:
        raise ValueError("it is damaged")
    return json.loads(data[8:])
