"""What follows from a failed attempt: pure decisions, on the strategies of tenacity."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from threecommas_async import errors
from threecommas_async.endpoints import CREATE_SMART_TRADE, Endpoint, Replay
from threecommas_async.models.reference import reference_in
from threecommas_async.wire import Failure, Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from threecommas_async.errand import Deeds
    from threecommas_async.wire import Request

_THREE_ATTEMPTS: Final = stop_after_attempt(3)
_FULL_JITTER: Final = wait_random_exponential(multiplier=0.5, max=8)

Fault = Failure | errors.APIStatusError | errors.DecodeError
"""How an attempt can end other than with a value."""


class RetryPolicy(Struct, frozen=True):
    """How often and after which waits a request is sent again.

    Args:
        stop: When to give up.
        wait: Seconds before the next attempt: a random share of 0.5 s before the second one, and of 1 s
            before the third.
        settle: Seconds before each look at what became of a write whose answer was lost: it may still be on
            its way, or be carried out only now.
    """

    stop: stop_base = _THREE_ATTEMPTS
    wait: wait_base = _FULL_JITTER
    settle: tuple[float, ...] = (1.0, 2.0, 4.0)


class RetryBudget:
    """Keeps an outage from being answered with three times the load.

    All calls of a client share it: a repetition takes a token, a success gives a tenth of one back. Requests
    that the rate limit refused are repeated without one, since the limiter paces them.

    Args:
        tokens: Tokens at the start, and at most.
    """

    __slots__ = ("_left", "_most")

    def __init__(self, tokens: int = 10) -> None:
        self._most = self._left = 10 * tokens  # Counted in tenths.

    def take(self) -> bool:
        """Take a token; False if there is none."""
        if self._left < 10:
            return False
        self._left -= 10
        return True

    def give(self) -> None:
        """Give a tenth of a token back."""
        if self._left < self._most:
            self._left += 1


class History(Progress):
    """What has become of one call so far.

    Args:
        endpoint: The row of the call.
        request: What is sent.
        body: The request body before it was encoded.

    Attributes:
        attempts: Attempts so far.
        sent: The attempt that is under way may have left this machine.
        may_have_acted: The server may have carried one of the attempts out.
        may_act_later: The server may still be at work on one of them.
        sent_at: When the first of those that may have been carried out began.
        lost_at: When the last of them was given up.
        fault: How the latest failed attempt ended.
        story: What failed, one line for each attempt and look.
        confirm: Called when an attempt leaves; raises where it must not. None lets each leave.
        deeds: What learns of this write; None where nothing does, and of a read.
    """

    attempts: int = 0
    may_have_acted: bool = False
    may_act_later: bool = False
    sent_at: datetime | None = None
    lost_at: datetime | None = None
    fault: Fault | None = None
    story: tuple[str, ...] = ()
    confirm: Callable[[], None] | None = None
    deeds: Deeds | None = None
    _began = 0.0

    def __init__(self, endpoint: Endpoint[Any], request: Request, body: Struct | None = None) -> None:
        self.endpoint: Endpoint[Any] = endpoint
        self.request: Request = request
        self.body: Struct | None = body

    def __str__(self) -> str:
        note = getattr(self.body, "note", None)
        reference = reference_in(note) if isinstance(note, str) else None
        return f"{self.request} ({reference})" if reference else str(self.request)

    def begin(self, clock: float) -> float:
        """Take down that an attempt begins.

        Args:
            clock: Seconds of a clock that never goes back; returned.
        """
        self.attempts += 1
        self.sent = False
        self._began = clock
        return clock

    def lost(self, clock: float, now: datetime) -> None:
        """Take down that the latest attempt may have been carried out, and was given up now.

        Args:
            clock: Seconds of the clock that the attempt began by.
            now: The present instant, aware.
        """
        self.may_have_acted = True
        self.sent_at = self.sent_at or now - timedelta(seconds=clock - self._began)
        self.lost_at = now

    def take_down(self, fault: Fault, *, clock: float, now: datetime) -> str:
        """Take down how the latest attempt failed, and return it as a line; for the clocks see `lost`."""
        if may_have_acted(fault):
            self.lost(clock, now)
        self.may_act_later |= may_act_later(fault)
        self.fault = fault
        return f"attempt {self.attempts}: {_reason(fault)}"

    def tell(self, line: str) -> None:
        """Add a line to the story."""
        self.story = (*self.story, line)


class Step(Enum):
    """What to do after a failed attempt."""

    GIVE_UP = auto()
    LOOK = auto()
    """Find out whether an attempt took effect; if none did, send again while that is allowed."""
    CONFIRM = auto()
    """The repetition was refused: look whether that is because an earlier attempt took effect."""
    WAIT_FOR_LIMIT = auto()
    """Send again: the limiter's pause is the wait."""
    BACK_OFF = auto()
    """Send again after a wait."""


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


