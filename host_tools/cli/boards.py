"""`uxmpp boards`."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..flash import boards as known
from ..flash.boards import Board

_KB, _MB = 1024, 1024 * 1024


def boards(
    name: Annotated[
        str | None,
        typer.Argument(
            help="One of them, or the TOML file of a board of your own: all about it.",
            metavar="[BOARD]",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """The boards that uxmpp knows, and what it knows of them."""
    if as_json:
        found = [known.load(name)] if name else known.every()
        told = [_plain(board) for board in found]
        print(json.dumps(told[0] if name else told, ensure_ascii=False, indent=2))
        return
    # What stands in a TOML file is no markup
    console = Console(highlight=False, markup=False)
    console.print(_one(known.load(name)) if name else _all(known.every()))
    if not name:
        console.print("\nAll about one: uxmpp boards NAME. One of your own: docs/new-board.md")


def _all(found: list[Board]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("Name", "Board", "MCU"):
        table.add_column(title, no_wrap=title != "Board")
    for title in ("Flash", "Heap"):
        table.add_column(title, justify="right", no_wrap=True)
    for b in found:
        flash = _size(b.flash_size) if b.flash_size else "-"
        table.add_row(b.name, b.title, b.mcu, flash, _size(b.heap))
    return table


def _one(b: Board) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    rows = [
        ("name", b.name),
        ("board", b.title),
        ("MCU", b.mcu + (", with PSRAM" if b.psram else "")),
        ("heap", _size(b.heap)),
    ]
    if b.flash_size:
        end = b.fs_offset + b.fs_size
        rows += [
            ("firmware", f"{b.firmware}, MicroPython 1.24 or newer"),
            ("mpy-cross", f"-march={b.mpy_arch}, for native code; bytecode needs none"),
            ("flash", _size(b.flash_size)),
            (
                "file system",
                f"{_size(b.fs_size)} at {b.fs_offset:#x}, to {end:#x}; littlefs, "
                f"{b.fs_size // b.block_size} blocks of {b.block_size}, read {b.read_size}, prog "
                f"{b.prog_size}, cache {b.cache_size}, lookahead {b.lookahead}",
            ),
        ]
    if b.firmware_offset is not None:
        rows.append(("firmware at", f"{b.firmware_offset:#x}"))
    if b.uf2_family is not None:
        rows.append(("UF2 family", f"{b.uf2_family:#x}"))
    if b.usb:
        rows.append(("USB", ", ".join(f"{vid:04x}:{pid:04x}" for vid, pid in b.usb)))
    if b.pins:
        rows.append(("pins", ", ".join(f"{k} {v}" for k, v in b.pins.items())))
    if b.hal_folder:
        rows.append(("hal", f"{b.hal}/hal.py"))
    rows.append(("bootloader", b.bootloader))
    if b.note:
        rows.append(("note", b.note))
    for name, text in rows:
        table.add_row(name, text)
    return table


def _plain(board: Board) -> dict[str, Any]:
    told = asdict(board)
    told["usb"] = [f"{vid:04x}:{pid:04x}" for vid, pid in board.usb]
    told["path"] = str(board.path)
    return told


def _size(count: int) -> str:
    unit, name = (_MB, "MB") if count >= _MB else (_KB, "KB")
    return f"{count / unit:.4g} {name}"
