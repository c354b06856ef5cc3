"""Telling a caller's function of verdicts, so that nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from inspect import isawaitable
from typing import TYPE_CHECKING

from threecommas_async.batch.report import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from threecommas_async.batch.items import Item

OnProgress = Callable[[int, int | None, Outcome], object]
"""Called with the number of verdicts so far, the number of items (None if unknown) and the verdict."""

_log = logging.getLogger("threecommas_async.batch")


class Teller:
    """Tells a function of one verdict after the other, while the batch goes on.

    Args:
        on_progress: The function; None is told nothing.
    """

    def __init__(self, on_progress: OnProgress | None) -> None:
        self._on_progress = on_progress
        self._total: int | None = None
        self._told = 0
        self._untold: deque[tuple[int, Outcome]] = deque()
        self._news = asyncio.Event()
        self._is_over = False
        self._task: asyncio.Task[None] | None = None

    def begin(self, total: int | None) -> None:
        """Begin to tell of a batch of this many items; None if nobody knows."""
        self._total = total
        if self._on_progress is not None:
            self._task = asyncio.create_task(self._tell_all(self._on_progress))

    def tell(self, outcome: Outcome) -> None:
        """Tell of a verdict, soon."""
        self._told += 1
        if self._task is not None:
            self._untold.append((self._told, outcome))
            self._news.set()

    async def end(self, grace: float) -> None:
        """Let it hear the rest, for this many seconds at most."""
        if self._task is None:
            return
        self._is_over = True
        self._news.set()
        try:
            await asyncio.wait([self._task], timeout=max(grace, 0.0))
        finally:
            self.cut_off()

    def cut_off(self) -> None:
        """Tell it no more."""
        task, self._task = self._task, None
        if task is not None and task.cancel() and self._untold:
            _log.warning("on_progress is slow: it was not told of the last %d verdicts", len(self._untold))

    async def _tell_all(self, on_progress: OnProgress) -> None:
        while self._untold or not self._is_over:
            if self._untold:
                await self._tell(on_progress, *self._untold.popleft())
            else:
                self._news.clear()
                await self._news.wait()

    async def _tell(self, on_progress: OnProgress, done: int, outcome: Outcome) -> None:
        try:
            told = on_progress(done, self._total, outcome)
            if isawaitable(told):
                await told
        except (Exception, asyncio.CancelledError):
            if is_cancelled():
                raise
            _log.exception("on_progress raised; the batch goes on")


class Progress:
    """Tells of the verdicts of many rounds as if they were of one batch.

    Args:
        on_progress: Told of each verdict.
    """

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._known: set[int] = set()
        self._told: set[int] = set()

    def begin(self, items: Iterable[Item]) -> None:
        """Begin a round."""
        self._known |= {item.id for item in items}

    def __call__(self, _done: int, _total: int | None, outcome: Outcome) -> object:
        """Tell of a verdict; that on the same trade in a later round is no further one."""
        self._told.add(outcome.id or 0)
        return self._on_progress(len(self._told), len(self._known), outcome)


def is_cancelled() -> bool:
    """Whether this task is being cancelled: a `CancelledError` may also come from something it awaits."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
