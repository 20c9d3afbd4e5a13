"""One run: measure the figures, and write what came out."""

import json
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypedDict

from .figures import FIGURES
from .registry import Figure, Result, Skipped
from .world import World

RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results.json"


class Row(TypedDict):
    """A figure's row. `ours` None: the note says why."""

    id: str
    what: str
    unit: str
    better: str
    ours: float | None
    peers: dict[str, float]
    target: float | None
    note: str


class Results(TypedDict):
    """What is written."""

    machine: dict[str, object]
    rows: list[Row]


def measure(
    only: Iterable[str] = ("*",), *, quick: bool = False, say: Callable[[str], None] | None = None
) -> Results:
    """Measure the figures whose ids fit a pattern in `only`; `say` is told what is under way.

    A figure that fails becomes a row that says so, in one line.
    """
    patterns = list(only)
    wanted = [f for f in FIGURES.values() if any(fnmatchcase(f.id, p) for p in patterns)]
    rows: list[Row] = []
    with World(quick) as world:
        for f in wanted:
            if say:
                say(f.id)
            try:
                rows.append(_row(f, f.measure(world)))
            except Skipped as e:
                rows.append(_row(f, None, f"skipped: {e}"))
            except Exception as e:  # noqa: BLE001 - the others are still to be measured
                rows.append(_row(f, None, f"failed: {_one_line(e)}"))
        return {"machine": world.machine(), "rows": rows}


def write(results: Results, path: Path = RESULTS) -> None:
    """Write `results` as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def _row(f: Figure, result: Result | None, note: str = "") -> Row:
    return {
        "id": f.id,
        "what": f.what,
        "unit": f.unit,
        "better": f.better,
        "ours": result.ours if result else None,
        "peers": result.peers if result else {},
        "target": f.target,
        "note": result.note if result else note,
    }


def _one_line(e: Exception) -> str:
    return " ".join((str(e) or repr(e)).split())
