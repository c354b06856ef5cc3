"""What a call costs beside one that is written by hand, beside httpx and beside py3cw.

Run: ``python -m benchmarks.calls`` (three minutes, needs the extra ``bench``), or with ``--headline`` the
first table alone (a quarter of a minute, needs nothing). The server is another process on loopback. The sides
take turns in short rounds, and what is compared is the CPU time of this process. The request limit is set so
that no call ever waits for it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, closing
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import repeat
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from benchmarks.clients import Py3cw, over_aiohttp, over_httpx, this_client
from benchmarks.pages import FIRST_ID
from benchmarks.rounds import ratio, spread, take_turns
from benchmarks.server import TRADES, serving
from benchmarks.tables import table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from benchmarks.clients import Calls

Name: TypeAlias = Literal["close_by_market", "list"]
Row: TypeAlias = tuple[object, ...]

HEADLINE: Final = 16
"""Calls in flight of the headline, which is also the concurrency of a batch."""
HEADLINE_ROUNDS: Final = 160
HEADLINE_CALLS: Final = 320

IN_FLIGHT: Final = (1, 16, 64)
ROUNDS: Final = 30
THREADS: Final = 16
"""Threads of py3cw at most: one for each call in flight."""

BY_HAND: Final = "by hand"
CLIENT: Final = "this client"
HTTPX: Final = "httpx, by hand"
PY3CW: Final = "py3cw"
WAYS: Final[dict[str, Callable[[str], AbstractAsyncContextManager[Calls]]]] = {
    BY_HAND: over_aiohttp,
    CLIENT: this_client,
    HTTPX: over_httpx,
}
CALLS: Final[dict[Name, dict[str, int]]] = {
    "close_by_market": {BY_HAND: 320, CLIENT: 320, HTTPX: 128, PY3CW: 128},
    "list": {BY_HAND: 64, CLIENT: 64, HTTPX: 64, PY3CW: 64},
}
"""Calls of a round: few where they are slow, so that rounds stay short."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one call of a round took.

    Args:
        cpu: CPU seconds of this process.
        wall: Seconds of the round, divided by its calls.
    """

    cpu: float
    wall: float


class Stopwatch:
    """Measures a round of so many calls."""

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def stop(self) -> Usage:
        """Return what each call took."""
        cpu, wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        return Usage(cpu / self._calls, wall / self._calls)


class Loop:
    """An event loop that is kept between rounds, with a client of each way that lives in it.

    Args:
        factory: Makes the event loop.
        origin: Where the server is.
        ways: Which clients.
    """

    def __init__(
        self, factory: Callable[[], asyncio.AbstractEventLoop], origin: str, ways: Iterable[str]
    ) -> None:
        self._runner = asyncio.Runner(loop_factory=factory)
        self._stack = AsyncExitStack()
        self._clients: dict[str, Calls] = {
            way: self._runner.run(self._stack.enter_async_context(WAYS[way](origin))) for way in ways
        }

    def round(self, way: str, name: Name, in_flight: int, calls: int) -> Usage:
        """Make so many calls, so many at a time."""
        client = self._clients[way]
        call = client.list if name == "list" else partial(client.close_by_market, FIRST_ID)
        return self._runner.run(_round(call, in_flight, calls))

    def close(self) -> None:
        """Close the clients, then the loop."""
        with self._runner:
            self._runner.run(self._stack.aclose())


async def _round(call: Callable[[], Awaitable[object]], in_flight: int, calls: int) -> Usage:
    turns = repeat(None, calls)

    async def work() -> None:
        for _ in turns:
            await call()

    watch = Stopwatch(calls)
    await asyncio.gather(*(work() for _ in range(in_flight)))
    return watch.stop()


class Threads:
    """Threads that are kept between rounds, with a client of py3cw each.

    Args:
        origin: Where the server is.
    """

    def __init__(self, origin: str) -> None:
        self._clients = [Py3cw(origin) for _ in range(THREADS)]
        self._pool = ThreadPoolExecutor(THREADS)

    def round(self, name: Name, in_flight: int, calls: int) -> Usage:
        """Make so many calls, so many at a time, each in a thread of its own."""
        turns = repeat(None, calls)

        def work(client: Py3cw) -> None:
            call = client.list if name == "list" else partial(client.close_by_market, FIRST_ID)
            for _ in turns:
                call()

        watch = Stopwatch(calls)
        for _ in self._pool.map(work, self._clients[:in_flight]):
            pass
        return watch.stop()

    def close(self) -> None:
        """End the threads, and close the clients."""
        self._pool.shutdown()
        for client in self._clients:
            client.close()


def headline(origin: str) -> str:
    """Return the table of the headline: a close with this client beside one by hand, on asyncio."""
    with closing(Loop(asyncio.new_event_loop, origin, (BY_HAND, CLIENT))) as loop:
        sides = {
            way: partial(loop.round, way, "close_by_market", HEADLINE, HEADLINE_CALLS)
            for way in (BY_HAND, CLIENT)
        }
        rounds = take_turns(sides, rounds=HEADLINE_ROUNDS, warm_up=HEADLINE_ROUNDS // 10)
    hand, ours = ([used.cpu for used in rounds[way]] for way in (BY_HAND, CLIENT))
    row = (
        "`close_by_market`",
        HEADLINE,
        f"{spread(hand).median * 1e6:.0f}",
        f"{spread(ours).median * 1e6:.0f}",
        f"{ratio(ours, hand):.3f}",
    )
    return table(("on asyncio", "in flight", "by hand, µs CPU", "this client, µs CPU", "÷ by hand"), [row])


def compare(name: Name, in_flight: int, made: Mapping[str, Loop], pool: Threads) -> Iterator[Row]:
    """Give the rows of one call at one concurrency: every way, on every event loop."""
    threads = min(in_flight, THREADS)
    py3cw = f"{PY3CW}, {threads} thread{'s' if threads > 1 else ''}"
    sides = {
        (way, kind): partial(loop.round, way, name, in_flight, CALLS[name][way])
        for kind, loop in made.items()
        for way in WAYS
    } | {(py3cw, ""): partial(pool.round, name, threads, CALLS[name][PY3CW])}
    rounds = take_turns(sides, rounds=ROUNDS, warm_up=3)
    cpu = {side: [used.cpu for used in rounds[side]] for side in rounds}
    for (way, kind), used in rounds.items():
        mine = cpu[way, kind]
        yield (
            way,
            kind,
            in_flight if kind else threads,
            f"{spread(mine).median * 1e6:.0f}",
            f"{1 / spread(one.wall for one in used).median:.0f}",
            f"{ratio(mine, cpu[BY_HAND, kind or 'asyncio']):.2f}",
            f"{ratio(cpu[py3cw, ''], mine):.2f}",
        )


def print_comparisons(origin: str) -> None:
    """Print the tables of both calls."""
    factories = {"asyncio": asyncio.new_event_loop}
    if find_spec("uvloop"):  # It does not exist for Windows.
        import uvloop

        factories["uvloop"] = uvloop.new_event_loop
    with ExitStack() as stack:
        made = {
            kind: stack.enter_context(closing(Loop(factory, origin, WAYS)))
            for kind, factory in factories.items()
        }
        pool = stack.enter_context(closing(Threads(origin)))
        for name in CALLS:
            headings = (
                *(f"`{name}`", "event loop", "in flight", "µs CPU a call", "calls/s"),
                *("CPU ÷ floor", "calls per CPU second ÷ py3cw's"),
            )
            rows = [row for count in IN_FLIGHT for row in compare(name, count, made, pool)]
            print(f"\n{table(headings, rows, texts=2)}")


def main() -> None:
    """Print the tables."""
    with serving() as origin:
        print(
            f"CPU time of this process for each call, medians of {HEADLINE_ROUNDS} interleaved rounds of "
            f"{HEADLINE_CALLS} calls; the ratio, round by round, with its quartiles.\n"
        )
        print(headline(origin))
        if "--headline" in sys.argv:
            return
        print(
            f"\nEvery way, medians of {ROUNDS} interleaved rounds. A list is a page of {TRADES} SmartTrades. "
            "The floor is the round by hand on the same event loop (of py3cw: on asyncio). py3cw has a "
            f"thread with a client for each call in flight, {THREADS} at most, and leaves the answer as "
            "dicts and texts; the others decode it into `SmartTrade`, exact numbers and instants included."
        )
        print_comparisons(origin)


if __name__ == "__main__":
    main()
