from __future__ import annotations

import asyncio
import gc
import math
import sys
import weakref
from decimal import Context, Decimal, Inexact, localcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from tests import virtual_time
from tests.cancelled_batches import report_of, report_of_cancelled
from threecommas_async import errors
from threecommas_async.batch import Batch, BatchReport, Outcome, Verdict
from threecommas_async.batch.closing import Closing, plan
from threecommas_async.batch.followed import followed
from threecommas_async.batch.items import Item, read_items
from threecommas_async.batch.options import check_options
from threecommas_async.errand import Errand
from threecommas_async.limits import GENERAL
from threecommas_async.models.smart_trade import SmartTrade
from threecommas_async.models.smart_trade_groups import Profit, SmartTradeData
from threecommas_async.models.status import Status, StatusCode
from threecommas_async.models.summary import TradeSummary

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from threecommas_async.batch.closing import OnUnfilled
    from threecommas_async.batch.items import ClosingOrder, IdsOrTrades
    from threecommas_async.batch.progress import OnProgress


def trade(id: int, state: str = "waiting_targets") -> SmartTrade:
    return SmartTrade(id=id, status=Status(basic_type=StatusCode(state)))


class Exchange:
    """Trades by id, in some state; errors to raise for some ids."""

    def __init__(
        self,
        states: dict[int, str],
        faults: dict[int, BaseException] | None = None,
        *,
        unreadable: Exception | None = None,
    ) -> None:
        self.states = states
        self.faults = faults or {}
        self.unreadable = unreadable
        self.filled_by_cancel = False
        self.calls: list[tuple[str, int]] = []
        self.in_flight = self.most_in_flight = 0

    async def get(self, id: int, /) -> SmartTrade:
        await self._take("get", id)
        if self.unreadable:
            raise self.unreadable
        return trade(id, self.states[id])

    async def cancel(self, id: int, /) -> SmartTrade:
        await self._take("cancel", id)
        self.states[id] = "cancellation_pending"
        return structs.replace(trade(id, self.states[id]), is_position_not_filled=not self.filled_by_cancel)

    async def close_by_market(self, id: int, /) -> SmartTrade:
        await self._take("close", id)
        if id in self.faults:
            raise self.faults[id]
        if id not in self.states:
            raise errors.NotFoundError("no such trade")
        if self.states[id] != "waiting_targets":
            raise errors.InvalidRequestError("wrong state")
        self.states[id] = "panic_sell_pending"
        return trade(id, self.states[id])

    async def _take(self, name: str, id: int) -> None:
        self.calls.append((name, id))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0.05)
        self.in_flight -= 1


def batch_of(
    exchange: Exchange,
    trades: IdsOrTrades,
    *,
    order: ClosingOrder = "given",
    on_unfilled: OnUnfilled = "cancel",
    concurrency: int = 4,
    deadline: float | None = None,
    on_progress: OnProgress | None = None,
    errand: Errand | None = None,
) -> Batch:
    check_options(concurrency=concurrency, deadline=deadline, on_progress=on_progress)
    errand = errand or Errand()
    return Batch(
        partial(read_items, trades, order=order, errand=errand),
        Closing(exchange, exchange, on_unfilled),
        errand=errand,
        limit=GENERAL,
        concurrency=concurrency,
        deadline=deadline,
        on_progress=on_progress,
        lost=lambda _id: None,
        clock=lambda: asyncio.get_running_loop().time(),
    )


def close(
    exchange: Exchange,
    trades: IdsOrTrades,
    *,
    order: ClosingOrder = "given",
    on_unfilled: OnUnfilled = "cancel",
    concurrency: int = 4,
    progress: list[tuple[int, int | None, Verdict]] | None = None,
) -> BatchReport:
    def on_progress(done: int, total: int | None, outcome: Outcome) -> None:
        if progress is not None:
            progress.append((done, total, outcome.verdict))

    async def main() -> BatchReport:
        return await batch_of(
            exchange,
            trades,
            order=order,
            on_unfilled=on_unfilled,
            concurrency=concurrency,
            on_progress=on_progress,
        ).run()

    return virtual_time.run(main())


def test_every_trade_gets_a_verdict_in_the_order_of_the_input() -> None:
    states = {1: "waiting_targets", 2: "panic_sold", 3: "waiting_position", 4: "panic_sell_pending"}
    exchange = Exchange(states)
    report = close(exchange, [4, 3, 99, 2, 1])
    assert [(outcome.id, outcome.verdict) for outcome in report] == [
        (4, Verdict.ALREADY_CLOSED),
        (3, Verdict.CANCELLED),
        (99, Verdict.REFUSED),
        (2, Verdict.ALREADY_CLOSED),
        (1, Verdict.CLOSING),
    ]
    assert isinstance(report.outcomes[2].error, errors.NotFoundError)
    assert not report.ok
    assert [outcome.id for outcome in report.failed] == [99]


def test_a_trade_that_had_ended_when_it_was_read_costs_no_call() -> None:
    exchange = Exchange({1: "finished", 2: "created", 3: "cancellation_pending", 4: "waiting_targets"})
    report = close(exchange, [trade(id, state) for id, state in exchange.states.items()], concurrency=1)
    assert [outcome.verdict for outcome in report] == [
        Verdict.ALREADY_CLOSED,
        Verdict.CANCELLED,
        Verdict.ALREADY_CLOSED,
        Verdict.CLOSING,
    ]
    assert exchange.calls == [("get", 2), ("cancel", 2), ("close", 4)]


