"""Memory is given back: what was loaded for a moment leaves it."""

import gc
import sys

if hasattr(gc, "threshold"):
    gc.threshold(4096)  # Thing.gc_threshold; what is imported next takes memory, too


def forget(name):
    """Free the memory of a module: its name in this package, or the whole one, "uxmpp.http". It
    stays where somebody holds one of its functions. CPython has memory enough, and keeps it."""
    if not hasattr(gc, "mem_free"):
        return
    package, _, name = (name if "." in name else "thing." + name).rpartition(".")
    sys.modules.pop(package + "." + name, None)
    # The package has a name for it, too
    if package in sys.modules:
        sys.modules[package].__dict__.pop(name, None)
    # Also where it was not loaded: what was done until now left garbage
    gc.collect()
