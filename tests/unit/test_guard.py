"""What the guard does with its look-ups, on a virtual clock."""

from __future__ import annotations

import asyncio

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

TRADE = Response(200, {}, b'{"id":7,"status":{},"account":{"id":5,"type":"paper_trading"}}')


@pytest.mark.parametrize("endpoint", [endpoints.CLOSE_BY_MARKET, endpoints.CREATE_SMART_TRADE], ids=str)
def test_a_batch_that_is_called_off_does_not_wait_for_its_look_ups(
    endpoint: endpoints.Endpoint[object],
) -> None:
    script = Script({"GET": [TRADE], "POST": [TRADE]})

    async def main() -> tuple[str, float]:
        limiter, book, errand = Limiter(RateLimit(requests=2, period=60, lockout=60)), AccountBook(), Errand()
        session = new_session(script, limiter=limiter, guard=Guard(book=book), book=book)
        for id in (1, 2):  # There is no permit left.
            await session.call(endpoints.GET_SMART_TRADE, path={"id": id})
        asyncio.get_running_loop().call_later(1, errand.call_off, TimeoutError("the deadline had passed"))
        order = SmartTradeOrder.simple_buy(account_id=6, pair="USDT_BTC", units=1)
        is_create = endpoint is endpoints.CREATE_SMART_TRADE
        with pytest.raises(errors.BatchStoppedError, match="the deadline had passed") as stopped:
            await session.patient(errand=errand).call(
                endpoint, path=None if is_create else {"id": 7}, body=order if is_create else None
            )
        return str(stopped.value), round(asyncio.get_running_loop().time(), 3)

    assert virtual_time.run(main()) == ("the deadline had passed", 3)
    assert script.log == [(0, "GET"), (1, "GET")]
