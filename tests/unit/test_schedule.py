"""The scheduler: what people type, when it runs, restarts, power cuts, and clocks that jump."""

import asyncio
import json
import os

from helper import MICROPYTHON, assert_none, raises, temporary
from thing import schedule, store
from thing.clock import parse
from thing.schedule import Schedule
from thing.zone import Zone

HEAP = "1200k"
LIMIT_S = 30

ROMEO = "romeo@example.org"
JULIET = "juliet@example.org"
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"


def driven(coro):
    """What a coroutine returns that has nothing to wait for."""
    try:
        coro.send(None)
    except StopIteration as e:
        return e.value
    raise AssertionError("it waits")


def utc(text):
    return parse(text.replace(" ", "T") + ":00Z")


# A Sunday, in winter
NOW = utc("2026-11-22 10:00")


class Clock:
    def __init__(self, now, up):
        self.time = now
        self.up = up

    def now(self):
        return self.time

    def uptime_s(self):
        return self.up


class Asker:
    def __init__(self, person, rank):
        self.person = person
        self.rank = rank
        self.via = "chat"


class Here(Schedule):
    """Without a loop, and with no less for those who are no owners."""

    max_own = Schedule.max_entries
    min_own_s = Schedule.min_every_s

    async def beside(self, line):
        await line


class PowerCutError(BaseException):
    pass


class Fake:
    """What a Schedule knows of a Thing, with time driven by hand; a folder of its own."""

    def __init__(self, now=NOW, zone="UTC0", up=100):
        self.folder = temporary("schedule")
        os.mkdir(self.folder)
        self.folder += "/"
        self.path = self.folder + "schedule.json"
        self.zone = Zone(zone)
        self.ranks = {ROMEO: 2, JULIET: 3}
        self.online = True
        self.before = None  # called with each line before it runs
        self.start(now, up)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for name in os.listdir(self.folder):
            os.remove(self.folder + name)
        os.rmdir(self.folder[:-1])

    def start(self, now, up=0):
        """The device starts, again."""
        self.clock = Clock(now, up)
        self.lines = []
        self.ran = []
        self.said = []
        self.schedule = Here(self)

    def log(self, line):
        self.lines.append(line)

    def asker(self, person, via="schedule"):
        assert via == "schedule"
        return Asker(person, self.ranks.get(person, 0))

    def check(self, line, asker):
        if line.startswith("nonsense"):
            raise ValueError("I do not know nonsense. Try help.")
        return " ".join(line.split())

    async def run_line(self, line, asker):
        if self.before:
            self.before(line)
        self.ran.append((asker.person, asker.rank, line))
        return line + ": done"

    async def say(self, person, text):
        if not self.online:
            raise OSError("offline")
        self.said.append((person, text))

    def why(self, e):
        return str(e)

    def make(self, text, person=ROMEO):
        """The answer, or the complaint, to a chat line."""
        name, _, rest = text.partition(" ")
        names = {"in": "within", "schedules": "list"}
        asker = self.asker(person)
        try:
            do = getattr(self.schedule, names.get(name, name))
            return do(asker) if name == "schedules" else do(asker, rest)
        except ValueError as e:
            return str(e)

    def look(self):
        """What runs now."""
        self.ran = []
        wait = 0
        looks = 0
        while not wait:
            looks += 1
            assert looks < 4
            wait = driven(self.schedule._look())
        assert 0 < wait <= Schedule.tick_s, wait
        self.wait = wait
        return [line for _, _, line in self.ran]

    def pass_s(self, seconds, step=None):
        """How often something ran while so many seconds went by, with looks as run() has them."""
        runs = []
        end = self.clock.up + seconds
        while True:
            runs += self.look()
            left = end - self.clock.up
            if left <= 0:
                return runs
            self.move(min(left, self.wait if step is None else step))

    def move(self, seconds):
        self.clock.up += seconds
        if self.clock.time is not None:
            self.clock.time += seconds

    def kept(self):
        """The entries in the file."""
        try:
            with open(self.path) as f:
                return json.load(f)["entries"]
        except OSError:
            return []


def each(table, check):
    assert_none([check(*row) for row in table])


