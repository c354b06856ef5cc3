"""Thousands of closes through the whole client in front of a scripted transport, on a virtual clock."""

from __future__ import annotations

import asyncio
import gc
import random
import re
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from tests import virtual_time
from tests.conftest import SAMPLES
from tests.scripted_api import Script, new_session
from threecommas_async import BatchReport, SmartTrades, Verdict
from threecommas_async.endpoints import GET_SMART_TRADE
from threecommas_async.wire import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from threecommas_async import SmartTrade
    from threecommas_async.wire import Failure, Progress, Request

CLOSED = (SAMPLES / "smart_trades.close_by_market" / "201.json").read_bytes()
MEGABYTE = 1_000_000

_ID = re.compile(r"/smart_trades/(\d+)/close_by_market")


class Closes(Script):
    """Answers each close with the documented trade, 20 to 400 ms after it was sent."""

    def __init__(self) -> None:
        super().__init__({})
        self._chance = random.Random(11)

    async def send(
        self, request: Request, *, timeout: float, new_connection: bool, progress: Progress
    ) -> Response | Failure:
        del timeout, new_connection
        asked = _ID.search(request.target)
        assert asked is not None
        progress.sent = True
        await asyncio.sleep(self._chance.uniform(0.02, 0.4))
        return Response(201, {}, CLOSED.replace(b'"id": 12345678,', f'"id": {asked[1]},'.encode(), 1))


def close(count: int) -> tuple[BatchReport, float]:
    """Close many trades, and return the report and when it was there."""
    ids = list(range(2_376_000_000, 2_376_000_000 + count))

    async def main() -> tuple[BatchReport, float]:
        smart_trades = SmartTrades(new_session(Closes()))
        report = await smart_trades.close_many(ids)
        return report, asyncio.get_running_loop().time()

    report, seconds = virtual_time.run(main())
    assert [outcome.id for outcome in report] == ids
    assert report.counts == {Verdict.CLOSING: count}
    return report, seconds


def test_reading_takes_its_share_of_the_time_in_which_trades_are_followed() -> None:
    trade = GET_SMART_TRADE.decode(CLOSED.replace(b"panic_sell_pending", b"waiting_targets"))

    async def slowly() -> AsyncIterator[SmartTrade]:
        yield trade
        await asyncio.sleep(50)

    async def main() -> float:
        script = Script({"POST": [Response(201, {}, CLOSED)], "GET": [Response(200, {}, CLOSED)]})
        smart_trades = SmartTrades(new_session(script))
        report = await smart_trades.close_many(slowly(), order="loss", deadline=60, wait=True)
        assert report.counts == {Verdict.CLOSING: 1}
        assert script.sent[-1][0] <= 60
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main()) == pytest.approx(60)


def test_10_000_closes_take_the_floor_and_two_hundredths_of_it_at_most() -> None:
    report, seconds = close(10_000)
    floor = 99 * 60
    assert report.floor == floor
    assert floor <= report.elapsed <= seconds <= 1.02 * floor
    assert (report.requests, report.retries, report.rate_limited) == (10_000, 0, 0)


def test_10_000_closes_take_two_megabytes_besides_a_report_of_a_kilobyte_each() -> None:
    close(100)  # What is made once is no part of it.
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        report, _ = close(10_000)
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before <= 1000 * len(report), "the report"
    assert peak - after <= 2 * MEGABYTE, "what is needed besides"
