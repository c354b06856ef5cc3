"""The sandbox's prices, moved by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from threecommas_async.models.order_groups import exact
from threecommas_async.sandbox.context import in_own_context

if TYPE_CHECKING:
    from threecommas_async.models.order_groups import Number
    from threecommas_async.sandbox import Sandbox


class Market:
    """The prices of a sandbox, which stand still until somebody moves them.

    Trades meet a new price at once: entries are filled, targets and stops are hit, and trailing follows.

    Args:
        sandbox: The sandbox.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def price(self, pair: str) -> Decimal:
        """Return the last price of a pair, in quote.

        Raises:
            ValueError: There is no such pair.
        """
        tickers = self._sandbox.exchange.tickers
        if pair not in tickers:
            raise ValueError(f"pair must be one of {', '.join(tickers)}, not {pair!r}")
        return tickers[pair].last

    def set(self, pair: str, last: Number, *, bid: Number | None = None, ask: Number | None = None) -> None:
        """Set the prices of a pair.

        Args:
            pair: QUOTE_BASE.
            last: Last price, in quote.
            bid: Best bid; None takes the last price.
            ask: Best ask; None takes one price step above the higher of the two others.

        Raises:
            ValueError: There is no such pair, or the prices are not positive, or the bid is above the ask.
        """
        self._sandbox.set_price(pair, last=last, bid=bid, ask=ask)

    @in_own_context
    def move(self, pair: str, *, percent: Number) -> None:
        """Move the last price of a pair, and bid and ask with it.

        Args:
            pair: QUOTE_BASE.
            percent: By how many percent of the present price; negative moves it down.

        Raises:
            ValueError: There is no such pair, or nothing would be left of the price.
        """
        self.set(pair, self.price(pair) * (100 + exact("percent", percent)) / Decimal(100))
