"""What the tests share. Runs on CPython and on MicroPython."""

import binascii
import gc
import os
import sys
import time

MICROPYTHON = sys.implementation.name == "micropython"

if MICROPYTHON:
    cpu_seconds = time.clock

    def allocated():
        """Bytes of heap in use, garbage excluded."""
        gc.collect()
        return gc.mem_alloc()

else:
    import tracemalloc

    cpu_seconds = time.process_time

    def allocated():
        """Bytes in use that were allocated since the first call."""
        if not tracemalloc.is_tracing():
            tracemalloc.start()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]


def raises(exc, fn, *args):
    """Assert that `fn(*args)` raises `exc`; returns what it raised."""
    try:
        result = fn(*args)
    except exc as e:
        return e
    raise AssertionError("nothing raised, but returned " + repr(result)[:200])


def assert_none(wrong):
    """Assert that each of `wrong` is None; says all that are not, one a line."""
    lines = [repr(w) for w in wrong if w is not None]
    if lines:
        raise AssertionError("{} wrong:\n{}".format(len(lines), "\n".join(lines)))


def temporary(name):
    """A path that nobody uses, in the folder for temporary files. MicroPython has no tempfile."""
    folder = os.getenv("TMPDIR") or "/tmp"
    return "{}/{}-{}".format(folder, name, binascii.hexlify(os.urandom(6)).decode())
