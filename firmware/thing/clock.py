"""Time: monotonic for all timers, and the time of day as soon as somebody knows it."""

import time

try:
    from time import ticks_diff, ticks_ms
except ImportError:

    def ticks_ms():
        """Milliseconds since some moment; only differences mean anything."""
        return int(time.monotonic() * 1000)

    def ticks_diff(a, b):
        """The milliseconds from `b` to `a`. On a board: up to six days."""
        return a - b


# Where the interpreter's own seconds begin, as Unix time: on many boards in 2000
BASE = 946684800 if time.gmtime(0)[0] == 2000 else 0
#: Before this, 2025, a clock is one that was never set.
EARLIEST = 1735689600


class Clock:
    """The device's clock. Times are Unix time, seconds since 1970 in UTC."""

    def __init__(self):
        self._ticks = ticks_ms()
        self._up_ms = 0
        self._offset = BASE

    def uptime_ms(self):
        """Milliseconds since the start. To be called every few days at least."""
        now = ticks_ms()
        self._up_ms += ticks_diff(now, self._ticks)
        self._ticks = now
        return self._up_ms

    def uptime_s(self):
        """Seconds since the start. As uptime_ms()."""
        return self.uptime_ms() // 1000

    def now(self):
        """The time, or None as long as nobody knows it."""
        now = int(time.time()) + self._offset
        return now if now >= EARLIEST else None

    def set(self, now):
        """Set the clock, and the board's own with it."""
        try:
            from machine import RTC

            t = time.gmtime(now - BASE)
            RTC().datetime((t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0))
        except (ImportError, AttributeError):  # a computer's clock is not ours to set
            pass
        self._offset = now - int(time.time())


def parse(text):
    """The time that an XEP-0082 date and time in UTC means. Raises ValueError."""
    day, _, rest = text.partition("T")
    try:
        y, m, d = [int(n) for n in day.split("-")]
        hour, minute, second = rest.rstrip("Z").split(":")
        seconds = int(hour) * 3600 + int(minute) * 60 + int(second.partition(".")[0])
    except ValueError:
        raise ValueError("no time: " + text[:32])
    # Days of years that begin in March, so that the leap day is the last
    if m < 3:
        y -= 1
        m += 12
    days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * m - 457) // 5 + d - 719469
    return days * 86400 + seconds


def stamp(when):
    """A time as XEP-0082 writes it."""
    t = time.gmtime(when - BASE)
    return "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*t[:6])
