"""`uxmpp flash`: the real esptool to a virtual ESP32, a UF2 to a virtual RP2's drive; and all that
may go wrong, each in one line that says in what state the board is."""

import json
import shutil
import signal
import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from host_tools.cli import flash as cli_flash
from host_tools.cli import main
from host_tools.flash import boards, esp, flasher, held, image, partitions, ports, rp2, uf2
from host_tools.flash import firmware as firmwares
from host_tools.flash.errors import WHOLE, FlashError
from host_tools.flash.progress import Bars, Report
from host_tools.lab import standin
from host_tools.lab.certs import Authority
from host_tools.lab.flash_file import FlashFile
from host_tools.lab.rom import RomLoader, boot_error
from host_tools.lab.rp2_drive import BootDrive
from host_tools.lab.serial_line import SerialLine
from host_tools.lab.virtual_board import VirtualBoard

ESP32 = boards.load("esp32")
PICO = boards.load("pico-w")
PICO2 = boards.load("pico2-w")
KEYS = ["SCRAM-SHA-256", *(b64encode(n).decode() for n in (b"salt" * 4, b"c" * 32, b"s" * 32))]
KEYS.insert(2, 4096)
NOTHING, HALF = "Nothing was written.", "The board is half written and does not start."


class Place:
    """A folder with a device.toml and stand-in firmware, and `uxmpp` in it."""

    def __init__(self, folder, patch, captured):
        self.folder = folder
        self._patch = patch
        self._captured = captured
        Authority(folder / "authority")
        for board in (ESP32, PICO, PICO2, boards.load("esp32-c3")):
            (folder / f"{board.name}.fw").write_bytes(standin.firmware(board))

    def device(self, board="esp32", more=""):
        """Write the device.toml."""
        text = f'board = "{board}"\napp = "switch"\njid = "kitchen@lab.example"\n'
        text += f'owners = ["ann@lab.example"]\nca = "authority/ca.pem"\n{more}'
        path = self.folder / "device.toml"
        path.touch(0o600)
        path.write_text(text if "keys" in more else f"keys = {json.dumps(KEYS)}\n{text}")

    def run(self, *words, code=0):
        """`uxmpp flash device.toml …`: what it says; of an error its one line."""
        self._patch.setattr("sys.argv", ["uxmpp", "flash", "device.toml", *map(str, words)])
        before = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as caught:
            main()
        signal.signal(signal.SIGTERM, before)
        out, error = self._captured.readouterr()
        assert caught.value.code == code, out + error
        if code:
            assert error.startswith("uxmpp: ") and error.count("\n") == 1, error
            assert len(error) < 500, error
            return error
        assert error == ""
        return out


@pytest.fixture
def place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, monkeypatch, capsys)


class Bench:
    """A virtual ESP32 in its bootloader on a line."""

    def __init__(self, folder, board=ESP32, kind="pty", size=None, chip=None, flash=FlashFile):
        self.flash = flash(folder / "flash", size or board.flash_size)
        self.rom = RomLoader(chip or board.chip, self.flash)
        self.resets = []
        self.line = SerialLine(kind, on_reset=self.resets.append)

    def __enter__(self):
        self.line.start()
        self.line.attach(self.rom)
        return self

    def __exit__(self, *error):
        self.line.close()

    @property
    def port(self):
        return self.line.port


