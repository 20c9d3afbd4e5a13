"""What people write, and how it is understood: signs, names, questions, schedules."""

import asyncio

from helper import MICROPYTHON, allocated, assert_none, raises
from thing import Thing, words
from thing.access import ROLES, Asker
from thing.builtin import Builtin
from thing.registry import Command, Control, Event, Param, Registry, Sensor
from thing.rich import Rich
from uxmpp.client import StanzaError
from uxmpp.xml import Element

HEAP = "400k"
TOO_LONG = "That message is too long for me."


class _Clock:
    now_s = 1000

    def uptime_s(self):
        return self.now_s


class _Access:
    # Roles by the name before the @
    def rank(self, person):
        name = person.partition("@")[0]
        return ROLES.index(name) + 1 if name in ROLES else 0

    def allows(self, person, role):
        return self.rank(person) > ROLES.index(role)


class Device(Thing):
    """The agent without a server."""

    def __init__(self):
        self.clock = _Clock()
        self.access = _Access()
        self.surfaces = {}
        self.faults = 0
        self.lines = []
        self.registry = Registry()
        self.did = did = []
        add = self.registry.add
        add(Sensor("temperature", lambda: 21.5, unit="°C"))
        add(Sensor("level", lambda: 3, unit="cm"))
        add(Control("relay", did.append, bool, value=False))
        add(Control("mode", did.append, ("auto", "heat", "off"), value="auto"))
        add(Control("fan_speed", did.append, int, min=0, max=9, value=1))
        add(Control("label", did.append, str, value="kitchen"))
        add(Control("valve", did.append, bool, confirm=True, role="owner"))
        add(Command("beep", lambda n: did.append(n), (Param("times", int, default=1),)))
        add(Command("format", lambda: did.append("format"), (), confirm=True, role="owner"))
        self.doorbell = add(Event("doorbell", None))
        for name in ("mute", "every", "at", "in", "cancel", "schedules"):
            add(Builtin(name, lambda *args: "done", (Param("line", default=""),), role="viewer"))

    def log(self, text):
        pass

    def changed(self, entry):
        pass


def asker(name):
    return Asker(_Access(), name + "@example.org/phone", "chat")


def said(device, line, name="owner", pending=None):
    """(what is said to a line, its choices)."""
    return asyncio.run(words.answer(device, line, asker(name), pending))


CLEAN = (
    ("", ""),
    (" \t\r\n", ""),
    ("relay on", "relay on"),
    (" relay\non\r\n", "relay on"),
    ("a\0b\x1bc\x7fd", "a b c d"),
    ("a\x80b\x85c\x9fd", "a b c d"),
    ("a\u00a0b\u1680c\u2000d\u2009e\u200af\u202fg\u205fh\u3000i", "a b c d e f g h i"),
    ("a\u2028b\u2029c", "a b c"),
    ("a\u00adb\u200bc\u200cd\u200de\u200ef\u200fg\u2060h\ufeffi\u061cj\u180ek", "abcdefghijk"),
    ("\u202aa\u202bb\u202cc\u202dd\u202ee\u2066f\u2067g\u2068h\u2069i\u206fj", "abcdefghij"),
    ("❤\ufe0fx\ufe00", "❤x"),
    ("“a” „b‟ «c» ″d″", '"a" "b" "c" "d"'),
    ("‘a’ ‚b‛ ‹c› ′d′", "'a' 'b' 'c' 'd'"),
    ("‐a‑b‒c–d—e―f−g", "-a-b-c-d-e-f-g"),
    ("on…", "on..."),
    # What only looks like them stays
    ("°C µ ± ¿ é ß", "°C µ ± ¿ é ß"),
    ("日本 грин ٣ ３ 👍🏽 •", "日本 грин ٣ ３ 👍🏽 •"),
)


def test_clean():
    wrong = [(t, words.clean(t)) for t, clean in CLEAN if words.clean(t) != clean]
    assert wrong == []


if not MICROPYTHON:

    def test_clean_leaves_nothing_that_is_not_seen():
        import unicodedata

        for c in range(0x10000):
            if not 0x3400 <= c < 0xF900:
                got = words.clean("a" + chr(c) + "b")
                # Else words end elsewhere than on MicroPython
                assert got.split() == got.split(" ") or c == 32, hex(c)
                assert words.clean(got) == got
                if unicodedata.category(chr(c)) == "Cc" or unicodedata.bidirectional(chr(c)) in (
                    ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
                ):
                    assert chr(c) not in got or c == 32, hex(c)


