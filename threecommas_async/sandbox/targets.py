"""The plan of a SmartTrade's targets: which are new, and how much each of them closes."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import StatusCode
from threecommas_async.sandbox.orders import DIGITS
from threecommas_async.sandbox.refusals import invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from threecommas_async.sandbox.legs import Leg
    from threecommas_async.sandbox.orders import Target
    from threecommas_async.sandbox.position import Position

_ZERO: Final = Decimal(0)
_WHOLE: Final = Decimal(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a list of targets that was sent makes of the present ones.

    Args:
        targets: The new targets.
        numbers: Where they were in the list.
        restarts: Their shares are of what is still held, not of the whole position.
    """

    targets: tuple[Target, ...] = ()
    numbers: tuple[int, ...] = ()
    restarts: bool = False


def read_plan(sent: Sequence[Target], finished: Iterable[Leg] = ()) -> Plan:
    """Return what a list of targets makes of the present ones.

    What the API does with finished targets is not documented. Assumed: they are history, and stay as they
    are. One that is sent again by its id is taken for what it is and not executed again. The shares of the
    new ones and those of the finished ones add up to 100 percent of the position. If no finished one is
    sent, the new ones alone may add up to 100 percent, then of what is still held; the finished ones
    belong to an earlier plan from then on and count no more.

    Raises:
        Refusal: 422, targets were sent, and their shares do not add up.
    """
    volumes = {leg.id: _ZERO if leg.is_past else leg.volume or _ZERO for leg in finished}
    new = [(number, target) for number, target in enumerate(sent) if target.id not in volumes]
    total, before = sum((target.volume for _, target in new), _ZERO), sum(volumes.values(), _ZERO)
    repeats = any(target.id is not None and volumes.get(target.id, _ZERO) for target in sent)
    restarts = total == _WHOLE and before > 0 and not repeats
    if sent and total + before != _WHOLE and not restarts:
        raise invalid(422, {"take_profit[steps]": ["total volume must be equal to 100"]})
    return Plan(
        targets=tuple(target for _, target in new),
        numbers=tuple(number for number, _ in new),
        restarts=restarts,
    )


def closed_by(legs: Iterable[Leg]) -> Decimal:
    """Return what some orders closed together, in base."""
    with localcontext(prec=DIGITS):
        return sum((leg.realised_amount for leg in legs), _ZERO)


def sizes(steps: Iterable[Leg], position: Position, before: Decimal, lot: Decimal) -> dict[int, Decimal]:
    """Return what open targets close, in whole lots, by id; together no more than is held.

    A share of less than one lot is carried to the next target.

    Args:
        steps: The targets.
        position: What is held.
        before: What targets of earlier plans closed, in base.
        lot: Amount step, in base.
    """
    waiting = [step for step in steps if step.is_open]
    shares = position.shares([step.volume or _ZERO for step in waiting], before)
    found: dict[int, Decimal] = {}
    carried = _ZERO
    with localcontext(prec=DIGITS):
        for step, share in zip(waiting, shares, strict=True):
            stays = step.status is not StatusCode.PENDING_CANCELLATION
            due = share + carried if stays else share
            found[step.id] = due // lot * lot
            if stays:
                carried = _ZERO if found[step.id] else due
    return found