# In UTC
GOOD = (
    ("every 10m temperature", "1: every 10m temperature, next: 2026-11-22 10:10"),
    ("every 90 min temperature", "1: every 90 min temperature, next: 2026-11-22 11:30"),
    ("every 10s  temperature  now ", "1: every 10s temperature now, next: 2026-11-22 10:00"),
    ("every 1,5h temperature", "1: every 1,5h temperature, next: 2026-11-22 11:30"),
    ("every 366d status", "1: every 366d status, next: 2027-11-23 10:00"),
    ("every day at 22:00 relay off", "1: every day at 22:00 relay off, next: 2026-11-22 22:00"),
    ("every DAY AT 9:30 relay off", "1: every day at 09:30 relay off, next: 2026-11-23 09:30"),
    ("every day 10:00 relay off", "1: every day at 10:00 relay off, next: 2026-11-23 10:00"),
    ("every sun 10:01 a", "1: every sunday at 10:01 a, next: 2026-11-22 10:01"),
    ("every sunday 10:00 a", "1: every sunday at 10:00 a, next: 2026-11-29 10:00"),
    ("every Mon 7:30 a", "1: every monday at 07:30 a, next: 2026-11-23 07:30"),
    ("every TUESDAY at 0:00 a", "1: every tuesday at 00:00 a, next: 2026-11-24 00:00"),
    ("every wed at 23:59 a", "1: every wednesday at 23:59 a, next: 2026-11-25 23:59"),
    ("every thurs 7:30 a", "1: every thursday at 07:30 a, next: 2026-11-26 07:30"),
    ("every fri 7:30 a", "1: every friday at 07:30 a, next: 2026-11-27 07:30"),
    ("every sat 07:30 a", "1: every saturday at 07:30 a, next: 2026-11-28 07:30"),
    ("at 22:00 relay off", "1: at 22:00 relay off, next: 2026-11-22 22:00"),
    ("at 10:00 relay off", "1: at 10:00 relay off, next: 2026-11-23 10:00"),
    ("at 7:05 relay Off", "1: at 07:05 relay Off, next: 2026-11-23 07:05"),
    (
        "at 2026-12-24 18:00 lamp on",
        "1: at 2026-12-24 18:00 lamp on, next: 2026-12-24 18:00",
    ),
    ("at 2028-02-29 8:00 lamp on", "1: at 2028-02-29 08:00 lamp on, next: 2028-02-29 08:00"),
    ("at 2037-12-31 23:59 lamp on", "1: at 2037-12-31 23:59 lamp on, next: 2037-12-31 23:59"),
    ("in 20m relay off", "1: in 20m relay off, next: 2026-11-22 10:20"),
    ("in 0s relay off", "1: in 0s relay off, next: 2026-11-22 10:00"),
    ("in 1s relay off", "1: in 1s relay off, next: 2026-11-22 10:00"),
    ("in 2 hours relay off", "1: in 2 hours relay off, next: 2026-11-22 12:00"),
    ("schedules", "no schedules"),
)


def test_what_people_type():
    def check(text, answer):
        with Fake() as thing:
            said = thing.make(text)
            listed = thing.make("schedules")
            if said != answer or listed != answer:
                return text, said, listed
            return None

    each(GOOD, check)


