"""The SmartTrade entity, as the API answers it.

Fields carry the API's own names. Amounts, prices and percents are `Decimal`, exactly as sent, and
instants are aware `datetime` in UTC. ``base`` and ``quote`` are the currencies of the pair: in
``USDT_DOGE`` the quote is USDT and the base DOGE. Fields that the API leaves out in some answers,
or sends as null, are ``None``, and unknown fields are ignored. They stand in the order of the answers,
in which they are read quickest.

Source: the census of the 14 SmartTrade objects in the official documentation (state of 2026-05) and
of answers recorded in public repositories from 2021 to 2025.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from typing import Final

from msgspec import Struct

from threecommas_async.models.pair import Pair
from threecommas_async.models.reference import note_of, reference_in
from threecommas_async.models.smart_trade_groups import (
    Account,
    Leverage,
    Margin,
    MarketClose,
    Position,
    Profit,
    ReduceFunds,
    SmartTradeData,
    StopLoss,
    TakeProfit,
)
from threecommas_async.models.status import CLOSEABLE, CLOSING, TERMINAL, UNFILLED, Status
from threecommas_async.models.text import printable

# Whatever the caller's context is. It holds any product of three numbers of an answer; odd ones give NaN.
_EXACT: Final = Context(prec=200, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])


class SmartTrade(Struct, frozen=True, kw_only=True, gc=False):
    """A SmartTrade: an entry, its targets, its stop, and where it stands.

    An answer is a snapshot of an asynchronous process: after ``close_by_market`` it says
    ``panic_sell_pending``, and a later ``get`` shows the end.
    """

    id: int
    """SmartTrade id. Ids of this API exceed 32 bits."""
    version: int | None = None
    """Generation of the entity; 2 wherever it is sent."""
    account: Account = Account()
    """Account that the trade runs on."""
    pair: str | None = None
    """QUOTE_BASE: ``USDT_DOGE`` is DOGE priced in USDT; futures pairs carry a suffix."""
    instant: bool | None = None
    """A simple buy or simple sell."""
    status: Status
    """State of the whole trade."""
    leverage: Leverage = Leverage()
    """Leverage block."""
    position: Position = Position()
    """Entry order."""
    take_profit: TakeProfit = TakeProfit()
    """Targets."""
    stop_loss: StopLoss = StopLoss()
    """Stop."""
    reduce_funds: ReduceFunds = ReduceFunds()
    """Reductions; absent before 2022."""
    market_close: MarketClose = MarketClose()
    """Market close order; empty in every documented answer."""
    note: str | None = None
    """The user's note, HTML-escaped; empty when there is none."""
    note_raw: str | None = None
    """The user's note as it was written; None when there is none."""
    skip_enter_step: bool | None = None
    """The position existed already: a smart sell or smart buy."""
    data: SmartTradeData = SmartTradeData()
    """Computed values and possible actions."""
    profit: Profit = Profit()
    """Result, unrealised while open."""
    margin: Margin = Margin()
    """Margin; futures only."""
    is_position_not_filled: bool | None = None
    """True while the position has NOT been entered (the official description says the opposite)."""

    def __str__(self) -> str:
        return printable(f"SmartTrade {self.id} {self.pair or ''} {self.status.code}")

    @property
    def side(self) -> str | None:
        """Side of the entry: ``buy`` for a long, ``sell`` for a short. The same as ``position.type``."""
        return self.position.type

    @property
    def quote(self) -> str | None:
        """Quote currency, as `Pair.quote` reads it."""
        return Pair(self.pair).quote if self.pair else None

    @property
    def base(self) -> str | None:
        """Base currency, or the futures contract, as `Pair.base` reads it."""
        return Pair(self.pair).base if self.pair else None

    @property
    def reference(self) -> str | None:
        """The reference that it was created with; None if there was none or the note was replaced."""
        return reference_in(note_of(self))

    @property
    def is_filled(self) -> bool:
        """The position is held: ``is_position_not_filled`` is false, or else something was entered."""
        if self.is_position_not_filled is not None:
            return not self.is_position_not_filled
        return bool(self.data.entered_amount)

    @property
    def unrealised_profit(self) -> Decimal | None:
        """What an open trade would have brought in all if the rest were closed now, in quote.

        None before the fill and after the end. With ``rest = entered_amount - closed_amount`` a long brings
        ``rest * bid * (1 - commission) + closed_total - entered_total``, a short
        ``entered_total - closed_total - rest * ask * (1 + commission)``. Derived from the documented open
        trades, where it equals ``profit.volume`` to the last digit (none of them is partly closed); the fee
        that is really charged can differ.
        """
        data = self.data
        price = data.current_price.ask if self.side == "sell" else data.current_price.bid
        entered, total, rate = data.entered_amount, data.entered_total, data.commission
        if self.is_terminal or not self.is_filled:
            return None
        if price is None or entered is None or total is None or rate is None:
            return None
        with localcontext(_EXACT):
            rest = entered - (data.closed_amount or 0)
            closed = data.closed_total or 0
            if self.side == "sell":
                return total - closed - rest * price * (1 + rate)
            return rest * price * (1 - rate) + closed - total

    @property
    def is_terminal(self) -> bool:
        """The trade has ended: a terminal state, or ``data.finished``. See `TERMINAL`."""
        return self.status.code in TERMINAL or self.data.finished is True

    @property
    def is_closing(self) -> bool:
        """The trade was told to end and has not ended yet. See `CLOSING`."""
        return self.status.code in CLOSING

    @property
    def is_open(self) -> bool:
        """The trade has neither ended nor been told to; unknown states count as open."""
        return not (self.is_terminal or self.is_closing)

    @property
    def is_unfilled(self) -> bool:
        """The entry has not been filled: the trade cannot be closed. See `UNFILLED`.

        It can be cancelled instead, but for the first moment, while it is ``created``.
        """
        return self.status.code in UNFILLED

    @property
    def is_closeable(self) -> bool:
        """``close_by_market`` is accepted in this state. See `CLOSEABLE`."""
        return self.status.code in CLOSEABLE


def created_at(trade: SmartTrade) -> datetime | None:
    """Return when a trade was created, aware: an instant without a time zone is one in UTC."""
    at = trade.data.created_at
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
