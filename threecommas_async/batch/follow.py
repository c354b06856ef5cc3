"""Finding many trades, and following them, with list pages instead of a request for each."""

from __future__ import annotations

import asyncio
import reprlib
from contextlib import aclosing
from math import ceil
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from msgspec import Struct

from threecommas_async.batch.items import check_iterable, each, read_item
from threecommas_async.batch.options import is_duration
from threecommas_async.batch.predicate import holds
from threecommas_async.endpoints import PAGE_SIZE
from threecommas_async.errors import (
    DecodeError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    ThreeCommasError,
    TransportError,
    WaitTimeoutError,
)
from threecommas_async.limits import RESERVED
from threecommas_async.models.smart_trade import SmartTrade
from threecommas_async.models.text import counted
from threecommas_async.walk import pages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from collections.abc import Set as AbstractSet

    from threecommas_async.batch.predicate import Predicate
    from threecommas_async.limits import RateLimit
    from threecommas_async.models.decoding import Page

_SHARE: Final = (1 - 1 / RESERVED) / 2
"""Share of the request limit that polling may take: half of what is not reserved for exits."""


See: TypeAlias = "Callable[[SmartTrade], object]"


class Calls(Protocol):
    """The calls that finding trades needs."""

    async def get(self, id: int, /) -> SmartTrade: ...

    @property
    def list(self) -> Callable[..., Awaitable[Page[SmartTrade]]]: ...


class Found(Struct, frozen=True):
    """What a search for trades came to.

    Args:
        ids: Those that were found.
        requests: Requests that it took, failed ones included.
        problems: Why others could not be read, by id.
    """

    ids: set[int]
    requests: int
    problems: dict[int, ThreeCommasError]


async def find(calls: Calls, ids: AbstractSet[int], see: See) -> Found:
    """Read trades with few requests; each is shown to ``see``."""
    active = await find_active(calls, ids, see)
    ended = await find_ended(calls, ids - active.ids - active.problems.keys(), see)
    return Found(active.ids | ended.ids, active.requests + ended.requests, active.problems | ended.problems)


async def find_active(
    calls: Calls,
    ids: AbstractSet[int],
    see: See,
    *,
    others: AbstractSet[int] = frozenset(),
    pages_before: int = 1,
) -> Found:
    """Find trades in the list of active ones; one by one where that is not dearer.

    Of the list no more pages are read than there are trades.
    A trade that is missing there need not have ended: what ends moves others to a page that was read before.

    Args:
        calls: The calls.
        ids: The trades.
        see: Is shown each of them that is found.
        others: Trades that are shown as well where they come along.
        pages_before: Pages that the list had.
    """
    if len(ids) <= pages_before:
        return await _read_singly(calls, ids, see)
    found: set[int] = set()
    number = 0
    async with aclosing(pages(calls.list, status="active", order_by="created_at")) as active:
        async for page in active:
            number += 1
            found |= _show(page, ids, see, others)
            if len(found) == len(ids) or number == len(ids):
                break
    return Found(found, number, {})


async def find_ended(
    calls: Calls, ids: AbstractSet[int], see: See, *, others: AbstractSet[int] = frozenset()
) -> Found:
    """Read trades that have ended lately: by pages of recent changes while these pay, then one by one.

    Pages pay as long as no more of them show no end of any of the trades than a page for each hundred.

    Args:
        calls: The calls.
        ids: The trades.
        see: Is shown each of them.
        others: Trades that are shown as well where they come along.
    """
    found: set[int] = set()
    number = 0
    in_vain_at_most, in_vain = ceil(len(ids) / PAGE_SIZE), 0
    if len(ids) > 1:
        async with aclosing(pages(calls.list, status="all", order_by="updated_at")) as recent:
            async for page in recent:
                number += 1
                shows_end = any(trade.is_terminal and trade.id in others for trade in page)
                shown = _show(page, ids - found, see, others)
                found |= shown
                in_vain += not (shown or shows_end)
                if in_vain == in_vain_at_most or len(found) >= len(ids) - 1:
                    break
    rest = await _read_singly(calls, ids - found, see)
    return Found(found | rest.ids, number + rest.requests, rest.problems)


def _show(page: Iterable[SmartTrade], ids: AbstractSet[int], see: See, others: AbstractSet[int]) -> set[int]:
    """Show those trades of a page that were asked for, and others; return the ids of the former."""
    shown: set[int] = set()
    for trade in page:
        if trade.id in ids:
            shown.add(trade.id)
        elif trade.id not in others:
            continue
        see(trade)
    return shown


async def _read_singly(calls: Calls, ids: AbstractSet[int], see: See) -> Found:
    found: set[int] = set()
    problems: dict[int, ThreeCommasError] = {}
    for id in ids:
        try:
            see(await calls.get(id))
            found.add(id)
        except (DecodeError, NotFoundError) as problem:
            problems[id] = problem
    return Found(found, len(ids), problems)


async def until(
    calls: Calls,
    trades: Iterable[int | str | SmartTrade],
    is_there: Predicate | None,
    *,
    limit: RateLimit,
    timeout: float,
    poll_every: float,
) -> dict[int, SmartTrade]:
    """Poll until all trades have ended or are where they are to be; see ``SmartTrades.wait_for``.

    None in place of ``is_there`` waits for their end.
    """
    check_iterable(trades, can_be_async=False)
    reached: dict[int, SmartTrade] = {}
    left: set[int] = set()
    async for trade in each(trades):
        left.add(read_item(trade).id)
        if isinstance(trade, SmartTrade) and trade.is_terminal:
            reached[trade.id] = trade

    def take(trade: SmartTrade) -> None:
        reached[trade.id] = trade

    try:
        await follow(
            calls,
            left - reached.keys(),
            is_there or (lambda _: False),
            take,
            limit=limit,
            timeout=timeout,
            poll_every=poll_every,
            missed="had not ended" if is_there is None else _unmet(is_there),
        )
    except WaitTimeoutError as late:
        late.reached = reached
        raise
    return reached