LIKE = (
    "; write: every 10m temperature (10s to 366d), every monday at 7:30 relay on, "
    "at 22:00 relay off, at 2026-12-24 18:00 lamp on, in 20m relay off"
)
NO_TIME = " is not a time" + LIKE
NOTHING = "nothing to do" + LIKE
WHICH = "no such schedule; write: cancel 1, or cancel all"
BAD = (
    ("every", "that" + NO_TIME),
    ("every  ", "that" + NO_TIME),
    ("every temperature", "temperature" + NO_TIME),
    ("every 10m", NOTHING),
    ("every 10m   ", NOTHING),
    ("every 90 min", NOTHING),
    ("every 10 temperature", "10 temperature" + NO_TIME),
    ("every 10", "10" + NO_TIME),
    ("every 9s temperature", "9s" + NO_TIME),
    ("every 0s temperature", "0s" + NO_TIME),
    ("every -10m temperature", "-10m" + NO_TIME),
    ("every 367d temperature", "367d" + NO_TIME),
    ("every 999999999999999999999d temperature", "999999999999999999999d" + NO_TIME),
    ("every infs temperature", "infs" + NO_TIME),
    ("every nans temperature", "nans" + NO_TIME),
    ("every \u0661\u0660m temperature", "\u0661\u0660m" + NO_TIME),
    ("every \u202e10m temperature", "\u202e10m" + NO_TIME),
    ("every " + "x" * 1000 + " temperature", "x" * 32 + NO_TIME),
    ("every mo 7:30 a", "mo" + NO_TIME),
    ("every mondays 7:30 a", "mondays" + NO_TIME),
    ("every montag 7:30 a", "montag" + NO_TIME),
    ("every day", "that" + NO_TIME),
    ("every day relay off", "relay" + NO_TIME),
    ("every day at", "that" + NO_TIME),
    ("every day at relay off", "relay" + NO_TIME),
    ("every day at 22:00", NOTHING),
    ("every day at 24:00 a", "24:00" + NO_TIME),
    ("every day at 22:60 a", "22:60" + NO_TIME),
    ("every day at 22:0 a", "22:0" + NO_TIME),
    ("every day at 22 a", "22" + NO_TIME),
    ("every day at 022:00 a", "022:00" + NO_TIME),
    ("every day at 22:00:00 a", "22:00:00" + NO_TIME),
    ("every day at -1:00 a", "-1:00" + NO_TIME),
    ("every day at +7:30 a", "+7:30" + NO_TIME),
    ("every day at 1_0:00 a", "1_0:00" + NO_TIME),
    ("every day at :30 a", ":30" + NO_TIME),
    ("every day at 7: a", "7:" + NO_TIME),
    ("every day at \u0662\u0662:\u0660\u0660 a", "\u0662\u0662:\u0660\u0660" + NO_TIME),
    ("every monday at monday 7:30 a", "monday" + NO_TIME),
    ("every day at 22:00 nonsense", "I do not know nonsense. Try help."),
    ("every 10m " + "x" * 121, "more than 120 characters"),
    ("at", "that" + NO_TIME),
    ("at relay off", "relay" + NO_TIME),
    ("at 22:00", NOTHING),
    ("at 7pm relay off", "7pm" + NO_TIME),
    ("at 2026-12-24", "that" + NO_TIME),
    ("at 2026-12-24 lamp on", "lamp" + NO_TIME),
    ("at 2026-12-24 18:00", NOTHING),
    ("at 2026-02-29 18:00 lamp on", "2026-02-29 18:00" + NO_TIME),
    ("at 2026-13-01 18:00 lamp on", "2026-13-01 18:00" + NO_TIME),
    ("at 2026-00-10 18:00 lamp on", "2026-00-10 18:00" + NO_TIME),
    ("at 2026-12-32 18:00 lamp on", "2026-12-32 18:00" + NO_TIME),
    ("at 2026-12-00 18:00 lamp on", "2026-12-00 18:00" + NO_TIME),
    ("at 2026-12 18:00 lamp on", "2026-12 18:00" + NO_TIME),
    ("at 2026-12-24-1 18:00 lamp on", "2026-12-24-1 18:00" + NO_TIME),
    ("at 24-12-2026 18:00 lamp on", "24-12-2026 18:00" + NO_TIME),
    ("at 2038-01-01 18:00 lamp on", "2038-01-01 18:00" + NO_TIME),
    ("at 99999-01-01 18:00 lamp on", "99999-01-01 18:00" + NO_TIME),
    ("at 202x-01-01 18:00 lamp on", "202x-01-01 18:00" + NO_TIME),
    ("at 202\u0667-01-01 18:00 lamp on", "202\u0667-01-01 18:00" + NO_TIME),
    ("at 2026-11-22 10:00 lamp on", "2026-11-22 10:00 is over"),
    ("at 2026-11-22 9:59 lamp on", "2026-11-22 09:59 is over"),
    ("at 2025-01-01 18:00 lamp on", "2025-01-01 18:00 is over"),
    ("at 22:00 nonsense", "I do not know nonsense. Try help."),
    ("in", "that" + NO_TIME),
    ("in 20m", NOTHING),
    ("in a moment relay off", "a" + NO_TIME),
    ("in 20m nonsense", "I do not know nonsense. Try help."),
    ("in 400d relay off", "400d" + NO_TIME),
    ("cancel", WHICH),
    ("cancel 1", WHICH),
    ("cancel one", WHICH),
    ("cancel all", WHICH),
    ("cancel 1 2", WHICH),
    ("cancel -1", WHICH),
    ("cancel \u0661", WHICH),
    ("cancel " + "x" * 1000, WHICH),
)


def test_bad_input():
    with Fake() as thing:

        def check(text, answer):
            said = thing.make(text)
            wrong = said != answer or thing.schedule.entries or os.listdir(thing.folder)
            return (text[:64], said) if wrong else None

        each(BAD, check)


