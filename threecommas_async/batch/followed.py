"""The verdicts of a batch whose trades are followed to their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from threecommas_async.batch.closing import ended_held
from threecommas_async.batch.follow import Poll, pause_after
from threecommas_async.batch.items import each
from threecommas_async.batch.report import Outcome, Verdict
from threecommas_async.models.status import StatusCode
from threecommas_async.models.summary import TradeSummary

if TYPE_CHECKING:
    from collections.abc import Callable

    from threecommas_async.batch.follow import Calls
    from threecommas_async.batch.report import BatchReport
    from threecommas_async.limits import RateLimit
    from threecommas_async.models.smart_trade import SmartTrade

_ORDERED_ENDS: Final = frozenset({StatusCode.PANIC_SOLD, StatusCode.CANCELLED})
"""States in which a trade that was told to close or to cancel ends; in others it ended by itself."""


class Ends:
    """Looks now and then how trades have ended that were told to, while others are still tried.

    Args:
        calls: The calls.
        limit: The request limit that is kept.
        poll_every: Seconds between two looks, at least.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self, calls: Calls, *, limit: RateLimit, poll_every: float, clock: Callable[[], float]
    ) -> None:
        self._calls = calls
        self._limit = limit
        self._poll_every = poll_every
        self._clock = clock
        self._cost = 1
        self._due = 0.0

    async def __call__(self, outcomes: dict[int, Outcome]) -> None:
        """Look, if it is time, and replace the verdicts on what has ended.

        Raises:
            BatchStoppedError: It was called off.
        """
        ids = {id for id, told in outcomes.items() if told.verdict is not Verdict.UNKNOWN and can_end(told)}
        if not ids or self._clock() < self._due:
            return

        def take(trade: SmartTrade) -> None:
            outcomes[trade.id] = followed(outcomes[trade.id], TradeSummary.of(trade))

        poll = Poll(self._calls, ids, lambda _: False, take, must_exist=False, cost=self._cost)
        await poll.once(is_last=True)
        self._cost = poll.cost
        self._due = self._clock() + max(self._poll_every, pause_after(poll.cost, self._limit))


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
    if (held := ended_held(end)) is not None:
        return held
    if outcome.verdict is Verdict.UNKNOWN and end.status not in _ORDERED_ENDS:
        return Outcome(outcome.id, Verdict.ALREADY_CLOSED, end)
    return Outcome(outcome.id, Verdict.CLOSED if end.is_filled else Verdict.CANCELLED, end)
