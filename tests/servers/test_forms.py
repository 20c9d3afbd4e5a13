"""Ad-hoc commands and data forms (XEP-0050, XEP-0004, XEP-0122): menus by slixmpp, and what is no
answer to a form."""

import asyncio
import re
import xml.etree.ElementTree as ET

import pytest

from host_tools.lab.device import Device
from host_tools.lab.lab import Lab

from .helper import PROGRAMS, condition, online, owner_of, recorded

COMMANDS = "http://jabber.org/protocol/commands"
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
CMD = f"{{{COMMANDS}}}"
DATA = "{jabber:x:data}"
VALIDATE = "{http://jabber.org/protocol/xdata-validate}"
CLIENT = "{jabber:client}"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
PLUGINS = ("xep_0004", "xep_0030", "xep_0050")
USERS = ("owner", "operator", "viewer", "stranger", "dev")
#: What is added to the program `everything`: a form of two pages, and functions that fail.
MORE = """
@thing.command(
    "erase", params=(Param("area", ("log", "all")), Param("passes", int, 1, 9, default=2)),
    confirm=True,
)
def erase(area, passes=2):
    print("erase", area, passes)
    return "erased"


@thing.control("lock", bool, confirm=True, value=False)
def lock(on):
    print("lock", on)


@thing.control("speed", float, value=12.25)
def speed(rpm):
    if rpm > 100:
        raise ValueError("at most 100")
    if rpm < 0:
        raise OSError("the motor does not turn")


@thing.command("sum", params=(int, float))
def sum_of(a, b=0.5):
    return a + b


@thing.command("fail", params=())
def fail():
    raise RuntimeError("out of <paper>")


@thing.command("slow", params=())
async def slow():
    import asyncio
    import os

    while "go_on" not in os.listdir():
        await asyncio.sleep(0.05)
    print("slow is done")


thing.access.owner_burst = thing.access.burst = thing.access.total_burst = 1000
"""
BUILTIN = {"mute", "unmute", "who", "log", "role"}
FOR_VIEWERS = {"mute", "unmute", "read"}
FOR_OPERATORS = FOR_VIEWERS | {
    "relay", "mode", "setpoint", "interval", "blink", "ring", "log", "erase", "lock", "speed",
    "sum", "fail", "slow",
}  # fmt: skip


def device_in(lab, name, tune=""):
    """A device with the program `everything` and MORE, on a board's heap; not started."""
    source = (PROGRAMS / "everything.py").read_text("utf-8")
    folder = lab.folder / name
    app = folder / "app" / "station.py"
    app.parent.mkdir(parents=True)
    app.write_text(source.replace("thing.run()", f"{MORE}{tune}\nthing.run()"), "utf-8")
    config = lab.device_config(
        "dev",
        owners=["owner"],
        operators=[lab.jid("operator")],
        viewers=[lab.jid("viewer")],
        name="kitchen",
        surfaces=["chat", "forms"],
    )
    return Device(config, folder=folder, app=app, files=[lab.ca_der])


@pytest.fixture(scope="module")
def lab():
    with Lab({user: f"{user}'s own" for user in USERS}) as lab:
        yield lab


@pytest.fixture(scope="module")
def device(lab):
    """One device for all; each test has sessions of its own."""
    with device_in(lab, "device") as device:
        yield device


def run(lab, main, *users):
    """Run `main(owner, …)` with each of `users` logged in."""

    async def with_users(left, there):
        if not left:
            await main(*there)
            return
        async with owner_of(lab, left[0], plugins=PLUGINS) as user:
            await with_users(left[1:], [*there, user])

    asyncio.run(with_users(users or ("owner",), []))


async def send(user, jid, node, action=None, sid=None, inside=""):
    """Send a <command/> and return the answer; `inside` is XML."""
    el = ET.Element(CMD + "command")
    for key, value in (("node", node), ("action", action), ("sessionid", sid)):
        if value is not None:
            el.set(key, value)
    el.extend(ET.fromstring(f"<c xmlns='{COMMANDS}'>{inside}</c>"))
    return await user.iq(jid, el, "set")


def form(kind="submit", **values):
    fields = "".join(f"<field var='{k}'><value>{v}</value></field>" for k, v in values.items())
    return f"<x xmlns='jabber:x:data' type='{kind}'>{fields}</x>"


