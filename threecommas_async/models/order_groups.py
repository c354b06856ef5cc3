"""The groups that orders are made of: amounts, prices, triggers, targets, the stop, leverage.

Fields carry the API's own names and None leaves a field out. Numbers are `Decimal`; a ``float`` is
refused, because it has already lost digits. `target`, `take_profit`, `stop_loss` and `trigger` make the
groups from plain arguments and take an ``int`` or a ``str`` for a number too.

Source: the tables of the official documentation (state of 2026-05); where they contradict their own
examples (``instant`` as text, leverage type ``custom``), the tables are followed.
"""

from __future__ import annotations

import re
import reprlib
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr

Number: TypeAlias = Decimal | int | str
"""What is taken for a number: never a float."""

Side = Literal["buy", "sell"]
PriceType = Literal["bid", "ask", "last"]
"""The market price that is watched."""
MarketOrLimit = Literal["market", "limit"]
LeverageType = Literal["cross", "isolated"]
EntryOrderType = Literal["market", "limit", "conditional"]


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
    if isinstance(value, str) and (len(value) > 2 * _DIGITS or not _NUMBER.fullmatch(value)):
        raise ValueError(f'{name} must be a number such as "0.5", not {reprlib.repr(value)}')
    number = Decimal(value)
    if not number.is_finite() or abs(number.adjusted()) > _DIGITS or len(number.as_tuple().digits) > _DIGITS:
        raise ValueError(f"{name} must be a finite number of at most {_DIGITS} digits")
    return number


_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_DIGITS: Final = 100


def _whole_seconds(name: str, value: object) -> int:
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= _DIGITS:
        whole = int(value)
        if whole == value:
            return whole
    if type(value) is not int:
        raise ValueError(f"{name} must be a whole number of seconds, not {value!r}")
    return value


def _make_exact(struct: Struct, *names: str) -> None:
    for name in names:
        value = getattr(struct, name)
        if value is not None:
            force_setattr(struct, name, exact(name, value))


