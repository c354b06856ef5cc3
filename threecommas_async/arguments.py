"""What arguments are when a program runs, whatever their annotations ask for: callers may be untyped."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TypeGuard


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number, infinity and NaN included; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_finite(value: object) -> TypeGuard[float]:
    """Whether it is a number that a float can be; infinity, NaN, True and False are none."""
    return is_number(value) and -sys.float_info.max <= value <= sys.float_info.max


def check_aware(name: str, instant: object) -> None:
    """Raise unless it is an instant that is the same everywhere.

    Raises:
        ValueError: It is no datetime, one without a time zone, or none of the years 1 to 9999 in UTC.
    """
    if not isinstance(instant, datetime) or instant.utcoffset() is None:
        raise ValueError(f"{name} must be an aware datetime, such as datetime.now(UTC), not {instant!r}")
    try:
        instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{name} must be of the years 1 to 9999 in UTC, not {instant!r}") from None
