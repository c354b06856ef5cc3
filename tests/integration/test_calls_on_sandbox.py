"""Every call of the SmartTrade API through the client, with prices that the tests move."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from threecommas_async import (
    InvalidRequestError,
    NotFoundError,
    OrderStopLoss,
    PermissionDeniedError,
    PlanLimitError,
    SmartTrade,
    SmartTradeOrder,
    SmartTradeUpdate,
    ThreeCommas,
    stop_loss,
    take_profit,
    target,
    trigger,
)
from threecommas_async.endpoints import Permission
from threecommas_async.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PAIR = "USDT_BTC"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(time_scale=200) as sandbox:
        sandbox.set_price(PAIR, last=60000)
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[ThreeCommas]:
    async with ThreeCommas(**sandbox.credentials()) as client:
        yield client


def account_id(sandbox: Sandbox) -> int:
    return next(iter(sandbox.exchange.accounts))


async def until(client: ThreeCommas, id: int, holds: Callable[[SmartTrade], bool]) -> SmartTrade:
    async with asyncio.timeout(60):
        while not holds(trade := await client.smart_trades.get(id)):
            await asyncio.sleep(0.01)
    return trade


async def open_long(sandbox: Sandbox, client: ThreeCommas) -> SmartTrade:
    trade = await client.smart_trades.create(
        SmartTradeOrder.smart_trade(
            account_id=account_id(sandbox),
            pair=PAIR,
            units="0.01",
            take_profit=take_profit(target(63000, volume=50), target(66000, volume=50)),
            stop_loss=stop_loss(57000),
        )
    )
    return await until(client, trade.id, lambda trade: trade.is_closeable)


@pytest.mark.parametrize(
    "kind", ["simple_buy", "simple_sell", "smart_trade", "smart_cover", "smart_sell", "smart_buy"]
)
async def test_each_kind_comes_out_as_it_is_named(kind: str, sandbox: Sandbox, client: ThreeCommas) -> None:
    make: Callable[..., SmartTradeOrder] = getattr(SmartTradeOrder, kind)
    trade = await client.smart_trades.create(make(account_id=account_id(sandbox), pair=PAIR, units="0.01"))
    assert trade.data.type == kind


async def test_targets_close_a_long_step_by_step(sandbox: Sandbox, client: ThreeCommas) -> None:
    trade = await open_long(sandbox, client)
    sandbox.set_price(PAIR, last=63000)
    trade = await until(client, trade.id, lambda trade: trade.data.closed_amount != 0)
    assert trade.is_open
    assert trade.unrealised_profit == trade.profit.volume
    sandbox.set_price(PAIR, last=66000)
    trade = await until(client, trade.id, lambda trade: trade.is_terminal)
    assert trade.status.code == "finished"
    assert trade.data.finished
    assert trade.data.closed_amount == trade.data.entered_amount


async def test_a_stop_ends_a_long(sandbox: Sandbox, client: ThreeCommas) -> None:
    trade = await open_long(sandbox, client)
    sandbox.set_price(PAIR, last=56999)
    trade = await until(client, trade.id, lambda trade: trade.is_terminal)
    assert trade.status.code == "stop_loss_finished"
    assert trade.profit.volume is not None
    assert trade.profit.volume < 0


async def test_the_stop_and_the_targets_can_be_changed(sandbox: Sandbox, client: ThreeCommas) -> None:
    trade = await open_long(sandbox, client)
    ids = [step.id for step in trade.take_profit.steps]
    changed = await client.smart_trades.update(
        trade.id,
        SmartTradeUpdate(take_profit=take_profit(target(70000)), stop_loss=OrderStopLoss(enabled=False)),
    )
    assert [step.price.value for step in changed.take_profit.steps] == [Decimal(70000)]
    assert changed.take_profit.steps[0].id not in ids
    assert changed.stop_loss.enabled is False


async def test_funds_can_be_added_and_given_up(sandbox: Sandbox, client: ThreeCommas) -> None:
    trade = await open_long(sandbox, client)
    entered = trade.data.entered_amount
    assert entered is not None
    await client.smart_trades.add_funds(trade.id, units="0.005")
    trade = await until(client, trade.id, lambda trade: (trade.data.entered_amount or 0) > entered)
    info = await client.smart_trades.reduce_funds_info(trade.id)
    assert 0 < info.max_reduce_funds_amount <= (trade.data.entered_amount or 0)
    reduced = await client.smart_trades.reduce_funds(trade.id, units="0.002")
    assert reduced.status.code == "pending_reduce_funds"
    assert reduced.reduce_funds.steps[0].units.value == Decimal("0.002")
    trade = await until(client, trade.id, lambda trade: trade.status.code == "waiting_targets")
    purposes = {order.trade_purpose for order in await client.smart_trades.list_trades(trade.id)}
    assert purposes == {"position", "take_profit", "stop_loss", "reduce_funds"}


async def test_a_note_is_replaced_and_comes_back_raw_and_escaped(
    sandbox: Sandbox, client: ThreeCommas
) -> None:
    trade = await open_long(sandbox, client)
    noted = await client.smart_trades.set_note(trade.id, "a & b")
    assert (noted.note_raw, noted.note) == ("a & b", "a &amp; b")


async def test_a_limit_entry_waits_and_can_be_forced_or_processed(
    sandbox: Sandbox, client: ThreeCommas
) -> None:
    def order() -> SmartTradeOrder:
        return SmartTradeOrder.smart_trade(
            account_id=account_id(sandbox), pair=PAIR, units="0.01", order_type="limit", price=50000
        )

    for call in (client.smart_trades.force_start, client.smart_trades.force_process):
        trade = await client.smart_trades.create(order())
        await until(client, trade.id, lambda trade: trade.position.status.code == "order_placed")
        await call(trade.id)
        assert (await until(client, trade.id, lambda trade: trade.is_filled)).is_closeable


async def test_a_conditional_entry_waits_for_its_price(sandbox: Sandbox, client: ThreeCommas) -> None:
    trade = await client.smart_trades.create(
        SmartTradeOrder.smart_trade(
            account_id=account_id(sandbox),
            pair=PAIR,
            units="0.01",
            order_type="conditional",
            conditional=trigger(61000, watch="last"),
        )
    )
    trade = await until(client, trade.id, lambda trade: trade.status.code == "waiting_position")
    assert not trade.is_filled
    sandbox.set_price(PAIR, last=61000)
    assert (await until(client, trade.id, lambda trade: trade.is_filled)).is_closeable


async def test_cancelling_the_last_target_cancels_the_trade(sandbox: Sandbox, client: ThreeCommas) -> None:
    trade = await open_long(sandbox, client)
    for step in trade.take_profit.steps:
        assert step.id
        await client.smart_trades.cancel_trade(trade.id, step.id)
    assert (await until(client, trade.id, lambda trade: trade.is_terminal)).status.code == "cancelled"


async def test_calls_in_a_wrong_state_are_refused(sandbox: Sandbox, client: ThreeCommas) -> None:
    trade = await open_long(sandbox, client)
    trades = client.smart_trades
    with pytest.raises(InvalidRequestError):
        await trades.force_start(trade.id)
    await trades.close_by_market(trade.id)
    for call in (
        trades.update(trade.id, SmartTradeUpdate(stop_loss=stop_loss(50000))),
        trades.add_funds(trade.id, units="0.01"),
        trades.reduce_funds(trade.id, units="0.001"),
        trades.reduce_funds_info(trade.id),
        trades.close_by_market(trade.id),
    ):
        with pytest.raises(InvalidRequestError):
            await call


async def test_calls_on_what_is_not_there_are_not_found(client: ThreeCommas) -> None:
    trades = client.smart_trades
    for call in (
        trades.update(5, SmartTradeUpdate(stop_loss=stop_loss(50000))),
        trades.add_funds(5, units=1),
        trades.reduce_funds(5, units=1),
        trades.reduce_funds_info(5),
        trades.set_note(5, "a note"),
        trades.force_process(5),
        trades.list_trades(5),
        trades.cancel_trade(5, 6),
        trades.close_trade_by_market(5, 6),
    ):
        with pytest.raises(NotFoundError):
            await call


async def test_a_key_can_do_what_it_is_allowed_to_and_its_plan_includes(sandbox: Sandbox) -> None:
    async with ThreeCommas(**sandbox.credentials(permissions={Permission.SMART_TRADES_READ})) as reader:
        assert len(await reader.smart_trades.list()) == 0
        with pytest.raises(PermissionDeniedError, match="SMART_TRADES_WRITE"):
            await reader.smart_trades.reduce_funds_info(5)
    no_reads = sandbox.credentials(plan_allows=["write"])
    async with ThreeCommas(**no_reads) as writer:
        before = sandbox.requests
        with pytest.raises(PlanLimitError):
            await writer.smart_trades.list()
        assert sandbox.requests == before + 1