@pytest.mark.parametrize("order", ["given", "loss"])
def test_what_costs_no_call_leaves_the_loop_to_others(order: ClosingOrder) -> None:
    """Between two turns of another task 100 trades are read at most, and each of 4 workers takes 50."""
    ended = [trade(id, "panic_sold") for id in range(1, 5001)]

    async def main() -> None:
        batch = asyncio.create_task(batch_of(Exchange({}), ended, order=order).run())
        turns = 0
        while not batch.done():
            await asyncio.sleep(0)
            turns += 1
        assert (await batch).counts == {Verdict.ALREADY_CLOSED: 5000}
        assert turns >= 50 + 25

    virtual_time.run(main())


def test_a_trade_that_was_filled_since_it_was_read_is_closed_and_not_cancelled() -> None:
    exchange = Exchange({1: "waiting_targets"})
    report = close(exchange, [trade(1, "waiting_position")])
    assert report.counts == {Verdict.CLOSING: 1}
    assert ("cancel", 1) not in exchange.calls


def test_a_trade_that_is_filled_while_it_is_cancelled_is_reported_as_still_held() -> None:
    exchange = Exchange({1: "waiting_position"})
    exchange.filled_by_cancel = True
    [outcome] = close(exchange, [1])
    assert outcome.verdict is Verdict.REFUSED
    assert "still held" in str(outcome.error)


def test_an_id_that_comes_twice_is_closed_once_and_reported_twice() -> None:
    exchange = Exchange({7: "waiting_targets"})
    report = close(exchange, [7, trade(7), 7])
    assert [outcome.verdict for outcome in report] == [Verdict.CLOSING] * 3
    assert exchange.calls == [("close", 7)]


def test_a_failed_look_at_a_refused_trade_keeps_the_refusal() -> None:
    refusal = errors.InvalidRequestError("wrong state")
    exchange = Exchange({1: "waiting_targets"}, {1: refusal}, unreadable=errors.TransportError("no answer"))
    [outcome] = close(exchange, [1])
    assert outcome.error is refusal
    assert "no answer" in refusal.__notes__[0]


def test_a_second_run_closes_nothing_twice() -> None:
    exchange = Exchange(dict.fromkeys(range(1, 11), "waiting_targets"))
    assert close(exchange, range(1, 11)).counts == {Verdict.CLOSING: 10}
    assert close(exchange, range(1, 11)).counts == {Verdict.ALREADY_CLOSED: 10}


def test_an_unfilled_trade_can_be_left_alone() -> None:
    exchange = Exchange({1: "waiting_position", 2: "waiting_position"})
    report = close(exchange, [1, trade(2, "waiting_position")], on_unfilled="skip")
    assert report.counts == {Verdict.SKIPPED: 2}
    assert report.ok  # As it was wanted.
    assert ("cancel", 1) not in exchange.calls
    assert ("cancel", 2) not in exchange.calls


def test_a_refusal_that_the_state_does_not_explain_is_reported() -> None:
    refusal = errors.InvalidRequestError("not today")
    report = close(Exchange({1: "waiting_targets"}, {1: refusal}), [1])
    assert report.outcomes[0] == Outcome(1, Verdict.REFUSED, TradeSummary.of(trade(1)), refusal)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (errors.OutcomeUnknownError("lost"), Verdict.UNKNOWN),
        (errors.NotSentError("no network"), Verdict.SKIPPED),
        (errors.LimitWaitError("too far away"), Verdict.SKIPPED),
        (ValueError("too long"), Verdict.REFUSED),
        (errors.RateLimitedError("429"), Verdict.REFUSED),
        (errors.TransportError("of a read"), Verdict.SKIPPED),
        (errors.ServerError("of a read"), Verdict.SKIPPED),
        (errors.DecodeError("of a read"), Verdict.SKIPPED),
    ],
)
def test_one_failed_call_does_not_stop_the_others(error: Exception, verdict: Verdict) -> None:
    report = close(Exchange(dict.fromkeys(range(1, 6), "waiting_targets"), {3: error}), range(1, 6))
    assert report.counts == {Verdict.CLOSING: 4, verdict: 1}
    assert report.failed[0].error is error


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (errors.AuthenticationError("401"), Verdict.REFUSED),
        (errors.BannedError("418"), Verdict.REFUSED),
        (errors.PlanLimitError("plan"), Verdict.REFUSED),
        (errors.ClientStateError("closed"), Verdict.SKIPPED),
    ],
)
def test_a_refusal_that_all_would_meet_stops_the_batch(error: Exception, verdict: Verdict) -> None:
    exchange = Exchange(dict.fromkeys(range(1, 101), "waiting_targets"), {1: error})
    report = close(exchange, range(1, 101), concurrency=4)
    assert len(report) == 100
    assert report.outcomes[0].verdict is verdict
    assert report.counts[Verdict.CLOSING] == 3  # The calls that were in flight with the first.
    assert [outcome.verdict for outcome in report][4:] == [Verdict.SKIPPED] * 96
    assert report.outcomes[99].error is error
    assert len(exchange.calls) == 4


def test_no_more_calls_are_in_flight_than_asked_for() -> None:
    exchange = Exchange(dict.fromkeys(range(1, 51), "waiting_targets"))
    close(exchange, range(1, 51), concurrency=7)
    assert exchange.most_in_flight == 7


def test_a_pool_has_no_more_workers_than_there_is_work() -> None:
    async def trades() -> AsyncIterator[int]:
        for id in (1, 2, 3):
            await asyncio.sleep(1)
            yield id

    async def main() -> None:
        exchange = Exchange(dict.fromkeys((1, 2, 3), "waiting_targets"))
        batch = asyncio.create_task(batch_of(exchange, trades(), concurrency=10**9).run())
        await asyncio.sleep(2.5)
        assert len(asyncio.all_tasks()) <= 2 + 3
        assert (await batch).counts == {Verdict.CLOSING: 3}

    virtual_time.run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks are eager from 3.12 on")
