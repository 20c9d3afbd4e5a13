"""Values as people write them, readings and their alarms, arguments, and what is declared."""

from helper import assert_none, raises
from thing.registry import (
    Command,
    Control,
    Event,
    Occupancy,
    Param,
    Registry,
    Sensor,
    Setting,
    duration,
    seconds,
    show,
)

HEAP = "400k"

SWITCH = Param("p", bool)
CHOICE = Param("p", ("auto", "Half Open", "off", "ø"))
TEXT = Param("p")
SHORT = Param("p", str, min=1, max=4)
WHOLE = Param("p", int)
TIMES = Param("p", int, min=1, max=10)
LEAST = Param("p", int, min=-2)
NUMBER = Param("p", float)
DEGREES = Param("p", float, min=5, max=30, unit="°C")
PERCENT = Param("p", int, min=0, max=100, unit="%")
ENERGY = Param("p", float, unit="kWh")
SPAN = Param("p", int, min=1, max=86400, unit="s")
MINUTES = Param("p", int, max=120, unit="min")
HOURS = Param("p", float, unit="h")

PARSED = (
    (SWITCH, ("on", "ON", " On ", "true", "True", "yes", "1"), True),
    (SWITCH, ("off", "OFF", "false", "no", "0", "\tno\n"), False),
    (CHOICE, ("auto", "AUTO", " Auto"), "auto"),
    (CHOICE, ("half open", "Half Open", "HALF OPEN"), "Half Open"),
    (CHOICE, ("ø",), "ø"),
    (TEXT, ("",), ""),
    (TEXT, (" as  it is ",), " as  it is "),
    (TEXT, ("日" * 200,), "日" * 200),
    (SHORT, ("日本語x",), "日本語x"),
    (WHOLE, ("0", "-0", "+0", "00"), 0),
    (WHOLE, ("12", "+12", " 12 ", "0012"), 12),
    (WHOLE, ("-7",), -7),
    (WHOLE, ("123456789012345678901",), 123456789012345678901),
    (TIMES, ("1",), 1),
    (TIMES, ("10",), 10),
    (LEAST, ("-2",), -2),
    (NUMBER, ("21.5", "21,5", "+21.50", "215e-1", "2150E-2"), 21.5),
    (NUMBER, ("-0.5", "-,5", "-.5"), -0.5),
    (NUMBER, ("3", "3.", "3,"), 3.0),
    (DEGREES, ("21.5 °C", "21,5°C", "21.5 °c", "21.5C", "21.5 c", "21.5°", "21.5 °"), 21.5),
    (DEGREES, ("5", "5.0"), 5.0),
    (DEGREES, ("30", "30 °C"), 30.0),
    (PERCENT, ("40", "40%", "40 %"), 40),
    (ENERGY, ("1.5 kWh", "1,5kwh", "1.5 KWH", "1.5"), 1.5),
    (SPAN, ("90", "90s", "90 s", "90 sec", "90 Seconds", "1.5 min", "1,5m"), 90),
    (SPAN, ("2h", "2 hours", "120 min", "120m", "7200"), 7200),
    (SPAN, ("1 day", "1d", "24 H"), 86400),
    (MINUTES, ("90", "90 min", "1.5h", "5400 s"), 90),
    (MINUTES, ("0", "0s"), 0),
    (HOURS, ("1.5", "90 min", "1,5 h", "5400s"), 1.5),
    (HOURS, ("1 w", "7 days", "168"), 168.0),
)
REFUSED = (
    (SWITCH, ("", "onn", "o", "2", "on off", "yes!", "ｏｎ", "١", "да"), "on or off"),
    (CHOICE, ("", "half", "half  open", "aut", "1"), "auto, Half Open, off, ø"),
    (TEXT, ("x" * 201,), "a text of up to 200 characters"),
    (SHORT, ("", "12345"), "a text of up to 4 characters"),
    (
        WHOLE,
        (
            "", "x", "1.5", "1,5", "1e3", "0x10", "1_0", "1 2", "--1", "+-1", "+", "-", ".", "inf",
            "٣", "३", "３", "²", "Ⅷ", "1" * 33, "1-", "1\0", "1;",
        ),
        "a whole number",
    ),
    (TIMES, ("0", "11", "-1", "99999999999999999999"), "a whole number, 1 to 10"),
    (LEAST, ("-3",), "a whole number, -2 or more"),
    (
        NUMBER,
        (
            "", "x", "inf", "-inf", "nan", "infinity", "1e999", "-1e999", "e5", "e", ".", ",", "-",
            "-e5", ".e5", "1..2", "1.2.3", "1,000.5", "1e", "1e+", "1-2", "0x1p3", "1_0.5", "٢١",
            "२१", "２１", "1 000", "½", "1" * 33,
        ),
        "a number",
    ),
    (DEGREES, ("4.99", "30.01", "-5", "20 °F", "20 K", "°C", "C", "20 °C °C"),
     "a number, 5 to 30 °C"),
    (PERCENT, ("101", "-1", "1.5%", "%"), "a whole number, 0 to 100 %"),
    (ENERGY, ("1.5 MWh", "kWh"), "a number in kWh"),
    (SPAN, ("0", "2 days", "1.5", "-1", "-1h", "soon", "s", "h", "1 x", "1 month", "1h30",
            "1h 30m", "1e9", "٣s"), "a time, 1 s to 24 h"),
    (MINUTES, ("121", "3h", "90s"), "a time, 2 h or less"),
    (HOURS, ("x", "-1", "1 year"), "a time"),
)  # fmt: skip


