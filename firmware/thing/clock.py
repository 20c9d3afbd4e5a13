"""Monotonic time, on both interpreters."""

try:
    from time import ticks_diff, ticks_ms
except ImportError:
    import time

    def ticks_ms():
        """Milliseconds since some moment; only differences mean anything."""
        return int(time.monotonic() * 1000)

    def ticks_diff(a, b):
        """The milliseconds from `b` to `a`. On a board: up to six days."""
        return a - b
