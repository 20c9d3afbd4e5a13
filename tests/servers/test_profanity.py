"""A real chat client, Profanity in a terminal, and what a person sees of a device in it."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from host_tools.lab.certs import Authority
from host_tools.lab.errors import LabError, LabTimeout
from host_tools.lab.ports import Ports
from host_tools.lab.terminal import SIZES, Terminal

from . import transcript
from .transcript import profanity_of

ENV = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}


# What is seen


def test_transcript():
    """What docs/chat.md shows is what one sees. `python -m tests.servers.transcript` writes it
    anew."""
    said = transcript.normalised(transcript.hold())
    assert said == transcript.normalised(transcript.recorded())


def test_no_answer(shared):
    """One line that says what was awaited, and what the screen showed instead."""
    with profanity_of(shared, "owner") as chat:
        chat.connect()
        chat.open(shared.jid("idle"))
        chat.say("is anyone there?")
        with pytest.raises(LabTimeout, match=r"no 'yes' within 0.2 s: .*is anyone there\?") as e:
            chat.wait_for("yes", 0.2)
        assert "\n" not in str(e.value)
        # One's own words are no answer
        with pytest.raises(LabTimeout):
            chat.wait_for("anyone", 0.2)


def test_two_people(shared):
    """Each sees the other's words, whole: long ones, of several rows, and what looks like markup;
    a correction, and a code that is said again."""
    long = "°C ≥ 21,5; " * 20 + "<b>&amp; \\n “quoted”;"
    with profanity_of(shared, "owner") as one, profanity_of(shared, "stranger") as two:
        for chat, other in (one, "stranger"), (two, "owner"):
            chat.connect()
            chat.open(shared.jid(other))
        one.say(long)
        two.wait_for(long)
        two.say("-l; twice")
        two.say("-l; twice")
        assert len(two.new()) == 1
        assert one.wait_for("-l; twice")[0].endswith(": -l; twice")
        one.say("tempreture")
        two.wait_for_screen(": tempreture")
        one.enter("/correct temperature")
        two.wait_for_screen(": temperature")
        one.wait_for_screen("me: temperature")
        assert "tempreture" not in one.screen() + two.screen()
        with ThreadPoolExecutor() as executor:
            talk = executor.submit(
                transcript.talk, one, [("reset", "Sure?"), ("yes {code}", "done"), ("{code}", "")]
            )
            two.wait_for("reset")
            two.say("Sure? Then say yes 4821")
            two.wait_for("yes 4821")
            two.say("done")
            with pytest.raises(LabError, match=r"no confirmation code for '\{code\}' in '.*done'"):
                talk.result()


# What is refused


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"password": "something else"}, "Login failed."),
        ({"ca_pem": "another"}, "TLS certificate verification failed: unable to get local issuer"),
        ({"port": "closed"}, "Login failed."),
    ],
    ids=["password", "authority", "port"],
)
def test_login_refused(shared, tmp_path, changes, why):
    ports = Ports(1)
    if "ca_pem" in changes:
        changes = {"ca_pem": Authority(tmp_path).pem}
    if "port" in changes:
        changes = {"port": ports.numbers[0]}
    try:
        with profanity_of(shared, "owner", **changes) as chat:
            with pytest.raises(LabError, match=f"^Profanity could not log in as .*: {why}"):
                chat.connect()
            folder = chat.folder
            begin = time.monotonic()
        assert time.monotonic() - begin < 4
        assert not folder.exists()
    finally:
        ports.release()


def test_not_a_text_to_send(shared):
    with profanity_of(shared, "owner") as chat:
        for text in ("", "  ", "/quit"):
            with pytest.raises(LabError, match="not a text to send"):
                chat.say(text)
        for text in ("one\ntwo", "\x1b", "x" * 5000):
            with pytest.raises(LabError, match="not one line of at most 4000 characters"):
                chat.say(text)
        assert chat.terminal.running
    with pytest.raises(LabError, match="no JID and host"):
        profanity_of(shared, "owner", host="127.0.0.1\n[x]")


# The terminal


def test_terminal():
    """What is typed comes as it is; what the screen shows is read as it is."""
    texts = ["-grüße;", "°C \\; x ; #{x} $HOME 'y' \"", ";", "~", " two  blanks"]
    with Terminal("cat", ["cat"], env=ENV, columns=40, rows=15) as terminal:
        screen = [""] * 15
        for i, text in enumerate(texts):
            terminal.enter(text)
            # The terminal shows it at once, and cat when it comes to it: maybe after the next one
            screen[2 * i : 2 * i + 2] = text, text
            terminal.wait_until(lambda s: s.split("\n") == screen, f"echo of {text!r}", 15)
        with pytest.raises(LabTimeout, match="^cat: no more within 0.1 s: -grüße; [|] -grüße;"):
            terminal.wait_until(lambda _: False, "more", 0.1)
        terminal.press("C-d")
        with pytest.raises(LabError, match="^cat ended before more: -grüße;"):
            terminal.wait_until(lambda _: False, "more", 15)
        folder = terminal.folder
    assert not folder.exists()


def test_terminal_ends_what_runs_in_it():
    """Even what does not want to."""
    stubborn = ["sh", "-c", "trap '' HUP TERM; echo $$; while :; do sleep 1; done"]
    with Terminal("sh", stubborn, env=ENV) as terminal:
        pid = terminal.wait_until(lambda s: int(s.strip() or 0), "pid", 15)
        assert pid == terminal.pid and not ended(pid)
        terminal.close(0.2)
        assert not terminal.folder.exists()
    end = time.monotonic() + 15
    while not ended(pid):
        assert time.monotonic() < end
        time.sleep(0.01)


def ended(pid):
    """Whether the process is over, though nobody may have asked yet how it ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"