@pytest.mark.parametrize(
    ("name", "kind", "vfs"), [("esp32", "pty", False), ("esp32-c3", "socket", True)]
)
def test_esp(place, name, kind, vfs):
    board = boards.load(name)
    made = standin.esp32(board, vfs=vfs)
    (place.folder / "fw.bin").write_bytes(made)
    place.device(name, 'version = "1.2.0"')
    with Bench(place.folder, board, kind) as bench:
        words = ("--port", bench.port, "--firmware", "fw.bin")
        assert "Nothing was written" in place.run(*words, "--dry-run")
        assert not bench.rom.done.operations
        said = place.run(*words)
        # Before it is written, in plain words
        at = f"{board.firmware_offset:#x}"
        assert f"Board     {board.title}\n" in said
        assert "Firmware  uxmpp stand-in no MicroPython, for uxmpp stand-in with ESP32" in said
        assert f": 96 KiB at {at} (fw.bin)\n" in said
        assert ", in a file system of 2 MiB at 0x200000: boot.py, ca.der, device.json, " in said
        assert "Device    kitchen@lab.example, app switch 1.2.0; login keys, not the pass" in said
        assert f"{bench.port}: written and verified.\n" in said
        # What a pty and a socket cannot
        assert "Press reset on the board" in said
        assert f"uxmpp monitor --port {bench.port} " in said
        assert "Then write `help` to kitchen@lab.example, as ann@lab.example." in said
        assert boot_error(board, bench.flash) is None
        assert bench.flash.read(board.firmware_offset, len(made)) == made
        files = image.read(bench.flash.read(board.fs_offset, board.fs_size), board)
        assert {"boot.py", "main.py", "slots.mpy", "ca.der", "a/manifest", "b/"} <= set(files)
        settings = json.loads(files["device.json"])
        assert settings["keys"] == KEYS and "password" not in settings
        assert b"\nversion 1.2.0\n" in files["a/manifest"]
        # Esptool compressed it, and asked for the MD5 of both parts
        done = bench.rom.done
        assert bench.rom.stub and bench.rom.baud == esp.BAUD
        assert done.operations["SPI_FLASH_MD5"] == 2
        assert sum(n for _, n in done.written) == len(made) + board.fs_size
        assert bench.line.bytes_in < 500_000
        if kind == "socket":
            return
        # Somebody's device is not overwritten unasked; it is itself that says whose
        done.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", None)  # closed
            error = place.run(*words, code=1)
        assert "the board holds the device kitchen@lab.example and what it keeps" in error
        assert NOTHING in error and error.endswith(" Give --yes if that may be lost.\n")
        assert not done.written and not done.erased
        # An empty file system of MicroPython's own is nobody's
        bench.flash.write(board.fs_offset, image.build(board, {"boot.py": b"# boot"}))
        assert "written and verified" in place.run(*words, "--baud", "115200")
        bench.flash.write(board.fs_offset, image.build(board, {"main.py": b"", "x/y": b""}))
        assert "the board holds files (main.py, x)" in place.run(*words, code=1)
        assert "written and verified" in place.run(*words, "--yes")
        # All in one file: the same flash, from its first byte
        said = place.run("--firmware", "fw.bin", "--out", "all.bin")
        assert f"esptool --chip {board.chip} write-flash 0x0 all.bin" in said
        whole = Path("all.bin").read_bytes()
        assert Path("all.bin").stat().st_mode & 0o777 == 0o600
        assert whole == bench.flash.read(0, board.fs_offset + board.fs_size)


def test_restarted_by_its_lines_and_two_at_once(place):
    """By rfc2217://, which has DTR and RTS, a board goes into its bootloader and starts again;
    meanwhile another is flashed."""
    c3 = boards.load("esp32-c3")
    with (
        Bench(place.folder, kind="rfc2217") as far,
        Bench(place.folder / "near", c3) as near,
        ThreadPoolExecutor() as pool,
    ):
        told = [_Told(), _Told()]
        jobs = _job(place, {"kept": b""}), _job(place, {"data": b"x" * 5000}, c3)
        first, second = [
            pool.submit(
                flasher.flash, job, port=bench.port, may_lose=flasher.anything, report=report
            )
            for job, bench, report in zip(jobs, (far, near), told, strict=True)
        ]
        assert second.result() == flasher.Flashed(near.port, False)
        assert first.result() == flasher.Flashed(far.port, True)
        assert far.resets == [True, False]
        # One that is left alone goes on with what it has
        with pytest.raises(FlashError, match="the board holds files"):
            flasher.flash(jobs[0], port=far.port)
        assert far.resets == [True, False] * 2
        assert boot_error(ESP32, far.flash) is boot_error(c3, near.flash) is None
    # Each part from its begin to its end
    for report, job in zip(told, jobs, strict=True):
        assert list(report.parts) == ["uxmpp stand-in no MicroPython", "file system"]
        for (done, total), data in zip(
            report.parts.values(), (job.firmware.data, job.image), strict=True
        ):
            assert done == sorted(done) and done[0] == 0 and done[-1] == total == len(data)


class _Told(Report):
    """Keeps what it is told; does something when that many parts are there."""

    def __init__(self, do=None, at=0.4):
        self.parts = {}
        self._do = do
        self._at = at

    def at(self, what, done, total):
        self.parts.setdefault(what, ([], total))[0].append(done)
        if self._do and len(self.parts) - 1 + done / total >= self._at:
            do, self._do = self._do, None
            do()


