"""PNG: depths, widths, stored and compressed, what cannot be a picture, and memory."""

import sys

from helper import MICROPYTHON, allocated, raises
from pictures import Picture, sent
from thing import png as module
from thing.png import MAX_ROW, png


def pixel(x, y, depth):
    return (x * 7 + y * 13 + x * y % 5) % (1 << depth)


def painter(width, depth):
    """The row() of a picture of pixel()."""

    def row(y, line):
        for i in range(len(line)):
            line[i] = 0
        for x in range(width):
            bit = x * depth
            line[bit // 8] |= pixel(x, y, depth) << 8 - depth - bit % 8

    return row


def made(width, height, depth, colors=None):
    palette = bytes(range(3 * (colors or 1 << depth)))
    source = png(width, height, depth, palette, painter(width, depth))
    data = sent(source)
    found = Picture(data)
    assert (found.width, found.height, found.depth) == (width, height, depth)
    assert found.palette == palette
    for y, row in enumerate(found.rows):
        assert row == bytes([pixel(x, y, depth) for x in range(width)]), (width, depth, y)
    # And once more: for the hash, for another try
    assert sent(source) == data
    return data


SIZES = (
    (1, 1, 1),
    (7, 3, 1),
    (8, 9, 1),
    (128, 64, 1),
    (9, 5, 2),
    (121, 16, 2),  # 15 rows are a piece
    (121, 15, 2),
    (121, 14, 2),
    (4 * 488, 3, 2),  # one row is, and is just no more than the others
    (4 * 489, 3, 2),
    (3, 2, 4),
    (33, 17, 4),
)


def test_sizes():
    for width, height, depth in SIZES:
        made(width, height, depth)
    made(20, 20, 4, colors=9)


def test_widest():
    def row(y, line):
        for i in range(len(line)):
            line[i] = (i + y) & 0xFF

    for size in (MAX_ROW, MAX_ROW - 1):
        source = png(size * 4, 1, 2, bytes(12), row)
        largest = max([len(piece) for piece in source[1]()])
        sent(source)
        assert largest == size + 24 or not MICROPYTHON, largest
    raises(ValueError, png, MAX_ROW * 4 + 1, 2, 2, bytes(12), row)


def test_two_at_once():
    # Each iterator has memory of its own
    size, chunks = png(121, 40, 2, bytes(12), painter(121, 2))
    both = [bytearray(), bytearray()]
    for pieces in zip(chunks(), chunks()):
        for data, piece in zip(both, pieces):
            data.extend(piece)
    assert both[0] == both[1] == sent((size, chunks))


def test_what_is_no_picture():
    for width, height, depth, palette in (
        (8, 8, 3, 3),
        (8, 8, 8, 3),
        (8, 8, 0, 3),
        (0, 8, 2, 3),
        (-8, 8, 2, 3),
        (8, 0, 2, 3),
        (8, 8, 2, 0),
        (8, 8, 2, 15),
        (8, 8, 2, 4),
    ):
        e = raises(ValueError, png, width, height, depth, bytes(palette), None)
        assert str(e).startswith("{} x {} pixels of {} bits".format(width, height, depth))


def test_memory():
    if not MICROPYTHON:
        return
    before = allocated()
    most = 0
    size, chunks = png(320, 160, 2, bytes(12), lambda y, line: None)
    for n, _piece in enumerate(chunks()):
        if n % 9 == 2:
            most = max(most, allocated() - before)
    assert n > 20 and most < 2500, most


if not MICROPYTHON:
    import io
    import types
    import zlib

    from PIL import Image

    class DeflateIO:
        """MicroPython's, where it can compress; most cannot."""

        def __init__(self, stream, kind, wbits):
            assert (kind, wbits) == (2, 10)
            self._stream = stream
            self._packer = zlib.compressobj(9, zlib.DEFLATED, wbits)

        def write(self, data):
            found = self._packer.compress(data)
            assert not found or self._stream.write(found) == len(found)

        def close(self):
            self._stream.write(self._packer.flush())

    def pixels(data):
        with Image.open(io.BytesIO(data)) as found:
            found.load()
            return found.size, found.mode, found.getpalette(), found.tobytes()

    def check_all():
        total = 0
        for width, height, depth in SIZES:
            data = made(width, height, depth)
            total += len(data)
            size, mode, palette, found = pixels(data)
            assert size == (width, height) and mode in "1P", mode
            assert mode != "P" or palette[: 3 << depth] == list(range(3 << depth))
            if mode == "P":
                expected = [pixel(x, y, depth) for y in range(height) for x in range(width)]
                assert found == bytes(expected)
        return total

    def test_as_pillow_reads_it(monkeypatch):
        compressed = check_all()
        # As on most boards
        monkeypatch.setattr(module, "_packer", lambda: None)
        stored = check_all()
        assert compressed < stored
        test_widest()

    def test_with_micropythons_compressor(monkeypatch):
        found = types.ModuleType("deflate")
        found.ZLIB = 2
        found.DeflateIO = DeflateIO
        monkeypatch.setitem(sys.modules, "deflate", found)
        compressed = check_all()
        monkeypatch.setitem(sys.modules, "zlib", None)
        other = check_all()
        assert 0.5 < other / compressed < 2
        monkeypatch.delattr(DeflateIO, "write")
        assert module._packer() is None
