"""Closing many trades at once, and the report that says what became of each of them."""

from __future__ import annotations

import asyncio
import logging
import reprlib
import time
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sized
from dataclasses import dataclass
from enum import StrEnum
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from threecommas_async import errors
from threecommas_async.models.smart_trade import SmartTrade

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

IdsOrTrades: TypeAlias = Iterable[int | SmartTrade] | AsyncIterable[int | SmartTrade]
OnUnfilled = Literal["cancel", "skip"]


_log = logging.getLogger("threecommas_async.batch")


class Verdict(StrEnum):
    """What became of one trade of a batch.

    ``closing``, ``closed``, ``cancelled`` and ``already_closed`` leave nothing to do. ``refused``: not closed
    by this batch, since the call was refused or never left. ``unknown``: the call left, and whether the trade
    is closing could not be found out. ``skipped``: nothing was sent. To run the batch again on the last three
    is safe: nothing is closed twice.
    """

    CLOSING = "closing"
    """The close was accepted; the trade is on its way to ``panic_sold``."""
    CLOSED = "closed"
    """The close was accepted, and the answer shows the trade ended already."""
    CANCELLED = "cancelled"
    """The entry was not filled, so the trade was cancelled; the cancellation was accepted."""
    ALREADY_CLOSED = "already_closed"
    """The trade had ended, or been told to, before this batch; nothing was done."""
    REFUSED = "refused"
    """The trade was not closed by this batch: the call was refused or never left; ``error`` says why."""
    UNKNOWN = "unknown"
    """The call left and no usable answer came back: the trade may or may not be closing."""
    SKIPPED = "skipped"
    """Nothing was sent for this trade; ``error`` says what stopped the batch, if anything did."""


DONE: Final = frozenset({Verdict.CLOSING, Verdict.CLOSED, Verdict.CANCELLED, Verdict.ALREADY_CLOSED})
"""Verdicts that leave nothing to do."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one trade, with what it rests on.

    Args:
        id: SmartTrade id; None where the item of the input was not an id.
        verdict: What became of it.
        trade: The trade as last seen; None where no answer showed it.
        error: Why it was not closed; None where it was.
    """

    id: int | None
    verdict: Verdict
    trade: SmartTrade | None = None
    error: BaseException | None = None

    def __str__(self) -> str:
        return f"{self.id}: {self.verdict}" + (f" ({self.error})" if self.error else "")


@dataclass(frozen=True, slots=True, repr=False)
class BatchReport:
    """What became of every trade of a batch, in the order of the input; prints as a table.

    Args:
        outcomes: One for each item of the input.
        elapsed: Seconds from the first trade to the last.
    """

    outcomes: tuple[Outcome, ...]
    elapsed: float

    def __len__(self) -> int:
        return len(self.outcomes)

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many trades each verdict was given to."""
        return Counter(outcome.verdict for outcome in self.outcomes)

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The trades that are left to look at: refused, unknown or skipped."""
        return tuple(outcome for outcome in self.outcomes if outcome.verdict not in DONE)

    @property
    def ok(self) -> bool:
        """Nothing is left to do."""
        return not self.failed

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.counts.items())
        return f"<BatchReport of {len(self)}: {counts or 'nothing'}>"

    def __str__(self) -> str:
        counts = self.counts
        rows = [f"{verdict:<15} {counts[verdict]:>6}" for verdict in Verdict if verdict in counts]
        rows.append(f"{'total':<15} {len(self):>6}   in {self.elapsed:.1f} s")
        return "\n".join([*rows, *(str(outcome) for outcome in self.failed)])


class ClosingCalls(Protocol):
    """The calls that closing needs."""

    async def get(self, id: int, /) -> SmartTrade: ...
    async def cancel(self, id: int, /) -> SmartTrade: ...
    async def close_by_market(self, id: int, /) -> SmartTrade: ...


