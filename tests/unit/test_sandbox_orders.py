from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.sandbox_orders import (
    PAPER,
    conditional,
    documented,
    order,
    refusal,
    stop_at,
    target,
    trailing_entry,
)
from threecommas_async.sandbox.exchange import Exchange

BOTH = "take_profit[steps][0][price][value],take_profit[steps][0][price][percent]"


def test_a_foreign_account_is_refused_as_documented() -> None:
    exchange = Exchange()
    body = documented("smart_trades.create/403.json")
    assert refusal(lambda: exchange.create(0.0, order(account_id=1))) == (403, body)
    assert exchange.ledger == []


def test_an_order_over_the_exchange_rules_is_refused_as_documented() -> None:
    exchange = Exchange()
    body = documented("smart_trades.create/422.json")
    parameters = order(units="100000", pair="USDT_BTC", instant=True)
    assert refusal(lambda: exchange.create(0.0, parameters)) == (422, body)
    assert exchange.trades == {}


@pytest.mark.parametrize(
    ("parameters", "attributes"),
    [
        (
            {"account_id": PAPER, "pair": "USDT_DOGE", "instant": True},
            {
                "position": ["is missing"],
                "position[type]": ["is missing", "does not have a valid value"],
                "position[order_type]": ["is missing", "does not have a valid value"],
                "position[units]": ["is missing"],
                "position[units][value]": ["is missing"],
            },
        ),
        (order(account_id=None, pair=None), {"account_id": ["is missing"], "pair": ["is missing"]}),
        (
            {key: value for key, value in order().items() if key not in {"take_profit", "stop_loss"}},
            {
                "take_profit": ["is missing"],
                "take_profit[enabled]": ["is missing"],
                "stop_loss": ["is missing"],
                "stop_loss[enabled]": ["is missing"],
            },
        ),
        (
            order("limit"),
            {"position[price]": ["is missing"], "position[price][value]": ["is missing"]},
        ),
        (order("stop"), {"position[order_type]": ["does not have a valid value"]}),
        (order(units="-1"), {"position[units][value]": ["must be greater than 0"]}),
        (order(units="0"), {"position[units][value]": ["must be greater than 0"]}),
        (order(units="1E-8"), {"position[units][value]": ["is invalid"]}),
        (order(units="NaN"), {"position[units][value]": ["is invalid"]}),
        (order(units=True), {"position[units][value]": ["is invalid"]}),
        (order(units=Decimal("1e999999999")), {"position[units][value]": ["is invalid"]}),
        (order(take_profit={"enabled": True, "steps": []}), {"take_profit[steps]": ["is missing"]}),
        (order(take_profit={"enabled": True}), {"take_profit[steps]": ["is missing"]}),
        (
            order(targets=[{"order_type": "limit", "volume": "100", "price": {"type": "last"}}]),
            {BOTH: ["are missing, exactly one parameter must be provided"]},
        ),
        (
            order(
                targets=[target("0.2") | {"price": {"type": "bid", "value": "1", "percent": "5"}}],
                stop={"enabled": True, "conditional": {"price": {"type": "bid", "value": "1"}}},
            ),
            {
                BOTH: ["are mutually exclusive"],
                "stop_loss[order_type]": ["is missing", "does not have a valid value"],
            },
        ),
        (order(note="x" * 301), {"note": ["too long. Max is 300 symbols"]}),
    ],
)
def test_faulty_parameters_are_named_in_bracket_style(
    parameters: dict[str, Any], attributes: dict[str, list[str]]
) -> None:
    exchange = Exchange()
    assert refusal(lambda: exchange.create(0.0, parameters)) == (
        400,
        {
            "error": "record_invalid",
            "error_description": "Invalid parameters",
            "error_attributes": attributes,
        },
    )
    assert exchange.ledger == []


