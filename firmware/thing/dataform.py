"""Data forms (XEP-0004) for values that are declared as Params, with what they have to be
(XEP-0122). Pure: elements in and out."""

from uxmpp.xml import Element

from .registry import NEEDED

XMLNS = "jabber:x:data"
_TYPES = {bool: "xs:boolean", int: "xs:integer", float: "xs:decimal"}


def form(params, values, title=None, text=None, required=True):
    """A form to fill in, <x type='form'>: a field for each of `params`. `values`, one for each:
    what stands in it, a value or a text as it was typed, None or NEEDED for nothing. `required`:
    what has no default has to be given."""
    x = Element("x", XMLNS, {"type": "form"})
    if title:
        x.add("title", None, None, title)
    if text:
        x.add("instructions", None, None, text)
    names = _names(params)
    for p, value in zip(params, values):
        kind = p.kind
        number = kind in (int, float)
        choices = isinstance(kind, tuple)
        field = x.add("field")
        field.attrs = {
            "var": names.pop(0),
            "label": p.name + (" ({})".format(p.unit) if p.unit else ""),
            "type": "list-single" if choices else "boolean" if kind is bool else "text-single",
        }
        field.add("desc", None, None, p.expected())
        if required and p.default is NEEDED:
            field.add("required")
        if value is not None and value is not NEEDED:
            field.add("value", None, None, write(value))
        for choice in kind if choices else ():
            field.add("option", None, {"label": choice}).add("value", None, None, choice)
        rule = field.add("validate", "http://jabber.org/protocol/xdata-validate")
        rule.attrs = {"datatype": _TYPES.get(kind, "xs:string")}
        limits = {}
        for name in ("min", "max") if number else ():  # of a text they are its length
            if getattr(p, name) is not None:
                limits[name] = write(getattr(p, name))
        rule.add("range" if limits else "basic", None, limits)
    return x


def read(x, params):
    """The texts in a form that was submitted, one for each of `params`, None where it is left out
    or empty. Raises ValueError for what is no answer to form(`params`)."""
    if x.get("type") != "submit":
        raise ValueError("it is not submitted")
    names = _names(params)
    texts = [None] * len(names)
    for field in x.elements():
        if field.name == "field":
            name = field.get("var")
            if name not in names:
                raise ValueError("field {}: not asked for, or twice".format((name or "")[:32]))
            i = names.index(name)
            names[i] = NEEDED  # once is enough
            for value in field.elements():
                if value.name == "value":
                    if texts[i] is not None or value.elements():
                        raise ValueError(name + " must be one value")
                    texts[i] = value.text
    return [t if t and t.strip() else None for t in texts]


def write(value):
    """A value as it stands in a form; a text stays as it is."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):  # xs:decimal knows no exponents
        return "{:.6f}".format(value).rstrip("0").rstrip(".")
    return str(value)


def _names(params):
    # Params that were declared by their kind alone share a name
    names = []
    for p in params:
        names.append(p.name + str(len(names) + 1) if p.name in names else p.name)
    return names
