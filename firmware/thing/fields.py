"""Values as fields of sensor data (XEP-0323), for readouts and for what is published."""

from uxmpp.xml import Element

from .clock import stamp
from .registry import Control, show

XMLNS = "urn:xmpp:iot:sensordata"


def field(entry, value, types=("momentary",), writable=None):
    """The field that `value` of `entry` is: bools `boolean`, all numbers `numeric` (the one kind
    that has a unit), choices `enum`, the rest `string`. None for what is no value: None, a NaN,
    an infinity. `types`: what it is (section "Field Types"); `writable`: whether the asker may
    set it, None where that is not told."""
    attrs = {"name": entry.name, "automaticReadout": "true"}
    for t in types:
        attrs[t] = "true"
    if writable is not None:
        attrs["writable"] = "true" if writable else "false"
    kind = "string"
    if isinstance(value, bool):
        kind = "boolean"
        value = "true" if value else "false"
    elif isinstance(value, (int, float)):
        if value - value != 0:
            return None
        kind = "numeric"
        attrs["unit"] = entry.unit or None
        if isinstance(value, float):
            value = "{:.7g}".format(value)
    elif value is None:
        return None
    elif isinstance(entry, Control) and isinstance(entry.params[0].kind, tuple):
        kind = "enum"
        attrs["dataType"] = entry.name
    attrs["value"] = show(value)
    return Element(kind, XMLNS, attrs)


def when(thing, entry):
    """When `entry` had its value, in epoch seconds: of a control it is now; None where nobody
    knows the time."""
    now = thing.clock.now()
    if now is None or entry.when is None or isinstance(entry, Control):
        return now
    return now - thing.clock.uptime_s() + entry.when


def put(fields, node, when, field):
    """Append `field` to an element <fields/>, as one of the node `node` at `when`, in epoch
    seconds."""
    home = fields.find("node") or fields.add("node", None, {"nodeId": node})
    at = stamp(when)
    last = home.children[-1] if home.children else None
    if not last or last.get("value") != at:
        last = home.add("timestamp", None, {"value": at})
    last.children.append(field)


def payload(thing, entry):
    """An element <fields/> with the value that `entry` has, or None where it has none, or nobody
    knows the time."""
    at = when(thing, entry)
    made = field(entry, entry.value)
    if at is None or not made:
        return None
    fields = Element("fields", XMLNS)
    put(fields, thing.config["name"], at, made)
    return fields