def may_act_later(fault: Fault) -> bool:
    """Whether the server may still be at work on the request that ended so."""
    if isinstance(fault, Failure):
        return fault.timed_out
    if isinstance(fault, errors.DecodeError):
        # Something was created, maybe this order in another place: only time shows that it was not.
        return fault.is_of_another_order
    return fault.status in _TIMED_OUT


def next_step(history: History, fault: Fault, *, can_look: bool) -> Step:
    """Return what follows from a failed attempt, deadlines and budgets aside.

    Args:
        history: The call, this attempt included.
        fault: How the attempt ended.
        can_look: There is a way to find out whether the call took effect.
    """
    replay = history.endpoint.replay
    if isinstance(fault, errors.RateLimitedError):
        return Step.WAIT_FOR_LIMIT
    if may_have_acted(fault):
        if replay in _REPEATABLE:
            return Step.BACK_OFF
        return Step.LOOK if can_look else Step.GIVE_UP
    if isinstance(fault, Failure) and not fault.permanent:
        return Step.BACK_OFF
    if can_look and history.may_have_acted and isinstance(fault, _BY_STATE):
        return Step.CONFIRM
    return Step.GIVE_UP


def wait_before_resend(policy: RetryPolicy, attempt: int, *, step: Step, left: float) -> float | None:
    """Return the seconds to wait before the request is sent again; None if it is not.

    Args:
        policy: How often and after which waits.
        attempt: Attempts so far.
        step: What follows from the last one.
        left: Seconds that are left of the call's deadline.
    """
    if step is Step.GIVE_UP:
        return None
    state = RetryCallState(_ENGINE, None, (), {})
    state.attempt_number = attempt
    state.outcome_timestamp = state.start_time
    state.upcoming_sleep = policy.wait(state) if step is Step.BACK_OFF else 0.0
    return None if (policy.stop | stop_before_delay(left))(state) else state.upcoming_sleep


def final_error(
    history: History, fault: Fault, *, took_effect: bool | None = None
) -> errors.ThreeCommasError:
    """Return the error that a call ends with when its last attempt ended so.

    Args:
        history: The call.
        fault: How its last attempt ended.
        took_effect: Whether an attempt before that one did, as far as a look could tell.
    """
    request = history.request
    error: errors.ThreeCommasError
    is_read = history.endpoint.replay is Replay.SAFE
    if history.may_have_acted and not is_read and took_effect is not False:
        error = unknown(history, _reason(fault))
        error.__cause__ = None if isinstance(fault, Failure) else fault
    elif isinstance(fault, Failure):
        error = (errors.TransportError if history.may_have_acted else errors.NotSentError)(
            f"{request}: {fault.reason} (attempt {history.attempts})",
            endpoint=history.endpoint,
            path=request.target,
            attempts=history.attempts,
            permanent=fault.permanent,
        )
    else:
        error = fault
    if len(history.story) > 1:
        for line in history.story:
            error.add_note(line)
    return error


def unknown(history: History, reason: str) -> errors.OutcomeUnknownError:
    """Return the error that says that nobody knows what became of a call."""
    is_create = history.endpoint is CREATE_SMART_TRADE
    advice = "look for it with smart_trades.find_created(error)" if is_create else "read the trade"
    return errors.OutcomeUnknownError(
        f"{history.request} was sent and may have been carried out ({reason}): {advice} before repeating it",
        endpoint=history.endpoint,
        path=history.request.target,
        attempts=history.attempts,
        request=history.body,
        sent_at=history.sent_at,
        lost_at=history.lost_at,
    )


def told(problem: Exception) -> str:
    """Return an error as a part of a sentence: one that is not of this package with its class."""
    known = isinstance(problem, errors.ThreeCommasError)
    return str(problem) if known else f"{type(problem).__name__}: {problem}"


def _reason(fault: Fault) -> str:
    return fault.reason if isinstance(fault, Failure) else str(fault)


_REPEATABLE: Final = frozenset({Replay.SAFE, Replay.IDEMPOTENT})
_BY_STATE: Final = (errors.InvalidRequestError, errors.PermissionDeniedError, errors.NotFoundError)
_TIMED_OUT: Final = frozenset({408, 504, 524})
_ENGINE: Final = AsyncRetrying()
