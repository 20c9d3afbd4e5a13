"""What people say of schedules, and what they are told: loaded for it by `schedule`."""

from .registry import seconds

_TIME = "{}-{:02}-{:02} {:02}:{:02}"

_LIKE = (
    "; write: every 10m temperature (10s to 366d), every monday at 7:30 relay on, "
    "at 22:00 relay off, at 2026-12-24 18:00 lamp on, in 20m relay off"
)
_DAYS = " monday tuesday wednesday thursday friday saturday sunday day"


def make(schedule, asker, name, text):
    """Schedule what `name`, "every ", "at " or "in ", and `text` say; returns an answer. Raises
    ValueError with a text for people."""
    thing = schedule.thing
    zone = thing.zone
    now = thing.clock.now()
    t = at = now or 0
    once = name != "every "
    day = date = None
    least = schedule.min_every_s if asker.rank > 2 else schedule.min_own_s
    word, line = _cut(text)
    if name == "at ":
        day = 7
        if "-" in word:
            date = word
            word, line = _cut(line)
    elif not once:
        before, found, rest = _DAYS.partition(" " + word)
        if found and word[2:]:
            day = before.count(" ")
            name += (word + rest).split()[0] + " at "
            word, line = _cut(line)
            if word == "at":
                word, line = _cut(line)
    try:
        if day is None:
            # "90 min"
            if word == word.upper():
                said, line = _cut(line)
                word += " " + said
            period = int(seconds(word))
            if not (0 if once else least) <= period <= schedule.max_every_s:
                raise ValueError
            at = thing.clock.uptime_s()
            if once:
                at += period
                t = t and t + period
        else:
            h, _, m = word.partition(":")
            h = int(h) % 24
            m = int(m) % 60
            said = "{:02}:{:02}".format(h, m)
            if said not in (word, "0" + word):
                raise ValueError
            word = said
            period = ~(day * 1440 + h * 60 + m)
            if date:
                word = date + " " + said
                # Later, 32 bits do not tell the time on some boards
                if not "2025" < date < "2038":
                    raise ValueError
                y, mo, d = date.split("-")
                t = zone.epoch(y, mo, d, h, m)
                if _TIME.format(*zone.local(t)).partition(" ")[0] != date:
                    raise ValueError
    except ValueError:
        raise ValueError((word[:32].strip() or "that") + " is not a time" + _LIKE)
    if name == "at ":
        if not date:
            if now is None:
                raise ValueError("I do not know the time yet; say the date, too")
            t = schedule.next(period, now)
        elif t <= (now or 0):
            raise ValueError(word + " is over")
        at = None
    if once:
        period = 0
    if not line:
        raise ValueError("nothing to do" + _LIKE)
    line = thing.check(line, asker)
    if len(line) > schedule.max_line:
        raise ValueError("more than {} characters".format(schedule.max_line))
    entries = schedule.entries
    if len(entries) >= schedule.max_entries:
        raise ValueError("{} are the most; cancel one".format(schedule.max_entries))
    own = len([e for e in entries if e[1] == asker.person])
    if asker.rank < 3 and own >= schedule.max_own:
        raise ValueError("{} are the most for you; cancel one".format(own))
    n = 1
    while n in [e[0] for e in entries]:
        n += 1
    e = [n, asker.person, line, name + word, t, period, at]
    entries.insert(n - 1, e)
    if not schedule.drop():
        schedule.entries.remove(e)
        raise ValueError("it cannot be kept")
    schedule.event.set()
    text = _show(schedule, e, asker)
    if not t and not period:
        text += "; a restart forgets it: I do not know the time"
    return text


def listed(schedule, asker):
    """What is scheduled by `asker`, of an owner by everybody, with the next time of each."""
    return "\n".join([_show(schedule, e, asker) for e in _of(schedule, asker)]) or "no schedules"


def cancel(schedule, asker, text):
    """Cancel one of list() by its number, or `all`. Raises ValueError."""
    text = text.strip().lower()
    gone = [e for e in _of(schedule, asker) if text in ("all", str(e[0]))]
    if not gone:
        raise ValueError("no such schedule; write: cancel 1, or cancel all")
    schedule.drop(gone)
    schedule.event.set()
    return "\n".join(["cancelled: {3} {2}".format(*e) for e in gone])


def _of(schedule, asker):
    return [e for e in schedule.entries if asker.rank > 2 or e[1] == asker.person]


def _show(schedule, e, asker):
    clock = schedule.thing.clock
    now = clock.now()
    left = schedule.left(e, now, clock.uptime_s(), now)
    if left is None:
        when = "when I know the time"
    elif now is None:
        when = "in {} s".format(left)
    else:
        when = _TIME.format(*schedule.thing.zone.local(now + left))
    if e[1] != asker.person:
        when += ", for " + e[1]
    return "{}: {} {}, next: {}".format(e[0], e[3], e[2], when)


def _cut(text):
    # The first word, and the rest
    word, rest = (text.split(None, 1) + ["", ""])[:2]
    return word.lower(), rest.strip()
