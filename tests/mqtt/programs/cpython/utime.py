"""MicroPython's `utime` for CPython."""

from time import sleep  # noqa: F401
