"""What a market accepts for a pair: an order is held against it, or rounded to it, before it is sent.

Pure and exact: no number is ever rounded but on purpose. The documented rules of the requests themselves are
in `threecommas_async.models.rules`.
"""

from __future__ import annotations

from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    localcontext,
)
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from threecommas_async.errors import MarketRulesError
from threecommas_async.models.leverage import LeverageBounds, LeverageData
from threecommas_async.models.order import SmartTradeOrder
from threecommas_async.models.order_groups import OrderValue, exact
from threecommas_async.models.pair import Pair
from threecommas_async.models.violation import RoundedNumber, RoundedOrder, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threecommas_async.models.market import CurrencyRates
    from threecommas_async.models.order_groups import (
        Number,
        OrderConditional,
        OrderLeverage,
        OrderPosition,
        OrderTakeProfit,
    )

_DIGITS: Final = 100
"""Digits before and after the point of any number that is taken."""
# Holds any quotient or product of three such numbers; an inexact one would be a fault of this module.
_EXACT: Final = Context(
    prec=2000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[InvalidOperation, DivisionByZero, Inexact]
)

COMMISSION: Final = Decimal("0.001")
"""Fee rate that is reckoned with unless told otherwise: ``data.commission`` of most documented trades."""
_HUNDRED: Final = Decimal(100)


