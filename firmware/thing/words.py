"""The language of people: a line in, an answer out. For the chat, the rooms and the schedules.

What people write is taken apart as bytes and in whole words: MicroPython keeps every character
that was ever taken out of a str for good.
"""

import gc
import os
from binascii import crc32

from .memory import forget
from .registry import Command, Control, Sensor, duration

#: The most characters of a line that is understood, of its first word, of a line in `status`, and
#: of what is repeated of somebody's own words.
max_text = 1000
max_word = 64
max_line = 200
max_echo = 32

# What may stand before a name, as in "turn the relay on" and "what is the temperature?"
_FILLERS = " set turn switch get show read the what is please "
#: What may stand around a name.
marks = "?!.,:;*_`~'\"/"
#: The device's own words that change nothing.
reads = ("history", "who", "log", "schedules")
too_long = "That message is too long for me."
again = "I did that already: {}. Write it as a new message."
CORRECT = "urn:xmpp:message-correct:0"
# The bits of a number that any MicroPython has for nothing
_SMALL = 0x3FFFFFFF
# What a schedule may not have
_TIMED = ("every", "at", "in", "cancel", "schedules", "help")


def clean(text):
    """`text` as one line: without control characters and what cannot be seen, and with the plain
    characters that a client made typographic ones of."""
    raw = text.encode()
    if len(raw) != len(text) or min(raw or b" ") < 32 or b"\x7f" in raw:
        # Most lines have nothing of that, and need no copies
        from .typography import undone

        text = undone(raw)
        forget("typography")
    return text.strip()


def plain(text):
    """`text` as one line, without what would style it (XEP-0393)."""
    was = None
    text = " " + text.replace("\n", " ").replace("\r", " ")
    while was != text:
        was = text
        for mark in (" *", " _", " ~", " `"):
            text = text.replace(mark, " ")
    return text[1:]


def lower(text):
    """`text` in small letters, ASCII's alone."""
    return text.encode().lower().decode()


def _unquoted(text):
    first = text[:1]
    if len(text) > 1 and first in "\"'`" and text.endswith(first):
        return text[1:-1].strip()
    return text


class Pending:
    """The questions that wait for an answer: one for each full JID, till its next line."""

    #: The most questions; then the oldest is forgotten.
    max_pending = 8
    #: Seconds for an answer, and for a confirmation.
    question_s = 300
    confirm_s = 60

    def __init__(self):
        self._asked = []  # (full JID, uptime, lines to choose from, code or None)

    def put(self, jid, now, lines, code=None):
        """Wait for the answer of a full JID: a number, or "yes" and the code."""
        if len(self._asked) >= self.max_pending:
            self._asked.pop(0)
        self._asked.append((jid, now, lines, code))

    def take(self, jid):
        """Forget and return the question to a full JID: (uptime, lines, code), or None."""
        for question in self._asked:
            if question[0] == jid:
                self._asked.remove(question)
                return question[1:]
        return None

    def replied(self, jid, now, text):
        """(the line that `text` says as an answer, whether it is confirmed, None or what to
        say)."""
        asked = self.take(jid)
        low = lower(text.strip(marks).strip())
        word, _, given = low.partition(" ")
        if asked:
            since, lines, code = asked
            name = lines[0].partition(" ")[0]
            if word == "no":
                return text, False, "As you like: nothing is done."
            if code and word == "yes":
                if now - since >= self.confirm_s:
                    return text, False, name + ": that was too late. Write it again."
                if given.strip() != code:
                    return text, False, name + ": that is not the code. Write it again."
                return lines[0], True, None
            if not code and low and now - since < self.question_s:
                if low == "yes" and len(lines) == 1:
                    low = "1"
                for i, line in enumerate(lines):
                    if low == str(i + 1) or low == lower(line.partition(" ")[2]):
                        return line, False, None
        return text, False, None


