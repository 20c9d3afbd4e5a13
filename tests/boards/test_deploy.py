"""`uxmpp deploy`: mpremote's transport to virtual boards that boot from what it sent; and what may
go wrong, each in one line that says in what state the board is."""

import json
import signal
from base64 import b64encode

import pytest

from host_tools.cli import main
from host_tools.flash import boards, content, deploy, image, ports, repl
from host_tools.flash.progress import Report
from host_tools.lab.certs import Authority
from host_tools.lab.serial_line import SerialLine
from host_tools.lab.virtual_board import VirtualBoard
from host_tools.provision import device_file

LIMIT_S = 60.0
# No program is being loaded then
RESTS = "^this is |^my own|^There is no program"
KEYS = ["SCRAM-SHA-256", *(b64encode(n).decode() for n in (b"salt" * 4, b"c" * 32, b"s" * 32))]
KEYS.insert(2, 4096)
OTHER = [*KEYS[:3], KEYS[4], KEYS[3]]
# It starts sooner without what a device has to have
APP = """
import asyncio
import helper
print("this is", helper.NAME)
def thing():
    import thing
async def main():
    await asyncio.sleep(1000)
asyncio.run(main())
"""


class Place:
    """A folder with a device.toml, its app, a virtual board, and `uxmpp deploy` in it."""

    def __init__(self, folder, patch, captured, name, kind):
        self.folder = folder
        self._patch = patch
        self._captured = captured
        self.name = name
        Authority(folder / "authority")
        self.toml()
        self.app("first")
        self.board = VirtualBoard(boards.load(name), folder / "board", kind=kind)

    def toml(self, more="", board=None, jid="kitchen@lab.example", keys=KEYS):
        path = self.folder / "device.toml"
        path.touch(0o600)
        path.write_text(
            f'board = "{board or self.name}"\napp = "station.py"\njid = "{jid}"\n'
            f'ca = "authority/ca.pem"\nowners = ["ann@lab.example"]\nhost = "127.0.0.1"\nport = 1'
            f"\n{more}\n" + (f"keys = {json.dumps(keys)}\n" if keys else "")
        )

    def app(self, name, **files):
        (self.folder / "station.py").write_text(APP)
        (self.folder / "helper.py").write_text(f"NAME = {name!r}\n")
        for file, text in files.items():
            (self.folder / f"{file}.py").write_text(text)

    def device(self):
        return device_file.read(self.folder / "device.toml")

    def files(self, **options):
        return content.device_files(self.device(), self.board.board, keys=KEYS, **options)

    def flash(self):
        """What is in its flash."""
        at = self.board.board.fs_offset
        return image.read(self.board.flash.read(at, self.board.board.fs_size), self.board.board)

    def run(self, *words, code=0, port=None):
        """What it says; of an error its one line."""
        words = ("--port", port or self.board.port, *words)
        self._patch.setattr("sys.argv", ["uxmpp", "deploy", "device.toml", *words])
        before = signal.getsignal(signal.SIGTERM)
        mark = self.board.mark()
        with pytest.raises(SystemExit) as caught:
            main()
        signal.signal(signal.SIGTERM, before)
        if "soft reboot" in self.board.console()[mark:]:
            # A Ctrl-C while it is being loaded may hit the simulation itself
            self.board.wait_for_line(RESTS, LIMIT_S, since=mark)
        out, error = self._captured.readouterr()
        assert caught.value.code == code, out + error
        for secret in (KEYS[3], KEYS[4], "sesame"):
            assert secret not in out + error
        if code:
            assert error.startswith("uxmpp: ") and error.count("\n") == 1, error
            return error
        assert error == ""
        return out


@pytest.fixture
def make(tmp_path, monkeypatch, capsys):
    made = []

    def place(name, kind="pty"):
        monkeypatch.chdir(tmp_path)
        made.append(Place(tmp_path, monkeypatch, capsys, name, kind))
        return made[-1]

    yield place
    for each in made:
        each.board.close()


