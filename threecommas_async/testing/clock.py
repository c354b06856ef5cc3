"""A clock that a test moves by hand: the event loop's and the sandbox's, together."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from threecommas_async.sandbox import Sandbox

T = TypeVar("T")

_POLLS: Final = 10
"""Looks at sockets and timers, one after the other, that all find nothing: then everybody waits."""

_GRACE: Final = 0.003
"""Real seconds that these looks take at least: the kernel may be late with what is on its way."""


class Clock:
    """Moves time: hours of waiting take milliseconds.

    It moves the clock of the running event loop, and with it ``asyncio.sleep``, every timeout, the client's
    request limit, its pauses, its retries, the hour of its risk limits and what it knows of a ban; and the
    clock of a sandbox, with everything that happens there. Timers go off one after the other, each at its own
    instant, and between two of them everybody does what there is to do, requests to the sandbox included.

    It does not move ``datetime.now()``, ``time.time()`` and ``time.monotonic()``, nor anything that runs in
    another thread or process: what waits for those may meet its timeout at once. So it does not move what the
    client compares with the wall clock, such as ``OutcomeUnknownError.settled_at``.

    Make it in the event loop of the test; asyncio's own loops can be moved, uvloop's cannot. For
    uvloop there is `Sandbox.advance`, which moves the sandbox alone.

    Args:
        sandbox: The sandbox to take along; None moves the event loop alone.

    Raises:
        RuntimeError: No event loop is running, or it is none of asyncio's own.
    """

    def __init__(self, sandbox: Sandbox | None = None) -> None:
        self._sandbox = sandbox
        self._ahead = _movable(asyncio.get_running_loop())

    @property
    def time(self) -> float:
        """Seconds on the clock that is moved, from any beginning; ``loop.time()``."""
        return self._ahead.loop.time()

    async def advance(self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0) -> None:
        """Let time pass; returns when everybody has done what there was to do, and waits again.

        What is due every second takes its 3600 turns in an hour: let long times pass with long intervals.

        Args:
            seconds: Seconds of the event loop. With the sandbox's ``time_scale`` of 1, which the fixture
                has, they are the sandbox's too; with another one as many times as many pass there.
            minutes: As many minutes on top.
            hours: As many hours on top.

        Example::

            bot = asyncio.create_task(run_bot(client))
            await clock.advance(hours=1)

        Raises:
            ValueError: The time is negative or not finite.
        """
        length = seconds + 60 * minutes + 3600 * hours
        if not 0 <= length < math.inf:
            raise ValueError(f"time cannot pass by {length!r} s")
        await self._settle()
        # The real time that the turns of the loop take is no part of the length.
        while (wait := self._next_timer() - self.time) <= length:
            self._jump(self.time + wait)
            length -= max(wait, 0.0)
            await self._settle()
        self._jump(self.time + length)
        await self._settle()

    async def run(self, work: Awaitable[T], *, within: float = 86400.0) -> T:
        """Wait for something, and skip the waits in it; returns what it returns and raises what it raises.

        Args:
            work: What to wait for: a coroutine, a task, a call.
            within: Seconds of the moved clock that it may take.

        Example::

            report = await clock.run(client.smart_trades.close_many(range(1, 251)))

        Raises:
            TimeoutError: It was not done in time, and is cancelled.
        """
        task = asyncio.ensure_future(work)
        end = self.time + within
        try:
            while not task.done():
                await self._settle(unless=task)
                due = self._next_timer()
                if task.done():
                    break
                if due == math.inf:
                    await asyncio.sleep(_GRACE)  # No timer is set: what it waits for takes real time.
                elif due > end:
                    raise TimeoutError(f"not done within {within:g} s of the moved clock")
                else:
                    self._jump(due)
            return await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    async def _settle(self, unless: asyncio.Future[Any] | None = None) -> None:
        """Return when nobody has anything to do, or `unless` is done."""
        polls, since = 0, time.monotonic()
        while polls < _POLLS or time.monotonic() - since < _GRACE:
            await asyncio.sleep(0)
            if unless is not None and unless.done():
                return
            if self._ahead.is_busy():
                polls, since = 0, time.monotonic()
            else:
                polls += 1

    def _next_timer(self) -> float:
        return self._ahead.next_timer()

    def _jump(self, instant: float) -> None:
        seconds = instant - self.time
        if seconds > 0:
            self._ahead.seconds += seconds
            if self._sandbox is not None:
                self._sandbox.advance(seconds * self._sandbox.time_scale)


class _Ahead:
    """How far the clock of a loop is ahead of the real one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: asyncio.AbstractEventLoop = loop
        self.seconds: float = 0.0
        # asyncio says nowhere else whether a loop has work, and when its next timer is due.
        self._ready: Any = getattr(loop, "_ready")  # noqa: B009 - private: a checker would not let it pass
        real = loop.time
        # `time` of a loop may be overridden; it is set here, as the loop runs already.
        setattr(loop, "time", lambda: real() + self.seconds)  # noqa: B010 - to a checker it is a method

    def is_busy(self) -> bool:
        return bool(self._ready)

    def next_timer(self) -> float:
        timers: list[asyncio.TimerHandle] = getattr(self.loop, "_scheduled")  # noqa: B009 - as above
        return timers[0].when() if timers else math.inf  # A heap; the loop throws out cancelled heads.


# For the life of the loop: a clock that has been moved ahead must not go back.
_moved: WeakKeyDictionary[asyncio.AbstractEventLoop, _Ahead] = WeakKeyDictionary()


def _movable(loop: asyncio.AbstractEventLoop) -> _Ahead:
    if not isinstance(loop, asyncio.BaseEventLoop):
        raise RuntimeError(
            f"the clock of a {type(loop).__module__} event loop cannot be moved: use asyncio's own for this "
            "test, or move the sandbox alone with sandbox.advance()"
        )
    if loop not in _moved:
        _moved[loop] = _Ahead(loop)
    return _moved[loop]
