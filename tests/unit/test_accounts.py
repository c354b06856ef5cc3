from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import ValidationError

from tests.documented_answers import compare, exact, follow
from threecommas_async import ConnectedAccount, HmacCredentials, ThreeCommas, endpoints, errors, wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from threecommas_async import Endpoint

ACCOUNTS = ["accounts.get/201", "accounts.rename/201", "accounts.load_balances/201"]
LISTS: dict[str, Endpoint[Any]] = {
    "accounts.list/200": endpoints.LIST_ACCOUNTS,
    "accounts.leverage_data/201": endpoints.LEVERAGE_DATA,
    "accounts.pie_chart_data/201": endpoints.PIE_CHART_DATA,
    "accounts.table_data/201": endpoints.TABLE_DATA,
}


@pytest.mark.parametrize("name", ACCOUNTS)
def test_every_value_of_a_documented_account_is_decoded_exactly(
    name: str, sample: Callable[[str], bytes]
) -> None:
    content = exact(sample(name))
    account = endpoints.GET_ACCOUNT.decode(sample(name))
    assert compare(account, content) >= 65
    assert set(content) <= set(ConnectedAccount.__struct_fields__)


@pytest.mark.parametrize("name", LISTS)
def test_every_value_of_a_documented_list_is_decoded_exactly(
    name: str, sample: Callable[[str], bytes]
) -> None:
    entries = exact(sample(name))
    page = LISTS[name].decode(sample(name))
    assert page.malformed == ()
    assert len(page) == len(entries)
    for entry, content in zip(page, entries, strict=True):
        assert compare(entry, content) >= 4
        assert set(content) <= set(type(entry).__struct_fields__)


def test_the_documented_counts_of_active_entities_are_decoded(sample: Callable[[str], bytes]) -> None:
    counts = endpoints.ACTIVE_ENTITIES.decode(sample("accounts.active_trading_entities/200")).data
    assert counts.active_bots_count == 5
    assert counts.active_deals_count == 4
    assert counts.active_smart_trades_count == 3
    assert counts.active_orders_count == 2
    assert counts.active_grid_bots_count == 0


@pytest.mark.parametrize(
    ("content", "where", "expected"),
    [
        (b'"total_usd_profit": -1.1E-19', "total_usd_profit", Decimal("-1.1E-19")),
        (
            b'"total_primary_display_currency_profit": {"currency": "USD", "amount": -1.1E-19}',
            "total_primary_display_currency_profit.amount",
            Decimal("-1.1E-19"),
        ),
        (
            b'"total_btc_profit": "1.5795860715256732e-25"',
            "total_btc_profit",
            Decimal("1.5795860715256732e-25"),
        ),
        (b'"total_btc_profit": "-0.0"', "total_btc_profit", Decimal("-0.0")),
        (b'"btc_amount": "Infinity"', "btc_amount", Decimal("Infinity")),
        (b'"btc_amount": Infinity', "btc_amount", None),
        (b'"btc_amount": null, "supported_market_types": null', "supported_market_types", ()),
        (b'"available_for_trading": true', "available_for_trading", True),
        (b'"customer_id": 77', "customer_id", 77),
        (b'"day_profit_primary_display_currency": null', "day_profit_primary_display_currency.amount", None),
        (b'"field_of_tomorrow": {}', "market_code", None),
    ],
)
def test_an_oddity_of_an_account_is_decoded(content: bytes, where: str, expected: object) -> None:
    account = endpoints.GET_ACCOUNT.decode(b'{"id": 4294967297, ' + content + b"}")
    assert str(follow(account, where)) == str(expected)
    assert account.id == 4294967297


def test_a_broken_account_costs_only_itself() -> None:
    body = b'[{"id": 1}, {"id": 2, "usd_amount": "abc"}, {"name": "x"}, 7, {"id": "5", "name": "y"}]'
    page = endpoints.LIST_ACCOUNTS.decode(body)
    assert [account.id for account in page] == [1, 5]
    assert [(bad.index, bad.id) for bad in page.malformed] == [(1, 2), (2, None), (3, None)]
    assert page.received == 5


def test_an_account_without_an_id_is_none() -> None:
    with pytest.raises(ValidationError):
        endpoints.GET_ACCOUNT.decode(b'{"name": "x"}')


@pytest.mark.parametrize(
    ("market_code", "is_paper"), [("paper_trading", True), ("binance", False), ("", False), (None, None)]
)
def test_an_account_is_a_paper_account_by_its_market_code(
    market_code: str | None, is_paper: bool | None
) -> None:
    assert ConnectedAccount(id=1, market_code=market_code).is_paper is is_paper


@pytest.mark.parametrize(
    "row", [endpoints.GET_ACCOUNT, endpoints.LOAD_BALANCES, endpoints.RENAME_ACCOUNT], ids=str
)
def test_an_answer_about_another_account_is_none(row: Endpoint[ConnectedAccount]) -> None:
    request = wire.build(row, HmacCredentials("k", "s"), base_path="", mode="paper", path={"account_id": 1})
    with pytest.raises(errors.DecodeError, match="about another account, 2"):
        wire.read(row, request, wire.Response(200, {}, b'{"id": 2}'), path={"account_id": 1})


async def test_bad_arguments_are_refused_before_anything_is_sent() -> None:
    async with ThreeCommas("key", "secret", base_url="http://127.0.0.1:1/public/api") as client:
        odd: Any = client.accounts
        for call in (
            odd.list(page=0),
            odd.list(per_page=101),
            odd.list(page="1"),
            odd.get(0),
            odd.get("summary"),
            odd.rename(1, " "),
            odd.rename(1, None),
            odd.leverage_data(1, pair=7),
        ):
            with pytest.raises(ValueError, match=r"must be|page"):
                await call
