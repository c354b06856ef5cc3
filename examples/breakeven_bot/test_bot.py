"""Tests of a bot against the sandbox: prices, hours and faults are moved by hand, and nothing waits.

``pip install -e '.[testing]'``, then ``python -m pytest examples/breakeven_bot``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from bot import run

from threecommas_async import SmartTrade, SmartTradeOrder, ThreeCommas, stop_loss, take_profit, target

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from threecommas_async.sandbox import Sandbox
    from threecommas_async.testing import Clock, Faults, Market

pytest_plugins = ["threecommas_async.testing"]
pytestmark = pytest.mark.asyncio  # Not needed in the mode "auto" of pytest-asyncio.
PAIR = "USDT_BTC"


@pytest_asyncio.fixture
async def trade(
    market: Market, client: ThreeCommas, clock: Clock, request: pytest.FixtureRequest
) -> AsyncIterator[SmartTrade]:
    """A long with a stop 5 % below, and the bot at work."""
    market.set(PAIR, 60000)
    order = SmartTradeOrder.smart_trade(
        account_id=32199203,
        pair=PAIR,
        units="0.01",
        take_profit=take_profit(target(65000, volume=50), target(70000, volume=50)),
        stop_loss=getattr(request, "param", stop_loss(57000)),
    )
    opened = await client.smart_trades.create(order)
    bot = asyncio.create_task(run(client))
    await clock.advance(minutes=5)
    yield opened
    bot.cancel()


async def test_a_winner_does_not_become_a_loser(
    trade: SmartTrade, sandbox: Sandbox, market: Market, clock: Clock
) -> None:
    market.move(PAIR, percent=3)
    await clock.advance(minutes=2)
    market.set(PAIR, 60000)
    await clock.advance(seconds=10)
    assert sandbox.exchange.trades[trade.id].status == "stop_loss_finished"


async def test_a_stop_is_moved_once_whatever_becomes_of_the_answer(
    trade: SmartTrade, sandbox: Sandbox, market: Market, clock: Clock, faults: Faults
) -> None:
    faults.lose_answer(of="update")
    market.move(PAIR, percent=3)
    await clock.advance(hours=1)
    assert len(sandbox.ledger.orders(action="update", smart_trade_id=trade.id)) == 1


@pytest.mark.parametrize(
    "trade",
    [
        stop_loss(57000, timeout=60),
        stop_loss(57000, limit_price=56900),
        stop_loss(57000, watch="bid"),
        stop_loss(57000, trailing=5),
        stop_loss(57000, breakeven=True),
    ],
    ids=["timeout", "limit", "bid", "trailing", "breakeven"],
    indirect=True,
)
async def test_a_stop_of_which_the_update_would_drop_something_is_left_alone(
    trade: SmartTrade, sandbox: Sandbox, market: Market, clock: Clock
) -> None:
    market.move(PAIR, percent=3)
    await clock.advance(minutes=5)
    assert sandbox.exchange.trades[trade.id].status == "waiting_targets"
    assert not sandbox.ledger.orders(action="update")
