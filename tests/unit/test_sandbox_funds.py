"""Adding to a position and taking from it, on a long of 99.9 DOGE entered for 10.953 USDT."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from tests.sandbox_orders import (
    documented,
    exchange_with,
    filled,
    opened,
    order,
    refusal,
    status_of,
    stop_at,
    target,
    trailing_entry,
)
from threecommas_async.endpoints import REDUCE_FUNDS_INFO
from threecommas_async.sandbox import EVERY_STATUS
from threecommas_async.sandbox.exchange import Exchange

DOGE = "USDT_DOGE"


def funds(units: str, price: str | None = None) -> dict[str, Any]:
    if price is None:
        return {"order_type": "market", "units": {"value": units}}
    return {"order_type": "limit", "units": {"value": units}, "price": {"value": price}}


def test_added_funds_change_amounts_averages_and_targets() -> None:
    exchange, smart_id = filled(targets=[target("0.2", "50"), target("0.3", "50")])
    exchange.set_price(11.0, DOGE, last="0.09", ask="0.1")
    accepted: Any = exchange.add_funds(11.0, smart_id, funds("50"))
    assert accepted["status"]["type"] == "waiting_targets"
    assert accepted["data"]["entered_amount"] == "99.9"
    trade: Any = exchange.get(13.0, smart_id)
    # 150 ordered, 149.85 got, 10.953 and 5 paid.
    assert trade["data"]["entered_amount"] == trade["position"]["units"]["value"] == "149.85"
    assert trade["data"]["entered_total"] == trade["position"]["total"]["value"] == "15.953"
    assert trade["data"]["average_enter_price"] == "0.10645"
    assert trade["data"]["average_enter_price_without_commission"] == "0.10635"
    assert [step["units"]["value"] for step in trade["take_profit"]["steps"]] == ["74.0", "74.0"]
    assert [fill.purpose for fill in exchange.fills] == ["position", "position"]


def test_limit_funds_wait_for_their_price_and_can_be_cancelled() -> None:
    exchange, smart_id = filled(targets=[target("0.2")])
    exchange.add_funds(10.0, smart_id, funds("50", "0.1"))
    exchange.add_funds(10.0, smart_id, funds("70", "0.1"))
    second: Any = exchange.list_trades(10.0, smart_id)[-1]
    assert (second["trade_purpose"], second["initial_amount"]) == ("position", "70.0")
    assert (second["order_price"], second["cancelable"]) == ("0.1", True)
    exchange.cancel_trade(10.0, smart_id, second["id"])
    exchange.set_price(12.0, DOGE, last="0.1")
    assert [fill.units for fill in exchange.fills] == [Decimal(100), Decimal(50)]


def test_funds_added_before_the_entry_follow_it() -> None:
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", price="0.1")
    exchange.add_funds(5.0, smart_id, funds("50"))
    assert status_of(exchange, 50.0, smart_id) == "waiting_position"
    exchange.set_price(60.0, DOGE, last="0.1")
    exchange.advance(62.0)
    assert [(fill.at, fill.units) for fill in exchange.fills] == [(60.0, Decimal(100)), (62.0, Decimal(50))]


def test_a_target_given_as_a_distance_moves_with_the_average() -> None:
    distance = {"order_type": "limit", "volume": "100", "price": {"type": "last", "percent": "5"}}
    exchange = Exchange()
    parameters = trailing_entry("0.1", "0.01", targets=[distance])
    trade: Any = exchange.create(0.0, parameters)
    exchange.set_price(2.0, DOGE, last="0.1", ask="0.1")
    exchange.set_price(3.0, DOGE, last="0.1001", ask="0.1001")
    before: Any = exchange.get(3.0, trade["id"])
    assert before["take_profit"]["steps"][0]["price"] == {
        "type": "last",
        "value": "0.10521",
        "percent": "5.0",
    }
    exchange.set_price(4.0, DOGE, last="0.08", ask="0.08")
    exchange.add_funds(4.0, trade["id"], funds("100"))
    after: Any = exchange.get(6.0, trade["id"])
    assert after["data"]["average_enter_price"] == "0.09014"
    assert after["take_profit"]["steps"][0]["price"]["value"] == "0.09465"


def test_missing_parameters_of_added_funds_are_refused_as_documented() -> None:
    exchange, smart_id = filled()
    body = documented("smart_trades.add_funds/400.json")
    assert refusal(lambda: exchange.add_funds(10.0, smart_id, {})) == (400, body)
    limit = {"order_type": "limit", "units": {"value": "50"}}
    _, body = refusal(lambda: exchange.add_funds(10.0, smart_id, limit))
    assert body["error_attributes"] == {"price": ["is missing"], "price[value]": ["is missing"]}


@pytest.mark.parametrize(
    ("parameters", "attributes"),
    [
        (funds("50.5"), {"units": ["must be a multiple of 1"]}),
        (funds("50", "0.100001"), {"price": ["must be a multiple of 0.00001"]}),
        (funds("9"), {"total": ["must be greater than or equal to 1.0"]}),
        (funds("9", "0.1"), {"total": ["must be greater than or equal to 1.0"]}),
        (funds("8000000", "9"), {"total": ["must be less than or equal to 9000000.0"]}),
        (funds("9000001"), {"units": ["must be less than or equal to 9000000.0"]}),
    ],
)
def test_added_funds_outside_of_the_exchange_rules_are_refused(
    parameters: dict[str, Any], attributes: dict[str, list[str]]
) -> None:
    exchange, smart_id = filled()
    sample = documented("smart_trades.add_funds/422.json")
    assert refusal(lambda: exchange.add_funds(10.0, smart_id, parameters)) == (
        422,
        sample | {"error_attributes": attributes},
    )
    assert len(exchange.ledger) == 1


@pytest.mark.parametrize("call", ["add_funds", "reduce_funds"])
@pytest.mark.parametrize(
    ("price", "message"),
    [("0.09", "must be greater than or equal to 0.1"), ("0.21", "must be less than or equal to 0.2")],
)
def test_a_price_outside_of_the_band_is_refused_whatever_the_order(
    call: str, price: str, message: str
) -> None:
    exchange = Exchange()
    exchange.set_rules(DOGE, {"minPrice": "0.1", "maxPrice": "0.2"})
    smart_id = opened(exchange)
    exchange.advance(10.0)
    status, body = refusal(lambda: getattr(exchange, call)(10.0, smart_id, funds("50", price)))
    assert (status, body["error_attributes"]) == (422, {"price": [message]})
    assert len(exchange.ledger) == 1


TOO_SMALL = {"entered_amount": ["Too small"]}
TOO_LARGE = {"entered_amount": ["must be less than or equal to 90.757560797220698482355092338"]}


@pytest.mark.parametrize(
    ("parameters", "attributes"),
    [
        (funds("50.5"), {"units": ["must be a multiple of 1"]}),
        (funds("50", "0.100001"), {"price": ["must be a multiple of 0.00001"]}),
        (funds("9"), TOO_SMALL),
        (funds("9", "0.1"), TOO_SMALL),
        (funds("91"), TOO_LARGE),
        (funds("9000001", "9"), TOO_LARGE),
    ],
)
def test_a_reduction_outside_of_the_exchange_rules_is_refused(
    parameters: dict[str, Any], attributes: dict[str, list[str]]
) -> None:
    exchange, smart_id = filled()
    sample = documented("smart_trades.reduce_funds/422.json")
    assert sample["error_attributes"] == TOO_SMALL
    assert refusal(lambda: exchange.reduce_funds(10.0, smart_id, parameters)) == (
        422,
        sample | {"error_attributes": attributes},
    )
    assert len(exchange.ledger) == 1


def test_all_that_is_held_can_be_given_up_though_it_is_no_whole_lot() -> None:
    exchange, smart_id = filled(targets=[target("0.2")])
    exchange.reduce_funds(10.0, smart_id, funds("99.9"))
    assert status_of(exchange, 13.0, smart_id) == "finished"
    assert [fill.units for fill in exchange.fills] == [Decimal(100), Decimal("99.9")]


def test_a_limit_reduction_that_waits_can_be_cancelled() -> None:
    exchange, smart_id = filled(targets=[target("0.2")])
    accepted: Any = exchange.reduce_funds(10.0, smart_id, funds("40", "0.12"))
    (step,) = accepted["reduce_funds"]["steps"]
    assert step["data"] == {"cancelable": False, "panic_sell_available": False}
    assert refusal(lambda: exchange.cancel_trade(10.0, smart_id, step["id"]))[0] == 400
    placed: Any = exchange.get(11.0, smart_id)
    assert placed["reduce_funds"]["steps"][0]["data"]["cancelable"] is True
    exchange.cancel_trade(11.0, smart_id, step["id"])
    exchange.set_price(11.5, DOGE, last="0.13")
    assert status_of(exchange, 11.9, smart_id) == "reduce_funds_in_progress"
    gone: Any = exchange.get(12.0, smart_id)
    assert (gone["status"]["type"], gone["reduce_funds"]) == ("waiting_targets", {"steps": []})
    assert gone["take_profit"]["steps"][0]["units"]["value"] == "99.0"
    assert [fill.purpose for fill in exchange.fills] == ["position"]


def test_a_market_reduction_is_not_cancelled() -> None:
    exchange, smart_id = filled()
    accepted: Any = exchange.reduce_funds(10.0, smart_id, funds("40"))
    step = accepted["reduce_funds"]["steps"][0]["id"]
    assert refusal(lambda: exchange.cancel_trade(11.0, smart_id, step))[0] == 400


@pytest.mark.parametrize(
    "parameters",
    [
        order("limit", price="0.1", instant=True),
        trailing_entry("0.1"),
        order(targets=[target("0.2", kind="market") | {"trailing": {"enabled": True, "percent": "1"}}]),
        order(
            stop={
                "enabled": True,
                "order_type": "market",
                "conditional": {
                    "price": {"type": "last", "value": "0.05"},
                    "trailing": {"enabled": True, "percent": "99"},
                },
            }
        ),
    ],
    ids=["a simple buy", "a trailing entry", "a trailing target", "a trailing stop"],
)
def test_funds_are_not_added_to(parameters: dict[str, Any]) -> None:
    exchange = Exchange()
    trade: Any = exchange.create(0.0, parameters)
    shown: Any = exchange.get(10.0, trade["id"])
    assert shown["data"]["add_funds_available"] is False
    assert refusal(lambda: exchange.add_funds(10.0, trade["id"], funds("50"))) == (
        400,
        {"error": "Wrong param(s)", "error_description": "Add funds is not allowed in the current status"},
    )


@pytest.mark.parametrize("status", EVERY_STATUS)
def test_funds_are_added_and_reduced_in_the_documented_states_only(status: str) -> None:
    exchange, smart_id = exchange_with(status)
    pair = exchange.trades[smart_id].order.pair
    bounds = {"USDT_BTC": "0.0002", "USDT_ETH": "0.002", "BTC_ETH": "0.003"}
    few = funds(bounds.get(pair, "20"))
    taken = {"waiting_position": {"add_funds"}, "waiting_targets": {"add_funds", "reduce_funds"}}
    for call in ("add_funds", "reduce_funds"):
        exchange, smart_id = exchange_with(status)
        act = getattr(exchange, call)
        if call in taken.get(status, set()):
            act(0.0, smart_id, few)
            assert [(entry.action, entry.side) for entry in exchange.ledger] == [
                (call, "buy" if call == "add_funds" else "sell")
            ]
        else:
            assert refusal(partial(act, 0.0, smart_id, few))[0] == 400


def test_reduced_funds_go_through_their_states_and_are_closed_in_the_sums() -> None:
    exchange, smart_id = filled(targets=[target("0.2", "50"), target("0.3", "50")])
    first: Any = exchange.reduce_funds(10.0, smart_id, funds("40"))
    assert first["status"]["type"] == "pending_reduce_funds"
    assert first["take_profit"]["steps"][0]["units"]["value"] == "49.0"
    (step,) = first["reduce_funds"]["steps"]
    assert (step["type"], step["status"]["type"], step["units"]["value"]) == ("market", "idle", "40.0")
    assert status_of(exchange, 11.0, smart_id) == "reduce_funds_in_progress"
    assert status_of(exchange, 12.9, smart_id) == "reduce_funds_in_progress"
    trade: Any = exchange.get(13.0, smart_id)
    assert trade["status"]["type"] == "waiting_targets"
    assert trade["reduce_funds"]["steps"][0]["status"]["type"] == "finished"
    assert trade["reduce_funds"]["steps"][0]["closed_at"] == "2025-01-01T00:00:13.000Z"
    assert (trade["data"]["entered_amount"], trade["data"]["closed_amount"]) == ("99.9", "40.0")
    assert trade["data"]["closed_total"] == "4.3708248"  # 40 x 0.10938 less 0.1 %.
    assert [step["units"]["value"] for step in trade["take_profit"]["steps"]] == ["29.0", "29.0"]


def test_a_limit_reduction_waits_for_its_price_and_the_stop_works_on() -> None:
    exchange, smart_id = filled(stop=stop_at("0.1"))
    exchange.reduce_funds(10.0, smart_id, funds("40", "0.12"))
    assert status_of(exchange, 100.0, smart_id) == "reduce_funds_in_progress"
    exchange.set_price(101.0, DOGE, last="0.1")
    assert status_of(exchange, 103.0, smart_id) == "stop_loss_finished"
    assert [fill.purpose for fill in exchange.fills] == ["position", "stop_loss"]


def test_a_limit_reduction_is_executed_at_its_price() -> None:
    exchange, smart_id = filled(stop=stop_at("0.1"))
    exchange.reduce_funds(10.0, smart_id, funds("40", "0.12"))
    exchange.set_price(20.0, DOGE, last="0.13")
    assert status_of(exchange, 20.0, smart_id) == "waiting_targets"
    fill = exchange.fills[1]
    assert (fill.purpose, fill.units, fill.price) == ("reduce_funds", Decimal(40), Decimal("0.12"))


def test_a_reduction_takes_no_more_than_targets_have_left() -> None:
    exchange, smart_id = filled(targets=[target("0.12", "50"), target("0.3", "50")])
    exchange.reduce_funds(10.0, smart_id, funds("90", "0.13"))
    exchange.set_price(20.0, DOGE, last="0.12")
    assert status_of(exchange, 20.0, smart_id) == "reduce_funds_in_progress"
    exchange.set_price(21.0, DOGE, last="0.13")
    assert [fill.units for fill in exchange.fills] == [Decimal(100), Decimal(49), Decimal("50.9")]
    assert status_of(exchange, 21.0, smart_id) == "finished"


def test_the_stop_takes_orders_for_funds_off_the_exchange() -> None:
    exchange, smart_id = filled(stop=stop_at("0.1"))
    exchange.add_funds(10.0, smart_id, funds("50", "0.05"))
    exchange.reduce_funds(10.0, smart_id, funds("50", "0.2"))
    exchange.set_price(20.0, DOGE, last="0.1")
    listed: list[Any] = exchange.list_trades(20.0, smart_id)
    assert [trade["status"] for trade in listed[2:]] == ["cancelled", "cancelled"]
    trade: Any = exchange.get(20.0, smart_id)
    assert trade["reduce_funds"] == {"steps": []}


def test_what_can_be_reduced_leaves_the_smallest_order() -> None:
    exchange, smart_id = filled()
    info = exchange.reduce_funds_info(10.0, smart_id)
    # 99.9 less 1 / 0.10938, rounded down to 27 decimals.
    assert info == {"max_reduce_funds_amount": "90.757560797220698482355092338"}
    assert REDUCE_FUNDS_INFO.decode(b'{"max_reduce_funds_amount":"90.7"}').max_reduce_funds_amount > 90
    most = str(info["max_reduce_funds_amount"])
    assert refusal(lambda: exchange.reduce_funds(10.0, smart_id, funds("90.7575607972207")))[0] == 422
    exchange.reduce_funds(10.0, smart_id, funds(most))
    assert status_of(exchange, 13.0, smart_id) == "waiting_targets"


@pytest.mark.parametrize("status", [status for status in EVERY_STATUS if status != "waiting_targets"])
def test_reductions_in_the_wrong_state_are_refused_as_documented(status: str) -> None:
    exchange, smart_id = exchange_with(status)
    body = documented("smart_trades.reduce_funds_info/400.json")
    assert refusal(lambda: exchange.reduce_funds_info(0.0, smart_id)) == (400, body)
    assert refusal(lambda: exchange.reduce_funds(0.0, smart_id, funds("40"))) == (400, body)


@pytest.mark.parametrize("call", ["add_funds", "reduce_funds"])
def test_funds_of_an_unknown_trade_are_not_found(call: str) -> None:
    body = documented("smart_trades.reduce_funds_info/404.json")
    assert refusal(lambda: getattr(Exchange(), call)(0.0, 5, funds("50"))) == (404, body)
    assert refusal(lambda: Exchange().reduce_funds_info(0.0, 5)) == (404, body)


def test_of_too_small_a_position_nothing_can_be_reduced() -> None:
    exchange, smart_id = filled(units="10")
    exchange.set_price(10.0, DOGE, last="0.05")
    assert exchange.reduce_funds_info(10.0, smart_id) == {"max_reduce_funds_amount": "0.0"}
