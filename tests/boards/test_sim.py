"""`uxmpp sim` as a person uses it: one terminal with the device, another one with the buttons."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from io import StringIO
from pathlib import Path

import pytest

from host_tools.cli import main
from host_tools.errors import UxmppError
from host_tools.flash import boards
from host_tools.lab import sim
from host_tools.lab.control import ControlError, Door, ask, number

LIMIT_S = 40.0
DEVICE = """
jid = "dev@lab.example"
password = "{password}"
pin = "{pin}"
board = "{board}"
app = "meter.py"
owners = ["me@lab.example"]
{more}
"""
METER = """
import json, time
from machine import Pin
import dht, network

try:
    with open("/boots") as f:
        boots = int(f.read()) + 1
except OSError:
    boots = 1
with open("/boots", "w") as f:
    f.write(str(boots))
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
print("boot", boots, [ap[0] for ap in wlan.scan()])
sensor, button, last = dht.DHT22(Pin(4)), Pin(13, Pin.IN), None
while True:
    try:
        sensor.measure()
        now = sensor.temperature(), button.value()
    except OSError as e:
        now = "broken", button.value()
    if now != last:
        last = now
        print("measures", *now)
    time.sleep_ms(5)
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a device.toml and its app."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "meter.py").write_text(METER)
    written(tmp_path)
    return tmp_path


def written(folder, board="esp32", more=""):
    path = folder / "device.toml"
    path.touch(0o600)
    text = DEVICE.format(password="its secret", pin="ab" * 32, board=board, more=more)
    path.write_text(text)


class Running:
    """`uxmpp sim` in a process of its own."""

    def __init__(self, *words):
        self.log = Path("sim.log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from host_tools.cli import main; main()", "sim", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            )

    def wait_for(self, text, after=""):
        """What it said from `text` on."""
        end = time.monotonic() + LIMIT_S
        while True:
            ended = self.process.poll() is not None
            said = self.log.read_text("utf-8").partition(after)[2] if after else self.said()
            if text in said:
                return said
            assert not ended and time.monotonic() < end, (text, self.said())
            time.sleep(0.01)

    def said(self):
        return self.log.read_text("utf-8")

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait(LIMIT_S)


