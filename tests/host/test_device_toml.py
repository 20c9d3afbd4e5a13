"""device.toml: what is taken, and one line with its place for what is not."""

import os
import re
import tomllib
from importlib import import_module

import pytest

from host_tools.lab.certs import Authority
from host_tools.provision import device_file, secret, toml_lines

GOOD = """\
jid = "Kitchen.2@Lab.example"
owners = ["ann@lab.example"]
ca = "ca.pem"
"""
WHOLE = """\
board = "raspberry-pi"
app = "sensor"
jid = "kitchen@lab.example"
owners = [
  "ann@lab.example",  # me
  "bob@lab.example",
]
ca = "ca.pem"
surfaces = ["chat", "rooms"]
timezone = "CET-1CEST,M3.5.0,M10.5.0/3"

[wifi]
ssid = "attic"

[[rooms]]
jid = "garden@rooms.lab.example"
[[rooms]]
jid = "shed@rooms.lab.example"
nick = "kitchen"

[profile]
nick = "Kitchen"
avatar = "me.png"
location = {lat = 52.5, lon = 13, text = "behind ] the } house"}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a CA's certificate."""
    made = tmp_path_factory.mktemp("device")
    (made / "ca.pem").write_bytes(Authority(made / "authority").pem.read_bytes())
    (made / "ca.bad").write_text("no certificate")
    return made


def read(folder, text, mode=0o600):
    """What is made of a device.toml."""
    path = folder / "device.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return device_file.read(path)