@pytest.mark.parametrize("concurrency", [4, 10**9])
def test_a_pool_of_eager_tasks_is_no_larger(concurrency: int) -> None:
    async def main() -> None:
        eager: Any = getattr(asyncio, "eager_task_factory", None)
        asyncio.get_running_loop().set_task_factory(eager)
        ids = range(1, 3001)
        exchange = Exchange(dict.fromkeys(ids, "waiting_targets"))
        report = await batch_of(exchange, ids, concurrency=concurrency).run()
        assert report.counts == {Verdict.CLOSING: 3000}
        assert exchange.most_in_flight == min(concurrency, 3000)

    virtual_time.run(main())


def test_progress_is_told_after_each_verdict() -> None:
    progress: list[tuple[int, int | None, Verdict]] = []
    close(Exchange({1: "waiting_targets"}), [1, 2], concurrency=1, progress=progress)
    assert progress == [(1, 2, Verdict.CLOSING), (2, 2, Verdict.REFUSED)]


def test_progress_that_raises_does_not_stop_the_batch(caplog: pytest.LogCaptureFixture) -> None:
    def explode(*_told: object) -> None:
        raise ZeroDivisionError

    async def main() -> BatchReport:
        exchange = Exchange({1: "waiting_targets", 2: "waiting_targets"})
        return await batch_of(exchange, [1, 2], on_progress=explode).run()

    assert virtual_time.run(main()).ok
    assert "on_progress raised" in caplog.text


def test_trades_may_come_from_an_async_iterable_of_unknown_length() -> None:
    async def trades() -> AsyncIterator[int | SmartTrade]:
        for id in range(1, 6):
            await asyncio.sleep(0.01)
            yield trade(id) if id % 2 else id

    progress: list[tuple[int, int | None, Verdict]] = []
    report = close(Exchange(dict.fromkeys(range(1, 6), "waiting_targets")), trades(), progress=progress)
    assert [outcome.id for outcome in report] == [1, 2, 3, 4, 5]
    assert progress[-1] == (5, None, Verdict.CLOSING)


def test_an_empty_batch_is_an_empty_report() -> None:
    report = close(Exchange({}), [])
    assert (len(report), report.ok, report.failed) == (0, True, ())


@pytest.mark.parametrize("bad", [0, -5, True, "7a", "", "-7", "٣", "0", "9" * 30, 1.0, None])
def test_a_bad_item_of_a_list_is_refused_before_anything_is_sent(bad: object) -> None:
    exchange = Exchange({1: "waiting_targets"})
    with pytest.raises(ValueError, match="not a SmartTrade"):
        close(exchange, [1, bad])  # type: ignore[list-item]  # pyright: ignore - the bad input
    assert exchange.calls == []


def test_an_id_may_be_a_text_of_digits() -> None:
    report = close(Exchange({7: "waiting_targets"}), ["7", "007"])
    assert [(outcome.id, outcome.verdict) for outcome in report] == [(7, Verdict.CLOSING)] * 2


async def streamed(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


def test_a_bad_item_of_a_stream_costs_only_itself() -> None:
    exchange = Exchange({1: "waiting_targets", 3: "waiting_targets"})
    report = close(exchange, streamed(1, -2, 3))
    assert [outcome.verdict for outcome in report] == [Verdict.CLOSING, Verdict.REFUSED, Verdict.CLOSING]
    assert isinstance(report.outcomes[1].error, ValueError)


def test_an_iterable_that_fails_does_not_lose_the_verdicts_so_far() -> None:
    async def trades() -> AsyncIterator[int]:
        for id in range(1, 8):
            yield id
        raise OSError("the list ended early")

    with pytest.raises(errors.BatchInterruptedError, match="after 7 of them") as caught:
        close(Exchange(dict.fromkeys(range(1, 8), "waiting_targets")), trades())
    assert caught.value.report is not None
    assert caught.value.report.counts == {Verdict.CLOSING: 7}
    assert isinstance(caught.value.__cause__, OSError)


def test_a_plain_iterable_that_fails_does_so_before_anything_is_sent() -> None:
    def trades() -> Iterator[int]:
        yield 1
        raise OSError("the list ended early")

    exchange = Exchange({1: "waiting_targets"})
    with pytest.raises(OSError, match="ended early"):
        close(exchange, trades())
    assert exchange.calls == []


@pytest.mark.parametrize("bad", [42, None, "123", b"\x05", trade(1)])
def test_what_is_no_iterable_of_trades_is_refused(bad: Any) -> None:
    exchange = Exchange({5: "waiting_targets"})
    with pytest.raises(ValueError, match=r"such as \[42\]"):
        close(exchange, bad)
    assert exchange.calls == []


def test_a_trade_with_an_impossible_id_costs_only_itself() -> None:
    report = close(Exchange({1: "waiting_targets"}), streamed(trade(0), 1))
    assert [outcome.verdict for outcome in report] == [Verdict.REFUSED, Verdict.CLOSING]


def test_an_unexpected_error_costs_only_its_trade(caplog: pytest.LogCaptureFixture) -> None:
    report = close(
        Exchange(dict.fromkeys(range(1, 6), "waiting_targets"), {3: ZeroDivisionError()}), range(1, 6)
    )
    assert report.counts == {Verdict.CLOSING: 4, Verdict.UNKNOWN: 1}
    assert "item 3 of a batch failed unexpectedly" in caplog.text


def test_a_foreign_cancellation_costs_no_verdict() -> None:
    """A CancelledError that nobody sent to the batch: from a call, the iterable, the progress function."""
    states = dict.fromkeys(range(1, 6), "waiting_targets")
    report = close(Exchange(states, {3: asyncio.CancelledError()}), range(1, 6))
    assert report.counts == {Verdict.CLOSING: 4, Verdict.UNKNOWN: 1}

    async def trades() -> AsyncIterator[int | SmartTrade]:
        yield 1
        raise asyncio.CancelledError

    with pytest.raises(errors.BatchInterruptedError, match="after 1 of them"):
        close(Exchange({1: "waiting_targets"}), trades())

    def cancel(*_told: object) -> None:
        raise asyncio.CancelledError

    async def main() -> BatchReport:
        return await batch_of(Exchange({1: "waiting_targets"}), [1, 1], on_progress=cancel).run()

    assert virtual_time.run(main()).counts == {Verdict.CLOSING: 2}


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "4"])
def test_a_pool_needs_workers(concurrency: Any) -> None:
    with pytest.raises(ValueError, match="concurrency"):
        close(Exchange({}), [], concurrency=concurrency)


