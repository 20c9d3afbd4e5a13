"""`uxmpp check --offline`: each kind of mistake in a device.toml is one line, with its place."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from host_tools.cli import app
from host_tools.errors import UxmppError
from host_tools.flash import boards
from host_tools.lab.certs import Authority
from host_tools.provision import checks, device_file

PIN = "ab" * 32
GOOD = f"""\
board = "esp32"
app = "sensor"
jid = "dev@lab.example"
owners = ["ann@lab.example"]
wifi = {{ssid = "attic", password = "open sesame"}}
pin = "{PIN}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with certificates, pictures, apps and boards."""
    made = tmp_path_factory.mktemp("check")
    authority = Authority(made / "authority")
    (made / "ca.pem").write_bytes(authority.pem.read_bytes())
    (made / "leaf.der").write_bytes(authority.issue("lab.example").der.read_bytes())
    now = datetime.now(UTC)
    for name, days in (("old", (-20, -10)), ("early", (10, 20))):
        begin, end = (now + timedelta(days=n) for n in days)
        issued = authority.issue("x", not_before=begin, not_after=end)
        (made / f"{name}.der").write_bytes(issued.der.read_bytes())
    (made / "ca.bad").write_text("no certificate")
    # It begins like one, and is as long as it says
    (made / "ca.odd").write_bytes(b"\x30\x82\x01\x00\x30" + bytes(255))
    (made / "large.png").write_bytes(b"\x89PNG" + bytes(9000))
    (made / "text.png").write_text("no picture")
    (made / "pins.py").write_text("PINS = (4, 6)\n\nRELAY_PIN = 99\n")
    (made / "input.py").write_text("RELAY_PIN = 34\n")
    (made / "sketch.py").write_text("from umqtt.simple import MQTTClient\n")
    (made / "broken.py").write_text("a = 1\nb = (\n")
    mine = 'title = "Mine"\nmcu = "{}"\nheap = 130000\nbootloader = "Hold BOOT."\n'
    (made / "mine.toml").write_text(mine.format("esp33"))
    flash = "flash_size = 0x400000\nfs_offset = 0x200000\nfirmware = 'ESP32_GENERIC'\n"
    (made / "small.toml").write_text(mine.format("esp32") + flash)
    return made


def check(folder, text, *args):
    """(lines that were printed, the error's text or "") of a device.toml."""
    path = folder / "device.toml"
    path.write_text(text)
    path.chmod(0o600)
    runner = CliRunner()
    try:
        result = runner.invoke(
            app, ["check", str(path), "--offline", *args], catch_exceptions=False
        )
    except UxmppError as e:
        return [], str(e)
    assert result.exit_code == 0
    return result.output.splitlines(), ""


def mistakes(folder, text):
    """The lines about what is wrong in a device.toml."""
    path = folder / "device.toml"
    path.write_text(text)
    path.chmod(0o600)
    try:
        wrong = [f.text for f in checks.findings(device_file.read(path)) if f.wrong]
    except UxmppError as e:
        wrong = [str(e)]
    return wrong


def test_good(folder):
    lines, error = check(folder, GOOD)
    assert error == "" and lines == [f"{folder / 'device.toml'}: good"]
    # A computer, without a board's things
    text = GOOD.replace('"esp32"', '"raspberry-pi"')
    lines, error = check(folder, re.sub("wifi.*\n", "", text))
    assert error == "" and len(lines) == 1
    # Nothing to know the server by
    lines, error = check(folder, re.sub("pin.*\n", "", GOOD))
    assert error.endswith("device.toml: 1 setting will not work")
    # Every board and every app of ours that fits it
    for board in boards.every():
        name = "watch" if board.hal else "camera" if board.psram else "sensor"
        text = GOOD.replace('"esp32"', f'"{board.name}"').replace('"sensor"', f'"{name}"')
        assert check(folder, text)[1] == "", board.name


