"""What a watch shows: one function a screen, for square and for round displays of 240 x 240. Each
draws all of it, and returns what may be touched: (name, x, y, width, height), ..."""

_BLACK = 0x0000
_WHITE = 0xFFFF
_GREY = 0x9CF3
_NIGHT = 0x18E5
_BLUE = 0x2C7D
_GREEN = 0x3D8C
_AMBER = 0xF563
_RED = 0xE1A6
_DARK_RED = 0x5064
_WEEK = "MonTueWedThuFriSatSun"
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"
_COLORS = (_GREEN, _BLUE, 0x8A52)

# What stands for U+00C0 to U+00FF, which the font does not have
_LATIN = b"AAAAAAACEEEEIIIIDNOOOOOxOUUUUYTsaaaaaaaceeeeiiiidnooooo/ouuuuyty"


def plain(text):
    """`text` in letters that the font has, where they are much the same: as "e" for "é"."""
    data = text.encode()
    if b"\xc3" not in data:
        return text
    raw = bytearray()
    lead = 0
    for c in data:
        if lead == 0xC3 and 0x80 <= c < 0xC0:
            raw[-1] = _LATIN[c - 0x80]
        else:
            raw.append(c)
        lead = c
    return raw.decode()


def wrap(text, width):
    """The lines of `text`, of at most `width` characters each; longer words are cut."""
    lines = []
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = ""
        last = max(len(word) - 1, 0) // width * width
        for i in range(0, last, width):
            lines.append(word[i : i + width])
        word = word[last:]
        line = (line + " " + word) if line else word
    return lines + [line]


def pages(display, text):
    """How many pages message() makes of a text."""
    return _layout(display, text)[2]


