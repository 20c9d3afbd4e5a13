"""The label on a device: what it is called, its pairing code, and both as a QR code.

The QR code holds an address `xmpp:JID?message;body=pair%20CODE` (RFC 5122, XEP-0147): a phone's
chat application opens a chat with the device in which the message that makes its reader the owner
is written already, see docs/access.md.
"""

import re
import struct
import sys
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import ceil
from urllib.parse import quote
from xml.sax.saxutils import escape

from ..errors import UxmppError
from ..flash.mpy import FIRMWARE

#: Of the PNG.
DPI = 600
#: Millimetres: the smallest and the largest side of a label.
MIN_MM, MAX_MM = 10, 300
#: Millimetres: the smallest square of a QR code that printers and phones can be asked for.
MIN_MODULE_MM = 0.2
#: The most characters of a name on it.
MAX_NAME = 40

_MM_PER_INCH = 25.4
_MARGIN_MM = 1.5
_QUIET = 4  # modules around a QR code (ISO/IEC 18004)
_ADVANCE = 0.6  # of a monospace character, as a share of its size
_LEADING = 1.25
# A character of thing/font.py is 6 x 8 pixels, and so of size 10 by the share above
_FONT_SIZE = 10
_FONT_COLUMNS = 6
_FONT_ROWS = 8


class LabelError(UxmppError):
    """The label cannot be made."""


@dataclass(frozen=True)
class Size:
    """Width and height in millimetres."""

    width: int = 62
    height: int = 29

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Return the size that "62x29" says. Raises LabelError."""
        found = re.fullmatch(r"\s*(\d{1,4})\s*[x×]\s*(\d{1,4})\s*(?:mm)?\s*", text)
        size = cls(*map(int, found.groups())) if found else None
        if not size or not all(MIN_MM <= n <= MAX_MM for n in (size.width, size.height)):
            raise LabelError(
                f"--label {text[:32]!r}: must be width x height in mm, as 62x29, {MIN_MM} to "
                f"{MAX_MM} each"
            )
        return size


@dataclass(frozen=True)
class _Line:
    """A line of text: its left end and base line, and its size, in millimetres."""

    text: str
    x: float
    y: float
    size: float
    bold: bool


@dataclass(frozen=True)
class Label:
    """The label of the device `jid`; without a `code` it only leads to a chat with the device."""

    jid: str
    name: str
    serial: str
    code: str | None = None
    size: Size = Size()

    @property
    def uri(self) -> str:
        """The address in the QR code."""
        local, at, domain = self.jid.rpartition("@")
        # RFC 5122 section 2.2: what may stand in an address as it is
        to = quote(local, safe="!$()*+,;=") + at + quote(domain, safe="[]:")
        body = f";body={quote('pair ' + self.code)}" if self.code else ""
        return f"xmpp:{to}?message{body}"

    @cached_property
    def modules(self) -> Sequence[bytes]:
        """The QR code: a row of bytes each, 1 is dark; without the quiet zone."""
        import segno

        try:
            made = segno.make(self.uri, error="m", micro=False)
        except segno.DataOverflowError:
            raise LabelError(f"{self.jid[:64]}…: too long for a QR code") from None
        return [bytes(row) for row in made.matrix]

    def svg(self) -> str:
        """Return the label as an SVG of its size."""
        width, height = self.size.width, self.size.height
        x, y, module = self._square
        dark = "".join(
            f"M{x + module * start:.3f} {y + module * row:.3f}h{module * (end - start):.3f}"
            f"v{module:.3f}h-{module * (end - start):.3f}z"
            for row, line in enumerate(self.modules)
            for start, end in _runs(line)
        )
        texts = "".join(
            f'<text x="{line.x:.2f}" y="{line.y:.2f}" font-size="{line.size:.2f}"'
            f' textLength="{_ADVANCE * line.size * len(line.text):.2f}"'
            ' lengthAdjust="spacingAndGlyphs"'
            f' font-weight="{"bold" if line.bold else "normal"}">{escape(line.text)}</text>\n'
            for line in self._lines
        )
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm" '
            f'viewBox="0 0 {width} {height}">\n'
            f"<title>{escape(_shown(self.name))} {escape(self.serial)}</title>\n"
            f'<rect width="{width}" height="{height}" fill="#fff"/>\n'
            f'<path shape-rendering="crispEdges" d="{dark}"/>\n'
            f'<g font-family="monospace">\n{texts}</g>\n</svg>\n'
        )

    def png(self) -> bytes:
        """Return the label as a PNG (ISO/IEC 15948) of its size, black on white."""
        columns, rows = _pixels(self.size.width), _pixels(self.size.height)
        page = [bytearray(columns) for _ in range(rows)]
        left, top, module = self._square
        # Whole pixels, that all modules be of one size
        dots = max(1, int(module * DPI / _MM_PER_INCH))
        for y, line in enumerate(self.modules):
            for start, end in _runs(line):
                for row in page[_pixels(top) + y * dots : _pixels(top) + (y + 1) * dots]:
                    at = _pixels(left) + start * dots
                    row[at : at + (end - start) * dots] = b"\1" * ((end - start) * dots)
        for text in self._lines:
            _write(page, text)
        # Filter 0, and eight pixels a byte, where a 1 is white
        packed = b"".join(b"\0" + _packed(bytes(row)) for row in page)
        per_metre = round(DPI / _MM_PER_INCH * 1000)
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            (
                _chunk(b"IHDR", struct.pack(">IIBBBBB", columns, rows, 1, 0, 0, 0, 0)),
                _chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)),
                _chunk(b"IDAT", zlib.compress(packed, 9)),
                _chunk(b"IEND", b""),
            )
        )

    @property
    def _square(self) -> tuple[float, float, float]:
        """Where the dark modules begin, and the size of one, in millimetres."""
        side = min(self.size.height, 0.5 * self.size.width)
        count = len(self.modules) + 2 * _QUIET
        module = side / count
        if module < MIN_MODULE_MM:
            high = max(MIN_MM, ceil(count * MIN_MODULE_MM))
            raise LabelError(
                f"a label of {self.size.width}x{self.size.height} mm is too small for the QR code "
                f"of {self.jid[:64]}: --label {2 * high}x{high} at least"
            )
        return (
            module * _QUIET,
            (self.size.height - side) / 2 + module * _QUIET,
            module,
        )

    @property
    def _lines(self) -> list[_Line]:
        """The text beside the QR code, as large as there is room for."""
        local, _, domain = self.jid.rpartition("@")
        wanted = [
            (_shown(self.name), 1.0, True),
            (f"No. {self.serial}", 0.85, False),
            *((_plain(part), 0.65, False) for part in (local, f"@{domain}")),
        ]
        if self.code:
            wanted.append((_plain(f"pair {self.code}"), 1.1, True))
        wanted = [line for line in wanted if line[0]]
        x = min(self.size.height, 0.5 * self.size.width) + _MARGIN_MM / 2
        width = self.size.width - x - _MARGIN_MM
        unit = (self.size.height - 2 * _MARGIN_MM) / (_LEADING * sum(w[1] for w in wanted))
        y = _MARGIN_MM
        found = []
        if self.code and _FONT_COLUMNS * len(wanted[-1][0]) > _pixels(width):
            raise LabelError(f"{self.jid[:64]}: the code is too long for the label")
        for text, share, bold in wanted:
            y += _LEADING * share * unit
            size = min(share * unit, width / (_ADVANCE * len(text)))
            found.append(_Line(text, x, y - 0.3 * share * unit, size, bold))
        return found


def _plain(text: str) -> str:
    """Return a text as one line, without what XML cannot hold or nobody can read."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _shown(name: str) -> str:
    line = _plain(name)
    return line if len(line) <= MAX_NAME else line[: MAX_NAME - 1] + "…"


