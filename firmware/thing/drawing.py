"""The word `chart`, of devices that keep a history and send files."""

from .memory import forget


def word(thing, show):
    """What it does: a function for Command. `show`: that of the word `history`, which answers
    where no picture can be sent."""

    async def draw(asker, name, seconds):
        entry = thing.registry.find(name.lower())
        why = ""
        if getattr(entry, "keep", None):
            from .chart import chart

            try:
                return await chart(thing, entry, seconds, asker)
            except (OSError, MemoryError) as e:
                why = str(e)
            finally:
                for name in ("plotting", "chart", "png"):
                    forget(name)
            name = entry.name
        return (show(asker, name, seconds) + "\n" + why).rstrip()

    return draw
