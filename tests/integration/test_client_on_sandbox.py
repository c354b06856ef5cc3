"""The client against the sandbox: real HTTP over loopback, signatures checked, limits enforced."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from tenacity import wait_fixed

from tests import virtual_time
from tests.fleet import LoopSandbox
from threecommas_async import (
    AuthenticationError,
    BannedError,
    InvalidRequestError,
    NotFoundError,
    OrderPosition,
    OrderTakeProfit,
    OrderTakeProfitStep,
    OrderTriggerPrice,
    OrderValue,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimit,
    RateLimitedError,
    SmartTrade,
    SmartTradeOrder,
    ThreeCommas,
    Verdict,
    WaitTimeoutError,
)
from threecommas_async.endpoints import Permission
from threecommas_async.retry import RetryPolicy
from threecommas_async.sandbox import EVERY_STATUS, Sandbox

ROOT = Path(__file__).parents[2]


async def ids_of(client: ThreeCommas) -> list[int]:
    return [trade.id async for trade in client.smart_trades.iterate(order_direction="ASC")]


@virtual_time.patient
async def test_250_closes_keep_the_limit_and_take_little_more_than_its_floor() -> None:
    async with (
        LoopSandbox(trades=250, time_scale=1, latency=(0.02, 0.08)) as sandbox,
        ThreeCommas(**sandbox.credentials(mode="real")) as client,
    ):
        ids = list(sandbox.exchange.trades)
        report = await client.smart_trades.close_many(ids)
        assert report.counts == {Verdict.CLOSING: 250}
        assert sandbox.refused == 0
        assert sandbox.worst_window == 100
        assert sandbox.requests == 250
        assert Counter(entry.smart_trade_id for entry in sandbox.ledger) == dict.fromkeys(ids, 1)
        floor = sandbox.limit.floor(250)
        assert floor == 120.0
        assert report.elapsed <= floor + 1
        ended = await client.smart_trades.wait_closed(ids, timeout=30)
        assert Counter(trade.status.code for trade in ended.values()) == {"panic_sold": 250}
        again = await client.smart_trades.close_many(ended.values())
        assert again.counts == {Verdict.ALREADY_CLOSED: 250}


@pytest.mark.parametrize("kind", ["hmac", "rsa"])
async def test_both_kinds_of_key_can_create_read_and_close(kind: Literal["hmac", "rsa"]) -> None:
    async with Sandbox(time_scale=100) as sandbox, ThreeCommas(**sandbox.credentials(kind)) as client:
        account = next(iter(sandbox.exchange.accounts.values()))
        order = SmartTradeOrder.smart_trade(
            account_id=account.id,
            pair="USDT_DOGE",
            units="15",
            take_profit=OrderTakeProfit(
                enabled=True,
                steps=(
                    OrderTakeProfitStep(
                        order_type="limit",
                        volume=Decimal(100),
                        price=OrderTriggerPrice(type="last", value=Decimal(9)),
                    ),
                ),
            ),
            note="größer 30 %",
        )
        created = await client.smart_trades.create(order)
        assert created.data.type == "smart_trade"
        assert created.note_raw == "größer 30 %"
        async with asyncio.timeout(60):
            while not (trade := await client.smart_trades.get(created.id)).is_closeable:
                await asyncio.sleep(0.02)
        assert trade.position.units.value == Decimal("14.985")  # 15 less a fee of 0.1 % in base.
        step_id = trade.take_profit.steps[0].id
        assert step_id
        closed = await client.smart_trades.close_trade_by_market(trade.id, step_id)
        assert closed.take_profit.steps[0].status.code == "panic_sell_pending"
        assert [entry.action for entry in sandbox.ledger] == ["create", "close_trade_by_market"]


async def test_a_walk_brings_every_trade_once_in_the_order_of_creation() -> None:
    async with (
        Sandbox(trades=250, statuses=EVERY_STATUS) as sandbox,
        ThreeCommas(**sandbox.credentials()) as client,
    ):
        walk = client.smart_trades.iterate()
        trades = [trade async for trade in walk]
        assert len({trade.id for trade in trades}) == len(trades) == 250
        assert walk.malformed == ()
        dates = [trade.data.created_at for trade in trades if trade.data.created_at]
        assert dates == sorted(dates, reverse=True)
        assert sandbox.requests == 3


async def test_a_walk_over_active_trades_misses_none_while_they_are_being_closed() -> None:
    limit = RateLimit(requests=5000, period=60, lockout=300)
    async with (
        Sandbox(trades=450, limit=limit, time_scale=1000) as sandbox,
        ThreeCommas(**sandbox.credentials()) as client,
    ):
        report = await client.smart_trades.close_many(client.smart_trades.iterate(status="active"))
        assert report.counts == {Verdict.CLOSING: 450}
        assert len({entry.smart_trade_id for entry in sandbox.ledger}) == 450


async def test_every_status_gets_its_verdict() -> None:
    async with (
        Sandbox(trades=15, statuses=EVERY_STATUS, time_scale=1) as sandbox,
        ThreeCommas(**sandbox.credentials()) as client,
    ):
        before = {trade.id: trade.status.code async for trade in client.smart_trades.iterate()}
        assert set(before.values()) == set(EVERY_STATUS)
        report = await client.smart_trades.close_many(before)
        assert {before[outcome.id]: outcome.verdict for outcome in report if outcome.id} == {
            "created": Verdict.REFUSED,
            "waiting_position": Verdict.CANCELLED,
            "waiting_targets": Verdict.CLOSING,
            "stop_loss_in_progress": Verdict.CLOSING,
            "reduce_funds_in_progress": Verdict.CLOSING,
            "pending_reduce_funds": Verdict.CLOSING,
            "panic_sell_pending": Verdict.ALREADY_CLOSED,
            "panic_sell_in_progress": Verdict.ALREADY_CLOSED,
            "cancellation_pending": Verdict.ALREADY_CLOSED,
            "cancellation_in_progress": Verdict.ALREADY_CLOSED,
            "panic_sold": Verdict.ALREADY_CLOSED,
            "finished": Verdict.ALREADY_CLOSED,
            "stop_loss_finished": Verdict.ALREADY_CLOSED,
            "cancelled": Verdict.ALREADY_CLOSED,
            "failed": Verdict.ALREADY_CLOSED,
        }


async def test_an_unreliable_network_never_closes_twice_and_the_report_is_right() -> None:
    limit = RateLimit(requests=5000, period=60, lockout=300)
    async with (
        Sandbox(trades=200, limit=limit, unreliable=0.3, seed=5, time_scale=1) as sandbox,
        ThreeCommas(**sandbox.credentials(mode="real")) as client,
    ):
        client._session._policy = RetryPolicy(wait=wait_fixed(0.001), settle=(0.001, 0.002, 0.004))
        ids = list(sandbox.exchange.trades)
        report = await client.smart_trades.close_many(ids)
        closes = Counter(entry.smart_trade_id for entry in sandbox.ledger)
        assert set(closes.values()) == {1}
        verdicts = Counter((outcome.verdict, closes[outcome.id or 0]) for outcome in report)
        # The retry budget ends before the faults do: some closes are left unknown.
        assert verdicts[Verdict.UNKNOWN, 0] > 0
        assert verdicts[Verdict.CLOSING, 1] >= 150
        assert verdicts.keys() <= {(Verdict.CLOSING, 1), (Verdict.UNKNOWN, 0), (Verdict.UNKNOWN, 1)}
        assert sum(verdicts.values()) == 200


@virtual_time.patient
async def test_a_client_that_is_too_fast_is_locked_out_and_comes_back_by_itself() -> None:
    async with LoopSandbox(trades=1, time_scale=1) as sandbox:
        too_fast = RateLimit(requests=1000, period=60, lockout=sandbox.limit.lockout)
        options: dict[str, Any] = sandbox.credentials() | {"limits": too_fast, "max_wait": 400.0}
        async with ThreeCommas(**options) as client:
            [id] = await ids_of(client)
            reads = [client.smart_trades.get(id) for _ in range(105)]
            trades = await asyncio.gather(*reads)
            assert {trade.id for trade in trades} == {id}
            assert 1 <= sandbox.refused <= 6
            assert sandbox.banned == 0


async def test_who_ignores_the_lock_out_is_banned() -> None:
    async with Sandbox(
        trades=1, limit=RateLimit(requests=1, period=60, lockout=300), time_scale=1
    ) as sandbox:
        [id] = sandbox.exchange.trades
        kinds: list[type[BaseException]] = []
        for _ in range(25):  # Each with a limiter of its own, which knows nothing of the others.
            async with ThreeCommas(**sandbox.credentials(), max_wait=0) as client:
                try:
                    await client.smart_trades.get(id)
                except (RateLimitedError, BannedError) as error:
                    kinds.append(type(error))
        assert kinds == [RateLimitedError] * 21 + [BannedError] * 3
        assert (sandbox.refused, sandbox.banned) == (21, 3)


async def test_refusals_have_their_class() -> None:
    async with Sandbox(trades=1, statuses=["panic_sold"]) as sandbox:
        [id] = sandbox.exchange.trades
        async with ThreeCommas(**sandbox.credentials(mode="real")) as client:
            for call in (
                client.smart_trades.get,
                client.smart_trades.cancel,
                client.smart_trades.close_by_market,
            ):
                with pytest.raises(NotFoundError):
                    await call(999_999_999)
            with pytest.raises(InvalidRequestError, match="not allowed"):
                await client.smart_trades.close_by_market(id)
            with pytest.raises(PermissionDeniedError, match="Account not owned") as denied:
                await client.smart_trades.create(
                    SmartTradeOrder.smart_trade(account_id=1, pair="USDT_DOGE", units=15)
                )
            assert denied.value.status == 403
            bad = SmartTradeOrder(
                account_id=next(iter(sandbox.exchange.accounts)),
                pair="USDT_DOGE",
                position=OrderPosition(type="buy", order_type="limit", units=OrderValue(value=Decimal(15))),
            )
            with pytest.raises(InvalidRequestError) as invalid:
                await client.smart_trades.create(bad, validate=False)
            assert any("price" in key for key in invalid.value.attributes)
            assert invalid.value.request_id
        options: dict[str, Any] = sandbox.credentials() | {"api_secret": "wrong"}
        async with ThreeCommas(**options) as client:
            with pytest.raises(AuthenticationError):
                await client.smart_trades.get(id)


async def test_a_key_that_may_only_read_is_refused_with_the_permission_it_lacks() -> None:
    async with (
        Sandbox(trades=1, permissions={Permission.SMART_TRADES_READ}) as sandbox,
        ThreeCommas(**sandbox.credentials()) as client,
    ):
        [id] = await ids_of(client)
        with pytest.raises(PermissionDeniedError, match="SMART_TRADES_WRITE"):
            await client.smart_trades.close_by_market(id)


async def test_filters_arrive() -> None:
    async with (
        Sandbox(trades=30, statuses=EVERY_STATUS) as sandbox,
        ThreeCommas(**sandbox.credentials()) as client,
    ):
        everything = await client.smart_trades.list(
            status="all", order_by="created_at", order_direction="ASC"
        )
        assert len(everything) == 30
        first = everything[0]
        assert first.data.created_at
        assert first.pair
        at = first.data.created_at
        trades = client.smart_trades
        assert [trade.id for trade in await trades.list(to=at)] == [first.id]
        assert len(await trades.list(from_=at + timedelta(milliseconds=1))) == 29
        assert {trade.pair for trade in await trades.list(pair=first.pair)} == {first.pair}
        assert len(await trades.list(account_id=1)) == 0
        assert {trade.status.code for trade in await trades.list(status="failed")} == {"failed"}
        assert len(await trades.list(per_page=7, page=5, status="all")) == 2
        assert len(await trades.list(from_=datetime(2999, 1, 1, tzinfo=UTC))) == 0


def exchange_trade(sandbox: Sandbox, status: str) -> int:
    [id] = sandbox.exchange.seed(1, [status])
    return id


@virtual_time.patient
async def test_wait_closed_says_what_it_cannot_follow() -> None:
    async with LoopSandbox(trades=1, time_scale=1) as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        [id] = sandbox.exchange.trades
        ended = exchange_trade(sandbox, "panic_sold")
        with pytest.raises(WaitTimeoutError, match=r"1 trade had not ended within 0.2 s: \[") as caught:
            await client.smart_trades.wait_closed([id, ended], timeout=0.2, poll_every=0.02)
        assert caught.value.pending == {id}
        assert caught.value.reached[ended].status.code == "panic_sold"
        with pytest.raises(NotFoundError):
            await client.smart_trades.wait_closed([999_999_999], timeout=1)
        with pytest.raises(ValueError, match="poll_every"):
            await client.smart_trades.wait_closed([id], timeout=1, poll_every=0)
        assert await client.smart_trades.wait_closed([], timeout=1) == {}


async def test_wait_for_says_what_it_waited_for() -> None:
    def is_far(_: SmartTrade) -> bool:
        return False

    async with Sandbox(trades=2, time_scale=1) as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        ids = list(sandbox.exchange.trades)
        for predicate, name in ((is_far, " is_far"), (lambda _: False, ""), (partial(is_far), "")):
            said = f"2 trades had neither met the predicate{name} nor ended within 0.1 s: "
            with pytest.raises(WaitTimeoutError, match=said):
                await client.smart_trades.wait_for(ids, predicate, timeout=0.1)


async def test_a_lost_create_is_unknown_and_is_not_sent_again() -> None:
    async with (
        Sandbox(unreliable=1.0, seed=1) as sandbox,
        ThreeCommas(**sandbox.credentials(mode="real")) as client,
    ):
        order = SmartTradeOrder.smart_trade(
            account_id=next(iter(sandbox.exchange.accounts)), pair="USDT_DOGE", units=15
        )
        for _ in range(8):
            with pytest.raises(OutcomeUnknownError):
                await client.smart_trades.create(order)
        assert sandbox.requests == 8
        assert 0 < len(sandbox.ledger) < 8


def test_the_demo_ends_well_and_without_a_warning() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "threecommas_async", "demo", "--trades", "5"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every trade ended as it should." in done.stdout
    assert done.stderr == ""
