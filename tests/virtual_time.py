"""An event loop whose clock jumps to the next timer: hours of waiting cost no time."""

from __future__ import annotations

import asyncio
import functools
import selectors
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
P = ParamSpec("P")

_BEGAN: Final = datetime.now(UTC)
_ON_ITS_WAY: Final = 0.0002
"""Real seconds in which what has been sent over loopback arrives."""


class _JumpingSelector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events:
            return events
        if timeout is None:
            raise RuntimeError("every task waits for something that no timer will bring")
        # Every turn takes a nanosecond: a timer that is due in less would else be set anew for ever.
        self.now += max(timeout, 1e-9)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def block(self, seconds: float) -> None:
        """Let time pass without a turn of the loop, as in a callback that is slow."""
        self._jumping.now += seconds


class _PatientSelector(_JumpingSelector):
    """Lets what is on its way over loopback arrive before time jumps."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        patience = 1.0 if timeout is None else 0.0
        events = super(_JumpingSelector, self).select(patience)
        if not events and timeout is not None and timeout > 0:
            time.sleep(_ON_ITS_WAY)  # epoll would round it up to a millisecond.
        return events or super().select(timeout)


class PatientLoop(VirtualTimeLoop):
    """Virtual time for a server and its clients on one loop."""

    def __init__(self) -> None:
        self._jumping = _PatientSelector()
        asyncio.SelectorEventLoop.__init__(self, self._jumping)


def now() -> datetime:
    """The wall clock that agrees with that of the running loop."""
    loop = asyncio.get_running_loop()
    return _BEGAN + timedelta(seconds=loop.time()) if isinstance(loop, VirtualTimeLoop) else datetime.now(UTC)


def run(
    main: Coroutine[Any, Any, T], *, loop: Callable[[], asyncio.AbstractEventLoop] = VirtualTimeLoop
) -> T:
    """Run a coroutine to its end on a loop of virtual time that starts at 0."""
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)


def patient(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Let a test run on a `PatientLoop`, whatever the loop of the others."""

    @functools.wraps(test)
    def on_virtual_time(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(test(*args, **kwargs), loop=PatientLoop)

    return on_virtual_time