class Done:
    """What messages had done: it is not done again when one is corrected (XEP-0308), or comes
    twice. One for each adapter; people are told apart."""

    #: The most messages; then whoever has most of them here loses their oldest.
    max_done = 16

    def __init__(self):
        self._acts = []

    def of(self, person, stanza):
        """The act of a message of a bare JID, a list: [1] is what it, or what it corrects, had
        done, None for nothing."""
        who = crc32(person.encode()) & _SMALL
        replaced = stanza.find("replace", CORRECT)
        ids = [
            id and crc32(id.encode(), who) & _SMALL
            for id in (stanza.get("id"), replaced and replaced.get("id"))
        ]
        for act in self._acts:
            for id in ids:
                if id and id in act[2:]:
                    # Some correct the correction
                    if ids[0] and ids[0] not in act:
                        act[4:] = ids[:1]
                    return act
        return [who, None] + ids

    def keep(self, act, text):
        """An act is going to be done: `text`."""
        acts = self._acts
        if len(acts) >= self.max_done:
            people = [a[0] for a in acts]
            acts.pop(people.index(max(people, key=people.count)))
        act[1] = plain(text)[:max_echo]
        acts.append(act)

    def forget(self, act):
        """An act had no effect."""
        self._acts = [a for a in self._acts if a is not act]


def writes(entry, words):
    """Whether what understand() returned has an effect."""
    return words is not None and entry.name not in reads


def understand(thing, line, asker, pending=None):
    """What `line` means: (Entry, words, text, choices). Without an Entry `text` is what to say.
    Else `text` is the line in normal form, for perform(): `words` None reads the Entry or
    "status", a list sets or does it. `choices`: lines to answer by, each (line, label), or None.
    `pending`: the Pending of whoever brings the answer back; without one nothing is asked."""
    if len(line) > max_text:
        return None, None, too_long, None
    line = clean(line)
    text = _unquoted(line)
    if not text:
        return None, None, "", None
    text = text.lstrip("/! ")
    sure = False
    now = thing.clock.uptime_s()
    if pending:
        text, sure, say = pending.replied(asker.jid, now, text)
        if say:
            return None, None, say, None
    find = thing.registry.find
    rest = text
    while True:
        head, _, rest = rest.partition(" ")
        for mark in ("=", ":"):
            left, _, right = head.partition(mark)
            if right:
                head = left
                rest = right + " " + rest
        name = lower(head[:max_word].strip(marks))
        rest = rest.strip()
        entry = find(name)
        if entry or not rest or " {} ".format(name) not in _FILLERS:
            break
    if name in ("on", "off") and rest and not entry:
        rest, name = name, lower(rest.rpartition(" ")[2].strip(marks))
        entry = find(name)
    if rest[:2] in ("= ", ": "):
        rest = rest[2:].lstrip()
    if name == "help":
        return None, None, _hints("help", thing, asker, rest), None
    if name == "status":
        return name, None, name, None
    if not entry:
        return _hints("unknown", thing, line, asker, name, rest, pending, now)
    if isinstance(entry, Sensor):
        return entry, None, name, None
    params = getattr(entry, "params", ())
    control = isinstance(entry, Control)
    if entry.builtin or not params or params[0].kind is not str:
        rest = rest.rstrip("!. ")
        if control and rest.endswith("?"):
            rest = ""
    if entry.builtin or rest == "?":
        rest = rest.rstrip("?")
    rest = _unquoted(rest)
    may = thing.may(entry, asker)
    if not hasattr(entry, "params") or control and not rest:
        choices = None
        if control and may and pending and isinstance(params[0].kind, tuple):
            choices = [(name + " " + choice, choice) for choice in params[0].kind]
            pending.put(asker.jid, now, [line for line, _ in choices])
        return entry, None, name, choices
    if not may:
        return None, None, "{}: only for the role {}.".format(name, entry.role), None
    if not rest and text.endswith("?") and not entry.builtin:
        return None, None, _hints("detail", entry), None
    words = [rest] if control else rest.split(None, len(params) - 1)
    try:
        entry.arguments(words)
    except ValueError as e:
        return None, None, "{}: {}".format(name, plain(str(e))), None
    text = (name + " " + rest).strip()
    if entry.confirm and not sure:
        if not pending:
            return None, None, name + ": needs a yes. Write to me alone, not here.", None
        code = "{:04d}".format(int.from_bytes(os.urandom(2), "big") % 10000)
        pending.put(asker.jid, now, [text], code)
        choices = [("yes " + code, "yes"), ("no", "no")]
        text = "{}: this cannot be undone. Write `yes {}` within {} s."
        return None, None, text.format(name, code, pending.confirm_s), choices
    return entry, words, text, None


