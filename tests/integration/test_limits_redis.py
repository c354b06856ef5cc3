"""The shared limiter on a real Valkey or Redis."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

from tests.arrivals import worst_window
from tests.fault_stage import until
from tests.integration.conftest import BINARY, NEEDS_SERVER
from tests.processes import running
from tests.raw_server import refused_port
from tests.stopwatch import Stopwatch
from tests.valkey import Valkey
from threecommas_async.errors import ClientStateError, LimitWaitError
from threecommas_async.limits import RateLimit

pytest.importorskip("redis", reason="the extra redis is not installed")

from redis.asyncio import Redis

from threecommas_async.limits_redis import SharedLimiter
from threecommas_async.limits_redis.store import Visit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

pytestmark = NEEDS_SERVER

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def at_most(seconds: float) -> AsyncGenerator[None]:
    """Assert how long it takes, on a `Stopwatch`."""
    watch = Stopwatch()
    try:
        yield
    finally:
        watch.stop()
    assert watch.elapsed < seconds


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
    store.command("FLUSHALL")
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


async def told(limiter: SharedLimiter) -> None:
    """Wait until the store knows of a pause."""
    await until(lambda: limiter._pause_is_told)


@pytest.mark.usefixtures("patience")
async def test_a_pause_holds_for_all_and_then_one_tries(store: Valkey, key: str) -> None:
    limit = RateLimit(requests=10, period=3, lockout=5)
    first, second, third = (SharedLimiter(store.url, key, limit=limit, share=0.3) for _ in range(3))
    await first.acquire()
    first.release(answered=False)
    began, watch = time.monotonic(), Stopwatch()
    first.pause(0.8)
    first.pause(0.1)
    await told(first)
    third.pause(0.1)
    await told(third)
    sent: list[float] = []
    at: list[float] = []

    async def send(limiter: SharedLimiter, *, answered: bool) -> None:
        await limiter.acquire()
        sent.append(time.monotonic() - began)
        at.append(watch.elapsed)
        limiter.release(answered=answered)

    await asyncio.gather(send(second, answered=False), send(third, answered=False))
    # Nobody before the pause ends; then one by one, a margin apart.
    assert sent[0] >= 0.79
    assert at[0] < 1.0
    assert sent[1] - sent[0] >= 0.24
    await asyncio.gather(*(send(third, answered=True) for _ in range(4)))
    # The first of these proves that the limit is not exceeded any more, and the others follow at once.
    assert sent[2] - sent[1] >= 0.24
    assert at[5] - at[2] < 0.2
    watch.stop()
    for limiter in (first, second, third):
        await limiter.close()


@pytest.mark.usefixtures("patience")
async def test_a_pause_reaches_the_store_before_close_returns(store: Valkey, key: str) -> None:
    first, second = (SharedLimiter(store.url, key, share=0.5) for _ in range(2))
    began = time.monotonic()
    first.pause(30)
    await first.close()
    with pytest.raises(LimitWaitError) as caught:
        await second.acquire(max_wait=5)
    assert 30 - (time.monotonic() - began) < caught.value.retry_after <= 30.1
    await second.close()


@pytest.mark.usefixtures("patience")
async def test_exits_have_a_reserve_and_go_first(store: Valkey, key: str) -> None:
    limit = RateLimit(requests=20, period=1, lockout=5)
    ours, theirs = (SharedLimiter(store.url, key, limit=limit, share=0.5) for _ in range(2))
    async with at_most(0.5):
        await asyncio.gather(*(limiter.acquire() for limiter in [ours, theirs] * 9))
    for limiter in [ours, theirs] * 9:
        limiter.release()
    with pytest.raises(LimitWaitError):
        await theirs.acquire(max_wait=0.2)
    async with at_most(0.5):
        await ours.acquire(is_exit=True)
        await theirs.acquire(is_exit=True)
    order: list[str] = []

    async def one(name: str) -> None:
        await ours.acquire(is_exit=name == "exit")
        order.append(name)

    async with asyncio.timeout(60):
        async with asyncio.TaskGroup() as tasks:
            for name in ["read"] * 5 + ["exit"]:
                tasks.create_task(one(name))
                await asyncio.sleep(0.01)
    assert order == ["exit", *["read"] * 5]
    await ours.close()
    await theirs.close()


@pytest.mark.usefixtures("patience")
async def test_max_wait_refuses_what_others_have_taken(store: Valkey, key: str) -> None:
    ours, theirs = (SharedLimiter(store.url, key, share=0.5, reserve=0) for _ in range(2))
    began = time.monotonic()
    await asyncio.gather(*(theirs.acquire() for _ in range(100)))
    with pytest.raises(LimitWaitError) as caught:
        await ours.acquire(max_wait=30)
    assert 65 - (time.monotonic() - began) < caught.value.retry_after <= 65.1
    assert ours.snapshot().used == 100
    assert ours.snapshot().waiting == 0
    await ours.close()
    await theirs.close()


@pytest.mark.usefixtures("patience")
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
    async with at_most(0.7):
        await asyncio.gather(*(limiter.acquire() for _ in range(20 - sent)))
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
        async with at_most(1):
            await asyncio.gather(*(fresh.acquire() for _ in range(4)))
        for _ in range(4):
            fresh.release()
        await asyncio.sleep(1)
        assert fresh.snapshot().free == 4
        await fresh.acquire(max_wait=0)
        await fresh.close()
    finally:
        await limiter.close()
        server.kill()


LIMIT = RateLimit(requests=24, period=1.0, lockout=5)
SHARES = 3 * 6


class Bots:
    """Three processes' worth of limiters on one store, which send all that they may.

    Attributes:
        arrivals: When requests arrived.
        alone: Those of them that were sent without the store.
        longest: Seconds without an arrival, on a `Stopwatch`.
    """

    def __init__(self, server: Valkey) -> None:
        self.arrivals: list[float] = []
        self.alone: list[float] = []
        self.longest: float = 0.0
        self.watch = Stopwatch()
        self._latest = 0.0
        self._limiters = [
            SharedLimiter(server.url, "the-key", limit=LIMIT, share=0.25, reserve=0) for _ in range(3)
        ]
        self._tasks = [
            asyncio.create_task(self._work(limiter, random.Random(place)))
            for place, limiter in enumerate(self._limiters * 6)
        ]

    @property
    def are_together(self) -> bool:
        return not any(limiter._away for limiter in self._limiters)

    async def _work(self, limiter: SharedLimiter, jitter: random.Random) -> None:
        while True:
            await limiter.acquire()
            await asyncio.sleep(jitter.uniform(0.001, 0.03))
            self.longest = max(self.longest, self.watch.elapsed - self._latest)
            self._latest = self.watch.elapsed
            self.arrivals.append(time.monotonic())
            if limiter._away:
                self.alone.append(self.arrivals[-1])
            await asyncio.sleep(0.002)
            limiter.release()

    async def send(self, requests: int) -> None:
        """Wait until so many more have arrived."""
        enough = len(self.arrivals) + requests
        await until(lambda: len(self.arrivals) >= enough)

    async def stop(self) -> None:
        self.watch.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for limiter in self._limiters:
            await limiter.close()


@asynccontextmanager
async def bots(directory: Path) -> AsyncGenerator[tuple[Bots, Valkey]]:
    """Bots in the middle of their work, and their store."""
    server = Valkey(str(BINARY), directory).start()
    working = Bots(server)
    try:
        await working.send(LIMIT.requests + 1)
        yield working, server
    finally:
        await working.stop()
        server.kill()


async def lose_the_store(
    directory: Path, lose: Callable[[Valkey], object], bring_back: Callable[[Valkey], object]
) -> Bots:
    async with bots(directory) as (working, server):
        await asyncio.to_thread(lose, server)
        await until(lambda: len(working.alone) > SHARES)
        await asyncio.to_thread(bring_back, server)
        back = working.watch.elapsed
        await until(lambda: working.are_together)
        assert working.watch.elapsed - back < 5
        # In the end they have the whole limit again.
        together = len(working.arrivals)
        await until(lambda: worst_window(working.arrivals[together:], LIMIT.period) > SHARES)
    return working


async def lose_what_it_knows(directory: Path, command: str) -> Bots:
    async with bots(directory) as (working, server):
        server.command(*command.split())
        await working.send(LIMIT.requests + 1)
    return working


@pytest.mark.parametrize(
    ("lose", "bring_back"),
    [(Valkey.freeze, Valkey.thaw), (Valkey.crash, Valkey.start)],
    ids=["frozen", "crashed"],
)
async def test_each_process_goes_on_with_its_share_and_comes_back(
    tmp_path: Path, lose: Callable[[Valkey], object], bring_back: Callable[[Valkey], object]
) -> None:
    working = await lose_the_store(tmp_path, lose, bring_back)
    assert worst_window(working.alone, LIMIT.period) <= SHARES


@pytest.mark.usefixtures("patience")
async def test_a_lost_state_costs_a_period_and_a_lost_script_nothing(tmp_path: Path) -> None:
    commands = ("FLUSHALL", "SCRIPT FLUSH")
    for command in commands:
        (tmp_path / command).mkdir()
    state, script = await asyncio.gather(
        *(lose_what_it_knows(tmp_path / command, command) for command in commands)
    )
    assert state.longest >= LIMIT.period
    assert script.longest < 1.2 * LIMIT.period
    assert not [*state.alone, *script.alone]


@pytest.mark.long
@pytest.mark.parametrize(
    "suffer",
    [
        lambda directory: lose_the_store(directory, Valkey.freeze, Valkey.thaw),
        lambda directory: lose_the_store(directory, Valkey.crash, Valkey.start),
        lambda directory: lose_what_it_knows(directory, "FLUSHALL"),
        lambda directory: lose_what_it_knows(directory, "SCRIPT FLUSH"),
    ],
    ids=["frozen", "crashed", "flushed", "scripts flushed"],
)
async def test_the_limit_is_kept_in_sum_whatever_happens_to_the_store(
    tmp_path: Path, suffer: Callable[[Path], Awaitable[Bots]]
) -> None:
    working = await suffer(tmp_path)
    assert worst_window(working.arrivals, LIMIT.period) <= LIMIT.requests
    assert worst_window(working.arrivals, LIMIT.period) >= 0.9 * LIMIT.requests


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
    with refused_port() as port:
        limiter = SharedLimiter(f"redis://127.0.0.1:{port}", key, limit=RateLimit(10, 0.3, 5), share=0.5)

        async def call() -> None:
            await limiter.acquire()
            await asyncio.sleep(0.02)
            limiter.release()

        async with asyncio.timeout(60):
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
            await asyncio.wait_for(limiter.acquire(), timeout=60)
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
