"""What the guard does with its look-ups, on a virtual clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests import virtual_time
from tests.scripted_api import Script, new_session
from threecommas_async import SmartTradeOrder, endpoints, errors
from threecommas_async.errand import Errand
from threecommas_async.guard import Guard
from threecommas_async.limiter import Limiter
from threecommas_async.limits import RateLimit
from threecommas_async.mode import AccountBook
from threecommas_async.wire import Response

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from threecommas_async import SmartTrade
    from threecommas_async.session import Session

TRADE = Response(200, {}, b'{"id":7,"status":{},"account":{"id":5,"type":"paper_trading"}}')


ORDER = SmartTradeOrder.simple_buy(account_id=6, pair="USDT_BTC", units=1)
LIMIT = RateLimit(requests=1, period=60, lockout=60)
WRITES = pytest.mark.parametrize("row", [endpoints.CLOSE_BY_MARKET, endpoints.CREATE_SMART_TRADE], ids=str)
"""A write whose SmartTrade has to be looked up, and one whose account has to be."""


def write_on_paper(session: Session, row: endpoints.Endpoint[SmartTrade]) -> Coroutine[Any, Any, SmartTrade]:
    is_create = row is endpoints.CREATE_SMART_TRADE
    return session.call(row, path=None if is_create else {"id": 7}, body=ORDER if is_create else None)


def paper_session(script: Script, **options: Any) -> Session:
    book = AccountBook()
    return new_session(script, guard=Guard(book=book), book=book, **options)


@WRITES
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Response(401, {}, b'{"error":"signature_invalid"}'), errors.AuthenticationError),
        (Response(418, {}, b""), errors.BannedError),
        (
            Response(429, {}, b'{"error":"not available with your current subscription plan"}'),
            errors.PlanLimitError,
        ),
        (Response(429, {}, b'{"error":"Rate limit exceeded"}'), errors.RateLimitedError),
    ],
)
def test_what_the_write_would_have_met_too_ends_its_look_up_as_it_is(
    row: endpoints.Endpoint[SmartTrade], answer: Response, error: type[errors.ThreeCommasError]
) -> None:
    script = Script({"GET": [answer], "POST": [TRADE]})

    async def main() -> None:
        await write_on_paper(paper_session(script), row)

    with pytest.raises(errors.ThreeCommasError) as caught:
        virtual_time.run(main())
    assert type(caught.value) is error
    assert {method for _, method in script.log} == {"GET"}


@WRITES
def test_a_look_up_whose_permit_is_too_far_away_ends_as_the_write_would(
    row: endpoints.Endpoint[SmartTrade],
) -> None:
    script = Script({"GET": [TRADE], "POST": [TRADE]})

    async def main() -> None:
        session = paper_session(script, limiter=Limiter(LIMIT), max_wait=1)
        await session.call(endpoints.GET_SMART_TRADE, path={"id": 1})
        await write_on_paper(session, row)

    with pytest.raises(errors.LimitWaitError):
        virtual_time.run(main())
    assert script.log == [(0, "GET")]


@WRITES
def test_a_look_up_under_which_the_client_is_closed_ends_as_the_write_would(
    row: endpoints.Endpoint[SmartTrade],
) -> None:
    script = Script({"GET": [TRADE], "POST": [TRADE]})

    async def main() -> None:
        session = paper_session(script, limiter=Limiter(LIMIT))
        await session.call(endpoints.GET_SMART_TRADE, path={"id": 1})
        write = asyncio.create_task(write_on_paper(session, row))
        await asyncio.sleep(1)
        await session.close()
        await write

    with pytest.raises(errors.ClientStateError):
        virtual_time.run(main())
    assert script.log == [(0, "GET")]


@WRITES
def test_a_batch_that_is_called_off_does_not_wait_for_its_look_ups(
    row: endpoints.Endpoint[SmartTrade],
) -> None:
    script = Script({"GET": [TRADE], "POST": [TRADE]})

    async def main() -> tuple[str, float]:
        limiter, errand = Limiter(RateLimit(requests=2, period=60, lockout=60)), Errand()
        session = paper_session(script, limiter=limiter)
        for id in (1, 2):  # There is no permit left.
            await session.call(endpoints.GET_SMART_TRADE, path={"id": id})
        asyncio.get_running_loop().call_later(1, errand.call_off, TimeoutError("the deadline had passed"))
        with pytest.raises(errors.BatchStoppedError, match="the deadline had passed") as stopped:
            await write_on_paper(session.patient(errand=errand), row)
        return str(stopped.value), round(asyncio.get_running_loop().time(), 3)

    assert virtual_time.run(main()) == ("the deadline had passed", 3)
    assert script.log == [(0, "GET"), (1, "GET")]