def _job(place, files, board=ESP32):
    found = firmwares.from_file(board, place.folder / f"{board.name}.fw")
    return flasher.prepare(board, found, {"boot.py": b"", **files})


def test_nothing_is_written(place, monkeypatch):
    place.device()
    fw = ("--firmware", "esp32.fw")

    def refused(*words, why, state=NOTHING):
        text = place.run(*words, code=1)
        assert why in text and state in text, text

    with Bench(place.folder) as bench:
        at = ("--port", bench.port)
        refused(*fw, "--port", "/dev/ttyNONE", why="there is no such port", state="")
        refused(*fw, "--port", place.folder, why="is no serial port", state="")
        refused(*fw, "--port", "device.toml", why="is no serial port", state="")
        refused(*fw, "--port", "/dev/null", why="is no serial port")
        refused(*fw, "--port", "socket://127.0.0.1:1", why="nobody listens there")
        refused(*fw, "--port", "socket://x", why="must be socket://HOST:PORT", state="")
        refused(*fw, *at, "--baud", "7", why="baud 7: must be 9600 to")
        refused(*at, "--firmware", "pico-w.fw", why="is a UF2 file", state="")
        refused(*at, "--firmware", "esp32-c3.fw", why="is for esp32c3, and the", state="")
        refused(*at, "--firmware", "none", why="No such file", state="")
        refused(*at, *fw, "--micropython", "1.25", why="only one of them", state="")
        refused(*at, "--micropython", "one", why="must be a version", state="")
        refused(*at, *fw, "--drive", "x", why="has no drive: say which port", state="")
        refused(*fw, "--out", "no/such.bin", why="there is no folder no", state="")
        mode = place.folder.stat().st_mode
        refused(*fw, "--out", ".", why="--out .: is no file", state="")
        assert place.folder.stat().st_mode == mode
        refused(*fw, "--out", "esp32.fw", why="is what is read: name another file", state="")
        refused(*fw, "--out", "./device.toml", why="is what is read", state="")
        held = ports.open_port(bench.port)
        refused(*fw, *at, why="is busy: close the monitor")
        held.close()
        # Whoever is on the line does not answer, or not as a bootloader does
        bench.line.attach(None)
        attempts = esp.ATTEMPTS
        monkeypatch.setattr(esp, "ATTEMPTS", 1)
        words = "no bootloader answers there (this port cannot make it start one). Nothing was "
        words += f"written. Into the bootloader: {ESP32.bootloader}"
        refused(*fw, *at, why=words)
        bench.line.attach(_Echo())
        refused(*fw, *at, why="no bootloader answers there")
        monkeypatch.setattr(esp, "ATTEMPTS", attempts)
        assert bench.flash.writes == bench.flash.erases == 0
    for size, chip, why in (
        (4 << 20, "esp32c3", "this board has an ESP32-C3, and the ESP32"),
        (2 << 20, "esp32", "the flash of this board has 2 MiB, and the ESP32"),
    ):
        (place.folder / "flash").unlink()
        with Bench(place.folder, size=size, chip=chip) as bench:
            refused(*fw, "--port", bench.port, why=why)
            assert bench.flash.writes == bench.flash.erases == 0
    # With a larger flash MicroPython has a larger file system, if its table leaves it that
    (place.folder / "flash").unlink()
    (place.folder / "late.fw").write_bytes(standin.esp32(ESP32, vfs=False))
    with Bench(place.folder, size=16 << 20) as bench:
        refused(
            "--port", bench.port, "--firmware", "late.fw", why="look for 14 MiB of files at 0x"
        )
        assert bench.flash.writes == bench.flash.erases == 0
        assert "set flash_size = 0x1000000 in it" in place.run(
            "--port", bench.port, "--firmware", "late.fw", code=1
        )
        assert "written and verified" in place.run("--port", bench.port, *fw)
    # What is wrong with the device.toml, before anything else
    for more, why in (
        ('board = "esp33"', "did you mean esp32"),
        ('board = "raspberry-pi"', "`uxmpp run` starts the device, and `uxmpp install-service`"),
        ("", "which board?"),
    ):
        text = Path("device.toml").read_text().replace('board = "esp32"', more)
        Path("no-board.toml").touch(0o600)
        Path("no-board.toml").write_text(text)
        monkeypatch.setattr("sys.argv", ["uxmpp", "flash", "no-board.toml"])
        with pytest.raises(SystemExit):
            main()
        error = place._captured.readouterr().err
        assert why in error and error.count("\n") == 1, error
    # No password, and nobody to ask
    monkeypatch.delenv("UXMPP_PASSWORD", raising=False)
    place.device(more="# no keys\n")
    assert "no password is known: set UXMPP_PASSWORD" in place.run(*fw, "--out", "x.bin", code=1)
    place.device(more='# keys\nhost = "127.0.0.1"\nport = 1\n')
    monkeypatch.setenv("UXMPP_PASSWORD", "hush-hush")
    error = place.run(*fw, "--out", "x.bin", code=1)
    assert "no login keys: " in error and "--keep-password" in error and "hush" not in error
    monkeypatch.setenv("UXMPP_PASSWORD", "hush-hush")
    said = place.run(*fw, "--out", "x.bin", "--keep-password")
    assert "THE PASSWORD ITSELF: whoever reads the flash has it" in said and "hush" not in said
    files = image.read(Path("x.bin").read_bytes()[0x200000:], ESP32)
    assert json.loads(files["device.json"])["password"] == "hush-hush"


