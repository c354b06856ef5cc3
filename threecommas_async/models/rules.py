"""What the documentation requires of a request, checked before it costs a request slot.

Each fault names the field by its dotted path and says what to do. Only documented rules are here; what
the exchange accepts for a pair (steps, minimum, maximum) is in `threecommas_async.market_rules`.

Source: the create, edit and funds tables of the official documentation (state of 2026-05; the rules on
percentages, on the number of targets and on their volumes are of 2024-11).
"""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from threecommas_async.models.encoding import encode_body
from threecommas_async.models.order import FundsOrder, Note, SmartTradeOrder, SmartTradeUpdate, UpdatePosition
from threecommas_async.models.pair import is_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threecommas_async.models.order_groups import (
        OrderConditional,
        OrderLeverage,
        OrderPosition,
        OrderStopLoss,
        OrderTakeProfit,
        OrderTakeProfitStep,
        OrderTrailing,
        OrderTriggerPrice,
        OrderValue,
    )

T = TypeVar("T")

MAX_STEPS: Final = 8
MAX_NOTE: Final = 300
_WHOLE: Final = Decimal(100)
# Whatever the caller's context is. It holds the sum and the whole part of any numbers of an order.
_EXACT: Final = Context(prec=300, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[InvalidOperation])
_MIN_TRAILING: Final = Decimal("0.01")


def check_order(order: SmartTradeOrder) -> None:
    """Hold a new SmartTrade against the documented rules.

    Raises:
        ValueError: It breaks some of them; the text names each field and what to do.
    """
    _raise("the order", _order_faults(_as_sent("the order", order, SmartTradeOrder)))


def check_update(update: SmartTradeUpdate) -> None:
    """Hold the changes of a SmartTrade against the documented rules.

    Raises:
        ValueError: They break some of them; the text names each field and what to do.
    """
    _raise("the update", _update_faults(_as_sent("the update", update, SmartTradeUpdate)))


def check_funds(funds: FundsOrder) -> None:
    """Hold an order that adds or gives up funds against the documented rules.

    Raises:
        ValueError: It breaks some of them; the text names each field and what to do.
    """
    _raise("the order", _funds_faults(_as_sent("the order", funds, FundsOrder)))


def check_note(note: str) -> None:
    """Hold a note against the documented length.

    Raises:
        ValueError: It is empty, longer than 300 characters or not text that can be sent.
    """
    _raise("the note", _note_faults(_as_sent("the note", Note(note=note), Note).note))


Fault = tuple[str, str]
S = TypeVar("S", bound=Struct)


def _as_sent(what: str, request: S, kind: type[S]) -> S:
    """Read the request from its bytes: neither types nor Literals are checked when a Struct is made."""
    try:
        return msgspec.json.decode(encode_body(request), type=kind)
    except UnicodeEncodeError:
        fault, where = "it holds text with a lone surrogate, which cannot be sent", ""
    except msgspec.ValidationError as problem:
        fault, _, path = str(problem).partition(" - at `$.")
        where = f"{path.rstrip('`')}: " if path else ""
        if "'custom'" in fault:
            fault = "custom is deprecated, and stored as isolated: say isolated"
    raise ValueError(f"{what} would be refused: {where}{fault}")


def _raise(what: str, faults: Iterator[Fault]) -> None:
    if found := [f"{path}: {advice}" for path, advice in faults]:
        raise ValueError(f"{what} would be refused: " + "; ".join(found))


def _order_faults(order: SmartTradeOrder) -> Iterator[Fault]:
    if order.account_id < 1:
        yield "account_id", "give the id of an account, a positive whole number"
    if not is_pair(order.pair):
        yield "pair", "give it as QUOTE_BASE, such as USDT_BTC"
    if order.instant and order.skip_enter_step:
        yield "skip_enter_step", "is for smart orders: leave it out of an instant one"
    if order.note is not None:
        yield from _note_faults(order.note)
    if order.leverage is not None:
        yield from _leverage_faults(order.leverage)
    yield from _position_faults(order.position, held=bool(order.skip_enter_step))
    for group in ("take_profit", "stop_loss") if order.instant else ():
        if getattr(order, group) and getattr(order, group).enabled:
            yield group, "an instant order has none: leave it out, or make a smart trade"
    trails = _is_on(order.position.conditional.trailing) if order.position.conditional else False
    if order.take_profit is not None:
        yield from _take_profit_faults(order.take_profit, trails=trails)
    if order.stop_loss is not None:
        yield from _stop_loss_faults(order.stop_loss, trails=trails)
        yield from _breakeven_faults(order.stop_loss, order.take_profit)


