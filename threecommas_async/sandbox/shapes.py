"""A SmartTrade as JSON, in the documented shape.

Source: the census of the 14 SmartTrade objects in the official documentation (state of 2026-05). What
differs from object to object there differs by id here: ``version`` is missing in 2 of 14, ``commission``
is a text in 2 of 14, and a third has the keys that only newer answers have.
"""

from __future__ import annotations

import html
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, localcontext
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import CLOSEABLE, CLOSING, TERMINAL, StatusCode
from threecommas_async.sandbox.legs import STARTABLE
from threecommas_async.sandbox.matching import can_force
from threecommas_async.sandbox.orders import DIGITS
from threecommas_async.sandbox.position import COMMISSION
from threecommas_async.sandbox.spelling import (
    ORDER_TITLES,
    TITLES,
    Json,
    date_text,
    decimal_text,
    optional,
    status_json,
)
from threecommas_async.sandbox.trade_shapes import is_cancelable, is_closeable
from threecommas_async.sandbox.trades import CANCELLABLE, EDITABLE

if TYPE_CHECKING:
    from datetime import datetime

    from threecommas_async.sandbox.legs import Leg
    from threecommas_async.sandbox.market import Ticker
    from threecommas_async.sandbox.orders import Leverage
    from threecommas_async.sandbox.trades import Trade

_FINISHED: Final = frozenset({StatusCode.FINISHED, StatusCode.STOP_LOSS_FINISHED})
_TOTAL_STEP: Final = Decimal("0.00000001")
_PERCENT_STEP: Final = Decimal("0.01")
_OFF: Final = {"enabled": False}


def smart_trade(trade: Trade, ticker: Ticker, *, usd_rate: Decimal, epoch: datetime) -> Json:
    """Return a trade as a JSON object, its keys in the documented order.

    Args:
        trade: The trade.
        ticker: Prices of its pair.
        usd_rate: Price of its quote currency in USD.
        epoch: Wall-clock time of instant 0, aware.
    """
    with localcontext(prec=DIGITS):
        return _smart_trade(trade, ticker, usd_rate, epoch)


def _smart_trade(trade: Trade, ticker: Ticker, usd_rate: Decimal, epoch: datetime) -> Json:
    order, account = trade.order, trade.account
    version: Json = {} if trade.id % 7 == 3 else {"version": 2}
    newer = trade.id % 3 == 0
    return {
        "id": trade.id,
        **version,
        "account": {
            "id": account.id,
            "type": account.type,
            "name": account.name,
            "market": account.market,
            "link": f"/accounts/{account.id}",
        },
        "pair": order.pair,
        "instant": order.instant,
        "status": status_json(trade.status, TITLES, trade.error),
        "leverage": _leverage(order.leverage),
        "position": _position(trade),
        "take_profit": {
            "enabled": order.take_profit,
            "price_type": "value",
            "steps": [
                _step(trade, step, number, newer=newer, epoch=epoch)
                for number, step in enumerate(trade.steps, start=1)
            ],
        },
        "stop_loss": _stop(trade, newer=newer),
        "reduce_funds": {"steps": [_reduction(trade, leg, epoch) for leg in trade.reductions]},
        "market_close": {},
        "note": html.escape(order.note or ""),
        "note_raw": order.note,
        "skip_enter_step": order.skip_enter_step,
        "data": _data(trade, ticker, epoch),
        "profit": _profit(trade, ticker, usd_rate),
        "margin": _margin(trade),
        "is_position_not_filled": not trade.is_entered,
    }


def _leverage(leverage: Leverage | None) -> Json:
    if leverage is None:
        return dict(_OFF)
    # As recorded in 2025; no documented answer has leverage.
    value = decimal_text(leverage.value)
    return {"enabled": True, "type": leverage.type, "value": value, "type_editable": True}


def _position(trade: Trade) -> Json:
    order, position = trade.order, trade.position
    # Own funds stay editable as long as the trade is open.
    own_funds = order.skip_enter_step and trade.status not in CLOSING | TERMINAL
    without_commission = None if position.is_own else position.enter_price or trade.price
    total = position.entered_total if trade.is_entered else order.units * trade.price
    rendered: Json = {
        "type": order.side,
        "editable": own_funds,
        "units": {
            "value": decimal_text(position.entered_amount if trade.is_entered else order.units),
            "editable": False,
        },
        "price": {
            "value": decimal_text(position.average_enter_price or trade.price),
            "value_without_commission": optional(without_commission),
            "editable": own_funds or not trade.is_entered,
        },
        "total": {"value": decimal_text(total.quantize(_TOTAL_STEP, rounding=ROUND_DOWN))},
        "order_type": order.order_type,
    }
    if order.conditional is not None:
        rendered["conditional"] = {
            "editable": trade.status is StatusCode.WAITING_POSITION and trade.entry.status in STARTABLE,
            "price": {"value": decimal_text(order.conditional.price), "type": order.conditional.watched},
            "order_type": order.conditional.order_type,
            "trailing": _trailing(order.conditional.trailing),
        }
    rendered["status"] = status_json(trade.entry.status, ORDER_TITLES, trade.error)
    return rendered


def _trailing(percent: Decimal | None) -> Json:
    return {"enabled": percent is not None, "percent": optional(percent)}