def _runs(row: Sequence[int]) -> list[tuple[int, int]]:
    """Return where dark modules begin and end."""
    edges = [
        i for i, (a, b) in enumerate(zip([0, *row], [*row, 0], strict=True)) if bool(a) != bool(b)
    ]
    return list(zip(edges[::2], edges[1::2], strict=True))


def _pixels(mm: float) -> int:
    return round(mm * DPI / _MM_PER_INCH)


def _write(page: list[bytearray], line: _Line) -> None:
    """Draw a text in the font that devices have: ASCII, so what is not loses its accents."""
    if str(FIRMWARE) not in sys.path:
        sys.path.append(str(FIRMWARE))
    from thing import font  # type: ignore[import-not-found]

    plain = unicodedata.normalize("NFKD", line.text.replace("ß", "ss").replace("…", "..."))
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    columns = font.columns(plain)
    scale = max(1, int(line.size * DPI / _MM_PER_INCH / _FONT_SIZE))
    left, top = _pixels(line.x), _pixels(line.y) - (_FONT_ROWS - 1) * scale
    for i, column in enumerate(columns):
        for bit in range(_FONT_ROWS):
            if column >> bit & 1:
                at = left + i * scale
                for y in range(top + bit * scale, top + (bit + 1) * scale):
                    if 0 <= y < len(page) and at + scale <= len(page[y]):
                        page[y][at : at + scale] = b"\1" * scale


@lru_cache(maxsize=256)
def _packed(row: bytes) -> bytes:
    bits = row.translate(b"10" + bytes(254)).ljust((len(row) + 7) // 8 * 8, b"1")
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _chunk(kind: bytes, data: bytes) -> bytes:
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
