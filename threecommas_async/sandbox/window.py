"""The server's side of the request limit: a strict sliding window, the lock-out, and the ban."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from threecommas_async.limits import RateLimit


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the limit says to one request.

    Args:
        status: 200 lets it pass, 429 refuses it, 418 bans its sender.
        until: Instant at which requests pass again, in seconds; of no meaning with 200.
    """

    status: Literal[200, 418, 429]
    until: float


class Window:
    """Judges requests by the instants at which they arrive, in seconds on any clock that only grows.

    No period, wherever it begins, holds more accepted requests than the limit. The first one too many
    starts the lock-out. Whoever goes on in it is banned, for twice as long at each repetition.

    Args:
        limit: The limit to enforce.
        patience: Requests in one lock-out that are still answered with 429.
        ban: Length of the first ban, in seconds (published: 2 minutes to 3 days).
        longest_ban: Length that no ban exceeds, in seconds.
    """

    def __init__(
        self, limit: RateLimit, *, patience: int = 20, ban: float = 120.0, longest_ban: float = 3 * 86400.0
    ) -> None:
        self.counts: Counter[int] = Counter()
        self._limit = limit
        self._patience = patience
        self._ban = ban
        self._longest_ban = longest_ban
        self._arrivals: list[float] = []
        self._accepted: deque[float] = deque()
        self._locked_until = float("-inf")
        self._banned_until = float("-inf")
        self._ignored = 0

    def judge(self, now: float) -> Judgement:
        """Record an arrival and say what becomes of it."""
        self._arrivals.append(now)
        judgement = self._judge(now)
        self.counts[judgement.status] += 1
        return judgement

    def lock_out(self, now: float) -> None:
        """Begin a lock-out."""
        self._ignored = 0
        self._locked_until = now + self._limit.lockout

    def ban(self, now: float) -> None:
        """Begin a ban; the next one is twice as long."""
        self._ignored = 0
        self._banned_until = now + self._ban
        self._ban = min(2 * self._ban, self._longest_ban)

    def worst_window(self) -> int:
        """Return the largest number of arrivals, refused ones included, in any half-open period."""
        worst = first = 0
        for index, arrival in enumerate(self._arrivals):
            while arrival - self._arrivals[first] >= self._limit.period:
                first += 1
            worst = max(worst, index - first + 1)
        return worst

    def _judge(self, now: float) -> Judgement:
        if now < self._banned_until:
            return Judgement(418, self._banned_until)
        if now < self._locked_until:
            self._ignored += 1
            if self._ignored <= self._patience:
                return Judgement(429, self._locked_until)
            self.ban(now)
            return Judgement(418, self._banned_until)
        while self._accepted and now - self._accepted[0] >= self._limit.period:
            self._accepted.popleft()
        if len(self._accepted) < self._limit.requests:
            self._accepted.append(now)
            return Judgement(200, now)
        self.lock_out(now)
        return Judgement(429, self._locked_until)