def test_values():
    wrong = []
    for param, texts, value in PARSED:
        for text in texts:
            try:
                got = param.parse(text)
            except ValueError as e:
                got = e
            good = got == value and isinstance(got, type(value))
            wrong.append(None if good else (param.kind, text, got))
    assert_none(wrong)


def test_what_is_no_value():
    wrong = []
    for param, texts, expected in REFUSED:
        assert param.expected() == expected, (param.expected(), expected)
        for text in texts:
            try:
                wrong.append((param.kind, text, param.parse(text)))
            except ValueError as e:
                told = "must be {}, not {}".format(expected, text[:32] or "nothing")
                wrong.append(None if str(e) == told else (text, str(e)))
    assert_none(wrong)


#: What would begin a line of its own, or hide what stands there
ODD = (
    "\n", "\r\n", "\0", "\t", "\x1b[2J", "\x7f", "\x80", "\x85", "\x9f", "\u2028", "\u2029",
    "\u202a", "\u202e", "\u2066", "\u2069",
)  # fmt: skip
# Only near to them
EVEN = ("\xa0", "\u00e9", "\u2027", "\u202f", "\u2065", "\u206a", "\u4285", "\u3028", "\U0001f44d")


def test_texts_are_one_line():
    told = "must be one line, of characters that can be seen"
    for param in (TEXT, SHORT):
        for odd in ODD:
            for text in (odd, "a" + odd, odd + "a", "é" + odd + "日"):
                e = raises(ValueError, param.parse, text)
                assert str(e) == told, (text, str(e))
    for even in EVEN:
        assert TEXT.parse("a" + even + "*b*") == "a" + even + "*b*"


def test_value_of_no_kind():
    for kind in (list, None, "bool", bytes, ["a"]):
        e = raises(ValueError, Param, "p", kind)
        assert str(e) == "p: must be bool, int, float, str or a tuple of choices"


SECONDS = (
    (0, ("0s", "0 min", "-0h")),
    (90, ("90s", "90 s", "90 SEC", " 90 seconds ", "1.5m", "1,5 minutes")),
    (0.5, ("0.5s", "500e-3 s")),
    (3600, ("1h", "60 min", "1 hour")),
    (172800, ("2d", "2 days", "48 h")),
    (604800, ("1w", "1 week")),
)
NO_SECONDS = (
    "", "s", "90", "soon", "-1s", "1 x", "1 month", "1 min ago", "1h30m", "1e999s", "nan s", "٣s",
    "1 ss s", "1" * 40 + "s", "1e308 weeks",
)  # fmt: skip


def test_times():
    for value, texts in SECONDS:
        for text in texts:
            got = seconds(text)
            assert got == value and isinstance(got, type(value)), (text, got)
    for text in NO_SECONDS:
        e = raises(ValueError, seconds, text)
        assert str(e) == "must be a time such as 90s, 10m or 2h, not " + text[:32], text


