"""The permits of one process that are out, and what the store of a shared limit has to be told of them."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Permit:
    """The permit to send one request.

    Args:
        number: Its number in this process.
        is_shared: The store keeps its place; otherwise this process does, alone.
        covered_until: Until when the request may arrive without the store having to be told.
        is_trial: It was given after a pause, before anything was answered.
    """

    number: int
    is_shared: bool
    covered_until: float
    is_trial: bool


class Permits:
    """Permits that are out; instants are those of the event loop's clock, in seconds.

    Places are alike, so nobody has to know which permit belongs to which request: an answer takes the one
    that is covered for the shortest time, and what is left covers what is still without an answer.

    Args:
        period: Length of the window.
        margin: How long a request may take to arrive before the store has to be told.
    """

    __slots__ = ("_margin", "_out", "_period", "marks")

    def __init__(self, period: float, margin: float) -> None:
        self._period = period
        self._margin = margin
        self._out: deque[Permit] = deque()
        # When places are free, other than the store expects; -inf is the place of what was never sent.
        self.marks: dict[int, float] = {}

    @property
    def are_any_alone(self) -> bool:
        """Whether a request that was sent without the store is in flight."""
        return any(not permit.is_shared for permit in self._out)

    def hand_out(self, permit: Permit) -> None:
        """Keep a permit that somebody was given."""
        self._out.append(permit)

    def take_back(self, now: float, *, answered: bool, is_away: bool) -> Permit | None:
        """Let a place count from now, because of an answer or because none is awaited any more."""
        if not self._out:
            return None
        permit = self._out.popleft()
        free_at = now + self._period
        if answered or not permit.is_shared:
            if permit.is_shared or not is_away:
                self.marks[permit.number] = free_at
        elif now > permit.covered_until:
            # It may still be on its way.
            self.marks[permit.number] = free_at + self._margin
        return permit

    def give_up(self, permit: Permit) -> Permit | None:
        """Take back the permit of a request that was not sent; the one whose place is free thereby."""
        if permit in self._out:
            self._out.remove(permit)
            return permit
        # An answer has taken this one: the one that was answered is left over instead.
        return self._out.popleft() if self._out else None

    def overdue_at(self) -> float:
        """Return when `put_off` is due."""
        # The store keeps a place for a whole period after that: a quarter leaves time to say so.
        return self._out[0].covered_until + self._period / 4 if self._out else math.inf

    def put_off(self, now: float) -> None:
        """Keep the places of requests that are without an answer for longer than the margin."""
        while self.overdue_at() <= now:
            permit = self._out.popleft()
            permit.covered_until = now + self._margin
            self.marks[permit.number] = permit.covered_until + self._period
            self._out.append(permit)

    def forget(self, told: dict[int, float]) -> None:
        """Drop the marks that the store was told."""
        self.marks = {number: at for number, at in self.marks.items() if told.get(number) != at}