class _Echo:
    def attached(self, line):
        self._line = line

    def received(self, data):
        self._line.write(data)


class _Worn(FlashFile):
    """A flash that keeps its zeros."""

    def write(self, at, data):
        super().write(at, data if at < ESP32.fs_offset else bytes(len(data)))


def test_half_written(place):
    """The cable is pulled, somebody presses Ctrl-C, the flash is worn out: it is said."""
    job = _job(place, {"data": bytes(range(256)) * 400})

    def broken(why, kind="pty", flash=FlashFile, prepare=None, do=None, at=0.4):
        (place.folder / "flash").unlink(missing_ok=True)
        with Bench(place.folder, kind=kind, flash=flash) as bench:
            if prepare:
                prepare(bench)
            told = _Told(do and (lambda: do(bench)), at)
            with pytest.raises(FlashError) as caught:
                flasher.flash(job, port=bench.port, may_lose=flasher.anything, report=told)
            text = str(caught.value)
            assert why in text and HALF in text and "lash it again" in text and "\n" not in text
            assert caught.value.written and boot_error(ESP32, bench.flash) or "file system" in why
            assert bench.flash.writes or bench.flash.erases
            return bench

    for kind, after in (("pty", 1), ("pty", 70_000), ("socket", 70_000)):
        broken(
            "the board went away while writing at ",
            kind,
            prepare=lambda bench, after=after: setattr(bench.rom, "break_after", after),
        )
    broken("% of uxmpp stand-in no MicroPython", do=lambda bench: bench.line.unplug())

    def stop(bench):
        raise KeyboardInterrupt

    broken("stopped at 5", do=stop)
    broken("the flash differs from what was written at 100% of file system", flash=_Worn)
    # Before the first sector is erased, Ctrl-C is just that
    bench = broken("% of file system", do=lambda bench: bench.line.unplug(), at=1.4)
    bench.flash.write(ESP32.fs_offset, job.image)
    writes = bench.flash.writes
    with bench, pytest.raises(KeyboardInterrupt):
        bench.rom.reset()
        flasher.flash(job, port=bench.port, may_lose=stop)
    assert bench.flash.writes == writes


@pytest.mark.parametrize("board", [PICO, PICO2], ids=lambda b: b.name)
def test_rp2(place, board):
    place.device(board.name)
    flash = FlashFile(place.folder / "flash", board.flash_size)
    fw = ("--firmware", f"{board.name}.fw")
    drive = place.folder / "my drive"
    with BootDrive(drive, flash, board):
        said = place.run(*fw, "--drive", drive)
        assert not (drive / rp2.INFO).exists()
    assert f"a file system of {board.fs_size // 1024} KiB at {board.fs_offset:#x}" in said or (
        "a file system of 2.5 MiB at 0x180000" in said
    )
    assert "the bootloader has taken all blocks and restarted the board" in said
    assert "uxmpp monitor shows what it does" in said
    assert boot_error(board, flash) is None
    region = flash.read(board.fs_offset, board.fs_size)
    files = image.read(region, board)
    assert {"boot.py", "main.py", "a/manifest", "device.json"} <= set(files)
    # Written beside, and dragged by a person
    said = place.run(*fw, "--out", "kitchen.uf2")
    assert board.bootloader in said and "Drag the file there." in said
    flash.erase()
    written = threading.Event()
    with BootDrive(drive, flash, board, written.set):
        # No more than that: the drive may be gone before a mode or a time could be set
        shutil.copyfile("kitchen.uf2", drive / "kitchen.uf2")
        assert written.wait(20)
        assert not (drive / rp2.INFO).exists()
    assert flash.read(board.fs_offset, board.fs_size) == region
    assert boot_error(board, flash) is None