def over(more, key=None):
    """The good file with another line in the place of `key`'s, or with more lines."""
    return re.sub(rf"^{key} = .*\n", f"{more}\n", GOOD, flags=re.M) if key else f"{GOOD}{more}\n"


MISTAKES = [
    # Board and app
    (over('board = "esp23"', "board"), r":1: board: .*did you mean esp32"),
    (over('board = "toaster"', "board"), r":1: board: there is none of that name; there are "),
    (over('board = "./mine.toml"', "board"), r":1: board: .*mine\.toml:2: mcu: must be one of"),
    (over('board = "./no.toml"', "board"), r":1: board: .*no\.toml: cannot be read"),
    (over("board = 32", "board"), r":1: board: must be a text, not a whole number$"),
    (over('app = "sensr"', "app"), r":2: app: .*there is no such app; uxmpp itself has"),
    (over('app = "watch"', "app"), r":2: app: needs a watch, with hal\.py: t-watch-2020, "),
    (over('app = "camera"', "app"), r":2: app: needs a camera and PSRAM, which esp32 has not"),
    (over('app = "broken.py"', "app"), r":2: app: .*broken\.py:2: '\(' was never closed"),
    (over('app = "pins.py"', "app"), r":2: app: .*pins\.py:1: PINS is 6; esp32 has 0 to 5, "),
    (over('app = "input.py"', "app"), r":2: app: .*RELAY_PIN is 34, which only reads there$"),
    (
        over('board = "esp32-c3"', "board").replace("sensor", "greenhouse"),
        r":2: app: .*greenhouse\.py:12: motion is 13; esp32-c3 has 0 to 10, 18 to 21$",
    ),
    (
        over('board = "pico-w"', "board").replace("sensor", "pins.py"),
        r":2: app: .*pins\.py:3: RELAY_PIN is 99; pico-w has 0 to 22, 26 to 28$",
    ),
    (over('version = "1.x"'), r":7: version: must be 1 to 4 numbers below 65536 with dots"),
    (over('serial = ""'), r":7: serial: must be 1 to 64 printable characters$"),
    # The file
    (over("pin = ", "pin"), r":6: is not TOML: invalid value \(column 7\)$"),
    (over('jid = "b@c"'), r":7: is not TOML: cannot overwrite a value"),
    (over('pasword = "x"'), r":7: pasword: no such setting; did you mean password\?$"),
    (over("port = true"), r":7: port: must be a whole number, not true or false$"),
    (over("[sleep]\nevrey = 5"), r":8: sleep\.evrey: no such setting; did you mean every\?$"),
    # The account, and people
    (over('jid = "dev"', "jid"), r":3: jid: must be name@domain, without a resource$"),
    (over('jid = "a@b:5222"', "jid"), r":3: jid: .*5222.*"),
    (over('owners = ["ann"]', "owners"), r":4: owners\[1\]: must be name@domain"),
    (over('viewers = ["dev@lab.example"]'), r":7: viewers\[1\]: is the device itself$"),
    (over("", "owners"), r"device\.toml: owners: is missing; or pair, a code that makes"),
    (over('pair = "ab-1"'), r":7: pair: must have 6 letters and digits at least$"),
    (over("keys = ['SCRAM-SHA-1']"), r":7: keys: must be \[mechanism, salt, iterations"),
    # The network
    (over('wifi = {password = "x"}', "wifi"), r":5: wifi: ssid is missing$"),
    (over(f'wifi = {{ssid = "{"é" * 17}"}}', "wifi"), r":5: wifi\.ssid: has 34 bytes; a network"),
    (
        over('wifi = {ssid = "a", password = "short"}', "wifi"),
        r":5: wifi\.password: has 5 characters; a WiFi password has 8 to 63, an open network none",
    ),
    (over('nameserver = "1.2.3.400"'), r":7: nameserver: must be an IPv4 address, four numbers"),
    (over('nameserver = "9.9.9.9:70000"'), r":7: nameserver: its port must be 1 to 65535$"),
    (over('ntp = "pool.ntp.org:ntp"'), r":7: ntp: its port must be 1 to 65535$"),
    # The server
    (over('host = "https://lab.example"'), r":7: host: must be a name or an IPv4 address alone$"),
    (over('host = "lab.example:5222"'), r":7: host: must be without a port, which goes into"),
    (over('host = "lab example"'), r":7: host: must be a host's name, like xmpp\.example\.org$"),
    (over('host = "10.0.0.256"'), r":7: host: must be a name, or an IPv4 address$"),
    (over("port = 70000"), r":7: port: must be 1 to 65535$"),
    (over('pin = "ab"', "pin"), r":6: pin: must be the SHA-256 of the certificate, 64 hex"),
    (over('ca = "none.pem"', "pin"), r":6: ca: .*none\.pem cannot be read$"),
    (over('ca = "ca.bad"', "pin"), r":6: ca: .*ca\.bad is neither DER nor PEM"),
    (over('ca = "ca.odd"', "pin"), r":6: ca: .*ca\.odd: is no certificate that can be read$"),
    (over('ca = "old.der"', "pin"), r":6: ca: .*old\.der: expired on 20\d\d-.*: get the new one$"),
    (over('ca = "early.der"', "pin"), r":6: ca: .*early\.der: is not valid before 20\d\d-"),
    (over('[files]\nca = "old.der"'), r":8: files\.ca: .*old\.der: expired on"),
    # How it is reached
    (over('surfaces = ["caht"]'), r":7: surfaces\[1\]: no such surface; did you mean chat\?$"),
    (over('status = "{temperature"'), r":7: status: its braces do not fit: "),
    (over('status = "{}"'), r":7: status: \{\} has no name in it: \{temperature\}$"),
    (over('timezone = "Europe/Rome"'), r":7: timezone: Europe/Rome: must be like CET-1CEST"),
    (over("[profile]\navatar = 'no.png'"), r":8: profile\.avatar: .*no\.png: cannot be read: No"),
    (over("[profile]\navatar = 'large.png'"), r":8: profile\.avatar: .*: is over 8192 bytes$"),
    (over("[profile]\navatar = 'text.png'"), r":8: profile\.avatar: .*is neither PNG, JPEG nor"),
    (
        over("[profile.location]\nlat = 52\nlon = 200"),
        r":9: profile\.location\.lon: must be -180 to 180 degrees$",
    ),
    (over("[update]\nkey = 'abc'"), r":8: update\.key: must be a public key, 64 hex digits$"),
    (over(f"[update]\nkey = '{PIN}'\nconfirm_s = 5"), r":9: update\.confirm_s: must be 60 to"),
    (over("[sleep]\nevery = 0"), r":8: sleep\.every: must be 1 to 86400 s$"),
    (over("[pubsub]\npayload = 'xml'"), r":8: pubsub\.payload: must be json, fields or mqtt$"),
    (over("[pubsub]\npayload = 'mqtt'"), r":8: pubsub\.payload: mqtt needs a service: "),
]


