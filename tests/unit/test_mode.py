from __future__ import annotations

import asyncio
import logging
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tests import virtual_time
from tests.scripted_api import LOST, Script, new_session
from threecommas_async import (
    Account,
    ConnectedAccount,
    Page,
    SmartTrade,
    SmartTradeOrder,
    Status,
    endpoints,
    mode,
)
from threecommas_async.mode import AccountBook, Home, PaperWatch, Target, is_paper, target_of
from threecommas_async.wire import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from threecommas_async.wire import Failure


class Accounts(IntEnum):
    """The accounts of a bot, by name."""

    PAPER = 5


ORDER = SmartTradeOrder.simple_buy(account_id=5, pair="USDT_BTC", units=1)


def trade(id: int, account_id: int | None = None, type: str | None = None) -> SmartTrade:
    return SmartTrade(id=id, status=Status(), account=Account(id=account_id, type=type))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ((), None),
        ((None, None), None),
        ((None, True), True),
        ((True, True, None), True),
        ((True, False), False),
        ((None, False), False),
    ],
)
def test_one_real_outweighs_any_number_of_paper(said: tuple[bool | None, ...], expected: bool | None) -> None:
    assert is_paper(*said) is expected


@pytest.mark.parametrize(
    ("row", "path", "body", "expected"),
    [
        (endpoints.CREATE_SMART_TRADE, {}, ORDER, Target(account_id=5)),
        (endpoints.CLOSE_BY_MARKET, {"id": 7}, None, Target(trade_id=7)),
        (endpoints.UPDATE_SMART_TRADE, {"id": 7}, None, Target(trade_id=7)),
        (endpoints.CLOSE_TRADE, {"smart_trade_id": 7, "trade_id": 8}, None, Target(trade_id=7)),
        (endpoints.CANCEL_TRADE, {"smart_trade_id": 7, "trade_id": 8}, None, Target(trade_id=7)),
        (endpoints.RENAME_ACCOUNT, {"account_id": 5}, None, Target(account_id=5)),
        (endpoints.CREATE_SMART_TRADE, {}, None, Target()),
        (endpoints.CREATE_SMART_TRADE, {}, replace(ORDER, account_id=Accounts.PAPER), Target(account_id=5)),
        (endpoints.CREATE_SMART_TRADE, {}, replace(ORDER, account_id="5"), Target()),
        (endpoints.CREATE_SMART_TRADE, {}, replace(ORDER, account_id=True), Target()),
    ],
)
def test_a_write_is_about_an_account_or_a_trade(
    row: endpoints.Endpoint[Any], path: dict[str, int], body: SmartTradeOrder | None, expected: Target
) -> None:
    assert target_of(row, path, body) == expected


@pytest.mark.parametrize(
    "row", [row for row in endpoints.TABLE if row.replay is not endpoints.Replay.SAFE], ids=str
)
def test_every_write_of_the_table_is_about_something(row: endpoints.Endpoint[Any]) -> None:
    path = {"id": 7, "smart_trade_id": 7, "trade_id": 8}
    if "{account_id}" in row.path:
        path = {"account_id": 5}
    body = ORDER if row is endpoints.CREATE_SMART_TRADE else None
    assert target_of(row, path, body) != Target()


PAPER_5, REAL_5, SILENT_5 = (
    ConnectedAccount(id=5, market_code=code) for code in ("paper_trading", "binance", None)
)


@pytest.mark.parametrize(
    ("answers", "account", "on_trade"),
    [
        ([], None, None),
        ([PAPER_5], True, None),
        ([SILENT_5], None, None),
        ([PAPER_5, REAL_5, PAPER_5], False, None),
        ([Page((REAL_5,))], False, None),
        ([trade(7, 5, "paper_trading")], True, True),
        ([Page((trade(7, 5, "paper_trading"),))], True, True),
        ([trade(7, 5, "binance")], False, False),
        ([trade(7, 5)], None, None),
        ([trade(7, 5), PAPER_5], True, True),
        ([trade(7, 5, "paper_trading"), REAL_5], False, False),
        ([trade(7, 5, "paper_trading"), trade(8, 5, "okex")], False, False),
        ([trade(7, None, "paper_trading")], None, True),
        ([trade(7, None, "okex"), trade(7, None, "paper_trading")], None, False),
        # It says now that it is on another account: nothing that it says is believed.
        ([trade(7, 6, "paper_trading"), trade(7, 5, "paper_trading")], True, False),
        ([trade(7, None, "paper_trading"), trade(7, 5, None)], None, True),
        ([trade(7, 5, "PAPER_TRADING")], False, False),
        ([trade(7, 5, "")], False, False),
        ([7, None, "paper_trading", Page((7,))], None, None),
    ],
)
def test_what_is_known_follows_from_all_answers(
    answers: list[object], account: bool | None, on_trade: bool | None
) -> None:
    book = AccountBook()
    for answer in answers:
        book.learn(answer)
    assert book.is_paper(Target(account_id=5)) is account
    assert book.is_paper(Target(trade_id=7)) is on_trade


