"""Memory is given back: what was loaded for a moment leaves it."""

import gc
import sys


def forget(name):
    """Free the memory of a module: its name in this package, or the whole one, "uxmpp.http". It
    stays where somebody holds one of its functions."""
    package, _, name = (name if "." in name else "thing." + name).rpartition(".")
    if sys.modules.pop(package + "." + name, None):
        # The package has a name for it, too
        sys.modules[package].__dict__.pop(name, None)
        if hasattr(gc, "mem_free"):  # CPython knows by itself, and would take long
            gc.collect()
