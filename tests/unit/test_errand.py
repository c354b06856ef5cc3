from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests import virtual_time
from threecommas_async.errand import Errand
from threecommas_async.errors import BatchStoppedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

REASON = BatchStoppedError("the deadline had passed")


class Worker:
    """A task that waits for an errand once, and then goes on.

    Args:
        wait: Begins the wait.
    """

    def __init__(self, wait: Callable[[], Awaitable[object]]) -> None:
        self.errand = Errand()
        self.end: object = None
        self.cancellations = -1
        self.went_on = False
        self.task = asyncio.create_task(self._work(wait))

    async def _work(self, wait: Callable[[], Awaitable[object]]) -> None:
        try:
            self.end = await self.errand.wait_for(wait)
        except BaseException as problem:
            self.end = problem
            if isinstance(problem, asyncio.CancelledError):
                raise
        finally:
            task = asyncio.current_task()
            assert task is not None
            self.cancellations = task.cancelling()
        await asyncio.sleep(1)
        self.went_on = True


def test_a_wait_is_broken_off_and_the_task_goes_on() -> None:
    async def main() -> None:
        worker = Worker(partial(asyncio.sleep, 3600))
        await asyncio.sleep(1)
        worker.errand.call_off(REASON)
        await worker.task
        assert isinstance(worker.end, BatchStoppedError)
        assert str(worker.end) == "the deadline had passed"
        assert (worker.cancellations, worker.went_on) == (0, True)
        assert asyncio.get_running_loop().time() == pytest.approx(2)

    virtual_time.run(main())


@pytest.mark.parametrize("ends_first", [True, False])
def test_a_wait_that_ends_at_the_same_moment_leaves_no_cancellation_behind(*, ends_first: bool) -> None:
    async def main() -> None:
        gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def wait() -> str:
            return await gate

        worker = Worker(wait)
        await asyncio.sleep(1)
        steps: list[Callable[[], object]] = [
            partial(gate.set_result, "the permit"),
            partial(worker.errand.call_off, REASON),
        ]
        for step in steps if ends_first else reversed(steps):
            if not (gate.cancelled() and step is steps[0]):
                step()
        await worker.task
        assert isinstance(worker.end, BatchStoppedError)
        assert (worker.cancellations, worker.went_on) == (0, True)

    virtual_time.run(main())


async def insists() -> str:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(1)
    return "the permit"


async def fails() -> None:
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        raise ConnectionError("the store is gone") from None


def test_a_wait_that_ends_all_the_same_keeps_what_it_brought() -> None:
    async def main() -> None:
        worker = Worker(insists)
        await asyncio.sleep(1)
        worker.errand.call_off(REASON)
        await worker.task
        assert (worker.end, worker.cancellations, worker.went_on) == ("the permit", 0, True)

    virtual_time.run(main())


def test_a_wait_that_fails_when_it_is_broken_off_leaves_no_cancellation_behind() -> None:
    async def main() -> None:
        worker = Worker(fails)
        await asyncio.sleep(1)
        worker.errand.call_off(REASON)
        await worker.task
        assert isinstance(worker.end, ConnectionError)
        assert (worker.cancellations, worker.went_on) == (0, True)

    virtual_time.run(main())


@pytest.mark.parametrize("called_off_first", [True, False])
def test_a_cancellation_from_outside_at_the_same_time_is_one_that_counts(*, called_off_first: bool) -> None:
    async def main() -> None:
        worker = Worker(partial(asyncio.sleep, 3600))
        await asyncio.sleep(1)
        steps: list[Callable[[], Any]] = [partial(worker.errand.call_off, REASON), worker.task.cancel]
        for step in steps if called_off_first else reversed(steps):
            step()
        with pytest.raises(asyncio.CancelledError):
            await worker.task
        assert (worker.cancellations, worker.went_on) == (1, False)
        assert worker.task.cancelled()

    virtual_time.run(main())


@pytest.mark.parametrize("called_off_first", [True, False])
def test_a_timeout_at_the_same_time_stays_a_timeout(*, called_off_first: bool) -> None:
    """To `asyncio.timeout` a cancellation is its own only if the count is right."""

    async def main() -> None:
        errand = Errand()
        loop = asyncio.get_running_loop()

        async def wait() -> None:
            async with asyncio.timeout_at(5):
                if not called_off_first:
                    loop.call_at(5, errand.call_off, REASON)
                await errand.wait_for(partial(asyncio.sleep, 3600))

        if called_off_first:
            loop.call_at(5, errand.call_off, REASON)
        with pytest.raises(TimeoutError):
            await wait()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(1)

    virtual_time.run(main())


def test_a_task_that_was_cancelled_before_is_broken_off_like_any_other() -> None:
    async def main() -> None:
        errand = Errand()

        async def clean_up() -> int:
            task = asyncio.current_task()
            assert task is not None
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(3600)
            with pytest.raises(BatchStoppedError):
                await errand.wait_for(partial(asyncio.sleep, 3600))
            return task.cancelling()

        task = asyncio.create_task(clean_up())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(1)
        errand.call_off(REASON)
        assert await task == 1

    virtual_time.run(main())


def test_nothing_is_waited_for_once_it_was_called_off() -> None:
    async def main() -> None:
        errand = Errand()
        errand.call_off(REASON)
        errand.call_off(ValueError("later"))
        assert errand.called_off is REASON
        with pytest.raises(BatchStoppedError, match="the deadline had passed"):
            await errand.wait_for(pytest.fail)

    virtual_time.run(main())


def test_whoever_does_not_wait_any_more_is_left_alone() -> None:
    async def main() -> None:
        worker = Worker(partial(asyncio.sleep, 1, "the permit"))
        await asyncio.sleep(1.5)
        worker.errand.call_off(REASON)
        await worker.task
        assert (worker.end, worker.went_on) == ("the permit", True)

    virtual_time.run(main())


def test_attempts_are_counted() -> None:
    errand = Errand()
    for attempt, status in ((1, 200), (1, None), (2, 429), (3, 200)):
        errand.count(attempt=attempt, status=status)
    assert (errand.requests, errand.retries, errand.rate_limited) == (4, 2, 1)
