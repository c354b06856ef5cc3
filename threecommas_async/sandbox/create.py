"""The create call: from its parameters to a checked `Order`."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal, localcontext
from typing import TYPE_CHECKING, Final

from threecommas_async.sandbox.orders import DIGITS, Order, Stop, Target, Trigger
from threecommas_async.sandbox.parameters import INVALID, MISSING, Fields
from threecommas_async.sandbox.refusals import invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from threecommas_async.sandbox.market import PairRules, Ticker

_SIDES: Final = ("buy", "sell")
_ENTRY_TYPES: Final = ("market", "limit", "conditional")
_ORDER_TYPES: Final = ("market", "limit")
_WATCHED: Final = ("bid", "ask", "last")
_MAX_TARGETS: Final = 8
_MAX_NOTE: Final = 300
_WHOLE_POSITION: Final = Decimal(100)
_BREAKEVEN_TARGETS: Final = 2


def read_order(parameters: Mapping[str, object]) -> Order:
    """Return the order that the parameters of a create make.

    Leverage is ignored: all accounts are spot accounts, for which the documented answer to a leveraged
    order shows none. Take profit and stop loss must be given unless the order is instant.

    Raises:
        Refusal: 400, parameters are missing or malformed.
    """
    fields = Fields(parameters)
    account_id = fields.whole("account_id")
    if not fields.has("account_id"):
        fields.blame("account_id", MISSING)
    pair = fields.text("pair")
    if not pair:
        fields.blame("pair", MISSING)
    instant = fields.flag("instant")
    skip_enter_step = fields.flag("skip_enter_step")
    position = fields.group("position", required=True)
    side = position.choice("type", _SIDES)
    order_type = position.choice("order_type", _ENTRY_TYPES)
    units = position.group("units", required=True).required_number("value")
    conditional = _read_trigger(position, side) if order_type == "conditional" else None
    needs_price = order_type == "limit" or (conditional is not None and conditional.order_type == "limit")
    price = position.group("price", required=needs_price)
    take_profit, targets = _read_targets(fields, required=not instant)
    stop = _read_stop(fields, required=not instant, targets=len(targets))
    order = Order(
        account_id=account_id or 0,
        pair=pair or "",
        side=side,
        order_type=order_type,
        units=units,
        price=price.required_number("value") if needs_price else price.number("value"),
        instant=instant,
        skip_enter_step=skip_enter_step,
        conditional=conditional,
        take_profit=take_profit,
        targets=targets,
        stop=stop,
        note=_read_note(fields),
    )
    fields.check()
    return order


def check_rules(order: Order, price: Decimal, rules: PairRules) -> None:
    """Hold an order against the rules of the exchange.

    Raises:
        Refusal: 422, a value is outside of them.
    """
    faults: dict[str, list[str]] = {}
    total = order.units * price
    if total > rules.max_total:
        faults["position.total"] = [f"must be less than or equal to {rules.max_total}"]
    elif total < rules.min_total:
        faults["position.total"] = [f"must be greater than or equal to {rules.min_total}"]
    if order.units > rules.max_units:
        faults[f"units_to_{order.side}"] = [f"must be less than or equal to {rules.max_units}"]
    if faults:
        raise invalid(422, {"position": [INVALID], **faults})
    if order.targets and sum(target.volume for target in order.targets) != _WHOLE_POSITION:
        raise invalid(422, {"take_profit[steps]": ["total volume must be equal to 100"]})


def entry_price(order: Order, ticker: Ticker) -> Decimal:
    """Return the price that the entry is planned at: the order's own, else the market's for its side."""
    if order.price is not None:
        return order.price
    if order.conditional is not None:
        return order.conditional.price
    return ticker.ask if order.side == "buy" else ticker.bid


def target_price(order: Order, target: Target, entry: Decimal, tick: Decimal) -> Decimal:
    """Return the price of a target; a distance lies on the winning side of the entry."""
    percent = target.percent or Decimal(0)
    return target.price or _at_distance(entry, percent if order.side == "buy" else -percent, tick)


def stop_price(order: Order, entry: Decimal, tick: Decimal) -> Decimal | None:
    """Return the trigger of the stop, None without one; a distance lies on the losing side of the entry."""
    if order.stop is None:
        return None
    percent = abs(order.stop.percent or Decimal(0))
    return order.stop.trigger or _at_distance(entry, -percent if order.side == "buy" else percent, tick)


def _at_distance(entry: Decimal, percent: Decimal, tick: Decimal) -> Decimal:
    with localcontext(prec=DIGITS):
        return (entry * (1 + percent / 100)).quantize(tick, rounding=ROUND_DOWN)


def _read_trigger(position: Fields, side: str) -> Trigger:
    conditional = position.group("conditional", required=True)
    price = conditional.group("price", required=True)
    return Trigger(
        order_type=conditional.choice("order_type", _ORDER_TYPES),
        price=price.required_number("value"),
        watched=price.choice("type", _WATCHED, default="ask" if side == "buy" else "bid"),
        trailing=_read_trailing(conditional),
    )


def _read_targets(fields: Fields, *, required: bool) -> tuple[bool, tuple[Target, ...]]:
    take_profit = fields.group("take_profit", required=required)
    if not take_profit.flag("enabled", required=required or fields.has("take_profit")):
        return False, ()
    steps = take_profit.groups("steps")
    if len(steps) > _MAX_TARGETS:
        take_profit.blame("steps", f"size cannot be greater than {_MAX_TARGETS}")
    return True, tuple(_read_target(step) for step in steps)


def _read_target(step: Fields) -> Target:
    price = step.group("price", required=True)
    given = price.has("value"), price.has("percent")
    if given[0] == given[1]:
        both = f"{price.key('value')},{price.key('percent')}"
        step.faults[both] = [
            "are mutually exclusive" if given[0] else "are missing, exactly one parameter must be provided"
        ]
    return Target(
        order_type=step.choice("order_type", _ORDER_TYPES),
        volume=step.required_number("volume"),
        watched=price.choice("type", _WATCHED),
        price=price.number("value"),
        percent=price.number("percent", signed=True),
        trailing=_read_trailing(step),
    )


def _read_stop(fields: Fields, *, required: bool, targets: int) -> Stop | None:
    stop = fields.group("stop_loss", required=required)
    if not stop.flag("enabled", required=required or fields.has("stop_loss")):
        return None
    order_type = stop.choice("order_type", _ORDER_TYPES)
    limit = stop.group("price", required=order_type == "limit")
    conditional = stop.group("conditional", required=True)
    trigger = conditional.group("price", required=True)
    percent = trigger.number("percent", signed=True)
    breakeven = stop.flag("breakeven")
    if breakeven and targets < _BREAKEVEN_TARGETS:
        stop.blame("breakeven", "needs at least two take profit steps")
    timeout = stop.group("timeout")
    return Stop(
        order_type=order_type,
        watched=trigger.choice("type", _WATCHED),
        trigger=trigger.number("value") if percent is not None else trigger.required_number("value"),
        percent=percent,
        limit_price=limit.required_number("value") if order_type == "limit" else limit.number("value"),
        breakeven=breakeven,
        trailing=_read_trailing(conditional),
        timeout=_read_timeout(timeout) if timeout.flag("enabled") else None,
    )


def _read_trailing(fields: Fields) -> Decimal | None:
    trailing = fields.group("trailing")
    return trailing.required_number("percent") if trailing.flag("enabled") else None


def _read_timeout(timeout: Fields) -> int:
    if not timeout.has("value"):
        timeout.blame("value", MISSING)
    return timeout.whole("value") or 0


def _read_note(fields: Fields) -> str | None:
    note = fields.text("note")
    if note is not None and len(note) > _MAX_NOTE:
        fields.blame("note", f"too long. Max is {_MAX_NOTE} symbols")
    return note or None
