"""What is done later and again: `every`, `at` and `in`, kept in flash, run as whoever asked."""

import asyncio

from .registry import seconds
from .store import load, save

_LIKE = (
    "; write: every 10m temperature (10s to 366d), every monday at 7:30 relay on, "
    "at 22:00 relay off, at 2026-12-24 18:00 lamp on, in 20m relay off"
)
_DAYS = " monday tuesday wednesday thursday friday saturday sunday day"
_TIME = "{}-{:02}-{:02} {:02}:{:02}"
# An entry is [number, person, line, when, time, period], and in RAM a seventh. `when`: as people
# read it; `time`: Unix time, of a `period` where its grid begins; `period`: 0 once, or seconds,
# or ~minutes for a time of day, with 1440 more a day of the week from Monday, and 7 times that for
# every day. The seventh, None after a restart: the uptime of the last run of a period, or when
# `in` is due; of a time of day the Unix time that it ran for, or at which it was made.


class Schedule:
    """Chat lines to run later as the person who wrote them, with the role that they have then.
    Periods go on by uptime, on a grid that a restart does not move. Times of day are local, and
    wait until the time is known. Once is at most once: it is gone from flash before it runs."""

    #: The most entries, of all people together.
    max_entries = 16
    #: The most characters of a line to run.
    max_line = 120
    #: The shortest period, and the longest, in seconds; people are told of them in _LIKE.
    min_every_s = 10
    max_every_s = 31622400
    #: What was to run once and is late by more seconds, is not run any more.
    late_s = 300
    #: The longest that it sleeps, in seconds: the clock may be set meanwhile.
    tick_s = 30

    def __init__(self, thing):
        self._thing = thing
        self._event = asyncio.Event()
        self._file = file = thing.folder + "schedule.json"
        self._up = thing.clock.uptime_s()
        self._seen = 0  # the time of the last look
        self._entries = entries = []
        try:
            for e in load(file, thing.log).get("entries", ()):
                if [type(v) for v in e] != [int, str, str, str, int, int] or e[5] < -11520:
                    raise TypeError
                if len(entries) < self.max_entries:
                    entries.append(e + [None])
        except TypeError:
            self._entries = []
            thing.log(file + ": damaged: not used")

    def every(self, asker, text):
        """Schedule `10m temperature`, `day at 22:00 relay off`, `monday 7:30 relay on`. Returns
        an answer; raises ValueError with a text for people, as at() and within() do."""
        return self._make(asker, "every ", text)

    def at(self, asker, text):
        """Schedule `22:00 relay off`, for the next one, or `2026-12-24 18:00 lamp on`."""
        return self._make(asker, "at ", text)

    def within(self, asker, text):
        """Schedule `20m relay off`, for in 20 minutes."""
        return self._make(asker, "in ", text)

    def list(self, asker):
        """What is scheduled by `asker`, of an owner by everybody, with the next time of each."""
        return "\n".join([self._show(e, asker) for e in self._of(asker)]) or "no schedules"

    def cancel(self, asker, text):
        """Cancel one of list() by its number, or `all`. Raises ValueError."""
        text = text.strip().lower()
        gone = [e for e in self._of(asker) if text in ("all", str(e[0]))]
        if not gone:
            raise ValueError("no such schedule; write: cancel 1, or cancel all")
        self._drop(gone)
        self._event.set()
        return "\n".join(["cancelled: {3} {2}".format(*e) for e in gone])

    async def run(self):
        """Run what is due, for ever."""
        while True:
            self._event.clear()
            try:
                await asyncio.wait_for(self._event.wait(), await self._look())
            except asyncio.TimeoutError:
                pass

    def _of(self, asker):
        return [e for e in self._entries if asker.rank > 2 or e[1] == asker.person]

    def _make(self, asker, name, text):
        thing = self._thing
        zone = thing.zone
        now = thing.clock.now()
        t = at = now or 0
        once = name != "every "
        day = date = None
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
                if not (0 if once else self.min_every_s) <= period <= self.max_every_s:
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
                t = self._next(period, now)
            elif t <= (now or 0):
                raise ValueError(word + " is over")
            at = None
        if once:
            period = 0
        if not line:
            raise ValueError("nothing to do" + _LIKE)
        line = thing.check(line, asker)
        if len(line) > self.max_line:
            raise ValueError("more than {} characters".format(self.max_line))
        entries = self._entries
        if len(entries) >= self.max_entries:
            raise ValueError("{} are the most; cancel one".format(self.max_entries))
        n = 1
        while n in [e[0] for e in entries]:
            n += 1
        e = [n, asker.person, line, name + word, t, period, at]
        entries.insert(n - 1, e)
        if not self._drop():
            self._entries.remove(e)
            raise ValueError("it cannot be kept")
        self._event.set()
        text = self._show(e, asker)
        if not t and not period:
            text += "; a restart forgets it: I do not know the time"
        return text

    def _next(self, period, after):
        # The first such time of day after a Unix time
        zone = self._thing.zone
        y, m, d, _, _, _, today = zone.local(after)
        for i in range(9):
            t = zone.epoch(y, m, d + i, 0, ~period % 1440)
            if t > after and ~period // 1440 in (7, (today + i) % 7):
                break
        return t

    def _left(self, e, now, up, since):
        # Seconds until an entry is due, 0 or less when it is; None where nobody knows
        t, period, at = e[4:]
        if period > 0:
            gone = up - (at or 0)
            if now is None:
                return period - gone
            # Is the last point of the grid after the last run, give or take half a period?
            over = (now - t) % period
            if at is not None:
                gone -= period // 2
            return 0 if gone > over else period - over
        if at is not None and not period:
            return at - up
        if now is None:
            return None
        if period:
            # It ran for that already, and the clock was set back. If by days, it does not wait
            # for the last of them
            if at and at < now + 86400:
                since = max(since, at)
            t = self._next(period, since)
        return t - now

    def _show(self, e, asker):
        clock = self._thing.clock
        now = clock.now()
        left = self._left(e, now, clock.uptime_s(), now)
        if left is None:
            when = "when I know the time"
        elif now is None:
            when = "in {} s".format(left)
        else:
            when = _TIME.format(*self._thing.zone.local(now + left))
        if e[1] != asker.person:
            when += ", for " + e[1]
        return "{}: {} {}, next: {}".format(e[0], e[3], e[2], when)

    def _drop(self, gone=()):
        # Without `gone`, keeps the rest: whether that went well
        self._entries = [e for e in self._entries if e not in gone]
        # What goes by uptime alone would mean nothing after a restart
        kept = [e[:6] for e in self._entries if e[4] or e[5]]
        return save(self._file, {"entries": kept}, self._thing.log)

    async def _look(self):
        # Runs what is due; returns how many seconds nothing will be
        thing = self._thing
        now = thing.clock.now()
        up = thing.clock.uptime_s()
        # Nothing is late because a line before took its time
        late = self.late_s + up - self._up
        self._up = up
        since = 0
        if now is not None:
            # Not what was before the start, give or take a second: it may have run then. What the
            # clock was set past is not made up for, what it was set back to waits for its time
            since = max(self._seen, now - late, now - up + 1)
            self._seen = now
        wait = self.tick_s
        for e in self._entries[:]:
            left = self._left(e, now, up, since)
            if left is None or e not in self._entries:
                continue
            if left > 0:
                wait = min(wait, left)
                continue
            asker = thing.asker(e[1], "schedule")
            text = "{3} {2}: ".format(*e)
            if not asker.rank:
                thing.log(text + "dropped: no role: " + e[1])
                self._drop([e])
                continue
            if e[5]:
                e[6] = up if e[5] > 0 else now + left
            elif e[6] is None and left < -late:
                try:
                    await thing.say(e[1], "missed: " + text + "I was not running then")
                    self._drop([e])
                except OSError:  # it is told when there is a session
                    pass
                continue
            elif not self._drop([e]):
                # It would run again after a restart
                self._entries.append(e)
                continue
            wait = 0
            try:
                text = await thing.run_line(e[2], asker)
            except Exception as x:
                text = thing.why(x)
            try:
                await thing.say(e[1], text)
            except OSError:
                thing.log("not told: " + text[:80])
        return wait


def _cut(text):
    # The first word, and the rest
    word, rest = (text.split(None, 1) + ["", ""])[:2]
    return word.lower(), rest.strip()
