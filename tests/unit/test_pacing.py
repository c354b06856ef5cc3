"""How calls meet the request limit: who goes first, who waits, and who is told to come back later."""

from __future__ import annotations

import asyncio
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests import virtual_time
from tests.scripted_api import LIMITED, LOST, Script, new_session
from threecommas_async import LimitWaitError, NotSentError, endpoints
from threecommas_async.client import MAX_WAIT, ThreeCommas
from threecommas_async.limiter import Limiter
from threecommas_async.limits import Pacer, RateLimit
from threecommas_async.resources.smart_trades import SmartTrades
from threecommas_async.wire import Response

if TYPE_CHECKING:
    from threecommas_async.session import Session

CLOSING = Response(201, {}, b'{"id":7,"status":{"basic_type":"panic_sell_pending"}}')
OPEN = Response(200, {}, b'{"id":7,"status":{"basic_type":"waiting_targets"}}')


def test_only_closing_and_cancelling_are_exits() -> None:
    assert {row for row in endpoints.TABLE if row.is_exit} == {
        endpoints.CLOSE_BY_MARKET,
        endpoints.CANCEL_SMART_TRADE,
        endpoints.CLOSE_TRADE,
        endpoints.CANCEL_TRADE,
    }


def test_a_close_goes_ahead_of_500_waiting_reads_and_so_does_the_look_at_its_effect() -> None:
    script = Script({"GET": [OPEN], "POST": [LOST, CLOSING]}, seconds=0)

    async def main() -> None:
        limiter = Limiter(RateLimit(requests=100, period=60, lockout=300), reserve=2)
        session = new_session(script, limiter=limiter)
        reads = [
            asyncio.create_task(session.call(endpoints.GET_SMART_TRADE, path={"id": 7})) for _ in range(600)
        ]
        await asyncio.sleep(1)
        assert len(script.sent) == 98
        await session.call(endpoints.CLOSE_BY_MARKET, path={"id": 7})
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)

    virtual_time.run(main())
    # The look takes the second permit of the reserve, and the repetition the first of the next minute.
    assert script.log[98:101] == [(1, "POST"), (2, "GET"), (60, "POST")]


def test_a_single_call_does_not_wait_long_and_a_batch_does() -> None:
    script = Script({"GET": [OPEN], "POST": [CLOSING]})

    async def main() -> None:
        limiter = Limiter(RateLimit(requests=1, period=100, lockout=300))
        trades = SmartTrades(new_session(script, limiter=limiter, max_wait=30))
        await trades.get(7)
        with pytest.raises(LimitWaitError) as caught:
            await trades.get(7)
        assert caught.value.retry_after == pytest.approx(100, abs=2)
        report = await trades.close_many([7, 8])
        assert report.ok

    virtual_time.run(main())
    assert script.log == [(0, "GET"), (101, "POST"), (202, "POST")]


def test_walks_and_polls_wait_like_a_batch() -> None:
    empty, ended = Response(200, {}, b"[]"), b'{"id":7,"status":{"basic_type":"panic_sold"}}'
    script = Script({"GET": [empty, empty, Response(200, {}, ended)]})

    async def main() -> None:
        limiter = Limiter(RateLimit(requests=1, period=100, lockout=300))
        trades = SmartTrades(new_session(script, limiter=limiter, max_wait=30))
        assert [trade async for trade in trades.iterate()] == []
        assert [trade async for trade in trades.iterate()] == []
        await trades.wait_closed([7], timeout=1000)

    virtual_time.run(main())
    assert script.log == [(0, "GET"), (101, "GET"), (202, "GET")]


def test_a_wait_that_was_asked_for_holds_for_a_batch_too() -> None:
    script = Script({"POST": [CLOSING]})

    async def main() -> list[str]:
        limiter = Limiter(RateLimit(requests=1, period=100, lockout=300))
        trades = SmartTrades(new_session(script, limiter=limiter, max_wait=5, patience=5))
        return [outcome.verdict for outcome in await trades.close_many([7, 8])]

    assert virtual_time.run(main()) == ["closing", "skipped"]


