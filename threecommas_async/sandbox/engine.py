"""The engine: trades, prices and what is due, advanced from instant to instant."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from threecommas_async.models.status import TERMINAL
from threecommas_async.sandbox.lifecycle import go_on, next_change
from threecommas_async.sandbox.matching import react

if TYPE_CHECKING:
    from threecommas_async.models.order_groups import Number
    from threecommas_async.sandbox.ledger import Fill
    from threecommas_async.sandbox.lifecycle import Delays
    from threecommas_async.sandbox.market import Market, Ticker
    from threecommas_async.sandbox.trades import Trade


class Engine:
    """Takes trades through time and prices; nothing happens between two calls.

    Args:
        market: The prices.
        delays: How long things take, in seconds on the clock of whoever calls.
    """

    def __init__(self, market: Market, delays: Delays) -> None:
        self.market = market
        self.delays = delays
        self.trades: dict[int, Trade] = {}
        self.fills: list[Fill] = []
        self._open: dict[str, dict[int, Trade]] = {}
        self._due: list[tuple[float, int]] = []

    def add(self, trade: Trade) -> None:
        """Take a trade on."""
        self.trades[trade.id] = trade
        self._open.setdefault(trade.order.pair, {})[trade.id] = trade

    def ticker(self, trade: Trade) -> Ticker:
        """Return the prices of the trade's pair."""
        return self.market.tickers[trade.order.pair]

    def advance(self, now: float) -> None:
        """Carry out everything that is due, each at its own instant."""
        while True:
            due = self._due[0][0] if self._due else float("inf")
            move = self.market.next_move
            if min(due, move) > now:
                return
            if due <= move:
                at, trade_id = heapq.heappop(self._due)
                trade = self.trades[trade_id]
                if trade.due == at:
                    trade.due = None
                    go_on(trade, self.ticker(trade), self.delays, at)
                    self.arm(trade)
            else:
                for pair in self.market.move():
                    self._react(pair, move)

    def set_price(
        self, now: float, pair: str, *, last: Number, bid: Number | None = None, ask: Number | None = None
    ) -> None:
        """Set the prices of a pair at an instant; for the arguments see `Market.set`."""
        self.advance(now)
        self.market.set(pair, last=last, bid=bid, ask=ask)
        self._react(pair, now)

    def touch(self, trade: Trade, at: float) -> None:
        """Let a trade that was changed meet the prices, and note when it goes on."""
        react(trade, self.ticker(trade), at)
        self.arm(trade)

    def arm(self, trade: Trade) -> None:
        """Note when a trade goes on by itself."""
        due = next_change(trade, self.delays)
        if due is not None and due != trade.due:
            heapq.heappush(self._due, (due, trade.id))
        trade.due = due

    def _react(self, pair: str, at: float) -> None:
        trades = self._open.get(pair, {})
        for trade in tuple(trades.values()):
            if trade.status in TERMINAL:
                del trades[trade.id]
            else:
                self.touch(trade, at)
