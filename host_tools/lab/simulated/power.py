"""How a board stops without hardware, for either interpreter: at once, cleaning up nothing."""

import sys

#: The exit code of a board that resets; the lab's Device starts it again.
RESET = 3
#: The exit code of a board in deep sleep; the lab's Device starts it when that is over.
SLEEP = 4
#: What ends only for a VirtualBoard: a soft reset, from the raw REPL, and into the bootloader.
SOFT = 5
RAW = 6
LOADER = 7

if sys.implementation.name == "micropython":
    import ffi

    _libc = ffi.open(None)
    _exit = _libc.func("v", "_exit", "i")
    _getpid = _libc.func("i", "getpid", "")
    _kill = _libc.func("i", "kill", "ii")
else:
    from os import _exit
    from os import getpid as _getpid
    from os import kill as _kill


def reset():
    """End the process at once with the code RESET."""
    _exit(RESET)


def sleep():
    """End the process at once with the code SLEEP."""
    _exit(SLEEP)


def stop(code):
    """End the process at once with a code."""
    _exit(code)


def cut():
    """End the process as by `kill -9`."""
    _kill(_getpid(), 9)
