"""The simulated `machine.Timer`, for either interpreter."""

import _thread
import sys

from ticks import sleep_ms as _sleep_ms
from ticks import ticks_diff as _ticks_diff
from ticks import ticks_ms as _ticks_ms

# How often one looks whether it was stopped, or the program has ended
_LOOK_MS = 20


class Timer:
    """As machine.Timer: `callback` is called with it after `period` ms, and again and again,
    whatever the program is doing, and at the prompt."""

    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, id=-1, **options):
        self._on = [None]
        if options:
            self.init(**options)

    def init(self, mode=PERIODIC, period=1000, callback=None):
        """Begin, anew if it has begun."""
        self.deinit()
        # The callback, while it is on
        self._on = on = [callback]
        _thread.start_new_thread(_run, (self, on, period, mode))
        if hasattr(sys, "atexit"):
            before = sys.atexit(lambda: _release(on, before))

    def deinit(self):
        """Stop it."""
        self._on[0] = None


def _run(timer, on, period, mode):
    # It runs beside a program that goes on, and allocates nothing
    now, diff, sleep = _ticks_ms, _ticks_diff, _sleep_ms
    last = now()
    try:
        while True:
            callback = on[0]
            if callback is None:
                return
            left = period - diff(now(), last)
            if left > 0:
                sleep(min(left, _LOOK_MS))
                continue
            last = now()
            if mode == Timer.ONE_SHOT:
                on[0] = None
            callback(timer)
    finally:
        on.append(None)


def _release(on, before):
    # MicroPython would cancel the thread at the program's end, for which libgcc must be there
    on[0] = None
    while len(on) < 2:
        _sleep_ms(1)
    if before:
        before()