def _step(trade: Trade, step: Leg, number: int, *, newer: bool, epoch: datetime) -> Json:
    closed_at: Json = {}
    if newer or step.closed_at is not None:
        closed_at["closed_at"] = None if step.closed_at is None else date_text(step.closed_at, epoch)
    # The documented answer to a cancel says that its target can still be closed.
    cancelling = trade.status is StatusCode.CANCELLATION_PENDING and step.status in STARTABLE
    return {
        "id": step.id,
        "order_type": step.order_type,
        "editable": True,
        "units": {"value": optional(step.units)},
        "price": {
            "type": step.watched,
            "value": decimal_text(step.price),
            "percent": optional(step.percent),
        },
        "volume": optional(step.volume),
        "total": None if step.units is None else decimal_text(step.units * step.price),
        "trailing": _trailing(step.trailing),
        "status": status_json(step.status, ORDER_TITLES),
        **closed_at,
        # True in every documented step, also in the one that is being closed; none there is finished.
        "data": {"cancelable": step.is_open, "panic_sell_available": cancelling or is_closeable(trade, step)},
        "position": number,
    }


def _stop(trade: Trade, *, newer: bool) -> Json:
    stop, leg = trade.order.stop, trade.stop
    if stop is None or leg is None:
        return dict(_OFF)
    rendered: Json = {
        "enabled": True,
        "price_type": "value",
        "breakeven": stop.breakeven,
        "order_type": stop.order_type,
        "editable": True,
        "price": {"value": optional(stop.limit_price), "percent": None},
        "conditional": {
            "price": {"value": optional(leg.trigger), "type": stop.watched, "percent": optional(leg.percent)},
            "trailing": _trailing(stop.trailing),
        },
        "timeout": {"enabled": stop.timeout is not None, "value": stop.timeout},
        "status": status_json(leg.status, ORDER_TITLES),
    }
    if newer:
        rendered.update({"units": {"value": None}, "total": {"value": None}, "closed_at": None})
    return rendered


def _reduction(trade: Trade, leg: Leg, epoch: datetime) -> Json:
    price, units = decimal_text(leg.price), leg.units or Decimal(0)
    return {
        "id": leg.id,
        "type": leg.order_type,
        "status": status_json(leg.status, ORDER_TITLES),
        "units": {"value": decimal_text(units)},
        "price": {"value": price, "value_without_commission": price},
        "total": {"value": decimal_text(units * leg.price)},
        "closed_at": None if leg.closed_at is None else date_text(leg.closed_at, epoch),
        "data": {"cancelable": is_cancelable(trade, leg), "panic_sell_available": False},
    }


def _data(trade: Trade, ticker: Ticker, epoch: datetime) -> Json:
    status, order, position = trade.status, trade.order, trade.position
    closed_at: Json = {} if trade.closed_at is None else {"closed_at": date_text(trade.closed_at, epoch)}
    return {
        "editable": status in EDITABLE,
        "current_price": {
            "bid": decimal_text(ticker.bid),
            "ask": decimal_text(ticker.ask),
            "last": decimal_text(ticker.last),
            "quote_volume": decimal_text(ticker.quote_volume),
            "day_change_percent": decimal_text(ticker.day_change_percent),
        },
        "target_price_type": "price",
        "orderbook_price_currency": order.pair.partition("_")[0],
        # True in every documented answer, also before the fill.
        "base_order_finished": True,
        "missing_funds_to_close": "0.0",
        "liquidation_price": None,
        "average_enter_price": optional(position.average_enter_price),
        "average_close_price": optional(position.average_close_price),
        "average_enter_price_without_commission": optional(position.enter_price),
        "average_close_price_without_commission": optional(position.average_close_price_without_commission),
        "panic_sell_available": status in CLOSEABLE,
        "add_funds_available": trade.can_take_funds,
        "reduce_funds_available": status is StatusCode.WAITING_TARGETS,
        "force_start_available": trade.is_forceable,
        "force_process_available": can_force(trade),
        "cancel_available": status in CANCELLABLE,
        "finished": status in _FINISHED,
        "base_position_step_finished": not trade.entry.is_open,
        "entered_amount": decimal_text(position.entered_amount),
        "entered_total": decimal_text(position.entered_total),
        "closed_amount": decimal_text(position.closed_amount),
        "closed_total": decimal_text(position.closed_total),
        "commission": decimal_text(COMMISSION) if trade.id % 7 == 0 else float(COMMISSION),
        "created_at": date_text(trade.created_at, epoch),
        "updated_at": date_text(trade.updated_at, epoch),
        **closed_at,
        "type": order.kind,
    }


def _profit(trade: Trade, ticker: Ticker, usd_rate: Decimal) -> Json:
    leverage = trade.order.leverage
    volume = trade.profit(ticker)
    if volume is None:
        return {"volume": None, "usd": None, "percent": "0.0", "roe": None if leverage is None else "0.0"}
    percent = (volume / trade.position.entered_total * 100).quantize(_PERCENT_STEP, rounding=ROUND_HALF_UP)
    return {
        "volume": decimal_text(volume),
        "usd": decimal_text(volume * usd_rate),
        "percent": decimal_text(percent),
        "roe": None if leverage is None else decimal_text(percent * leverage.value),
    }


def _margin(trade: Trade) -> Json:
    leverage, position = trade.order.leverage, trade.position
    if leverage is None or not trade.is_entered:
        return {"amount": None, "total": None}
    total = (position.entered_total / leverage.value).quantize(_TOTAL_STEP, rounding=ROUND_DOWN)
    return {"amount": decimal_text(position.entered_amount), "total": decimal_text(total)}