async def perform(thing, entry, words, asker, choices=None):
    """Read, set or do what understand() returned: (what to say, whether it may have had an
    effect). Raises nothing that the entry's function raises."""
    if entry == "status":
        return await _status(thing), False
    name = entry.name + ": "
    if words is None:
        await thing.read(entry)
        text = name + _state(thing, entry)
        if choices:
            labels = ["{} {}".format(i + 1, choices[i][1]) for i in range(len(choices))]
            text += ". " + ", ".join(labels)
        return text, False
    try:
        text = await thing.act(entry, words, asker)
        if isinstance(entry, Control):
            text = plain(text)
        return text if entry.builtin else name + text, True
    except ValueError as e:
        return name + plain(str(e)), False
    except Exception as e:
        if isinstance(e, TypeError) and len(words) < len(entry.params):
            return name + "not so: " + _hints("detail", entry).partition(". ")[2], True
        return name + "failed: " + thing.why(e), True


async def answer(thing, line, asker, pending=None, done=None, stanza=None):
    """(what to say, choices) of a line: understand() and perform() in one. `done`: the Done that
    knows what the message `stanza` had done."""
    act = done and done.of(asker.person, stanza)
    if act and act[1]:
        return again.format(act[1]), None
    entry, words, text, choices = understand(thing, line, asker, pending)
    if entry:
        acts = act and writes(entry, words)
        if acts:
            done.keep(act, text)
        text, effect = await perform(thing, entry, words, asker, choices)
        if acts and not effect:
            done.forget(act)
    return text, choices


def _hints(name, *args):
    # Once asked, such a question does not come again soon
    from . import hints

    result = getattr(hints, name)(*args)
    forget("hints")
    return result


def check(thing, line, asker):
    """The line in normal form, where it can be done by itself later. Raises ValueError, with a
    text for people."""
    entry, _, text, _ = understand(thing, line, asker)
    if not entry:
        raise ValueError(text)
    if text.partition(" ")[0] in _TIMED:
        raise ValueError(text.partition(" ")[0] + " cannot be put off")
    return text


async def run(thing, line, asker):
    """As answer(), without a question back."""
    return (await answer(thing, line, asker))[0]


def _state(thing, entry):
    text = plain(entry.state())
    if isinstance(entry, Sensor):
        alarmed = entry.alarmed
        if alarmed and entry.value is not None and alarmed != entry.state():
            text += ", alarm: " + alarmed
    elif entry.when is not None:
        age = duration(thing.clock.uptime_s() - entry.when)
        text += (", since " + age) if isinstance(entry, Control) else ", {} ago".format(age)
    return text


async def _status(thing):
    lines = []
    for e in thing.registry.entries:
        if not isinstance(e, Command):
            await thing.read(e)
            lines.append("*{}*: {}".format(e.name, _state(thing, e))[:max_line])
    c = thing.client
    text = "up {}, {} cuts, {} faults, {} dropped, {} refused".format(
        duration(thing.clock.uptime_s()), c.cuts, thing.faults, c.dropped, c.refused
    )
    update = thing.surfaces.get("update")
    if update:
        text = "version {}, {}".format(update.version, text)
    files = thing.surfaces.get("files")
    if files:
        text += ", {} files, {} failed".format(files.count, files.failed)
    if hasattr(gc, "mem_free"):  # CPython does not tell
        gc.collect()
        free = gc.mem_free()
        text += ", {} of {} KB free".format(free // 1024, (free + gc.mem_alloc()) // 1024)
    lines.append(text)
    return "\n".join(lines)
