"""The parts of the simulated `machine` that touch the whole board: reset, watchdog and clock."""

import _thread
import sys
import time

import power

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

# A reset leaves its cause here for the next start
_CAUSE = "reset.txt"
# How often the watchdog looks whether the program has ended
_LOOK_MS = 20


def _ticks_ms():
    return time.monotonic_ns() // 1_000_000


def _ticks_diff(a, b):
    return a - b


def _sleep_ms(ms):
    time.sleep(ms / 1000)


if hasattr(time, "ticks_ms"):
    _ticks_ms, _ticks_diff, _sleep_ms = time.ticks_ms, time.ticks_diff, time.sleep_ms


def _last_cause():
    try:
        with open(_CAUSE, "r+") as f:
            cause = int(f.read(1))
            f.seek(0)
            f.write(str(PWRON_RESET))  # a later start is a new one
            return cause
    except (OSError, ValueError):
        return PWRON_RESET


_cause = _last_cause()


def _reset(cause):
    with open(_CAUSE, "w") as f:
        f.write(str(cause))
    power.reset()


def reset():
    """As machine.reset: print "reset", and end at once with exit code 3."""
    print("reset")
    _reset(HARD_RESET)


def reset_cause():
    """As machine.reset_cause: why this start happened."""
    return _cause


class WDT:
    """As machine.WDT: it cannot be stopped. Not fed for `timeout` ms, whatever the program is
    doing, the board prints "watchdog: reset" and ends at once with exit code 3."""

    def __init__(self, id=0, timeout=5000):
        if timeout < 1:
            raise ValueError("timeout")
        self._fed = fed = [_ticks_ms()]
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
            print("watchdog: reset")
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
        print("clock: {}-{:02d}-{:02d} {:02d}:{:02d}:{:02d}".format(*new[:3], *new[4:7]))
        if hasattr(time, "set_clock"):
            time.set_clock(new[0], new[1], new[2], new[4], new[5], new[6])
        return None