def part(answer):
    """The <command/> of a result."""
    assert answer.get("type") == "result", ET.tostring(answer)
    return answer.find(CMD + "command")


def status(answer):
    """(status, (type, text) of the note or None, actions, the one that execute is)."""
    el = part(answer)
    note = el.find(CMD + "note")
    actions = el.find(CMD + "actions")
    return (
        el.get("status"),
        None if note is None else (note.get("type"), note.text),
        [] if actions is None else [a.tag.removeprefix(CMD) for a in actions],
        None if actions is None else actions.get("execute"),
    )


def sid_of(answer):
    return part(answer).get("sessionid")


def values(answer):
    """{var: value} of the form in an answer, None without one."""
    x = part(answer).find(DATA + "x")
    if x is None:
        return None
    return {f.get("var"): f.findtext(DATA + "value") for f in x.iter(DATA + "field")}


def refused(answer):
    """(type, condition, that of XEP-0050 or None) of an error."""
    error = answer.find(CLIENT + "error")
    special = [c.tag.removeprefix(CMD) for c in error if c.tag.startswith(CMD)]
    return (*condition(answer), *(special or [None]))


BAD = {
    name: ("modify", "bad-request", name)
    for name in ("malformed-action", "bad-action", "bad-payload", "bad-sessionid")
}
EXPIRED = ("cancel", "not-allowed", "session-expired")
NOT_FOUND = ("cancel", "item-not-found", None)


async def open_form(user, jid, node):
    """Execute `node`, which shows a form, and return the session's id."""
    answer = await send(user, jid, node, "execute")
    assert status(answer)[0] == "executing"
    return sid_of(answer)


async def relay(user, jid, node="relay"):
    """The state that the form of a control shows."""
    answer = await send(user, jid, node, "execute")
    await send(user, jid, node, "cancel", sid_of(answer))
    return values(answer)[node]


# By slixmpp


class Menu:
    """One command, as slixmpp leads through it."""

    def __init__(self, user, jid, node):
        self._adhoc = user.client.plugin["xep_0050"]
        self._answers = asyncio.Queue()
        self.session = {"next": self._came, "error": self._came}
        self._adhoc.start_command(jid, node, self.session)

    def _came(self, iq, session):
        self._answers.put_nowait(iq)

    async def answer(self):
        return await asyncio.wait_for(self._answers.get(), 20)

    async def go(self, direction, iq=None, **values):
        """Send the form in `iq` back with `values`, and return what comes then."""
        self.session["payload"] = None
        if iq is not None:
            filled = iq["command"]["form"]
            filled["type"] = "submit"
            filled["values"] = values
            self.session["payload"] = [filled]
        if direction == "cancel":
            self._adhoc.cancel_command(self.session)
        elif direction == "complete":
            self._adhoc.complete_command(self.session)
        else:
            self._adhoc.continue_command(self.session, direction)
        return await self.answer()


def said(iq):
    return iq["command"]["status"], iq["command"]["notes"]


def test_menu(lab, device):
    """What there is, and what each is, as a client finds out that knows nothing of it."""

    async def main(owner):
        jid = await online(device)
        disco = owner.client.plugin["xep_0030"]
        features = (await disco.get_info(jid))["disco_info"]["features"]
        assert {COMMANDS, "jabber:x:data", ITEMS, INFO} <= features
        about = (await disco.get_info(jid, node=COMMANDS))["disco_info"]
        assert {i[:2] for i in about["identities"]} == {("automation", "command-list")}
        found = (await owner.client.plugin["xep_0050"].get_commands(jid))["disco_items"]["items"]
        nodes = [node for _, node, _ in found]
        assert {at for at, _, _ in found} == {jid} and len(set(nodes)) == len(nodes)
        assert FOR_OPERATORS | {"label", "format", "who"} <= set(nodes)
        assert set(nodes) <= FOR_OPERATORS | {"label", "format"} | BUILTIN
        names = {node: name for _, node, name in found}
        assert (names["read"], names["relay"]) == ("Read everything", "relay")
        for node in nodes:
            about = (await disco.get_info(jid, node=node))["disco_info"]
            assert about["node"] == node
            (identity,) = about["identities"]
            assert identity[:2] == ("automation", "command-node") and identity[3] == names[node]
            assert about["features"] == {COMMANDS, "jabber:x:data"}
        for node in (None, "relay"):
            assert not (await disco.get_items(jid, node=node))["disco_items"]["items"]

    run(lab, main)


