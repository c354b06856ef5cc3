"""The life of a long: two targets, a trailing stop, more funds, a target closed early, and then the rest.

Usage: ``python examples/lifecycle.py``. It trades in the embedded sandbox: nothing leaves this machine.
"""

import asyncio
from decimal import Decimal

import threecommas_async as tc
from threecommas_async.sandbox import Sandbox


async def main() -> None:
    async with Sandbox(time_scale=100) as sandbox, tc.ThreeCommas(**sandbox.credentials()) as client:
        trades = client.smart_trades
        sandbox.set_price("USDT_BTC", last=60000)
        order = tc.SmartTradeOrder.smart_trade(
            account_id=next(iter(sandbox.exchange.accounts)),
            pair="USDT_BTC",
            units="0.01",
            take_profit=tc.take_profit(tc.target(63000, volume=50), tc.target(66000, volume=50)),
            stop_loss=tc.stop_loss(57000, trailing=5),
        )
        trade = await trades.create(order)
        show("ordered", trade)
        id = trade.id
        trade = (await trades.wait_for([id], lambda it: it.is_filled, timeout=10, poll_every=0.1))[id]
        show("entered", trade)

        # Funds cannot be added while anything trails: the stop becomes a fixed one.
        show("stop fixed", await trades.update(id, tc.SmartTradeUpdate(stop_loss=tc.stop_loss(58000))))

        await trades.add_funds(id, units="0.005")
        trade = (await trades.wait_for([id], has_more, timeout=10, poll_every=0.1))[id]
        show("funds added", trade)
        for placed in await trades.list_trades(id):
            print(f"  order {placed.id}: {placed.trade_purpose} {placed.initial_amount} {placed.status}")

        sandbox.set_price("USDT_BTC", last=61000)
        if first := trade.take_profit.steps[0].id:
            show("first target ordered to close", await trades.close_trade_by_market(id, first))

        await trades.close_by_market(id)
        trade = (await trades.wait_closed([id], timeout=10, poll_every=0.1))[id]
        show("closed", trade)
        print(f"realised: {trade.profit.volume} USDT")


def has_more(trade: tc.SmartTrade) -> bool:
    return (trade.data.entered_amount or 0) > Decimal("0.01")


def show(what: str, trade: tc.SmartTrade) -> None:
    data = trade.data
    print(f"{what}: {trade.status.code}, entered {data.entered_amount}, closed {data.closed_amount}")


if __name__ == "__main__":
    asyncio.run(main())
