"""What a person sees of a device in a chat client: the transcript in docs/chat.md.

`python -m tests.servers.transcript` holds the conversation below, in Profanity, with a device on
32-bit MicroPython, and writes what was said between the two marker lines of docs/chat.md.
"""

import re
import sys
from pathlib import Path

from host_tools.lab.device import Device
from host_tools.lab.errors import LabError, LabTimeout
from host_tools.lab.lab import Lab
from host_tools.lab.profanity import Profanity

# The device's program: an app of firmware/apps, or a file.
APP = "greenhouse"
# What its device.json has besides the account, and options of host_tools.lab.device.Device
CONFIG = {"surfaces": ["chat", "history", "schedule"], "timezone": "CET-1CEST,M3.5.0,M10.5.0/3"}
OPTIONS = {"runtime": "32", "readings": ((21.5, 40.0),)}
# (what is entered, what the answer has at its end: a screen may be seen while it is being drawn),
# in order. A line that begins with / is a command of Profanity: /correct TEXT puts another text in
# the place of the last one. {code} stands for the confirmation code that the last answer named.
CONVERSATION = (
    ("help", "help NAME tells more"),
    ("temperature", "21.5 °C"),
    ("temprature", "Did you mean temperature?"),
    ("yes", "21.5 °C"),
    ("Light ON", "light: on"),
    ("light sideways", "must be on or off"),
    ("vent", "3 open"),
    ("2", "vent: half"),
    ("pause 90 min", "1.5 h"),
    ("pause 30", "0 s to 24 h"),
    ("water 1s", "1 s of water"),
    ("help water", "water 30 s"),
    ("drain", "within 60 s"),
    ("yes {code}", "the tank is empty"),
    ("every 10m temperature", "every 10m temperature, next"),
    ("at 22:00 light off", "at 22:00 light off, next"),
    ("schedules", "2: at 22:00 light off, next"),
    ("cancel 1", "cancelled"),
    ("history temperature 24h", "·▄"),
    ("mute 2h", "Mute for 2 h"),
    ("unmute", "You are told everything"),
    ("who", "owner"),
    ("opened", "nothing yet"),
    ("/correct temperature", "21.5 °C"),
    ("status", "KB free"),
    ("log", "drain by"),
)

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "chat.md"
BEGIN = "<!-- transcript: python -m tests.servers.transcript -->"
END = "<!-- end of the transcript -->"

PERSON = "anna"
DEVICE = "greenhouse"
PASSWORDS = {PERSON: "a person's password", DEVICE: "a device's password"}
# Of the terminal: the longest answer is to be seen as a whole, and no line of one in two rows
SIZE = {"columns": 120, "rows": 60}
CODE = re.compile(r"\b(\d{4})\b")

# What differs from run to run, and what stands for it where two runs are compared
_CHANGING = (
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "DATE"),
    (re.compile(r"\b\d{1,2}:\d\d(:\d\d)?\b"), "TIME"),
    (re.compile(r"\b\d+ of \d+ KB\b"), "MEMORY"),
    (re.compile(r"\b(up|since) \d[\d.]* (s|min|h|days)\b"), r"\1 AGE"),
    (re.compile(r"\b\d[\d.]* (s|min|h|days) ago\b"), "AGE ago"),
    (re.compile(r"/uxmpp~\S+"), "/RESOURCE"),
    (CODE, "CODE"),
)


def hold(app=APP, conversation=CONVERSATION, config=CONFIG, options=OPTIONS):
    """Hold the conversation with a device that runs `app`, and return the transcript, one text.
    Raises LabError where an answer is not as it should be."""
    with Lab(PASSWORDS) as lab, profanity_of(lab, PERSON, **SIZE) as chat:
        jid = lab.jid(DEVICE)
        chat.connect()
        chat.add(jid, DEVICE)
        device = Device(
            lab.device_config(DEVICE, owners=[PERSON], **config),
            folder=lab.folder / DEVICE,
            app=app,
            files=[lab.ca_der],
            **options,
        )
        with device:
            device.wait_online()
            chat.allow(jid)
            chat.open(jid)
            chat.wait_for_screen(f"<{jid}> [online]")
            chat.wait_for_screen(f"{DEVICE}: ")  # its first report, that comes by itself
            try:
                return talk(chat, conversation)
            except LabTimeout as e:
                raise LabError(f"{e} (the device said: {device.child.tail()})") from e


def profanity_of(lab, user, **changes):
    """The account `user` in Profanity; `changes` are those of its arguments."""
    server = lab.server
    told = {
        "jid": lab.jid(user),
        "password": lab.accounts[user],
        "host": server.host,
        "port": server.c2s_port,
        "ca_pem": lab.ca_pem,
    }
    return Profanity(**{**told, **changes})


def talk(chat, conversation):
    """Enter each line in the open chat, wait for its answer, and return all that was said."""
    said = []
    answer = ""
    for line, awaited in conversation:
        if "{code}" in line:
            code = CODE.search(answer)
            if code is None:
                raise LabError(f"no confirmation code for {line!r} in {answer!r}")
            line = line.replace("{code}", code[1])
        (chat.enter if line.startswith("/") else chat.say)(line)
        answers = chat.wait_for(awaited)
        said += [f"me: {line}", *answers]
        answer = answers[-1]
    return "\n".join(text.replace("\n", "\n    ") for text in said)


def normalised(transcript):
    """A transcript without what differs from run to run."""
    for pattern, name in _CHANGING:
        transcript = pattern.sub(name, transcript)
    return transcript


def recorded():
    """The transcript in docs/chat.md. Raises LabError where there is no place for one."""
    return _parts()[1].strip("\n").removeprefix("~~~text").removesuffix("~~~").strip("\n")


def record(transcript):
    """Write a transcript into docs/chat.md."""
    before, _, after = _parts()
    DOCUMENT.write_text(f"{before}\n~~~text\n{transcript}\n~~~\n{after}", "utf-8")


def _parts():
    text = DOCUMENT.read_text("utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise LabError(f"{DOCUMENT}: no place for a transcript, between {BEGIN} and {END}")
    before, _, rest = text.partition(BEGIN + "\n")
    held, _, after = rest.partition(END)
    return before + BEGIN, held, END + after


def main():
    try:
        record(hold())
    except LabError as e:
        sys.exit(f"transcript: {e}")


if __name__ == "__main__":
    main()
