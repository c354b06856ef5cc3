"""What a SmartTrade holds, and what that cost: exact sums of executed orders.

Nothing is rounded. Only averages are cut to the price step of the pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Final

from threecommas_async.sandbox.orders import DIGITS

COMMISSION: Final = Decimal("0.001")
"""Fee of every order, as a fraction of what the order brings."""

_ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Execution:
    """What one executed order did to a position.

    Args:
        units: Size in base, the fee included.
        amount: Change of what is held, in base.
        total: Paid or received in quote, net of a fee taken in quote.
        fee: Fee, in base for what a long buys, else in quote.
    """

    units: Decimal
    amount: Decimal
    total: Decimal
    fee: Decimal


@dataclass(slots=True, kw_only=True, eq=False)
class Position:
    """The position of one SmartTrade. A long pays the entry fee in base, a short out of what it gets.

    Args:
        is_long: It is bought; a short is sold first.
        tick: Price step.
        is_own: The user brought it: there is no entry price.
        entered_units: Ordered and executed, in base.
        entered_gross: The same in quote.
        entered_amount: Entered in base, net of fees.
        entered_total: Entered in quote, net of fees.
        reduced_amount: Given up by reductions, in base.
        closed_amount: Closed in base, reductions included.
        closed_gross: The same in quote.
        closed_total: The same in quote, net of fees.
    """

    is_long: bool
    tick: Decimal
    is_own: bool = False
    entered_units: Decimal = _ZERO
    entered_gross: Decimal = _ZERO
    entered_amount: Decimal = _ZERO
    entered_total: Decimal = _ZERO
    reduced_amount: Decimal = _ZERO
    closed_amount: Decimal = _ZERO
    closed_gross: Decimal = _ZERO
    closed_total: Decimal = _ZERO

    @property
    def rest(self) -> Decimal:
        """What is still held, in base."""
        with localcontext(prec=DIGITS):
            return self.entered_amount - self.closed_amount

    @property
    def enter_price(self) -> Decimal | None:
        """Average entry price without fees; None before the fill and for own funds."""
        return None if self.is_own else self._average(self.entered_gross, self.entered_units)

    @property
    def average_enter_price(self) -> Decimal | None:
        """Average entry price with fees; None before the fill and for own funds."""
        return None if self.is_own else self._average(self.entered_total, self.entered_amount)

    @property
    def average_close_price(self) -> Decimal | None:
        """Average exit price with fees; None before an exit."""
        return self._average(self.closed_total, self.closed_amount)

    @property
    def average_close_price_without_commission(self) -> Decimal | None:
        """Average exit price without fees; None before an exit."""
        return self._average(self.closed_gross, self.closed_amount)

    def result(self, price: Decimal) -> Decimal:
        """Return the profit in quote, what is still held valued at a market price."""
        with localcontext(prec=DIGITS):
            gross = self.rest * price
            back = self.closed_total + gross - self._sign * gross * COMMISSION
            return self._sign * (back - self.entered_total)

    def bring(self, units: Decimal, price: Decimal) -> None:
        """Take in what the user holds already, valued at a price."""
        with localcontext(prec=DIGITS):
            self.entered_amount += units
            self.entered_total += units * price
        self.is_own = True

    def revalue(self, units: Decimal, old: Decimal, new: Decimal) -> None:
        """Value what the user brought at another price."""
        with localcontext(prec=DIGITS):
            self.entered_total += units * (new - old)

    def enter(self, units: Decimal, price: Decimal) -> Execution:
        """Add an executed entry."""
        with localcontext(prec=DIGITS):
            gross = units * price
            fee = (units if self.is_long else gross) * COMMISSION
            amount, total = (units - fee, gross) if self.is_long else (units, gross - fee)
            self.entered_units += units
            self.entered_gross += gross
            self.entered_amount += amount
            self.entered_total += total
        return Execution(units, amount, total, fee)

    def leave(self, units: Decimal, price: Decimal) -> Execution:
        """Subtract an executed exit, which closes no more than is held."""
        with localcontext(prec=DIGITS):
            units = min(units, self.rest)
            gross = units * price
            fee = gross * COMMISSION
            total = gross - self._sign * fee
            self.closed_amount += units
            self.closed_gross += gross
            self.closed_total += total
        return Execution(units, units, total, fee)

    def shares(self, volumes: list[Decimal], before: Decimal = _ZERO) -> list[Decimal]:
        """Return the exact shares of open targets, together no more than is held.

        Args:
            volumes: Shares in percent.
            before: What is not shared, because targets of earlier plans closed it, in base.
        """
        with localcontext(prec=DIGITS):
            shared = self.entered_amount - self.reduced_amount - before
            whole = sum(volumes, _ZERO)
            return [min(shared * volume / 100, self.rest * volume / whole) for volume in volumes]

    @property
    def _sign(self) -> int:
        return 1 if self.is_long else -1

    def _average(self, total: Decimal, amount: Decimal) -> Decimal | None:
        if not amount:
            return None
        with localcontext(prec=DIGITS):
            return (total / amount).quantize(self.tick, rounding=ROUND_DOWN)
