"""MicroPython's `time` with the clock of a board: whole seconds, UTC, and wrong until it is set.
CPython's own cannot be replaced by a file: see sitecustomize.py."""

import boardclock
import utime
from utime import *  # noqa: F403


def time():
    """As time.time: seconds since 1970."""
    return int(utime.time()) + boardclock.offset_s


def time_ns():
    """As time.time_ns."""
    return utime.time_ns() + boardclock.offset_s * 1_000_000_000


def gmtime(secs=None):
    """As time.gmtime: (year, month, day, hours, minutes, seconds, weekday, day of the year)."""
    return utime.gmtime(time() if secs is None else secs)[:8]


localtime = gmtime


def mktime(t):
    """As time.mktime."""
    return boardclock.seconds(*t[:6])


def set_clock(*moment):
    """The simulated RTC's: it is `moment` now."""
    boardclock.set_to(utime.time(), *moment)


boardclock.start(utime.time())
