"""From what was ordered to the orders at work."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import StatusCode
from threecommas_async.sandbox.legs import Leg, stop_price, target_price

if TYPE_CHECKING:
    from threecommas_async.sandbox.ledger import Purpose
    from threecommas_async.sandbox.orders import Funds, Order, Target

_WHOLE: Final = Decimal(100)
# Trade ids that do not fit 32 bits.
_FIRST_ID: Final = 4_301_007_689


class LegMaker:
    """Makes the orders of a SmartTrade, and numbers them.

    Args:
        time_scale: Seconds of an order's timeout in a second of the exchange's clock.
    """

    def __init__(self, time_scale: float) -> None:
        self._time_scale = time_scale
        self._next_id = _FIRST_ID

    def entry(self, order: Order, price: Decimal, at: float) -> Leg:
        """Return the entry.

        Args:
            order: The order.
            price: Price that it is planned at.
            at: Instant of the order.
        """
        trigger = order.conditional
        return Leg(
            id=self._number(),
            purpose="position",
            side=order.side,
            order_type=order.order_type if trigger is None else trigger.order_type,
            watched=_facing(order.side) if trigger is None else trigger.watched,
            price=price,
            created_at=at,
            since=at,
            status=StatusCode.TO_PROCESS if order.instant else StatusCode.IDLE,
            units=order.units,
            trigger=None if trigger is None else trigger.price,
            trailing=order.trailing_entry,
        )

    def targets(self, order: Order, entry: Decimal, tick: Decimal, at: float) -> list[Leg]:
        """Return the targets.

        Args:
            order: The order.
            entry: Entry price, for targets that were given as distances.
            tick: Price step.
            at: Instant of the order.
        """
        return [self._target(order, target, entry, tick, at) for target in order.targets]

    def stop(self, order: Order, entry: Decimal, tick: Decimal, at: float) -> Leg | None:
        """Return the stop, None where it is off; for the arguments see `targets`."""
        stop = order.stop
        if stop is None:
            return None
        trigger = stop.trigger or stop_price(order, stop.percent or Decimal(0), entry, tick)
        return Leg(
            id=self._number(),
            purpose="stop_loss",
            side=order.exit_side,
            order_type=stop.order_type,
            watched=stop.watched,
            price=stop.limit_price if stop.order_type == "limit" and stop.limit_price else trigger,
            created_at=at,
            since=at,
            volume=_WHOLE,
            percent=stop.percent,
            trigger=trigger,
            rising=not order.is_long,
            trailing=stop.trailing,
            timeout=None if stop.timeout is None else stop.timeout / self._time_scale,
        )

    def funds(self, order: Order, funds: Funds, purpose: Purpose, market: Decimal, at: float) -> Leg:
        """Return an order that adds funds to a position, or reduces it.

        Args:
            order: The order that it belongs to.
            funds: What is added or reduced.
            purpose: ``position`` or ``reduce_funds``.
            market: Market price, for a market order.
            at: Instant of the order.
        """
        side = order.side if purpose == "position" else order.exit_side
        return Leg(
            id=self._number(),
            purpose=purpose,
            side=side,
            order_type=funds.order_type,
            watched=_facing(side),
            price=funds.price or market,
            created_at=at,
            since=at,
            units=funds.units,
        )

    def _target(self, order: Order, target: Target, entry: Decimal, tick: Decimal, at: float) -> Leg:
        price = target.price or target_price(order, target.percent or Decimal(0), entry, tick)
        waits = target.order_type == "market" or target.trailing is not None
        return Leg(
            id=self._number(),
            purpose="take_profit",
            side=order.exit_side,
            order_type=target.order_type,
            watched=target.watched,
            price=price,
            created_at=at,
            since=at,
            volume=target.volume,
            percent=target.percent,
            trigger=price if waits else None,
            rising=order.is_long,
            trailing=target.trailing,
        )

    def _number(self) -> int:
        self._next_id += 1
        return self._next_id - 1


def _facing(side: str) -> str:
    return "ask" if side == "buy" else "bid"
