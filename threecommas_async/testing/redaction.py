"""What of an exchange is not written down."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

ALWAYS: Final = frozenset(
    {
        "account_name",
        "api_key",
        "api_secret",
        "apikey",
        "customer_id",
        "email",
        "name",
        "passphrase",
        "password",
        "phone",
        "secret",
        "signature",
        "subaccount_name",
        "token",
        "user_id",
        "username",
    }
)
"""Fields that are always redacted: they name or authenticate the user. ``name`` is the name of an account."""

REDACTED: Final = "redacted"
_WORD: Final = r"[^\s@\"'<>,;:/=&?]"
# Bounded, as addresses are: hostile text would else take quadratic time.
_ADDRESS: Final = re.compile(f"{_WORD}{{1,64}}@{_WORD}{{1,255}}")


def redact_json(value: Any, fields: Collection[str]) -> Any:
    """Return JSON without the values of some fields, and without e-mail addresses anywhere.

    A text becomes ``redacted``, a number 0, a truth value false, and null stays; objects and arrays keep
    their shape.

    Args:
        value: JSON, with its numbers as int, float or Decimal.
        fields: Names of the fields, in lower case.
    """
    match value:
        case dict():
            items = cast("dict[str, Any]", value).items()
            return {
                without_addresses(name): (
                    blank(field) if name.lower() in fields else redact_json(field, fields)
                )
                for name, field in items
            }
        case list():
            return [redact_json(element, fields) for element in cast("Sequence[Any]", value)]
        case str():
            return without_addresses(value)
        case _:
            return value


def blank(value: Any) -> Any:
    """Return JSON of the same shape with nothing in it."""
    match value:
        case dict():
            items = cast("dict[str, Any]", value).items()
            return {without_addresses(name): blank(field) for name, field in items}
        case list():
            return [blank(element) for element in cast("Sequence[Any]", value)]
        case str():
            return REDACTED
        case bool():
            return False
        case int() | float() | Decimal():
            return 0
        case _:
            return value


def redact_query(
    parameters: Iterable[tuple[str, str]], fields: Collection[str]
) -> tuple[tuple[str, str], ...]:
    """Return query parameters in order of their names, without the values of some of them."""
    return tuple(
        sorted(
            (name, REDACTED if name.lower() in fields else without_addresses(value))
            for name, value in parameters
        )
    )


def without_addresses(text: str) -> str:
    """Return a text with every e-mail address in it replaced."""
    return _ADDRESS.sub("redacted@example.com", text) if "@" in text else text