def test_changes(make):
    place = make("pico-w", "socket")
    vb = place.board
    own = {"wifi.json": b'{"version": 1, "ssid": "x", "password": "sesame"}', "notes.txt": b"mine"}
    vb.install({**place.files(), **own, "a/gone.mpy": b"x", "a/old/deep/x.mpy": b"y"})
    with vb:
        vb.wait_for_line("this is first", LIMIT_S)
        before = place.flash()
        place.app("second", station=f"import more{APP}", more="x = 1")
        place.toml('name = "Kitchen"\nversion = "0.2.0"', keys=None)
        # What would be done; then it runs as before
        mark = vb.mark()
        said = place.run("--dry-run")
        assert "Nothing was changed." in said and "program there is stopped for this" in said
        vb.wait_for_line("this is first", LIMIT_S, since=mark)
        assert place.flash() == before
        said = place.run()
        assert [line.split()[:2] for line in said.splitlines()[1:11]] == [
            ["remove", "a/old/deep/x.mpy"], ["remove", "a/old/deep/"], ["remove", "a/old/"],
            ["remove", "a/gone.mpy"], ["change", "a/app.mpy"], ["change", "a/helper.mpy"],
            ["add", "a/more.mpy"], ["change", "a/manifest"], ["change", "device.json"],
            ["the", "login"],
        ]  # fmt: skip
        assert "a/more.mpy  " in said and " bytes\n" in said
        assert "the login keys on the board stay as they are" in said
        assert "device.json changes: name\n" in said
        assert "Sent 5 files with " in said and "removed 4.\n" in said
        vb.wait_for_line("this is second", LIMIT_S, since=mark)
        assert place.flash() == {**place.files(), **own}
        assert json.loads(place.flash()["device.json"])["keys"] == KEYS
        # Nothing to do: nothing is written
        writes = vb.writes
        assert "All is as it should be." in place.run()
        assert vb.writes == writes
        # Refusals
        mine = boards.load("pico-w").path.read_text()
        (place.folder / "mine.toml").write_text(mine)
        for change, why in (
            ({"board": "pico2-w"}, "board is Virtual pico-w with RP2040, and device.toml says"),
            ({"board": "./mine.toml"}, "holds a program for pico-w, and device.toml says board"),
            ({"jid": "attic@lab.example"}, "the board is kitchen@lab.example, and device.toml"),
        ):
            place.toml(**change)
            error = place.run(code=1)
            assert why in error and "Nothing was changed" in error, error
        place.toml(jid="attic@lab.example", keys=None)
        error = place.run("--replace", code=1)
        assert "attic@lab.example: the board has no login keys, and no password is known" in error
        place.toml(jid="attic@lab.example", keys=OTHER)
        assert "device.json changes: jid, keys, name\n" in place.run("--replace")
        assert vb.writes > writes


class Unplugging(Report):
    """Pulls the cable when a file has begun."""

    def __init__(self, board, after):
        self.board = board
        self.after = after

    def at(self, what, done, total):
        self.after -= 1
        if not self.after:
            self.board.unplug()


def test_unplugged(make):
    """With another program in slot b, and on a board that is not ours yet."""
    place = make("esp32")
    vb = place.board
    older = {
        path.replace("a/", "b/", 1): data
        for path, data in place.files(version="0.0.9").items()
        if path.startswith("a/") and "helper" not in path
    }
    del older["b/manifest"]
    older["b/app.mpy"] = content._compiled(*_source(place.folder, "print('this is older')"))
    names = {path[2:]: data for path, data in older.items()}
    older["b/manifest"] = content.manifest(vb.board, "station", "0.0.9", names)
    vb.install({**place.files(), **older, "slot": b"a back boots"})
    with vb:
        vb.wait_for_line("this is first", LIMIT_S)
        with ports.open_port(vb.port):
            assert "is busy: close the monitor" in place.run(code=1)
        place.app("second")
        with pytest.raises(deploy.DeployError) as caught:
            deploy.send(vb.board, place.device(), vb.port, Unplugging(vb, 2))
        why = str(caught.value)
        assert f"port {vb.port}: the board is gone: unplugged, or restarted" in why
        assert "that was at a/manifest, and slot a is not whole: it starts version 0.0.9" in why
        assert "Run `uxmpp deploy` again: it goes on with what is missing" in why
        vb.plug()
        vb.wait_for_line("this is older", LIMIT_S)
        mark = vb.mark()
        said = place.run()
        assert "add     a/manifest" in said
        assert "remove  a/manifest.new\n" in said and "helper" not in said
        vb.wait_for_line("this is second", LIMIT_S, since=mark)
        assert place.flash()["slot"] == b"a"


