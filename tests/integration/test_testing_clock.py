"""A clock that tests move: the event loop's and the sandbox's, together."""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from threecommas_async import (
    BannedError,
    OutcomeUnknownError,
    RiskLimitError,
    RiskLimits,
    SmartTradeOrder,
    ThreeCommas,
    stop_loss,
)
from threecommas_async.sandbox import PAPER_ACCOUNT, Sandbox
from threecommas_async.testing import Clock, Faults, Market

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PAIR = "USDT_BTC"


@pytest.fixture(autouse=True)
def loop_that_can_be_moved(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--uvloop"):
        pytest.skip("the clock of a uvloop event loop cannot be moved")


@asynccontextmanager
async def stage(**options: Any) -> AsyncGenerator[tuple[Sandbox, ThreeCommas, Clock], None]:
    options.setdefault("time_scale", 1)
    async with Sandbox(**options) as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        yield sandbox, client, Clock(sandbox)


async def test_an_hour_of_ticks_comes_one_by_one_at_their_instants() -> None:
    ticks: list[float] = []
    clock = Clock()
    began = clock.time

    async def tick() -> None:
        while True:
            await asyncio.sleep(600)
            ticks.append(clock.time - began)

    task = asyncio.create_task(tick())
    await clock.advance(hours=1)
    task.cancel()
    assert ticks == pytest.approx([600, 1200, 1800, 2400, 3000, 3600], abs=1)


async def test_an_advance_moves_by_what_it_says_and_fires_nothing_later() -> None:
    clock = Clock()
    began, fired = clock.time, asyncio.Event()
    asyncio.get_running_loop().call_later(61.0, fired.set)
    await clock.advance(10, minutes=0.5)
    assert clock.time - began == pytest.approx(40, abs=1)
    await clock.advance(20)
    assert not fired.is_set()
    await clock.advance(2)
    assert fired.is_set()


async def test_what_runs_between_two_timers_has_done_its_requests_before_the_next_one() -> None:
    async with stage(trades=1) as (sandbox, client, clock):
        [id] = sandbox.exchange.trades
        seen: list[tuple[str, float]] = []

        async def watch() -> None:
            await client.smart_trades.close_by_market(id)
            for _ in range(4):
                trade = await client.smart_trades.get(id)
                seen.append((trade.status.code, clock.time - began))
                await asyncio.sleep(1.5)

        began = clock.time
        task = asyncio.create_task(watch())
        await clock.advance(5)
        assert [code for code, _ in seen] == [
            "panic_sell_pending",
            "panic_sell_pending",
            "panic_sell_in_progress",
            "panic_sold",
        ]
        assert [at for _, at in seen] == pytest.approx([0, 1.5, 3, 4.5], abs=0.4)
        task.cancel()


async def test_250_closes_take_the_two_minutes_of_the_limit_and_no_real_ones() -> None:
    async with stage(trades=250) as (sandbox, client, clock):
        began, real = clock.time, time.monotonic()
        report = await clock.run(client.smart_trades.close_many(list(sandbox.exchange.trades)))
        assert report.ok
        assert 120 <= clock.time - began < 122
        assert time.monotonic() - real < 30
        assert (sandbox.worst_window, sandbox.refused) == (100, 0)


async def test_a_silent_server_costs_the_clients_timeout_on_the_moved_clock() -> None:
    async with stage() as (sandbox, client, clock):
        Faults(sandbox).silence(of="create")
        began = clock.time
        order = SmartTradeOrder.smart_trade(
            account_id=PAPER_ACCOUNT.id, pair=PAIR, units="0.01", stop_loss=stop_loss(50000)
        )
        with pytest.raises(OutcomeUnknownError):
            await clock.run(client.smart_trades.create(order))
        assert 30 <= clock.time - began < 32  # aiohttp rounds long timeouts up to a whole second.
        assert len(sandbox.ledger.orders(action="create")) == 1


async def test_the_timeout_of_a_stop_passes_by_hand() -> None:
    async with stage() as (sandbox, client, clock):
        market = Market(sandbox)
        market.set(PAIR, 60000)
        order = SmartTradeOrder.smart_trade(
            account_id=PAPER_ACCOUNT.id, pair=PAIR, units="0.01", stop_loss=stop_loss(58000, timeout=600)
        )
        trade = await client.smart_trades.create(order)
        await clock.advance(10)
        market.set(PAIR, 57000)
        await clock.advance(595)
        assert (await client.smart_trades.get(trade.id)).is_open
        await clock.advance(10)
        ended = await client.smart_trades.get(trade.id)
        assert ended.status.code == "stop_loss_finished"


async def test_a_ban_passes_for_the_client_too() -> None:
    async with stage(trades=1) as (sandbox, client, clock):
        Faults(sandbox).ban()
        with pytest.raises(BannedError):
            await client.smart_trades.list()
        await clock.advance(minutes=1, seconds=55)
        with pytest.raises(BannedError, match="nothing was sent"):
            await client.smart_trades.list()
        await clock.advance(10)
        assert len(await client.smart_trades.list()) == 1


async def test_a_pause_after_a_429_passes_for_client_and_sandbox() -> None:
    async with stage(trades=1) as (sandbox, client, clock):
        Faults(sandbox).lock_out()
        began = clock.time
        patient = client.with_options(max_wait=math.inf)
        assert len(await clock.run(patient.smart_trades.list())) == 1
        assert clock.time - began == pytest.approx(301, abs=2)
        assert sandbox.refused == 1


async def test_seconds_are_the_loops_and_a_faster_sandbox_goes_as_much_further() -> None:
    async with stage(time_scale=20) as (sandbox, _, clock):
        sandbox.exchange.seed(1)
        before = sandbox._clock()
        await clock.advance(60)
        assert sandbox._clock() - before == pytest.approx(60, abs=1)


async def test_a_run_returns_raises_and_gives_up_as_the_work_does() -> None:
    clock = Clock()

    async def fail() -> None:
        await asyncio.sleep(60)
        raise LookupError("nothing there")

    assert await clock.run(asyncio.sleep(3600, "slept")) == "slept"
    with pytest.raises(LookupError, match="nothing there"):
        await clock.run(fail())
    task = asyncio.create_task(asyncio.sleep(101))
    with pytest.raises(TimeoutError, match="not done within 100 s of the moved clock"):
        await clock.run(task, within=100)
    assert task.cancelled()


async def test_a_run_waits_in_real_time_where_no_timer_is_set() -> None:
    clock = Clock()
    began = clock.time
    await clock.run(asyncio.to_thread(time.sleep, 0.02))
    assert 0.02 <= clock.time - began < 10


async def test_a_timer_that_was_cancelled_is_none() -> None:
    asyncio.get_running_loop().call_later(1e6, print).cancel()
    await Clock().run(asyncio.to_thread(time.sleep, 0.02), within=100)


async def test_a_cancelled_run_cancels_the_work() -> None:
    clock = Clock()
    work = asyncio.create_task(asyncio.Event().wait())
    run = asyncio.create_task(clock.run(work))
    await asyncio.sleep(0.01)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert work.cancelled()


async def test_two_clocks_of_a_loop_are_one_and_time_never_goes_back() -> None:
    first = Clock()
    await first.advance(hours=1)
    at = first.time
    moved = asyncio.get_running_loop().time
    second = Clock()
    assert asyncio.get_running_loop().time is moved
    assert 0 <= second.time - at < 10
    await second.advance(hours=1)
    assert first.time - at == pytest.approx(3600, abs=10)


@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan])
async def test_time_passes_forwards_and_ends(seconds: float) -> None:
    with pytest.raises(ValueError, match="time cannot pass by"):
        await Clock().advance(seconds)


def test_a_loop_that_is_not_asyncios_is_refused_with_what_to_do_instead() -> None:
    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"clock of a uvloop event loop .* sandbox\.advance\(\)"):
            Clock()

    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def test_the_hour_of_the_risk_limits_and_the_count_of_open_trades_move_with_it() -> None:
    limits = RiskLimits(max_quote_per_hour=100, max_open_trades=1)
    order = SmartTradeOrder.simple_buy(
        account_id=PAPER_ACCOUNT.id, pair="USDT_DOGE", units=1000, order_type="limit", price="0.1"
    )
    async with (
        Sandbox(time_scale=1) as sandbox,
        ThreeCommas(**sandbox.credentials(risk=limits)) as client,
    ):
        clock = Clock(sandbox)
        trade = await client.smart_trades.create(order)
        await clock.advance(minutes=1)
        await client.smart_trades.cancel(trade.id)
        await clock.advance(minutes=58)
        with pytest.raises(RiskLimitError, match="max_quote_per_hour"):
            await client.smart_trades.create(order)
        await clock.advance(minutes=2)
        await client.smart_trades.create(order)
