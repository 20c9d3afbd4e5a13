"""`uxmpp wifi` and boards that are odd: what a board sends, what it does not, and a line that is
cut. Boards that work are in tests/boards/test_improv.py."""

import random
import re

import pytest
from typer.testing import CliRunner

from host_tools.cli import app
from host_tools.errors import UxmppError
from host_tools.flash import ports
from host_tools.lab.serial_line import SerialLine
from host_tools.provision import improv
from host_tools.provision.improv import ERROR, RESULT, STATE, Reader, packet

WAITS = packet(STATE, b"\x02")
INFO = packet(RESULT, b"\x03\x13\x05uxmpp\x050.1.0\x05esp32\x00")
END = packet(RESULT, b"\x04\x00")


class Odd:
    """A board behind a line that answers commands by their number."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []
        self._reader = Reader()

    def attached(self, line):
        self.line = line

    def received(self, data):
        for kind, told in self._reader.feed(data):
            assert kind == improv.COMMAND
            self.asked.append(told)
            answer = self.answers.get(told[0], b"")
            if callable(answer):
                answer(self.line)
            else:
                self.line.write(answer)


def wifi(answers, *args, env=None):
    """(what is printed, the error's line or "") with a board that answers like that."""
    with SerialLine() as line:
        board = Odd({2: b"\n" + WAITS, 3: b"\n" + INFO, **answers})
        line.attach(board)
        words = ["wifi", "--port", line.port, "--limit", "20", *args]
        result = CliRunner(env={"UXMPP_WIFI_PASSWORD": None, **(env or {})}).invoke(app, words)
        error = result.exception
        if error is not None and not isinstance(error, UxmppError):
            raise error
        assert "\n" not in str(error or "")
        return result.output, str(error or "").replace(line.port, "PORT"), board


def test_reader():
    """Packets in pieces and in noise; what is between them is the console."""
    whole = (
        b"boot\r\n\n" + WAITS + b"WiFi: a: b\r\nnew" + packet(ERROR, b"\x03") + b" line\r\n>>> "
    )
    for size in (1, 2, 5, 1000):
        reader = Reader()
        found = []
        for i in range(0, len(whole), size):
            found += reader.feed(whole[i : i + size])
        assert found == [(STATE, b"\x02"), (ERROR, b"\x03")], size
        assert [x.strip() for x in reader.lines] == ["boot", "WiFi: a: b", "new", "line"]
        assert reader.prompt
    # A sum that is wrong hides nothing behind it; noise grows nowhere
    bad = bytearray(INFO)
    bad[-2] ^= 1
    assert Reader().feed(bytes(bad) + WAITS) == [(STATE, b"\x02")]
    assert Reader().feed(INFO[:12] + WAITS + bytes(300)) == [(STATE, b"\x02")]
    reader = Reader()
    chosen = random.Random(6)
    for _ in range(400):
        reader.feed(chosen.randbytes(100))
        reader.feed(b"IMPROV\x01" * chosen.randrange(3))
    assert len(reader.lines) <= improv.MAX_LINES and len(reader._data) < 1100
    assert (STATE, b"\x02") in reader.feed(bytes(300) + b"\n" + WAITS)
    assert improv.strings(b"\x03abc\x00\x05ab") == ["abc", ""]


def test_networks():
    """Sorted, each once, and only names that can be shown."""
    found = b"".join(
        packet(RESULT, bytes((4, len(data))) + data)
        for data in (
            b"\x03far\x03-80\x03YES",
            b"\x04near\x03-40\x02NO",
            b"\x03far\x03-70\x03YES",
            b"\x03odd\x01x\x03YES",
            b"\x00\x03-50\x03YES",
            b"\x02\xff\xfe\x03-90\x03YES",
        )
    )
    said, error, _ = wifi({4: found + END}, "--scan")
    assert error == ""
    assert [line.split()[3:] for line in said.splitlines()[1:]] == [
        ["odd"], ["(open)", "near"], ["far"], ["��"],
    ]  # fmt: skip
    assert "It sees no network." in wifi({4: END}, "--scan")[0]
    # An open one needs no password
    joined = packet(RESULT, b"\x01\x00")
    said, error, board = wifi({4: found + END, 1: joined}, "--ssid", "near", env={
        "UXMPP_WIFI_PASSWORD": "",
    })  # fmt: skip
    assert error == "" and said.endswith(" has joined near, and keeps it\n")
    assert board.asked[-1] == b"\x01\x06\x04near\x00"


HUSH = {"UXMPP_WIFI_PASSWORD": "hush hush"}


@pytest.mark.parametrize(
    ("answers", "args", "env", "pattern"),
    [
        (
            {2: b""},
            ("--ssid", "a", "--limit", "1"),
            HUSH,
            "PORT: no board there asks for a network: it does so",
        ),
        (
            {2: b"hello\r\n"},
            ("--scan", "--limit", "1"),
            {},
            "PORT: no board there asks for a network",
        ),
        ({}, (), {}, "which network? Say it by --ssid; --scan lists them"),
        ({}, ("--ssid", "a"), {}, "the password of a is needed: .*UXMPP_WIFI_PASSWORD"),
        ({}, ("--ssid", "é" * 17), HUSH, "a network's name has 32 bytes at most, this one 34"),
        ({}, ("--ssid", ""), HUSH, "a network's name is needed: --ssid"),
        (
            {1: packet(ERROR, b"\x03")},
            ("--ssid", "a"),
            HUSH,
            "not joined: it could not join the network; nothing was changed on the board",
        ),
        (
            {1: b"WiFi: a: not found\r\n" + packet(STATE, b"\x02") + packet(ERROR, b"\x03")},
            ("--ssid", "a"),
            HUSH,
            "not joined: a: not found; nothing was changed on the board",
        ),
        ({4: packet(ERROR, b"\x02")}, ("--scan",), {}, "refused: it does not know this command"),
        ({4: packet(ERROR, b"\x63")}, ("--scan",), {}, "the board refused: its error is 99"),
        ({4: lambda line: line.unplug()}, ("--scan",), {}, "PORT: "),
    ],
)
def test_what_does_not_work(answers, args, env, pattern, monkeypatch):

    monkeypatch.setattr(ports, "on_usb", lambda: [])
    answers.setdefault(4, END)
    said, error, _ = wifi(answers, *args, env=env)
    assert re.search(pattern.replace("?", r"\?"), error), (said, error)
    assert "hush" not in said + error


def test_board_that_falls_silent(monkeypatch):
    monkeypatch.setattr(improv, "SCAN_LIMIT_S", 0.5)
    error = wifi({4: b""}, "--scan")[1]
    assert error == "PORT: the board stopped answering: restart it and try again"


def test_ports(tmp_path, monkeypatch):
    monkeypatch.setattr(ports, "on_usb", lambda: [])
    for words, pattern in (
        (("--port", str(tmp_path / "none")), "there is no such port"),
        (("--port", str(tmp_path)), "is no serial port"),
        ((), "no port here looks like a board"),
        (("--board", "esp23"), "did you mean esp32"),
    ):
        with pytest.raises(UxmppError, match=pattern):
            CliRunner().invoke(app, ["wifi", "--scan", *words], catch_exceptions=False)
    with (
        SerialLine() as line,
        ports.open_port(line.port),
        pytest.raises(UxmppError, match="is busy: close the monitor"),
    ):
        CliRunner().invoke(app, ["wifi", "--port", line.port], catch_exceptions=False)