def test_each_is_reached(lab, device):
    """Every declaration, through slixmpp's own workflow."""

    async def main(owner):
        jid = await online(device)
        # Everything that can be read
        iq = await Menu(owner, jid, "read").answer()
        assert said(iq)[0] == "completed"
        shown = iq["command"]["form"]
        assert (shown["type"], shown["title"]) == ("result", "kitchen")
        read = shown["values"]
        assert {k: read[k] for k in ("temperature", "humidity", "motion", "mode", "doorbell")} == {
            "temperature": "21.5 °C",
            "humidity": "no reading: no answer",
            "motion": "empty",
            "mode": "auto",
            "doorbell": "nothing yet",
        }
        assert not {"blink", "format", "mute"} & set(read)
        # Controls and settings: the value now, another one, and the form shows that
        for node, now, new, state in (
            ("relay", False, True, "on"),
            ("mode", "auto", "heat", "heat"),
            ("setpoint", "20", "24.5", "24.5 °C"),
            ("interval", "60", "90", "90 s"),
            ("label", "kitchen", "a <b> & 'c'", "a <b> & 'c'"),
        ):
            menu = Menu(owner, jid, node)
            iq = await menu.answer()
            assert said(iq) == ("executing", []) and iq["command"]["actions"] == {"complete"}
            assert iq["command"]["form"]["values"] == {node: now}
            iq = await menu.go("complete", iq, **{node: new})
            assert said(iq) == ("completed", [("info", state)])
            menu = Menu(owner, jid, node)
            assert (await menu.answer())["command"]["form"]["values"] == {node: new}
            assert said(await menu.go("cancel")) == ("canceled", [])
        # Commands
        menu = Menu(owner, jid, "blink")
        iq = await menu.answer()
        assert iq["command"]["form"]["values"] == {"times": "3"}
        assert said(await menu.go("next", iq, times="4")) == ("completed", [("info", "4 times")])
        menu = Menu(owner, jid, "ring")
        iq = await menu.answer()
        assert said(await menu.go("complete", iq, who="Ann")) == ("completed", [("info", "done")])
        read = {}
        async with asyncio.timeout(20):
            while read.get("doorbell") != "Ann":  # which rings a moment later
                iq = await Menu(owner, jid, "read").answer()
                read = iq["command"]["form"]["values"]
        assert read["temperature"] == "25.5 °C"
        # The device's own words
        iq = await Menu(owner, jid, "who").answer()
        people = f"{lab.jid('owner')}: owner\n{lab.jid('operator')}: operator\n"
        assert said(iq) == ("completed", [("info", f"{people}{lab.jid('viewer')}: viewer")])
        menu = Menu(owner, jid, "mute")
        iq = await menu.answer()
        assert iq["command"]["form"]["values"] == {"time": "3600"}
        state, [(kind, text)] = said(await menu.go("complete", iq, time="2h"))
        assert (state, kind) == ("completed", "info") and text.startswith("Mute for 2 h")

    run(lab, main)


def test_confirmation(lab, device):
    """Two pages: there and back with what was typed, and nothing done before the end."""

    async def main(owner):
        jid = await online(device)
        menu = Menu(owner, jid, "erase")
        iq = await menu.answer()
        assert iq["command"]["actions"] == {"next"}
        assert iq["command"]["form"]["values"] == {"area": None, "passes": "2"}
        text = "To be done: erase log 7"
        for step in ("next", "prev", "next"):
            iq = await menu.go(step, iq if step == "next" else None, area="log", passes="7")
            if step == "prev":
                assert said(iq) == ("executing", []) and iq["command"]["actions"] == {"next"}
                assert iq["command"]["form"]["values"] == {"area": "log", "passes": "7"}
            else:
                assert said(iq) == ("executing", [("warn", text)])
                assert iq["command"]["actions"] == {"prev", "complete"}
                assert iq["command"]["form"]["instructions"] == text
        assert said(await menu.go("complete", iq)) == ("completed", [("info", "erased")])
        assert re.findall(r"^erase \w+ \d$", device.output(), re.M) == ["erase log 7"]
        # Nothing to fill in, and nothing to go back to
        for step, state in (("cancel", ("canceled", [])), ("next", None), ("execute", None)):
            menu = Menu(owner, jid, "format")
            iq = await menu.answer()
            assert said(iq) == ("executing", [("warn", "To be done: format")])
            assert iq["command"]["actions"] == {"complete"}
            assert said(await menu.go(step)) == (state or ("completed", [("info", "empty")]))
        # A control that asks first
        menu = Menu(owner, jid, "lock")
        iq = await menu.go("next", await menu.answer(), lock=True)
        assert said(iq)[1] == [("warn", "To be done: lock on")] and "lock" not in device.output()
        assert said(await menu.go("complete", iq)) == ("completed", [("info", "on")])
        assert re.findall(r"^lock \w+$", device.output(), re.M) == ["lock True"]

    run(lab, main)