def test_numbers_and_people():
    with Fake() as thing:
        assert thing.make("in 1h a").startswith("1: ")
        assert thing.make("in 2h b", JULIET).startswith("2: ")
        assert thing.make("in 3h c").startswith("3: ")
        # One's own, and for an owner all
        assert thing.make("schedules") == (
            "1: in 1h a, next: 2026-11-22 11:00\n3: in 3h c, next: 2026-11-22 13:00"
        )
        assert thing.make("schedules", JULIET) == (
            "1: in 1h a, next: 2026-11-22 11:00, for romeo@example.org\n"
            "2: in 2h b, next: 2026-11-22 12:00\n"
            "3: in 3h c, next: 2026-11-22 13:00, for romeo@example.org"
        )
        assert thing.make("cancel 2") == WHICH
        assert thing.make("cancel 1", JULIET) == "cancelled: in 1h a"
        # The others keep their numbers, and the free one is used again
        assert thing.make("cancel 1") == WHICH
        assert thing.make("in 4h d").startswith("1: ")
        assert [e[0] for e in thing.kept()] == [1, 2, 3]
        assert thing.make("cancel ALL ") == "cancelled: in 4h d\ncancelled: in 3h c"
        assert [e[2] for e in thing.kept()] == ["b"]
        assert thing.make("cancel all", JULIET) == "cancelled: in 2h b"
        assert thing.kept() == [] and thing.pass_s(5 * 3600) == []


def test_full():
    with Fake() as thing:
        for i in range(Schedule.max_entries):
            assert thing.make("in 1h a").startswith("{}: ".format(i + 1))
        assert thing.make("in 1h a") == "16 are the most; cancel one"
        assert thing.make("in 1h a", JULIET) == "16 are the most; cancel one"
        assert thing.make("cancel 7") == "cancelled: in 1h a"
        assert thing.make("in 1h " + "x" * 120).startswith("7: ")
        assert [e[0] for e in thing.kept()] == list(range(1, 17))
        thing.move(3600)
        assert len(thing.look()) == 16 and thing.kept() == []


def test_who_runs_it():
    with Fake() as thing:
        thing.make("every 10m a")
        thing.make("in 10m b", JULIET)
        thing.move(600)
        thing.look()
        assert thing.ran == [(ROMEO, 2, "a"), (JULIET, 3, "b")]
        assert thing.said == [(ROMEO, "a: done"), (JULIET, "b: done")]
        # Another role now
        thing.ranks[ROMEO] = 1
        thing.move(600)
        thing.look()
        assert thing.ran == [(ROMEO, 1, "a")]
        # And none
        del thing.ranks[ROMEO]
        thing.move(600)
        assert thing.look() == [] and thing.kept() == []
        assert thing.lines == ["every 10m a: dropped: no role: romeo@example.org"]
        thing.ranks[ROMEO] = 3
        assert thing.pass_s(3600) == [] and len(thing.lines) == 1


def test_what_fails():
    def fail(line):
        raise ValueError("only for the role owner")

    with Fake() as thing:
        thing.make("every 10m a")
        thing.before = fail
        thing.move(600)
        thing.look()
        assert thing.said == [(ROMEO, "only for the role owner")]
        # Nobody there to tell: tried once
        thing.before = None
        thing.online = False
        thing.move(600)
        assert thing.look() == ["a"]
        assert thing.lines == ["not told: a: done"]
        thing.online = True
        assert thing.look() == [] and len(thing.said) == 1


def test_once():
    with Fake() as thing:
        thing.make("at 10:05 a")
        thing.make("at 2026-11-22 10:10 b")
        thing.make("in 15m c")
        assert [e[4] - NOW for e in thing.kept()] == [300, 600, 900]
        found = []
        thing.before = lambda line: found.append((line, [e[2] for e in thing.kept()]))
        thing.move(299)
        assert thing.look() == [] and thing.wait == 1
        thing.move(1)
        assert thing.look() == ["a"]
        assert thing.pass_s(86400) == ["b", "c"]
        # It is not in flash any more when it runs
        assert found == [("a", ["b", "c"]), ("b", ["c"]), ("c", [])]


def test_cancelled_by_what_runs():
    with Fake() as thing:
        for text in ("in 10m a", "in 10m b", "every 10m c"):
            thing.make(text)
        thing.before = lambda line: thing.make("cancel all")
        thing.move(600)
        assert thing.look() == ["a"] and thing.kept() == []
        assert thing.pass_s(3600) == []


