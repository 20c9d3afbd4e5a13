"""What the simulated camera sees: a greenhouse under a sun that moves, colour bars, and the number
and time of the frame, as a baseline JPEG (ITU-T T.81).

The scene is laid out in blocks of 8 × 8 pixels, each of one brightness with one of few patterns
laid over it. The code of a pattern is made once, for a quality; so a frame is little more than
copying, which even an interpreter does in a fraction of a second."""

import math
import time
from array import array

# Patterns: none, then the four quarters of a block dark or light, for text; then these
_LEAVES, _GRASS, _POST, _RAIL, _ROOF, _SUN = 16, 22, 26, 27, 28, 30
_SUN_SIZE = 6  # blocks
_PATTERNS = _SUN + _SUN_SIZE * _SUN_SIZE
# Digits and a colon, 3 × 5 points, from the top left
_DIGITS = (31599, 11415, 29671, 29647, 23497, 31183, 31215, 29257, 31727, 31695, 1040)
_POINTS = "0123456789:"
# Brightness of the bars
_BARS = b"\xb4\xa2\x83\x70\x54\x41\x23\x10"
# Cb and Cr of the bars, then of sky, glass, leaves, fruit, grass, sun
_COLOURS = (
    b"\x80\x80",
    b"\x2c\x8e",
    b"\x9c\x2c",
    b"\x48\x3a",
    b"\xb8\xc6",
    b"\x64\xd4",
    b"\xd4\x72",
    b"\x80\x80",
    b"\x9a\x5e",
    b"\x92\x68",
    b"\x64\x64",
    b"\x62\xcc",
    b"\x5c\x6e",
    b"\x66\x88",
)


def _zigzag():
    # The order of coefficients, u + 8 v
    found = []
    for s in range(15):
        line = [u + 8 * (s - u) for u in range(max(0, s - 7), min(s, 7) + 1)]
        found += line[::-1] if s % 2 else line
    return bytes(found)


def _scatter(a, b):
    # A number that looks like chance, 0 to 255
    n = (a * 197 + b * 7919 + 12345) & 0xFFFF
    n ^= n >> 7
    return ((n * 2053) ^ (n >> 3)) >> 5 & 255


