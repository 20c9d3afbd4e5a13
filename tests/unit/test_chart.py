"""The chart of a value: what is where in the picture, whatever the values are, and memory."""

import asyncio
import math
import sys

from helper import MICROPYTHON, allocated, assert_none
from pictures import Picture, sent
from thing.chart import HEIGHT, PALETTE, WIDTH
from thing.font import FONT, columns, glyph
from thing.plotting import draw
from thing.registry import Control, Occupancy, Sensor
from thing.zone import Zone

HEAP = "1500k"

BERLIN = Zone("CET-1CEST,M3.5.0,M10.5.0/3")
NOW = 1795343250  # Su 2026-11-22 11:27:30 in Berlin
DAY = 86400
GRID, TEXT, LINE = 1, 2, 3


class Kept:
    """Slots as History.recall() tells them: `value(when)` is None or (mean, low, high)."""

    def __init__(self, keep, value):
        self.keep = keep
        self.value = value
        self.asked = 0

    def recall(self, name, since, until):
        self.asked += 1
        keep = self.keep
        # MicroPython's range() of 32 bits does not go so far
        when = -(-since // keep) * keep - keep
        while when < until - keep:
            when += keep
            values = self.value(when)
            if values is not None:
                yield (when,) + (values if isinstance(values, tuple) else (values,) * 3)


class Chart(Picture):
    """The picture of an entry, and what can be read in it."""

    def __init__(self, entry, value, seconds=DAY, now=NOW, zone=BERLIN):
        kept = Kept(entry.keep, value)
        source = asyncio.run(draw(kept, entry, seconds, now, zone))
        super().__init__(sent(source))
        assert (self.width, self.height, self.depth) == (WIDTH, HEIGHT, 2)
        assert self.palette == PALETTE
        self.start = now - seconds
        self.seconds = seconds
        axis = [row.find(bytes([TEXT])) for row in self.rows[26:142]]
        self.left = max(axis) + 1
        self.width = 312 - self.left
        self.lines = self._columns(LINE)
        self.areas = self._columns(GRID)

    def _columns(self, color):
        # The rows of that color in each column of the plot
        found = [[] for _ in range(WIDTH)]
        for y in range(26, 143):
            x = self.rows[y].find(bytes([color]))
            while x >= 0:
                found[x].append(y)
                x = self.rows[y].find(bytes([color]), x + 1)
        return found

    def places(self, text):
        """The (column, row) of each place where `text` stands."""
        wanted = columns(text)[:-1]
        wanted = [bytes([TEXT * (c >> y & 1) for c in wanted]) for y in range(7)]
        most = [sum(row) for row in wanted]
        most = most.index(max(most))
        found = []
        for y in range(HEIGHT - 6):
            x = self.rows[y + most].find(wanted[most])
            while x >= 0:
                if [self.rows[y + i][x : x + len(wanted[0])] for i in range(7)] == wanted:
                    found.append((x, y))
                x = self.rows[y + most].find(wanted[most], x + 1)
        return found

    def says(self, *texts):
        for text in texts:
            assert len(self.places(text)) == 1, (text, self.places(text))

    def column(self, when):
        return self.left + (when - self.start) * self.width // self.seconds

    def line(self, x):
        """The rows of the line in column x."""
        return self.lines[x]

    def area(self, x):
        """Those and the rows of what is behind it."""
        return sorted(self.areas[x] + self.lines[x])

    def empty(self):
        return [x for x in range(self.left, 312) if not self.lines[x]]

    def scale(self, low, high):
        """A function from values to rows, by the two of them that are written at the axis."""
        (_, a), (_, b) = [self.label(text) for text in (low, high)]
        low, high = float(low), float(high)
        return lambda value: a + 3 + (value - low) * (b - a) / (high - low)

    def label(self, text):
        found = [
            (x, y)
            for x, y in self.places(text)
            if x + len(text) * 6 == self.left - 3
            and not sum([sum(row[max(0, x - 6) : x]) for row in self.rows[y : y + 7]])
        ]
        assert len(found) == 1, (text, found)
        return found[0]


def sensor(name="temperature", unit="\u00b0C", keep=300):
    return Sensor(name, None, unit=unit, keep=keep)


def test_font():
    assert len(FONT) == 97 * 5
    glyphs = [glyph(c) for c in list(range(32, 127)) + [0xB0, 0xB5]]
    assert len(set(glyphs)) == 97 and max(FONT) < 128 and not any(glyphs[0])
    assert glyph(0x41) == b"\x7e\x11\x11\x11\x7e"
    # What is not in it has one sign, however many bytes it takes
    unknown = glyph(63) + b"\0"
    assert [glyph(c) for c in (-1, 0, 31, 127, 128, 0x3BC, 1 << 20)] == [unknown[:5]] * 7
    text = "a\u00b0\u00b5\u00e4\u20ac\U0001f600\u0430\u00b3z"
    blank = b"\0"
    assert columns(text) == (
        glyph(0x61) + blank + glyph(0xB0) + blank + glyph(0xB5) + blank
        + unknown * 5 + glyph(0x7A) + blank
    )  # fmt: skip
    assert columns("") == b""


def course(when):
    h = when % DAY / 3600
    if 2 <= h < 4:
        return None
    mean = 20 + 4 * math.sin((h - 9) / 24 * 6.2832)
    return mean, mean - 1, mean + 0.5


def test_day():
    t = sensor()
    t.value = 19.25
    c = Chart(t, course)
    c.says(
        "temperature \u00b0C", "2026-11-22 11:27", "last 19.25, min 15", "12:00", "00:00", "09:00"
    )
    row = c.scale("16", "24")
    wrong = []
    for i in range(1, DAY // 300):
        when = (c.start // 300 + i) * 300
        values = course(when)
        if values:
            x = c.column(when + 130)
            rows, area = c.line(x), c.area(x)
            y = row(values[0])
            if not rows or not rows[0] - 1.6 <= y <= rows[-1] + 1.6 or len(rows) > 5:
                wrong.append((when, x, y, rows))
            elif area[0] > row(values[2]) + 2 or area[-1] < row(values[1]) - 2:
                wrong.append((when, x, area))
    assert_none(wrong)
    # Nothing between 2 and 4 o'clock UTC, and nowhere else
    begin = NOW // DAY * DAY + 2 * 3600
    gap = c.empty()
    assert abs(gap[0] - c.column(begin)) <= 1 and abs(gap[-1] - c.column(begin + 7200)) <= 1
    assert gap == list(range(gap[0], gap[-1] + 1))


def test_slots_wider_than_columns():
    # Each begins in a column of its own and lasts for eleven: one missing is seen
    t = sensor(keep=3600)
    missing = (NOW // 3600 - 5) * 3600
    c = Chart(t, lambda when: None if when == missing else when % 7200 / 3600)
    row = c.scale("0.0", "1.0")
    for i in range(1, 23):
        when = (c.start // 3600 + i) * 3600
        rows = c.line(c.column(when + 1800))
        if when == missing:
            assert not rows
        else:
            y = row(when % 7200 / 3600)
            assert min([abs(y - r) for r in rows]) <= 3, (when, y, rows)
    gap = c.empty()
    assert 10 <= len(gap) <= 24 and c.column(missing + 1800) in gap


def test_slots_narrower_than_columns():
    # A missing one is not seen, a missing column is
    t = sensor(keep=60)
    c = Chart(t, lambda when: None if when % 180 == 60 else 5.5)
    assert not c.empty()
    c = Chart(t, lambda when: None if when % 7200 < 1200 else 5.5)
    assert 11 * 3 <= len(c.empty()) <= 12 * 5


def test_one_value_and_none():
    t = sensor()
    when = NOW // 300 * 300 - 6000
    c = Chart(t, lambda at: 21.5 if at == when else None)
    c.says("last 21.5, min 21.5, max 21.5")
    seen = [x for x in range(c.left, 312) if c.line(x)]
    assert c.column(when) in seen and 3 <= len(seen) <= 4
    y = c.scale("20", "22")(21.5)
    assert not [x for x in seen if not min(c.line(x)) - 1 <= y <= max(c.line(x)) + 1]
    # At both ends
    for at in (NOW // 300 * 300, NOW - DAY + 150):
        c = Chart(t, lambda when: 21.5 if when // 300 == at // 300 else None, now=NOW + 1)
        assert 2 <= len(c.empty()) < 320
    c = Chart(t, lambda at: None)
    c.says("temperature \u00b0C", "nothing was recorded", "15:00", "2026-11-22 11:27")
    assert not c.places("min") and len(c.empty()) == c.width


VALUES = (
    # values in turn, two labels that are there, what is said
    ((-7.25,), "-8.0", "-6.5", "last -7.25, min -7.25, max -7.25"),
    ((0,), "-0.2", "0.2", "last 0, min 0, max 0"),
    ((-3, -12), "-12", "-2", "min -12, max -3"),
    ((-5, 5), "-4", "4", "min -5, max 5"),
    ((1e29, -1e29), "-1e+29", "5e+28", "min -1e+29, max 1e+29"),
    ((2e-9, 9e-9), "2e-09", "8e-09", "min 2e-09, max 9e-09"),
    ((0, 1234567,), "500000", "1e+06", None),
    ((0.001, 0.0035), "0.0010", "0.0030", "min 0.001, max 0.0035"),
    ((1013.2, 1013.6), "1013.2", "1013.6", "min 1013.2, max 1013.6"),
    # Less than 32 bits tell apart
    ((1013, 1013.0001), "1012.995", "1013.005", "min 1013, max 1013"),
    ((400000000, 400000001), "4e+08", None, "max 4e+08"),
)  # fmt: skip


def test_values():
    wrong = []
    for values, low, high, text in VALUES:
        t = sensor(keep=3600)
        try:
            c = Chart(t, lambda when: float(values[when // 3600 % len(values)]))
            assert not text or c.places(text), "says something else"
            assert not c.empty(), "gaps"
            if high:
                row = c.scale(low, high)
                for value in values if low != "500000" else ():
                    assert 25.4 <= row(value) <= 142.6, "beyond"
            else:
                c.label(low)
        except Exception as e:
            wrong.append((values, repr(e)))
    assert_none(wrong)


def test_on_and_off():
    # Steps: only at its two levels and where it changes
    def when_on(when):
        return 1.0 if when // 3600 % 3 == 0 else 0.0

    for entry, words in (
        (Control("lamp", None, bool, keep=900), ("off", "on")),
        (Occupancy("presence", None, keep=900), ("empty", "occupied")),
        (sensor("door", "", 900), ("off", "on")),
    ):
        for value in (None, True):
            entry.value = value
            c = Chart(entry, when_on)
            y = {c.label(words[0])[1] + 3, c.label(words[1])[1] + 3}
            c.says("last {}; {} 3".format(words[bool(value)], words[1]))
            assert len(y) == 2
            steps = 0
            for x in range(c.left, 312):
                rows = c.line(x)
                if len(rows) > 2:
                    assert len(rows) >= max(y) - min(y)
                    steps += 1
                elif rows:
                    assert rows[-1] in y, (x, rows)
            assert steps in (15, 16, 17), steps
    # As a number it is one
    entry = Sensor("duty", None, unit="%", keep=900)
    Chart(entry, when_on).says("last 0, min 0, max 1")
    # Both in one slot
    c = Chart(sensor("door", "", 3600), lambda when: (0.25, 0.0, 1.0))
    c.says("last on; on 25 % of the time")
    assert len(c.area(200)) > 60 and len(c.line(200)) == 2
    Chart(sensor("door", "", 3600), lambda when: (1e-4, 0.0, 1.0)).says("<1 % of the time")


def test_times():
    t = sensor()
    week = Chart(t, lambda when: 1.0, 7 * DAY)
    week.says("Mo 16", "Tu 17", "We 18", "Th 19", "Fr 20", "Sa 21", "Su 22")
    Chart(t, lambda when: 1.0, 3600).says("10:30", "10:50", "11:20")
    Chart(t, lambda when: 1.0, 600).says("11:20", "11:26")
    Chart(sensor(keep=5), lambda when: 1.0, 60).says("last 1")
    Chart(t, lambda when: 1.0, 2 * DAY).says("Sa 21", "Su 22")
    # A day of 23 hours, where there is no room for the time after the gap, and one of 25
    for now, hours in ((1774789200, (2, 3)), (1792929600, (4, 3))):
        c = Chart(t, lambda when: 1.0, now=now)
        c.says("00:00", "06:00", "09:00")
        assert len(c.places("03:00")) == (hours[0] > 2)
        middle = [c.places(text)[0][0] for text in ("00:00", "06:00", "09:00")]
        for a, b, hour in ((0, 1, sum(hours)), (1, 2, 3)):
            assert abs(middle[b] - middle[a] - hour * c.width / 24) < 2
    # Half an hour off
    c = Chart(t, lambda when: 1.0, zone=Zone("<+0530>-5:30"))
    c.says("2026-11-22 15:57", "18:00", "12:00")


def test_names():
    long = sensor("outside-temperature-of-the-old-greenhouse-behind", "\u00b5g/m\u00b3")
    c = Chart(long, lambda when: 1.0)
    c.says("outside-temperature-of-the-old-gree", "2026-11-22 11:27")
    Chart(sensor("\u00e4u\u00dfen", "\u00b5W"), lambda when: 1.0).says("?u?en \u00b5W")


def test_it_changes_meanwhile():
    # What is told the second time is another story
    for later in (None, 1e29, -1e29):
        kept = Kept(300, None)
        kept.value = lambda when: 5.0 if kept.asked == 1 else later
        source = asyncio.run(draw(kept, sensor(), DAY, NOW, BERLIN))
        assert kept.asked == 2
        kept.value = None
        # And nothing is asked any more
        assert sent(source) == sent(source)


def test_memory_and_turns():
    # A week of minutes; the loop has its turns
    turns = 0

    async def others():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main():
        task = asyncio.create_task(others())
        await asyncio.sleep(0)
        before = allocated()
        t = sensor(keep=120)
        made = await draw(Kept(120, lambda when: 5.0 + when % 7), t, 7 * DAY, NOW, BERLIN)
        after = allocated() - before
        task.cancel()
        return made, after

    made, after = asyncio.run(main())
    assert turns > 60, turns
    assert not MICROPYTHON or after < (5600 if sys.maxsize < 1 << 32 else 9500), after
    sent(made)