def test_rp2_refused(place, monkeypatch):
    place.device("pico-w")
    monkeypatch.setattr(rp2, "_LABELS", place.folder / "labels")
    monkeypatch.setattr(rp2, "_volumes", lambda: volumes)
    flash = FlashFile(place.folder / "flash", PICO.flash_size)
    other = FlashFile(place.folder / "other", PICO2.flash_size)
    drive, wrong, empty = (place.folder / name for name in ("drive", "wrong", "empty"))
    empty.mkdir()
    volumes = [empty]
    fw = ("--firmware", "pico-w.fw")
    error = place.run(*fw, code=1)
    assert (
        "no bootloader drive of a Raspberry Pi Pico W is here. Nothing was written. Hold" in error
    )
    assert "--out FILE" in error
    assert "is no bootloader's drive: it has no INFO" in place.run(*fw, "--drive", empty, code=1)
    assert "is no bootloader's drive" in place.run(*fw, "--drive", "/no/where", code=1)
    (place.folder / "labels").mkdir()
    (place.folder / "labels" / "RPI-RP2").touch()
    assert "and not mounted. Nothing was written. Mount it" in place.run(*fw, code=1)
    error = place.run("--firmware", "pico2-w.fw", "--out", "x.uf2", code=1)
    assert "is for RP2350 (Arm), not for RP2040" in error
    with BootDrive(wrong, other, PICO2), BootDrive(drive, flash, PICO):
        # By Board-ID, before anything is copied
        volumes = [wrong]
        for words in ((), ("--drive", wrong)):
            error = place.run(*fw, *words, code=1)
            assert "its Board-ID is RP2350, and that of the Raspberry Pi Pico W is RPI-RP" in error
            assert NOTHING in error and sorted(p.name for p in wrong.iterdir()) == [
                "INDEX.HTM",
                "INFO_UF2.TXT",
            ]
        second = place.folder / "second"
        shutil.copytree(drive, second)
        volumes = [drive, second, empty]
        assert "several bootloader drives are here" in place.run(*fw, code=1)
        (second / rp2.NAME).mkdir()
        error = place.run(*fw, "--drive", second, code=1)
        assert "cannot be written: is a directory. Nothing was written." in error
        (second / rp2.NAME).rmdir()
        assert flash.writes == other.writes == 0
        volumes = [empty, wrong, drive]
        # Found among the others
        said = place.run(*fw)
        assert f"Found {drive} (Raspberry Pi RP2)\n" in said and not (drive / rp2.INFO).exists()
    # In the midst of it the cable is pulled, or somebody presses Ctrl-C
    job = _job(place, {}, PICO)
    for why in ("the board went away at ", "stopped at "):
        flash.erase()
        with BootDrive(drive, flash, PICO) as virtual:

            def do(virtual=virtual, why=why):
                if why.startswith("stop"):
                    raise KeyboardInterrupt
                virtual.close()

            with pytest.raises(FlashError) as caught:
                flasher.flash(job, drive=drive, report=_Told(do))
            assert why in str(caught.value) and HALF in str(caught.value)
            assert caught.value.written and "\n" not in str(caught.value)
    # All is copied, and the bootloader does not take it
    monkeypatch.setattr(rp2, "LEAVE_LIMIT_S", 0.1)
    with pytest.raises(FlashError, match="is still there 0 s after all was copied: .*half writt"):
        flasher.flash(job, drive=second)


