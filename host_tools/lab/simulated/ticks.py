"""MicroPython's milliseconds of `time`, for either interpreter."""

import time


def ticks_ms():
    return time.monotonic_ns() // 1_000_000


def ticks_diff(a, b):
    return a - b


def sleep_ms(ms):
    time.sleep(ms / 1000)


if hasattr(time, "ticks_ms"):
    ticks_ms, ticks_diff, sleep_ms = time.ticks_ms, time.ticks_diff, time.sleep_ms
