"""`python -m tests.bench`: measure, print, and write bench/results.json."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from . import report, run
from .figures import FIGURES

LOG_WIDTH = 140  # where nobody says how wide the paper is


def main() -> int:
    """Return 0 when everything was measured, 1 when a measurement failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only", metavar="GLOB", action="append", help="figures by id, as 'size.*'; repeatable"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, wider steps")
    parser.add_argument(
        "--soak", action="store_true", help="the figures that take up to an hour, and no others"
    )
    parser.add_argument("--list", action="store_true", help="list the figures and their targets")
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="where to write; without it, a whole run that is not quick writes "
        "bench/results.json, and one with --soak replaces its rows there",
    )
    args = parser.parse_args()
    console = Console()
    if not console.is_terminal:
        console = Console(width=LOG_WIDTH)
    if args.list:
        for f in FIGURES.values():
            target = "" if f.target is None else f" ({f.better}, target {f.target:g} {f.unit})"
            long = ", --soak" if f.soak else ""
            console.print(f"{f.id}: {f.what}{target}{long}", highlight=False, markup=False)
        return 0
    # Each row of a soak figure says by itself where it comes from
    whole = not args.quick and (args.soak or not args.only)
    output = args.output or (run.RESULTS if whole else None)
    only = args.only or ["*"]
    say = Console(stderr=True)

    def soaked(results: run.Results) -> None:
        if output:
            run.write(run.updated(results), output)

    try:
        run.recorded()  # before hours of work
        measured = run.measure(
            only,
            quick=args.quick,
            soak=args.soak,
            say=lambda t: report.progress(say, t),
            each=soaked if args.soak else None,
        )
        results = measured if args.soak else run.with_soak(measured, only)
    except KeyboardInterrupt:
        return 130
    except run.ResultsError as e:
        say.print(str(e), markup=False, soft_wrap=True)
        return 2
    if not results["rows"]:
        say.print(f"no figure is called {' or '.join(only)}; see --list", markup=False)
        return 2
    report.show(console, results)
    if output and not args.soak:
        run.write(results, output)
    return 1 if any(row["note"].startswith("failed: ") for row in measured["rows"]) else 0


if __name__ == "__main__":
    sys.exit(main())
