"""The accounts of the sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from threecommas_async.models.account import PAPER


@dataclass(frozen=True, slots=True)
class Account:
    """An exchange account.

    Args:
        id: Account id.
        type: Kind of account; ``paper_trading`` is a paper account.
        name: The name that the user gave to it.
        market: Name of the market for people.
        has_leverage: It trades contracts; on any other account leverage is ignored.
        smart_trading: SmartTrades can be created on it.
    """

    id: int
    type: str
    name: str
    market: str
    has_leverage: bool = False
    smart_trading: bool = True

    @property
    def is_paper(self) -> bool:
        """It is a paper account."""
        return self.type == PAPER


PAPER_ACCOUNT: Final = Account(
    32199203, "paper_trading", "Paper Account 1251857", "Binance Spot account simulator"
)
"""The user's paper account, as the documentation shows one."""

REAL_ACCOUNT: Final = Account(32884189, "binance", "My Binance", "Binance Spot")
"""The user's exchange account, as the documentation shows one."""

FUTURES_ACCOUNT: Final = Account(
    32951724, "binance_futures", "My Binance Futures", "Binance Futures USDT-M", has_leverage=True
)
"""The user's contract account."""

WALLET_ACCOUNT: Final = Account(33016408, "bitstamp", "My Bitstamp", "Bitstamp Spot", smart_trading=False)
"""The user's account without SmartTrades: a create on it is answered with 422 (an assumption)."""

FOREIGN_ACCOUNT: Final = Account(31077106, "binance", "Not mine", "Binance Spot")
"""Somebody else's account: a create on it is answered with 403."""
