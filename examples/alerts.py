"""Chat commands as a Telegram bot gets them, without the network: a text comes in, a text goes out.

``/status`` says what is open, ``/close USDT_DOGE`` closes a pair, ``/closeall`` closes all positions, and
``/panic`` cancels waiting entries too. Usage: ``python examples/alerts.py`` plays a chat in the sandbox.
In earnest, look first at who sends: these commands close everything.
"""

import asyncio
from collections.abc import Callable

from threecommas_async import Outcome, SmartTrade, ThreeCommas, ThreeCommasError
from threecommas_async.sandbox import Sandbox


async def answer(text: str, client: ThreeCommas, say: Callable[[str], object]) -> str:
    """Carry out a command; ``say`` takes progress and returns at once, as ``Queue.put_nowait`` does."""

    async def close(pair: str | None = None, predicate: Callable[[SmartTrade], bool] | None = None) -> str:
        close_all = client.smart_trades.close_all
        return str(await close_all(pair=pair, predicate=predicate, order="loss", on_progress=progress))

    def progress(done: int, total: int | None, outcome: Outcome) -> None:
        if done % 10 == 0 or not outcome.ok:
            say(f"{done} of {total}: {outcome}")

    try:
        match text.split():
            case ["/status"]:
                return await status(client)
            case ["/close", pair]:
                return await close(pair.upper())
            case ["/closeall"]:
                return await close(predicate=lambda trade: trade.is_filled)
            case ["/panic"]:
                return await close()
            case _:
                return "/status, /close PAIR, /closeall or /panic"
    except (ThreeCommasError, ValueError) as error:  # ValueError: a pair that can be none.
        return f"{type(error).__name__}: {error}"


async def status(client: ThreeCommas) -> str:
    walk = client.smart_trades.iterate(status="active")
    trades = [trade async for trade in walk if trade.is_open]
    lines = [f"{trade.pair}: {trade.unrealised_profit or trade.status.code}" for trade in trades]
    free = client.limits.snapshot().free
    return "\n".join([*lines, f"{len(trades)} open, {len(walk.malformed)} unreadable, {free} requests free"])


async def demo() -> None:
    market = Sandbox(trades=25, statuses=("waiting_targets", "waiting_position"))
    async with market as sandbox, ThreeCommas(**sandbox.credentials()) as client:
        for text in ("/help", "/status", "/close usdt_doge", "/closeall", "/panic", "/status"):
            print(">", text)
            print(await answer(text, client, say=print))


if __name__ == "__main__":
    asyncio.run(demo())
