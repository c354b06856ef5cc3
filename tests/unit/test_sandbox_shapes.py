from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.conftest import SAMPLES
from tests.sandbox_orders import (
    PAPER,
    documented,
    order,
    stop_at,
    target,
)
from threecommas_async.sandbox import EVERY_STATUS
from threecommas_async.sandbox.exchange import Exchange
from threecommas_async.sandbox.market import Ticker
from threecommas_async.sandbox.spelling import decimal_text

if TYPE_CHECKING:
    from collections.abc import Iterator


SAMPLE_TRADES = [
    *SAMPLES.glob("smart_trades.*/20*.json"),
    SAMPLES / "deals.convert_to_smart_trade" / "201.json",
]
# No documented object has these; recorded answers and the entity page's declarations do.
UNDOCUMENTED = {
    "data.average_close_price": "string",
    "data.average_close_price_without_commission": "string",
    "take_profit.steps[].closed_at": "string",
}


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            yield path, "object"
            for key, member in value.items():  # pyright: ignore[reportUnknownVariableType] - any JSON
                yield from leaves(member, f"{path}.{key}".lstrip("."))
        case list():
            yield path, "array"
            for member in value:  # pyright: ignore[reportUnknownVariableType] - any JSON
                yield from leaves(member, f"{path}[]")
        case bool():
            yield path, "bool"
        case int() | float():
            yield path, "number"
        case str():
            yield path, "string"
        case _:
            assert value is None
            yield path, "null"


def documented_trades() -> list[dict[str, Any]]:
    documents: list[Any] = [json.loads(path.read_bytes()) for path in SAMPLE_TRADES]
    trades: list[dict[str, Any]] = []
    for document in documents:
        trades += document if isinstance(document, list) else [document]
    return [trade for trade in trades if "position" in trade]


def rendered_trades(count: int = 450) -> list[dict[str, Any]]:
    exchange = Exchange(seed=7)
    exchange.seed(count, EVERY_STATUS)
    pages = [exchange.page(0.0, {"per_page": 100, "page": page}) for page in range(1, count // 100 + 2)]
    return [json.loads(msgspec.json.encode(trade)) for page in pages for trade in page]


def test_every_key_and_json_type_of_a_rendered_trade_is_documented() -> None:
    documented = {leaf for trade in documented_trades() for leaf in leaves(trade)} | set(UNDOCUMENTED.items())
    for trade in rendered_trades():
        assert set(leaves(trade)) - documented == set()


def test_every_key_that_all_documented_trades_have_is_rendered() -> None:
    first, *others = ({path for path, _ in leaves(trade)} for trade in documented_trades())
    always = first.intersection(*others)
    assert "data.current_price.bid" in always
    for trade in rendered_trades():
        assert always - {path for path, _ in leaves(trade)} == set()


def test_what_varies_in_the_documented_trades_varies_as_often() -> None:
    trades = rendered_trades()
    texts = sum(isinstance(trade["data"]["commission"], str) for trade in trades)
    unversioned = sum("version" not in trade for trade in trades)
    # 2 of 14 each, and the newer keys in 3 of the 9 that have targets.
    assert 0.1 < texts / len(trades) < 0.19
    assert 0.1 < unversioned / len(trades) < 0.19
    steps = [step for trade in trades for step in trade["take_profit"]["steps"]]
    assert 0.2 < sum("closed_at" in step for step in steps) / len(steps) < 0.5
    stops = [trade["stop_loss"] for trade in trades if trade["stop_loss"]["enabled"]]
    assert 0.2 < sum("units" in stop for stop in stops) / len(stops) < 0.5


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0", "0.0"),
        ("-0.00", "0.0"),
        ("15", "15.0"),
        ("1500", "1500.0"),
        ("1E-8", "0.00000001"),
        ("1E+3", "1000.0"),
        ("0.00000280", "0.0000028"),
        ("-0.1230", "-0.123"),
        ("28.819532219570405727923627685", "28.819532219570405727923627685"),
    ],
)
def test_a_number_is_spelled_as_the_api_does(number: str, text: str) -> None:
    assert decimal_text(Decimal(number)) == text


def test_commission_is_written_as_a_plain_number() -> None:
    texts = [msgspec.json.encode(trade) for trade in rendered_trades(20)]
    assert sum(b'"commission":0.001,' in text for text in texts) > 10


