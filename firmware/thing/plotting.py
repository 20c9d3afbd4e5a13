"""What the chart of a value has to show, and where. Loaded for one, and forgotten when that is
known: what is left then are four bytes for each column, and the texts."""

import asyncio

from .memory import forget
from .chart import BOTTOM, HEIGHT, PALETTE, RIGHT, TOP, WIDTH, painter
from .png import png
from .registry import Occupancy, show

# Seconds between two times on the axis
_STEPS = (60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400)


async def draw(history, entry, seconds, now, zone, thumb=None):
    """The picture as a source: (size in bytes, function that returns an iterator of its pieces),
    which what comes later does not change. The line is the mean of each slot, of what is on or
    off in steps, with a gap where there are none; behind it are the lowest and the highest of
    each. `now`: epoch seconds; `thumb`: a bytearray that gets the line alone, a quarter as wide
    and high, as a PNG."""
    from .font import columns

    name = entry.name
    keep = int(entry.keep)
    unit = entry.unit
    start = now - seconds
    texts = []  # column, first row, columns()

    def write(x, y, text, right=0):
        # From column x on, or up to there (1), or in the middle (0.5)
        text = columns(text)
        x = min(WIDTH - len(text), max(0, x - int((len(text) - 1) * right)))
        texts.append((x, y, text))
        return x

    value = entry.value
    if not isinstance(value, (bool, int, float)):  # history keeps no texts
        value = None
    binary = isinstance(value, bool) or value is None and not unit
    least = 1e31
    most = -least
    total = count = 0
    # What covers the start, too
    for _, mean, low, high in history.recall(name, start - keep + 1, now + 1):
        least = min(least, low)
        most = max(most, high)
        binary = binary and low in (0, 1) and high in (0, 1)
        total += mean
        count += 1
        if not count & 63:
            await asyncio.sleep(0)
    text = "{0}-{1:02}-{2:02} {3:02}:{4:02}".format(*zone.local(now))
    x = write(WIDTH - 4, 3, text, 1)
    texts.append((4, 3, columns(name + (" " + unit if unit else ""))[: (x - 10) // 6 * 6]))
    marks = []  # a value, how it is written
    low, high = 0, 1
    if not count:
        write(WIDTH // 2, 80, "nothing was recorded", 0.5)
    elif binary:
        low, high = -0.1, 1.1
        words = ("empty", "occupied") if isinstance(entry, Occupancy) else ("off", "on")
        marks = [(i, words[i]) for i in (0, 1)]
        i = int(total / count * 100 + 0.5)
        text = "{} {} % of the time".format(words[1], "<1" if i == 0 < total else i)
        write(4, 14, "last {}; {}".format(words[bool(mean if value is None else value)], text))
    else:
        text = "last {}, min {}, max {}"
        value = mean if value is None else value
        far = max(abs(value), abs(least), abs(most)) >= 1e6
        write(
            4,
            14,
            text.format(*["{:.6g}".format(v) if far else show(v) for v in (value, least, most)]),
        )
        marks = _ticks(least, most)
        low = marks[0][0]
        high = marks[-1][0]
    left = max([len(text) for _, text in marks] or [0]) * 6 + 7
    n = RIGHT - left + 1

    def row_of(value):
        i = BOTTOM - int((value - low) * (BOTTOM - TOP) / (high - low) + 0.5)
        return min(BOTTOM, max(TOP, i))

    rows = []
    for value, text in marks:
        y = row_of(value)
        rows.append(y)
        write(left - 4, y - 3, text, 1)
    for step in _STEPS:
        if step * n >= seconds * 35:
            break
    lines = []  # columns of the grid; none where there is only text
    x = 0
    for when, text in _times(zone, start, now, step):
        i = (when - start) * (n - 1) // seconds
        if count:
            lines.append(i)
        i += left - len(text) * 3
        if i >= x:
            x = write(i, BOTTOM + 6, text) + len(text) * 6 + 3
    forget("font")
    # Of each column the first and the last row, of the line and of the range behind it
    line = bytearray(b"\xff" * n), bytearray(n)
    area = bytearray(b"\xff" * n), bytearray(n)
    # What is missing for less than a column is not seen
    gap = max(keep, seconds // n) * 3 // 2
    was = -gap
    # The line so far: where it began, its last point, the last column of its last slot
    begin = x = y = end = 0
    for at, first, last, mean, least, most in _columns(history, name, keep, start, seconds, n):
        over = min(n - 1, max(at, (last + keep - 1 - start) * n // seconds))
        for to in range(at, over + 1):
            _join(area, to, row_of(most), to, row_of(least))
        to = row_of(mean)
        if first - was > gap:
            _end(line, begin, x, y, end)
            begin = x = at
            y = to
        if binary:
            _join(line, x, y, at, y)
            _join(line, at, y, at, to)
            x = over
            _join(line, at, to, x, to)
        else:
            i = (at + over) // 2
            _join(line, x, y, i, to)
            x = i
        y = to
        end = over
        was = last
        if not at & 31:
            await asyncio.sleep(0)
    _end(line, begin, x, y, end)
    if thumb is not None:
        _, pieces = png(WIDTH // 4, HEIGHT // 4, 1, PALETTE[:3] + PALETTE[9:], _small(*line))
        for piece in pieces():
            thumb.extend(piece)
    return png(WIDTH, HEIGHT, 2, PALETTE, painter(texts, rows, lines, left, line, area))


def _small(top, bottom):
    # The row() of the thumbnail: the plot fills it
    n = len(top)
    size = WIDTH // 4
    plot = BOTTOM - TOP + 1

    def row(y, line):
        first = TOP + y * plot // (HEIGHT // 4)
        y = TOP + (y + 1) * plot // (HEIGHT // 4)
        for x in range(len(line)):
            line[x] = 0
        for i in range(size):
            begin = i * n // size
            end = (i + 1) * n // size
            if min(top[begin:end]) < y and max(bottom[begin:end]) >= first:
                line[i >> 3] |= 0x80 >> (i & 7)

    return row


def _columns(history, name, keep, start, seconds, n):
    # The slots by the one of n columns they begin in: the column, when the first and the last of
    # them began, their mean, the lowest, the highest
    x = -1
    first = last = total = count = least = most = 0
    for when, mean, low, high in history.recall(name, start - keep + 1, start + seconds + 1):
        at = max(0, min(n - 1, (when - start) * n // seconds))
        if at != x:
            if x >= 0:
                yield x, first, last, total / count, least, most
            x = at
            first = when
            total = count = 0
            least = low
            most = high
        last = when
        total += mean
        count += 1
        least = min(least, low)
        most = max(most, high)
    if x >= 0:
        yield x, first, last, total / count, least, most


def _join(pair, x, y, end, to):
    # A line from column x, row y to column `end`, row `to`, without a hole
    top, bottom = pair
    was = y
    for i in range(x, end + 1):
        now = y + (to - y) * (i - x) // (end - x) if i < end else to
        top[i] = min(top[i], was, now)
        bottom[i] = max(bottom[i], was, now)
        was = now


def _end(pair, begin, x, y, end):
    # The line ends with its last slot; three columns of it are seen in any case
    if y:
        if end - begin < 2:
            x = max(0, begin - 1)
            end = min(len(pair[0]) - 1, end + 1)
        _join(pair, x, y, end, y)


def _ticks(low, high):
    # (value, text) of up to seven lines, 1, 2 or 5 times a power of ten apart; the first is not
    # above `low`, the last not below `high`. Floats of 32 bits tell no less apart than 1e-6 of one
    size = max(abs(low), abs(high))
    span = max(high - low, size * 1e-5) if high > low else size / 4 or 1
    for e in range(-31, 32):
        if 5 * float("5e{}".format(e)) >= span:
            break
    for step in (1, 2, 5):
        step = float("{}e{}".format(step, e))
        if 5 * step >= span:
            break
    first = int(low // step)
    last = -int(-high // step)
    if high <= low or first == last:
        first -= 1
        last += 1
    form = "{:.%df}" % max(0, -e) if -4 <= e and size < 1e6 else "{:.6g}"
    return [(i * step, form.format(i * step)) for i in range(first, last + 1)]


def _times(zone, start, now, step):
    # (epoch, text) of the local times that `step` divides: the hour, or the day. By the hour, as
    # some days have 23
    small = min(step, 3600)
    _, _, _, _, minute, second, _ = zone.local(start)
    at = start + -(minute * 60 + second) % small
    while at <= now:
        _, _, day, hour, minute, _, weekday = zone.local(at)
        minute += hour * 60
        if not minute * 60 % step:
            if minute or now - start <= 86400:
                yield at, "{:02}:{:02}".format(hour, minute % 60)
            else:
                weekday *= 2
                yield at, "{} {}".format("MoTuWeThFrSaSu"[weekday : weekday + 2], day)
        at += small
