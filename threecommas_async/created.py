"""Orders that carry a reference, and finding a SmartTrade again whose create was not answered."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from threecommas_async.arguments import check_aware
from threecommas_async.endpoints import CREATE_SMART_TRADE, LIST_SMART_TRADES, PAGE_SIZE
from threecommas_async.errand import DEEDS, take_down, took_effect
from threecommas_async.errors import SETTLED, OutcomeUnknownError, ThreeCommasError
from threecommas_async.models.order import SmartTradeOrder
from threecommas_async.models.reference import check_reference, marked, marker_in, note_of
from threecommas_async.models.smart_trade import SmartTrade, created_at
from threecommas_async.recovery import Finder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from threecommas_async.deadline import Deadline
    from threecommas_async.session import Session

MAX_PAGES: Final = 10
CLOCKS_DIFFER: Final = timedelta(hours=1)
"""By how much the clock here may be ahead of the API's, which dates the trades."""
_DRIFT: Final = 1.0
"""Seconds by which the two clocks may part without a step of the wall clock."""
_FIRST: Final = datetime.min.replace(tzinfo=UTC)
_REMEMBERED: Final = 10_000


class References:
    """The orders with a reference that a client was asked for: one order for each.

    The newest 10 000 are remembered, those of unknown outcome included.
    """

    def __init__(self) -> None:
        self._orders: dict[tuple[int, str, str], Placement] = {}

    def is_known(self, order: SmartTradeOrder, reference: str) -> bool:
        """Tell whether there is, or may be, an order with this reference, or one is on its way."""
        placement = self._orders.get((order.account_id, order.pair, reference))
        return placement is not None and placement.may_exist

    def placement(self, order: SmartTradeOrder, reference: str, *, keep: bool = True) -> Placement:
        """Return what has become of the order with this reference so far.

        Args:
            order: The order.
            reference: Its reference.
            keep: Remember it from now on.

        Raises:
            ValueError: The reference cannot be used, belongs to another order, or does not fit into the note.
        """
        name = (order.account_id, order.pair, reference)
        placement = self._orders.get(name)
        if placement is not None and placement.asked != order:
            if placement.may_exist:
                raise ValueError(f"reference {reference!r} belongs to another order of {order.pair}")
            placement = None  # It was refused, or never left: the reference is free.
        if placement is None:
            note = marked(order.note, reference, os.urandom(3).hex())
            placement = Placement(order, replace(order, note=note))
            if keep:
                self._orders.pop(name, None)
                self._orders[name] = placement
            while len(self._orders) > _REMEMBERED:
                del self._orders[next(iter(self._orders))]
        return placement


class Placement:
    """One order that carries a reference.

    Args:
        asked: The order as it was asked for.
        order: The order as it is sent, with the marker in its note.
    """

    __slots__ = ("asked", "callers", "lock", "lost", "lost_clock", "order", "trade")

    def __init__(self, asked: SmartTradeOrder, order: SmartTradeOrder) -> None:
        self.asked: SmartTradeOrder = asked
        self.order: SmartTradeOrder = order
        self.lock: asyncio.Lock = asyncio.Lock()
        self.trade: SmartTrade | None = None
        self.lost: OutcomeUnknownError | None = None
        # The same instant as ``lost.lost_at``, on the clock that never goes back.
        self.lost_clock: float = 0.0
        # Those under way: the lock is free for a moment when it passes from one to the next.
        self.callers: int = 0

    @property
    def may_exist(self) -> bool:
        """There is such an order, there may be one, or it is on its way."""
        return self.trade is not None or self.lost is not None or self.callers > 0


async def place(session: Session, placement: Placement) -> SmartTrade:
    """Create the trade of an order with a reference, unless that was done; see ``SmartTrades.create``."""
    placement.callers += 1
    try:
        placing = _place_in_turn(session, placement)
        return await (placing if (deeds := DEEDS.get()) is None else deeds.watch(placing))
    finally:
        placement.callers -= 1


async def _place_in_turn(session: Session, placement: Placement) -> SmartTrade:
    deadline, began = session.deadline(), session.clock()
    # Whoever asks for the same order at the same time waits for the first one to end.
    try:
        async with asyncio.timeout(deadline.left):
            await placement.lock.acquire()
    except TimeoutError:
        raise take_down(
            OutcomeUnknownError(
                "nothing was sent: another call with the same reference has not ended in time",
                endpoint=CREATE_SMART_TRADE,
                request=placement.order,
            )
        ) from None
    try:
        deadline.left -= session.clock() - began
        if placement.trade is None:
            placement.trade = await _find_lost(session, placement, deadline) or await _create(
                session, placement, deadline
            )
            if placement.lost is not None:
                session.forget(placement.lost)
                placement.lost = None
        took_effect()
        return placement.trade
    finally:
        placement.lock.release()


async def _create(session: Session, placement: Placement, deadline: Deadline) -> SmartTrade:
    look = partial(_with_marker, session.looking(), placement.order)
    finder = Finder(look, guarded=False, lasting=True)
    began, began_at = session.clock(), session.now()

    def keep(lost: OutcomeUnknownError) -> None:
        ended, ended_at = session.clock(), session.now()
        wall = (ended_at - began_at).total_seconds()
        is_steady = abs(wall - (ended - began)) < _DRIFT
        since = (ended_at - lost.lost_at).total_seconds() if is_steady and lost.lost_at else 0.0
        placement.lost, placement.lost_clock = lost, ended - max(0.0, since)

    try:
        return await session.call(CREATE_SMART_TRADE, body=placement.order, finder=finder, deadline=deadline)
    except OutcomeUnknownError as lost:
        keep(lost)
        raise
    except asyncio.CancelledError:
        for cancelled in session.in_flight_unknown:
            if cancelled.request is placement.order:
                keep(cancelled)
        raise


