"""Virtual boards, by the real mpremote and a serial port: from power on to the prompt."""

import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import serial

from host_tools.flash import boards, image, uf2
from host_tools.flash.partitions import PartitionError
from host_tools.lab import standin
from host_tools.lab.control import ControlError
from host_tools.lab.errors import LabError, LabTimeout
from host_tools.lab.virtual_board import VirtualBoard

LIMIT_S = 60.0
TICKS = b"""
import asyncio
async def main():
    n = 0
    while True:
        print("tick", n)
        n += 1
        await asyncio.sleep(0.05)
asyncio.run(main())
"""


@pytest.fixture
def make(tmp_path):
    """A function that makes a board with a program; it is not started."""
    made = []

    def board(name="esp32", main=None, files=None, **options):
        vb = VirtualBoard(boards.load(name), tmp_path / f"board{len(made)}", **options)
        made.append(vb)
        content = dict(files or {})
        if main is not None:
            content["main.py"] = main if isinstance(main, bytes) else main.encode()
        vb.install(content)
        return vb

    yield board
    for vb in made:
        vb.close()


def mpremote(vb, *words, code=0):
    """What the real mpremote prints."""
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", vb.port, *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


class Terminal:
    """A serial port, by pyserial."""

    def __init__(self, vb):
        self.port = serial.serial_for_url(vb.port, 115200, timeout=0.05)
        self.got = b""

    def send(self, data):
        self.port.write(data)

    def until(self, end, data=b""):
        """All that comes until `end` does."""
        if data:
            self.send(data)
        stop = time.monotonic() + LIMIT_S
        while end not in self.got:
            assert time.monotonic() < stop, (end, self.got)
            self.got += self.port.read(max(1, self.port.in_waiting))
        at = self.got.index(end) + len(end)
        found, self.got = self.got[:at], self.got[at:]
        return found


@contextmanager
def terminal(vb):
    t = Terminal(vb)
    try:
        yield t
    finally:
        t.port.close()


@contextmanager
def served(folder):
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    handler.log_message = lambda *words: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_mpremote(make, tmp_path, monkeypatch):
    vb = make(main=TICKS, files={"boot.py": b"import os\n", "old": b"gone"})
    with vb:
        vb.wait_for_line("tick 2", LIMIT_S)
        # It interrupts the program, starts anew without main.py, and leaves the prompt
        said = mpremote(vb, "eval", "os.uname().sysname, os.listdir()")
        assert said == "esp32 ['boot.py', 'main.py', 'old']\n"
        assert vb.boots == 2
        (tmp_path / "big.bin").write_bytes(os.urandom(3000))
        (tmp_path / "lib.py").write_text("def f(x):\n    return 1 / x\n")
        said = mpremote(
            vb,
            "fs", "cp", tmp_path / "big.bin", ":new.bin", "+",
            "fs", "cp", ":new.bin", tmp_path / "back.bin", "+",
            "fs", "mkdir", "lib", "+", "fs", "cp", tmp_path / "lib.py", ":lib/own.py", "+",
            "fs", "sha256sum", "new.bin", "+", "fs", "rm", "old", "+", "fs", "ls", "+",
            "fs", "cat", "boot.py", "+", "exec", "import own; print(own.f(2))", "+", "df",
        )  # fmt: skip
        assert (tmp_path / "back.bin").read_bytes() == (tmp_path / "big.bin").read_bytes()
        names = re.findall(r"^ +\d+ (\S+)$", said, re.M)
        assert names == ["boot.py", "lib/", "main.py", "new.bin"]
        assert "\nimport os\n" in said and "\n0.5\n" in said
        assert re.search(r"2097152 .* /\s*$", said) and "sim" not in said
        said = mpremote(vb, "resume", "exec", "own.f(0)", code=1)
        assert said.splitlines() == [
            "Traceback (most recent call last):",
            '  File "<stdin>", line 1, in <module>',
            '  File "/lib/own.py", line 2, in f',
            "ZeroDivisionError: divide by zero",
        ]
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "package.json").write_text('{"urls": [["far.py", "far.py"]]}')
        (tmp_path / "site" / "far.py").write_text("x = 6\n")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with served(tmp_path / "site") as url:
            mpremote(vb, "mip", "install", "--no-mpy", f"{url}/package.json")
        assert mpremote(vb, "exec", "import far; print(far.x)") == "6\n"
        assert (
            mpremote(vb, "mount", tmp_path / "site", "exec", "import far; print(far.x * 7)")[-3:]
            == "42\n"
        )
        at = vb.mark()
        mpremote(vb, "soft-reset")
        assert "tick" not in vb.console()[at:]
        mpremote(vb, "reset")
        vb.wait_for_line("tick 1", LIMIT_S, since=at)
        assert vb.events() == ["reset"]
        with pytest.raises(LabTimeout, match="no line with 'never' within"):
            vb.wait_for_line("never", 0.05)
    # The same flash is read by the host's own tools
    at, size = vb.board.fs_offset, vb.board.fs_size
    assert (
        image.read(vb.flash.read(at, size), vb.board)["new.bin"]
        == (tmp_path / "big.bin").read_bytes()
    )


