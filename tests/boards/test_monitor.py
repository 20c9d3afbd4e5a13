"""`uxmpp monitor`: what virtual boards say over their lines, with times, decoded, and without what
is secret."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from base64 import b64encode
from queue import Empty, Queue

import pytest

from host_tools.errors import UxmppError
from host_tools.flash import boards, content, mpy, ports
from host_tools.flash.monitor import MAX_LINE, Lines, Monitor, secrets
from host_tools.lab.certs import Authority
from host_tools.lab.virtual_board import VirtualBoard
from host_tools.provision import device_file, improv

LIMIT_S = 60.0
COMMAND = "from host_tools.cli import main; main()"
KEYS = ["SCRAM-SHA-256", *(b64encode(n).decode() for n in (b"salt" * 4, b"c" * 32, b"s" * 32))]
KEYS.insert(2, 4096)
APP = """
from thing import Thing
thing = Thing()
print("\\x1b[31mthe code is", "ABCD" + "-EFGH\\x1b[0m", thing.config["keys"][3].decode("utf-8"))
def begin():
    thing.sensor("two words")(lambda: 1)
begin()
"""


@pytest.fixture
def toml(tmp_path):
    Authority(tmp_path / "authority")
    (tmp_path / "station.py").write_text(APP)
    path = tmp_path / "device.toml"
    path.touch(0o600)
    path.write_text(
        'board = "esp32"\napp = "station.py"\njid = "kitchen@lab.example"\npair = "ABCD-EFGH"\n'
        f'ca = "authority/ca.pem"\nrooms = [{{jid = "r@x.example", password = "knock knock"}}]\n'
        f'keys = {json.dumps(KEYS)}\n[wifi]\nssid = "home"\npassword = "sesame"\n'
    )
    return path


class Running:
    """`uxmpp monitor` in a process of its own."""

    def __init__(self, *words):
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "monitor", *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        self._new = Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self._new.put(line.rstrip("\n"))

    def until(self, pattern):
        """The lines up to one in which a regular expression is found."""
        found = []
        end = time.monotonic() + LIMIT_S
        while True:
            try:
                found.append(self._new.get(timeout=max(0, end - time.monotonic())))
            except Empty:
                raise AssertionError(f"no {pattern!r} in {found}") from None
            self.lines.append(found[-1])
            if re.search(pattern, found[-1]):
                return found

    def end(self):
        """Press Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(LIMIT_S)


