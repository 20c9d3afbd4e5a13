"""All figures, in the order in which they are measured and shown."""

from . import (
    flashing,
    fleet,
    imports,
    parsing,
    resume,
    sessions,
    sizes,
    soak,
    surfaces,
    umqtt,
    wire,
)
from .registry import FIGURES

FAMILIES = (
    sizes, imports, sessions, umqtt, surfaces, wire, flashing, resume, parsing, fleet, soak,
)  # fmt: skip

# Raises ValueError for one of no family: it would be measured no more, without a word
_names = [family.__name__ for family in FAMILIES]
_in_order = sorted(FIGURES.values(), key=lambda f: _names.index(f.measure.__module__))
FIGURES.clear()
FIGURES.update((f.id, f) for f in _in_order)

__all__ = ["FAMILIES", "FIGURES"]
