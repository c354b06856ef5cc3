"""One request limit for all bots of an API key, in several processes and on several machines.

The promise is that of `threecommas_async.limiter`: no window of one period, measured at the API's server,
ever holds more requests than the limit. The places of the window are counted in a Redis (6.2 or newer) or
Valkey, on its clock, by one script: nobody's wall clock matters. Needs the extra ``redis``.

* A request is admitted at the moment at which a place is free, never ahead of it. So a straggler that keeps
  its place for longer, or a pause, holds for everybody, and a cancelled waiter gives nothing away.
* A request arrives some time between its sending and its answer. Its place is kept for the period plus a
  margin from its sending. Its answer brings that forward to one period from the answer; as long as there is
  none after the margin, its process puts it off. Both travel with the next visit to the store, or ten
  together.
* A store that is gone leaves each process its own share of the limit, never no limit. The share opens one
  period and a margin after the loss, since others may have used the whole window until then. When the store
  is back, whoever sent without it keeps everybody silent until that has left the window.

That holds as long as a lost store is lost to all. If the network cuts off one process alone, it sends its
share beside what the others take from the store. And the store's clock must not be set while it is in use.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from threecommas_async.arguments import is_number
from threecommas_async.errors import ClientStateError, LimitWaitError
from threecommas_async.limits import (
    GENERAL,
    GRACE,
    LATE,
    LimitSnapshot,
    RateLimit,
    check_pause,
    date_of,
    reserve_of,
)
from threecommas_async.limits_redis.permits import Permit, Permits
from threecommas_async.limits_redis.share import Share
from threecommas_async.limits_redis.store import VISIT_TIMEOUT, Answer, Store, Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from threecommas_async.limits_redis.store import ScriptClient

_log = logging.getLogger("threecommas_async.limits")

_PROBE: Final = 1.0
"""Seconds between two attempts to reach a store that is gone."""
_ROLL_CALL: Final = 2.0
"""Seconds in which every process that sent without the store has found it again."""
_LONGEST_MARGIN: Final = 3600.0
_MARKS: Final = 10
"""Answers that are worth a visit of their own."""
_ROUNDING: Final = 1e-9
"""Requests by which a share may be less than the fraction that it stands for, such as that of 1 / 49."""


@dataclass(slots=True)
class _Queue:
    size: int
    waiters: OrderedDict[asyncio.Future[Permit], float]  # And until when each of them is willing to wait.
    ask_at: float = -math.inf
    free_at: float = -math.inf


class SharedLimiter:
    """Hands out permits to send, to all processes that share a limit: exits first, and in order of asking.

    In each of two bots: ``ThreeCommas(…, limits=SharedLimiter("redis://store:6379", api_key, share=0.5))``.
    One limiter serves one event loop. A permit costs at most about one visit to the store, since one visit
    admits many waiting calls; a process that is idle makes one visit a period. What a killed process had in
    flight keeps its places for one period and a margin.

    Args:
        url: Where the store is: ``redis://host:6379/0``, ``rediss://…`` (TLS), ``unix://…``,
            ``redis+cluster://…`` or ``rediss+cluster://…``. Or a ready ``redis.asyncio`` client (``Redis``,
            ``RedisCluster``, or ``Sentinel(…).master_for(…)``), which stays the caller's.
        api_key: Whose limit it is. The store sees a part of its SHA-256; it is not kept.
        limit: The limit to keep: the same one in all processes.
        share: This process's fraction of the limit while the store is gone, one request at least; those of
            all processes together must not exceed 1.
        reserve: How many of the requests are for exits alone; None is a tenth, rounded down.
        margin: Seconds that a request may take to arrive before that has to be told to the store; None is a
            twelfth of the period (5 s of a minute). A killed process loses its places for that much longer.

    Raises:
        ImportError: The extra ``redis`` is not installed.
        ValueError: An argument is out of its range, or the URL is not one of the above.
    """

    __slots__ = (
        "_away",
        "_closing",
        "_exits",
        "_last_alone",
        "_loop",
        "_margin",
        "_next_number",
        "_next_trial",
        "_pause_is_told",
        "_paused_until",
        "_permits",
        "_proven",
        "_reads",
        "_reserve",
        "_share",
        "_store",
        "_tag",
        "_tasks",
        "_trial",
        "_urgent",
        "_used",
        "_wake",
        "limit",
    )

    def __init__(
        self,
        url: str | ScriptClient,
        api_key: str,
        *,
        limit: RateLimit = GENERAL,
        share: float,
        reserve: int | None = None,
        margin: float | None = None,
    ) -> None:
        try:
            has_key = isinstance(api_key, str) and bool(api_key)  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            self._tag = hashlib.sha256(str(api_key).encode()).hexdigest()[:32]
            if not has_key:
                raise ValueError("api_key must be a text that is not empty")
            self._reserve = reserve_of(limit, reserve)
            self.limit: RateLimit = limit
            if not (is_number(share) and 0 < share <= 1):
                raise ValueError(f"share must be above 0 and at most 1, not {share!r}")
            size = int(limit.requests * share + _ROUNDING)
            if not size:
                raise ValueError(f"share must be one request at least: {share!r} of {limit.requests} is none")
            self._margin = limit.period * LATE if margin is None else margin
            if not (is_number(self._margin) and 0 <= self._margin <= _LONGEST_MARGIN):
                raise ValueError(f"margin must be 0 to {_LONGEST_MARGIN:g} seconds, not {margin!r}")
            self._share = Share(size, int(self._reserve * share))
            self._store = Store(url, self._tag, limit, self._reserve, self._margin)
        finally:
            # A traceback that shows locals must not show these.
            del url, api_key
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._exits = _Queue(limit.requests, OrderedDict())
        self._reads = _Queue(limit.requests - self._reserve, OrderedDict())
        self._permits = Permits(limit.period, self._margin)
        self._next_number = 0
        self._urgent = False
        self._used = 0
        self._paused_until = self._next_trial = -math.inf
        self._pause_is_told = True
        self._trial = self._proven = False
        self._away = False
        self._closing = 0
        self._last_alone = -math.inf

    def __repr__(self) -> str:
        return f"SharedLimiter({getattr(self, 'limit', None)}, state={self._tag[:8]}…)"

    async def acquire(self, *, is_exit: bool = False, max_wait: float | None = None) -> None:
        """Wait for the permit to send one request; `release` it when its answer is in.

        Args:
            is_exit: The request closes or cancels: it goes ahead of others, and may use the reserve.
            max_wait: The longest acceptable wait in seconds; None waits as long as it takes.

        Raises:
            LimitWaitError: The permit is further away than ``max_wait``: nothing is queued.
            ClientStateError: The limiter is being closed, or serves another event loop: nothing is queued.
        """
        if self._closing:
            raise _closed()
        self._start()
        queue = self._exits if is_exit else self._reads
        wait = self.expected_wait(is_exit=is_exit)
        until = math.inf if max_wait is None else self._now() + max_wait
        # What is known of the store may be late by a margin, since places are given back early.
        doubt = 0.0 if self._away or self._paused_until > until else self._margin
        if max_wait is not None and wait - doubt > max_wait:
            raise self._too_far(wait)
        waiter: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        queue.waiters[waiter] = until
        self._wake.set()
        try:
            async with asyncio.timeout(None if max_wait is None else max_wait + GRACE):
                await waiter
        except BaseException as stop:
            queue.waiters.pop(waiter, None)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            if isinstance(stop, TimeoutError):
                raise self._too_far(self.expected_wait(is_exit=is_exit)) from None
            raise

    def release(self, *, answered: bool = True) -> None:
        """Take back the permit of a request: once for each `acquire`, when its answer is in or given up.

        Never waits for the store.

        Args:
            answered: The request was answered, and not by a 429: a limit that was exceeded is so no longer.
        """
        now = self._now()
        permit = self._permits.take_back(now, answered=answered, is_away=self._away)
        if permit is None:
            return
        if not permit.is_shared:
            self._share.put_back(now + self.limit.period)
            self._last_alone = now
            self._wake.set()  # With every place in flight the pump did not know when one is free.
        if answered and permit.is_trial and self._trial and now >= self._paused_until:
            self._trial, self._proven = False, True
        if self._proven or len(self._permits.marks) >= _MARKS:
            self._wake.set()

    def pause(self, seconds: float) -> None:
        """Let nobody who shares the limit send for this many seconds from now; a longer pause in force stays.

        After it one request at a time goes out until one is answered. A request that another process was
        permitted before it hears of the pause still goes out.

        Raises:
            ValueError: ``seconds`` is not positive, or more than 31 days.
        """
        check_pause(seconds)
        self._paused_until = max(self._paused_until, self._now() + seconds)
        self._trial, self._proven = True, False
        self._pause_is_told = False
        self._start()
        self._wake.set()

    def expected_wait(self, *, is_exit: bool = False) -> float:
        """Return how many seconds a permit asked for now is likely to be away, as far as is known here."""
        now = self._now()
        ahead = len(self._exits.waiters) + (0 if is_exit else len(self._reads.waiters))
        return self._opens(now, is_exit=is_exit, ahead=ahead) - now

    def snapshot(self) -> LimitSnapshot:
        """Return how the limit is being used, as far as this process knows."""
        now, here = self._now(), datetime.now(UTC)
        instant = partial(date_of, now=now, here=here)
        opens = self._opens(now, is_exit=True, ahead=0)
        size, used, reserve = self.limit.requests, self._used, self._reserve
        if self._away:
            size, used, reserve = self._share.size, self._share.used(now), self._share.reserve
        free = 0 if opens > now else max(0, size - used)
        return LimitSnapshot(
            limit=self.limit,
            used=used,
            free=free,
            reserved=min(reserve, free),
            waiting=len(self._exits.waiters) + len(self._reads.waiters),
            next_free_at=instant(opens),
            paused_until=instant(self._paused_until),
        )

    async def close(self) -> None:
        """Tell the store what it does not know yet and leave it; whoever waits ends with `ClientStateError`.

        So do calls that ask while it closes; used again after that, it opens again.
        """
        self._closing += 1
        try:
            await self._stop()
            for queue in (self._exits, self._reads):
                while queue.waiters:
                    waiter, _ = queue.waiters.popitem(last=False)
                    if not waiter.done():
                        waiter.set_exception(_closed())
            if not self._away and (self._permits.marks or not self._pause_is_told or self._proven):
                await self._visit()
            with suppress(Exception):
                await self._store.close()
        finally:
            self._closing -= 1

    def _start(self) -> None:
        if self._loop not in {None, asyncio.get_running_loop()}:
            raise ClientStateError("the limiter serves another event loop: make one for each")
        if self._closing:
            return
        self._run("pump", self._pump)
        if self._away:
            self._run("probe", self._probe)

    def _run(self, name: str, work: Callable[[], Coroutine[None, None, None]]) -> None:
        if name not in self._tasks or self._tasks[name].done():
            self._tasks[name] = asyncio.get_running_loop().create_task(work())

    async def _stop(self) -> None:
        tasks = [*self._tasks.values()]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # The pump: the only task that visits the store while it is there, for all calls that wait.

    async def _pump(self) -> None:
        while True:
            self._wake.clear()
            now = self._now()
            if self._away:
                self._admit_alone(now)
            elif self._due(now) <= now:
                await self._visit()
                continue
            due = self._share_due() if self._away else self._due(now)
            with suppress(TimeoutError):
                async with asyncio.timeout(None if due == math.inf else max(0.0, due - now)):
                    await self._wake.wait()

    def _due(self, now: float) -> float:
        """Return when the store is to be visited next."""
        if self._urgent or self._proven or not self._pause_is_told or len(self._permits.marks) >= _MARKS:
            return now
        due = min(self._store.seen_at + max(self.limit.period, _PROBE), self._permits.overdue_at())
        return min([due, *(queue.ask_at for queue in (self._exits, self._reads) if queue.waiters)])

    async def _visit(self, *, silence: float = 0.0) -> bool:
        """Visit the store once; False if it was not there."""
        now, paused_until = self._now(), self._paused_until
        self._permits.put_off(now)
        asks = not self._away
        visit = Visit(
            exits=len(self._exits.waiters) if asks else 0,
            reads=len(self._reads.waiters) if asks else 0,
            first=self._next_number,
            free_at=dict(self._permits.marks),
            pause=0.0 if self._pause_is_told else max(0.0, paused_until - now),
            silence=silence,
            proven=self._proven,
        )
        self._urgent = False
        self._next_number += visit.exits + visit.reads
        try:
            answer = await self._store.visit(visit)
        except BaseException as problem:  # Whatever is wrong with a store, the share is left.
            # It may have been carried out all the same.
            self._permits.marks |= dict.fromkeys(range(visit.first, self._next_number), -math.inf)
            if not isinstance(problem, Exception):
                raise
            self._lose(problem)
            return False
        self._permits.forget(visit.free_at)
        self._pause_is_told |= paused_until == self._paused_until
        self._proven &= not visit.proven
        self._take_in(answer, visit, began=now)
        return True

    def _take_in(self, answer: Answer, visit: Visit, *, began: float) -> None:
        now = self._now()
        self._used = answer.used
        self._trial = (answer.trial and not self._proven) or not self._pause_is_told
        if answer.paused > 0:
            self._paused_until = max(self._paused_until, now + answer.paused)
        for queue, seconds in ((self._exits, answer.exits_in), (self._reads, answer.reads_in)):
            queue.free_at = now + seconds if seconds > 0 else -math.inf
            # A far wait may become shorter, by a margin at most; clocks differ by less than a ten-thousandth.
            early = self._margin if seconds > 2 * self._margin else -(0.0005 + seconds * 1e-4)
            queue.ask_at = queue.free_at - early
        for number in range(visit.first, visit.first + answer.exits + answer.reads):
            permit = Permit(number, True, began + self._margin, answer.trial)
            is_for_exit = number < visit.first + answer.exits
            if now < self._paused_until or not self._hand_over(permit, exit_only=is_for_exit):
                self._mark_unused(number)
        self._refuse_late(now)

    def _hand_over(self, permit: Permit, *, exit_only: bool) -> bool:
        """Give a permit to the first who waits for it; False if nobody does."""
        for queue in (self._exits,) if exit_only else (self._exits, self._reads):
            while queue.waiters:
                waiter, _ = queue.waiters.popitem(last=False)
                if not waiter.done():
                    self._permits.hand_out(permit)
                    waiter.set_result(permit)
                    return True
        return False

    def _refuse_late(self, now: float) -> None:
        """Refuse those who would have to wait for longer than they said."""
        for is_exit, queue in ((True, self._exits), (False, self._reads)):
            if all(until == math.inf for until in queue.waiters.values()):
                continue
            for place, (waiter, until) in enumerate([*queue.waiters.items()]):
                opens = self._opens(now, is_exit=is_exit, ahead=place)
                if opens - GRACE > until and not waiter.done():
                    del queue.waiters[waiter]
                    waiter.set_exception(self._too_far(opens - now))

    def _opens(self, now: float, *, is_exit: bool, ahead: int) -> float:
        """Return when a call can be sent that has so many ahead of it, as far as is known here."""
        queue = self._exits if is_exit else self._reads
        free_at, size = queue.free_at, queue.size
        if self._away:
            free_at, size = self._share.opens(is_exit=is_exit), self._share.size
        if free_at == math.inf:  # What is in flight comes back at its answer and is free one period later.
            free_at = now + self.limit.period
        return max(free_at, self._paused_until, now) + ahead // size * self.limit.period

    def _give_back(self, permit: Permit) -> None:
        """Free the place of a request that was not sent."""
        free = self._permits.give_up(permit)
        if free is None:
            return
        if free.is_shared:
            self._mark_unused(free.number)
        else:
            self._share.put_back(-math.inf)
        self._wake.set()

    def _mark_unused(self, number: int) -> None:
        self._permits.marks[number] = -math.inf
        self._urgent = True

    # Alone: the store is gone, and this process has its share.

    def _lose(self, problem: Exception) -> None:
        if self._away:
            return
        self._away = True
        now = self._now()
        if self._store.seen_at > -math.inf:
            self._share.shut(now + self.limit.period + self._margin)
        _log.warning(
            "the store of the shared limit is gone (%s: %s): this process has %d requests per %g s to itself",
            type(problem).__name__,
            problem,
            self._share.size,
            self.limit.period,
        )
        self._start()
        self._refuse_late(now)

    async def _probe(self) -> None:
        while True:
            await asyncio.sleep(_PROBE)
            if await self._visit(silence=self._needed_silence()):
                break
        self._away = False
        _log.info("the store of the shared limit is back")
        self._wake.set()

    def _needed_silence(self) -> float:
        now, kept = self._now(), self.limit.period + self._margin
        if (
            self._permits.are_any_alone
            or self._share_due() <= now + VISIT_TIMEOUT
            or self._last_alone + kept > now
        ):
            return kept + VISIT_TIMEOUT
        # Others may have opened their share.
        return _ROLL_CALL if now - self._store.seen_at > kept else 0.0

    def _admit_alone(self, now: float) -> None:
        while self._share_due() <= now:
            permit = Permit(self._next_number, False, math.inf, self._trial)
            if self._hand_over(permit, exit_only=bool(self._exits.waiters)):
                self._next_number += 1
                self._share.take()
                self._last_alone = now
                self._next_trial = now + self.limit.period / 12
        self._refuse_late(now)

    def _share_due(self) -> float:
        """Return when the next waiter is to be admitted without the store; infinite without waiters."""
        if not (self._exits.waiters or self._reads.waiters):
            return math.inf
        opens = self._share.opens(is_exit=bool(self._exits.waiters))
        return max(opens, self._paused_until, self._next_trial if self._trial else -math.inf)

    def _too_far(self, wait: float) -> LimitWaitError:
        return LimitWaitError(
            f"the next permit is {wait:.1f} s away, further than max_wait: nothing was sent", retry_after=wait
        )

    def _now(self) -> float:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.time()


def _closed() -> ClientStateError:
    return ClientStateError("the limiter is closed: nothing was sent")
