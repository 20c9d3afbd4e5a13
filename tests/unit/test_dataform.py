"""Data forms: what is asked for, and what may come back."""

from helper import assert_none, raises
from thing import dataform
from thing.registry import Command, Control, Param
from uxmpp.xml import Element, Parser

HEAP = "300k"

VALIDATE = "http://jabber.org/protocol/xdata-validate"
PARAMS = (
    Param("on", bool),
    Param("mode", ("auto", "Half Open")),
    Param("times", int, min=1, max=10, default=3),
    Param("level", float, max=30.5, unit="°C"),
    Param("rest", float, default=None),
    Param("text", str, min=2, max=40),
)
NAMES = [p.name for p in PARAMS]


def parsed(text):
    parser = Parser()
    list(parser.feed(b"<s xmlns='jabber:client'>"))
    return [el for el in parser.feed(text.encode()) if el][0]


def field_of(x, name):
    return [f for f in x.elements() if f.get("var") == name][0]


def shape(field):
    """(type, label, required, value, options, datatype, method, min, max) of a field."""
    value = field.find("value")
    rule = field.find("validate", VALIDATE)
    method = rule.elements()[0]
    return (
        field.get("type"),
        field.get("label"),
        field.find("required") is not None,
        value.text if value else None,
        [(o.get("label"), o.find("value").text) for o in field.elements() if o.name == "option"],
        rule.get("datatype"),
        method.name,
        method.get("min"),
        method.get("max"),
    )


def made(*args, **more):
    """A form as it arrives."""
    return parsed(dataform.form(*args, **more).to_bytes("jabber:client").decode())


def test_form():
    x = made(PARAMS, (True, "auto", 3, 20.25, None, "a <b> & 'c'"), "a title", "what to do")
    assert (x.name, x.xmlns, x.get("type")) == ("x", "jabber:x:data", "form")
    assert [c.name for c in x.elements()] == ["title", "instructions"] + ["field"] * 6
    assert (x.find("title").text, x.find("instructions").text) == ("a title", "what to do")
    assert [f.get("var") for f in x.elements()[2:]] == NAMES
    found = [shape(f) for f in x.elements()[2:]]
    text = "text-single"
    modes = [("auto", "auto"), ("Half Open", "Half Open")]
    assert_none([
        None if got == want else (got, want)
        for got, want in zip(found, [
            ("boolean", "on", True, "1", [], "xs:boolean", "basic", None, None),
            ("list-single", "mode", True, "auto", modes, "xs:string", "basic", None, None),
            (text, "times", False, "3", [], "xs:integer", "range", "1", "10"),
            (text, "level (°C)", True, "20.25", [], "xs:decimal", "range", None, "30.5"),
            (text, "rest", False, None, [], "xs:decimal", "basic", None, None),
            (text, "text", True, "a <b> & 'c'", [], "xs:string", "basic", None, None),
        ])
    ])  # fmt: skip
    for p in PARAMS:
        assert field_of(x, p.name).find("desc").text == p.expected()


def test_form_with_nothing_in_it():
    x = made(PARAMS, [p.default for p in PARAMS])
    assert [c.name for c in x.elements()] == ["field"] * 6
    assert [shape(f)[3] for f in x.elements()] == [None, None, "3", None, None, None]
    # A part of it will do, as XEP-0325 has it
    x = made(PARAMS, [None] * 6, required=False)
    assert [shape(f)[2:4] for f in x.elements()] == [(False, None)] * 6
    assert made((), ()).elements() == []


def test_what_was_typed_stays():
    texts = ["maybe", "x", "ten", "9e9", "", "]]>\t&\n<"]
    x = made(PARAMS, texts)
    assert [shape(f)[3] for f in x.elements()] == texts


def test_names_are_unique():
    params = Command("add", None, (int, float, int)).params
    x = made(params, (1, 2, 3))
    assert [f.get("var") for f in x.elements()] == ["value", "value2", "value3"]
    assert dataform.read(submitted(value="1", value3="5"), params) == ["1", None, "5"]


def test_write():
    assert_none([
        None if dataform.write(value) == text else (value, dataform.write(value))
        for value, text in (
            (True, "1"), (False, "0"), (0, "0"), (-12, "-12"), (20.0, "20"), (0.5, "0.5"),
            (-0.125, "-0.125"), (1e-7, "0"), (100000.0, "100000"), (3.1, "3.1"), ("auto", "auto"),
            ("1.50", "1.50"), ("", ""),
        )
    ])  # fmt: skip
    # What is written is what was meant
    for value in (20.25, -0.125, 1000.0):
        assert Param("x", float).parse(dataform.write(value)) == value


def submitted(**values):
    x = Element("x", "jabber:x:data", {"type": "submit"})
    for name in values:
        x.add("field", None, {"var": name}).add("value", None, None, values[name])
    return x


def test_read():
    x = submitted(text=" two words ", level="21,5 °C", on="true", mode="half open", times="5")
    assert dataform.read(x, PARAMS) == ["true", "half open", "5", "21,5 °C", None, " two words "]
    assert dataform.read(submitted(), PARAMS) == [None] * 6
    assert dataform.read(submitted(), ()) == []


def test_read_what_was_shown():
    # Some send the whole form back
    values = (False, "Half Open", 7, -4.5, None, "text")
    x = made(PARAMS, values, "a title", "what to do")
    x.attrs["type"] = "submit"
    texts = dataform.read(x, PARAMS)
    assert texts == ["0", "Half Open", "7", "-4.5", None, "text"]
    for p, text, value in zip(PARAMS, texts, values):
        assert text is None or p.parse(text) == value
    control = Control("level", None, float, min=5, max=30, value=20.5)
    x = made(control.params, [control.value])
    x.attrs["type"] = "submit"
    assert control.arguments(dataform.read(x, control.params)) == [20.5]