class Pattern:
    """Frames of `width` × `height` pixels, multiples of 8. `quality`: 0 to 100; `mirror`, `flip`:
    left is right, top is bottom."""

    def __init__(self, width, height, quality, mirror=False, flip=False):
        self._width = width
        self._height = height
        self._order = _zigzag()
        self._cosines = array(
            "b",
            [
                round(math.cos((2 * x + 1) * u * math.pi / 16) * (64 if u else 45.25))
                for u in range(8)
                for x in range(8)
            ],
        )
        self._mirror = mirror
        self._flip = flip
        scale = 5000 // max(quality, 1) if quality < 50 else 200 - 2 * quality
        self._steps = steps = bytearray(64)
        for i in range(64):
            steps[i] = max(1, min(255, (8 + (i % 8 + i // 8) * 7) * scale // 100))
        self._codes = codes = bytearray()
        self._ends = ends = array("H", (0,))
        self._bits = bits = bytearray()
        self._means = means = bytearray()
        for kind in range(_PATTERNS):
            block = self._block(kind)
            bits.append(self._encode(block, codes))
            ends.append(len(codes))
            means.append(block[0] // 8)

    def _block(self, kind):
        # Its 64 coefficients
        if _LEAVES <= kind < _POST:
            strong = 1150 if kind < _GRASS else 560
            return [
                (_scatter(kind * 67 + i, i) - 128) * strong // (i % 8 + i // 8 + 3) // 128
                if 0 < i % 8 + i // 8 < 6
                else 0
                for i in range(64)
            ]
        cosines = self._cosines
        rows = [0] * 64
        for i in range(64):
            line = [self._light(kind, x, i // 8) for x in range(8)]
            rows[i] = sum([cosines[i % 8 * 8 + x] * line[x] for x in range(8)])
        return [
            sum([cosines[i // 8 * 8 + y] * rows[y * 8 + i % 8] for y in range(8)]) >> 14
            for i in range(64)
        ]

    def _light(self, kind, x, y):
        if kind < _LEAVES:
            return 190 if kind >> (x // 4 + y // 4 * 2) & 1 else 0
        if kind == _POST:
            return 50 if 2 < x < 6 else -10
        if kind == _RAIL:
            return 50 if 2 < y < 6 else -10
        if kind < _SUN:
            d = (x if kind == _ROOF else 7 - x) - (7 - y)
            return 80 if -2 < d < 3 else 0 if d < 0 else 30
        x += (kind - _SUN) % _SUN_SIZE * 8 - _SUN_SIZE * 4
        y += (kind - _SUN) // _SUN_SIZE * 8 - _SUN_SIZE * 4
        return 75 if x * x + y * y < 400 else 0

    def _encode(self, block, codes):
        # Appends the code of all but the first coefficient, filled up with 0; its bits beyond
        # whole bytes
        steps = self._steps
        held = count = run = 0
        for k in range(1, 65):
            if k < 64:
                i = self._order[k]
                value = block[i]
                value = (abs(value) + steps[i] // 2) // steps[i] * (1 if value > 0 else -1)
                if (i & 1 and self._mirror) != (i & 8 and self._flip):
                    value = -value
                if not value:
                    run += 1
                    continue
                while run > 15:
                    held, count = _put(codes, held << 8 | 0x40, count + 8)
                    run -= 16
                size = 0
                while abs(value) >> size:
                    size += 1
                held = held << 8 | 0x40 + run * 10 + size
                held = held << size | (value if value > 0 else value + (1 << size) - 1)
                count += 8 + size
                run = 0
            elif run:  # the end of the block
                held <<= 2
                count += 2
            held, count = _put(codes, held, count)
        if count:
            codes.append(held << (8 - count))
        return count

    def _head(self):
        size = (self._height >> 8, self._height & 255, self._width >> 8, self._width & 255)
        none = bytes(12)
        return b"".join(
            (
                b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xdb\0\x43\0",
                bytes([self._steps[i] for i in self._order]),
                b"\xff\xc0\0\x11\x08" + bytes(size) + b"\3\1\x11\0\2\x11\0\3\x11\0",
                # Codes of equal length, but for the end of a block: no tables to look them up
                b"\xff\xc4\0\x1f\0\0\0\0\x0c" + none + bytes(range(12)),
                b"\xff\xc4\0\xb5\x10\0\1\0\0\0\0\0\xa1" + none[:8] + b"\0\xf0",
                bytes([r << 4 | s for r in range(16) for s in range(1, 11)]),
                b"\xff\xda\0\x0c\3\1\0\2\0\3\0\0\x3f\0",
            )
        )

    def draw(self, out, number):
        """Write frame `number` into the buffer `out`; its length."""
        head = self._head()
        o = len(head)
        out[:o] = head
        t = time.localtime()
        self._text = "{:06d}  {:02d}:{:02d}:{:02d}".format(number, t[3], t[4], t[5])
        self._number = number
        scene = self._scene
        codes, ends, bits, means = self._codes, self._ends, self._bits, self._means
        step = self._steps[0]
        held = count = light = blue = red = 0
        for y in range(self._height // 8):
            for x in range(self._width // 8):
                for k in range(3):
                    if k == 0:
                        seen = scene(x, y)
                        kind = seen & 255
                        value = ((seen >> 8 & 255) + means[kind] - 128) * 8 // step
                        value, light = value - light, value
                    elif k == 1:
                        seen = _COLOURS[seen >> 16]
                        kind = 0
                        value = (seen[0] - 128) * 8 // step
                        value, blue = value - blue, value
                    else:
                        value = (seen[1] - 128) * 8 // step
                        value, red = value - red, value
                    size = 0
                    while abs(value) >> size:
                        size += 1
                    held = (
                        size << size
                        | (value if value >= 0 else value + (1 << size) - 1)
                        | ((held & 255) << size + 4)
                    )
                    count += size + 4
                    i = ends[kind]
                    end = ends[kind + 1]
                    while True:
                        while count > 7:
                            count -= 8
                            byte = held >> count & 255
                            out[o] = byte
                            o += 1
                            if byte == 255:
                                out[o] = 0
                                o += 1
                        if i == end:
                            break
                        held = (held & 255) << 8 | codes[i]
                        count += 8
                        i += 1
                        if i == end and bits[kind]:
                            held >>= 8 - bits[kind]
                            count -= 8 - bits[kind]
        # The last byte is filled up with ones
        out[o : o + 3] = bytes(((held << 8 - count | 255 >> count) & 255, 255, 217))
        return o + 3

    def _scene(self, x, y):
        # What is at a block: its pattern, brightness << 8, colour << 16
        wide, high = self._width // 8, self._height // 8
        if self._mirror:
            x = wide - 1 - x
        if self._flip:
            y = high - 1 - y
        chance = _scatter(x, y)
        sky = 150 + y * 75 // high
        down = high - y
        if down <= 4:
            return self._letters(x - 2, 4 - down) | 16 << 8 | 7 << 16
        if down <= 8:
            bar = x * 8 // wide
            return _BARS[bar] << 8 | bar << 16
        half = wide // 15 * 3
        eaves = high * 2 // 5
        base = high * 3 // 4
        ground = high * 3 // 5
        beside = x - wide * 5 // 8
        roof = y - eaves + half
        if y < base and -half <= beside <= half and roof >= 0:
            if roof < half:
                if abs(beside) == roof + 1:
                    return _ROOF + (beside > 0) | sky << 8 | 8 << 16
                inside = abs(beside) <= roof
            else:
                inside = True
            if inside:
                if y == eaves:
                    return _RAIL | 180 << 8 | 9 << 16
                if not beside or y > eaves and not beside % (half // 3):
                    return _POST | 180 << 8 | 9 << 16
                if base - y > high // 6 + _scatter(x // 2, 5) % 4:
                    return 200 - roof * 40 // high << 8 | 9 << 16
                ripe = _scatter(x + 9, y) < 14
                return _LEAVES + chance % 6 | 70 + chance % 40 << 8 | 10 + ripe << 16
        if y >= ground:
            return _GRASS + chance % 4 | 125 - (y - ground) + chance % 16 << 8 | 12 << 16
        if y >= ground - 3 - _scatter(x // 2, 1) % 3:
            return _LEAVES + chance % 6 | 80 + chance % 24 << 8 | 10 << 16
        sun_x = x - self._number % wide + 1
        sun_y = y - high // 10
        if 0 <= sun_x < _SUN_SIZE and 0 <= sun_y < _SUN_SIZE:
            kind = _SUN + sun_x + sun_y * _SUN_SIZE
            return kind | sky << 8 | (13 if self._means[kind] > 37 else 8) << 16
        return sky << 8 | 8 << 16

    def _letters(self, x, y):
        # The part of the text at a block: which of its quarters are light
        kind = 0
        if 0 <= x < len(self._text) * 2:
            digit = _POINTS.find(self._text[x // 2])
            for quarter in range(4):
                column = x % 2 * 2 + quarter % 2
                row = y * 2 + quarter // 2 - 2
                if digit >= 0 and column < 3 and 0 <= row < 5:
                    kind |= (_DIGITS[digit] >> (14 - row * 3 - column) & 1) << quarter
        return kind


def _put(codes, held, count):
    # Moves whole bytes; what is left
    while count > 7:
        count -= 8
        codes.append(held >> count & 255)
    return held & (1 << count) - 1, count
