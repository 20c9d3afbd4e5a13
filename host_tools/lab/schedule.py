"""What befalls a line, and when: faults, and schedules of them that every machine has alike."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from .errors import LabError

NETWORK_KINDS = (
    "cut",
    "reset",
    "half_open",
    "stall",
    "delay",
    "throttle",
    "split",
    "refuse",
    "swallow",
    "babble",
)
SERVER_KINDS = ("stop", "kill", "restart", "forget")
ALL_KINDS = NETWORK_KINDS + SERVER_KINDS

_VARIANTS = {"half_open": ("closed", "kept"), "refuse": ("close", "reset")}


@dataclass(frozen=True)
class Fault:
    """One fault: it begins when a connection has carried `after` bytes, and lasts `seconds` where
    it goes on. `amount` is a delay's seconds each way or a throttle's bytes per second,
    `variant` "closed" or "kept" (half_open: the server's side), "close" or "reset" (refuse)."""

    kind: str
    after: int = 1
    seconds: float = 0.0
    amount: float = 0.0
    variant: str = ""

    def __post_init__(self) -> None:
        if self.kind not in ALL_KINDS:
            raise LabError(f"there is no fault {self.kind!r}, only {', '.join(ALL_KINDS)}")
        if self.variant not in _VARIANTS.get(self.kind, ("",)):
            raise LabError(f"{self.kind}: there is no variant {self.variant!r}")

    def __str__(self) -> str:
        words = [self.kind, self.variant, f"after {self.after} B"]
        if self.amount:
            words.append(f"of {self.amount:.3g} {'s' if self.kind == 'delay' else 'B/s'}")
        if self.seconds:
            words.append(f"for {self.seconds:.3f} s")
        return " ".join(word for word in words if word)


@dataclass
class Played:
    """What play() did: the fault, when it waited for a connection, began and ended
    (time.monotonic(); None: not yet), and whether there was one in time."""

    number: int
    fault: Fault
    waited: float
    began: float | None = None
    ended: float | None = None
    up: bool = False

    def line(self, first: float = 0.0) -> str:
        """It as one line, with its moments in seconds after `first`."""
        moments = {"waited from": self.waited, "began": self.began, "ended": self.ended}
        times = ", ".join(f"{w} {m - first:.3f} s" for w, m in moments.items() if m is not None)
        return f"{self.number}: {self.fault}; {times}{'' if self.up else ' (no connection)'}"


class Schedule(Sequence[Fault]):
    """`count` faults of `kinds`, the same ones for the same arguments on every machine.

    They begin after 1 to `most_bytes` bytes, mostly early, and last `shortest_s` to `longest_s`.
    """

    def __init__(
        self,
        seed: int,
        count: int,
        kinds: Sequence[str] = ALL_KINDS,
        *,
        shortest_s: float = 0.05,
        longest_s: float = 0.5,
        most_bytes: int = 16_384,
    ) -> None:
        self.seed = seed
        if not kinds:
            raise LabError("a schedule needs at least one kind of fault")
        # random() alone is promised to give the same with every version of Python
        rng = random.Random(seed).random

        def one() -> Fault:
            kind = kinds[int(rng() * len(kinds))]
            after = int(most_bytes ** rng())
            seconds = shortest_s + rng() * (longest_s - shortest_s)
            amount, which = rng(), rng()
            variants = _VARIANTS.get(kind, ("",))
            return Fault(
                kind,
                after,
                round(seconds, 3) if kind not in _MOMENTARY else 0.0,
                # 5 to 100 ms; 200 B/s to 20 KB/s
                {
                    "delay": round(0.005 * math.pow(20, amount), 4),
                    "throttle": round(200 * math.pow(100, amount)),
                }.get(kind, 0.0),
                variants[int(which * len(variants))],
            )

        self._faults = tuple(one() for _ in range(count))

    @overload
    def __getitem__(self, index: int) -> Fault: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Fault]: ...
    def __getitem__(self, index: int | slice) -> Fault | Sequence[Fault]:
        return self._faults[index]

    def __len__(self) -> int:
        return len(self._faults)

    def __str__(self) -> str:
        lines = (f"{n}: {fault}" for n, fault in enumerate(self))
        return "\n".join([f"seed {self.seed}", *lines])


_MOMENTARY = ("cut", "reset", "half_open", "restart", "forget")