def test_power_cut_between_removal_and_run():
    def cut(line):
        raise PowerCutError

    with Fake() as thing:
        for text in ("at 10:05 a", "in 5m b"):
            thing.make(text)
        thing.before = cut
        thing.move(300)
        raises(PowerCutError, lambda: driven(thing.schedule._look()))
        assert thing.ran == []
        thing.before = None
        thing.start(NOW + 310)
        assert thing.pass_s(86400) == ["b"]


def test_power_cut_while_writing():
    # What was there before is whole until all is written
    with Fake() as thing:
        thing.make("at 10:05 a")
        kept = thing.kept()

        class Os:
            def rename(self, old, new):
                raise PowerCutError

        store.os = Os()
        try:
            raises(PowerCutError, thing.schedule.every, thing.asker(ROMEO), "10m b")
        finally:
            store.os = os
        assert thing.kept() == kept
        thing.start(NOW + 60)
        assert thing.make("schedules") == "1: at 10:05 a, next: 2026-11-22 10:05"


def test_flash_that_cannot_be_written():
    class Os:
        def rename(self, old, new):
            raise OSError(28)

    with Fake() as thing:
        thing.make("at 10:05 a")
        thing.make("every 1h b")
        store.os = Os()
        try:
            assert thing.make("in 5m c") == "it cannot be kept"
            assert len(thing.schedule.entries) == 2
            # It would run again after a restart
            thing.move(300)
            assert thing.look() == []
            thing.move(30)
            assert thing.look() == [] and thing.wait == Schedule.tick_s
        finally:
            store.os = os
        assert thing.look() == ["a"] and thing.look() == []
        assert len(thing.lines) == 3 and "schedule.json: cannot be written" in thing.lines[0]
        assert [e[2] for e in thing.kept()] == ["b"]


def test_restart():
    with Fake() as thing:
        for text in ("at 10:05 a", "in 6m b", "every day at 10:07 c", "every 10m d"):
            assert thing.make(text)[:1] in "1234"
        before = thing.make("schedules")
        thing.start(NOW + 60)
        assert thing.make("schedules") == before and thing.lines == []
        assert thing.pass_s(10 * 60) == ["a", "b", "c", "d"]


def test_late_after_a_restart():
    for late, runs in ((0, True), (1, True), (299, True), (300, True), (301, False)):
        for text in ("at 10:05 a", "at 2026-11-22 10:05 a", "in 5m a"):
            with Fake() as thing:
                thing.make(text)
                thing.start(NOW + 300 + late, 7)
                thing.online = False
                if runs:
                    assert thing.look() == ["a"], (late, text)
                    continue
                assert thing.look() == [] and len(thing.kept()) == 1
                # A restart more does not lose it
                thing.start(NOW + 700 + late)
                assert thing.look() == [] and thing.wait == Schedule.tick_s
                thing.online = True
                assert thing.look() == [] and thing.kept() == []
                text = text[:-1] + "a: I was not running then"
                assert thing.said == [(ROMEO, "missed: " + text)]
                assert thing.look() == [] and len(thing.said) == 1 and thing.lines == []


def test_grid():
    with Fake() as thing:
        thing.make("every 10m a")
        assert thing.pass_s(3600) == ["a"] * 6
        # On its grid after a restart, whatever was missed
        for begin, first in ((3600 + 1, 599), (3600 + 599, 1), (86400 * 30 + 60, 540)):
            thing.start(NOW + begin)
            assert thing.pass_s(first - 1) == []
            thing.move(1)
            assert thing.look() == ["a"]
            assert thing.pass_s(599) == []
            thing.move(1)
            assert thing.look() == ["a"]
        # A line that takes its time: one run for what was missed, and back to the grid
        thing.move(600 * 5 + 100)
        assert thing.look() == ["a"] and thing.look() == []
        assert thing.pass_s(499) == []
        thing.move(1)
        assert thing.look() == ["a"]


def test_long_grid_after_a_restart():
    # Half a period has not passed since the start
    with Fake() as thing:
        thing.make("every 1d a")
        thing.start(NOW + 86400 - 60)
        assert thing.pass_s(59) == []
        thing.move(1)
        assert thing.look() == ["a"] and thing.pass_s(86399) == []