class InTwoSteps(Exchange):
    """Its calls end when the test says so."""

    def __init__(self, states: dict[int, str]) -> None:
        super().__init__(states)
        self.may_end = asyncio.Event()
        self.ended: list[int] = []

    async def _take(self, name: str, id: int) -> None:
        self.calls.append((name, id))
        await self.may_end.wait()
        self.ended.append(id)


def test_a_cancelled_batch_lets_finish_what_is_in_flight_and_reports_every_trade() -> None:
    async def main() -> None:
        exchange = InTwoSteps(dict.fromkeys(range(1, 101), "waiting_targets"))
        task = asyncio.create_task(batch_of(exchange, range(1, 101)).run())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.sleep(5)
        assert not task.done()
        exchange.may_end.set()
        report = await report_of_cancelled(task)
        assert exchange.ended == [1, 2, 3, 4]
        assert [outcome.id for outcome in report] == list(range(1, 101))
        assert report.counts == {Verdict.CLOSING: 4, Verdict.SKIPPED: 96}
        assert task.cancelled()

    virtual_time.run(main())


@pytest.mark.parametrize("cancellations", [1, 2, 3])
def test_what_does_not_finish_is_cut_off(cancellations: int) -> None:
    async def main() -> None:
        exchange = InTwoSteps(dict.fromkeys(range(1, 101), "waiting_targets"))
        task = asyncio.create_task(batch_of(exchange, range(1, 101)).run())
        await asyncio.sleep(1)
        for _ in range(cancellations):
            task.cancel()
            await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        report = await report_of_cancelled(task)
        waited = asyncio.get_running_loop().time() - began
        assert waited == pytest.approx(9.9 if cancellations == 1 else 0.0)
        assert report.counts == {Verdict.SKIPPED: 100}
        assert exchange.ended == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(main())


def test_a_batch_of_which_somebody_cancels_a_worker_reports_what_was_cut_off() -> None:
    async def main() -> None:
        exchange = InTwoSteps(dict.fromkeys(range(1, 5), "waiting_targets"))
        task = asyncio.create_task(batch_of(exchange, range(1, 5)).run())
        await asyncio.sleep(1)
        [worker, *_] = asyncio.all_tasks() - {asyncio.current_task(), task}
        worker.cancel()
        exchange.may_end.set()
        report = await report_of_cancelled(task)
        assert report.counts == {Verdict.CLOSING: 3, Verdict.SKIPPED: 1}

    virtual_time.run(main())


@pytest.mark.parametrize("ids", [[1, 1, 2, 2, 3, 3, 3], [1, 2, 3, 1, 2, 3, 3]])
def test_a_verdict_on_what_was_cut_off_is_the_same_wherever_the_id_comes(ids: list[int]) -> None:
    async def main() -> None:
        lost = errors.OutcomeUnknownError("cancelled after it may have left")
        batch = batch_of(InTwoSteps(dict.fromkeys(ids, "waiting_targets")), ids, concurrency=3)
        batch._lost = {1: lost}.get
        task = asyncio.create_task(batch.run())
        for _ in range(2):
            await asyncio.sleep(1)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        unknown, skipped = Verdict.UNKNOWN, Verdict.SKIPPED
        due = [(id, unknown if id == 1 else skipped) for id in ids]
        assert [(outcome.id, outcome.verdict) for outcome in batch.report] == due

    virtual_time.run(main())


def test_an_id_that_comes_again_after_its_worker_was_cancelled_has_its_verdict_too() -> None:
    async def main() -> None:
        exchange = InTwoSteps(dict.fromkeys(range(1, 5), "waiting_targets"))
        batch = batch_of(exchange, [1, 2, 3, 1], concurrency=2)
        task = asyncio.create_task(batch.run())
        await asyncio.sleep(1)
        batch._workers[0].cancel()
        await asyncio.sleep(1)
        exchange.may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        skipped, closing = Verdict.SKIPPED, Verdict.CLOSING
        assert [outcome.verdict for outcome in batch.report] == [skipped, closing, closing, skipped]

    virtual_time.run(main())


def test_a_timeout_around_a_batch_keeps_the_report() -> None:
    async def main() -> None:
        exchange = Exchange(dict.fromkeys(range(1, 101), "waiting_targets"))
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.12):
                await batch_of(exchange, range(1, 101)).run()
        report = report_of(caught.value)
        assert report.counts == {Verdict.CLOSING: 12, Verdict.SKIPPED: 88}

    virtual_time.run(main())


@pytest.mark.parametrize("deadline", [Decimal("sNaN"), Decimal(5), 0, -1.0, math.inf, math.nan, 10**400, "5"])
def test_a_deadline_that_is_none_is_refused(deadline: Any) -> None:
    with pytest.raises(ValueError, match="deadline must be a positive number of seconds"):
        check_options(concurrency=1, deadline=deadline, on_progress=None)


