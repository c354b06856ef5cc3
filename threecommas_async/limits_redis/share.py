"""A process's own share of a limit, for as long as the store of `threecommas_async.limits_redis` is gone."""

from __future__ import annotations

import math
from bisect import insort


class Share:
    """The places of a window that one process has for itself; instants are those of the event loop's clock.

    Args:
        size: How many there are.
        reserve: How many of them are for exits alone.
    """

    __slots__ = ("_free_at", "reserve", "size")

    def __init__(self, size: int, reserve: int) -> None:
        self.size: int = size
        self.reserve: int = min(reserve, size - 1)
        # When each place that is not in flight is free, ascending.
        self._free_at = [-math.inf] * size

    def shut(self, until: float) -> None:
        """Let no place be free before an instant."""
        self._free_at = [max(free_at, until) for free_at in self._free_at]

    def opens(self, *, is_exit: bool) -> float:
        """Return when a request may be sent; infinite until one that is in flight comes back."""
        place = 0 if is_exit else self.reserve
        return self._free_at[place] if place < len(self._free_at) else math.inf

    def take(self) -> None:
        """Take the place that is free for the longest time."""
        del self._free_at[0]

    def put_back(self, free_at: float) -> None:
        """Put a place back that is free again at an instant."""
        insort(self._free_at, free_at)

    def used(self, now: float) -> int:
        """Return how many places are not free."""
        return self.size - sum(1 for free_at in self._free_at if free_at <= now)
