"""The clock of a board that starts without knowing the time, for either interpreter: `offset_s`
seconds from the true time. board.json says when it starts: {"clock": "unset"} is 2000-01-01 (an
ESP32), {"clock": "2021-01-01"} (a Pico W) that day."""

import json

from outside import path

_DAYS = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)

offset_s = 0


def seconds(year, month, day, hours=0, minutes=0, secs=0):
    """Return the seconds since 1970 of a time in UTC, from 1970 on."""
    # Before the leap day of a year its day does not count
    years = year - (month < 3)
    leap = years // 4 - years // 100 + years // 400 - 477
    days = (year - 1970) * 365 + leap + _DAYS[month - 1] + day - 1
    return ((days * 24 + hours) * 60 + minutes) * 60 + secs


def start(now):
    """Set the clock back to the start that board.json names; `now` is the true time."""
    try:
        with open(path("board.json")) as f:
            day = json.load(f).get("clock")
    except OSError:
        return
    if day:
        day = "2000-01-01" if day == "unset" else day
        set_to(now, *[int(part) for part in day.split("-")])


def set_to(now, *moment):
    """From now on it is `moment`, as for seconds()."""
    global offset_s
    offset_s = seconds(*moment) - int(now)
