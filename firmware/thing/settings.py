"""Settings: their values in settings.json. Loaded at the start, and when one is set."""

from .registry import Setting
from .store import load, save

_FILE = "settings.json"


async def begin(thing):
    """Have the function of each setting called with what was kept, or else declared."""
    kept = load(thing.folder + _FILE, thing.log).get("values")
    kept = kept if isinstance(kept, dict) else {}
    for s in thing.registry.kind(Setting):
        try:
            text = kept.get(s.name)
            if text is not None:
                s.value = s.arguments([text])[0]
        except (ValueError, AttributeError, TypeError):
            thing.log("{}: {}: not used".format(_FILE, s.name))
        try:
            if s.value is not None:
                await thing.call(thing.read_s, s.do, s.value)
        except Exception as e:
            thing.fault(s.name, e)


def keep(thing):
    """Keep the values; whether that went well. What is kept already is not written again."""
    path = thing.folder + _FILE
    settings = thing.registry.kind(Setting)
    values = {s.name: str(s.value) for s in settings if s.value is not None}
    if load(path, thing.log).get("values") == values:
        return True
    return save(path, {"values": values}, thing.log)
