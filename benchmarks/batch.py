"""What a batch of closes takes: time beside the floor of the limit, memory, and the loop's longest turn.

Run: ``python -m benchmarks.batch`` (two minutes). The server is another process on loopback that
answers each close with the documented answer. The limit is 100 requests in 3 s, a twentieth of the published
one, for 100, 500 and 1 000 closes, and 10 000 with ``--long`` (five minutes more). Memory and turns of the
loop are those of closes without a limit to wait for, the turns also of what costs no request. Turns are
counted in CPU time of the thread, since others on the machine are not to count, over several rounds of all.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from benchmarks.pages import FIRST_ID, close_answer
from benchmarks.rounds import spread, take_turns
from benchmarks.server import NEVER_REACHED, serving
from benchmarks.tables import table
from threecommas_async import RateLimit, SmartTrade, ThreeCommas
from threecommas_async.models.status import Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from threecommas_async import BatchReport

    Batch: TypeAlias = Coroutine[Any, Any, BatchReport]

SIZES: Final = (100, 500, 1000)
LONG: Final = 10_000
UNPACED_SIZES: Final = (1000, 10_000)
WARM_UP: Final = 100
ROUNDS: Final = 7
"""How often each batch is run whose turns are timed."""
PACED: Final = ("closes", "floor, s", "elapsed, s", "÷ floor", "over the floor, ms", "without a limit, ms")
MEMORY: Final = ("closes", "report, bytes a trade", "beside it at most, MB")
TURNS: Final = ("batch", "trades", "longest turn, ms CPU")
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


async def memory(origin: str, count: int) -> tuple[object, ...]:
    """Return the bytes a trade that a report keeps, and the megabytes that its batch needs beside it."""
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
    return count, f"{(after - before) / len(report):.0f}", f"{(peak - after) / 1e6:.2f}"


def turns(origin: str, count: int) -> Iterator[tuple[object, ...]]:
    """Give the rows of the longest turns of the loop: of closes, and of what costs no request."""
    trade = msgspec.json.decode(close_answer(b"%d" % FIRST_ID), type=SmartTrade)
    ids = range(FIRST_ID, FIRST_ID + count)
    closing = [msgspec.structs.replace(trade, id=id) for id in ids]
    held = Status(basic_type=StatusCode.WAITING_TARGETS)
    open_trades = [msgspec.structs.replace(trade, id=id, status=held) for id in ids]
    batches: dict[str, Callable[[ThreeCommas], Batch]] = {
        "closes": lambda client: close(client, count),
        "closes, cut short by a deadline": lambda client: client.smart_trades.close_many(ids, deadline=0.05),
        "trades that are closing already": lambda client: client.smart_trades.close_many(closing),
        "trades in a plan": lambda client: client.smart_trades.close_many(
            open_trades, order="loss", dry_run=True
        ),
    }

    async def one(batch: Callable[[ThreeCommas], Batch]) -> float:
        async with client_of(origin, NEVER_REACHED) as client:
            await close(client, WARM_UP)
            return await longest_turn(batch(client))

    def side(name: str) -> float:
        return asyncio.run(one(batches[name]))

    for name, took in take_turns({name: partial(side, name) for name in batches}, rounds=ROUNDS).items():
        yield name, count, f"{spread(seconds * 1000 for seconds in took):.2f}"


async def longest_turn(batch: Batch) -> float:
    """Return the CPU seconds of the longest turn of the loop while a batch is at work."""
    longest = 0.0
    run: Any = asyncio.events.Handle._run  # noqa: SLF001 - there is no other way to time a turn

    def timed(handle: asyncio.Handle) -> None:
        nonlocal longest
        began = time.thread_time()
        run(handle)
        longest = max(longest, time.thread_time() - began)

    gc.collect()
    gc.freeze()
    asyncio.events.Handle._run = timed  # type: ignore[method-assign, assignment]  # noqa: SLF001
    try:
        await asyncio.create_task(batch)
    finally:
        asyncio.events.Handle._run = run  # type: ignore[method-assign]  # noqa: SLF001
        gc.unfreeze()
    return longest


def main() -> None:
    """Print the tables."""
    sizes = (*SIZES, LONG) if "--long" in sys.argv else SIZES
    with serving() as origin:
        waits = [row for count in UNPACED_SIZES for row in turns(origin, count)]
        kept = [asyncio.run(memory(origin, count)) for count in UNPACED_SIZES]
        times = [asyncio.run(against_the_floor(origin, count)) for count in sizes]
    print(
        f"`close_many` under a limit of {LIMIT.requests} requests in {LIMIT.period:g} s, a twentieth of the "
        "published period: what is over the floor weighs twenty times as much as in a minute. The floor of "
        f"{LIMIT.requests} closes is 0, so there is no ratio: compare with what they take without a limit, "
        "in the last column.\n"
    )
    print(table(PACED, times, texts=0))
    print("\nWithout a limit to wait for: what a report keeps, and what the batch needs beside it.\n")
    print(table(MEMORY, kept, texts=0))
    print(
        "\nThe longest turn of the event loop: for as long as this, nothing else in the program runs. "
        f"Medians of {ROUNDS} runs of each batch, with quartiles.\n"
    )
    print(table(TURNS, waits))


if __name__ == "__main__":
    main()
