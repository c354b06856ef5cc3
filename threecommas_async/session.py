"""The one loop of the package: permit, attempt, verdict."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeVar

from threecommas_async import errors, retry, wire
from threecommas_async.endpoints import Replay
from threecommas_async.wire import Failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping

    import msgspec

    from threecommas_async.endpoints import Endpoint, ReadBack
    from threecommas_async.limits import Limiter
    from threecommas_async.signing import Credentials
    from threecommas_async.transport import Transport

T = TypeVar("T")

_recordings: ContextVar[tuple[list[wire.Response], ...]] = ContextVar(
    "threecommas_async_recordings", default=()
)

_SHORTEST_BAN: Final = 120.0
"""Seconds of the shortest published ban; the longest is 3 days."""

_log = logging.getLogger("threecommas_async.limits")


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
        policy: How often and after which waits a request is sent again.
        clock: Seconds of a clock that never goes back.
        now: The present instant, aware.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self,
        credentials: Credentials,
        transport: Transport,
        limiter: Limiter,
        *,
        base_path: str,
        mode: str,
        timeout: float,
        max_wait: float | None,
        policy: retry.RetryPolicy | None = None,
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
        self._policy = policy or retry.RetryPolicy()
        self._clock = clock
        self._now = now
        self._sleep = sleep
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._ban: errors.BannedError | None = None
        self._banned_until = 0.0
        self._recording: list[list[wire.Response]] = []

    async def call(
        self,
        endpoint: Endpoint[T],
        /,
        *,
        path: Mapping[str, int] | None = None,
        query: Mapping[str, object] | None = None,
        body: msgspec.Struct | None = None,
    ) -> T:
        """Make one call.

        Args:
            endpoint: Its row.
            path: Values of the path template.
            query: Query parameters; those that are None are left out.
            body: Request body.

        Raises:
            ValueError: An argument cannot be sent. Nothing was sent.
            ThreeCommasError: See `threecommas_async.errors`.
        """
        self.check_usable()
        request = wire.build(
            endpoint,
            self._credentials,
            base_path=self._base_path,
            mode=self._mode,
            path=path,
            query=query,
            body=body,
        )
        attempt, spent = 0, 0.0
        failure: errors.ThreeCommasError | None = None
        while True:
            try:
                await self._limiter.acquire(max_wait=self._max_wait)
            except errors.LimitWaitError as too_far:
                raise failure or too_far from None
            sent_at, began = self._now(), self._clock()
            outcome = await self._attempt(
                request, timeout=self._timeout - spent, new_connection=endpoint.replay is Replay.ONCE
            )
            attempt += 1
            spent += self._clock() - began
            self._record(outcome)
            if isinstance(outcome, Failure):
                fault: retry.Fault = outcome
            elif outcome.status == HTTPStatus.NO_CONTENT and endpoint.read_back:
                return await self._read_back(endpoint.read_back, path or {})
            else:
                try:
                    return wire.read(endpoint, request, outcome, now=self._now())
                except (errors.APIStatusError, errors.DecodeError) as error:
                    fault = error
            self._heed(fault)
            failure = retry.final_error(endpoint, request, fault, attempts=attempt, sent_at=sent_at)
            wait = retry.wait_before_resend(
                self._policy, endpoint, fault, attempt=attempt, spent=spent, timeout=self._timeout
            )
            if wait is None:
                raise failure
            await self._sleep(wait)
            spent += wait

    async def close(self) -> None:
        """Close the transport. Calls that wait for a permit end with `ClientStateError` in their turn."""
        self._closed = True
        await self._transport.close()

    def check_usable(self) -> None:
        """Raise unless a call can be made here and now.

        Raises:
            ClientStateError: The client is closed, or was first used in another event loop.
            BannedError: The API has banned this IP address, as far as is known still.
        """
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

    async def _attempt(
        self, request: wire.Request, *, timeout: float, new_connection: bool
    ) -> wire.Response | Failure:
        try:
            self.check_usable()  # It may have been closed while this call waited for its permit.
            return await self._transport.send(request, timeout=timeout, new_connection=new_connection)
        finally:
            await self._limiter.release()

    async def _read_back(self, read_back: ReadBack[T], path: Mapping[str, int]) -> T:
        try:
            return await self.call(read_back.endpoint, path={"id": path[read_back.parameter]})
        except errors.ThreeCommasError as problem:
            raise errors.OutcomeUnknownError(
                f"the call was accepted (204 No Content), but reading the trade afterwards failed: {problem}",
                endpoint=read_back.endpoint,
            ) from problem

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
            self._recording = [other for other in self._recording if other is not answers]

    def _record(self, outcome: wire.Response | Failure) -> None:
        if self._recording and isinstance(outcome, wire.Response):
            for answers in _recordings.get():
                if any(answers is wanted for wanted in self._recording):
                    answers.append(outcome)

    def _heed(self, fault: retry.Fault) -> None:
        match fault:
            case errors.RateLimitedError():
                seconds = self._seconds_until(fault.retry_at, otherwise=self._limiter.limit.lockout)
                self._limiter.pause(seconds)
                _log.warning("429 from the API: nothing is sent for %.1f s", seconds)
            case errors.BannedError():
                seconds = self._seconds_until(fault.until, otherwise=_SHORTEST_BAN)
                self._ban, self._banned_until = fault, self._clock() + seconds
                _log.error("418 from the API, this IP address is banned: nothing is sent for %.1f s", seconds)
            case _:
                pass

    def _seconds_until(self, instant: datetime | None, *, otherwise: float) -> float:
        return otherwise if instant is None else (instant - self._now()).total_seconds()
