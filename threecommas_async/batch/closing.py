"""What closing, cancelling or annotating one trade of a batch means, and what a plan of it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

from threecommas_async import errors
from threecommas_async.batch.items import each
from threecommas_async.batch.report import Outcome, Verdict, lighten, refused
from threecommas_async.models.status import StatusCode
from threecommas_async.models.summary import TradeSummary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threecommas_async.batch.items import Item
    from threecommas_async.batch.report import BatchReport
    from threecommas_async.models.smart_trade import SmartTrade

OnUnfilled = Literal["cancel", "skip", "close"]
"""What to do with a trade whose entry is not filled: the API refuses to close it."""

_ORDERED_ENDS: Final = frozenset({StatusCode.PANIC_SOLD, StatusCode.CANCELLED})
"""States in which a trade that was told to close or to cancel ends; in others it ended by itself."""

_STILL_HELD: Final = "the entry was filled while the trade was being cancelled: the position is still held"


class Calls(Protocol):
    """The calls that closing and cancelling need."""

    async def get(self, id: int, /) -> SmartTrade: ...
    async def cancel(self, id: int, /) -> SmartTrade: ...
    async def close_by_market(self, id: int, /) -> SmartTrade: ...


def check_on_unfilled(on_unfilled: object) -> None:
    """Raise unless it is one of the ways with unfilled trades.

    Raises:
        ValueError: It is not.
    """
    if on_unfilled not in get_args(OnUnfilled):
        raise ValueError(f"on_unfilled must be one of {', '.join(get_args(OnUnfilled))}, not {on_unfilled!r}")


class Closing:
    """Closes trades one by one.

    Args:
        calls: The calls to do it with.
        looks: Those to see with why it was refused.
        on_unfilled: What to do with trades whose entry is not filled.
    """

    def __init__(self, calls: Calls, looks: Calls, on_unfilled: OnUnfilled) -> None:
        self._calls = calls
        self._looks = looks
        self._on_unfilled = on_unfilled

    async def __call__(self, item: Item) -> Outcome:
        """Close one trade."""
        seen, trade_id = item.seen, item.id
        if seen and not seen.is_open:
            return Outcome(trade_id, Verdict.ALREADY_CLOSED, seen)
        if seen and seen.is_unfilled and self._on_unfilled != "close":
            # It may have been filled since it was read: a cancellation would leave what it holds.
            trade = await self._calls.get(trade_id)
            if trade.is_unfilled or not trade.is_open:
                return await self._end_uncloseable(trade, None)
        try:
            trade = await self._calls.close_by_market(trade_id)
        except (errors.InvalidRequestError, errors.PermissionDeniedError) as refusal:
            return await self._end_uncloseable(await why(self._looks, trade_id, refusal), refusal)
        seen = TradeSummary.of(trade)
        if not seen.is_terminal:
            return Outcome(trade_id, Verdict.CLOSING, seen)
        return _ended_held(seen) or Outcome(trade_id, Verdict.CLOSED, seen)

    async def _end_uncloseable(self, trade: SmartTrade, refusal: errors.APIStatusError | None) -> Outcome:
        seen = TradeSummary.of(trade)
        if not trade.is_open:
            return Outcome(trade.id, Verdict.ALREADY_CLOSED, seen)
        if not trade.is_unfilled or self._on_unfilled == "close":
            return Outcome(trade.id, Verdict.REFUSED, seen, None if refusal is None else lighten(refusal))
        if self._on_unfilled == "skip":
            return Outcome(trade.id, Verdict.SKIPPED, seen)
        cancelled = await self._calls.cancel(trade.id)
        seen = TradeSummary.of(cancelled)
        return (
            refused(seen, _STILL_HELD) if cancelled.is_filled else Outcome(trade.id, Verdict.CANCELLED, seen)
        )


class Cancelling:
    """Cancels trades one by one, filled or not.

    Args:
        calls: The calls to do it with.
        looks: Those to see with why it was refused.
    """

    def __init__(self, calls: Calls, looks: Calls) -> None:
        self._calls = calls
        self._looks = looks

    async def __call__(self, item: Item) -> Outcome:
        """Cancel one trade."""
        if item.seen and not item.seen.is_open:
            return Outcome(item.id, Verdict.ALREADY_CLOSED, item.seen)
        try:
            trade = await self._calls.cancel(item.id)
        except (errors.InvalidRequestError, errors.PermissionDeniedError) as refusal:
            trade = await why(self._looks, item.id, refusal)
            verdict = Verdict.REFUSED if trade.is_open else Verdict.ALREADY_CLOSED
            error = lighten(refusal) if trade.is_open else None
            return Outcome(item.id, verdict, TradeSummary.of(trade), error)
        return Outcome(item.id, Verdict.CANCELLED, TradeSummary.of(trade))


async def why(calls: Calls, trade_id: int, refusal: errors.APIStatusError) -> SmartTrade:
    """Read the trade whose state explains a refusal; where that fails, the refusal stands."""
    try:
        return await calls.get(trade_id)
    except (errors.AuthenticationError, errors.BannedError, errors.PlanLimitError, errors.ClientStateError):
        raise
    except errors.ThreeCommasError as problem:
        refusal.add_note(f"Reading the trade to see why failed: {problem}")
        raise refusal from None


def plan(
    item: Item,
    found: Mapping[int, TradeSummary],
    problems: Mapping[int, errors.ThreeCommasError],
    *,
    on_unfilled: OnUnfilled,
) -> Outcome:
    """Return what closing would do with an item, without doing it.

    Args:
        item: The item.
        found: Trades that were looked up, by id.
        problems: Why others could not be read, by id.
        on_unfilled: What would be done with a trade whose entry is not filled.
    """
    seen = item.seen or found.get(item.id)
    if seen is None:
        problem = item.fault or problems.get(item.id)
        match problem:
            case errors.DecodeError():
                verdict = Verdict.WOULD_CLOSE
            case errors.BatchStoppedError():
                verdict = Verdict.SKIPPED
            case _:
                verdict = Verdict.REFUSED
        return Outcome(item.id or None, verdict, error=None if problem is None else lighten(problem))
    if not seen.is_open:
        return Outcome(item.id, Verdict.ALREADY_CLOSED, seen)
    if not seen.is_unfilled or on_unfilled == "close":
        return Outcome(item.id, Verdict.WOULD_CLOSE, seen)
    return Outcome(item.id, Verdict.WOULD_CANCEL if on_unfilled == "cancel" else Verdict.SKIPPED, seen)


def requests_of(outcome: Outcome) -> int:
    """Return how many requests a planned verdict takes: an unfilled trade is read before it is cancelled."""
    return {Verdict.WOULD_CLOSE: 1, Verdict.WOULD_CANCEL: 2}.get(outcome.verdict, 0)


def can_end(outcome: Outcome) -> bool:
    """Whether the trade is on its way to an end, or may be."""
    if outcome.trade is not None and outcome.trade.is_terminal:
        return False
    return outcome.verdict is Verdict.UNKNOWN or (outcome.ok and outcome.verdict is not Verdict.SKIPPED)


class Followed:
    """The verdicts of a batch, while its trades are followed to their end.

    Attributes:
        outcomes: The verdicts so far, in the order of the input.
        places: Where the trades are among them that may end still, by id.
    """

    def __init__(self, report: BatchReport) -> None:
        self.outcomes: list[Outcome] = list(report)
        self.places: dict[int, list[int]] = {}

    async def begin(self) -> None:
        """Find out which trades may end still."""
        async for place, outcome in each(enumerate(self.outcomes)):
            if outcome.id is not None and can_end(outcome):
                self.places.setdefault(outcome.id, []).append(place)

    def is_left_open(self, trade: SmartTrade) -> bool:
        """Whether one of them is open, and nobody knows that it was told to close."""
        place = self.places[trade.id][0]
        return trade.is_open and self.outcomes[place].verdict is Verdict.UNKNOWN

    def take(self, trade: SmartTrade) -> None:
        """Take down the end of one of them, or that it is left open."""
        seen = TradeSummary.of(trade)
        for place in self.places[trade.id]:
            self.outcomes[place] = followed(self.outcomes[place], seen)


def followed(outcome: Outcome, end: TradeSummary) -> Outcome:
    """Return the verdict on a trade whose end was awaited.

    Args:
        outcome: The verdict before.
        end: The trade as it ended, or as it was when it was followed no longer.
    """
    if not can_end(outcome):
        return outcome
    if not end.is_terminal:
        return Outcome(outcome.id, outcome.verdict, end, outcome.error)
    if outcome.verdict is Verdict.ALREADY_CLOSED:
        return Outcome(outcome.id, outcome.verdict, end)
    if (held := _ended_held(end)) is not None:
        return held
    if outcome.verdict is Verdict.UNKNOWN and end.status not in _ORDERED_ENDS:
        return Outcome(outcome.id, Verdict.ALREADY_CLOSED, end)
    return Outcome(outcome.id, Verdict.CLOSED if end.is_filled else Verdict.CANCELLED, end)


def _ended_held(end: TradeSummary) -> Outcome | None:
    """Return the verdict on a trade whose end left the position held; None if it did not."""
    if not end.is_filled:
        return None
    match end.status:
        case StatusCode.CANCELLED:
            return refused(end, "it ended as cancelled, and the position is still held")
        case StatusCode.FAILED:
            return refused(end, "it ended as failed: the position may still be held")
        case _:
            return None
