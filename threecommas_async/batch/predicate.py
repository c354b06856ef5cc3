"""A caller's function that says which trades are meant."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from inspect import isasyncgenfunction, isawaitable, iscoroutine, iscoroutinefunction, isgeneratorfunction
from typing import Any, Final, TypeAlias

from threecommas_async.models.smart_trade import SmartTrade

Predicate: TypeAlias = Callable[[SmartTrade], bool]
"""Says whether a trade is meant: a plain function, no coroutine function and no generator function."""

_PLAIN: Final = "predicate must be a plain function of a SmartTrade: a coroutine is true whatever it returns"
_NO_GENERATOR: Final = "predicate must return its answer: a generator is true whatever it yields"


def check_predicate(predicate: object) -> None:
    """Raise unless it is a function whose answers can be believed.

    Raises:
        ValueError: It is no function, or a coroutine function or a generator function.
    """
    if not callable(predicate):
        raise ValueError(f"predicate must be a function of a SmartTrade, not {predicate!r}")
    if iscoroutinefunction(predicate):
        raise ValueError(_PLAIN)
    if isgeneratorfunction(predicate) or isasyncgenfunction(predicate):
        raise ValueError(_NO_GENERATOR)


def holds(predicate: Predicate, trade: SmartTrade) -> bool:
    """Return what a predicate says of a trade; what is empty, None or 0 says no.

    Raises:
        ValueError: It answered with something to be awaited, or with what is true and no yes, such as a
            method that was not called.
    """
    answer: Any = predicate(trade)
    if isawaitable(answer):
        if iscoroutine(answer):
            answer.close()  # It is not to be missed later that nobody awaited it.
        raise ValueError(_PLAIN)
    if not answer:
        return False
    if answer != 1:  # As True and numpy's are.
        raise ValueError(
            f"predicate must answer with True or False, not {reprlib.repr(answer)} for trade {trade.id}"
        )
    return True
