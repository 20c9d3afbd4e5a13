"""From a device's files and a firmware to a board that runs them: what `uxmpp flash` does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import UxmppError
from ..provision import secret
from ..provision.device_file import DeviceFile
from . import content, esp, image, partitions, rp2, uf2
from .boards import Board
from .errors import NOTHING, FlashError
from .firmware import Firmware
from .progress import Report, size

#: Paths that describe() names before it counts the rest.
MAX_NAMED = 6


@dataclass(frozen=True)
class Job:
    """What goes onto a board: made by prepare(), which has checked that it fits together."""

    board: Board
    firmware: Firmware
    files: Mapping[str, bytes]
    image: bytes


@dataclass(frozen=True)
class Flashed:
    """A board that was flashed, on the port or drive `where`; `runs`: it has started, and else
    somebody has to press reset."""

    where: str
    runs: bool


def check_board(board: Board) -> None:
    """Raise FlashError for a board that is not flashed."""
    if board.port == "linux":
        raise FlashError(
            f"{board.name}: has no flash of ours: on the {board.title}, `uxmpp run` starts the "
            "device, and `uxmpp install-service` makes it start at each boot"
        )


def device_files(
    device: DeviceFile, board: Board, *, keep_password: bool = False, ask: bool = True
) -> dict[str, bytes]:
    """Return all files of a device, with the login keys of device.toml, else with those that its
    server and the password give (from the file, UXMPP_PASSWORD, the keyring, or with `ask` the
    terminal), else, only with `keep_password`, with the password itself. Raises UxmppError."""
    if device.values.get("keys"):
        return content.device_files(device, board, keys=device.values["keys"])
    password = secret.password(device.jid, device.values.get("password"), ask=ask)
    if not password:
        raise FlashError(
            f"{device.jid}: no password is known: set {secret.VARIABLE}, or have `uxmpp "
            "provision` make the account"
        )
    if keep_password:
        return content.device_files(device, board, password)
    from ..provision import login_keys

    return content.device_files(device, board, keys=login_keys.derive(device, password))


def prepare(board: Board, firmware: Firmware, files: Mapping[str, bytes]) -> Job:
    """Return what is to be written, with the file system's image as large as the firmware will
    expect it. Raises FlashError, FirmwareError, ImageError."""
    check_board(board)
    return Job(board, firmware, files, image.build(board, files))


def parts(job: Job) -> list[esp.Part]:
    """Return what is written where in the flash of an ESP32."""
    assert job.board.firmware_offset is not None
    return [
        esp.Part(job.firmware.title, job.board.firmware_offset, job.firmware.data),
        esp.Part("file system", job.board.fs_offset, job.image),
    ]


def whole(job: Job) -> bytes:
    """Return all in one file: for an RP2 the UF2 that its drive takes, for an ESP32 the flash
    from its first byte."""
    if job.board.port == "rp2":
        assert job.board.uf2_family is not None
        return uf2.combine(job.firmware.data, job.board.fs_offset, job.image, job.board.uf2_family)
    made = bytearray(b"\xff" * (job.board.fs_offset + job.board.fs_size))
    for part in parts(job):
        made[part.at : part.at + len(part.data)] = part.data
    return bytes(made)


def describe(job: Job) -> list[str]:
    """Return in lines what will be written where."""
    board, firmware = job.board, job.firmware
    at = "" if board.firmware_offset is None else f" at {board.firmware_offset:#x}"
    machine = f", for {firmware.machine}" if firmware.machine else ""
    contents = [data for path, data in job.files.items() if not path.endswith("/")]
    named = [path for path in job.files if "/" not in path][:MAX_NAMED]
    more = len(contents) - len(named)
    names = ", ".join(named) + (f" and {more} more" if more else "")
    return [
        f"Board     {board.title}",
        f"Firmware  {firmware.title}{machine}: {size(len(firmware.data))}{at} "
        f"({firmware.path.name})",
        f"Files     {len(contents)} with {size(sum(map(len, contents)))}, in a file system of "
        f"{size(len(job.image))} at {board.fs_offset:#x}: {names}",
    ]


def flash(
    job: Job,
    *,
    port: str | None = None,
    drive: Path | None = None,
    baud: int = esp.BAUD,
    may_lose: Callable[[str], bool] | None = None,
    report: Report | None = None,
) -> Flashed:
    """Write firmware and file system, verify them, and start the board.

    An ESP32 on `port` (needed; ports.choose() finds one). An RP2 at the `drive`, else at the one
    that is mounted; a running MicroPython on `port` is asked to become one. Where the board holds
    a device or files of somebody, `may_lose` gets that in words and decides; without it that is
    an error; what is behind a drive cannot be seen. `report` is told of the progress. Raises
    FlashError, PortError, FirmwareError: one line that says in what state the board is.
    """
    report = report or Report()

    def check(where: str, look: Callable[[], str | None]) -> None:
        held = None if may_lose is anything else look()
        if held and not (may_lose and may_lose(held)):
            how = "" if may_lose else " Give --yes if that may be lost."
            raise FlashError(f"port {where}: the board holds {held}. {NOTHING}{how}")

    if job.board.port == "rp2":
        found = rp2.choose(job.board, drive, port, report.say, check)
        rp2.write(job.board, found, whole(job), report)
        return Flashed(str(found.folder), True)
    if port is None:
        raise FlashError(f"{job.board.title}: no port is given")
    with esp.Esp(job.board, port, baud=baud, report=report) as board:
        _check_region(job, port, board.flash_size)
        check(port, board.holds)
        board.write(parts(job))
        return Flashed(port, board.reset())


def anything(held: str) -> bool:
    """For flash(): all that is on a board may be lost; it is not even looked at."""
    return True


def _check_region(job: Job, port: str, flash_size: int) -> None:
    """Check that this firmware has its file system where the image goes, on this very board."""
    try:
        region = partitions.file_system(job.firmware.table, flash_size)
    except UxmppError as e:
        raise FlashError(f"port {port}: {e}. {NOTHING}") from None
    if (region.at, region.size) != (job.board.fs_offset, len(job.image)):
        file, has = job.board.path.name, size(flash_size)
        raise FlashError(
            f"port {port}: the flash of this board has {has}, not {size(job.board.flash_size)} as "
            f"{file} says, and {job.firmware.title} would look for {size(region.size)} of files "
            f"at {region.at:#x}. {NOTHING} Copy {file}, set flash_size = "
            f'{flash_size:#x} in it, and name the copy in device.toml: board = "./mine.toml"'
        )
