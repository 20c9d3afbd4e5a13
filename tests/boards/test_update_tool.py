"""`uxmpp update send` against Prosody and devices with slots, on 32-bit MicroPython with a board's
heap: what docs/updates.md says, what is interrupted, what is refused, what does not start."""

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from host_tools.cli import main
from host_tools.flash import boards, bytecode, content
from host_tools.flash.mpy import LIBRARY_OPT
from host_tools.lab import micropython
from host_tools.lab.certs import Authority
from host_tools.lab.device import Device
from host_tools.lab.lab import Lab
from host_tools.provision import device_file
from host_tools.provision.session import Place
from host_tools.update import arguments, bundle, keys, send
from host_tools.update.owner import Login, Owner

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "updates.md"
SIMULATED = Path(bytecode.__file__).resolve().parents[1] / "lab" / "simulated"
LIMIT_S = 90
FLASH = 0x80000
UPLOADS = 1_000_000
# It comes back sooner than others, lest the tests wait
APP = """
from thing import Thing

thing = Thing()
thing.client.first_pause_s = 0.2
thing.surfaces["update"].settle_s = 0.2
thing.sensor("version")(lambda: "VERSION")
thing.run()
"""
BROKEN = "raise RuntimeError('out of glue')\n"
ACCOUNTS = {"anna": "open sesame", "greenhouse": "device's own", "nobody": "y"}


class Slots(Device):
    """A Device whose folder is the flash: the program in a slot, what chooses it beside."""

    def _command(self):
        simulated = self.folder.parent / "simulated"
        if not simulated.exists():
            bytecode.tree(SIMULATED, simulated, opt=LIBRARY_OPT)
        start = self.folder / "start.py"
        start.write_text("import boot, main\n")
        found = micropython.find(32)
        return found.command(start, heap=self.heap, path=[self.folder, simulated])


