"""The smallest size with which something works."""

from collections.abc import Callable

CONFIRMATIONS = 2


def smallest(trial: Callable[[int], str], low: int, high: int, step: int = 1) -> int:
    """Return the smallest size from `low` to `high` with which `trial` works, by `step`.

    `trial` returns "" or why it did not work. What was found has worked three times: a collector
    that looks at the stack for pointers makes a heap a little larger or smaller from run to run.
    Raises RuntimeError where not even `high` is enough.
    """
    why = trial(high)
    if why:
        raise RuntimeError(f"fails even with {high}: {why}")
    fails, works = low - step, high
    while works - fails > step:
        middle = (fails + works) // 2
        if trial(middle):
            fails = middle
        else:
            works = middle
    while any(trial(works) for _ in range(CONFIRMATIONS)):
        works += step
        if works > high:
            raise RuntimeError(f"works with {high} at one time and not at another")
    return works