class MarketRules(Struct, frozen=True, kw_only=True):
    """What a market accepts for a pair; None is no bound, no step, or a price that is not known.

    Numbers are those of `CurrencyRates`. The price bands (``bidMultiplierUp`` and so on) are left out: the
    documentation does not say which price they are a factor of. What a target closes is reckoned less the
    fee of what was bought, which is taken in base on spot markets.

    Args:
        pair: The pair; None where it is not known.
        price_step: Prices are multiples of it.
        min_price: The lowest price.
        max_price: The highest price.
        lot_step: Sizes are multiples of it.
        min_amount: The smallest order, in base.
        max_amount: The largest order, in base.
        min_market_buy: The smallest market order to buy, in base.
        max_market_buy: The largest market order to buy, in base.
        min_market_sell: The smallest market order to sell, in base.
        max_market_sell: The largest market order to sell, in base.
        min_total: The least that an order is worth, in quote.
        max_total: The most that an order is worth, in quote.
        min_market_total: The least that a market order is worth, in quote.
        bid: What a market sell gets, for its total.
        ask: What a market buy pays, for its total.
        leverage: Kinds of leverage; None where they were not asked for, and leverage is then not checked.
        commission: Fee rate of the entry, a fraction; ``data.commission`` of a trade on the account tells it.

    Raises:
        ValueError: A step, a bound or a price is not positive and finite, or the fee rate is no number from 0
            up to 1.
        MarketRulesError: A bound of the leverage is no number.
    """

    pair: Pair | None = None
    price_step: Decimal | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    lot_step: Decimal | None = None
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None
    min_market_buy: Decimal | None = None
    max_market_buy: Decimal | None = None
    min_market_sell: Decimal | None = None
    max_market_sell: Decimal | None = None
    min_total: Decimal | None = None
    max_total: Decimal | None = None
    min_market_total: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    leverage: tuple[LeverageData, ...] | None = None
    commission: Decimal = COMMISSION

    def __post_init__(self) -> None:
        for name in (*_LIMITS, "bid", "ask"):
            if (value := getattr(self, name)) is not None:
                force_setattr(self, name, _positive(name, value))
        force_setattr(self, "commission", exact("commission", self.commission))
        if not 0 <= self.commission < 1:
            raise ValueError(f"commission must be a fraction such as 0.001, not {self.commission!s}")
        _check_leverage(self.leverage, self.pair)

    @classmethod
    def from_rates(
        cls, rates: CurrencyRates, *, pair: str | None = None, commission: Number = COMMISSION
    ) -> MarketRules:
        """Return the rules that an answer of the market data states.

        A limit that is missing is none. Nor is a step of 0, a minimum of 0 or less, and a maximum of 0 or
        ``Infinity``.

        Args:
            rates: The answer.
            pair: The pair that it is about, which no answer names. With None, orders for any pair are held
                against these numbers, so give it.
            commission: Fee rate of the entry, a fraction.

        Raises:
            ValueError: The fee rate is no number from 0 up to 1.
            MarketRulesError: It states neither prices nor limits, as for a pair that does not exist, or a
                limit that can be none: a negative step or maximum, an infinite step or minimum, no number.
        """
        prices = {name: _read_price(getattr(rates, name)) for name in ("bid", "ask")}
        limits = {name: _read_limit(limit, getattr(rates, limit), pair) for name, limit in _LIMITS.items()}
        known = (rates.last, *prices.values(), *(getattr(rates, limit) for limit in _LIMITS.values()))
        if all(number is None for number in known):
            raise MarketRulesError(f"the market states nothing about {pair or 'the pair'}", pair=pair)
        return cls(
            pair=None if pair is None else Pair.parse(pair),
            leverage=rates.leverage_data,
            commission=exact("commission", commission),
            **prices,
            **limits,
        )

    def check(self, order: SmartTradeOrder, /) -> tuple[Violation, ...]:
        """Return every number of an order that the market would refuse; empty means that none is known.

        Prices of limit orders, amounts, the total of the entry and leverage are held against the rules.
        Prices of triggers and of market targets are not: no exchange gets to see them, and a documented stop
        fires between two price steps. Percents have no steps. A position that is held already
        (``smart_sell``, ``smart_buy``) has bounds, but no steps: no order is sent for it. What a market entry
        is worth is reckoned with the price when the rates were read. What targets and stops will be worth is
        left open: nothing documented says that an order is refused for it.

        ``str`` of a violation is a line for people: ``position.total: 1.12 is less than 5.0 (minTotal)``.

        Raises:
            ValueError: It is no `SmartTradeOrder`, or for another pair than `pair`, where that is known.
        """
        self._check_pair(order)
        with localcontext(_EXACT):
            return tuple(self._violations(order))

    def round(self, order: SmartTradeOrder, /) -> RoundedOrder:
        """Return the order with its numbers on the steps of the market, and what that changed.

        - The amount is rounded down: never more than was asked for.
        - The limit prices of the entry and of the targets are rounded to what is better for the one who
          ordered: down to buy, up to sell. A limit says how bad a price may be, and none is made worse.
        - The limit price of the stop is rounded the other way, towards being filled: down to sell, up to
          buy. It is there to get out, and a step of price costs less than a stop that stays behind.
        - Everything else stays as it is: triggers, percents, volumes, a position that is held already.

        Nothing is moved to a bound: an amount above the maximum is for the caller to split, and one below the
        minimum is for the caller to raise.

        Raises:
            MarketRulesError: The rounded order would still be refused; ``violations`` say why.
            ValueError: It is no `SmartTradeOrder`, or for another pair.
        """
        self._check_pair(order)
        changes: list[RoundedNumber] = []
        with localcontext(_EXACT):
            rounded = self._rounded(order, changes)
            violations = tuple(self._violations(rounded))
        if violations:
            raise MarketRulesError(
                "rounding does not make the order acceptable: " + "; ".join(map(str, violations)),
                violations=violations,
                pair=order.pair,
            )
        return RoundedOrder(rounded if changes else order, tuple(changes))

    def _check_pair(self, order: SmartTradeOrder) -> None:
        if not isinstance(order, SmartTradeOrder):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise ValueError(f"the order must be a SmartTradeOrder, not {order!r:.80}")
        if self.pair is not None and order.pair != self.pair:
            raise ValueError(f"these are the rules of {self.pair}, and the order is for {order.pair}")

    def _violations(self, order: SmartTradeOrder) -> Iterator[Violation]:
        position, held = order.position, bool(order.skip_enter_step)
        units = position.units.value
        yield from _on_step("position.units.value", units, None if held else self.lot_step, "lotStep")
        yield from self._within("position.units.value", units, "min_amount", "max_amount")
        if not held and _is_market(position):
            side = "buy" if position.type == "buy" else "sell"
            yield from self._within("position.units.value", units, f"min_market_{side}", f"max_market_{side}")
        if not held and position.price is not None:
            yield from self._price_violations("position.price.value", position.price.value)
        price = self._entry_price(position)
        if price is not None:
            yield from self._within("position.total", units * price, "min_total", "max_total")
            if not held and _is_market(position):
                yield from self._within("position.total", units * price, "min_market_total", None)
        if order.take_profit is not None and order.take_profit.enabled:
            net = units * (1 - self.commission) if position.type == "buy" and not held else units
            yield from self._target_violations(order.take_profit, net)
        stop = order.stop_loss
        if stop is not None and stop.enabled and stop.order_type == "limit" and stop.price is not None:
            yield from self._price_violations("stop_loss.price.value", stop.price.value)
        if order.leverage is not None and order.leverage.enabled and self.leverage is not None:
            yield from _leverage_violations(order.leverage, self.leverage)

    def _target_violations(self, take_profit: OrderTakeProfit, units: Decimal) -> Iterator[Violation]:
        steps = take_profit.steps or ()
        for index, step in enumerate(steps):
            path = f"take_profit.steps[{index}]"
            share = units * step.volume / _HUNDRED
            if len(steps) > 1:  # A single target closes whatever there is.
                if self.lot_step is not None and share < self.lot_step:
                    yield Violation(f"{path}.units", share, self.lot_step, "lotStep")
                yield from self._within(f"{path}.units", share, "min_amount", None)
            if step.order_type == "limit" and step.price.value is not None:
                yield from self._price_violations(f"{path}.price.value", step.price.value)

    def _price_violations(self, field: str, price: Decimal) -> Iterator[Violation]:
        yield from _on_step(field, price, self.price_step, "priceStep")
        yield from self._within(field, price, "min_price", "max_price")

    def _within(self, field: str, value: Decimal, least: str, most: str | None) -> Iterator[Violation]:
        minimum: Decimal | None = getattr(self, least)
        maximum: Decimal | None = None if most is None else getattr(self, most)
        if minimum is not None and value < minimum:
            yield Violation(field, value, minimum, _LIMITS[least])
        if most is not None and maximum is not None and value > maximum:
            yield Violation(field, value, maximum, _LIMITS[most])

    def _entry_price(self, position: OrderPosition) -> Decimal | None:
        if position.price is not None:
            return position.price.value
        if (trigger := _trigger(position)) is not None:
            return trigger.price.value
        return self.ask if position.type == "buy" else self.bid

    def _rounded(self, order: SmartTradeOrder, changes: list[RoundedNumber]) -> SmartTradeOrder:
        position, take_profit, stop = order.position, order.take_profit, order.stop_loss
        buys = position.type == "buy"

        def rounded(field: str, value: Decimal, step: Decimal | None, *, up: bool) -> Decimal:
            if step is None or not value % step:
                return value
            number = (value // step + up) * step
            if not _is_plain(number):
                return value  # It has more digits than an order can hold, and stays off the step.
            changes.append(RoundedNumber(field, value, number))
            return number

        if not order.skip_enter_step:
            units = rounded("position.units.value", position.units.value, self.lot_step, up=False)
            price = None
            if position.price is not None:
                price = OrderValue(
                    value=rounded("position.price.value", position.price.value, self.price_step, up=not buys)
                )
            position = replace(position, units=OrderValue(value=units), price=price)
        if take_profit is not None and take_profit.enabled:
            steps = list(take_profit.steps or ())
            for index, step in enumerate(steps):
                if step.order_type == "limit" and step.price.value is not None:
                    field = f"take_profit.steps[{index}].price.value"
                    value = rounded(field, step.price.value, self.price_step, up=buys)
                    steps[index] = replace(step, price=replace(step.price, value=value))
            take_profit = replace(take_profit, steps=tuple(steps))
        if stop is not None and stop.enabled and stop.order_type == "limit" and stop.price is not None:
            value = rounded("stop_loss.price.value", stop.price.value, self.price_step, up=not buys)
            stop = replace(stop, price=OrderValue(value=value))
        return replace(order, position=position, take_profit=take_profit, stop_loss=stop)


_LIMITS: Final = {
    "price_step": "priceStep",
    "min_price": "minPrice",
    "max_price": "maxPrice",
    "lot_step": "lotStep",
    "min_amount": "minLotSize",
    "max_amount": "maxLotSize",
    "min_market_buy": "minMarketBuyAmount",
    "max_market_buy": "maxMarketBuyAmount",
    "min_market_sell": "minMarketSellAmount",
    "max_market_sell": "maxMarketSellAmount",
    "min_total": "minTotal",
    "max_total": "maxTotal",
    "min_market_total": "minMarketTotal",
}


def _read_limit(limit: str, value: Decimal | None, pair: str | None) -> Decimal | None:
    if value is None or value.is_zero():
        return None
    if not value.is_nan():
        if limit.startswith("min") and value < 0:
            return None
        if limit.startswith("max") and value.is_infinite() and value > 0:
            return None
        if value > 0 and _is_plain(value):
            return value
    raise MarketRulesError(f"{limit} of {pair or 'the pair'} cannot be a limit: {value!s:.60}", pair=pair)


def _check_leverage(kinds: tuple[LeverageData, ...] | None, pair: str | None) -> None:
    for kind in kinds or ():
        given, only = kind.valid or kind.value or LeverageBounds(), kind.available_leverage_values
        values = only if isinstance(only, tuple) else ()
        for number in (given.min, given.max, kind.max_leverage, *values):
            if number is not None and number.is_nan():
                raise MarketRulesError(
                    f"a bound of the leverage of {pair or 'the pair'} is no number", pair=pair
                )


def _positive(name: str, value: Number) -> Decimal:
    number = exact(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be above 0, or None where there is none, not {number!s:.60}")
    return number


def _read_price(value: Decimal | None) -> Decimal | None:
    return value if value is not None and value.is_finite() and value > 0 and _is_plain(value) else None


def _is_plain(value: Decimal) -> bool:
    return value.is_finite() and abs(value.adjusted()) <= _DIGITS and len(value.as_tuple().digits) <= _DIGITS


def _is_market(position: OrderPosition) -> bool:
    trigger = _trigger(position)
    return (position.order_type if trigger is None else trigger.order_type) == "market"


def _trigger(position: OrderPosition) -> OrderConditional | None:
    return position.conditional if position.order_type == "conditional" else None


def _on_step(field: str, value: Decimal, step: Decimal | None, limit: str) -> Iterator[Violation]:
    if step is not None and (value < step or value % step):
        yield Violation(field, value, step, limit)


def _leverage_violations(leverage: OrderLeverage, kinds: tuple[LeverageData, ...]) -> Iterator[Violation]:
    kind = next((kind for kind in kinds if kind.code == leverage.type), None)
    if kind is None:
        yield Violation("leverage.type", str(leverage.type), None, "leverage_data")
        return
    value, bounds = leverage.value, kind.bounds
    if value is None:
        return
    if bounds.min is not None and value < bounds.min:
        yield Violation("leverage.value", value, bounds.min, "min")
    if bounds.max and value > bounds.max:
        yield Violation("leverage.value", value, bounds.max, "max_leverage")
    only = kind.available_leverage_values
    if isinstance(only, tuple) and only and value not in only:
        yield Violation("leverage.value", value, None, "available_leverage_values")