class World:
    """A server, a folder to work in, and the command."""

    def __init__(self, lab, folder, patch, captured):
        self.lab = lab
        self.folder = folder
        self.password = ACCOUNTS["anna"]
        self._patch = patch
        self._captured = captured
        server = lab.server
        self.place = ["--host", server.host, "--port", str(server.c2s_port)]

    def app(self, version, text=APP):
        (self.folder / "greenhouse.py").write_text(text.replace("VERSION", version))

    def settings(self, user="greenhouse", more=""):
        """Write its device.toml."""
        lab = self.lab
        # With little flash, so that what other surfaces need is left out: less is to be sent
        board = (boards.FOLDER / "esp32.toml").read_text()
        (self.folder / "esp32.toml").write_text(f"{board}fs_size = {FLASH}\n")
        path = self.folder / f"{user}.toml"
        path.touch(0o600)
        path.write_text(
            f'board = "./esp32.toml"\napp = "greenhouse.py"\nversion = "1.0.0"\n'
            f'jid = "{lab.jid(user)}"\nowners = ["{lab.jid("anna")}"]\nca = "ca.pem"\n'
            f'host = "{lab.server.host}"\nport = {lab.server.c2s_port}\n'
            f'surfaces = ["chat", "files"]\nwatchdog = false\n{more}'
        )
        return path

    def device(self, user="greenhouse"):
        """The device of a device.toml, as it is flashed."""
        found = device_file.read(self.folder / f"{user}.toml")
        files = content.device_files(
            found, boards.load("./esp32.toml", self.folder), ACCOUNTS[user]
        )
        device = Slots({}, folder=self.folder.parent / user, restarts=True)
        for name, data in files.items():
            path = device.folder / name
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        return device

    def words(self, line):
        """A command, as it is typed into a shell, as its words."""
        words = shlex.split(line)
        assert words[0] == "uxmpp"
        # No DNS tells it here
        return words + (self.place if words[1:3] == ["update", "send"] else [])

    def start(self, line):
        """Begin a command in a process of its own."""
        return subprocess.Popen(
            [
                *(sys.executable, "-u", "-c", "from host_tools.cli import main; main()"),
                *self.words(line)[1:],
            ],
            cwd=self.folder,
            env={
                **os.environ,
                "UXMPP_PASSWORD": self.password,
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def send(self, name, more="", code=0, to="greenhouse"):
        """Send a bundle; what is said of it."""
        to = "".join(f"--to {self.lab.jid(user)} " for user in to.split())
        line = f"uxmpp update send {name} {to} --as {self.lab.jid('anna')} --ca ca.pem {more}"
        return self.run(line, code)

    def build(self, version, key="fleet.pem", text=APP):
        """Build a bundle; its name."""
        self.app(version, text)
        name = f"{version}-{key}.uxb"
        self.run(f"uxmpp update build greenhouse.toml --version {version} --key {key} -o {name}")
        return name

    def run(self, line, code=0):
        """Run a command, with `>> FILE` if need be; what it says."""
        line, _, target = line.partition(" >> ")
        self._patch.setenv("UXMPP_PASSWORD", self.password)
        self._patch.setattr("sys.argv", self.words(line))
        with pytest.raises(SystemExit) as e:
            main()
        out, error = self._captured.readouterr()
        done = (line, out, error)
        assert e.value.code == code and self.password not in out + error, done
        if code == 1 and error:
            # One line, of those that errors have
            assert error.startswith("uxmpp: ") and error.count("\n") == 1, done
            out = error[len("uxmpp: ") : -1]
        if target:
            with (self.folder / target).open("a") as f:
                f.write(out)
        return out


def power_cut(device):
    """Cut the power in the middle of a transfer, and give it back."""

    def size():
        return sum(p.stat().st_size for p in list((device.folder / "b").rglob("*.mpy")))

    begin = size()
    end = time.monotonic() + LIMIT_S
    while size() < begin + 30_000 and time.monotonic() < end:
        time.sleep(0.01)
    device.kill()
    device.start()


@pytest.fixture(scope="module")
def lab():
    settings = {"network_settings": {"nagle": False}}
    options = {"settings": settings, "upload_limit": UPLOADS}
    with Lab(ACCOUNTS, domain="example.org", **options) as lab:
        yield lab


@pytest.fixture
def world(lab, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(lab.ca_pem.read_bytes())
    monkeypatch.chdir(folder)
    monkeypatch.delenv(keys.VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return World(lab, folder, monkeypatch, capsys)


def test_the_document(world):
    """Each command in docs/updates.md, in order, with a device that was flashed by its file."""
    commands = [
        line
        for block in re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text("utf-8"), re.S | re.M)
        for line in block.splitlines()
    ]
    assert len(commands) == 11
    jid = "greenhouse@example.org"
    (world.folder / "devices.txt").write_text(f"# the field\n{jid}\n\n{jid}  # once\n")
    world.settings()
    world.app("1.0.0")
    said = [world.run(line) for line in commands[:2]]
    assert said[0] == said[1]
    with world.device() as device:
        device.wait_online()
        for line in commands[2:]:
            if m := re.search(r"--version (\S+)", line):
                world.app(m[1])
            said.append(world.run(line))
        said = dict(zip(commands, said, strict=True))
        ends = {m[1]: out for c, out in said.items() if (m := re.search(r"-(1\.\d\.0)-.*--", c))}
        for version, before in (("1.2.0", "1.1.0"), ("1.3.0", "1.2.0")):
            assert f"\n{jid}: runs {version} (was {before})\n" in "\n" + ends[version], said
            assert f"{jid}: update {version}: installed" in ends[version], said
        # The second time it is left alone
        assert ends["1.1.0"] == f"{jid}: runs 1.1.0 already\n", said
        assert "in-band" not in ends["1.2.0"], said
        assert (device.folder / "a/manifest").exists() and device.boots == 4
        assert "Traceback" not in device.output(), device.output()


def test_refused_interrupted_and_given_up(world):
    """By one device, one after another; what each command says, and its exit code."""
    jid = "greenhouse@example.org"
    for name in ("fleet.pem", "other.pem"):
        keys.new(world.folder / name)
    public = keys.read(world.folder / "fleet.pem").public
    world.settings(more=keys.line(public))
    world.app("1.0.0")
    good = world.build("1.1.0")
    with world.device() as device:
        device.wait_online()
        # Refused by the device, and by nobody else
        for name, why in (
            (world.build("1.1.0", "other.pem"), "signature"),
            (world.build("0.9"), "0.9"),
        ):
            said = world.send(name, code=1)
            assert said.startswith(f"{jid}: update refused: ") and why in said, said
        # Interrupted here, then by a power cut there
        child = world.start(
            f"uxmpp update send {good} --to {jid} --as anna@example.org --ca ca.pem --in-band"
        )
        limit = threading.Timer(LIMIT_S, child.kill)
        limit.start()
        heard = ""
        while "20 %" not in heard:
            line = child.stdout.readline()
            assert line, child.communicate()
            heard += line
        child.send_signal(signal.SIGINT)
        assert child.wait(LIMIT_S) == 130
        limit.cancel()
        out, error = child.communicate()
        assert "\ninterrupted: the same command goes on from there\n" in heard + out, (out, error)
        assert "Traceback" not in error, error
        cut = threading.Thread(target=power_cut, args=(device,))
        cut.start()
        said = world.send(good, "--in-band")
        cut.join()
        assert f"{jid}: broken off: " in said, said
        assert f"{jid}: runs 1.1.0 (was 1.0.0)\n" in said, said
        at = re.search(r"goes on at byte (\d+) of (\d+)", said)
        assert int(at[1]) > int(at[2]) // 8, said
        # One that does not start; and one that is nobody's
        said = world.send(world.build("1.2.0", text=BROKEN), code=1)
        why = "1.2.0 did not start (RuntimeError: out of glue): 1.1.0 is back"
        assert said == f"{jid}: {why}", said
        # For nobody it waits in vain; a device on a busy computer may take longer than that
        there = send.Target._there

        def patient(target, limit):
            return there(target, LIMIT_S if target.jid == jid else limit)

        world._patch.setattr(send.Target, "_there", patient)
        out = world.send(good, "--wait 4", 1, "greenhouse nobody")
        assert sorted(out.splitlines()) == [
            "1 of 2 devices run 1.1.0",
            f"{jid}: runs 1.1.0 already",
            "nobody@example.org: is not online, or anna@example.org is not one of its owners",
        ]
        assert "Traceback" not in device.output(), device.output()


def test_no_session(world, tmp_path):
    """What keeps the owner out is one line."""
    world.settings()
    world.app("1.0.0")
    keys.new(world.folder / "fleet.pem")
    name = world.build("1.1.0")
    other = Authority(tmp_path / "other")
    (world.folder / "other.pem").write_bytes(other.pem.read_bytes())
    anna = "anna@example.org"
    assert world.send(name, "--ca other.pem", 1).startswith(f"{anna}: no session: TLS: the cert")
    said = world.send(name, f"--pin {'0' * 64}", 1)
    assert said == f"{anna}: no session: TLS: the certificate is not the pinned one"
    # One that is too large for the server goes in-band
    data, found = bundle.load(world.folder / name)
    heard = []
    report = send.Report()
    report.say = lambda device, text: heard.append(device + text)
    server = world.lab.server
    place = Place(arguments.authorities(world.lab.ca_pem), None, server.host, server.c2s_port)

    async def where(data):
        async with Owner(Login(anna, world.password, place)) as owner:
            return await send.Shipment(data, found, owner, report).url()

    assert asyncio.run(where(data + bytes(UPLOADS))) is None
    why = f"it has {len(data) + UPLOADS} bytes, and the server takes {UPLOADS} at most"
    assert heard == [f"in-band, which is slower: {why}"]
    assert asyncio.run(where(data)).startswith("https://") and len(heard) == 1
    world.password = "wrong one"
    assert world.send(name, code=1) == f"{anna}: no session: the server does not take the password"
    world.place[-1] = "1"
    assert re.match(rf"{anna}: no session: .*:1: ", world.send(name, code=1))
