"""Reads that several callers share: one request in flight for each key, and its answer for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

T = TypeVar("T")

KEPT: Final = 10_000
"""Answers that are kept unless told otherwise, the newest ones."""


class _Kept(Struct, frozen=True):
    value: Any
    at: float


class _Flight(Struct, Generic[T]):
    task: asyncio.Task[T]
    asker: object
    waiting: int = 0


class SharedReads:
    """Answers by key, kept for as long as the one who asks finds them fresh enough.

    Whoever asks while the same key is being asked for waits for that request. A failure is kept for nobody:
    those who waited for it get it too, unless they asked with other options, and then ask again themselves.
    A request that nobody waits for any more is cancelled.

    Args:
        clock: Seconds of a clock that never goes back.
        most: Answers that are kept, the newest ones; with 0 only those share one who ask at the same time.
    """

    def __init__(self, clock: Callable[[], float], *, most: int = KEPT) -> None:
        self._clock = clock
        self._most = most
        self._kept: dict[Hashable, _Kept] = {}
        self._flights: dict[Hashable, _Flight[Any]] = {}

    async def get(
        self,
        key: Hashable,
        read: Callable[[], Coroutine[Any, Any, T]],
        *,
        max_age: float,
        asker: object = None,
    ) -> T:
        """Return the answer for a key: one that is kept, one that is on its way, or a new one.

        Args:
            key: What is asked for.
            read: Asks for it.
            max_age: The greatest age of an answer, in seconds from the moment it was asked for.
            asker: With whose options it is asked for.

        Raises:
            Exception: What ``read`` raises.
        """
        while True:
            kept = self._kept.get(key)
            if kept is not None and self._clock() - kept.at < max_age:
                return cast("T", kept.value)
            flight = self._flights.get(key)
            if flight is None or flight.task.done():  # An eager task can be done before it is noted.
                flight = self._flights[key] = _Flight(asyncio.create_task(self._ask(key, read)), asker)
            try:
                return cast("T", await self._wait(key, flight))
            except Exception:
                if flight.asker is asker:
                    raise

    async def _wait(self, key: Hashable, flight: _Flight[T]) -> T:
        flight.waiting += 1
        try:
            # The request is not the first asker's alone: a cancelled one leaves it to the others.
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._land(key, flight.task)
                flight.task.cancel()

    async def _ask(self, key: Hashable, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        asked = self._clock()
        task = asyncio.current_task()
        try:
            value = await read()
            self._kept.pop(key, None)
            self._kept[key] = _Kept(value, asked)
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]
            return value
        finally:
            self._land(key, task)

    def _land(self, key: Hashable, task: object) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]
