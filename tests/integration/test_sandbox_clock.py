"""The sandbox's clock, lock-out and ban under a test's hand."""

from __future__ import annotations

import math
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest

from threecommas_async import APIStatusError, BannedError, RateLimitedError, SmartTradeOrder, ThreeCommas
from threecommas_async.endpoints import CLOSE_BY_MARKET, GET_SMART_TRADE, LIST_SMART_TRADES
from threecommas_async.limits import RateLimit
from threecommas_async.sandbox import PAPER_ACCOUNT, Fault, Sandbox

GENEROUS = RateLimit(1000, 1.0, 1.0)
STANDS_STILL = 0.001
"""A time scale at which no time passes but what a test lets pass."""


async def test_what_is_due_has_happened_when_the_clock_was_moved() -> None:
    async with Sandbox(time_scale=STANDS_STILL) as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        order = SmartTradeOrder.smart_trade(account_id=PAPER_ACCOUNT.id, pair="USDT_BTC", units="0.01")
        trade = await client.smart_trades.create(order, validate=False)
        sandbox.advance(2.9)
        assert not sandbox.fills
        sandbox.advance(0.2)
        fill = sandbox.fills[-1]
        assert (fill.at - sandbox.ledger[0].at) * STANDS_STILL == pytest.approx(3.0)
        assert (await client.smart_trades.get(trade.id)).is_filled


async def test_the_clock_is_moved_by_simulated_seconds_whatever_the_time_scale() -> None:
    async with (
        Sandbox(trades=1, time_scale=STANDS_STILL) as sandbox,
        ThreeCommas(**sandbox.credentials()) as client,
    ):
        [id] = sandbox.exchange.trades
        await client.smart_trades.close_by_market(id)
        sandbox.advance(3.0)
        assert sandbox.exchange.trades[id].status == "panic_sell_in_progress"


async def test_answers_are_dated_by_the_clock_that_was_moved() -> None:
    async with Sandbox(trades=1, time_scale=1) as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        with client.with_raw() as answers:
            await client.smart_trades.list()
            sandbox.advance(3600)
            await client.smart_trades.list()
    before, after = (parsedate_to_datetime(answer.headers["Date"]) for answer in answers)
    assert timedelta(seconds=3599) <= after - before <= timedelta(seconds=3602)


async def test_a_429_after_the_clock_was_moved_names_the_wait_and_not_the_distance_between_the_clocks() -> (
    None
):
    async with Sandbox(time_scale=1) as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        sandbox.advance(3600)
        sandbox.lock_out()
        with pytest.raises(RateLimitedError):
            await client.smart_trades.list()
        paused_until = client.limits.snapshot().paused_until
        assert paused_until is not None
        await client.aclose()
        assert (paused_until - sandbox.exchange.epoch).total_seconds() == pytest.approx(300, abs=5)


async def test_a_lock_out_and_a_ban_pass_on_the_sandboxs_clock() -> None:
    async with Sandbox(trades=1, time_scale=STANDS_STILL) as sandbox:
        options = sandbox.credentials(limits=GENEROUS, max_wait=0)
        for begin, refusal, length in (
            (sandbox.lock_out, RateLimitedError, 300),
            (sandbox.ban, BannedError, 120),
            (sandbox.ban, BannedError, 240),
        ):
            begin()
            sandbox.advance(length - 1)
            async with ThreeCommas(**options) as client:
                with pytest.raises(refusal):
                    await client.smart_trades.list()
            sandbox.advance(1)
            async with ThreeCommas(**options) as client:
                assert len(await client.smart_trades.list()) == 1


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan])
def test_the_clock_takes_no_step_back_and_none_without_end(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds must be a number from 0"):
        Sandbox().advance(seconds)


async def test_a_fault_can_be_for_the_next_request_of_one_row() -> None:
    async with Sandbox(trades=1, time_scale=1) as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        [id] = sandbox.exchange.trades
        sandbox.network.next(Fault.BAD_GATEWAY, of=GET_SMART_TRADE)
        sandbox.network.next(Fault.SERVER_ERROR, of=LIST_SMART_TRADES)
        sandbox.network.next(None, Fault.LOST_ANSWER, of=CLOSE_BY_MARKET)
        await client.smart_trades.close_by_market(id)
        await client.smart_trades.get(id)
        await client.smart_trades.list(per_page=10)
        assert [
            (one.method, one.target.partition("?")[0], one.fault) for one in sandbox.network.incidents
        ] == [
            ("GET", f"/public/api/v2/smart_trades/{id}", Fault.BAD_GATEWAY),
            ("GET", "/public/api/v2/smart_trades", Fault.SERVER_ERROR),
        ]
        sandbox.network.calm()
        with pytest.raises(APIStatusError, match="Close by market"):
            await client.smart_trades.close_by_market(id)
        assert len(sandbox.network.incidents) == 2