def test_rp2_that_runs_is_asked(place, monkeypatch):
    """Without a drive, but with a port: MicroPython there restarts into its bootloader."""
    job = _job(place, {"main.py": b"print('it runs', 6 * 7)\n"}, PICO)
    board = VirtualBoard(PICO, place.folder / "board")
    board.flash.write(0, uf2.memory(uf2.read(standin.rp2(PICO))))
    loops = b"print('it loops')\nwhile True: pass\n"
    settings = b'{"jid": "ann@lab.example", "password": "hush"}'
    files = {"main.py": loops, "device.json": settings}
    board.flash.write(PICO.fs_offset, image.build(PICO, files))
    with board:
        board.wait_for_line("it loops")
        monkeypatch.setattr(rp2, "_volumes", lambda: [board.drive])
        told = []
        report = Report()
        monkeypatch.setattr(report, "say", told.append)
        # What it holds is not lost unasked, and what ran there runs on
        at = board.mark()
        holds = r"holds the device ann@lab.example and what it keeps\. Nothing was written\. Give"
        with pytest.raises(FlashError, match=holds):
            flasher.flash(job, port=board.port)
        board.wait_for_line("it loops", since=at)
        assert "hush" not in board.console()
        asked = []
        done = flasher.flash(
            job, port=board.port, report=report, may_lose=lambda held: not asked.append(held)
        )
        assert done == flasher.Flashed(str(board.drive), True)
        assert asked == ["the device ann@lab.example and what it keeps"]
        assert told == [f"Asking {board.port} to restart into its bootloader"]
        board.wait_for_line("it runs 42")
    # Nobody answers there, or somebody else has the port
    monkeypatch.setattr(rp2, "REPL_LIMIT_S", 0.2)
    with SerialLine() as line:
        with pytest.raises(FlashError, match="MicroPython does not answer there .*Nothing was"):
            rp2.restart(line.port, told.append)
        held = ports.open_port(line.port)
        with pytest.raises(ports.PortError, match=r"is busy: .*\. Nothing was written\.$"):
            rp2.restart(line.port, told.append)
        held.close()


def test_pure_parts(place, monkeypatch, tmp_path):
    lines = (
        "/dev/sda1 /media/ann/RPI-RP2 vfat rw 0 0",
        r"/dev/sdb1 /media/ann/two\040words msdos rw 0 0",
        "server:/x /net nfs rw 0 0",
        "proc /proc proc rw 0 0",
        "broken",
    )
    assert rp2.mounted(lines) == [Path("/media/ann/RPI-RP2"), Path("/media/ann/two words")]
    assert all(isinstance(path, Path) for path in rp2._volumes())
    (tmp_path / rp2.INFO).write_bytes(b"\xff Model:\r\n\0Board-ID:" + b"x" * 9000)
    assert rp2.read_drive(tmp_path).board_id == "?"
    # What is asked where something would be lost
    for answer, goes_on in (("y", True), (" Yes ", True), ("", False), ("n", False)):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: answer)
        assert cli_flash._ask("files") is goes_on
    # More folders than are read of a board: they are somebody's all the same
    folders = image.build(ESP32, {f"{i}/": b"" for i in range(2 * esp.MAX_BLOCKS_READ)})
    region = partitions.Region(0, ESP32.fs_size)
    assert esp._held(lambda at, n: folders[at : at + n], region, ESP32) == "many files"
    assert esp._held(lambda at, n: bytes(n), region, ESP32) is None
    names = ["\x1b[2J", "b", "c", "d", "e"]
    assert held.words(names, 5) == "files (?[2J, b, c, d …)" and held.words({"boot.py"}) is None
    # Ctrl-C when all is there
    board = esp.Esp(ESP32, "x")
    board._state = WHOLE
    why = r"x: stopped\. All is written and verified\. Press reset\.$"
    with pytest.raises(FlashError, match=why) as caught, board._esptool("resetting"):
        raise KeyboardInterrupt
    assert not caught.value.written
    # A terminal gets bars, and nothing else does
    for terminal in (True, False):
        console = Console(force_terminal=terminal, width=100, record=True, file=StringIO())
        with Bars(console) as bars:
            bars.say("[not markup]")
            bars.at("MicroPython 1.25.0", 0, 2 << 20)
            bars.at("MicroPython 1.25.0", 2 << 20, 2 << 20)
        text = console.export_text()
        assert "[not markup]\n" in text
        assert ("2.1/2.1 MB" in text or "2.0/2.0 MiB" in text) == terminal
