"""Following trades to their end with list pages."""

from __future__ import annotations

import asyncio
import reprlib
from typing import TYPE_CHECKING, Protocol

from threecommas_async.batch import read_item
from threecommas_async.errors import NotEndedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable
    from typing import Literal

    from threecommas_async.models.smart_trade import SmartTrade


class FollowingCalls(Protocol):
    """The calls that following needs."""

    async def get(self, id: int, /) -> SmartTrade: ...
    def iterate(self, *, status: Literal["all"]) -> AsyncIterable[SmartTrade]: ...


async def until_ended(
    calls: FollowingCalls, trades: Iterable[int | SmartTrade], *, timeout: float, poll_every: float
) -> dict[int, SmartTrade]:
    """Poll until all trades have ended; see ``SmartTrades.wait_closed``."""
    for name, seconds in (("timeout", timeout), ("poll_every", poll_every)):
        if not (isinstance(seconds, int | float) and seconds > 0):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise ValueError(f"{name} must be a positive number of seconds, not {seconds!r}")
    items = [read_item(item) for item in trades]
    ended = {id: trade for id, trade in items if trade and trade.is_terminal}
    left = {id for id, _ in items} - ended.keys()
    pause = poll_every / 8
    try:
        async with asyncio.timeout(timeout):
            while left:
                found = await _look_up(calls, left)
                ended |= {trade.id: trade for trade in found if trade.is_terminal}
                left -= ended.keys()
                if left:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, poll_every)
    except TimeoutError:
        raise NotEndedError(
            f"{len(left)} trades have not ended within {timeout:g} s: {reprlib.repr(sorted(left))}",
            ended=ended,
            pending=left,
        ) from None
    return ended


async def _look_up(calls: FollowingCalls, ids: set[int]) -> list[SmartTrade]:
    found: dict[int, SmartTrade] = {}
    async for trade in calls.iterate(status="all"):
        if trade.id in ids:
            found[trade.id] = trade
        if len(found) == len(ids):
            break
    return [*found.values(), *[await calls.get(missing) for missing in ids - found.keys()]]