@pytest.fixture
def uxmpp(monkeypatch, capsys):
    """A function that runs `uxmpp sim …` here: (exit code, what it printed, its error)."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["uxmpp", "sim", *map(str, words)])
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as ended:
            main()
        signal.signal(signal.SIGTERM, before)
        return ended.value.code, *capsys.readouterr()

    return run


def refused(run, *words):
    """The one line with which a command ends."""
    code, out, error = run(*words)
    assert code == 1 and not out and error.count("\n") == 1, (code, out, error)
    return error.removeprefix("uxmpp: ").rstrip("\n")


def test_sim(place, uxmpp, monkeypatch):
    none = "no device runs: start one with uxmpp sim DEVICE.TOML"
    assert refused(uxmpp, "set", "temperature", "30") == none
    assert refused(uxmpp, "--chip", "bme", "--keep-password") == (
        "'bme': there are bme280, sht30, ds18b20"
    )
    with Running("device.toml", "--keep-password", "--chip", "bme280") as device:
        device.wait_for("measures 21.5 0\n")
        making, *lines = device.said().splitlines()
        assert making == "Making its flash …"
        assert lines[0].endswith("virtual, as dev@lab.example")
        assert "boot 1 [b'sim']" in lines and "  (wifi: on)" in lines
        assert "secret" not in device.said()
        port = lines[1].split()[1]
        assert lines[1].startswith("Port") and Path(port).exists()
        assert (
            lines[4] == f"WiFi    uxmpp wifi --port {port} --ssid sim; the password is simulated"
        )
        # From another terminal
        assert uxmpp("set", "temperature", "30.25") == (0, "", "")
        device.wait_for("measures 30.25 0\n")
        assert uxmpp("set", "temperature", "none", "--device", "dev")[0] == 0
        device.wait_for("measures broken 0\n")
        (place / "curve.csv").write_text(
            "seconds,name,value\n0,temperature,-5\n0,pin13,on\n6,temperature,7\n"
        )
        times = []

        def asked(folder, words):
            # What it does not see within 60 ms, on a busy computer, would be gone
            answer = ask(folder, words)
            times.append(time.monotonic())
            if words[1:] == ["pin13", "on"]:
                device.wait_for("measures -5 1\n")
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(sim.control, "ask", asked)
            begin = time.monotonic()
            assert uxmpp("play", "curve.csv", "--speed", "100") == (0, "", "")
        assert times[-1] - begin >= 0.06
        device.wait_for("measures 7 1\n")
        assert refused(uxmpp, "set", "temperature", "warm") == (
            "temperature: 'warm' is not a number"
        )
        assert uxmpp("set", "pressure", "990")[0] == 0
        assert refused(uxmpp, "set", "steps", "5") == (
            "steps: the board has none of bma423, qmi8658"
        )
        there = refused(uxmpp, "device.toml")
        assert there.endswith("uxmpp/sim/dev: a device runs there already")
        # Its buttons
        assert uxmpp("press", "reset") == (0, "", "")
        device.wait_for("boot 2 ")
        code, out, _ = uxmpp("press", "boot")
        assert (code, out) == (0, f"its loader answers at {port}\n")
        # Ctrl-C
        assert device.stop() == 130
        assert not Path(port).exists() and "Traceback" not in device.said()
    # The flash and the WiFi's password are nobody else's
    folder = place / "state" / "uxmpp" / "sim" / "dev"
    modes = [path.stat().st_mode & 0o777 for path in (folder / "flash.bin", folder / "control")]
    assert modes == [0o600, 0o700]
    assert refused(uxmpp, "set", "temperature", "30") == none
    # Its flash is as it was left, until a fresh one is wanted
    with Running() as device:
        device.wait_for("as it was left")
        device.wait_for("boot 3 ")
        device.wait_for("measures 7 1\n")
        assert device.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    written(place, "pico-w", "[wifi]\nssid = 'home'\npassword = 'sweet home'")
    assert "has the flash of a esp32, not of a pico-w: --fresh" in refused(uxmpp, "device.toml")
    with Running("--fresh", "--keep-password", "--line", "socket") as device:
        device.wait_for("boot 1 [b'home']")
        assert "Port    socket://127.0.0.1:" in device.said()
        assert "sweet" not in device.said()
        code, out, _ = uxmpp("press", "boot")
        drive = Path(out.split()[-1])
        assert (code, drive.parent) == (0, place / "state" / "uxmpp" / "sim" / "dev")
        assert (drive / "INFO_UF2.TXT").exists()
        assert uxmpp("press", "reset")[0] == 0
        device.wait_for("boot 2 ")
        assert device.stop() == 130


def test_what_can_be_set(uxmpp):
    code, out, _ = uxmpp("set")
    assert code == 0
    assert "temperature  -100 to 200 °C       of each thermometer; none: no answer\n" in out
    assert "pinN         0 to 1 " in out
    assert refused(uxmpp, "set", "humidity") == "humidity: to what? uxmpp sim set humidity VALUE"
    for name, value, found in (
        ("temperature", "-3.5", ("temperature", -3.5)),
        ("temperature", "None", ("temperature", None)),
        ("pin4", "on", ("pin", {4: 1})),
        ("adc34", "1200000", ("adc", {34: 1200000})),
        ("wifi", "down", ("wifi", 0)),
        ("battery", "1e1", ("battery", 10)),
    ):
        assert number(name, value) == found
    for name, value, why in (
        ("pin", "1", "'pin' is nothing that can be set: pin4, say; there are temperature, "),
        ("temperature4", "1", "'temperature4' is nothing that can be set; there are"),
        ("Heat", "1", "'Heat' is nothing that can be set"),
        ("humidity", "none", "humidity: 'none' is not a number"),
        ("wifi", "maybe", "wifi: 'maybe' is not a number"),
    ):
        with pytest.raises(ControlError, match=f"^{why}"):
            number(name, value)
    for value in ("nan", "inf", "101", "-1"):
        assert "humidity: " in refused(uxmpp, "set", "--", "humidity", value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", ":1: must be seconds,name,value"),
        ("seconds,value\n", ":1: must be seconds,name,value"),
        ("seconds,name,value\n0,temperature\n", ":2: must have 3 columns"),
        ("seconds,name,value\n0,temperature,1,2\n", ":2: must have 3 columns"),
        ("seconds,name,value\n1,rssi,-3\nsoon,rssi,-3\n", ":3: seconds: must be a number"),
        ("seconds,name,value\n1,rssi,-3\n0,rssi,-3\n", ":3: seconds: must not go back"),
        ("seconds,name,value\n-1,rssi,-3\n", ":2: seconds: must not go back"),
        ("seconds,name,value\n1,rssi,strong\n", ":2: rssi: 'strong' is not a number"),
        ("seconds,name,value\n1,rssi,3\n", ":2: rssi: 3 is not possible: must be -120 to 0 dBm"),
        ("seconds,name,value\n1,color,3\n", ":2: 'color' is nothing that can be set"),
        (b"\xff\xfe\0", ": cannot be read: "),
        (None, ": cannot be read: No such file or directory"),
    ],
)
def test_curve_that_is_wrong(uxmpp, tmp_path, text, why):
    path = tmp_path / "curve.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert refused(uxmpp, "play", path).startswith(f"{path}{why}")


def test_what_is_not_simulated(place, uxmpp):
    written(place, "raspberry-pi")
    assert refused(uxmpp, "device.toml") == (
        "raspberry-pi: is no board to simulate: uxmpp run runs the device here"
    )
    text = (place / "device.toml").read_text()
    (place / "device.toml").write_text(text.replace('board = "raspberry-pi"', ""))
    assert "which board? Write board" in refused(uxmpp, "device.toml")
    assert refused(uxmpp, "press", "reset", "--folder", "x") == (
        f"no device runs in {place / 'x'}: start one with uxmpp sim"
    )
    written(place)
    (place / "file").touch()
    assert refused(uxmpp, "--folder", "file") == (
        f"{place / 'file'}: cannot be the device's folder: File exists"
    )
    # A folder of somebody's stays as it is
    mine = place / "mine" / "control" / "notes"
    mine.parent.mkdir(parents=True)
    mine.touch()
    for words in ((), ("--fresh",)):
        assert refused(uxmpp, "--keep-password", "--folder", "mine", *words) == (
            f"{place / 'mine'}: control is there, and not of a simulated device: take another "
            "--folder"
        )
    assert mine.exists()


def test_a_console_that_nobody_reads(tmp_path):
    class Closed(StringIO):
        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, "closed")

    board = boards.load("pico-w")
    with pytest.raises(UxmppError, match="the files do not fit"):
        sim.Sim(board, tmp_path, lambda: {"main.py": bytes(board.fs_size)})
    # Begun again, unasked, where it was not finished
    made = sim.Sim(board, tmp_path, dict, out=Closed())
    assert made.new
    with made.running(lambda port: None) as board:
        assert made.unread.wait(LIMIT_S) and made.why_unread.errno == errno.EPIPE
        board.wait_for_line(">>> ", LIMIT_S)
        at = board.mark()
        assert ask(tmp_path, ["press", "reset"]) == ""
        board.wait_for_line(">>> ", LIMIT_S, since=at)


def test_several_devices(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    before = set(threading.enumerate())
    folders = [tmp_path / "uxmpp" / "sim" / name for name in ("a", "b")]
    with Door(folders[0], " ".join):
        assert sim.find(None, None) == folders[0]
        assert ask(folders[0], ["set", "x"]) == "set x"
        with Door(folders[1], " ".join):
            with pytest.raises(sim.SimError, match="name one, --device; there are a, b"):
                sim.find(None, None)
            assert sim.find("b", None) == folders[1]
            with pytest.raises(ControlError, match="a device runs there already"):
                Door(folders[1], " ".join).__enter__()
        assert sim.find(None, None) == folders[0]
    # Nobody waits at a door that is closed
    for thread in set(threading.enumerate()) - before:
        thread.join(LIMIT_S)
        assert not thread.is_alive()
