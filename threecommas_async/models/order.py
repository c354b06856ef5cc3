"""The request that creates a SmartTrade.

Fields carry the API's own names and None leaves a field out. Numbers are `Decimal`; an ``int`` or a
``str`` is taken too and made one, a ``float`` is refused, because it has already lost digits.

Source: the create table of the official documentation (state of 2026-05); where it contradicts its
own example (``instant`` as text, leverage type ``custom``), the table is followed.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr

Number: TypeAlias = Decimal | int | str
"""What is taken for a number: never a float."""

Side = Literal["buy", "sell"]
PriceType = Literal["bid", "ask", "last"]
"""The market price that is watched."""
MarketOrLimit = Literal["market", "limit"]


def exact(name: str, value: Number) -> Decimal:
    """Return a finite Decimal.

    Args:
        name: Name of the field, for the error.
        value: The number, or its text in plain or exponent form.

    Raises:
        ValueError: It is a float, a bool, no number or not finite.
    """
    if isinstance(value, float):
        raise ValueError(f'{name} must not be a float: write "{value}" or Decimal("{value}")')
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
        raise ValueError(f"{name} must be a Decimal, an int or a str, not {type(value).__name__}")
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ValueError(f"{name} must be a finite number, not {value!r}")
    return number


def _make_exact(struct: Struct, *names: str) -> None:
    for name in names:
        value = getattr(struct, name)
        if value is not None:
            force_setattr(struct, name, exact(name, value))


class OrderValue(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A single number of an order: an amount in base or a price in quote."""

    value: Decimal
    """The amount or the price."""

    def __post_init__(self) -> None:
        _make_exact(self, "value")


class OrderTriggerPrice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A price to watch for."""

    type: PriceType | None = None
    """The market price that is watched; for a conditional entry the API takes ask to buy and bid to sell."""
    value: Decimal | None = None
    """Price in quote. Exactly one of ``value`` and ``percent``."""
    percent: Decimal | None = None
    """The price as a distance in percent, while the entry trails."""

    def __post_init__(self) -> None:
        _make_exact(self, "value", "percent")


class OrderTrailing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Trailing of an entry, of the last target or of a stop."""

    enabled: bool
    """Trailing is on."""
    percent: Decimal | None = None
    """Trailing distance in percent, 0.01 to 100; needed when on."""

    def __post_init__(self) -> None:
        _make_exact(self, "percent")


class OrderConditional(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Trigger of a conditional entry or of a stop."""

    price: OrderTriggerPrice
    """The price that fires."""
    order_type: MarketOrLimit | None = None
    """Order that is sent when it fires; for entries only."""
    trailing: OrderTrailing | None = None
    """Trailing of the trigger."""


class OrderPosition(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The entry."""

    type: Side
    """Side of the entry."""
    order_type: Literal["market", "limit", "conditional"]
    """Kind of the entry order."""
    units: OrderValue
    """Amount in base."""
    price: OrderValue | None = None
    """Price in quote, for limit orders and for conditional ones that send a limit order."""
    conditional: OrderConditional | None = None
    """Trigger, for conditional orders."""


class OrderLeverage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Leverage, on contract accounts."""

    enabled: bool
    """Leverage is used."""
    type: Literal["cross", "isolated"] | None = None
    """Kind of leverage; needed when on."""
    value: Decimal | None = None
    """Leverage factor within the bounds of the pair."""

    def __post_init__(self) -> None:
        _make_exact(self, "value")


class OrderTakeProfitStep(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One target."""

    order_type: MarketOrLimit
    """Kind of the order."""
    volume: Decimal
    """Share of the position in percent; the shares of all targets add up to 100."""
    price: OrderTriggerPrice
    """The target."""
    trailing: OrderTrailing | None = None
    """Trailing, for the last target only."""

    def __post_init__(self) -> None:
        _make_exact(self, "volume")


class OrderTakeProfit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The targets."""

    enabled: bool
    """Take profit is on."""
    steps: tuple[OrderTakeProfitStep, ...] | None = None
    """One to eight targets when on."""


class OrderTimeout(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Delay before a stop acts."""

    enabled: bool
    """The delay is on."""
    value: int | None = None
    """Delay in seconds; needed when on."""


class OrderStopLoss(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The stop."""

    enabled: bool
    """The stop is on."""
    order_type: MarketOrLimit | None = None
    """Order that is sent when the stop fires; needed when on."""
    conditional: OrderConditional | None = None
    """The trigger; needed when on."""
    price: OrderValue | None = None
    """Limit price in quote, for limit orders."""
    breakeven: bool | None = None
    """Move the stop to the entry price after the first of two or more targets."""
    timeout: OrderTimeout | None = None
    """Delay before the stop acts."""


class SmartTradeOrder(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A SmartTrade to be created.

    The account must have ``smart_trading_supported``.
    """

    account_id: int
    """Account to trade on."""
    pair: str
    """QUOTE_BASE: ``USDT_BTC`` is BTC priced in USDT."""
    position: OrderPosition
    """The entry; for ``skip_enter_step`` the position that is held already."""
    instant: bool | None = None
    """Make a simple buy or simple sell: an order without targets and stop."""
    skip_enter_step: bool | None = None
    """The position is held already: make a smart sell or smart buy."""
    leverage: OrderLeverage | None = None
    """Leverage, on contract accounts."""
    take_profit: OrderTakeProfit | None = None
    """Targets."""
    stop_loss: OrderStopLoss | None = None
    """Stop."""
    note: str | None = None
    """Note of 1 to 300 characters."""

    @classmethod
    def smart_trade(
        cls,
        *,
        account_id: int,
        pair: str,
        units: Number,
        order_type: Literal["market", "limit", "conditional"] = "market",
        price: Number | None = None,
        conditional: OrderConditional | None = None,
        leverage: OrderLeverage | None = None,
        take_profit: OrderTakeProfit | None = None,
        stop_loss: OrderStopLoss | None = None,
        note: str | None = None,
    ) -> SmartTradeOrder:
        """Return the order for a long: buy, then wait for the targets and the stop.

        Args:
            account_id: Account to trade on.
            pair: QUOTE_BASE, such as ``USDT_BTC``.
            units: Amount in base.
            order_type: Kind of the entry order.
            price: Entry price in quote, for a limit order.
            conditional: Trigger, for a conditional order.
            leverage: Leverage, on contract accounts.
            take_profit: Targets; None for none.
            stop_loss: Stop; None for none.
            note: Note of 1 to 300 characters.

        Raises:
            ValueError: A number is a float, no number or not finite.
        """
        return cls(
            account_id=account_id,
            pair=pair,
            instant=False,
            skip_enter_step=False,
            leverage=leverage,
            position=OrderPosition(
                type="buy",
                order_type=order_type,
                units=OrderValue(value=exact("units", units)),
                price=None if price is None else OrderValue(value=exact("price", price)),
                conditional=conditional,
            ),
            take_profit=take_profit or OrderTakeProfit(enabled=False),
            stop_loss=stop_loss or OrderStopLoss(enabled=False),
            note=note,
        )
