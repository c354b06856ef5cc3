from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from tests import virtual_time
from threecommas_async import errors
from threecommas_async.batch import BatchReport, Outcome, Verdict, close_many
from threecommas_async.models.smart_trade import SmartTrade
from threecommas_async.models.status import Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from threecommas_async.batch import IdsOrTrades, OnUnfilled


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


def close(
    exchange: Exchange,
    trades: IdsOrTrades,
    *,
    on_unfilled: OnUnfilled = "cancel",
    concurrency: int = 4,
    progress: list[tuple[int, int | None, Verdict]] | None = None,
) -> BatchReport:
    return virtual_time.run(
        close_many(
            exchange,
            trades,
            on_unfilled=on_unfilled,
            concurrency=concurrency,
            on_progress=None if progress is None else lambda *told: progress.append(told),
        )
    )


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
    assert ("cancel", 1) not in exchange.calls
    assert ("cancel", 2) not in exchange.calls


def test_a_refusal_that_the_state_does_not_explain_is_reported() -> None:
    refusal = errors.InvalidRequestError("not today")
    report = close(Exchange({1: "waiting_targets"}, {1: refusal}), [1])
    assert report.outcomes[0] == Outcome(1, Verdict.REFUSED, trade(1), refusal)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (errors.OutcomeUnknownError("lost"), Verdict.UNKNOWN),
        (errors.NotSentError("no network"), Verdict.REFUSED),
        (errors.RateLimitedError("429"), Verdict.REFUSED),
    ],
)
def test_one_failed_call_does_not_stop_the_others(error: Exception, verdict: Verdict) -> None:
    report = close(Exchange(dict.fromkeys(range(1, 6), "waiting_targets"), {3: error}), range(1, 6))
    assert report.counts == {Verdict.CLOSING: 4, verdict: 1}
    assert report.failed[0].error is error


@pytest.mark.parametrize(
    "error",
    [
        errors.AuthenticationError("401"),
        errors.BannedError("418"),
        errors.PlanLimitError("plan"),
        errors.ClientStateError("closed"),
    ],
)
def test_a_refusal_that_all_would_meet_stops_the_batch(error: Exception) -> None:
    exchange = Exchange(dict.fromkeys(range(1, 101), "waiting_targets"), {1: error})
    report = close(exchange, range(1, 101), concurrency=4)
    assert len(report) == 100
    assert report.outcomes[0].verdict is Verdict.REFUSED
    assert report.counts[Verdict.CLOSING] == 3  # The calls that were in flight with the first.
    assert report.counts[Verdict.SKIPPED] == 96
    assert report.outcomes[99].error is error
    assert len(exchange.calls) == 4


def test_no_more_calls_are_in_flight_than_asked_for() -> None:
    exchange = Exchange(dict.fromkeys(range(1, 51), "waiting_targets"))
    close(exchange, range(1, 51), concurrency=7)
    assert exchange.most_in_flight == 7


def test_progress_is_told_after_each_verdict() -> None:
    progress: list[tuple[int, int | None, Verdict]] = []
    close(Exchange({1: "waiting_targets"}), [1, 2], concurrency=1, progress=progress)
    assert progress == [(1, 2, Verdict.CLOSING), (2, 2, Verdict.REFUSED)]


def test_progress_that_raises_does_not_stop_the_batch(caplog: pytest.LogCaptureFixture) -> None:
    def explode(*_told: object) -> None:
        raise ZeroDivisionError

    report = virtual_time.run(
        close_many(
            Exchange({1: "waiting_targets", 2: "waiting_targets"}),
            [1, 2],
            on_unfilled="cancel",
            concurrency=2,
            on_progress=explode,
        )
    )
    assert report.ok
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


