"""devices.csv: what its columns may be, and each mistake in it; TOML that is written."""

import sys
import tomllib

import pytest
from typer.testing import CliRunner

from host_tools.cli import app
from host_tools.errors import UxmppError
from host_tools.lab.certs import Authority
from host_tools.provision import device_file, devices_csv, toml_text

TEMPLATE = """\
app = "./app.py"
jid = "Sensor-{serial}@lab.example"
name = "Number {serial}"
pair = ""
ca = "authority/ca.der"
status = "{temperature} in {serial}"
surfaces = ["chat", "profile"]
[wifi]
ssid = "attic"
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    Authority(tmp_path / "authority")
    (tmp_path / "app.py").touch()
    (tmp_path / "device.toml").write_text(TEMPLATE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(place, data, jid=None, mode=0o600):
    path = place / "devices.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    path.chmod(mode)
    return devices_csv.read(path, device_file.read(place / "device.toml"), jid)


def test_columns(place):
    text = (
        "\ufeffserial;jid;owners;port;direct;profile.location.room;pubsub.min_s;wifi.ssid;invite\r\n"
        '1;;"ann@a.example  bob@b.example";5223;yes;"Küche; links";2.5;;TOKEN\r\n'
        "\r\n"
        "X.2;ANN@lab.example;;;;;;cellar;\r\n"
    )
    (one, two), bad = read(place, text)
    assert not bad and (one.number, one.serial, one.invitation) == (2, "1", "TOKEN")
    assert (two.number, two.serial, two.invitation) == (4, "X.2", None)
    assert (one.device.jid, two.device.jid) == ("sensor-1@lab.example", "ann@lab.example")
    values = one.device.values
    assert values["owners"] == ["ann@a.example", "bob@b.example"] and values["port"] == 5223
    assert values["direct"] is True and values["pubsub"] == {"min_s": 2.5}
    assert values["profile"]["location"] == {"room": "Küche; links"}
    assert values["serial"] == "1" and values["name"] == "Number 1"
    assert values["status"] == "{temperature} in 1"
    assert (values["wifi"], two.device.values["wifi"]) == ({"ssid": "attic"}, {"ssid": "cellar"})
    assert "port" not in two.device.values and "owners" not in two.device.values
    # Found from anywhere
    assert values["ca"] == str(place / "authority" / "ca.der")
    assert values["app"].endswith("app.py") and values["app"].startswith(str(place))
    (only,), _ = read(place, "serial\nA\n", jid="x-{serial}@lab.example")
    assert only.device.jid == "x-a@lab.example"
    # As the template's own, beside it
    (place / "B.der").write_bytes((place / "authority" / "ca.der").read_bytes())
    (only,), _ = read(place, "serial,ca\nB,{serial}.der\n")
    assert only.device.values["ca"] == str(place / "B.der")


@pytest.mark.parametrize(
    ("data", "pattern"),
    [
        ("", ":1: there is no column serial$"),
        ("name,jid\nx,y\n", ":1: there is no column serial; there are name, jid$"),
        ("serial,serial\n", "two columns are called 'serial'"),
        ("serial,nmae\n", "column 'nmae': no such setting; did you mean name\\?"),
        ("serial,rooms\n", "column 'rooms': no such setting"),
        ("serial,profile.location.romo\n", "did you mean profile.location"),
        ("serial,password\n1,x\n", "passwords are made here"),
        ("serial,keys\n1,x\n", "passwords are made here"),
        ("serial\n", "has no devices"),
        (b"serial\n1\n\xff\n", ":3: is not UTF-8"),
        ('serial,name\n1,"x\n', ":2: is not CSV: "),
        ('serial,name\n1,"x"y\n', ":2: is not CSV: "),
    ],
)
def test_files_of_no_use(place, data, pattern):
    with pytest.raises(UxmppError, match=pattern) as caught:
        read(place, data)
    assert "\n" not in str(caught.value)


def test_lines_of_no_use(place):
    text = "serial,jid,name,port,direct,pair\n" + "\n".join(
        (
            "good,,,,,",
            ",,,,,",
            "-x,,,,,",
            "a b,,,,,",
            "x" * 65 + ",,,,,",
            "GOOD,,,,,",
            "a,sensor-good@lab.example,,,,",
            "b,no one,,,,",
            "c,,,99999,,",
            "d,,,,maybe,",
            "e,,,,,A-12 3-!4",
            "f",
            "g,,,,,ABC-DEF",
            "../h,,,,,",
            "i.,,,,,",
            "Journal.jsonl,,,,,",
            '"j\\',
            '",,,,,',
            "\u0430,,,,,",
            'k,,"x\ny""\\",,,',
        )
    )
    found, bad = read(place, text)
    assert [line.serial for line in found] == ["good", "g", "k"]
    assert found[-1].device.values["name"] == 'x\ny"\\'
    said = [str(e).partition("devices.csv")[2] for e in bad]
    for got, number, what in zip(
        said, (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 20),
        ("serial '-x': must be", "serial 'a b'", "serial 'xxx", "serial GOOD is that of line 2",
         "jid sensor-good@lab.example is that of line 2", "jid: 'no one': not an address",
         "port: must be 1 to 65535", "direct: must be true or false",
         "pair: must have 6 letters and digits", "has 1 cells", "serial '../h'",
         "serial 'i.'", "serial Journal.jsonl: must be another", "serial 'j", "serial '\u0430'"),
        strict=True,
    ):  # fmt: skip
        assert got.startswith(f":{number}: {what}"), got


def test_templates_and_secrets(place, monkeypatch):
    for column in ("invite", "pair", "wifi.password"):
        with pytest.raises(UxmppError, match=f"holds secrets \\({column}\\).*chmod 600"):
            read(place, f"serial,{column}\n1,x\n", mode=0o644)
    template = place / "device.toml"
    template.write_text(TEMPLATE.replace('pair = ""', 'pair = "ABCDEF"'))
    template.chmod(0o600)
    _, (bad,) = read(place, "serial\n1\n")
    assert "pair: one code for all devices" in str(bad)
    template.write_text(TEMPLATE.replace("{serial}@", "1@"))
    with pytest.raises(UxmppError, match="all devices would have the account Sensor-1@"):
        read(place, "serial\n1\n")
    monkeypatch.setattr(devices_csv, "MAX_DEVICES", 2)
    with pytest.raises(UxmppError, match=":4: more than 2 devices"):
        read(place, "serial\n1\n2\n3\n", jid="{serial}@lab.example")
    monkeypatch.setattr(devices_csv, "MAX_BYTES", 5)
    with pytest.raises(UxmppError, match="longer than 5 bytes"):
        read(place, "serial\n1\n")


def test_command(place, monkeypatch):
    """What is refused before anybody is asked."""
    monkeypatch.setitem(sys.modules, "keyring", None)  # as if it were not installed
    (place / "devices.csv").write_text("serial\n1\n")
    (place / "one.toml").write_text(TEMPLATE.replace("{serial}@", "1@"))
    (place / "own.toml").write_text('password = "x"\n' + TEMPLATE.replace("{serial}@", "1@"))
    (place / "own.toml").chmod(0o600)
    (place / "odd.toml").write_text('serial = "a/b"\n' + TEMPLATE.replace("{serial}@", "1@"))
    (place / "pass.toml").write_text('password = "x"\n' + TEMPLATE)
    (place / "pass.toml").chmod(0o600)
    for args, pattern in (
        (("one.toml", "--batch", "devices.csv"), "one device or a batch"),
        (("device.toml",), "jid: is one for many devices"),
        (("one.toml", "--image"), "say where to, --out"),
        (("one.toml", "--forget", "1"), "--forget is for"),
        (("own.toml", "--out", "x"), "own.toml: password: is there already"),
        (("own.toml",), "own.toml: has a password"),
        (("odd.toml", "--out", "x"), "odd.toml: serial 'a/b': must be 1 to 64"),
        (("one.toml", "--label", "1x1"), "must be width x height"),
        (("--batch", "none.csv"), "none.csv: cannot be read"),
        (("--batch", "devices.csv", "--template", "pass.toml"), "password: one for all devices"),
        (("--batch", "devices.csv", "--image"), 'board = "…" is missing'),
        (("--batch", "devices.csv", "--by", "invite"), "there is no invitation for all those"),
        (("one.toml", "--keep-password", "keyring"), "there is no keyring here"),
    ):
        with pytest.raises(UxmppError, match=pattern) as caught:
            CliRunner().invoke(app, ["provision", *args], catch_exceptions=False)
        assert "\n" not in str(caught.value)
    assert not (place / "devices").exists() and not (place / ".secrets").exists()


def test_toml():
    values = {
        "a": 'x"\\\n\t\0\x7f\u2028 ü', "b-c": [1, 2.5, True, -0.5], "d e": "",
        "rooms": [{"jid": "r"}],
        "t": {"inner": {"x": 1}, "y": False}, "empty": {}, "keys": ["S", 4096],
    }  # fmt: skip
    assert tomllib.loads(toml_text.dumps(values)) == values
    with pytest.raises(ValueError, match="a NoneType has no place"):
        toml_text.dumps({"a": None})
