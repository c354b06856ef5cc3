from __future__ import annotations

import asyncio
import gc
import sys
from typing import TYPE_CHECKING

import pytest

from tests import virtual_time
from threecommas_async.shared_reads import SharedReads

if TYPE_CHECKING:
    from collections.abc import Awaitable


class Source:
    """Answers with the number of the request, a second after it; the first ones can fail."""

    def __init__(self, failures: int = 0) -> None:
        self.begun: list[float] = []
        self.cancelled = 0
        self.reads = SharedReads(asyncio.get_running_loop().time)
        self._failures = failures

    async def read(self) -> int:
        self.begun.append(round(asyncio.get_running_loop().time(), 3))
        number = len(self.begun)
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if number <= self._failures:
            raise LookupError(f"request {number}")
        return number

    def get(self, key: str = "a", *, max_age: float = 60, asker: object = None) -> Awaitable[int]:
        return self.reads.get(key, self.read, max_age=max_age, asker=asker)


def test_who_asks_at_the_same_time_shares_one_request() -> None:
    async def main() -> tuple[list[int], list[float]]:
        source = Source()
        answers = await asyncio.gather(*(source.get() for _ in range(100)), source.get("b"))
        return answers, source.begun

    assert virtual_time.run(main()) == ([1] * 100 + [2], [0, 0])


def test_an_answer_is_kept_for_as_long_as_it_is_fresh() -> None:
    async def main() -> tuple[list[int], list[float]]:
        source = Source()
        answers = [await source.get()]
        await asyncio.sleep(58.9)
        answers.append(await source.get())
        answers.append(await source.get(max_age=30))
        answers.append(await source.get(max_age=0))
        await asyncio.sleep(59)
        answers.append(await source.get())
        return answers, source.begun

    # Its age counts from when it was asked for: 60 s after the third request the answer is stale.
    assert virtual_time.run(main()) == ([1, 1, 2, 3, 4], [0, 59.9, 60.9, 120.9])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks before Python 3.12")
def test_tasks_that_begin_at_once_are_no_exception() -> None:
    async def main() -> list[int]:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))
        reads, answers = SharedReads(lambda: 0.0), iter(range(5))

        async def read() -> int:
            return next(answers)

        return [await reads.get("a", read, max_age=max_age) for max_age in (0, 60, 0, 60)]

    assert virtual_time.run(main()) == [0, 0, 1, 1]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks before Python 3.12")
def test_a_failure_of_a_task_that_begins_at_once_is_not_kept() -> None:
    async def main() -> tuple[str, int]:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))
        reads, numbers = SharedReads(lambda: 0.0), iter(range(5))

        async def read() -> int:
            if (number := next(numbers)) == 0:
                raise LookupError(f"request {number}")
            return number

        with pytest.raises(LookupError) as caught:
            await reads.get("a", read, max_age=60)
        return str(caught.value), await reads.get("a", read, max_age=60)

    assert virtual_time.run(main()) == ("request 0", 1)


def test_an_answer_of_the_same_instant_is_too_old_for_who_wants_a_new_one() -> None:
    async def main() -> list[int]:
        reads, answers = SharedReads(lambda: 0.0), iter(range(5))

        async def read() -> int:
            return next(answers)

        return [await reads.get("a", read, max_age=max_age) for max_age in (0, 60, 0, 60)]

    assert virtual_time.run(main()) == [0, 0, 1, 1]


@pytest.mark.parametrize("first", [0, 1])
def test_a_cancelled_waiter_leaves_the_request_to_the_others(first: int) -> None:
    async def main() -> tuple[int, list[float], int]:
        source = Source()
        waiters = [asyncio.ensure_future(source.get()) for _ in range(2)]
        await asyncio.sleep(0.5)
        waiters[first].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiters[first]
        return await waiters[1 - first], source.begun, source.cancelled

    assert virtual_time.run(main()) == (1, [0], 0)


def test_a_request_that_nobody_waits_for_is_cancelled_and_made_anew_for_the_next() -> None:
    async def main() -> tuple[int, list[float], int]:
        source = Source()
        waiters = [asyncio.ensure_future(source.get()) for _ in range(2)]
        await asyncio.sleep(0.5)
        for waiter in waiters:
            waiter.cancel()
        later = asyncio.ensure_future(source.get())
        await asyncio.gather(*waiters, return_exceptions=True)
        return await later, source.begun, source.cancelled

    assert virtual_time.run(main()) == (2, [0, 0.5], 1)


def test_a_failure_goes_to_all_who_waited_for_it_and_is_not_kept() -> None:
    async def main() -> tuple[list[str], int, list[float]]:
        source = Source(failures=1)
        failures = await asyncio.gather(*(source.get() for _ in range(3)), return_exceptions=True)
        return [repr(failure) for failure in failures], await source.get(), source.begun

    assert virtual_time.run(main()) == (["LookupError('request 1')"] * 3, 2, [0, 1])


def test_who_asked_with_other_options_asks_again_after_a_failure() -> None:
    async def main() -> tuple[str, list[int], list[float]]:
        source = Source(failures=1)
        impatient = asyncio.ensure_future(source.get(asker="impatient"))
        await asyncio.sleep(0)
        patient = [asyncio.ensure_future(source.get(asker="patient")) for _ in range(2)]
        with pytest.raises(LookupError) as caught:
            await impatient
        return str(caught.value), await asyncio.gather(*patient), source.begun

    assert virtual_time.run(main()) == ("request 1", [2, 2], [0, 1])


def test_a_failure_that_nobody_waits_for_any_more_is_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async def fail_as_the_waiter_goes() -> int:
            await asyncio.sleep(1)
            waiter.cancel()
            raise LookupError

        reads = SharedReads(asyncio.get_running_loop().time)
        waiter = asyncio.ensure_future(reads.get("a", fail_as_the_waiter_goes, max_age=60))
        await asyncio.wait([waiter])
        assert waiter.cancelled()

    virtual_time.run(main())
    gc.collect()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


def test_the_oldest_answers_make_room() -> None:
    async def main() -> tuple[int, int]:
        source = Source()
        async with asyncio.TaskGroup() as group:
            for number in range(10_001):
                group.create_task(source.reads.get(number, source.read, max_age=60))
        newest = await source.reads.get(10_000, source.read, max_age=60)
        return newest, await source.reads.get(0, source.read, max_age=60)

    assert virtual_time.run(main()) == (10_001, 10_002)
