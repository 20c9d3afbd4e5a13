"""What is done later and again: `every`, `at` and `in`, kept in flash, run as whoever asked."""

import asyncio

from .memory import forget
from .store import load, save

# An entry is [number, person, line, when, time, period], and in RAM a seventh. `when`: as people
# read it; `time`: Unix time, of a `period` where its grid begins; `period`: 0 once, or seconds,
# or ~minutes for a time of day, with 1440 more a day of the week from Monday, and 7 times that for
# every day. The seventh, None after a restart: the uptime of the last run of a period, or when
# `in` is due; of a time of day the Unix time that it ran for, or at which it was made.


class Schedule:
    """Chat lines to run later as the person who wrote them, with the role that they have then.
    Periods go on by uptime, on a grid that a restart does not move. Times of day are local, and
    wait until the time is known. Once is at most once: it is gone from flash before it runs."""

    #: The most entries, of all people together, and of one who is no owner.
    max_entries = 16
    max_own = 4
    #: The most characters of a line to run.
    max_line = 120
    #: The shortest period, and the longest, in seconds; people are told of them in planning.py.
    min_every_s = 10
    max_every_s = 31622400
    #: The shortest period of who is no owner.
    min_own_s = 60
    #: A line that takes longer, in seconds, goes on beside the others; so many may.
    line_s = 30
    max_busy = 2
    #: What was to run once and is late by more seconds, is not run any more.
    late_s = 300
    #: The longest that it sleeps, in seconds: the clock may be set meanwhile.
    tick_s = 30

    def __init__(self, thing):
        self.thing = thing
        #: Set when the entries have changed.
        self.event = asyncio.Event()
        self._file = file = thing.folder + "schedule.json"
        self._up = thing.clock.uptime_s()
        self._seen = 0  # the time of the last look
        self._busy = []  # the tasks of lines that run
        #: As above, in the order of their numbers.
        self.entries = entries = []
        try:
            for e in load(file, thing.log).get("entries", ()):
                if [type(v) for v in e] != [int, str, str, str, int, int] or e[5] < -11520:
                    raise TypeError
                if len(entries) < self.max_entries:
                    entries.append(e + [None])
        except TypeError:
            self.entries = []
            thing.log(file + ": damaged: not used")

    def every(self, asker, text):
        """Schedule `10m temperature`, `day at 22:00 relay off`, `monday 7:30 relay on`. Returns
        an answer; raises ValueError with a text for people, as at(), within() and cancel() do."""
        return self._ask("make", asker, "every ", text)

    def at(self, asker, text):
        """Schedule `22:00 relay off`, for the next one, or `2026-12-24 18:00 lamp on`."""
        return self._ask("make", asker, "at ", text)

    def within(self, asker, text):
        """Schedule `20m relay off`, for in 20 minutes."""
        return self._ask("make", asker, "in ", text)

    def list(self, asker):
        """What is scheduled by `asker`, of an owner by everybody, with the next time of each."""
        return self._ask("listed", asker)

    def cancel(self, asker, text):
        """Cancel one of list() by its number, or `all`."""
        return self._ask("cancel", asker, text)

    def _ask(self, name, *args):
        # What talks to people is only here while it does
        from . import planning

        try:
            return getattr(planning, name)(self, *args)
        finally:
            forget("planning")

    async def run(self):
        """Run what is due, for ever."""
        while True:
            self.event.clear()
            try:
                await asyncio.wait_for(self.event.wait(), await self._look())
            except asyncio.TimeoutError:
                pass

    def next(self, period, after):
        """The first time of day of a `period` after a Unix time."""
        zone = self.thing.zone
        y, m, d, _, _, _, today = zone.local(after)
        for i in range(9):
            t = zone.epoch(y, m, d + i, 0, ~period % 1440)
            if t > after and ~period // 1440 in (7, (today + i) % 7):
                break
        return t

    def left(self, e, now, up, since):
        """Seconds until an entry is due, 0 or less when it is; None where nobody knows."""
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
            t = self.next(period, since)
        return t - now

    def drop(self, gone=()):
        """Keep all but `gone`, in flash too; whether that went well."""
        self.entries = [e for e in self.entries if e not in gone]
        # What goes by uptime alone would mean nothing after a restart
        kept = [e[:6] for e in self.entries if e[4] or e[5]]
        return save(self._file, {"entries": kept}, self.thing.log)

    async def _look(self):
        # Runs what is due; returns how many seconds nothing will be
        thing = self.thing
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
        for e in self.entries[:]:
            left = self.left(e, now, up, since)
            if left is None or e not in self.entries:
                continue
            if left > 0:
                wait = min(wait, left)
                continue
            if len(self._busy) >= self.max_busy:
                wait = 1
                continue
            asker = thing.asker(e[1], "schedule")
            text = "{3} {2}: ".format(*e)
            if not asker.rank:
                thing.log(text + "dropped: no role: " + e[1])
                self.drop([e])
                continue
            if e[5]:
                e[6] = up if e[5] > 0 else now + left
            elif e[6] is None and left < -late:
                try:
                    await thing.say(e[1], "missed: " + text + "I was not running then")
                    self.drop([e])
                except OSError:  # it is told when there is a session
                    pass
                continue
            elif not self.drop([e]):
                # It would run again after a restart
                self.entries.append(e)
                continue
            wait = 0
            await self.beside(self._do(e, asker))
        return wait

    async def beside(self, line):
        """Run a coroutine, and return when it has ended, or takes longer than `line_s`."""
        done = asyncio.Event()

        async def run():
            try:
                await line
            finally:
                self._busy.remove(task)
                done.set()

        task = asyncio.create_task(run())
        self._busy.append(task)
        try:
            await asyncio.wait_for(done.wait(), self.line_s)
        except asyncio.TimeoutError:  # it goes on
            pass

    async def _do(self, e, asker):
        thing = self.thing
        try:
            text = await thing.run_line(e[2], asker)
        except Exception as x:
            text = thing.why(x)
        try:
            await thing.say(e[1], text)
        except OSError:
            thing.log("not told: " + text[:80])
