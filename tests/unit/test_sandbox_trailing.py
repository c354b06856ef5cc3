"""Trailing and distances where they meet other orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.sandbox_orders import filled, stop_at, target, trailing_entry
from threecommas_async.sandbox.exchange import Exchange
from threecommas_async.sandbox.market import TICKERS, Market, Walk

DOGE = "USDT_DOGE"


def distant(percent: str, volume: str = "100", kind: str = "limit") -> dict[str, Any]:
    return {"order_type": kind, "volume": volume, "price": {"type": "last", "percent": percent}}


def stop_below(percent: str, **more: object) -> dict[str, Any]:
    return stop_at("1") | {"conditional": {"price": {"type": "last", "percent": percent}}} | more


def bought_at_100(**what: Any) -> tuple[Exchange, int]:
    """Return a trade whose trailing entry was planned at 0.1 and filled at 0.05 for an average of 0.05005."""
    parameters = trailing_entry("0.1", "0.02", **what)
    exchange = Exchange()
    trade: Any = exchange.create(0.0, parameters)
    exchange.set_price(5.0, DOGE, last="0.04999", ask="0.04999")
    exchange.set_price(6.0, DOGE, last="0.05", ask="0.05")
    return exchange, trade["id"]


def stop_of(exchange: Exchange, now: float, smart_id: int) -> dict[str, Any]:
    trade: Any = exchange.get(now, smart_id)
    price: dict[str, Any] = trade["stop_loss"]["conditional"]["price"]
    return price


def test_a_market_target_at_a_distance_fires_at_the_price_of_the_real_entry() -> None:
    exchange, smart_id = bought_at_100(targets=[distant("10", kind="market")])
    exchange.set_price(7.0, DOGE, last="0.05505")
    assert exchange.trades[smart_id].status == "waiting_targets"
    exchange.set_price(8.0, DOGE, last="0.05506")
    assert exchange.trades[smart_id].status == "finished"


def test_an_executed_target_keeps_the_price_that_it_had() -> None:
    exchange, smart_id = bought_at_100(targets=[distant("10", "50"), distant("50", "50")])
    exchange.set_price(7.0, DOGE, last="0.06")
    exchange.set_price(8.0, DOGE, last="0.03")
    exchange.add_funds(8.0, smart_id, {"order_type": "market", "units": {"value": "100"}})
    trade: Any = exchange.get(20.0, smart_id)
    assert [step["price"]["value"] for step in trade["take_profit"]["steps"]] == ["0.05506", "0.06006"]


def test_a_stop_that_breakeven_moved_is_a_distance_no_more() -> None:
    targets = [distant("10", "50"), distant("50", "50")]
    exchange, smart_id = bought_at_100(targets=targets, stop=stop_below("20", breakeven=True))
    assert stop_of(exchange, 6.0, smart_id) == {"value": "0.04004", "type": "last", "percent": "20.0"}
    exchange.set_price(7.0, DOGE, last="0.06")
    exchange.reduce_funds(7.0, smart_id, {"order_type": "market", "units": {"value": "20"}})
    exchange.advance(20.0)
    assert exchange.trades[smart_id].status == "waiting_targets"
    assert stop_of(exchange, 20.0, smart_id) == {"value": "0.05005", "type": "last", "percent": None}


def test_a_trailing_stop_stays_a_distance_until_it_moves() -> None:
    stop = stop_below("5")
    stop["conditional"]["trailing"] = {"enabled": True, "percent": "20"}
    exchange, smart_id = bought_at_100(stop=stop)
    assert stop_of(exchange, 6.0, smart_id) == {"value": "0.04755", "type": "last", "percent": "5.0"}
    exchange.set_price(7.0, DOGE, last="0.06")
    assert stop_of(exchange, 7.0, smart_id) == {"value": "0.048", "type": "last", "percent": None}


def test_a_stop_at_a_distance_stays_one_when_something_else_of_it_is_edited() -> None:
    exchange = Exchange()
    trade: Any = exchange.create(0.0, trailing_entry("0.1", stop=stop_below("5")))
    edited: Any = exchange.update(
        5.0, trade["id"], {"stop_loss": {"enabled": True, "order_type": "market", "breakeven": False}}
    )
    assert edited["stop_loss"]["conditional"]["price"] == {"value": "0.095", "type": "last", "percent": "5.0"}


def test_a_distance_of_the_stop_never_leads_below_one_price_step() -> None:
    exchange = Exchange()
    trade: Any = exchange.create(0.0, trailing_entry("0.1", stop=stop_below("150")))
    assert trade["stop_loss"]["conditional"]["price"]["value"] == "0.00001"


def test_a_new_trigger_begins_to_trail_anew() -> None:
    exchange = Exchange()
    trade: Any = exchange.create(0.0, trailing_entry("0.1", "10"))
    exchange.set_price(5.0, DOGE, last="0.05")
    exchange.set_price(5.0, DOGE, last="0.054")
    new = {"position": {"conditional": {"price": {"value": "0.06"}}}}
    exchange.update(6.0, trade["id"], new)
    exchange.set_price(7.0, DOGE, last="0.06")
    # The 0.05 of before would have fired at 0.055.
    assert exchange.trades[trade["id"]].entry.status == "trailing_activated"
    exchange.set_price(8.0, DOGE, last="0.066")
    assert exchange.trades[trade["id"]].status == "waiting_targets"


@pytest.mark.parametrize("kind", ["limit", "market"])
def test_what_trails_is_sold_at_market_price_and_shows_its_best_price(kind: str) -> None:
    trailing = target("0.12", kind=kind) | {"trailing": {"enabled": True, "percent": "10"}}
    exchange, smart_id = filled(targets=[trailing])
    for at, last in ((11.0, "0.12"), (12.0, "0.15"), (13.0, "0.14")):
        exchange.set_price(at, DOGE, last=last)
    step: Any = exchange.list_trades(13.0, smart_id)[1]
    assert (step["trailing_enabled"], step["trail_percentage"], step["status"]) == (
        True,
        "10.0",
        "trailing_activated",
    )
    # 2025-01-01T00:00:12Z, the instant of the 0.15.
    assert (step["trailing_last_price"], step["trailing_last_price_updated_at"]) == ("0.15", 1735689612)
    exchange.set_price(14.0, DOGE, last="0.13", ask="0.2")
    assert exchange.fills[1].price == Decimal("0.13")


def test_a_price_cannot_walk_to_nothing() -> None:
    cheap = Market({DOGE: TICKERS[DOGE]}, walk=Walk(swing=10_000), step=1.0)
    for _ in range(300):
        cheap.move()
        assert cheap.tickers[DOGE].last >= Decimal("0.00001")
