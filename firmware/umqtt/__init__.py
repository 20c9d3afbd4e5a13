"""umqtt over XMPP: topics are PubSub nodes (docs/umqtt.md)."""

import gc
import sys

if hasattr(gc, "threshold") and gc.threshold() < 0:
    gc.threshold(4096)  # else the heap is soon in pieces


def forget(name):
    """Free the memory of a module of this package that was loaded for a moment. CPython has memory
    enough, and keeps it."""
    if hasattr(gc, "mem_free"):
        sys.modules.pop("umqtt." + name, None)
        globals().pop(name, None)
        gc.collect()
