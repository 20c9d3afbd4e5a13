"""`uxmpp flash`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import UxmppError
from ..flash import boards, content, esp, firmware, flasher, ports, rp2
from ..flash.progress import Bars, size
from ..provision import device_file
from ..provision.device_file import DeviceFile


def flash(
    config: Annotated[
        Path, typer.Argument(help="The device's settings.", metavar="[DEVICE.TOML]")
    ] = Path("device.toml"),
    port: Annotated[
        str | None,
        typer.Option(
            help="The serial port, socket://HOST:PORT or rfc2217://HOST:PORT; else the one that"
            " the board is found on."
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option("--firmware", help="A file with MicroPython for the board, offline."),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            "--micropython",
            help="The version to fetch, or newest; else the last that was fetched for the board,"
            " and then the newest.",
        ),
    ] = None,
    drive: Annotated[
        Path | None,
        typer.Option(help="The folder of the bootloader's drive; else where it is found."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write one file with all, and no board: a UF2 to drag, or a .bin."),
    ] = None,
    baud: Annotated[int, typer.Option(help="Bits a second to an ESP32.")] = esp.BAUD,
    keep_password: Annotated[
        bool,
        typer.Option(
            "--keep-password",
            help="Write the password itself, not login keys: without the server, and whoever"
            " reads the board's flash has it.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="What the board holds may be lost.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be written where.")
    ] = False,
) -> None:
    """Put MicroPython, the app and the device's settings onto a board, in one pass."""
    console = Console(highlight=False)
    with Bars(console) as bars:
        device = device_file.read(config)
        if not device.values.get("board"):
            raise UxmppError(f'{config}: which board? Write board = "…"; uxmpp boards lists them')
        board = boards.load(device.values["board"], config.parent)
        flasher.check_board(board)
        if image is not None and version is not None:
            raise UxmppError("--firmware and --micropython: only one of them")
        if drive is not None and board.port != "rp2":
            raise UxmppError(f"--drive: the {board.title} has no drive: say which port by --port")
        touched = not (dry_run or out)
        # Before anything that takes long, or asks
        if out:
            _check_out(out, [config, *([image] if image else [])])
        if touched and board.port == "esp32":
            port = ports.choose(board, port, bars.say)
        elif touched:
            rp2.look(board, drive, port)
        found = (
            firmware.from_file(board, image) if image else firmware.get(board, version, bars.say)
        )
        if dry_run:
            # Without the server, and without a password
            files = content.device_files(device, board)
        else:
            files = flasher.device_files(device, board, keep_password=keep_password)
        job = flasher.prepare(board, found, files)
        for line in flasher.describe(job):
            bars.say(line)
        bars.say(f"Device    {_device(device, keep_password)}")
        if dry_run:
            bars.say("Nothing was written.")
            return
        if out:
            # It holds what logs the device in
            device_file.write(out, flasher.whole(job), 0o600)
            bars.say(f"{out} is written, {size(out.stat().st_size)}. {_how(board, out)}")
            return
        may_lose = flasher.anything if yes else _ask if _asks() else None
        done = flasher.flash(
            job, port=port, drive=drive, baud=baud, may_lose=may_lose, report=bars
        )
    bars.say(f"{done.where}: written and verified." if board.port == "esp32" else _taken(done))
    for line in _next(device, done, done.where if board.port == "esp32" else None):
        bars.say(line)


def _device(device: DeviceFile, keep_password: bool) -> str:
    values = device.values
    version = values.get("version", content.VERSION)
    app = content.app_name(content.find_app(device))
    login = "login keys, not the password"
    if keep_password and not values.get("keys"):
        login = "THE PASSWORD ITSELF: whoever reads the flash has it"
    return f"{device.jid}, app {app} {version}; {login}"


def _asks() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _ask(held: str) -> bool:
    answer = input(f"The board holds {held}. All of it will be lost. Go on? [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def _check_out(out: Path, read: list[Path]) -> None:
    if out.exists() and not out.is_file():
        raise UxmppError(f"--out {out}: is no file; name one, kitchen.bin")
    if not out.parent.is_dir():
        raise UxmppError(f"--out {out}: there is no folder {out.parent}")
    if out.exists() and any(path.exists() and path.samefile(out) for path in read):
        raise UxmppError(f"--out {out}: is what is read: name another file")


def _how(board: boards.Board, out: Path) -> str:
    if board.port == "rp2":
        return f"{board.bootloader} Drag the file there."
    return f"Write it with: esptool --chip {board.chip} write-flash 0x0 {out}"


def _taken(done: flasher.Flashed) -> str:
    return f"{done.where}: the bootloader has taken all blocks and restarted the board."


def _next(device: DeviceFile, done: flasher.Flashed, port: str | None) -> list[str]:
    """Return what is left to do, in lines."""
    values = device.values
    lines = [] if done.runs else ["Press reset on the board: this port cannot."]
    at = f" --port {port}" if port else ""
    lines.append(f"uxmpp monitor{at} shows what it does.")
    if values.get("wifi") == {}:
        lines.append(f"uxmpp wifi{at} gives it a network.")
    if "pair" in values and not values.get("owners"):
        own = f"the code of {device.path.name}"
        code = own if values["pair"] else "the code that uxmpp monitor shows"
        lines.append(f"Become its owner: send `pair CODE` to {device.jid}, with {code}.")
    elif values.get("owners"):
        lines.append(f"Then write `help` to {device.jid}, as {values['owners'][0]}.")
    return lines
