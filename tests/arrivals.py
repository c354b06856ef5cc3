"""What a server sees of those who keep a request limit."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def worst_window(arrivals: Iterable[float], period: float) -> int:
    """The largest number of arrivals in any window [t, t + period)."""
    times = sorted(arrivals)
    windows = (bisect_left(times, start + period) - place for place, start in enumerate(times))
    return max(windows, default=0)
