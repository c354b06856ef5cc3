"""What many calls are made for, such as a batch: it counts their requests, and it can be called off."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeVar
from weakref import WeakSet

from threecommas_async.errors import BatchStoppedError, OutcomeUnknownError, ThreeCommasError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

T = TypeVar("T")
E = TypeVar("E", bound=ThreeCommasError)


class Deeds:
    """What the writes of a block have done, whichever client or task made them.

    Attributes:
        accepted: A write was answered with success, or its effect shows.
        unknown: A write has ended of which nobody can say whether it was carried out.
        sent: A write has had its permit: it may have left.
        under_way: Writes that have begun and not ended: what they order is not known yet.
    """

    def __init__(self) -> None:
        self.accepted: bool = False
        self.unknown: bool = False
        self.sent: bool = False
        self.under_way: int = 0

    async def watch(self, write: Awaitable[T]) -> T:
        """Make a write, which is under way from its first step to its end."""
        self.under_way += 1
        try:
            return await write
        finally:
            self.under_way -= 1


DEEDS: Final[ContextVar[Deeds | None]] = ContextVar("threecommas_async_deeds", default=None)
"""What learns of the writes that are made here, through whichever client; None where nothing does."""


@contextmanager
def taking_down() -> Generator[Deeds, None, None]:
    """Learn of the writes of a block, and of the tasks that it begins."""
    deeds, outer = Deeds(), DEEDS.get()
    token = DEEDS.set(deeds)
    try:
        yield deeds
    finally:
        DEEDS.reset(token)
        if outer is not None:
            outer.accepted |= deeds.accepted
            outer.unknown |= deeds.unknown or deeds.under_way > 0
            outer.sent |= deeds.sent


def took_effect() -> None:
    """Let whatever learns of the writes here know of one that was carried out."""
    if (deeds := DEEDS.get()) is not None:
        deeds.accepted = True


def take_down(error: E) -> E:
    """Let whatever learns of the writes here know of one whose outcome is unknown; return its error."""
    if isinstance(error, OutcomeUnknownError) and (deeds := DEEDS.get()) is not None:
        deeds.unknown = True
    return error


class Errand:
    """Counts the requests of many calls, and breaks off their waits once it is called off.

    What has left goes on to its end, looks at what became of it included; what waits for its first permit
    is not sent any more.

    Args:
        outer: The errand that this one is a part of: it counts the same requests, and calls both off.

    Attributes:
        requests: Attempts so far.
        retries: Those among them that were not the first one of their call.
        rate_limited: Those that were answered by a 429.
        called_off: Why nothing more is to be sent; None while it goes on.
    """

    def __init__(self, outer: Errand | None = None) -> None:
        self.requests: int = 0
        self.retries: int = 0
        self.rate_limited: int = 0
        self.called_off: Exception | None = None
        self._listeners: list[Callable[[Exception], None]] = []
        self._waiting: set[asyncio.Task[object]] = set()
        self._broken_off: set[asyncio.Task[object]] = set()
        self._outer = outer
        self._inner: WeakSet[Errand] = WeakSet()  # Those that are over are gone.
        if outer is not None:
            outer._inner.add(self)  # noqa: SLF001 - of the same class
            self.called_off = outer.called_off

    def count(self, *, attempt: int, status: int | None) -> None:
        """Count one attempt.

        Args:
            attempt: Its number among the attempts of its call, from 1.
            status: HTTP status of its answer; None where there is none.
        """
        self.requests += 1
        self.retries += attempt > 1
        self.rate_limited += status == 429
        if self._outer is not None:
            self._outer.count(attempt=attempt, status=status)

    def call_off(self, reason: Exception) -> None:
        """Let nothing more be sent; the first reason stays, and listeners hear of each."""
        if self.called_off is None:
            self.called_off = reason
            for task in self._waiting:
                self._broken_off.add(task)
                task.cancel()
        for listener in self._listeners:
            listener(reason)
        for inner in tuple(self._inner):
            inner.call_off(reason)

    def when_called_off(self, listener: Callable[[Exception], None]) -> None:
        """Call a function with the reason whenever it is called off; at once if it has been."""
        self._listeners.append(listener)
        if self.called_off is not None:
            listener(self.called_off)

    def call_off_in(self, seconds: float) -> asyncio.TimerHandle:
        """Let nothing more be sent once this deadline has passed.

        Returns:
            The timer, to be cancelled when all is done.
        """
        reason = BatchStoppedError(f"the deadline of {seconds:g} s had passed")
        return asyncio.get_running_loop().call_later(seconds, self.call_off, reason)

    def forget(self, listener: Callable[[Exception], None]) -> None:
        """Call a function no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def wait_for(self, wait: Callable[[], Awaitable[T]]) -> T:
        """Await something, until the errand is called off.

        Args:
            wait: Begins the wait; not called if the errand has been called off.

        Raises:
            BatchStoppedError: It was called off.
        """
        if self.called_off is not None:
            raise BatchStoppedError(str(self.called_off))
        task = asyncio.current_task()
        if task is None:
            return await wait()
        before = task.cancelling()
        self._waiting.add(task)
        try:
            return await wait()
        except asyncio.CancelledError:
            if task in self._broken_off and task.cancelling() == before + 1:
                raise BatchStoppedError(str(self.called_off)) from None
            raise
        finally:
            self._waiting.discard(task)
            if task in self._broken_off:  # However the wait took it, the cancellation was no one else's.
                self._broken_off.discard(task)
                task.uncancel()
