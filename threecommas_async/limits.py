"""The published request limits, and the limiter that keeps them in one process.

The promise: no window of one period, measured at the server, ever holds more requests than the limit,
and N calls need no longer than ``period * (ceil(N / requests) - 1)`` plus round trips. Two facts shape it:

* A leaky bucket of (100, 60) lets 199 requests through in its first minute. So the limit is kept by
  100 slots, each of which admits one request in a period.
* A request reaches the server some time between its sending and its answer. So the period of a slot
  starts anew when the answer is in; counted from the sending, network jitter puts up to 120 requests
  into one minute of the server. Where no answer comes, the period starts when it is given up: a request
  that is stuck in the network for longer than its timeout can still arrive in a later window.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from aiolimiter import AsyncLimiter

from threecommas_async.errors import LimitWaitError


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A request limit as the server states it.

    Args:
        requests: Requests that any one period may hold.
        period: Length of the window, in seconds.
        lockout: How long the server refuses everything after the limit was exceeded, in seconds.

    Raises:
        ValueError: ``requests`` is below 1, or a duration is not a positive finite number.
    """

    requests: int
    period: float
    lockout: float

    def __post_init__(self) -> None:
        if isinstance(self.requests, bool) or not isinstance(self.requests, int) or self.requests < 1:  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise ValueError(f"requests must be a whole number of at least 1, not {self.requests!r}")
        for name, seconds in (("period", self.period), ("lockout", self.lockout)):
            if not (math.isfinite(seconds) and seconds > 0):
                raise ValueError(f"{name} must be a positive number of seconds, not {seconds!r}")

    def floor(self, calls: int) -> float:
        """Return the least number of seconds in which this many calls can be sent, round trips excluded."""
        return self.period * (max(1, math.ceil(calls / self.requests)) - 1)


GENERAL = RateLimit(requests=100, period=60.0, lockout=300.0)
"""The whole API: 100 requests a minute, then blocked for 300 s (official limits page, 2026-05)."""


_GRACE: Final = 0.5
"""Seconds by which a timer may fire late before a wait counts as longer than it was allowed to be."""


class Limiter:
    """Hands out permits to send, first come, first served.

    One limiter serves one event loop. Whoever is cancelled while waiting takes nothing along.

    Args:
        limit: The limit to keep.
    """

    __slots__ = ("_free_at", "_loop", "_paused_until", "_returned", "_turnstile", "_waiting", "limit")

    def __init__(self, limit: RateLimit = GENERAL) -> None:
        self.limit: RateLimit = limit
        # When each slot that is not in flight is free; they come back in that order, the first at the left.
        self._free_at = deque([-math.inf] * limit.requests)
        self._returned = asyncio.Event()
        self._turnstile = asyncio.Lock()
        self._waiting = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._paused_until = -math.inf

    async def acquire(self, *, max_wait: float | None = None) -> None:
        """Wait for the permit to send one request; `release` it when its answer is in.

        Args:
            max_wait: The longest acceptable wait in seconds; None waits as long as it takes.

        Raises:
            LimitWaitError: The permit is further away than ``max_wait`` and nothing was queued; or a pause
                that began meanwhile moved it further away, and the place in the queue was given up.
        """
        if not self._waiting and self._free_at:
            now = self._now()
            if self._free_at[0] <= now and self._paused_until <= now:
                self._free_at.popleft()
                return
        if max_wait is None:
            await self._queue()
            return
        try:
            if (wait := self.expected_wait()) <= max_wait:
                # A little grace, for a timer that fires late.
                async with asyncio.timeout(max_wait + _GRACE):
                    await self._queue()
                return
        except TimeoutError:
            wait = self.expected_wait()
        raise LimitWaitError(
            f"the next permit is {wait:.1f} s away and max_wait is {max_wait:g} s: nothing was sent",
            retry_after=wait,
        )

    async def release(self) -> None:
        """Start the period of a permit: once for each `acquire`, when the answer is in or given up."""
        self._free_at.append(self._now() + self.limit.period)
        self._returned.set()

    def pause(self, seconds: float) -> None:
        """Let nobody send for this many seconds from now; a longer pause in force stays."""
        self._paused_until = max(self._paused_until, self._now() + seconds)

    def expected_wait(self) -> float:
        """Return how many seconds a permit asked for now is likely to be away."""
        now = self._now()
        periods, place = divmod(self._waiting, self.limit.requests)
        # A slot in flight comes back at its answer and is free one period later.
        free_at = self._free_at[place] if place < len(self._free_at) else now + self.limit.period
        return max(free_at - now, self._paused_until - now, 0.0) + periods * self.limit.period

    async def _queue(self) -> None:
        self._waiting += 1
        try:
            # AsyncLimiter keeps no order among its waiters, so only the head of this queue waits on one.
            async with self._turnstile:
                await self._take_slot()
        finally:
            self._waiting -= 1

    async def _take_slot(self) -> None:
        while not self._free_at:
            self._returned.clear()
            await self._returned.wait()
        free_at = self._free_at.popleft()
        try:
            await self._until(free_at)
            while self._paused_until > self._now():  # noqa: ASYNC110 - the end may move meanwhile
                await asyncio.sleep(self._paused_until - self._now())
        except BaseException:
            self._free_at.appendleft(free_at)
            raise

    async def _until(self, free_at: float) -> None:
        """Wait until a bucket is empty that holds what has not leaked of one request."""
        if (left := (free_at - self._now()) / self.limit.period) > 0:
            bucket = AsyncLimiter(1, self.limit.period)
            await bucket.acquire(min(left, 1))
            await bucket.acquire()

    def _now(self) -> float:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.time()