PLAIN = (
    ("", ""),
    ("on", "on"),
    ("*on*", "on*"),
    ("*_~`on", "on"),
    ("_*_*on", "on"),
    ("a *b _c", "a b c"),
    ("a*b fan_speed 2~3", "a*b fan_speed 2~3"),
    ("a ** b", "a  b"),
    ("a\n*b*\r\n```c\n> d", "a b*  c > d"),
)


def test_plain():
    wrong = [(t, words.plain(t)) for t, plain in PLAIN if words.plain(t) != plain]
    assert wrong == []


UNDERSTOOD = (
    # line, name of the entry, words
    ("temperature", "temperature", None),
    ("TEMPERATURE please?", "temperature", None),
    ("what is the level", "level", None),
    ("status", "status", None),
    ("show status!", "status", None),
    ("relay", "relay", None),
    ("relay?", "relay", None),
    ("is the relay on?", "relay", None),
    ("relay on", "relay", ["on"]),
    ("relay=on", "relay", ["on"]),
    ("relay = on.", "relay", ["on"]),
    ("turn on the relay", "relay", ["on"]),
    ("turn the relay off", "relay", ["off"]),
    ("Set fan_speed 3!", "fan_speed", ["3"]),
    ("*fan_speed* 3", "fan_speed", ["3"]),
    ("/fan_speed: 3", "fan_speed", ["3"]),
    ("label ‘my  shed’", "label", ["my  shed"]),
    ("label a=b: c?", "label", ["a=b: c?"]),
    ("label the end.", "label", ["the end."]),
    ("beep", "beep", []),
    ("beep 2", "beep", ["2"]),
    ("mute?", "mute", []),
    ("at noon label who?", "at", ["noon label who"]),
    ("mute 2h", "mute", ["2h"]),
    ("at 22:00 relay off", "at", ["22:00 relay off"]),
    ("doorbell", "doorbell", None),
    ("“relay on”", "relay", ["on"]),
)


def test_understood():
    device = Device()
    for line, name, args in UNDERSTOOD:
        entry, found, text, choices = words.understand(device, line, asker("owner"))
        assert (getattr(entry, "name", entry), found, choices) == (name, args, None), line
        assert text == " ".join([name] + (args or [])), (line, text)
        # The normal form means the same
        again = words.understand(device, text, asker("owner"))
        assert again == (entry, found, text, None), line


SAID = (
    ("", ""),
    ("\u200b", ""),
    ("?", "Try help."),
    ("door", "I do not know door. Try help."),
    ("relya", "I do not know relya. Did you mean relay?"),
    ("tmperature 3", "I do not know tmperature. Did you mean temperature?"),
    ("fan_sped 3", "I do not know fan_sped. Did you mean fan_speed 3?"),
    ("lavel", "I do not know lavel. Did you mean level or label?"),
    ("*" + "x" * 99, "I do not know " + "x" * 32 + ". Try help."),
    ("relay maybe", "relay: must be on or off, not maybe"),
    ("fan_speed 10", "fan_speed: must be a whole number, 0 to 9, not 10"),
    ("format", "format: needs a yes. Write to me alone, not here."),
    ("yes", "I do not know yes. Try help."),
    ("x" * 1001, TOO_LONG),
    ("label " + "x" * 995, TOO_LONG),
    ("fan_speed 3", "fan_speed: 3"),
    ("fan_speed", "fan_speed: 3, since 0 s"),
    ("mode", "mode: auto"),
    ("doorbell", "doorbell: nothing yet"),
)


def test_said():
    device = Device()
    wrong = []
    for line, text in SAID:
        got = said(device, line)[0]
        wrong.append(None if got == text else (line, got))
    assert_none(wrong)
    assert device.did == [3]


def test_age():
    device = Device()
    device.doorbell.value = "*somebody*"
    device.doorbell.when = 1000
    said(device, "relay on")
    for later, since in (
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7200, "2 h"),
        (2e5, "2 days"),
    ):
        device.clock.now_s = 1000 + int(later)
        assert said(device, "relay")[0] == "relay: on, since " + since
        assert said(device, "doorbell")[0] == "doorbell: somebody*, {} ago".format(since)


