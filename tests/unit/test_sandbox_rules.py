"""Lots and price steps, bounds of numbers, and flags that say what a call then does."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from tests.sandbox_orders import TERMINAL, filled, opened, order, refusal, status_of, stop_at, target
from threecommas_async.sandbox import EVERY_STATUS, Sandbox
from threecommas_async.sandbox.exchange import Exchange

DOGE = "USDT_DOGE"
TICK = ["must be a multiple of 0.00001"]
LOT = ["must be a multiple of 1"]
POSITION = {"position": ["is invalid"]}


def limit_stop(price: str) -> dict[str, Any]:
    return stop_at("0.1") | {"order_type": "limit", "price": {"value": price}}


@pytest.mark.parametrize(
    ("parameters", "attributes"),
    [
        (order(units="15.5"), POSITION | {"units_to_buy": LOT}),
        (order(units="15.5", side="sell"), POSITION | {"units_to_sell": LOT}),
        (order("limit", price="0.100001"), POSITION | {"position.price": TICK}),
        (
            order("limit", units="15.5", price="0.100001"),
            POSITION | {"units_to_buy": LOT, "position.price": TICK},
        ),
        (
            order(targets=[target("0.2", "50"), target("0.300001", "50")]),
            {"take_profit[steps][1][price][value]": TICK},
        ),
        (order(stop=limit_stop("0.099999999")), {"stop_loss[price][value]": TICK}),
        (
            order(units="0.010001", pair="USDT_BTC"),
            POSITION | {"units_to_buy": ["must be a multiple of 0.00001"]},
        ),
    ],
)
def test_what_is_off_the_lot_or_the_price_step_is_refused(
    parameters: dict[str, Any], attributes: dict[str, list[str]]
) -> None:
    exchange = Exchange()
    assert refusal(lambda: exchange.create(0.0, parameters)) == (
        422,
        {
            "error": "record_invalid",
            "error_description": "Invalid parameters",
            "error_attributes": attributes,
        },
    )
    assert exchange.ledger == []


@pytest.mark.parametrize(
    "parameters",
    [
        order(units="15", targets=[target("0.200001", kind="market")], stop=stop_at("0.1000001")),
        order(units="14.985", price="0.1067467", skip_enter_step=True),
        order(units="0.01", pair="USDT_BTC"),
    ],
    ids=["triggers", "own funds", "whole lots"],
)
def test_what_no_exchange_gets_to_see_is_not_held_against_its_steps(parameters: dict[str, Any]) -> None:
    Exchange().create(0.0, parameters)


@pytest.mark.parametrize(
    ("changes", "attributes"),
    [
        ({"position": {"price": {"value": "0.100001"}}}, POSITION | {"position.price": TICK}),
        (
            {"take_profit": {"enabled": True, "steps": [target("0.200001")]}},
            {"take_profit[steps][0][price][value]": TICK},
        ),
        ({"stop_loss": limit_stop("0.099999999")}, {"stop_loss[price][value]": TICK}),
    ],
)
def test_changes_are_held_against_the_price_step(
    changes: dict[str, Any], attributes: dict[str, list[str]]
) -> None:
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", price="0.1")
    before = exchange.get(5.0, smart_id)
    status, body = refusal(lambda: exchange.update(5.0, smart_id, changes))
    assert (status, body["error_attributes"]) == (422, attributes)
    assert exchange.get(5.0, smart_id) == before


@pytest.mark.parametrize("seconds", [10**18, 10**400, -(10**400)])
def test_a_whole_number_of_many_digits_is_refused(seconds: int) -> None:
    parameters = order(stop=stop_at("0.1") | {"timeout": {"enabled": True, "value": seconds}})
    status, body = refusal(lambda: Exchange().create(0.0, parameters))
    assert (status, body["error_attributes"]) == (400, {"stop_loss[timeout][value]": ["is invalid"]})


def test_the_longest_timeout_is_taken() -> None:
    seconds = 10**18 - 1
    exchange, smart_id = filled(stop=stop_at("0.1") | {"timeout": {"enabled": True, "value": seconds}})
    exchange.set_price(11.0, DOGE, last="0.05")
    assert status_of(exchange, 1e9, smart_id) == "waiting_targets"


@pytest.mark.parametrize("status", EVERY_STATUS)
def test_the_flag_of_force_process_says_whether_it_is_accepted(status: str) -> None:
    exchange = Exchange()
    flags: set[bool] = set()
    for smart_id in exchange.seed(20, [status]):
        trade: Any = exchange.get(0.0, smart_id)
        flags.add(trade["data"]["force_process_available"])
        if trade["data"]["force_process_available"]:
            exchange.force_process(0.0, smart_id)
        else:
            assert refusal(partial(exchange.force_process, 0.0, smart_id))[0] == 400
    assert flags == (
        {False} if status in TERMINAL else {True, False} if status == "waiting_targets" else {True}
    )


def test_an_addition_that_is_being_cancelled_is_not_forced() -> None:
    exchange, smart_id = filled(targets=[target("0.2")])
    added = {"order_type": "limit", "units": {"value": "50"}, "price": {"value": "0.05"}}
    exchange.add_funds(10.0, smart_id, added)
    exchange.cancel_trade(10.0, smart_id, exchange.trades[smart_id].additions[0].id)
    exchange.force_process(10.5, smart_id)
    assert [fill.purpose for fill in exchange.fills] == ["position", "take_profit"]


def test_an_addition_that_is_being_cancelled_alone_leaves_nothing_to_force() -> None:
    exchange, smart_id = filled()
    added = {"order_type": "limit", "units": {"value": "50"}, "price": {"value": "0.05"}}
    exchange.add_funds(10.0, smart_id, added)
    exchange.cancel_trade(10.0, smart_id, exchange.trades[smart_id].additions[0].id)
    trade: Any = exchange.get(10.5, smart_id)
    assert trade["data"]["force_process_available"] is False
    assert refusal(lambda: exchange.force_process(10.5, smart_id))[0] == 400


@pytest.mark.parametrize(("action", "shown"), [("close_by_market", False), ("cancel", True)])
def test_a_target_of_a_trade_that_is_being_closed_cannot_be_closed(action: str, shown: bool) -> None:
    exchange, smart_id = filled(targets=[target("0.2")], stop=stop_at("0.1"))
    answer: Any = getattr(exchange, action)(10.0, smart_id)
    (step,) = answer["take_profit"]["steps"]
    # The documented answer to a cancel shows true.
    assert step["data"]["panic_sell_available"] is shown
    listed: list[Any] = exchange.list_trades(10.0, smart_id)
    assert [leg["force_processable"] for leg in listed] == [False, False, False]
    assert refusal(lambda: exchange.close_trade(10.0, smart_id, step["id"]))[0] == 400


@pytest.mark.parametrize(
    ("side", "best", "back"), [("buy", "0.031", "0.03099"), ("sell", "0.029", "0.02901")]
)
def test_a_trailing_distance_is_one_price_step_at_least(side: str, best: str, back: str) -> None:
    trailing = {"trailing": {"enabled": True, "percent": "0.01"}}
    exchange = Exchange()
    exchange.set_price(0.0, DOGE, last="0.03")
    smart_id = opened(exchange, side=side, targets=[target(best, kind="market") | trailing])
    exchange.set_price(11.0, DOGE, last=best)
    assert status_of(exchange, 12.0, smart_id) == "waiting_targets"
    exchange.set_price(13.0, DOGE, last=back)
    assert status_of(exchange, 13.0, smart_id) == "finished"


def test_a_trailing_stop_of_less_than_one_price_step_does_not_fire_at_once() -> None:
    stop = stop_at("0.1")
    stop["conditional"]["trailing"] = {"enabled": True, "percent": "0.001"}
    assert refusal(lambda: Exchange().create(0.0, order(stop=stop)))[0] == 400
    stop["conditional"]["trailing"]["percent"] = "0.01"
    exchange, smart_id = filled(stop=stop)
    assert status_of(exchange, 10.0, smart_id) == "waiting_targets"
    assert exchange.trades[smart_id].stop is not None
    trade: Any = exchange.get(10.0, smart_id)
    assert trade["stop_loss"]["conditional"]["price"]["value"] == "0.10936"


def test_many_trades_of_one_instant_are_not_from_the_future() -> None:
    exchange = Exchange()
    for _ in range(100):
        exchange.create(1.0, order())
    assert {trade.created_at for trade in exchange.trades.values()} == {1.0}


def test_a_negative_number_of_trades_is_refused() -> None:
    with pytest.raises(ValueError, match="trades must not be negative"):
        Sandbox(trades=-5)


def test_units_are_held_against_the_lot_with_all_their_digits() -> None:
    units = Decimal("15." + "0" * 40 + "1")
    status, body = refusal(lambda: Exchange().create(0.0, order(units=units)))
    assert (status, body["error_attributes"]) == (422, POSITION | {"units_to_buy": LOT})
