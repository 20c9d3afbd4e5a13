"""`uxmpp new`: a device.toml that is explained, from options and from answers at a terminal."""

import os
import pty
import re
import select
import sys
import time
import tomllib

import pytest
from typer.testing import CliRunner

from host_tools.cli import app
from host_tools.errors import UxmppError
from host_tools.lab.certs import Authority
from host_tools.provision import device_file, draft

PIN = "ab" * 32
GIVEN = ("--board", "esp32", "--app", "sensor", "--jid", "Dev@lab.example", "--pin", PIN)


@pytest.fixture
def place(monkeypatch, tmp_path):
    """A working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UXMPP_WIFI_PASSWORD", raising=False)
    return tmp_path


def new(*args):
    """What `uxmpp new` prints; what it raises is the one line that main() shows."""
    result = CliRunner().invoke(app, ["new", *args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_from_options(place, monkeypatch):
    said = new(
        "greenhouse.toml", *GIVEN, "--owner", "ann@lab.example", "--owner", "bob@lab.example"
    )
    path = place / "greenhouse.toml"
    assert "greenhouse.toml is written" in said and "uxmpp flash greenhouse.toml" in said
    found = device_file.read(path)
    assert found.values == {
        "board": "esp32",
        "app": "sensor",
        "jid": "Dev@lab.example",
        "owners": ["ann@lab.example", "bob@lab.example"],
        "wifi": {},
        "pin": PIN,
        "surfaces": list(draft.SURFACES["sensor"]),
    }
    assert path.stat().st_mode & 0o777 == 0o644 and [p.name for p in place.iterdir()] == [
        path.name
    ]
    text = path.read_text()
    # What is wired where, and every setting
    assert '#     SENSOR = "dht22"' in text and "#     PINS = (4,)" in text
    for key in device_file.SCHEMA:
        assert re.search(rf"^(# )?{key} = |^# \[{key}\]$", text, re.M), key
    assert max(map(len, text.splitlines())) < 140
    # Nothing is lost
    with pytest.raises(UxmppError, match=r"^greenhouse\.toml: is there already; --force overw"):
        new("greenhouse.toml", *GIVEN)
    assert path.read_text() == text
    # Without owners there is a code, and with it a secret
    monkeypatch.setenv("UXMPP_WIFI_PASSWORD", "open sesame")
    authority = Authority(place / "ca")
    said = new(
        "greenhouse.toml", "--force", *GIVEN[:6], "--wifi", "attic", "--ca", "ca/ca.pem",
        "--surface", "chat", "--surface", "rooms", "--host", "127.0.0.1", "--port", "5222",
    )  # fmt: skip
    made = device_file.read(path).values
    assert re.fullmatch("[A-Z2-9]{4}-[A-Z2-9]{4}", made["pair"]) and made["pair"] in said
    assert made["wifi"] == {"ssid": "attic", "password": "open sesame"}
    assert made["surfaces"] == ["chat", "rooms"] and made["host"] == "127.0.0.1"
    assert (place / made["ca"]) == authority.pem and "sesame" not in said
    assert path.stat().st_mode & 0o777 == 0o600
    # An open network, on a computer, without a board
    monkeypatch.setenv("UXMPP_WIFI_PASSWORD", "")
    new("a.toml", *GIVEN, "--wifi", "cafe")
    assert device_file.read(place / "a.toml").values["wifi"] == {"ssid": "cafe"}
    said = new("b.toml", "--board", "raspberry-pi", *GIVEN[2:])
    assert "wifi" not in device_file.read(place / "b.toml").values and "uxmpp run" in said
    new("c.toml", *GIVEN[4:])
    assert "board" not in device_file.read(place / "c.toml").values


def test_examples_are_settings(place):
    """What stands behind a # is what may stand before it."""
    new("d.toml", *GIVEN)
    lines = (place / "d.toml").read_text().splitlines()
    examples = [m[1] for line in lines if (m := re.fullmatch(r"# ((\w+) = .*)", line))]
    assert len(examples) > 30
    for example in examples:
        tomllib.loads(example)
    # A table with all of it
    for name, kind in device_file.SCHEMA.items():
        if isinstance(kind, dict) and name != "wifi":
            at = lines.index(f"# [{name}]")
            end = next((i for i in range(at, len(lines)) if not lines[i]), len(lines))
            table = tomllib.loads("\n".join(line[2:] for line in lines[at:end]))
            assert table[name] and set(table[name]) <= set(kind), name


def test_a_sketch_for_umqtt(place):
    """It is no Thing: no surface reaches it."""
    (place / "sketch.py").write_text("from umqtt.simple import MQTTClient\n")
    new("d.toml", *GIVEN[:2], "--app", "sketch.py", *GIVEN[4:])
    assert "surfaces" not in device_file.read(place / "d.toml", trusted=False).values
    new("e.toml", *GIVEN[:2], "--app", "sketch.py", *GIVEN[4:], "--surface", "rooms")
    assert device_file.read(place / "e.toml", trusted=False).values["surfaces"] == ["rooms"]


@pytest.mark.parametrize(
    "text", ["'\"", 'a"\n\njid = "b@c', "\x7f\x1b[2J\\", "\u2028ü🦎", "]]\n[x]"]
)
def test_any_text_is_one_value(place, monkeypatch, text):
    """What is typed ends up as what it is, and nowhere else."""
    monkeypatch.setenv("UXMPP_WIFI_PASSWORD", text + "12345678")
    new("d.toml", *GIVEN, "--owner", "ann@lab.example", "--wifi", text)
    found = device_file.read(place / "d.toml").values
    assert found["wifi"] == {"ssid": text, "password": text + "12345678"}
    assert found["jid"] == "Dev@lab.example" and found["owners"] == ["ann@lab.example"]


