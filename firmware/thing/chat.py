"""The chat surface: words in, one answer out."""

import gc

from uxmpp.jid import bare

from .registry import Control, Sensor

_DELAY = "urn:xmpp:delay"


class Chat:
    features = ()
    """Answers chat messages from people with a role. Everything it can say comes from the
    registry."""

    #: The most characters of an answer, and of a line in `status`.
    max_answer = 2000
    max_line = 200

    def __init__(self, thing):
        self._thing = thing
        thing.client.on("message", None, self._message)

    async def _message(self, stanza, payload):
        sender = stanza.get("from")
        person = bare(sender)
        kind = stanza.get("type")
        body = stanza.find("body")
        # The account's own messages are known to the client, but nobody with a role
        if kind in ("groupchat", "headline") or not self._thing.access.known(person):
            return
        if stanza.truncated:
            text = "That message is too long for me."
        elif body and body.text.strip():
            text = await self.answer(person, body.text, stanza.find("delay", _DELAY))
        else:
            return
        await self._thing.say(sender, text[: self.max_answer])

    async def answer(self, person, text, late=None):
        """What to say to bare JID `person`, who wrote `text`; `late`: it was written before the
        device was there."""
        text = text.strip().lstrip("/!")
        words = text.split()
        if not words:
            return "Try help."
        name = words[0].lower().rstrip("?:.,")
        if name == "help":
            return self._help(person)
        if name == "status":
            return await self._status()
        entry = self._thing.registry.find(name)
        if not entry:
            return "I do not know {}. Try help.".format(words[0][:32])
        rest = text[len(words[0]) :].strip()
        if isinstance(entry, Sensor):
            await self._thing.read(entry)
            return name + ": " + entry.state()
        if isinstance(entry, Control) and not rest:
            return name + ": " + entry.state()
        if late:
            return "I was away when you wrote: {}. Write it again if you still want it.".format(
                text[:80]
            )
        try:
            words = (
                [rest] if isinstance(entry, Control) else rest.split(None, len(entry.params) - 1)
            )
            return (
                name
                + ": "
                + await self._thing.act(entry, words, self._thing.asker(person, "chat"))
            )
        except ValueError as e:
            return "{}: {}".format(name, e)
        except Exception as e:
            return "{}: failed: {}".format(name, self._thing.why(e))

    def _help(self, person):
        lines = ["status: everything at once"]
        for e in self._thing.registry.entries:
            if isinstance(e, Sensor):
                lines.append(e.name + ": the reading" + (" in " + e.unit if e.unit else ""))
            elif self._thing.access.allows(person, e.role):
                lines.append(e.usage())
            elif isinstance(e, Control):
                lines.append(e.name + ": the state")
        return "\n".join(lines)

    async def _status(self):
        thing = self._thing
        lines = []
        for e in thing.registry.entries:
            if isinstance(e, Sensor):
                await thing.read(e)
            elif not isinstance(e, Control):
                continue
            lines.append((e.name + ": " + e.state())[: self.max_line])
        c = thing.client
        lines.append(
            "up {}, {} cuts, {} faults, {} dropped, {} refused{}".format(
                _duration(thing.clock.uptime_s()),
                c.cuts,
                thing.faults,
                c.dropped,
                c.refused,
                _memory(),
            )
        )
        return "\n".join(lines)


def _duration(seconds):
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return "{} {}".format(seconds // size, unit)
    return "{} s".format(seconds)


def _memory():
    # CPython does not tell
    if not hasattr(gc, "mem_free"):
        return ""
    gc.collect()
    free = gc.mem_free()
    return ", {} of {} KB free".format(free // 1024, (free + gc.mem_alloc()) // 1024)