def test_roles():
    device = Device()
    for name, line, text in (
        ("viewer", "relay", "relay: off"),
        ("viewer", "relay on", "relay: only for the role operator."),
        ("viewer", "relay maybe", "relay: only for the role operator."),
        ("operator", "valve on", "valve: only for the role owner."),
        ("operator", "frmat", "I do not know frmat. Try help."),
        ("viewer", "bep", "I do not know bep. Try help."),
        ("operator", "bep", "I do not know bep. Did you mean beep?"),
    ):
        assert said(device, line, name)[0] == text, (name, line)
    assert device.did == []


def test_numbers_after_a_question():
    device = Device()
    pending = words.Pending()
    text, choices = said(device, "mode", pending=pending)
    assert text == "mode: auto. 1 auto, 2 heat, 3 off"
    assert choices == [("mode auto", "auto"), ("mode heat", "heat"), ("mode off", "off")]
    # Whoever may not, or is somebody else, is not asked
    assert said(device, "mode", "viewer", pending) == ("mode: auto", None)
    assert said(device, "2", "operator", pending)[0] == "I do not know 2. Try help."
    assert said(device, "2", pending=pending)[0] == "mode: heat"
    assert said(device, "2", pending=pending)[0] == "I do not know 2. Try help."
    text, choices = said(device, "lavel", pending=pending)
    # Both only read
    assert text == "I do not know lavel. Did you mean 1 level or 2 label?"
    assert said(device, "2", pending=pending)[0] == "label: kitchen"
    for line in ("0", "4", "01", "-1", "x"):
        said(device, "mode", pending=pending)
        assert said(device, line, pending=pending)[0] == "I do not know {}. Try help.".format(line)
    said(device, "mode", pending=pending)
    device.clock.now_s += pending.question_s
    assert said(device, "1", pending=pending)[0] == "I do not know 1. Try help."


def test_confirmation():
    device = Device()
    pending = words.Pending()
    wrong = "valve: that is not the code. Write it again."

    def code():
        text, choices = said(device, "valve on", pending=pending)
        code = text.partition("`yes ")[2][:4]
        told = "valve: this cannot be undone. Write `yes {}` within 60 s."
        assert text == told.format(code) and len(code) == 4
        assert choices == [("yes " + code, "yes"), ("no", "no")]
        return code

    right = code()
    assert said(device, "yes " + right, "operator", pending)[0] == "I have asked nothing."
    assert said(device, "Yes {}!".format(right), pending=pending)[0] == "valve: on"
    assert said(device, "yes " + right, pending=pending)[0] == "I have asked nothing."
    for given in ("{:04d}".format((int(code()) + 1) % 10000), "", "x"):
        code()
        assert said(device, "yes " + given, pending=pending)[0] == wrong
    right = code()
    device.clock.now_s += pending.confirm_s
    late = "valve: that was too late. Write it again."
    assert said(device, "yes " + right, pending=pending)[0] == late
    right = code()
    device.clock.now_s += pending.confirm_s - 1
    assert said(device, "yes " + right, pending=pending)[0] == "valve: on"
    right = code()
    said(device, "relay", pending=pending)
    assert said(device, "yes " + right, pending=pending)[0] == "I have asked nothing."
    code()
    assert said(device, "no", pending=pending)[0] == "As you like: nothing is done."
    assert device.did == [True, True]
    # No two are the same for long
    assert len({code() for _ in range(20)}) > 10


def test_questions_are_few():
    pending = words.Pending()
    for i in range(20):
        pending.put("p{}@example.org/x".format(i), i, ["line"], None)
    kept = [pending.take("p{}@example.org/x".format(i)) for i in range(20)]
    assert [k is not None for k in kept] == [False] * 12 + [True] * 8
    assert pending.take("p19@example.org/x") is None


def message(id=None, replaces=None):
    stanza = Element("message", "jabber:client", {"id": id} if id else {})
    if replaces:
        stanza.add("replace", words.CORRECT, {"id": replaces})
    return stanza


