"""Triggers, targets, stops and leverage, as creates and updates spell them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from threecommas_async.sandbox.orders import Leverage, Stop, Target, Trigger
from threecommas_async.sandbox.parameters import MISSING, NOT_ALLOWED

if TYPE_CHECKING:
    from threecommas_async.sandbox.parameters import Fields

ORDER_TYPES: Final = ("market", "limit")
"""Kinds of order on the exchange."""

MAX_NOTE: Final = 300
"""Longest note, in characters (official documentation)."""

_WATCHED: Final = ("bid", "ask", "last")
# "custom" is deprecated and stored as isolated (official documentation until 2024-11).
_LEVERAGE_TYPES: Final = {"cross": "cross", "isolated": "isolated", "custom": "isolated"}
_MAX_TARGETS: Final = 8
_BREAKEVEN_TARGETS: Final = 2
_LEAST_TRAILING: Final = Decimal("0.01")
_MOST_TRAILING: Final = Decimal(100)
_MOST_ENTRY_TRAILING: Final = Decimal(99)


def read_trigger(position: Fields, side: str, base: Trigger | None = None) -> Trigger:
    """Return the trigger of a conditional entry.

    Args:
        position: The group ``position``.
        side: ``buy`` or ``sell``.
        base: The trigger that is changed; None for a new one, which must be complete.
    """
    conditional = position.group("conditional", required=base is None)
    price = conditional.group("price", required=base is None)
    facing = "ask" if side == "buy" else "bid"
    return Trigger(
        order_type=conditional.choice(
            "order_type", ORDER_TYPES, default=None if base is None else base.order_type
        ),
        price=price.required_number("value", None if base is None else base.price),
        watched=price.choice("type", _WATCHED, default=facing if base is None else base.watched),
        trailing=_read_trailing(conditional, None if base is None else base.trailing, _MOST_ENTRY_TRAILING),
    )


def read_targets(fields: Fields, *, required: bool, trails: bool) -> tuple[bool, tuple[Target, ...] | None]:
    """Return whether take profit is on, and its targets; None where none were given.

    Args:
        fields: The parameters.
        required: The group must be there.
        trails: The entry trails and is not filled: only then a target may be given as a distance.
    """
    take_profit = fields.group("take_profit", required=required)
    enabled = take_profit.flag("enabled", required=required or fields.has("take_profit"))
    if not (enabled and take_profit.has("steps")):
        return enabled, None
    steps = take_profit.groups("steps")
    if len(steps) > _MAX_TARGETS:
        take_profit.blame("steps", f"size cannot be greater than {_MAX_TARGETS}")
    targets = tuple(_read_target(step, trails=trails) for step in steps)
    for step, target in zip(steps[:-1], targets[:-1], strict=True):
        if target.trailing is not None:
            step.group("trailing").blame("enabled", "is allowed for the last step only")
    return True, targets


def read_stop(
    fields: Fields, *, required: bool, targets: int, trails: bool, base: Stop | None = None
) -> Stop | None:
    """Return the stop; None where it is off.

    Args:
        fields: The parameters.
        required: The group must be there.
        targets: How many targets there are.
        trails: The entry trails and is not filled: only then the trigger may be given as a distance.
        base: The stop that is changed; None for a new one, which must be complete.
    """
    stop = fields.group("stop_loss", required=required)
    if not stop.flag("enabled", required=required or fields.has("stop_loss")):
        return None
    # The documented answer to an update names one fault here, that to a create two.
    order_type = stop.choice(
        "order_type", ORDER_TYPES, missing=(MISSING, NOT_ALLOWED) if required else (MISSING,)
    )
    held_price = None if base is None else base.limit_price
    limit = stop.group("price", required=order_type == "limit" and held_price is None)
    conditional = stop.group("conditional", required=base is None)
    price = conditional.group("price", required=base is None)
    trigger, percent = _read_stop_trigger(price, base, trails=trails)
    breakeven = stop.flag("breakeven") if stop.has("breakeven") else base is not None and base.breakeven
    if breakeven and stop.has("breakeven") and targets < _BREAKEVEN_TARGETS:
        stop.blame("breakeven", "needs at least two take profit steps")
    return Stop(
        order_type=order_type,
        watched=price.choice("type", _WATCHED, default=None if base is None else base.watched),
        trigger=trigger,
        percent=percent,
        limit_price=(
            limit.required_number("value", held_price) if order_type == "limit" else limit.number("value")
        ),
        breakeven=breakeven,
        trailing=_read_trailing(conditional, None if base is None else base.trailing, _MOST_TRAILING),
        timeout=_read_timeout(stop, None if base is None else base.timeout),
    )


def read_leverage(fields: Fields, base: Leverage | None = None) -> Leverage | None:
    """Return the leverage; None where it is off, or was off and is not mentioned."""
    leverage = fields.group("leverage")
    if not fields.has("leverage"):
        return base
    if not leverage.flag("enabled", required=True):
        return None
    kind = leverage.choice("type", _LEVERAGE_TYPES)
    if not leverage.has("value"):
        leverage.blame("value", MISSING)
    value = leverage.whole("value")
    if value is not None and value < 1:
        leverage.blame("value", "must be greater than or equal to 1")
    return Leverage(type=_LEVERAGE_TYPES.get(kind, ""), value=Decimal(value or 0))


def read_note(fields: Fields, *, required: bool) -> str | None:
    """Return the user's note; None where there is none."""
    note = fields.text("note")
    if note is not None and len(note) > MAX_NOTE:
        fields.blame("note", f"too long. Max is {MAX_NOTE} symbols")
    elif required and not fields.has("note"):
        fields.blame("note", MISSING)
    elif required and note == "":
        fields.blame("note", "is empty")
    return note or None


