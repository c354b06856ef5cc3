"""How batches of SmartTrades are made, planned, and followed to their end."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from threecommas_async import endpoints, errors
from threecommas_async.batch import follow
from threecommas_async.batch.closing import Closing, plan, requests_of
from threecommas_async.batch.engine import Batch, interrupted, make_report
from threecommas_async.batch.followed import Ends, Followed
from threecommas_async.batch.items import TRADES, Input, Item, each
from threecommas_async.batch.progress import Progress
from threecommas_async.batch.report import BatchReport, Outcome, Verdict, lighten
from threecommas_async.batch.sweep import THE_LIST, Sweep, survey
from threecommas_async.models.summary import TradeSummary
from threecommas_async.resources.smart_trade_calls import SmartTradeCalls
from threecommas_async.walk import pages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from typing import Any, Self

    from threecommas_async.batch.closing import OnUnfilled
    from threecommas_async.batch.items import ClosingOrder, Read
    from threecommas_async.batch.predicate import Predicate
    from threecommas_async.batch.progress import OnProgress
    from threecommas_async.batch.sweep import Look, Mark, Survey
    from threecommas_async.errand import Errand
    from threecommas_async.models.smart_trade import SmartTrade

CONCURRENCY: Final = 16
"""Calls of a batch in flight at most, unless told otherwise."""
STILL_OPEN: Final = 10.0
"""Seconds after which a trade that is open is followed no longer where nobody knows of its close."""
FOLLOW: Final = 600.0
"""Seconds for which ``wait=True`` follows trades when there is no deadline."""
POLL_EVERY: Final = 10.0
"""Seconds between two polls."""

_log = logging.getLogger("threecommas_async.batch")


class SmartTradeBatches(SmartTradeCalls):
    """What the batches of ``client.smart_trades`` have in common."""

    def _view(self, errand: Errand, *, is_exit: bool = False) -> Self:
        return self.with_session(self._session.patient(is_exit=is_exit, errand=errand))

    def _looks(self, errand: Errand) -> Self:
        return self.with_session(self._session.patient(is_exit=True, errand=errand, can_be_called_off=False))

    def _closing(
        self,
        read: Read,
        errand: Errand,
        *,
        on_unfilled: OnUnfilled,
        concurrency: int,
        deadline: float | None,
        on_progress: OnProgress | None,
    ) -> Batch:
        act = Closing(self._view(errand, is_exit=True), self._looks(errand), on_unfilled)
        return self._batch(
            read, act, errand, concurrency=concurrency, deadline=deadline, on_progress=on_progress
        )

    def _batch(
        self,
        read: Read,
        act: Callable[[Item], Awaitable[Outcome]],
        errand: Errand,
        *,
        concurrency: int,
        deadline: float | None,
        on_progress: OnProgress | None,
        what: str = TRADES,
    ) -> Batch:
        known: list[errors.OutcomeUnknownError] = []

        async def begin(given: Input) -> None:
            known.extend(self._session.in_flight_unknown)
            await read(given)
            await self._place(given.items, errand)

        return Batch(
            begin,
            act,
            errand=errand,
            limit=self._session.limiter.limit,
            concurrency=concurrency,
            deadline=deadline,
            on_progress=on_progress,
            lost=partial(self._lost, known),
            clock=self._session.clock,
            what=what,
        )

    async def _place(self, items: Iterable[Item], errand: Errand) -> None:
        """Read by pages the trades whose account has to be known before."""
        unplaced = self._session.unplaced(item.id for item in items if item.id)
        with suppress(errors.ThreeCommasError):  # Each of them can still be read by itself.
            if len(unplaced) > 1:
                await follow.find_active(self._view(errand), unplaced, lambda _: None)

    def _lost(
        self, known: Sequence[errors.OutcomeUnknownError], id: int
    ) -> errors.OutcomeUnknownError | None:
        """Return what is known of a write on a trade that was cancelled later than those known before."""
        cancelled = (error for error in self._session.in_flight_unknown if error not in known)
        return next((error for error in cancelled if error.smart_trade_id == id), None)

    def _looking(
        self, errand: Errand, *, predicate: Predicate | None, order: ClosingOrder, **filters: Any
    ) -> Look:
        """Return what looks for the open trades that match; the filters are those of ``close_all``."""
        lists = self._view(errand, is_exit=True)

        async def look(mark: Mark | None) -> Survey:
            active = pages(lists.list, status="active", order_by="created_at", **filters)
            return await survey(active, predicate=predicate, order=order, mark=mark)

        return look

    def _sweeping(
        self,
        look: Look,
        errand: Errand,
        *,
        on_unfilled: OnUnfilled,
        concurrency: int,
        deadline: float | None,
        on_progress: OnProgress | None,
        wait: bool,
    ) -> Sweep:
        progress = None if on_progress is None else Progress(on_progress)

        async def close(items: list[Item]) -> BatchReport:
            if progress is not None:
                progress.begin(items)
            batch = self._closing(
                partial(_give, items),
                errand,
                on_unfilled=on_unfilled,
                concurrency=concurrency,
                deadline=None,
                on_progress=progress,
            )
            return await batch.run()

        limit, clock = self._session.limiter.limit, self._session.clock
        ends = Ends(self._view(errand), limit=limit, poll_every=POLL_EVERY, clock=clock)
        return Sweep(
            look,
            close,
            lambda outcomes, elapsed: make_report(outcomes, elapsed, errand, limit),
            errand=errand,
            skips_unfilled=on_unfilled == "skip",
            deadline=deadline,
            # Without one the rounds in vain are few, and what was closed is followed after them.
            settle=ends if wait and deadline is not None else None,
        )

    async def _plan(
        self, read: Read, on_unfilled: OnUnfilled, errand: Errand, deadline: float | None
    ) -> BatchReport:
        return await self._planned(_Draft(Input()), read, on_unfilled, errand, deadline)

    async def _planned(
        self, draft: _Draft, read: Read, on_unfilled: OnUnfilled, errand: Errand, deadline: float | None
    ) -> BatchReport:
        began, given, seen = self._session.clock(), draft.given, dict[int, TradeSummary]()
        limit = self._session.limiter.limit
        timer = None if deadline is None else errand.call_off_in(deadline)

        def decide(item: Item) -> None:
            outcome = self._held_back(plan(item, seen, draft.problems, on_unfilled=on_unfilled))
            draft.outcomes.append(outcome)
            draft.needed.setdefault(outcome.id, requests_of(item, outcome))  # Each is closed once.

        def report() -> BatchReport:
            outcomes = (*draft.outcomes, *draft.unreadable)
            elapsed = self._session.clock() - began
            made = make_report(outcomes, elapsed, errand, limit, unread=given.unread)
            return replace(made, floor=limit.floor(draft.requests), dry_run=True)

        try:
            await read(given)
            failure = await _read_on(given, errand)
            draft.problems = await self._look_up(draft.unread(seen), seen, errand)
            async for item in each(given.items):
                decide(item)
        except asyncio.CancelledError as cancelled:
            stopped = errors.BatchStoppedError("the plan was cancelled")
            draft.problems = dict.fromkeys(draft.unread(seen), stopped) | draft.problems
            for item in given.items[len(draft.outcomes) :]:
                decide(item)
            so_far = report()
            raise cancelled from errors.BatchStoppedError(f"cancelled: {so_far!r}", report=so_far)
        finally:
            if timer is not None:
                timer.cancel()
        if failure is not None:
            raise interrupted(report(), failure) from failure
        return report()

    async def _look_up(
        self, ids: set[int], seen: dict[int, TradeSummary], errand: Errand
    ) -> dict[int, errors.ThreeCommasError]:
        """Read trades until the errand is called off; return why others could not be read."""

        def see(trade: SmartTrade) -> None:
            seen[trade.id] = TradeSummary.of(trade)

        # All of it is called off as one: a read that is in flight is nothing to wait for.
        calls = self.with_session(self._session.patient(errand=errand, can_be_called_off=False))
        try:
            return (await errand.wait_for(partial(follow.find, calls, ids, see))).problems
        except errors.BatchStoppedError as stopped:
            return dict.fromkeys(ids - seen.keys(), stopped)

    async def _plan_of_all(
        self, look: Look, on_unfilled: OnUnfilled, errand: Errand, deadline: float | None
    ) -> BatchReport:
        draft = _Draft(Input(THE_LIST))

        async def read_active(given: Input) -> None:
            found = await look(None)
            given.items, given.is_whole = found.items, True
            draft.unreadable = found.unreadable
            draft.lists = found.pages + bool(found.items)  # What is left is listed again.

        return await self._planned(draft, read_active, on_unfilled, errand, deadline)

    def _held_back(self, outcome: Outcome) -> Outcome:
        """Return the verdict of a plan, refused where the client was told not to do that."""
        if outcome.id is None or outcome.verdict not in {Verdict.WOULD_CLOSE, Verdict.WOULD_CANCEL}:
            return outcome
        cancels = outcome.verdict is Verdict.WOULD_CANCEL
        row = endpoints.CANCEL_SMART_TRADE if cancels else endpoints.CLOSE_BY_MARKET
        refusal = self._session.objection(row, {"id": outcome.id})
        if refusal is None:
            return outcome
        return Outcome(outcome.id, Verdict.REFUSED, outcome.trade, lighten(refusal))

    def _ends_at(self, deadline: float | None) -> float | None:
        return None if deadline is None else self._session.clock() + deadline

    async def _follow(self, report: BatchReport, errand: Errand, ends_at: float | None) -> BatchReport:
        """Follow what a batch has closed or cancelled to its end."""
        began = self._session.clock()
        left = FOLLOW if ends_at is None else ends_at - began
        limit = self._session.limiter.limit
        followed = Followed(report)
        elapsed, opened, unread = report.elapsed, report.opened, report.unread
        del report  # Not to hold each verdict twice.

        def so_far() -> BatchReport:
            seconds = elapsed + self._session.clock() - began
            made = make_report(tuple(followed.outcomes), seconds, errand, limit, unread=unread)
            return replace(made, opened=opened)

        def is_left_open(trade: SmartTrade) -> bool:
            return self._session.clock() - began >= STILL_OPEN and followed.is_left_open(trade)

        try:
            await followed.begin()
            if errand.called_off is not None or not followed.places or left <= 0:
                return so_far()
            await follow.follow(
                self._view(errand),
                set(followed.places),
                is_left_open,
                followed.take,
                limit=limit,
                timeout=left,
                poll_every=POLL_EVERY,
                must_exist=False,
            )
        except errors.WaitTimeoutError:
            pass  # Those that have ended are known.
        except Exception as problem:  # noqa: BLE001 - a limiter of the caller's may raise anything
            _log.warning("following the trades of a batch failed: %r", problem)
        except asyncio.CancelledError as cancelled:
            held = so_far()
            raise cancelled from errors.BatchStoppedError(f"cancelled: {held!r}", report=held)
        return so_far()


async def _give(items: list[Item], given: Input) -> None:
    given.items, given.is_whole = items, True


async def _read_on(given: Input, errand: Errand) -> Exception | None:
    """Read a stream to its end, or until the errand is called off; return what it failed with."""
    if given.stream is None:
        return None
    async with aclosing(given.stream) as stream:
        try:
            while (item := await errand.wait_for(partial(anext, stream, None))) is not None:
                given.items.append(item)
        except errors.BatchStoppedError:
            return None
        except Exception as problem:  # noqa: BLE001 - the caller's iterable may raise anything
            return problem
    given.is_whole = True
    return None


class _Draft(Struct):
    """A plan that is being made.

    Args:
        given: What it is about.
        problems: Why trades could not be looked up, by id.
        outcomes: The verdicts so far.
        unreadable: Those on trades of which nobody can say whether they match.
        needed: Requests that a run takes for each trade, by id.
        lists: Requests that it takes for lists.
    """

    given: Input
    problems: dict[int, errors.ThreeCommasError] = field(default_factory=dict[int, errors.ThreeCommasError])
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    unreadable: list[Outcome] = field(default_factory=list[Outcome])
    needed: dict[int | None, int] = field(default_factory=dict[int | None, int])
    lists: int = 0

    @property
    def requests(self) -> int:
        """Requests that a run takes at least."""
        return self.lists + sum(self.needed.values())

    def unread(self, seen: Mapping[int, TradeSummary]) -> set[int]:
        """Return the ids of which nothing is known but that."""
        return {item.id for item in self.given.items if item.id and item.seen is None} - seen.keys()
