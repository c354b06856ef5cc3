"""The decimal context of everything that happens in the sandbox, whatever that of the caller is."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, DivisionByZero, InvalidOperation, Overflow, localcontext
from functools import wraps
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

# What a new interpreter begins with.
_CONTEXT: Final = Context(
    prec=28,
    rounding=ROUND_HALF_EVEN,
    Emax=999999,
    Emin=-999999,
    traps=[InvalidOperation, DivisionByZero, Overflow],
)


def in_own_context(operation: Callable[P, T]) -> Callable[P, T]:
    """Return an operation that reckons in the sandbox's own context."""

    @wraps(operation)
    def reckon(*args: P.args, **options: P.kwargs) -> T:
        with localcontext(_CONTEXT):
            return operation(*args, **options)

    return reckon