def test_terminal_where_the_program_is_killed():
    with Terminal("sleep", ["sleep", "60"], env=ENV) as terminal:
        os.kill(terminal.pid, signal.SIGKILL)
        with pytest.raises(LabError, match="^sleep ended before more: an empty"):
            terminal.wait_until(lambda _: False, "more", 15)
        assert not terminal.running


@pytest.mark.parametrize("size", [SIZES.start - 1, SIZES.stop])
def test_terminal_of_no_size(size):
    with pytest.raises(LabError, match="10 to 500 each"):
        Terminal("cat", ["cat"], env=ENV, rows=size)


@pytest.mark.parametrize("program", ["/no/such/program", "no-such-program", "/"])
def test_program_that_is_none(program):
    terminal = Terminal("nothing", [program], env=ENV)
    with pytest.raises(LabError, match=f"^nothing does not start: there is no program {program}$"):
        terminal.start()
    assert not terminal.folder.exists()


def test_terminal_where_the_program_ends():
    with Terminal("shell", ["sh", "-c", "echo last words; read line"], env=ENV) as terminal:
        terminal.wait_until(lambda s: "last words" in s, "words", 15)
        terminal.press("Enter")
        with pytest.raises(LabError, match="^shell ended before more: last words$"):
            terminal.wait_until(lambda _: False, "more", 15)


# The document


def test_document(tmp_path, monkeypatch):
    """The transcript is written between its marks, and all else stays."""
    document = tmp_path / "chat.md"
    monkeypatch.setattr(transcript, "DOCUMENT", document)
    document.write_text(f"# Chat\n\n{transcript.BEGIN}\nold\n{transcript.END}\n\nMore.\n")
    for said in ("me: help\ngreenhouse: no", "me: ```\n    x"):
        transcript.record(said)
        assert transcript.recorded() == said
        text = document.read_text()
        assert text.startswith(f"# Chat\n\n{transcript.BEGIN}\n~~~text\nme: ")
        assert text.endswith(f"\n~~~\n{transcript.END}\n\nMore.\n")
    for text in ("", transcript.BEGIN, f"{transcript.END}\n{transcript.BEGIN}\n"):
        document.write_text(text)
        with pytest.raises(LabError, match="no place for a transcript"):
            transcript.record("x")


def test_normalised():
    """Two runs say the same but for times, ages, memory and codes."""
    runs = [
        "up 4 s, on, since 2 s, 53 of 156 KB free\n21:04:05, 2 min ago, yes 4829, 2026-11-22",
        "up 6 min, on, since 3 days, 54 of 157 KB free\n7:14, 31 s ago, yes 0012, 2027-01-01",
    ]
    assert len({transcript.normalised(said) for said in runs}) == 1
    for same in ("21.5 °C, 40 %", "since noon", "0 to 2592000 s"):
        assert transcript.normalised(same) == same
