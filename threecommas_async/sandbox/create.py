"""The create call: from its parameters to a checked `Order`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from threecommas_async.sandbox.orders import Order
from threecommas_async.sandbox.parameters import MISSING, Fields
from threecommas_async.sandbox.rules import (
    check_entry,
    check_exits,
    check_leverage,
    check_shares,
    planned_position,
)
from threecommas_async.sandbox.targets import read_plan
from threecommas_async.sandbox.terms import (
    read_leverage,
    read_note,
    read_stop,
    read_targets,
    read_trigger,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from threecommas_async.sandbox.accounts import Account
    from threecommas_async.sandbox.market import PairRules
    from threecommas_async.sandbox.orders import Trigger

NOT_FOR_INSTANT: Final = "is not allowed for an instant trade"
"""Fault of targets and stops where there can be none."""

_SIDES: Final = ("buy", "sell")
_ENTRY_TYPES: Final = ("market", "limit", "conditional")


def read_order(parameters: Mapping[str, object], accounts: Mapping[int, Account]) -> Order:
    """Return the order that the parameters of a create make.

    Take profit and stop loss must be given unless the order is instant, and must be off if it is. Leverage
    is read on contract accounts only: the documented answer to a leveraged order on a spot account shows
    none.

    Args:
        parameters: The parameters.
        accounts: The user's accounts, by id.

    Raises:
        Refusal: 400, parameters are missing or malformed.
    """
    fields = Fields(parameters)
    order = _read_entry(fields)
    trails = order.trailing_entry is not None and not order.skip_enter_step
    take_profit, targets = read_targets(fields, required=not order.instant, trails=trails)
    if take_profit and targets is None:
        fields.group("take_profit").blame("steps", MISSING)
    stop = read_stop(fields, required=not order.instant, targets=len(targets or ()), trails=trails)
    for name, is_on in (("take_profit", take_profit), ("stop_loss", stop is not None)):
        if order.instant and is_on:
            fields.group(name).blame("enabled", NOT_FOR_INSTANT)
    account = accounts.get(order.account_id)
    order = replace(
        order,
        take_profit=take_profit,
        targets=targets or (),
        stop=stop,
        leverage=read_leverage(fields) if account is not None and account.has_leverage else None,
        note=read_note(fields, required=False),
    )
    fields.check()
    return order


def read_entry_price(
    position: Fields, order_type: str, conditional: Trigger | None, base: Decimal | None = None
) -> Decimal | None:
    """Return the price of the entry: required for a limit order, and for a trigger that sends one.

    Args:
        position: The group ``position``.
        order_type: ``market``, ``limit`` or ``conditional``.
        conditional: Trigger of the entry.
        base: The price that is changed; None for a new order.
    """
    needed = order_type == "limit" or (conditional is not None and conditional.order_type == "limit")
    price = position.group("price", required=needed and base is None)
    return price.required_number("value", base) if needed else price.number("value") or base


def check_rules(order: Order, price: Decimal, rules: PairRules) -> None:
    """Hold a new order against the rules of the exchange.

    Args:
        order: The order.
        price: Price that its entry is planned at.
        rules: Rules of the pair.

    Raises:
        Refusal: 422, a value is outside of them.
    """
    check_entry(order, price, rules)
    check_leverage(order, rules)
    plan = read_plan(order.targets)
    check_exits(order, rules, plan.numbers)
    shares = planned_position(order, price, rules).shares([target.volume for target in order.targets])
    check_shares(shares, max(rules.lot, rules.min_units), plan.numbers)


def _read_entry(fields: Fields) -> Order:
    account_id, pair = fields.whole("account_id"), fields.text("pair")
    if not fields.has("account_id"):
        fields.blame("account_id", MISSING)
    if not pair:
        fields.blame("pair", MISSING)
    position = fields.group("position", required=True)
    side = position.choice("type", _SIDES)
    order_type = position.choice("order_type", _ENTRY_TYPES)
    conditional = read_trigger(position, side) if order_type == "conditional" else None
    return Order(
        account_id=account_id or 0,
        pair=pair or "",
        side=side,
        order_type=order_type,
        units=position.group("units", required=True).required_number("value"),
        price=read_entry_price(position, order_type, conditional),
        instant=fields.flag("instant"),
        skip_enter_step=fields.flag("skip_enter_step"),
        conditional=conditional,
    )
