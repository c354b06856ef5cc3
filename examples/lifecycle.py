"""The life of a long in the sandbox: two targets, a trailing stop, more funds, a step and the rest closed.

Usage: ``python examples/lifecycle.py``. Nothing leaves this machine; the prices are moved by the script.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

from threecommas_async import (
    SmartTrade,
    SmartTradeOrder,
    SmartTradeUpdate,
    ThreeCommas,
    stop_loss,
    take_profit,
    target,
)
from threecommas_async.sandbox import Sandbox

PAIR = "USDT_BTC"


async def main() -> None:
    async with Sandbox(time_scale=100) as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        trades = client.smart_trades
        sandbox.set_price(PAIR, last=60000)

        trade = await trades.create(
            SmartTradeOrder.smart_trade(
                account_id=next(iter(sandbox.exchange.accounts)),
                pair=PAIR,
                units="0.01",
                take_profit=take_profit(target(63000, volume=50), target(66000, volume=50)),
                stop_loss=stop_loss(57000, trailing=5),
                note="opened by examples/lifecycle.py",
            )
        )
        show("ordered", trade)
        trade = await until_open(client, trade.id)
        show("entered", trade)

        # Funds cannot be added while anything trails: the stop becomes a fixed one.
        trade = await trades.update(trade.id, SmartTradeUpdate(stop_loss=stop_loss(58000)))
        show("stop fixed", trade)

        trade = await trades.add_funds(trade.id, units="0.005")
        trade = await until_entered(client, trade.id, Decimal("0.0149"))
        show("funds added", trade)
        for order in await trades.list_trades(trade.id):
            print(f"  order {order.id}: {order.trade_purpose} {order.initial_amount} {order.status}")

        sandbox.set_price(PAIR, last=61000)
        first = trade.take_profit.steps[0].id
        assert first is not None
        trade = await trades.close_trade_by_market(trade.id, first)
        show("first target ordered to close", trade)

        await trades.close_by_market(trade.id)
        ended = await trades.wait_closed([trade.id], timeout=10, poll_every=0.1)
        show("closed", ended[trade.id])
        print(f"realised: {ended[trade.id].profit.volume} USDT")


async def until_open(client: ThreeCommas, id: int) -> SmartTrade:
    while not (trade := await client.smart_trades.get(id)).is_closeable:
        await asyncio.sleep(0.05)
    return trade


async def until_entered(client: ThreeCommas, id: int, amount: Decimal) -> SmartTrade:
    while ((trade := await client.smart_trades.get(id)).data.entered_amount or 0) < amount:
        await asyncio.sleep(0.05)
    return trade


def show(what: str, trade: SmartTrade) -> None:
    data = trade.data
    print(f"{what}: {trade.status.code}, entered {data.entered_amount}, closed {data.closed_amount}")


if __name__ == "__main__":
    asyncio.run(main())
