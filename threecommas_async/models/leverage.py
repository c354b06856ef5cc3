"""The kinds of leverage that an account or a pair offers.

Source: the tables and examples of the official documentation of the account's leverage data and of the rates
with leverage data (state of 2026-05). Where they contradict each other, both forms are read.
"""

from __future__ import annotations

from decimal import Decimal

from msgspec import Struct


class LeverageBounds(Struct, frozen=True, kw_only=True, gc=False):
    """Bounds of a leverage factor."""

    min: Decimal | None = None
    """The smallest; None is no bound."""
    max: Decimal | None = None
    """The largest; None is no bound."""


class LeverageData(Struct, frozen=True, kw_only=True, gc=False):
    """A kind of leverage that a pair can be traded with."""

    code: str | None = None
    """``none``, ``cross`` or ``isolated``: what ``leverage.type`` of an order takes."""
    name: str | None = None
    """Name for people."""
    can_set_leverage_value: bool | None = None
    """A factor can be chosen."""
    max_leverage: Decimal | None = None
    """The largest factor; None is no bound."""
    available_leverage_values: tuple[Decimal, ...] | bool | None = None
    """The only factors there are; empty where any within the bounds will do. One table declares a boolean."""
    valid: LeverageBounds | None = None
    """Bounds of the factor."""
    value: LeverageBounds | None = None
    """The same, under the name that one table has for it; no example shows it."""

    @property
    def bounds(self) -> LeverageBounds:
        """Bounds of the factor, wherever they stand: the largest is the lower one of those that are told."""
        given = self.valid or self.value or LeverageBounds()
        largest = [most for most in (given.max, self.max_leverage) if most is not None]
        return LeverageBounds(min=given.min, max=min(largest, default=None))
