from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests import virtual_time
from threecommas_async import errors
from threecommas_async.batch import follow
from threecommas_async.limits import GENERAL, STARTER, RateLimit
from threecommas_async.models.decoding import Malformed, Page
from threecommas_async.models.smart_trade import SmartTrade
from threecommas_async.models.status import TERMINAL, Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ANSWER = 0.1
"""Seconds that an answer takes."""


@dataclass(frozen=True)
class Asked:
    """A request: when, what, and how many trades were active then."""

    at: float
    what: str
    active: int


def is_never_there(_trade: SmartTrade) -> bool:
    return False


class Server:
    """Trades that end at given instants, and pages of them, the newest first.

    Args:
        ends: When each trade ends, by id.
    """

    def __init__(self, ends: dict[int, float]) -> None:
        self.ends = ends
        self.asked: list[Asked] = []
        self.malformed: set[int] = set()
        self.unreadable: set[int] = set()
        self.faults: dict[int, Exception] = {}
        """What becomes of requests, by their number from 1."""

    async def get(self, id: int, /) -> SmartTrade:
        await self._answer(f"get {id}")
        if id not in self.ends:
            raise errors.NotFoundError("no such trade")
        if id in self.unreadable:
            raise errors.DecodeError("not what a trade looks like")
        return self._trade(id)

    async def list(self, *, page: int, per_page: int, status: str, order_by: str) -> Page[SmartTrade]:
        await self._answer(f"{status} {page}")
        newest = sorted(self.ends, reverse=True)
        if status == "active":
            ids = [id for id in newest if not self._has_ended(id)]
        else:
            assert order_by == "updated_at"
            changed = {id: self.ends[id] if self._has_ended(id) else -math.inf for id in newest}
            ids = sorted(newest, key=changed.__getitem__, reverse=True)
        ids = ids[(page - 1) * per_page : page * per_page]
        return Page(
            tuple(self._trade(id) for id in ids if id not in self.malformed),
            tuple(Malformed(place, id, "odd") for place, id in enumerate(ids) if id in self.malformed),
        )

    async def _answer(self, what: str) -> None:
        now = asyncio.get_running_loop().time()
        active = sum(1 for id in self.ends if not self._has_ended(id))
        self.asked.append(Asked(now, what, active))
        await asyncio.sleep(ANSWER)
        if fault := self.faults.get(len(self.asked)):
            raise fault

    def _has_ended(self, id: int) -> bool:
        return asyncio.get_running_loop().time() >= self.ends[id]

    def _trade(self, id: int) -> SmartTrade:
        state = StatusCode.PANIC_SOLD if self._has_ended(id) else StatusCode.PANIC_SELL_PENDING
        return SmartTrade(id=id, status=Status(basic_type=state))

    @property
    def kinds(self) -> Counter[str]:
        """How many requests of which kind."""
        return Counter(asked.what.split()[0] for asked in self.asked)


def polls(server: Server) -> list[list[Asked]]:
    """The requests of each poll: between two of them nothing is asked for a while."""
    found: list[list[Asked]] = []
    for asked in server.asked:
        if not found or asked.at - found[-1][-1].at > 2 * ANSWER:
            found.append([])
        found[-1].append(asked)
    return found


def until(
    server: Server,
    trades: Iterable[Any] | None = None,
    is_there: Callable[[SmartTrade], bool] = is_never_there,
    *,
    limit: RateLimit = GENERAL,
    timeout: float = 600.0,
    poll_every: float = 10.0,
) -> dict[int, SmartTrade]:
    return virtual_time.run(
        follow.until(
            server,
            server.ends if trades is None else trades,
            is_there,
            limit=limit,
            timeout=timeout,
            poll_every=poll_every,
        )
    )


def in_turn(count: int) -> list[int]:
    return list(range(1, count + 1))


def newest_first(count: int) -> list[int]:
    return in_turn(count)[::-1]


def anyhow(count: int) -> list[int]:
    return random.Random(count).sample(in_turn(count), count)


