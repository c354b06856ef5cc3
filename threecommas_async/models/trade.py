"""The Trade entity: one order of a SmartTrade, as the API answers it.

Source: the two Trade objects in the official documentation (state of 2026-05), one of a finished entry and
one of a pending stop. For the conventions see `threecommas_async.models.smart_trade`.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from threecommas_async.models.status import StatusCode


class Trade(Struct, frozen=True, kw_only=True, gc=False):
    """One order of a SmartTrade: its entry, a target, the stop or a reduction.

    It names neither its SmartTrade nor the account. The ``id`` of a target is the same as in
    ``take_profit.steps``.
    """

    id: int
    """Trade id, for the calls on single trades."""
    status: StatusCode
    """State code of the order."""
    trade_purpose: str | None = None
    """Role of the order: ``position``, ``take_profit``, ``stop_loss`` or ``reduce_funds``.

    What added funds are called is not documented; the sandbox calls them ``position``, like the entry.
    """
    pair: str | None = None
    """QUOTE_BASE."""
    order_side: str | None = None
    """``buy`` or ``sell``."""
    order_type: str | None = None
    """``market`` or ``limit``; a conditional stop is ``market`` with ``trigger_type`` ``conditional``."""
    initial_amount: Decimal | None = None
    """Ordered amount, in base."""
    initial_total: Decimal | None = None
    """Ordered total, in quote."""
    initial_price: Decimal | None = None
    """Planned price, in quote."""
    order_price: Decimal | None = None
    """Limit price in quote; None for market orders."""
    average_price: Decimal | None = None
    """``realised_total`` / ``realised_amount`` in quote, not rounded; None before a fill."""
    realised_amount: Decimal | None = None
    """Executed amount in base, net of a fee taken in base."""
    realised_total: Decimal | None = None
    """Executed total in quote; None before a fill."""
    realised_percentage: Decimal | None = None
    """Executed share in percent; 100 also where a fee makes the executed amount a little smaller."""
    realised_price: Decimal | None = None
    """Executed price in quote, truncated to the price step; None before a fill."""
    position_percentage: Decimal | None = None
    """Share of the position in percent, for targets and the stop; None for the entry."""
    take_profit_percentage: Decimal | None = None
    """Target as a distance in percent; None when it was given as a price."""
    follow_price_type: str | None = None
    """The market price that is watched: ``bid``, ``ask`` or ``last``."""
    trigger_type: str | None = None
    """``conditional`` or ``none``."""
    trigger_condition: str | None = None
    """``greater``, ``less``, ``greater_or_equal`` or ``less_or_equal``; None without a trigger."""
    trigger_price: Decimal | None = None
    """Price that fires, in quote; None without a trigger."""
    trigger_price_percentage: Decimal | None = None
    """Trigger as a distance in percent; None when it was given as a price."""
    trailing_enabled: bool | None = None
    """Trailing is on."""
    trail_percentage: Decimal | None = None
    """Trailing distance in percent; None while off."""
    trail_value: Decimal | None = None
    """Trailing distance as a price, in quote; None while off."""
    trailing_last_price: Decimal | None = None
    """Reference price of the trailing, in quote; None while off."""
    trailing_last_price_updated_at: datetime | None = None
    """When that price was set. Declared as a number and never seen: Unix seconds are taken too."""
    created_at: datetime | None = None
    """When the order was created."""
    updated_at: datetime | None = None
    """Last change."""
    cancelable: bool | None = None
    """``cancel_trade`` is possible."""
    force_processable: bool | None = None
    """``close_trade_by_market`` is possible."""


class ReduceFundsInfo(Struct, frozen=True, kw_only=True, gc=False):
    """How much of a position can be given up."""

    max_reduce_funds_amount: Decimal
    """The largest amount that ``reduce_funds`` takes, in base; up to 27 decimals."""
