"""The exchange: accounts, SmartTrades, and what time and orders do to them.

It has no clock and does no I/O: every operation is told the instant at which it happens, in seconds on
any clock that only grows.
"""

from __future__ import annotations

import heapq
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import CLOSEABLE, StatusCode
from threecommas_async.sandbox.create import check_rules, entry_price, read_order, stop_price, target_price
from threecommas_async.sandbox.ledger import LedgerEntry
from threecommas_async.sandbox.lifecycle import Delays, go_on, time_to_next
from threecommas_async.sandbox.listing import read_listing, select
from threecommas_async.sandbox.market import RULES, TICKERS
from threecommas_async.sandbox.refusals import foreign_account, invalid, not_found, wrong_state
from threecommas_async.sandbox.seeding import EVERY_STATUS, SEED_SPACING, furnish, random_order
from threecommas_async.sandbox.shapes import smart_trade
from threecommas_async.sandbox.trades import CANCELLABLE, STARTABLE, Account, Step, Trade

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from threecommas_async.sandbox.ledger import Action
    from threecommas_async.sandbox.market import Ticker
    from threecommas_async.sandbox.orders import Order

PAPER_ACCOUNT: Final = Account(
    32199203, "paper_trading", "Paper Account 1251857", "Binance Spot account simulator"
)
"""The user's paper account, as the documentation shows one."""

REAL_ACCOUNT: Final = Account(32884189, "binance", "My Binance", "Binance Spot")
"""The user's exchange account, as the documentation shows one."""

# SmartTrade ids that do not fit 31 bits, and trade ids that do not fit 32.
_FIRST_ID: Final = 2_376_446_538
_FIRST_STEP_ID: Final = 4_301_007_688