@pytest.mark.parametrize(
    ("units", "price", "pair", "attributes"),
    [
        ("9000", "1000", "USDT_BTC", None),
        ("9000.00001", "900", "USDT_BTC", {"units_to_buy": ["must be less than or equal to 9000.0"]}),
        ("9", "1000000.01", "USDT_BTC", {"position.total": ["must be less than or equal to 9000000.0"]}),
        ("1", "5", "USDT_BTC", None),
        ("1", "4.99", "USDT_BTC", {"position.total": ["must be greater than or equal to 5.0"]}),
    ],
)
def test_the_bounds_of_the_exchange_rules_are_inclusive(
    units: str, price: str, pair: str, attributes: dict[str, list[str]] | None
) -> None:
    exchange = Exchange()
    parameters = order("limit", units=units, price=price, pair=pair)
    if attributes is None:
        exchange.create(0.0, parameters)
        assert len(exchange.ledger) == 1
    else:
        _, body = refusal(lambda: exchange.create(0.0, parameters))
        assert body["error_attributes"] == {"position": ["is invalid"], **attributes}


def test_eight_targets_are_accepted_and_nine_are_not() -> None:
    eight = order(targets=[target("0.2", "12.5")] * 8)
    nine = order(targets=[target("0.2", "10")] * 9)
    Exchange().create(0.0, eight)
    _, body = refusal(lambda: Exchange().create(0.0, nine))
    assert body["error_attributes"] == {"take_profit[steps]": ["size cannot be greater than 8"]}


def test_a_note_of_300_characters_is_accepted() -> None:
    assert Exchange().create(0.0, order(note="x" * 300))["note_raw"] == "x" * 300


def test_breakeven_needs_two_targets() -> None:
    stop = stop_at("0.1") | {"breakeven": True}
    two: Any = Exchange().create(0.0, order(targets=[target("0.2", "50"), target("0.3", "50")], stop=stop))
    assert two["stop_loss"]["breakeven"] is True
    _, body = refusal(lambda: Exchange().create(0.0, order(targets=[target("0.2")], stop=stop)))
    assert body["error_attributes"] == {"stop_loss[breakeven]": ["needs at least two take profit steps"]}


def test_a_timeout_of_the_stop_needs_its_seconds() -> None:
    on = {"timeout": {"enabled": True}}
    _, body = refusal(lambda: Exchange().create(0.0, order(stop=stop_at("0.1") | on)))
    assert body["error_attributes"] == {"stop_loss[timeout][value]": ["is missing"]}
    off = {"timeout": {"enabled": False, "value": 90}}
    rendered: list[Any] = [
        Exchange().create(0.0, order(stop=stop_at("0.1") | timeout))["stop_loss"]
        for timeout in ({"timeout": {"enabled": True, "value": "90"}}, off)
    ]
    assert [stop["timeout"] for stop in rendered] == [
        {"enabled": True, "value": 90},
        {"enabled": False, "value": None},
    ]


def test_a_limit_stop_needs_its_price() -> None:
    limit = stop_at("0.1") | {"order_type": "limit"}
    _, body = refusal(lambda: Exchange().create(0.0, order(stop=limit)))
    assert body["error_attributes"] == {
        "stop_loss[price]": ["is missing"],
        "stop_loss[price][value]": ["is missing"],
    }
    trade: Any = Exchange().create(0.0, order(stop=limit | {"price": {"value": "0.099"}}))
    assert trade["stop_loss"]["price"] == {"value": "0.099", "percent": None}


@pytest.mark.parametrize(("side", "price"), [("buy", "0.095"), ("sell", "0.105")])
@pytest.mark.parametrize("percent", ["5", "-5"])
def test_a_distance_of_the_stop_lies_on_the_losing_side(side: str, price: str, percent: str) -> None:
    stop = stop_at("1") | {"conditional": {"price": {"type": "last", "percent": percent}}}
    trade: Any = Exchange().create(0.0, trailing_entry("0.1", side=side, stop=stop))
    assert trade["stop_loss"]["conditional"]["price"] == {
        "value": price,
        "type": "last",
        "percent": f"{percent}.0",
    }


