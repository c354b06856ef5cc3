from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.sandbox_orders import (
    REAL,
    TERMINAL,
    order,
    refusal,
)
from threecommas_async.endpoints import GET_SMART_TRADE
from threecommas_async.sandbox import EVERY_STATUS
from threecommas_async.sandbox.exchange import Exchange


def ids_of(page: list[dict[str, object]]) -> list[object]:
    return [trade["id"] for trade in page]


def test_pages_are_of_ten_and_the_last_is_shorter() -> None:
    exchange = Exchange()
    ids = exchange.seed(23)
    pages = [
        ids_of(exchange.page(0.0, {"order_by": "created_at", "page": str(number)})) for number in range(1, 5)
    ]
    assert [len(page) for page in pages] == [10, 10, 3, 0]
    assert [smart_id for page in pages for smart_id in page] == ids[::-1]


def test_ascending_order_is_oldest_first() -> None:
    exchange = Exchange()
    ids = exchange.seed(3)
    page = exchange.page(0.0, {"order_by": "created_at", "order_direction": "ASC"})
    assert ids_of(page) == ids


def test_the_default_order_is_by_status() -> None:
    exchange = Exchange()
    exchange.seed(4, ["waiting_targets", "cancelled", "failed", "finished"])
    page: list[Any] = exchange.page(0.0, {})
    assert [trade["status"]["type"] for trade in page] == [
        "waiting_targets",
        "finished",
        "failed",
        "cancelled",
    ]


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("all", set(EVERY_STATUS)),
        ("active", set(EVERY_STATUS) - TERMINAL),
        ("finished", TERMINAL),
        ("successfully_finish", {"panic_sold", "finished", "stop_loss_finished"}),
        ("successfully_finished", {"panic_sold", "finished", "stop_loss_finished"}),
        ("cancelled", {"cancelled"}),
        ("failed", {"failed"}),
    ],
)
def test_the_status_filter_shows_its_states_only(status: str, shown: set[str]) -> None:
    exchange = Exchange()
    exchange.seed(30, EVERY_STATUS)
    page: list[Any] = exchange.page(0.0, {"status": status, "per_page": "100"})
    assert {trade["status"]["type"] for trade in page} == shown
    assert len(page) == 2 * len(shown)


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ({"account_id": str(REAL)}, [2]),
        ({"pair": "USDT_BTC"}, [1]),
        ({"type": "smart_cover"}, [3]),
        ({"base": "BTC"}, [1]),
        ({"quote": "BTC"}, [0]),
        ({"from": "2025-01-01T00:00:03Z"}, [3]),
        ({"to": "2025-01-01T00:00:00.000Z"}, [0]),
        ({"from": "2025-01-01T00:00:01Z", "to": "2025-01-01T03:00:02+03:00"}, [1, 2]),
        ({}, [0, 1, 2, 3]),
    ],
)
def test_a_filter_shows_what_fits_only(filters: dict[str, str], shown: list[int]) -> None:
    exchange = Exchange()
    orders = [
        order(units="1", pair="BTC_ETH"),
        order(units="1", pair="USDT_BTC"),
        order(account_id=REAL),
        order(side="sell"),
    ]
    ids = [exchange.create(float(second), what)["id"] for second, what in enumerate(orders)]
    page = exchange.page(3.0, {"order_by": "created_at", "order_direction": "ASC"} | filters)
    assert ids_of(page) == [ids[index] for index in shown]


@pytest.mark.parametrize("order_by", ["profit", "profit_percentage", "closed_at", "updated_at"])
def test_a_page_is_sorted_by_what_is_asked_for(order_by: str) -> None:
    exchange = Exchange()
    exchange.seed(60, EVERY_STATUS)
    page = exchange.page(0.0, {"order_by": order_by, "order_direction": "ASC", "per_page": "100"})
    trades = [GET_SMART_TRADE.decode(msgspec.json.encode(trade)) for trade in page]
    values: dict[str, list[Any]] = {
        "profit": [trade.profit.volume for trade in trades],
        "profit_percentage": [
            None if trade.profit.volume is None else trade.profit.percent for trade in trades
        ],
        "closed_at": [trade.data.closed_at for trade in trades],
        "updated_at": [trade.data.updated_at for trade in trades],
    }
    given = [value for value in values[order_by] if value is not None]
    assert len(given) >= 20
    assert given == sorted(given)
    assert values[order_by][-len(given) :] == given


@pytest.mark.parametrize(
    ("parameters", "attributes"),
    [
        ({"per_page": "101"}, {"per_page": ["must be less than or equal to 100"]}),
        ({"per_page": "0"}, {"per_page": ["must be greater than or equal to 1"]}),
        ({"page": "x"}, {"page": ["is invalid"]}),
        ({"page": "9" * 5000}, {"page": ["is invalid"]}),
        ({"status": "open"}, {"status": ["does not have a valid value"]}),
        ({"order_by": "id"}, {"order_by": ["does not have a valid value"]}),
        ({"order_direction": "up"}, {"order_direction": ["does not have a valid value"]}),
        ({"type": "grid"}, {"type": ["does not have a valid value"]}),
        ({"from": "1733000000000"}, {"from": ["is invalid"]}),
    ],
)
def test_a_malformed_list_parameter_is_refused(
    parameters: dict[str, str], attributes: dict[str, list[str]]
) -> None:
    status, body = refusal(lambda: Exchange().page(0.0, parameters))
    assert (status, body["error"], body["error_attributes"]) == (400, "record_invalid", attributes)