class Exchange:
    """The user's accounts and SmartTrades.

    Answers are in the documented shape, ready to be encoded. Operations raise `Refusal`.

    Args:
        epoch: Wall-clock time of instant 0, aware; used where instants are rendered.
        accounts: The user's own accounts; seeded trades are on the first.
        tickers: Prices by pair, looked up whenever one is needed.
        delays: How long things take.
        seed: Seed of the random sizes and prices.
    """

    def __init__(
        self,
        *,
        epoch: datetime = datetime(2025, 1, 1, tzinfo=UTC),
        accounts: Sequence[Account] = (PAPER_ACCOUNT, REAL_ACCOUNT),
        tickers: Mapping[str, Ticker] = TICKERS,
        delays: Delays | None = None,
        seed: int = 0,
    ) -> None:
        self.epoch = epoch - timedelta(microseconds=epoch.microsecond % 1000)
        self.accounts = {account.id: account for account in accounts}
        self.tickers = tickers
        self.delays = delays or Delays()
        self.trades: dict[int, Trade] = {}
        self.ledger: list[LedgerEntry] = []
        self._random = random.Random(seed)
        self._last_id = _FIRST_ID
        self._last_step_id = _FIRST_STEP_ID
        self._last_created = float("-inf")
        self._scheduled: list[tuple[float, int, int, int | None]] = []
        self._serial = 0

    def seed(
        self,
        count: int,
        statuses: Sequence[str] = ("waiting_targets",),
        *,
        now: float = 0.0,
        account_id: int | None = None,
    ) -> list[int]:
        """Add trades as if they had been created before now, and return their ids, oldest first.

        Those that are being closed or cancelled, or were just created, go on by themselves; all others
        stay as they are until something is ordered.

        Args:
            count: How many.
            statuses: Their states, in turns.
            now: The present instant.
            account_id: Account they are on; None is the first.

        Raises:
            ValueError: There is no such state, or none is named.
        """
        if not statuses or not set(statuses) <= set(EVERY_STATUS):
            raise ValueError(f"statuses must be states of a SmartTrade, at least one, not {list(statuses)!r}")
        account = self.accounts[account_id] if account_id is not None else next(iter(self.accounts.values()))
        ids: list[int] = []
        for number in range(count):
            status = StatusCode(statuses[number % len(statuses)])
            order = random_order(self._random, self.tickers, account.id, status)
            trade = self._add(order, now - (count - number) * SEED_SPACING)
            furnish(trade, status, self.tickers[order.pair], self._next_step_id)
            self._schedule(trade, now)
            ids.append(trade.id)
        return ids

    def advance(self, now: float) -> None:
        """Carry out everything that is due, each at its own instant."""
        while self._scheduled and self._scheduled[0][0] <= now:
            at, serial, trade_id, step_id = heapq.heappop(self._scheduled)
            trade = self.trades[trade_id]
            if step_id is not None:
                self._close_step(trade, step_id, at)
            elif trade.due == serial:
                go_on(trade, self.tickers[trade.order.pair], at)
                self._schedule(trade, at)

    def page(self, now: float, parameters: Mapping[str, object]) -> list[dict[str, object]]:
        """Return one page of trades."""
        self.advance(now)
        chosen = select(self.trades.values(), read_listing(parameters), self.tickers, self.epoch)
        return [self._render(trade) for trade in chosen]

    def get(self, now: float, id: int) -> dict[str, object]:
        """Return a trade."""
        self.advance(now)
        return self._render(self._find(id, unknown=400))

    def create(self, now: float, parameters: Mapping[str, object]) -> dict[str, object]:
        """Accept a new trade."""
        self.advance(now)
        order = read_order(parameters)
        if order.account_id not in self.accounts:
            raise foreign_account()
        if order.pair not in RULES or order.pair not in self.tickers:
            raise invalid(422, {"pair": ["is invalid"]})
        check_rules(order, entry_price(order, self.tickers[order.pair]), RULES[order.pair])
        trade = self._add(order, now)
        self._schedule(trade, now)
        self._enter(now, "create", trade, side=order.side, units=order.units)
        return self._render(trade)

    def cancel(self, now: float, id: int) -> dict[str, object]:
        """Accept the order to end a trade and keep what it holds."""
        self.advance(now)
        trade = self._find(id, unknown=400)
        if trade.status not in CANCELLABLE:
            raise wrong_state("Cancel")
        units = trade.rest if trade.is_entered else trade.order.units
        trade.leave(StatusCode.CANCELLATION_PENDING, now)
        self._schedule(trade, now)
        self._enter(now, "cancel", trade, side=trade.order.side, units=units)
        return self._render(trade)

    def close_by_market(self, now: float, id: int) -> dict[str, object]:
        """Accept the order to close a trade at market price."""
        self.advance(now)
        trade = self._find(id, unknown=404)
        if trade.status not in CLOSEABLE:
            raise wrong_state("Close by market")
        trade.leave(StatusCode.PANIC_SELL_PENDING, now)
        self._schedule(trade, now)
        self._enter(now, "close_by_market", trade, side=trade.exit_side, units=trade.rest)
        return self._render(trade)

    def force_start(self, now: float, id: int) -> dict[str, object]:
        """Accept the order to send an entry at market price."""
        self.advance(now)
        trade = self._find(id, unknown=404)
        if not trade.is_forceable:
            raise wrong_state("Force start")
        trade.force(now)
        self._schedule(trade, now)
        self._enter(now, "force_start", trade, side=trade.order.side, units=trade.order.units)
        return self._render(trade)

    def close_trade(self, now: float, id: int, trade_id: int) -> dict[str, object]:
        """Accept the order to close one target at market price."""
        self.advance(now)
        trade = self._find(id, unknown=404)
        step = next((step for step in trade.steps if step.id == trade_id), None)
        if step is None:
            raise not_found(404, "Trade")
        if trade.status not in CLOSEABLE or step.status not in STARTABLE:
            raise wrong_state("Close by market")
        step.status = StatusCode.PANIC_SELL_PENDING
        trade.updated_at = now
        self._push(now + self.delays.close, trade.id, step.id)
        self._enter(
            now, "close_trade", trade, trade_id=step.id, side=trade.exit_side, units=step.units or Decimal(0)
        )
        return self._render(trade)

    def _find(self, id: int, *, unknown: int) -> Trade:
        try:
            return self.trades[id]
        except KeyError:
            raise not_found(unknown) from None

    def _render(self, trade: Trade) -> dict[str, object]:
        ticker = self.tickers[trade.order.pair]
        quote = trade.order.pair.partition("_")[0]
        rate = self.tickers[f"USDT_{quote}"].last if f"USDT_{quote}" in self.tickers else Decimal(1)
        return smart_trade(trade, ticker, usd_rate=rate, epoch=self.epoch)

    def _add(self, order: Order, at: float) -> Trade:
        # Whole milliseconds, as rendered, so that no two trades show the same creation time.
        at = max(round(at, 3), round(self._last_created + 0.001, 3))
        self._last_created = at
        rules = RULES[order.pair]
        price = entry_price(order, self.tickers[order.pair])
        self._last_id += self._random.randint(1, 40)
        self.trades[self._last_id] = trade = Trade(
            id=self._last_id,
            order=order,
            account=self.accounts[order.account_id],
            rules=rules,
            price=price,
            stop_price=stop_price(order, price, rules.tick),
            steps=[
                Step(self._next_step_id(), target, target_price(order, target, price, rules.tick))
                for target in order.targets
            ],
            created_at=at,
            updated_at=at,
            entry_status=StatusCode.TO_PROCESS if order.instant else StatusCode.IDLE,
        )
        return trade

    def _next_step_id(self) -> int:
        self._last_step_id += 1
        return self._last_step_id

    def _enter(
        self,
        at: float,
        action: Action,
        trade: Trade,
        *,
        side: str,
        units: Decimal,
        trade_id: int | None = None,
    ) -> None:
        self.ledger.append(
            LedgerEntry(
                at=at,
                action=action,
                smart_trade_id=trade.id,
                trade_id=trade_id,
                account_id=trade.account.id,
                pair=trade.order.pair,
                side=side,
                units=units,
            )
        )

    def _push(self, at: float, trade_id: int, step_id: int | None = None) -> int:
        self._serial += 1
        heapq.heappush(self._scheduled, (at, self._serial, trade_id, step_id))
        return self._serial

    def _schedule(self, trade: Trade, at: float) -> None:
        delay = time_to_next(trade, self.delays)
        if delay is not None:
            trade.due = self._push(at + delay, trade.id)

    def _close_step(self, trade: Trade, step_id: int, at: float) -> None:
        # Whoever closes the whole trade takes its targets off the exchange first.
        step = next((step for step in trade.steps if step.id == step_id), None)
        if step is not None:
            trade.close_step(step, trade.exit_price(self.tickers[trade.order.pair]), at)
