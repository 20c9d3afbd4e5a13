"""Writes the flash of an RP2: a UF2 file, copied to the drive that its bootloader is."""

import ast
import contextlib
import errno
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import held, ports
from .boards import Board
from .errors import HALF, NOTHING, FlashError
from .progress import Report

#: What says that a drive is a UF2 bootloader's.
INFO = "INFO_UF2.TXT"
#: The most bytes of it.
MAX_INFO = 4096
#: What the file is called on the drive; it is never seen there.
NAME = "uxmpp.uf2"
#: Bytes that go to the drive before the next progress.
CHUNK = 256 * 1024
#: Seconds for the drive to go away once it has all, and to come after a restart.
LEAVE_LIMIT_S = 30.0
COME_LIMIT_S = 20.0
#: Seconds for a running MicroPython to answer, and the most bytes of what it holds.
REPL_LIMIT_S = 10.0
MAX_LISTING = 16384

#: The Board-ID of the bootloader of an MCU, which is also the drive's label.
_IDS = {"rp2040": "RPI-RP2", "rp2350": "RP2350"}
_MOUNTS = Path("/proc/self/mounts")
_LABELS = Path("/dev/disk/by-label")
_POLL_S = 0.05
_WAITS = "The board waits in its bootloader; plugged in again it runs what it has."
# The account alone: what logs it in is nobody's business
_LISTING = """
import json, os
try:
    with open("/device.json") as f:
        jid = json.load(f).get("jid")
except Exception:
    jid = None
print((os.listdir("/"), jid))
"""


#: Gets where a board is, and what tells in words what it holds, or None; raises FlashError where
#: that may not be lost.
Check = Callable[[str, Callable[[], str | None]], None]


@dataclass(frozen=True)
class Drive:
    """A bootloader's drive: its folder, and what it says of itself."""

    folder: Path
    board_id: str
    model: str

    def __str__(self) -> str:
        return f"{self.folder} ({self.model or self.board_id})"


def drives(mounts: Iterable[Path] | None = None) -> list[Drive]:
    """Return the bootloader drives among the mounted volumes (`mounts`: these)."""
    found = []
    for folder in _volumes() if mounts is None else mounts:
        with contextlib.suppress(FlashError):
            found.append(read_drive(folder))
    return found


def read_drive(folder: Path) -> Drive:
    """Return the drive in a folder. Raises FlashError where it is none."""
    try:
        with (folder / INFO).open("rb") as f:
            text = f.read(MAX_INFO).decode("ascii", "replace")
    except OSError:
        raise FlashError(
            f"drive {folder}: is no bootloader's drive: it has no {INFO}. {NOTHING}"
        ) from None
    said = dict(re.findall(r"^([\w-]+): *([^\r\n]*?) *\r?$", text, re.M))
    return Drive(folder, said.get("Board-ID", "?"), said.get("Model", ""))


def choose(
    board: Board,
    drive: Path | None,
    port: str | None,
    say: Callable[[str], None],
    check: Check | None = None,
    *,
    mounts: Iterable[Path] | None = None,
) -> Drive:
    """Return the drive of the board's bootloader, as look() finds it; a MicroPython on a port is
    asked to restart into its bootloader, and then to be that drive, if `check` does not mind.
    Raises FlashError or PortError, and what `check` raises."""
    found = look(board, drive, port, mounts=mounts)
    if isinstance(found, Drive):
        if drive is None:
            say(f"Found {found}")
        return found
    restart(found, say, check)
    try:
        return _come(board, mounts)
    except (KeyboardInterrupt, SystemExit):
        raise FlashError(f"port {found}: stopped. {NOTHING} {_WAITS}") from None


def look(
    board: Board,
    drive: Path | None,
    port: str | None,
    *,
    mounts: Iterable[Path] | None = None,
) -> Drive | str:
    """Return the drive of the board's bootloader: in the folder `drive`, else the mounted one; if
    there is none, the port where a MicroPython may become it: `port`, or the one that may be the
    board's. Raises FlashError."""
    if drive is not None:
        found = read_drive(drive)
        _check(board, found)
        return found
    there = drives(mounts)
    own = [d for d in there if d.board_id == _IDS[board.mcu]]
    if len(own) > 1:
        listed = ", ".join(map(str, own))
        raise FlashError(
            f"several bootloader drives are here: {listed}. {NOTHING} Say which by --drive."
        )
    if own:
        return own[0]
    if there:
        _check(board, there[0])
    label = _LABELS / _IDS[board.mcu]
    if label.exists():
        raise FlashError(
            f"the board's drive is there, {label}, and not mounted. {NOTHING} Mount it, and say "
            "where by --drive FOLDER."
        )
    running = [port] if port else [p.device for p in ports.of_boards(board, ports.on_usb())]
    if len(running) > 1:
        raise FlashError(
            f"no bootloader drive is here, and several ports may be the {board.title}: "
            f"{', '.join(running[: ports.MAX_LISTED])}. {NOTHING} Say which by --port."
        )
    if not running:
        raise FlashError(
            f"no bootloader drive of a {board.title} is here. {NOTHING} {board.bootloader} Or "
            "write the file beside by --out FILE, and drag it there."
        )
    return running[0]


