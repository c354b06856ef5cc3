from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests import virtual_time
from tests.arrivals import send, worst_window
from threecommas_async import endpoints
from threecommas_async.errors import LimitWaitError
from threecommas_async.limiter import Limiter
from threecommas_async.limits import ENDPOINT_LIMITS, EXPERT, GENERAL, PRO, STARTER, RateLimit, WindowState
from threecommas_async.sandbox.window import Window

if TYPE_CHECKING:
    from collections import Counter


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
        (1, 10**400, 1),
        (1, 1, 10**400),
        (1, 1, 31 * 86400 + 1),
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
            send(limiter, arrivals, out=jitter.uniform(0.01, 4), back=jitter.uniform(0.01, 0.4), is_exit=True)
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
        await asyncio.gather(*(send(limiter, [], is_exit=True) for _ in range(1000)))
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main()) == pytest.approx(540, abs=0.001)


def test_a_permit_counts_from_its_release() -> None:
    async def main() -> float:
        limiter = Limiter(RateLimit(requests=1, period=10, lockout=1))
        await limiter.acquire()
        await asyncio.sleep(7)
        limiter.release()
        await limiter.acquire()
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main()) == pytest.approx(17)


def test_permits_are_handed_out_in_the_order_of_asking() -> None:
    order: list[int] = []

    async def one(limiter: Limiter, number: int) -> None:
        await limiter.acquire()
        order.append(number)
        limiter.release()

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
        limiter.release()

    async def main() -> None:
        limiter = Limiter(RateLimit(requests=1, period=5, lockout=1))
        await limiter.acquire()
        waiter = asyncio.create_task(one(limiter, "first"))
        await asyncio.sleep(1)
        limiter.release()
        await one(limiter, "second")
        await waiter

    virtual_time.run(main())
    assert order == ["first", "second"]


def test_a_cancelled_waiter_loses_no_permit() -> None:
    async def main() -> float:
        limiter = Limiter(RateLimit(requests=2, period=10, lockout=1))
        chooser = random.Random(7)
        arrivals: list[float] = []
        tasks = [
            asyncio.create_task(send(limiter, arrivals, out=0.1, back=0.1, is_exit=True)) for _ in range(100)
        ]
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
        limiter.release()

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
            limiter.release()
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
        limiter.release()
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


def test_an_exit_that_comes_while_500_reads_wait_gets_the_very_next_permit() -> None:
    granted: list[str] = []

    async def one(limiter: Limiter, name: str, *, is_exit: bool) -> None:
        await limiter.acquire(is_exit=is_exit)
        granted.append(name)
        limiter.release()

    async def main() -> None:
        limiter = Limiter(RateLimit(requests=100, period=60, lockout=300), reserve=0)
        reads = [asyncio.create_task(one(limiter, "read", is_exit=False)) for _ in range(600)]
        await asyncio.sleep(1)
        assert (len(granted), limiter.snapshot().waiting) == (100, 500)
        exits = [asyncio.create_task(one(limiter, f"exit {n}", is_exit=True)) for n in range(3)]
        await asyncio.gather(*exits, *reads)

    virtual_time.run(main())
    assert granted[100:104] == ["exit 0", "exit 1", "exit 2", "read"]


def test_the_reserve_is_for_exits_alone() -> None:
    async def main() -> list[float]:
        limiter = Limiter(RateLimit(requests=100, period=60, lockout=300))
        loop, reads = asyncio.get_running_loop(), []
        for _ in range(91):
            await limiter.acquire()
            reads.append(loop.time())
            limiter.release()
            if len(reads) == 90:
                for _ in range(10):
                    await limiter.acquire(is_exit=True)
                    assert loop.time() < 0.001
                    limiter.release()
        return reads

    reads = virtual_time.run(main())
    assert reads[89] < 0.001
    assert reads[90] == pytest.approx(60, abs=0.001)


