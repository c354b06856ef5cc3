"""What a server sees of those who keep a request limit."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from threecommas_async.limits import Pacer


def worst_window(arrivals: Iterable[float], period: float) -> int:
    """The largest number of arrivals in any window [t, t + period)."""
    times = sorted(arrivals)
    windows = (bisect_left(times, start + period) - place for place, start in enumerate(times))
    return max(windows, default=0)


async def send(
    limiter: Pacer, arrivals: list[float], *, out: float = 0.0, back: float = 0.0, is_exit: bool = False
) -> None:
    """Send one request, and take down when it arrives.

    Args:
        limiter: Paces it.
        arrivals: Takes the instant, on the clock of the loop.
        out: Seconds that it is on its way.
        back: Seconds from there to its answer.
        is_exit: It closes or cancels.
    """
    await limiter.acquire(is_exit=is_exit)
    try:
        await asyncio.sleep(out)
        arrivals.append(asyncio.get_running_loop().time())
        await asyncio.sleep(back)
    finally:
        limiter.release()
