"""The limiter that keeps a request limit in one process.

The promise: no window of one period, measured at the server, holds more requests than the limit, but for the
exception below; and N exits need no longer than ``period * (ceil(N / requests) - 1)`` plus round trips. Of
other calls a period takes ``requests - reserve``. Three facts shape it:

* A leaky bucket of (100, 60) lets 199 requests through in its first minute. So the limit is kept by
  100 slots, each of which admits one request in a period.
* A request reaches the server some time between its sending and its answer. So the period of a slot
  starts anew when the answer is in; counted from the sending, network jitter puts more than the limit
  into one minute of the server (``python -m benchmarks.shared_limit``).
* Where no answer comes, the period is longer by a twelfth and starts when the request is given up: one that
  is stuck in the network for longer than that can still arrive too late.
"""

from __future__ import annotations

import asyncio
import math
from bisect import insort
from collections import deque
from datetime import UTC, datetime
from functools import partial
from typing import Final

from aiolimiter import AsyncLimiter

from threecommas_async.errors import LimitWaitError
from threecommas_async.limits import (
    GENERAL,
    GRACE,
    LATE,
    LONGEST_PAUSE,
    LimitSnapshot,
    RateLimit,
    WindowState,
    check_pause,
    date_of,
    reserve_of,
)

_PROBE: Final = 1.0
"""Seconds that an answer is expected to take while everybody waits for one."""


