"""Short rounds in turn, so that whatever else the machine does falls upon all sides alike."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles."""

    median: float
    lower: float
    upper: float

    def __format__(self, spec: str) -> str:
        if self.lower == self.upper:
            return f"{self.median:{spec}}"
        return f"{self.median:{spec}} ({self.lower:{spec}} to {self.upper:{spec}})"


def spread(values: Iterable[float]) -> Spread:
    """Return the median and the quartiles of at least two values."""
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, lower, upper)


def ratio(these: Iterable[float], those: Iterable[float]) -> Spread:
    """Return the spread of the ratios round by round: what a slow moment does to both sides cancels out."""
    return spread(one / other for one, other in zip(these, those, strict=True))


def cpu(work: Callable[[], object], times: int) -> float:
    """Return the CPU seconds of doing it once, as the mean of so many times."""
    gc.collect()  # What another side has left behind is not to be this side's garbage.
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def take_turns(sides: Mapping[K, Callable[[], T]], *, rounds: int, warm_up: int = 1) -> dict[K, list[T]]:
    """Run every side once a round, a different one first each time.

    Args:
        sides: What each side does in a round.
        rounds: Rounds that count.
        warm_up: Rounds before them that do not.

    Returns:
        What each side returned, round by round.
    """
    names = list(sides)
    results: dict[K, list[T]] = {name: [] for name in names}
    for turn in range(warm_up + rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            result = sides[name]()
            if turn >= warm_up:
                results[name].append(result)
    return results
