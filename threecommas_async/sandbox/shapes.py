"""A SmartTrade as JSON, in the documented shape.

Source: the census of the 14 SmartTrade objects in the official documentation (state of 2026-05). What
differs from object to object there differs by id here: ``version`` is missing in 2 of 14, ``commission``
is a text in 2 of 14, and a third has the keys that only newer answers have.
"""

from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, localcontext
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import CLOSEABLE, CLOSING, TERMINAL, StatusCode
from threecommas_async.sandbox.orders import DIGITS
from threecommas_async.sandbox.trades import CANCELLABLE, COMMISSION, STARTABLE

if TYPE_CHECKING:
    from threecommas_async.sandbox.market import Ticker
    from threecommas_async.sandbox.orders import Stop
    from threecommas_async.sandbox.trades import Reduction, Step, Trade

_TITLES: Final = {
    StatusCode.CREATED: "Pending",
    StatusCode.WAITING_POSITION: "Pending Position Opened",
    StatusCode.WAITING_TARGETS: "Waiting Targets",
    StatusCode.PENDING_REDUCE_FUNDS: "Pending reduce funds",
    StatusCode.PANIC_SELL_PENDING: "Closing at Market Price",
    StatusCode.CANCELLATION_PENDING: "Cancelling",
    # The documentation shows no title for these.
    StatusCode.STOP_LOSS_IN_PROGRESS: "Stop Loss in progress",
    StatusCode.REDUCE_FUNDS_IN_PROGRESS: "Reduce funds in progress",
    StatusCode.PANIC_SELL_IN_PROGRESS: "Closing at Market Price",
    StatusCode.CANCELLATION_IN_PROGRESS: "Cancelling",
    StatusCode.PANIC_SOLD: "Closed at Market Price",
    StatusCode.STOP_LOSS_FINISHED: "Stop Loss finished",
}
_ORDER_TITLES: Final = {
    StatusCode.IDLE: "Pending",
    StatusCode.TO_PROCESS: "Pending",
    StatusCode.ORDER_PLACED: "Placed",
    StatusCode.PANIC_SELL_PENDING: "Panic closing",
    StatusCode.SMART_SELL: "Own funds",
}
_EDITABLE: Final = frozenset({StatusCode.WAITING_POSITION, StatusCode.WAITING_TARGETS})
_FINISHED: Final = frozenset({StatusCode.FINISHED, StatusCode.STOP_LOSS_FINISHED})
_TOTAL_STEP: Final = Decimal("0.00000001")
_PERCENT_STEP: Final = Decimal("0.01")
_OFF: Final = {"enabled": False}

Json = dict[str, object]
"""A JSON object."""


def decimal_text(value: Decimal) -> str:
    """Return a number as the API spells it: with a point, at least one decimal, no exponent."""
    if not value:
        return "0.0"
    whole, _, decimals = format(value, "f").partition(".")
    return f"{whole}.{decimals.rstrip('0') or '0'}"


def date_text(at: float, epoch: datetime) -> str:
    """Return an instant as the API spells it: ISO 8601 in UTC, milliseconds, ``Z``.

    Args:
        at: Seconds since the epoch.
        epoch: Wall-clock time of instant 0, aware.
    """
    wall = (epoch + timedelta(milliseconds=round(at * 1000))).astimezone(UTC)
    return wall.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


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
        "status": _status(trade.status, _TITLES, trade.error),
        "leverage": dict(_OFF),
        "position": _position(trade),
        "take_profit": {
            "enabled": order.take_profit,
            "price_type": "value",
            "steps": [_step(step, number, newer, epoch) for number, step in enumerate(trade.steps, start=1)],
        },
        "stop_loss": _stop(order.stop, trade.stop_price, trade.stop_status, newer=newer),
        "reduce_funds": {"steps": [_reduction(reduction) for reduction in trade.reductions]},
        "market_close": {},
        "note": html.escape(order.note or ""),
        "note_raw": order.note,
        "skip_enter_step": order.skip_enter_step,
        "data": _data(trade, ticker, epoch),
        "profit": _profit(trade, ticker, usd_rate),
        "margin": {"amount": None, "total": None},
        "is_position_not_filled": not trade.is_entered,
    }


def _optional(value: Decimal | None) -> str | None:
    return None if value is None else decimal_text(value)


def _status(code: StatusCode, titles: dict[StatusCode, str], error: str | None = None) -> Json:
    title = titles.get(code, code.value.capitalize())
    status: Json = {"type": code.value, "basic_type": code.value, "title": title}
    if error is not None:
        status["error"] = error
    return status


