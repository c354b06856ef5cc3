"""Batches through the real client against the sandbox."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest

from tests import virtual_time
from tests.cancelled_batches import report_of, report_of_cancelled
from tests.fault_stage import until
from tests.fleet import LoopSandbox
from threecommas_async import (
    AuthenticationError,
    BatchReport,
    BatchStoppedError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    PlanLimitError,
    ReadOnlyError,
    SmartTrade,
    SmartTradeOrder,
    SmartTrades,
    ThreeCommas,
    Verdict,
)
from threecommas_async.endpoints import Permission
from threecommas_async.limiter import Limiter
from threecommas_async.limits import RateLimit
from threecommas_async.sandbox import EVERY_STATUS, PAPER_ACCOUNT, REAL_ACCOUNT, Sandbox
from threecommas_async.sandbox.faults import Fault

if TYPE_CHECKING:
    from threecommas_async.models.status import StatusCode

ROOMY = RateLimit(requests=5000, period=60.0, lockout=300.0)


def client_of(sandbox: Sandbox, **options: Any) -> ThreeCommas:
    """A client that looks no account up: what it sends is what the batch needs."""
    return ThreeCommas(**sandbox.credentials(mode="real") | options)


def writes(sandbox: Sandbox) -> Counter[str]:
    return Counter(entry.action for entry in sandbox.ledger)


def seed(sandbox: Sandbox, count: int, *statuses: StatusCode | str) -> list[int]:
    return sandbox.exchange.seed(count, statuses)


async def test_a_plan_orders_nothing_and_tells_what_would_be_done() -> None:
    async with Sandbox(trades=230, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        unfilled = seed(sandbox, 20, "waiting_position")
        [ended] = seed(sandbox, 1, "finished")
        ids = [*sandbox.exchange.trades, 999_999_999, ended]
        report = await client.smart_trades.close_many(ids, dry_run=True)
        assert report.dry_run
        assert report.counts == {
            Verdict.WOULD_CLOSE: 230,
            Verdict.WOULD_CANCEL: 20,
            Verdict.ALREADY_CLOSED: 2,
            Verdict.REFUSED: 1,
        }
        assert isinstance(report.failed[0].error, NotFoundError)
        assert report.requests == sandbox.requests == 3 + 1 + 1  # Active pages, recent changes, one alone.
        assert "nothing was ordered" in str(report)
        skipping = await client.smart_trades.close_many(unfilled, dry_run=True, on_unfilled="skip")
        assert skipping.counts == {Verdict.SKIPPED: 20}
        assert writes(sandbox) == {}


def read_only_errors() -> set[ReadOnlyError]:
    """Those that there are in this process."""
    return {thing for thing in gc.get_objects() if isinstance(thing, ReadOnlyError)}


@pytest.mark.parametrize("dry_run", [True, False])
async def test_no_error_of_a_report_outlives_it(*, dry_run: bool) -> None:
    async def close_and_forget() -> None:
        report = await client.smart_trades.close_many(
            [*sandbox.exchange.trades, 999_999_999], dry_run=dry_run
        )
        refused = [outcome.error for outcome in report if outcome.error is not None]
        last = NotFoundError if dry_run else ReadOnlyError
        assert [type(error) for error in refused] == [ReadOnlyError, ReadOnlyError, last]
        assert [error.__traceback__ for error in refused] == [None] * 3

    async with Sandbox(trades=2, limit=ROOMY) as sandbox, client_of(sandbox, read_only=True) as client:
        before = read_only_errors()
        await close_and_forget()
        gc.collect()
        assert read_only_errors() <= before


async def test_the_plan_says_how_long_the_limit_takes() -> None:
    limit = RateLimit(requests=100, period=60.0, lockout=300.0)
    async with Sandbox(trades=250, limit=limit, time_scale=1) as sandbox, client_of(sandbox) as client:
        trades = [trade async for trade in client.smart_trades.iterate()]
        unread = sandbox.requests
        report = await client.smart_trades.close_many(trades, dry_run=True)
        assert sandbox.requests == unread
        assert report.floor == 120.0


async def test_close_all_closes_what_matches_with_the_fewest_requests() -> None:
    async with Sandbox(trades=150, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        seed(sandbox, 5, "finished")
        mine = {id for id, trade in sandbox.exchange.trades.items() if trade.order.pair == "USDT_DOGE"}
        report = await client.smart_trades.close_all(pair="USDT_DOGE")
        closed = {outcome.id for outcome in report if outcome.verdict is Verdict.CLOSING}
        assert closed == {id for id in mine if not sandbox.exchange.trades[id].status.startswith("fin")}
        assert len(closed) > 20
        assert report.ok
        assert report.requests == sandbox.requests == len(closed) + 2
        other = await client.smart_trades.close_all(predicate=lambda trade: trade.pair == "USDT_ETH")
        assert {outcome.trade and outcome.trade.pair for outcome in other} == {"USDT_ETH"}


async def test_close_all_with_nothing_to_close_is_one_request() -> None:
    async with Sandbox(limit=ROOMY) as sandbox, client_of(sandbox) as client:
        report = await client.smart_trades.close_all()
        assert (len(report), report.ok, sandbox.requests) == (0, True, 1)


async def test_trades_that_are_opened_meanwhile_are_reported_and_left_alone() -> None:
    async with Sandbox(trades=120, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        old, new = set(sandbox.exchange.trades), list[int]()

        async def open_another(done: int, _total: int | None, _outcome: object) -> None:
            if done == 5:
                order = SmartTradeOrder.smart_trade(account_id=PAPER_ACCOUNT.id, pair="USDT_DOGE", units=50)
                new.append((await client.smart_trades.create(order)).id)

        report = await client.smart_trades.close_all(on_progress=open_another)
        assert {outcome.id for outcome in report} == old
        assert report.opened == tuple(new) != ()
        assert report.ok
        assert {entry.smart_trade_id for entry in sandbox.ledger if entry.action != "create"} == old


@virtual_time.patient
async def test_close_all_goes_on_until_nothing_is_left_open() -> None:
    """Half of the answers are lost at first, and the unknown ones are found out in later rounds."""
    async with LoopSandbox(trades=60, limit=ROOMY, time_scale=1) as sandbox, client_of(sandbox) as client:
        sandbox.network.unreliable = 0.6
        hurried = client.with_options(timeout=0.2)

        def calm(done: int, _total: int | None, _outcome: object) -> None:
            if done == 40:
                sandbox.network.unreliable = 0.0

        report = await hurried.smart_trades.close_all(on_progress=calm, deadline=30)
        assert report.ok, str(report)
        assert not [trade for trade in sandbox.exchange.trades.values() if trade.status == "waiting_targets"]
        closes = Counter(entry.smart_trade_id for entry in sandbox.ledger)
        assert set(closes.values()) == {1}
        assert len(closes) == 60


@virtual_time.patient
async def test_a_trade_that_cannot_be_closed_yet_is_tried_again() -> None:
    async with LoopSandbox(trades=2, limit=ROOMY, time_scale=1) as sandbox, client_of(sandbox) as client:
        [new] = seed(sandbox, 1, "created")
        report = await client.smart_trades.close_all(deadline=10)
        assert report.counts == {Verdict.CLOSING: 2, Verdict.CANCELLED: 1}
        assert report.outcomes[0].id == new


@virtual_time.patient
async def test_waiting_takes_few_requests_and_the_report_has_the_ends() -> None:
    async with (
        LoopSandbox(trades=350, limit=ROOMY, time_scale=1) as sandbox,
        client_of(sandbox) as client,
    ):
        seed(sandbox, 20, "waiting_position")
        report = await client.smart_trades.close_many(list(sandbox.exchange.trades), wait=True)
        assert report.counts == {Verdict.CLOSED: 350, Verdict.CANCELLED: 20}
        statuses = Counter(outcome.trade.status for outcome in report if outcome.trade)
        assert statuses == {"panic_sold": 350, "cancelled": 20}
        assert all(total.realised_profit is not None for total in report.totals)
        closing, polls = 350 + 3 * 20, report.requests - 350 - 3 * 20 - 3 * ceil(370 / 100)
        assert report.requests == sandbox.requests
        assert polls <= 4 * ceil(report.elapsed / 1.25), (closing, polls, report.elapsed)


class FailingLimiter(Limiter):
    """A limiter whose store is gone after some permits."""

    permits = 3

    async def acquire(self, *, is_exit: bool = False, max_wait: float | None = None) -> None:
        self.permits -= 1
        if self.permits < 0:
            raise ConnectionError("the store is gone")
        await super().acquire(is_exit=is_exit, max_wait=max_wait)


async def test_what_fails_while_following_costs_no_report() -> None:
    async with (
        Sandbox(trades=3, limit=ROOMY) as sandbox,
        client_of(sandbox, limits=FailingLimiter(ROOMY)) as client,
    ):
        report = await client.smart_trades.close_many(list(sandbox.exchange.trades), wait=True)
        assert report.counts == {Verdict.CLOSING: 3}


@virtual_time.patient
async def test_an_id_that_nothing_has_costs_the_others_no_end() -> None:
    """The answer about it was lost, so that nobody knows until it is followed."""
    async with LoopSandbox(trades=3, limit=ROOMY, time_scale=1) as sandbox, client_of(sandbox) as client:
        sandbox.network.next(Fault.LOST_ANSWER)
        calls = client.with_options(timeout=0.5).smart_trades
        report = await calls.close_many([999_999_999, *sandbox.exchange.trades], concurrency=1, wait=True)
        assert report.counts == {Verdict.UNKNOWN: 1, Verdict.CLOSED: 3}


@virtual_time.patient
async def test_what_was_skipped_on_purpose_is_not_waited_for() -> None:
    async with LoopSandbox(trades=2, limit=ROOMY, time_scale=10) as sandbox, client_of(sandbox) as client:
        seed(sandbox, 1, "waiting_position")
        async with asyncio.timeout(10):
            report = await client.smart_trades.close_many(
                list(sandbox.exchange.trades), on_unfilled="skip", wait=True
            )
        assert report.counts == {Verdict.CLOSED: 2, Verdict.SKIPPED: 1}
        assert report.ok


async def test_cancelling_and_annotating_have_the_same_report() -> None:
    async with (
        Sandbox(trades=15, statuses=EVERY_STATUS, limit=ROOMY, time_scale=1) as sandbox,
        client_of(sandbox) as client,
    ):
        ids = list(sandbox.exchange.trades)
        noted = await client.smart_trades.set_note_many(ids, "the market falls")
        assert noted.counts == {Verdict.DONE: 15}
        assert {trade.note_raw async for trade in client.smart_trades.iterate()} == {"the market falls"}
        with pytest.raises(ValueError, match="300"):
            await client.smart_trades.set_note_many(ids, "x" * 301)
        report = await client.smart_trades.cancel_many([*ids, 999_999_999])
        assert report.counts == {
            Verdict.CANCELLED: 5,
            Verdict.ALREADY_CLOSED: 9,
            Verdict.REFUSED: 2,
        }
        assert [type(outcome.error) for outcome in report.failed][1:] == [NotFoundError]
        again = await client.smart_trades.cancel_many(ids)
        assert again.counts == {Verdict.ALREADY_CLOSED: 14, Verdict.REFUSED: 1}


async def test_any_call_can_be_made_for_many_items() -> None:
    async with Sandbox(limit=ROOMY) as sandbox, client_of(sandbox) as client:
        orders = [
            SmartTradeOrder.smart_trade(account_id=PAPER_ACCOUNT.id, pair="USDT_DOGE", units=units)
            for units in (50, 60, 70)
        ]
        nowhere = SmartTradeOrder.smart_trade(account_id=PAPER_ACCOUNT.id, pair="USDT_NOPE", units=50)
        report = await client.smart_trades.run_many(SmartTrades.create, [*orders, nowhere], concurrency=1)
        assert [outcome.verdict for outcome in report] == [Verdict.DONE] * 3 + [Verdict.REFUSED]
        assert [outcome.item for outcome in report] == [*orders, nowhere]
        first = report.outcomes[0].result
        assert isinstance(first, SmartTrade)
        assert first.id == report.outcomes[0].id == next(iter(sandbox.exchange.trades))

        async def amount(calls: SmartTrades, id: int) -> int:
            return len(await calls.list_trades(id))

        counted = await client.smart_trades.run_many(amount, sandbox.exchange.trades)
        assert [outcome.result for outcome in counted] == [1, 1, 1]
        assert counted.requests == 3


@pytest.mark.parametrize("name", ["create", "set_note", "close_by_market", "get"])
async def test_a_call_of_a_client_is_none_of_a_batch(name: str) -> None:
    async with Sandbox(trades=2, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        call: Any = getattr(client.smart_trades, name)
        with pytest.raises(ValueError, match=f"SmartTrades.{name}, not {name} of a client"):
            await client.smart_trades.run_many(call, list(sandbox.exchange.trades))
        assert sandbox.requests == 0


@pytest.mark.parametrize("call", [None, lambda item: item, SmartTrades.set_note])
async def test_a_call_that_does_not_take_the_calls_and_an_item_is_refused(call: Any) -> None:
    async with Sandbox(trades=2, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        with pytest.raises(ValueError, match="a function of the calls and an item"):
            await client.smart_trades.run_many(call, list(sandbox.exchange.trades))
        assert sandbox.requests == 0


@pytest.mark.parametrize("items", [42, "42", None])
async def test_what_is_no_iterable_of_items_is_refused_without_a_word_of_trades(items: Any) -> None:
    async with Sandbox(limit=ROOMY) as sandbox, client_of(sandbox) as client:
        with pytest.raises(ValueError, match="give an iterable of items to make the call for, not"):
            await client.smart_trades.run_many(SmartTrades.create, items)


async def test_a_call_that_cannot_be_made_is_refused_and_one_that_fails_afterwards_is_unknown() -> None:
    async def note(calls: SmartTrades, what: tuple[int, Any]) -> int:
        id, text = what
        await (calls.get(id) if what[1] == 0 else calls.set_note(id, "seen"))
        return int("1" + text)

    async with Sandbox(trades=1, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        [id] = sandbox.exchange.trades
        report = await client.smart_trades.run_many(note, [(id, "2"), (id, 5), (id, 0)], concurrency=1)
        assert [outcome.verdict for outcome in report] == [Verdict.DONE, Verdict.UNKNOWN, Verdict.REFUSED]
        assert report.outcomes[2].reason.startswith("nothing was sent: can only concatenate")
        nothing: Any = lambda _calls, _id: None  # noqa: E731 - no coroutine function, which is the point
        report = await client.smart_trades.run_many(nothing, [id])
        assert report.counts == {Verdict.UNKNOWN: 1}


@virtual_time.patient
async def test_a_write_of_which_nobody_knows_is_unknown_whatever_its_caller_raises() -> None:
    async def create(calls: SmartTrades, id: int) -> None:
        try:
            await calls.set_note(id, "seen")
        except OutcomeUnknownError:
            raise TypeError("of the caller's") from None

    async with LoopSandbox(trades=1, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        sandbox.network.every = 1
        report = await client.smart_trades.run_many(create, list(sandbox.exchange.trades))
        assert report.counts == {Verdict.UNKNOWN: 1}


async def test_a_key_that_expires_stops_the_batch_and_the_rest_is_skipped() -> None:
    async with Sandbox(trades=60, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        wrong = client_of(sandbox, api_secret="wrong")
        async with wrong:
            report = await wrong.smart_trades.close_many(list(sandbox.exchange.trades))
        assert set(report.counts) == {Verdict.REFUSED, Verdict.SKIPPED}
        assert report.counts[Verdict.REFUSED] <= 16
        assert all(isinstance(outcome.error, AuthenticationError) for outcome in report)
        assert (await client.smart_trades.close_many(list(sandbox.exchange.trades))).ok


@virtual_time.patient
async def test_a_cancelled_batch_loses_nothing_and_a_second_run_closes_the_rest() -> None:
    limit = RateLimit(requests=40, period=0.6, lockout=10.0)
    async with (
        LoopSandbox(trades=100, limit=limit, latency=(0.02, 0.05), time_scale=1) as sandbox,
        client_of(sandbox) as client,
    ):
        ids = list(sandbox.exchange.trades)
        fallen = asyncio.Event()
        task = asyncio.create_task(client.smart_trades.close_many(ids, on_progress=lambda *_: fallen.set()))
        await fallen.wait()
        task.cancel()
        report = await report_of_cancelled(task)
        assert [outcome.id for outcome in report] == ids
        done = {outcome.id for outcome in report if outcome.verdict is Verdict.CLOSING}
        assert done == {entry.smart_trade_id for entry in sandbox.ledger}
        assert report.counts[Verdict.SKIPPED] == 100 - len(done) > 0
        assert client.in_flight_unknown() == ()
        again = await client.smart_trades.close_many(ids)
        assert again.counts == {Verdict.CLOSING: 100 - len(done), Verdict.ALREADY_CLOSED: len(done)}
        assert Counter(entry.smart_trade_id for entry in sandbox.ledger) == Counter(ids)


@pytest.mark.parametrize("how", ["closing", "cancel_many"])
@virtual_time.patient
async def test_what_had_ended_is_not_called_refused_because_the_batch_was_stopped(how: str) -> None:
    async with (
        LoopSandbox(trades=50, limit=ROOMY, latency=(0.2, 0.2)) as sandbox,
        client_of(sandbox) as client,
    ):
        ids = list(sandbox.exchange.trades)
        await client.smart_trades.close_many(ids)
        if how == "closing":
            async with client.smart_trades.closing(ids) as batch:
                async for _ in batch:
                    break
            report = batch.report
        else:
            report = await client.smart_trades.cancel_many(ids, deadline=0.5)
        assert report.counts.keys() == {Verdict.ALREADY_CLOSED, Verdict.SKIPPED}
        assert writes(sandbox) == {"close_by_market": 50}


@virtual_time.patient
async def test_what_was_begun_and_not_ended_is_not_called_skipped() -> None:
    async def close_and_read(calls: SmartTrades, id: int) -> SmartTrade:
        await calls.close_by_market(id)
        return await calls.get(id)

    async with (
        LoopSandbox(trades=3, limit=ROOMY, latency=(0.3, 0.3)) as sandbox,
        client_of(sandbox) as client,
    ):
        report = await client.smart_trades.run_many(
            close_and_read, list(sandbox.exchange.trades), deadline=0.1
        )
        assert report.counts == {Verdict.UNKNOWN: 3}
        assert "the deadline of 0.1 s" in report.outcomes[0].reason
        assert writes(sandbox) == {"close_by_market": 3}


async def test_a_second_step_that_no_item_can_take_ends_the_batch_after_the_first_one() -> None:
    async def close_and_stop(calls: SmartTrades, id: int) -> None:
        await calls.close_by_market(id)
        raise PlanLimitError("not in the plan")

    async with Sandbox(trades=3, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        ids = list(sandbox.exchange.trades)
        report = await client.smart_trades.run_many(close_and_stop, ids, concurrency=1)
        assert report.counts == {Verdict.UNKNOWN: 1, Verdict.SKIPPED: 2}
        assert writes(sandbox) == {"close_by_market": 1}


@virtual_time.patient
async def test_any_call_that_is_cut_off_is_not_called_skipped() -> None:
    async with (
        LoopSandbox(trades=3, limit=ROOMY, latency=(0.5, 0.5)) as sandbox,
        client_of(sandbox) as client,
    ):
        ids = list(sandbox.exchange.trades)
        batch = asyncio.create_task(
            client.smart_trades.run_many(SmartTrades.close_by_market, ids, concurrency=2)
        )
        await until(lambda: sandbox.requests == 2)
        for _ in range(2):
            batch.cancel()
            await asyncio.sleep(0.01)
        report = await report_of_cancelled(batch)
        assert [outcome.verdict for outcome in report] == [Verdict.UNKNOWN, Verdict.UNKNOWN, Verdict.SKIPPED]
        assert len(client.in_flight_unknown()) == 2


@virtual_time.patient
async def test_a_deadline_ends_the_wait_for_the_limit() -> None:
    limit = RateLimit(requests=10, period=30.0, lockout=60.0)
    async with LoopSandbox(trades=25, limit=limit) as sandbox, client_of(sandbox) as client:
        report = await client.smart_trades.close_many(list(sandbox.exchange.trades), deadline=0.3)
        assert report.counts == {Verdict.CLOSING: 10, Verdict.SKIPPED: 15}
        assert report.elapsed == pytest.approx(0.3, abs=0.01)
        assert writes(sandbox) == {"close_by_market": 10}


@virtual_time.patient
async def test_nothing_is_closed_once_the_deadline_passed_while_the_list_was_read() -> None:
    async with (
        LoopSandbox(trades=5, limit=ROOMY, latency=(0.3, 0.3)) as sandbox,
        client_of(sandbox) as client,
    ):
        report = await client.smart_trades.close_all(deadline=0.1)
        assert report.counts == {Verdict.SKIPPED: 5}
        assert "the deadline of 0.1 s" in report.outcomes[0].reason
        assert writes(sandbox) == {}


@virtual_time.patient
async def test_a_deadline_ends_the_wait_for_the_first_list() -> None:
    limit = RateLimit(requests=10, period=30.0, lockout=60.0)
    async with LoopSandbox(trades=5, limit=limit) as sandbox, client_of(sandbox) as client:
        for _ in range(9):
            await client.smart_trades.list()
        async with asyncio.timeout(5):
            report = await client.smart_trades.close_all(deadline=0.2)
            assert report.counts == {Verdict.SKIPPED: 5}
            with pytest.raises(BatchStoppedError, match="the deadline"):
                await client.smart_trades.close_all(deadline=0.2)
        assert writes(sandbox) == {}


@virtual_time.patient
async def test_wait_for_brings_trades_where_they_are_to_be_or_as_they_ended() -> None:
    async with LoopSandbox(trades=3, limit=ROOMY, time_scale=5) as sandbox, client_of(sandbox) as client:
        order = SmartTradeOrder.smart_trade(account_id=PAPER_ACCOUNT.id, pair="USDT_DOGE", units=50)
        new = await client.smart_trades.create(order)
        [ended] = seed(sandbox, 1, "cancelled")
        there = await client.smart_trades.wait_for(
            [new, str(ended)], lambda trade: trade.is_filled, timeout=20, poll_every=0.2
        )
        assert there[new.id].status.code == "waiting_targets"
        assert there[ended].status.code == "cancelled"


@virtual_time.patient
async def test_following_leaves_the_reserve_to_exits() -> None:
    limit = RateLimit(requests=40, period=2.0, lockout=10.0)
    async with LoopSandbox(trades=300, limit=limit, time_scale=1) as sandbox, client_of(sandbox) as client:
        ids = list(sandbox.exchange.trades)
        polls = asyncio.create_task(client.smart_trades.wait_closed(ids, timeout=60, poll_every=0.01))
        await asyncio.sleep(1.0)
        for id in ids[:4]:  # What is reserved of 40.
            await client.with_options(max_wait=0.0).smart_trades.close_by_market(id)
        assert sandbox.refused == 0
        polls.cancel()
        with pytest.raises(asyncio.CancelledError):
            await polls


async def test_a_stream_that_was_closed_before_it_began_closes_nothing() -> None:
    async with Sandbox(trades=3, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        async with client.smart_trades.closing(list(sandbox.exchange.trades)) as batch:
            pass
        assert [outcome.verdict async for outcome in batch] == [Verdict.SKIPPED] * 3
        assert sandbox.requests == 0


async def test_wait_for_takes_no_stream() -> None:
    async with Sandbox(trades=1, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        with pytest.raises(ValueError, match="give an iterable"):
            await client.smart_trades.wait_closed(client.smart_trades.iterate(), timeout=1)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="timeout"):
            await client.smart_trades.wait_closed([1], timeout=10**400)
        with pytest.raises(ValueError, match="deadline"):
            await client.smart_trades.close_many([1], deadline=10**400)
        with pytest.raises(ValueError, match="not a SmartTrade"):
            await client.smart_trades.close_many([10**19])
        assert sandbox.requests == 0


class Wise:
    """A predicate that is an object, and has to be awaited."""

    async def __call__(self, _trade: SmartTrade) -> bool:
        return False


async def nobody(_trade: SmartTrade) -> bool:
    return False


@pytest.mark.parametrize("predicate", [nobody, Wise()])
async def test_a_predicate_that_would_have_to_be_awaited_closes_nothing(predicate: Any) -> None:
    async with Sandbox(trades=3, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        for dry_run in (True, False):
            with pytest.raises(ValueError, match="plain function"):
                await client.smart_trades.close_all(predicate=predicate, dry_run=dry_run)
        with pytest.raises(ValueError, match="plain function"):
            await client.smart_trades.wait_for(list(sandbox.exchange.trades), predicate, timeout=9)
        assert sandbox.requests == (0 if predicate is nobody else 3)
        assert writes(sandbox) == {}


@virtual_time.patient
async def test_an_account_can_be_closed_alone() -> None:
    async with LoopSandbox(trades=12, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        order = SmartTradeOrder.smart_trade(account_id=REAL_ACCOUNT.id, pair="USDT_DOGE", units=50)
        other = await client.smart_trades.create(order)
        await client.smart_trades.wait_for([other], lambda trade: trade.is_filled, timeout=60, poll_every=0.5)
        report = await client.smart_trades.close_all(account_id=REAL_ACCOUNT.id)
        assert [outcome.id for outcome in report] == [other.id]


@pytest.mark.parametrize(
    "filters",
    [{"pair": ""}, {"quote": " "}, {"base": ""}, {"account_id": 0.5}, {"account_id": 0}, {"account_id": -7}],
)
async def test_a_filter_that_is_not_set_does_not_select_everything(filters: dict[str, Any]) -> None:
    async with Sandbox(trades=3, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        with pytest.raises(ValueError, match=next(iter(filters))):
            await client.smart_trades.close_all(**filters)
        with pytest.raises(ValueError, match=next(iter(filters))):
            await client.smart_trades.list(**filters)
        assert sandbox.requests == 0


@virtual_time.patient
async def test_a_trade_that_is_tried_again_is_counted_once() -> None:
    async with LoopSandbox(trades=2, limit=ROOMY, time_scale=1) as sandbox, client_of(sandbox) as client:
        seed(sandbox, 1, "created")
        told: list[tuple[int, int | None, str]] = []
        report = await client.smart_trades.close_all(
            deadline=10, on_progress=lambda done, total, outcome: told.append((done, total, outcome.verdict))
        )
        assert report.ok
        assert [done for done, _, _ in told[:3]] == [1, 2, 3]
        assert {(done, total) for done, total, _ in told[3:]} == {(3, 3)}


@pytest.mark.parametrize("pair", ["BTC/USDT", "BTCUSDT", "USDT BTC", "USDT_BTC\n"])
async def test_a_filter_by_what_no_pair_is_called_is_refused_and_nothing_is_sent(pair: str) -> None:
    async with Sandbox(trades=1, limit=ROOMY) as sandbox, client_of(sandbox) as client:
        for call in (client.smart_trades.close_all, client.smart_trades.list):
            with pytest.raises(ValueError, match="pair must be given as QUOTE_BASE"):
                await call(pair=pair)
        assert sandbox.requests == 0


SLOW = (0.02, 0.02)
"""Seconds that answers take: three pages of a list take six times as long at least."""


@pytest.mark.parametrize("seconds", [0.01, 0.03, 0.05])
@virtual_time.patient
async def test_who_cancels_while_open_trades_are_listed_is_told_that(
    seconds: float,
) -> None:
    async with (
        LoopSandbox(trades=250, limit=ROOMY, latency=SLOW) as sandbox,
        ThreeCommas(**sandbox.credentials()) as client,
    ):
        for dry_run in (False, True):
            with pytest.raises(TimeoutError) as late:
                async with asyncio.timeout(seconds):
                    await client.smart_trades.close_all(dry_run=dry_run)
            report = report_of(late.value)
            assert (report.ok, report.is_complete, report.dry_run) == (False, False, dry_run)
            assert "stopped before the open trades were read" in str(report)
            with pytest.raises(ExceptionGroup, match="the open trades"):
                report.raise_for_failures()
        assert writes(sandbox) == {}


@pytest.mark.parametrize("how", ["close_many", "cancel_many", "set_note_many", "closing", "plan"])
@virtual_time.patient
async def test_who_cancels_while_accounts_are_looked_up_has_a_verdict_on_each_trade(how: str) -> None:
    async def run(ids: list[int]) -> None:
        match how:
            case "set_note_many":
                await trades.set_note_many(ids, "seen")
            case "cancel_many":
                await trades.cancel_many(ids)
            case "closing":
                async with trades.closing(ids) as batch:
                    async for _ in batch:
                        pass
            case _:
                await trades.close_many(ids, dry_run=how == "plan")

    async with (
        LoopSandbox(trades=250, limit=ROOMY, latency=SLOW) as sandbox,
        ThreeCommas(**sandbox.credentials()) as client,
    ):
        trades, ids = client.smart_trades, list(sandbox.exchange.trades)
        with pytest.raises(TimeoutError) as late:
            async with asyncio.timeout(0.03):
                await run(ids)
        report = report_of(late.value)
        assert [outcome.id for outcome in report] == ids
        kinds = {type(outcome.error) for outcome in report if outcome.verdict is Verdict.SKIPPED}
        assert kinds == {BatchStoppedError}
        assert (report.ok, report.is_complete) == (False, True)
        assert how == "plan" or report.counts == {Verdict.SKIPPED: 250}
        assert writes(sandbox) == {}


async def a_real_trade(sandbox: Sandbox) -> int:
    async with client_of(sandbox) as other:
        order = SmartTradeOrder.smart_trade(account_id=REAL_ACCOUNT.id, pair="USDT_DOGE", units=50)
        new = await other.smart_trades.create(order)
        await other.smart_trades.wait_for([new], lambda trade: trade.is_filled, timeout=60, poll_every=0.5)
        return new.id


@virtual_time.patient
async def test_what_is_refused_for_good_costs_the_others_no_end() -> None:
    async with (
        LoopSandbox(trades=5, limit=ROOMY, time_scale=1) as sandbox,
        ThreeCommas(**sandbox.credentials()) as client,
    ):
        real = await a_real_trade(sandbox)
        report = await client.smart_trades.close_all(order="loss", wait=True, deadline=600)
        assert report.counts == {Verdict.CLOSED: 5, Verdict.REFUSED: 1}
        assert [outcome.id for outcome in report.failed] == [real]
        assert report.elapsed < 30
        assert report.requests < 20


@virtual_time.patient
async def test_what_is_tried_to_the_end_costs_the_others_no_end() -> None:
    """The trade is refused because of its state, which may change."""
    async with (
        LoopSandbox(trades=5, limit=ROOMY, time_scale=1) as sandbox,
        client_of(sandbox) as client,
    ):
        [new] = seed(sandbox, 1, "waiting_position")
        report = await client.smart_trades.close_all(on_unfilled="close", wait=True, deadline=600)
        assert report.counts == {Verdict.CLOSED: 5, Verdict.REFUSED: 1}
        assert [outcome.id for outcome in report.failed] == [new]
        assert {outcome.trade.status for outcome in report if outcome.ok and outcome.trade} == {"panic_sold"}
        tries = report.elapsed / 8
        assert report.elapsed == pytest.approx(600, abs=10)
        assert report.requests < 3 * tries + 30  # Close, look and list; and a few polls at the beginning.


@virtual_time.patient
async def test_a_client_that_only_reads_is_done_at_once() -> None:
    async with (
        LoopSandbox(trades=150, limit=ROOMY, time_scale=1) as sandbox,
        client_of(sandbox, read_only=True) as client,
    ):
        report = await client.smart_trades.close_all(wait=True, deadline=600)
        assert report.counts == {Verdict.REFUSED: 150}
        assert (report.requests, report.elapsed < 1) == (4, True)


@pytest.mark.parametrize("how", ["close_all", "close_many", "cancel_many", "set_note_many"])
@virtual_time.patient
async def test_a_key_that_may_not_write_stops_a_batch(how: str) -> None:
    reads = [Permission.SMART_TRADES_READ]
    async with LoopSandbox(trades=150, limit=ROOMY, time_scale=1) as sandbox:
        async with client_of(sandbox, **sandbox.credentials(permissions=reads, mode="real")) as client:
            trades, ids = client.smart_trades, list(sandbox.exchange.trades)
            match how:
                case "close_all":
                    report = await trades.close_all(wait=True, deadline=600)
                case "set_note_many":
                    report = await trades.set_note_many(ids, "seen")
                case _:
                    report = await getattr(trades, how)(ids)
        assert report.counts.keys() == {Verdict.REFUSED, Verdict.SKIPPED}
        assert {type(outcome.error) for outcome in report} == {PermissionDeniedError}
        assert report.requests <= 2 + 16
        assert report.elapsed < 1


ENDED = ("finished",)
HELD = ("waiting_targets",)
UNFILLED = ("waiting_position",)


@pytest.mark.parametrize(
    ("statuses", "options", "by_trade", "by_id"),
    [
        (HELD, {}, 1, 1),
        (UNFILLED, {}, 2, 3),
        (UNFILLED, {"on_unfilled": "skip"}, 1, 2),
        (UNFILLED, {"on_unfilled": "close"}, 2, 2),
        (ENDED, {}, 0, 2),
    ],
)
@virtual_time.patient
async def test_a_plan_counts_the_requests_that_a_run_takes(
    statuses: tuple[str, ...], options: dict[str, Any], by_trade: int, by_id: int
) -> None:
    each_second = RateLimit(requests=1, period=1.0, lockout=1.0)

    async def planned_and_taken(call: Any, *given: Any) -> tuple[float, int]:
        plan: BatchReport = await call(*given, dry_run=True, **options)
        return plan.floor + 1, (await call(*given, **options)).requests

    async with (
        LoopSandbox(limit=ROOMY, time_scale=1) as sandbox,
        client_of(sandbox, limits=each_second) as client,
    ):
        trades = client.smart_trades
        ids = seed(sandbox, 7, *statuses)
        read = [trade async for trade in trades.iterate()]
        if not by_trade:  # A floor of no request is that of one.
            assert (await trades.close_many(read)).requests == 0
        else:
            assert await planned_and_taken(trades.close_many, read) == (7 * by_trade, 7 * by_trade)
        ids = seed(sandbox, 7, *statuses)
        assert await planned_and_taken(trades.close_many, ids) == (7 * by_id, 7 * by_id)
        nowhere = [999_999_991, 999_999_992, 999_999_993]
        assert await planned_and_taken(trades.close_many, nowhere) == (3, 3)


@pytest.mark.parametrize(("statuses", "each"), [(HELD, 1), (UNFILLED, 2)])
@virtual_time.patient
async def test_a_plan_of_all_that_is_open_counts_the_lists(statuses: tuple[str, ...], each: int) -> None:
    each_second = RateLimit(requests=1, period=1.0, lockout=1.0)
    async with (
        LoopSandbox(limit=ROOMY, time_scale=100) as sandbox,
        client_of(sandbox, limits=each_second) as client,
    ):
        seed(sandbox, 103, *statuses)
        plan = await client.smart_trades.close_all(dry_run=True)
        report = await client.smart_trades.close_all()
        assert report.requests == plan.floor + 1 == 103 * each + 2 + 1
        nothing = await client.smart_trades.close_all(dry_run=True)
        assert nothing.floor == 0
