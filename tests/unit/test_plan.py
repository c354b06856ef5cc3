"""Plans of what an asynchronous iterable brings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests import virtual_time
from tests.scripted_api import Script, new_session
from threecommas_async import BatchInterruptedError, BatchReport, SmartTrade, SmartTrades, Verdict
from threecommas_async.models.status import Status, StatusCode
from threecommas_async.wire import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TRADE = SmartTrade(id=7, status=Status(basic_type=StatusCode.WAITING_TARGETS))
MANY = 10_000


@pytest.mark.parametrize(
    "options", [{"dry_run": True}, {"dry_run": True, "order": "loss"}, {"order": "loss"}]
)
def test_a_stream_that_never_waits_leaves_the_event_loop_to_others(options: Any) -> None:
    read: list[int] = []

    async def trades(is_over: asyncio.Event) -> AsyncIterator[SmartTrade]:
        for number in range(MANY):
            if is_over.is_set():
                return
            read.append(number)
            yield TRADE

    async def main() -> None:
        is_over = asyncio.Event()
        smart_trades = SmartTrades(new_session(Script([])))
        task = asyncio.create_task(smart_trades.close_many(trades(is_over), **options))
        while not read:
            await asyncio.sleep(0)
        is_over.set()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    virtual_time.run(main())
    assert len(read) < MANY


def test_a_stream_that_fails_interrupts_a_plan_with_a_verdict_on_what_it_had_given() -> None:
    problem = OSError("of the caller's")

    async def trades() -> AsyncIterator[SmartTrade]:
        yield TRADE
        raise problem

    async def main() -> BatchReport:
        smart_trades = SmartTrades(new_session(Script([])))
        with pytest.raises(BatchInterruptedError, match="failed after 1 of them: OSError") as interrupted:
            await smart_trades.close_many(trades(), dry_run=True)
        assert interrupted.value.__cause__ is problem
        assert interrupted.value.report is not None
        return interrupted.value.report

    report = virtual_time.run(main())
    assert report.counts == {Verdict.WOULD_CLOSE: 1}
    assert (report.dry_run, report.ok) == (True, False)


def test_a_list_that_is_there_when_the_deadline_has_passed_is_planned() -> None:
    listed = Response(200, {}, b'[{"id":8,"status":{"basic_type":"waiting_targets"}}]')

    async def main() -> BatchReport:
        script = Script([listed], seconds=1)
        return await SmartTrades(new_session(script)).close_all(dry_run=True, deadline=0.5)

    report = virtual_time.run(main())
    assert report.counts == {Verdict.WOULD_CLOSE: 1}
    assert report.ok
