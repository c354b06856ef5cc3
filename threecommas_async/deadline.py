"""The seconds that a call has left, and the clock that they are counted on."""

from __future__ import annotations

import asyncio


def loop_time() -> float:
    """Return the seconds of the clock that timers and the limiter are on.

    Where it is moved, everything moves that is counted on it.
    """
    return asyncio.get_running_loop().time()


class Deadline:
    """The seconds that a call has left; those that it waits for permits do not count.

    Args:
        left: Seconds.
    """

    __slots__ = ("left",)

    def __init__(self, left: float) -> None:
        self.left: float = left