class Limiter:
    """Hands out permits to send: exits first, and among equals first come, first served.

    One limiter serves one event loop; several clients of one key in one process can share it
    (``ThreeCommas(limits=limiter)``). Whoever is cancelled while waiting takes nothing along.

    Args:
        limit: The limit to keep.
        reserve: How many of its requests are for exits alone; None is a tenth, rounded down.
        state: What is in the window already, counted from the first use; None is nothing. Of more requests
            than the limit has, the latest ones count.

    Raises:
        ValueError: ``reserve`` is negative or leaves nothing, or ``state`` does not fit the limit.
    """

    __slots__ = (
        "_changed",
        "_free_at",
        "_has_head",
        "_loop",
        "_paused_until",
        "_probe_is_out",
        "_probing",
        "_queues",
        "_reserve",
        "_stale",
        "_waiting",
        "limit",
    )

    def __init__(
        self, limit: RateLimit = GENERAL, *, reserve: int | None = None, state: WindowState | None = None
    ) -> None:
        self._reserve = reserve_of(limit, reserve)
        self.limit: RateLimit = limit
        state = self._check(WindowState() if state is None else state)
        spent = state.spent[-limit.requests :]
        # When each slot that is not in flight is free; they come back in that order, the first at the left.
        # Before the first use instants are counted from it.
        self._free_at = deque([-math.inf] * (limit.requests - len(spent)) + list(spent))
        self._changed = asyncio.Event()
        # Reads, and exits: the head of each queue waits for time to pass, the others wait for the head.
        self._queues: tuple[deque[asyncio.Future[bool]], ...] = (deque(), deque())
        self._has_head = [False, False]
        self._waiting = [0, 0]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._paused_until = -math.inf if state.paused is None else state.paused
        self._probing, self._probe_is_out = state.paused is not None, False
        self._stale = 0  # Requests in flight that left before the pause.

    async def acquire(self, *, is_exit: bool = False, max_wait: float | None = None) -> None:
        """Wait for the permit to send one request; `release` it when its answer is in.

        Args:
            is_exit: The request closes or cancels: it goes ahead of others, and may use the reserve.
            max_wait: The longest acceptable wait in seconds; None waits as long as it takes.

        Raises:
            LimitWaitError: The permit is further away than ``max_wait`` and nothing was queued; or a pause
                that began meanwhile moved it further away, and the place in the queue was given up.
        """
        place = 0 if is_exit else self._reserve
        if not (self._waiting[1] or self._probing or (self._waiting[0] and not is_exit)):
            now = self._now()
            # What is free at once, and in no doubt, as quickly as possible.
            if len(self._free_at) > place and self._free_at[place] <= now and self._paused_until <= now:
                self._free_at.popleft()
                return
        if max_wait is None:
            await self._queue(is_exit)
            return
        try:
            if (wait := self.expected_wait(is_exit=is_exit)) <= max_wait:
                # A little grace, for a timer that fires late.
                async with asyncio.timeout(max_wait + GRACE):
                    await self._queue(is_exit)
                return
        except TimeoutError:
            wait = self.expected_wait(is_exit=is_exit)
        raise LimitWaitError(
            f"the next permit is {wait:.1f} s away and max_wait is {max_wait:g} s: nothing was sent",
            retry_after=wait,
        )

    def release(self, *, answered: bool = True) -> None:
        """Start the period of a permit: once for each `acquire`, when the answer is in or given up.

        Args:
            answered: The request was answered, and not by a 429: a limit that was exceeded is so no longer.
        """
        free_at = self._now() + (self.limit.period if answered else self._longest)
        if self._free_at and free_at < self._free_at[-1]:
            insort(self._free_at, free_at)
        else:
            self._free_at.append(free_at)
        if self._probing:
            if self._stale:  # What was sent before the pause proves nothing.
                self._stale -= 1
            else:
                self._probe_is_out = False
                self._probing = not answered
        self._changed.set()

    def pause(self, seconds: float) -> None:
        """Let nobody send for this many seconds from now; a longer pause in force stays.

        After it one request at a time goes out until one is answered.

        Raises:
            ValueError: ``seconds`` is not positive, or more than 31 days.
        """
        check_pause(seconds)
        until = self._now() + seconds
        self._paused_until = max(self._paused_until, until)
        self._probing, self._probe_is_out = True, False
        self._stale = self.limit.requests - len(self._free_at)
        self._changed.set()

    def expected_wait(self, *, is_exit: bool = False) -> float:
        """Return how many seconds a permit asked for now is likely to be away."""
        now = self._now()
        reserve = 0 if is_exit else self._reserve
        ahead = self._waiting[1] if is_exit else sum(self._waiting)
        periods, place = divmod(ahead, self.limit.requests - reserve)
        place += reserve
        # A slot in flight comes back at its answer and is free one period later.
        free_at = self._free_at[place] if place < len(self._free_at) else now + self.limit.period
        probe = _PROBE if self._probe_is_out else 0.0
        return max(free_at - now, self._paused_until - now, probe) + periods * self.limit.period

    def snapshot(self) -> LimitSnapshot:
        """Return how the limit is being used now."""
        now, here = self._now(), datetime.now(UTC)
        instant = partial(date_of, now=now, here=here)
        free = sum(1 for free_at in self._free_at if free_at <= now)
        return LimitSnapshot(
            limit=self.limit,
            used=self.limit.requests - free,
            free=0 if self._paused_until > now else free,
            reserved=0 if self._paused_until > now else min(self._reserve, free),
            waiting=sum(self._waiting),
            next_free_at=instant(max(self._free_at[0], self._paused_until)) if self._free_at else None,
            paused_until=instant(self._paused_until),
        )

    def state(self) -> WindowState:
        """Return what is in the window now, for a limiter that begins with it after a restart.

        What is in flight counts as if it had been given up now.
        """
        now = self._now()
        in_flight = [self._longest] * (self.limit.requests - len(self._free_at))
        return WindowState(
            spent=[min(at - now, self._longest) for at in self._free_at if at > now] + in_flight,
            paused=max(0.0, self._paused_until - now) if self._probing else None,
        )

    async def close(self) -> None:
        """Do nothing: there is nothing to give up."""

    def _check(self, state: WindowState) -> WindowState:
        """Return a state to begin with, if it can be one.

        Raises:
            ValueError: It cannot.
        """
        if not isinstance(state, WindowState):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise ValueError(f"state must be a WindowState, not {state!r}")
        if state.spent and state.spent[-1] > self._longest:
            raise ValueError(
                f"a request leaves the window within {self._longest:g} s, not {state.spent[-1]!r}"
            )
        if state.paused is not None and state.paused > LONGEST_PAUSE:
            raise ValueError(f"a pause ends within 31 days, not in {state.paused!r} s")
        return state

    @property
    def _longest(self) -> float:
        """Seconds for which a request is in the window whose answer has not come."""
        return self.limit.period * (1 + LATE)

    async def _queue(self, is_exit: bool) -> None:
        self._waiting[is_exit] += 1
        try:
            if self._has_head[is_exit] and await self._turn(is_exit):
                return
            self._has_head[is_exit] = True
            try:
                while (wait := self._wait(is_exit)) > 0:
                    if wait == math.inf:
                        self._changed.clear()
                        await self._changed.wait()
                    else:
                        await self._pass(wait)
                self._take()
            finally:
                self._pass_on(is_exit)
        finally:
            self._waiting[is_exit] -= 1
            if is_exit and not self._waiting[1]:
                self._changed.set()

    async def _turn(self, is_exit: bool) -> bool:
        """Wait behind the head of a queue: True is the permit, False makes the caller the head."""
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queues[is_exit].append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # It came at the same moment.
                if turn.result():
                    self._free_at.appendleft(-math.inf)
                    if self._probe_is_out:
                        self._probe_is_out = False
                    elif self._stale:  # A pause has counted it among what is in flight.
                        self._stale -= 1
                    self._changed.set()
                else:
                    self._pass_on(is_exit)
            raise

    def _pass_on(self, is_exit: bool) -> None:
        """Hand out what is free to those behind the head, and let the next one be the head."""
        queue = self._queues[is_exit]
        while queue:
            turn = queue.popleft()
            if turn.done():
                continue
            is_free = self._wait(is_exit) <= 0
            if is_free:
                self._take()
            turn.set_result(is_free)
            if not is_free:
                return
        self._has_head[is_exit] = False

    def __repr__(self) -> str:
        return f"<Limiter of {self.limit.requests} requests in {self.limit.period:g} s>"

    def _wait(self, is_exit: bool) -> float:
        """Return the seconds until the head of a queue may send; infinite until something happens."""
        place = 0 if is_exit else self._reserve
        if len(self._free_at) <= place or self._probe_is_out or (self._waiting[1] and not is_exit):
            return math.inf
        now = self._now()
        return max(self._free_at[place] - now, self._paused_until - now)

    def _take(self) -> None:
        self._free_at.popleft()
        self._probe_is_out = self._probing

    async def _pass(self, seconds: float) -> None:
        """Wait until a bucket is empty that holds what leaks in this time."""
        bucket = AsyncLimiter(1, max(seconds, self.limit.period))
        await bucket.acquire(seconds / bucket.time_period)
        await bucket.acquire()

    def _now(self) -> float:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            began = self._loop.time()
            self._free_at = deque(began + at for at in self._free_at)
            self._paused_until += began
        return self._loop.time()