def test_a_stop_needs_a_trigger() -> None:
    stop = {"enabled": True, "order_type": "market"}
    _, body = refusal(lambda: Exchange().create(0.0, order(stop=stop)))
    assert body["error_attributes"] == {
        "stop_loss[conditional]": ["is missing"],
        "stop_loss[conditional][price]": ["is missing"],
        "stop_loss[conditional][price][type]": ["is missing", "does not have a valid value"],
        "stop_loss[conditional][price][value]": ["is missing"],
    }


def test_trailing_needs_its_distance_and_is_shown() -> None:
    trailing = target("0.2") | {"trailing": {"enabled": True}}
    _, body = refusal(lambda: Exchange().create(0.0, order(targets=[trailing])))
    assert body["error_attributes"] == {"take_profit[steps][0][trailing][percent]": ["is missing"]}
    trailing["trailing"] = {"enabled": True, "percent": "0.5"}
    trade: Any = Exchange().create(0.0, order(targets=[trailing]))
    assert trade["take_profit"]["steps"][0]["trailing"] == {"enabled": True, "percent": "0.5"}


@pytest.mark.parametrize(("side", "watched"), [("buy", "ask"), ("sell", "bid")])
def test_a_conditional_market_entry_is_planned_at_its_trigger(side: str, watched: str) -> None:
    parameters = conditional(value="0.12")
    parameters["position"]["type"] = side
    trade: Any = Exchange().create(0.0, parameters)
    assert trade["position"]["price"]["value"] == "0.12"
    assert trade["position"]["conditional"] == {
        "editable": False,
        "price": {"value": "0.12", "type": watched},
        "order_type": "market",
        "trailing": {"enabled": False, "percent": None},
    }


@pytest.mark.parametrize(
    ("parameters", "attributes"),
    [
        (
            order("conditional"),
            {
                "position[conditional]": ["is missing"],
                "position[conditional][price]": ["is missing"],
                "position[conditional][order_type]": ["is missing", "does not have a valid value"],
                "position[conditional][price][value]": ["is missing"],
            },
        ),
        (
            conditional("limit", value="0.12"),
            {"position[price]": ["is missing"], "position[price][value]": ["is missing"]},
        ),
    ],
)
def test_a_conditional_entry_needs_its_trigger(
    parameters: dict[str, Any], attributes: dict[str, list[str]]
) -> None:
    _, body = refusal(lambda: Exchange().create(0.0, parameters))
    assert body["error_attributes"] == attributes


def test_unusable_groups_lists_and_texts_are_named() -> None:
    parameters = order(pair=7, note=7, instant="yes", stop_loss="off")
    parameters["take_profit"] = {"enabled": True, "steps": [7]}
    _, body = refusal(lambda: Exchange().create(0.0, parameters))
    assert body["error_attributes"] == {
        "pair": ["is invalid", "is missing"],
        "instant": ["is invalid"],
        "take_profit[steps][0][price]": ["is missing"],
        BOTH: ["are missing, exactly one parameter must be provided"],
        "take_profit[steps][0][order_type]": ["is missing", "does not have a valid value"],
        "take_profit[steps][0][volume]": ["is missing"],
        "take_profit[steps][0][price][type]": ["is missing", "does not have a valid value"],
        "stop_loss": ["is invalid"],
        "stop_loss[enabled]": ["is missing"],
        "note": ["is invalid"],
    }


def test_an_unknown_pair_is_refused() -> None:
    status, body = refusal(lambda: Exchange().create(0.0, order(pair="USDT_NONE")))
    assert (status, body["error_attributes"]) == (422, {"pair": ["is invalid"]})


def test_target_volumes_must_add_up_to_100() -> None:
    parameters = order(targets=[target("0.2", "60"), target("0.3", "30")])
    assert refusal(lambda: Exchange().create(0.0, parameters))[0] == 422


def test_numbers_are_taken_as_json_numbers_too() -> None:
    exchange = Exchange()
    exchange.create(0.0, order("limit", units=Decimal("15.5"), price=1, pair="USDT_1INCH"))
    assert exchange.ledger[0].units == Decimal("15.5")