async def follow(
    calls: Calls,
    ids: set[int],
    is_there: Predicate,
    take: See,
    *,
    limit: RateLimit,
    timeout: float,
    poll_every: float,
    must_exist: bool = True,
    missed: str = "were not there",
) -> None:
    """Poll until all trades have ended or are where they are to be.

    Args:
        calls: The calls.
        ids: The trades.
        is_there: Whether a trade is where it is to be.
        take: Is given each trade that is there, or has ended.
        limit: The request limit that is kept.
        timeout: Seconds after which to give up.
        poll_every: Seconds between two polls.
        must_exist: A trade that is none of this key is an error; otherwise it is followed no more.
        missed: What the error says of those that were not there in time.

    Raises:
        ValueError: A time is not positive.
        NotFoundError: A trade that must exist does not.
        WaitTimeoutError: Some were not there in time.
    """
    for name, seconds in (("timeout", timeout), ("poll_every", poll_every)):
        if not is_duration(seconds):
            raise ValueError(f"{name} must be a positive number of seconds, not {reprlib.repr(seconds)}")
    poll = Poll(calls, ids, is_there, take, must_exist=must_exist)
    clock = asyncio.get_running_loop().time
    ends_at, pause = clock() + timeout, poll_every / 8
    try:
        async with asyncio.timeout(timeout):
            await poll.once(is_last=True)
            while poll.left:
                pause = max(pause, pause_after(poll.cost, limit))
                if clock() + pause >= ends_at:
                    await poll.once(is_last=True)
                await asyncio.sleep(pause)
                await poll.once()
                pause = min(2 * pause, poll_every)
    except TimeoutError:
        raise WaitTimeoutError(
            f"{counted(len(poll.left), 'trade')} {missed} within {timeout:g} s: "
            f"{reprlib.repr(sorted(poll.left))}",
            pending=poll.left,
        ) from poll.problem


def pause_after(requests: int, limit: RateLimit) -> float:
    """Return the seconds from a poll to the next one that leave the others their share of the limit."""
    return requests * limit.period / (_SHARE * limit.requests)


def _unmet(predicate: Predicate) -> str:
    name = str(getattr(predicate, "__name__", ""))
    return f"had neither met the predicate{f' {name}' if name.isidentifier() else ''} nor ended"


class Poll:
    """Looks where trades are.

    How those ended that are no longer active is read for a hundred at once that were missing twice, and for
    all of them when none is active any more, and at the last poll.

    Args:
        calls: The calls.
        ids: The trades.
        is_there: Whether a trade is where it is to be.
        take: Is given each trade that is there, or has ended.
        must_exist: A trade that is none of this key is an error.
        cost: Requests that the active ones are thought to take.

    Attributes:
        left: Ids of the others.
        cost: Requests that the active ones took at the last poll.
        problem: Why that poll failed in part or as a whole, if it did.
    """

    def __init__(
        self,
        calls: Calls,
        ids: set[int],
        is_there: Predicate,
        take: See,
        *,
        must_exist: bool,
        cost: int = 1,
    ) -> None:
        self.left: set[int] = set(ids)
        self.cost: int = cost
        self.problem: ThreeCommasError | None = None
        self._calls = calls
        self._is_there = is_there
        self._take = take
        self._must_exist = must_exist
        self._gone: set[int] = set()

    async def once(self, *, is_last: bool = False) -> None:
        """Look once; a look that fails is made up for by the next one.

        Raises:
            ThreeCommasError: The next one would fail too; a trade that must exist is none of this key.
        """
        try:
            self.problem = await self._look(is_last)
        except (TransportError, ServerError, RateLimitedError, DecodeError) as problem:
            self.problem = problem

    async def _look(self, is_last: bool) -> ThreeCommasError | None:
        asked = self.left - self._gone
        active = await find_active(self._calls, asked, self._see, others=self._gone, pages_before=self.cost)
        self.cost = active.requests
        problem = self._unreadable(active)
        gone = set(self._gone)  # Missing twice: once may be a slip from one page to another.
        self._gone |= asked - active.ids - active.problems.keys()
        if is_last or self._gone == self.left - active.problems.keys():
            gone = set(self._gone)
        elif len(gone) < PAGE_SIZE:
            return problem
        ended = await find_ended(self._calls, gone, self._see, others=self.left)
        self._gone -= gone
        return self._unreadable(ended) or problem

    def _unreadable(self, found: Found) -> ThreeCommasError | None:
        """Return why a trade could not be read, if that may pass; see to those that do not exist."""
        unreadable: ThreeCommasError | None = None
        for id, problem in found.problems.items():
            if not isinstance(problem, NotFoundError):
                unreadable = problem
            elif self._must_exist:
                raise problem
            else:
                self.left.discard(id)
        return unreadable

    def _see(self, trade: SmartTrade) -> None:
        self._gone.discard(trade.id)
        if trade.is_terminal or holds(self._is_there, trade):
            self._take(trade)
            self.left.discard(trade.id)