# By hand


def test_form_says_what_may_be(lab, device):
    async def main(owner):
        jid = await online(device)
        fields = {}
        for node in ("relay", "mode", "setpoint", "interval", "label", "blink"):
            answer = await send(owner, jid, node)
            x = part(answer).find(DATA + "x")
            (field,) = x.findall(DATA + "field")
            rule = field.find(VALIDATE + "validate")
            limits = rule[0]
            fields[node] = (
                field.get("type"),
                field.get("label"),
                field.find(DATA + "required") is not None,
                field.findtext(DATA + "desc"),
                [o.findtext(DATA + "value") for o in field.findall(DATA + "option")],
                rule.get("datatype"),
                limits.tag.removeprefix(VALIDATE),
                limits.get("min"),
                limits.get("max"),
            )
            assert x.get("type") == "form" and len(sid_of(answer)) == 24
            await send(owner, jid, node, "cancel", sid_of(answer))
        modes = ["auto", "heat", "off"]
        text = "text-single"
        assert fields == {
            "relay": ("boolean", "relay", True, "on or off", [], "xs:boolean", "basic", None,
                      None),
            "mode": ("list-single", "mode", True, "auto, heat, off", modes, "xs:string", "basic",
                     None, None),
            "setpoint": (text, "setpoint (°C)", True, "a number, 5 to 30 °C", [], "xs:decimal",
                         "range", "5", "30"),
            "interval": (text, "interval (s)", True, "a time, 1 s to 24 h", [], "xs:integer",
                         "range", "1", "86400"),
            "label": (text, "label", True, "a text of up to 200 characters", [], "xs:string",
                      "basic", None, None),
            "blink": (text, "times", False, "a whole number, 1 to 10", [], "xs:integer",
                      "range", "1", "10"),
        }  # fmt: skip

    run(lab, main)


#: (node, what is typed, what the note says): the form comes again with it
VALUES = (
    ("setpoint", {"setpoint": "99"}, "must be a number, 5 to 30 °C, not 99"),
    ("setpoint", {"setpoint": "warm"}, "must be a number, 5 to 30 °C, not warm"),
    ("setpoint", {"setpoint": ""}, "must be one value: a number, 5 to 30 °C"),
    ("setpoint", {}, "must be one value: a number, 5 to 30 °C"),
    ("relay", {"relay": "2"}, "must be on or off, not 2"),
    ("mode", {"mode": "cool"}, "must be auto, heat, off, not cool"),
    ("blink", {"times": "1.5"}, "times must be a whole number, 1 to 10, not 1.5"),
    ("erase", {"area": "log", "passes": "x"}, "passes must be a whole number, 1 to 9, not x"),
    ("erase", {"passes": "3"}, "area is missing"),
    ("erase", {}, "area is missing: log, all"),
    ("speed", {"speed": "101"}, "at most 100"),
    ("label", {"label": "x" * 201}, "must be a text of up to 200 characters, not " + "x" * 32),
    ("label", {"label": "x\n*relay*: on"}, "must be one line, of characters that can be seen"),
    ("ring", {"who": "x\n```"}, "who must be one line, of characters that can be seen"),
    ("sum", {"value": "1.5"}, "value must be a whole number, not 1.5"),
    ("sum", {"value2": "1.5"}, "value is missing"),
    ("sum", {}, "a value is missing"),
)
ONE = "<field var='relay'><value>1</value></field>"
X = "<x xmlns='jabber:x:data' type='submit'>{}</x>"
#: (action, what is in the command): what is no answer to the form of `relay`
PAYLOADS = (
    (None, ""),
    ("complete", ""),
    ("complete", "<x xmlns='urn:example:x' type='submit'/>"),
    ("complete", "<x type='submit'>" + ONE + "</x>"),
    ("complete", form("form", relay="1")),
    ("complete", form("result", relay="1")),
    ("complete", form("cancel", relay="1")),
    ("complete", form("", relay="1")),
    ("complete", X.format(ONE + ONE)),
    ("next", X.format(ONE + "<field var='relay'><value>0</value></field>")),
    ("execute", X.format(ONE + "<field var='mode'><value>heat</value></field>")),
    (None, X.format("<field var='FORM_TYPE' type='hidden'><value>urn:x</value></field>" + ONE)),
    ("complete", X.format("<field var='relay'><value>1</value><value>0</value></field>")),
    ("complete", X.format("<field var='relay'><value>1<b/></value></field>")),
    ("complete", X.format("<field><value>1</value></field>")),
    ("complete", X.format("<field var='RELAY'><value>1</value></field>")),
)


