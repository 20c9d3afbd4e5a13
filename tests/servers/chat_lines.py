"""A conversation with the program `talker`, line by line, with the exact answers.

Each entry: (who says it, the line, the answer or None for silence), and where it is more than a
line, a dict: `id`, the message's; `replace`, the id of the message that it corrects; `xml`, what
else is in the message. In an answer AGE stands for a time span, CODE for a confirmation's code;
{code} in a line stands for the last code, {wrong} for another one.
"""

import re

A, P, V, S = "owner", "operator", "viewer", "stranger"

HELP = """\
*temperature*: the reading in °C
*humidity*: the reading in %
*motion*: the reading
*relay*: on or off
*mode*: auto, heat, off
*setpoint*: a number, 5 to 30 °C
*interval*: a time, 1 s to 24 h
*label*: a text of up to 200 characters
*blink* [TIMES]
*format*
*doorbell*: the last time
*ring* [WHO]
*work*
*go*
*hurry* CONFIRM_S
*add* A [B]
*fail*
*refuse*
Also: status, mute, unmute, who, role, log. help NAME tells more."""
HELP_OF_OPERATORS = (
    HELP.replace("a text of up to 200 characters", "shows it")
    .replace("*format*\n", "")
    .replace(" who, role,", "")
)
HELP_OF_VIEWERS = """\
*temperature*: the reading in °C
*humidity*: the reading in %
*motion*: the reading
*relay*: shows it
*mode*: shows it
*setpoint*: shows it
*interval*: shows it
*label*: shows it
*doorbell*: the last time
Also: status, mute, unmute. help NAME tells more."""
STATUS = """\
*temperature*: 21.5 °C
*humidity*: no reading: no answer
*motion*: empty
*relay*: off, since AGE
*mode*: heat, since AGE
*setpoint*: 20.5 °C, since AGE
*interval*: 60 s, since AGE
*label*: kitchen, since AGE
*doorbell*: nothing yet
up AGE, COUNTS"""

TEMPERATURE = "temperature: 21.5 °C"
RELAY_ON, RELAY_OFF = "relay: on", "relay: off"
ON, OFF = "relay: on, since AGE", "relay: off, since AGE"
TOO_LONG = "That message is too long for me."
ONLY = "{}: only for the role {}."
RELAY_NOT = "relay: must be on or off, not {}"
SETPOINT_NOT = "setpoint: must be a number, 5 to 30 °C, not {}"
INTERVAL_NOT = "interval: must be a time, 1 s to 24 h, not {}"
MODES = "mode: {}. 1 auto, 2 heat, 3 off"
MODE_NOT = "mode: must be auto, heat, off, not {}"
NOT_ASKED = "I have asked nothing."
CONFIRM = "format: this cannot be undone. Write `yes CODE` within 60 s."
WRONG = "format: that is not the code. Write it again."
DID = "I did that already: {}. Write it as a new message."
AWAY = "I was away when you wrote: {}. Write it again if you still want it."
DELAY = "<delay xmlns='urn:xmpp:delay' from='lab.example' stamp='2026-01-01T00:00:00Z'/>"
CARBON = (
    "<{0} xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>"
    "<message xmlns='jabber:client'><body>relay on</body></message></forwarded></{0}>"
)


def normal(answer):
    """An answer without what differs from run to run."""
    answer = re.sub(r"`yes \d{4}`", "`yes CODE`", answer)
    answer = re.sub(r"\bsince \d+ (s|min|h)\b", "since AGE", answer)
    answer = re.sub(r"\b\d+ (s|min) ago\b", "AGE ago", answer)
    return re.sub(r"\nup \d+ (s|min), .*$", r"\nup AGE, COUNTS", answer)


def unknown(name, meant=""):
    """What is said of a name that nobody has."""
    return f"I do not know {name}. " + (f"Did you mean {meant}?" if meant else "Try help.")