def test_nothing_is_done_twice():
    device = Device()
    done = words.Done()

    def say(line, name, *ids):
        who = asker(name)
        return asyncio.run(words.answer(device, line, who, None, done, message(*ids)))[0]

    again = "I did that already: fan_speed 3. Write it as a new message."
    for name in ("owner", "operator"):
        assert say("fan_speed 3", name, "a") == "fan_speed: 3"
        # The same once more, corrections, and corrections of these
        for ids in (("a",), ("b", "a"), ("c", "b"), ("d", "c"), ("e", "a"), (None, "a"), ("a",)):
            assert say("fan_speed 4", name, *ids) == again, ids
    assert device.did == [3, 3]
    # What had no effect may be corrected
    assert say("fan_speed", "owner", "f") == "fan_speed: 3, since 0 s"
    assert say("fan_speed 10", "owner", "g", "f").startswith("fan_speed: must be")
    device.registry.find("beep").do = lambda n: int("x")
    assert say("beep", "owner", "h", "g").startswith("beep: ")
    assert say("fan_speed 5", "owner", "i", "h") == "fan_speed: 5"
    # The first question and the last one are both known
    for ids in (("j", "h"), ("k", "i"), ("l", "k")):
        assert "already: fan_speed 5." in say("fan_speed 6", "owner", *ids), ids
    assert say("label *x*", "owner", "m") == "label: x*"
    assert "already: label x*." in say("label y", "owner", "m")
    # Without an id there is nothing to know it by
    assert [say("fan_speed 7", "owner") for _ in range(2)] == ["fan_speed: 7"] * 2


def test_what_was_done_is_shared_out():
    done = words.Done()

    def do(person, id):
        act = done.of(person, message(id))
        if not act[1]:
            done.keep(act, "it")
            return True
        return False

    assert do("a@x", "1") and do("a@x", "2")
    for i in range(50):
        assert do("b@x", str(i))
    assert not do("a@x", "1") and not do("a@x", "2") and not do("b@x", "49")
    assert do("b@x", "30") and len(done._acts) == done.max_done
    for i in range(50):
        assert do("c@x", str(i))
    assert not do("a@x", "1") and not do("b@x", "49") and do("c@x", "30")


def test_values_that_are_missing():
    device = Device()
    for n, line in enumerate(("", "1")):
        e = Command("sum{}".format(n), lambda a, b: a + b, (int, float))
        device.registry.add(e)
        told = "VALUE: a whole number. VALUE: a number. For the role operator. Example: "
        told = "{0}: not so: {1}{0} 1 1".format(e.name, told)
        assert said(device, e.name + " " + line)[0] == told
        assert said(device, e.name + " 1 2")[0] == e.name + ": 3"
    device.registry.add(Command("wrong", lambda a: a + "", (int,)))
    assert said(device, "wrong 1")[0].startswith("wrong: failed: ")


CHECKED = (
    ("relay ON!", "relay ON"),
    ("turn the relay off", "relay off"),
    ("temperature?", "temperature"),
    ("status", "status"),
    ("mute 2h", "mute 2h"),
    ("beep 2", "beep 2"),
)
REFUSED = (
    ("", ""),
    ("door", "I do not know door. Try help."),
    ("relay", None),
    ("relay maybe", "relay: must be on or off, not maybe"),
    ("beep x", "beep: times must be a whole number, not x"),
    ("format", "format: needs a yes. Write to me alone, not here."),
    ("valve on", "valve: needs a yes. Write to me alone, not here."),
    ("every 1h relay on", "every cannot be put off"),
    ("at 22:00 relay on", "at cannot be put off"),
    ("in 5 min beep", "in cannot be put off"),
    ("cancel 1", "cancel cannot be put off"),
    ("schedules", "schedules cannot be put off"),
    ("x" * 1001, TOO_LONG),
)


def test_check():
    device = Device()
    who = asker("owner")
    for line, normal in CHECKED:
        assert words.check(device, line, who) == normal, line
    for line, why in REFUSED:
        if why is None:
            assert words.check(device, line, who) == line
        else:
            e = raises(ValueError, words.check, device, line, who)
            assert str(e) == why, (line, str(e))
    assert raises(ValueError, words.check, device, "help", who)
    e = raises(ValueError, words.check, device, "relay on", asker("viewer"))
    assert str(e) == "relay: only for the role operator."
    assert device.did == []


def test_status_is_cut():
    device = Device()
    device.client = _Client(None)
    device.registry.find("label").value = "é" * 300
    lines = said(device, "status")[0].split("\n")
    assert lines[5] == ("*label*: " + "é" * 200)[:200]
    assert lines[6:8] == ["*valve*: not known", "*doorbell*: nothing yet"]
    assert lines[8].startswith("up 16 min, 1 cuts, 0 faults, 2 dropped, 3 refused")


