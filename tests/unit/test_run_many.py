"""What `run_many` says of a call of the caller's that fails after it has ordered something."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests import virtual_time
from tests.scripted_api import LOST, Script, new_session
from threecommas_async import (
    BatchReport,
    OutcomeUnknownError,
    SmartTradeOrder,
    SmartTrades,
    ThreeCommasError,
    Verdict,
)
from threecommas_async.wire import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ORDER = SmartTradeOrder.smart_trade(account_id=1, pair="USDT_DOGE", units=50)
CREATED = Response(201, {}, b'{"id":7,"status":{"basic_type":"created"}}')
CLOSING = Response(201, {}, b'{"id":7,"status":{"basic_type":"panic_sell_pending"}}')


def run(
    call: Callable[[SmartTrades, SmartTrades], Awaitable[object]], script: Script, **options: Any
) -> BatchReport:
    """Make a call once; its first argument is bound to the batch, its second is not."""

    async def main() -> BatchReport:
        smart_trades = SmartTrades(new_session(script))

        async def once(calls: SmartTrades, _item: int) -> object:
            return await call(calls, smart_trades)

        return await smart_trades.run_many(once, [1], **options)

    return virtual_time.run(main())


async def find_afterwards(calls: SmartTrades, _client: SmartTrades) -> object:
    try:
        return await calls.create(ORDER)
    except OutcomeUnknownError as lost:
        return await calls.find_created(lost)


async def raise_a_value_error(calls: SmartTrades, _client: SmartTrades) -> None:
    try:
        await calls.create(ORDER)
    except OutcomeUnknownError as lost:
        raise ValueError("no luck") from lost


async def raise_an_error_of_the_package(calls: SmartTrades, _client: SmartTrades) -> None:
    try:
        await calls.create(ORDER)
    except OutcomeUnknownError as lost:
        raise ThreeCommasError("give up") from lost


async def give_up_in_time(calls: SmartTrades, _client: SmartTrades) -> None:
    try:
        async with asyncio.timeout(0.5):
            await calls.create(ORDER)
    except TimeoutError:
        raise ValueError("too slow") from None


@pytest.mark.parametrize(
    "call",
    [find_afterwards, raise_a_value_error, raise_an_error_of_the_package, give_up_in_time],
)
def test_an_order_that_may_exist_is_unknown_whatever_its_caller_raises(call: Any) -> None:
    report = run(call, Script([LOST]))
    assert report.counts == {Verdict.UNKNOWN: 1}
    [outcome] = report
    assert outcome.reason.startswith("a part of it may have been carried out, then it failed: ")


async def close_in_a_batch(calls: SmartTrades, _client: SmartTrades) -> None:
    assert (await calls.close_many([7])).counts == {Verdict.CLOSING: 1}


async def close_in_a_batch_of_calls(calls: SmartTrades, _client: SmartTrades) -> None:
    assert (await calls.run_many(SmartTrades.close_by_market, [7])).counts == {Verdict.DONE: 1}


async def close_through_the_client(_calls: SmartTrades, client: SmartTrades) -> None:
    await client.close_by_market(7)


async def close_in_a_task(_calls: SmartTrades, client: SmartTrades) -> None:
    await asyncio.create_task(client.close_by_market(7))


@pytest.mark.parametrize("problem", [TypeError, ValueError, ThreeCommasError])
@pytest.mark.parametrize(
    "step", [close_in_a_batch, close_in_a_batch_of_calls, close_through_the_client, close_in_a_task]
)
def test_a_step_that_was_carried_out_is_seen_through_whichever_calls_it_went(
    step: Any, problem: type[Exception]
) -> None:
    async def call(calls: SmartTrades, client: SmartTrades) -> None:
        await step(calls, client)
        raise problem("of the caller's")

    [outcome] = run(call, Script([CLOSING]))
    assert outcome.verdict is Verdict.UNKNOWN
    assert outcome.reason == "a part of it was carried out, then it failed: of the caller's"


@pytest.mark.parametrize("reference", [None, "r-1"])
def test_an_order_that_is_on_its_way_when_its_sibling_fails_is_unknown(reference: str | None) -> None:
    async def fail() -> None:
        await asyncio.sleep(0.5)
        raise ValueError("of the caller's")

    async def call(calls: SmartTrades, _client: SmartTrades) -> None:
        await asyncio.gather(calls.create(ORDER, reference=reference), fail())

    async def within(calls: SmartTrades, client: SmartTrades) -> None:
        await calls.run_many(lambda inner, _: call(inner, client), [1])
        raise ValueError("of the caller's")

    for made in (call, within):
        [outcome] = run(made, Script([CREATED]))
        assert outcome.verdict is Verdict.UNKNOWN
        assert outcome.reason.startswith("a part of it may have been carried out")


def test_a_reference_whose_order_is_there_already_has_ordered_it() -> None:
    async def main() -> BatchReport:
        smart_trades = SmartTrades(new_session(Script([CREATED])))
        await smart_trades.create(ORDER, reference="r-1")

        async def call(calls: SmartTrades, _item: int) -> None:
            await calls.create(ORDER, reference="r-1")
            raise ValueError("of the caller's")

        return await smart_trades.run_many(call, [1])

    assert virtual_time.run(main()).counts == {Verdict.UNKNOWN: 1}


def test_who_gave_up_waiting_for_the_same_reference_does_not_know() -> None:
    async def main() -> BatchReport:
        session = new_session(Script([CREATED], seconds=10))
        smart_trades = SmartTrades(session)
        hurried = smart_trades.with_session(session.with_options(timeout=1, max_wait=None))
        first = asyncio.create_task(smart_trades.create(ORDER, reference="r-1"))

        async def call(_calls: SmartTrades, _item: int) -> None:
            try:
                await hurried.create(ORDER, reference="r-1")
            except OutcomeUnknownError as problem:
                raise ValueError("of the caller's") from problem

        report = await smart_trades.run_many(call, [1])
        await first
        return report

    assert virtual_time.run(main()).counts == {Verdict.UNKNOWN: 1}


def test_what_one_item_has_ordered_is_not_held_against_the_next() -> None:
    async def main() -> BatchReport:
        smart_trades = SmartTrades(new_session(Script([CREATED])))

        async def call(calls: SmartTrades, item: int) -> None:
            if item == 1:
                await calls.create(ORDER)
            raise ValueError("of the caller's")

        return await smart_trades.run_many(call, [1, 2], concurrency=1)

    report = virtual_time.run(main())
    assert [outcome.verdict for outcome in report] == [Verdict.UNKNOWN, Verdict.REFUSED]


def test_an_order_that_was_lost_before_is_unknown_still() -> None:
    async def main() -> BatchReport:
        smart_trades = SmartTrades(new_session(Script([LOST])))

        async def call(calls: SmartTrades, _item: int) -> None:
            try:
                await calls.create(ORDER, reference="r-1")
            except OutcomeUnknownError as lost:
                raise ValueError(str(lost)) from lost

        return await smart_trades.run_many(call, [1, 2], concurrency=1)

    report = virtual_time.run(main())
    assert report.counts == {Verdict.UNKNOWN: 2}
    assert "was lost before" in report.outcomes[1].reason


@pytest.mark.parametrize("name", ["close_many", "cancel_many"])
def test_a_batch_within_a_batch_is_stopped_and_counted_with_it(name: str) -> None:
    script = Script([CLOSING])
    inner: list[BatchReport] = []

    async def call(calls: SmartTrades, _client: SmartTrades) -> None:
        inner.append(await getattr(calls, name)(range(1, 41), concurrency=1))

    report = run(call, script, deadline=3.5)
    [within] = inner
    assert max(at for at, _ in script.log) < 3.5
    assert report.requests == within.requests == len(script.sent) == 4
    assert within.counts[Verdict.SKIPPED] == 36
    assert "the deadline of 3.5 s" in within.failed[0].reason


def test_a_batch_that_begins_once_the_outer_one_was_called_off_sends_nothing() -> None:
    script = Script([CLOSING])

    async def call(calls: SmartTrades, _client: SmartTrades) -> BatchReport:
        await asyncio.sleep(2)
        return await calls.close_many([7])

    [outcome] = run(call, script, deadline=1)
    assert isinstance(outcome.result, BatchReport)
    assert outcome.result.counts == {Verdict.SKIPPED: 1}
    assert script.sent == []