async def _find_lost(session: Session, placement: Placement, deadline: Deadline) -> SmartTrade | None:
    """Return the trade of an order whose answer was lost before; None if it may be sent.

    Raises:
        OutcomeUnknownError: It is not there, and may still be carried out.
    """
    lost = placement.lost
    if lost is None or lost.sent_at is None:
        return None
    try:
        found = await _with_marker(session, placement.order, deadline, lost.sent_at)
    except ThreeCommasError as problem:
        raise take_down(_still_lost(lost, f"looking for it failed: {problem}")) from problem
    if found is not None or lost.settled_at is None:
        return found
    # The wall clock may have been set meanwhile, so that it alone proves nothing.
    now = session.now()
    left = SETTLED.total_seconds() - (session.clock() - placement.lost_clock)
    if now >= lost.settled_at and left <= _DRIFT:
        return None
    until = max(lost.settled_at, now + timedelta(seconds=left)) if left > _DRIFT else lost.settled_at
    told = f"it may be carried out until {until:%H:%M:%S} UTC, and is not there so far"
    raise take_down(_still_lost(lost, told))


def _still_lost(lost: OutcomeUnknownError, reason: str) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"nothing was sent: the order with reference {lost.reference!r} was lost before, and {reason}",
        endpoint=lost.endpoint,
        path=lost.path,
        attempts=lost.attempts,
        request=lost.request,
        sent_at=lost.sent_at,
        lost_at=lost.lost_at,
    )


async def _with_marker(
    session: Session, order: SmartTradeOrder, deadline: Deadline | None, sent_at: datetime
) -> SmartTrade | None:
    """Return the trade that carries the marker of an order; None if there is none.

    Raises:
        ThreeCommasError: A call failed, several trades carry the marker, or one of the list cannot be read.
    """
    wanted = marker_in(order.note)
    found = await _newest(
        session,
        lambda trade: marker_in(note_of(trade)) == wanted,
        account_id=order.account_id,
        pair=order.pair,
        since=sent_at - CLOCKS_DIFFER,
        deadline=deadline,
    )
    if len(found) > 1:
        raise ThreeCommasError(f"several SmartTrades carry {wanted}: {', '.join(str(t.id) for t in found)}")
    return found[0] if found else None


async def with_reference(
    session: Session, reference: str, *, account_id: int, pair: str, since: datetime
) -> tuple[SmartTrade, ...]:
    """Return the trades that carry a reference; see ``SmartTrades.find_reference``."""
    check_reference(reference)
    check_aware("since", since)
    since = max(since, _FIRST + CLOCKS_DIFFER) - CLOCKS_DIFFER
    return await _newest(
        session,
        lambda trade: trade.reference == reference and _is_since(trade, since),
        account_id=account_id,
        pair=pair,
        since=since,
    )


async def candidates(session: Session, error: OutcomeUnknownError) -> tuple[SmartTrade, ...]:
    """Return the trades that a lost create may have made; see ``SmartTrades.find_created``."""
    order = error.request if isinstance(error, OutcomeUnknownError) else None  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
    if not isinstance(order, SmartTradeOrder):
        raise ValueError("the error is not about the creation of a SmartTrade: it has no order")
    since = (error.sent_at or session.now()) - CLOCKS_DIFFER
    wanted = marker_in(order.note)

    def may_be(trade: SmartTrade) -> bool:
        if wanted is not None:
            return marker_in(note_of(trade)) == wanted
        return (
            _is_since(trade, since)
            and trade.position.type == order.position.type
            and bool(trade.instant) == bool(order.instant)
            and bool(trade.skip_enter_step) == bool(order.skip_enter_step)
            and note_of(trade).split() == (order.note or "").split()
        )

    return await _newest(session, may_be, account_id=order.account_id, pair=order.pair, since=since)


def _is_since(trade: SmartTrade, since: datetime) -> bool:
    at = created_at(trade)
    return at is None or at >= since


async def _newest(
    session: Session,
    is_wanted: Callable[[SmartTrade], bool],
    *,
    account_id: int,
    pair: str,
    since: datetime,
    deadline: Deadline | None = None,
) -> tuple[SmartTrade, ...]:
    found: dict[int, SmartTrade] = {}
    async for trade in _walk(session, account_id, pair, since, deadline):
        if is_wanted(trade):
            found[trade.id] = trade
    return tuple(sorted(found.values(), key=lambda trade: trade.id))


async def _walk(
    session: Session, account_id: int, pair: str, since: datetime, deadline: Deadline | None
) -> AsyncGenerator[SmartTrade, None]:
    query = {
        "account_id": account_id,
        "pair": pair,
        "status": "all",
        "order_by": "created_at",
        "order_direction": "DESC",
        "per_page": PAGE_SIZE,
    }
    for number in range(1, MAX_PAGES + 1):
        page = await session.call(LIST_SMART_TRADES, query={**query, "page": number}, deadline=deadline)
        if page.malformed:
            raise ThreeCommasError(
                f"{len(page.malformed)} SmartTrades of {pair} cannot be read: it may be one of them"
            )
        dates = [at for at in map(created_at, page) if at is not None]
        if dates != sorted(dates, reverse=True):
            raise ThreeCommasError(f"the SmartTrades of {pair} do not come in the order that was asked for")
        for trade in page:
            yield trade
        oldest = dates[-1] if dates else None
        if page.received < PAGE_SIZE or (oldest is not None and oldest < since):
            return
    at_least = MAX_PAGES * PAGE_SIZE
    raise ThreeCommasError(
        f"more than {at_least} SmartTrades of {pair} since {since.isoformat(timespec='seconds')}"
    )
