"""How closely the limiter follows the request limit, beside aiolimiter used as one would at first.

Run: ``python -m benchmarks.limits`` from the root of the repository. First N calls at once through each
limiter, on a clock that jumps, against a server that counts arrivals in a strict sliding window of 100 a
minute: the largest window, the calls refused with 429, and the time taken beside the floor of 60 s for each
further hundred. Then what a permit costs in CPU while many wait, in real time.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from typing import TYPE_CHECKING, Final, Protocol

from aiolimiter import AsyncLimiter

from tests import virtual_time
from threecommas_async import Limiter, RateLimit
from threecommas_async.limits import GENERAL
from threecommas_async.sandbox.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS: Final = (50, 100, 250, 500, 1000)
WAITERS: Final = (100, 1000, 10_000)
ROUNDS: Final = 15


class Permits(Protocol):
    """What a call asks before it is sent, and tells when it is answered."""

    async def acquire(self) -> None: ...
    def release(self) -> None: ...


class Exits:
    """The limiter of this package, asked for closes."""

    def __init__(self, limit: RateLimit) -> None:
        self._limiter = Limiter(limit)

    async def acquire(self) -> None:
        await self._limiter.acquire(is_exit=True)

    def release(self) -> None:
        self._limiter.release()


class Bucket:
    """A leaky bucket of aiolimiter."""

    def __init__(self, rate: float, period: float) -> None:
        self._bucket = AsyncLimiter(rate, period)

    async def acquire(self) -> None:
        await self._bucket.acquire()

    def release(self) -> None:
        pass


LIMITERS: Final[dict[str, Callable[[], Permits]]] = {
    "Limiter(100 a minute)": lambda: Exits(GENERAL),
    "AsyncLimiter(100, 60)": lambda: Bucket(100, 60),
    "AsyncLimiter(50, 60)": lambda: Bucket(50, 60),
    "AsyncLimiter(1, 0.6)": lambda: Bucket(1, 0.6),
}
LATENCIES: Final[dict[str, Callable[[random.Random], float]]] = {
    "none": lambda _: 0.0,
    "20 to 80 ms": lambda chance: chance.uniform(0.02, 0.08),
    "20 to 400 ms, 2 % 4 s": lambda chance: 4.0 if chance.random() < 0.02 else chance.uniform(0.02, 0.4),
}


async def send(
    calls: int, permits: Permits, latency: Callable[[random.Random], float]
) -> tuple[int, int, float]:
    """Return the largest window, the refusals, and the seconds until the last answer."""
    loop, window, chance = asyncio.get_running_loop(), Window(GENERAL), random.Random(calls)

    async def one() -> None:
        await permits.acquire()
        total = latency(chance)
        way_in = chance.uniform(0, total)
        await asyncio.sleep(way_in)
        window.judge(loop.time())
        await asyncio.sleep(total - way_in)
        permits.release()

    await asyncio.gather(*(one() for _ in range(calls)))
    return window.worst_window(), window.counts[429] + window.counts[418], loop.time()


async def take(waiters: int, limiter: Limiter | None) -> float:
    """Return the CPU seconds in which so many tasks take a permit each."""

    async def one() -> None:
        if limiter is None:
            await asyncio.sleep(0)
        else:
            await limiter.acquire()
            limiter.release()

    began = time.process_time()
    await asyncio.gather(*(one() for _ in range(waiters)))
    return time.process_time() - began


async def cost(waiters: int) -> float:
    """Return the microseconds of CPU of a permit, those of the task around it excluded."""
    limit = RateLimit(requests=100, period=0.002, lockout=1.0)
    rounds = [await take(waiters, Limiter(limit)) - await take(waiters, None) for _ in range(ROUNDS)]
    return statistics.median(rounds) / waiters * 1e6


def main() -> None:
    """Print the tables."""
    print(f"{'latency':<22} {'calls':>5}  {'limiter':<22} {'worst window':>12} {'refused':>8} {'÷ floor':>8}")
    for latency, draw in LATENCIES.items():
        for calls in CALLS:
            floor = GENERAL.floor(calls)
            for name, make in LIMITERS.items():
                worst, refused, elapsed = virtual_time.run(send(calls, make(), draw))
                beside = f"{elapsed / floor:8.3f}" if floor else f"{elapsed:6.1f} s"
                print(f"{latency:<22} {calls:>5}  {name:<22} {worst:>12} {refused:>8} {beside}")
    print()
    for waiters in WAITERS:
        print(f"{waiters:>6} waiting: {asyncio.run(cost(waiters)):5.2f} us of CPU a permit")


if __name__ == "__main__":
    main()