def test_amounts_and_prices_are_strings_with_a_point_and_no_exponent() -> None:
    def numbers(value: Any) -> Iterator[str]:
        match value:
            case dict():
                for key, member in value.items():  # pyright: ignore[reportUnknownVariableType] - any JSON
                    if key not in {"note", "note_raw", "name", "link", "id"}:
                        yield from numbers(member)
            case list():
                for member in value:  # pyright: ignore[reportUnknownVariableType] - any JSON
                    yield from numbers(member)
            case str() if re.match(r"-?[0-9.]+($|[eE])", value):
                yield value
            case _:
                return

    texts = {text for trade in rendered_trades() for text in numbers(trade)}
    assert len(texts) > 500
    assert {text for text in texts if not re.fullmatch(r"-?(0|[1-9]\d*)\.(0|\d*[1-9])", text)} == set()


def volatile(trade: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs between two trades of the same kind."""
    trade = json.loads(msgspec.json.encode(trade))
    for key in ("id", "version", "account"):
        trade.pop(key, None)
    for key in ("created_at", "updated_at", "commission"):
        trade["data"].pop(key)
    for step in trade["take_profit"]["steps"]:
        step.pop("id")
        step.pop("closed_at", None)
    for key in ("units", "total", "closed_at"):
        trade["stop_loss"].pop(key, None)
    return trade


def exchange_of(trade: dict[str, Any]) -> Exchange:
    prices = {key: Decimal(value) for key, value in trade["data"]["current_price"].items()}
    return Exchange(tickers={trade["pair"]: Ticker(**prices)})


def test_a_simple_buy_is_rendered_as_documented() -> None:
    sample = documented("smart_trades.create/201.json")
    request = documented("smart_trades.create/request.json") | {"account_id": PAPER}
    assert volatile(exchange_of(sample).create(0.0, request)) == volatile(sample)


def test_a_waiting_limit_entry_is_rendered_as_documented() -> None:
    sample = documented("smart_trades.entity/200.json")
    exchange = exchange_of(sample)
    request = order(
        "limit",
        units="15",
        price="0.10664",
        targets=[target("0.11731")],
        stop=stop_at("0.1013"),
        note="Place for your note.",
    )
    smart_id: Any = exchange.create(0.0, request)["id"]
    assert volatile(exchange.get(5.0, smart_id)) == volatile(sample)


def test_a_forced_entry_is_rendered_as_documented() -> None:
    sample = documented("smart_trades.force_start/201.json")
    exchange = exchange_of(sample)
    request = order("limit", units="31", price="0.2422", targets=[target("0.2665")], pair="USDT_1INCH")
    smart_id: Any = exchange.create(0.0, request)["id"]
    assert volatile(exchange.force_start(5.0, smart_id)) == volatile(sample)


def test_own_funds_are_rendered_as_documented() -> None:
    sample = documented("smart_trades.trades.cancel/200.json")
    exchange = exchange_of(sample)
    request = order(
        units="20",
        price="0.10268",
        targets=[target("0.3", "35"), target("0.4", "35"), target("0.5", "30")],
        stop=stop_at("0.09754"),
        skip_enter_step=True,
    )
    smart_id: Any = exchange.create(0.0, request)["id"]
    exchange.advance(5.0)
    # The documented trade had three targets, and its third was cancelled.
    del exchange.trades[smart_id].steps[2]
    assert volatile(exchange.get(5.0, smart_id)) == volatile(sample)


def test_dates_are_in_utc_with_milliseconds() -> None:
    exchange = Exchange(epoch=datetime(2025, 3, 1, 12, 0, 0, 500_999, tzinfo=UTC))
    trade: Any = exchange.create(59.7771, order())
    assert trade["data"]["created_at"] == "2025-03-01T12:01:00.277Z"


def test_trades_of_one_instant_show_it_and_are_listed_by_their_ids() -> None:
    exchange = Exchange()
    trades: list[Any] = [exchange.create(1.0004, order()) for _ in range(3)]
    assert {trade["data"]["created_at"] for trade in trades} == {"2025-01-01T00:00:01.000Z"}
    for direction, ids in (("ASC", [0, 1, 2]), ("DESC", [2, 1, 0])):
        page = exchange.page(1.0, {"order_by": "created_at", "order_direction": direction})
        assert [trade["id"] for trade in page] == [trades[index]["id"] for index in ids]


def test_a_note_is_html_escaped_and_its_raw_text_kept() -> None:
    trade = Exchange().create(0.0, order(note="a < b & \"c\" 'd'"))
    assert trade["note"] == "a &lt; b &amp; &quot;c&quot; &#x27;d&#x27;"
    assert trade["note_raw"] == "a < b & \"c\" 'd'"
