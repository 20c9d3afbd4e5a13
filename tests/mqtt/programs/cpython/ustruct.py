"""MicroPython's `ustruct` for CPython: a number that is too large loses its upper bits."""

import struct

_BITS = {"B": 8, "H": 16}


def _cut(layout, values):
    sizes = [_BITS[letter] for letter in layout.lstrip("!")]
    return [value & (1 << bits) - 1 for value, bits in zip(values, sizes, strict=True)]


def pack(layout, *values):
    return struct.pack(layout, *_cut(layout, values))


def pack_into(layout, data, at, *values):
    struct.pack_into(layout, data, at, *_cut(layout, values))