#: What may stand inside <x type='submit'>, and what it is read as
ODD = (
    ("", {}),
    ("<field var='on'/>", {}),
    ("<field var='on'><value/></field>", {}),
    ("<field var='on'><value>  \n </value></field>", {}),
    ("<field var='on' type='jid-multi'><value>1</value></field>", {"on": "1"}),
    ("<field var='on'>1</field>", {}),
    ("<field var='on'><note xmlns='urn:x'/><value>1</value></field>", {"on": "1"}),
    ("<field var='on' label='x'><desc>0</desc><value>1</value></field>", {"on": "1"}),
    ("<title>on</title><instructions>off</instructions>", {}),
    ("<reported><field var='on'/></reported>", {}),
    ("<item><field var='on'><value>1</value></field></item>", {}),
    ("text<field var='on'><value>1</value></field>text", {"on": "1"}),
    ("<field var='text'><value>&lt;value&gt;1&lt;/value&gt;</value></field>",
     {"text": "<value>1</value>"}),
    ("<field var='text'><value><![CDATA[</value>]]></value></field>", {"text": "</value>"}),
    ("<field var='text'><value>\u202eabc</value></field>", {"text": "\u202eabc"}),
)  # fmt: skip
NOT = "field {}: not asked for, or twice"
ONE = "{} must be one value"
#: What it may not, and what is said of that
BAD = (
    ("<field var='x'><value>1</value></field>", NOT.format("x")),
    ("<field var='ON'><value>1</value></field>", NOT.format("ON")),
    ("<field var=' on'><value>1</value></field>", NOT.format(" on")),
    ("<field var='on2'><value>1</value></field>", NOT.format("on2")),
    ("<field var=''><value>1</value></field>", NOT.format("")),
    ("<field><value>1</value></field>", NOT.format("")),
    ("<field/>", NOT.format("")),
    ("<field type='fixed'><value>on</value></field>", NOT.format("")),
    ("<field var='on'><value>1</value></field><field var='x'/>", NOT.format("x")),
    ("<field var='{}'/>".format("x" * 500), NOT.format("x" * 32)),
    ("<field var='FORM_TYPE' type='hidden'><value>urn:x</value></field>",
     NOT.format("FORM_TYPE")),
    ("<field var='FORM_TYPE'/>", NOT.format("FORM_TYPE")),
    ("<field var='on'><value>1</value></field><field var='on'><value>0</value></field>",
     NOT.format("on")),
    ("<field var='on'><value>1</value></field><field var='on'><value>1</value></field>",
     NOT.format("on")),
    ("<field var='on'/><field var='on'><value>1</value></field>", NOT.format("on")),
    ("<field var='on'><value/></field><field var='on'/>", NOT.format("on")),
    ("<field var='on'><value>1</value><value>0</value></field>", ONE.format("on")),
    ("<field var='on'><value>1</value><value/></field>", ONE.format("on")),
    ("<field var='on'><value/><value>1</value></field>", ONE.format("on")),
    ("<field var='text'>" + "<value>a</value>" * 50 + "</field>", ONE.format("text")),
    ("<field var='text'><value>a<b/></value></field>", ONE.format("text")),
    ("<field var='text'><value><value>a</value></value></field>", ONE.format("text")),
    ("<field var='mode'><value>auto<option/></value></field>", ONE.format("mode")),
)  # fmt: skip
TYPES = ("form", "result", "cancel", "error", "Submit", "submit ", "", None)


def put(inside, kind="submit"):
    kind = "" if kind is None else " type='{}'".format(kind)
    return parsed("<x xmlns='jabber:x:data'{}>{}</x>".format(kind, inside))


def test_odd_forms():
    assert_none([
        None if dataform.read(put(inside), PARAMS) == [want.get(n) for n in NAMES] else inside
        for inside, want in ODD
    ])  # fmt: skip


def test_bad_forms():
    assert len(BAD) + len(TYPES) >= 25
    wrong = []
    for inside, text in BAD:
        said = str(raises(ValueError, dataform.read, put(inside), PARAMS))
        if said != text:
            wrong.append((inside, said))
    assert_none(wrong)
    for kind in TYPES:
        x = put("<field var='on'><value>1</value></field>", kind)
        assert str(raises(ValueError, dataform.read, x, PARAMS)) == "it is not submitted", kind


#: (name, text, what is said of it): a form that is one, with a value that cannot be
VALUES = (
    ("on", "maybe", "on or off"),
    ("on", "2", "on or off"),
    ("mode", "cool", "auto, Half Open"),
    ("mode", "auto,Half Open", "auto, Half Open"),
    ("times", "0", "a whole number, 1 to 10"),
    ("times", "11", "a whole number, 1 to 10"),
    ("times", "1.5", "a whole number, 1 to 10"),
    ("times", "0x3", "a whole number, 1 to 10"),
    ("times", "\u0663", "a whole number, 1 to 10"),
    ("level", "30.6", "a number, 30.5 or less in °C"),
    ("level", "nan", "a number, 30.5 or less in °C"),
    ("level", "-inf", "a number, 30.5 or less in °C"),
    ("text", "a", "a text"),
    ("text", "a" * 41, "a text"),
)


def test_values_are_the_param_s():
    for name, text, expected in VALUES:
        texts = dataform.read(submitted(**{name: text}), PARAMS)
        i = NAMES.index(name)
        assert texts[i] == text
        said = str(raises(ValueError, PARAMS[i].parse, texts[i]))
        assert said.startswith("must be " + expected[:12]), (name, text, said)