@pytest.mark.parametrize("bad", [0, -5, True, "7", 1.0, None])
def test_a_bad_item_of_a_list_is_refused_before_anything_is_sent(bad: object) -> None:
    exchange = Exchange({1: "waiting_targets"})
    with pytest.raises(ValueError, match="not a SmartTrade"):
        close(exchange, [1, bad])  # type: ignore[list-item]  # pyright: ignore - the bad input
    assert exchange.calls == []


def test_a_bad_item_of_an_iterator_costs_only_itself() -> None:
    exchange = Exchange({1: "waiting_targets", 3: "waiting_targets"})
    report = close(exchange, iter([1, -2, 3]))
    assert [outcome.verdict for outcome in report] == [Verdict.CLOSING, Verdict.REFUSED, Verdict.CLOSING]
    assert isinstance(report.outcomes[1].error, ValueError)


def test_an_iterable_that_fails_does_not_lose_the_verdicts_so_far() -> None:
    def trades() -> Iterator[int]:
        yield from range(1, 8)
        raise OSError("the list ended early")

    with pytest.raises(errors.BatchInterruptedError, match="after 7 of them") as caught:
        close(Exchange(dict.fromkeys(range(1, 8), "waiting_targets")), trades())
    assert caught.value.report is not None
    assert caught.value.report.counts == {Verdict.CLOSING: 7}
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("bad", [42, None, "123", b"\x05", trade(1)])
def test_what_is_no_iterable_of_trades_is_refused(bad: Any) -> None:
    exchange = Exchange({5: "waiting_targets"})
    with pytest.raises(ValueError, match=r"such as \[42\]"):
        close(exchange, bad)
    assert exchange.calls == []


def test_a_trade_with_an_impossible_id_costs_only_itself() -> None:
    mixed: list[int | SmartTrade] = [trade(0), 1]
    report = close(Exchange({1: "waiting_targets"}), iter(mixed))
    assert [outcome.verdict for outcome in report] == [Verdict.REFUSED, Verdict.CLOSING]


def test_an_unexpected_error_costs_only_its_trade(caplog: pytest.LogCaptureFixture) -> None:
    report = close(
        Exchange(dict.fromkeys(range(1, 6), "waiting_targets"), {3: ZeroDivisionError()}), range(1, 6)
    )
    assert report.counts == {Verdict.CLOSING: 4, Verdict.UNKNOWN: 1}
    assert "closing SmartTrade 3 failed unexpectedly" in caplog.text


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

    told = virtual_time.run(
        close_many(
            Exchange({1: "waiting_targets"}), [1, 1], on_unfilled="cancel", concurrency=1, on_progress=cancel
        )
    )
    assert told.counts == {Verdict.CLOSING: 2}


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "4"])
def test_a_pool_needs_workers(concurrency: Any) -> None:
    with pytest.raises(ValueError, match="concurrency"):
        close(Exchange({}), [], concurrency=concurrency)


def test_an_unknown_way_with_unfilled_trades_is_refused() -> None:
    with pytest.raises(ValueError, match="on_unfilled"):
        close(Exchange({}), [], on_unfilled="ignore")  # type: ignore[arg-type]  # pyright: ignore - the bad input


def test_the_report_prints_as_a_table() -> None:
    report = BatchReport(
        (
            Outcome(1, Verdict.CLOSING),
            Outcome(2, Verdict.CLOSING),
            Outcome(3, Verdict.UNKNOWN, error=errors.OutcomeUnknownError("the connection broke")),
        ),
        elapsed=1.25,
    )
    assert str(report).splitlines() == [
        "closing              2",
        "unknown              1",
        "total                3   in 1.2 s",
        "3: unknown (the connection broke)",
    ]


def test_cancelling_the_batch_propagates() -> None:
    async def main() -> None:
        exchange = Exchange(dict.fromkeys(range(1, 101), "waiting_targets"))
        task = asyncio.create_task(
            close_many(exchange, range(1, 101), on_unfilled="cancel", concurrency=4, on_progress=None)
        )
        await asyncio.sleep(0.12)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(exchange.calls) == 12

    virtual_time.run(main())
