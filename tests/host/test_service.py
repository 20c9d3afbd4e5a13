"""`uxmpp install-service`: the unit, by systemd's own judgement, and where it is not written."""

import os
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from host_tools.cli import app
from host_tools.errors import UxmppError
from host_tools.lab import systemd
from host_tools.lab.certs import Authority
from host_tools.linux import service

DEVICE = 'jid = "kitchen@lab.example"\nowners = ["ann@lab.example"]\nca = "authority/ca.pem"\n'


@pytest.fixture
def place(monkeypatch, tmp_path):
    """A folder with a device.toml, as the working directory and as the user's own."""
    Authority(tmp_path / "authority")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "device.toml").write_text(DEVICE)
    (tmp_path / "my app.py").write_text("")
    return tmp_path


def said(*args, command="install-service"):
    """What the command prints; what it raises is the one line that main() shows."""
    result = CliRunner().invoke(app, [command, *args], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def verdict(place, text):
    """What systemd-analyze says of a unit."""
    unit = place / "uxmpp-kitchen.service"
    unit.write_text(text)
    return systemd.verify(unit, place)


def test_unit(place):
    text = said("my app.py", "--print")
    assert verdict(place, text) == []
    assert verdict(place, text.replace("WatchdogSec=", "WatchdogSecs=")) != []
    assert f'run "{place}/my app.py" --config {place}/device.toml\n' in text
    for line in (
        "Type=notify", "Restart=on-failure", "WatchdogSec=60", "StateDirectory=uxmpp/kitchen",
        "LoadCredential=password:/etc/uxmpp/kitchen.password", "NoNewPrivileges=yes",
        "ProtectSystem=strict", "PrivateTmp=yes", "WantedBy=multi-user.target",
        "SuccessExitStatus=143",
    ):  # fmt: skip
        assert f"\n{line}\n" in text
    assert re.search(r"^(DynamicUser=yes|User=\w+)$", text, re.M)
    # What the device.toml says
    (place / "device.toml").write_text(DEVICE + 'password = "hush"\nwatchdog = false\n')
    (place / "device.toml").chmod(0o600)
    if os.getuid():
        text = said("my app.py", "--print")
        assert verdict(place, text) == []
        assert "hush" not in text and "LoadCredential" not in text and "Watchdog" not in text
    else:
        with pytest.raises(UxmppError, match="is root's alone: chown it"):
            said("my app.py", "--print")


def test_names_and_places(place, monkeypatch):
    """No name becomes a part of another line; what runs lies in no home that is hidden."""
    for name, description in (("a%$;b.py", "a%%$;b"), ("x\\.py", "x")):
        (place / name).write_text("")
        text = said(name, "--print")
        assert verdict(place, text) == []
        assert f"\nDescription=kitchen@lab.example: {description}\nWants=" in text
    program = place / "a $b" / "uxmpp"
    program.parent.mkdir()
    program.symlink_to("/bin/true")
    with monkeypatch.context() as m:
        m.setattr(service, "_program", lambda: program)
        assert verdict(place, said("my app.py", "--print")) == []
    (place / "device.toml").write_text(DEVICE.replace("authority", "link"))
    (place / "link").symlink_to("authority")
    for home, said_of_it in (
        (Path(sys.base_prefix).resolve().parent, "read-only"),
        (place / "authority", "read-only"),
        ("/nowhere", "yes"),
    ):
        monkeypatch.setattr(service, "_HOMES", (str(home),))
        assert f"\nProtectHome={said_of_it}\n" in said("my app.py", "--print")


def test_service_of_ones_own(place):
    """Written once, and nothing else is overwritten."""
    unit = place / "config" / "systemd" / "user" / "uxmpp-attic.service"
    args = ("sensor", "--user", "--name", "attic")
    text = said(*args)
    assert f"{unit} is written" in text
    assert "systemctl --user enable --now uxmpp-attic.service" in text
    assert "systemd-ask-password" in text and f"{place}/config/uxmpp/attic.password" in text
    assert "SupplementaryGroups" not in unit.read_text() and unit.stat().st_mode & 0o777 == 0o644
    (place / "config" / "uxmpp").mkdir()
    (place / "config" / "uxmpp" / "attic.password").touch()
    again = said(*args)
    assert "is there already" in again and "systemd-ask-password" not in again
    unit.write_text(before := "[Unit]\nDescription=mine\n")
    with pytest.raises(UxmppError, match="is there and is another one: --force"):
        said(*args)
    assert unit.read_text() == before
    assert "is written" in said(*args, "--force")
    assert [p.name for p in unit.parent.iterdir()] == [unit.name]


@pytest.mark.parametrize(
    ("command", "args", "pattern"),
    [
        ("install-service", ("nothing.py",), "nothing.py: there is no such app; uxmpp itself has"),
        ("install-service", (), "which app\\? Name its file, or write app"),
        ("install-service", ("sensor", "--name", "a/b"), "name 'a/b': must be letters"),
        ("install-service", ("sensor", "-c", "none.toml"), "none.toml: cannot be read"),
        ("install-service", ("sensor", "--user"), "cannot be written"),
        ("install-service", ("a\udcff.py", "--user"), "systemd cannot take it"),
        ("install-service", ("sensor", "-c", "nobody.toml"), "its owner 54321 is no user here"),
        ("run", ("sensor", "--state", "device.toml/x"), "cannot be the device's folder"),
        ("run", ("sensor", "--state", "open"), "open: others can write there"),
        ("run", ("sensor", "--state", "taken"), "device.json: is in the way"),
        ("run", ("x" * 300,), "xxx: cannot be read: File name too long"),
        ("run", ("sensor", "--state", "new"), "kitchen@lab.example: there is no password: set UX"),
    ],
)
def test_what_cannot_be(place, monkeypatch, command, args, pattern):
    (place / "config").write_text("in the way")
    (place / "a\udcff.py").write_text("")
    if "nobody.toml" in args:
        if os.getuid():
            pytest.skip("only root gives files to somebody else")
        (place / "nobody.toml").write_text(DEVICE)
        os.chown(place / "nobody.toml", 54321, 0)
    (place / "taken").mkdir()
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    (place / "taken" / "device.json").write_text("{}")
    if "new" not in args:
        monkeypatch.setenv("UXMPP_PASSWORD", "x")
    monkeypatch.setattr("os.umask", lambda mask: 0)
    with pytest.raises(UxmppError, match=pattern) as e:
        said(*args, command=command)
    assert "\n" not in str(e.value)
