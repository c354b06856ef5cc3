"""Time that is measured so that a busy machine does not lengthen it."""

from __future__ import annotations

import asyncio

from tests.virtual_time import VirtualTimeLoop


class Stopwatch:
    """Measures time on the clock of the loop; real time only while the machine lets the loop run.

    Of the real time between two of its turns the first 20 ms count: in the rest the machine served others.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._before = 0.0
        self._beating = None if isinstance(self._loop, VirtualTimeLoop) else asyncio.create_task(self._beat())

    @property
    def elapsed(self) -> float:
        passed = self._loop.time() - self._since
        return self._before + (passed if self._beating is None else min(passed, 0.02))

    def stop(self) -> None:
        if self._beating is not None:
            self._beating.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            self._before, self._since = self.elapsed, self._loop.time()
