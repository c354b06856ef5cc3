"""One order of a SmartTrade at work: its entry, a target, the stop, added or reduced funds."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import StatusCode
from threecommas_async.sandbox.prices import at_distance, reaches, watched_price

if TYPE_CHECKING:
    from threecommas_async.sandbox.ledger import Purpose
    from threecommas_async.sandbox.market import Ticker
    from threecommas_async.sandbox.orders import Order

STARTABLE: Final = frozenset({StatusCode.TO_PROCESS, StatusCode.ORDER_PLACED, StatusCode.TRAILING_ACTIVATED})
"""States in which an entry can be forced and a target closed at market price (official documentation)."""

OVER: Final = frozenset({StatusCode.FINISHED, StatusCode.CANCELLED, StatusCode.FAILED, StatusCode.SMART_SELL})
"""States that an order does not leave."""

_WAITING: Final = frozenset({StatusCode.TO_PROCESS, StatusCode.ORDER_PLACED})


@dataclass(slots=True, kw_only=True, eq=False)
class Leg:
    """An order of a SmartTrade; the API calls it a trade.

    Args:
        id: Trade id.
        purpose: Its role.
        side: ``buy`` or ``sell``.
        order_type: ``market`` or ``limit``.
        watched: Market price that its trigger watches: ``bid``, ``ask`` or ``last``.
        price: Limit price, or the price that is planned, in quote.
        created_at: Instant of the order.
        since: Instant at which it came into its state.
        status: State.
        units: Size in base; None as long as it is not known.
        volume: Share of the position in percent, of targets and stops.
        is_past: It was executed before the present targets were ordered, and has no share in them.
        percent: Distance in percent that the price or the trigger was given as; None where it was a price.
        trigger: Price that fires, in quote; None without a trigger.
        rising: The trigger fires at or above its price, else at or below.
        trailing: Trailing distance in percent; None is off.
        extreme: Best price since trailing began, in quote.
        extreme_at: Instant of that price.
        timeout: Seconds that the trigger must be met for, on the exchange's clock; None is off.
        met_since: Instant since which the trigger has been met; None while it is not.
        closed_at: Instant of the execution.
        realised_amount: Executed size in base, net of a fee taken in base.
        realised_total: Executed total in quote, net of a fee taken in quote.
    """

    id: int
    purpose: Purpose
    side: str
    order_type: str
    watched: str
    price: Decimal
    created_at: float
    since: float
    status: StatusCode = StatusCode.IDLE
    units: Decimal | None = None
    volume: Decimal | None = None
    is_past: bool = False
    percent: Decimal | None = None
    trigger: Decimal | None = None
    rising: bool = False
    trailing: Decimal | None = None
    extreme: Decimal | None = None
    extreme_at: float | None = None
    timeout: float | None = None
    met_since: float | None = None
    closed_at: float | None = None
    realised_amount: Decimal = Decimal(0)
    realised_total: Decimal = Decimal(0)

    @property
    def is_open(self) -> bool:
        """It can still be executed, or is on the way out."""
        return self.status not in OVER

    @property
    def waits(self) -> bool:
        """It waits for a price: a trigger's, or that of a limit order on the exchange."""
        return self.status in _WAITING

    def turn(self, status: StatusCode, at: float) -> None:
        """Come into a state."""
        self.status = status
        self.since = at

    def activate(self, at: float) -> None:
        """Begin to work: lie on the exchange, or watch the market."""
        self.turn(StatusCode.ORDER_PLACED if self.trigger is None else StatusCode.TO_PROCESS, at)

    def finish(self, amount: Decimal, total: Decimal, at: float) -> None:
        """Record the execution."""
        self.realised_amount, self.realised_total = amount, total
        self.closed_at = at
        self.turn(StatusCode.FINISHED, at)

    def is_met(self, ticker: Ticker) -> bool:
        """Tell whether what it waits for is there: its limit once placed, its trigger before."""
        if self.status is StatusCode.ORDER_PLACED:
            return self.order_type == "limit" and reaches(self.side, self.price, ticker)
        if self.trigger is None:
            return False
        price = watched_price(self.watched, ticker)
        return price >= self.trigger if self.rising else price <= self.trigger

    def follow(self, ticker: Ticker, at: float) -> None:
        """Note the best price while it trails: the highest for one who sells, the lowest for a buyer."""
        price = watched_price(self.watched, ticker)
        better = min if self.side == "buy" else max
        best = price if self.extreme is None else better(self.extreme, price)
        if best != self.extreme:
            self.extreme, self.extreme_at = best, at

    def trail_level(self, tick: Decimal) -> Decimal:
        """Return the price, behind the best one by one price step at least, at which trailing sends it."""
        distance = self.trailing or Decimal(0)
        best = self.price if self.extreme is None else self.extreme
        if self.side == "buy":
            return max(best + tick, at_distance(best, distance, tick))
        return min(best - tick, at_distance(best, -distance, tick))

    def has_turned(self, ticker: Ticker, tick: Decimal) -> bool:
        """Tell whether the price came back from the best one by the trailing distance."""
        price, level = watched_price(self.watched, ticker), self.trail_level(tick)
        return price >= level if self.side == "buy" else price <= level


def target_price(order: Order, percent: Decimal, entry: Decimal, tick: Decimal) -> Decimal:
    """Return the price of a target at a distance on the winning side of the entry."""
    return at_distance(entry, percent if order.is_long else -percent, tick)


def stop_price(order: Order, percent: Decimal, entry: Decimal, tick: Decimal) -> Decimal:
    """Return the trigger of a stop at a distance, of either sign, on the losing side of the entry."""
    return at_distance(entry, -abs(percent) if order.is_long else abs(percent), tick)