LINES = [
    # Nothing, or next to nothing
    (A, "", None),
    (A, " \t\n ", None),
    (A, "\u00a0\u3000", None),
    (A, "\u200b\u200f\u2060\ufeff", None),
    (A, "?", "Try help."),
    (A, "/", "Try help."),
    (A, "//!", "Try help."),
    (A, "…", "Try help."),
    (A, "***", "Try help."),
    (A, "> ", unknown(">")),
    # Reading, in any spelling
    (A, "temperature", TEMPERATURE),
    (A, "Temperature?", TEMPERATURE),
    (A, "TEMPERATURE!", TEMPERATURE),
    (A, "/temperature", TEMPERATURE),
    (A, "!temperature", TEMPERATURE),
    (A, "  temperature \n", TEMPERATURE),
    (A, "temperature ?", TEMPERATURE),
    (A, "temperature: ", TEMPERATURE),
    (A, "temperature.", TEMPERATURE),
    (A, "“temperature”", TEMPERATURE),
    (A, "*temperature*", TEMPERATURE),
    (A, "`temperature`", TEMPERATURE),
    (A, "\u202etemperature\u202c", TEMPERATURE),
    (A, "tempe\u00adra\u200bture", TEMPERATURE),
    (A, "temperature\u00a0now", TEMPERATURE),
    (A, "temperature\ufe0f", TEMPERATURE),
    (A, "temperature…", TEMPERATURE),
    (A, "what is the temperature?", TEMPERATURE),
    (A, "please show temperature", TEMPERATURE),
    (A, "temperature 25", TEMPERATURE),
    (A, "temperature\x85\x9f", TEMPERATURE),
    (A, "temperature\x7f", TEMPERATURE),
    (A, "humidity", "humidity: no reading: no answer"),
    (A, "motion", "motion: empty"),
    (A, "doorbell", "doorbell: nothing yet"),
    (A, "doorbell now", "doorbell: nothing yet"),
    (A, "label", "label: kitchen"),
    (A, "interval?", "interval: 60 s"),
    (A, "setpoint", "setpoint: 20 °C"),
    # A switch
    (A, "relay", "relay: off"),
    (A, "relay on", RELAY_ON),
    (A, "relay", ON),
    (A, "Relay OFF", RELAY_OFF),
    (A, "relay true", RELAY_ON),
    (A, "relay false", RELAY_OFF),
    (A, "relay Yes", RELAY_ON),
    (A, "relay no", RELAY_OFF),
    (A, "relay 1", RELAY_ON),
    (A, "relay 0", RELAY_OFF),
    (A, "relay = on", RELAY_ON),
    (A, "relay=off", RELAY_OFF),
    (A, "relay: on", RELAY_ON),
    (A, "relay:off", RELAY_OFF),
    (A, "relay : on", RELAY_ON),
    (A, "relay “off”", RELAY_OFF),
    (A, "relay on!", RELAY_ON),
    (A, "relay off.", RELAY_OFF),
    (A, "relay\u2009on", RELAY_ON),
    (A, "relay on?", ON),
    (A, "relay ?", ON),
    (A, "is the relay on?", ON),
    (A, "set relay off", RELAY_OFF),
    (A, "turn on relay", RELAY_ON),
    (A, "Turn off the relay!", RELAY_OFF),
    (A, "switch the relay on please", RELAY_NOT.format("on please")),
    (A, "relay", OFF),
    (A, "relay sideways", RELAY_NOT.format("sideways")),
    (A, "relay 2", RELAY_NOT.format("2")),
    (A, "relay on off", RELAY_NOT.format("on off")),
    (A, "relay o", RELAY_NOT.format("o")),
    (A, "relay ١", RELAY_NOT.format("١")),
    (A, "relay ｏｎ", RELAY_NOT.format("ｏｎ")),
    (A, "relay " + "x" * 100, RELAY_NOT.format("x" * 32)),
    (A, "relay *on*", RELAY_NOT.format("on*")),
    (A, "relay \u202eno\u202c maybe", RELAY_NOT.format("no maybe")),
    (A, "on", unknown("on")),
    (A, "turn on", unknown("on")),
    # Numbers, with units and without
    (A, "setpoint 21,5", "setpoint: 21.5 °C"),
    (A, "setpoint 22.25 °C", "setpoint: 22.25 °C"),
    (A, "setpoint 18°c", "setpoint: 18 °C"),
    (A, "setpoint 19 C", "setpoint: 19 °C"),
    (A, "setpoint 17°", "setpoint: 17 °C"),
    (A, "setpoint +16", "setpoint: 16 °C"),
    (A, "setpoint 5", "setpoint: 5 °C"),
    (A, "setpoint 30", "setpoint: 30 °C"),
    (A, "setpoint 4.99", SETPOINT_NOT.format("4.99")),
    (A, "setpoint 30,01", SETPOINT_NOT.format("30,01")),
    (A, "setpoint −5", SETPOINT_NOT.format("-5")),
    (A, "setpoint ٢١", SETPOINT_NOT.format("٢١")),
    (A, "setpoint २१", SETPOINT_NOT.format("२१")),
    (A, "setpoint ２１", SETPOINT_NOT.format("２１")),
    (A, "setpoint 1e400", SETPOINT_NOT.format("1e400")),
    (A, "setpoint inf", SETPOINT_NOT.format("inf")),
    (A, "setpoint nan", SETPOINT_NOT.format("nan")),
    (A, "setpoint 0x14", SETPOINT_NOT.format("0x14")),
    (A, "setpoint 1_0", SETPOINT_NOT.format("1_0")),
    (A, "setpoint 20 21", SETPOINT_NOT.format("20 21")),
    (A, "setpoint warm", SETPOINT_NOT.format("warm")),
    (A, "setpoint 20 °F", SETPOINT_NOT.format("20 °F")),
    (A, "setpoint 20.5", "setpoint: 20.5 °C"),
    (A, "interval 90s", "interval: 90 s"),
    (A, "interval 2h", "interval: 7200 s"),
    (A, "interval 1,5 min", "interval: 90 s"),
    (A, "interval 10 Minutes", "interval: 600 s"),
    (A, "interval 60", "interval: 60 s"),
    (A, "interval 0", INTERVAL_NOT.format("0")),
    (A, "interval 2 days", INTERVAL_NOT.format("2 days")),
    (A, "interval 1.5", INTERVAL_NOT.format("1.5")),
    (A, "interval -1", INTERVAL_NOT.format("-1")),
    (A, "interval soon", INTERVAL_NOT.format("soon")),
    # Choices, by name and by number
    (A, "mode heat", "mode: heat"),
    (A, "MODE Auto", "mode: auto"),
    (A, "mode", MODES.format("auto, since AGE")),
    (A, "2", "mode: heat"),
    (A, "2", unknown("2")),
    (A, "mode?", MODES.format("heat, since AGE")),
    (A, "off", "mode: off"),
    (A, "mode", MODES.format("off, since AGE")),
    (A, "4", unknown("4")),
    (A, "1", unknown("1")),
    (A, "mode", MODES.format("off, since AGE")),
    (A, "relay", OFF),
    (A, "1", unknown("1")),
    (A, "mode", MODES.format("off, since AGE")),
    (P, "1", unknown("1")),
    (A, "no", "As you like: nothing is done."),
    (A, "mode", MODES.format("off, since AGE")),
    (A, "２", unknown("２")),
    (A, "mode cool", MODE_NOT.format("cool")),
    (A, "mode 2", MODE_NOT.format("2")),
    (A, "mode heat", "mode: heat"),
    # A text
    (A, "label “Anna’s room” – 1", "label: \"Anna's room\" - 1"),
    (A, "label \"two  words\"", "label: two  words"),
    (A, "label 日本 grün 👍🏽", "label: 日本 grün 👍🏽"),
    (A, "label <b>&amp;</b> <![CDATA[x]]>", "label: <b>&amp;</b> <![CDATA[x]]>"),
    (A, "label </body></message>", "label: </body></message>"),
    (A, "label *bold* _x_ `y` ~z~", "label: bold* x_ y` z~"),
    (A, "label ```\nx", "label:  x"),
    (A, "label a\nrelay on", "label: a relay on"),
    (A, "label > quote", "label: > quote"),
    (A, "label off?", "label: off?"),
    (A, "label ?", "label: off?, since AGE"),
    (A, "label " + "y" * 200, "label: " + "y" * 200),
    (
        A,
        "label " + "y" * 201,
        "label: must be a text of up to 200 characters, not " + "y" * 32,
    ),
    (A, "label kitchen", "label: kitchen"),
    # Commands
    (A, "blink", "blink: 3 times"),
    (A, "blink 2", "blink: 2 times"),
    (A, "Blink 4!", "blink: 4 times"),
    (A, "blink 11", "blink: times must be a whole number, 1 to 10, not 11"),
    (A, "blink twice", "blink: times must be a whole number, 1 to 10, not twice"),
    (A, "blink 2 3", "blink: times must be a whole number, 1 to 10, not 2 3"),
    (A, "add", "add: a is missing: a whole number"),
    (A, "add 1", "add: 1.5"),
    (A, "add 1 2,25", "add: 3.25"),
    (A, "add 1 2 3", "add: b must be a number, not 2 3"),
    (A, "add one", "add: a must be a whole number, not one"),
    (A, "fail", "fail: failed: out of paper"),
    (A, "fail now", "fail: takes nothing"),
    (A, "refuse", "refuse: not on a Sunday"),
    (A, "blink?", "blink: a command. TIMES: a whole number, 1 to 10; else 3."
     " For the role operator. Example: blink 3"),
    # What is not known, and what may have been meant
    (A, "temprature", unknown("temprature", "temperature")),
    (A, "yes", TEMPERATURE),
    (A, "yes", NOT_ASKED),
    (A, "no", NOT_ASKED),
    (A, "tempreature?", unknown("tempreature", "temperature")),
    (A, "1", TEMPERATURE),
    (A, "relya", unknown("relya", "relay")),
    (A, "Yes!", OFF),
    (A, "relya on", unknown("relya", "relay on")),
    (A, "yes", NOT_ASKED),
    (A, "relay", OFF),
    (A, "hunidity", unknown("hunidity", "humidity")),
    (A, "no", "As you like: nothing is done."),
    (A, "yes", NOT_ASKED),
    (A, "mote", unknown("mote", "mute or mode")),
    (A, "2", unknown("2")),
    (A, "statuss", unknown("statuss", "status")),
    (A, "hlep", unknown("hlep", "help")),
    (A, "yes", HELP),
    (A, "blnk 3", unknown("blnk", "blink 3")),
    (A, "door", unknown("door")),
    (A, "Open the door", unknown("open")),
    (A, "21", unknown("21")),
    (A, "grün <&> 日本", unknown("grün")),
    (A, "температура", unknown("температура")),
    (A, "👍", unknown("👍")),
    (A, "x" * 200, unknown("x" * 32)),
    (A, "*relai*", unknown("relai", "relay")),
    (A, "<presence/>", unknown("<presence/>")),
    (A, "');--", unknown(");--")),
    (A, "help,relay", unknown("help,relay")),
    (A, "temp", unknown("temp")),
    (A, "/me waves", unknown("me")),
    # Too long
    (A, "relay on " + "x" * 992, TOO_LONG),
    (A, "relay on " * 400, TOO_LONG),
    (A, "é" * 32000, TOO_LONG),
    # Help and status
    (A, "help", HELP),
    (A, "HELP?", HELP),
    (A, "/help me", HELP),
    (A, "help relay", "relay: a control: on or off. For the role operator. Example: relay on"),
    (A, "help Mode?", "mode: a control: auto, heat, off. For the role operator."
     " Example: mode heat"),
    (A, "help setpoint", "setpoint: a control: a number, 5 to 30 °C. For the role operator."
     " Example: setpoint 20.5 °C"),
    (A, "help interval", "interval: a setting, kept over a restart: a time, 1 s to 24 h."
     " For the role operator. Example: interval 60 s"),
    (A, "help temperature", "temperature: a sensor in °C, alarm below 5 °C, alarm above 30 °C."
     " Example: temperature"),
    (A, "help motion", "motion: a sensor. Example: motion"),
    (A, "help doorbell", "doorbell: an event. Example: doorbell"),
    (A, "help format", "format: a command. For the role owner. Asks first. Example: format"),
    (A, "help mute", "mute: a command. TIME: a time, 0 s to 30 days; else 60 min."
     " Example: mute 60 min"),
    (A, "status", STATUS),
    (A, "Status?", STATUS),
    # What the device has by itself
    (A, "mute 2h", "Mute for 2 h: no reports, and no alarms but durable ones."),
    (A, "mute", "Mute for 60 min: no reports, and no alarms but durable ones."),
    (A, "mute soon", "mute: time must be a time, 0 s to 30 days, not soon"),
    (A, "unmute", "You are told everything."),
    (A, "who", "owner@lab.example: owner\nidle@lab.example: operator\n"
     "viewer@lab.example: viewer"),
    # Confirmation
    (A, "format", CONFIRM),
    (A, "yes {code}", "format: empty"),
    (A, "yes {code}", NOT_ASKED),
    (A, "format", CONFIRM),
    (A, "yes {wrong}", WRONG),
    (A, "yes {code}", NOT_ASKED),
    (A, "Format!", CONFIRM),
    (A, "yes", WRONG),
    (A, "format", CONFIRM),
    (A, "no", "As you like: nothing is done."),
    (A, "yes {code}", NOT_ASKED),
    (A, "format", CONFIRM),
    (A, "relay", OFF),
    (A, "yes {code}", NOT_ASKED),
    (A, "format", CONFIRM),
    (P, "yes {code}", NOT_ASKED),
    (V, "yes {code}", NOT_ASKED),
    (S, "yes {code}", None),
    (A, "`YES  {code}`.", "format: empty"),
    (A, "format now", "format: takes nothing"),
    (A, "formt", unknown("formt", "format")),
    (A, "hurry 0", "hurry: done"),
    (A, "format", CONFIRM.replace("60", "0")),
    (A, "yes {code}", "format: that was too late. Write it again."),
    (A, "yes {code}", NOT_ASKED),
    (A, "hurry 60", "hurry: done"),
    # Roles
    (P, "relay on", RELAY_ON),
    (P, "relay off", RELAY_OFF),
    (P, "help", HELP_OF_OPERATORS),
    (P, "format", ONLY.format("format", "owner")),
    (P, "label mine", ONLY.format("label", "owner")),
    (P, "label", "label: kitchen, since AGE"),
    (P, "who", ONLY.format("who", "owner")),
    (P, "formt", unknown("formt")),
    (P, "mode", MODES.format("heat, since AGE")),
    (V, "temperature", TEMPERATURE),
    (V, "relay", OFF),
    (V, "relay on", ONLY.format("relay", "operator")),
    (V, "turn on the relay", ONLY.format("relay", "operator")),
    (V, "relay sideways", ONLY.format("relay", "operator")),
    (V, "mode", "mode: heat, since AGE"),
    (V, "1", unknown("1")),
    (V, "blink?", ONLY.format("blink", "operator")),
    (V, "blnk", unknown("blnk")),
    (V, "log", ONLY.format("log", "operator")),
    (V, "help", HELP_OF_VIEWERS),
    (V, "status", STATUS),
    (S, "temperature", None),
    (S, "help", None),
    (S, "", None),
    (S, "x" * 20000, None),
    (S, "relay on", None, {"xml": "<request xmlns='urn:xmpp:receipts'/>"}),
    # Corrections: what had an effect is not done a second time
    (A, "relay on", RELAY_ON, {"id": "c1"}),
    (A, "relay off", DID.format("relay on"), {"id": "c2", "replace": "c1"}),
    (A, "temperature", DID.format("relay on"), {"id": "c3", "replace": "c1"}),
    (A, "temprature", unknown("temprature", "temperature"), {"id": "c4"}),
    (A, "temperature", TEMPERATURE, {"id": "c5", "replace": "c4"}),
    (A, "relay off", RELAY_OFF, {"id": "c6", "replace": "c4"}),
    (A, "relay on", DID.format("relay off"), {"id": "c7", "replace": "c4"}),
    (A, "relay on", DID.format("relay off"), {"id": "c8", "replace": "c6"}),
    (A, "relay sideways", RELAY_NOT.format("sideways"), {"id": "c9"}),
    (A, "relay on", RELAY_ON, {"id": "c10", "replace": "c9"}),
    (A, "refuse", "refuse: not on a Sunday", {"id": "c11"}),
    (A, "relay off", RELAY_OFF, {"id": "c12", "replace": "c11"}),
    (A, "fail", "fail: failed: out of paper", {"id": "c13"}),
    (A, "fail", DID.format("fail"), {"id": "c14", "replace": "c13"}),
    (A, "relay on", RELAY_ON, {"id": "c15", "replace": "never-seen"}),
    (P, "relay off", RELAY_OFF, {"id": "c16", "replace": "c15"}),
    (A, "format", CONFIRM, {"id": "c17"}),
    (A, "yes {code}", "format: empty", {"id": "c18"}),
    (A, "no", DID.format("format"), {"id": "c19", "replace": "c18"}),
    (A, "label " + "*z" * 50, "label: " + ("*z" * 50)[1:], {"id": "c20"}),
    (A, "x", DID.format(("label " + ("*z" * 50)[1:])[:32]), {"id": "c21", "replace": "c20"}),
    (A, "label kitchen", "label: kitchen"),
    (A, "relay on", RELAY_ON, {"id": "f1"}),
    (A, "relay off", DID.format("relay on"), {"id": "f2", "replace": "f1"}),
    (A, "relay off", DID.format("relay on"), {"id": "f3", "replace": "f2"}),
    (A, "relay off", DID.format("relay on"), {"id": "f4", "replace": "f3"}),
    (A, "relay off", DID.format("relay on"), {"id": "f5", "replace": "f1"}),
    # What comes twice is done once
    (A, "relay on", RELAY_ON, {"id": "d1"}),
    (A, "relay on", DID.format("relay on"), {"id": "d1"}),
    (A, "relay off", DID.format("relay on"), {"id": "d1"}),
    (P, "relay off", RELAY_OFF, {"id": "d1"}),
    (A, "temperature", TEMPERATURE, {"id": "d2"}),
    (A, "temperature", TEMPERATURE, {"id": "d2"}),
    (A, "relay", OFF),
    *[(A, "relay on", RELAY_ON, {"id": f"e{i}"}) for i in range(16)],
    (A, "relay on", DID.format("relay on"), {"id": "e6"}),
    (A, "relay off", RELAY_OFF, {"id": "d1"}),  # that long nobody remembers
    (P, "relay on", DID.format("relay off"), {"id": "d1"}),  # others do not wear that out
    # What was written while it was away
    (A, "relay on", AWAY.format("relay on"), {"xml": DELAY}),
    (A, "relay on?", OFF, {"xml": DELAY}),
    (A, "blink " + "9" * 40, "blink: times must be a whole number, 1 to 10, not " + "9" * 32,
     {"xml": DELAY}),
    (A, "label " + "w" * 60, AWAY.format("label " + "w" * 26), {"xml": DELAY}),
    (A, "temperature", TEMPERATURE, {"xml": DELAY}),
    (A, "who", "owner@lab.example: owner\nidle@lab.example: operator\n"
     "viewer@lab.example: viewer", {"xml": DELAY}),
    (A, "relay", OFF),
    # Copies are nobody's words
    (A, "relay on", None, {"xml": CARBON.format("sent")}),
    (A, "relay on", None, {"xml": CARBON.format("received")}),
    (A, None, None, {"xml": CARBON.format("sent")}),
    (A, "relay", OFF),
    (A, "relay", OFF, {"xml": "<private xmlns='urn:xmpp:carbons:2'/>"}),
    # XML of others in the message
    (A, "relay", OFF, {"xml": "<body xmlns='urn:example:x'>relay on</body>"}),
    (A, "relay", OFF, {"xml": "<html xmlns='http://jabber.org/protocol/xhtml-im'>"
     "<body xmlns='http://www.w3.org/1999/xhtml'>relay on</body></html>"}),
    # An event, with its age
    (A, "ring", "ring: done"),
    (A, "ring *Anna*\u202e", "ring: done"),
]  # fmt: skip
