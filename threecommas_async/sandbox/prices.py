"""Arithmetic of prices: which one an order gets, and which one it waits for."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import TYPE_CHECKING

from threecommas_async.sandbox.orders import DIGITS

if TYPE_CHECKING:
    from threecommas_async.sandbox.market import Ticker
    from threecommas_async.sandbox.orders import Order


def market_price(side: str, ticker: Ticker) -> Decimal:
    """Return the price that a market order gets."""
    return ticker.ask if side == "buy" else ticker.bid


def watched_price(watched: str, ticker: Ticker) -> Decimal:
    """Return the price that a trigger watches: ``bid``, ``ask`` or ``last``."""
    return {"bid": ticker.bid, "ask": ticker.ask}.get(watched, ticker.last)


def reaches(side: str, price: Decimal, ticker: Ticker) -> bool:
    """Tell whether a limit order is met, by a trade at its price or by the other side of the book."""
    if side == "buy":
        return min(ticker.ask, ticker.last) <= price
    return max(ticker.bid, ticker.last) >= price


def limit_price(side: str, price: Decimal, ticker: Ticker, *, rested: bool) -> Decimal:
    """Return what a limit order gets: its price after a rest, else the market's where that is better."""
    if rested:
        return price
    return min(price, ticker.ask) if side == "buy" else max(price, ticker.bid)


def entry_price(order: Order, ticker: Ticker) -> Decimal:
    """Return the price that the entry is planned at: the order's own, else the market's for its side."""
    if order.price is not None:
        return order.price
    if order.conditional is not None:
        return order.conditional.price
    return market_price(order.side, ticker)


def at_distance(price: Decimal, percent: Decimal, tick: Decimal) -> Decimal:
    """Return a price at a distance in percent, rounded to the price step and at least one step.

    Rounded half up, as the documented target 5 % above 0.10457 is 0.1098.
    """
    with localcontext(prec=DIGITS):
        return max(tick, (price * (1 + percent / 100)).quantize(tick, rounding=ROUND_HALF_UP))
