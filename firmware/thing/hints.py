"""Help, and what may have been meant: loaded when somebody asks, and not kept."""

from .registry import NEEDED, Command, Control, Event, Sensor, Setting, duration, show
from .words import lower, marks, max_echo, plain

#: The most names that are offered for one that is not known.
max_offers = 4

_KINDS = (
    (Sensor, "a sensor"),
    (Setting, "a setting, kept over a restart"),
    (Control, "a control"),
    (Command, "a command"),
    (Event, "an event"),
)


def help(thing, asker, rest):
    """What there is for `asker`, or all about the Entry that `rest` names."""
    entry = thing.registry.find(lower(rest.strip(marks)))
    if entry and (thing.may(entry, asker) or not isinstance(entry, Command)):
        return detail(entry)
    lines = []
    more = ["status"]
    for e in thing.registry.entries:
        may = thing.may(e, asker)
        if isinstance(e, Command):
            if not may:
                continue
            if e.builtin:
                more.append(e.name)
                continue
            text = "*{}*".format(e.name)
            for p in e.params:
                if p.default != "":  # as of those whose params were not declared
                    text += (" {}" if p.default is NEEDED else " [{}]").format(p.name.upper())
            lines.append(text)
            continue
        if isinstance(e, Control):
            text = e.params[0].expected() if may else "shows it"
        elif isinstance(e, Sensor):
            text = "the reading" + (" in " + e.unit if e.unit else "")
        elif hasattr(e, "sender"):  # a file
            if not thing.access.allows(asker.person, e.sender):
                continue
            text = "send " + e.expected()
        else:
            text = "the last time"
        lines.append("*{}*: {}".format(e.name, text))
    return "\n".join(lines) + "\nAlso: {}. help NAME tells more.".format(", ".join(more))


def detail(entry):
    """All about an Entry."""
    if hasattr(entry, "sender"):
        text = "{}: send {}, over https or in the chat. For the role {}. The last one: {}"
        return text.format(entry.name, entry.expected(), entry.sender, entry.state())
    what = [what for cls, what in _KINDS if isinstance(entry, cls)][0]
    name = entry.name
    example = name
    text = "{}: {}".format(name, what)
    if entry.unit and not isinstance(entry, Control):
        text += " in " + entry.unit
    if isinstance(entry, Sensor):
        for word, limit in (("below", entry.low), ("above", entry.high)):
            if limit is not None:
                text += ", alarm {} {} {}".format(word, show(limit), entry.unit).rstrip()
    for p in getattr(entry, "params", ()):
        value = p.default
        if isinstance(entry, Control):
            text += ": " + p.expected()
            value = entry.value
        else:
            text += ". {}: {}".format(p.name.upper(), p.expected())
            if value is not NEEDED and value:
                text += "; else " + _example(p, value)
        example += " " + _example(p, value)
    if entry.role not in (None, "viewer"):
        text += ". For the role " + entry.role
    if entry.confirm:
        text += ". Asks first"
    return "{}. Example: {}".format(text, example)


def _example(param, value):
    kind = param.kind
    if kind is bool:
        return "on"
    if value is NEEDED or value is None or value == "":
        if isinstance(kind, tuple):
            value = kind[0]
        elif kind is str:
            value = "text"
        else:
            value = param.max if param.min is None else param.min
            value = 1 if value is None else value
    if param.unit == "s":
        return duration(value, True)
    return show(value) + (" " + param.unit if param.unit else "")


def unknown(thing, line, asker, name, rest, pending, now):
    """As words.understand(), for a name that is not known."""
    if pending:
        # What the program has use for, as a watch that shows it
        text = getattr(thing, "unknown", None)
        text = text and text(line, asker)
        if not text and (name == "yes" or name == "no" and not rest):
            text = "I have asked nothing."
        if text:
            return None, None, text, None
    if not name:
        return None, None, "Try help.", None
    text = "I do not know {}. ".format(plain(name)[:max_echo])
    found = []
    entries = thing.registry.entries
    raw = name.encode()
    best = min(2, len(raw) // 3) + 1
    if len(raw) <= max_echo:
        for e in ["help", "status"] + [
            e for e in entries if not isinstance(e, Command) or thing.may(e, asker)
        ]:
            other = getattr(e, "name", e).encode()
            if abs(len(other) - len(raw)) < best or found:
                far = _distance(raw, other)
                if far < best:
                    best = far
                    found = []
                if far == best and best <= min(2, len(raw) // 3):
                    found.append(e)
    if not found:
        return None, None, text + "Try help.", None
    choices = []
    reads = pending is not None
    for e in found[:max_offers]:
        line = getattr(e, "name", e)
        if isinstance(e, (Control, Command)):
            if rest and len(rest) <= max_echo:
                line += " " + rest
                reads = False
            elif isinstance(e, Command):
                reads = False
        choices.append((line, plain(line)))
    labels = [label for _, label in choices]
    if reads:
        pending.put(asker.jid, now, [line for line, _ in choices])
        if len(labels) > 1:
            labels = ["{} {}".format(i + 1, labels[i]) for i in range(len(labels))]
    return None, None, "{}Did you mean {}?".format(text, " or ".join(labels)), choices


def _distance(a, b):
    # How many bytes were left out, put in, changed, or swapped with the next one
    older = old = list(range(len(b) + 1))
    for i in range(len(a)):
        row = [i + 1]
        for j in range(len(b)):
            far = min(old[j] + (a[i] != b[j]), old[j + 1] + 1, row[j] + 1)
            if i and j and a[i] == b[j - 1] and a[i - 1] == b[j]:
                far = min(far, older[j - 1] + 1)
            row.append(far)
        older = old
        old = row
    return old[-1]
