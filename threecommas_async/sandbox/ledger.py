"""What was accepted, and what was executed: two records that only grow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    from decimal import Decimal

Action: TypeAlias = Literal[
    "create",
    "update",
    "cancel",
    "add_funds",
    "reduce_funds",
    "close_by_market",
    "set_note",
    "force_start",
    "force_process",
    "close_trade_by_market",
    "cancel_trade",
]
"""What can be ordered."""

Purpose: TypeAlias = Literal["position", "take_profit", "stop_loss", "reduce_funds", "market_close"]
"""Role of an order of a SmartTrade; added funds are ``position`` too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One accepted order.

    Args:
        at: Instant of acceptance, in seconds since the sandbox was made, each of them ``time_scale``
            simulated ones.
        action: What was ordered: the name of the call.
        smart_trade_id: The SmartTrade.
        trade_id: The single trade that it is about; None for orders on the whole SmartTrade.
        account_id: Account it is on.
        pair: QUOTE_BASE.
        side: Side of the order that follows; of the entry where none does.
        units: Size concerned, in base; 0 for ``update`` and ``set_note``.
    """

    at: float
    action: Action
    smart_trade_id: int
    trade_id: int | None
    account_id: int
    pair: str
    side: str
    units: Decimal


class Ledger(tuple[LedgerEntry, ...]):
    """The accepted orders, oldest first: a tuple that can be asked for some of them."""

    __slots__ = ()

    def orders(
        self,
        *,
        action: Action | None = None,
        pair: str | None = None,
        smart_trade_id: int | None = None,
        account_id: int | None = None,
    ) -> tuple[LedgerEntry, ...]:
        """Return the orders that fit everything that is given, oldest first.

        Args:
            action: What was ordered.
            pair: QUOTE_BASE.
            smart_trade_id: The SmartTrade.
            account_id: The account.

        Example::

            assert len(sandbox.ledger.orders(action="close_by_market", pair="USDT_BTC")) == 1

        Raises:
            ValueError: There is no such action.
        """
        if action is not None and action not in get_args(Action):
            raise ValueError(f"action must be one of {', '.join(get_args(Action))}, not {action!r}")
        wanted = {
            "action": action,
            "pair": pair,
            "smart_trade_id": smart_trade_id,
            "account_id": account_id,
        }
        return tuple(
            entry
            for entry in self
            if all(value is None or getattr(entry, name) == value for name, value in wanted.items())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One executed order.

    A SmartTrade's amounts and totals are the exact sums of its fills. Positions that the user brought are
    no fills.

    Args:
        at: Instant of execution, as in `LedgerEntry`.
        smart_trade_id: The SmartTrade.
        trade_id: The single trade; None for the close of the whole SmartTrade at market price.
        purpose: Role of the order: ``position`` (added funds, too), ``take_profit``, ``stop_loss``,
            ``reduce_funds`` or ``market_close``.
        side: ``buy`` or ``sell``.
        units: Executed size in base, the fee included.
        price: Price in quote.
        fee: Fee, in ``fee_currency``.
        fee_currency: The base currency for what a long buys, the quote currency for everything else.
    """

    at: float
    smart_trade_id: int
    trade_id: int | None
    purpose: Purpose
    side: str
    units: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