@pytest.mark.parametrize(
    ("requests", "reserve", "reads_at_once"), [(100, None, 90), (9, None, 9), (19, None, 18), (5, 4, 1)]
)
def test_a_tenth_is_reserved_unless_told_otherwise(
    requests: int, reserve: int | None, reads_at_once: int
) -> None:
    async def main() -> int:
        limiter = Limiter(RateLimit(requests=requests, period=60, lockout=300), reserve=reserve)
        tasks = [asyncio.create_task(limiter.acquire()) for _ in range(requests)]
        await asyncio.sleep(1)
        done = sum(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return done

    assert virtual_time.run(main()) == reads_at_once


@pytest.mark.parametrize("reserve", [-1, 5])
def test_a_reserve_that_leaves_nothing_is_refused(reserve: int) -> None:
    with pytest.raises(ValueError, match="reserve must be 0 to 4"):
        Limiter(RateLimit(requests=5, period=1, lockout=1), reserve=reserve)


def test_after_a_pause_one_request_at_a_time_goes_out_until_one_is_answered() -> None:
    sent: list[float] = []

    async def main() -> None:
        limiter = Limiter(RateLimit(requests=100, period=60, lockout=300))
        answers = iter([False, False, True])

        async def one() -> None:
            await limiter.acquire()
            sent.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1)
            limiter.release(answered=next(answers, True))

        limiter.pause(10)
        await asyncio.gather(*(one() for _ in range(6)))

    virtual_time.run(main())
    assert sent == pytest.approx([10, 11, 12, 13, 13, 13])


def test_what_was_sent_before_a_pause_does_not_prove_that_it_is_over() -> None:
    async def main() -> float:
        limiter = Limiter(RateLimit(requests=100, period=60, lockout=300))
        await limiter.acquire()
        limiter.pause(10)
        await asyncio.sleep(5)
        limiter.release(answered=True)
        await asyncio.sleep(6)
        await limiter.acquire()
        second = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(3)
        assert not second.done()
        limiter.release(answered=True)
        await second
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main()) == pytest.approx(14)


def test_a_pause_that_begins_while_a_probe_is_out_leaves_nobody_waiting() -> None:
    async def main() -> float:
        limiter = Limiter(RateLimit(requests=2, period=1, lockout=300))
        limiter.pause(1)
        await limiter.acquire()
        waiter = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(1)
        limiter.pause(10)
        limiter.release(answered=False)
        await waiter
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main()) == pytest.approx(12)


def test_a_waiter_cancelled_with_its_permit_at_the_moment_of_a_pause_leaves_nobody_waiting() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_time.VirtualTimeLoop)
        limiter = Limiter(RateLimit(requests=2, period=1, lockout=300))
        for _ in range(2):
            await limiter.acquire()
            limiter.release()
        head, behind = (asyncio.create_task(limiter.acquire()) for _ in range(2))
        await asyncio.sleep(0.5)
        loop.block(1)
        head.cancel()
        await asyncio.sleep(0)  # The one behind it has the permit now, and does not know.
        limiter.pause(10)
        behind.cancel()
        await asyncio.gather(head, behind, return_exceptions=True)
        await limiter.acquire()
        limiter.release(answered=True)
        await limiter.acquire()
        return loop.time()

    assert virtual_time.run(main()) == pytest.approx(11.5)


def test_a_snapshot_says_how_the_limit_is_being_used() -> None:
    async def main() -> None:
        limiter = Limiter(RateLimit(requests=3, period=60, lockout=300))
        idle = limiter.snapshot()
        assert (idle.used, idle.free, idle.waiting, idle.next_free_at, idle.paused_until) == (
            0,
            3,
            0,
            None,
            None,
        )
        await limiter.acquire()
        limiter.release()
        await limiter.acquire()
        assert (limiter.snapshot().used, limiter.snapshot().free) == (2, 1)
        await limiter.acquire()
        waiters = [asyncio.create_task(limiter.acquire()) for _ in range(2)]
        await asyncio.sleep(20)
        assert Limiter(GENERAL).snapshot().reserved == 10
        full = limiter.snapshot()
        assert (full.used, full.free, full.waiting) == (3, 0, 2)
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)

    virtual_time.run(main())


def test_a_snapshot_names_instants() -> None:
    async def main() -> tuple[float, float]:
        limiter = Limiter(RateLimit(requests=1, period=60, lockout=300))
        await limiter.acquire()
        limiter.release()
        limiter.pause(90)
        seen, now = limiter.snapshot(), datetime.now(UTC)
        assert seen.next_free_at is not None
        assert seen.paused_until is not None
        assert seen.free == 0
        return (seen.next_free_at - now).total_seconds(), (seen.paused_until - now).total_seconds()

    assert virtual_time.run(main()) == pytest.approx((90, 90), abs=1)