def test_flash_is_spared():
    with Fake() as thing:
        thing.make("every 10s a")
        thing.make("every day at 10:01 b")
        os.remove(thing.path)
        assert len(thing.pass_s(3600)) == 361
        assert os.listdir(thing.folder) == []


def test_clock_unknown():
    with Fake(None) as thing:
        assert thing.make("at 22:00 a") == ("I do not know the time yet; say the date, too")
        assert thing.make("every 10m a") == "1: every 10m a, next: in 600 s"
        assert thing.make("in 20m b") == (
            "2: in 20m b, next: in 1200 s; a restart forgets it: I do not know the time"
        )
        assert thing.make("every day at 10:01 c") == (
            "3: every day at 10:01 c, next: when I know the time"
        )
        assert thing.make("at 2026-11-22 10:02 d") == (
            "4: at 2026-11-22 10:02 d, next: when I know the time"
        )
        assert [e[2] for e in thing.kept()] == ["a", "c", "d"]
        assert thing.pass_s(1200) == ["a", "a", "b"]
        assert thing.pass_s(86400) == ["a"] * 144
        thing.clock.time = NOW
        assert thing.pass_s(130) == ["c", "d"]
        thing.start(None)
        # Counted from the start
        assert thing.pass_s(599) == []
        thing.move(1)
        assert thing.look() == ["a"]
        thing.make("in 20m b")
        thing.start(None)
        assert thing.make("schedules").count("\n") == 1


def test_in_goes_by_uptime():
    # Whatever the clock does meanwhile
    for jump in (None, -86400 * 90, -700, 700, 86400 * 90):
        with Fake() as thing:
            thing.make("in 20m a")
            thing.move(60)
            thing.clock.time = jump and thing.clock.time + jump
            assert thing.pass_s(1139) == [], jump
            thing.move(1)
            assert thing.look() == ["a"] and thing.said == [(ROMEO, "a: done")]


def test_clock_known_after_the_start():
    # 22:00 was after the start, though nobody knew
    with Fake(utc("2026-11-22 12:00")) as thing:
        thing.make("every day at 22:00 a")
        for up, runs in ((4, False), (5, True), (304, True), (305, False)):
            thing.start(None, up)
            assert thing.look() == []
            thing.clock.time = utc("2026-11-22 22:00") + up - 5
            thing.look()
            assert (thing.ran != []) == runs, up


def test_restart_in_the_same_minute():
    with Fake(utc("2026-11-22 21:59")) as thing:
        thing.make("every day at 22:00 a")
        thing.move(60)
        assert thing.look() == ["a"]
        # The last: whole seconds tell the start less than exactly
        for later, up in ((0, 0), (1, 0), (20, 0), (59, 0), (60, 3), (3600, 0), (0, 1)):
            thing.start(utc("2026-11-22 22:00") + later, up)
            assert thing.pass_s(86399 - later, 60) == []
        thing.move(1)
        assert thing.look() == ["a"]
        thing.start(utc("2026-11-24 22:00"), 2)
        assert thing.look() == ["a"]


def test_not_for_what_was_before_it_was_made():
    # Whatever the last look saw
    with Fake(utc("2026-11-22 21:59")) as thing:
        thing.make("every day at 22:00 a")
        thing.look()
        thing.move(60 + 10)
        thing.make("every day at 22:00 b")
        thing.make("every sun 22:00 c")
        thing.make("at 22:00 d")
        assert thing.look() == ["a"] and thing.pass_s(3600) == []
        assert thing.pass_s(23 * 3600, 60) == ["a", "b", "d"]


def test_set_back_by_days():
    # The last run is not repeated when its day comes again, and nothing waits for years
    with Fake(utc("2026-11-22 21:59")) as thing:
        thing.make("every sunday at 22:00 a")
        thing.make("every day at 22:00 b")
        assert thing.pass_s(120, 60) == ["a", "b"]
        thing.clock.time -= 3 * 86400
        assert thing.look() == []
        assert thing.pass_s(3 * 86400 - 120, 600) == ["b", "b"]
        assert thing.pass_s(120, 60) == ["b"]
        assert thing.pass_s(7 * 86400, 600) == ["b"] * 6 + ["a", "b"]
        thing.clock.time -= 400 * 86400
        assert thing.pass_s(86400, 600) == ["a", "b"]
        assert thing.pass_s(86400, 600) == ["b"]