async def close_many(
    calls: ClosingCalls,
    trades: IdsOrTrades,
    *,
    on_unfilled: OnUnfilled,
    concurrency: int,
    on_progress: Callable[[int, int | None, Verdict], object] | None,
    clock: Callable[[], float] = time.monotonic,
) -> BatchReport:
    """Close trades with a fixed pool of workers; see ``SmartTrades.close_many``."""
    if type(concurrency) is not int or concurrency < 1:
        raise ValueError(f"concurrency must be a whole number of at least 1, not {concurrency!r}")
    if on_unfilled not in ("cancel", "skip"):
        raise ValueError(f'on_unfilled must be "cancel" or "skip", not {on_unfilled!r}')
    if isinstance(trades, str | bytes) or not isinstance(trades, Iterable | AsyncIterable):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        raise ValueError(f"give an iterable of ids or trades, such as [42], not {reprlib.repr(trades)}")
    if on_progress is not None and (not callable(on_progress) or iscoroutinefunction(on_progress)):
        raise ValueError("on_progress must be a plain function, not a coroutine function or anything else")
    if isinstance(trades, Sized) and isinstance(trades, Iterable):
        trades = list(trades)
        for item in trades:
            read_item(item)
        concurrency = min(concurrency, len(trades))
    batch = _Batch(calls, trades, on_unfilled, on_progress)
    started = clock()
    async with asyncio.TaskGroup() as workers:
        for _ in range(concurrency):
            workers.create_task(batch.work())
    outcomes = tuple(batch.outcomes[place] for place in sorted(batch.outcomes))
    report = BatchReport(outcomes, clock() - started)
    if batch.source_error:
        raise errors.BatchInterruptedError(
            f"the iterable of trades failed after {len(report)} of them: {batch.source_error!r}",
            report=report,
        ) from batch.source_error
    return report


_STOPS_A_BATCH: Final = (
    errors.AuthenticationError,
    errors.BannedError,
    errors.ClientStateError,
    errors.PlanLimitError,
)
"""Refusals that every further call would meet too."""


