"""Whether what the API shows of a SmartTrade says that a call took effect.

Each of these takes the SmartTrade as it was read after the call, the single trades of it where the row of the
call asks for them, and the path values of the call. An effect that shows later shows as none: states are
snapshots of an asynchronous process.

Source: the states that the documented answers of these calls show, and those recorded later in the life of a
close (public repositories, 2021 to 2025).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from threecommas_async.models.reference import note_of, reference_in
from threecommas_async.models.status import StatusCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threecommas_async.models.decoding import Page
    from threecommas_async.models.smart_trade import SmartTrade
    from threecommas_async.models.trade import Trade

_CLOSED: Final = frozenset(
    {StatusCode.PANIC_SELL_PENDING, StatusCode.PANIC_SELL_IN_PROGRESS, StatusCode.PANIC_SOLD}
)
_CANCELLED: Final = frozenset(
    {StatusCode.CANCELLATION_PENDING, StatusCode.CANCELLATION_IN_PROGRESS, StatusCode.CANCELLED}
)
_EXECUTED: Final = frozenset(
    {
        StatusCode.PANIC_SELL_PENDING,
        StatusCode.PANIC_SELL_ORDER_PLACED,
        StatusCode.PANIC_SOLD,
        StatusCode.FINISHED,
    }
)
_WITHDRAWN: Final = frozenset({StatusCode.PENDING_CANCELLATION, StatusCode.CANCELLED})


def is_closed_by_market(trade: SmartTrade, _orders: Page[Trade], _path: Mapping[str, int]) -> bool:
    """Whether the SmartTrade was told to close at market price."""
    return trade.status.code in _CLOSED


def is_cancelled(trade: SmartTrade, _orders: Page[Trade], _path: Mapping[str, int]) -> bool:
    """Whether the SmartTrade was told to cancel."""
    return trade.status.code in _CANCELLED


def is_started(trade: SmartTrade, _orders: Page[Trade], _path: Mapping[str, int]) -> bool:
    """Whether the entry is on its way to the market or filled; how it got there does not show."""
    return trade.position.status.code in _EXECUTED


def is_target_closed(_trade: SmartTrade, orders: Page[Trade], path: Mapping[str, int]) -> bool:
    """Whether the target is on its way to the market or filled; how it got there does not show."""
    return any(order.id == path["trade_id"] and order.status in _EXECUTED for order in orders)


def is_order_cancelled(trade: SmartTrade, orders: Page[Trade], path: Mapping[str, int]) -> bool:
    """Whether the order is withdrawn; without its last target or stop the whole trade goes.

    That it is not in the list proves nothing: it may never have been there.
    """
    return is_cancelled(trade, orders, path) or any(
        order.id == path["trade_id"] and order.status in _WITHDRAWN for order in orders
    )


def is_of_another_order(sent: bytes, trade: SmartTrade) -> str | None:
    """Return how the answer to an order shows that it is about another one; None where it does not.

    What the answer leaves out shows nothing, nor does a pair that is only spelled longer or shorter, as those
    of futures are.

    Args:
        sent: The order as it was sent.
        trade: The answer.
    """
    order: dict[str, object] = msgspec.json.decode(sent) if sent else {}
    asked, answered = order.get("account_id"), trade.account.id
    if isinstance(asked, int) and answered is not None and answered != asked:
        return f"it is about account {answered}, not {asked}"
    pair = order.get("pair")
    if isinstance(pair, str) and trade.pair and not _is_same_pair(trade.pair.upper(), pair.upper()):
        return f"it is about {trade.pair}, not {pair}"
    text, note = order.get("note"), note_of(trade)
    reference = reference_in(text) if isinstance(text, str) else None
    # Not the marker as a whole: the nonce of an answer that was recorded is another one.
    if reference is not None and note and f"{reference}:" not in note:
        return f"its note lacks the reference {reference}"
    return None


def _is_same_pair(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
