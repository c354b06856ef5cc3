"""How closely the limiter follows the request limit, beside aiolimiter used as one would at first.

Run: ``python -m benchmarks.limits`` (half a minute). First N calls at once through each
limiter, on a clock that jumps, against a server that counts arrivals in a strict sliding window of 100 a
minute: the largest window, the calls refused with 429, and the time taken beside the floor of 60 s for each
further hundred. Then what a permit costs in CPU that had to be waited for, in real time.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from aiolimiter import AsyncLimiter

from benchmarks.rounds import spread, take_turns
from benchmarks.tables import table
from tests import virtual_time
from threecommas_async import Limiter, RateLimit
from threecommas_async.limits import GENERAL
from threecommas_async.sandbox.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CALLS: Final = (50, 100, 250, 500, 1000)
WAITERS: Final = (100, 1000, 10_000)
ROUNDS: Final = 15
SHORT: Final = RateLimit(requests=100, period=0.002, lockout=1.0)
"""A limit for which nobody waits long: what is measured is the work."""


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


async def take(waiters: int, *, asking: bool = True) -> float:
    """Return the CPU seconds of so many tasks that ask for a permit each while all are taken.

    Args:
        waiters: How many.
        asking: Whether they do ask; if not, it is what their tasks cost without it.
    """
    permits = Exits(SHORT)
    for _ in range(SHORT.requests):
        await permits.acquire()

    async def one() -> None:
        if asking:
            await permits.acquire()
            permits.release()

    async def give_back() -> None:
        for _ in range(SHORT.requests):
            permits.release()

    gc.collect()
    began = time.process_time()
    await asyncio.gather(*(one() for _ in range(waiters)), give_back())
    return time.process_time() - began


def costs() -> Iterator[tuple[object, ...]]:
    """Give the rows of what a permit costs, without the task that takes it."""
    for waiters in WAITERS:
        sides = {asking: partial(_taken, waiters, asking) for asking in (True, False)}
        rounds = take_turns(sides, rounds=ROUNDS)
        permits = (with_it - without for with_it, without in zip(rounds[True], rounds[False], strict=True))
        yield waiters, f"{spread(seconds / waiters * 1e6 for seconds in permits):.2f}"


def _taken(waiters: int, asking: bool) -> float:
    return asyncio.run(take(waiters, asking=asking))


def admitted(calls: int, make: Callable[[], Permits], draw: Callable[[random.Random], float]) -> str:
    """Return the cell of one limiter."""
    worst, refused, elapsed = virtual_time.run(send(calls, make(), draw))
    floor = GENERAL.floor(calls)
    return f"{worst} · {refused} · " + (f"{elapsed / floor:.3f}" if floor else f"{elapsed:.1f} s")


def main() -> None:
    """Print the tables."""
    rows = [
        (latency, calls, *(admitted(calls, make, draw) for make in LIMITERS.values()))
        for latency, draw in LATENCIES.items()
        for calls in CALLS
    ]
    print(
        f"N calls at once against a server that counts arrivals in a strict sliding window of "
        f"{GENERAL.requests} a minute, on a clock that jumps. In each cell: the largest window, the calls "
        "refused, and the time taken ÷ the floor (in seconds where the floor is 0).\n"
    )
    print(table(("latency", "N", *(f"`{name}`" for name in LIMITERS)), rows))
    print(
        "\nWhat a permit costs that has to be waited for, in real time: all are taken when so many tasks ask "
        f"for one. The tasks themselves do not count. Medians of {ROUNDS} rounds, with quartiles.\n"
    )
    print(table(("waiting", "a permit, µs CPU"), costs(), texts=0))


if __name__ == "__main__":
    main()
