from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest

from tests import virtual_time
from threecommas_async.errors import LimitWaitError
from threecommas_async.limits import GENERAL, Limiter, RateLimit


def worst_window(arrivals: list[float], period: float) -> int:
    """The largest number of arrivals in any window [t, t + period)."""
    arrivals = sorted(arrivals)
    return max(sum(1 for other in arrivals if start <= other < start + period) for start in arrivals)


async def send(limiter: Limiter, arrivals: list[float], *, out: float, back: float) -> None:
    await limiter.acquire()
    try:
        await asyncio.sleep(out)
        arrivals.append(asyncio.get_running_loop().time())
        await asyncio.sleep(back)
    finally:
        await limiter.release()


def test_the_published_limit_is_a_hundred_a_minute() -> None:
    assert (GENERAL.requests, GENERAL.period, GENERAL.lockout) == (100, 60.0, 300.0)
    assert [GENERAL.floor(calls) for calls in (0, 1, 100, 101, 250, 1000)] == [0, 0, 0, 60, 120, 540]


@pytest.mark.parametrize(
    ("requests", "period", "lockout"),
    [
        (0, 60, 300),
        (-1, 60, 300),
        (True, 60, 300),
        (1.5, 60, 300),
        (1, 0, 300),
        (1, float("nan"), 1),
        (1, 1, -1),
    ],
)
def test_an_impossible_limit_is_refused(requests: int, period: float, lockout: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        RateLimit(requests=requests, period=period, lockout=lockout)


@pytest.mark.parametrize("seed", range(5))
def test_no_window_of_the_server_holds_more_than_the_limit(seed: int) -> None:
    jitter = random.Random(seed)
    arrivals: list[float] = []

    async def main() -> float:
        limiter = Limiter(RateLimit(requests=100, period=60, lockout=300))
        calls = [
            send(limiter, arrivals, out=jitter.uniform(0.01, 4), back=jitter.uniform(0.01, 0.4))
            for _ in range(450)
        ]
        await asyncio.gather(*calls)
        return asyncio.get_running_loop().time()

    elapsed = virtual_time.run(main())
    assert worst_window(arrivals, 60) == 100
    assert elapsed <= 4 * 60 + 5 * 4.4


def test_calls_without_latency_take_the_floor() -> None:
    async def main() -> float:
        limiter = Limiter(RateLimit(requests=100, period=60, lockout=300))
        await asyncio.gather(*(send(limiter, [], out=0, back=0) for _ in range(1000)))
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main()) == pytest.approx(540, abs=0.001)


def test_a_permit_counts_from_its_release() -> None:
    async def main() -> float:
        limiter = Limiter(RateLimit(requests=1, period=10, lockout=1))
        await limiter.acquire()
        await asyncio.sleep(7)
        await limiter.release()
        await limiter.acquire()
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main()) == pytest.approx(17)


def test_permits_are_handed_out_in_the_order_of_asking() -> None:
    order: list[int] = []

    async def one(limiter: Limiter, number: int) -> None:
        await limiter.acquire()
        order.append(number)
        await limiter.release()

    async def main() -> None:
        limiter = Limiter(RateLimit(requests=3, period=5, lockout=1))
        await asyncio.gather(*(one(limiter, number) for number in range(40)))

    virtual_time.run(main())
    assert order == list(range(40))


def test_nobody_overtakes_a_waiter_at_the_moment_a_permit_comes_back() -> None:
    order: list[str] = []

    async def one(limiter: Limiter, name: str) -> None:
        await limiter.acquire()
        order.append(name)
        await limiter.release()

    async def main() -> None:
        limiter = Limiter(RateLimit(requests=1, period=5, lockout=1))
        await limiter.acquire()
        waiter = asyncio.create_task(one(limiter, "first"))
        await asyncio.sleep(1)
        await limiter.release()
        await one(limiter, "second")
        await waiter

    virtual_time.run(main())
    assert order == ["first", "second"]


def test_a_cancelled_waiter_loses_no_permit() -> None:
    async def main() -> float:
        limiter = Limiter(RateLimit(requests=2, period=10, lockout=1))
        chooser = random.Random(7)
        arrivals: list[float] = []
        tasks = [asyncio.create_task(send(limiter, arrivals, out=0.1, back=0.1)) for _ in range(100)]
        for task in chooser.sample(tasks, 60):
            await asyncio.sleep(chooser.uniform(0, 1))
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert worst_window(arrivals, 10) == 2
        # Every permit is still there: two are free together one period later.
        before = asyncio.get_running_loop().time()
        await limiter.acquire()
        await limiter.acquire()
        return asyncio.get_running_loop().time() - before

    assert virtual_time.run(main()) <= 10.2


def test_a_waiter_cancelled_in_a_pause_gives_its_permit_back() -> None:
    async def main() -> float:
        limiter = Limiter(RateLimit(requests=1, period=10, lockout=1))
        limiter.pause(3)
        waiter = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(1)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        await limiter.acquire()
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main()) == pytest.approx(3)


def test_nobody_is_let_through_during_a_pause_and_a_shorter_one_does_not_end_it() -> None:
    times: list[float] = []

    async def one(limiter: Limiter) -> None:
        await limiter.acquire()
        times.append(asyncio.get_running_loop().time())
        await limiter.release()

    async def main() -> None:
        limiter = Limiter(RateLimit(requests=5, period=10, lockout=1))
        limiter.pause(30)
        limiter.pause(2)
        tasks = [asyncio.create_task(one(limiter)) for _ in range(3)]
        await asyncio.sleep(20)
        limiter.pause(15)
        await asyncio.gather(*tasks)

    virtual_time.run(main())
    assert times == pytest.approx([35, 35, 35])


def test_max_wait_refuses_at_once_and_queues_nothing() -> None:
    async def main() -> None:
        limiter = Limiter(RateLimit(requests=2, period=10, lockout=1))
        for _ in range(2):
            await limiter.acquire()
            await limiter.release()
        with pytest.raises(LimitWaitError) as caught:
            await limiter.acquire(max_wait=9)
        assert caught.value.retry_after == pytest.approx(10)
        assert asyncio.get_running_loop().time() < 0.001
        await limiter.acquire(max_wait=10)
        assert asyncio.get_running_loop().time() == pytest.approx(10)

    virtual_time.run(main())


def test_max_wait_holds_against_a_pause_that_begins_later() -> None:
    async def main() -> float:
        limiter = Limiter(RateLimit(requests=1, period=10, lockout=1))
        await limiter.acquire()
        await limiter.release()
        waiter = asyncio.create_task(limiter.acquire(max_wait=12))
        await asyncio.sleep(5)
        limiter.pause(300)
        with pytest.raises(LimitWaitError) as caught:
            await waiter
        assert caught.value.retry_after == pytest.approx(305 - asyncio.get_running_loop().time())
        return asyncio.get_running_loop().time()

    assert 12 <= virtual_time.run(main()) < 13


def test_expected_wait_grows_with_the_queue() -> None:
    async def main() -> list[float]:
        limiter = Limiter(RateLimit(requests=2, period=10, lockout=1))
        waits = [limiter.expected_wait()]
        queue = []
        for _ in range(6):
            queue.append(asyncio.create_task(limiter.acquire()))
            await asyncio.sleep(0)
            waits.append(limiter.expected_wait())
        for task in queue:
            task.cancel()
        await asyncio.gather(*queue, return_exceptions=True)
        return waits

    waits = virtual_time.run(main())
    assert waits[0] == 0
    assert all(later >= earlier for earlier, later in pairwise(waits))
    assert waits[-1] == pytest.approx(30)
