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

_in_order = [
    f for family in FAMILIES for f in FIGURES.values() if f.measure.__module__ == family.__name__
]
FIGURES.clear()
FIGURES.update((f.id, f) for f in _in_order)

__all__ = ["FAMILIES", "FIGURES"]
