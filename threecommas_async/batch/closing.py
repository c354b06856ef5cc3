"""What closing or cancelling one trade of a batch means, and what a plan of it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

from threecommas_async import errors
from threecommas_async.batch.report import Outcome, Verdict, lighten, refused
from threecommas_async.endpoints import Replay
from threecommas_async.models.status import StatusCode
from threecommas_async.models.summary import TradeSummary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threecommas_async.batch.items import Item
    from threecommas_async.models.smart_trade import SmartTrade

OnUnfilled = Literal["cancel", "skip", "close"]
"""What to do with a trade whose entry is not filled: the API refuses to close it."""

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
            if lacks_permission_to_write(refusal):
                raise
            return await self._end_uncloseable(await why(self._looks, trade_id, refusal), refusal)
        seen = TradeSummary.of(trade)
        if not seen.is_terminal:
            return Outcome(trade_id, Verdict.CLOSING, seen)
        return ended_held(seen) or Outcome(trade_id, Verdict.CLOSED, seen)

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
            if lacks_permission_to_write(refusal):
                raise
            trade = await why(self._looks, item.id, refusal)
            verdict = Verdict.REFUSED if trade.is_open else Verdict.ALREADY_CLOSED
            error = lighten(refusal) if trade.is_open else None
            return Outcome(item.id, verdict, TradeSummary.of(trade), error)
        return Outcome(item.id, Verdict.CANCELLED, TradeSummary.of(trade))


def lacks_permission_to_write(problem: BaseException | None) -> bool:
    """Whether a write was refused because of the key, whatever it was about."""
    if not isinstance(problem, errors.PermissionDeniedError) or problem.endpoint is None:
        return False
    return problem.lacks_permission and problem.endpoint.replay is not Replay.SAFE


def is_for_good(problem: BaseException | None) -> bool:
    """Whether the same call would be refused the same way."""
    match problem:
        case errors.ModeMismatchError(is_known=False):
            # What could not be looked up now may be found out later.
            return problem.__cause__ is None or is_for_good(problem.__cause__)
        case errors.GuardError():
            return True
        case errors.PermissionDeniedError():
            is_denied = problem.error.lower().replace("_", " ") == "access denied"  # Whoever is meant.
            return problem.lacks_permission or is_denied
        case _:
            return False


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


def requests_of(item: Item, outcome: Outcome) -> int:
    """Return how many requests it takes at least to do what a plan says of an item.

    An unfilled trade is read before it is cancelled or left alone. Of a bare id nobody knows that it is
    unfilled or has ended: its close is ordered, is refused, and the trade is read to see why.
    """
    is_bare = item.seen is None
    match outcome.verdict:
        case Verdict.WOULD_CLOSE:
            return 2 if outcome.trade is not None and outcome.trade.is_unfilled else 1
        case Verdict.WOULD_CANCEL:
            return 3 if is_bare else 2
        case Verdict.ALREADY_CLOSED:
            return 2 if is_bare else 0
        case Verdict.SKIPPED if outcome.error is None:
            return 2 if is_bare else 1
        case Verdict.REFUSED if is_bare and isinstance(outcome.error, errors.NotFoundError):
            return 1
        case _:
            return 0


def ended_held(end: TradeSummary) -> Outcome | None:
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
