"""A SmartTrade in short: what a report keeps of each of ten thousand trades."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from threecommas_async.models.status import StatusCode

if TYPE_CHECKING:
    from threecommas_async.models.smart_trade import SmartTrade


class TradeSummary(Struct, frozen=True, kw_only=True, gc=False):
    """What a report keeps of a SmartTrade, as it was last seen: a tenth of its size."""

    id: int
    """SmartTrade id."""
    status: StatusCode
    """State code."""
    pair: str | None = None
    """QUOTE_BASE."""
    account_id: int | None = None
    """Account that the trade runs on."""
    entered_amount: Decimal | None = None
    """Entered so far, in base."""
    entered_total: Decimal | None = None
    """Spent for the entry, in quote."""
    closed_amount: Decimal | None = None
    """Closed so far, in base."""
    closed_total: Decimal | None = None
    """Closed so far, in quote."""
    profit: Decimal | None = None
    """``profit.volume``: in quote, unrealised until the trade has ended; None before the fill."""
    is_open: bool = False
    """The trade had neither ended nor been told to."""
    is_unfilled: bool = False
    """The entry was not filled."""
    is_filled: bool = False
    """The position was held at some time."""
    is_terminal: bool = False
    """The trade had ended."""

    @classmethod
    def of(cls, trade: SmartTrade) -> Self:
        """Return a trade in short."""
        data = trade.data
        return cls(
            id=trade.id,
            status=trade.status.code,
            pair=None if trade.pair is None else sys.intern(trade.pair),
            account_id=trade.account.id,
            entered_amount=data.entered_amount,
            entered_total=data.entered_total,
            closed_amount=data.closed_amount,
            closed_total=data.closed_total,
            profit=trade.profit.volume,
            is_open=trade.is_open,
            is_unfilled=trade.is_unfilled,
            is_filled=trade.is_filled,
            is_terminal=trade.is_terminal,
        )