def test_prompt(make):
    vb = make("pico-w", TICKS)
    with vb, terminal(vb) as t:
        t.until(b"tick 1\r\n")
        said = t.until(b">>> ", b"\3")
        assert b"KeyboardInterrupt: \r\nMicroPython v1." in said
        assert b"line 9, in <module>" in said and b"vm/" not in said
        assert b"with RP2040\r\n" in said
        assert t.until(b">>> ", b"1 + 1\r") == b"1 + 1\r\n2\r\n>>> "
        t.until(b">>> ", b"x = 5\r")
        assert t.until(b"\r\n>>> ", b"for i in range(2):\rprint(i * x)\r\r").endswith(
            b"...     print(i * x)\r\n...     \r\n0\r\n5\r\n>>> "
        )
        assert b"NameError: name 'y' isn't defined\r\n" in t.until(b"\r\n>>> ", b"y\r")
        assert t.until(b"\r\n>>> ", b"ab\x7f\x7f3\x1b[A\r").endswith(b"3\r\n3\r\n>>> ")
        assert t.until(b"\r\n>>> ", b"abc\3") == b"abc\r\n>>> "
        # Paste mode
        t.until(b"=== ", b"\5")
        t.send(b"def f():\rreturn 7\r".replace(b"return", b"    return"))
        t.until(b"=== ")
        t.until(b">>> ", b"print(f())\r\4")
        assert t.until(b">>> ", b"f()\r").endswith(b"7\r\n>>> ")
        # A program that never rests is interrupted, too
        t.until(b"busy\r\n", b"exec(\"print('bu' + 'sy')\\nwhile True: pass\")\r")
        t.until(b"KeyboardInterrupt", b"\3")
        t.until(b">>> ")
        # Raw
        assert t.until(b"exit\r\n>", b"\1") == b"\r\nraw REPL; CTRL-B to exit\r\n>"
        assert t.until(b"\4>", b"print(x)\4") == b"OK5\r\n\4\4>"
        assert b"SyntaxError" in t.until(b"\4>", b"1 +\4")
        assert t.until(b">", b"\5B\1") == b"R\0>"
        assert t.until(b"\1", b"\5A\1") == b"R\1"
        assert t.until(b"\1") == b"\x80\0\1"
        assert t.until(b"\1", b"print(" + b" " * 122) == b"\1"
        assert t.until(b"\4\4>", b"x)\4") == b"\x045\r\n\4\4>"
        t.until(b"\1\x80\0\1", b"\5A\1")
        assert b"KeyboardInterrupt" in t.until(b"\4>", b"x\3")
        # Soft reset: without main.py from there, with it from the friendly prompt
        assert t.until(b"exit\r\n>", b"\4") == (
            b"OK\r\nMPY: soft reboot\r\nraw REPL; CTRL-B to exit\r\n>"
        )
        assert b"NameError" in t.until(b"\4>", b"x\4")
        t.until(b">>> ", b"\2")
        # What is sent meanwhile is not lost
        t.until(b"tick 0\r\n", b"\4")
        t.until(b">>> ", b"\0032 * 21\r")
        assert b"42" in t.until(b">>> ")
        assert vb.boots == 3 and vb.writes == 0


