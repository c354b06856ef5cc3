from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.documented_answers import compare, exact, follow, leaves
from threecommas_async import Pair, endpoints
from threecommas_async.models.decoding import DECODING_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("name", "count"), [("currency_rates", 25), ("currency_rates_with_leverage_data", 29)]
)
def test_every_value_of_the_documented_rates_is_decoded_exactly(
    name: str, count: int, sample: Callable[[str], bytes]
) -> None:
    body = sample(f"market_data.{name}/200")
    rates = endpoints.find("GET", f"/ver1/accounts/{name}").decode(body)
    content = exact(body)
    assert compare(rates, content) == count
    for where, expected in leaves(content):
        is_number = not isinstance(expected, bool) and str(expected)[0].isdigit()
        assert isinstance(follow(rates, where), Decimal) == is_number, where


def test_every_value_of_the_documented_markets_is_decoded(sample: Callable[[str], bytes]) -> None:
    body = sample("market_data.markets/200")
    markets = endpoints.LIST_MARKETS.decode(body)
    assert markets.malformed == ()
    compared = [compare(market, entry) for market, entry in zip(markets, exact(body), strict=True)]
    assert sum(compared) == 50


def test_the_documented_pairs_are_decoded(sample: Callable[[str], bytes]) -> None:
    body = sample("market_data.pairs/200")
    pairs = endpoints.LIST_PAIRS.decode(body)
    assert list(pairs) == json.loads(body)
    assert {type(pair) for pair in pairs} == {Pair}
    assert (pairs[-1].quote, pairs[-1].base) == ("USDT", "BTC")


def test_one_malformed_market_does_not_cost_the_others() -> None:
    good = {"market_code": "okex"}
    page = endpoints.LIST_MARKETS.decode(
        json.dumps(
            [good, {"market_name": "no code"}, 7, {"market_code": "a", "trusted_ips": 5}, good]
        ).encode()
    )
    assert [market.market_code for market in page] == ["okex", "okex"]
    assert [bad.index for bad in page.malformed] == [1, 2, 3]


@pytest.mark.parametrize(
    "bad", [b"7", b"1e99999999999999999999", b"null", b'""', b"{}", b'["A_B"]', b"true", b"NaN", b"9" * 5000]
)
def test_one_malformed_pair_does_not_cost_the_others(bad: bytes) -> None:
    many = b'"USDT_BTC",' * 2000  # More than the pages of other lists hold.
    page = endpoints.LIST_PAIRS.decode(b"[" + many + bad + b',"BTC_ETH"]')
    assert list(page) == ["USDT_BTC"] * 2000 + ["BTC_ETH"]
    assert [bad.index for bad in page.malformed] == [2000]


@pytest.mark.parametrize("odd", [b'"A_\\ud83d"', b'"A_\xff"'])
def test_a_pair_with_characters_that_are_none_is_still_one(odd: bytes) -> None:
    assert list(endpoints.LIST_PAIRS.decode(b'["USDT_BTC",' + odd + b"]")) == ["USDT_BTC", "A_\ufffd"]


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[", b'"A_B"', b"[" * 100_000])
def test_a_body_that_is_no_list_of_pairs_is_an_error(body: bytes) -> None:
    with pytest.raises(DECODING_ERRORS):
        endpoints.LIST_PAIRS.decode(body)


def rates_of(content: dict[str, Any]) -> Any:
    return endpoints.LEVERAGE_RATES.decode(json.dumps(content).encode())


@pytest.mark.parametrize(
    ("content", "where", "expected"),
    [
        ({"maxLotSize": "Infinity"}, "maxLotSize", Decimal("Infinity")),
        ({"maxTotal": None}, "maxTotal", None),
        ({}, "minTotal", None),
        ({"lotStep": 0}, "lotStep", Decimal(0)),
        ({"priceStep": "0"}, "priceStep", Decimal(0)),
        ({"priceStep": "1E-8"}, "priceStep", Decimal("0.00000001")),
        ({"leverage_data": None}, "leverage_data", None),
        ({"leverage_data": []}, "leverage_data", ()),
        ({"leverage_data": [{"available_leverage_values": False}]}, "leverage_data.0.bounds.max", None),
        ({"leverage_data": [{"valid": {}}]}, "leverage_data.0.bounds.min", None),
        ({"leverage_data": [{"value": {"max": "5"}}]}, "leverage_data.0.bounds.max", Decimal(5)),
        (
            {"leverage_data": [{"valid": {"min": 1, "max": "25.0"}, "max_leverage": "20"}]},
            "leverage_data.0.bounds.max",
            Decimal(20),
        ),
        (
            {"leverage_data": [{"available_leverage_values": ["1", 2]}]},
            "leverage_data.0.available_leverage_values",
            (Decimal(1), Decimal(2)),
        ),
    ],
)
def test_an_oddity_of_the_limits_is_decoded(content: dict[str, Any], where: str, expected: object) -> None:
    assert follow(rates_of(content), where) == expected


def test_a_limit_of_56_decimals_is_exact() -> None:
    text = "0." + "0123456789" * 5 + "123456"
    assert rates_of({"lotStep": text}).lotStep == Decimal(text)
