"""The list of figures. A figure is a function; adding one is adding a function."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .world import World

Better = Literal["lower", "higher"]


class Skipped(Exception):  # noqa: N818 - it is no error
    """What is to be measured is not there (yet); the text says what."""


@dataclass(frozen=True)
class Result:
    """What a figure's function returns: our value, the peers', and how they came about."""

    ours: float
    peers: dict[str, float] = field(default_factory=dict)
    note: str = ""


Measure = Callable[["World"], Result]


@dataclass(frozen=True)
class Figure:
    """A figure and how it is measured. `target` None: there is none.

    `exact` figures come out the same in every run, so that a test can hold them. `soak` figures
    take up to an hour, and are measured only when asked for.
    """

    id: str
    what: str
    unit: str
    better: Better
    target: float | None
    exact: bool
    measure: Measure
    soak: bool = False

    def meets(self, value: float) -> bool:
        """Tell whether `value` reaches the target."""
        if self.target is None:
            return True
        return value <= self.target if self.better == "lower" else value >= self.target


FIGURES: dict[str, Figure] = {}


def figure(
    id: str,
    what: str,
    unit: str,
    *,
    better: Better = "lower",
    target: float | None = None,
    exact: bool = False,
    soak: bool = False,
) -> Callable[[Measure], Measure]:
    """Register the function below as the figure `id`."""

    def register(measure: Measure) -> Measure:
        if id in FIGURES:
            raise ValueError(f"two figures have the id {id}")
        FIGURES[id] = Figure(id, what, unit, better, target, exact, measure, soak)
        return measure

    return register