def test_server_that_is_not_there(place):
    """Then the file is written all the same, and what is missing is said."""
    said = new("d.toml", *GIVEN[:6], "--host", "127.0.0.1", "--port", "9")
    assert "the server was not asked: 127.0.0.1:9: cannot be reached" in said
    assert "how to know its server: uxmpp check d.toml" in said
    device_file.read(place / "d.toml", trusted=False)
    with pytest.raises(UxmppError, match="ca or pin: one is needed"):
        device_file.read(place / "d.toml")
    assert "was not asked" not in new("e.toml", *GIVEN[:6], "--no-keep")
    for text in ("999.9.9.9", "127.0.0.1:70000", "127.0.0.1:0"):
        said = new("f.toml", "--force", *GIVEN[:6], "--nameserver", text)
        assert f"was not asked: nameserver '{text}': must be an IPv4 address, or" in said


def test_own_settings_of_an_app(place):
    """They are shown as comments, whatever is in the app."""
    (place / "mine.py").write_text("\x0cA = 1\nPIN = 4\nODD = '\x7f'\nTWO = (\n1,\n)\n")
    new("d.toml", *GIVEN[:2], "--app", "mine.py", *GIVEN[4:], "--owner", "ann@lab.example")
    own = re.findall(r"^#     ([A-Z].*)$", (place / "d.toml").read_text(), re.M)
    assert own == ["PIN = 4"]


@pytest.mark.parametrize(
    ("args", "pattern"),
    [
        (("--board", "esp23"), r"^board 'esp23': there is none of that name; did you mean esp32"),
        (("--board", "./mine.toml"), r"^mine\.toml: cannot be read: No such file"),
        (("--app", "sensr"), r"sensr: there is no such app; uxmpp itself has camera,"),
        (("--jid", "dev"), r"^nothing is written: jid: must be name@domain"),
        (("--owner", "ann"), r"^nothing is written: owners\[1\]: must be name@domain"),
        (("--owner", "dev@lab.example"), r"^nothing is written: owners\[1\]: is the device"),
        (("--surface", "chats"), r"^nothing is written: surfaces\[1\]: .*mean chat\?$"),
        (("--pin", "12"), r"^nothing is written: pin: must be .*64 hex digits$"),
        (("--ca", "no.pem"), r"^nothing is written: ca: .*no\.pem cannot be read$"),
        (("--port", "0"), r"^nothing is written: port: must be 1 to 65535$"),
        (("--nameserver", "dns"), r"^nothing is written: nameserver: must be an IPv4 address"),
        (("--app", "\udcff"), r"there is no such app"),
        (("--owner", "ann@\udcff"), r"^nothing is written: what was given is not UTF-8$"),
        (("--wifi", "attic"), r"^the password of attic is needed: .*UXMPP_WIFI_PASSWORD"),
    ],
)
def test_what_is_not_written(place, args, pattern):
    with pytest.raises(UxmppError, match=pattern) as e:
        new("d.toml", *GIVEN[: 6 if "--ca" in args else None], *args)
    assert "\n" not in str(e.value) and list(place.iterdir()) == []


def test_where_it_cannot_be_written(place):
    with pytest.raises(UxmppError, match=r"^whose account\? Say it by --jid name@domain$"):
        new("d.toml", "--board", "esp32")
    with pytest.raises(UxmppError, match=r"cannot be written: No such file or directory$"):
        new("none/d.toml", *GIVEN)


ANSWERS = (
    ("Board, its number or name", "pico"),
    ("Board, its number or name", "pico-w"),
    ("App", ""),
    ("The device's account", "dev"),
    ("The device's account", "dev@lab.example"),
    ("Its owners' addresses", "ann"),
    ("Its owners' addresses", "ann@lab.example, bob@lab.example"),
    ("WiFi", "attic"),
    ("Password of the WiFi attic", "open sesame"),
    ("Surfaces", "chat rooms"),
)


def test_at_a_terminal(place):
    child, terminal = pty.fork()
    if not child:  # with a terminal of its own
        code = "from host_tools.cli import main; main()"
        words = [sys.executable, "-c", code, "new", "d.toml", "--no-keep"]
        os.execve(sys.executable, words, {**os.environ, "TERM": "dumb"})
    got, said = b"", ""
    answers = list(ANSWERS)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                got += os.read(terminal, 4096)
            except OSError:  # it has ended
                break
            said = got.decode(errors="replace")  # a character may be there in part
        if answers and re.search(rf"{answers[0][0]}[^\n]*: $", said):
            os.write(terminal, f"{answers.pop(0)[1]}\n".encode())
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, said
    assert not answers and "sesame" not in said
    # What cannot be is said and asked again
    assert "did you mean pico-w" in said and "owners[1]: must be name@domain" in said
    found = device_file.read(place / "d.toml", trusted=False).values
    assert found == {
        "board": "pico-w",
        "app": "sensor",
        "jid": "dev@lab.example",
        "owners": ["ann@lab.example", "bob@lab.example"],
        "wifi": {"ssid": "attic", "password": "open sesame"},
        "surfaces": ["chat", "rooms"],
    }
