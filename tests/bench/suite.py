"""Parts of the other tests, which have no types."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]


def part(name: str) -> Any:
    """Return the module `name` of the folder tests, by the name that its own imports use."""
    if str(TESTS) not in sys.path:
        sys.path.insert(0, str(TESTS))
    return import_module(name)