def test_after_its_deadline_a_batch_begins_nothing() -> None:
    async def main() -> None:
        exchange = Exchange(dict.fromkeys(range(1, 101), "waiting_targets"))
        report = await batch_of(exchange, range(1, 101), deadline=0.12).run()
        assert report.counts == {Verdict.CLOSING: 12, Verdict.SKIPPED: 88}
        assert report.elapsed == pytest.approx(0.15)
        assert str(report.outcomes[99].error) == "the deadline of 0.12 s had passed"

    virtual_time.run(main())


def test_reading_takes_its_share_of_the_deadline() -> None:
    async def slow() -> AsyncIterator[SmartTrade]:
        yield lossy(1, "-5")
        await asyncio.sleep(2)

    async def main() -> None:
        exchange = Exchange({1: "waiting_targets"})
        report = await batch_of(exchange, slow(), order="loss", deadline=1).run()
        assert report.counts == {Verdict.SKIPPED: 1}
        assert exchange.calls == []

    virtual_time.run(main())


def test_a_stream_that_is_to_be_ranked_is_not_read_on_after_the_deadline() -> None:
    async def trades() -> AsyncIterator[SmartTrade]:
        yield trade(1)
        yield trade(2)
        await asyncio.Event().wait()

    async def main() -> None:
        exchange = Exchange({})
        report = await batch_of(exchange, trades(), order="loss", deadline=5).run()
        assert asyncio.get_running_loop().time() == pytest.approx(5)
        assert [(outcome.id, outcome.verdict) for outcome in report] == [
            (1, Verdict.SKIPPED),
            (2, Verdict.SKIPPED),
        ]
        assert "the deadline of 5 s had passed" in report.outcomes[0].reason
        assert exchange.calls == []

    virtual_time.run(main())


def test_a_stream_is_not_read_on_after_the_end_of_a_batch() -> None:
    given: list[int] = []

    async def trades() -> AsyncIterator[int]:
        for id in range(1, 101):
            await asyncio.sleep(0.01)
            given.append(id)
            yield id

    exchange = Exchange(dict.fromkeys(range(1, 101), "waiting_targets"), {3: errors.BannedError("418")})
    report = close(exchange, trades(), concurrency=1)
    assert report.counts == {Verdict.CLOSING: 2, Verdict.REFUSED: 1}
    assert given == [1, 2, 3]


def test_verdicts_come_as_they_fall() -> None:
    async def main() -> None:
        exchange = Exchange(dict.fromkeys(range(1, 9), "waiting_targets"))
        batch = batch_of(exchange, [*range(1, 9), 1])
        fallen: list[tuple[float, int | None]] = []
        async for outcome in batch:
            fallen.append((round(asyncio.get_running_loop().time(), 2), outcome.id))
            assert outcome in batch.report
        assert [at for at, _ in fallen] == [0.05] * 4 + [0.1] * 5
        assert sorted(id or 0 for _, id in fallen) == [1, 1, 2, 3, 4, 5, 6, 7, 8]
        assert [outcome.id for outcome in batch.report] == [*range(1, 9), 1]

    virtual_time.run(main())


def test_leaving_the_block_stops_the_batch_and_keeps_its_report() -> None:
    async def main() -> None:
        exchange = Exchange(dict.fromkeys(range(1, 101), "waiting_targets"))
        async with batch_of(exchange, range(1, 101)) as batch:
            async for _ in batch:
                break
        assert batch.report.counts == {Verdict.CLOSING: 5, Verdict.SKIPPED: 95}
        assert len(exchange.calls) == 5
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(main())


def test_a_stream_of_verdicts_that_is_cancelled_holds_the_report() -> None:
    async def main() -> None:
        exchange = Exchange(dict.fromkeys(range(1, 101), "waiting_targets"))
        batch = batch_of(exchange, range(1, 101))

        async def watch() -> None:
            async for _ in batch:
                pass

        task = asyncio.create_task(watch())
        await asyncio.sleep(0.12)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert batch.report.counts == {Verdict.CLOSING: 12, Verdict.SKIPPED: 88}

    virtual_time.run(main())


def test_progress_may_be_a_coroutine_function_and_is_told_one_at_a_time() -> None:
    told: list[int] = []

    async def on_progress(done: int, _total: int | None, _outcome: Outcome) -> None:
        told.append(done)
        await asyncio.sleep(1)
        told.append(-done)

    async def main() -> float:
        exchange = Exchange(dict.fromkeys(range(1, 4), "waiting_targets"))
        report = await batch_of(exchange, range(1, 4), on_progress=on_progress).run()
        assert report.ok
        return report.elapsed

    assert virtual_time.run(main()) == pytest.approx(0.05)
    assert told == [1, -1, 2, -2, 3, -3]


def test_progress_that_hangs_holds_up_no_close_and_ends_with_the_batch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def hang(*_told: object) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        exchange = Exchange(dict.fromkeys(range(1, 61), "waiting_targets"))
        report = await batch_of(exchange, range(1, 61), on_progress=hang).run()
        assert report.counts == {Verdict.CLOSING: 60}
        assert asyncio.get_running_loop().time() == pytest.approx(60 / 4 * 0.05 + 10)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(main())
    assert "not told of the last 59 verdicts" in caplog.text


def lossy(id: int, usd: str | None, *, total: str = "100") -> SmartTrade:
    volume = None if usd is None else Decimal(usd) / 2
    return structs.replace(
        trade(id),
        profit=Profit(volume=volume, usd=None if usd is None else Decimal(usd)),
        data=SmartTradeData(entered_amount=Decimal(1), entered_total=Decimal(total)),
    )


