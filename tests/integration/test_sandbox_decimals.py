"""The sandbox reckons alike, whatever the decimal context is in which it is made and told what to do."""

from __future__ import annotations

from decimal import Context, FloatOperation, Inexact, InvalidOperation, Overflow, localcontext

import pytest

from threecommas_async import ThreeCommas
from threecommas_async.sandbox import EVERY_STATUS, PAPER_ACCOUNT, Sandbox
from threecommas_async.testing import Market


async def answers(context: Context) -> list[object]:
    with localcontext(context):
        async with (
            Sandbox(trades=30, statuses=EVERY_STATUS, seed=3, time_scale=1) as sandbox,
            ThreeCommas(**sandbox.credentials()) as client,
        ):
            sandbox.set_price("USDT_BTC", last="60000.01")
            Market(sandbox).move("USDT_DOGE", percent="-2.5")
            trades = await client.smart_trades.list(order_by="created_at")
            return [
                *((trade.position, trade.profit, trade.data.current_price) for trade in trades),
                *await client.accounts.balances(PAPER_ACCOUNT.id),
                *[await client.market_data.currency_rates("binance", p) for p in ("USDT_BTC", "USDT_DOGE")],
            ]


@pytest.mark.parametrize(
    "context",
    [
        Context(prec=3),
        Context(prec=3, Emax=9, Emin=-9, traps=[Inexact, InvalidOperation, Overflow, FloatOperation]),
        Context(prec=3, traps=[]),
    ],
    ids=["short", "tight", "lax"],
)
async def test_the_answers_do_not_depend_on_the_decimal_context(context: Context) -> None:
    expected = await answers(Context(prec=28))
    assert len(expected) > 32
    assert await answers(context) == expected
