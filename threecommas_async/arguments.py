"""What arguments are when a program runs, whatever their annotations ask for: callers may be untyped."""

from __future__ import annotations

from datetime import datetime
from typing import TypeGuard


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number, infinity and NaN included; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_aware(name: str, instant: object) -> None:
    """Raise unless it is an instant that is the same everywhere.

    Raises:
        ValueError: It is no datetime, or one without a time zone.
    """
    if not isinstance(instant, datetime) or instant.utcoffset() is None:
        raise ValueError(f"{name} must be an aware datetime, such as datetime.now(UTC), not {instant!r}")
