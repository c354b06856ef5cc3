"""What a batch of closes takes: time beside the floor of the limit, memory, and the loop's longest turn.

Run: ``python -m benchmarks.batch`` (a minute and a half). The server is another process on loopback that
answers each close with the documented answer. The limit is 100 requests in 3 s, a twentieth of the published
one, for 100, 500 and 1 000 closes, and 10 000 with ``--long`` (five minutes more). Memory and turns of the
loop are those of closes without a limit to wait for. Turns are counted in CPU time of the thread: others on
the machine do not count.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any, Final

from benchmarks.pages import FIRST_ID
from benchmarks.server import NEVER_REACHED, serving
from benchmarks.tables import table
from threecommas_async import RateLimit, ThreeCommas

if TYPE_CHECKING:
    from threecommas_async import BatchReport

SIZES: Final = (100, 500, 1000)
LONG: Final = 10_000
UNPACED_SIZES: Final = (1000, 10_000)
WARM_UP: Final = 100
PACED: Final = ("closes", "floor, s", "elapsed, s", "÷ floor", "over the floor, ms", "without a limit, ms")
UNPACED: Final = ("closes", "report, bytes a trade", "beside it at most, MB", "longest turn, ms CPU")
LIMIT: Final = RateLimit(requests=100, period=3.0, lockout=15.0)


def client_of(origin: str, limit: RateLimit) -> ThreeCommas:
    """Return a client of the server."""
    base_url = f"{origin}/public/api"
    # With "paper" it would read each trade first, to know its account.
    return ThreeCommas("the-key", "the-secret", mode="real", base_url=base_url, limits=limit)


async def close(client: ThreeCommas, count: int) -> BatchReport:
    """Close this many trades, each of another id."""
    ids = list(range(FIRST_ID, FIRST_ID + count))
    report = await asyncio.create_task(client.smart_trades.close_many(ids))  # Its turns alone.
    report.raise_for_failures()
    return report


async def against_the_floor(origin: str, count: int) -> tuple[object, ...]:
    """Return how long a batch takes under the limit, and without it."""
    async with client_of(origin, NEVER_REACHED) as client:
        unlimited = await close(client, count)
    async with client_of(origin, LIMIT) as client:
        report = await close(client, count)
    return (
        count,
        f"{report.floor:.0f}",
        f"{report.elapsed:.2f}",
        f"{report.elapsed / report.floor:.4f}" if report.floor else "",
        f"{(report.elapsed - report.floor) * 1000:.0f}",
        f"{unlimited.elapsed * 1000:.0f}",
    )


async def memory(origin: str, count: int) -> tuple[float, float]:
    """Return the bytes a trade that a report keeps, and those that a batch needs beside it at most."""
    async with client_of(origin, NEVER_REACHED) as client:
        await close(client, WARM_UP)
        ids = list(range(FIRST_ID, FIRST_ID + count))
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        report = await client.smart_trades.close_many(ids)
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return (after - before) / len(report), peak - after


async def longest_turn(origin: str, count: int) -> float:
    """Return the CPU seconds of the longest turn of the loop during a batch."""
    longest = 0.0
    run: Any = asyncio.events.Handle._run  # noqa: SLF001 - there is no other way to time a turn

    def timed(handle: asyncio.Handle) -> None:
        nonlocal longest
        began = time.thread_time()
        run(handle)
        longest = max(longest, time.thread_time() - began)

    async with client_of(origin, NEVER_REACHED) as client:
        await close(client, WARM_UP)
        gc.collect()
        gc.freeze()
        asyncio.events.Handle._run = timed  # type: ignore[method-assign, assignment]  # noqa: SLF001
        try:
            await close(client, count)
        finally:
            asyncio.events.Handle._run = run  # type: ignore[method-assign]  # noqa: SLF001
    return longest


def unpaced(origin: str, count: int) -> tuple[object, ...]:
    """Return what a batch that never waits for a permit needs of memory and of the loop."""
    turn = asyncio.run(longest_turn(origin, count))
    kept, beside = asyncio.run(memory(origin, count))
    return count, f"{kept:.0f}", f"{beside / 1e6:.2f}", f"{turn * 1000:.2f}"


def main() -> None:
    """Print the tables."""
    sizes = (*SIZES, LONG) if "--long" in sys.argv else SIZES
    with serving() as origin:
        costs = [unpaced(origin, count) for count in UNPACED_SIZES]
        times = [asyncio.run(against_the_floor(origin, count)) for count in sizes]
    print(
        f"`close_many` under a limit of {LIMIT.requests} requests in {LIMIT.period:g} s, a twentieth of the "
        "published period: what is over the floor weighs twenty times as much as in a minute. The floor of "
        f"{LIMIT.requests} closes is 0, so there is no ratio: compare with what they take without a limit, "
        "in the last column.\n"
    )
    print(table(PACED, times, texts=0))
    print("\nWithout a limit to wait for: what is kept, what is needed beside it, and the event loop.\n")
    print(table(UNPACED, costs, texts=0))


if __name__ == "__main__":
    main()
