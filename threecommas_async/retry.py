"""What follows from a failed attempt: pure decisions, on the strategies of tenacity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from threecommas_async import errors
from threecommas_async.endpoints import Endpoint, Replay
from threecommas_async.wire import Failure

if TYPE_CHECKING:
    from datetime import datetime

    from tenacity.stop import stop_base
    from tenacity.wait import wait_base

    from threecommas_async.wire import Request

_THREE_ATTEMPTS: Final = stop_after_attempt(3)
_FULL_JITTER: Final = wait_random_exponential(multiplier=0.5, max=8)

Fault = Failure | errors.APIStatusError | errors.DecodeError
"""How an attempt can end other than with a value."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and after which waits a request is sent again.

    Args:
        stop: When to give up.
        wait: Seconds before the next attempt: a random share of 0.5 s, 1 s, 2 s, … up to 8 s.
    """

    stop: stop_base = _THREE_ATTEMPTS
    wait: wait_base = _FULL_JITTER


def may_have_acted(fault: Fault) -> bool:
    """Whether the server may have carried out the request that ended so."""
    match fault:
        case Failure():
            return fault.sent
        case errors.RateLimitedError() | errors.PlanLimitError() | errors.BannedError():
            return False
        case errors.ServerError() | errors.DecodeError():
            return True
        case errors.APIStatusError():
            # An error in the API's own shape is a definite refusal, the page of a gateway is not.
            return not fault.from_api


def wait_before_resend(
    policy: RetryPolicy, endpoint: Endpoint[Any], fault: Fault, *, attempt: int, spent: float, timeout: float
) -> float | None:
    """Return the seconds to wait before the request is sent again; None if it is not.

    Args:
        policy: How often and after which waits.
        endpoint: The row of the call; its ``replay`` decides.
        fault: How the attempt ended.
        attempt: Attempts so far.
        spent: Seconds spent on the call so far, waits for permits excluded.
        timeout: Seconds that the call may take.
    """
    if not _can_help(fault) or (may_have_acted(fault) and endpoint.replay not in _REPEATABLE):
        return None
    state = RetryCallState(_ENGINE, None, (), {})
    state.attempt_number = attempt
    state.outcome_timestamp = state.start_time + spent
    # After a 429 the limiter's pause is the wait.
    state.upcoming_sleep = 0.0 if isinstance(fault, errors.RateLimitedError) else policy.wait(state)
    return None if (policy.stop | stop_before_delay(timeout))(state) else state.upcoming_sleep


def final_error(
    endpoint: Endpoint[Any], request: Request, fault: Fault, *, attempts: int, sent_at: datetime
) -> errors.ThreeCommasError:
    """Return the error that a call ends with when its last attempt ended so."""
    if endpoint.replay is not Replay.SAFE and may_have_acted(fault):
        reason = fault.reason if isinstance(fault, Failure) else str(fault)
        unknown = errors.OutcomeUnknownError(
            f"{request} was sent and may have been carried out ({reason}): read it back before repeating it",
            endpoint=endpoint,
            path=request.target,
            attempts=attempts,
            sent_at=sent_at,
        )
        unknown.__cause__ = None if isinstance(fault, Failure) else fault
        return unknown
    if not isinstance(fault, Failure):
        return fault
    kind = errors.TransportError if fault.sent else errors.NotSentError
    return kind(
        f"{request}: {fault.reason} (attempt {attempts})",
        endpoint=endpoint,
        path=request.target,
        attempts=attempts,
        permanent=fault.permanent,
    )


_REPEATABLE: Final = frozenset({Replay.SAFE, Replay.IDEMPOTENT})
_ENGINE: Final = AsyncRetrying()


def _can_help(fault: Fault) -> bool:
    if isinstance(fault, Failure):
        return not fault.permanent
    return isinstance(fault, errors.RateLimitedError) or may_have_acted(fault)