def _read_target(step: Fields, *, trails: bool) -> Target:
    price = step.group("price", required=True)
    given = price.has("value"), price.has("percent")
    if given[0] == given[1]:
        both = f"{price.key('value')},{price.key('percent')}"
        step.faults[both] = [
            "are mutually exclusive" if given[0] else "are missing, exactly one parameter must be provided"
        ]
    elif given[1]:
        _allow_distance(price, trails=trails)
    return Target(
        order_type=step.choice("order_type", ORDER_TYPES),
        volume=step.required_number("volume"),
        watched=price.choice("type", _WATCHED),
        price=price.number("value"),
        percent=price.number("percent", signed=True),
        trailing=_read_trailing(step, None, _MOST_TRAILING),
        id=step.whole("id"),
    )


def _read_stop_trigger(
    price: Fields, base: Stop | None, *, trails: bool
) -> tuple[Decimal | None, Decimal | None]:
    percent = price.number("percent", signed=True)
    if percent is not None:
        if price.has("value"):
            price.faults[f"{price.key('value')},{price.key('percent')}"] = ["are mutually exclusive"]
        _allow_distance(price, trails=trails)
        return None, percent
    if base is not None and not price.has("value"):
        return base.trigger, base.percent
    return price.required_number("value"), None


def _allow_distance(price: Fields, *, trails: bool) -> None:
    # The rule of the documentation until 2024-11; today's text repeats the rule of `value`.
    if not trails:
        price.blame("percent", "is allowed only while a trailing entry is not finished")


def _read_trailing(fields: Fields, base: Decimal | None, most: Decimal) -> Decimal | None:
    trailing = fields.group("trailing")
    enabled = trailing.flag("enabled") if trailing.has("enabled") else base is not None
    if not enabled:
        return None
    percent = trailing.required_number("percent", base)
    if 0 < percent < _LEAST_TRAILING:
        trailing.blame("percent", f"must be greater than or equal to {_LEAST_TRAILING}")
    elif percent > most:
        trailing.blame("percent", f"must be less than or equal to {most}")
    return percent


def _read_timeout(stop: Fields, base: int | None) -> int | None:
    timeout = stop.group("timeout")
    enabled = timeout.flag("enabled") if timeout.has("enabled") else base is not None
    if not enabled:
        return None
    if not timeout.has("value"):
        if base is not None:
            return base
        timeout.blame("value", MISSING)
    seconds = timeout.whole("value") or 0
    if seconds < 0:
        timeout.blame("value", "must be greater than or equal to 0")
    return seconds
