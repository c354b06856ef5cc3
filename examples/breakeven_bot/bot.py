"""A bot for every long that has a plain market stop: 2 % above the entry it moves the stop there.

``test_bot.py`` beside it shows how such a bot is tested. Set ``THREECOMMAS_API_KEY``,
``THREECOMMAS_API_SECRET`` and ``THREECOMMAS_MODE``, then ``python examples/breakeven_bot/bot.py``.
"""

from __future__ import annotations

import asyncio
import logging
from decimal import ROUND_UP, Decimal

from threecommas_async import SmartTrade, SmartTradeUpdate, StopLoss, ThreeCommas, ThreeCommasError, stop_loss

AHEAD = Decimal("1.02")
EVERY = 60.0
log = logging.getLogger("breakeven_bot")


def breakeven(trade: SmartTrade) -> Decimal | None:
    """Return where the stop of a trade belongs now; None where it is right, or not the bot's."""
    last, entry = trade.data.current_price.last, trade.data.average_enter_price
    stop = trade.stop_loss.conditional
    if not (trade.is_open and trade.is_filled and trade.side == "buy" and trade.stop_loss.enabled):
        return None
    if last is None or entry is None or stop.price.value is None or not is_plain(trade.stop_loss):
        return None
    entry = entry.quantize(last, ROUND_UP)
    return entry if stop.price.value < entry and last >= entry * AHEAD else None


def is_plain(stop: StopLoss) -> bool:
    """Whether ``stop_loss(price)`` says all of a stop; of any other the update would drop the rest."""
    trigger = stop.conditional
    extras = stop.timeout.enabled or stop.breakeven or trigger.trailing.enabled
    return stop.order_type == "market" and trigger.price.type == "last" and not extras


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
