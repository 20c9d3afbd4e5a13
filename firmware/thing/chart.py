"""The course of a value as a picture, from its history. Loaded when somebody asks for one, and
forgotten when it was sent; `plotting`, which finds out what to draw, before that."""

from .memory import forget

WIDTH = 320
HEIGHT = 160
#: Where the plot begins and ends, in rows, and where it ends, in columns of pixels.
TOP = 26
BOTTOM = 142
RIGHT = 311
#: Background; grid, and between the lowest and the highest of a slot; text and axes; line. An
#: upper one is painted over a lower one by OR, so no text may cross the grid.
PALETTE = b"\xff\xff\xff\xc6\xd8\xea\x33\x3d\x47\x0a\x58\xa8"


async def chart(thing, entry, seconds, asker):
    """Send the picture of `entry` in the last `seconds` to an Asker; what to say of it. Raises
    OSError where that cannot be, and while nobody knows the time."""
    from .files import File

    now = thing.clock.now()
    if now is None:
        raise OSError
    from .plotting import draw

    thumb = bytearray()
    source = await draw(thing.surfaces["history"], entry, seconds, now, thing.zone, thumb)
    draw = None
    forget("plotting")
    name = entry.name.replace("/", "-") + ".png"
    kind = "image/png"
    thumb = (thumb, kind, WIDTH // 4, HEIGHT // 4)
    file = File(name, kind, source, width=WIDTH, height=HEIGHT, thumb=thumb)
    return await thing.share(file, asker)


def painter(texts, marks, lines, left, line, area):
    """The row() of the picture, for png(). `texts`: (column, first row, font's columns()) of each;
    `marks`, `lines`: rows of the picture and columns of the plot that have a line of the grid;
    `left`: where the plot begins; `line`, `area`: of each of its columns the first and the last
    row, as two arrays, of the line and of what is behind it."""
    top, bottom = line
    above, below = area
    n = len(top)

    def row(y, line):
        for x in range(len(line)):
            line[x] = 0
        for x, first, text in texts:
            if 0 <= y - first < 7:
                for c in text:
                    if c >> y - first & 1:
                        line[x >> 2] |= 0x80 >> (x & 3) * 2
                    x += 1
        if not TOP <= y <= BOTTOM:
            return
        x = left - 1
        line[x >> 2] |= 0x80 >> (x & 3) * 2
        if y == BOTTOM or y in marks:
            # The axis, or a dotted line
            color, step = (0x80, 1) if y == BOTTOM else (0x40, 2)
            for x in range(left, left + n, step):
                line[x >> 2] |= color >> (x & 3) * 2
        for x in lines:
            x += left
            line[x >> 2] |= (y & 1) << 6 >> (x & 3) * 2
        for i in range(n):
            # Two pixels are a thin line
            if top[i] - 1 <= y <= bottom[i]:
                x = i + left
                line[x >> 2] |= 0xC0 >> (x & 3) * 2
            elif above[i] <= y <= below[i]:
                x = i + left
                line[x >> 2] |= 0x40 >> (x & 3) * 2

    return row