SERIAL = """
import asyncio, micropython, select, sys
print("ready")
poll = select.poll()
poll.register(sys.stdin, select.POLLIN)
micropython.kbd_intr(-1)
sys.stdout.buffer.write(b"\\n\\0~raw\\x03\\n")
print("now")
got = b""
while len(got) < 6:
    poll.poll()
    got += sys.stdin.buffer.read(1)
print(got)
async def main():
    reader = asyncio.StreamReader(sys.stdin.buffer)
    print(await reader.read(1), await reader.read(1))
    for stream in (sys.stdout.buffer, sys.stdout):
        writer = asyncio.StreamWriter(stream, {})
        writer.write(b"\\n")
        await writer.drain()
    micropython.kbd_intr(3)
    print("interruptible")
    await asyncio.sleep(60)
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
    import machine
    machine.soft_reset()
"""


def test_serial_line_of_a_program(make):
    """Bytes stay what they are, where a program wants them so: Improv's frames hold a Ctrl-C."""
    vb = make(main=SERIAL, kind="socket")
    with vb:
        vb.wait_for_line("now", LIMIT_S)
        with terminal(vb) as t:
            t.until(b"b'ab\\x03\\n\\r\\x03'\r\n", b"ab\3\n\r\3")
            t.until(b"b'\\x03' b'x'\r\n\n\r\ninterruptible\r\n", b"\3x")
            assert t.until(b"now\r\n", b"\3").startswith(
                b"interrupted\r\nready\r\n\n\0~raw\3\nnow"
            )
        assert b"ready\r\n\n\0~raw\3\nnow\r\n" in vb.console().encode()
        assert vb.boots == 2


FREE = (
    "import gc\ngc.collect()\nprint('free', gc.mem_free())\nb = bytearray({})\nprint('got it')\n"
)


@pytest.mark.parametrize("name", ["esp32", "pico-w"])
def test_heap(make, name):
    heap = boards.load(name).heap
    vb = make(name, FREE.format(heap))
    with vb:
        vb.wait_for_line("MemoryError: memory allocation failed", LIMIT_S)
        free = int(vb.wait_for_line(r"free (\d+)")[1])
        assert heap <= free < heap * 1.04
    vb = make(name, FREE.format(100_000), heap=60_000)
    with vb:
        vb.wait_for_line("MemoryError", LIMIT_S)


def test_imports_within_imports(make):
    """As deep as on a board."""
    files = {f"m{i}.py": f"import m{i + 1}\n".encode() for i in range(12)}
    vb = make(main="import m0", files={**files, "m12.py": b"print('deep')\n"})
    with vb:
        vb.wait_for_line("deep", LIMIT_S)


