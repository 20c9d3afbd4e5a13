"""The label of a device: what its QR code holds, and that SVG and PNG show the same."""

import io
import re
import xml.etree.ElementTree as ET
from urllib.parse import unquote

import pytest
import segno
from PIL import Image

from host_tools.errors import UxmppError
from host_tools.provision.label import DPI, Label, Size

SVG = "{http://www.w3.org/2000/svg}"


def label_of(jid="sensor-1@example.org", name="Küche <1> & \x1b so", code="K7QX-2M9F", **options):
    return Label(jid, name, "A-0001", code, **options)


def test_address():
    assert label_of().uri == "xmpp:sensor-1@example.org?message;body=pair%20K7QX-2M9F"
    assert label_of(code=None).uri == "xmpp:sensor-1@example.org?message"
    # RFC 5122: what is not allowed there is escaped, and comes back
    for jid in ("a?b#c;d%@example.org", "küche@bücher.example", "a@[::1]"):
        uri = label_of(jid).uri
        assert uri.isascii() and not re.search(r"[ #<>\"]", uri) and uri.count("?") == 1
        assert unquote(uri.removeprefix("xmpp:").partition("?")[0]) == jid
    with pytest.raises(UxmppError, match="too long for a QR code"):
        label_of("x" * 1023 + "@" + "y" * 1023 + ".example", code="1" * 800).svg()


def modules_of_svg(root, label):
    """The QR code that the SVG's path draws."""
    box = [float(n) for n in root.get("viewBox").split()]
    path = root.find(f"{SVG}path").get("d")
    squares = re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-\3z", path)
    assert re.sub(r"[^Mz]", "", path) == "Mz" * len(squares)
    module = float(squares[0][3])
    left, top = min(float(s[0]) for s in squares), min(float(s[1]) for s in squares)
    count = len(label.modules)
    rows = [bytearray(count) for _ in range(count)]
    for x, y, width, _ in squares:
        at, n = round((float(x) - left) / module), round(float(width) / module)
        rows[round((float(y) - top) / module)][at : at + n] = b"\1" * n
    # Within the label, four modules from its edge, and from the text
    assert min(left, top) >= 4 * module - 0.01 and left + (count + 4) * module <= box[2]
    right = left + (count + 3) * module
    assert all(float(t.get("x")) >= right for t in root.iter(f"{SVG}text"))
    return rows


@pytest.mark.parametrize("size", [Size(), Size(30, 15), Size(40, 60)])
def test_pictures(size):
    label = label_of(size=size)
    assert [bytes(row) for row in segno.make(label.uri, error="m", micro=False).matrix] == [
        *label.modules
    ]
    root = ET.fromstring(label.svg())
    assert (root.get("width"), root.get("height")) == (f"{size.width}mm", f"{size.height}mm")
    assert [bytes(row) for row in modules_of_svg(root, label)] == [*label.modules]
    texts = list(root.iter(f"{SVG}text"))
    assert [t.text for t in texts] == [
        "Küche <1> & so", "No. A-0001", "sensor-1", "@example.org", "pair K7QX-2M9F",
    ]  # fmt: skip
    for t in texts:
        assert float(t.get("x")) + float(t.get("textLength")) <= size.width
        assert 0 < float(t.get("y")) <= size.height
    # As a picture, of that size on paper
    png = label.png()
    image = Image.open(io.BytesIO(png))
    assert image.mode == "1" and abs(image.info["dpi"][0] - DPI) < 1
    assert image.size == tuple(round(n * DPI / 25.4) for n in (size.width, size.height))
    grey = image.convert("L").tobytes()
    found = [
        [not v for v in grey[at : at + image.width]] for at in range(0, len(grey), image.width)
    ]
    count = len(label.modules)
    side = min(size.height, size.width / 2) * DPI / 25.4
    dots = int(side / (count + 8))
    left = round(4 * side / (count + 8))
    top = next(y for y, row in enumerate(found) if any(row[: int(side)]))
    for y, row in enumerate(label.modules):
        for x, dark in enumerate(row):
            for at in (0, dots - 1):
                assert found[top + y * dots + at][left + x * dots + at] == bool(dark), (x, y)
    # The text is there, and inside
    beside = [any(row[int(side) :]) for row in found]
    assert sum(beside) > size.height and not any(row[-1] for row in found)
    assert label.png() == png


def test_long_names_and_sizes():
    long = label_of("x" * 300 + "@example.org", "n" * 200)
    root = ET.fromstring(long.svg())
    texts = {t.text: float(t.get("textLength")) for t in root.iter(f"{SVG}text")}
    assert "n" * 39 + "…" in texts and "x" * 300 in texts and max(texts.values()) < 32
    assert Image.open(io.BytesIO(long.png())).size == (1465, 685)
    assert Size.parse(" 50 x 30 mm") == Size(50, 30)
    # Nobody could read it
    with pytest.raises(UxmppError, match="label of 16x16 mm .*: --label 20x10 at least"):
        label_of(size=Size(16, 16)).svg()
    assert label_of(size=Size(20, 10)).png()
    with pytest.raises(UxmppError, match="the code is too long"):
        label_of(code="A" * 200).svg()
    # What XML cannot hold, and nothing
    odd = label_of("a\ufffe@example.org", "", "AB\x0bC\nDEFG")
    texts = [t.text for t in ET.fromstring(odd.svg()).iter(f"{SVG}text")]
    assert texts == ["No. A-0001", "a", "@example.org", "pair AB C DEFG"] and odd.png()
    for bad in ("", "50", "50x", "9x30", "50x301", "a x b", "1e3x20"):
        with pytest.raises(UxmppError, match="must be width x height"):
            Size.parse(bad)
