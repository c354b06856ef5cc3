"""The record of accepted orders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from decimal import Decimal

Action: TypeAlias = Literal["create", "close_by_market", "cancel", "force_start", "close_trade"]
"""What can be ordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One accepted order.

    Args:
        at: Instant of acceptance, in seconds on the exchange's clock.
        action: What was ordered.
        smart_trade_id: The SmartTrade.
        trade_id: The target that was closed; None for orders on the whole SmartTrade.
        account_id: Account it is on.
        pair: QUOTE_BASE.
        side: Side of the market order that follows; of the entry for ``create`` and ``cancel``.
        units: Size concerned, in base.
    """

    at: float
    action: Action
    smart_trade_id: int
    trade_id: int | None
    account_id: int
    pair: str
    side: str
    units: Decimal
