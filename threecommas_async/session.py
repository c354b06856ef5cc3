"""The one loop of the package: permit, attempt, verdict."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from threecommas_async import errors, retry, wire
from threecommas_async.attempt import Attempt
from threecommas_async.deadline import Deadline, loop_time
from threecommas_async.endpoints import Endpoint, Replay
from threecommas_async.errand import DEEDS, Errand, take_down
from threecommas_async.gate import Gate
from threecommas_async.guard import PREVIEWING, Guard, check_preview
from threecommas_async.mode import AccountBook
from threecommas_async.recording import Recorder
from threecommas_async.recovery import Finder, Recovery, end_of, finder_of
from threecommas_async.refusals import refusal
from threecommas_async.retry import Fault, History
from threecommas_async.wire import Failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping

    import msgspec

    from threecommas_async.endpoints import ReadBack
    from threecommas_async.limits import Pacer
    from threecommas_async.signing import Credentials
    from threecommas_async.transport import Transport

T = TypeVar("T")

_SHORTEST_BAN: Final = 120.0
"""Seconds of the shortest published ban; the longest is 3 days."""

# On Python 3.11 the member of an enum takes a function call.
_ONCE: Final = Replay.ONCE
_SAFE: Final = Replay.SAFE

_SHORTEST_TIMEOUT: Final = 0.001
"""Seconds: to aiohttp a timeout of 0 is none at all."""

_FRESH: Final = 1.0
"""Seconds for which it is believed that an order is not there: the wait of its repetition for a permit."""

_REMEMBERED: Final = 10_000
"""Cancelled writes that are remembered, the newest ones."""

_attempts_log = logging.getLogger("threecommas_async.attempts")
_limits_log = logging.getLogger("threecommas_async.limits")
_retry_log = logging.getLogger("threecommas_async.retry")


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
        guard: Decides whether a write may be sent; None lets every write through.
        book: What is known of accounts; None begins with nothing.
        notice: Called with the row and the value of each call.
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
        guard: Guard | None = None,
        book: AccountBook | None = None,
        notice: Callable[[Endpoint[Any], object], None] = lambda _endpoint, _value: None,
        clock: Callable[[], float] = loop_time,
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
        self._errand: Errand | None = None
        self._can_be_called_off = False
        self._policy = policy or retry.RetryPolicy()
        self._on_attempt = on_attempt
        self._guard = guard
        self._notice = notice
        self._dry_run = False
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._gate = Gate(clock)
        self._budget = retry.RetryBudget()
        self._unknown: deque[errors.OutcomeUnknownError] = deque(maxlen=_REMEMBERED)
        self.recorder: Recorder = Recorder()
        self.book: AccountBook = book or AccountBook()

    def now(self) -> datetime:
        """Return the present instant, aware."""
        return self._now()

    def clock(self) -> float:
        """Return the seconds of a clock that never goes back."""
        return self._clock()

    def deadline(self) -> Deadline:
        """Return the deadline of a call that begins now."""
        return Deadline(self._timeout)

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

    def unplaced(self, trade_ids: Iterable[int]) -> set[int]:
        """Return the SmartTrades that the guard would read before a write on them."""
        return set() if self._guard is None else self._guard.unplaced(trade_ids)

    @property
    def is_dry(self) -> bool:
        """It builds writes and does not send them."""
        return self._dry_run

    def objection(self, endpoint: Endpoint[Any], path: Mapping[str, int]) -> errors.GuardError | None:
        """Return why the guard would refuse a write, by what is known now; None if it would not."""
        return None if self._guard is None else self._guard.objection(endpoint, path)

    def dry(self) -> Self:
        """Return a session that builds writes and does not send them."""
        view = copy.copy(self)
        view._dry_run = True  # noqa: SLF001 - a copy of its own
        view._guard = self._guard or Guard()  # noqa: SLF001 - as above
        return view

    def _exiting(self) -> Self:
        """Return a session whose reads go ahead like an exit, which needs them."""
        view = copy.copy(self)
        view._is_exit = True  # noqa: SLF001 - a copy of its own
        return view

    def _urgent(self) -> Self:
        """Return the same for reads about what became of a write."""
        return self._exiting().looking()

    def looking(self) -> Self:
        """Return a session for looks at what became of a write: nothing calls them off."""
        view = copy.copy(self)
        view._can_be_called_off = False  # noqa: SLF001 - a copy of its own
        return view

    def errand(self) -> Errand:
        """Return an errand for many calls, a part of the one that this session makes its calls for."""
        return Errand(self._errand)

    def patient(
        self,
        *,
        is_exit: bool = False,
        errand: Errand | None = None,
        can_be_called_off: bool = True,
    ) -> Self:
        """Return a session for the calls of something longer: a batch, a walk, a poll.

        Args:
            is_exit: All of its calls, reads too, serve to close or cancel.
            errand: Counts the calls, and can call them off.
            can_be_called_off: False for looks at what became of a write, which go on to their end.
        """
        view = copy.copy(self)
        view._max_wait = self._patience  # noqa: SLF001 - a copy of its own
        view._is_exit = is_exit or self._is_exit  # noqa: SLF001 - as above
        if errand is not None:
            view._errand = errand  # noqa: SLF001 - as above
            view._can_be_called_off = can_be_called_off  # noqa: SLF001 - as above
        return view

    def call(
        self,
        endpoint: Endpoint[T],
        /,
        *,
        path: Mapping[str, int] | None = None,
        query: Mapping[str, object] | None = None,
        body: msgspec.Struct | None = None,
        finder: Finder[T] | None = None,
        deadline: Deadline | None = None,
    ) -> Coroutine[Any, Any, T]:
        """Return a call to be awaited.

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
        if endpoint.replay is _SAFE:
            return self._run(endpoint, history, path, finder, deadline)
        make = self._guarded if self._guard is not None or PREVIEWING.get() else self._run
        write = make(endpoint, history, path, finder, deadline)
        if (deeds := DEEDS.get()) is None:
            return write
        history.deeds = deeds
        return deeds.watch(write)

    async def _run(
        self,
        endpoint: Endpoint[T],
        history: History,
        path: Mapping[str, int] | None,
        finder: Finder[T] | None,
        deadline: Deadline,
    ) -> T:
        request = history.request
        # An attempt that may be followed by a look or by another one leaves half of the time to it.
        share = 1.0 if finder is None and endpoint.replay is _ONCE else 0.5
        try:
            while True:
                max_wait = self._fresh(finder) if history.may_have_acted else self._max_wait
                outcome = await self._attempt(history, deadline, share, max_wait=max_wait)
                if self.recorder.is_on:
                    self.recorder.record(request, outcome)
                if isinstance(outcome, Failure):
                    fault: Fault = outcome
                elif not 200 <= outcome.status < 300:
                    fault = refusal(endpoint, request, outcome, now=self._now())
                elif outcome.status == 204 and endpoint.read_back:
                    value = await self._read_accepted(history, endpoint.read_back, path or {}, deadline)
                    return self._done(history, value)
                else:
                    try:
                        value = wire.read(endpoint, request, outcome, path=path)
                    except errors.DecodeError as error:
                        fault = error
                    else:
                        self._budget.give()
                        return self._done(history, value)
                history.sent = False
                finder = finder or finder_of(endpoint, path or {}, self._urgent)
                found = await self._recover(history, fault, finder, deadline)
                if found is not None:
                    return self._done(history, found)
        except BaseException as problem:
            self._end_early(history, problem)
            raise

    async def _guarded(
        self,
        endpoint: Endpoint[T],
        history: History,
        path: Mapping[str, int] | None,
        finder: Finder[T] | None,
        deadline: Deadline,
    ) -> T:
        """Make a call that changes something, if the guard lets it through."""
        if not self._dry_run:
            check_preview(endpoint)
        guard = self._guard or Guard()
        calls = self._exiting() if endpoint.is_exit else self
        read = partial(calls.call, deadline=deadline)
        admission = await guard.admit(endpoint, path or {}, history.body, read, asker=self)
        if self._dry_run:
            shown = errors.DryRunError(
                f"nothing was sent: {endpoint} was a dry run; .request of this error is what it was",
                endpoint=endpoint,
                request=history.request.masked(),
            )
            admission.failed(shown)
            raise shown
        history.confirm = admission.confirm
        try:
            self._gate.check()  # The client may have been closed while the guard looked.
            value = await self._run(endpoint, history, path, finder, deadline)
        except BaseException as problem:
            admission.failed(problem)
            raise
        admission.carried_out(value)
        return value

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

    def forget(self, error: errors.OutcomeUnknownError) -> None:
        """Take a cancelled write off the list."""
        with suppress(ValueError):
            self._unknown.remove(error)

    @property
    def in_flight_unknown(self) -> tuple[errors.OutcomeUnknownError, ...]:
        """The writes that were cancelled after they may have left, oldest first."""
        return tuple(self._unknown)

    def _done(self, history: History, value: T) -> T:
        self._notice(history.endpoint, value)
        if history.deeds is not None:
            history.deeds.accepted = True
        return value

    def _fresh(self, finder: Finder[T] | None) -> float | None:
        """Return how long a repetition may wait for its permit: what a look has seen grows old."""
        if finder is None or finder.guarded:
            return self._max_wait
        return _FRESH if self._max_wait is None else min(_FRESH, self._max_wait)

    async def _attempt(
        self, history: History, deadline: Deadline, share: float, *, max_wait: float | None
    ) -> wire.Response | Failure:
        is_watched = self._on_attempt is not None or _attempts_log.isEnabledFor(logging.DEBUG)
        asked = self._clock() if is_watched else 0.0
        outcome: wire.Response | Failure | None = None
        try:
            is_exit = self._is_exit or history.endpoint.is_exit
            if self._errand is None or not self._can_be_called_off:
                await self._limiter.acquire(is_exit=is_exit, max_wait=max_wait)
            else:
                acquire = partial(self._limiter.acquire, is_exit=is_exit, max_wait=max_wait)
                await self._errand.wait_for(acquire)
            if history.deeds is not None:
                history.deeds.sent = True
            try:
                if self._gate.is_shut:  # It may have been while this call waited for its permit.
                    self._gate.check()
                if history.confirm is not None:
                    history.confirm()
            except BaseException:
                self._limiter.release(answered=False)
                raise
            began = history.begin(self._clock())
            try:
                outcome = await self._transport.send(
                    history.request,
                    timeout=max(share * deadline.left, _SHORTEST_TIMEOUT),
                    new_connection=history.endpoint.replay is _ONCE,
                    progress=history,
                )
                return outcome
            finally:
                self._limiter.release(answered=type(outcome) is wire.Response and outcome.status != 429)
                elapsed = self._clock() - began
                deadline.left -= elapsed
                if self._errand is not None:
                    status = outcome.status if isinstance(outcome, wire.Response) else None
                    self._errand.count(attempt=history.attempts, status=status)
                if is_watched:
                    self._tell(history, outcome, waited=began - asked, elapsed=elapsed)
        except errors.ThreeCommasError as problem:
            if history.fault is None:
                raise
            # Nothing more can be sent: what the attempts so far have come to says more.
            history.tell(f"not sent again: {problem}")
            error = end_of(history, history.fault)
            raise error from error.__cause__

    async def _recover(
        self, history: History, fault: Fault, finder: Finder[T] | None, deadline: Deadline
    ) -> T | None:
        """Return what shows that the call took effect; None to send it again."""
        recovery = Recovery(
            history, deadline, finder, self._policy, self._budget, self._clock, self._now, self._sleep
        )
        self._heed(fault)
        return await recovery.follow(fault)

    async def _read_accepted(
        self, history: History, read_back: ReadBack[T], path: Mapping[str, int], deadline: Deadline
    ) -> T:
        history.lost(self._clock(), self._now())
        try:
            return await self._urgent().call(
                read_back.endpoint, path=read_back.path(path[read_back.parameter]), deadline=deadline
            )
        except Exception as problem:
            told = retry.told(problem)
            raise retry.unknown(
                history, f"204 No Content says that it was accepted, and reading it failed: {told}"
            ) from problem

    def _remember(self, history: History) -> None:
        """Keep a write that is cancelled if it may have left."""
        if self._may_have_acted(history):
            self._unknown.append(take_down(retry.unknown(history, "the call was cancelled")))
            _retry_log.warning(
                "%s was cancelled after it may have left: see client.in_flight_unknown()", history
            )

    def _end_early(self, history: History, problem: BaseException) -> None:
        """Keep or tell what may have been ordered by a call that something breaks off.

        Raises:
            OutcomeUnknownError: Something of the caller's has failed: a limiter, a handler of logs.
        """
        if isinstance(problem, asyncio.CancelledError):
            self._remember(history)
        elif isinstance(problem, errors.ThreeCommasError):
            take_down(problem)  # It says what may have been ordered.
        elif isinstance(problem, Exception) and self._may_have_acted(history):
            raise take_down(retry.unknown(history, retry.told(problem))) from problem

    def _may_have_acted(self, history: History) -> bool:
        """Whether a call that ends here and now may have been carried out, and is no read."""
        if history.endpoint.replay is Replay.SAFE:
            return False
        if history.sent:
            history.lost(self._clock(), self._now())
        return history.may_have_acted

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
            except (Exception, asyncio.CancelledError):  # noqa: BLE001 - the caller's function may raise anything
                _attempts_log.exception("on_attempt raised; the call goes on")

    def _heed(self, fault: Fault) -> None:
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
