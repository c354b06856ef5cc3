"""One SmartTrade inside the sandbox: its state, its orders and its position."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import CLOSEABLE, TERMINAL, UNFILLED, StatusCode
from threecommas_async.sandbox.ledger import Fill
from threecommas_async.sandbox.legs import STARTABLE, Leg, stop_price, target_price
from threecommas_async.sandbox.orders import DIGITS
from threecommas_async.sandbox.prices import entry_price, market_price, watched_price
from threecommas_async.sandbox.targets import closed_by, sizes

if TYPE_CHECKING:
    from threecommas_async.sandbox.accounts import Account
    from threecommas_async.sandbox.ledger import Purpose
    from threecommas_async.sandbox.market import PairRules, Ticker
    from threecommas_async.sandbox.orders import Order
    from threecommas_async.sandbox.position import Execution, Position

ACTIVE: Final = CLOSEABLE - {StatusCode.STOP_LOSS_IN_PROGRESS}
"""States in which targets and the stop work: also while funds are being reduced (an assumption)."""

CANCELLABLE: Final = CLOSEABLE | {StatusCode.WAITING_POSITION}
"""States in which ``cancel`` is accepted (official documentation of 2024-10)."""

EDITABLE: Final = frozenset({StatusCode.WAITING_POSITION, StatusCode.WAITING_TARGETS})
"""States in which ``update`` and ``add_funds`` are accepted (official documentation)."""

_ZERO: Final = Decimal(0)
_HELD: Final = frozenset({StatusCode.FINISHED, StatusCode.SMART_SELL})
_WITHOUT_RESULT: Final = frozenset({StatusCode.CANCELLED, StatusCode.FAILED})
_IN_OR_OUT: Final = frozenset({StatusCode.FINISHED, StatusCode.PENDING_CANCELLATION})


@dataclass(slots=True, kw_only=True, eq=False)
class Trade:
    """A SmartTrade. Instants are seconds on the clock of whoever calls.

    Args:
        id: SmartTrade id.
        order: What was ordered, later changes included.
        account: Where.
        rules: Exchange rules of the pair.
        fills: Journal of the exchange, which executions are added to.
        position: What is held.
        price: Planned entry price, in quote; of own funds the price they are valued at.
        entry: The entry.
        legs: Every order that there ever was, oldest first.
        created_at: Instant of the order.
        covers_all: The targets close all that is held; a cancelled one leaves its share open.
        is_armed: A target came to its price: the stop goes to the entry price where it was told to.
        updated_at: Instant of the last order, or of the end; states that change by themselves leave it.
        since: Instant at which the trade came into its state, or at which its entry was forced.
        steps: The targets as the SmartTrade lists them; empty once the trade is being closed.
        stop: The stop; None while there is none.
        additions: Orders for added funds.
        reductions: Orders for reduced funds.
        closed_at: Instant of the end.
        status: State.
        error: Why it failed.
        due: Instant at which the trade goes on by itself; None while it waits.
    """

    id: int
    order: Order
    account: Account
    rules: PairRules
    fills: list[Fill]
    position: Position
    price: Decimal
    entry: Leg
    legs: list[Leg]
    created_at: float
    updated_at: float
    since: float
    steps: list[Leg]
    stop: Leg | None
    additions: list[Leg] = field(default_factory=list[Leg])
    reductions: list[Leg] = field(default_factory=list[Leg])
    covers_all: bool = True
    is_armed: bool = False
    closed_at: float | None = None
    status: StatusCode = StatusCode.CREATED
    error: str | None = None
    due: float | None = None

    @property
    def is_entered(self) -> bool:
        """The position is held, bought or brought by the user."""
        return self.entry.status in _HELD

    @property
    def is_forceable(self) -> bool:
        """The entry can be sent at once."""
        return self.status in UNFILLED and self.entry.status in STARTABLE

    @property
    def can_take_funds(self) -> bool:
        """Funds can be added: trailing is not on, and it is no simple buy or sell."""
        trails = any(leg.trailing is not None and leg.is_open for leg in self.legs)
        return self.status in EDITABLE and not self.order.instant and not trails

    @property
    def open_steps(self) -> list[Leg]:
        """The targets that are neither executed nor on the way out."""
        return [step for step in self.steps if step.status not in _IN_OR_OUT]

    @property
    def finished_steps(self) -> list[Leg]:
        """The targets that were executed, oldest first, whether or not they are still listed."""
        return [
            leg for leg in self.legs if leg.purpose == "take_profit" and leg.status is StatusCode.FINISHED
        ]

    @property
    def closed_before(self) -> Decimal:
        """What targets of earlier plans closed, in base."""
        return closed_by(leg for leg in self.finished_steps if leg.is_past)

    def amount_of(self, step: Leg) -> Decimal:
        """Return what a target closes now, in base.

        That is its own size. The last of the targets takes along everything that is left, so that the
        amounts add up: unless one was cancelled, whose share stays open.
        """
        lot, rest = self.rules.lot, self.position.rest
        units = sizes(self.steps, self.position, self.closed_before, lot).get(step.id, _ZERO)
        is_last = all(other is step for other in self.open_steps) or rest - units < lot
        return rest if self.covers_all and is_last else units

    def exit_price(self, ticker: Ticker) -> Decimal:
        """Return the market price that a close gets."""
        return market_price(self.order.exit_side, ticker)

    def profit(self, ticker: Ticker) -> Decimal | None:
        """Return the result in quote, what is still held valued at the market; None where there is none."""
        if not self.is_entered or self.order.instant or self.status in _WITHOUT_RESULT:
            return None
        return self.position.result(self.exit_price(ticker))

    def turn(self, status: StatusCode, at: float) -> None:
        """Come into a state."""
        self.status = status
        self.since = at

    def place(self, ticker: Ticker, at: float) -> None:
        """Take the order up: send the entry, or accept the position that the user brought."""
        if self.order.skip_enter_step:
            self.position.bring(self.order.units, self.price)
            self.entry.finish(self.order.units, self.position.entered_total, at)
            self.entry.turn(StatusCode.SMART_SELL, at)
            self._begin(at)
        else:
            self.turn(StatusCode.WAITING_POSITION, at)
            self.watch_entry(ticker, at)

    def watch_entry(self, ticker: Ticker, at: float) -> None:
        """Send the entry, or let its trigger wait for the price on the other side of the present one."""
        entry = self.entry
        entry.extreme = None
        if entry.trigger is not None:
            entry.rising = entry.trigger >= watched_price(entry.watched, ticker)
        entry.activate(at)

    def revise_entry(self, ticker: Ticker, at: float) -> None:
        """Take over the entry of a changed order: send it anew, or value own funds anew."""
        order, entry = self.order, self.entry
        price = entry_price(order, ticker)
        if entry.status is StatusCode.SMART_SELL:
            self.position.revalue(order.units, self.price, price)
        else:
            trigger = order.conditional
            if trigger is not None:
                entry.order_type, entry.watched = trigger.order_type, trigger.watched
                entry.trigger, entry.trailing = trigger.price, trigger.trailing
            self.watch_entry(ticker, at)
        self.price = entry.price = price

    def force(self, at: float) -> None:
        """Send the entry at market price."""
        self.turn(StatusCode.WAITING_POSITION, at)
        self.entry.turn(StatusCode.PANIC_SELL_PENDING, at)
        self.updated_at = at

    def fill(self, price: Decimal, at: float) -> None:
        """Execute the entry."""
        self._enter(self.entry, self.order.units, price, at)
        if self.order.instant:
            self.end(StatusCode.FINISHED, at)
        else:
            self._begin(at)

    def add(self, leg: Leg, price: Decimal, at: float) -> None:
        """Execute an order for added funds."""
        self._enter(leg, leg.units or _ZERO, price, at)
        self.settle()

    def order_addition(self, leg: Leg, at: float) -> None:
        """Accept an order for added funds, which is sent at once or after the entry."""
        self.additions.append(leg)
        self.legs.append(leg)
        self.updated_at = at
        if self.status is StatusCode.WAITING_TARGETS:
            leg.activate(at)

    def order_reduction(self, leg: Leg, at: float) -> None:
        """Accept an order for reduced funds."""
        self.reductions.append(leg)
        self.legs.append(leg)
        self.leave(StatusCode.PENDING_REDUCE_FUNDS, at)

    def send_reduction(self, at: float) -> None:
        """Send the reduction that was accepted."""
        self.turn(StatusCode.REDUCE_FUNDS_IN_PROGRESS, at)
        for leg in self.reductions:
            if leg.status is StatusCode.IDLE:
                leg.activate(at)

    def reduce(self, leg: Leg, price: Decimal, at: float) -> None:
        """Execute an order for reduced funds, as far as targets have left something to give up."""
        amount = self._exit(leg, "reduce_funds", leg.units or _ZERO, price, at)
        with localcontext(prec=DIGITS):
            self.position.reduced_amount += amount
        if self.position.rest:
            self.turn(StatusCode.WAITING_TARGETS, at)
            self.settle()
        else:
            self.end(StatusCode.FINISHED, at)

    def close_step(self, step: Leg, price: Decimal, at: float, *, by_price: bool = False) -> None:
        """Execute a target; one that has nothing to close goes on waiting.

        Args:
            step: The target.
            price: Price that it gets.
            at: The instant.
            by_price: It came to its price; else it was ordered to be closed.
        """
        amount = self.amount_of(step)
        if not amount:
            step.activate(at)
            return
        self._exit(step, "take_profit", amount, price, at)
        if self.position.rest:
            self.is_armed = self.is_armed or by_price
            self.settle()
        else:
            self.end(StatusCode.FINISHED, at)

    def fire_stop(self, at: float) -> None:
        """Send the stop; targets, reductions and added funds are taken off the exchange before it."""
        self.turn(StatusCode.STOP_LOSS_IN_PROGRESS, at)
        for step in self.open_steps:
            step.turn(StatusCode.IDLE, at)
            step.units = None
        self._cancel_legs(at, *self.additions, *self.reductions)
        self.reductions = [leg for leg in self.reductions if leg.status is StatusCode.FINISHED]

    def stop_out(self, price: Decimal, at: float) -> None:
        """Execute the stop."""
        self._exit(self.stop, "stop_loss", self.position.rest, price, at)
        self.end(StatusCode.STOP_LOSS_FINISHED, at)

    def sell_all(self, price: Decimal, at: float) -> None:
        """Close what is held at market price."""
        self._exit(None, "market_close", self.position.rest, price, at)
        self.end(StatusCode.PANIC_SOLD, at)

    def leave(self, status: StatusCode, at: float) -> None:
        """Accept an order that takes the trade into another state."""
        self.turn(status, at)
        self.updated_at = at

    def strip(self, at: float) -> None:
        """Take targets, reductions and the stop away."""
        self._cancel_legs(at, *self.legs)
        self.steps.clear()
        self.reductions.clear()
        self.stop = None

    def dismiss(self, leg: Leg, at: float) -> None:
        """Accept the order to take one order away."""
        self.covers_all = self.covers_all and leg not in self.steps
        leg.turn(StatusCode.PENDING_CANCELLATION, at)

    def remove(self, leg: Leg, at: float) -> None:
        """Take one order away."""
        self._cancel_legs(at, leg)
        self.steps = [step for step in self.steps if step is not leg]
        self.reductions = [reduction for reduction in self.reductions if reduction is not leg]
        if leg.purpose == "reduce_funds":
            self.turn(StatusCode.WAITING_TARGETS, at)
        self.settle()

    def end(self, status: StatusCode, at: float, error: str | None = None) -> None:
        """Reach a terminal state, which is not left again."""
        if self.status in TERMINAL:
            raise AssertionError(f"a trade in {self.status} cannot become {status}")
        if status is StatusCode.FAILED:
            self.entry.turn(StatusCode.FAILED, at)
        self.strip(at)
        self.turn(status, at)
        self.closed_at = self.updated_at = at
        self.error = error

    def replace_steps(self, steps: list[Leg], at: float) -> None:
        """Put other targets in the place of the present ones; finished ones stay, unless all are off."""
        self._cancel_legs(at, *self.steps)
        self.steps = [*self.finished_steps, *steps] if steps else []
        self.legs += steps
        self.covers_all = True

    def replace_stop(self, stop: Leg | None, at: float) -> None:
        """Put another stop, or none, in the place of the present one."""
        if self.stop is not None:
            self._cancel_legs(at, self.stop)
        self.stop = stop
        if stop is not None:
            self.legs.append(stop)

    def move_stop(self, level: Decimal) -> None:
        """Move the trigger of the stop to a price, if that is on the better side of it."""
        stop = self.stop
        if stop is not None and stop.trigger is not None:
            moved = max(stop.trigger, level) if self.order.is_long else min(stop.trigger, level)
            if moved != stop.trigger:
                # From now on it is a price, no distance from the entry.
                stop.trigger, stop.percent = moved, None

    def protect(self, ticker: Ticker) -> None:
        """Move an armed stop to the entry price, once the market is on the winning side of it."""
        stop, leg = self.order.stop, self.stop
        if not self.is_armed or stop is None or leg is None or not stop.breakeven:
            return
        level = self.position.average_enter_price or self.price
        price = watched_price(leg.watched, ticker)
        if price > level if self.order.is_long else price < level:
            self.move_stop(level)
            self.is_armed = False

    def settle(self) -> None:
        """Size the targets by what is held, and price those that were given as distances."""
        found = sizes(self.steps, self.position, self.closed_before, self.rules.lot)
        for step in self.steps:
            if step.id in found and step.status is not StatusCode.IDLE:
                step.units = found[step.id]
        entry = self.position.average_enter_price
        if entry is not None:
            self._price_distances(entry)

    def activate(self, at: float) -> None:
        """Let every order begin to work that has not yet."""
        for leg in (*self.steps, *self.additions, *([] if self.stop is None else [self.stop])):
            if leg.status is StatusCode.IDLE:
                leg.activate(at)
        self.settle()

    def _begin(self, at: float) -> None:
        self.turn(StatusCode.WAITING_TARGETS, at)
        self.activate(at)

    def _enter(self, leg: Leg, units: Decimal, price: Decimal, at: float) -> None:
        done = self.position.enter(units, price)
        leg.finish(done.amount, done.total, at)
        self._note(leg, "position", done, price, at)

    def _exit(self, leg: Leg | None, purpose: Purpose, units: Decimal, price: Decimal, at: float) -> Decimal:
        done = self.position.leave(units, price)
        if leg is not None:
            leg.finish(done.amount, done.total, at)
        if done.units:
            self._note(leg, purpose, done, price, at)
        return done.amount

    def _note(self, leg: Leg | None, purpose: Purpose, done: Execution, price: Decimal, at: float) -> None:
        quote, _, base = self.order.pair.partition("_")
        enters = purpose == "position"
        self.fills.append(
            Fill(
                at=at,
                smart_trade_id=self.id,
                trade_id=None if leg is None else leg.id,
                purpose=purpose,
                side=self.order.side if enters else self.order.exit_side,
                units=done.units,
                price=price,
                fee=done.fee,
                fee_currency=base if enters and self.order.is_long else quote,
            )
        )

    def _price_distances(self, entry: Decimal) -> None:
        for step in self.steps:
            if step.is_open and step.percent is not None:
                step.price = target_price(self.order, step.percent, entry, self.rules.tick)
                step.trigger = None if step.trigger is None else step.price
        stop = self.stop
        if stop is not None and stop.percent is not None:
            stop.trigger = stop_price(self.order, stop.percent, entry, self.rules.tick)

    @staticmethod
    def _cancel_legs(at: float, *legs: Leg) -> None:
        for leg in legs:
            if leg.is_open:
                leg.turn(StatusCode.CANCELLED, at)
