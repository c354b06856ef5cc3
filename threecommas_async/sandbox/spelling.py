"""How the API spells numbers, dates and states.

Source: the answers in the official documentation (state of 2026-05).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from threecommas_async.models.status import StatusCode

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

Json = dict[str, object]
"""A JSON object."""

TITLES: Final = {
    StatusCode.CREATED: "Pending",
    StatusCode.WAITING_POSITION: "Pending Position Opened",
    StatusCode.WAITING_TARGETS: "Waiting Targets",
    StatusCode.PENDING_REDUCE_FUNDS: "Pending reduce funds",
    StatusCode.PANIC_SELL_PENDING: "Closing at Market Price",
    StatusCode.CANCELLATION_PENDING: "Cancelling",
    # The documentation shows no title for these.
    StatusCode.STOP_LOSS_IN_PROGRESS: "Stop Loss in progress",
    StatusCode.REDUCE_FUNDS_IN_PROGRESS: "Reduce funds in progress",
    StatusCode.PANIC_SELL_IN_PROGRESS: "Closing at Market Price",
    StatusCode.CANCELLATION_IN_PROGRESS: "Cancelling",
    StatusCode.PANIC_SOLD: "Closed at Market Price",
    StatusCode.STOP_LOSS_FINISHED: "Stop Loss finished",
}
"""Titles of the states of a SmartTrade."""

ORDER_TITLES: Final = {
    StatusCode.IDLE: "Pending",
    StatusCode.TO_PROCESS: "Pending",
    StatusCode.ORDER_PLACED: "Placed",
    StatusCode.PANIC_SELL_PENDING: "Panic closing",
    StatusCode.SMART_SELL: "Own funds",
    # The documentation shows no title for these.
    StatusCode.PENDING_CANCELLATION: "Cancelling",
    StatusCode.TRAILING_ACTIVATED: "Trailing activated",
}
"""Titles of the states of a single order."""


def decimal_text(value: Decimal) -> str:
    """Return a number as the API spells it: with a point, at least one decimal, no exponent."""
    if not value:
        return "0.0"
    whole, _, decimals = format(value, "f").partition(".")
    return f"{whole}.{decimals.rstrip('0') or '0'}"


def optional(value: Decimal | None) -> str | None:
    """Return a number as `decimal_text` does; None stays None."""
    return None if value is None else decimal_text(value)


def date_text(at: float, epoch: datetime) -> str:
    """Return an instant as the API spells it: ISO 8601 in UTC, milliseconds, ``Z``.

    Args:
        at: Seconds since the epoch.
        epoch: Wall-clock time of instant 0, aware.
    """
    wall = (epoch + timedelta(milliseconds=round(at * 1000))).astimezone(UTC)
    return wall.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def status_json(code: StatusCode, titles: Mapping[StatusCode, str], error: str | None = None) -> Json:
    """Return a state as a JSON object."""
    title = titles.get(code, code.value.capitalize())
    status: Json = {"type": code.value, "basic_type": code.value, "title": title}
    if error is not None:
        status["error"] = error
    return status
