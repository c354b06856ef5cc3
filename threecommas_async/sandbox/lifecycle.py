"""What a SmartTrade does by itself, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from threecommas_async.models.status import StatusCode

if TYPE_CHECKING:
    from threecommas_async.sandbox.market import Ticker
    from threecommas_async.sandbox.trades import Trade


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How long the exchange takes, in seconds.

    Args:
        place: From ``created`` to a placed entry, or to active targets where the position exists.
        fill: From a placed market entry, or a forced one, to its fill.
        close: From ``panic_sell_pending`` to ``panic_sell_in_progress``, and from the order to close a
            target to its end.
        sell: From ``panic_sell_in_progress`` to ``panic_sold``.
        cancel: For each of the two steps from ``cancellation_pending`` to ``cancelled``.
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


def time_to_next(trade: Trade, delays: Delays) -> float | None:
    """Return how long the trade stays in its state, in seconds; None where it waits for an order."""
    match trade.status:
        case StatusCode.CREATED:
            return delays.place
        case StatusCode.WAITING_POSITION:
            forced = trade.entry_status is StatusCode.PANIC_SELL_PENDING
            return delays.fill if forced or trade.order.order_type == "market" else None
        case StatusCode.PANIC_SELL_PENDING:
            return delays.close
        case StatusCode.PANIC_SELL_IN_PROGRESS:
            return delays.sell
        case StatusCode.CANCELLATION_PENDING | StatusCode.CANCELLATION_IN_PROGRESS:
            return delays.cancel
        case _:
            return None


def go_on(trade: Trade, ticker: Ticker, at: float) -> None:
    """Take the trade to the state that follows by itself."""
    match trade.status:
        case StatusCode.CREATED:
            trade.place()
        case StatusCode.WAITING_POSITION:
            trade.fill(ticker.ask if trade.is_long else ticker.bid, at)
        case StatusCode.PANIC_SELL_PENDING:
            trade.strip()
            trade.status = StatusCode.PANIC_SELL_IN_PROGRESS
        case StatusCode.PANIC_SELL_IN_PROGRESS:
            trade.sell(trade.rest, trade.exit_price(ticker))
            trade.end(StatusCode.PANIC_SOLD, at)
        case StatusCode.CANCELLATION_PENDING:
            trade.strip()
            trade.status = StatusCode.CANCELLATION_IN_PROGRESS
        case StatusCode.CANCELLATION_IN_PROGRESS:
            trade.end(StatusCode.CANCELLED, at)
        case _:
            raise AssertionError(f"a trade in {trade.status} waits for an order")
