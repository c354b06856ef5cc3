"""What becomes of a batch whose closes end unknown, on a virtual clock."""

from __future__ import annotations

import asyncio

import pytest

from tests import virtual_time
from tests.cancelled_batches import report_of_cancelled
from tests.conftest import SAMPLES
from tests.scripted_api import LOST, Script, new_session
from threecommas_async import BatchReport, SmartTrade, SmartTrades, Verdict
from threecommas_async.models.status import Status, StatusCode
from threecommas_async.wire import Response

CLOSING = (SAMPLES / "smart_trades.close_by_market" / "201.json").read_bytes()


def seen(status: str) -> Response:
    body = CLOSING.replace(b'"id": 12345678,', b'"id":7,', 1).replace(b"panic_sell_pending", status.encode())
    return Response(200, {}, body.lstrip().replace(b"{\n", b"{", 1).replace(b'{  "id":7', b'{"id":7', 1))


def close(*answers: Response) -> tuple[BatchReport, float]:
    """Close a trade whose close and all looks at it are lost; return the report and when it was there."""

    async def main() -> tuple[BatchReport, float]:
        script = Script({"POST": [LOST], "GET": [LOST] * 9 + [*answers]})
        smart_trades = SmartTrades(new_session(script))
        report = await smart_trades.close_many([7], deadline=300, wait=True)
        return report, asyncio.get_running_loop().time()

    return virtual_time.run(main())


def test_a_trade_that_is_still_open_is_not_waited_for_until_the_deadline() -> None:
    report, seconds = close(seen("waiting_targets"))
    [outcome] = report
    assert (outcome.verdict, outcome.ok) == (Verdict.UNKNOWN, False)
    assert outcome.trade is not None
    assert outcome.trade.is_open
    assert seconds < 60


@pytest.mark.parametrize("polls", [1, 5])
def test_a_close_that_shows_after_all_is_followed_to_its_end(polls: int) -> None:
    report, _ = close(*[seen("panic_sell_pending")] * polls, seen("panic_sold"))
    assert report.counts == {Verdict.CLOSED: 1}


def test_a_close_that_shows_within_ten_seconds_is_followed_to_its_end() -> None:
    report, _ = close(seen("waiting_targets"), seen("panic_sell_pending"), seen("panic_sold"))
    assert report.counts == {Verdict.CLOSED: 1}


def test_a_close_that_was_cancelled_before_a_batch_is_none_that_the_batch_ordered() -> None:
    unfilled = SmartTrade(id=7, status=Status(basic_type=StatusCode("waiting_position")))

    async def main() -> BatchReport:
        script = Script({"POST": [LOST], "GET": [seen("waiting_position")]}, seconds=60)
        session = new_session(script)
        smart_trades = SmartTrades(session)
        before = asyncio.create_task(smart_trades.close_by_market(7))
        await asyncio.sleep(1)
        before.cancel()
        await asyncio.wait([before])
        assert [error.smart_trade_id for error in session.in_flight_unknown] == [7]
        batch = asyncio.create_task(smart_trades.close_many([unfilled]))  # It reads the trade first.
        await asyncio.sleep(1)
        for _ in range(2):
            batch.cancel()
            await asyncio.sleep(1)
        report = await report_of_cancelled(batch)
        assert [method for _, method in script.log] == ["POST", "GET"]
        return report

    report = virtual_time.run(main())
    assert report.counts == {Verdict.SKIPPED: 1}
