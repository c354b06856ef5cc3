"""The groups of a SmartTrade: account, entry, targets, stop, reductions, data, profit, margin.

For the conventions see `threecommas_async.models.smart_trade`.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from msgspec import Struct

from threecommas_async.models.status import Status


class Account(Struct, frozen=True, kw_only=True, gc=False):
    """The exchange account that a SmartTrade runs on."""

    id: int | None = None
    """Account id."""
    type: str | None = None
    """Kind of account, such as ``binance``; ``paper_trading`` is a paper account."""
    name: str | None = None
    """The name that the user gave to the account."""
    market: str | None = None
    """Name of the market for people."""
    link: str | None = None
    """Path of the account in the web application."""


class Leverage(Struct, frozen=True, kw_only=True, gc=False):
    """Leverage of a SmartTrade; everything but ``enabled`` is None while it is off."""

    enabled: bool | None = None
    """Leverage is in use."""
    type: str | None = None
    """``cross`` or ``isolated``."""
    value: Decimal | None = None
    """Leverage factor (5 means five times)."""
    type_editable: bool | None = None
    """The type can still be changed."""


class Amount(Struct, frozen=True, kw_only=True, gc=False):
    """An amount of the base currency."""

    value: Decimal | None = None
    """Amount in base; None for targets that are idle and for stops."""
    editable: bool | None = None
    """The amount can be changed now; None where the API does not say."""


class Price(Struct, frozen=True, kw_only=True, gc=False):
    """A price of an entry, a stop, a reduction or a market close."""

    value: Decimal | None = None
    """Price in quote, fees included; None for market stops."""
    percent: Decimal | None = None
    """The price as a distance in percent; None where it was not sent."""
    value_without_commission: Decimal | None = None
    """Price in quote, fees excluded."""
    editable: bool | None = None
    """The price can be changed now; None where the API does not say."""


class TriggerPrice(Struct, frozen=True, kw_only=True, gc=False):
    """A price that is watched on the market."""

    type: str | None = None
    """The market price that is watched: ``bid``, ``ask`` or ``last``."""
    value: Decimal | None = None
    """Price in quote that fires; None where it was not sent."""
    percent: Decimal | None = None
    """The price as a distance in percent; None where it was not sent (one answer has both)."""


class Total(Struct, frozen=True, kw_only=True, gc=False):
    """What an order costs or brings."""

    value: Decimal | None = None
    """Total in quote."""
    value_without_commission: Decimal | None = None
    """Total in quote, fees excluded."""


class Trailing(Struct, frozen=True, kw_only=True, gc=False):
    """Trailing of an entry, a target or a stop."""

    enabled: bool | None = None
    """Trailing is on."""
    percent: Decimal | None = None
    """Trailing distance in percent (answers of 2021 show negative ones); None while off."""


class Conditional(Struct, frozen=True, kw_only=True, gc=False):
    """Trigger of a conditional entry or of a stop."""

    price: TriggerPrice = TriggerPrice()
    """The price that fires."""
    order_type: str | None = None
    """Order that is sent when it fires: ``market`` or ``limit``; None for stops."""
    trailing: Trailing = Trailing()
    """Trailing of the trigger."""
    editable: bool | None = None
    """The trigger can be changed now; None for stops."""


class Position(Struct, frozen=True, kw_only=True, gc=False):
    """The entry order."""

    type: str | None = None
    """Side of the entry: ``buy`` or ``sell``."""
    editable: bool | None = None
    """The entry can be changed now."""
    units: Amount = Amount()
    """Planned amount in base; after the fill the amount held, net of a fee taken in base."""
    price: Price = Price()
    """Entry price in quote; after the fill total / units, truncated to the price step."""
    total: Total = Total()
    """Paid or received for the entry, in quote."""
    order_type: str | None = None
    """``market``, ``limit`` or ``conditional``."""
    conditional: Conditional | None = None
    """Trigger; None unless ``order_type`` is ``conditional``."""
    status: Status = Status()
    """State of the entry order; ``smart_sell`` means that the user brought the position."""


class StepActions(Struct, frozen=True, kw_only=True, gc=False):
    """What can be done with one target or one reduction."""

    cancelable: bool | None = None
    """It may be cancelled. The documented answers say true even for one that is being closed."""
    panic_sell_available: bool | None = None
    """It may be closed at market price."""


class TakeProfitStep(Struct, frozen=True, kw_only=True, gc=False):
    """One take-profit target."""

    id: int | None = None
    """Trade id of the target, for the calls on single trades."""
    order_type: str | None = None
    """``market`` or ``limit``."""
    editable: bool | None = None
    """The target can be changed now."""
    units: Amount = Amount()
    """Amount to close, in base, rounded to the lot; its value is None while the target is idle."""
    price: TriggerPrice = TriggerPrice()
    """Target price in quote and the market price that is watched."""
    volume: Decimal | None = None
    """Share of the position for this target, in percent."""
    total: Decimal | None = None
    """Units times price, in quote; None while the target is idle."""
    trailing: Trailing = Trailing()
    """Trailing of the target."""
    status: Status = Status()
    """State of the target."""
    closed_at: datetime | None = None
    """When the target closed; None while it has not, and absent before 2024-12."""
    data: StepActions = StepActions()
    """What can be done with the target now."""
    position: int | None = None
    """Number of the target, from 1; not ordered by price."""


class TakeProfit(Struct, frozen=True, kw_only=True, gc=False):
    """The take-profit block."""

    enabled: bool | None = None
    """Take profit is on; stays true after the trade was cancelled or failed."""
    price_type: str | None = None
    """How the targets were given: ``value`` or ``percentage``."""
    steps: tuple[TakeProfitStep, ...] = ()
    """The targets; empty while off, and gone by ``panic_sell_in_progress`` and after the end."""


class Timeout(Struct, frozen=True, kw_only=True, gc=False):
    """Delay before a stop acts."""

    enabled: bool | None = None
    """The delay is on."""
    value: Decimal | None = None
    """Delay in seconds; None while off."""


class StopLoss(Struct, frozen=True, kw_only=True, gc=False):
    """The stop-loss block; everything but ``enabled`` is empty while it is off."""

    enabled: bool | None = None
    """The stop is on."""
    price_type: str | None = None
    """How the stop was given: ``value`` or ``percentage``."""
    breakeven: bool | None = None
    """The stop moves to the entry price once a target was reached."""
    order_type: str | None = None
    """Order that is sent when the stop fires: ``market`` or ``limit``."""
    editable: bool | None = None
    """The stop can be changed now."""
    status: Status | None = None
    """State of the stop; None while it is off, and once the trade is closing or has ended."""
    units: Amount = Amount()
    """Amount that the stop closes, in base; absent before 2024-12."""
    total: Total = Total()
    """Total of the stop in quote; absent before 2024-12."""
    price: Price = Price()
    """Limit price in quote; its value is None for market stops."""
    conditional: Conditional = Conditional()
    """The trigger."""
    timeout: Timeout = Timeout()
    """Delay before the stop acts."""
    closed_at: datetime | None = None
    """When the stop closed the trade."""


class ReduceFundsStep(Struct, frozen=True, kw_only=True, gc=False):
    """One order that gives up a part of the position."""

    id: int | None = None
    """Trade id of the order."""
    type: str | None = None
    """Kind of order: ``market`` or ``limit``."""
    status: Status = Status()
    """State of the order."""
    units: Amount = Amount()
    """Amount to give up, in base."""
    price: Price = Price()
    """Price in quote."""
    total: Total = Total()
    """Total in quote."""
    closed_at: datetime | None = None
    """When the order closed; None while it has not."""
    data: StepActions = StepActions()
    """What can be done with the order now."""


class ReduceFunds(Struct, frozen=True, kw_only=True, gc=False):
    """The reductions of the position."""

    steps: tuple[ReduceFundsStep, ...] = ()
    """The reductions, usually none."""


class MarketClose(Struct, frozen=True, kw_only=True, gc=False):
    """The order that closes the trade at market price.

    Empty in every documented answer, even in the one to ``close_by_market``.
    """

    id: int | None = None
    """Trade id of the order."""
    type: str | None = None
    """Kind of order (declared, never seen)."""
    status: Status | None = None
    """State of the order (declared, never seen)."""
    units: Amount = Amount()
    """Amount in base (declared, never seen)."""
    price: Price = Price()
    """Price in quote (declared, never seen)."""
    total: Total = Total()
    """Total in quote (declared, never seen)."""


class CurrentPrice(Struct, frozen=True, kw_only=True, gc=False):
    """The ticker of the pair when the answer was made."""

    bid: Decimal | None = None
    """Best bid in quote."""
    ask: Decimal | None = None
    """Best ask in quote."""
    last: Decimal | None = None
    """Last price in quote."""
    quote_volume: Decimal | None = None
    """Volume in quote."""
    day_change_percent: Decimal | None = None
    """Change over 24 hours, in percent."""


class SmartTradeData(Struct, frozen=True, kw_only=True, gc=False):
    """Computed values of a SmartTrade, and what can be done with it now."""

    editable: bool | None = None
    """``update`` is possible."""
    current_price: CurrentPrice = CurrentPrice()
    """Ticker of the pair."""
    target_price_type: str | None = None
    """Always ``price`` in the documentation, which does not describe it."""
    orderbook_price_currency: str | None = None
    """Currency of the prices."""
    base_order_finished: bool | None = None
    """Described as "the entry was executed", yet true in every documented answer."""
    missing_funds_to_close: Decimal | None = None
    """Amount that the account's free balance lacks for the close."""
    liquidation_price: Decimal | None = None
    """Liquidation price in quote; futures only."""
    average_enter_price: Decimal | None = None
    """Average entry price in quote, fees included; None before the fill."""
    average_close_price: Decimal | None = None
    """Average exit price in quote, fees included; None before an exit."""
    average_enter_price_without_commission: Decimal | None = None
    """Average entry price in quote, fees excluded; None before the fill."""
    average_close_price_without_commission: Decimal | None = None
    """Average exit price in quote, fees excluded; None before an exit."""
    panic_sell_available: bool | None = None
    """``close_by_market`` is possible."""
    add_funds_available: bool | None = None
    """``add_funds`` is possible."""
    reduce_funds_available: bool | None = None
    """``reduce_funds`` is possible."""
    force_start_available: bool | None = None
    """``force_start`` is possible."""
    force_process_available: bool | None = None
    """``force_process`` is possible; that call has no page in the documentation any more."""
    cancel_available: bool | None = None
    """``cancel`` is possible."""
    finished: bool | None = None
    """True for ``finished`` and ``stop_loss_finished`` only: not the test for "ended"."""
    base_position_step_finished: bool | None = None
    """The entry is over, also when it failed."""
    entered_amount: Decimal | None = None
    """Entered so far in base, added funds included; 0 before the fill."""
    entered_total: Decimal | None = None
    """Spent for the entry in quote, added funds included; 0 before the fill."""
    closed_amount: Decimal | None = None
    """Closed so far, in base."""
    closed_total: Decimal | None = None
    """Closed so far, in quote."""
    commission: Decimal | None = None
    """Fee rate of the estimates as a fraction (0.001 is 0.1 %); the fee charged can differ."""
    created_at: datetime | None = None
    """When the trade was created."""
    updated_at: datetime | None = None
    """Last change. It has been seen not to move when the status changed: no change marker."""
    closed_at: datetime | None = None
    """When the trade ended; None while it has not (one answer of 2021 had it on an open trade)."""
    type: str | None = None
    """``simple_buy``, ``simple_sell``, ``smart_trade``, ``smart_cover``, ``smart_buy`` or ``smart_sell``."""


class Profit(Struct, frozen=True, kw_only=True, gc=False):
    """The result; unrealised while the trade is open."""

    volume: Decimal | None = None
    """Profit in quote; None before the fill and after a cancellation or a failure."""
    usd: Decimal | None = None
    """Profit in USD; None together with ``volume``."""
    percent: Decimal | None = None
    """Profit in percent of the entered total; 0 where ``volume`` is None."""
    roe: Decimal | None = None
    """Return on equity in percent; futures only."""


class Margin(Struct, frozen=True, kw_only=True, gc=False):
    """Margin of a futures trade; None on spot and before the fill."""

    amount: Decimal | None = None
    """Margin in base."""
    total: Decimal | None = None
    """Margin in quote."""
