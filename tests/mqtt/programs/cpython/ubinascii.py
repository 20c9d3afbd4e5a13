"""MicroPython's `ubinascii` for CPython."""

from binascii import hexlify  # noqa: F401
