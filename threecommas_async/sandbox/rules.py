"""Orders held against the rules of the exchange: bounds, lots, price steps, and the shares of targets.

Prices of triggers are not held against the price step: no exchange gets to see them, and a documented stop
on USDT_ETH fires at 2680.7534754. Nor is a position that the user brought: no order is sent for it.
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


def check_step(value: Decimal | None, step: Decimal) -> list[str]:
    """Return what is wrong with a value that must be a multiple of a step; None is left alone."""
    with localcontext(prec=DIGITS):
        return [f"must be a multiple of {step:f}"] if value is not None and value % step else []


def check_entry(order: Order, price: Decimal, rules: PairRules) -> None:
    """Hold an entry against the rules of the exchange.

    Args:
        order: The order.
        price: Price that its entry is planned at.
        rules: Rules of the pair.

    Raises:
        Refusal: 422, a value is outside of them.
    """
    faults: dict[str, list[str]] = {}
    with localcontext(prec=DIGITS):
        total = order.units * price
    if total > rules.max_total:
        faults["position.total"] = [f"must be less than or equal to {rules.max_total}"]
    elif total < rules.min_total:
        faults["position.total"] = [f"must be greater than or equal to {rules.min_total}"]
    units = check_step(None if order.skip_enter_step else order.units, rules.lot)
    if order.units > rules.max_units:
        units.insert(0, f"must be less than or equal to {rules.max_units}")
    steps = check_step(None if order.skip_enter_step else order.price, rules.tick)
    faults |= {f"units_to_{order.side}": units, "position.price": steps}
    faults = {name: messages for name, messages in faults.items() if messages}
    if faults:
        raise invalid(422, {"position": [INVALID], **faults})


def check_exits(order: Order, rules: PairRules, numbers: Sequence[int]) -> None:
    """Hold the limit orders of targets and of the stop against the price step.

    Args:
        order: The order.
        rules: Rules of the pair.
        numbers: Where its targets were in the list that was sent.

    Raises:
        Refusal: 422, a price is no multiple of it.
    """
    faults = {
        f"take_profit[steps][{number}][price][value]": check_step(target.price, rules.tick)
        for number, target in zip(numbers, order.targets, strict=True)
        if target.order_type == "limit"
    }
    if order.stop is not None and order.stop.order_type == "limit":
        faults["stop_loss[price][value]"] = check_step(order.stop.limit_price, rules.tick)
    faults = {name: messages for name, messages in faults.items() if messages}
    if faults:
        raise invalid(422, faults)


def check_shares(shares: Sequence[Decimal], lot: Decimal, numbers: Sequence[int]) -> None:
    """Hold the shares of targets against the amount step; a single one takes whatever there is.

    Args:
        shares: Exact shares, in base.
        lot: Amount step, in base.
        numbers: Where the targets were in the list that was sent.

    Raises:
        Refusal: 422, a share is less than one lot.
    """
    small = [number for number, share in zip(numbers, shares, strict=True) if share < lot]
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
