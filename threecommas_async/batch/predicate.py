"""A caller's function that says which trades are meant."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable, iscoroutine, iscoroutinefunction
from typing import Final, TypeAlias

from threecommas_async.models.smart_trade import SmartTrade

Predicate: TypeAlias = Callable[[SmartTrade], bool]
"""Says whether a trade is meant: a plain function, no coroutine function."""

_PLAIN: Final = "predicate must be a plain function of a SmartTrade: a coroutine is true whatever it returns"


def check_predicate(predicate: object) -> None:
    """Raise unless it is a function whose answers can be believed.

    Raises:
        ValueError: It is no function, or a coroutine function.
    """
    if not callable(predicate):
        raise ValueError(f"predicate must be a function of a SmartTrade, not {predicate!r}")
    if iscoroutinefunction(predicate):
        raise ValueError(_PLAIN)


def holds(predicate: Predicate, trade: SmartTrade) -> bool:
    """Return what a predicate says of a trade.

    Raises:
        ValueError: It answered with something to be awaited.
    """
    answer: object = predicate(trade)
    if isawaitable(answer):
        if iscoroutine(answer):
            answer.close()  # It is not to be missed later that nobody awaited it.
        raise ValueError(_PLAIN)
    return bool(answer)
