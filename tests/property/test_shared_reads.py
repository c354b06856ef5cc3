"""One request in flight for each key, and whoever waits gets an answer, whoever else is cancelled."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests import virtual_time
from threecommas_async.shared_reads import SharedReads

asks = st.tuples(
    st.sampled_from("ab"),  # The key.
    st.sampled_from((0.0, 1.5, 4.0)),  # The greatest age.
    st.sampled_from("xy"),  # Who asks.
    st.sampled_from((0.0, 0.0, 0.5, 1.0, 2.0)),  # The pause before the next one asks.
    st.sampled_from((None, None, 0.25, 0.5, 1.0)),  # When it is cancelled.
)


@settings(max_examples=200)
@given(st.lists(asks, min_size=1, max_size=12), st.lists(st.booleans(), max_size=12))
def test_whoever_is_not_cancelled_is_answered_with_what_is_fresh_enough(
    script: list[tuple[str, float, str, float, float | None]], fates: list[bool]
) -> None:
    async def main() -> None:
        clock = asyncio.get_running_loop().time
        reads = SharedReads(clock)
        flying: Counter[str] = Counter()
        failures = iter(fates)

        async def read(key: str) -> tuple[str, float]:
            asked = clock()
            flying[key] += 1
            assert flying[key] == 1
            try:
                await asyncio.sleep(1)
            finally:
                flying[key] -= 1
            if next(failures, False):
                raise LookupError(key)
            return key, asked

        async def ask(key: str, max_age: float, asker: str) -> str:
            began = clock()
            try:
                answer, asked = await reads.get(key, lambda: read(key), max_age=max_age, asker=asker)
            except LookupError:
                return "failed"
            assert answer == key
            # One that was on its way already was asked for as long before as it takes, at the most.
            assert began - asked < max(max_age, 1.001)
            return "answered"

        tasks: list[asyncio.Task[str]] = []
        for key, max_age, asker, pause, cancelled in script:
            tasks.append(asyncio.create_task(ask(key, max_age, asker)))
            if cancelled is not None:
                asyncio.get_running_loop().call_later(cancelled, tasks[-1].cancel)
            await asyncio.sleep(pause)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for end, (*_, cancelled) in zip(ended, script, strict=True):
            if isinstance(end, BaseException):
                assert isinstance(end, asyncio.CancelledError)
                assert cancelled is not None
            else:
                event(end)
        # A request that nobody waits for any more is cancelled, and has its last turn after theirs.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*left, return_exceptions=True)
        assert all(task.cancelled() for task in left)

    virtual_time.run(main())