def test_file_system_that_cannot_be_read(make):
    vb = make(main="print('here')")
    at, size = vb.board.fs_offset, vb.board.fs_size
    vb.flash.write(at, bytes(8192))
    with vb, terminal(vb) as t:
        t.until(b"appears to be corrupted")
        t.until(b">>> ", b"\3")
        # An erased one is made
        vb.flash.erase(at, size)
        vb.press_reset()
        vb.wait_for_line("Performing initial setup", LIMIT_S)
        vb.wait_for_line(">>> ", LIMIT_S)
        assert list(image.read(vb.flash.read(at, size), vb.board)) == ["boot.py"]
        assert vb.writes > 0
        # One of another size is none
        vb.flash.write(at, image.build(vb.board, {}, fs_size=size // 2))
        vb.press_reset()
        vb.wait_for_line("appears to be corrupted", LIMIT_S)
    vb = make("pico-w", "print('here')")
    vb.flash.write(vb.board.fs_offset, bytes(8192))
    with vb:
        vb.wait_for_line(">>> ", LIMIT_S)
        assert image.read(vb.flash.read(vb.board.fs_offset, vb.board.fs_size), vb.board) == {}
        assert "corrupted" not in vb.console() and "here" not in vb.console()


def test_without_firmware(make, tmp_path):
    vb = make(main="print('here')")
    vb.flash.erase(0, 0x8000)
    with vb:
        vb.wait_for_line("invalid header: 0xffffffff", LIMIT_S)
        vb.wait_for_state("no firmware")
        assert vb.boots == 0
        # The loader answers the real esptool; reset leaves it
        vb.hold_boot()
        assert vb.state == "bootloader"
        firmware = tmp_path / "firmware.bin"
        firmware.write_bytes(standin.esp32(vb.board))
        done = subprocess.run(
            [sys.executable, "-m", "esptool", "--chip", "esp32", "--port", vb.port, "--no-stub",
             "write-flash", "0x1000", str(firmware)],
            capture_output=True, text=True, timeout=LIMIT_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        vb.press_reset()
        vb.wait_for_line("here", LIMIT_S)
        assert "waiting for download" in vb.console()
    # From MicroPython 1.26 on the partition table does not speak of the file system
    vb.install({"main.py": b"print('there')"}, standin.esp32(vb.board, vfs=False))
    with vb:
        vb.wait_for_line("there", LIMIT_S)
    vb = make("pico-w", "print('here')")
    vb.flash.erase(0, vb.board.fs_offset)
    with vb:
        # It shows its drive by itself, and starts by itself
        assert vb.state == "bootloader" and (vb.drive / "INFO_UF2.TXT").exists()
        assert not Path(vb.port).exists()
        files = image.build(vb.board, {"main.py": b"print('new')"})
        whole = uf2.combine(standin.rp2(vb.board), vb.board.fs_offset, files, vb.board.uf2_family)
        (tmp_path / "all.uf2").write_bytes(whole)
        # No more than that: the drive may be gone before a mode or a time could be set
        shutil.copyfile(tmp_path / "all.uf2", vb.drive / "all.uf2")
        vb.wait_for_line("new", LIMIT_S)
        assert vb.state == "runs" and not vb.drive.exists() and Path(vb.port).exists()
        mpremote(vb, "bootloader")
        vb.wait_for_state("bootloader", LIMIT_S)
        vb.press_reset()
        vb.wait_for_line("new", LIMIT_S)
    # A table that leaves no room for files is an error of whoever starts it, and it is off
    vb = make(main="print('here')")
    full = replace(vb.board, fs_offset=vb.board.flash_size)
    with pytest.raises(PartitionError, match="leave 0x0 bytes"), vb:
        vb.wait_for_line("here", LIMIT_S)
        vb.flash.write(0x8000, standin.partitions(full, vfs=False))
        try:
            vb.press_reset()
        finally:
            assert vb.state == "off" and "leave 0x0 bytes" in vb.events()[-1]
    with pytest.raises(PartitionError, match="leave 0x0 bytes"):
        vb.start()
    with pytest.raises(LabError, match="was not started"):
        vb.power_on()
    with pytest.raises(LabError, match="linux boards cannot be simulated"):
        VirtualBoard(boards.load("raspberry-pi"), tmp_path / "pi")


COUNTS = """
import os
try:
    with open("count") as f:
        n = int(f.read())
except OSError:
    n = 0
print("count", n)
if n < 3:
    for n in range(n + 1, 4):
        with open("new", "w") as f:
            f.write(str(n) + " " * 300)
        os.rename("new", "count")
        print("kept", n)
print("done")
"""


def test_power_cut(make):
    vb = make(main=COUNTS)
    size = vb.board.fs_size
    empty = vb.flash.read(vb.board.fs_offset, size)
    cuts = 0
    with vb:
        vb.wait_for_line("done", LIMIT_S)
        writes = vb.writes
        assert writes > 8
        for n in range(1, writes + 1, 2):
            vb.power_off()
            assert vb.state == "off"
            vb.flash.write(vb.board.fs_offset, empty)
            how = ("before", "half", "after")[n // 2 % 3]
            vb.power_cut(n, how)
            at = vb.mark()
            vb.power_on()
            try:
                vb.wait_for_line("done", LIMIT_S)
                continue  # it took fewer writes this time
            except LabError as e:
                assert re.search(f"power cut: write \\d+, {how}", str(e))
            cuts += 1
            assert vb.state == "off"
            kept = max(map(int, re.findall(r"kept (\d)", vb.console()[at:])), default=0)
            at = vb.mark()
            vb.power_on()
            # At once what was kept, or what was being written
            assert int(vb.wait_for_line(r"count (\d)", LIMIT_S, since=at)[1]) in (kept, kept + 1)
            vb.wait_for_line("done", LIMIT_S)
        assert cuts > 3
        with pytest.raises(LabError, match="must be 1 or more"):
            vb.power_cut(0)


RESETS = """
import machine, time
causes = {1: "power", 2: "reset", 3: "wdt", 4: "sleep", 5: "soft"}
cause = causes[machine.reset_cause()]
rtc = machine.RTC()
print("boot after", cause, rtc.memory())
if cause == "power":
    rtc.memory(b"kept")
    machine.reset()
elif cause == "reset":
    machine.WDT(timeout=30)
    time.sleep(10)
elif cause == "wdt":
    machine.deepsleep(60_000)
elif cause == "sleep":
    print("woken by", machine.wake_reason())
    machine.soft_reset()
print(machine.unique_id().hex())
while True:
    time.sleep(1)
"""


def test_resets(make):
    vb = make(main=RESETS, second_ms=1)
    with vb:
        vb.wait_for_line("020000000001", LIMIT_S)
        lines = [line for line in vb.console().splitlines() if line[:3] in ("boo", "rst", "wok")]
        assert lines == [
            "rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", "boot after power b''",
            "rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", "boot after reset b'kept'",
            "rst:0x8 (TG1WDT_SYS_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", "boot after wdt b'kept'",
            "rst:0x5 (DEEPSLEEP_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)",
            "boot after sleep b'kept'", "woken by 4", "boot after soft b'kept'",
        ]  # fmt: skip
        assert vb.events() == ["reset", "watchdog: reset", "deepsleep: 60000 ms"]
        assert vb.boots == 5
    vb = make("pico-w", "import machine\nprint('up', machine.reset_cause())\n"
              "input()\nmachine.deepsleep()\n")  # fmt: skip
    with vb:
        vb.wait_for_line("up 1", LIMIT_S)
        with terminal(vb) as t:
            t.send(b"\n")
            vb.wait_for_state("asleep", LIMIT_S)
        vb.wake()
        vb.wait_for_line("up 3", LIMIT_S)
        vb.unplug()
        assert vb.state == "off" and not Path(vb.port).exists()
        vb.plug()
        vb.wait_for_line("up 1", LIMIT_S)
    with pytest.raises(LabError, match="was not started"):
        vb.press_reset()


HARDWARE = """
import json, machine, network, time, sys
from machine import ADC, I2C, Pin
import dht, neopixel, onewire, ds18x20
d = dht.DHT22(Pin(4))
button = Pin(13, Pin.IN)
w = network.WLAN(network.WLAN.IF_STA)
w.active(True)
np = neopixel.NeoPixel(Pin(16), 2)
np[0] = (255, 128, 0)
np.write()
def look():
    try:
        d.measure()
        found = [d.temperature(), d.humidity()]
    except OSError:
        found = [None, None]
    return found + [button(), ADC(Pin(34)).read_uv(), w.isconnected(), len(w.scan())]
w.connect("home", "wrong")
while w.status() == network.STAT_CONNECTING:
    time.sleep(0.01)
print(w.status() == network.STAT_WRONG_PASSWORD, w.scan()[0][0], w.scan()[0][3:5])
w.connect("home", "secret")
last = None
while True:
    now = look()
    if now != last:
        print("sees", json.dumps(now))
        last = now
    time.sleep(0.005)
"""
PORTS = {
    "esp32": (
        "import esp32\nn = esp32.NVS('x')\nn.set_i32('a', 5)\nn.commit()\n"
        "print(esp32.NVS('x').get_i32('a'), esp32.Partition('vfs').info()[2:4])\n"
        "try:\n    n.get_blob('b', bytearray(2))\nexcept OSError as e:\n    print(e.args[0])\n",
        ["5 (2097152, 2097152)", "-4354"],
    ),
    "pico-w": (
        "import rp2\nrp2.country('DE')\nprint(rp2.country(), rp2.bootsel_button())\n"
        "try:\n    import esp32\nexcept ImportError:\n    print('none')\n",
        ["DE 0", "none"],
    ),
}


def test_hardware(make):
    vb = make(
        main=HARDWARE,
        wifi={"ssid": "home", "password": "secret", "connect_ms": 20, "aps": [{"ssid": "far"}]},
        sensors={"temperature": 20, "pin": {13: 1}},
    )
    with vb:
        vb.wait_for_line(r"True b'home' \(-60, 3\)", LIMIT_S)
        vb.wait_for_line(r"sees \[20, 40.0, 1, 0, true, 2\]", LIMIT_S)
        for name, value, seen in (
            ("temperature", 30.5, "[30.5, 40.0, 1, 0, true, 2]"),
            ("humidity", 55, "[30.5, 55, 1, 0, true, 2]"),
            ("temperature", None, "[null, null, 1, 0, true, 2]"),
            ("temperature", -3, "[-3, 55, 1, 0, true, 2]"),
            ("pin", {13: 0}, "[-3, 55, 0, 0, true, 2]"),
            ("adc", {34: 1200}, "[-3, 55, 0, 1200, true, 2]"),
            ("wifi", 0, "[-3, 55, 0, 1200, false, 1]"),
        ):
            vb.set(name, value)
            vb.wait_for_line(re.escape("sees " + seen), LIMIT_S)
        vb.wait_for_event("^neopixel 16: ff8000 000000$")
        assert "neopixel" not in vb.console()
        for name, value, why in (
            ("heat", 1, "'heat' is nothing that can be set; there are temperature"),
            ("temperature", "warm", "temperature: 'warm' is not a number"),
            ("humidity", 101, "humidity: 101 is not possible: must be 0 to 100 %"),
            ("humidity", None, "humidity: 'None' is not a number"),
            ("steps", 5, "steps: the board has none of bma423, qmi8658"),
            ("pin", 1, "pin: must be values by pin"),
        ):
            with pytest.raises(ControlError, match=why):
                vb.set(name, value)


TIMERS = """
from machine import Timer
again = Timer(0)
again.init(period=10, callback=lambda timer: print("again", timer is again))
Timer(-1, mode=Timer.ONE_SHOT, period=10, callback=lambda timer: print("once"))
"""


def test_timers(make):
    """They go on when the program has ended, which feeds a watchdog at the prompt."""
    vb = make(main=TIMERS)
    with vb, terminal(vb) as t:
        vb.wait_for_line(">>> ", LIMIT_S)
        for _ in range(2):
            t.until(b"again True\r\n")
        t.send(b"again.deinit()\rprint('the ' + 'end')\r")
        # What two of them print at once is mixed, a word at a time
        t.until(b"the end")
        assert vb.console().count("once") == 1


@pytest.mark.parametrize("name", PORTS)
def test_ports_own_modules(make, name):
    main, lines = PORTS[name]
    vb = make(name, main)
    with vb:
        vb.wait_for_line(">>> ", LIMIT_S)
        said = vb.console().splitlines()
        assert [line for line in said if line in lines] == lines, said
