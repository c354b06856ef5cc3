"""Requests that it takes to close trades and to follow them to their end, through the whole client."""

from __future__ import annotations

import asyncio
import math
import random
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests import virtual_time
from tests.conftest import SAMPLES
from tests.scripted_api import Script, new_session
from threecommas_async import BatchStoppedError, SmartTrades, Verdict
from threecommas_async.limiter import Limiter
from threecommas_async.limits import RateLimit
from threecommas_async.wire import Response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from threecommas_async import BatchReport
    from threecommas_async.wire import Failure, Progress, Request

CLOSED = (SAMPLES / "smart_trades.close_by_market" / "201.json").read_bytes()
ROOMY = RateLimit(requests=100_000, period=60, lockout=300)
FIRST = 2_376_000_000
ANSWER = 0.2
"""Seconds that an answer takes; a poll begins after more than that."""

_ID = re.compile(r"/smart_trades/(\d+)")


class Exchange(Script):
    """Trades that end at random some seconds after their close; the newest has the highest id.

    Args:
        count: How many there are.
        soonest: Seconds from the close to the end, at least.
        latest: Seconds, at most.
    """

    def __init__(self, count: int, *, soonest: float, latest: float) -> None:
        super().__init__({})
        self.ids = list(range(FIRST, FIRST + count))
        self.requests = 0
        self.polls = 0
        """Pages that the polls need."""
        self._ends: dict[int, float] = {}
        self._chance = random.Random(count)
        self._bounds = (soonest, latest)
        self._quiet_since = -math.inf
        self._is_listed = True

    async def send(
        self, request: Request, *, timeout: float, new_connection: bool, progress: Progress
    ) -> Response | Failure:
        del timeout, new_connection
        progress.sent = True
        self.requests += 1
        await asyncio.sleep(ANSWER)
        target = urlsplit(request.target)
        if request.method == "POST":
            id = self._asked(target.path)
            self._ends[id] = self._now() + self._chance.uniform(*self._bounds)
            return Response(201, {}, self._row(id))
        query = parse_qs(target.query)
        is_active_list = query.get("status") == ["active"]
        self._count_poll(is_first_page=is_active_list and query["page"] == ["1"])
        if not query:
            return Response(200, {}, self._row(self._asked(target.path)))
        end = 100 * int(query["page"][0])
        rows = [*map(self._row, self._listed(is_active=is_active_list)[end - 100 : end])]
        return Response(200, {}, b"[" + b",".join(rows) + b"]")

    def _count_poll(self, *, is_first_page: bool) -> None:
        """Count a poll where the list of active trades begins, or where after a pause it does not."""
        is_new = self._now() - self._quiet_since > 2 * ANSWER
        self._quiet_since = self._now()
        if is_first_page or is_new:
            self.polls += max(1, math.ceil(len(self._listed(is_active=True)) / 100))

    def _listed(self, *, is_active: bool) -> list[int]:
        newest = self.ids[::-1]
        if is_active:
            return [id for id in newest if not self._has_ended(id)]
        changed = {id: self._ends[id] if self._has_ended(id) else 0.0 for id in newest}
        return sorted(newest, key=changed.__getitem__, reverse=True)

    def _row(self, id: int) -> bytes:
        status = "panic_sold" if self._has_ended(id) else "panic_sell_pending"
        if id not in self._ends:
            status = "waiting_targets"
        body = CLOSED.replace(b"panic_sell_pending", status.encode())
        created = f"2026-01-01T00:{(id - FIRST) // 60:02}:{(id - FIRST) % 60:02}Z"
        body = body.replace(b"2024-09-10T14:44:22.416Z", created.encode())
        return body.replace(b'"id": 12345678,', b'"id": %d,' % id, 1)

    def _has_ended(self, id: int) -> bool:
        return self._ends.get(id, math.inf) <= self._now()

    @staticmethod
    def _asked(path: str) -> int:
        asked = _ID.search(path)
        assert asked is not None
        return int(asked[1])

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


@pytest.mark.parametrize("others", [None, 0, 250])
@pytest.mark.parametrize("bounds", [(0.1, 0.1), (3.0, 3.0), (0.0, 20.0), (5.0, 90.0)])
@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 350, 1000])
def test_closing_and_following_take_three_pages_for_a_hundred_trades_besides_the_polls(
    count: int, bounds: tuple[float, float], others: int | None
) -> None:
    """The others are older and stay open; None closes all that are open, and its lists are polls too."""

    async def main() -> tuple[Exchange, BatchReport]:
        exchange = Exchange(count + (others or 0), soonest=bounds[0], latest=bounds[1])
        smart_trades = SmartTrades(new_session(exchange, limiter=Limiter(ROOMY)))
        if others is None:
            return exchange, await smart_trades.close_all(wait=True)
        return exchange, await smart_trades.close_many(exchange.ids[others:], wait=True)

    exchange, report = virtual_time.run(main())
    assert report.counts == {Verdict.CLOSED: count}
    assert report.requests == exchange.requests
    assert report.requests <= count + 3 * math.ceil(count / 100) + exchange.polls


class Slow(Exchange):
    """Answers after 20 s only."""

    async def send(self, request: Request, **options: Any) -> Response | Failure:
        await asyncio.sleep(20)
        return await super().send(request, **options)


async def never_ending() -> AsyncIterator[int]:
    yield FIRST
    await asyncio.sleep(3600)


@pytest.mark.parametrize("what", ["a permit", "an answer", "an input"])
def test_a_plan_ends_at_its_deadline_whatever_it_waits_for(what: str) -> None:
    async def main() -> tuple[BatchReport, float]:
        exchange = (Slow if what == "an answer" else Exchange)(3, soonest=1, latest=1)
        limiter = Limiter(RateLimit(requests=1, period=60, lockout=300))
        if what == "a permit":
            await limiter.acquire()
            limiter.release()
        smart_trades = SmartTrades(new_session(exchange, limiter=limiter))
        trades = never_ending() if what == "an input" else exchange.ids
        report = await smart_trades.close_many(trades, dry_run=True, deadline=5)
        return report, asyncio.get_running_loop().time()

    report, seconds = virtual_time.run(main())
    assert report.dry_run
    assert report.counts == {Verdict.SKIPPED: 1 if what == "an input" else 3}
    assert report.outcomes[0].reason == "the deadline of 5 s had passed"
    assert seconds == pytest.approx(5)


def test_a_plan_of_all_that_is_open_ends_at_its_deadline_too() -> None:
    async def main() -> float:
        limiter = Limiter(RateLimit(requests=1, period=60, lockout=300))
        smart_trades = SmartTrades(new_session(Exchange(101, soonest=1, latest=1), limiter=limiter))
        with pytest.raises(BatchStoppedError):
            await smart_trades.close_all(dry_run=True, deadline=5)
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main()) == pytest.approx(5)