def test_plans_and_endpoint_limits_are_data() -> None:
    assert [(plan.requests, plan.period) for plan in (STARTER, PRO, EXPERT)] == [(5, 60), (50, 60), (120, 60)]
    assert {
        call: (limit.requests, limit.period, limit.lockout) for call, limit in ENDPOINT_LIMITS.items()
    } == {
        "GET /ver1/deals": (120, 60, 60),
        "GET /ver1/deals/{deal_id}/show": (120, 60, 60),
        "GET /ver1/smart_trades": (40, 10, 10),
    }
    assert not {str(row) for row in endpoints.TABLE} & ENDPOINT_LIMITS.keys()


def test_a_thousand_calls_with_stragglers_take_the_floor_at_a_strict_server() -> None:
    """Latency 20 to 400 ms, and 4 s for two in a hundred."""
    chance = random.Random(11)
    limit = RateLimit(requests=100, period=60, lockout=300)

    async def main() -> tuple[Counter[int], int, float]:
        loop, limiter, window = asyncio.get_running_loop(), Limiter(limit), Window(limit)

        async def one() -> None:
            await limiter.acquire(is_exit=True)
            total = 4.0 if chance.random() < 0.02 else chance.uniform(0.02, 0.4)
            way_in = chance.uniform(0, total)
            await asyncio.sleep(way_in)
            window.judge(loop.time())
            await asyncio.sleep(total - way_in)
            limiter.release()

        await asyncio.gather(*(one() for _ in range(1000)))
        return window.counts, window.worst_window(), loop.time()

    counts, worst, elapsed = virtual_time.run(main())
    assert counts == {200: 1000}
    assert worst == 100
    assert 540 <= elapsed <= 1.02 * 540


async def granted(limiter: Limiter, count: int) -> list[float]:
    """Send so many requests, each answered at once; return when they could go."""
    times = []
    for _ in range(count):
        await limiter.acquire(is_exit=True)
        times.append(asyncio.get_running_loop().time())
        limiter.release()
    return times


def test_a_limiter_begins_with_the_requests_that_are_still_in_the_window() -> None:
    async def main() -> list[float]:
        state = WindowState(spent=[40.0, 12.5])
        return await granted(Limiter(RateLimit(requests=3, period=60, lockout=300), state=state), 5)

    assert virtual_time.run(main()) == pytest.approx([0, 12.5, 40, 60, 72.5], abs=0.001)


def test_of_more_requests_than_the_limit_holds_the_latest_ones_count() -> None:
    async def main() -> list[float]:
        state = WindowState(spent=[1.0, 30.0, 20.0, 2.0])
        return await granted(Limiter(RateLimit(requests=2, period=60, lockout=300), state=state), 2)

    assert virtual_time.run(main()) == pytest.approx([20, 30])


def test_what_a_limiter_begins_with_counts_from_its_first_use() -> None:
    limiter = Limiter(RateLimit(requests=1, period=60, lockout=300), state=WindowState(spent=[12.5]))

    async def main() -> list[float]:
        await asyncio.sleep(100)
        return await granted(limiter, 1)

    assert virtual_time.run(main()) == pytest.approx([112.5])


def test_a_limiter_tells_what_is_in_the_window_and_how_late_what_is_in_flight_may_be() -> None:
    async def main() -> None:
        limiter = Limiter(RateLimit(requests=4, period=60, lockout=300))
        assert limiter.state() == WindowState(spent=(), paused=None)
        await limiter.acquire()
        limiter.release()
        await asyncio.sleep(20)
        await limiter.acquire()
        limiter.release(answered=False)
        await limiter.acquire()
        await asyncio.sleep(5)
        state = limiter.state()
        assert state.spent == pytest.approx((35, 60, 65))
        assert state.paused is None
        await asyncio.sleep(36)
        assert limiter.state().spent == pytest.approx((24, 65))

    virtual_time.run(main())


