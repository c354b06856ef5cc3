"""The request limits as data, what is known of their use, and what a limiter has to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from msgspec import Struct
from msgspec.structs import force_setattr

from threecommas_async.arguments import is_finite, is_number, is_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_PAUSE: Final = 31 * 86400.0
"""Seconds of the longest pause that a limiter makes."""


class RateLimit(Struct, frozen=True):
    """A request limit as the server states it.

    Args:
        requests: Requests that any one period may hold.
        period: Length of the window, in seconds.
        lockout: How long the server refuses everything after the limit was exceeded, in seconds.

    Raises:
        ValueError: ``requests`` is below 1, a duration is not a positive finite number, or ``lockout`` is
            more than 31 days.
    """

    requests: int
    period: float
    lockout: float

    def __post_init__(self) -> None:
        if not is_whole(self.requests) or self.requests < 1:
            raise ValueError(f"requests must be a whole number of at least 1, not {self.requests!r}")
        for name, seconds in (("period", self.period), ("lockout", self.lockout)):
            if not (is_finite(seconds) and seconds > 0):
                raise ValueError(f"{name} must be a positive number of seconds, not {seconds!r}")
        if self.lockout > LONGEST_PAUSE:
            raise ValueError(f"lockout must be at most {LONGEST_PAUSE:.0f} s (31 days), not {self.lockout!r}")

    def floor(self, calls: int) -> float:
        """Return the least number of seconds in which this many calls can be sent, round trips excluded."""
        return self.period * (max(1, math.ceil(calls / self.requests)) - 1)


GENERAL = RateLimit(requests=100, period=60.0, lockout=300.0)
"""The whole API: 100 requests a minute, then blocked for 300 s (official limits page, 2026-05)."""

ENDPOINT_LIMITS: Final[Mapping[str, RateLimit]] = {
    "GET /ver1/deals": RateLimit(requests=120, period=60.0, lockout=60.0),
    "GET /ver1/deals/{deal_id}/show": RateLimit(requests=120, period=60.0, lockout=60.0),
    "GET /ver1/smart_trades": RateLimit(requests=40, period=10.0, lockout=10.0),
}
"""Limits of single endpoints (official limits page, 2026-05). For ``/v2/smart_trades`` none is stated."""

STARTER = RateLimit(requests=5, period=60.0, lockout=300.0)
"""The Starter plan: 5 requests a minute, reads only (one client in production, 2025-11; not documented).

The lock-out of this one and the next two is that of `GENERAL`: none of their own is reported."""
PRO = RateLimit(requests=50, period=60.0, lockout=300.0)
"""The Pro plan: 50 requests a minute, reads only (one client in production, 2025-11; not documented)."""
EXPERT = RateLimit(requests=120, period=60.0, lockout=300.0)
"""The Expert plan: 120 requests a minute, above the published limit (one client in production, 2025-11; not
documented)."""

RESERVED: Final = 10
"""One in so many requests is for exits alone, unless a limiter is told otherwise."""
LATE: Final = 1 / 12
"""Share of a period by which a request without an answer may be late: 5 s of a minute."""
GRACE: Final = 0.5
"""Seconds by which a timer may fire late before a wait counts as longer than it was allowed to be."""


def reserve_of(limit: object, reserve: int | None) -> int:
    """Return how many requests of a limit are for exits alone; without a number a tenth, rounded down.

    Raises:
        ValueError: It is no limit, or the reserve is negative or leaves nothing.
    """
    if not isinstance(limit, RateLimit):
        raise ValueError(f"limit must be a RateLimit, not {limit!r}")
    kept = limit.requests // RESERVED if reserve is None else reserve
    if type(kept) is not int or not 0 <= kept < limit.requests:
        raise ValueError(f"reserve must be 0 to {limit.requests - 1}, not {reserve!r}")
    return kept


def check_pause(seconds: object) -> None:
    """Raise unless a limiter can make a pause of this length.

    Raises:
        ValueError: It cannot.
    """
    if not (is_number(seconds) and 0 < seconds <= LONGEST_PAUSE):
        raise ValueError(f"a pause must be a positive number of seconds up to 31 days, not {seconds!r}")


def date_of(at: float, *, now: float, here: datetime) -> datetime | None:
    """Return the date of an instant of a limiter's clock that is still to come; None of any other.

    Args:
        at: The instant.
        now: The present instant of that clock.
        here: Its date.
    """
    return here + timedelta(seconds=at - now) if at > now else None


class LimitSnapshot(Struct, frozen=True):
    """How a request limit is being used at one instant, for people and for a metrics exporter.

    Args:
        limit: The limit.
        used: Requests in flight, and those whose period is not over.
        free: Requests that could be sent now: ``limit.requests - used``, and 0 during a pause.
        reserved: How many of the free ones only exits may use.
        waiting: Calls that wait for a permit.
        next_free_at: When the next request can be sent, aware, in UTC; None if now, or if every slot is in
            flight.
        paused_until: When the pause after a 429 ends, aware, in UTC; None outside of one.
    """

    limit: RateLimit
    used: int
    free: int
    reserved: int
    waiting: int
    next_free_at: datetime | None
    paused_until: datetime | None


class WindowState(Struct, frozen=True):
    """What a limiter knows of the server's window, for the one that goes on in its place after a restart.

    Args:
        spent: Seconds until each request that was sent leaves the window, in any order.
        paused: Seconds until the pause after a 429 ends; 0 if it is over and no request has been answered
            since; None outside of one.

    Raises:
        ValueError: Something is not a finite number of seconds from 0.
    """

    spent: Sequence[float] = ()
    paused: float | None = None

    def __post_init__(self) -> None:
        paused = 0.0 if self.paused is None else self.paused
        for name, seconds in (("paused", paused), *(("spent", each) for each in self.spent)):
            if not (is_finite(seconds) and seconds >= 0):
                raise ValueError(f"{name} must be finite numbers of seconds from 0, not {seconds!r}")
        force_setattr(self, "spent", tuple(sorted(self.spent)))

    def later(self, seconds: float) -> WindowState:
        """Return the state after this many seconds in which nothing was sent.

        Raises:
            ValueError: ``seconds`` is no finite number from 0.
        """
        if not (is_finite(seconds) and seconds >= 0):
            raise ValueError(f"seconds must be a finite number from 0, not {seconds!r}")
        return WindowState(
            spent=[left - seconds for left in self.spent if left > seconds],
            paused=None if self.paused is None else max(0.0, self.paused - seconds),
        )


@runtime_checkable
class Pacer(Protocol):
    """What hands out permits to send: `Limiter`, or one that several processes share."""

    @property
    def limit(self) -> RateLimit:
        """The limit that is kept."""
        ...

    async def acquire(self, *, is_exit: bool = False, max_wait: float | None = None) -> None:
        """Wait for the permit to send one request; see `Limiter.acquire`."""

    def release(self, *, answered: bool = True) -> None:
        """Take back the permit of a request whose answer is in or given up; see `Limiter.release`."""

    def pause(self, seconds: float) -> None:
        """Let nobody who shares the limit send for this many seconds from now."""

    def snapshot(self) -> LimitSnapshot:
        """Return how the limit is being used now, as far as this process knows."""
        ...

    async def close(self) -> None:
        """Give up what it holds; the client calls this when it is closed."""