class _Batch:
    """The state that the workers of one batch share."""

    def __init__(
        self,
        calls: ClosingCalls,
        trades: IdsOrTrades,
        on_unfilled: OnUnfilled,
        on_progress: Callable[[int, int | None, Verdict], object] | None,
    ) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.source_error: BaseException | None = None
        self._calls = calls
        self._total = len(trades) if isinstance(trades, Sized) else None
        self._items = _enumerate(trades)
        self._turnstile = asyncio.Lock()
        self._on_unfilled = on_unfilled
        self._on_progress = on_progress
        self._stopped_by: Exception | None = None
        self._by_id: dict[int, asyncio.Future[Outcome]] = {}

    async def work(self) -> None:
        while (numbered := await self._next()) is not None:
            place, item = numbered
            self.outcomes[place] = outcome = await self._outcome(item)
            self._tell(outcome.verdict)

    async def _next(self) -> tuple[int, int | SmartTrade] | None:
        async with self._turnstile:  # An async generator serves one at a time.
            try:
                return await anext(self._items, None)
            except asyncio.CancelledError as problem:
                if _is_cancelled():
                    raise
                self.source_error = problem
                return None
            except Exception as problem:  # noqa: BLE001 - the caller's iterable may raise anything
                self.source_error = problem
                return None

    def _tell(self, verdict: Verdict) -> None:
        if self._on_progress is None:
            return
        try:
            self._on_progress(len(self.outcomes), self._total, verdict)
        except (Exception, asyncio.CancelledError):
            if _is_cancelled():
                raise
            _log.exception("on_progress raised; the batch goes on")

    async def _outcome(self, item: int | SmartTrade) -> Outcome:
        try:
            trade_id, seen = read_item(item)
        except ValueError as problem:
            return Outcome(None, Verdict.REFUSED, error=problem)
        if trade_id in self._by_id:
            return await self._by_id[trade_id]
        self._by_id[trade_id] = verdict = asyncio.get_running_loop().create_future()
        outcome = await self._try(trade_id, seen)
        verdict.set_result(outcome)
        return outcome

    async def _try(self, trade_id: int, seen: SmartTrade | None) -> Outcome:
        if self._stopped_by:
            return Outcome(trade_id, Verdict.SKIPPED, seen, self._stopped_by)
        try:
            return await self._end(trade_id, seen)
        except errors.OutcomeUnknownError as problem:
            return Outcome(trade_id, Verdict.UNKNOWN, seen, problem)
        except errors.ThreeCommasError as problem:
            if isinstance(problem, _STOPS_A_BATCH):
                self._stopped_by = problem
            return Outcome(trade_id, Verdict.REFUSED, seen, problem)
        except (Exception, asyncio.CancelledError) as problem:
            if _is_cancelled():
                raise
            _log.exception("closing SmartTrade %s failed unexpectedly; the batch goes on", trade_id)
            return Outcome(trade_id, Verdict.UNKNOWN, seen, problem)

    async def _end(self, trade_id: int, seen: SmartTrade | None) -> Outcome:
        if seen and not seen.is_open:
            return Outcome(trade_id, Verdict.ALREADY_CLOSED, seen)
        if seen and seen.is_unfilled:
            # It may have been filled since it was read: a cancellation would leave what it holds.
            seen = await self._calls.get(trade_id)
            if seen.is_unfilled or not seen.is_open:
                return await self._end_uncloseable(seen, None)
        try:
            trade = await self._calls.close_by_market(trade_id)
        except (errors.InvalidRequestError, errors.PermissionDeniedError) as refusal:
            return await self._end_uncloseable(await self._why(trade_id, refusal), refusal)
        return Outcome(trade_id, Verdict.CLOSED if trade.is_terminal else Verdict.CLOSING, trade)

    async def _why(self, trade_id: int, refusal: errors.APIStatusError) -> SmartTrade:
        try:
            return await self._calls.get(trade_id)
        except errors.ThreeCommasError as problem:
            if isinstance(problem, _STOPS_A_BATCH):
                raise
            refusal.add_note(f"Reading the trade to see why failed: {problem}")
            raise refusal from None

    async def _end_uncloseable(self, trade: SmartTrade, refusal: errors.APIStatusError | None) -> Outcome:
        if not trade.is_open:
            return Outcome(trade.id, Verdict.ALREADY_CLOSED, trade)
        if not trade.is_unfilled:
            return Outcome(trade.id, Verdict.REFUSED, trade, refusal)
        if self._on_unfilled == "skip":
            return Outcome(trade.id, Verdict.SKIPPED, trade)
        cancelled = await self._calls.cancel(trade.id)
        if cancelled.is_filled:
            return Outcome(
                trade.id,
                Verdict.REFUSED,
                cancelled,
                errors.ThreeCommasError(
                    "the entry was filled while the trade was being cancelled: the position is still held"
                ),
            )
        return Outcome(trade.id, Verdict.CANCELLED, cancelled)


def _is_cancelled() -> bool:
    """Whether this task is being cancelled: a `CancelledError` may also come from something it awaits."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def read_item(item: object) -> tuple[int, SmartTrade | None]:
    """Return the id of an item of a batch, and the trade if it is one.

    Raises:
        ValueError: It is no SmartTrade and no positive whole number.
    """
    if isinstance(item, SmartTrade) and item.id > 0:
        return item.id, item
    if isinstance(item, bool) or not isinstance(item, int) or item < 1:
        raise ValueError(f"not a SmartTrade and not the id of one: {reprlib.repr(item)}")
    return item, None


async def _enumerate(trades: IdsOrTrades) -> AsyncIterator[tuple[int, int | SmartTrade]]:
    place = 0
    if isinstance(trades, AsyncIterable):
        async for item in trades:
            yield place, item
            place += 1
    else:
        for item in trades:
            yield place, item
            place += 1
