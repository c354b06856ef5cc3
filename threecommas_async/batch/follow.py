"""Finding many trades, and following them, with list pages instead of a request for each."""

from __future__ import annotations

import asyncio
import reprlib
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from threecommas_async.batch.engine import is_duration
from threecommas_async.batch.items import check_iterable, read_item
from threecommas_async.errors import (
    DecodeError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    ThreeCommasError,
    TransportError,
    WaitTimeoutError,
)
from threecommas_async.models.smart_trade import SmartTrade
from threecommas_async.walk import PAGE_SIZE, pages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from collections.abc import Set as AbstractSet

    from threecommas_async.limits import RateLimit
    from threecommas_async.models.decoding import Page

_SHARE: Final = 0.45
"""Share of the request limit that polling may take: half of what is not reserved for exits."""


class Calls(Protocol):
    """The calls that finding trades needs."""

    async def get(self, id: int, /) -> SmartTrade: ...

    @property
    def list(self) -> Callable[..., Awaitable[Page[SmartTrade]]]: ...


class Found(NamedTuple):
    """Trades that were looked for.

    Args:
        trades: Those that were found, by id.
        requests: Requests that it took, failed ones included.
        problems: Why the others could not be read, by id.
    """

    trades: dict[int, SmartTrade]
    requests: int
    problems: dict[int, ThreeCommasError]


async def find(calls: Calls, ids: AbstractSet[int]) -> Found:
    """Read trades with few requests."""
    active = await find_active(calls, ids)
    ended = await find_ended(calls, ids - active.trades.keys() - active.problems.keys())
    return Found(
        active.trades | ended.trades, active.requests + ended.requests, active.problems | ended.problems
    )


async def find_active(calls: Calls, ids: AbstractSet[int], *, pages_before: int = 1) -> Found:
    """Find trades in the list of active ones; one by one where that is not dearer.

    A trade that is missing there need not have ended: what ends moves others to a page that was read before.

    Args:
        calls: The calls.
        ids: The trades.
        pages_before: Pages that the list had.
    """
    if len(ids) <= pages_before:
        return await _read_singly(calls, ids)
    found: dict[int, SmartTrade] = {}
    number = 0
    async with aclosing(pages(calls.list, status="active")) as active:
        async for page in active:
            number += 1
            found |= {trade.id: trade for trade in page if trade.id in ids}
            if len(found) == len(ids):
                break
    return Found(found, number, {})


async def find_ended(calls: Calls, ids: AbstractSet[int]) -> Found:
    """Read trades that have ended lately: by pages of recent changes while these pay, then one by one."""
    found: dict[int, SmartTrade] = {}
    number = 0
    if len(ids) > 1:
        async with aclosing(pages(calls.list, status="all", order_by="updated_at")) as recent:
            async for page in recent:
                number += 1
                new = {trade.id: trade for trade in page if trade.id in ids and trade.id not in found}
                found |= new
                if not new or len(found) >= len(ids) - 1:
                    break
    rest = await _read_singly(calls, ids - found.keys())
    return Found(found | rest.trades, number + rest.requests, rest.problems)


async def _read_singly(calls: Calls, ids: AbstractSet[int]) -> Found:
    found: dict[int, SmartTrade] = {}
    problems: dict[int, ThreeCommasError] = {}
    for id in ids:
        try:
            found[id] = await calls.get(id)
        except (DecodeError, NotFoundError) as problem:
            problems[id] = problem
    return Found(found, len(ids), problems)


async def until(
    calls: Calls,
    trades: Iterable[int | str | SmartTrade],
    is_there: Callable[[SmartTrade], bool],
    *,
    limit: RateLimit,
    timeout: float,
    poll_every: float,
) -> dict[int, SmartTrade]:
    """Poll until all trades have ended or are where they are to be; see ``SmartTrades.wait_for``."""
    for name, seconds in (("timeout", timeout), ("poll_every", poll_every)):
        if not is_duration(seconds):
            raise ValueError(f"{name} must be a positive number of seconds, not {reprlib.repr(seconds)}")
    check_iterable(trades, can_be_async=False)
    reached: dict[int, SmartTrade] = {}
    left: set[int] = set()
    for trade in trades:
        left.add(read_item(trade).id)
        if isinstance(trade, SmartTrade) and trade.is_terminal:
            reached[trade.id] = trade
    left -= reached.keys()
    poll = _Poll(calls, left, reached, is_there)
    clock = asyncio.get_running_loop().time
    ends_at, pause = clock() + timeout, poll_every / 8
    try:
        async with asyncio.timeout(timeout):
            await poll.once(is_last=True)
            while left:
                pause = max(pause, poll.cost * limit.period / (_SHARE * limit.requests))
                if clock() + pause >= ends_at:
                    await poll.once(is_last=True)
                await asyncio.sleep(pause)
                await poll.once()
                pause = min(2 * pause, poll_every)
    except TimeoutError:
        raise WaitTimeoutError(
            f"{len(left)} trades were not there within {timeout:g} s: {reprlib.repr(sorted(left))}",
            reached=reached,
            pending=left,
        ) from poll.problem
    return reached


class _Poll:
    """Looks where trades are.

    How those ended that are no longer active is read for a hundred at once, for all of them when none is
    active any more, and at the last poll.

    Args:
        calls: The calls.
        left: Ids of the trades; those that are there are taken out.
        reached: Where those are put.
        is_there: Whether a trade is where it is to be.
    """

    def __init__(
        self,
        calls: Calls,
        left: set[int],
        reached: dict[int, SmartTrade],
        is_there: Callable[[SmartTrade], bool],
    ) -> None:
        self.cost: int = 1
        self.problem: ThreeCommasError | None = None
        self._calls = calls
        self._left = left
        self._reached = reached
        self._is_there = is_there
        self._gone: set[int] = set()

    async def once(self, *, is_last: bool = False) -> None:
        """Look once; a look that fails is made up for by the next one.

        Raises:
            ThreeCommasError: The next one would fail too; a trade is none of this key.
        """
        self.problem = None
        try:
            await self._look(is_last)
        except (TransportError, ServerError, RateLimitedError, DecodeError) as problem:
            self.problem = problem

    async def _look(self, is_last: bool) -> None:
        asked = self._left - self._gone
        active = await find_active(self._calls, asked, pages_before=self.cost)
        self.cost = active.requests
        self._sort(active)
        self._gone |= asked - active.trades.keys()
        if self._gone and (is_last or self._gone == self._left or len(self._gone) >= PAGE_SIZE):
            ended = await find_ended(self._calls, self._gone)
            self._gone.clear()
            self._sort(ended)

    def _sort(self, found: Found) -> None:
        for id, trade in found.trades.items():
            if trade.is_terminal or self._is_there(trade):
                self._reached[id] = trade
                self._left.discard(id)
        for problem in found.problems.values():
            if isinstance(problem, NotFoundError):
                raise problem
            self.problem = problem