def test_the_largest_loss_or_the_largest_position_can_come_first() -> None:
    trades = [
        lossy(1, "5"),
        lossy(2, None, total="900"),
        lossy(3, "-70", total="2"),
        lossy(4, "-7", total="300"),
    ]
    closed: dict[str, list[int]] = {}
    orders: tuple[ClosingOrder, ...] = ("given", "loss", "size")
    for order in orders:
        exchange = Exchange(dict.fromkeys(range(1, 5), "waiting_targets"))
        report = close(exchange, streamed(*trades), order=order, concurrency=1)
        closed[order] = [id for _, id in exchange.calls]
        assert [outcome.id for outcome in report] == closed[order]
    # A quote is worth two USD here, where the profit says so; without one the 900 count as they are.
    assert closed == {"given": [1, 2, 3, 4], "loss": [3, 4, 1, 2], "size": [2, 4, 1, 3]}


def test_the_largest_position_comes_first_whatever_the_decimal_context() -> None:
    def held(id: int, total: str) -> SmartTrade:
        data = SmartTradeData(
            entered_amount=Decimal(3), entered_total=Decimal(total), closed_amount=Decimal(1)
        )
        return structs.replace(trade(id), profit=Profit(volume=Decimal(3), usd=Decimal(1)), data=data)

    exchange = Exchange(dict.fromkeys(range(1, 4), "waiting_targets"))
    with localcontext(Context(prec=3, traps=[Inexact])):
        close(exchange, [held(1, "5"), held(2, "7"), held(3, "6")], order="size", concurrency=1)
    assert [id for _, id in exchange.calls] == [2, 3, 1]


def test_an_order_by_loss_needs_trades() -> None:
    exchange = Exchange({1: "waiting_targets"})
    with pytest.raises(ValueError, match="needs trades"):
        close(exchange, [trade(2), 1], order="loss")
    assert exchange.calls == []


def test_an_unfilled_trade_is_ordered_to_close_if_that_is_wanted() -> None:
    exchange = Exchange({1: "waiting_position"})
    [outcome] = close(exchange, [trade(1, "waiting_position")], on_unfilled="close")
    assert outcome.verdict is Verdict.REFUSED
    assert exchange.calls == [("close", 1), ("get", 1)]


def test_a_plan_says_of_a_trade_that_cannot_be_read_what_a_run_would_do_with_it() -> None:
    problems = {1: errors.DecodeError("odd"), 2: errors.NotFoundError("no such trade")}
    planned = [plan(Item(id), {}, problems, on_unfilled="cancel") for id in problems]
    assert [(outcome.verdict, outcome.error) for outcome in planned] == [
        (Verdict.WOULD_CLOSE, problems[1]),
        (Verdict.REFUSED, problems[2]),
    ]


def ended(state: StatusCode, *, is_filled: bool) -> TradeSummary:
    return TradeSummary(id=1, status=state, is_filled=is_filled, is_terminal=True)


@pytest.mark.parametrize(
    ("verdict", "state", "is_filled", "then"),
    [
        (Verdict.CLOSING, StatusCode.PANIC_SOLD, True, Verdict.CLOSED),
        (Verdict.CLOSING, StatusCode.FINISHED, True, Verdict.CLOSED),
        (Verdict.CLOSING, StatusCode.FAILED, True, Verdict.REFUSED),
        (Verdict.CANCELLED, StatusCode.CANCELLED, False, Verdict.CANCELLED),
        (Verdict.CANCELLED, StatusCode.CANCELLED, True, Verdict.REFUSED),
        (Verdict.ALREADY_CLOSED, StatusCode.STOP_LOSS_FINISHED, True, Verdict.ALREADY_CLOSED),
        (Verdict.UNKNOWN, StatusCode.PANIC_SOLD, True, Verdict.CLOSED),
        (Verdict.UNKNOWN, StatusCode.CANCELLED, False, Verdict.CANCELLED),
        (Verdict.UNKNOWN, StatusCode.CANCELLED, True, Verdict.REFUSED),
        (Verdict.UNKNOWN, StatusCode.STOP_LOSS_FINISHED, True, Verdict.ALREADY_CLOSED),
        (Verdict.UNKNOWN, StatusCode.FINISHED, True, Verdict.ALREADY_CLOSED),
        (Verdict.UNKNOWN, StatusCode.FAILED, False, Verdict.ALREADY_CLOSED),
    ],
)
def test_the_end_of_a_trade_says_what_became_of_its_close(
    verdict: Verdict, state: StatusCode, *, is_filled: bool, then: Verdict
) -> None:
    """A close of which nobody knows was not carried out if the trade ended by its target or its stop."""
    end = ended(state, is_filled=is_filled)
    outcome = followed(Outcome(1, verdict), end)
    assert (outcome.verdict, outcome.trade) == (then, end)


@pytest.mark.parametrize(
    ("state", "is_filled", "verdict"),
    [
        ("panic_sold", True, Verdict.CLOSED),
        ("finished", True, Verdict.CLOSED),
        ("failed", True, Verdict.REFUSED),
        ("cancelled", True, Verdict.REFUSED),
        ("failed", False, Verdict.CLOSED),
    ],
)
def test_a_close_that_is_answered_by_an_end_with_the_position_held_is_no_success(
    state: str, *, is_filled: bool, verdict: Verdict
) -> None:
    class Ending(Exchange):
        async def close_by_market(self, id: int, /) -> SmartTrade:
            return structs.replace(trade(id, state), is_position_not_filled=not is_filled)

    [outcome] = close(Ending({}), [1])
    assert outcome.verdict is verdict
    assert outcome.ok is ("held" not in outcome.reason)


def test_a_deadline_bounds_what_is_in_flight_too() -> None:
    async def main() -> None:
        exchange = InTwoSteps(dict.fromkeys(range(1, 101), "waiting_targets"))
        report = await batch_of(exchange, range(1, 101), deadline=5).run()
        assert asyncio.get_running_loop().time() == pytest.approx(15)
        assert report.counts == {Verdict.SKIPPED: 100}
        assert asyncio.all_tasks() == {asyncio.current_task()}

    virtual_time.run(main())


