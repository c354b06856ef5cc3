from __future__ import annotations

import json
import pickle
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threecommas_async import Pair, SmartTradeOrder
from threecommas_async.models import rules
from threecommas_async.models.encoding import encode_body
from threecommas_async.wire import encode_query


@pytest.mark.parametrize(
    ("text", "quote", "base"),
    [
        ("USDT_BTC", "USDT", "BTC"),
        ("BTC_1INCH", "BTC", "1INCH"),
        ("USDT_BTCUSDT_UMCBL", "USDT", "BTCUSDT_UMCBL"),
        ("BTC_BTCUSD_PERP", "BTC", "BTCUSD_PERP"),
        ("BNFCR_1INCHUSDT", "BNFCR", "1INCHUSDT"),
        ("1INCH_1INCH-USD-SWAP", "1INCH", "1INCH-USD-SWAP"),
        ("BTCUSDT", None, None),
        ("_BTC", None, None),
        ("USDT_", None, None),
        ("_", None, None),
    ],
)
def test_the_quote_comes_first(text: str, quote: str | None, base: str | None) -> None:
    pair = Pair.parse(text)
    assert (pair.quote, pair.base) == (quote, base)
    assert str(pair) == pair == text
    assert type(str(pair)) is str


@given(
    quote=st.text(min_size=1).filter(lambda text: "_" not in text),
    base=st.text(min_size=1),
)
def test_what_is_put_together_comes_apart_again(quote: str, base: str) -> None:
    pair = Pair.of(base=base, quote=quote)
    assert (pair.quote, pair.base) == (quote, base)
    assert Pair.parse(str(pair)) == pair


@pytest.mark.parametrize("text", ["", None, 7, b"USDT_BTC"])
def test_what_is_no_text_is_no_pair(text: object) -> None:
    with pytest.raises(ValueError, match="a pair must be text"):
        Pair.parse(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base", "quote", "message"),
    [
        ("", "USDT", "base must be"),
        ("BTC", "", "quote must be"),
        ("BTC", "A_B", "underscore"),
        (1, "B", "base"),
    ],
)
def test_a_pair_is_made_of_two_names(base: str, quote: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pair.of(base=base, quote=quote)


def test_a_pair_goes_where_its_text_goes() -> None:
    pair = Pair.of(base="BTC", quote="USDT")
    order = SmartTradeOrder.simple_buy(account_id=5, pair=pair, units="0.01")
    rules.check_order(order)
    assert json.loads(encode_body(order))["pair"] == "USDT_BTC"
    assert order == SmartTradeOrder.simple_buy(account_id=5, pair="USDT_BTC", units="0.01")
    assert encode_query({"pair": pair}) == "pair=USDT_BTC"
    assert hash(pair) == hash("USDT_BTC")


def test_a_pair_stays_one_when_it_is_copied() -> None:
    pair = Pair("USDT_BTC")
    for copy in (deepcopy(pair), pickle.loads(pickle.dumps(pair))):
        assert (copy, type(copy)) == (pair, Pair)
