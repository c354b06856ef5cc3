"""One order of a SmartTrade as JSON: the Trade entity, in the documented shape.

Source: the two Trade objects in the official documentation (state of 2026-05). What no object there shows,
such as trailing, follows the types that its entity page declares.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import CLOSEABLE, StatusCode
from threecommas_async.sandbox.legs import STARTABLE
from threecommas_async.sandbox.orders import DIGITS
from threecommas_async.sandbox.spelling import date_text, decimal_text, optional
from threecommas_async.sandbox.trades import CANCELLABLE

if TYPE_CHECKING:
    from datetime import datetime

    from threecommas_async.sandbox.legs import Leg
    from threecommas_async.sandbox.spelling import Json
    from threecommas_async.sandbox.trades import Trade

# Decimals of the documented average_price.
_AVERAGE_STEP: Final = Decimal("1E-36")


def trade_entity(trade: Trade, leg: Leg, epoch: datetime) -> Json:
    """Return one order as a JSON object, its keys in the documented order.

    Args:
        trade: The SmartTrade.
        leg: The order.
        epoch: Wall-clock time of instant 0, aware.
    """
    with localcontext(prec=DIGITS):
        return _trade_entity(trade, leg, epoch)


def is_cancelable(trade: Trade, leg: Leg) -> bool:
    """Tell whether ``cancel_trade`` is accepted.

    It is for open targets, the stop, added funds, and a reduction that waits for its price.
    """
    is_exit = any(leg is other for other in (*trade.steps, trade.stop))
    added = leg.purpose == "position" and leg is not trade.entry
    reduction = leg.purpose == "reduce_funds"
    reduces = reduction and leg.order_type == "limit" and leg.status is StatusCode.ORDER_PLACED
    leaving = leg.status is StatusCode.PENDING_CANCELLATION
    return (is_exit or added or reduces) and leg.is_open and not leaving and trade.status in CANCELLABLE


def is_closeable(trade: Trade, leg: Leg) -> bool:
    """Tell whether ``close_trade`` is accepted: for a target at work that has something to close."""
    at_work = trade.status in CLOSEABLE and leg in trade.steps and leg.status in STARTABLE
    return at_work and bool(trade.amount_of(leg))


def _trade_entity(trade: Trade, leg: Leg, epoch: datetime) -> Json:
    amount = _ordered(trade, leg)
    triggered = leg.trigger is not None
    is_target = leg.purpose == "take_profit"
    return {
        "id": leg.id,
        "follow_price_type": leg.watched,
        "initial_amount": decimal_text(amount),
        "initial_total": decimal_text(amount * leg.price),
        "order_price": decimal_text(leg.price) if leg.order_type == "limit" else None,
        "order_side": leg.side,
        "order_type": leg.order_type,
        "pair": trade.order.pair,
        "position_percentage": optional(leg.volume),
        **_realised(trade, leg),
        "status": leg.status.value,
        "take_profit_percentage": optional(leg.percent) if is_target else None,
        "trade_purpose": leg.purpose,
        "trail_percentage": optional(leg.trailing),
        "trail_value": None,
        "trailing_enabled": leg.trailing is not None,
        "trailing_last_price": optional(leg.extreme),
        "trailing_last_price_updated_at": _unix_seconds(leg.extreme_at, epoch),
        "trigger_condition": ("greater_or_equal" if leg.rising else "less_or_equal") if triggered else None,
        "trigger_price": optional(leg.trigger),
        "trigger_price_percentage": None if is_target else optional(leg.percent),
        "trigger_type": "conditional" if triggered else "none",
        "created_at": date_text(leg.created_at, epoch),
        "updated_at": date_text(leg.since, epoch),
        "initial_price": decimal_text(leg.price),
        "cancelable": is_cancelable(trade, leg),
        "force_processable": is_closeable(trade, leg) or _is_stop_at_work(trade, leg),
    }


def _is_stop_at_work(trade: Trade, leg: Leg) -> bool:
    # The documented stop says so, although its page speaks of targets only.
    return leg is trade.stop and leg.status in STARTABLE and trade.status in CLOSEABLE


def _realised(trade: Trade, leg: Leg) -> Json:
    if not leg.realised_amount:
        return {
            "average_price": None,
            "realised_amount": "0.0",
            "realised_total": None,
            "realised_percentage": "0.0",
            "realised_price": None,
        }
    average = leg.realised_total / leg.realised_amount
    return {
        "average_price": decimal_text(average.quantize(_AVERAGE_STEP, rounding=ROUND_DOWN)),
        "realised_amount": decimal_text(leg.realised_amount),
        "realised_total": decimal_text(leg.realised_total),
        "realised_percentage": "100.0",
        "realised_price": decimal_text(average.quantize(trade.rules.tick, rounding=ROUND_DOWN)),
    }


def _ordered(trade: Trade, leg: Leg) -> Decimal:
    if leg.units is not None:
        return leg.units
    # A stop closes what is held, and an idle target its share, in whole lots.
    whole = trade.position.rest if trade.is_entered else trade.order.units
    share = whole if leg.purpose == "stop_loss" else whole * (leg.volume or Decimal(0)) / 100
    return share // trade.rules.lot * trade.rules.lot


def _unix_seconds(at: float | None, epoch: datetime) -> int | None:
    return None if at is None else int((epoch + timedelta(seconds=at)).timestamp())