def _update_faults(update: SmartTradeUpdate) -> Iterator[Fault]:
    if all(getattr(update, name) is UNSET for name in update.__struct_fields__):
        yield "leverage, position, take_profit, stop_loss", "set at least one of them"
    if update.position == UpdatePosition():
        yield "position", "set at least one of its fields"
    if leverage := _given(update.leverage):
        yield from _leverage_faults(leverage)
    if position := _given(update.position):
        yield from _value_faults("position.units", _given(position.units))
        yield from _value_faults("position.price", _given(position.price))
        if conditional := _given(position.conditional):
            yield from _conditional_faults("position.conditional", conditional, percent=False)
    # Whether the entry still trails is for the server to know: distances are let through.
    if take_profit := _given(update.take_profit):
        yield from _take_profit_faults(take_profit, trails=True)
    if stop_loss := _given(update.stop_loss):
        yield from _stop_loss_faults(stop_loss, trails=True)
        if take_profit:
            yield from _breakeven_faults(stop_loss, take_profit)


def _funds_faults(funds: FundsOrder) -> Iterator[Fault]:
    yield from _value_faults("units", funds.units)
    yield from _value_faults("price", funds.price)
    if funds.order_type == "limit" and funds.price is None:
        yield "price.value", "a limit order needs one"
    if funds.order_type == "market" and funds.price is not None:
        yield "price", 'a market order has none: leave it out, or take order_type="limit"'


def _note_faults(note: str) -> Iterator[Fault]:
    if not 1 <= len(note) <= MAX_NOTE:
        yield "note", f"1 to {MAX_NOTE} characters, not {len(note)}"


def _leverage_faults(leverage: OrderLeverage) -> Iterator[Fault]:
    if not leverage.enabled:
        return
    if leverage.type is None:
        yield "leverage.type", "cross or isolated"
    if leverage.value is None:
        yield "leverage.value", "needed when leverage is on"
    elif leverage.value <= 0 or not _is_whole(leverage.value):
        yield "leverage.value", f"must be a positive whole number, not {leverage.value}"


def _position_faults(position: OrderPosition, *, held: bool) -> Iterator[Fault]:
    yield from _value_faults("position.units", position.units)
    yield from _value_faults("position.price", position.price)
    conditional = position.conditional
    if position.order_type == "conditional":
        if conditional is None:
            yield "position.conditional", "a conditional order needs one: give a trigger"
        else:
            yield from _conditional_faults("position.conditional", conditional, percent=False)
            if conditional.order_type is None:
                yield "position.conditional.order_type", "market or limit"
            if conditional.price.value is None:
                yield "position.conditional.price.value", "the price that fires is needed"
    elif conditional is not None:
        yield "position.conditional", 'only for order_type="conditional": leave it out'
    sends = conditional.order_type if conditional else position.order_type
    if sends == "limit" and position.price is None:
        yield "position.price.value", "a limit order needs one"
    if sends == "market" and position.price is not None and not held:
        yield "position.price", 'a market order has none: leave it out, or take order_type="limit"'


def _take_profit_faults(take_profit: OrderTakeProfit, *, trails: bool) -> Iterator[Fault]:
    if not take_profit.enabled:
        return
    steps = take_profit.steps or ()
    if not 1 <= len(steps) <= MAX_STEPS:
        yield "take_profit.steps", f"1 to {MAX_STEPS} targets, not {len(steps)}"
    for index, step in enumerate(steps):
        yield from _step_faults(f"take_profit.steps[{index}]", step, trails=trails)
        if _is_on(step.trailing) and index < len(steps) - 1:
            yield f"take_profit.steps[{index}].trailing", "only the last target can trail"
    with localcontext(_EXACT):
        volume = sum(step.volume for step in steps)
    if steps and volume != _WHOLE:
        yield "take_profit.steps", f"the volumes must add up to 100, not {volume}"


