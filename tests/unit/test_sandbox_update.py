from __future__ import annotations

from decimal import Decimal
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
from threecommas_async.sandbox import EVERY_STATUS, FUTURES_ACCOUNT
from threecommas_async.sandbox.exchange import Exchange
from threecommas_async.sandbox.market import Ticker

DOGE = "USDT_DOGE"


def steps_of(trade: Any) -> list[tuple[str, str, str]]:
    return [
        (step["price"]["value"], step["volume"], step["status"]["type"])
        for step in trade["take_profit"]["steps"]
    ]


def test_a_sent_stop_replaces_the_present_one_and_works_after_a_while() -> None:
    exchange, smart_id = filled(targets=[target("0.2")], stop=stop_at("0.1"))
    answer: Any = exchange.update(10.0, smart_id, {"stop_loss": stop_at("0.105")})
    assert answer["stop_loss"]["conditional"]["price"]["value"] == "0.105"
    assert answer["stop_loss"]["status"]["type"] == "idle"
    assert steps_of(answer) == [("0.2", "100.0", "order_placed")]
    assert answer["data"]["updated_at"] == "2025-01-01T00:00:10.000Z"
    active: Any = exchange.get(11.0, smart_id)
    assert active["stop_loss"]["status"]["type"] == "to_process"
    exchange.set_price(12.0, DOGE, last="0.105")
    assert status_of(exchange, 14.0, smart_id) == "stop_loss_finished"


def test_of_a_stop_only_what_is_sent_changes() -> None:
    stop = stop_at("0.1") | {"timeout": {"enabled": True, "value": 30}}
    exchange, smart_id = filled(stop=stop)
    answer: Any = exchange.update(
        10.0, smart_id, {"stop_loss": {"enabled": True, "order_type": "limit", "price": {"value": "0.09"}}}
    )
    assert answer["stop_loss"]["order_type"] == "limit"
    assert answer["stop_loss"]["price"]["value"] == "0.09"
    assert answer["stop_loss"]["conditional"]["price"] == {"value": "0.1", "type": "last", "percent": None}
    assert answer["stop_loss"]["timeout"] == {"enabled": True, "value": 30}


def test_a_stop_that_trailing_has_moved_stays_where_it_is() -> None:
    stop = stop_at("0.05")
    stop["conditional"]["trailing"] = {"enabled": True, "percent": "10"}
    exchange, smart_id = filled(stop=stop)
    exchange.set_price(11.0, DOGE, last="0.2")
    off = {"conditional": {"trailing": {"enabled": False}}}
    answer: Any = exchange.update(
        12.0, smart_id, {"stop_loss": {"enabled": True, "order_type": "market", **off}}
    )
    assert answer["stop_loss"]["conditional"] == {
        "price": {"value": "0.18", "type": "last", "percent": None},
        "trailing": {"enabled": False, "percent": None},
    }


def test_stop_and_targets_can_be_switched_off_and_on() -> None:
    exchange, smart_id = filled(targets=[target("0.2")], stop=stop_at("0.1"))
    off: Any = exchange.update(
        10.0, smart_id, {"stop_loss": {"enabled": False}, "take_profit": {"enabled": False}}
    )
    assert off["stop_loss"] == {"enabled": False}
    assert off["take_profit"] == {"enabled": False, "price_type": "value", "steps": []}
    exchange.set_price(20.0, DOGE, last="0.05")
    exchange.set_price(21.0, DOGE, last="0.3")
    assert status_of(exchange, 30.0, smart_id) == "waiting_targets"
    on = {"take_profit": {"enabled": True, "steps": [target("0.25")]}}
    exchange.update(30.0, smart_id, on)
    assert status_of(exchange, 31.0, smart_id) == "finished"


def test_sent_targets_replace_the_present_ones_and_have_new_ids() -> None:
    exchange, smart_id = filled(targets=[target("0.2", "50"), target("0.3", "50")])
    old = [step.id for step in exchange.trades[smart_id].steps]
    exchange.set_price(11.0, DOGE, last="0.2")
    sent = [target("0.25", "30") | {"id": old[1]}, target("0.4", "70", "market")]
    answer: Any = exchange.update(12.0, smart_id, {"take_profit": {"enabled": True, "steps": sent}})
    assert steps_of(answer)[1:] == [("0.25", "30.0", "idle"), ("0.4", "70.0", "idle")]
    executed, *new = answer["take_profit"]["steps"]
    assert executed["id"] == old[0]
    assert {step["id"] for step in new} & set(old) == set()
    assert [step["units"] for step in new] == [{"value": None}] * 2
    # Shares of the 50.9 that the first of the old targets has left, in whole lots.
    active: Any = exchange.get(13.0, smart_id)
    assert steps_of(active)[1:] == [("0.25", "30.0", "order_placed"), ("0.4", "70.0", "to_process")]
    assert [step["units"]["value"] for step in active["take_profit"]["steps"][1:]] == ["15.0", "35.0"]
    exchange.set_price(14.0, DOGE, last="0.4")
    assert status_of(exchange, 14.0, smart_id) == "finished"


