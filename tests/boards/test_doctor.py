"""`uxmpp doctor`: the steps run on virtual boards that log in to Prosody, and under CPython; each
thing that may be wrong is told by its own step."""

import asyncio
import json
import signal
from base64 import b64encode

import pytest

from host_tools.cli import main
from host_tools.flash import boards, content, doctor
from host_tools.flash.doctor import STEPS
from host_tools.lab.certs import Authority
from host_tools.lab.lab import Lab
from host_tools.lab.ntp import NtpServer
from host_tools.lab.owner import Owner
from host_tools.lab.virtual_board import VirtualBoard
from host_tools.provision import device_file, login_keys

LIMIT_S = 60.0
PASSWORDS = {"dev": "device's own", "owner": "open sesame"}
WIFI = {"ssid": "home", "password": "let me in", "connect_ms": 20, "aps": [{"ssid": "garage"}]}
# It starts sooner without what a device has to have
RESTING = """
import asyncio
print("up")
def thing():
    import thing
async def main():
    await asyncio.sleep(999)
asyncio.run(main())
"""
APP = "from thing import Thing\nthing = Thing()\nthing.run()\n"


@pytest.fixture(scope="module")
def lab():
    with Lab(PASSWORDS) as lab:
        yield lab


class Place:
    """A folder with a device.toml, and `uxmpp doctor` in it."""

    def __init__(self, lab, folder, patch, captured):
        self.lab = lab
        self.folder = folder
        self._patch = patch
        self._captured = captured
        self.ports = ()
        (folder / "station.py").write_text(APP)
        self.keys = None
        self.toml()

    def toml(self, more="", board="esp32", wifi=WIFI["password"], **changes):
        server = self.lab.server
        values = {
            "board": board, "app": "station.py", "jid": self.lab.jid("dev"),
            "host": server.host, "port": server.c2s_port, "ca": str(self.lab.ca_pem),
            "owners": [self.lab.jid("owner")], **changes,
        }  # fmt: skip
        lines = [f"{k} = {json.dumps(v)}" for k, v in values.items() if v is not None]
        if wifi is not None:
            lines.append(f'{more}\nwifi = {{ssid = "home", password = "{wifi}"}}')
        path = self.folder / "device.toml"
        path.touch(0o600)
        path.write_text("\n".join(lines))

    def files(self, keys=None):
        """What the device.toml means on a board."""
        device = device_file.read(self.folder / "device.toml")
        if self.keys is None:
            self.keys = login_keys.derive(device, PASSWORDS["dev"])
        board = boards.load(device.values["board"])
        return content.device_files(device, board, keys=keys or self.keys)

    def device(self):
        return device_file.read(self.folder / "device.toml")

    def command(self, name, *words):
        """What `uxmpp NAME device.toml` prints, in which there is no secret; and its exit code."""
        self._patch.setattr("sys.argv", ["uxmpp", name, "device.toml", *self.ports, *words])
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as caught:
            main()
        signal.signal(signal.SIGTERM, before)
        out, error = self._captured.readouterr()
        assert error == "", error
        for secret in (*PASSWORDS.values(), WIFI["password"], *(self.keys or ())[3:]):
            assert secret not in out
        return out, caught.value.code

    def run(self, *words):
        """(state, text) of each step; what fails leaves the rest untried, with exit code 1."""
        out, code = self.command("doctor", *words)
        found = {}
        for line in out.splitlines():
            words = line.removeprefix("not tried").split(None, 2)
            state = "not tried" if line.startswith("not tried") else words.pop(0)
            found[words[0]] = (state, line.partition(words[0])[2].strip())
        assert tuple(found) == STEPS
        states = [state for state, _ in found.values()]
        failed = states.index("FAILED") if "FAILED" in states else None
        assert code == (0 if failed is None else 1)
        if failed is not None:
            assert states.count("FAILED") == 1
            assert set(states[failed + 1 :]) <= {"not tried"} and set(states[:failed]) <= {
                "ok",
                "-",
            }
        return found

    def fails(self, step, *words):
        """Why the step fails."""
        found = self.run(*words)
        state, text = found[step]
        assert state == "FAILED", str(found)
        return text

    async def seen(self, vb):
        """(state, text) of each step, while this loop goes on."""
        device = self.device()
        found = await asyncio.to_thread(
            lambda: list(doctor.Doctor(device, vb.board, vb.port).examine())
        )
        return {result.name: (result.state, result.text) for result in found}


