"""One SmartTrade inside the sandbox: its state, its money, and the steps it can take.

Money is exact: sums and products of what was ordered and of market prices, never rounded. Only averages
are cut to the price step of the pair.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import CLOSEABLE, UNFILLED, StatusCode
from threecommas_async.sandbox.orders import DIGITS

if TYPE_CHECKING:
    from threecommas_async.sandbox.market import PairRules, Ticker
    from threecommas_async.sandbox.orders import Order, Target

COMMISSION: Final = Decimal("0.001")
"""Fee of every order, as a fraction of what the order brings."""

STARTABLE: Final = frozenset({StatusCode.TO_PROCESS, StatusCode.ORDER_PLACED, StatusCode.TRAILING_ACTIVATED})
"""States in which an entry can be forced and a target closed at market price (official documentation)."""

CANCELLABLE: Final = CLOSEABLE | {StatusCode.WAITING_POSITION}
"""States in which ``cancel`` is accepted (official documentation of 2024-10)."""

_ZERO: Final = Decimal(0)
_HELD: Final = frozenset({StatusCode.FINISHED, StatusCode.SMART_SELL})
_WITHOUT_RESULT: Final = frozenset({StatusCode.CANCELLED, StatusCode.FAILED})


@dataclass(frozen=True, slots=True)
class Account:
    """An exchange account of the user.

    Args:
        id: Account id.
        type: Kind of account; ``paper_trading`` is a paper account.
        name: The name that the user gave to it.
        market: Name of the market for people.
    """

    id: int
    type: str
    name: str
    market: str


@dataclass(slots=True)
class Step:
    """A take-profit target at work.

    Args:
        id: Trade id.
        target: What was ordered.
        price: Target price, in quote.
        status: State of the target.
        units: Size in base; None while idle.
        closed_at: Instant of the close.
    """

    id: int
    target: Target
    price: Decimal
    status: StatusCode = StatusCode.IDLE
    units: Decimal | None = None
    closed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Reduction:
    """A reduction of the position that waits for its order.

    Args:
        id: Trade id.
        units: Size in base.
        price: Price in quote.
    """

    id: int
    units: Decimal
    price: Decimal


@dataclass(slots=True, kw_only=True, eq=False)
class Trade:
    """A SmartTrade. Instants are seconds on the clock of whoever calls.

    Args:
        id: SmartTrade id.
        order: What was ordered.
        account: Where.
        rules: Exchange rules of the pair.
        price: Planned entry price, in quote.
        stop_price: Trigger of the stop, in quote; None while there is no stop.
        steps: The targets; empty once the trade is being closed.
        created_at: Instant of the order.
        updated_at: Instant of the last order, or of the end; states that change by themselves leave it.
        due: Number of the transition that is scheduled; any other scheduled one is void.
    """

    id: int
    order: Order
    account: Account
    rules: PairRules
    price: Decimal
    stop_price: Decimal | None
    steps: list[Step]
    created_at: float
    updated_at: float
    closed_at: float | None = None
    status: StatusCode = StatusCode.CREATED
    entry_status: StatusCode = StatusCode.IDLE
    stop_status: StatusCode = StatusCode.IDLE
    error: str | None = None
    reductions: list[Reduction] = field(default_factory=list[Reduction])
    enter_price: Decimal | None = None
    entered_amount: Decimal = _ZERO
    entered_total: Decimal = _ZERO
    closed_amount: Decimal = _ZERO
    closed_total: Decimal = _ZERO
    closed_gross: Decimal = _ZERO
    due: int = 0

    @property
    def is_long(self) -> bool:
        """The position was bought."""
        return self.order.side == "buy"

    @property
    def exit_side(self) -> str:
        """Side of the orders that close the position."""
        return "sell" if self.is_long else "buy"

    @property
    def is_entered(self) -> bool:
        """The position is held, bought or brought by the user."""
        return self.entry_status in _HELD

    @property
    def is_forceable(self) -> bool:
        """The entry can be sent at once."""
        return self.status in UNFILLED and self.entry_status in STARTABLE

    @property
    def rest(self) -> Decimal:
        """What is still held, in base."""
        with localcontext(prec=DIGITS):
            return self.entered_amount - self.closed_amount

    @property
    def average_enter_price(self) -> Decimal | None:
        """Entry price with the fee, cut to the price step; None before the fill and for own funds."""
        if self.enter_price is None:
            return None
        return self._average(self.entered_total, self.entered_amount)

    @property
    def average_close_price(self) -> Decimal | None:
        """Exit price with the fee, cut to the price step; None before an exit."""
        return self._average(self.closed_total, self.closed_amount) if self.closed_amount else None

    @property
    def average_close_price_without_commission(self) -> Decimal | None:
        """Exit price without the fee, cut to the price step; None before an exit."""
        return self._average(self.closed_gross, self.closed_amount) if self.closed_amount else None

    def exit_price(self, ticker: Ticker) -> Decimal:
        """Return the market price that a close gets."""
        return ticker.bid if self.is_long else ticker.ask

    def profit(self, ticker: Ticker) -> Decimal | None:
        """Return the result in quote, what is still held valued at the market; None where there is none."""
        if not self.is_entered or self.order.instant or self.status in _WITHOUT_RESULT:
            return None
        with localcontext(prec=DIGITS):
            back = self.closed_total + self._net(self.rest * self.exit_price(ticker))
            return back - self.entered_total if self.is_long else self.entered_total - back

    def place(self) -> None:
        """Take the order up: send the entry, or accept the position that the user brought."""
        if self.order.skip_enter_step:
            with localcontext(prec=DIGITS):
                self.entered_amount = self.order.units
                self.entered_total = self.order.units * self.price
            self.entry_status = StatusCode.SMART_SELL
            self._activate()
            return
        self.status = StatusCode.WAITING_POSITION
        conditional = self.order.order_type == "conditional"
        self.entry_status = StatusCode.TO_PROCESS if conditional else StatusCode.ORDER_PLACED

    def force(self, at: float) -> None:
        """Send the entry at market price."""
        self.status = StatusCode.WAITING_POSITION
        self.entry_status = StatusCode.PANIC_SELL_PENDING
        self.updated_at = at

    def fill(self, price: Decimal, at: float) -> None:
        """Execute the entry: a fee in base for a long, in quote for a short."""
        units = self.order.units
        with localcontext(prec=DIGITS):
            gross = units * price
            self.entered_amount = units * (1 - COMMISSION) if self.is_long else units
            self.entered_total = gross if self.is_long else gross * (1 - COMMISSION)
        self.enter_price = price
        self.entry_status = StatusCode.FINISHED
        if self.order.instant:
            self.end(StatusCode.FINISHED, at)
        else:
            self._activate()

    def leave(self, status: StatusCode, at: float) -> None:
        """Accept an order to end the trade."""
        self.status = status
        self.updated_at = at

    def strip(self) -> None:
        """Take targets, reductions and the stop away."""
        self.steps.clear()
        self.reductions.clear()
        self.stop_price = None

    def sell(self, units: Decimal, price: Decimal) -> None:
        """Close a part of the position."""
        with localcontext(prec=DIGITS):
            gross = units * price
            self.closed_amount += units
            self.closed_gross += gross
            self.closed_total += self._net(gross)

    def close_step(self, step: Step, price: Decimal, at: float) -> None:
        """Execute a target; the last one takes along what lots left over, so that the amounts add up."""
        step.status = StatusCode.FINISHED
        step.closed_at = at
        last = all(other.status is StatusCode.FINISHED for other in self.steps)
        self.sell(self.rest if last or step.units is None else step.units, price)
        if last and self.status in CLOSEABLE:
            self.end(StatusCode.FINISHED, at)

    def end(self, status: StatusCode, at: float, error: str | None = None) -> None:
        """Reach a terminal state."""
        self.strip()
        self.status = status
        self.closed_at = self.updated_at = at
        self.error = error
        if status is StatusCode.FAILED:
            self.entry_status = StatusCode.FAILED
        elif status is StatusCode.CANCELLED and not self.is_entered:
            self.entry_status = StatusCode.CANCELLED

    def _activate(self) -> None:
        self.status = StatusCode.WAITING_TARGETS
        self.stop_status = StatusCode.TO_PROCESS
        for step in self.steps:
            market = step.target.order_type == "market"
            step.status = StatusCode.TO_PROCESS if market else StatusCode.ORDER_PLACED
            with localcontext(prec=DIGITS):
                share = self.entered_amount * step.target.volume / 100
                step.units = share // self.rules.lot * self.rules.lot

    def _net(self, gross: Decimal) -> Decimal:
        return gross * (1 - COMMISSION if self.is_long else 1 + COMMISSION)

    def _average(self, total: Decimal, amount: Decimal) -> Decimal:
        with localcontext(prec=DIGITS):
            return (total / amount).quantize(self.rules.tick, rounding=ROUND_DOWN)
