"""The words that every device has: commands like those that are declared, so that each surface has
them. What they do is loaded with the first use."""

from .access import ROLES
from .memory import forget
from .registry import Command, Param, duration

_HOUR = 3600


class Builtin(Command):
    """A command of the device itself: `do` gets the Asker first, and returns what to say."""

    builtin = True


def declare(thing):
    """Declare the words that the configuration has use for."""

    def add(name, do, *params, role="viewer"):
        thing.registry.add(Builtin(name, do, params, role=role))

    def span(default, **more):
        return Param("time", int, min=0, unit="s", default=default, **more)

    add("mute", thing.reports.mute, span(_HOUR, max=30 * 86400))
    add("unmute", lambda asker: thing.reports.mute(asker, 0))
    add("who", lambda asker: _who(thing), role="owner")
    roles = Param("role", ROLES + ("none",))
    add("role", thing.access.assign, Param("jid"), roles, role="owner")
    add("log", lambda asker: _log(thing), role="operator")
    history = thing.surfaces.get("history")
    if history:

        def show(asker, name, seconds):
            entry = thing.registry.find(name.lower())
            if not entry or not getattr(entry, "keep", None):
                raise ValueError("there is no history of " + name[:32])
            from .sparkline import summary

            try:
                return summary(history, entry, seconds, thing.clock.now(), thing.zone)
            finally:
                forget("sparkline")

        longest = span(24 * _HOUR, max=7 * 24 * _HOUR)
        longest.min = 60
        add("history", show, Param("name"), longest)
        if "files" in thing.surfaces:
            from .drawing import word

            add("chart", word(thing, show), Param("name"), longest)
    update = thing.surfaces.get("update")
    if update:
        add("update", update.word, Param("url", max=1000, default=""), role="owner")
    schedule = thing.surfaces.get("schedule")
    if schedule:
        line = Param("line", max=schedule.max_line)
        add("every", schedule.every, line)
        add("at", schedule.at, line)
        add("in", schedule.within, line)
        add("schedules", schedule.list)
        add("cancel", schedule.cancel, Param("number"))


def _who(thing):
    people = thing.access.people()
    return "\n".join(["{}: {}".format(person, role) for person, role in people])


def _log(thing):
    now = thing.clock.uptime_s()
    return "\n".join(["{} ago: {}".format(duration(now - w), t) for w, t in thing.lines])