@pytest.mark.parametrize(("text", "pattern"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistake(folder, text, pattern):
    wrong = mistakes(folder, text)
    assert len(wrong) >= 1 and all("\n" not in line for line in wrong)
    assert re.search(pattern, wrong[0]), wrong
    assert wrong[0].startswith(str(folder / "device.toml")) and "sesame" not in wrong[0]


ODD = [
    (over("", "board"), r"board: is not named; `uxmpp flash` needs it: uxmpp boards$"),
    (over("", "app"), r"app: is not named"),
    (over("", "wifi"), r"wifi: is missing: so the app has to join a network"),
    (over("wifi = {ssid = 'a'}", "wifi"), r":5: wifi: has no password: .* an open one$"),
    (over('board = "raspberry-pi"', "board"), r":5: wifi: is left to the system under Linux$"),
    (over("direct = true"), r":7: direct: has an effect only with `host` or `port`$"),
    (over("plain = true"), r":7: plain: sends the password itself to the server"),
    (over('ca = "ca.pem"'), r":7: ca: is not looked at beside `pin`"),
    (over('ca = "leaf.der"', "pin"), r":6: ca: .*leaf\.der: is not a CA's: .* known by `pin`$"),
    (over('viewers = ["ann@lab.example"]'), r":7: viewers\[1\]: is in `owners` already"),
    (over('rooms = ["a@b.c"]'), r":7: rooms: has no effect: `rooms` is not in `surfaces`$"),
    (over('surfaces = ["chat", "rooms"]'), r":7: surfaces: has `rooms`, but no `rooms` say"),
    (over("surfaces = []"), r":7: surfaces: is empty: nobody reaches the device$"),
    (
        over('board = "./small.toml"', "board")
        + 'surfaces = ["chat", "files", "forms", "history", "iot", "pubsub"]\n',
        r":7: surfaces: take about 1[3-9]\d KB of memory with agent and app, the board has 126 KB",
    ),
    (
        over('surfaces = ["chat", "files"]\n[files]\nmax_bytes = 1500000'),
        r":9: files\.max_bytes: is more than half of the board's 2048 KB for files$",
    ),
    (
        over('app = "sketch.py"', "app").replace("owners =", 'pair = "ABCD-EFGH"\nviewers ='),
        r"owners: are not named: only the device itself reads and writes its topics$",
    ),
    (over("[sleep]\nevery = 60\nawake = 60"), r":9: sleep\.awake: is as long as `every`"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "pattern"), ODD, ids=range(len(ODD)))
def test_what_is_odd(folder, text, pattern):
    """Told, and no error."""
    lines, error = check(folder, text)
    notes = [line for line in lines if line.startswith("note: ")]
    assert error == "" and lines[-1].endswith(": good"), (lines, error)
    assert len(notes) == 1 and re.search(pattern, notes[0]), notes


def test_all_of_them_at_once(folder):
    """Mistakes of the file alone are told together, with how many there are."""
    text = over('status = "{}"\nserial = ""\nhost = "a b"\nplain = true')
    path = folder / "device.toml"
    path.write_text(text)
    path.chmod(0o600)
    result = CliRunner().invoke(app, ["check", str(path), "--offline"])
    lines = result.output.splitlines()
    assert [line.split(":")[1] for line in lines] == ["7", "8", "9", f" {path}"], lines
    assert lines[3].startswith("note: ") and str(result.exception).endswith(
        "device.toml: 3 settings will not work"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("jid = 'a@b.c'\npin = 'x'  # old\n[wifi]\nssid = 'ca'\n",
         "jid = 'a@b.c'\nca = \"n.der\"\n# pin = 'x'  # old\n"),
        ("name = 'x'\r\njid = 'a@b.c'\r\n", "name = 'x'\njid = 'a@b.c'\nca = \"n.der\"\n"),
        ("jid = 'a@b.c'", "jid = 'a@b.c'\nca = \"n.der\"\n"),
        ("ca = 'old'\njid = 'a@b.c'\n", "ca = \"n.der\"\njid = 'a@b.c'\n"),
    ],
)  # fmt: skip
def test_change(tmp_path, before, after):
    path = tmp_path / "device.toml"
    path.write_text(before)
    path.chmod(0o640)
    device_file.change(path, {"ca": "n.der", "pin": None})
    assert path.read_text().replace("\r\n", "\n").startswith(after), path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640 and len(list(tmp_path.iterdir())) == 1


def test_change_that_cannot_be_made(tmp_path):
    path = tmp_path / "device.toml"
    path.write_text(text := 'jid = "a@b.c"\nca = """\nold"""\n')
    with pytest.raises(UxmppError, match=r'cannot be changed by a tool; write into it: ca = "n"'):
        device_file.change(path, {"ca": "n"})
    assert path.read_text() == text