@pytest.fixture
def place(lab, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return Place(lab, tmp_path, monkeypatch, capsys)


def test_well(lab, place):
    """A board on which all is as it should be: its program runs before, and is begun anew."""
    place.toml(board="pico-w")
    vb = VirtualBoard(boards.load("pico-w"), place.folder / "board", wifi=WIFI)
    vb.install(place.files())

    async def visited():
        owner = Owner(
            lab.jid("owner"), PASSWORDS["owner"], lab.server.host, lab.server.c2s_port, lab.ca_pem
        )
        async with owner:
            await asyncio.to_thread(vb.wait_for_line, "online$", LIMIT_S)
            await owner.subscribe(lab.jid("dev"))
            mark = vb.mark()
            found = await place.seen(vb)
            await asyncio.to_thread(vb.wait_for_line, "online$", LIMIT_S, since=mark)
            return found

    with vb:
        found = asyncio.run(visited())
    assert {state for state, _ in found.values()} == {"ok"}, found
    said = {name: text for name, (_, text) in found.items()}
    assert "MicroPython 1.25.0 on Virtual pico-w with RP2040; free: " in said["firmware"]
    assert said["files"].endswith("files, all as its manifest says")
    assert said["WiFi"] == "joined home, -60 dBm; address 192.0.2.10"
    assert said["clock"].startswith("set: 20") and said["clock"].endswith(" UTC")
    host, port = lab.server.host, lab.server.c2s_port
    assert said["DNS"] == f"as device.toml says, {host}:{port} is {host}"
    assert said["TLS"].startswith("signed by the CA of device.toml, until 20")
    assert said["login"].startswith(f"{lab.jid('dev')}/")
    assert said["login"].endswith(", by login keys (SCRAM-SHA-256)")
    assert said["owner"] == f"{lab.jid('owner')} (online)"


def test_ill_on_the_board(lab, place, monkeypatch):
    monkeypatch.setattr(doctor, "JOIN_S", 1)
    (place.folder / "station.py").write_text(RESTING)
    place.toml(board="pico-w")
    good = place.files()
    vb = VirtualBoard(boards.load("pico-w"), place.folder / "board", wifi=WIFI)

    def now(files):
        vb.power_off()
        vb.install(files)
        vb.power_on()
        # A Ctrl-C while it is being loaded may hit the simulation itself
        vb.wait_for_line("^up$", LIMIT_S)

    def rests():
        vb.wait_for_line("^up$", LIMIT_S)

    with vb:
        place.ports = ("--port", vb.port)
        now({"main.py": b"print('up')"})
        assert "no program of uxmpp on the board. `uxmpp deploy`" in place.fails("files")
        now({**good, "a/thing/hints.mpy": bytes(len(good["a/thing/hints.mpy"]))})
        why = "damaged or missing in slot a: thing/hints.mpy. `uxmpp deploy` sends them again"
        assert place.fails("files") == why
        place.toml(board="pico-w", wifi="another")
        now(good)
        why = "the settings there are not those of device.toml: wifi. `uxmpp deploy` sends them"
        assert place.fails("files") == why
        rests()
        place.toml(board="pico2-w")
        assert "this board is Virtual pico-w with RP2040, and device" in place.fails("firmware")
        rests()
        place.toml(board="pico-w")
        vb.control.set_wifi(password="changed")
        assert place.fails("WiFi").startswith("home: wrong password. Write the right one into dev")
        # What was handed over by Improv has the last word
        now({**good, "wifi.json": b'{"version": 1, "ssid": "attic"}'})
        assert place.fails("WiFi").startswith("attic: not found. It sees home, garage: look at")
        vb.control.set_wifi(password=WIFI["password"], no_address=99)
        now(good)
        assert place.fails("WiFi").startswith("home: no address. Joined, but the router gives")
        vb.control.set_wifi(no_address=0)
        # Keys that were good once
        keys = [*place.keys[:3], b64encode(bytes(32)).decode(), place.keys[4]]
        now({**good, **content.settings_files(place.device(), keys=keys)})
        why = place.fails("login")
        assert "not-authorized" in why and "`uxmpp deploy --login` derives the keys anew" in why
        rests()
        monkeypatch.setenv("UXMPP_PASSWORD", PASSWORDS["dev"])
        out, code = place.command("deploy", "--login")
        assert code == 0 and "device.json changes: keys\n" in out, out
        rests()
        assert place.run()["login"][0] == "ok"
    assert place.fails("port", "--port", "/dev/ttyNONE7").startswith("port /dev/ttyNONE7: there")


def test_clock(lab, place):
    async def seen(now):
        async with NtpServer(now) as ntp:
            place.toml(f'ntp = "{ntp.host}:{ntp.port}"')
            vb.install(await asyncio.to_thread(place.files))
            with vb:
                await asyncio.to_thread(vb.wait_for_line, "^up$", LIMIT_S)
                return ntp, (await place.seen(vb))["clock"]

    # A device would set it
    (place.folder / "station.py").write_text(RESTING)
    vb = VirtualBoard(boards.load("esp32"), place.folder / "board", wifi=WIFI, clock="unset")
    ntp, (state, text) = asyncio.run(seen(None))
    assert state == "ok" and text.startswith(f"asked {ntp.host}:{ntp.port}: 20"), text
    ntp, (state, text) = asyncio.run(seen(1893456000.0))
    assert state == "FAILED" and f"{ntp.port} says 2030-01-01 00:00:00 UTC, " in text
    assert " s after this computer. Which one is right?" in text


def test_without_a_board(lab, place, monkeypatch):
    def toml(**changes):
        monkeypatch.setenv("UXMPP_PASSWORD", PASSWORDS["dev"])
        place.toml(board="raspberry-pi", wifi=None, **changes)

    toml()
    found = place.run()
    assert [state for state, _ in found.values()] == ["-"] * 4 + ["ok"] * 5, found
    assert "no board" in found["port"][1] and "by password (SCRAM-SHA-256" in found["login"][1]
    assert found["owner"][1].startswith(f"{lab.jid('owner')} (")
    # What is on the way to the server, and there
    toml(port=1)
    assert "[Errno 111]" in (why := place.fails("TLS")) and "Is the server up" in why
    toml(host="nowhere.invalid")
    assert "Is the domain right" in place.fails("DNS")
    Authority(place.folder / "other")
    toml(ca="other/ca.pem")
    assert "`uxmpp check` shows the chain and what to keep" in place.fails("TLS")
    toml(ca=None, pin="00" * 32)
    assert "the certificate is not the pinned one. `uxmpp check`" in place.fails("TLS")
    toml(ca=None, pin=lab.server.certificate.pin, owners=None, pair="")
    found = place.run()
    assert found["TLS"][1].startswith("the pinned certificate, until 20")
    state, text = found["owner"]
    assert state == "FAILED" and text == (
        f"nobody is the owner yet. Write `pair CODE` to {lab.jid('dev')}, with the code that it "
        "shows (`uxmpp monitor`)"
    )
    # By a role that was given since
    (place.folder / "roles.json").write_text('{"version": 1, "ann@lab.example": "owner"}')
    monkeypatch.setenv("UXMPP_PASSWORD", PASSWORDS["dev"])
    assert place.run("--state", ".")["owner"][1].startswith("ann@lab.example (no contact yet")
    monkeypatch.setenv("UXMPP_PASSWORD", "guessed")
    assert "not-authorized" in (why := place.fails("login")) and "`uxmpp check` asks" in why
    monkeypatch.delenv("UXMPP_PASSWORD", raising=False)
    assert "no password of dev@lab.example is known" in place.fails("login")