def _layout(display, text):
    # (size of the letters, lines, pages, lines of a page): large ones where one page will do
    wide, high = (176, 82) if display.round else (224, 126)
    for scale in (3, 2):
        lines = wrap(text, (wide + scale) // (6 * scale))
        most = high // (9 * scale)
        if len(lines) <= most:
            break
    return scale, lines, (len(lines) + most - 1) // most, most


def _center(display, text, y, color, back, scale, edge=0):
    # `edge`: how far the background reaches beyond the text
    wide = (6 * len(text) - 1) * scale
    x = (display.width - wide) // 2
    if edge:
        _box(display, back, x - edge, y - edge, wide + 2 * edge, 7 * scale + 2 * edge)
    display.string(text, max(x, 0), y, color, back, scale)


def _box(display, color, x, y, w, h, corner=5):
    # With corners that look round
    for i in range(corner):
        cut = (3, 2, 1, 1, 0)[i] * corner // 5
        display.fill(color, x + cut, y + i, w - 2 * cut, 1)
        display.fill(color, x + cut, y + h - 1 - i, w - 2 * cut, 1)
    display.fill(color, x, y + corner, w, h - 2 * corner)


def _button(display, name, color, x, y, w, h):
    _box(display, color, x, y, w, h)
    lines = wrap(name, (w - 2) // 12)
    top = y + (h - 18 * len(lines) + 4) // 2
    for line in lines:
        left = x + (w - 12 * len(line) + 2) // 2
        display.string(line, left, top, _WHITE, color, 2)
        top += 18
    return name, x, y, w, h


def message(display, who, time, text, page, replies):
    """A message of `who`, the `page` of it (from 0), and what may be answered. "x" puts it away,
    "more" is the text."""
    round = display.round
    scale, lines, count, most = _layout(display, text)
    display.fill(_BLACK)
    top = 50 if round else 38
    display.fill(_NIGHT, 0, 0, display.width, top - 4)
    display.fill(_BLUE, 0, top - 4, display.width, 2)
    if round:
        _center(display, who[:10], 22, _WHITE, _NIGHT, 2)
    else:
        display.string(who[:10], 10, 10, _WHITE, _NIGHT, 2)
        display.string(time, 140, 10, _GREY, _NIGHT, 2)
        display.string("x", 218, 8, _WHITE, _NIGHT, 3)
    bottom = (144 if round else 186) - (12 if count > 1 else 0)
    lines = lines[page * most :][:most]
    y = top + (bottom - top - 9 * scale * len(lines) + 2 * scale) // 2
    for line in lines:
        _center(display, line, y, _WHITE, _BLACK, scale)
        y += 9 * scale
    if count > 1:  # a dot a page
        for i in range(count):
            x = (display.width - 10 * count) // 2 + 10 * i
            display.fill(_BLUE if i == page else _NIGHT, x + 2, bottom + 2, 6, 6)
    w, left, gap = (62, 23, 66) if round else (74, 5, 78)
    buttons = []
    for i, name in enumerate(replies):
        place = (left + gap * i, 146 if round else 188, w, 42 if round else 46)
        buttons.append(_button(display, name, _COLORS[i % 3], *place))
    dismiss = ("x", 0, 0, display.width, 44) if round else ("x", 204, 0, 36, 44)
    if round:
        _center(display, "x", 204, _GREY, _BLACK, 3)
        dismiss = ("x", 80, 198, 80, 42)
    return buttons + [dismiss, ("more", 0, 0, display.width, display.height)]


def alarm(display, name, time):
    """An alarm, or a timer that is over. "stop" is all of it."""
    display.fill(_DARK_RED)
    # A bell: its dome, its rim, its clapper
    x = display.width // 2
    for i, half in enumerate((4, 9, 12, 14, 15, 16, 16, 17, 17, 18, 20, 24)):
        display.fill(_AMBER, x - half, 26 + 3 * i, 2 * half, 3)
    display.fill(_AMBER, x - 6, 65, 12, 5)
    _center(display, time, 86, _WHITE, _DARK_RED, 7)
    _center(display, name[:12], 146, _AMBER, _DARK_RED, 2)
    _box(display, _RED, 60, 172, 120, 44)
    _center(display, "Stop", 184, _WHITE, _RED, 3)
    return [("stop", 0, 0, display.width, display.height)]


def low(display, level):
    """The battery is nearly empty: `level` in %. "x" is all of it."""
    display.fill(_BLACK)
    _box(display, _WHITE, 57, 42, 120, 62)
    display.fill(_WHITE, 177, 60, 8, 26)
    display.fill(_BLACK, 62, 47, 110, 52)
    display.fill(_RED, 66, 51, max(102 * level // 100, 4), 44)
    _center(display, "{} %".format(level), 122, _WHITE, _BLACK, 5)
    _center(display, "Battery low", 174, _RED, _BLACK, 2)
    _center(display, "charge me", 198, _GREY, _BLACK, 2)
    return [("x", 0, 0, display.width, display.height)]


def find(display):
    """Where the watch is: as light as it can be. "found" is all of it."""
    display.fill(_WHITE)
    _center(display, "I am", 66, _RED, _WHITE, 6)
    _center(display, "here", 120, _RED, _WHITE, 6)
    _center(display, "touch me", 184, 0x632C, _WHITE, 2)
    return [("found", 0, 0, display.width, display.height)]


def clock(display, back, time, date, level, steps, online):
    """The time, on the picture in the file `back`, where there is one; `date`, (month, day,
    weekday with Monday as 0), `level`, the battery's in %, and `steps` are None where not
    known."""
    try:
        with open(back, "rb") as f:
            display.image(f)
    except OSError:  # there is none, or not all of it
        display.fill(_BLACK)
    _center(display, time, 70, _WHITE, _BLACK, 7, 6)
    if date:
        month, day, week = date
        text = "{} {} {}".format(_WEEK[3 * week :][:3], day, _MONTHS[3 * month - 3 :][:3])
        _center(display, text, 134, _BLUE, _BLACK, 2, 6)
    if steps is not None:
        _center(display, "{} steps".format(steps), 166, _GREY, _BLACK, 2, 6)
    if level is not None:
        _center(display, "{} %".format(level), 36, _GREEN if level > 15 else _RED, _BLACK, 2, 6)
    if not online:
        _center(display, "offline", 196, _AMBER, _BLACK, 2, 6)
    return []