def _step_faults(path: str, step: OrderTakeProfitStep, *, trails: bool) -> Iterator[Fault]:
    if step.volume <= 0:
        yield f"{path}.volume", f"must be positive, not {step.volume}"
    yield from _trigger_faults(f"{path}.price", step.price, percent=trails)
    yield from _trailing_faults(f"{path}.trailing", step.trailing, needs_percent=True)


def _stop_loss_faults(stop_loss: OrderStopLoss, *, trails: bool) -> Iterator[Fault]:
    if not stop_loss.enabled:
        return
    if stop_loss.order_type is None:
        yield "stop_loss.order_type", "market or limit"
    if stop_loss.conditional is None:
        yield "stop_loss.conditional", "needed when the stop is on: give the price that fires"
    else:
        yield from _trigger_faults("stop_loss.conditional.price", stop_loss.conditional.price, percent=trails)
        yield from _trailing_faults(
            "stop_loss.conditional.trailing", stop_loss.conditional.trailing, needs_percent=False
        )
    yield from _value_faults("stop_loss.price", stop_loss.price)
    if stop_loss.order_type == "limit" and stop_loss.price is None:
        yield "stop_loss.price.value", "a limit order needs one"
    timeout = stop_loss.timeout
    if timeout and timeout.enabled and (timeout.value is None or timeout.value < 1):
        yield "stop_loss.timeout.value", "seconds, at least 1, are needed when the timeout is on"


def _breakeven_faults(stop_loss: OrderStopLoss, take_profit: OrderTakeProfit | None) -> Iterator[Fault]:
    steps = len(take_profit.steps or ()) if take_profit and take_profit.enabled else 0
    if stop_loss.enabled and stop_loss.breakeven and steps < 2:
        yield "stop_loss.breakeven", f"needs two or more targets, not {steps}"


def _conditional_faults(path: str, conditional: OrderConditional, *, percent: bool) -> Iterator[Fault]:
    price = conditional.price
    yield from _value_faults(f"{path}.price", price)
    if price.percent is not None and not percent:
        yield f"{path}.price.percent", "an entry is triggered by a price: give value"
    yield from _trailing_faults(f"{path}.trailing", conditional.trailing, needs_percent=True)


def _trigger_faults(path: str, price: OrderTriggerPrice, *, percent: bool) -> Iterator[Fault]:
    if price.type is None:
        yield f"{path}.type", "bid, ask or last"
    if price.value is None and price.percent is None:
        yield f"{path}.value", "give it, or percent while the entry trails"
    if price.value is not None and price.percent is not None:
        yield f"{path}.percent", "value and percent exclude each other: leave one out"
    elif price.percent is not None and not percent:
        yield f"{path}.percent", "only while the entry trails: give value"
    yield from _value_faults(path, price)


def _trailing_faults(path: str, trailing: OrderTrailing | None, *, needs_percent: bool) -> Iterator[Fault]:
    if trailing is None or not trailing.enabled:
        return
    if trailing.percent is None:
        if needs_percent:
            yield f"{path}.percent", "needed when trailing is on"
    elif not _MIN_TRAILING <= trailing.percent <= _WHOLE:
        yield f"{path}.percent", f"0.01 to 100, not {trailing.percent}"


def _value_faults(path: str, value: OrderValue | OrderTriggerPrice | None) -> Iterator[Fault]:
    if value is not None and value.value is not None and value.value <= 0:
        yield f"{path}.value", f"must be positive, not {value.value}"


def _is_whole(number: Decimal) -> bool:
    with localcontext(_EXACT):
        return not number % 1


def _is_on(trailing: OrderTrailing | None) -> bool:
    return trailing is not None and trailing.enabled


def _given(value: T | UnsetType | None) -> T | None:
    return None if isinstance(value, UnsetType) else value