def test_log(toml, tmp_path):
    device, board = device_file.read(toml), boards.load("esp32")
    vb = VirtualBoard(board, tmp_path / "board")
    vb.install(content.device_files(device, board, keys=KEYS))
    log = tmp_path / "board.log"
    with vb:
        vb.wait_for_line(">>> ", LIMIT_S)
        shown = Running(toml, "--port", vb.port, "--log", log)
        try:
            shown.until("open; Ctrl-C ends")
            vb.press_reset()
            found = shown.until(r">>>$")
            at = {line[14:]: line[:12] for line in found}
            assert all(re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", t) for t in at.values() if t.strip())
            assert f"the code is •••• {'c' * 32}" in at
            lines = [line[14:] for line in found]
            first = lines.index("Traceback (most recent call last):")
            assert lines[first + 1 : first + 6] == [
                '  File "main.py", line 9, in <module>',
                '  File "station.py", line 7, in <module>',
                '  File "station.py", line 6, in begin',
                '  File "thing/__init__.py", line 1, in decorate',
                '  File "thing/registry.py", line 1, in add',
            ]
            beneath = [line.strip() for line in lines[first + 7 : first + 12]]
            assert beneath[:3] == [
                'main.py:9  __import__("app")', "station.py:7  begin()",
                'station.py:6  thing.sensor("two words")(lambda: 1)',
            ]  # fmt: skip
            for text, file in zip(beneath[3:], ("thing/__init__", "thing/registry"), strict=True):
                place, _, source = text.partition("  in ")
                number = int(place.removeprefix(f"{file}.py:"))
                there = (mpy.FIRMWARE / f"{file}.py").read_text().splitlines()[number - 1]
                assert source.partition(": ")[2] == there.strip()
            # It goes and comes back: said once each
            vb.unplug()
            shown.until("the board is gone, unplugged or restarted; waiting for it")
            vb.line.plug()
            found = shown.until("it is back")
            # Not before: what a board says while nobody has the port open is lost
            vb.power_on()
            found += shown.until("the code is")
            assert sum("it is back" in line for line in found) == 1
            # What is typed is not sent
            shown.process.stdin.write("print(6 * 7)\n")
            shown.process.stdin.flush()
            found = shown.until(">>>$")
        finally:
            code = shown.end()
        assert code == 0 and "Traceback" not in shown.lines[-1]
        assert "print(6 * 7)" not in vb.console()
    kept = log.read_text("utf-8")
    assert [line[11:] for line in kept.splitlines()] == shown.lines
    assert log.stat().st_mode & 0o77 == 0
    assert not any(s in kept for s in ("ABCD-EFGH", "sesame", "knock", KEYS[3], KEYS[4]))


def test_send(tmp_path):
    vb = VirtualBoard(boards.load("pico-w"), tmp_path / "board", kind="socket")
    vb.install({"main.py": b"print(1)"})
    with vb:
        shown = Running("--port", vb.port, "--send")
        try:
            shown.until("open; Ctrl-C ends")
            shown.process.stdin.write("print(6 * 7)\n")
            shown.process.stdin.flush()
            assert shown.until("42$")[-1].endswith("  42")
        finally:
            assert shown.end() == 0
    for port, why in ((vb.port, "nobody listens there"), ("/dev/ttyNONE7", "no such port")):
        with pytest.raises(UxmppError, match=why):
            Monitor(lambda port=port: port, print).run()
    with pytest.raises(UxmppError, match="the log cannot be written: No such file"):
        Monitor(lambda: "", print, log=tmp_path / "none" / "x.log")


def test_busy(tmp_path):
    vb = VirtualBoard(boards.load("pico-w"), tmp_path / "board")
    vb.install({"main.py": b"print(1)"})
    with vb, ports.open_port(vb.port), pytest.raises(UxmppError, match="is busy: close"):
        Monitor(lambda: vb.port, print).run()


def test_lines(toml):
    hidden = secrets(device_file.read(toml).values)
    assert set(hidden) == {"ABCD-EFGH", "sesame", "knock knock", KEYS[1], KEYS[3], KEYS[4]}
    lines = Lines(hidden)
    found = list(lines.feed(b"a\r\nb \x1b[1mc\x1b[0m\x07\xff\td\n\nknock "))
    assert found == ["a", "b c \ufffd   d"]
    # Nothing of a secret is shown before it is clear that it is none
    assert lines.idle() is None
    assert list(lines.feed(b"knock, who is there\n>>> ")) == ["••••, who is there"]
    assert lines.idle() == ">>>" and lines.idle() is None
    assert list(lines.feed(b"\nx" + b"y" * MAX_LINE + b"\n")) == [
        "x" + "y" * (MAX_LINE - 1), "y"
    ]  # fmt: skip
    cut = b"z" * (MAX_LINE - 3) + b"sesame\n"
    assert list(lines.feed(cut)) == ["z" * (MAX_LINE - 3), "••••"]
    # Improv's packets are no text
    packet = b"\n" + improv.packet(improv.STATE, b"\2")
    assert not lines.waits
    assert list(lines.feed(b"up\n" + packet[:6])) == ["up"] and lines.idle() is None
    assert list(lines.feed(packet[6:] + b"\n" + packet[1:] + b"on\n")) == ["on"] and lines.waits
    assert list(lines.feed(b"IMPROV\1 is a word\n")) == ["IMPROV  is a word"]
    # It looks like one, and its sum is wrong
    assert list(lines.feed(b"IMPROV\1\1\x20" + b"x" * 40 + b"\n"))[0].endswith("x" * 40)
    assert list(lines.feed(b"rest")) == [] and lines.end() == "rest" and lines.end() is None