class OrderValue(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A single number of an order: an amount in base or a price in quote."""

    value: Decimal
    """The amount or the price."""

    def __post_init__(self) -> None:
        _make_exact(self, "value")


class OrderTriggerPrice(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A price to watch for."""

    type: PriceType | None = None
    """The market price that is watched. Needed for targets and stops; else ask to buy and bid to sell."""
    value: Decimal | None = None
    """Price in quote. For a target exactly one of ``value`` and ``percent``."""
    percent: Decimal | None = None
    """The price as a distance in percent, while the entry trails."""

    def __post_init__(self) -> None:
        _make_exact(self, "value", "percent")


class OrderTrailing(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Trailing of an entry, of the last target or of a stop."""

    enabled: bool
    """Trailing is on."""
    percent: Decimal | None = None
    """Trailing distance in percent, 0.01 to 100; needed when on."""

    def __post_init__(self) -> None:
        _make_exact(self, "percent")


class OrderConditional(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Trigger of a conditional entry or of a stop."""

    price: OrderTriggerPrice
    """The price that fires."""
    order_type: MarketOrLimit | None = None
    """Order that is sent when it fires; for entries only."""
    trailing: OrderTrailing | None = None
    """Trailing of the trigger."""


class OrderPosition(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The entry."""

    type: Side
    """Side of the entry."""
    order_type: EntryOrderType
    """Kind of the entry order."""
    units: OrderValue
    """Amount in base."""
    price: OrderValue | None = None
    """Price in quote, for limit orders and for conditional ones that send a limit order."""
    conditional: OrderConditional | None = None
    """Trigger, for conditional orders."""


class OrderLeverage(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Leverage, on contract accounts."""

    enabled: bool
    """Leverage is used."""
    type: LeverageType | None = None
    """Kind of leverage; needed when on."""
    value: Decimal | None = None
    """Leverage factor within the bounds of the pair."""

    def __post_init__(self) -> None:
        _make_exact(self, "value")


class OrderTakeProfitStep(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One target."""

    order_type: MarketOrLimit
    """Kind of the order."""
    volume: Decimal
    """Share of the position in percent; the shares of all targets add up to 100."""
    price: OrderTriggerPrice
    """The target."""
    trailing: OrderTrailing | None = None
    """Trailing, for the last target only."""
    id: int | None = None
    """Trade id of a target that is repeated in an update; the answer gives it a new one."""

    def __post_init__(self) -> None:
        _make_exact(self, "volume")


class OrderTakeProfit(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The targets."""

    enabled: bool
    """Take profit is on."""
    steps: tuple[OrderTakeProfitStep, ...] | None = None
    """One to eight targets when on."""


class OrderTimeout(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Delay before a stop acts."""

    enabled: bool
    """The delay is on."""
    value: int | None = None
    """Delay in seconds; needed when on. A whole `Decimal` becomes an ``int``."""

    def __post_init__(self) -> None:
        if self.value is not None:
            force_setattr(self, "value", _whole_seconds("timeout", self.value))


class OrderStopLoss(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
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


def target(
    price: Number | None = None,
    *,
    percent: Number | None = None,
    volume: Number = 100,
    trailing: Number | None = None,
    order_type: MarketOrLimit | None = None,
    watch: PriceType = "last",
    id: int | None = None,
) -> OrderTakeProfitStep:
    """Return one take-profit target.

    Args:
        price: Target price in quote. Exactly one of ``price`` and ``percent``.
        percent: Target as a distance from the entry in percent; only while a trailing entry is not finished.
            The documentation does not state the sign for shorts.
        volume: Share of the position in percent; the shares of all targets add up to 100.
        trailing: Trailing distance in percent, 0.01 to 100; for the last target only.
        order_type: Kind of the order; None is ``market`` for a trailing target and ``limit`` otherwise.
        watch: The market price that is watched.
        id: Trade id of a target that is repeated in an update; None for a new one.

    Raises:
        ValueError: A number is a float, no number or not finite.
    """
    return OrderTakeProfitStep(
        id=id,
        order_type=order_type or ("limit" if trailing is None else "market"),
        volume=exact("volume", volume),
        price=_trigger(watch, price, percent),
        trailing=_trailing(trailing),
    )


def take_profit(*targets: OrderTakeProfitStep) -> OrderTakeProfit:
    """Return the take-profit block of one to eight targets, each made by `target`."""
    return OrderTakeProfit(enabled=True, steps=targets)


def stop_loss(
    price: Number | None = None,
    *,
    percent: Number | None = None,
    limit_price: Number | None = None,
    trailing: Number | None = None,
    breakeven: bool = False,
    timeout: int | Decimal | None = None,
    watch: PriceType = "last",
) -> OrderStopLoss:
    """Return the stop-loss block.

    Args:
        price: Price in quote that fires the stop. Exactly one of ``price`` and ``percent``. What it means
            beside ``trailing`` is not documented; the sandbox lets the trailing distance rule.
        percent: The trigger as a distance in percent; only while a trailing entry is not finished. Its sign
            is not documented; the sandbox takes its size, on the losing side of the entry.
        limit_price: Price in quote of the limit order that is sent then; None sends a market order.
        trailing: Trailing distance in percent; None is off.
        breakeven: Move the stop to the entry price after the first of two or more targets.
        timeout: Whole seconds that the condition must hold before the stop acts; None acts at once.
        watch: The market price that is watched.

    Raises:
        ValueError: A number is a float, no number or not finite, or ``timeout`` is no whole number.
    """
    seconds = None if timeout is None else _whole_seconds("timeout", timeout)
    return OrderStopLoss(
        enabled=True,
        order_type="market" if limit_price is None else "limit",
        conditional=OrderConditional(price=_trigger(watch, price, percent), trailing=_trailing(trailing)),
        price=None if limit_price is None else OrderValue(value=exact("limit_price", limit_price)),
        breakeven=breakeven,
        timeout=OrderTimeout(enabled=seconds is not None, value=seconds),
    )


def trigger(
    price: Number,
    *,
    order_type: MarketOrLimit = "market",
    trailing: Number | None = None,
    watch: PriceType | None = None,
) -> OrderConditional:
    """Return the trigger of a conditional entry.

    Args:
        price: Price in quote that fires.
        order_type: Kind of the order that is sent then; a limit order takes the entry's ``price``.
        trailing: Trailing distance in percent; None is off.
        watch: The market price that is watched; None is ask to buy and bid to sell.

    Raises:
        ValueError: A number is a float, no number or not finite.
    """
    return OrderConditional(
        order_type=order_type, price=_trigger(watch, price, None), trailing=_trailing(trailing)
    )


def _trigger(watch: PriceType | None, price: Number | None, percent: Number | None) -> OrderTriggerPrice:
    return OrderTriggerPrice(
        type=watch,
        value=None if price is None else exact("price", price),
        percent=None if percent is None else exact("percent", percent),
    )


def _trailing(percent: Number | None) -> OrderTrailing:
    # Off is said, too: an update that leaves it out may leave it on.
    if percent is None:
        return OrderTrailing(enabled=False)
    return OrderTrailing(enabled=True, percent=exact("trailing", percent))
