"""What is wrong with an order for its market, and what rounding it changed."""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct

from threecommas_async.models.order import SmartTradeOrder


class Violation(Struct, frozen=True):
    """One number of an order that its market would refuse.

    Args:
        field: Path of the number, such as ``take_profit.steps[0].price.value``. What follows from several
            numbers has a path too: ``position.total`` is what the entry is worth in quote, and
            ``take_profit.steps[0].units`` what a target closes in base.
        value: The number; for ``leverage.type`` its text.
        bound: The bound or the step that it breaks; None where the market offers nothing of the kind.
        limit: The API's name of what it breaks, such as ``lotStep`` or ``maxTotal``.
    """

    field: str
    value: Decimal | str
    bound: Decimal | None
    limit: str

    def __str__(self) -> str:
        value = format(self.value, "f") if isinstance(self.value, Decimal) else self.value
        if self.bound is None:
            return f"{self.field}: {value} is not offered ({self.limit})"
        fault = {"min": "is less than", "max": "is more than"}.get(self.limit[:3], "is no multiple of")
        return f"{self.field}: {value} {fault} {self.bound:f} ({self.limit})"


class RoundedNumber(Struct, frozen=True):
    """One number that `MarketRules.round` changed.

    Args:
        field: Path of the number, as in `Violation`.
        asked: What it was.
        rounded: What it is now.
    """

    field: str
    asked: Decimal
    rounded: Decimal

    def __str__(self) -> str:
        return f"{self.field}: {self.asked:f} is rounded to {self.rounded:f}"


class RoundedOrder(Struct, frozen=True):
    """An order on the steps of its market.

    Args:
        order: The order; the one that was given where nothing had to be changed.
        changes: The numbers that were changed.
    """

    order: SmartTradeOrder
    changes: tuple[RoundedNumber, ...] = ()
