"""The calls on accounts against the sandbox."""

from __future__ import annotations

import inspect
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from tests.raw_server import RawServer, answer
from threecommas_async import (
    ClientStateError,
    InvalidRequestError,
    NotFoundError,
    Permission,
    PermissionDeniedError,
    SmartTradeOrder,
    ThreeCommas,
)
from threecommas_async.resources.order_rules import known_account
from threecommas_async.sandbox import (
    FOREIGN_ACCOUNT,
    FUTURES_ACCOUNT,
    PAPER_ACCOUNT,
    REAL_ACCOUNT,
    WALLET_ACCOUNT,
    Account,
    Sandbox,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAPER = PAPER_ACCOUNT.id


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(trades=3) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[ThreeCommas]:
    async with ThreeCommas(**sandbox.credentials()) as client:
        yield client


async def test_the_accounts_are_listed_and_read(client: ThreeCommas) -> None:
    accounts = await client.accounts.list()
    assert [(account.id, account.is_paper, account.smart_trading_supported) for account in accounts] == [
        (PAPER, True, True),
        (REAL_ACCOUNT.id, False, True),
        (FUTURES_ACCOUNT.id, False, True),
        (WALLET_ACCOUNT.id, False, False),
    ]
    assert await client.accounts.get(REAL_ACCOUNT.id) == accounts[1]
    assert [account.id for account in await client.accounts.list(page=2, per_page=3)] == [WALLET_ACCOUNT.id]


async def test_a_walk_finds_all_accounts_of_all_pages(sandbox: Sandbox, client: ThreeCommas) -> None:
    more = {id: Account(id, "okex", f"no. {id}", "OKX") for id in range(1, 131)}
    sandbox.exchange.accounts.update(more)
    before = sandbox.requests
    found = [account.id async for account in client.accounts.iterate()]
    assert len(found) == len(set(found)) == 134
    assert sandbox.requests - before == 2


async def test_an_account_shows_what_its_trades_hold(sandbox: Sandbox, client: ThreeCommas) -> None:
    held = {
        trade.order.pair.partition("_")[2]
        for trade in sandbox.exchange.trades.values()
        if trade.order.is_long
    }
    balances = await client.accounts.balances(PAPER)
    shares = await client.accounts.balance_shares(PAPER)
    assert held
    assert {entry.currency_code for entry in balances} == {entry.code for entry in shares} == held
    assert sum(entry.percentage or 0 for entry in balances) == pytest.approx(100)
    assert (await client.accounts.load_balances(PAPER)).usd_amount == sum(
        (entry.usd_value or Decimal(0) for entry in shares), Decimal(0)
    )
    assert list(await client.accounts.balances(REAL_ACCOUNT.id)) == []


async def test_a_new_name_shows_on_the_account_and_on_its_trades(client: ThreeCommas) -> None:
    assert (await client.accounts.rename(PAPER, "größer & 100 %")).name == "größer & 100 %"
    assert (await client.accounts.get(PAPER)).name == "größer & 100 %"
    assert {trade.account.name for trade in await client.smart_trades.list()} == {"größer & 100 %"}


async def test_leverage_is_offered_on_contract_accounts(client: ThreeCommas) -> None:
    kinds = await client.accounts.leverage_data(FUTURES_ACCOUNT.id, pair="USDT_BTC")
    assert [(kind.code, kind.bounds.min) for kind in kinds] == [
        ("none", None),
        ("cross", Decimal("1.0")),
        ("isolated", Decimal("1.0")),
    ]
    assert [kind.code for kind in await client.accounts.leverage_data(PAPER)] == ["none"]


async def test_active_entities_count_the_open_trades(client: ThreeCommas) -> None:
    counts = await client.accounts.active_entities(PAPER)
    assert (counts.active_smart_trades_count, counts.active_bots_count) == (3, 0)


async def test_somebody_elses_account_is_not_found(client: ThreeCommas) -> None:
    with pytest.raises(NotFoundError):
        await client.accounts.get(FOREIGN_ACCOUNT.id)


async def test_a_closed_client_knows_no_account_any_more(client: ThreeCommas) -> None:
    assert (await known_account(client._session, PAPER)).id == PAPER
    await client.aclose()
    with pytest.raises(ClientStateError):
        await known_account(client._session, PAPER)


async def test_a_key_needs_the_permissions_of_the_calls(sandbox: Sandbox) -> None:
    only_read = {Permission.ACCOUNTS_READ}
    async with ThreeCommas(**sandbox.credentials(permissions=only_read)) as client:
        assert (await client.accounts.get(PAPER)).id == PAPER
        with pytest.raises(PermissionDeniedError, match="ACCOUNTS_WRITE"):
            await client.accounts.rename(PAPER, "x")


async def test_an_account_without_smart_trades_takes_no_order(sandbox: Sandbox) -> None:
    order = SmartTradeOrder.simple_buy(account_id=WALLET_ACCOUNT.id, pair="USDT_BTC", units="0.01")
    async with ThreeCommas(**sandbox.credentials(mode="real")) as client:
        with pytest.raises(InvalidRequestError, match="account_id"):
            await client.smart_trades.create(order)


async def test_the_questions_that_are_posted_go_out_as_documented() -> None:
    async with (
        RawServer(answer(b"[]", status="201 Created")) as server,
        ThreeCommas("key", "secret", base_url=server.base_url) as client,
    ):
        await client.accounts.leverage_data(9, pair="USDC_DOGE")
        await client.accounts.balance_shares(9)
        await client.accounts.balances(9)
        await client.accounts.list()
    assert [received.request_line for received in server.received] == [
        "POST /public/api/ver1/accounts/9/leverage_data?page=1&pair=USDC_DOGE HTTP/1.1",
        "POST /public/api/ver1/accounts/9/pie_chart_data HTTP/1.1",
        "POST /public/api/ver1/accounts/9/account_table_data HTTP/1.1",
        "GET /public/api/ver1/accounts?page=1&per_page=100 HTTP/1.1",
    ]


async def test_a_name_goes_out_in_the_query_as_documented() -> None:
    async with (
        RawServer(answer(b'{"id": 9}', status="201 Created")) as server,
        ThreeCommas("key", "secret", base_url=server.base_url) as client,
    ):
        await client.accounts.rename(9, "new name")
    [received] = server.received
    assert received.request_line == "POST /public/api/ver1/accounts/9/rename?name=new%20name HTTP/1.1"
    assert received.body == b""


async def test_the_sandbox_says_which_accounts_and_pairs_it_has(client: ThreeCommas) -> None:
    accounts = [account async for account in client.accounts.iterate()]
    pairs = {
        pair for account in accounts for pair in await client.market_data.pairs(account.market_code or "")
    }
    told = inspect.getdoc(Sandbox) or ""
    assert all(text in told for text in {*pairs, *(str(account.id) for account in accounts)})
    assert (len(accounts), client.mode) == (4, "paper")
