"""Local time by a POSIX TZ rule (IEEE Std 1003.1 section 8.3; RFC 8536 section 3.3.1 for hours
beyond a day). Pure: no file of zones is needed, and none is read."""

import time

from .clock import BASE, parse


def of(thing):
    """As Thing.zone."""
    config = thing.config
    try:
        return Zone(config.get("timezone", "UTC0"))
    except ValueError as e:
        thing.log("timezone: {}: UTC is used".format(e))
        config["timezone"] = "UTC0"
        return Zone("UTC0")


class Zone:
    """The local time of a place. `rule`: "CET-1CEST,M3.5.0,M10.5.0/3", "UTC0", "<+0530>-5:30";
    as POSIX has it, hours are positive to the west. Dates are Mm.w.d; its forms Jn and n, which
    no place of today needs, are refused. Raises ValueError."""

    def __init__(self, rule="UTC0"):
        head, *dates = rule.lower().split(",")
        self._dates = []
        try:
            std, head = _offset(head, None)
            dst = std
            if dates:
                dst, head = _offset(head, std + 3600)
            # None of them, or two
            if head or len(dates) & ~2:
                raise ValueError
            for text in dates:
                text, _, at = text.partition("/")
                m, week, d = [_number(n, 12) for n in text[1:].split(".")]
                if not (text.startswith("m") and m and 0 < week < 6 and d < 7):
                    raise ValueError
                self._dates.append((m, week, d, _seconds(at or "2", 167)))
        except ValueError:
            raise ValueError(rule[:64] + ": must be like CET-1CEST,M3.5.0,M10.5.0/3")
        self._std = std
        self._dst = dst

    def offset(self, epoch):
        """Seconds east of UTC at Unix time `epoch`."""
        if self._dates:
            start, end = self._turns(time.gmtime(epoch + self._std - BASE)[0])
            # Where it ends in a year before it begins, it is summer in the south
            if (start <= epoch) + (epoch < end) + (end < start) == 2:
                return self._dst
        return self._std

    def local(self, epoch):
        """(year, month, day, hour, minute, second, weekday with Monday as 0) at `epoch`."""
        return time.gmtime(epoch + self.offset(epoch) - BASE)[:7]

    def epoch(self, y, m, d, h, mi):
        """Unix time of a local time; `d`, `h` and `mi` may go past their ends. A time that the
        clocks skip means the moment after the gap, one that comes twice the first."""
        at = parse("{}-{}-{}T{}:{}:0".format(y, m, d, h, mi))
        first = at - max(self._std, self._dst)
        last = at - min(self._std, self._dst)
        for e in (first, last):
            if e + self.offset(e) == at:
                return e
        for e in self._turns(y):
            if first < e <= last:
                return e
        return last

    def _turns(self, y):
        # When summer time begins and ends in a year
        at = self._std
        turns = []
        for m, week, d, seconds in self._dates:
            # A week's first day, the fifth's being the last week of the month
            day = parse("{}-{}-{}T0:0:0".format(y, m + week // 5, week % 5 * 7)) // 86400 - 6
            # 1970-01-01 was a Thursday
            turns.append((day + (d - 4 - day) % 7) * 86400 + seconds - at)
            at = self._dst
        return turns


def _offset(text, usual):
    # Seconds east, and what follows, in a text that begins with a name
    if text.startswith("<"):
        rest = text.partition(">")[2]
    else:
        rest = text.lstrip("abcdefghijklmnopqrstuvwxyz")
    if len(text) - len(rest) < 3:
        raise ValueError
    text = rest.lstrip("+-:0123456789")
    rest = rest[: len(rest) - len(text)]
    if rest or usual is None:
        usual = -_seconds(rest, 24)
    return usual, text


def _seconds(text, most):
    # [+-]hh[:mm[:ss]]
    n = 0
    unit = -3600 if text.startswith("-") else 3600
    for part in text[text[:1] in "+-" :].split(":"):
        n += _number(part, most) * unit
        unit = int(unit / 60)
        most = 59 if unit else -1
    return n


def _number(text, most):
    # Not isdigit(): CPython would take those of other scripts, too
    if text.strip("0123456789") or int(text) > most:
        raise ValueError
    return int(text)
