"""The update call: what is sent changes, everything else stays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from threecommas_async.models.status import StatusCode
from threecommas_async.sandbox.create import NOT_FOR_INSTANT, read_entry_price
from threecommas_async.sandbox.legs import STARTABLE
from threecommas_async.sandbox.parameters import MISSING, Fields
from threecommas_async.sandbox.prices import entry_price
from threecommas_async.sandbox.rules import (
    check_entry,
    check_exits,
    check_leverage,
    check_shares,
    planned_position,
)
from threecommas_async.sandbox.targets import Plan, closed_by, read_plan
from threecommas_async.sandbox.terms import read_leverage, read_stop, read_targets, read_trigger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threecommas_async.sandbox.leg_maker import LegMaker
    from threecommas_async.sandbox.market import Ticker
    from threecommas_async.sandbox.orders import Order, Stop
    from threecommas_async.sandbox.trades import Trade


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What an update makes of a trade.

    Args:
        order: The order with its changes.
        new_entry: The entry was changed.
        plan: What becomes of the targets; None leaves them.
        new_stop: The stop was changed, or taken away.
    """

    order: Order
    new_entry: bool
    plan: Plan | None
    new_stop: bool


def read_update(parameters: Mapping[str, object], trade: Trade) -> Update:
    """Return what the parameters of an update make of a trade.

    A sent list of targets replaces those that are not finished; see `read_plan`. Of the entry, what cannot
    be edited now is ignored, as the documented example sends it too: the size always, prices and trigger
    once it is filled or forced.

    Raises:
        Refusal: 400, parameters are missing or malformed; 422, the shares of the targets do not add up.
    """
    fields = Fields(parameters)
    order, new_entry = _read_entry(fields, trade)
    trails = order.trailing_entry is not None and not trade.is_entered
    take_profit, targets = read_targets(fields, required=False, trails=trails)
    new_targets = fields.has("take_profit") and (targets is not None or not take_profit)
    if take_profit and targets is None and not trade.steps:
        fields.group("take_profit").blame("steps", MISSING)
    finished = trade.finished_steps
    known = {leg.id for leg in finished}
    sent = len(known | {target.id or -number for number, target in enumerate(targets or (), start=1)})
    count = sent if new_targets else len(trade.steps)
    new_stop = fields.has("stop_loss")
    stop = order.stop
    if new_stop:
        stop = read_stop(fields, required=False, targets=count, trails=trails, base=_standing_stop(trade))
    for name, is_on in (("take_profit", take_profit), ("stop_loss", stop is not None)):
        if order.instant and is_on:
            fields.group(name).blame("enabled", NOT_FOR_INSTANT)
    leverage = read_leverage(fields, order.leverage) if trade.account.has_leverage else None
    fields.check()
    plan = read_plan(targets or (), finished) if new_targets else None
    if plan is not None:
        order = replace(order, take_profit=take_profit, targets=plan.targets)
    order = replace(order, stop=stop, leverage=leverage)
    return Update(order=order, new_entry=new_entry, plan=plan, new_stop=new_stop)


def apply_update(trade: Trade, update: Update, ticker: Ticker, maker: LegMaker, at: float) -> None:
    """Change a trade.

    New targets and a new stop have new ids. They begin to work after a while, or with the entry.

    Raises:
        Refusal: 422, something is outside of the exchange rules; nothing was changed.
    """
    order, plan = update.order, update.plan
    _check(trade, update, ticker)
    trade.order = order
    trade.updated_at = at
    if update.new_entry:
        trade.revise_entry(ticker, at)
    entry = trade.position.average_enter_price or trade.price
    if plan is not None:
        if plan.restarts:
            for leg in trade.finished_steps:
                leg.is_past = True
        trade.replace_steps(maker.targets(order, entry, trade.rules.tick, at), at)
    if update.new_stop:
        trade.replace_stop(maker.stop(order, entry, trade.rules.tick, at), at)


def _check(trade: Trade, update: Update, ticker: Ticker) -> None:
    order, rules = update.order, trade.rules
    price = entry_price(order, ticker)
    if update.new_entry:
        check_entry(order, price, rules)
    check_leverage(order, rules)
    plan = update.plan or Plan()
    check_exits(replace(order, targets=plan.targets), rules, plan.numbers)
    position = trade.position if trade.is_entered else planned_position(order, price, rules)
    before = closed_by(trade.finished_steps) if plan.restarts else trade.closed_before
    shares = position.shares([target.volume for target in plan.targets], before)
    check_shares(shares, rules.lot, plan.numbers)


def _read_entry(fields: Fields, trade: Trade) -> tuple[Order, bool]:
    order, position = trade.order, fields.group("position")
    open_entry = trade.status is StatusCode.WAITING_POSITION and trade.entry.status in STARTABLE
    if not (open_entry or trade.entry.status is StatusCode.SMART_SELL):
        return order, False
    conditional = order.conditional
    if conditional is not None and open_entry:
        conditional = read_trigger(position, order.side, conditional)
    price = read_entry_price(position, order.order_type, conditional, order.price)
    changed = replace(order, conditional=conditional, price=price)
    return changed, changed != order


def _standing_stop(trade: Trade) -> Stop | None:
    stop, leg = trade.order.stop, trade.stop
    if stop is None or leg is None:
        return None
    # Where trailing or breakeven moved it; a distance stays one as long as the entry is not filled.
    return replace(stop, trigger=None if leg.percent is not None else leg.trigger, percent=leg.percent)
