"""Orders held against the rules of the exchange: bounds, lots, price steps, and the shares of targets.

Only what the exchange gets to see: prices of limit orders, sizes, and what the entry is worth. Prices of
triggers are left alone: a documented stop on USDT_ETH fires at 2680.7534754. A position that the user brought
has bounds but no steps: no order is sent for it.

None of this knows `threecommas_async.market_rules`, which says the same on the client's side, so that tests
can hold one against the other.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING

from threecommas_async.sandbox.orders import DIGITS
from threecommas_async.sandbox.parameters import INVALID
from threecommas_async.sandbox.position import Position
from threecommas_async.sandbox.refusals import invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from threecommas_async.sandbox.market import PairRules
    from threecommas_async.sandbox.orders import Order


def check_step(value: Decimal | None, step: Decimal | None) -> list[str]:
    """Return what is wrong with a value that must be a multiple of a step; None is left alone."""
    if value is None or step is None:
        return []
    with localcontext(prec=DIGITS):
        return [f"must be a multiple of {step:f}"] if value % step else []


def check_entry(order: Order, price: Decimal, rules: PairRules) -> None:
    """Hold an entry against the rules of the exchange.

    Args:
        order: The order.
        price: Price that its entry is planned at.
        rules: Rules of the pair.

    Raises:
        Refusal: 422, a value is outside of them.
    """
    least, fewest, most = rules.min_total, rules.min_units, rules.max_units
    if order.is_market and not order.skip_enter_step:
        side = "Buy" if order.is_long else "Sell"
        least = max(least, rules.least("minMarketTotal"))
        fewest = max(fewest, rules.least(f"minMarket{side}Amount"))
        most = min(most, rules.most(f"maxMarket{side}Amount"))
    faults = {"position.total": check_total(order.units, price, least, rules.max_total)}
    units, prices = check_bounds(order.units, fewest, most), list[str]()
    if not order.skip_enter_step:
        units += check_step(order.units, rules.lot_step)
        prices = check_price(order.price, rules)
    faults |= {f"units_to_{order.side}": units, "position.price": prices}
    faults = {name: messages for name, messages in faults.items() if messages}
    if faults:
        raise invalid(422, {"position": [INVALID], **faults})


def check_leverage(order: Order, rules: PairRules) -> None:
    """Hold the leverage against its bound.

    Raises:
        Refusal: 422, it is above it.
    """
    most = rules.most("max_leverage")
    if order.leverage is not None and order.leverage.value > most:
        raise invalid(422, {"leverage[value]": [f"must be less than or equal to {most}"]})


def check_exits(order: Order, rules: PairRules, numbers: Sequence[int]) -> None:
    """Hold the prices of the limit orders of targets and of the stop against the rules of the exchange.

    Args:
        order: The order.
        rules: Rules of the pair.
        numbers: Where its targets were in the list that was sent.

    Raises:
        Refusal: 422, a price is outside of them.
    """
    faults = {
        f"take_profit[steps][{number}][price][value]": check_price(target.price, rules)
        for number, target in zip(numbers, order.targets, strict=True)
        if target.order_type == "limit"
    }
    if order.stop is not None and order.stop.order_type == "limit":
        faults["stop_loss[price][value]"] = check_price(order.stop.limit_price, rules)
    faults = {name: messages for name, messages in faults.items() if messages}
    if faults:
        raise invalid(422, faults)


def check_shares(shares: Sequence[Decimal], least: Decimal, numbers: Sequence[int]) -> None:
    """Hold the shares of targets against the smallest amount; a single one takes whatever there is.

    Args:
        shares: Exact shares, in base.
        least: The smallest amount, in base: one lot at least.
        numbers: Where the targets were in the list that was sent.

    Raises:
        Refusal: 422, a share is less than that.
    """
    small = [number for number, share in zip(numbers, shares, strict=True) if share < least]
    if small and len(shares) > 1:
        raise invalid(422, {f"take_profit[steps][{number}][volume]": ["is too small"] for number in small})


def planned_position(order: Order, price: Decimal, rules: PairRules) -> Position:
    """Return the position that an order comes to, if it is filled at a price."""
    position = Position(is_long=order.is_long, tick=rules.tick)
    if order.skip_enter_step:
        position.bring(order.units, price)
    else:
        position.enter(order.units, price)
    return position


def check_price(price: Decimal | None, rules: PairRules) -> list[str]:
    """Return what is wrong with the price of a limit order; None is that of a market order."""
    if price is None:
        return []
    faults = check_bounds(price, rules.least("minPrice"), rules.most("maxPrice"))
    return [*faults, *check_step(price, rules.price_step)]


def check_total(units: Decimal, price: Decimal, least: Decimal, most: Decimal) -> list[str]:
    """Return what is wrong with what an order is worth."""
    with localcontext(prec=DIGITS):
        return check_bounds(units * price, least, most)


def check_bounds(value: Decimal, least: Decimal, most: Decimal) -> list[str]:
    """Return what is wrong with a value that has bounds."""
    if value > most:
        return [f"must be less than or equal to {most}"]
    return [f"must be greater than or equal to {least}"] if value < least else []