def test_a_refused_key_lets_finish_what_is_in_flight_however_long_that_takes() -> None:
    class Slow(InTwoSteps):
        async def close_by_market(self, id: int, /) -> SmartTrade:
            if id == 1:
                await asyncio.sleep(1)
                raise errors.AuthenticationError("401")
            return await super().close_by_market(id)

    async def main() -> None:
        exchange = Slow(dict.fromkeys(range(1, 101), "waiting_targets"))
        asyncio.get_running_loop().call_later(60, exchange.may_end.set)
        report = await batch_of(exchange, range(1, 101)).run()
        assert report.counts == {Verdict.REFUSED: 1, Verdict.CLOSING: 3, Verdict.SKIPPED: 96}

    virtual_time.run(main())


def test_a_deadline_bounds_what_is_in_flight_after_a_refused_key_too() -> None:
    async def main() -> None:
        exchange = InTwoSteps(dict.fromkeys(range(1, 101), "waiting_targets"))
        errand = Errand()
        batch = batch_of(exchange, range(1, 101), errand=errand, deadline=5)
        asyncio.get_running_loop().call_later(1, errand.call_off, errors.AuthenticationError("no"))
        report = await batch.run()
        assert report.elapsed == 15
        assert report.counts == {Verdict.SKIPPED: 100}

    virtual_time.run(main())


def test_an_inner_batch_is_cut_off_with_the_outer_one_whatever_its_own_deadline() -> None:
    async def main() -> None:
        exchange = InTwoSteps(dict.fromkeys(range(1, 101), "waiting_targets"))
        outer = Errand()
        batch = batch_of(exchange, range(1, 101), errand=Errand(outer), deadline=60)
        loop = asyncio.get_running_loop()
        loop.call_later(1, outer.call_off, errors.BatchStoppedError("the outer one was stopped"))
        loop.call_later(4, outer.call_off, errors.BatchStoppedError("and stopped again"))
        report = await batch.run()
        assert report.elapsed == 11
        assert report.counts == {Verdict.SKIPPED: 100}

    virtual_time.run(main())


def test_a_batch_that_is_cancelled_while_it_reads_its_input_says_that_it_has_not_read_all() -> None:
    async def main() -> None:
        async def endless() -> AsyncIterator[SmartTrade]:
            while True:
                await asyncio.sleep(1)
                yield trade(1)

        task = asyncio.create_task(batch_of(Exchange({}), endless(), order="loss").run())
        await asyncio.sleep(10)
        task.cancel()
        report = await report_of_cancelled(task)
        assert set(report.counts) == {Verdict.SKIPPED}
        assert (report.is_complete, report.ok, report.unread) == (False, False, "all trades")

    virtual_time.run(main())


@pytest.mark.parametrize("order", ["given", "loss"])
def test_a_stream_that_a_deadline_cuts_short_is_no_success(order: ClosingOrder) -> None:
    async def trades(seconds: float) -> AsyncIterator[SmartTrade]:
        yield trade(1)
        await asyncio.sleep(seconds)

    def closed(seconds: float) -> BatchReport:
        exchange = Exchange({1: "waiting_targets"})
        return virtual_time.run(batch_of(exchange, trades(seconds), order=order, deadline=5).run())

    assert (closed(1).ok, closed(1).is_complete) == (True, True)
    late = closed(100)
    assert (late.ok, late.is_complete, len(late)) == (False, False, 1)
    with pytest.raises(ExceptionGroup, match="stopped before all trades were read"):
        late.raise_for_failures()


def test_what_a_list_brings_after_a_cancellation_hides_it_not() -> None:
    """Reading goes on after it, for a verdict on each trade, and what fails then is not what is told."""
    exchange = Exchange({})

    async def main() -> BatchReport:
        task = asyncio.create_task(batch_of(exchange, [*range(1, 200), "bad"]).run())
        await asyncio.sleep(0)
        task.cancel()
        return await report_of_cancelled(task)

    report = virtual_time.run(main())
    assert report.counts == {Verdict.SKIPPED: 199}
    assert not report.is_complete


@pytest.mark.parametrize("order", ["given", "loss"])
def test_an_iterable_without_a_length_is_not_read_on_after_a_cancellation(order: ClosingOrder) -> None:
    async def main() -> BatchReport:
        task = asyncio.create_task(batch_of(Exchange({}), trades(), order=order).run())
        await asyncio.sleep(0)
        task.cancel()
        return await report_of_cancelled(task)

    def trades() -> Iterator[SmartTrade]:
        for id in range(1, 10_000):  # Not endless, for a test that fails is to end.
            yield trade(id)

    report = virtual_time.run(main())
    assert set(report.counts) == {Verdict.SKIPPED}
    assert 0 < len(report) < 1000
    assert (report.is_complete, report.unread) == (False, "all trades")


def test_verdicts_so_far_are_no_incomplete_report_until_the_stream_is_left() -> None:
    async def endless() -> AsyncIterator[int]:
        for id in range(1, 1000):
            yield id

    async def main() -> None:
        async with batch_of(Exchange(dict.fromkeys(range(1, 1000), "waiting_targets")), endless()) as batch:
            await anext(batch)
            assert (batch.report.ok, batch.report.is_complete) == (True, True)
        assert (batch.report.ok, batch.report.is_complete) == (False, False)

    virtual_time.run(main())