def test_durations():
    for value, text, exact in (
        (0, "0 s", "0 s"), (1, "1 s", "1 s"), (0.5, "0.5 s", "0.5 s"), (119, "119 s", "119 s"),
        (120, "2 min", "2 min"), (150, "2 min", "150 s"), (5400, "90 min", "90 min"),
        (5400.0, "90 min", "90 min"), (86400, "24 h", "24 h"), (100000, "27 h", "100000 s"),
        (2592000, "30 days", "30 days"), (-5, "-5 s", "-5 s"),
    ):  # fmt: skip
        assert (duration(value), duration(value, True)) == (text, exact)
    for unit, low, high, text in (
        ("s", 150, None, "a time, 150 s or more"),
        ("min", 0.5, 90, "a time, 30 s to 90 min"),
        ("h", 1, 720, "a time, 60 min to 30 days"),
    ):
        assert Param("p", float, low, high, unit).expected() == text


SHOWN = (
    (True, "on"),
    (False, "off"),
    (0, "0"),
    (-3, "-3"),
    (21.5, "21.5"),
    (21.0, "21"),
    (100.0, "100"),
    (21.456, "21.46"),
    (-0.001, "-0.001"),
    (0.004, "0.004"),
    (0.05, "0.05"),
    (0.0, "0"),
    (-0.0, "0"),
    (1e-7, "1e-07"),
    (0.25, "0.25"),
    ("text", "text"),
    (None, "None"),
)


def test_values_are_shown():
    assert_none([None if show(v) == text else (v, show(v)) for v, text in SHOWN])


# Readings


def test_readings_that_cannot_be():
    s = Sensor("s", None, min=-40, max=85)
    for value in (-40, 0, 21.5, 85):
        assert s.take(value, 0) == value
    for value, shown in ((-40.1, "-40.1"), (86, "86"), (1e6, "1000000")):
        assert str(raises(ValueError, s.take, value, 0)) == shown + " cannot be"
    assert Sensor("s", None).take("calm", 0) == "calm"
    for value in (float("nan"), float("inf"), -float("inf")):
        raises(ValueError, s.take, value, 0)
    raises(ValueError, Sensor("s", None).take, float("nan"), 0)


# value, what alarmed is then, what judge() returns
JUDGED = (
    ({"low": 5, "high": 30, "hysteresis": 1, "unit": "°C"}, (
        (20, None, False), (30, None, False), (30.1, "above 30 °C", None),
        (40, "above 30 °C", False), (29.5, "above 30 °C", False), (None, "above 30 °C", False),
        (29, None, "above 30 °C"), (30, None, False), (5, None, False),
        (4.9, "below 5 °C", None), (5.9, "below 5 °C", False), (6, None, "below 5 °C"),
        (31, "above 30 °C", None), (4, "below 5 °C", "above 30 °C"),
        (31, "above 30 °C", "below 5 °C"), (5.5, None, "above 30 °C"),
    )),
    ({"high": 0}, ((0, None, False), (1, "above 0", None), (0, None, "above 0"))),
    ({"low": 0.5}, ((0.5, None, False), (0.25, "below 0.5", None), (0.5, None, "below 0.5"))),
    ({"alarm": "open"}, (
        ("shut", None, False), ("open", "open", None), ("open", "open", False),
        ("shut", None, "open"),
    )),
    ({}, ((1e9, None, False), ("x", None, False))),
)  # fmt: skip


def test_alarms():
    for options, steps in JUDGED:
        s = Sensor("s", None, **options)
        assert s.watched() == bool(options)
        for i, (value, alarmed, was) in enumerate(steps):
            s.value = value
            got = s.judge()
            assert (s.alarmed, got) == (alarmed, was), (options, i, s.alarmed, got)


def test_occupancy():
    s = Occupancy("motion", None, hold=30, alarm=True)
    assert s.state() == "no reading"
    took = [s.take(*t) for t in ((False, 0), (True, 10), (False, 40), (False, 41), (1, 50))]
    assert took == [False, True, True, False, True]
    s.value = True
    assert s.state() == "occupied" and s.judge() is None and s.alarmed == "occupied"
    s.value = False
    assert s.state() == "empty" and s.judge() == "occupied"
    s.value = None
    s.error = "no answer"
    assert s.state() == "no reading: no answer" and s.judge() is False


