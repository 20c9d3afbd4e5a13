"""Who is told how far the flashing is."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


class Report:
    """Nobody is told; whoever is, overrides these."""

    def say(self, text: str) -> None:
        """A line."""

    def at(self, what: str, done: int, total: int) -> None:
        """Of what is being written (its name), `done` of `total` bytes are there."""


class Bars(Report):
    """At a terminal: a bar for each part, with its rate and the time that is left. Elsewhere
    the lines alone. For a `with`."""

    def __init__(self, console: "Console") -> None:
        # Most commands show no bar
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)

    def at(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            # Not before: a question may be asked in between
            self._bars.start()
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)


def size(count: int) -> str:
    """Return a number of bytes as people read it: "1.7 MiB", "143 KiB", "12 bytes"."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit:
            text = f"{count / unit:.1f}".removesuffix(".0")
            return f"{text} {name}"
    return f"{count} bytes"
