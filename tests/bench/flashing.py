"""What it takes to put a device onto a board: over a serial line of 460,800 baud, simulated."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from host_tools.flash import boards, content, firmware, flasher, image
from host_tools.lab import standin
from host_tools.lab.errors import LabError
from host_tools.lab.virtual_board import VirtualBoard
from host_tools.provision import device_file

from .registry import Result, figure
from .world import World

BAUD = 460_800
APP = "sensor"
TOOL_LIMIT_S = 300.0
PEERS = f"esptool {version('esptool')}, mpremote {version('mpremote')} cp"
MPREMOTE = f"of these by {PEERS.partition(', ')[2]}"

_DEVICE = """\
board = "esp32"
app = "{app}"
jid = "greenhouse@example.org"
password = "a long enough password"
pin = "{pin}"
owners = ["owner@example.org"]
wifi = {{ ssid = "home", password = "a long enough password" }}
"""


def _files(world: World) -> dict[str, bytes]:
    """Return all files of a device with the sensor app."""
    path = world.folder / "device.toml"
    path.write_text(_DEVICE.format(app=APP, pin="0f" * 32))
    path.chmod(0o600)
    device = device_file.read(path)
    return content.device_files(device, boards.load("esp32"), device.values["password"])


def _tool(*words: str | Path) -> None:
    """Run a program of Python's to its end. Raises LabError."""
    command = [sys.executable, "-m", *map(str, words)]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=TOOL_LIMIT_S, check=False
    )
    if ended.returncode:
        said = " | ".join((ended.stdout + ended.stderr).strip().splitlines()[-4:])
        raise LabError(f"{words[0]} failed: {said}")


def _check(virtual: VirtualBoard, files: dict[str, bytes]) -> None:
    """Switch the board off and look whether the files are in its flash. Raises LabError."""
    virtual.power_off()
    board = virtual.board
    there = image.read(virtual.flash.read(board.fs_offset, board.fs_size), board)
    wrong = [path for path, data in files.items() if there.get(path) != data]
    if wrong:
        raise LabError(f"{len(wrong)} files are not on the board, as {wrong[0]}")


def _ours(world: World, path: Path, files: dict[str, bytes]) -> tuple[float, int]:
    """Flash firmware and files in one pass; seconds and bytes on the line. The board starts from
    them, or that is a LabError."""
    board = boards.load("esp32")
    with VirtualBoard(board, world.folder / "ours", baud=BAUD) as virtual:
        virtual.hold_boot()
        virtual.line.clear()
        job = flasher.prepare(board, firmware.from_file(board, path), files)
        flasher.flash(job, port=virtual.port, may_lose=flasher.anything)
        took = virtual.line.busy_s, virtual.line.bytes_in + virtual.line.bytes_out
        virtual.press_reset()
        virtual.wait_for_line(r"greenhouse@example\.org")
        _check(virtual, files)
    return took


def _theirs(world: World, path: Path, files: dict[str, bytes]) -> tuple[float, int, float, int]:
    """Flash the firmware by esptool and copy the files by mpremote; seconds and bytes on the line
    of all and, of these, by mpremote."""
    board = boards.load("esp32")
    folder = world.folder / "files"
    for name, data in files.items():
        target = folder / name
        if name.endswith("/"):
            target.mkdir(parents=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    with VirtualBoard(board, world.folder / "theirs", baud=BAUD) as virtual:
        line = virtual.line
        virtual.hold_boot()
        line.clear()
        at = hex(board.firmware_offset or 0)
        _tool("esptool", "--port", virtual.port, "--baud", str(BAUD), "write-flash", at, path)
        seconds, count = line.busy_s, line.bytes_in + line.bytes_out
        virtual.press_reset()
        virtual.wait_for_line(">>> ")
        line.clear()
        top = sorted(str(p) for p in folder.iterdir())
        _tool("mpremote", "connect", virtual.port, "cp", "-r", *top, ":")
        copying, copied = line.busy_s, line.bytes_in + line.bytes_out
        _check(virtual, files)
    return seconds + copying, count + copied, copying, copied


def _measured(world: World) -> list[int]:
    """Return both figures, milliseconds and bytes: ours, theirs, mpremote's; measured once."""
    world.also.add("mp32")
    if "flashing" not in world.measured:
        files = _files(world)
        path = world.folder / "firmware.bin"
        size = standin.SIZE if world.quick else standin.REAL_SIZE
        path.write_bytes(standin.esp32(boards.load("esp32"), size=size))
        ours = _ours(world, path, files)
        theirs = _theirs(world, path, files)
        seconds = (ours[0], theirs[0], theirs[2])
        world.measured["flashing"] = [
            *(int(1000 * s) for s in seconds), ours[1], theirs[1], theirs[3],
            len(files), sum(map(len, files.values())), path.stat().st_size,
        ]  # fmt: skip
    return world.measured["flashing"]


def _note(found: list[int]) -> str:
    count, size, whole = found[6:]
    return (
        f"firmware of {whole:,} bytes (a stand-in that shrinks by a third, as MicroPython's does) "
        f"and {count} files with {size:,} bytes; each from the line's first byte to its last, "
        "and then they are in the flash"
    )


@figure(
    "flash.seconds",
    f"firmware and the {APP} app's device onto an ESP32, at {BAUD:,} baud",
    "s",
)
def flash_seconds(world: World) -> Result:
    """`uxmpp flash` beside esptool and then mpremote."""
    found = _measured(world)
    ours, theirs, copying = (ms / 1000 for ms in found[:3])
    return Result(ours, {PEERS: theirs, MPREMOTE: copying}, _note(found))


@figure(
    "flash.bytes",
    f"bytes on the line for firmware and the {APP} app's device onto an ESP32",
    "B",
)
def flash_bytes(world: World) -> Result:
    """As flash.seconds, both ways."""
    found = _measured(world)
    ours, theirs, copied = found[3:6]
    return Result(ours, {PEERS: theirs, MPREMOTE: copied}, _note(found))
