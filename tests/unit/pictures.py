"""Reading a PNG, on each interpreter: strictly, and independently of what wrote it."""

import struct
from binascii import crc32

try:
    from zlib import decompress
except ImportError:
    from io import BytesIO

    from deflate import ZLIB, DeflateIO

    def decompress(data):
        with DeflateIO(BytesIO(data), ZLIB) as stream:
            return stream.read()


class Picture:
    """What a PNG holds: `width`, `height`, `depth`, `palette`, and `rows`, a pixel a byte."""

    def __init__(self, data):
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        at = 8
        packed = b""
        kinds = []
        while at < len(data):
            (size,) = struct.unpack(">I", data[at : at + 4])
            body = data[at + 4 : at + 8 + size]
            assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == crc32(body)
            at += 12 + size
            kind, body = body[:4], body[4:]
            if kind not in kinds:
                kinds.append(kind)
            if kind == b"IHDR":
                self.width, self.height, self.depth, *rest = struct.unpack(">IIBBBBB", body)
                assert rest == [3, 0, 0, 0], rest
            elif kind == b"PLTE":
                self.palette = body
            elif kind == b"IDAT":
                assert size
                packed += body
        assert at == len(data) and kinds == [b"IHDR", b"PLTE", b"IDAT", b"IEND"], kinds
        found = decompress(packed)
        line = (self.width * self.depth + 7) // 8 + 1
        assert len(found) == line * self.height
        self.rows = []
        depth = self.depth
        each = range(8 - depth, -1, -depth)
        table = [bytes([byte >> n & (1 << depth) - 1 for n in each]) for byte in range(256)]
        for at in range(0, len(found), line):
            assert found[at] == 0  # the filter
            row = b"".join([table[byte] for byte in found[at + 1 : at + line]])
            self.rows.append(row[: self.width])


def sent(source):
    """The bytes of a source, as it should be: of the size that it says, in small pieces."""
    size, chunks = source
    data = bytearray()
    for piece in chunks():
        assert 0 < len(piece) <= 1024
        data.extend(piece)
    assert len(data) == size, (len(data), size)
    return bytes(data)
