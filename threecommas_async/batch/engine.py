"""The one engine of all batches: a fixed pool of workers, one verdict for each item, and ways to stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, Self

from threecommas_async import errors
from threecommas_async.batch.closing import lacks_permission_to_write
from threecommas_async.batch.items import TRADES, Input, Item
from threecommas_async.batch.progress import OnProgress, Teller, is_cancelled
from threecommas_async.batch.report import BatchReport, Outcome, Verdict, lighten

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator
    from types import TracebackType

    from threecommas_async.batch.items import Read
    from threecommas_async.errand import Errand
    from threecommas_async.limits import RateLimit

GRACE: Final = 10.0
"""Seconds in which what is in flight may finish when a batch is cancelled."""

_CHUNK: Final = 50
"""Items of which nothing has to be waited for that are taken in one turn of the event loop."""

_STOPS_A_BATCH: Final = (
    errors.AuthenticationError,
    errors.BannedError,
    errors.ClientStateError,
    errors.PlanLimitError,
)
"""What every further call would meet too."""

_log = logging.getLogger("threecommas_async.batch")


class Batch(AsyncIterator[Outcome]):
    """A batch at work: ``async for`` brings each verdict as it falls; see ``SmartTrades.closing``.

    Used as an asynchronous context manager it is stopped at the end of the block: what is in flight is let
    finish, and nothing more is sent.

    Args:
        read: Reads what to do it to.
        act: Does it to one item, and returns the verdict or raises.
        errand: Counts the requests of the calls, and calls them off.
        limit: The request limit that they keep.
        concurrency: Calls in flight at most.
        deadline: Seconds after which nothing more is sent; None is no deadline.
        on_progress: Called after each verdict.
        lost: Returns what is known of a cancelled write on a trade.
        clock: Seconds of a clock that never goes back.
        what: What it is given, as a text says it.
    """

    def __init__(
        self,
        read: Read,
        act: Callable[[Item], Awaitable[Outcome]],
        *,
        errand: Errand,
        limit: RateLimit,
        concurrency: int,
        deadline: float | None,
        on_progress: OnProgress | None,
        lost: Callable[[int], errors.OutcomeUnknownError | None],
        clock: Callable[[], float] = time.monotonic,
        what: str = TRADES,
    ) -> None:
        self._read = read
        self._given = Input(what)
        self._items: Iterator[Item] | AsyncGenerator[Item, None] = iter(())
        self._total: int | None = None
        self._act = act
        self._errand = errand
        self._limit = limit
        self._concurrency = concurrency
        self._deadline = deadline
        self._teller = Teller(on_progress)
        self._lost = lost
        self._clock = clock
        self._entrance = asyncio.Lock()
        self._turnstile = asyncio.Lock()
        self._outcomes: list[Outcome | Item] = []  # An item until it has its verdict.
        self._running: dict[int, list[int]] = {}
        self._settled: dict[int, Outcome] = {}
        self._source_error: BaseException | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._at_work = 0
        self._is_bounded = False
        self._is_cut_off = False
        self._is_begun = False
        self._began = self._ended = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._verdicts: deque[Outcome] = deque()
        self._is_streaming = False
        self._changed = asyncio.Event()

    @property
    def report(self) -> BatchReport:
        """The verdicts so far, in the order of the input."""
        is_over = self._is_begun and not self._at_work
        elapsed = (self._ended if is_over else self._clock()) - self._began if self._is_begun else 0.0
        outcomes = tuple(outcome for outcome in self._outcomes if isinstance(outcome, Outcome))
        is_stopped = not self._at_work and (self._is_begun or self._errand.called_off is not None)
        unread = self._given.unread if is_stopped else ""
        return make_report(outcomes, elapsed, self._errand, self._limit, unread=unread)

    async def run(self) -> BatchReport:
        """Work until every item has its verdict.

        Raises:
            BatchInterruptedError: The iterable failed; the error holds the report on what it had given.
            asyncio.CancelledError: The task was cancelled; `BatchReport.of` finds the report.
        """
        try:
            await self._begin()
            while self._at_work:
                self._changed.clear()
                await self._changed.wait()
        except asyncio.CancelledError as cancelled:
            await self._wind_down_cancelled(cancelled)
        await self._end()
        return self.report

    async def __anext__(self) -> Outcome:
        self._is_streaming = True
        try:
            await self._begin()
            while not self._verdicts and self._at_work:
                self._changed.clear()
                await self._changed.wait()
        except asyncio.CancelledError as cancelled:
            await self._wind_down_cancelled(cancelled)
        if not self._verdicts:
            await self._end()
        if not self._verdicts:
            raise StopAsyncIteration
        return self._verdicts.popleft()

    async def aclose(self) -> None:
        """Stop: let what is in flight finish for 10 s at most, and send nothing more."""
        try:
            await self._wind_down(errors.BatchStoppedError("the batch was closed"))
        except asyncio.CancelledError as cancelled:
            raise cancelled from self._cancelled()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _begin(self) -> None:
        async with self._entrance:
            if self._is_begun:
                return
            if self._deadline is not None and self._timer is None:
                self._timer = self._errand.call_off_in(self._deadline)
            try:
                await self._read(self._given)
            except asyncio.CancelledError:
                self._stop_timer()
                self._take_over()
                raise
            except BaseException:
                self._stop_timer()
                raise
            await self._set_to_work()

    def _take_over(self) -> None:
        """Take what was read."""
        self._is_begun = True
        self._began = self._ended = self._clock()
        if self._given.stream is not None:
            self._items = self._given.stream
            return
        self._total = len(self._given.items)
        self._items = iter(self._given.items)
        self._given.items = []  # They are needed until they are taken, and no longer.

    async def _set_to_work(self) -> None:
        self._take_over()
        if self._total is not None:
            self._concurrency = min(self._concurrency, self._total)
        self._teller.begin(self._total)
        await asyncio.sleep(0)  # Whoever was cancelled before he came here is told so now: nothing has left.
        self._hire()
        if self._at_work:
            self._errand.when_called_off(self._bound)

    def _hire(self) -> None:
        """Employ one more, if there may be work for him."""
        is_over = self._errand.called_off is not None or (self._workers and not self._at_work)
        if len(self._workers) < self._concurrency and not is_over:
            self._at_work += 1
            worker = asyncio.create_task(self._work())
            worker.add_done_callback(self._has_left)
            self._workers.append(worker)

    def _has_left(self, _worker: asyncio.Task[None]) -> None:
        self._changed.set()
        self._at_work -= 1
        if not self._at_work:
            self._errand.forget(self._bound)  # It may outlast the batch.

    async def _end(self) -> None:
        """Settle what no worker took, once all of them are done.

        Raises:
            BatchInterruptedError: The iterable failed.
            asyncio.CancelledError: Somebody else cancelled a worker.
        """
        self._stop_timer()
        cancelled = not self._is_cut_off and any(worker.cancelled() for worker in self._workers)
        await self._skip_the_rest(errors.BatchStoppedError("the batch was cancelled"))
        try:
            await self._teller.end(GRACE)
        except asyncio.CancelledError as late:
            raise late from self._cancelled()
        for worker in self._workers:
            if not worker.cancelled():
                worker.result()
        if cancelled:
            raise asyncio.CancelledError from self._cancelled()
        if self._source_error is not None:
            source_error, self._source_error = self._source_error, None
            raise interrupted(self.report, source_error) from source_error

    def _bound(self, reason: Exception) -> None:
        """Give what is in flight its time, and no more, where not the API called it off."""
        if isinstance(reason, errors.BatchStoppedError) and not self._is_bounded:
            self._is_bounded = True
            self._stop_timer()  # It may be that of the deadline, which may be later.
            self._timer = asyncio.get_running_loop().call_later(GRACE, self._cut)

    def _cut(self) -> None:
        self._is_cut_off = True
        for worker in self._workers:
            worker.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _wind_down(self, reason: errors.BatchStoppedError) -> None:
        """Send nothing more, let what is in flight finish in time, and cut off the rest."""
        self._errand.call_off(reason)
        self._stop_timer()
        clock = asyncio.get_running_loop().time
        ends_at = clock() + GRACE
        try:
            if self._workers:
                await asyncio.wait(self._workers, timeout=GRACE)
            await self._teller.end(ends_at - clock())
        finally:
            self._cut()
            self._teller.cut_off()
            try:
                if self._workers:
                    await asyncio.wait(self._workers, timeout=GRACE)
            finally:
                await self._skip_the_rest(reason)

    async def _wind_down_cancelled(self, cancelled: asyncio.CancelledError) -> NoReturn:
        with suppress(asyncio.CancelledError):  # A second one cuts off what is in flight.
            await self._wind_down(errors.BatchStoppedError("the batch was cancelled"))
        # No class of its own: asyncio.timeout and TaskGroup know a CancelledError by its very class.
        raise cancelled from self._cancelled()

    def _cancelled(self) -> errors.BatchStoppedError:
        report = self.report
        _log.warning("a batch was cancelled: %r", report)
        return errors.BatchStoppedError(f"the batch was cancelled: {report!r}", report=report)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while (item := await self._next()) is not None:
                if len(self._workers) < self._concurrency:
                    # Not here, where tasks that are eager would begin within another.
                    loop.call_soon(self._hire)
                self._outcomes.append(item)
                number = len(self._outcomes)
                await self._take(number - 1, item)
                if number % _CHUNK == 0:
                    await asyncio.sleep(0)  # What costs no request must not keep the loop for itself.
        finally:
            self._ended = self._clock()

    async def _next(self) -> Item | None:
        if self._errand.called_off is not None:
            return None
        if not isinstance(self._items, AsyncGenerator):
            return next(self._items, None)
        try:
            return await self._errand.wait_for(partial(self._next_of, self._items))
        except errors.BatchStoppedError:
            return None
        except asyncio.CancelledError as problem:
            if is_cancelled():
                raise
            self._source_error = problem
        except Exception as problem:  # noqa: BLE001 - the caller's iterable may raise anything
            self._source_error = problem
        return None

    async def _next_of(self, stream: AsyncIterator[Item]) -> Item | None:
        async with self._turnstile:  # An async generator serves one at a time.
            if self._source_error:
                return None
            item = await anext(stream, None)
            self._given.is_whole = self._given.is_whole or item is None
            return item

    async def _take(self, place: int, item: Item) -> None:
        id = item.id
        if id in self._settled:
            self._outcomes[place] = self._settled[id]
            self._announce(self._settled[id])
        elif id in self._running:
            self._running[id].append(place)
        else:
            places = [place]
            if id:
                self._running[id] = places
            try:
                outcome = await self._try(item)
            except asyncio.CancelledError:
                outcome = self._cut_off(item)
                self._settle(places, id, outcome)
                self._announce(outcome, times=len(places))
                raise
            self._settle(places, id, outcome)
            self._announce(outcome, times=len(places))

    def _settle(self, places: list[int], id: int, outcome: Outcome) -> None:
        """Give a verdict to every occurrence of an item, those to come included."""
        if id:
            del self._running[id]
            self._settled[id] = outcome
        for place in places:
            self._outcomes[place] = outcome

    def _announce(self, outcome: Outcome, *, times: int = 1) -> None:
        if self._is_streaming:
            self._verdicts += [outcome] * times
            self._changed.set()
        for _ in range(times):
            self._teller.tell(outcome)

    async def _try(self, item: Item) -> Outcome:
        if item.fault is not None:
            return self._failed(item, item.fault)
        try:
            return await self._act(item)
        except asyncio.CancelledError as problem:
            if is_cancelled():
                raise
            return self._failed(item, RuntimeError(f"its call was cancelled by somebody else: {problem}"))
        except Exception as problem:  # noqa: BLE001 - the caller's function may raise anything
            return self._failed(item, problem)

    def _failed(self, item: Item, problem: Exception) -> Outcome:
        if isinstance(problem, errors.BatchStoppedError):
            problem = self._errand.called_off or problem
            return _outcome(item, Verdict.SKIPPED, problem)
        stops = next((p for p in (problem, problem.__cause__) if isinstance(p, _STOPS_A_BATCH)), None)
        if stops is not None:
            self._errand.call_off(stops)
        elif item.id and lacks_permission_to_write(problem):
            self._errand.call_off(problem)  # The calls of a batch of trades all need the same one.
        if not isinstance(problem, errors.ThreeCommasError | ValueError):
            _log.error("item %s of a batch failed unexpectedly", item.id or item.value, exc_info=problem)
        return _outcome(item, _verdict_of(problem), problem)

    def _cut_off(self, item: Item) -> Outcome:
        lost = self._lost(item.id) if item.id else _under_way()
        if lost is not None:
            return _outcome(item, Verdict.UNKNOWN, lost)
        why = errors.BatchStoppedError("the batch was cancelled before anything was ordered")
        return _outcome(item, Verdict.SKIPPED, why)

    async def _skip_the_rest(self, reason: Exception) -> None:
        """Give a verdict to all that no worker took, and to what one cannot be torn from."""
        for place, item in enumerate(self._outcomes):
            if isinstance(item, Item):
                self._outcomes[place] = _outcome(item, Verdict.UNKNOWN, _under_way())
        if isinstance(self._items, AsyncGenerator):
            if all(worker.done() for worker in self._workers):
                await self._items.aclose()
            return
        why = lighten(self._errand.called_off or reason)
        skipped = Verdict.SKIPPED
        rest = [
            self._settled.get(item.id) or Outcome(item.id or None, skipped, item.seen, why, item.value)
            for item in self._items
        ]
        self._outcomes += rest
        if self._is_streaming:
            self._verdicts += rest


def _verdict_of(problem: Exception) -> Verdict:
    match problem:
        case errors.ClientStateError() | errors.LimitWaitError() | errors.NotSentError():
            return Verdict.SKIPPED
        case errors.OutcomeUnknownError():
            return Verdict.UNKNOWN
        case errors.TransportError() | errors.ServerError() | errors.DecodeError():
            return Verdict.SKIPPED  # Of a read that came first: those of writes are outcomes unknown.
        case errors.ThreeCommasError() | ValueError():
            return Verdict.REFUSED
        case _:
            return Verdict.UNKNOWN


def _outcome(item: Item, verdict: Verdict, problem: Exception) -> Outcome:
    return Outcome(item.id or None, verdict, item.seen, lighten(problem), item.value)


def _under_way() -> errors.OutcomeUnknownError:
    return errors.OutcomeUnknownError("cancelled while it was under way: nobody can say what it has ordered")


def make_report(
    outcomes: tuple[Outcome, ...], elapsed: float, errand: Errand, limit: RateLimit, *, unread: str = ""
) -> BatchReport:
    """Return the report of an errand."""
    return BatchReport(
        outcomes,
        elapsed,
        floor=limit.floor(errand.requests),
        requests=errand.requests,
        retries=errand.retries,
        rate_limited=errand.rate_limited,
        unread=unread,
    )


def interrupted(report: BatchReport, problem: BaseException) -> errors.BatchInterruptedError:
    """Return the error of a batch whose iterable has failed."""
    told = f"the iterable of trades failed after {len(report)} of them: {problem!r}"
    return errors.BatchInterruptedError(told, report=report)