def _position(trade: Trade) -> Json:
    order = trade.order
    filled = trade.enter_price is not None
    # Own funds stay editable as long as the trade is open.
    own_funds = order.skip_enter_step and trade.status not in CLOSING | TERMINAL
    price = trade.average_enter_price if filled else trade.price
    without_commission = None if trade.entry_status is StatusCode.SMART_SELL else trade.price
    total = trade.entered_total if trade.is_entered else order.units * trade.price
    position: Json = {
        "type": order.side,
        "editable": own_funds,
        "units": {
            "value": decimal_text(trade.entered_amount if trade.is_entered else order.units),
            "editable": False,
        },
        "price": {
            "value": _optional(price),
            "value_without_commission": _optional(trade.enter_price if filled else without_commission),
            "editable": own_funds or not trade.is_entered,
        },
        "total": {"value": decimal_text(total.quantize(_TOTAL_STEP, rounding=ROUND_DOWN))},
        "order_type": order.order_type,
    }
    if order.conditional is not None:
        position["conditional"] = {
            "editable": False,
            "price": {"value": decimal_text(order.conditional.price), "type": order.conditional.watched},
            "order_type": order.conditional.order_type,
            "trailing": _trailing(order.conditional.trailing),
        }
    position["status"] = _status(trade.entry_status, _ORDER_TITLES, trade.error)
    return position


def _trailing(percent: Decimal | None) -> Json:
    return {"enabled": percent is not None, "percent": _optional(percent)}


def _step(step: Step, number: int, newer: bool, epoch: datetime) -> Json:
    target, units = step.target, step.units
    closed_at: Json = {}
    if newer or step.closed_at is not None:
        closed_at["closed_at"] = None if step.closed_at is None else date_text(step.closed_at, epoch)
    return {
        "id": step.id,
        "order_type": target.order_type,
        "editable": True,
        "units": {"value": _optional(units)},
        "price": {
            "type": target.watched,
            "value": decimal_text(step.price),
            "percent": _optional(target.percent),
        },
        "volume": decimal_text(target.volume),
        "total": None if units is None else decimal_text(units * step.price),
        "trailing": _trailing(target.trailing),
        "status": _status(step.status, _ORDER_TITLES),
        **closed_at,
        # True in every documented step, also in the one that is being closed.
        "data": {"cancelable": True, "panic_sell_available": step.status in STARTABLE},
        "position": number,
    }


def _stop(stop: Stop | None, price: Decimal | None, status: StatusCode, *, newer: bool) -> Json:
    if stop is None or price is None:
        return dict(_OFF)
    rendered: Json = {
        "enabled": True,
        "price_type": "value",
        "breakeven": stop.breakeven,
        "order_type": stop.order_type,
        "editable": True,
        "price": {"value": _optional(stop.limit_price), "percent": None},
        "conditional": {
            "price": {
                "value": decimal_text(price),
                "type": stop.watched,
                "percent": _optional(stop.percent),
            },
            "trailing": _trailing(stop.trailing),
        },
        "timeout": {"enabled": stop.timeout is not None, "value": stop.timeout},
        "status": _status(status, _ORDER_TITLES),
    }
    if newer:
        rendered.update({"units": {"value": None}, "total": {"value": None}, "closed_at": None})
    return rendered


def _reduction(reduction: Reduction) -> Json:
    price = decimal_text(reduction.price)
    return {
        "id": reduction.id,
        "type": "market",
        "status": _status(StatusCode.IDLE, _ORDER_TITLES),
        "units": {"value": decimal_text(reduction.units)},
        "price": {"value": price, "value_without_commission": price},
        "total": {"value": decimal_text(reduction.units * reduction.price)},
        "closed_at": None,
        "data": {"cancelable": False, "panic_sell_available": False},
    }


def _data(trade: Trade, ticker: Ticker, epoch: datetime) -> Json:
    status, order = trade.status, trade.order
    over = trade.is_entered or trade.entry_status in {StatusCode.FAILED, StatusCode.CANCELLED}
    closed_at: Json = {} if trade.closed_at is None else {"closed_at": date_text(trade.closed_at, epoch)}
    return {
        "editable": status in _EDITABLE,
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
        "average_enter_price": _optional(trade.average_enter_price),
        "average_close_price": _optional(trade.average_close_price),
        "average_enter_price_without_commission": _optional(trade.enter_price),
        "average_close_price_without_commission": _optional(trade.average_close_price_without_commission),
        "panic_sell_available": status in CLOSEABLE,
        "add_funds_available": status in _EDITABLE and not order.instant,
        "reduce_funds_available": status is StatusCode.WAITING_TARGETS,
        "force_start_available": trade.is_forceable,
        "force_process_available": status not in TERMINAL,
        "cancel_available": status in CANCELLABLE,
        "finished": status in _FINISHED,
        "base_position_step_finished": over,
        "entered_amount": decimal_text(trade.entered_amount),
        "entered_total": decimal_text(trade.entered_total),
        "closed_amount": decimal_text(trade.closed_amount),
        "closed_total": decimal_text(trade.closed_total),
        "commission": decimal_text(COMMISSION) if trade.id % 7 == 0 else float(COMMISSION),
        "created_at": date_text(trade.created_at, epoch),
        "updated_at": date_text(trade.updated_at, epoch),
        **closed_at,
        "type": order.kind,
    }


def _profit(trade: Trade, ticker: Ticker, usd_rate: Decimal) -> Json:
    volume = trade.profit(ticker)
    if volume is None:
        return {"volume": None, "usd": None, "percent": "0.0", "roe": None}
    percent = (volume / trade.entered_total * 100).quantize(_PERCENT_STEP, rounding=ROUND_HALF_UP)
    return {
        "volume": decimal_text(volume),
        "usd": decimal_text(volume * usd_rate),
        "percent": decimal_text(percent),
        "roe": None,
    }
