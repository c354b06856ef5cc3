"""Adding to a position and taking from it: parameters and bounds."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import TYPE_CHECKING

from threecommas_async.sandbox.orders import DIGITS, Funds
from threecommas_async.sandbox.parameters import Fields
from threecommas_async.sandbox.refusals import invalid
from threecommas_async.sandbox.rules import check_bounds, check_price, check_step, check_total
from threecommas_async.sandbox.spelling import decimal_text
from threecommas_async.sandbox.terms import ORDER_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threecommas_async.sandbox.market import PairRules
    from threecommas_async.sandbox.trades import Trade

# Decimals of the documented max_reduce_funds_amount.
_STEP = Decimal("1E-27")


def read_funds(parameters: Mapping[str, object]) -> Funds:
    """Return what the parameters of an ``add_funds`` or ``reduce_funds`` order.

    Raises:
        Refusal: 400, parameters are missing or malformed.
    """
    fields = Fields(parameters)
    order_type = fields.choice("order_type", ORDER_TYPES)
    units = fields.group("units", required=True).required_number("value")
    price = None
    if order_type == "limit":
        price = fields.group("price", required=True).required_number("value")
    fields.check()
    return Funds(order_type=order_type, units=units, price=price)


def check_funds(funds: Funds, market_price: Decimal, rules: PairRules) -> None:
    """Hold added funds against the rules of the exchange.

    Raises:
        Refusal: 422, they are outside of them.
    """
    units = check_bounds(funds.units, rules.min_units, rules.max_units)
    faults = {
        "total": check_total(funds.units, funds.price or market_price, rules.min_total, rules.max_total),
        "units": units or check_step(funds.units, rules.lot_step),
        "price": check_price(funds.price, rules),
    }
    faults = {name: messages for name, messages in faults.items() if messages}
    if faults:
        raise invalid(422, faults)


def max_reduction(trade: Trade, price: Decimal) -> Decimal:
    """Return the largest amount that can be given up, in base.

    What the API computes is not documented. Assumed, after the 27 decimals of the documented answer:
    what is held less what is worth the smallest order at this price, so that the rest can be closed.
    """
    with localcontext(prec=DIGITS, rounding=ROUND_CEILING):
        least = trade.rules.min_total / price
    with localcontext(prec=DIGITS):
        return max(Decimal(0), trade.position.rest - least).quantize(_STEP, rounding=ROUND_FLOOR)


def check_reduction(
    funds: Funds, market_price: Decimal, rules: PairRules, *, most: Decimal, rest: Decimal
) -> None:
    """Hold a reduction against what can be given up, and against the rules of the exchange.

    All that is held can be given up too, whatever it is worth. What is too large has no documented message.

    Args:
        funds: The reduction.
        market_price: Market price, for a market order.
        rules: Rules of the pair.
        most: The answer to ``reduce_funds_info``, which need not be in whole lots.
        rest: What is held, in base.

    Raises:
        Refusal: 422, it is too small or too large, or off the steps.
    """
    with localcontext(prec=DIGITS):
        total = funds.units * (funds.price or market_price)
    faults: dict[str, list[str]] = {}
    if funds.units == rest:
        pass
    elif total < rules.min_total:
        faults["entered_amount"] = ["Too small"]
    elif funds.units > most:
        faults["entered_amount"] = [f"must be less than or equal to {decimal_text(most)}"]
    elif funds.units != most and (off_step := check_step(funds.units, rules.lot_step)):
        faults["units"] = off_step
    if off_bounds := check_price(funds.price, rules):
        faults["price"] = off_bounds
    if faults:
        raise invalid(422, faults)