def test_set_back():
    with Fake(utc("2026-11-22 21:59"), BERLIN) as thing:
        thing.make("every day at 23:00 a")
        assert thing.pass_s(120) == ["a"]
        for back in (1, 59, 119, 121, 3600, 7200):
            thing.clock.time -= back
            assert "2026-11-23 23:00" in thing.make("schedules")
            assert thing.pass_s(back + 10) == [], back
        # By more: that is another day
        thing.clock.time -= 86400 + 600
        assert thing.look() == []
        assert thing.pass_s(700) == ["a"]


def test_set_forward():
    # By a little: it runs. By months: no storm, and what was to be done once is told
    for jump, runs in ((90, ["a", "b"]), (86400 * 90, [])):
        with Fake() as thing:
            for text in ("every day at 10:01 a", "at 10:01 b", "every 30m c", "every mon 9:00 d"):
                thing.make(text)
            thing.look()
            thing.clock.time += jump
            assert thing.look() == runs, jump
            assert thing.look() == []
            told = [text for _, text in thing.said if text.startswith("missed")]
            assert told == ([] if runs else ["missed: at 10:01 b: I was not running then"])
            # c: at 10:30
            assert [c for c in thing.pass_s(3600) if c == "c"] == ["c"] * 2


def test_every_is_never_twice():
    # Not by a correction around a point of the grid, and not by any jump
    with Fake() as thing:
        thing.make("every 10m a")
        found = []
        thing.before = lambda line: found.append(thing.clock.up)
        for jump in (0, -3, -30, -250, 3, 30, 250, -86400 * 90, 86400 * 365, 0):
            thing.clock.time += jump
            while not thing.look():
                thing.move(thing.wait)
        between = [b - a for a, b in zip(found, found[1:])]
        assert len(found) == 10 and between[0] == 603, found
        assert_none([None if 300 <= n <= 900 else n for n in between])


def test_nothing_is_late_because_another_took_long():
    with Fake() as thing:
        for text in ("in 10m a", "at 10:11 b", "every day at 10:12 c"):
            thing.make(text)
        thing.before = lambda line: thing.move(1000 if line == "a" else 0)
        thing.pass_s(570)
        thing.move(30)
        assert thing.look() == ["a", "b", "c"]


# (zone, what was typed, when in UTC, UTC of each run)
DST = (
    # 02:30 is skipped on 2026-03-29: it runs at 03:00
    (
        BERLIN,
        "every day at 2:30 a",
        "2026-03-28 00:00",
        ("2026-03-28 01:30", "2026-03-29 01:00", "2026-03-30 00:30"),
    ),
    # and comes twice on 2026-10-25: the first
    (
        BERLIN,
        "every day at 2:30 a",
        "2026-10-24 00:00",
        ("2026-10-24 00:30", "2026-10-25 00:30", "2026-10-26 01:30"),
    ),
    (
        BERLIN,
        "every sunday 7:30 a",
        "2026-10-24 00:00",
        ("2026-10-25 06:30",),
    ),
    (
        "NZST-12NZDT,M9.5.0,M4.1.0/3",
        "every day at 22:00 a",
        "2026-04-03 22:00",
        ("2026-04-04 09:00", "2026-04-05 10:00", "2026-04-06 10:00"),
    ),
    (
        "<+0530>-5:30",
        "every tue 0:00 a",
        "2026-11-22 00:00",
        ("2026-11-23 18:30",),
    ),
    (BERLIN, "at 2026-03-29 2:30 a", "2026-03-28 00:00", ("2026-03-29 01:00",)),
    (BERLIN, "at 2026-10-25 2:30 a", "2026-10-24 00:00", ("2026-10-25 00:30",)),
)


def test_local_times():
    def check(zone, text, start, runs):
        with Fake(utc(start), zone) as thing:
            thing.make(text)
            # Nothing before each of them, and nothing after the last
            for at in [utc(run) for run in runs]:
                thing.move(at - 1 - thing.clock.time)
                if thing.look() or thing.wait != 1:
                    return zone, text, at, "too early"
                thing.move(1)
                if thing.look() != ["a"]:
                    return zone, text, at, "not then"
            thing.move(20 * 3600)
            return (zone, text, "too often") if thing.look() else None

    each(DST, check)