def test_two_who_read_one_stream_share_its_calls_and_verdicts() -> None:
    async def main() -> tuple[list[int | None], Exchange, BatchReport]:
        exchange = Exchange(dict.fromkeys(range(1, 301), "waiting_targets"))
        batch = batch_of(exchange, list(range(1, 301)))
        brought: list[int | None] = []

        async def read() -> None:
            brought.extend([outcome.id async for outcome in batch])

        await asyncio.gather(read(), read())
        return brought, exchange, batch.report

    brought, exchange, report = virtual_time.run(main())
    assert sorted(map(int, map(str, brought))) == list(range(1, 301))
    assert exchange.most_in_flight == 4
    assert len(report) == 300


def test_however_often_it_is_cancelled_every_trade_has_a_verdict() -> None:
    class Stubborn(Exchange):
        async def close_by_market(self, id: int, /) -> SmartTrade:
            try:
                return await asyncio.sleep(100, trade(id))
            finally:
                await asyncio.sleep(1)

    async def main() -> BatchReport:
        task = asyncio.create_task(batch_of(Stubborn({}), list(range(1, 31))).run())
        for _ in range(4):
            await asyncio.sleep(0.5)
            task.cancel()
        return await report_of_cancelled(task)

    report = virtual_time.run(main())
    assert [outcome.id for outcome in report] == list(range(1, 31))


@pytest.mark.parametrize("count", [3, 250])
def test_whoever_was_cancelled_before_closes_nothing(count: int) -> None:
    """Such as by Ctrl-C, while the caller computed: the cancellation is raised where he next waits."""
    exchange = Exchange(dict.fromkeys(range(1, count + 1), "waiting_targets"))

    async def compute_and_close() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await batch_of(exchange, range(1, count + 1)).run()

    async def close_too_late() -> None:
        async with asyncio.timeout(0):
            await batch_of(exchange, range(1, count + 1)).run()

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError) as caught:
            await asyncio.create_task(compute_and_close())
        with pytest.raises(TimeoutError) as late:
            await close_too_late()
        for error in (caught.value, late.value):
            report = report_of(error)
            assert report.counts == {Verdict.SKIPPED: count}
            assert report.is_complete

    virtual_time.run(main())
    assert exchange.calls == []


def test_an_errand_of_many_rounds_keeps_none_of_their_batches() -> None:
    async def main() -> None:
        errand = Errand()
        batch = batch_of(Exchange({1: "waiting_targets"}), [1], errand=errand)
        await batch.run()
        ended = weakref.ref(batch)
        del batch
        gc.collect()
        assert ended() is None
        assert errand.called_off is None

    virtual_time.run(main())


@pytest.mark.parametrize(
    ("count", "cancel_at", "untold"),
    [(1, 1.0, []), (3, 1.0, [2]), (9, 0.06, [7])],  # All is done, or a part of it.
)
def test_a_slow_progress_function_is_warned_of_once_and_for_what_it_was_not_told(
    count: int, cancel_at: float, untold: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(*_told: object) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        exchange = Exchange(dict.fromkeys(range(1, count + 1), "waiting_targets"))
        task = asyncio.create_task(batch_of(exchange, [*exchange.states], on_progress=hang).run())
        await asyncio.sleep(cancel_at)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    virtual_time.run(main())
    told = [entry.getMessage() for entry in caplog.records if "is slow" in entry.getMessage()]
    assert told == [f"on_progress is slow: it was not told of the last {left} verdicts" for left in untold]


def test_a_progress_function_that_hangs_does_not_outlive_its_batch() -> None:
    async def hang(_done: int, _total: int | None, _outcome: Outcome) -> None:
        await asyncio.sleep(10_000)

    async def main() -> int:
        before = asyncio.all_tasks()
        exchange = Exchange({1: "waiting_targets"})
        task = asyncio.create_task(batch_of(exchange, [1], on_progress=hang).run())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.1)
        return len(asyncio.all_tasks() - before)

    assert virtual_time.run(main()) == 0


def test_a_stream_brings_what_was_cut_off_too() -> None:
    class Silent(Exchange):
        async def close_by_market(self, id: int, /) -> SmartTrade:
            return await asyncio.sleep(1000, trade(id))

    async def main() -> list[int | None]:
        batch = batch_of(Silent({}), list(range(1, 9)))
        reader = asyncio.create_task(anext(batch))
        await asyncio.sleep(1)
        await batch.aclose()
        return [(await reader).id, *[outcome.id async for outcome in batch]]

    assert sorted(map(str, virtual_time.run(main()))) == list("12345678")


@pytest.mark.parametrize("odd", ["NaN", "sNaN", "1E+999999"])
def test_a_trade_with_odd_numbers_upsets_no_order(odd: str) -> None:
    def lost(id: int, usd: str, entered: str) -> SmartTrade:
        data = SmartTradeData(entered_amount=Decimal(entered), entered_total=Decimal(entered))
        profit = Profit(usd=Decimal(usd), volume=Decimal(usd))
        return structs.replace(trade(id), profit=profit, data=data)

    trades = [
        lost(1, "-1", "1"),
        lost(2, odd, odd),
        lost(3, "-3", "3"),
        lost(4, odd, odd),
        lost(5, "-2", "2"),
    ]
    for order in ("loss", "size"):
        exchange = Exchange(dict.fromkeys(range(1, 6), "waiting_targets"))
        close(exchange, trades, order=order, concurrency=1)
        assert [id for _, id in exchange.calls if id in {1, 3, 5}] == [3, 5, 1]


def test_a_stream_that_is_cancelled_while_it_is_closed_has_a_report() -> None:
    async def main() -> BatchReport:
        batch = batch_of(Exchange(dict.fromkeys(range(1, 9), "waiting_targets")), list(range(1, 9)))
        await anext(batch)
        closing = asyncio.create_task(batch.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        return await report_of_cancelled(closing)

    report = virtual_time.run(main())
    assert len(report) == 8
