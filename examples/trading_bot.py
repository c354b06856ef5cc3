"""A bot that buys when the price turns up, watches its trades, and closes the losers on a bad day.

Usage: ``python examples/trading_bot.py`` trades nine made-up minutes in the sandbox. In earnest, `run` gets
a client from the environment, an account and a price a minute. Ctrl-C stops it; the trades keep their stops.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal

import threecommas_async as tc
from threecommas_async.sandbox import Sandbox

PAIR, NAME = "USDT_BTC", "turn-1."  # The references of the bot's trades begin with its name.


async def run(client: tc.ThreeCommas, account_id: int, feed: AsyncIterator[tuple[str, Decimal]]) -> None:
    trades, prices = client.smart_trades, list[Decimal]()
    wanted = dict[str, tc.SmartTradeOrder]()  # By reference: asked for again, it is the same order.
    async for minute, price in feed:
        prices = [*prices[-1439:], price]
        if bad_day := price < max(prices) * 93 / 100:
            wanted.clear()
        elif len(prices) > 2 and prices[-3] > prices[-2] < price:  # The signal: it turns up.
            wanted[NAME + minute] = tc.SmartTradeOrder.smart_trade(
                account_id=account_id, pair=PAIR, units="0.01", stop_loss=tc.stop_loss(price * 85 / 100)
            )
        try:
            walk = trades.iterate(status="active", account_id=account_id, pair=PAIR)
            mine = [trade async for trade in walk if (trade.reference or "").startswith(NAME)]
            print(minute, *(f"{trade.reference}: {trade.unrealised_profit}" for trade in mine))
            if losers := [trade for trade in mine if bad_day and (trade.unrealised_profit or 0) < 0]:
                print(await trades.close_many(losers, order="loss", deadline=50))
            for reference in list(wanted):
                await trades.create(wanted[reference], reference=reference)
                del wanted[reference]
        except tc.ThreeCommasError as error:  # Who holds positions goes on: the next minute tries again,
            print(f"{minute} {error!r}")
            if isinstance(error, tc.InvalidRequestError | tc.PermissionDeniedError):
                wanted.clear()  # yet not what was refused.


async def demo() -> None:
    async def feed() -> AsyncIterator[tuple[str, Decimal]]:
        for minute, price in enumerate((60000, 55000, 56000, 62000, 61000, 62500, 66000, 60500, 60400)):
            sandbox.set_price(PAIR, last=price)
            yield str(minute), Decimal(price)
            await asyncio.sleep(0.1)

    async with Sandbox(time_scale=100) as sandbox, tc.ThreeCommas(**sandbox.credentials()) as client:
        try:
            await run(client, next(iter(sandbox.exchange.accounts)), feed())
        finally:
            print("still to look at:", client.in_flight_unknown() or "nothing")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(demo())
