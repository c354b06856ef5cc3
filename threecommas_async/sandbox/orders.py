"""What a user orders: the contents of a request, checked and typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from decimal import Decimal

DIGITS: Final = 200
"""Decimal precision of all money here: enough for any product of three numbers as they are ordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A condition on the market price that sends an entry order.

    Args:
        order_type: ``market`` or ``limit``.
        price: Price that fires, in quote.
        watched: ``bid``, ``ask`` or ``last``.
        trailing: Trailing distance in percent; None is off.
    """

    order_type: str
    price: Decimal
    watched: str
    trailing: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A take-profit target.

    Args:
        order_type: ``market`` or ``limit``.
        volume: Share of the position, in percent.
        watched: ``bid``, ``ask`` or ``last``.
        price: Price in quote; None when it was given as a distance.
        percent: Distance from the entry price in percent; None when it was given as a price.
        trailing: Trailing distance in percent; None is off.
        id: Trade id of the target that it stands for; None or an unknown one makes it a new target.
    """

    order_type: str
    volume: Decimal
    watched: str
    price: Decimal | None = None
    percent: Decimal | None = None
    trailing: Decimal | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A stop loss.

    Args:
        order_type: ``market`` or ``limit``.
        watched: ``bid``, ``ask`` or ``last``.
        trigger: Price that fires, in quote; None when it was given as a distance.
        percent: Distance of the trigger in percent; None when it was given as a price.
        limit_price: Price of the limit order, in quote; None for a market stop.
        breakeven: The stop moves to the entry price once a target was reached.
        trailing: Trailing distance in percent; None is off.
        timeout: How long the trigger must be met before the stop acts, in seconds; None is off.
    """

    order_type: str
    watched: str
    trigger: Decimal | None = None
    percent: Decimal | None = None
    limit_price: Decimal | None = None
    breakeven: bool = False
    trailing: Decimal | None = None
    timeout: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leverage:
    """Leverage of a SmartTrade on a contract account.

    Args:
        type: ``cross`` or ``isolated``.
        value: Leverage factor.
    """

    type: str
    value: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """An order to add to a position, or to take from it.

    Args:
        order_type: ``market`` or ``limit``.
        units: Size in base.
        price: Limit price in quote; None for market orders.
    """

    order_type: str
    units: Decimal
    price: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order to create a SmartTrade.

    Args:
        account_id: Account to trade on.
        pair: QUOTE_BASE.
        side: Side of the entry: ``buy`` or ``sell``.
        order_type: ``market``, ``limit`` or ``conditional``.
        units: Size in base.
        price: Entry price in quote; None takes the market's.
        instant: A simple buy or simple sell.
        skip_enter_step: The position exists already.
        conditional: Trigger of a conditional entry.
        take_profit: Take profit is on.
        targets: The targets.
        stop: The stop; None is off.
        leverage: Leverage; None is off.
        note: The user's note as written; None is none.
    """

    account_id: int
    pair: str
    side: str
    order_type: str
    units: Decimal
    price: Decimal | None = None
    instant: bool = False
    skip_enter_step: bool = False
    conditional: Trigger | None = None
    take_profit: bool = False
    targets: tuple[Target, ...] = ()
    stop: Stop | None = None
    leverage: Leverage | None = None
    note: str | None = None

    @property
    def kind(self) -> str:
        """The SmartTrade's ``data.type``: a smart *sell* is about a position that was *bought*."""
        buys = self.side == "buy"
        if self.instant:
            return "simple_buy" if buys else "simple_sell"
        if self.skip_enter_step:
            return "smart_sell" if buys else "smart_buy"
        return "smart_trade" if buys else "smart_cover"

    @property
    def is_market(self) -> bool:
        """The entry is sent as a market order."""
        return (self.order_type if self.conditional is None else self.conditional.order_type) == "market"

    @property
    def is_long(self) -> bool:
        """The position is bought."""
        return self.side == "buy"

    @property
    def exit_side(self) -> str:
        """Side of the orders that close the position."""
        return "sell" if self.is_long else "buy"

    @property
    def trailing_entry(self) -> Decimal | None:
        """Trailing distance of the entry in percent; None is off."""
        return None if self.conditional is None else self.conditional.trailing