def test_what_the_options_of_a_client_mean() -> None:
    assert MAX_WAIT == 30
    for max_wait, single, batch in ((None, 30, None), (5, 5, 5), (math.inf, math.inf, math.inf)):
        client = ThreeCommas("k", "s", max_wait=max_wait)
        assert (client._session._max_wait, client._session._patience) == (single, batch)
    view = client.with_options(max_wait=0)
    assert (view._session._max_wait, view._session._patience) == (0, 0)


def test_after_a_429_everybody_waits_and_one_goes_first() -> None:
    script = Script({"GET": [LIMITED, LIMITED, OPEN]})

    async def main() -> None:
        session = new_session(script)
        await asyncio.gather(
            session.call(endpoints.GET_SMART_TRADE, path={"id": 7}),
            *(delayed(session) for _ in range(5)),
        )

    async def delayed(session: Session) -> None:
        await asyncio.sleep(2)
        await session.call(endpoints.GET_SMART_TRADE, path={"id": 7})

    virtual_time.run(main())
    # A pause of 300 s; a wrong guess that costs one request and another pause; then all.
    assert [at for at, _ in script.log] == [0, 301, 602, 603, 603, 603, 603, 603]


def test_clients_of_one_process_can_share_a_limiter() -> None:
    limiter = Limiter(RateLimit(requests=5, period=60, lockout=300))
    clients = [ThreeCommas("k", "s", limits=limiter) for _ in range(2)]
    assert {id(client.limits) for client in clients} == {id(limiter)}
    assert isinstance(limiter, Pacer)
    assert clients[0].limits.limit.requests == 5


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": "30"},
        {"timeout": None},
        {"timeout": True},
        {"max_wait": "5"},
        {"max_wait": True},
        {"limits": Limiter},
        {"session": 5},
        {"on_attempt": 5},
    ],
)
def test_options_of_the_wrong_kind_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ThreeCommas("k", "s", **options)


@pytest.mark.parametrize(
    "call",
    [
        lambda trades: trades.create({"account_id": 1}, validate=False),
        lambda trades: trades.create(None, reference="r", validate=False),
        lambda trades: trades.update(7, None, validate=False),
        lambda trades: trades.set_note(7, 5, validate=False),
        lambda trades: trades.list(page=True),
        lambda trades: trades.list(page="1"),
        lambda trades: trades.list(per_page="5"),
        lambda trades: trades.list(pair=5),
        lambda trades: trades.list(base=True),
        lambda trades: trades.find_created(NotSentError("no order")),
        lambda trades: trades.find_created(None),
        lambda trades: trades.wait_closed([7], timeout=math.nan),
        lambda trades: trades.wait_closed([7], timeout="5"),
        lambda trades: trades.close_many([7], on_progress=5),
    ],
)
def test_arguments_of_the_wrong_kind_are_refused_before_anything_is_sent(call: Any) -> None:
    script = Script({"GET": [OPEN], "POST": [CLOSING], "PATCH": [OPEN]})

    async def main() -> None:
        await call(SmartTrades(new_session(script)))

    with pytest.raises(ValueError, match=r"must be|not about the creation|page"):
        virtual_time.run(main())
    assert script.sent == []


def test_a_limit_of_the_wrong_kind_is_refused() -> None:
    for wrong in ((100, Decimal(60), 300), (100, "60", 300), (100, True, 300)):
        with pytest.raises(ValueError, match="period must be"):
            RateLimit(*wrong)  # pyright: ignore[reportArgumentType]
    for limit, reserve in ((5, None), (RateLimit(10, 1.0, 1.0), "1"), (RateLimit(10, 1.0, 1.0), 0.5)):
        with pytest.raises(ValueError, match="must be"):
            Limiter(limit, reserve=reserve)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
