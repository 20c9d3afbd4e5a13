"""One run: measure the figures, and write what came out."""

import json
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NotRequired, TypedDict

from .figures import FIGURES
from .registry import Figure, Result, Skipped
from .world import World

RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results.json"
NEVER = "skipped: it takes long, and was not measured yet: make soak"
#: Characters of what a failure says that are kept.
MAX_FAILURE = 400


class ResultsError(Exception):
    """What was recorded cannot be read; the text says why."""


class Row(TypedDict):
    """A figure's row. `ours` None: the note says why. A soak figure's row has the machine it was
    measured on, None where it was not yet."""

    id: str
    what: str
    unit: str
    better: str
    ours: float | None
    peers: dict[str, float]
    target: float | None
    note: str
    machine: NotRequired[dict[str, object] | None]


class Results(TypedDict):
    """What is written."""

    machine: dict[str, object]
    rows: list[Row]


def measure(
    only: Iterable[str] = ("*",),
    *,
    quick: bool = False,
    soak: bool = False,
    say: Callable[[str], None] | None = None,
    each: Callable[[Results], None] | None = None,
) -> Results:
    """Measure the figures whose ids fit a pattern in `only`, those of `soak` or the others; `say`
    is told what is under way, `each` what there is after each of them.

    A figure that fails becomes a row that says so, in one line.
    """
    rows: list[Row] = []
    with World(quick) as world:
        for f in _fitting(only, soak):
            if say:
                say(f.id)
            try:
                row = _row(f, f.measure(world))
            except Skipped as e:
                row = _row(f, None, f"skipped: {e}")
            except Exception as e:  # noqa: BLE001 - the others are still to be measured
                row = _row(f, None, f"failed: {_one_line(e)}")
                if say and len(str(e)) > MAX_FAILURE:
                    say(f"{f.id} failed: {e}")
            if soak:
                row["machine"] = world.machine()
            rows.append(row)
            if each:
                each({"machine": world.machine(), "rows": rows})
        return {"machine": world.machine(), "rows": rows}


def recorded() -> Results | None:
    """Return what stands in RESULTS, None where there is no such file. Raises ResultsError."""
    try:
        results: Results = json.loads(RESULTS.read_text("utf-8"))
        if not all(isinstance(row["id"], str) for row in results["rows"]):
            raise ValueError("a row without an id")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as e:
        raise ResultsError(f"{RESULTS.name} cannot be read: {_one_line(e)}") from e
    return results


def with_soak(results: Results, only: Iterable[str] = ("*",)) -> Results:
    """Return `results` and, as recorded, the rows of the soak figures that fit `only`."""
    before = recorded()
    known = {row["id"]: row for row in before["rows"]} if before else {}
    rows = list(results["rows"])
    for f in _fitting(only, soak=True):
        row = _row(f, None, NEVER)
        row["machine"] = None
        if f.id in known and known[f.id].get("machine"):
            old = known[f.id]
            row["ours"], row["peers"], row["note"] = old["ours"], old["peers"], old["note"]
            row["machine"] = old["machine"]
        rows.append(row)
    return {"machine": results["machine"], "rows": _in_order(rows)}


def updated(results: Results) -> Results:
    """Return what was recorded, with the rows of `results` in place of the same figures'."""
    before = recorded()
    if not before:
        return results
    rows = {row["id"]: row for row in (*before["rows"], *results["rows"])}
    return {"machine": before["machine"], "rows": _in_order(rows.values())}


def write(results: Results, path: Path) -> None:
    """Write `results` as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def _fitting(only: Iterable[str], soak: bool) -> list[Figure]:
    patterns = list(only)
    return [
        f
        for f in FIGURES.values()
        if f.soak == soak and any(fnmatchcase(f.id, p) for p in patterns)
    ]


def _in_order(rows: Iterable[Row]) -> list[Row]:
    order = {id: n for n, id in enumerate(FIGURES)}
    return sorted(rows, key=lambda row: order.get(row["id"], len(order)))


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
    text = " ".join((str(e) or repr(e)).split())
    return text if len(text) <= MAX_FAILURE else f"{text[:MAX_FAILURE]} …"