ENTRY = [1, ROMEO, "a", "every 10m", NOW, 600]
DAMAGED = (
    ("", "damaged"),
    ("{", "damaged"),
    ("[]", "damaged"),
    ("[1]", "damaged"),
    ("null", "damaged"),
    ('{"entries": []}', "damaged"),
    (json.dumps({"version": 2, "entries": [ENTRY]}), "of another version"),
    (json.dumps({"version": 1, "entries": 5}), "damaged"),
    (json.dumps({"version": 1, "entries": None}), "damaged"),
    (json.dumps({"version": 1, "entries": {"a": ENTRY}}), "damaged"),
    (json.dumps({"version": 1, "entries": [1]}), "damaged"),
    (json.dumps({"version": 1, "entries": [ENTRY, ENTRY[:5]]}), "damaged"),
    (json.dumps({"version": 1, "entries": [ENTRY, ENTRY + [1]]}), "damaged"),
    (json.dumps({"version": 1, "entries": [ENTRY[:5] + [-11521]]}), "damaged"),
    (json.dumps({"version": 1, "entries": [ENTRY[:5] + [600.5]]}), "damaged"),
    (json.dumps({"version": 1, "entries": [["1"] + ENTRY[1:]]}), "damaged"),
)


def test_damaged():
    with Fake() as thing:

        def check(text, why):
            with open(thing.path, "w") as f:
                f.write(text)
            thing.start(NOW)
            if thing.make("schedules") != "no schedules" or thing.lines != [
                thing.path + ": " + why + ": not used"
            ]:
                return text, thing.make("schedules"), thing.lines
            return None

        each(DAMAGED, check)
        assert thing.make("every 10m a").startswith("1: ")
        thing.start(NOW)
        assert thing.make("schedules").startswith("1: ") and thing.lines == []
        # By hand: more than there may be
        with open(thing.path, "w") as f:
            json.dump({"version": 1, "entries": [ENTRY] * 20}, f)
        thing.start(NOW)
        assert len(thing.schedule.entries) == Schedule.max_entries


def test_run():
    # The loop itself: a change wakes it, and nothing else does before its time
    async def main(thing):
        looks = []
        done = asyncio.Event()

        async def look():
            looks.append(thing.clock.up)
            wait = await Schedule._look(thing.schedule)
            if len(looks) == 4:
                done.set()
            return wait

        async def looked(number):
            # So often, and no more
            while len(looks) < number:
                await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            assert len(looks) == number

        thing.schedule._look = look
        task = asyncio.create_task(thing.schedule.run())
        await looked(1)
        thing.make("in 10m a")
        await looked(2)
        assert thing.ran == []
        thing.move(600)
        # The first for the change, the second because something ran
        thing.make("cancel 7")
        thing.make("every 10m b")
        await done.wait()
        assert thing.ran == [(ROMEO, 2, "a")]
        task.cancel()

    with Fake() as thing:
        asyncio.run(asyncio.wait_for(main(thing), LIMIT_S))


if not MICROPYTHON:

    def test_bounds_have_names():
        for name in ("max_entries", "max_line", "min_every_s", "max_every_s", "late_s", "tick_s"):
            assert getattr(schedule.Schedule, name) > 0


# What others leave to the owner


def test_others_have_less():
    with Fake() as thing:
        others_have_less(thing)


def others_have_less(thing):
    thing.schedule.max_own = Schedule.max_own
    thing.schedule.min_own_s = Schedule.min_own_s
    wrong = thing.make("every 10s temperature")
    assert wrong.startswith("10s is not a time"), wrong
    for i in range(Schedule.max_own):
        assert thing.make("every 60s temperature").startswith(str(i + 1)), i
    wrong = thing.make("every 60s temperature")
    assert wrong == "4 are the most for you; cancel one", wrong
    assert thing.make("every 10s temperature", JULIET).startswith("5"), "an owner"


def test_a_line_that_takes_long_goes_on_beside_the_others():
    async def main(thing):
        plan = Schedule(thing)
        plan.line_s = 0.05
        went = []

        async def line(event, name):
            await event.wait()
            went.append(name)

        slow = asyncio.Event()
        await plan.beside(line(slow, "slow"))
        assert went == [] and len(plan._busy) == 1
        quick = asyncio.Event()
        quick.set()
        await plan.beside(line(quick, "quick"))
        assert went == ["quick"] and len(plan._busy) == 1
        slow.set()
        while plan._busy:
            await asyncio.sleep(0)
        assert went == ["quick", "slow"]

    with Fake() as thing:
        asyncio.run(asyncio.wait_for(main(thing), LIMIT_S))
