"""What prices do to a SmartTrade: fill, trigger, trail, take profit, stop out.

How the exchange matches is not documented. Assumed here: a market order gets the price of the other side
of the book. A limit order is met by a trade at its price or by the other side of the book; it gets its
own price after a rest, and the market's if it is met as it is placed. A conditional entry fires when the
price comes to its trigger from where it was when the order was placed. Whatever trails is sent at market
price. A trailing stop follows the best price since it began to work at its distance, and never goes back;
breakeven takes the stop to the average entry price, fees included, after a target came to its price, once
the market is on the winning side of that. When a target
and the stop are met at once, the stop goes first. Funds added before the entry are sent after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from threecommas_async.models.status import TERMINAL, StatusCode
from threecommas_async.sandbox.prices import limit_price, market_price
from threecommas_async.sandbox.trades import ACTIVE

if TYPE_CHECKING:
    from decimal import Decimal

    from threecommas_async.sandbox.legs import Leg
    from threecommas_async.sandbox.market import Ticker
    from threecommas_async.sandbox.trades import Trade


def react(trade: Trade, ticker: Ticker, at: float) -> None:
    """Carry out everything that the prices of an instant call for."""
    while _carry_out_one(trade, ticker, at):
        pass


def force_next(trade: Trade, ticker: Ticker, at: float) -> Leg | None:
    """Carry out, at market price, the order that a trade waits for next.

    These are, in this order: the entry, or a stop, a close or a cancellation on its way, a reduction, added
    funds, the first open target, the stop. That this is what the API does is an assumption: the documentation
    had the call until 2024-11, and said no more than "process".

    Returns:
        The order; None for a close or a cancellation of the whole.

    Raises:
        LookupError: It waits for nothing.
    """
    price = trade.exit_price(ticker)
    match trade.status:
        case StatusCode.CREATED | StatusCode.WAITING_POSITION:
            return _force_entry(trade, ticker, at)
        case StatusCode.PANIC_SELL_PENDING | StatusCode.PANIC_SELL_IN_PROGRESS:
            trade.sell_all(price, at)
            return None
        case StatusCode.CANCELLATION_PENDING | StatusCode.CANCELLATION_IN_PROGRESS:
            trade.end(StatusCode.CANCELLED, at)
            return None
        case StatusCode.STOP_LOSS_IN_PROGRESS:
            return _force_stop(trade, price, at)
        case _ if trade.status in ACTIVE:
            return _force_active(trade, ticker, at)
        case _:
            raise LookupError(trade.status)


def can_force(trade: Trade) -> bool:
    """Tell whether `force_next` finds something to carry out."""
    if trade.status in ACTIVE:
        return _next_active(trade) is not None
    return trade.status not in TERMINAL


def execution_price(leg: Leg, ticker: Ticker, at: float) -> Decimal:
    """Return the price that an order gets which is met."""
    if leg.order_type == "limit" and leg.status is StatusCode.ORDER_PLACED:
        return limit_price(leg.side, leg.price, ticker, rested=leg.since < at)
    return market_price(leg.side, ticker)


def _force_entry(trade: Trade, ticker: Ticker, at: float) -> Leg:
    if trade.status is StatusCode.CREATED:
        trade.place(ticker, at)
    if not trade.is_entered:
        trade.fill(market_price(trade.order.side, ticker), at)
    return trade.entry


def _force_stop(trade: Trade, price: Decimal, at: float) -> Leg:
    stop = trade.stop
    if stop is None:
        raise LookupError(trade.status)
    trade.stop_out(price, at)
    return stop


def _force_active(trade: Trade, ticker: Ticker, at: float) -> Leg:
    price, leg = trade.exit_price(ticker), _next_active(trade)
    if leg is None:
        raise LookupError(trade.status)
    if leg.purpose == "reduce_funds":
        trade.reduce(leg, price, at)
    elif leg.purpose == "position":
        trade.add(leg, market_price(leg.side, ticker), at)
    elif leg is trade.stop:
        trade.stop_out(price, at)
    else:
        trade.activate(at)
        trade.close_step(leg, price, at)
    return leg


def _next_active(trade: Trade) -> Leg | None:
    for leg in (*trade.reductions, *trade.additions):
        if leg.is_open and leg.status is not StatusCode.PENDING_CANCELLATION:
            return leg
    return next((step for step in trade.open_steps if trade.amount_of(step)), trade.stop)


def _carry_out_one(trade: Trade, ticker: Ticker, at: float) -> bool:
    if trade.status is StatusCode.WAITING_POSITION:
        return _enter(trade, ticker, at)
    if trade.status is StatusCode.STOP_LOSS_IN_PROGRESS:
        stop = trade.stop
        if stop is not None and stop.status is StatusCode.ORDER_PLACED and stop.is_met(ticker):
            trade.stop_out(execution_price(stop, ticker, at), at)
            return True
        return False
    if trade.status in ACTIVE:
        return (
            _watch_stop(trade, ticker, at)
            or any(_watch_target(trade, step, ticker, at) for step in trade.steps)
            or _watch_funds(trade, ticker, at)
        )
    return False


def _enter(trade: Trade, ticker: Ticker, at: float) -> bool:
    entry = trade.entry
    if entry.status is StatusCode.TRAILING_ACTIVATED:
        entry.follow(ticker, at)
        if not entry.has_turned(ticker, trade.rules.tick):
            return False
        trade.fill(market_price(entry.side, ticker), at)
    elif not (entry.waits and entry.is_met(ticker)):
        return False
    elif entry.status is StatusCode.ORDER_PLACED:
        trade.fill(execution_price(entry, ticker, at), at)
    elif entry.trailing is not None:
        entry.turn(StatusCode.TRAILING_ACTIVATED, at)
    elif entry.order_type == "limit":
        entry.turn(StatusCode.ORDER_PLACED, at)
    else:
        trade.fill(market_price(entry.side, ticker), at)
    return True


def _watch_stop(trade: Trade, ticker: Ticker, at: float) -> bool:
    stop = trade.stop
    if stop is None or stop.status is not StatusCode.TO_PROCESS:
        return False
    trade.protect(ticker)
    if stop.trailing is not None:
        stop.follow(ticker, at)
        trade.move_stop(stop.trail_level(trade.rules.tick))
    if not stop.is_met(ticker):
        stop.met_since = None
        return False
    if stop.timeout is None:
        trade.fire_stop(at)
        return True
    stop.met_since = at if stop.met_since is None else stop.met_since
    return False


def _watch_target(trade: Trade, step: Leg, ticker: Ticker, at: float) -> bool:
    if step.status is StatusCode.TRAILING_ACTIVATED:
        step.follow(ticker, at)
        if not step.has_turned(ticker, trade.rules.tick):
            return False
    elif not (step.waits and step.is_met(ticker)):
        return False
    elif step.trailing is not None:
        step.turn(StatusCode.TRAILING_ACTIVATED, at)
        return True
    if not trade.amount_of(step):
        return False
    trade.close_step(step, execution_price(step, ticker, at), at, by_price=True)
    return True


def _watch_funds(trade: Trade, ticker: Ticker, at: float) -> bool:
    for leg in (*trade.additions, *trade.reductions):
        if leg.status is StatusCode.ORDER_PLACED and leg.is_met(ticker):
            price = execution_price(leg, ticker, at)
            if leg.purpose == "reduce_funds":
                trade.reduce(leg, price, at)
            else:
                trade.add(leg, price, at)
            return True
    return False