def test_bad_forms(lab, device):
    """Nothing is done, and nothing that was typed is lost: the session goes on."""

    async def main(owner):
        jid = await online(device)
        before = await send(owner, jid, "read")
        for node, typed, text in VALUES:
            sid = await open_form(owner, jid, node)
            answer = await send(owner, jid, node, "execute", sid, form(**typed))
            state, note, *_ = status(answer)
            assert (state, note) == ("executing", ("error", text)), (node, typed)
            assert sid_of(answer) == sid
            shown = {k: v for k, v in values(answer).items() if v is not None}
            assert shown == {k: v for k, v in typed.items() if v}
            assert status(await send(owner, jid, node, "cancel", sid))[0] == "canceled"
        sid = await open_form(owner, jid, "relay")
        for action, inside in PAYLOADS:
            answer = await send(owner, jid, "relay", action, sid, inside)
            assert refused(answer) == BAD["bad-payload"], (action, inside)
        assert values(await send(owner, jid, "read")) == values(before)
        # It is still open
        now = values(before)["relay"]
        answer = await send(owner, jid, "relay", "complete", sid, form(relay=now))
        assert status(answer)[:2] == ("completed", ("info", now))

    run(lab, main)


def test_bad_stages(lab, device):
    """Each with the condition that XEP-0050 has for it, whoever asks in whatever order."""

    async def main(owner, elsewhere):
        jid = await online(device)
        filled = form(area="all", passes="1")
        sid = await open_form(owner, jid, "erase")
        done = sid_of(await send(owner, jid, "log"))
        for user, node, action, session, inside, want in (
            # Without a session
            (owner, "blink", "jump", None, "", "malformed-action"),
            (owner, "blink", "EXECUTE", None, "", "malformed-action"),
            (owner, "blink", "complete", None, form(times=1), "bad-sessionid"),
            (owner, "blink", "next", None, "", "bad-sessionid"),
            (owner, "blink", "prev", None, "", "bad-sessionid"),
            (owner, "blink", "cancel", None, "", "bad-sessionid"),
            (owner, "blink", "execute", None, form(times=1), "bad-payload"),
            (owner, "format", "execute", None, form(), "bad-payload"),
            # With one that is not theirs
            (elsewhere, "erase", "next", sid, filled, "bad-sessionid"),
            (elsewhere, "erase", "cancel", sid, "", "bad-sessionid"),
            (owner, "blink", "complete", sid, form(times=1), "bad-sessionid"),
            (owner, "erase", "next", sid.upper(), filled, "bad-sessionid"),
            (owner, "erase", "next", sid[:-1], filled, "bad-sessionid"),
            (owner, "erase", "next", "", filled, "bad-sessionid"),
            (owner, "log", "execute", done, "", "bad-sessionid"),
            # On the first page
            (owner, "erase", "jump", sid, filled, "malformed-action"),
            (owner, "erase", "complete", sid, filled, "bad-action"),
            (owner, "erase", "prev", sid, "", "bad-action"),
        ):
            answer = await send(user, jid, node, action, session, inside)
            assert refused(answer) == BAD[want], (node, action, session)
        answer = await send(owner, jid, "erase", "execute", sid, filled)
        assert status(answer)[1] == ("warn", "To be done: erase all 1")
        # On the second one
        for action, inside, want in (
            ("jump", "", "malformed-action"),
            ("complete", filled, "bad-payload"),
            ("complete", form("cancel"), "bad-payload"),
        ):
            answer = await send(owner, jid, "erase", action, sid, inside)
            assert refused(answer) == BAD[want], action
        assert status(await send(owner, jid, "erase", "cancel", sid))[0] == "canceled"
        # It has ended
        for action in ("complete", "prev", "cancel", "execute"):
            assert refused(await send(owner, jid, "erase", action, sid)) == EXPIRED
        sid = sid_of(await send(owner, jid, "format"))
        assert refused(await send(owner, jid, "format", "prev", sid)) == BAD["bad-action"]
        assert status(await send(owner, jid, "format", "cancel", sid))[0] == "canceled"
        assert "erase all" not in device.output()

    run(lab, main, "owner", "owner")


