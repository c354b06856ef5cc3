"""The one loop of the package: permit, attempt, verdict."""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections import deque
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar

from threecommas_async import errors, retry, wire
from threecommas_async.endpoints import Endpoint, Replay
from threecommas_async.models.decoding import Page
from threecommas_async.retry import History, Step
from threecommas_async.wire import Failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping

    import msgspec

    from threecommas_async.endpoints import ReadBack
    from threecommas_async.limits import Pacer
    from threecommas_async.models.trade import Trade
    from threecommas_async.signing import Credentials
    from threecommas_async.transport import Transport

T = TypeVar("T")

_recordings: ContextVar[tuple[list[wire.Response], ...]] = ContextVar(
    "threecommas_async_recordings", default=()
)

_SHORTEST_BAN: Final = 120.0
"""Seconds of the shortest published ban; the longest is 3 days."""

_ONCE: Final = Replay.ONCE  # On Python 3.11 the member of an enum takes a function call.

_SHORTEST_TIMEOUT: Final = 0.001
"""Seconds: to aiohttp a timeout of 0 is none at all."""

_REMEMBERED: Final = 10_000
"""Cancelled writes that are remembered, the newest ones."""

_attempts_log = logging.getLogger("threecommas_async.attempts")
_limits_log = logging.getLogger("threecommas_async.limits")
_retry_log = logging.getLogger("threecommas_async.retry")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a call, for those who watch a client at work.

    Args:
        endpoint: The row of the call.
        path: Path and query of the request, the path of the base URL included.
        attempt: Its number among the attempts of the call, from 1.
        waited: Seconds that it waited for its permit.
        sent: The request may have left this machine.
        outcome: HTTP status, or why there is none.
        elapsed: Seconds from the permit to the end of the attempt.
    """

    endpoint: Endpoint[Any]
    path: str
    attempt: int
    waited: float
    sent: bool
    outcome: int | str
    elapsed: float

    def __str__(self) -> str:
        return (
            f"{self.endpoint.method} {self.path.partition('?')[0]} attempt {self.attempt}: {self.outcome} "
            f"after {self.elapsed:.3f} s, waited {self.waited:.3f} s for its permit"
        )


@dataclass(frozen=True, slots=True)
class Finder(Generic[T]):
    """How to find out whether a call took effect whose answer was lost.

    Args:
        look: Returns what shows the effect, or None where there is none; takes the deadline of the call, and
            when the first attempt began that may have been carried out.
        guarded: The API refuses the call once it took effect, so that it can be made again after one look.
            Otherwise it is made again only if no look of a whole settle time finds it.
    """

    look: Callable[[Deadline, datetime], Awaitable[T | None]]
    guarded: bool


class Deadline:
    """The seconds that a call has left; those that it waits for permits do not count.

    Args:
        left: Seconds.
    """

    __slots__ = ("left",)

    def __init__(self, left: float) -> None:
        self.left = left


class Session:
    """Makes calls: builds and signs the request, paces it, sends it, and decides what its end means.

    Args:
        credentials: Who signs.
        transport: Sends one attempt.
        limiter: Paces the attempts.
        base_path: Path of the base URL.
        mode: ``real`` or ``paper``.
        timeout: Seconds that the attempts of one call and the waits between them may take together;
            the wait for a permit does not count.
        max_wait: The longest acceptable wait for a permit in seconds; None waits as long as it takes.
        patience: The same for the calls of a batch, a walk or a poll.
        policy: How often and after which waits a request is sent again.
        on_attempt: Called after each attempt.
        clock: Seconds of a clock that never goes back.
        now: The present instant, aware.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        credentials: Credentials,
        transport: Transport,
        limiter: Pacer,
        *,
        base_path: str,
        mode: str,
        timeout: float,
        max_wait: float | None,
        patience: float | None = None,
        policy: retry.RetryPolicy | None = None,
        on_attempt: Callable[[Attempt], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._credentials = credentials
        self._transport = transport
        self._limiter = limiter
        self._base_path = base_path
        self._mode = mode
        self._timeout = timeout
        self._max_wait = max_wait
        self._patience = patience
        self._is_exit = False
        self._policy = policy or retry.RetryPolicy()
        self._on_attempt = on_attempt
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._gate = _Gate(clock)
        self._budget = retry.RetryBudget()
        self._unknown: deque[errors.OutcomeUnknownError] = deque(maxlen=_REMEMBERED)
        self._recording: list[list[wire.Response]] = []

    @property
    def limiter(self) -> Pacer:
        """What paces the attempts."""
        return self._limiter

    def with_options(self, *, timeout: float | None, max_wait: float | None) -> Self:
        """Return a session that shares everything with this one but these options; None leaves one."""
        view = copy.copy(self)
        if timeout is not None:
            view._timeout = timeout  # noqa: SLF001 - a copy of its own
        if max_wait is not None:
            view._max_wait = view._patience = max_wait  # noqa: SLF001 - a copy of its own
        return view

    def patient(self, *, is_exit: bool = False) -> Self:
        """Return a session for the calls of something longer: a batch, a walk, a poll.

        Args:
            is_exit: All of its calls, reads too, serve to close or cancel.
        """
        view = copy.copy(self)
        view._max_wait = self._patience  # noqa: SLF001 - a copy of its own
        view._is_exit = is_exit or self._is_exit  # noqa: SLF001 - as above
        return view

    async def call(
        self,
        endpoint: Endpoint[T],
        /,
        *,
        path: Mapping[str, int] | None = None,
        query: Mapping[str, object] | None = None,
        body: msgspec.Struct | None = None,
        finder: Finder[T] | None = None,
        deadline: Deadline | None = None,
    ) -> T:
        """Make one call.

        Args:
            endpoint: Its row.
            path: Values of the path template.
            query: Query parameters; those that are None are left out.
            body: Request body.
            finder: How to find out whether it took effect; None is what the row says.
            deadline: The deadline of a call that this one is a part of.

        Raises:
            ValueError: An argument cannot be sent. Nothing was sent.
            ThreeCommasError: See `threecommas_async.errors`.
        """
        self._gate.check()
        request = wire.build(
            endpoint,
            self._credentials,
            base_path=self._base_path,
            mode=self._mode,
            path=path,
            query=query,
            body=body,
        )
        history = History(endpoint, request, body)
        deadline = deadline or Deadline(self._timeout)
        # An attempt that may be followed by a look or by another one leaves half of the time to it.
        share = 1.0 if finder is None and endpoint.replay is _ONCE else 0.5
        try:
            while True:
                outcome = await self._attempt(history, deadline, share)
                history.sent = False
                if self._recording:
                    self._record(outcome)
                if isinstance(outcome, Failure):
                    fault: retry.Fault = outcome
                elif outcome.status == 204 and endpoint.read_back:
                    return await self._read_accepted(history, endpoint.read_back, path or {}, deadline)
                elif 200 <= outcome.status < 300:
                    try:
                        value = wire.read(endpoint, request, outcome)
                    except errors.DecodeError as error:
                        fault = error
                    else:
                        self._budget.give()
                        return value
                else:
                    fault = wire.refusal(endpoint, request, outcome, now=self._now())
                found = await self._recover(
                    history, fault, finder or self._finder(endpoint, path or {}), deadline
                )
                if found is not None:
                    return found
        except asyncio.CancelledError:
            self._remember(history)
            raise

    async def close(self) -> None:
        """Close the transport. Calls that wait for a permit end with `ClientStateError` in their turn."""
        self._gate.close()
        await self._limiter.close()
        await self._transport.close()

    def check_usable(self) -> None:
        """Raise unless a call can be made here and now.

        Raises:
            ClientStateError: The client is closed, or was first used in another event loop.
            BannedError: The API has banned this IP address, as far as is known still.
        """
        self._gate.check()

    @property
    def in_flight_unknown(self) -> tuple[errors.OutcomeUnknownError, ...]:
        """The writes that were cancelled after they may have left, oldest first."""
        return tuple(self._unknown)

    @contextmanager
    def recording(self) -> Generator[list[wire.Response], None, None]:
        """Collect the answers to the calls that are made inside the block, by this task and its children."""
        answers: list[wire.Response] = []
        before = _recordings.get()
        _recordings.set((*before, answers))
        self._recording.append(answers)
        try:
            yield answers
        finally:
            # Not with the token: a generator may be finalised in another context than it began in.
            _recordings.set(before)
            self._recording[:] = [other for other in self._recording if other is not answers]

    async def _attempt(self, history: History, deadline: Deadline, share: float) -> wire.Response | Failure:
        asked = self._clock()
        outcome: wire.Response | Failure | None = None
        try:
            await self._limiter.acquire(
                is_exit=self._is_exit or history.endpoint.is_exit, max_wait=self._max_wait
            )
            began = history.begin(self._clock())
            try:
                if self._gate.is_shut:  # It may have been while this call waited for its permit.
                    self._gate.check()
                outcome = await self._transport.send(
                    history.request,
                    timeout=max(share * deadline.left, _SHORTEST_TIMEOUT),
                    new_connection=history.endpoint.replay is _ONCE,
                    progress=history,
                )
                return outcome
            finally:
                await self._limiter.release(answered=type(outcome) is wire.Response and outcome.status != 429)
                elapsed = self._clock() - began
                deadline.left -= elapsed
                if self._on_attempt is not None or _attempts_log.isEnabledFor(logging.DEBUG):
                    self._tell(history, outcome, waited=began - asked, elapsed=elapsed)
        except errors.ThreeCommasError as stopped:
            # Nothing more can be sent: what is known of the earlier attempts is the answer.
            raise stopped if history.fault is None else retry.final_error(history, history.fault) from None

    async def _recover(
        self, history: History, fault: retry.Fault, finder: Finder[T] | None, deadline: Deadline
    ) -> T | None:
        """Return what shows that the call took effect; None to send it again."""
        self._heed(fault)
        history.take_down(fault, clock=self._clock(), now=self._now())
        step = retry.next_step(history, fault, can_look=finder is not None)
        _retry_log.info("%s: %s; next: %s", history.request, history.story[-1], step.name)
        if finder is not None and step in {Step.LOOK, Step.CONFIRM}:
            found = await self._find_out(history, fault, finder, deadline, confirm=step is Step.CONFIRM)
            if found is not None:
                return found
            if step is Step.CONFIRM:
                raise retry.final_error(history, fault, took_effect=False)
            if retry.may_act_later(fault) and not finder.guarded:
                step = Step.GIVE_UP
        wait = retry.wait_before_resend(self._policy, history.attempts, step=step, left=deadline.left)
        if wait is None or not (step is Step.WAIT_FOR_LIMIT or self._budget.take()):
            raise retry.final_error(history, fault)
        await self._pause(wait, deadline)
        return None

    async def _find_out(
        self,
        history: History,
        fault: retry.Fault,
        finder: Finder[T],
        deadline: Deadline,
        *,
        confirm: bool,
    ) -> T | None:
        """Return what shows that the call took effect; None if it did not.

        Args:
            history: The call.
            fault: How the latest attempt ended.
            finder: How to find out.
            deadline: The seconds that are left.
            confirm: A repetition was refused: look at once, and again until nothing can show any more.

        Raises:
            OutcomeUnknownError: That cannot be said.
        """
        is_absent = False
        for pause in (0.0, *self._policy.settle) if confirm else self._policy.settle:
            if pause >= deadline.left:
                is_absent = False
                break
            await self._pause(pause, deadline)
            try:
                found = await finder.look(deadline, history.sent_at or self._now())
            except errors.ThreeCommasError as problem:
                is_absent = False
                history.tell(f"looking for its effect failed: {problem}")
                continue
            if found is not None:
                return found
            is_absent = True
            history.tell("looking for its effect: it does not show")
            if finder.guarded and not confirm:
                break
        if not is_absent:
            raise retry.final_error(history, fault)
        return None

    def _finder(self, endpoint: Endpoint[T], path: Mapping[str, int]) -> Finder[T] | None:
        if endpoint.replay is not Replay.READ_BACK or endpoint.read_back is None:
            return None
        return Finder(partial(self._look, endpoint.read_back, path), guarded=True)

    async def _look(
        self, read_back: ReadBack[T], path: Mapping[str, int], deadline: Deadline, _sent_at: datetime
    ) -> T | None:
        id = path[read_back.parameter]
        calls = self.patient(is_exit=True)
        orders: Page[Trade] = Page()
        if read_back.orders is not None:
            orders = await calls.call(read_back.orders, path={"smart_trade_id": id}, deadline=deadline)
        entity = await calls.call(read_back.endpoint, path={"id": id}, deadline=deadline)
        shows = read_back.shows
        return entity if shows is not None and shows(entity, orders, path) else None

    async def _read_accepted(
        self, history: History, read_back: ReadBack[T], path: Mapping[str, int], deadline: Deadline
    ) -> T:
        history.lost(self._clock(), self._now())
        try:
            return await self.patient(is_exit=True).call(
                read_back.endpoint, path={"id": path[read_back.parameter]}, deadline=deadline
            )
        except errors.ThreeCommasError as problem:
            raise retry.unknown(
                history, f"204 No Content says that it was accepted, and reading the trade failed: {problem}"
            ) from problem

    async def _pause(self, seconds: float, deadline: Deadline) -> None:
        await self._sleep(seconds)
        deadline.left -= seconds

    def _remember(self, history: History) -> None:
        if history.endpoint.replay is Replay.SAFE:
            return
        if history.sent:
            history.lost(self._clock(), self._now())
        if history.may_have_acted:
            self._unknown.append(retry.unknown(history, "the call was cancelled"))
            _retry_log.warning("%s was cancelled after it may have left", history.request)

    def _tell(
        self, history: History, outcome: wire.Response | Failure | None, *, waited: float, elapsed: float
    ) -> None:
        match outcome:
            case None:
                end: int | str = "broken off"
            case Failure():
                end = history.request.mask(outcome.reason)
            case wire.Response():
                end = outcome.status
        attempt = Attempt(
            history.endpoint, history.request.target, history.attempts, waited, history.sent, end, elapsed
        )
        _attempts_log.debug("%s", attempt)
        if self._on_attempt is not None:
            try:
                self._on_attempt(attempt)
            except Exception:  # noqa: BLE001 - the caller's function may raise anything
                _attempts_log.exception("on_attempt raised; the call goes on")

    def _record(self, outcome: wire.Response | Failure) -> None:
        if isinstance(outcome, wire.Response):
            for answers in _recordings.get():
                if any(answers is wanted for wanted in self._recording):
                    answers.append(outcome)

    def _heed(self, fault: retry.Fault) -> None:
        match fault:
            case errors.RateLimitedError():
                seconds = self._seconds_until(fault.retry_at, otherwise=self._limiter.limit.lockout)
                self._limiter.pause(seconds)
                _limits_log.warning("429 from the API: nothing is sent for %.1f s", seconds)
            case errors.BannedError():
                seconds = self._seconds_until(fault.until, otherwise=_SHORTEST_BAN)
                self._gate.ban(fault, seconds)
                _limits_log.error(
                    "418 from the API, this IP address is banned: nothing is sent for %.1f s", seconds
                )
            case _:
                pass

    def _seconds_until(self, instant: datetime | None, *, otherwise: float) -> float:
        return otherwise if instant is None else (instant - self._now()).total_seconds()


class _Gate:
    """Whether anything may be sent: not once the client is closed, from another loop, or during a ban."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.is_shut = False
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._ban: errors.BannedError | None = None
        self._banned_until = 0.0

    def close(self) -> None:
        self._closed = self.is_shut = True

    def ban(self, error: errors.BannedError, seconds: float) -> None:
        self._ban, self._banned_until = error, self._clock() + seconds
        self.is_shut = True

    def check(self) -> None:
        if self._closed:
            raise errors.ClientStateError("the client is closed: nothing was sent")
        if self._ban and self._clock() < self._banned_until:
            banned = errors.BannedError(
                f"nothing was sent: this IP address is banned ({self._ban})",
                status=self._ban.status,
                error=self._ban.error,
                endpoint=self._ban.endpoint,
                request_id=self._ban.request_id,
            )
            banned.until = self._ban.until
            raise banned
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise errors.ClientStateError(
                "the client belongs to another event loop: make one for each loop; nothing was sent"
            )