def test_good(folder):
    found = read(folder, GOOD, 0o644)
    assert (found.jid, found.name, found.app) == ("kitchen.2@lab.example", "kitchen-2", None)
    assert found.device_json("secret") == {
        "jid": "Kitchen.2@Lab.example",
        "owners": ["ann@lab.example"],
        "ca": str(folder / "ca.pem"),
        "password": "secret",
    }
    assert "password" not in found.device_json()
    whole = read(folder, WHOLE, 0o644)
    assert (whole.app, whole.values["board"]) == ("sensor", "raspberry-pi")
    made = whole.device_json()
    assert "app" not in made and "board" not in made
    assert made["rooms"][1]["nick"] == "kitchen" and made["profile"]["location"]["lon"] == 13
    assert made["profile"]["avatar"] == str(folder / "me.png")
    # CRLF, secrets that only the owner can read, and others by name
    assert read(folder, GOOD.replace("\n", "\r\n") + 'password = "x"\r\n').device_json()[
        "password"
    ]


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        # The file
        (b"\xff\xfe", r":1: is not UTF-8$"),
        ("x" * 70000, r": is longer than 65536 bytes"),
        ("jid: kitchen", r":1: is not TOML: expected '=' after a key.* \(column 4\)$"),
        (GOOD + "[wifi", r":4: is not TOML|: is not TOML: .*\(at the end\)$"),
        (GOOD + 'jid = "b@c"\n', r":4: is not TOML: cannot overwrite a value"),
        (GOOD + 'status = "half\n', r":4: is not TOML: illegal character"),
        ("x = " + "[" * 5000, r": is not TOML: "),
        (GOOD + "port = " + "9" * 5000, r": a number in it is too long$"),
        ("", r"device\.toml: jid: is missing: the device's account, name@domain$"),
        # Names
        (GOOD + 'pasword = "x"', r":4: pasword: no such setting; did you mean password\?$"),
        (GOOD + "Surfaces = []", r":4: Surfaces: no such setting; did you mean surfaces\?$"),
        (GOOD + "xyz = 1", r":4: xyz: no such setting; there are app, board, ca, .*, wifi$"),
        (GOOD + 'ssid = "attic"', r":4: ssid: no such setting here: it belongs into \[wifi\]$"),
        (
            GOOD + '[wifi]\nssid = "a"\nviewers = []',
            r":6: wifi\.viewers: no such setting in \[wifi\]: viewers belongs above the first",
        ),
        (GOOD + "[profile.location]\nlatt = 5", r":5: profile\.location\.latt: .* mean lat\?$"),
        (GOOD + "[pubsub]\n'a b' = 5", r":5: pubsub\.a b: no such setting in \[pubsub\]; there"),
        (
            GOOD + 'surfaces = ["chat",\n "hsitory"]',
            r":5: surfaces\[2\]: no such surface; .*history",
        ),
        (GOOD + 'surfaces = ["chat", "chat"]', r":4: surfaces: chat is in it twice$"),
        # Types
        (GOOD + "name = 5", r":4: name: must be a text, not a whole number$"),
        (GOOD + 'port = "5222"', r":4: port: must be a whole number, not a text$"),
        (GOOD + "port = true", r":4: port: must be a whole number, not true or false$"),
        (GOOD + "port = 5.5", r":4: port: must be a whole number, not a number$"),
        (GOOD + "direct = 1", r":4: direct: must be true or false, not a whole number$"),
        (GOOD + "name = 2026-11-22", r":4: name: must be a text, not a date or time$"),
        (
            GOOD + 'viewers = "ann@b.c"',
            r':4: viewers: must be a list of texts, \["…"\], not a text$',
        ),
        (GOOD + "viewers = [\n\n 5]", r":6: viewers\[1\]: must be a text, not a whole number$"),
        (GOOD + "wifi = 'attic'", r":4: wifi: must be a table of ssid, password, not a text$"),
        (
            GOOD + "rooms = [7]",
            r":4: rooms\[1\]: must be a text or a table of jid, nick, password,",
        ),
        (GOOD + "[pubsub]\nmin_s = '1'", r":5: pubsub\.min_s: must be a number, not a text$"),
        (
            GOOD + "[sleep]\nevery = 0.5",
            r":5: sleep\.every: must be a whole number, not a number$",
        ),
        # Addresses
        (
            GOOD.replace("Kitchen", "my kitchen"),
            r":1: jid: 'my .*: not an address like name@domain",
        ),
        ('jid = "lab.example"', r":1: jid: must be name@domain, without a resource$"),
        ('jid = "a@lab.example/x"', r":1: jid: must be name@domain, without a resource$"),
        (GOOD + 'viewers = ["a@b.c",\n "@b.c"]', r":5: viewers\[2\]: '@b.c': not an address"),
        (
            GOOD + "operators = ['kitchen.2@lab.example']",
            r":4: operators\[1\]: is the device itself$",
        ),
        (GOOD + "rooms = ['garden']", r":4: rooms\[1\]: must be name@domain"),
        (GOOD + "[[rooms]]\nnick = 'a'", r":4: rooms\[1\]\.jid: is missing: room@service$"),
        (
            GOOD + "[[rooms]]\njid='a@b'\n[[rooms]]\njid = 'a@'",
            r":7: rooms\[2\]\.jid: 'a@': not an",
        ),
        # What the device's own code says
        (GOOD.replace('"ca.pem"', '"none.pem"'), r":3: ca: .*none\.pem cannot be read$"),
        (GOOD.replace('"ca.pem"', '"ca.bad"'), r":3: ca: .*ca\.bad is neither DER nor PEM"),
        (GOOD.replace("ca =", "name ="), r"device\.toml: ca or pin: one is needed, to know the"),
        (
            GOOD + 'pin = "12:34"',
            r":4: pin: must be the SHA-256 of the certificate, 64 hex digits$",
        ),
        (GOOD.replace("owners", "groups"), r"device\.toml: owners: is missing; or pair, a code"),
        (GOOD + "port = 70000", r":4: port: must be 1 to 65535$"),
        (GOOD + "nameserver = 'dns.example'", r":4: nameserver: must be an IPv4 address"),
        (GOOD + "keys = ['SCRAM-SHA-1', 'x']", r":4: keys: must be \[mechanism, salt, iterations"),
        (GOOD + "[wifi]\npassword = 'x'", r":4: wifi: ssid is missing$"),
        (GOOD + "[files]\nmax_bytes = -1", r":5: files\.max_bytes: must be a number$"),
        (GOOD + "[sleep]\nevery = 0", r":5: sleep\.every: must be 1 to 86400 s$"),
        (GOOD + "timezone = 'Europe/Rome'", r":4: timezone: Europe/Rome: must be like CET-1CEST"),
        (GOOD + "[pubsub]\npayload = 'xml'", r":5: pubsub\.payload: must be json, fields or mqtt"),
        (GOOD + "[pubsub]\nmin_s = -1", r":5: pubsub\.min_s: must be 0 to 86400 seconds$"),
    ],
)
def test_bad(folder, text, pattern):
    with pytest.raises(device_file.DeviceFileError) as e:
        read(folder, text)
    said = str(e.value)
    assert said.startswith(str(folder / "device.toml")) and "\n" not in said, said
    assert re.search(pattern, said), said