def test_failures_and_doubles(lab, device):
    """A function that fails ends the command; what is sent twice is done once."""

    async def main(owner):
        jid = await online(device)
        answer = await send(owner, jid, "fail")
        assert status(answer) == ("completed", ("error", "out of <paper>"), [], None)
        sid = await open_form(owner, jid, "speed")
        answer = await send(owner, jid, "speed", "complete", sid, form(speed="-1"))
        assert status(answer)[:2] == ("completed", ("error", "the motor does not turn"))
        assert refused(await send(owner, jid, "speed", None, sid, form(speed="1"))) == EXPIRED
        assert await relay(owner, jid, "speed") == "12.25"
        # The same once more while the first one is on its way
        sid = sid_of(await send(owner, jid, "format"))
        both = await asyncio.gather(
            *(send(owner, jid, "format", "complete", sid) for _ in range(2))
        )
        assert sorted(answer.get("type") for answer in both) == ["error", "result"]
        # Others are served while one takes long
        slow = asyncio.create_task(send(owner, jid, "slow"))
        assert await relay(owner, jid) in ("0", "1") and not slow.done()
        (device.folder / "go_on").touch()
        assert status(await slow)[:2] == ("completed", ("info", "done"))

    run(lab, main)


async def nodes_of(user, jid):
    answer = await user.iq(jid, f"<query xmlns='{ITEMS}' node='{COMMANDS}'/>")
    assert answer.get("type") == "result"
    return {el.get("node") for el in answer.iter(f"{{{ITEMS}}}item")}


def test_roles(lab, device):
    """Nobody sees what they may not use, and it looks like what is not there."""

    async def main(owner, operator, viewer, stranger, own):
        jid = await online(device)
        assert await nodes_of(viewer, jid) == FOR_VIEWERS
        assert await nodes_of(operator, jid) == FOR_OPERATORS
        sid = await open_form(owner, jid, "relay")
        for user, node in (
            (viewer, "relay"), (viewer, "log"), (operator, "label"), (operator, "format"),
            (owner, "temperature"), (owner, "doorbell"), (owner, "nothing"), (owner, "RELAY"),
            (owner, ""), (owner, None),
        ):  # fmt: skip
            assert refused(await send(user, jid, node, "execute")) == NOT_FOUND, node
            if node:
                answer = await user.iq(jid, f"<query xmlns='{INFO}' node='{node}'/>")
                assert refused(answer) == NOT_FOUND, node
        for user, node in ((viewer, "relay"), (operator, "format"), (owner, "nothing")):
            answer = await send(user, jid, node, "complete", sid, form(relay=1))
            assert refused(answer) == NOT_FOUND, node
            answer = await user.iq(jid, f"<query xmlns='{ITEMS}' node='{node}'/>")
            assert refused(answer) == NOT_FOUND, node
        assert refused(await send(owner, jid, COMMANDS)) == NOT_FOUND
        assert "temperature" in values(await send(viewer, jid, "read"))
        assert part(await send(operator, jid, "fail")).get("status") == "completed"
        # Strangers meet an account that is not there; so does the device's own, but for the error
        got = recorded(stranger)
        for node in ("relay", "read", "nothing"):
            answer = await send(stranger, jid, node, "execute", None, "")
            assert refused(answer) == ("cancel", "service-unavailable", None)
            answer = await send(stranger, jid, node, "complete", sid, form(relay=1))
            assert refused(answer) == ("cancel", "service-unavailable", None)
            answer = await stranger.iq(jid, f"<query xmlns='{ITEMS}' node='{COMMANDS}'/>")
            assert refused(answer) == ("cancel", "service-unavailable", None)
            assert refused(await send(own, jid, node))[0] in ("cancel", "wait")
        assert len([el for el in got if el.get("from") == jid]) == 9
        assert await nodes_of(own, jid) == set()
        assert status(await send(owner, jid, "relay", "cancel", sid))[0] == "canceled"

    run(lab, main, *USERS)


