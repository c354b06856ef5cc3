"""Market data over a scripted transport: what is sent, what is kept, what is refused before."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from tests import virtual_time
from tests.scripted_api import LOST, Script, new_session
from threecommas_async import ClientStateError, MarketData, NotSentError
from threecommas_async.wire import Failure, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PAIRS = Response(200, {}, b'["USDT_BTC",7]')
RATES = Response(200, {}, b'{"last":"1"}')


def test_views_with_other_options_share_what_is_kept_and_what_is_on_its_way() -> None:
    async def main() -> list[tuple[float, str]]:
        script = Script({"GET": [RATES]})
        session = new_session(script)
        data = MarketData(session)
        view = data.with_session(session.with_options(timeout=5, max_wait=None))
        await asyncio.gather(*(each.currency_rates("binance", "USDT_BTC") for each in (data, view, data)))
        await view.currency_rates("binance", "USDT_BTC")
        await data.currency_rates("binance", "USDT_ETH")
        await data.currency_rates("okex", "USDT_BTC")
        await data.currency_rates("binance", "USDT_BTC", limit_type="bot")
        await data.currency_rates_with_leverage_data("binance", "USDT_BTC")
        await asyncio.sleep(56)
        await data.currency_rates("binance", "USDT_BTC")
        return script.log

    # The first five each take a second; 60 s after the first it is stale.
    assert virtual_time.run(main()) == [(at, "GET") for at in (0, 1, 2, 3, 4, 61)]


def test_a_failure_is_not_kept() -> None:
    async def main() -> list[tuple[float, str]]:
        script = Script({"GET": [Failure("no", sent=False, permanent=True), RATES]})
        data = MarketData(new_session(script))
        with pytest.raises(NotSentError):
            await data.currency_rates("binance", "USDT_BTC")
        assert (await data.currency_rates("binance", "USDT_BTC")).last == 1
        return script.log

    assert virtual_time.run(main()) == [(0, "GET"), (1, "GET")]


def test_it_is_sent_again_like_any_read_and_a_broken_row_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> tuple[list[str], int]:
        script = Script({"GET": [LOST, PAIRS]})
        data = MarketData(new_session(script))
        assert (await data.pairs("okex")).malformed[0].index == 1
        return list(await data.pairs("okex")), len(script.sent)

    caplog.set_level(logging.WARNING, "threecommas_async.decoding")
    assert virtual_time.run(main()) == (["USDT_BTC"], 2)
    assert [record.getMessage()[:50] for record in caplog.records] == [
        "row 1 of GET /ver1/accounts/market_pairs cannot be"
    ]


def test_a_closed_client_gives_nothing_out() -> None:
    async def main() -> None:
        session = new_session(Script({"GET": [PAIRS]}))
        data = MarketData(session)
        await data.pairs("okex")
        await session.close()
        with pytest.raises(ClientStateError):
            await data.pairs("okex")

    virtual_time.run(main())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: data.pairs(""), "market_code must be text"),
        (lambda data: data.pairs(5), "market_code must be text"),
        (lambda data: data.currency_rates(None, "USDT_BTC"), "market_code must be text"),
        (lambda data: data.currency_rates("okex", " "), "pair must be text"),
        (lambda data: data.currency_rates("okex", "A_B\n"), "pair must be text"),
        (lambda data: data.currency_rates("okex", "A_B", limit_type="dca"), "bot, smart_trade, not 'dca'"),
        (lambda data: data.currency_rates_with_leverage_data("okex", None), "pair must be text"),
        (lambda data: data.markets(max_age=-1), "max_age must be a number"),
        (lambda data: data.markets(max_age=float("nan")), "max_age must be a number"),
        (lambda data: data.markets(max_age=True), "max_age must be a number"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(
    call: Callable[[Any], Awaitable[object]], message: str
) -> None:
    async def main() -> list[tuple[float, str]]:
        script = Script({"GET": [PAIRS]})
        with pytest.raises(ValueError, match=message):
            await call(MarketData(new_session(script)))
        return script.log

    assert virtual_time.run(main()) == []
