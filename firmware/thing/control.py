"""Control (XEP-0325): loaded when there is a request."""

from uxmpp.client import StanzaError
from uxmpp.xml import Element

from .iot import CONTROL
from .registry import Command, Control, Param

_TRUE = ("true", "1")
# What a value may come as; choices come as a string
_TYPES = {
    bool: "boolean",
    int: "int long",
    float: "double int long",
    str: "string color date dateTime duration time",
}


async def answer(iot, stanza, payload, asker):
    """What to answer `asker` on <set/> or <getForm/>. Nothing is set unless all can be. Raises
    StanzaError."""
    thing = iot.thing
    entries = [e for e in thing.registry.entries if e.role and not e.builtin and not e.confirm]
    kind = stanza.get("type")
    if payload.name == "getForm" and kind == "get":
        from .dataform import form

        entries = [e for e in entries if thing.may(e, asker)]
        values = [e.value if isinstance(e, Control) else None for e in entries]
        x = form([_param(e) for e in entries], values, thing.config["name"], required=False)
        for el in x.elements():
            if el.name == "field":
                el.add("notSame", "urn:xmpp:xdata:dynamic")
        return x
    todo = [
        (el.get("name") or "", el.name, el.get("value"))
        for el in payload.elements()
        if el.xmlns == CONTROL and el.name != "node"
    ]
    x = payload.find("x", "jabber:x:data")
    if payload.name != "set" or kind == "get" or bool(x) == bool(todo):
        raise StanzaError("bad-request", "modify", "must set parameters, or a form")
    if stanza.find("delay", "urn:xmpp:delay"):
        # It waited for the device to come online, which may have taken days
        thing.log("iot: from before: not set")
        return None
    if x:
        from .dataform import read

        try:
            texts = read(x, [_param(e) for e in entries])
        except ValueError as e:
            raise StanzaError("bad-request", "modify", str(e))
        for i, e in enumerate(entries):
            # A button that was not pressed asks for nothing
            if texts[i] and (e.params or texts[i] in _TRUE):
                todo.append((e.name, None, texts[i]))
    ready = []
    for name, kind, text in todo:
        entry = thing.registry.find(name)
        if not entry or not entry.role:
            raise _refusal("item-not-found", name, "no such parameter")
        if not thing.may(entry, asker):
            raise _refusal("forbidden", name, "only for the role " + entry.role)
        if entry.confirm:
            raise _refusal("not-allowed", name, "needs a confirmation, in a chat")
        try:
            words = _words(entry, kind, text)
            entry.arguments(words)
            if [e for e, _ in ready if e is entry]:
                raise ValueError("is there twice")
        except ValueError as e:
            raise _refusal("bad-request", name, e)
        ready.append((entry, words))
    done = []
    for entry, words in ready:
        try:
            await thing.act(entry, words, asker)
        except Exception as e:
            text = thing.why(e)
            if done:
                text += "; done before: " + ", ".join(done)
            condition = "bad-request" if isinstance(e, ValueError) else "internal-server-error"
            raise _refusal(condition, entry.name, text)
        done.append(entry.name)
    return Element("setResponse", CONTROL, {"responseCode": "OK"})


def _refusal(condition, name, text):
    name = name[:32]
    kind = "modify" if condition == "bad-request" else "cancel"
    e = StanzaError(condition, kind, "{}: {}".format(name or "name", text))
    e.var = name
    return e


def _words(entry, kind, text):
    # What thing.act() takes. kind: the name of the element, None in a form
    params = entry.params
    if text is None:
        raise ValueError("value is missing")
    if isinstance(entry, Command):
        if kind == "boolean" or not params:
            if text not in _TRUE:
                raise ValueError("must be true")
            return []
        if kind in ("string", None):
            return text.split(None, len(params) - 1)
    types = _TYPES.get(params[0].kind, "string").split()
    if len(params) > 1 or kind and kind not in types:
        raise ValueError("must be {}, not {}".format(types[0], kind[:32]))
    return [text]


def _param(entry):
    # What an entry is in a form
    params = entry.params
    p = params[0] if len(params) == 1 else None
    if not p:
        return Param(entry.name, str if params else bool)
    return Param(entry.name, p.kind, p.min, p.max, p.unit)