def test_what_the_user_states_is_outweighed_by_an_answer_that_says_otherwise() -> None:
    book = AccountBook([5])
    assert book.is_paper(Target(account_id=5)) is True
    book.learn(trade(7, 5))
    assert book.is_paper(Target(trade_id=7)) is True
    book.learn(REAL_5)
    assert book.is_paper(Target(account_id=5)) is book.is_paper(Target(trade_id=7)) is False


def test_the_newest_trades_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mode, "REMEMBERED", 3)
    book = AccountBook()
    for id in (1, 2, 3, 1, 4):
        book.learn(trade(id, 5, "paper_trading"))
    assert [id for id in range(1, 6) if book.home(id)] == [1, 3, 4]
    assert book.home(1) == Home(5, True)


class Reads:
    """Answers a question after a second, and counts; the first ones can fail."""

    def __init__(self) -> None:
        self.count = 0
        self.failures = 0

    def __call__(
        self, endpoint: endpoints.Endpoint[Any], /, *, path: Any = None, query: Any = None
    ) -> Awaitable[Any]:
        assert (endpoint, query) == (endpoints.GET_ACCOUNT, None)
        return self._answer(path)

    async def _answer(self, path: dict[str, int]) -> ConnectedAccount:
        self.count += 1
        await asyncio.sleep(1)
        if self.count <= self.failures:
            raise LookupError
        return ConnectedAccount(id=path["account_id"])


def run(main: Callable[[AccountBook, Reads], Awaitable[Any]]) -> tuple[Any, int]:
    reads = Reads()

    async def start() -> Any:
        return await main(AccountBook(), reads)

    return virtual_time.run(start()), reads.count


def test_who_asks_at_the_same_time_shares_one_request() -> None:
    async def main(book: AccountBook, reads: Reads) -> list[int]:
        asked = await asyncio.gather(*(book.look_up_account(5, reads) for _ in range(20)))
        return sorted({account.id for account in asked})

    assert run(main) == ([5], 1)


def test_whoever_asked_first_and_is_cancelled_leaves_the_answer_to_the_others() -> None:
    async def main(book: AccountBook, reads: Reads) -> tuple[bool, int, ConnectedAccount | None]:
        first, second = (asyncio.ensure_future(book.look_up_account(5, reads)) for _ in range(2))
        await asyncio.sleep(0.5)
        first.cancel()
        other = await second
        return first.cancelled(), other.id, book.record(5)

    assert run(main) == ((True, 5, ConnectedAccount(id=5)), 1)


def test_whoever_asked_with_other_options_asks_again_after_a_failed_look_up() -> None:
    async def main(book: AccountBook, reads: Reads) -> list[object]:
        reads.failures = 1
        asked = [book.look_up_account(5, reads, asker) for asker in ("impatient", "patient", "patient")]
        return [getattr(end, "id", type(end)) for end in await asyncio.gather(*asked, return_exceptions=True)]

    assert run(main) == ([LookupError, 5, 5], 2)


def test_a_client_for_real_money_is_warned_once_for_each_paper_account(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = PaperWatch()
    with caplog.at_level(logging.WARNING):
        watch.notice(endpoints.GET_SMART_TRADE, trade(1, 5, "paper_trading"))
        assert caplog.messages == []
        for id in (1, 2):
            watch.notice(endpoints.CLOSE_BY_MARKET, trade(id, 5, "paper_trading"))
            watch.notice(endpoints.CLOSE_BY_MARKET, trade(id, 6, "binance"))
            watch.notice(endpoints.CLOSE_BY_MARKET, None)
        watch.notice(endpoints.CREATE_SMART_TRADE, trade(3, 7, "paper_trading"))
    assert ["account 5" in caplog.messages[0], "account 7" in caplog.messages[1]] == [True, True]
    assert len(caplog.messages) == 2


@pytest.mark.parametrize("first", [Response(204, {}, b""), LOST], ids=["no content", "lost and found"])
def test_a_client_for_real_money_is_warned_of_a_write_whose_answer_was_read_back(
    first: Response | Failure, caplog: pytest.LogCaptureFixture
) -> None:
    account = b'{"id":7,"status":{"type":"cancelled"},"account":{"id":5,"type":"paper_trading"}}'
    script = Script({"DELETE": [first], "GET": [Response(200, {}, account)]})

    async def main() -> None:
        session = new_session(script, notice=PaperWatch().notice)
        await session.call(endpoints.CANCEL_SMART_TRADE, path={"id": 7})

    virtual_time.run(main())
    assert [method for _, method in script.log] == ["DELETE", "GET"]
    assert ["account 5" in message for message in caplog.messages if "mode=" in message] == [True]
