"""The shared limiter without its store, and with one that answers by the book."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import sys
import traceback
from typing import Any

import pytest

from tests import virtual_time
from tests.arrivals import send, worst_window
from threecommas_async.errors import ClientStateError, LimitWaitError
from threecommas_async.limits import RateLimit

pytest.importorskip("redis")

from redis import Redis

from threecommas_async.limits_redis import SharedLimiter

MINUTE = RateLimit(requests=100, period=60, lockout=300)

TOLD = (
    *("epoch", "visits", "limit", "reserve", "period", "margin", "first"),
    *("exits", "reads", "pause", "silence", "proven", "kept"),
)
ANSWERED = ("exits", "exits_in", "reads", "reads_in", "paused", "trial", "used")


class Gone:
    """The client of a store that cannot be reached."""

    def __init__(self) -> None:
        self.calls = 0

    async def evalsha(self, *_: Any) -> Any:
        self.calls += 1
        raise ConnectionError("refused")

    eval = evalsha


class Answering:
    """The client of a store that admits whatever it is asked for, or what the test says."""

    def __init__(self) -> None:
        self.is_gone = False
        self.visits: list[dict[str, Any]] = []
        self.answer: dict[str, float] = {}
        self.is_closed = False

    async def aclose(self) -> None:
        self.is_closed = True

    async def evalsha(self, _sha: str, _numkeys: int, *arguments: str) -> list[int]:
        if self.is_gone:
            raise ConnectionError("refused")
        visit: dict[str, Any] = dict(zip(TOLD, map(int, arguments[5:18]), strict=True))
        visit["marks"] = dict(zip(arguments[18::2], map(int, arguments[19::2]), strict=True))
        self.visits.append(visit)
        now = round(asyncio.get_running_loop().time() * 1e6) + 10**15
        says = {"exits": visit["exits"], "reads": visit["reads"], **self.answer}
        return [now, 1, len(self.visits), *(int(says.get(name, 0)) for name in ANSWERED)]

    eval = evalsha


def shared(client: Any, *, requests: int = 100, share: float = 0.25, **options: Any) -> SharedLimiter:
    limit = RateLimit(requests=requests, period=60, lockout=300)
    return SharedLimiter(client, "the-key", limit=limit, share=share, **options)


def now() -> float:
    return asyncio.get_running_loop().time()


def test_a_process_that_never_reached_the_store_keeps_its_share_from_the_start() -> None:
    arrivals: list[float] = []

    async def main() -> float:
        jitter = random.Random(1)
        limiter = shared(Gone(), reserve=0)
        await asyncio.gather(
            *(send(limiter, arrivals, out=jitter.uniform(0.02, 4), back=0.1) for _ in range(100))
        )
        elapsed = now()
        await limiter.close()
        return elapsed

    elapsed = virtual_time.run(main())
    assert worst_window(arrivals, 60) == 25
    assert min(arrivals) < 4
    assert 180 <= elapsed < 200


@pytest.mark.parametrize(("requests", "share"), [(5, 0.1), (5, 0.19), (1, 0.99)])
def test_a_share_of_less_than_one_request_is_refused(requests: int, share: float) -> None:
    """Ten processes with a tenth of 5 requests each would send 10."""
    with pytest.raises(ValueError, match=f"{share} of {requests} is none"):
        shared(Gone(), requests=requests, share=share)


@pytest.mark.parametrize(("requests", "share", "size"), [(5, 0.2, 1), (49, 1 / 49, 1), (100, 0.29, 29)])
def test_a_share_is_all_of_its_requests_however_its_fraction_is_rounded(
    requests: int, share: float, size: int
) -> None:
    assert shared(Gone(), requests=requests, share=share)._share.size == size


def test_after_a_loss_the_share_opens_when_what_the_others_sent_has_left_the_window() -> None:
    async def main() -> float:
        store = Answering()
        limiter = shared(store)
        await limiter.acquire()
        limiter.release()
        await asyncio.sleep(30)
        store.is_gone = True
        await limiter.acquire()
        elapsed = now()
        await limiter.close()
        return elapsed

    assert virtual_time.run(main()) == pytest.approx(30 + 60 + 5)


def test_the_loss_and_the_return_of_the_store_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "threecommas_async.limits")

    async def main() -> None:
        store = Answering()
        store.is_gone = True
        limiter = shared(store)
        for _ in range(10):
            await limiter.acquire()
        await asyncio.sleep(20)
        store.is_gone = False
        await asyncio.sleep(2)
        await limiter.close()

    virtual_time.run(main())
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "25 requests per 60 s" in caplog.records[0].message
    assert "the-key" not in caplog.text


def test_a_store_that_is_gone_is_tried_once_a_second() -> None:
    async def main() -> int:
        store = Gone()
        limiter = shared(store)
        await limiter.acquire()
        await asyncio.sleep(30.5)
        await limiter.close()
        return store.calls

    assert virtual_time.run(main()) == 31


@pytest.mark.parametrize(
    ("sent_at", "back_at", "silence"),
    [
        pytest.param(None, 10, 0, id="short outage: nobody can have opened a share"),
        pytest.param(None, 100, 2, id="others may have opened theirs: they have two seconds to say so"),
        pytest.param(80, 100, 65.8, id="sent without the store in the last period"),
        pytest.param(80, 200, 2, id="sent without the store, longer ago"),
    ],
)
def test_silence_is_asked_for_when_the_store_is_back(
    sent_at: float | None, back_at: float, silence: float
) -> None:
    async def main() -> float:
        store = Answering()
        limiter = shared(store)
        await limiter.acquire()
        limiter.release()
        store.is_gone = True
        with pytest.raises(LimitWaitError):
            await limiter.acquire(max_wait=1)
        if sent_at:
            await asyncio.sleep(sent_at - now())
            await limiter.acquire()
            limiter.release()
        await asyncio.sleep(back_at - now())
        store.is_gone = False
        before = len(store.visits)
        await asyncio.sleep(2)
        await limiter.close()
        return float(store.visits[before]["silence"] / 1e6)

    assert virtual_time.run(main()) == silence


def test_exits_go_ahead_of_waiting_reads_and_have_the_reserve_of_the_share() -> None:
    order: list[str] = []

    async def one(limiter: SharedLimiter, name: str) -> None:
        await limiter.acquire(is_exit=name == "exit")
        order.append(f"{name} {now():.0f}")
        limiter.release()

    async def main() -> None:
        limiter = shared(Gone(), requests=40, reserve=4)
        await asyncio.gather(*(one(limiter, "read") for _ in range(12)), one(limiter, "exit"))
        await limiter.close()

    virtual_time.run(main())
    assert order == ["exit 0", *["read 0"] * 8, *["read 60"] * 4]


def test_after_a_pause_one_request_at_a_time_goes_out_until_one_is_answered() -> None:
    times: list[float] = []

    async def one(limiter: SharedLimiter, *, answered: bool) -> None:
        await limiter.acquire()
        times.append(now())
        limiter.release(answered=answered)

    async def main() -> None:
        limiter = shared(Gone())
        limiter.pause(30)
        limiter.pause(3)
        tasks = [asyncio.create_task(one(limiter, answered=number == 2)) for number in range(6)]
        await asyncio.gather(*tasks)
        await limiter.close()

    virtual_time.run(main())
    assert times == pytest.approx([30, 35, 40, 40, 40, 40])


def test_whoever_is_cancelled_with_a_permit_gives_it_back() -> None:
    async def main() -> None:
        limiter = shared(Gone(), requests=4)
        await limiter.acquire()
        limiter.release()
        waiter = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(59)
        limiter._share.shut(-math.inf)
        limiter._share._free_at = [now()]
        limiter._admit_alone(now())
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await limiter.acquire(max_wait=0)
        await limiter.close()

    virtual_time.run(main())


def test_a_permit_of_the_store_that_nobody_takes_is_given_back_at_once() -> None:
    async def main() -> None:
        store = Answering()
        limiter = shared(store)
        waiter = asyncio.create_task(limiter.acquire())
        while not limiter._permits.overdue_at() < math.inf:
            await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await asyncio.sleep(0.01)
        assert list(store.visits[-1]["marks"].values()) == [0]
        await limiter.close()

    virtual_time.run(main())


def test_answers_travel_with_the_next_visit_or_ten_together() -> None:
    async def main() -> None:
        store = Answering()
        limiter = shared(store)
        await send(limiter, [], out=0.2)
        assert len(store.visits) == 1
        await send(limiter, [], out=0.2)
        assert [len(visit["marks"]) for visit in store.visits] == [0, 1]
        await asyncio.gather(*(send(limiter, [], out=1) for _ in range(8)))
        assert [len(visit["marks"]) for visit in store.visits] == [0, 1, 1]
        await asyncio.gather(*(send(limiter, [], out=1) for _ in range(10)))
        await asyncio.sleep(0.01)
        assert [len(visit["marks"]) for visit in store.visits] == [0, 1, 1, 8, 10]
        await limiter.close()

    virtual_time.run(main())


def test_a_place_counts_from_the_answer() -> None:
    async def main() -> None:
        store = Answering()
        limiter = shared(store)
        await send(limiter, [], out=0.2)
        await limiter.acquire()
        (free_at,) = store.visits[1]["marks"].values()
        assert free_at / 1e6 - 1e9 == pytest.approx(60.2, abs=0.001)
        await limiter.close()

    virtual_time.run(main())


def test_a_request_without_an_answer_keeps_its_place_for_as_long_as_it_takes() -> None:
    async def main() -> None:
        store = Answering()
        limiter = shared(store)
        await send(limiter, [], out=200)
        kept = [60.0 + 5]
        for visit in store.visits[1:]:
            kept += [free_at / 1e6 - 1e9 for free_at in visit["marks"].values()]
        # Each time it is put off before the place is free, and so far that it covers the time until the next.
        assert kept == pytest.approx([65, 85, 105, 125, 145, 165, 185, 205, 225, 245], abs=0.01)
        await limiter.close()

    virtual_time.run(main())


def test_max_wait_is_refused_before_anything_is_queued() -> None:
    async def main() -> None:
        store = Answering()
        store.answer = {"reads": 0, "reads_in": 50e6, "used": 100}
        limiter = shared(store)
        with pytest.raises(LimitWaitError) as caught:
            await limiter.acquire(max_wait=20)
        assert caught.value.retry_after == pytest.approx(50, abs=0.01)
        assert now() < 0.01
        assert (limiter.snapshot().waiting, limiter.snapshot().used, limiter.snapshot().free) == (0, 100, 0)
        assert limiter.expected_wait() == pytest.approx(50, abs=0.01)
        visits = len(store.visits)
        with pytest.raises(LimitWaitError):
            await limiter.acquire(max_wait=20)
        assert len(store.visits) == visits
        assert now() < 0.02
        await limiter.close()

    virtual_time.run(main())


def test_max_wait_holds_against_a_pause_that_begins_later() -> None:
    async def main() -> float:
        store = Answering()
        store.answer = {"reads": 0, "reads_in": 10e6}
        limiter = shared(store)
        waiter = asyncio.create_task(limiter.acquire(max_wait=12))
        await asyncio.sleep(5)
        store.answer = {"reads": 0, "reads_in": 300e6, "paused": 300e6}
        limiter.pause(300)
        with pytest.raises(LimitWaitError) as caught:
            await waiter
        assert caught.value.retry_after == pytest.approx(305 - now(), abs=1)
        assert limiter.snapshot().paused_until is not None
        await limiter.close()
        return now()

    assert virtual_time.run(main()) < 13


def test_an_idle_process_visits_the_store_once_a_period() -> None:
    async def main() -> int:
        store = Answering()
        limiter = shared(store)
        await send(limiter, [])
        await asyncio.sleep(601)
        await limiter.close()
        return len(store.visits)

    assert virtual_time.run(main()) == 11


def test_whoever_waits_while_it_is_closed_ends_and_it_opens_again() -> None:
    async def main() -> None:
        store = Answering()
        store.answer = {"reads": 0, "reads_in": 50e6}
        limiter = shared(store)
        waiter = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(1)
        await limiter.close()
        with pytest.raises(ClientStateError):
            await waiter
        assert asyncio.all_tasks() == {asyncio.current_task()}
        store.answer = {}
        await asyncio.sleep(60)
        await limiter.acquire()
        await limiter.close()

    virtual_time.run(main())


def test_a_snapshot_says_what_is_known_here() -> None:
    async def main() -> None:
        store = Answering()
        store.answer = {"used": 3}
        limiter = shared(store)
        await limiter.acquire()
        known = limiter.snapshot()
        assert (known.used, known.free, known.reserved, known.waiting) == (3, 97, 10, 0)
        assert (known.next_free_at, known.paused_until) == (None, None)
        store.is_gone = True
        await asyncio.sleep(200)
        alone = limiter.snapshot()
        assert (alone.limit, alone.used, alone.free, alone.reserved) == (limiter.limit, 0, 25, 2)
        await limiter.acquire()
        assert (limiter.snapshot().used, limiter.snapshot().free) == (1, 24)
        await limiter.close()

    virtual_time.run(main())


def test_a_client_of_the_caller_stays_open() -> None:
    async def main() -> None:
        store = Answering()
        limiter = shared(store)
        await limiter.acquire()
        await limiter.close()
        assert not store.is_closed

    virtual_time.run(main())


def test_an_exit_takes_the_permit_that_was_asked_for_a_read() -> None:
    async def main() -> None:
        store = Answering()
        store.answer = {"reads": 0, "reads_in": 2e6, "exits": 0, "exits_in": 2e6}
        limiter = shared(store)
        read = asyncio.create_task(limiter.acquire())
        exit = asyncio.create_task(limiter.acquire(is_exit=True))
        await asyncio.sleep(1)
        store.answer = {"reads": 1, "exits": 0, "exits_in": 50e6, "reads_in": 50e6}
        await asyncio.sleep(2)
        assert (read.done(), exit.done()) == (False, True)
        read.cancel()
        await limiter.close()

    virtual_time.run(main())


def test_closing_while_the_store_is_gone_leaves_nothing_behind() -> None:
    async def main() -> None:
        store = Answering()
        limiter = shared(store)
        await send(limiter, [])
        store.is_gone = True
        await limiter.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        store.is_gone = False
        await asyncio.sleep(100)
        visits = len(store.visits)
        await limiter.acquire()
        await asyncio.sleep(2)
        assert len(store.visits) > visits
        await limiter.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(main())


@pytest.mark.parametrize(
    "options",
    [
        {"share": 0},
        {"share": 1.1},
        {"share": math.nan},
        {"reserve": -1},
        {"reserve": 100},
        {"margin": -1},
        {"margin": math.nan},
        {"margin": 1e300},
        {"url": "http://host"},
        {"url": "redis+cluster://"},
        {"url": None},
        {"url": Redis()},
        {"share": "0.5"},
        {"share": None},
        {"reserve": 1.5},
        {"margin": "3"},
        {"api_key": ""},
        {"api_key": b"the-secret-key"},
        {"limit": 100},
    ],
)
def test_impossible_options_are_refused_without_showing_the_key(options: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {
        "url": "redis://user:the-secret-password@host",
        "api_key": "the-secret-key",
        "share": 0.5,
        "limit": MINUTE,
        **options,
    }
    with pytest.raises(ValueError, match=r"must|cannot be used") as refused:
        SharedLimiter(**arguments)
    assert "the-secret" not in shown_by(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:the-secret@host:port",
        "redis://:the-secret/not-quoted@host",
        "redis://:the-secret@host?no_such_option=1",
        "redis+cluster://:the-secret@",
        "http://:the-secret@host",
        ":the-secret@host",
    ],
)
def test_a_url_that_cannot_be_used_is_not_shown(url: str) -> None:
    options: dict[str, Any] = {"url": url}
    with pytest.raises(ValueError, match=r"cannot be used|must begin with") as refused:
        SharedLimiter(**options, api_key="the-key", share=0.5)
    assert "the-secret" not in shown_by(refused.value)


def test_a_missing_extra_shows_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ImportError, match="needs the package redis") as refused:
        SharedLimiter("redis://:the-secret@host", "the-key", share=0.5)
    assert "the-secret" not in shown_by(refused.value)


def shown_by(error: BaseException) -> str:
    """What a traceback that shows locals tells of an error, and of all that it came from."""
    assert error.__traceback__ is not None
    inside = error.__traceback__.tb_next  # Without the frame of the test.
    frames = traceback.StackSummary.extract(traceback.walk_tb(inside), capture_locals=True)
    assert len(frames) > 0
    before = error.__cause__ or error.__context__
    earlier = ""
    if before is not None:
        walk = traceback.walk_tb(before.__traceback__)
        earlier = str(before) + "".join(traceback.StackSummary.extract(walk, capture_locals=True).format())
    return earlier + str(error) + "".join(frames.format())


def test_a_url_with_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no_such_option"):
        shared("redis://host?no_such_option=1")


async def test_a_store_that_permits_more_than_was_asked_is_a_store_that_is_gone() -> None:
    store = Answering()
    store.answer = {"reads": 10**6, "exits": -5}
    limiter = shared(store)
    await limiter.acquire()
    assert limiter._away
    await limiter.close()


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, 32 * 86400, "3"])
def test_an_impossible_pause_is_refused(seconds: Any) -> None:
    with pytest.raises(ValueError, match="pause"):
        shared(Gone()).pause(seconds)


def test_the_key_is_in_no_repr_and_not_kept() -> None:
    limiter = shared("redis://user:password@host:1/0")
    kept = [repr(limiter), *(repr(getattr(limiter, name)) for name in limiter.__slots__)]
    kept += [repr(getattr(limiter._store, name)) for name in limiter._store.__slots__]
    assert "the-key" not in "".join(kept)
    assert "password" not in repr(limiter)
