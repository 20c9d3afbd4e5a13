"""More stack. MicroPython for Unix allows 40,000 bytes, and takes 4,900 of them for each import
within an import, with room for Linux's longest path; a board takes less than 1,000."""

from uctypes import bytearray_at

LIMIT = 40_000
WANTED = 120_000
_WORD = 4
_LARGEST = 1_000_000  # of the areas that are looked at


def deepen(maps):
    """Raise the interpreter's limit, a number behind the address where its stack begins; `maps` is
    the open file /proc/self/maps. Where that is not found, and once, all stays as it is."""
    areas = []
    stack = (0, 0)
    for line in maps:
        words = line.split()
        if words[1] == "rw-p":
            area = tuple([int(end, 16) for end in words[0].split("-")])
            if words[-1] == "[stack]":
                stack = area
            elif area[1] - area[0] < _LARGEST:
                areas.append(area)
    limit = LIMIT.to_bytes(_WORD, "little")
    found = []
    for begin, end in areas:
        data = bytearray_at(begin, end - begin)
        at = data.find(limit)
        while at >= 0:
            before = int.from_bytes(data[max(0, at - _WORD) : at], "little")
            if at % _WORD == 0 and stack[0] <= before < stack[1]:
                found.append(begin + at)
            at = data.find(limit, at + 1)
    if len(found) == 1:
        bytearray_at(found[0], _WORD)[:] = WANTED.to_bytes(_WORD, "little")