def _source(folder, text):
    path = folder / "older.py"
    path.write_text(text)
    return path, "older.py"


def test_plain_board(make, monkeypatch):
    place = make("pico-w")
    vb = place.board
    own = {"main.py": b"print('my own')", "data.txt": bytes(500_000)}
    vb.install({**own, "boot.py": b""})
    with vb:
        vb.wait_for_line("my own", LIMIT_S)
        with pytest.raises(deploy.DeployError) as caught:
            deploy.send(vb.board, place.device(), vb.port, Unplugging(vb, 30))
        assert "its old program starts still, ours is not whole yet. Run" in str(caught.value)
        vb.plug()
        vb.wait_for_line("my own", LIMIT_S)
        mark = vb.mark()
        said = place.run()
        assert "add     a/app.mpy" not in said and "add     a/manifest" in said
        assert "main.py that was there is kept as main.py.old\n" in said
        vb.wait_for_line("this is first", LIMIT_S, since=mark)
        found = place.flash()
        assert {"main.py": found.pop("main.py.old"), "data.txt": found.pop("data.txt")} == own
        assert found == place.files()
        # What is too much is seen before anything is written
        before = place.flash()
        place.app("second", helper=f"NAME = 'x'\nX = {bytes(120_000)!r}\n")
        error = place.run(code=1)
        assert "the board is full: " in error and error.endswith("Nothing was changed\n")
        assert place.flash() == before
        # Nor is it lost what is seen too late
        with monkeypatch.context() as patch:
            patch.setattr(deploy, "SLACK", -(10**9))
            error = place.run(code=1)
        assert "the board's file system is full; that was at a/helper.mpy, and slot a is" in error
        assert "is not whole, and the board has no program to start. Take something out" in error
        place.app("third")
        assert "change  a/helper.mpy" in place.run()
        assert place.flash() == {**place.files(), **own, "main.py.old": own["main.py"]} | {
            "main.py": content.loader_files()["main.py"]
        }
    error = place.run(code=1, port="/dev/ttyNONE7")
    assert "port /dev/ttyNONE7: there is no such port" in error
    # Something else is on the port
    monkeypatch.setattr(repl, "PROMPT_S", 0.2)
    monkeypatch.setattr(repl, "PROMPT_TRIES", 1)
    with SerialLine("pty") as line:
        error = place.run(code=1, port=line.port)
        assert "does not come to MicroPython's prompt" in error and "uxmpp flash" in error


def test_what_fits():
    """What a board says of itself."""
    about = deploy.About("rp2", "Raspberry Pi Pico W with RP2040", (1, 25, 0), 6, 1, 4096, 9, 2)
    pico, pico2 = boards.load("pico-w"), boards.load("pico2-w")
    assert about.mcu == "rp2040" and about.free == 8192 and deploy.unfit(pico, about) is None
    assert "board = 'pico2-w'" in deploy.unfit(pico2, about)[0]
    old = deploy.About("rp2", "Raspberry Pi Pico W with RP2040", (1, 23, 0), 6, 1, 4096, 9, 2)
    why, todo = deploy.unfit(pico, old)
    assert "MicroPython 1.23.0 there is not one" in why and "uxmpp flash" in todo
    # A maker's own build, which says what it likes
    odd = deploy.About("rp2", "Weather Station", (1, 26, 0), 6, 1, 4096, 9, 2)
    assert odd.mcu is None and deploy.unfit(pico, odd) is None
