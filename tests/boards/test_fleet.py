"""Many devices in one process, by `uxmpp sim --count` as a person uses it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from host_tools.cli import main
from host_tools.lab.fleet import Account, Fleet
from host_tools.lab.lab import Lab
from host_tools.lab.owner import Owner

COUNT = 6
LIMIT_S = 40.0
PASSWORD = "one for all of them"
DEVICE = """
jid = "plant@lab.example"
app = "{app}"
board = "esp32"
owners = ["owner@lab.example"]
{where}
"""
OWN = """
from machine import Pin
from thing import Thing
import level

thing = Thing()


@thing.sensor("level", unit="cm", every=600)
def read():
    return level.next()


@thing.command("again")
def again():
    thing.restart("I was told to")


Pin(5, Pin.OUT).value(1)
print("my level is", level.next())
thing.run()
"""
# Each device has one of its own
LEVEL = "n = 0\n\n\ndef next():\n    global n\n    n += 1\n    return n\n"


@pytest.fixture(scope="module")
def lab():
    names = {f"plant-{n}": PASSWORD for n in range(1, COUNT + 1)}
    with Lab({**names, "owner": "open sesame"}) as lab:
        yield lab


def written(folder, where, app="sensor"):
    path = folder / "device.toml"
    path.write_text(DEVICE.format(app=app, where=where))
    return path


def reach(lab):
    server = lab.server
    return f'host = "{server.host}"\nport = {server.c2s_port}\nca = "{lab.ca_der}"'


async def until(true):
    async with asyncio.timeout(LIMIT_S):
        while not true():
            await asyncio.sleep(0.02)


class Sim:
    """`uxmpp sim` with these words, and what it has written so far."""

    def __init__(self, folder, *words, password=PASSWORD):
        self.log = Path(folder, "out.txt")
        with self.log.open("wb") as out:
            self._child = subprocess.Popen(
                [sys.executable, "-c", "from host_tools.cli import main; main()", "sim", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, "UXMPP_PASSWORD": password, "PYTHONPATH": str(Path.cwd())},
            )

    def wait_for(self, pattern):
        end = time.monotonic() + LIMIT_S
        while not (found := re.search(pattern, self.log.read_text())):
            assert self._child.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)
        return found

    def stop(self):
        self._child.send_signal(signal.SIGINT)
        code = self._child.wait(LIMIT_S)
        return code, self.log.read_text()


def test_devices_of_one_process(lab, tmp_path):
    """All online with the app sensor.py and a hardware each; Ctrl-C ends them."""
    written(tmp_path, reach(lab))
    sim = Sim(tmp_path, "device.toml", "--count", str(COUNT), "--ramp", "1", "--folder", "all")
    sim.wait_for(rf"{COUNT} devices: {COUNT} online; [1-9]\d* reports")
    code, said = sim.stop()
    assert code == 130 and "Traceback" not in said and PASSWORD not in said, said
    folders = sorted((tmp_path / "all").iterdir())
    assert [f.name for f in folders] == [f"plant-{n}" for n in range(1, COUNT + 1)]
    assert len({(f / "readings.json").read_text() for f in folders}) == COUNT
    for folder in folders:
        assert folder.joinpath("device.json").stat().st_mode & 0o077 == 0


def test_modules_of_their_own(lab, tmp_path):
    """What an app imports from beside it, and the hardware, is each device's; who restarts begins
    anew; who cannot log in is shown, and the others go on."""
    (tmp_path / "app.py").write_text(OWN)
    (tmp_path / "level.py").write_text(LEVEL)
    accounts = [Account(f"plant-{n}@lab.example", PASSWORD) for n in (1, 2)]
    accounts.append(Account("plant-3@lab.example", "another"))
    server = lab.server
    config = {
        "owners": ["owner@lab.example"],
        "host": server.host,
        "port": server.c2s_port,
        "ca": str(lab.ca_der),
    }
    fleet = Fleet(accounts, config, tmp_path / "app.py", tmp_path / "all", ramp_s=0)
    one, two, wrong = fleet.devices

    async def main():
        task = asyncio.create_task(fleet.run())
        try:
            async with Owner(
                lab.jid("owner"), "open sesame", server.host, server.c2s_port, lab.ca_pem
            ) as owner:
                await until(lambda: one.state == two.state == "online")
                assert "my level is 1" in one.lines and "my level is 1" in two.lines
                assert "pin 5: 1" in one.lines
                # Said before it is seen, it would be late: the first report says that it is
                while (await owner.next_message(timeout=LIMIT_S)).sender != one.full_jid:
                    pass
                await owner.say(one.full_jid, "again")
                await until(lambda: one.restarts == 1 and one.state == "online")
                assert [line for line in one.lines if "my level" in line] == ["my level is 1"] * 2
                assert two.restarts == 0
                await until(lambda: "password" in wrong.last or "not-authorized" in wrong.last)
                assert wrong.state == "connecting"
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert fleet.count()["online"] == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    "words, where, app, said",
    [
        (("--count", "2", "--accounts", "none.csv"), "", "sensor", "none.csv: cannot be read"),
        (("--count", "3", "--accounts", "two.csv"), "", "sensor", "has 2 accounts, not 3"),
        (("--count", "2", "--accounts", "bad.csv"), "", "sensor", "bad.csv:3: needs the columns"),
        (("--count", "2", "--accounts", "odd.csv"), "", "sensor", "odd.csv:3: jid: must be name@"),
        (("--count", "2", "--accounts", "same.csv"), "", "sensor", ":3: a device called a is abo"),
        (("--count", "2", "--accounts", "open.csv"), "", "sensor", "others can read it: chmod"),
        (("--count", "9999", "--lab"), "", "sensor", "5000 at most"),
        (("--count", "9999", "--accounts", "two.csv"), "", "sensor", "has 2 accounts, not 9999"),
        (("--count", "2"), "", "nothing", "there is no such app"),
        (("--lab",), "", "sensor", "go with --count"),
        (("--count", "2"), "", "empty.py", "2 devices have ended, the first: ended: empty.py"),
        (("--count", "2"), "", "wrong.py", "the first: ended: NameError"),
    ],
)
def test_what_cannot_be(lab, tmp_path, monkeypatch, capsys, words, where, app, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UXMPP_PASSWORD", PASSWORD)
    for name, rows in (
        ("two", "a@lab.example,x\nb@lab.example,y\n"),
        ("bad", "a@lab.example,x\nb@lab.example,\n"),
        ("odd", "a@lab.example,x\n../b,y\n"),
        ("same", "a@lab.example,x\nA@other.example,y\n"),
        ("open", ""),
    ):
        path = tmp_path / f"{name}.csv"
        path.write_text(f"jid,password\n{rows}")
        path.chmod(0o644 if name == "open" else 0o600)
    (tmp_path / "empty.py").write_text("pass\n")
    (tmp_path / "wrong.py").write_text("import machine\nmachin\n")
    written(tmp_path, reach(lab), app)
    monkeypatch.setattr(sys, "argv", ["uxmpp", "sim", "device.toml", "--ramp", "0", *words])
    with pytest.raises(SystemExit) as e:
        main()
    out = capsys.readouterr()
    assert e.value.code == 1
    assert said in out.err and out.err.count("\n") == 1, out
