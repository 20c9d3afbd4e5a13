"""Pictures as PNG (ISO/IEC 15948), of a few colours and a row at a time, so that none is ever in
memory as a whole: with a palette, pixels of 1, 2 or 4 bits, filter 0.

They are compressed where the interpreter can do that, and few boards' can; else they are in stored
blocks (RFC 1951 section 3.2.4), one in each IDAT.
"""

import struct
from binascii import crc32

#: Bytes of a piece at the most, unless one row takes more; then a row and 24.
PIECE = 512
#: The most bytes of a row: 4000 pixels of 2 bits.
MAX_ROW = 1000


def png(width, height, depth, palette, row):
    """A picture as a source: (size in bytes, function without arguments that returns a fresh
    iterator of its pieces). A piece has up to 1024 bytes, and the next one may be in the same
    memory. `palette`: bytes, three a colour; `row(y, line)` writes all bytes of row `y`, the first
    pixel in the uppermost bits, and the same each time. Raises ValueError for what cannot be."""
    size = (width * depth + 7) // 8
    if (
        depth not in (1, 2, 4)
        or not 0 < size <= MAX_ROW
        or height < 1
        or not 0 < len(palette) <= 3 << depth
        or len(palette) % 3
    ):
        raise ValueError("{} x {} pixels of {} bits: no such picture".format(width, height, depth))
    size += 1  # the filter
    count = max(1, (PIECE - 23) // size)

    def stored(view):
        # What belongs into one IDAT after another, from the 8th byte on; yields where it ends
        low = 1
        high = 0
        view[8:10] = b"\x78\x01"
        at = 10
        for first in range(0, height, count):
            end = min(first + count, height)
            n = (end - first) * size
            struct.pack_into("<BHH", view, at, end == height, n, n ^ 0xFFFF)
            at += 5
            for y in range(first, end):
                line = view[at + 1 : at + size]
                row(y, line)
                view[at] = 0
                at += size
                # Adler-32
                high += low
                for c in line:
                    low += c
                    high += low
                low %= 65521
                high %= 65521
            if end == height:
                struct.pack_into(">HH", view, at, high, low)
                at += 4
            yield at
            at = 8

    def packed(view, write, close):
        data = bytearray(size)
        line = memoryview(data)[1:]
        for y in range(height + 1):
            if y < height:
                row(y, line)
                found = write(data)
            else:
                found = close()
            for i in range(0, len(found), PIECE - 12):
                n = min(PIECE - 12, len(found) - i)
                view[8 : 8 + n] = found[i : i + n]
                yield 8 + n

    def chunks():
        data = struct.pack(">4sIIBBBBB", b"IHDR", width, height, depth, 3, 0, 0, 0)
        colors = b"PLTE" + palette
        yield b"\x89PNG\r\n\x1a\n" + _chunk(data) + _chunk(colors)
        packer = _packer()
        view = memoryview(bytearray(max(PIECE, size + 23)))
        view[4:8] = b"IDAT"
        for at in packed(view, *packer) if packer else stored(view):
            struct.pack_into(">I", view, 0, at - 8)
            struct.pack_into(">I", view, at, crc32(view[4:at]))
            yield view[: at + 4]
        yield _chunk(b"IEND")

    if _packer():
        return sum([len(piece) for piece in chunks()]), chunks
    pieces = (height + count - 1) // count
    return 63 + len(palette) + 17 * pieces + height * size, chunks


def _chunk(data):
    return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", crc32(data))


def _packer():
    # Functions to compress more and to end it, that return what is ready; None without
    try:
        from zlib import compressobj

        packer = compressobj(9)
        return packer.compress, packer.flush
    except ImportError:
        pass
    from deflate import ZLIB, DeflateIO

    if not hasattr(DeflateIO, "write"):
        return None
    import io

    found = bytearray()

    class Found(io.IOBase):
        def write(self, data):
            found.extend(data)
            return len(data)

    # A window of 1 KB: the rows above
    packer = DeflateIO(Found(), ZLIB, 10)

    def take(more):
        more()
        data = bytes(found)
        found[:] = b""
        return data

    return lambda data: take(lambda: packer.write(data)), lambda: take(packer.close)
