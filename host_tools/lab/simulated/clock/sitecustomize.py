"""CPython's `time` with the clock of a board, put in place at its start: time(), time_ns(),
gmtime() and localtime() are wrong until it is set. `datetime` and `ssl` do not notice."""

import time

import boardclock

_true = time.time
_true_ns = time.time_ns
_gmtime = time.gmtime


def _time():
    return _true() + boardclock.offset_s


def _set_clock(*moment):
    boardclock.set_to(_true(), *moment)


time.time = _time
time.time_ns = lambda: _true_ns() + boardclock.offset_s * 1_000_000_000
time.gmtime = time.localtime = lambda secs=None: _gmtime(_time() if secs is None else secs)
time.set_clock = _set_clock
boardclock.start(_true())
