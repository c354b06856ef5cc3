"""The exchange: its accounts, and the calls of the API on SmartTrades and market data.

It has no clock and does no I/O: every operation is told the instant at which it happens, in seconds on
any clock that only grows.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import CLOSEABLE, StatusCode
from threecommas_async.sandbox import market_answers
from threecommas_async.sandbox.accounts import (
    FUTURES_ACCOUNT,
    PAPER_ACCOUNT,
    REAL_ACCOUNT,
    WALLET_ACCOUNT,
)
from threecommas_async.sandbox.context import in_own_context
from threecommas_async.sandbox.create import check_rules, read_order
from threecommas_async.sandbox.engine import Engine
from threecommas_async.sandbox.funds import check_funds, check_reduction, max_reduction, read_funds
from threecommas_async.sandbox.ledger import LedgerEntry
from threecommas_async.sandbox.leg_maker import LegMaker
from threecommas_async.sandbox.lifecycle import Delays
from threecommas_async.sandbox.listing import read_listing, select
from threecommas_async.sandbox.market import RULES, TICKERS, Market
from threecommas_async.sandbox.matching import force_next
from threecommas_async.sandbox.parameters import Fields
from threecommas_async.sandbox.position import Position
from threecommas_async.sandbox.prices import entry_price, market_price
from threecommas_async.sandbox.refusals import foreign_account, invalid, not_found, wrong_state
from threecommas_async.sandbox.seeding import EVERY_STATUS, SEED_SPACING, furnish, random_order
from threecommas_async.sandbox.shapes import smart_trade
from threecommas_async.sandbox.spelling import decimal_text
from threecommas_async.sandbox.terms import read_note
from threecommas_async.sandbox.trade_shapes import is_cancelable, is_closeable, trade_entity
from threecommas_async.sandbox.trades import CANCELLABLE, EDITABLE, Trade
from threecommas_async.sandbox.update import apply_update, read_update

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from threecommas_async.models.order_groups import Number
    from threecommas_async.sandbox.accounts import Account
    from threecommas_async.sandbox.ledger import Action, Fill
    from threecommas_async.sandbox.legs import Leg
    from threecommas_async.sandbox.market import PairRules, Ticker, Walk
    from threecommas_async.sandbox.orders import Order
    from threecommas_async.sandbox.spelling import Json

# SmartTrade ids that do not fit 31 bits.
_FIRST_ID: Final = 2_376_446_538


class Exchange:
    """The user's accounts and SmartTrades.

    Answers are in the documented shape, ready to be encoded. Operations raise `Refusal`. A test gets it from
    ``Sandbox.exchange``, and looks at the attributes below.

    Args:
        epoch: Wall-clock time of instant 0, aware; used where instants are rendered.
        accounts: The user's own accounts; seeded trades are on the first.
        tickers: Prices at the start, by pair.
        walk: How prices move by themselves; None lets them stand still until `set_price`.
        delays: How long things take, in simulated seconds.
        time_scale: Simulated seconds in a second of the caller's clock. Delays, timeouts of stops and the
            steps of the walk are divided by it.
        seed: Seed of the random sizes and prices.

    Attributes:
        epoch: Wall-clock time of instant 0, aware.
        accounts: The user's own accounts, by id.
        tickers: The prices now, by pair: ``last``, ``bid`` and ``ask``.
        rules: What is accepted for a pair, by pair; `set_rules` changes it.
        trades: Every SmartTrade that there ever was, by id: its ``status``, ``order``, ``account``,
            ``position``, and its single orders, ``legs``.
        fills: The executed orders, oldest first.
        ledger: The accepted orders, oldest first.
    """

    def __init__(
        self,
        *,
        epoch: datetime = datetime(2025, 1, 1, tzinfo=UTC),
        accounts: Sequence[Account] = (
            PAPER_ACCOUNT,
            REAL_ACCOUNT,
            FUTURES_ACCOUNT,
            WALLET_ACCOUNT,
        ),
        tickers: Mapping[str, Ticker] = TICKERS,
        walk: Walk | None = None,
        delays: Delays | None = None,
        time_scale: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.epoch: datetime = epoch - timedelta(microseconds=epoch.microsecond % 1000)
        self.accounts: dict[int, Account] = {account.id: account for account in accounts}
        step = 0.0 if walk is None else walk.step / time_scale
        market = Market(tickers, walk=walk, step=step, seed=seed)
        self._engine = Engine(market, (delays or Delays()).divided(time_scale))
        self._maker = LegMaker(time_scale)
        self.tickers: Mapping[str, Ticker] = market.tickers
        self.rules: dict[str, PairRules] = {pair: rules for pair, rules in RULES.items() if pair in tickers}
        self.trades: dict[int, Trade] = self._engine.trades
        self.fills: list[Fill] = self._engine.fills
        self.ledger: list[LedgerEntry] = []
        self._random = random.Random(seed)
        self._last_id = _FIRST_ID

    @in_own_context
    def seed(
        self,
        count: int,
        statuses: Sequence[str] = ("waiting_targets",),
        *,
        now: float = 0.0,
        account_id: int | None = None,
    ) -> list[int]:
        """Add trades as if they had been created before now, and return their ids, oldest first.

        Those that are on their way somewhere go on by themselves; all others wait for an order or for the
        market.

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
            furnish(trade, status, self.tickers[order.pair], self._maker)
            trade.since = now
            self._engine.arm(trade)
            ids.append(trade.id)
        return ids

    @in_own_context
    def advance(self, now: float) -> None:
        """Carry out everything that is due, each at its own instant."""
        self._engine.advance(now)

    @in_own_context
    def set_price(
        self, now: float, pair: str, *, last: Number, bid: Number | None = None, ask: Number | None = None
    ) -> None:
        """Set the prices of a pair, and let its trades meet them.

        Args:
            now: The instant.
            pair: QUOTE_BASE.
            last: Last price, in quote.
            bid: Best bid; None takes the last price.
            ask: Best ask; None takes one price step above the higher of the two others.

        Raises:
            ValueError: There is no such pair, or the prices are not positive, or the bid is above the ask.
        """
        self._engine.set_price(now, pair, last=last, bid=bid, ask=ask)

    def set_rules(self, pair: str, limits: Mapping[str, Number | None]) -> None:
        """Change what is accepted for a pair, from now on; see ``Sandbox.set_rules``.

        Raises:
            ValueError: There is no such pair or limit, or it cannot be one.
        """
        if pair not in self.rules:
            raise ValueError(f"pair must be one of {', '.join(self.rules)}, not {pair!r}")
        self.rules[pair] = rules = self.rules[pair].changed(limits)
        for trade in self.trades.values():
            if trade.order.pair == pair:
                trade.rules = rules

    def markets(self) -> list[Json]:
        """Return the list of markets."""
        return market_answers.markets()

    def pairs(self, parameters: Mapping[str, object]) -> list[str]:
        """Return the pairs of a market."""
        market_answers.read_market(Fields(parameters), self.accounts.values())
        return list(self.rules)

    def rates(self, now: float, parameters: Mapping[str, object], *, leverage: bool) -> Json:
        """Return the prices and the limits of a pair, and the kinds of leverage where asked for."""
        self.advance(now)
        accounts = self.accounts.values()
        code, pair = market_answers.read_pair(parameters, accounts, self.rules)
        is_contract = any(
            account.has_leverage and market_answers.market_code_of(account) == code for account in accounts
        )
        return market_answers.rates(
            pair, self.tickers[pair], self.rules[pair], is_contract=is_contract, leverage=leverage
        )

    def page(self, now: float, parameters: Mapping[str, object]) -> list[Json]:
        """Return one page of trades."""
        self.advance(now)
        chosen = select(self.trades.values(), read_listing(parameters), self.tickers, self.epoch)
        return [self._render(trade) for trade in chosen]

    def get(self, now: float, id: int) -> Json:
        """Return a trade."""
        return self._render(self._find(now, id, unknown=400))

    def create(self, now: float, parameters: Mapping[str, object]) -> Json:
        """Accept a new trade."""
        self.advance(now)
        order = read_order(parameters, self.accounts)
        if order.account_id not in self.accounts:
            raise foreign_account()
        if not self.accounts[order.account_id].smart_trading:
            raise invalid(422, {"account_id": ["is invalid"]})
        if order.pair not in self.rules:
            raise invalid(422, {"pair": ["is invalid"]})
        check_rules(order, entry_price(order, self.tickers[order.pair]), self.rules[order.pair])
        trade = self._add(order, now)
        trade.since = now
        return self._accept(now, "create", trade, side=order.side, units=order.units)

    def update(self, now: float, id: int, parameters: Mapping[str, object]) -> Json:
        """Accept changes of a trade; what is not sent stays."""
        trade = self._find(now, id, unknown=400)
        if trade.status not in EDITABLE:
            raise wrong_state("Edit")
        apply_update(trade, read_update(parameters, trade), self._engine.ticker(trade), self._maker, now)
        return self._accept(now, "update", trade, side=trade.order.side, units=Decimal(0))

    def cancel(self, now: float, id: int) -> Json:
        """Accept the order to end a trade and keep what it holds."""
        trade = self._find(now, id, unknown=400)
        if trade.status not in CANCELLABLE:
            raise wrong_state("Cancel")
        units = trade.position.rest if trade.is_entered else trade.order.units
        trade.leave(StatusCode.CANCELLATION_PENDING, now)
        return self._accept(now, "cancel", trade, side=trade.order.side, units=units)

    def add_funds(self, now: float, id: int, parameters: Mapping[str, object]) -> Json:
        """Accept an order that adds to the position."""
        funds = read_funds(parameters)
        trade = self._find(now, id, unknown=404)
        if not trade.can_take_funds:
            raise wrong_state("Add funds")
        price = market_price(trade.order.side, self._engine.ticker(trade))
        check_funds(funds, price, trade.rules)
        leg = self._maker.funds(trade.order, funds, "position", price, now)
        trade.order_addition(leg, now)
        return self._accept(now, "add_funds", trade, leg, side=leg.side, units=funds.units)

    def reduce_funds_info(self, now: float, id: int) -> Json:
        """Return how much of the position can be given up."""
        trade = self._find(now, id, unknown=404)
        return {"max_reduce_funds_amount": decimal_text(self._max_reduction(trade))}

    def reduce_funds(self, now: float, id: int, parameters: Mapping[str, object]) -> Json:
        """Accept an order that gives up a part of the position."""
        funds = read_funds(parameters)
        trade = self._find(now, id, unknown=404)
        most = self._max_reduction(trade)
        price = trade.exit_price(self._engine.ticker(trade))
        check_reduction(funds, price, trade.rules, most=most, rest=trade.position.rest)
        leg = self._maker.funds(trade.order, funds, "reduce_funds", price, now)
        trade.order_reduction(leg, now)
        return self._accept(now, "reduce_funds", trade, leg, side=leg.side, units=funds.units)

    def close_by_market(self, now: float, id: int) -> Json:
        """Accept the order to close a trade at market price."""
        trade = self._find(now, id, unknown=404)
        if trade.status not in CLOSEABLE:
            raise wrong_state("Close by market")
        trade.leave(StatusCode.PANIC_SELL_PENDING, now)
        side, units = trade.order.exit_side, trade.position.rest
        return self._accept(now, "close_by_market", trade, side=side, units=units)

    def set_note(self, now: float, id: int, parameters: Mapping[str, object]) -> Json:
        """Accept a note, in the place of the present one."""
        fields = Fields(parameters)
        note = read_note(fields, required=True)
        fields.check()
        trade = self._find(now, id, unknown=404)
        trade.order = replace(trade.order, note=note)
        trade.updated_at = now
        return self._accept(now, "set_note", trade, side=trade.order.side, units=Decimal(0))

    def force_start(self, now: float, id: int) -> Json:
        """Accept the order to send an entry at market price."""
        trade = self._find(now, id, unknown=404)
        if not trade.is_forceable:
            raise wrong_state("Force start")
        trade.force(now)
        return self._accept(now, "force_start", trade, side=trade.order.side, units=trade.order.units)

    def force_process(self, now: float, id: int) -> Json:
        """Carry out, at once and at market price, the order that a trade waits for next.

        That this is what the call does is an assumption. See `force_next` for which order is next.
        """
        trade = self._find(now, id, unknown=404)
        before = len(self.fills)
        try:
            leg = force_next(trade, self._engine.ticker(trade), now)
        except LookupError:
            raise wrong_state("Force process") from None
        trade.updated_at = now
        done = self.fills[before:]
        side = done[0].side if done else trade.order.side
        units = done[0].units if done else Decimal(0)
        return self._accept(now, "force_process", trade, leg, side=side, units=units)

    def list_trades(self, now: float, id: int) -> list[Json]:
        """Return every order of a trade, oldest first: entry, targets, stop, added and reduced funds."""
        trade = self._find(now, id, unknown=404)
        return [trade_entity(trade, leg, self.epoch) for leg in trade.legs]

    def close_trade(self, now: float, id: int, trade_id: int) -> Json:
        """Accept the order to close one target at market price."""
        trade = self._find(now, id, unknown=404)
        step = self._find_leg(trade, trade_id)
        if not is_closeable(trade, step):
            raise wrong_state("Close by market")
        step.turn(StatusCode.PANIC_SELL_PENDING, now)
        trade.updated_at = now
        units = step.units or Decimal(0)
        return self._accept(now, "close_trade_by_market", trade, step, side=step.side, units=units)

    def cancel_trade(self, now: float, id: int, trade_id: int) -> Json:
        """Accept the order to take one target, the stop, added or reduced funds away.

        Without its last target, or without its stop, the whole trade is cancelled. The answer shows a
        target as it was.
        """
        trade = self._find(now, id, unknown=404)
        leg = self._find_leg(trade, trade_id)
        if not is_cancelable(trade, leg):
            raise wrong_state("Cancel")
        units = leg.units or Decimal(0)
        if leg is trade.stop or trade.open_steps == [leg]:
            trade.leave(StatusCode.CANCELLATION_PENDING, now)
            return self._accept(now, "cancel_trade", trade, leg, side=leg.side, units=units)
        trade.updated_at = now
        answer = self._render(trade)
        trade.dismiss(leg, now)
        self._accept(now, "cancel_trade", trade, leg, side=leg.side, units=units)
        return answer

    def _find(self, now: float, id: int, *, unknown: int) -> Trade:
        self.advance(now)
        try:
            return self.trades[id]
        except KeyError:
            raise not_found(unknown) from None

    @staticmethod
    def _find_leg(trade: Trade, trade_id: int) -> Leg:
        leg = next((leg for leg in trade.legs if leg.id == trade_id), None)
        if leg is None:
            raise not_found(404, "Trade")
        return leg

    def _max_reduction(self, trade: Trade) -> Decimal:
        if trade.status is not StatusCode.WAITING_TARGETS:
            raise wrong_state("Reduce funds")
        return max_reduction(trade, trade.exit_price(self._engine.ticker(trade)))

    def _render(self, trade: Trade) -> Json:
        quote = trade.order.pair.partition("_")[0]
        rate = self.tickers[f"USDT_{quote}"].last if f"USDT_{quote}" in self.tickers else Decimal(1)
        return smart_trade(trade, self._engine.ticker(trade), usd_rate=rate, epoch=self.epoch)

    def _add(self, order: Order, at: float) -> Trade:
        # Whole milliseconds, as rendered: whoever sorts by what is shown sorts as the list does.
        at = round(at, 3)
        rules = self.rules[order.pair]
        price = entry_price(order, self.tickers[order.pair])
        self._last_id += self._random.randint(1, 40)
        entry = self._maker.entry(order, price, at)
        steps = self._maker.targets(order, price, rules.tick, at)
        stop = self._maker.stop(order, price, rules.tick, at)
        trade = Trade(
            id=self._last_id,
            order=order,
            account=self.accounts[order.account_id],
            rules=rules,
            fills=self.fills,
            position=Position(is_long=order.is_long, tick=rules.tick),
            price=price,
            entry=entry,
            legs=[entry, *steps, *([] if stop is None else [stop])],
            created_at=at,
            updated_at=at,
            since=at,
            steps=steps,
            stop=stop,
        )
        self._engine.add(trade)
        return trade

    def _accept(
        self, at: float, action: Action, trade: Trade, leg: Leg | None = None, *, side: str, units: Decimal
    ) -> Json:
        self.ledger.append(
            LedgerEntry(
                at=at,
                action=action,
                smart_trade_id=trade.id,
                trade_id=None if leg is None else leg.id,
                account_id=trade.account.id,
                pair=trade.order.pair,
                side=side,
                units=units,
            )
        )
        self._engine.touch(trade, at)
        return self._render(trade)