def test_a_pause_is_told_and_kept_and_ends_with_one_request_at_a_time() -> None:
    async def main() -> list[float]:
        limiter = Limiter(RateLimit(requests=9, period=60, lockout=300))
        limiter.pause(300)
        await asyncio.sleep(100)
        state = limiter.state()
        assert len(state.spent) == 0
        assert state.paused == pytest.approx(200)
        later = Limiter(RateLimit(requests=9, period=60, lockout=300), state=state)
        sent = []

        async def one() -> None:
            await later.acquire(is_exit=True)
            sent.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1)
            later.release()

        await asyncio.gather(*(one() for _ in range(3)))
        assert later.state().paused is None
        return sent

    assert virtual_time.run(main()) == pytest.approx([300, 301, 301])


def test_a_pause_that_is_over_is_in_doubt_until_a_request_is_answered() -> None:
    async def main() -> list[float]:
        limiter = Limiter(RateLimit(requests=9, period=60, lockout=300))
        limiter.pause(10)
        await asyncio.sleep(30)
        state = limiter.state()
        assert state.paused == 0
        later = Limiter(RateLimit(requests=9, period=60, lockout=300), state=state)
        await later.acquire()
        second = asyncio.create_task(later.acquire())
        await asyncio.sleep(5)
        assert not second.done()
        later.release()
        await second
        return [asyncio.get_running_loop().time()]

    assert virtual_time.run(main()) == pytest.approx([35])


def test_a_longer_pause_to_begin_with_outlasts_a_shorter_one() -> None:
    async def main() -> list[float]:
        await asyncio.sleep(100)
        limiter = Limiter(RateLimit(requests=9, period=60, lockout=300), state=WindowState(paused=50))
        limiter.pause(5)
        return await granted(limiter, 1)

    assert virtual_time.run(main()) == pytest.approx([150])


def test_a_state_grows_old() -> None:
    state = WindowState(spent=[5, 20, 60], paused=30)
    assert state.later(20) == WindowState(spent=[40], paused=10)
    assert state.later(31) == WindowState(spent=[29], paused=0)
    assert state.later(0) == state
    assert WindowState(spent=[5]).later(5) == WindowState()
    with pytest.raises(ValueError, match="seconds must be"):
        state.later(-1)


@pytest.mark.parametrize(
    ("spent", "paused"),
    [
        ([-1], None),
        ([float("nan")], None),
        ([float("inf")], None),
        (["12"], None),
        ([True], None),
        ([], -1),
        ([], float("inf")),
        ([], "1"),
        ([], ""),
    ],
)
def test_a_state_that_cannot_be_is_refused(spent: list[float], paused: float | None) -> None:
    with pytest.raises(ValueError, match="must be"):
        WindowState(spent=spent, paused=paused)


def test_what_is_further_ahead_than_the_limit_lets_it_be_is_refused() -> None:
    limit = RateLimit(requests=3, period=60, lockout=300)
    Limiter(limit, state=WindowState(spent=[65]))
    with pytest.raises(ValueError, match="leaves the window within 65 s"):
        Limiter(limit, state=WindowState(spent=[65.1]))
    with pytest.raises(ValueError, match="31 days"):
        Limiter(limit, state=WindowState(paused=32 * 86400))
    with pytest.raises(ValueError, match="state must be"):
        Limiter(limit, state=[12.5])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("seed", range(5))
def test_no_window_of_the_server_holds_more_than_the_limit_across_restarts(seed: int) -> None:
    """What is in flight when a program ends may still arrive, within a twelfth of a period."""
    jitter = random.Random(seed)
    limit = RateLimit(requests=20, period=60, lockout=300)
    arrivals: list[float] = []

    async def arrive(after: float) -> None:
        await asyncio.sleep(after)
        arrivals.append(asyncio.get_running_loop().time())

    async def main() -> None:
        state, ways = WindowState(), []
        for _ in range(6):
            limiter = Limiter(limit, state=state)

            async def one(limiter: Limiter = limiter) -> None:
                await limiter.acquire(is_exit=True)
                ways.append(asyncio.create_task(arrive(way := jitter.uniform(0.01, 4.9))))
                await asyncio.sleep(way + jitter.uniform(0.01, 0.1))
                limiter.release()

            calls = [asyncio.create_task(one()) for _ in range(30)]
            await asyncio.sleep(jitter.uniform(1, 70))
            state = limiter.state()
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            away = jitter.uniform(0, 30)
            await asyncio.sleep(away)
            state = state.later(away)
        await asyncio.gather(*ways)

    virtual_time.run(main())
    assert worst_window(arrivals, 60) == 20