class _Client:
    # Answers with `answer`, an Element, or raises it
    cuts, dropped, refused = 1, 2, 3

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    async def iq(self, kind, payload, to):
        self.asked.append(to)
        if not isinstance(self.answer, Element):
            raise self.answer
        return self.answer


def info(*features):
    """An answer to disco#info."""
    answer = Element("iq", "jabber:client")
    query = answer.add("query", "http://jabber.org/protocol/disco#info")
    for feature in features:
        query.add("feature", None, {"var": feature})
    return answer


IM = "http://jabber.org/protocol/xhtml-im"
HTML = (
    "<html xmlns='http://jabber.org/protocol/xhtml-im'>"
    "<body xmlns='http://www.w3.org/1999/xhtml'>{}</body></html>"
)
DRESSED = (
    ("relay: on", "<p><strong>relay</strong>: on</p>"),
    ("Try help.", "<p>Try help.</p>"),
    ("I was away: <&>", "<p>I was away: &lt;&amp;&gt;</p>"),
    (
        "*a*: 1 °C\n*b* [X]\nup 1 s, 0 cuts",
        "<ul><li><strong>a</strong>: 1 °C</li><li><strong>b</strong> [X]</li>"
        "<li>up 1 s, 0 cuts</li></ul>",
    ),
)


def rich_of(answer):
    """A Rich whose clients all give the same answer."""
    device = Device()
    device.client = _Client(answer)
    return Rich(device)


def dressed(rich, jid, text):
    """What is put beside `text` at once, and when the client has answered."""

    async def main():
        first = rich.dress(jid, text)
        await asyncio.sleep(0.01)
        return first, rich.dress(jid, text)

    return asyncio.run(main())


def test_rich_text():
    for text, html in DRESSED:
        first, (el,) = dressed(rich_of(info("x", IM)), "a@b/c", text)
        assert first == [] and repr(el) == HTML.format(html), repr(el)
    for answer in (info(), info("x"), Element("iq", "jabber:client"), StanzaError("gone")):
        rich = rich_of(answer)
        assert dressed(rich, "a@b/c", "x") == ([], [])
        assert rich._client.asked == ["a@b/c"]
    # Who could not be asked is asked again, who does not answer is not
    for online, times in ((False, 3), (True, 1)):
        rich = rich_of(OSError("no answer"))
        rich._client.online = online
        for _ in range(2):
            assert dressed(rich, "a@b/c", "x") == ([], [])
        assert len(rich._client.asked) >= times if times > 1 else rich._client.asked == ["a@b/c"]


def test_rich_asks_few_at_a_time():
    async def main():
        rich = rich_of(info(IM))
        waiting = asyncio.Event()

        async def iq(kind, payload, to):
            rich._client.asked.append(to)
            await waiting.wait()
            return info(IM)

        rich._client.iq = iq
        for i in range(12):
            rich.dress("a@b/{}".format(i), "x")
            await asyncio.sleep(0)
        assert rich._client.asked == ["a@b/0", "a@b/1"]
        waiting.set()
        await asyncio.sleep(0.01)
        assert rich.dress("a@b/1", "x") and rich.dress("a@b/2", "x") == []
        await asyncio.sleep(0.01)
        assert rich.dress("a@b/2", "x")

    asyncio.run(main())


def test_rich_clients_are_few():
    async def main():
        rich = rich_of(info(IM))
        for i in range(20):
            rich.dress("a@b/{}".format(i), "x")
            await asyncio.sleep(0.01)
        assert len(rich._clients) == 8
        for i in range(12, 20):
            assert rich.dress("a@b/{}".format(i), "x")
        assert rich.dress("a@b/1", "x") == []

    asyncio.run(main())


def test_no_character_is_kept():
    device = Device()
    pending = words.Pending()
    who = asker("owner")

    def say(first, number):
        # Each line with characters that no other has
        for i in range(number):
            raw = b"".join([bytes([0xE4 + i // 4, 0x80 + first, 0x80 + j]) for j in range(60)])
            for begin in ("", "label ", "relay "):
                words.understand(device, begin + raw.decode(), who, pending)

    say(0, 4)
    before = allocated()
    say(1, 8)
    say(2, 8)
    # Of each character there would be 20 bytes
    if MICROPYTHON:
        assert allocated() - before < 1000, allocated() - before
