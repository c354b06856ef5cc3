"""A bot that moves the stop of a long to its entry once the price is 2 % above it.

``test_bot.py`` beside it shows how such a bot is tested. Set ``THREECOMMAS_API_KEY``,
``THREECOMMAS_API_SECRET`` and ``THREECOMMAS_MODE``, then ``python examples/breakeven_bot/bot.py``.
"""

from __future__ import annotations

import asyncio
import logging
from decimal import ROUND_UP, Decimal

from threecommas_async import SmartTrade, SmartTradeUpdate, ThreeCommas, ThreeCommasError, stop_loss

AHEAD = Decimal("1.02")
EVERY = 60.0
log = logging.getLogger("breakeven_bot")


def breakeven(trade: SmartTrade) -> Decimal | None:
    """Return where the stop of a trade belongs now; None where it is right, or not the bot's."""
    last, entry = trade.data.current_price.last, trade.data.average_enter_price
    stop = trade.stop_loss.conditional
    if not (trade.is_open and trade.is_filled and trade.side == "buy" and trade.stop_loss.enabled):
        return None
    if last is None or entry is None or stop.price.value is None or stop.trailing.enabled:
        return None
    entry = entry.quantize(last, ROUND_UP)
    return entry if stop.price.value < entry and last >= entry * AHEAD else None


async def look(client: ThreeCommas) -> None:
    """Move every stop that is due. A lost answer costs nothing: the next look sees what became of it."""
    async for trade in client.smart_trades.iterate(status="active"):
        if (price := breakeven(trade)) is None:
            continue
        try:
            await client.smart_trades.update(trade.id, SmartTradeUpdate(stop_loss=stop_loss(price)))
            log.info("%s of %s: stop moved to %s", trade.id, trade.pair, price)
        except ThreeCommasError as problem:
            log.warning("%s of %s: %s", trade.id, trade.pair, problem)


async def run(client: ThreeCommas) -> None:
    while True:
        try:
            await look(client)
        except ThreeCommasError as problem:
            log.warning("looking again in %g s: %s", EVERY, problem)
        await asyncio.sleep(EVERY)


async def main() -> None:
    logging.basicConfig(level=logging.INFO)
    async with ThreeCommas.from_env() as client:
        await run(client)


if __name__ == "__main__":
    asyncio.run(main())