def test_periods():
    for name in ("every", "poll", "keep"):
        for period in (0, -1, 432001):
            e = raises(ValueError, lambda: Sensor("s", None, **{name: period}))
            assert str(e) == "s: a period of {} s cannot be".format(period)
        Sensor("s", None, **{name: 432000})


# Arguments

ONE = Command("c", None, (Param("times", int, min=1, max=10),))
SOME = Command("c", None, (Param("a", int), Param("b", float, default=0.5)))
OWN = Command("c", None, (int, str))
NONE = Command("c", None, ())
LOOSE = Command("c", None)
TAKEN = (
    (ONE, ["3"], [3]),
    (SOME, ["3"], [3, 0.5]),
    (SOME, ["3", "1,5"], [3, 1.5]),
    (OWN, [], []),
    (OWN, ["3"], [3]),
    (OWN, ["3", "a b"], [3, "a b"]),
    (NONE, [], []),
    (LOOSE, [], []),
    (LOOSE, ["1 2.5 1,5 -3 Word word? 1e3 nan 0x10 ٣"],
     [1, 2.5, 1.5, -3, "Word", "word?", 1000.0, "nan", "0x10", "٣"]),
    (Control("c", None, bool), ["on"], [True]),
    (Setting("c", None, float, min=5, max=30), ["21,5"], [21.5]),
)  # fmt: skip
NOT_TAKEN = (
    (ONE, [], "times is missing: a whole number, 1 to 10"),
    (ONE, ["x"], "times must be a whole number, 1 to 10, not x"),
    (ONE, [""], "times must be a whole number, 1 to 10, not nothing"),
    (ONE, ["1", "2"], "takes 1"),
    (SOME, [], "a is missing: a whole number"),
    (SOME, ["1", "x"], "b must be a number, not x"),
    (SOME, ["1", "2", "3"], "takes 2"),
    (OWN, ["x"], "value must be a whole number, not x"),
    (NONE, ["1"], "takes nothing"),
    (Control("c", None, bool), [], "must be one value: on or off"),
    (Control("c", None, bool), ["on", "off"], "must be one value: on or off"),
    (Control("c", None, bool), ["x"], "must be on or off, not x"),
    (Setting("c", None, float, min=5, max=30), ["31"], "must be a number, 5 to 30, not 31"),
)


def test_arguments():
    for entry, texts, args in TAKEN:
        assert entry.arguments(texts) == args, (texts, entry.arguments(texts))
    for entry, texts, why in NOT_TAKEN:
        assert str(raises(ValueError, entry.arguments, texts)) == why, texts


# What is declared


def test_states():
    assert Control("c", None, bool).state() == "not known"
    assert Control("c", None, float, value=20.0, unit="°C").state() == "20 °C"
    assert Command("c", None).state() == "not done yet"
    assert Event("e", None).state() == "nothing yet"
    s = Sensor("s", None, unit="cm")
    assert s.state() == "no reading"
    s.value = 1.239
    assert s.state() == "1.24 cm"


def test_event_tells():
    told = []
    e = Event("e", lambda *args: told.append(args), text="rang")
    e()
    e("twice")
    assert told == [(e, "rang"), (e, "twice")]


def test_registry():
    r = Registry()
    a = r.add(Sensor("a", None))
    b = r.add(Control("b", None, bool))
    assert r.find("a") is a and r.find("b") is b and r.find("c") is None
    assert r.kind(Sensor) == [a] and r.kind(Control) == [b] and r.entries == [a, b]
    for name in ("", "A", "two words", " a", "a\n", "/x", "!x"):
        e = raises(ValueError, r.add, Sensor(name, None))
        assert str(e) == repr(name) + ": a name is one word in small letters"
    for name in ("a", "b", "help", "status", "yes", "no"):
        e = raises(ValueError, r.add, Sensor(name, None))
        assert str(e) == repr(name) + ": the name is taken"
    for i in range(r.max_entries - 2):
        r.add(Event("e{}".format(i), None))
    e = raises(ValueError, r.add, Sensor("last", None))
    assert str(e) == "more than 80 declarations"