def test_a_target_that_was_being_closed_is_replaced_too() -> None:
    exchange, smart_id = filled(targets=[target("0.2")])
    exchange.close_trade(10.0, smart_id, exchange.trades[smart_id].steps[0].id)
    exchange.update(11.0, smart_id, {"take_profit": {"enabled": True, "steps": [target("0.3")]}})
    assert status_of(exchange, 100.0, smart_id) == "waiting_targets"


def test_the_documented_request_is_accepted_and_answered_as_documented() -> None:
    sample = documented("smart_trades.update/200.json")
    prices = {key: Decimal(value) for key, value in sample["data"]["current_price"].items()}
    exchange = Exchange(tickers={"BTC_1INCH": Ticker(**prices)})
    smart_id = opened(
        exchange,
        kind="limit",
        units="34",
        price="0.00000442",
        pair="BTC_1INCH",
        targets=[target("0.00000508")],
    )
    exchange.advance(10.0)
    request = documented("smart_trades.update/request.json")
    answer: Any = exchange.update(10.0, smart_id, request)
    for trade in (answer, sample):
        for step in trade["take_profit"]["steps"]:
            del step["id"]
            step.pop("closed_at", None)
        for key in ("units", "total", "closed_at"):
            trade["stop_loss"].pop(key, None)
    assert answer["take_profit"] == sample["take_profit"]
    assert answer["stop_loss"] == sample["stop_loss"]
    # What is filled is not edited.
    assert answer["position"]["units"]["value"] == "33.966"


def test_faulty_changes_are_refused_as_documented() -> None:
    exchange, smart_id = filled(targets=[target("0.2")])
    both = target("0.2") | {"price": {"type": "last", "value": "0.2", "percent": "5"}}
    stop = {key: value for key, value in stop_at("0.1").items() if key != "order_type"}
    changes = {"take_profit": {"enabled": True, "steps": [both]}, "stop_loss": stop}
    body = documented("smart_trades.update/400.json")
    assert refusal(lambda: exchange.update(10.0, smart_id, changes)) == (400, body)
    assert [entry.action for entry in exchange.ledger] == ["create"]


@pytest.mark.parametrize(
    ("changes", "status", "attributes"),
    [
        ({"take_profit": {"steps": []}}, 400, {"take_profit[enabled]": ["is missing"]}),
        ({"take_profit": {"enabled": True}}, 400, {"take_profit[steps]": ["is missing"]}),
        (
            {"take_profit": {"enabled": True, "steps": [target("0.2", "99")]}},
            422,
            {"take_profit[steps]": ["total volume must be equal to 100"]},
        ),
        (
            {"stop_loss": stop_at("0.1") | {"breakeven": True}},
            400,
            {"stop_loss[breakeven]": ["needs at least two take profit steps"]},
        ),
        (
            {"stop_loss": {"enabled": True, "order_type": "market"}},
            400,
            {
                "stop_loss[conditional]": ["is missing"],
                "stop_loss[conditional][price]": ["is missing"],
                "stop_loss[conditional][price][type]": ["is missing", "does not have a valid value"],
                "stop_loss[conditional][price][value]": ["is missing"],
            },
        ),
        (
            {
                "stop_loss": {
                    "enabled": True,
                    "order_type": "market",
                    "conditional": {"price": {"type": "last", "percent": "5"}},
                }
            },
            400,
            {
                "stop_loss[conditional][price][percent]": [
                    "is allowed only while a trailing entry is not finished"
                ]
            },
        ),
    ],
)
def test_an_incomplete_or_impossible_change_is_refused(
    changes: dict[str, Any], status: int, attributes: dict[str, list[str]]
) -> None:
    exchange, smart_id = filled()
    code, body = refusal(lambda: exchange.update(10.0, smart_id, changes))
    assert (code, body["error_attributes"]) == (status, attributes)


def test_a_waiting_limit_entry_gets_another_price() -> None:
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", price="0.1")
    answer: Any = exchange.update(5.0, smart_id, {"position": {"price": {"value": "0.105"}}})
    assert answer["position"]["price"]["value"] == "0.105"
    assert answer["position"]["total"]["value"] == "10.5"
    exchange.set_price(6.0, DOGE, last="0.104")
    assert [str(fill.price) for fill in exchange.fills] == ["0.105"]


