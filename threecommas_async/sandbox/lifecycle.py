"""What a SmartTrade does by itself, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import StatusCode
from threecommas_async.sandbox.matching import react
from threecommas_async.sandbox.prices import market_price
from threecommas_async.sandbox.trades import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from threecommas_async.sandbox.legs import Leg
    from threecommas_async.sandbox.market import Ticker
    from threecommas_async.sandbox.trades import Trade


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How long the exchange takes, in seconds.

    Args:
        place: From ``created`` to a placed entry, or to active targets where the position exists; from
            ``pending_reduce_funds`` to ``reduce_funds_in_progress``; from an edit to active targets.
        fill: From a placed market entry, a forced one, or added funds, to the fill.
        close: From ``panic_sell_pending`` to ``panic_sell_in_progress``, and from the order to close a
            target to its end.
        sell: From ``panic_sell_in_progress`` to ``panic_sold``, from ``stop_loss_in_progress`` to
            ``stop_loss_finished``, and from ``reduce_funds_in_progress`` to the execution.
        cancel: For each of the two steps from ``cancellation_pending`` to ``cancelled``, and from the
            order to cancel a target to its removal.
    """

    place: float = 1.0
    fill: float = 2.0
    close: float = 2.0
    sell: float = 2.0
    cancel: float = 1.0

    def divided(self, factor: float) -> Delays:
        """Return delays that are shorter by a factor."""
        return Delays(
            place=self.place / factor,
            fill=self.fill / factor,
            close=self.close / factor,
            sell=self.sell / factor,
            cancel=self.cancel / factor,
        )


def next_change(trade: Trade, delays: Delays) -> float | None:
    """Return when the trade goes on by itself; None where it waits for an order or a price."""
    instants = [_ends_at(leg, trade, delays) for leg in _working(trade)]
    delay = _time_in_state(trade, delays)
    if delay is not None:
        instants.append(trade.since + delay)
    return min((instant for instant in instants if instant is not None), default=None)


def go_on(trade: Trade, ticker: Ticker, delays: Delays, at: float) -> None:
    """Carry out what is due at an instant, and what the prices make of it."""
    delay = _time_in_state(trade, delays)
    if delay is not None and trade.since + delay <= at:
        _leave_state(trade, ticker, at)
    for leg in _working(trade):
        end = _ends_at(leg, trade, delays)
        if end is not None and end <= at:
            _leave_leg_state(leg, trade, ticker, at)
    react(trade, ticker, at)


def _working(trade: Trade) -> tuple[Leg, ...]:
    leaving = [leg for leg in trade.reductions if leg.status is StatusCode.PENDING_CANCELLATION]
    return (*trade.steps, *trade.additions, *leaving, *(() if trade.stop is None else (trade.stop,)))


def _time_in_state(trade: Trade, delays: Delays) -> float | None:
    stay = _STAYS.get(trade.status)
    return None if stay is None or _waits_for_price(trade) else stay(delays)


def _waits_for_price(trade: Trade) -> bool:
    match trade.status:
        case StatusCode.WAITING_POSITION:
            forced = trade.entry.status is StatusCode.PANIC_SELL_PENDING
            return not forced and trade.order.order_type != "market"
        case StatusCode.REDUCE_FUNDS_IN_PROGRESS:
            return all(leg.order_type == "limit" for leg in trade.reductions if leg.is_open)
        case StatusCode.STOP_LOSS_IN_PROGRESS:
            return trade.stop is not None and trade.stop.status is StatusCode.ORDER_PLACED
        case _:
            return False


def _leave_state(trade: Trade, ticker: Ticker, at: float) -> None:
    price = trade.exit_price(ticker)
    match trade.status:
        case StatusCode.CREATED:
            trade.place(ticker, at)
        case StatusCode.WAITING_POSITION:
            trade.fill(market_price(trade.order.side, ticker), at)
        case StatusCode.PENDING_REDUCE_FUNDS:
            trade.send_reduction(at)
        case StatusCode.REDUCE_FUNDS_IN_PROGRESS:
            trade.reduce(next(leg for leg in trade.reductions if leg.is_open), price, at)
        case StatusCode.STOP_LOSS_IN_PROGRESS:
            if trade.stop is not None and trade.stop.order_type == "limit":
                trade.stop.turn(StatusCode.ORDER_PLACED, at)
            else:
                trade.stop_out(price, at)
        case StatusCode.PANIC_SELL_IN_PROGRESS:
            trade.sell_all(price, at)
        case StatusCode.CANCELLATION_IN_PROGRESS:
            trade.end(StatusCode.CANCELLED, at)
        case pending:
            trade.strip(at)
            trade.turn(_IN_PROGRESS[pending], at)


def _ends_at(leg: Leg, trade: Trade, delays: Delays) -> float | None:
    active = trade.status in ACTIVE
    match leg.status:
        case StatusCode.PENDING_CANCELLATION if active or trade.status is StatusCode.WAITING_POSITION:
            return leg.since + delays.cancel
        case StatusCode.IDLE if active:
            return leg.since + delays.place
        case StatusCode.PANIC_SELL_PENDING if active:
            return leg.since + delays.close
        case StatusCode.ORDER_PLACED if active and leg.purpose == "position" and leg.order_type == "market":
            return leg.since + delays.fill
        case StatusCode.TO_PROCESS if active and leg.timeout is not None and leg.met_since is not None:
            return leg.met_since + leg.timeout
        case _:
            return None


def _leave_leg_state(leg: Leg, trade: Trade, ticker: Ticker, at: float) -> None:
    match leg.status:
        case StatusCode.PENDING_CANCELLATION:
            trade.remove(leg, at)
        case StatusCode.IDLE:
            leg.activate(at)
            trade.settle()
        case StatusCode.PANIC_SELL_PENDING:
            trade.close_step(leg, trade.exit_price(ticker), at)
        case StatusCode.ORDER_PLACED:
            trade.add(leg, market_price(leg.side, ticker), at)
        case _:
            trade.fire_stop(at)


_STAYS: Final[Mapping[StatusCode, Callable[[Delays], float]]] = {
    StatusCode.CREATED: lambda delays: delays.place,
    StatusCode.WAITING_POSITION: lambda delays: delays.fill,
    StatusCode.PENDING_REDUCE_FUNDS: lambda delays: delays.place,
    StatusCode.REDUCE_FUNDS_IN_PROGRESS: lambda delays: delays.sell,
    StatusCode.STOP_LOSS_IN_PROGRESS: lambda delays: delays.sell,
    StatusCode.PANIC_SELL_PENDING: lambda delays: delays.close,
    StatusCode.PANIC_SELL_IN_PROGRESS: lambda delays: delays.sell,
    StatusCode.CANCELLATION_PENDING: lambda delays: delays.cancel,
    StatusCode.CANCELLATION_IN_PROGRESS: lambda delays: delays.cancel,
}
_IN_PROGRESS: Final = {
    StatusCode.PANIC_SELL_PENDING: StatusCode.PANIC_SELL_IN_PROGRESS,
    StatusCode.CANCELLATION_PENDING: StatusCode.CANCELLATION_IN_PROGRESS,
}