@pytest.mark.parametrize("name", ["nothing", "."])
def test_no_such_file(folder, name):
    with pytest.raises(device_file.DeviceFileError, match=": cannot be read: "):
        device_file.read(folder / name)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ('password = "hush"', "password"),
        ('pair = "hush12"', "pair"),
        ("[wifi]\nssid = 'a'\npassword = 'hush'", r"wifi\.password"),
        ("rooms = ['a@b.c', {jid = 'a@b', password = 'hush'}]", r"rooms\[2\]\.password"),
    ],
)
def test_secrets_that_others_can_read(folder, more, what):
    assert read(folder, GOOD + more, 0o600)
    with pytest.raises(device_file.DeviceFileError, match=f"the secret {what}, .*chmod 600") as e:
        read(folder, GOOD + more, 0o640)
    assert "hush" not in str(e.value)


def test_the_same_settings_as_the_device(folder):
    """Each key of device.json, and no other, may stand in the file."""
    config = import_module("thing.config")
    (folder / "device.json").write_text('{"": 1}')
    with pytest.raises(config.ConfigError) as e:
        config.load(str(folder / "device.json"))
    there = str(e.value).partition("there are ")[2].split(", ")
    assert sorted(there) == sorted(set(device_file.SCHEMA) - set(device_file.HOST_KEYS))


def test_lines():
    """Where things stand, in all the ways that TOML has to write them."""
    text = '''\
# comment = 1
a.b = """
c = 5
"""""  # ends with two quotes
"d e" = ["x]", [1, 2], # ]
  'y\\', {f = "}", g.h = 1},
]
[ t . "u v" ]
k = '\\'
[[l]]
m = 1
[[l]]
[l.n]
o = \'\'\'
p = 1\'\'\'
q = 1979-05-27T07:32:00Z'''
    assert tomllib.loads(text)
    assert toml_lines.lines(text) == {
        ("a",): 2,
        ("a", "b"): 2,
        ("d e",): 5,
        ("d e", 0): 5,
        ("d e", 1): 5,
        ("d e", 1, 0): 5,
        ("d e", 1, 1): 5,
        ("d e", 2): 6,
        ("d e", 3): 6,
        ("d e", 3, "f"): 6,
        ("d e", 3, "g"): 6,
        ("d e", 3, "g", "h"): 6,
        ("t", "u v"): 8,
        ("t", "u v", "k"): 9,
        ("l",): 10,
        ("l", 0): 10,
        ("l", 0, "m"): 11,
        ("l", 1): 12,
        ("l", 1, "n"): 13,
        ("l", 1, "n", "o"): 14,
        ("l", 1, "n", "q"): 16,
    }


def test_password(monkeypatch, tmp_path):
    """systemd's credential, then the environment, then the file; and nobody is asked in vain."""
    monkeypatch.delenv(secret.VARIABLE, raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr("sys.stdin", None)
    assert secret.password("a@b.c") is None
    assert secret.password("a@b.c", "kept") == "kept"
    monkeypatch.setenv(secret.VARIABLE, "of the environment")
    assert secret.password("a@b.c", "kept") == "of the environment"
    assert secret.password("a@b.c", "kept") == "kept"  # what is started later finds none
    monkeypatch.setenv(secret.VARIABLE, "of the environment")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secret.password("a@b.c") == "of the environment"
    (tmp_path / "password").write_text(" systemd's \n")
    monkeypatch.setenv(secret.VARIABLE, "of the environment")
    assert secret.password("a@b.c", "kept") == " systemd's "
    assert secret.VARIABLE not in os.environ
    (tmp_path / "password").write_bytes(b"\xff")
    with pytest.raises(secret.UxmppError, match="the password cannot be read"):
        secret.password("a@b.c")
