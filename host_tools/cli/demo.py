"""`uxmpp demo`."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ..lab.device import BOARD_HEAP

_COLUMN = 12


class Runtime(StrEnum):
    """Where the device's program runs."""

    micropython32 = "32"
    micropython64 = "64"
    cpython = "cpython"


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Hold a fixed conversation, then end.")
    ] = False,
    runtime: Annotated[
        Runtime, typer.Option(help="What the device runs on.")
    ] = Runtime.micropython32,
    heap: Annotated[str, typer.Option(help="The device's heap, on MicroPython.")] = BOARD_HEAP,
) -> None:
    """A local server, a device, and this terminal as its owner's chat."""
    # Its peers take a third of a second to load, and are not there without the extra `lab`
    from ..lab import demo as lab_demo

    console = Console(highlight=False)

    def show(who: str, text: str) -> None:
        style = {"": "dim", "you": "bold cyan"}.get(who, "bold green")
        for line in text.split("\n"):
            label = Text(f"{who:>{_COLUMN}}  ", style)
            console.print(label + Text(line), soft_wrap=True)
            who = ""

    good = asyncio.run(lab_demo.run(show, once=once, runtime=runtime.value, heap=heap))
    raise typer.Exit(0 if good else 1)
