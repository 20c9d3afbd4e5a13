"""`uxmpp provision`: accounts on real servers, by each way that they have; a batch, killed too."""

import asyncio
import json
import random
import re
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest
from typer.testing import CliRunner

from host_tools.cli import app
from host_tools.errors import UxmppError
from host_tools.flash import boards
from host_tools.flash.content import find_app
from host_tools.flash.image import read as read_image
from host_tools.lab import standin
from host_tools.lab.device import Device
from host_tools.lab.ejabberd import Ejabberd
from host_tools.lab.flash_file import FlashFile
from host_tools.lab.lab import Lab
from host_tools.lab.rom import RomLoader
from host_tools.lab.serial_line import SerialLine
from host_tools.provision import accounts, device_file, one, session
from host_tools.provision.journal import Secrets, alone
from host_tools.provision.label import Label
from host_tools.provision.register import Registration

from .helper import PROGRAMS, online, owner_of

ROOT = Path(__file__).resolve().parents[2]
USERS = {"admin": "an admin's own", "ann": "just a user"}
INVITES = ("invites", "invites_adhoc", "invites_register", "admin_adhoc")
UXMPP = Path(sys.executable).with_name("uxmpp")
LIMIT_S = 60


class Place:
    """A folder with a template, its server's CA beside it, from which the command is run."""

    def __init__(self, lab, folder):
        self.lab = lab
        self.folder = folder
        (folder / "ca.der").write_bytes(lab.ca_der.read_bytes())
        self.toml(jid=f"{{serial}}@{lab.domain}", name="Sensor {serial}")

    def toml(self, path="device.toml", **changes):
        server = self.lab.server
        values = {
            "pair": "", "ca": "ca.der", "host": server.host, "port": server.c2s_port, **changes
        }  # fmt: skip
        lines = [f"{k} = {json.dumps(v)}\n" for k, v in values.items() if v is not None]
        (self.folder / path).write_text("# Mine\n" + "".join(lines) + "[wifi]\nssid = 'x'\n")
        return path

    def csv(self, *lines, path="devices.csv"):
        (self.folder / path).write_text("\n".join(lines) + "\n")
        (self.folder / path).chmod(0o600)
        return path

    def run(self, *args, code=0, command=("provision",), **environment):
        """What the command prints; in this process. An error is raised, as main() gets it."""
        with pytest.MonkeyPatch.context() as m:
            m.chdir(self.folder)
            for key, value in environment.items():
                m.setenv(key, value)
            result = CliRunner().invoke(app, [*command, *args], catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result.output

    def refused(self, pattern, *args, **environment):
        with pytest.raises(UxmppError, match=pattern) as caught:
            self.run(*args, **environment)
        assert "\n" not in str(caught.value)

    def logs_in(self, path):
        """Whether a device.toml's login keys are good; its settings."""
        device = device_file.read(self.folder / path)
        assert (self.folder / path).stat().st_mode & 0o777 == 0o600

        async def main():
            place = session.Place.of(device)
            keys = device.values["keys"]
            await (await session.log_in(device.jid, None, place, keys)).close()

        asyncio.run(main())
        return device.values


@contextmanager
def place_of(lab, folder):
    with lab:
        yield Place(lab, folder)


def test_prosody(tmp_path):
    """In-band, by invitation, by an administrator; one device at a time."""
    lab = Lab(
        USERS,
        modules=INVITES,
        settings={"admins": ["admin@lab.example"], "registration_invite_only": False},
    )
    with place_of(lab, tmp_path) as place:
        # In-band: the file gets its keys, and is otherwise as it was
        place.toml("a.toml", jid="A@lab.example")
        before = (tmp_path / "a.toml").read_text()
        assert "a@lab.example: the account is made" in place.run("a.toml")
        values = place.logs_in("a.toml")
        after = (tmp_path / "a.toml").read_text()
        assert re.sub(r"^keys = .*\n", "", after, flags=re.M) == before
        assert values["keys"][0] == "SCRAM-SHA-256" and "password" not in values
        assert "nothing to do" in place.run("a.toml")
        with alone(tmp_path / "a.toml"):
            place.refused("a.toml: another uxmpp provision is at it", "a.toml")
        # Who changes the file meanwhile finds the account again
        path = tmp_path / place.toml("moved.toml", jid="moved@lab.example")
        text = path.read_text()

        class Moving(Registration):
            async def create(self, order):
                await super().create(order)
                path.write_text(f"#\n{text}".replace("moved@", "other@"))

        moved = one.provision(device_file.read(path), Moving())
        with pytest.raises(UxmppError, match="its jid or keys were changed meanwhile"):
            asyncio.run(moved)
        path.write_text(text)
        assert "is there, with our password" in place.run("moved.toml")
        place.logs_in("moved.toml")
        assert not (tmp_path / ".secrets").exists()
        # Another's account stays another's
        place.toml("taken.toml", jid="ann@lab.example")
        for by in ((), ("--by", "admin", "--admin", "admin@lab.example")):
            place.refused(
                "ann@lab.example: .*(another password|already exists)", "taken.toml", *by,
                UXMPP_ADMIN_PASSWORD=USERS["admin"],
            )  # fmt: skip
        # What was asked for, and never heard of again, is known by its password
        assert not (tmp_path / ".secrets").exists()
        kept = {"password": accounts.password()}
        Secrets(tmp_path).put("ann@lab.example", kept)
        lab.add_account("ann", kept["password"])
        assert "is there, with our password" in place.run("taken.toml", "--keep-password", "file")
        assert (tmp_path / "taken.password").read_text() == kept["password"] + "\n"
        assert (tmp_path / "taken.password").stat().st_mode & 0o777 == 0o600
        assert kept["password"] not in (tmp_path / "taken.toml").read_text()
        assert len(kept["password"]) >= 22 and not (tmp_path / ".secrets").exists()
        place.logs_in("taken.toml")
        # By an administrator
        admin = ("--by", "admin", "--admin", "admin@lab.example")
        place.toml("b.toml", jid="b@lab.example")
        wrong = {"UXMPP_ADMIN_PASSWORD": "a guess"}
        place.refused("admin@lab.example: the server does not take the", "b.toml", *admin, **wrong)
        user = {"UXMPP_ADMIN_PASSWORD": kept["password"]}
        place.refused("ann@lab.example may not add users", "b.toml", "--by", "admin", "--admin",
                      "ann@lab.example", **user)  # fmt: skip
        place.refused("admin@lab.example: there is no password: set UXMPP", "b.toml", *admin)
        place.run("b.toml", *admin, UXMPP_ADMIN_PASSWORD=USERS["admin"])
        place.logs_in("b.toml")
        # By invitations, for one account and for any
        for name, whom in (("c", "c"), ("d", None)):
            place.toml(f"{name}.toml", jid=f"{name}@lab.example")
            invitation = lab.server.invitation(whom)
            place.toml("e.toml", jid="e@lab.example")
            if whom:
                place.refused("the invitation is for c@", "e.toml", "--by", "invite",
                              UXMPP_INVITE=invitation)  # fmt: skip
            place.run(f"{name}.toml", "--by", "invite", UXMPP_INVITE=invitation)
            place.logs_in(f"{name}.toml")
            place.refused("the invitation is not valid", "e.toml", "--by", "invite",
                          UXMPP_INVITE=invitation.rpartition("=")[2])  # fmt: skip
        for bad, pattern in (
            ("xmpp:other.example?register;preauth=x", "is for accounts at other.example"),
            ("xmpp:lab.example?join", "no invitation"),
            ("xmpp:ann@lab.example?roster;preauth=x", "to a contact"),
            ("https://lab.example/invite/#x", "take the xmpp: address"),
        ):
            place.refused(pattern, "e.toml", "--by", "invite", UXMPP_INVITE=bad)
        place.refused("there is no invitation", "e.toml", "--by", "invite")
        # Not the server that it says it is, and none at all
        place.toml("f.toml", jid="f@lab.example", ca=None, pin="00" * 32)
        place.refused("reached: TLS: the certificate is not the pinned one", "f.toml")
        place.toml("f.toml", jid="f@lab.example", port=1)
        place.refused("cannot be reached: .*127.0.0.1:1", "f.toml")
        assert lab.server.accounts() == sorted(("admin", "ann", *"abcd", "moved"))


def test_prosody_that_asks_for_more(tmp_path):
    """Forms, limits, and no registration at all."""
    more = {
        "additional_registration_fields": ["email+", "nick"],
        "registration_instructions": "Ask  the\nporter\u202e",
        "registration_throttle_max": 1,
        "registration_throttle_period": 3600,
        "registration_allowlist": ["192.0.2.1"],
    }
    with place_of(Lab(settings=more), tmp_path) as place:
        name = place.toml("a.toml", jid="a@lab.example")
        place.refused(r"asks for email \(Email\): give it by --field .* says: Ask the porter$",
                      name)  # fmt: skip
        place.refused("--field 'email': must be NAME=VALUE", name, "--field", "email")
        place.run(name, "--field", "email=ann@example.org")
        place.logs_in(name)
        name = place.toml("b.toml", jid="b@lab.example")
        place.refused("no more registrations for the moment .*Too many registrations", name,
                      "--field", "email=x@example.org")  # fmt: skip
        fields = ("--field", "email=x@example.org")
        path = place.csv("serial", "c", "d", "e")
        said = place.run("--batch", path, *fields, "--jobs", "1", code=1)
        assert "devices.csv:2: c: c@lab.example: lab.example takes no more" in said
        assert said.endswith("devices: 1 failed, 2 not tried\n")
        place.refused("takes no invitations", name, "--by", "invite", UXMPP_INVITE="x")
    with place_of(Lab(registration=False), tmp_path) as place:
        place.refused("lab.example registers no accounts in-band", place.toml("b.toml",
                      jid="b@lab.example"))  # fmt: skip


def test_ejabberd(tmp_path):
    """In-band, by an administrator, by the HTTP API; with a captcha."""
    picture = tmp_path / "captcha"
    picture.write_bytes(b"#!/bin/sh\nprintf '\\211PNG\\r\\n\\032\\n%02000d' 7\n")
    picture.chmod(0o755)
    lab = Lab(
        USERS,
        server=Ejabberd,
        admins=["admin"],
        tokens=True,
        # One for each host
        modules={"http_upload": {"put_url": "https://@HOST@/", "docroot": str(tmp_path)}},
        settings={
            "hosts": ["lab.example", "asks.lab.example"],
            "captcha_cmd": str(picture),
            "captcha_url": "https://localhost/captcha",
            "append_host_config": {
                host: {
                    "modules": {
                        "mod_register": {
                            "access": "all", "ip_access": "all", "captcha_protected": asks
                        }
                    }
                }
                for host, asks in (("lab.example", False), ("asks.lab.example", True))
            },
        },
    )  # fmt: skip
    with place_of(lab, tmp_path) as place:
        server = lab.server
        secret = {"UXMPP_ADMIN_PASSWORD": USERS["admin"]}
        admin = ("--admin", "admin@lab.example")
        there = f"https://localhost:{server.https_port}/api"
        token = server.token("admin")
        for name, args, environment in (
            ("a", (), {}),
            ("b", ("--by", "admin", *admin), secret),
            ("c", ("--by", "api", "--api", there, *admin), secret),
            ("d", ("--by", "api", "--api", there), {"UXMPP_API_TOKEN": token}),
            ("e", ("--by", "api", "--api", f"http://127.0.0.1:{server.http_port}/api/"), {}),
        ):
            path = place.toml(f"{name}.toml", jid=f"{name}@lab.example")
            said = place.run(path, *args, **environment)
            assert "the account is made" in said and token not in said
            place.logs_in(path)
            path = place.toml("ann.toml", jid="ann@lab.example")
            place.refused("such an account already, with another", path, *args, **environment)
        # As docs/factory.md has it
        (command,) = (c for c in commands_of_factory() if "--by api" in c)
        place.toml("cellar.toml", jid="cellar@lab.example")
        words = command.replace("example.org:5443", f"localhost:{server.https_port}").split()[2:]
        place.run(*words, UXMPP_API_TOKEN=token)
        place.logs_in("cellar.toml")
        said = place.run("--batch", place.csv("serial", *"pqrstu"), "--jobs", "6", "--by", "admin",
                         *admin, **secret)  # fmt: skip
        assert said.endswith("devices: 6 account made\n")
        for name in "pqrstu":
            place.logs_in(f"devices/{name}/device.toml")
        f = place.toml("f.toml", jid="f@lab.example")
        api = ("--by", "api", "--api", there)
        for pattern, args, environment in (
            ("refuses our token or password", api, {"UXMPP_API_TOKEN": "0" * 32}),
            ("is not one: it must be ASCII", api, {"UXMPP_API_TOKEN": "a b"}),
            ("refuses our token or password", (*api, "--admin", "ann@lab.example"),
             {"UXMPP_ADMIN_PASSWORD": USERS["ann"]}),
            ("there is no such API", ("--by", "api", "--api", there + "/v9/x"), {}),
            ("in the clear: https", ("--by", "api", "--api", "http://example.org/api"), {}),
            ("no secrets", ("--by", "api", "--api", "https://ann:x@localhost/api"), {}),
            ("no answer", ("--by", "api", "--api", "https://localhost:1/api"), {}),
            ("where is it", ("--by", "api"), {}),
            ("who is it", ("--by", "admin"), {}),
            ("must be name@domain", ("--by", "admin", "--admin", "admin"), {}),
            ("takes no invitations", ("--by", "invite"), {"UXMPP_INVITE": "x"}),
            ("may not add users", ("--by", "admin", "--admin", "ann@lab.example"),
             {"UXMPP_ADMIN_PASSWORD": USERS["ann"]}),
        ):  # fmt: skip
            place.refused(pattern, f, *args, **environment)
        name = place.toml("g.toml", jid="g@asks.lab.example")
        place.refused("wants a captcha solved, which is for people", name)
        (tmp_path / "other").mkdir()
        with Lab() as other:
            place.toml("h.toml", jid="h@lab.example")
            (tmp_path / "ca.der").write_bytes(other.ca_der.read_bytes())
            place.refused("the certificate: ", "h.toml", *api, UXMPP_API_TOKEN=token)
        assert server.accounts() == sorted((*USERS, "a", "b", "c", "d", "e", "cellar", *"pqrstu"))


def folders(place, path="devices"):
    """The devices' folders."""
    return sorted(p for p in (place.folder / path).iterdir() if p.is_dir())


def test_batch_that_is_killed(tmp_path):
    """SIGKILL at seeded steps, again and again: in the end each account is there once."""
    serials = [f"s{n:02}" for n in range(20)]
    with place_of(Lab(USERS), tmp_path) as place:
        command = ["--batch", place.csv("serial", *serials)]
        chance = random.Random(6)
        times = [
            f"{chance.randrange(1, 60 * (n + 1))} {('before', 'after')[n % 2]}" for n in range(6)
        ]
        program = [sys.executable, str(PROGRAMS / "killed_provision.py"), *times, "--"]
        done = subprocess.run(
            [*program, "provision", *command],
            cwd=tmp_path, capture_output=True, text=True, timeout=3 * LIMIT_S,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        ended = done.stdout.splitlines()[-1].split()
        assert {*ended} <= {"0", "-9"} and ended.count("-9") >= 4
        # As a disk may leave it
        with (tmp_path / "devices" / "journal.jsonl").open("ab") as f:
            f.write(b'{"event": "do')
        place.run(*command)
        assert place.lab.server.accounts() == sorted((*USERS, *serials))
        made = folders(place)
        assert [p.name for p in made] == serials
        codes = set()
        for folder in made:
            assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]
            values = place.logs_in(f"devices/{folder.name}/device.toml")
            codes.add(values["pair"])
            assert values["pair"] in (folder / "label.svg").read_text()
        assert len(codes) == len(serials)
        # Once more: nothing happens, on the server neither
        place.lab.server.stop()
        before = {p: p.stat().st_mtime_ns for p in (tmp_path / "devices").rglob("*")}
        assert place.run(*command) == "devices: 20 as it was\n"
        assert {p: p.stat().st_mtime_ns for p in (tmp_path / "devices").rglob("*")} == before
        assert not any(p.name.endswith((".part", ".old")) for p in before)


def test_batch(tmp_path):
    """What lines may say, and what is wrong with others: one line each, the others go on."""
    lab = Lab(
        USERS,
        modules=INVITES,
        settings={"admins": ["admin@lab.example"], "registration_invite_only": False},
    )
    with place_of(lab, tmp_path) as place:
        path = place.csv(
            "serial,jid,name,owners,port,wifi.ssid,invite",
            "A-1,,Küche,,,attic,",
            "A-2,second@lab.example,,ann@lab.example bob@lab.example,,,",
            f"A-3,,,,,,{lab.server.invitation('a-3')}",
            "a-3,,,,,,",
            "A-4,SECOND@lab.example,,,,,",
            "A-5,ann@,,,,,",
            "A-6,,,,x,,",
            "A-7,ann@lab.example,,,,,",
            "A/8,,,,,,",
            "A-9,,",
            "A-10,,,,1,,",
            '"A-11",,"two',
            'lines",,,,',
            "",
            "A-12,,,ann,,,",
        )
        said = place.run("--batch", path, "--jobs", "3", code=1)
        errors = [line for line in said.splitlines() if line.startswith("uxmpp: ")]
        for line, pattern in (
            (5, "serial a-3 is that of line 4 already"),
            (6, "jid second@lab.example is that of line 3 already"),
            (7, "jid: 'ann@': not an address"),
            (8, "port: must be a number"),
            (9, "A-7: ann@lab.example: there is such an account already, with another"),
            (10, "serial 'A/8': must be"),
            (11, "has 3 cells, and the header 7"),
            (12, "A-10: the server cannot be reached: .*:1"),
            (16, r"owners\[1\]: must be name@domain"),
        ):
            found = [e for e in errors if e.startswith(f"uxmpp: devices.csv:{line}: ")]
            assert len(found) == 1 and re.search(pattern, found[0]), (line, errors)
        assert len(errors) == 9
        assert said.splitlines()[-1] == ("devices: 4 account made, 2 failed, 7 lines of no use")
        assert [p.name for p in folders(place)] == ["A-1", "A-11", "A-2", "A-3"]
        first = place.logs_in("devices/A-1/device.toml")
        assert first["name"] == "Küche" and first["wifi"] == {"ssid": "attic"}
        told = json.loads((tmp_path / "devices/A-1/device.json").read_text())
        assert told["keys"] == first["keys"] and told["pair"] == first["pair"]
        assert re.fullmatch("[A-HJ-NP-Z2-9]{4}-[A-HJ-NP-Z2-9]{4}", first["pair"])
        second = place.logs_in("devices/A-2/device.toml")
        assert second["owners"] == ["ann@lab.example", "bob@lab.example"]
        label = (tmp_path / "devices/A-2/label.svg").read_text()
        assert "pair" not in label and ">No. A-2<" in label
        assert place.logs_in("devices/A-11/device.toml")["name"] == "two\nlines"
        # A changed line: its files change, its keys and its code do not
        place.csv("serial,name", "A-1,Cellar", "A-2,")
        said = place.run("--batch", path, code=1).splitlines()
        assert set(said[:2]) == {
            "[2/2] A-1 a-1@lab.example: files made again",
            "uxmpp: devices.csv:3: A-2: was made as second@lab.example: give a-2@lab.example "
            "another serial number, or --forget it",
        }
        assert said[2] == "devices: 1 files made again, 1 failed"
        again = place.logs_in("devices/A-1/device.toml")
        assert again == {**first, "name": "Cellar"} | {"wifi": {"ssid": "x"}}
        place.csv("serial", "A-2")
        place.run("--batch", path, "--forget", "A-2")
        assert place.logs_in("devices/A-2/device.toml")["jid"] == "a-2@lab.example"
        place.refused("there is no finished device 'A-99'", "--batch", path, "--forget", "A-99")
        # What stays where it is is found from the box
        (tmp_path / "app.py").touch()
        place.toml(jid="{serial}@lab.example", app="./app.py")
        place.csv("serial", "A-2")
        place.run("--batch", path)
        device = device_file.read(tmp_path / "devices/A-2/device.toml")
        assert device.app == "../../app.py" and device.values["serial"] == "A-2"
        assert find_app(device).samefile(tmp_path / "app.py")
        # A wrong administrator's password is tried once
        place.csv("serial", *(f"C-{n}" for n in range(9)))
        admin = ("--by", "admin", "--admin", "admin@lab.example", "--jobs", "4")
        said = place.run("--batch", path, *admin, code=1, UXMPP_ADMIN_PASSWORD="x").splitlines()
        assert len(said) == 2 and "does not take the administrator's password" in said[0]
        assert said[1] == "devices: 1 failed, 8 not tried"
        good = {"UXMPP_ADMIN_PASSWORD": USERS["admin"]}
        assert "9 account made" in place.run("--batch", path, *admin, **good).splitlines()[-1]
        # Who ends it in order is told what to do
        place.csv("serial", *(f"D-{n}" for n in range(40)))
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            going = subprocess.Popen(
                [UXMPP, "provision", "--batch", path, "--jobs", "1"],
                cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            going.stdout.readline()
            going.send_signal(number)
            assert going.communicate(timeout=LIMIT_S)[1] == (
                "uxmpp: interrupted: the same command again goes on from here\n"
            )
            assert going.returncode == code
        # Nobody there: it does not go on for ever
        lab.server.stop()
        place.csv("serial", *(f"E-{n}" for n in range(40)))
        said = place.run("--batch", path, "--jobs", "2", code=1).splitlines()
        assert re.fullmatch(r"devices: 1[67] failed, 2[34] not tried", said[-1]), said[-1]


def blocks(kind):
    """The blocks of that kind in docs/factory.md."""
    text = (ROOT / "docs" / "factory.md").read_text("utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    return [block for name, block in found if name == kind]


def commands_of_factory():
    return [line for block in blocks("sh") for line in block.splitlines()]


def test_factory(tmp_path):
    """docs/factory.md: each of its commands, and a device out of the box whose label is used."""
    board = boards.load("esp32")
    commands = [c for c in commands_of_factory() if "--by api" not in c]  # see test_ejabberd
    lab = Lab(
        USERS,
        domain="example.org",
        modules=INVITES,
        settings={"admins": ["admin@example.org"], "registration_invite_only": False},
    )
    with place_of(lab, tmp_path) as place:
        server = lab.server
        where = f'host = "{server.host}"\nport = {server.c2s_port}\n'
        (tmp_path / "device.toml").write_text(where + blocks("toml")[0])
        (tmp_path / "devices.csv").write_text(blocks("csv")[0])
        for name in ("kitchen", "attic", "cellar"):
            place.toml(f"{name}.toml", jid=f"{name}@example.org")
        (tmp_path / "ESP32_GENERIC.bin").write_bytes(standin.firmware(board))
        flash = FlashFile(tmp_path / "flash", board.flash_size)
        secrets = {
            "UXMPP_ADMIN_PASSWORD": USERS["admin"],
            "UXMPP_INVITE": server.invitation("attic"),
        }
        said = []
        with SerialLine("socket") as line:
            line.attach(RomLoader(board.mcu, flash))
            for command in commands:
                if "--forget" in command:
                    server.delete_account("sensor-a-0002")
                program, *args = shlex.split(command.replace("/dev/ttyUSB0", line.port))
                if program == "uxmpp":
                    said.append(place.run(*args, command=(), **secrets))
                else:
                    subprocess.run([program, *args], cwd=tmp_path, check=True)
        # What they say is what the document shows
        shown = blocks("")
        said = [sorted(re.sub(r"^\[\d/3\] ", "", line) for line in s.splitlines()) for s in said]
        assert said[0] == sorted(re.sub(r"^\[\d/3\] ", "", s) for s in shown[0].splitlines())
        assert "devices: 3 files made again" in said[1]
        assert "devices: 1 account made, 2 as it was" in said[3]
        assert said[4] == sorted(shown[-1].splitlines())
        assert {p.name for p in (tmp_path / "boxes" / "attic").iterdir()} >= {"label.png"}
        made = {str(p.relative_to(tmp_path)) for p in (tmp_path / "devices").rglob("*")}
        for path in re.findall(r"^(devices/\S+)", shown[2], re.M):
            assert path in made, path
        # What was flashed is what is in the box
        image = (tmp_path / "devices/A-0001/flash.bin").read_bytes()
        box = json.loads((tmp_path / "devices/A-0001/device.json").read_text())
        for data in (image, flash.read(board.fs_offset, board.fs_size)):
            files = read_image(data, board)
            assert json.loads(files["device.json"]) == box and "a/app.mpy" in files
        label = Label(box["jid"], box["name"], "A-0001", box["pair"])
        assert (tmp_path / "devices/A-0001/label.svg").read_text("utf-8") == label.svg()
        assert (tmp_path / "devices/A-0001/label.png").read_bytes() == label.png()
        # Out of the box: scan the label, send what is there
        asyncio.run(paired(lab, box, label))
        # An image is made again when its program is another; the keys are not
        (tmp_path / "own.py").write_text("first = 1\n")
        text = (tmp_path / "device.toml").read_text().replace('"sensor"', '"./own.py"')
        (tmp_path / "device.toml").write_text(text)
        again = ("--batch", place.csv("serial,profile.location.room", "A-0001,Kitchen"))
        assert place.run(*again) == "[1/1] A-0001 sensor-a-0001@example.org: files made again\n" \
            "devices: 1 files made again\n"  # fmt: skip
        assert place.run(*again) == "devices: 1 as it was\n"
        (tmp_path / "own.py").write_text("second = 2\n")
        assert place.run(*again).endswith("devices: 1 files made again\n")
        files = read_image((tmp_path / "devices/A-0001/flash.bin").read_bytes(), board)
        assert b"second" in files["a/app.mpy"] and json.loads(files["device.json"]) == box


async def paired(lab, box, label):
    """Have a device of these settings paired by what a label's address says."""
    address, _, query = label.uri.partition("?")
    body = unquote(dict(p.partition("=")[::2] for p in query.split(";"))["body"])
    # A lab's board has no WiFi; all else is as it was flashed
    config = {key: value for key, value in box.items() if key != "wifi"}
    device = Device(config, folder=lab.folder / "box", app="sensor", files=[lab.ca_der])
    async with owner_of(lab, "ann") as ann:
        with device:
            jid = await online(device)
            assert jid.partition("/")[0] == unquote(address.removeprefix("xmpp:"))
            await ann.say(address.removeprefix("xmpp:"), body)
            # A report may come before
            while (await ann.next_message(jid)).body != "You are my owner now. Try help.":
                pass
            assert str(box["keys"][3]) not in device.output()