def restart(port: str, say: Callable[[str], None], check: Check | None = None) -> None:
    """Have the MicroPython on `port` restart into the bootloader; `check` may raise an error for
    what it holds, and then it goes on as it was. Raises FlashError."""
    from mpremote.transport import TransportError  # type: ignore[import-untyped]
    from mpremote.transport_serial import SerialTransport  # type: ignore[import-untyped]
    from serial import SerialException  # type: ignore[import-untyped]

    say(f"Asking {port} to restart into its bootloader")
    try:
        # The transport does not say why a port does not open
        ports.open_port(port).close()
    except ports.PortError as e:
        raise ports.PortError(f"{e}. {NOTHING}") from None
    transport: Any = None
    try:
        transport = SerialTransport(port)
        transport.enter_raw_repl(soft_reset=False, timeout_overall=REPL_LIMIT_S)
        try:
            if check is not None:
                check(port, lambda: _held(transport))
        except BaseException:
            # A soft reset: what ran there was interrupted
            with contextlib.suppress(TransportError, SerialException, OSError):
                transport.exit_raw_repl()
                transport.serial.write(b"\4")
            raise
        # It is gone before it can say that it goes
        with contextlib.suppress(TransportError, SerialException, OSError):
            transport.exec_raw_no_follow("import machine\nmachine.bootloader()")
    except (TransportError, SerialException, OSError) as e:
        text = " ".join(str(e).split())[:120]
        raise FlashError(
            f"port {port}: MicroPython does not answer there ({text}). {NOTHING} Hold BOOTSEL "
            "while you plug the board in."
        ) from None
    finally:
        with contextlib.suppress(Exception):
            transport.close()


def _held(transport: Any) -> str | None:
    """Return in words what the MicroPython behind a raw prompt has in its flash."""
    try:
        names, jid = ast.literal_eval(transport.exec(_LISTING)[:MAX_LISTING].decode())
        return held.words([str(name) for name in names], jid)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return "files that it does not name"


def write(board: Board, drive: Drive, data: bytes, report: Report | None = None) -> None:
    """Copy the UF2 file `data` to the drive, and wait until the bootloader, which then has all
    blocks, has restarted the board. Raises FlashError, which says in what state the board is."""
    _check(board, drive)
    report = report or Report()
    name = "the UF2 file"
    done = 0
    try:
        with (drive.folder / NAME).open("wb", buffering=0) as f:
            while done < len(data):
                report.at(name, done, len(data))
                if done and not _there(drive):
                    raise OSError(errno.EIO, "the drive is gone")
                done += f.write(data[done : done + CHUNK])
                # Else it is in this computer's memory, and the bar is at the end at once
                os.fsync(f.fileno())
    except OSError as e:
        failed = _failed(drive, e, done, len(data))
        if failed:
            raise failed from None
    except (KeyboardInterrupt, SystemExit):
        if done:
            raise FlashError(
                f"drive {drive.folder}: stopped at {done / len(data):.0%} of the UF2 file. "
                f"{HALF} Flash it again: {board.bootloader}",
                written=True,
            ) from None
        raise
    report.at(name, done, len(data))
    end = time.monotonic() + LEAVE_LIMIT_S
    while _there(drive):
        if time.monotonic() > end:
            raise FlashError(
                f"drive {drive.folder}: is still there {LEAVE_LIMIT_S:.0f} s after all was "
                f"copied: the bootloader did not take the file. {HALF} Flash it again: "
                f"{board.bootloader}",
                written=True,
            )
        time.sleep(_POLL_S)


def _failed(drive: Drive, error: OSError, done: int, total: int) -> FlashError | None:
    why = (error.strerror or str(error)).lower()
    if done == total and not _there(drive):
        return None  # It restarts with the last block, and does not wait for the folder's entry
    if not done:
        if not _there(drive):
            return FlashError(f"drive {drive.folder}: is gone: plug it in again. {NOTHING}")
        return FlashError(f"drive {drive.folder}: cannot be written: {why}. {NOTHING}")
    return FlashError(
        f"drive {drive.folder}: the board went away at {done / total:.0%} of the UF2 file ({why})."
        f" {HALF} Hold BOOTSEL while you plug it in, and flash it again.",
        written=True,
    )


def _check(board: Board, drive: Drive) -> None:
    wanted = _IDS[board.mcu]
    if drive.board_id != wanted:
        raise FlashError(
            f"drive {drive.folder}: its Board-ID is {drive.board_id[:40]}, and that of the "
            f"{board.title} is {wanted}: it is another board. {NOTHING}"
        )


def _there(drive: Drive) -> bool:
    try:
        return (drive.folder / INFO).is_file()
    except OSError:
        return False


def _come(board: Board, mounts: Iterable[Path] | None) -> Drive:
    """Wait for the drive of a board that restarts."""
    end = time.monotonic() + COME_LIMIT_S
    listed = None if mounts is None else list(mounts)
    while time.monotonic() < end:
        for drive in drives(listed):
            if drive.board_id == _IDS[board.mcu]:
                return drive
        time.sleep(_POLL_S)
    raise FlashError(
        f"the board's drive {_IDS[board.mcu]} did not come within {COME_LIMIT_S:.0f} s of its "
        f"restart. {NOTHING} If nothing mounts it here by itself, mount it and say where by "
        f"--drive FOLDER. {_WAITS}"
    )


def _volumes() -> list[Path]:
    """Return the mounted volumes that may be a bootloader's: of a FAT, which it always is; a
    network's may take minutes to say what is in them."""
    if sys.platform == "darwin":
        return sorted(Path("/Volumes").glob("*"))
    if os.name == "nt":
        return [Path(f"{letter}:/") for letter in "DEFGHIJKLMNOPQRSTUVWXYZ"]
    try:
        lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    return mounted(lines)


def mounted(lines: Iterable[str]) -> list[Path]:
    """Return the folders of FAT volumes in the lines of Linux's /proc/mounts."""
    found = []
    for line in lines:
        fields = line.split(" ")
        if len(fields) > 2 and fields[2] in ("vfat", "msdos"):
            folder = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields[1])
            found.append(Path(folder))
    return found
