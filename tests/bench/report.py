"""The figures as a table."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .figures import FIGURES
from .run import Results, Row


def progress(console: Console, text: str) -> None:
    """Say what is under way."""
    console.print(f"… {text}", style="dim", markup=False, highlight=False)


def show(console: Console, results: Results) -> None:
    """Print the rows, each with a mark, and their notes."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("figure", "what"):
        table.add_column(name)
    for name in ("ours", "target"):
        table.add_column(name, justify="right")
    table.add_column("")
    table.add_column("peers")
    for row in results["rows"]:
        better = "≤" if row["better"] == "lower" else "≥"
        beside = "\n".join(f"{number(v)}  {name}" for name, v in row["peers"].items())
        table.add_row(
            row["id"],
            f"{row['what']}, {row['unit']}{as_of(row)}",
            "–" if row["ours"] is None else number(row["ours"]),
            "" if row["target"] is None else f"{better} {number(row['target'])}",
            mark(row),
            beside,
        )
    console.print(table)
    for row in results["rows"]:
        if row["note"]:
            console.print(f"{row['id']}: {row['note']}", markup=False, highlight=False)
    marks = [mark(row).plain for row in results["rows"]]
    console.print(
        f"{len(marks)} figures, {marks.count('MISSED')} targets missed, "
        f"{marks.count('failed')} failed, {marks.count('skipped')} skipped",
        style="bold",
        highlight=False,
    )


def as_of(row: Row) -> str:
    """Return when and where a soak figure was measured, as a line below; "" for other figures."""
    machine = row.get("machine")
    if not machine:
        return ""
    day = str(machine["date"]).partition("T")[0]
    return f"\nas of {day}, {machine['cpu']}, {machine['cores']} cores"


def mark(row: Row) -> Text:
    """Return the row's verdict, "" where there is nothing to reach."""
    ours = row["ours"]
    if ours is None:
        failed = row["note"].startswith("failed: ")
        return Text("failed", style="bold red") if failed else Text("skipped", style="yellow")
    if row["target"] is None:
        return Text("")
    if FIGURES[row["id"]].meets(ours):
        return Text("ok", style="green")
    return Text("MISSED", style="bold red")


def number(value: float) -> str:
    """Return `value` for reading."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"
