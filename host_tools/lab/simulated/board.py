"""The parts of the simulated `machine` that touch the whole board: reset, watchdog, clock, deep
sleep and the memory that survives it. With {"sleep": {"port": "rp2"}} in board.json there is no
such memory and no wake_reason(), and deep sleep ends as by the watchdog."""

import _thread
import json
import os
import sys
import time

import power
from outside import path, say
from ticks import sleep_ms as _sleep_ms
from ticks import ticks_diff as _ticks_diff
from ticks import ticks_ms as _ticks_ms

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

PIN_WAKE = EXT0_WAKE = 2
EXT1_WAKE = 3
TIMER_WAKE = 4
TOUCHPAD_WAKE = 5

_WAKES = {"pin": PIN_WAKE, "touch": TOUCHPAD_WAKE}
# What deep sleep leaves for the lab's Device, in ms, and what that leaves for the next start
_SLEEP = "deepsleep.txt"
_WAKE = "wake.txt"
_MEMORY = "rtc.bin"
_MEMORY_BYTES = 2048
_ID = "020000000001"
_hz = 160_000_000

# A reset leaves its cause here for the next start
_CAUSE = "reset.txt"
# How often the watchdog looks whether the program has ended
_LOOK_MS = 20


def _last_cause():
    try:
        with open(path(_CAUSE), "r+") as f:
            cause = int(f.read(1))
            f.seek(0)
            f.write(str(PWRON_RESET))  # a later start is a new one
            return cause
    except (OSError, ValueError):
        return PWRON_RESET


def _port():
    try:
        with open(path("board.json")) as f:
            return json.load(f).get("sleep", {}).get("port")
    except (OSError, ValueError):
        return None


_cause = _last_cause()
if _cause == PWRON_RESET:
    try:
        os.remove(path(_MEMORY))
    except OSError:
        pass


def _reset(cause):
    with open(path(_CAUSE), "w") as f:
        f.write(str(cause))
    power.reset()


def reset():
    """As machine.reset: print "reset", and end at once with exit code 3."""
    say("reset")
    _reset(HARD_RESET)


def soft_reset():
    """As machine.soft_reset: a VirtualBoard starts its program again."""
    power.stop(power.SOFT)


def bootloader(timeout_ms=0):
    """As machine.bootloader: a VirtualBoard stops in the one that its chip has."""
    power.stop(power.LOADER)


def unique_id():
    """As machine.unique_id: what board.json says in hex, {"id": "e66138935f4f"}."""
    try:
        with open(path("board.json")) as f:
            return bytes.fromhex(json.load(f).get("id", _ID))
    except (OSError, ValueError):
        return bytes.fromhex(_ID)


def freq(hz=None):
    """As machine.freq: what was set, in Hz, and 160 MHz at first."""
    global _hz
    if hz is None:
        return _hz
    _hz = hz
    return None


def idle():
    """As machine.idle."""
    _sleep_ms(1)


def lightsleep(time_ms=None):
    """As machine.lightsleep; only a time ends it."""
    _sleep_ms(time_ms or 0)


def disable_irq():
    """As machine.disable_irq: there are none."""
    return 0


def enable_irq(state):
    """As machine.enable_irq."""


def reset_cause():
    """As machine.reset_cause: why this start happened."""
    return _cause


def deepsleep(time_ms=None):
    """As machine.deepsleep: print "deepsleep: 900000 ms", and end at once with exit code 4."""
    with open(path(_SLEEP), "w") as f:
        f.write(str(time_ms or 0))
    say("deepsleep: {} ms".format(time_ms))
    with open(path(_CAUSE), "w") as f:
        f.write(str(WDT_RESET if _port() == "rp2" else DEEPSLEEP_RESET))
    power.sleep()


def wake_reason():
    """As machine.wake_reason of an ESP32: what ended the deep sleep, 0 after another start."""
    if _cause != DEEPSLEEP_RESET:
        return 0
    with open(path(_WAKE)) as f:
        return _WAKES.get(f.read(), TIMER_WAKE)


# What the last one was fed at
_fed = None


class WDT:
    """As machine.WDT: it cannot be stopped, but another one takes its place. Not fed for `timeout`
    ms, whatever the program is doing, the board prints "watchdog: reset" and ends at once with
    exit code 3."""

    def __init__(self, id=0, timeout=5000):
        global _fed
        if timeout < 1:
            raise ValueError("timeout")
        if _fed:
            _fed[0] = None
        _fed = self._fed = fed = [_ticks_ms()]
        _thread.start_new_thread(_watch, (fed, timeout))
        if hasattr(sys, "atexit"):
            before = sys.atexit(lambda: _release(fed, before))

    def feed(self):
        """Put the reset off by another `timeout` ms."""
        self._fed[0] = _ticks_ms()


def _watch(fed, timeout):
    # It runs beside a loop that is blocked, and allocates nothing until the end
    now, diff, sleep = _ticks_ms, _ticks_diff, _sleep_ms
    while (last := fed[0]) is not None:
        left = timeout - diff(now(), last)
        if left <= 0:
            say("watchdog: reset")
            _reset(WDT_RESET)
        sleep(min(left, _LOOK_MS))
    fed.append(None)


def _release(fed, before):
    # MicroPython would cancel the thread at the program's end, for which libgcc must be there
    fed[0] = None
    while len(fed) < 2:
        _sleep_ms(1)
    if before:
        before()


class RTC:
    """As machine.RTC: the clock in UTC. Where the board started without knowing the time (see
    Device's `board`), setting it sets time.time() too; otherwise it only says what was set."""

    def __init__(self, id=0):
        pass

    def datetime(self, new=None):
        """Without `new`: (year, month, day, weekday, hours, minutes, seconds, subseconds);
        with such a tuple: set the clock, and print "clock: 2026-11-22 10:27:00"."""
        if new is None:
            t = time.gmtime()
            return (t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0)
        say("clock: {}-{:02d}-{:02d} {:02d}:{:02d}:{:02d}".format(*new[:3], *new[4:7]))
        if hasattr(time, "set_clock"):
            time.set_clock(new[0], new[1], new[2], new[4], new[5], new[6])
        return None

    def memory(self, data=None):
        """Without `data` what was kept, b"" after power on; with it, keep bytes. Raises ValueError
        for more than 2048."""
        if data is not None:
            if len(data) > _MEMORY_BYTES:
                raise ValueError("buffer too long")
            with open(path(_MEMORY), "wb") as f:
                f.write(data)
            return None
        try:
            with open(path(_MEMORY), "rb") as f:
                return f.read()
        except OSError:
            return b""


if _port() == "rp2":
    del RTC.memory, wake_reason
