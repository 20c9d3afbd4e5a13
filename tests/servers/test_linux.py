"""A device that is a Linux computer: `uxmpp run` as systemd starts it, gpiozero's pins mocked."""

import asyncio
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from host_tools.lab.certs import Authority
from host_tools.lab.process import Child
from host_tools.linux.service import STOP_S

from .helper import online, owner_of, until

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from host_tools.cli import main; main()"]
LIMIT_S = 30.0
#: Seconds in which SIGTERM has to end it, whatever it is at: then systemd kills it.
END_S = STOP_S


class Systemd:
    """What a service of Type=notify has around it: a socket that hears it, a credential, a state
    directory, a journal."""

    def __init__(self, folder):
        self._folder = folder
        folder.mkdir()
        self.state = folder / "state"
        self._address = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self._address))
        self.said = []
        threading.Thread(target=self._hear, daemon=True).start()
        self.log = folder / "journal"
        self.child = None

    def env(self, password=None):
        """The environment of the service."""
        self.log.touch()
        log = self.log.stat()
        env = {
            **os.environ,
            "NOTIFY_SOCKET": str(self._address),
            "WATCHDOG_USEC": "1000000",
            "JOURNAL_STREAM": f"{log.st_dev}:{log.st_ino}",
            "STATE_DIRECTORY": str(self.state),
            "GPIOZERO_PIN_FACTORY": "mock",
            "UXMPP_SYSFS": str(self._folder / "sys"),
            "PYTHONPATH": str(ROOT),
        }
        if password:
            secrets = self._folder / "credentials"
            secrets.mkdir(exist_ok=True)
            (secrets / "password").write_text(password + "\n")
            env["CREDENTIALS_DIRECTORY"] = str(secrets)
        return env

    def dht(self, celsius, percent):
        """Have the kernel's driver measure that."""
        device = self._folder / "sys" / "bus" / "iio" / "devices" / "iio:device0"
        device.mkdir(parents=True)
        (device / "name").write_text("dht11@4\n")
        (device / "in_temp_input").write_text(f"{celsius * 1000:.0f}\n")
        (device / "in_humidityrelative_input").write_text(f"{percent * 1000:.0f}\n")

    def start(self, app, config, password=None):
        """Start `uxmpp run`."""
        argv = [*COMMAND, "run", app, "--config", str(config)]
        self.child = Child("uxmpp run", argv, log=self.log, env=self.env(password))

    def output(self):
        """Its lines."""
        return self.child.output()

    def _hear(self):
        # An empty message is the last
        while data := self.socket.recv(4096):
            self.said += data.decode().split("\n")

    def end(self):
        """Tell it to end; its exit code."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(END_S)

    def heard(self, begin):
        """Wait until systemd is told a line that begins like that: its thread may be behind."""
        end = time.monotonic() + LIMIT_S
        while not any(s.startswith(begin) for s in self.said):
            assert time.monotonic() < end, self.said
            time.sleep(0.01)

    def close(self):
        """Clean up."""
        if self.child:
            self.child.kill()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"", str(self._address))


@pytest.fixture
def systemd(tmp_path):
    """A place for one service."""
    made = Systemd(tmp_path / "systemd")
    yield made
    made.close()


def device_toml(folder, host, port, ca):
    """A device.toml without a password, which everybody may read."""
    path = folder / "device.toml"
    path.write_text(
        f'jid = "dev@lab.example"\nowners = ["owner@lab.example"]\nca = "{ca}"\n'
        f'host = "{host}"\nport = {port}\n'
    )
    return path


def refusal(*args, env):
    """The one line by which a command that cannot work ends."""
    done = subprocess.run(
        [*COMMAND, *map(str, args)], capture_output=True, text=True, env=env, timeout=LIMIT_S
    )
    assert done.returncode == 1, done
    assert re.fullmatch(r"[-: \d]*uxmpp: [^\n]+\n", done.stderr), done.stderr
    assert done.stdout == ""
    return done.stderr


def check_what_is_left(systemd, jid, secret):
    """Lines for the journal, files for its user alone, and the password in none of them."""
    lines = systemd.output().splitlines()
    assert f"<6>{jid}: online" in lines and lines[-1] == "<6>ending"
    assert all(re.match(r"<\d>\S", line) for line in lines), lines
    assert secret not in systemd.output()
    assert not (systemd.state / "device.json").is_symlink()
    for path in systemd.state.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        assert path.is_dir() or secret.encode() not in path.read_bytes()


def test_a_service(world, systemd):
    """From the start to SIGTERM: what the owner sees, what systemd is told, what is left."""
    secret = world.accounts["dev"]
    server = world.server
    config = device_toml(world.folder, server.host, server.c2s_port, world.ca_pem)
    systemd.dht(21.5, 40)

    async def main():
        async with owner_of(world) as owner:
            systemd.start("sensor", config, secret)
            jid = (await online(systemd)).removeprefix("<6>")
            await owner.presence("dev@lab.example", lambda p: p.status == "temperature: 21.5 °C")
            await until(
                lambda: "STATUS=temperature: 21.5 °C" in systemd.said, lambda: systemd.said
            )
            assert await owner.ask(jid, "humidity") == "humidity: 40 %"
            assert await owner.ask(jid, "relay on") == "relay: on"
            await until(lambda: "<6>pin 5: 1\n" in systemd.output(), systemd.output)
            systemd.said.clear()
            await until(lambda: "WATCHDOG=1" in systemd.said, lambda: systemd.said)
            # Two at a time would spoil each other's files
            env = {**systemd.env(), "UXMPP_PASSWORD": secret}
            assert "another `uxmpp run`" in refusal("run", "sensor", "-c", config, env=env)
            assert owner.presences[jid].type == "available"
            loop = asyncio.get_running_loop()
            end = loop.run_in_executor(None, systemd.end)
            await owner.presence("dev@lab.example", lambda p: p.type == "unavailable")
            assert await end == 0
            check_what_is_left(systemd, jid, secret)
            # The next one begins where that ended
            systemd.start("switch", config, secret)
            jid = (await online(systemd)).removeprefix("<6>")
            assert await owner.ask(jid, "relay1 on") == "relay1: on"
            assert await owner.ask(jid, "relay2 on") == "relay2: on"
            pins = [
                line for line in systemd.output().splitlines() if " 5: " in line or " 12: " in line
            ]
            assert pins == ["<6>pin 5: 1", "<6>pin 5: 0", "<6>pin 12: 1"]
            assert systemd.end() == 0

    asyncio.run(main())
    systemd.heard("STOPPING=1")


def test_sigterm_in_the_middle_of_a_login(systemd, tmp_path):
    """A server that cuts the first connection, and says nothing to the second."""
    ca = Authority(tmp_path / "authority").pem
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(LIMIT_S)
        config = device_toml(tmp_path, *silent.getsockname(), ca)
        systemd.start("greenhouse", config, "any")
        silent.accept()[0].close()
        connection, _ = silent.accept()
        with connection:
            connection.settimeout(LIMIT_S)
            assert connection.recv(4096).startswith(b"<?xml")
            assert systemd.end() == 0
    systemd.heard("STATUS=offline: ")
    systemd.heard("STOPPING=1")
    assert "READY=1" not in systemd.said
    assert re.search(r"^<4>dev@lab\.example: .*; next try in", systemd.output(), re.M)
    assert "Traceback" not in systemd.output()


def test_apps_that_cannot_be(systemd, tmp_path):
    """One line, with its place, at the journal's level of errors; of a mistake in the program its
    own part of the traceback."""
    ca = Authority(tmp_path / "authority").pem
    config = device_toml(tmp_path, "127.0.0.1", 1, ca)
    app = tmp_path / "app.py"
    app.write_text("import os\nfrom bme280 import BME280")
    env = {**systemd.env(), "UXMPP_PASSWORD": "hush", "JOURNAL_STREAM": ""}
    said = refusal("run", app, "-c", config, env=env)
    assert "app.py:2: there is no module bme280 here: put bme280.py beside the app" in said
    # A driver beside the app has the word; the time has what drivers expect
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "dht.py").write_text("import utime\nutime.sleep_ms(1)\nDHT22 = 7\n")
    app.write_text("import dht\nfrom micropython import const\n\n1 // (const(dht.DHT22) - 7)\n")
    systemd.start(str(app), config, "hush")
    assert systemd.child.wait(LIMIT_S) == 1
    said = systemd.output().splitlines()
    assert said[0] == "<3>Traceback (most recent call last):" and "app.py" in said[1]
    assert said[-1].startswith("<3>ZeroDivisionError") and len(said) <= 6, said
