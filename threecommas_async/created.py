"""Finding a SmartTrade again whose create was not answered: among the newest of its account and pair."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from threecommas_async.endpoints import LIST_SMART_TRADES
from threecommas_async.errors import ThreeCommasError
from threecommas_async.models.order import SmartTradeOrder
from threecommas_async.models.reference import marker_in, note_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from threecommas_async.errors import OutcomeUnknownError
    from threecommas_async.models.smart_trade import SmartTrade
    from threecommas_async.session import Deadline, Session

PAGE_SIZE: Final = 100
MAX_PAGES: Final = 10
CLOCKS_DIFFER: Final = timedelta(minutes=5)
"""By how much the clock here may be ahead of the API's, which dates the trades."""


async def with_marker(
    session: Session, order: SmartTradeOrder, deadline: Deadline | None, sent_at: datetime
) -> SmartTrade | None:
    """Return the trade that carries the marker of an order; None if there is none.

    Raises:
        ThreeCommasError: A call failed, several trades carry the marker, or one of the list cannot be read.
    """
    wanted = marker_in(order.note)
    found = await _newest(
        session, order, sent_at, deadline, lambda trade: marker_in(note_of(trade)) == wanted
    )
    if len(found) > 1:
        raise ThreeCommasError(f"several SmartTrades carry {wanted}: {', '.join(str(t.id) for t in found)}")
    return found[0] if found else None


async def candidates(session: Session, error: OutcomeUnknownError) -> tuple[SmartTrade, ...]:
    """Return the trades that a lost create may have made; see ``SmartTrades.find_created``."""
    order = error.body
    if not isinstance(order, SmartTradeOrder):
        raise ValueError("the error is not about the creation of a SmartTrade: it has no order")
    wanted = marker_in(order.note)

    def may_be(trade: SmartTrade) -> bool:
        if wanted is not None:
            return marker_in(note_of(trade)) == wanted
        return (
            (trade.data.created_at is None or trade.data.created_at >= since)
            and trade.position.type == order.position.type
            and bool(trade.instant) == bool(order.instant)
            and bool(trade.skip_enter_step) == bool(order.skip_enter_step)
            and note_of(trade) == (order.note or "")
        )

    sent_at = error.sent_at or datetime.now(UTC)
    since = sent_at - CLOCKS_DIFFER
    return await _newest(session, order, sent_at, None, may_be)


async def _newest(
    session: Session,
    order: SmartTradeOrder,
    sent_at: datetime,
    deadline: Deadline | None,
    is_wanted: Callable[[SmartTrade], bool],
) -> tuple[SmartTrade, ...]:
    found: dict[int, SmartTrade] = {}
    async for trade in _walk(session, order, sent_at - CLOCKS_DIFFER, deadline):
        if is_wanted(trade):
            found[trade.id] = trade
    return tuple(sorted(found.values(), key=lambda trade: trade.id))


async def _walk(
    session: Session, order: SmartTradeOrder, since: datetime, deadline: Deadline | None
) -> AsyncGenerator[SmartTrade, None]:
    query = {
        "account_id": order.account_id,
        "pair": order.pair,
        "status": "all",
        "order_by": "created_at",
        "order_direction": "DESC",
        "per_page": PAGE_SIZE,
    }
    for number in range(1, MAX_PAGES + 1):
        page = await session.call(LIST_SMART_TRADES, query={**query, "page": number}, deadline=deadline)
        if page.malformed:
            raise ThreeCommasError(
                f"{len(page.malformed)} SmartTrades of {order.pair} cannot be read: it may be one of them"
            )
        for trade in page:
            yield trade
        oldest = page[-1].data.created_at if page else None
        if page.received < PAGE_SIZE or (oldest is not None and oldest < since):
            return
    raise ThreeCommasError(f"more than {MAX_PAGES * PAGE_SIZE} SmartTrades of {order.pair} since {since:%c}")