@pytest.mark.parametrize("count", [2, 99, 100, 350, 1000])
@pytest.mark.parametrize("seconds", [0.0, 4.0, 60.0, 500.0])
@pytest.mark.parametrize("order", [in_turn, newest_first, anyhow])
@pytest.mark.parametrize("others", [0, 250])
def test_following_costs_a_page_for_a_hundred_active_trades_in_a_poll_and_three_at_the_end(
    count: int, seconds: float, order: Callable[[int], list[int]], others: int
) -> None:
    """The trades end one after the other, from 3 s on; the others never do."""
    ends = {id: 3 + seconds * place / count for place, id in enumerate(order(count), start=1)}
    server = Server(ends | dict.fromkeys(range(count + 1, count + 1 + others), math.inf))
    reached = until(server, ends)
    assert reached.keys() == ends.keys()
    assert all(trade.status.code in TERMINAL for trade in reached.values())
    polling = sum(math.ceil(max(poll[0].active, 1) / 100) for poll in polls(server))
    assert len(server.asked) <= polling + 3 * math.ceil(count / 100), server.kinds


def test_an_active_trade_that_slips_between_two_pages_is_followed_on() -> None:
    """The newest ends between the pages of a poll: the 101st is on the first page by then."""
    server = Server(dict.fromkeys(range(1, 151), 30.0))
    server.ends[150] = ANSWER + ANSWER / 2
    pages: list[Counter[int]] = []
    listed = server.list

    async def watched(**filters: Any) -> Page[SmartTrade]:
        page = await listed(**filters)
        if filters["status"] == "active":
            if filters["page"] == 1:
                pages.append(Counter())
            pages[-1].update(trade.id for trade in page)
        return page

    server.list = watched  # type: ignore[method-assign]
    reached = until(server)
    assert 50 not in pages[0]
    assert len(pages[0]) == 149
    assert {trade.status.code for trade in reached.values()} == {"panic_sold"}
    assert server.asked[-1].at >= 29.9


@pytest.mark.parametrize("others", [0, 3, 120])
def test_a_trade_that_only_a_list_cannot_show_is_read_alone(others: int) -> None:
    server = Server(dict.fromkeys(range(1, others + 2), 20.0))
    server.malformed = {1}
    assert until(server).keys() == server.ends.keys()


def test_a_trade_that_cannot_be_read_at_all_does_not_cost_the_others() -> None:
    server = Server(dict.fromkeys(range(1, 121), 20.0))
    server.malformed = server.unreadable = {7}
    with pytest.raises(errors.WaitTimeoutError) as caught:
        until(server, timeout=60)
    assert caught.value.pending == {7}
    assert caught.value.reached.keys() == server.ends.keys() - {7}
    assert isinstance(caught.value.__cause__, errors.DecodeError)


@pytest.mark.parametrize(
    "fault",
    [errors.TransportError("silence"), errors.ServerError("500"), errors.RateLimitedError("429")],
)
@pytest.mark.parametrize("number", range(1, 9))
def test_a_poll_that_fails_is_made_up_for_by_the_next_one(fault: Exception, number: int) -> None:
    server = Server(dict.fromkeys(range(1, 151), 12.0))
    server.faults = {number: fault}
    assert until(server).keys() == server.ends.keys()
    assert len(server.asked) >= number
    assert server.asked[-1].at < 45


@pytest.mark.parametrize("fault", [errors.AuthenticationError("401"), errors.BannedError("418")])
def test_what_the_next_poll_would_meet_too_is_raised(fault: Exception) -> None:
    server = Server(dict.fromkeys(range(1, 151), 12.0))
    server.faults = {3: fault}
    with pytest.raises(type(fault)):
        until(server)
    assert len(server.asked) == 3


@pytest.mark.parametrize("count", [0, 1, 150])
def test_an_id_that_nothing_has_is_told_at_once(count: int) -> None:
    server = Server(dict.fromkeys(range(1, count + 1), 12.0))
    with pytest.raises(errors.NotFoundError):
        until(server, [*server.ends, 999])
    assert server.asked[-1].at < 1


