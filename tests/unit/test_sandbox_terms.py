"""What a create may combine: trailing, distances, instant trades, leverage; and the note."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox_orders import (
    documented,
    exchange_with,
    opened,
    order,
    refusal,
    stop_at,
    target,
    trailing_entry,
)
from threecommas_async.sandbox import EVERY_STATUS, FOREIGN_ACCOUNT, FUTURES_ACCOUNT
from threecommas_async.sandbox.exchange import Exchange

ONLY_TRAILING = ["is allowed only while a trailing entry is not finished"]


def trailing(percent: str) -> dict[str, Any]:
    return {"trailing": {"enabled": True, "percent": percent}}


def attributes_of(parameters: dict[str, Any]) -> Any:
    status, body = refusal(lambda: Exchange().create(0.0, parameters))
    assert (status, body["error"]) == (400, "record_invalid")
    return body["error_attributes"]


def test_only_the_last_target_may_trail() -> None:
    first, last = target("0.2", "50") | trailing("1"), target("0.3", "50") | trailing("1")
    assert attributes_of(order(targets=[first, last])) == {
        "take_profit[steps][0][trailing][enabled]": ["is allowed for the last step only"]
    }
    Exchange().create(0.0, order(targets=[target("0.2", "50"), last]))


@pytest.mark.parametrize(
    ("percent", "message"),
    [
        ("0.009", "must be greater than or equal to 0.01"),
        ("100.01", "must be less than or equal to 100"),
        ("0", "must be greater than 0"),
        ("-1", "must be greater than 0"),
        ("0.01", None),
        ("100", None),
    ],
)
def test_a_trailing_distance_is_a_percentage(percent: str, message: str | None) -> None:
    parameters = order(targets=[target("0.2") | trailing(percent)])
    if message is None:
        Exchange().create(0.0, parameters)
    else:
        assert attributes_of(parameters) == {"take_profit[steps][0][trailing][percent]": [message]}


def test_an_entry_trails_by_99_percent_at_most() -> None:
    Exchange().create(0.0, trailing_entry("0.1", "99"))
    assert attributes_of(trailing_entry("0.1", "99.1")) == {
        "position[conditional][trailing][percent]": ["must be less than or equal to 99"]
    }


def test_distances_are_for_a_trailing_entry_only() -> None:
    distance = target("0.2") | {"price": {"type": "last", "percent": "5"}}
    stop = stop_at("0.1") | {"conditional": {"price": {"type": "last", "percent": "5"}}}
    Exchange().create(0.0, trailing_entry("0.1", targets=[distance], stop=stop))
    assert attributes_of(order(targets=[distance], stop=stop)) == {
        "take_profit[steps][0][price][percent]": ONLY_TRAILING,
        "stop_loss[conditional][price][percent]": ONLY_TRAILING,
    }
    own = trailing_entry("0.1", targets=[distance], skip_enter_step=True)
    assert attributes_of(own) == {"take_profit[steps][0][price][percent]": ONLY_TRAILING}


def test_a_stop_has_one_trigger() -> None:
    both = {"price": {"type": "last", "value": "0.1", "percent": "5"}}
    parameters = trailing_entry("0.1", stop=stop_at("0.1") | {"conditional": both})
    keys = "stop_loss[conditional][price][value],stop_loss[conditional][price][percent]"
    assert attributes_of(parameters) == {keys: ["are mutually exclusive"]}


def test_an_instant_trade_has_neither_targets_nor_a_stop() -> None:
    parameters = order(instant=True, targets=[target("0.2")], stop=stop_at("0.1"))
    assert attributes_of(parameters) == {
        "take_profit[enabled]": ["is not allowed for an instant trade"],
        "stop_loss[enabled]": ["is not allowed for an instant trade"],
    }


def test_a_timeout_is_not_negative() -> None:
    parameters = order(stop=stop_at("0.1") | {"timeout": {"enabled": True, "value": -1}})
    assert attributes_of(parameters) == {"stop_loss[timeout][value]": ["must be greater than or equal to 0"]}


def test_somebody_elses_account_is_refused_as_documented() -> None:
    body = documented("smart_trades.create/403.json")
    foreign = order(account_id=FOREIGN_ACCOUNT.id)
    assert refusal(lambda: Exchange().create(0.0, foreign)) == (403, body)


@pytest.mark.parametrize("leverage", [{"enabled": True, "type": "custom", "value": "12"}, "none"])
def test_leverage_is_ignored_on_a_spot_account(leverage: object) -> None:
    trade: Any = Exchange().create(0.0, order(leverage=leverage))
    assert trade["leverage"] == {"enabled": False}
    assert trade["margin"] == {"amount": None, "total": None}


@pytest.mark.parametrize(
    ("kind", "stored"), [("isolated", "isolated"), ("cross", "cross"), ("custom", "isolated")]
)
def test_leverage_is_shown_on_a_contract_account(kind: str, stored: str) -> None:
    leverage = {"enabled": True, "type": kind, "value": "1"}
    trade: Any = Exchange().create(0.0, order(leverage=leverage, account_id=FUTURES_ACCOUNT.id))
    assert trade["leverage"] == {"enabled": True, "type": stored, "value": "1.0", "type_editable": True}
    assert trade["profit"]["roe"] == "0.0"


def test_a_leveraged_position_has_a_margin_and_a_return_on_it() -> None:
    exchange = Exchange()
    leverage = {"enabled": True, "type": "cross", "value": 4}
    smart_id = opened(exchange, leverage=leverage, account_id=FUTURES_ACCOUNT.id)
    trade: Any = exchange.get(10.0, smart_id)
    assert trade["margin"] == {"amount": "99.9", "total": "2.73825"}
    assert (trade["profit"]["percent"], trade["profit"]["roe"]) == ("-0.34", "-1.36")


@pytest.mark.parametrize(
    ("leverage", "attributes"),
    [
        ({"type": "cross"}, {"leverage[enabled]": ["is missing"]}),
        (
            {"enabled": True},
            {
                "leverage[type]": ["is missing", "does not have a valid value"],
                "leverage[value]": ["is missing"],
            },
        ),
        (
            {"enabled": True, "type": "cros", "value": 0},
            {
                "leverage[type]": ["does not have a valid value"],
                "leverage[value]": ["must be greater than or equal to 1"],
            },
        ),
    ],
)
def test_faulty_leverage_is_named(leverage: dict[str, Any], attributes: dict[str, list[str]]) -> None:
    parameters = order(leverage=leverage, account_id=FUTURES_ACCOUNT.id)
    assert attributes_of(parameters) == attributes


@pytest.mark.parametrize("status", EVERY_STATUS)
def test_a_note_is_set_in_any_state_and_changes_nothing_else(status: str) -> None:
    exchange, smart_id = exchange_with(status)
    before: Any = exchange.get(0.0, smart_id)
    after: Any = exchange.set_note(0.0, smart_id, {"note": "a < b"})
    assert (after["note"], after["note_raw"]) == ("a &lt; b", "a < b")
    for trade in (before, after):
        del trade["note"], trade["note_raw"], trade["data"]["updated_at"]
    assert after == before


@pytest.mark.parametrize(
    ("sent", "messages"),
    [
        ({}, ["is missing"]),
        ({"note": ""}, ["is empty"]),
        ({"note": 7}, ["is invalid"]),
        ({"note": "x" * 301}, ["too long. Max is 300 symbols"]),
    ],
)
def test_a_faulty_note_is_refused_as_documented(sent: dict[str, object], messages: list[str]) -> None:
    exchange, smart_id = exchange_with("waiting_targets")
    sample = documented("smart_trades.set_note/400.json")
    assert refusal(lambda: exchange.set_note(0.0, smart_id, sent)) == (
        400,
        sample | {"error_attributes": {"note": messages}},
    )
    exchange.set_note(0.0, smart_id, {"note": "x" * 300})


def test_a_note_for_an_unknown_trade_is_not_found() -> None:
    body = documented("smart_trades.set_note/404.json")
    assert refusal(lambda: Exchange().set_note(0.0, 5, {"note": "x"})) == (404, body)
