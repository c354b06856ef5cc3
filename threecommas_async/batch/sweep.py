"""Closing everything that is open: list, close, list again, until nothing is left."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

from threecommas_async import errors
from threecommas_async.batch.closing import is_for_good
from threecommas_async.batch.items import Item, in_order, rank, read_item
from threecommas_async.batch.predicate import holds
from threecommas_async.batch.report import BatchReport, Outcome, Verdict
from threecommas_async.models.smart_trade import SmartTrade, created_at

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator

    from threecommas_async.batch.items import ClosingOrder
    from threecommas_async.batch.predicate import Predicate
    from threecommas_async.errand import Errand
    from threecommas_async.models.decoding import Page

_IDLE_ROUNDS: Final = 3
"""Rounds in a row that close nothing, after which a sweep without a deadline ends."""
_PAUSES: Final = (2.0, 4.0, 8.0)
"""Seconds after the first, the second and each further such round."""

_log = logging.getLogger("threecommas_async.batch")


class Mark(Struct, frozen=True):
    """The newest trade when a sweep began: what is newer was opened meanwhile.

    Args:
        created_at: When it was created.
        id: Its id, for trades that do not say when they were created.
    """

    created_at: datetime | None
    id: int

    @classmethod
    def of(cls, page: Page[SmartTrade]) -> Self | None:
        """Return the newest trade of a page; None if not even an id can be read."""
        ids = [trade.id for trade in page] + [bad.id for bad in page.malformed if bad.id is not None]
        instants = [at for at in map(created_at, page) if at is not None]
        return cls(max(instants, default=None), max(ids)) if ids else None

    def precedes(self, id: int, created_at: datetime | None = None) -> bool:
        """Whether a trade was opened later."""
        if created_at is None or self.created_at is None:
            return id > self.id
        return created_at > self.created_at


class Survey(Struct):
    """What one pass over the active trades has found.

    Args:
        items: What matches and is open, in the order in which to close it.
        unreadable: Verdicts on trades that cannot be read, so that nobody can say whether they match.
        opened: Ids of what matches and was opened since the sweep began.
        mark: The newest trade.
        pages: Pages that the list had.
    """

    items: list[Item] = field(default_factory=list[Item])
    unreadable: list[Outcome] = field(default_factory=list[Outcome])
    opened: list[int] = field(default_factory=list[int])
    mark: Mark | None = None
    pages: int = 0

    def leave_alone(self, id: int | None, why: str) -> None:
        """Keep the verdict on a trade that cannot be read."""
        error = errors.DecodeError(f"cannot be read, so it was left alone: {why}")
        self.unreadable.append(Outcome(id, Verdict.SKIPPED, error=error))


class _Row(Struct, frozen=True):
    """A row of a list that is to be closed; ``item`` is None where that cannot be, or cannot be told."""

    id: int | None
    created_at: datetime | None
    rank: float
    item: Item | None
    fault: str = ""


def _rows(page: Page[SmartTrade], predicate: Predicate | None, order: ClosingOrder) -> Iterator[_Row]:
    for trade in page:
        if trade.is_open and (predicate is None or holds(predicate, trade)):
            item = read_item(trade) if trade.id > 0 else None
            yield _Row(trade.id, created_at(trade), rank(trade, order), item, "that is no id")
    for bad in page.malformed:
        item = Item(bad.id) if predicate is None and bad.id is not None and bad.id > 0 else None
        yield _Row(bad.id, None, math.inf, item, bad.fault)


async def survey(
    active: AsyncGenerator[Page[SmartTrade], None],
    *,
    predicate: Predicate | None,
    order: ClosingOrder,
    mark: Mark | None,
) -> Survey:
    """Read all pages of active trades once.

    A trade that cannot be read is closed by its id, unless a predicate has a say.

    Args:
        active: The pages.
        predicate: Whether a trade is to be closed; None closes all.
        order: Which comes first.
        mark: The newest trade when the sweep began; None if it begins here.
    """
    found = Survey(mark=mark)
    ranked: list[tuple[float, Item]] = []
    listed: set[int] = set()  # What ends or begins meanwhile moves others to another page.
    async with aclosing(active) as pages:
        async for page in pages:
            found.pages += 1
            found.mark = found.mark or Mark.of(page)
            for row in _rows(page, predicate, order):
                if row.id in listed:
                    continue
                if row.id is not None:
                    listed.add(row.id)
                if row.item is None:
                    found.leave_alone(row.id, row.fault)
                elif mark is not None and mark.precedes(row.item.id, row.created_at):
                    found.opened.append(row.item.id)
                else:
                    ranked.append((row.rank, row.item))
    found.items = in_order(ranked)
    return found


Look: TypeAlias = Callable[[Mark | None], Awaitable[Survey]]
"""Makes a survey; its argument is the mark of the first one, None for that one itself."""
Settle: TypeAlias = Callable[[dict[int, Outcome]], Awaitable[None]]
"""Looks how trades have ended, and replaces their verdicts, which are by id."""

THE_LIST: Final = "the open trades"
"""What is read first, as a text says it."""


class Sweep:
    """Closes what is open in rounds; see ``SmartTrades.close_all``.

    Args:
        look: Makes a survey.
        close: Closes items, until the errand is called off.
        report: Makes a report of verdicts, and of the seconds that it took.
        errand: What all of it is done for.
        skips_unfilled: Trades whose entry is not filled are left alone.
        deadline: Seconds after which nothing more is sent; None ends when nothing more can be closed.
        settle: Looks how what was closed has ended while others are tried in vain; None does not.
    """

    def __init__(
        self,
        look: Look,
        close: Callable[[list[Item]], Awaitable[BatchReport]],
        report: Callable[[tuple[Outcome, ...], float], BatchReport],
        *,
        errand: Errand,
        skips_unfilled: bool,
        deadline: float | None,
        settle: Settle | None = None,
    ) -> None:
        self._settle = settle
        self._is_listed = False
        self._look = look
        self._close = close
        self._report = report
        self._errand = errand
        self._skips_unfilled = skips_unfilled
        self._deadline = deadline
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._outcomes: dict[int, Outcome] = {}
        self._unreadable: list[Outcome] = []
        self._opened: dict[int, None] = {}

    async def run(self) -> BatchReport:
        """Close round after round.

        Raises:
            ThreeCommasError: The first list cannot be read: nothing was ordered.
            asyncio.CancelledError: The task was cancelled; `BatchReport.of` finds the report.
        """
        timer = None if self._deadline is None else self._errand.call_off_in(self._deadline)
        try:
            await self._rounds()
        except asyncio.CancelledError as cancelled:
            of_round = BatchReport.of(cancelled)
            self._take(of_round or ())
            report = self._so_far()
            if of_round is None:  # A round tells of it itself.
                _log.warning("a batch was cancelled: %r", report)
            raise cancelled from errors.BatchStoppedError(f"cancelled: {report!r}", report=report)
        finally:
            if timer is not None:
                timer.cancel()
        return self._so_far()

    async def _rounds(self) -> None:
        found = await self._look(None)
        self._is_listed = True
        self._unreadable = found.unreadable
        todo: list[Item] | None = found.items
        idle = 0
        while todo or todo is None:
            is_progress = self._take(await self._close(todo or []))
            idle = 0 if is_progress else idle + 1
            if self._is_over(idle):
                return
            if idle and not self._are_refused_for_good(todo):
                pause = _PAUSES[min(idle, len(_PAUSES)) - 1]
                try:
                    await self._look_for_ends()
                    await self._errand.wait_for(partial(asyncio.sleep, pause))
                except errors.BatchStoppedError:
                    return
            todo = await self._still_open(found.mark)

    async def _look_for_ends(self) -> None:
        if self._settle is None:
            return
        try:
            await self._settle(self._outcomes)
        except errors.BatchStoppedError:
            raise
        except Exception as problem:  # noqa: BLE001 - a limiter of the caller's may raise anything
            _log.warning("how trades have ended cannot be read: %r", problem)

    def _is_over(self, idle: int) -> bool:
        is_in_vain = self._deadline is None and idle >= _IDLE_ROUNDS
        return is_in_vain or self._errand.called_off is not None

    async def _still_open(self, mark: Mark | None) -> list[Item] | None:
        """Return what is still open, and what nobody knows; None if the list cannot be read."""
        try:
            found = await self._look(mark)
        except errors.BatchStoppedError:
            return []
        except Exception as problem:  # noqa: BLE001 - the caller's predicate may raise anything
            _log.warning("the list of what is still open cannot be read: %r", problem)
            return None
        self._opened |= dict.fromkeys(found.opened)
        items = [
            # What was read before it is closed says nothing of an order that may be on its way.
            Item(item.id) if _may_be_ordered(self._outcomes.get(item.id)) else item
            for item in found.items
            if not self._is_left_alone(item)
        ]
        listed = {item.id for item in items}
        unknown = [id for id, outcome in self._outcomes.items() if outcome.verdict is Verdict.UNKNOWN]
        return items + [Item(id) for id in unknown if id not in listed]

    def _is_left_alone(self, item: Item) -> bool:
        outcome = self._outcomes.get(item.id)
        if outcome is None:
            return False
        if _is_refused_for_good(outcome):
            return True
        return self._skips_unfilled and bool(item.seen and item.seen.is_unfilled)

    def _are_refused_for_good(self, items: list[Item] | None) -> bool:
        """Whether there are items, and none of them is worth a second try."""
        return bool(items) and all(_is_refused_for_good(self._outcomes.get(item.id)) for item in items or ())

    def _take(self, report: Iterable[Outcome]) -> bool:
        """Take over the verdicts of a round; return whether it closed something that was not closed yet."""
        is_progress = False
        for outcome in report:
            before = self._outcomes.get(outcome.id or 0)
            if before is None or not _outweighs(before, outcome):
                self._outcomes[outcome.id or 0] = outcome
            is_progress = is_progress or (outcome.ok and not (before is not None and before.ok))
        return is_progress

    def _so_far(self) -> BatchReport:
        outcomes = (*self._outcomes.values(), *self._unreadable)
        report = self._report(outcomes, self._clock() - self._began)
        unread = "" if self._is_listed else THE_LIST
        return replace(report, opened=tuple(self._opened), unread=unread)


_SAYS_NO: Final = frozenset({Verdict.REFUSED, Verdict.SKIPPED})


def _is_refused_for_good(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.verdict is Verdict.REFUSED and is_for_good(outcome.error)


def _may_be_ordered(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.verdict not in _SAYS_NO


def _outweighs(before: Outcome, later: Outcome) -> bool:
    """Whether a verdict stays: a later round that says nothing, or less, hides no order."""
    if before.ok and later.verdict is Verdict.ALREADY_CLOSED:
        return True
    if later.verdict is Verdict.SKIPPED and not later.ok:
        return before.verdict is not Verdict.SKIPPED
    says_nothing = later.trade is None and (later.verdict in _SAYS_NO or later.verdict is Verdict.UNKNOWN)
    return _may_be_ordered(before) and says_nothing