@pytest.mark.parametrize("timeout", [0.05, 5.0, 15.0, 15.05, 100.0])
def test_a_timeout_holds_those_that_got_there(timeout: float) -> None:
    """Half of them end after 2 s, and none of the others before the timeout."""
    server = Server({id: 2.0 if id % 2 else 1000.0 for id in range(1, 301)})
    with pytest.raises(errors.WaitTimeoutError) as caught:
        until(server, timeout=timeout)
    ended = {id for id in server.ends if id % 2} if timeout > 4 else set[int]()
    assert caught.value.reached.keys() == ended
    assert caught.value.pending == server.ends.keys() - ended
    assert server.asked[-1].at <= timeout


def test_trades_are_followed_until_they_are_where_they_are_to_be() -> None:
    server = Server(dict.fromkeys(range(1, 121), 1000.0))
    there = until(server, is_there=lambda trade: trade.id > 0)
    assert len(there) == 120
    assert len(server.asked) == 2


def test_what_had_ended_when_it_was_read_is_not_asked_for() -> None:
    ended = SmartTrade(id=1, status=Status(basic_type=StatusCode.PANIC_SOLD))
    server = Server({})
    assert until(server, [ended, ended]) == {1: ended}
    assert server.asked == []


def test_an_id_may_come_in_any_form_and_twice() -> None:
    server = Server({7: 2.0})
    assert until(server, [7, "7", "007"]).keys() == {7}


@pytest.mark.parametrize("limit", [STARTER, RateLimit(requests=10, period=60, lockout=60)])
@pytest.mark.parametrize("count", [1, 40, 150, 450])
def test_polls_leave_more_than_half_of_the_limit_to_others(limit: RateLimit, count: int) -> None:
    server = Server(dict.fromkeys(range(1, count + 1), 3000.0))
    until(server, limit=limit, timeout=4000, poll_every=1)
    steady = [poll for poll in polls(server) if 200 < poll[0].at < 2900]
    asked, seconds = sum(map(len, steady)), steady[-1][0].at - steady[0][0].at
    assert asked - len(steady[-1]) <= 0.45 * limit.requests * seconds / limit.period
    gaps = [later[0].at - before[-1].at for before, later in itertools.pairwise(polls(server))]
    assert max(gaps) <= 1.1 * max(1, math.ceil(count / 100) * limit.period / (0.45 * limit.requests)) + ANSWER


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"timeout": True}, {"timeout": "5"}, {"poll_every": -1}, {"poll_every": None}]
)
def test_bad_times_and_ids_are_refused_before_anything_is_asked(options: dict[str, Any]) -> None:
    server = Server({1: 5.0})
    with pytest.raises(ValueError, match="positive number of seconds"):
        until(server, **options)
    for bad in ([-1], [True], ["x"], "1", 1):
        with pytest.raises(ValueError, match=r"not a SmartTrade|such as \[42\]"):
            until(server, bad)  # type: ignore[arg-type]  # pyright: ignore - the bad input
    assert server.asked == []


def test_a_few_trades_among_thousands_are_not_looked_for_on_every_page() -> None:
    server = Server(dict.fromkeys(range(1, 3001), 1000.0))
    seen: list[SmartTrade] = []
    found = virtual_time.run(follow.find(server, {1, 2}, seen.append))
    assert found.ids == {trade.id for trade in seen} == {1, 2}
    assert found.requests == len(server.asked) == 2 + 1 + 2
    server.asked.clear()
    assert until(server, [1, 2], timeout=1100).keys() == {1, 2}
    assert server.kinds["active"] == 2


def test_trades_are_found_by_pages_and_what_they_do_not_show_alone() -> None:
    """230 are active, 20 ended lately, one ended long before 300 others, and one does not exist."""
    server = Server(dict.fromkeys(range(1, 231), 1e9))
    server.ends |= {id: -20.0 - id for id in range(400, 700)} | {700: -5000.0}
    server.ends |= dict.fromkeys(range(301, 321), -1.0)
    ids = {*range(1, 231), *range(301, 321), 700, 999}
    seen: list[SmartTrade] = []
    found = virtual_time.run(follow.find(server, ids, seen.append))
    assert found.ids == {trade.id for trade in seen} == ids - {999}
    assert isinstance(found.problems[999], errors.NotFoundError)
    assert found.requests == len(server.asked) == 3 + 2 + 2