def test_a_price_outside_of_the_exchange_rules_is_refused_and_changes_nothing() -> None:
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", price="0.1")
    before = exchange.get(5.0, smart_id)
    too_low = {"position": {"price": {"value": "0.001"}}, "stop_loss": stop_at("0.0001")}
    assert refusal(lambda: exchange.update(5.0, smart_id, too_low))[0] == 422
    assert exchange.get(5.0, smart_id) == before


def test_a_waiting_trigger_is_changed_part_by_part() -> None:
    exchange = Exchange()
    trade: Any = exchange.create(0.0, trailing_entry("0.1"))
    changed: Any = exchange.update(
        5.0, trade["id"], {"position": {"conditional": {"price": {"value": "0.12"}}}}
    )
    assert changed["position"]["conditional"] == {
        "editable": True,
        "price": {"value": "0.12", "type": "ask"},
        "order_type": "market",
        "trailing": {"enabled": True, "percent": "1.0"},
    }
    off: Any = exchange.update(
        5.0, trade["id"], {"position": {"conditional": {"trailing": {"enabled": False}}}}
    )
    assert off["position"]["conditional"]["trailing"] == {"enabled": False, "percent": None}
    exchange.set_price(6.0, DOGE, last="0.12")
    assert status_of(exchange, 6.0, trade["id"]) == "waiting_targets"


def test_own_funds_are_valued_anew() -> None:
    exchange, smart_id = filled(price="0.1", skip_enter_step=True, targets=[target("0.2")])
    answer: Any = exchange.update(10.0, smart_id, {"position": {"price": {"value": "0.09"}}})
    assert answer["position"]["price"]["value"] == "0.09"
    assert answer["data"]["entered_total"] == "9.0"


def test_a_market_entry_on_its_way_is_not_edited() -> None:
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", price="0.1")
    exchange.force_start(5.0, smart_id)
    answer: Any = exchange.update(6.0, smart_id, {"position": {"price": {"value": "0.105"}}})
    assert answer["position"]["price"]["value"] == "0.1"
    assert status_of(exchange, 7.0, smart_id) == "waiting_targets"


def test_leverage_is_changed_on_contract_accounts() -> None:
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", price="0.1", account_id=FUTURES_ACCOUNT.id)
    on = {"leverage": {"enabled": True, "type": "cross", "value": 5}}
    answer: Any = exchange.update(5.0, smart_id, on)
    assert answer["leverage"] == {"enabled": True, "type": "cross", "value": "5.0", "type_editable": True}


@pytest.mark.parametrize("status", EVERY_STATUS)
def test_a_trade_is_edited_in_the_documented_states_only(status: str) -> None:
    exchange, smart_id = exchange_with(status)
    trade: Any = exchange.get(0.0, smart_id)
    changes = {"stop_loss": {"enabled": False}}
    if status in {"waiting_position", "waiting_targets"}:
        assert trade["data"]["editable"] is True
        exchange.update(0.0, smart_id, changes)
        (entry,) = exchange.ledger
        assert (entry.action, entry.units) == ("update", Decimal(0))
    else:
        assert trade["data"]["editable"] is False
        assert refusal(lambda: exchange.update(0.0, smart_id, changes))[0] == 400


def test_an_instant_trade_gets_no_stop() -> None:
    exchange = Exchange()
    trade: Any = exchange.create(0.0, order("limit", price="0.1", instant=True))
    _, body = refusal(lambda: exchange.update(5.0, trade["id"], {"stop_loss": stop_at("0.05")}))
    assert body["error_attributes"] == {"stop_loss[enabled]": ["is not allowed for an instant trade"]}


def test_an_unknown_trade_is_not_found() -> None:
    body = documented("smart_trades.get/400.json")
    assert refusal(lambda: Exchange().update(0.0, 5, {})) == (400, body)


def test_a_breakeven_stop_is_edited_after_its_target_is_gone() -> None:
    stop = stop_at("0.1") | {"breakeven": True}
    exchange, smart_id = filled(targets=[target("0.12", "50"), target("0.3", "50")], stop=stop)
    exchange.set_price(11.0, DOGE, last="0.12")
    exchange.update(11.0, smart_id, {"take_profit": {"enabled": True, "steps": [target("0.3")]}})
    answer: Any = exchange.update(12.0, smart_id, {"stop_loss": {"enabled": True, "order_type": "market"}})
    assert answer["stop_loss"]["breakeven"] is True
    assert answer["stop_loss"]["conditional"]["price"]["value"] == "0.10963"
