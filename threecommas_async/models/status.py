"""States of a SmartTrade and of its orders.

Source: the official documentation (state of 2026-05, preconditions of 2024-10), and the codes that were
recorded in public repositories from 2021 to 2025.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from msgspec import Struct


class StatusCode(StrEnum):
    """State code of a SmartTrade or of one of its orders.

    The set is open: a code that is not listed here is decoded all the same, compares equal to its
    text, and has it as its ``value``.
    """

    CREATED = "created"
    WAITING_POSITION = "waiting_position"
    WAITING_TARGETS = "waiting_targets"
    STOP_LOSS_IN_PROGRESS = "stop_loss_in_progress"
    REDUCE_FUNDS_IN_PROGRESS = "reduce_funds_in_progress"
    PENDING_REDUCE_FUNDS = "pending_reduce_funds"
    PANIC_SELL_PENDING = "panic_sell_pending"
    PANIC_SELL_IN_PROGRESS = "panic_sell_in_progress"
    CANCELLATION_PENDING = "cancellation_pending"
    CANCELLATION_IN_PROGRESS = "cancellation_in_progress"
    PANIC_SOLD = "panic_sold"
    FINISHED = "finished"
    STOP_LOSS_FINISHED = "stop_loss_finished"
    CANCELLED = "cancelled"
    FAILED = "failed"
    IDLE = "idle"
    TO_PROCESS = "to_process"
    ORDER_PLACED = "order_placed"
    PENDING_CANCELLATION = "pending_cancellation"
    PANIC_SELL_ORDER_PLACED = "panic_sell_order_placed"
    TRAILING_ACTIVATED = "trailing_activated"
    INACTIVE = "inactive"
    SMART_SELL = "smart_sell"
    NEED_RESET = "need_reset"
    ASYNC_ORDER_PLACEMENT = "async_order_placement"
    SUSPENDED = "suspended"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        return member


UNFILLED = frozenset({StatusCode.CREATED, StatusCode.WAITING_POSITION})
"""States before the entry order is filled: such a trade is cancelled, not closed."""

CLOSEABLE = frozenset(
    {
        StatusCode.WAITING_TARGETS,
        StatusCode.STOP_LOSS_IN_PROGRESS,
        StatusCode.REDUCE_FUNDS_IN_PROGRESS,
        StatusCode.PENDING_REDUCE_FUNDS,
    }
)
"""States in which ``close_by_market`` is accepted (official documentation of 2024-10)."""

CLOSING = frozenset(
    {
        StatusCode.PANIC_SELL_PENDING,
        StatusCode.PANIC_SELL_IN_PROGRESS,
        StatusCode.CANCELLATION_PENDING,
        StatusCode.CANCELLATION_IN_PROGRESS,
    }
)
"""States of a trade that has been told to end and has not ended yet."""

TERMINAL = frozenset(
    {
        StatusCode.PANIC_SOLD,
        StatusCode.FINISHED,
        StatusCode.STOP_LOSS_FINISHED,
        StatusCode.CANCELLED,
        StatusCode.FAILED,
    }
)
"""States that a SmartTrade does not leave."""


class Status(Struct, frozen=True, kw_only=True, gc=False):
    """State of a SmartTrade, of its entry, of one of its targets, of its stop or of a reduction."""

    type: StatusCode | None = None
    """State code; equal to ``basic_type`` wherever both are documented."""
    basic_type: StatusCode | None = None
    """State code to branch on; None in answers of 2021, see ``code``."""
    title: str | None = None
    """Title for people. Titles repeat ("Pending" stands for three codes): do not branch on them."""
    error: str | None = None
    """Why it failed, in the exchange's words; None unless failed."""

    @property
    def code(self) -> StatusCode:
        """The state code: ``basic_type``, else ``type``, else an empty code."""
        return self.basic_type or self.type or _NO_CODE


_NO_CODE = StatusCode("")