def test_role_lost_in_between(lab, device):
    """The form of somebody who may no more: as if it had never been."""

    async def main(owner, operator):
        jid = await online(device)
        now = await relay(owner, jid)
        sid = await open_form(operator, jid, "relay")
        who = lab.jid("operator")
        for role in ("viewer", "operator"):
            change = await open_form(owner, jid, "role")
            answer = await send(owner, jid, "role", "complete", change, form(jid=who, role=role))
            assert status(answer)[:1] == ("completed",)
            if role == "viewer":
                answer = await send(operator, jid, "relay", "complete", sid, form(relay="1"))
                assert refused(answer) == NOT_FOUND
                assert await nodes_of(operator, jid) == FOR_VIEWERS
        assert await relay(owner, jid) == now

    run(lab, main, "owner", "operator")


def test_sessions_are_few_and_end(lab):
    """The one that was idle longest makes room, but no owner's for others; and none waits for
    ever."""

    async def main(owner, viewer):
        jid = await online(quick)
        # Others' make room for an owner's, and then their own
        for _ in range(2):
            for _ in range(4):
                await open_form(viewer, jid, "mute")
            sid = sid_of(await send(owner, jid, "format"))
        for _ in range(4):
            last = await open_form(viewer, jid, "mute")
        answer = await send(owner, jid, "format", "complete", sid)
        assert status(answer)[:2] == ("completed", ("info", "empty"))
        assert status(await send(viewer, jid, "mute", "cancel", last))[0] == "canceled"
        sids = [await open_form(owner, jid, "relay") for _ in range(9)]
        full = ("wait", "resource-constraint", None)
        assert refused(await send(viewer, jid, "mute")) == full
        assert status(await send(owner, jid, "relay", "cancel", sids[-1]))[0] == "canceled"
        last = await open_form(viewer, jid, "mute")
        assert status(await send(viewer, jid, "mute", "cancel", last))[0] == "canceled"
        for sid in sids[-4:-1]:
            assert status(await send(owner, jid, "relay", "cancel", sid))[0] == "canceled"
        sids = [await open_form(owner, jid, "relay") for _ in range(5)]
        assert len(set(sids)) == 5
        answer = await send(owner, jid, "relay", "complete", sids[0], form(relay="1"))
        assert refused(answer) == BAD["bad-sessionid"]
        # What has ended goes first, and what is done at once needs no room. From here on none
        # lasts
        assert status(await send(owner, jid, "relay", "cancel", sids[4]))[0] == "canceled"
        assert status(await send(owner, jid, "hurry"))[0] == "completed"
        last = await open_form(owner, jid, "blink")
        for sid in sids[1:4]:
            assert refused(await send(owner, jid, "relay", "prev", sid)) == BAD["bad-action"]
        assert refused(await send(owner, jid, "blink", "prev", last)) in (
            BAD["bad-action"], EXPIRED
        )  # fmt: skip
        assert refused(await send(owner, jid, "relay", "prev", sids[4])) == BAD["bad-sessionid"]

        async with asyncio.timeout(20):
            while refused(await send(owner, jid, "blink", "prev", last)) != EXPIRED:
                await asyncio.sleep(0.2)
        answer = await send(owner, jid, "blink", "complete", last, form(times="1"))
        assert refused(answer) == EXPIRED

    tune = """
@thing.command("hurry", params=())
def hurry():
    thing.surfaces["forms"].session_s = 1
"""
    with device_in(lab, "quick", tune) as quick:
        run(lab, main, "owner", "viewer")
