"""Targets as a plan: what is history, what is too small, what a cancelled one leaves."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.sandbox_orders import (
    filled,
    opened,
    order,
    refusal,
    status_of,
    stop_at,
    target,
)
from threecommas_async.sandbox.exchange import Exchange

DOGE = "USDT_DOGE"
BREAKEVEN = stop_at("0.1") | {"breakeven": True}
NOT_100 = {"take_profit[steps]": ["total volume must be equal to 100"]}


def with_first_executed(**what: Any) -> tuple[Exchange, int, list[int]]:
    """Return a trade whose target at 0.12 was executed for 49 of 99.9, and the ids of both targets."""
    exchange, smart_id = filled(targets=[target("0.12", "50"), target("0.2", "50")], **what)
    ids = [step.id for step in exchange.trades[smart_id].steps]
    exchange.set_price(11.0, DOGE, last="0.12")
    return exchange, smart_id, ids


def changed(exchange: Exchange, now: float, smart_id: int, *steps: dict[str, Any]) -> list[Any]:
    answer: Any = exchange.update(now, smart_id, {"take_profit": {"enabled": True, "steps": list(steps)}})
    listed: list[Any] = answer["take_profit"]["steps"]
    return listed


def exits(exchange: Exchange) -> list[Decimal]:
    return [fill.units for fill in exchange.fills[1:]]


def listed_units(exchange: Exchange, now: float, smart_id: int) -> list[str]:
    trade: Any = exchange.get(now, smart_id)
    return [step["units"]["value"] for step in trade["take_profit"]["steps"]]


def trigger_of(exchange: Exchange, now: float, smart_id: int) -> str:
    trade: Any = exchange.get(now, smart_id)
    return str(trade["stop_loss"]["conditional"]["price"]["value"])


def test_an_executed_target_that_is_sent_again_is_not_executed_again() -> None:
    exchange, smart_id, (first, second) = with_first_executed()
    sent = target("0.12", "50") | {"id": first}, target("0.2", "50") | {"id": second}
    done, new = changed(exchange, 12.0, smart_id, *sent)
    assert (done["id"], done["status"]["type"], done["units"]["value"]) == (first, "finished", "49.0")
    assert done["closed_at"] == "2025-01-01T00:00:11.000Z"
    assert new["id"] != second
    exchange.advance(20.0)
    assert exits(exchange) == [Decimal(49)]
    assert status_of(exchange, 20.0, smart_id) == "waiting_targets"
    exchange.set_price(21.0, DOGE, last="0.2")
    assert exits(exchange) == [Decimal(49), Decimal("50.9")]
    assert status_of(exchange, 21.0, smart_id) == "finished"


def test_an_executed_target_stays_as_it_was_whatever_is_sent_for_it() -> None:
    exchange, smart_id, (first, _) = with_first_executed()
    done, _ = changed(exchange, 12.0, smart_id, target("0.3", "7") | {"id": first}, target("0.2", "50"))
    assert (done["price"]["value"], done["volume"]) == ("0.12", "50.0")


@pytest.mark.parametrize(
    ("volumes", "units"),
    [(("20", "30"), ["49.0", "19.0", "29.0"]), (("20", "80"), ["49.0", "10.0", "40.0"])],
    ids=["with the executed one", "of what is held"],
)
def test_new_targets_add_up_with_the_executed_one_or_alone(
    volumes: tuple[str, str], units: list[str]
) -> None:
    exchange, smart_id, (first, _) = with_first_executed()
    steps = changed(exchange, 12.0, smart_id, *(target("0.2", volume) for volume in volumes))
    assert steps[0]["id"] == first
    assert listed_units(exchange, 13.0, smart_id) == units


@pytest.mark.parametrize("volumes", [("20", "31"), ("50", "51"), ("100",)])
def test_targets_that_do_not_add_up_with_a_repeated_one_are_refused(volumes: tuple[str, ...]) -> None:
    exchange, smart_id, (first, _) = with_first_executed()
    sent = [target("0.12", "50") | {"id": first}, *(target("0.2", volume) for volume in volumes)]
    take_profit = {"take_profit": {"enabled": True, "steps": sent}}
    status, body = refusal(lambda: exchange.update(12.0, smart_id, take_profit))
    assert (status, body["error_attributes"]) == (422, NOT_100)


def test_executed_targets_of_an_earlier_plan_can_be_sent_back_too() -> None:
    exchange, smart_id, (first, _) = with_first_executed()
    changed(exchange, 12.0, smart_id, target("0.15", "40"), target("0.2", "60"))
    exchange.set_price(14.0, DOGE, last="0.15")
    assert exits(exchange) == [Decimal(49), Decimal(20)]
    trade: Any = exchange.get(14.0, smart_id)
    shown = trade["take_profit"]["steps"]
    assert [step["volume"] for step in shown] == ["50.0", "40.0", "60.0"]
    for step in shown:
        del step["price"]["percent"]
    again = changed(exchange, 15.0, smart_id, *shown)
    assert [step["id"] for step in again[:2]] == [first, shown[1]["id"]]
    exchange.set_price(17.0, DOGE, last="0.2")
    assert exits(exchange) == [Decimal(49), Decimal(20), Decimal("30.9")]


def test_executed_targets_are_listed_again_when_targets_are_switched_on_again() -> None:
    exchange, smart_id, (first, _) = with_first_executed()
    off: Any = exchange.update(12.0, smart_id, {"take_profit": {"enabled": False}})
    assert off["take_profit"]["steps"] == []
    steps = changed(exchange, 13.0, smart_id, target("0.12", "50") | {"id": first}, target("0.2", "50"))
    assert [step["status"]["type"] for step in steps] == ["finished", "idle"]


def test_breakeven_is_not_armed_by_a_target_that_was_closed_by_hand() -> None:
    exchange, smart_id = filled(targets=[target("0.12", "50"), target("0.2", "50")], stop=BREAKEVEN)
    exchange.close_trade(10.0, smart_id, exchange.trades[smart_id].steps[0].id)
    exchange.set_price(13.0, DOGE, last="0.115")
    assert exits(exchange) == [Decimal(49)]
    assert trigger_of(exchange, 13.0, smart_id) == "0.1"


def test_breakeven_is_not_armed_by_a_forced_target() -> None:
    exchange, smart_id = filled(targets=[target("0.12", "50"), target("0.2", "50")], stop=BREAKEVEN)
    exchange.force_process(10.0, smart_id)
    exchange.set_price(13.0, DOGE, last="0.115")
    assert trigger_of(exchange, 13.0, smart_id) == "0.1"


def test_breakeven_waits_until_the_market_is_on_the_winning_side() -> None:
    # The target lies below the entry of 0.10963: it is executed as it is placed.
    exchange, smart_id = filled(targets=[target("0.105", "50"), target("0.2", "50")], stop=BREAKEVEN)
    assert exits(exchange) == [Decimal(49)]
    assert status_of(exchange, 10.0, smart_id) == "waiting_targets"
    assert trigger_of(exchange, 10.0, smart_id) == "0.1"
    exchange.set_price(11.0, DOGE, last="0.10963")
    assert trigger_of(exchange, 11.0, smart_id) == "0.1"
    exchange.set_price(12.0, DOGE, last="0.10964")
    assert trigger_of(exchange, 12.0, smart_id) == "0.10963"
    exchange.set_price(13.0, DOGE, last="0.10963")
    assert status_of(exchange, 13.0, smart_id) == "stop_loss_in_progress"


def test_a_target_of_less_than_one_lot_is_refused() -> None:
    targets = [target("0.12", "5"), target("0.2", "95")]
    status, body = refusal(lambda: Exchange().create(0.0, order(units="15", targets=targets)))  # 0.7 lots
    assert (status, body["error"]) == (422, "record_invalid")
    assert body["error_attributes"] == {"take_profit[steps][0][volume]": ["is too small"]}


def test_a_target_of_several_lots_is_taken() -> None:
    exchange = Exchange()
    opened(exchange, units="100", targets=[target("0.12", "5"), target("0.2", "95")])
    assert [entry.action for entry in exchange.ledger] == ["create"]


def test_the_fee_counts_where_a_target_is_exactly_one_lot() -> None:
    ten_percent = [target("0.12", "10"), target("0.2", "90")]
    assert refusal(lambda: Exchange().create(0.0, order(units="10", targets=ten_percent)))[0] == 422
    # A short pays its fee in quote, and what the user brought has paid it.
    Exchange().create(0.0, order(units="10", side="sell", targets=ten_percent))
    Exchange().create(0.0, order(units="10", skip_enter_step=True, targets=ten_percent))


@pytest.mark.parametrize("entered", [True, False])
def test_a_new_target_of_less_than_one_lot_is_refused_by_its_place_in_the_list(entered: bool) -> None:
    exchange = Exchange()
    kind, price = ("market", None) if entered else ("limit", "0.1")
    smart_id = opened(exchange, kind=kind, price=price, units="15")
    sent = [target("0.3", "96"), target("0.4", "4")]
    take_profit = {"take_profit": {"enabled": True, "steps": sent}}
    status, body = refusal(lambda: exchange.update(10.0, smart_id, take_profit))
    assert status == 422
    assert body["error_attributes"] == {"take_profit[steps][1][volume]": ["is too small"]}


def reduced_to_a_tenth(**what: Any) -> tuple[Exchange, int]:
    """Return a trade that is to hold 9.9 DOGE at about 1 USDT, with a target of 5 % before one of 95 %."""
    exchange = Exchange()
    exchange.set_price(0.0, DOGE, last="1", ask="1")
    smart_id = opened(exchange, units="100", targets=[target("1.2", "5"), target("1.3", "95")], **what)
    exchange.advance(10.0)
    assert listed_units(exchange, 10.0, smart_id) == ["4.0", "94.0"]
    exchange.reduce_funds(10.0, smart_id, {"order_type": "market", "units": {"value": "90"}})
    return exchange, smart_id


def test_a_share_that_became_too_small_is_carried_to_the_next_target() -> None:
    exchange, smart_id = reduced_to_a_tenth()
    # 5 % of 9.9 is 0.495: no lot; 9.405 and 0.495 are 9.9.
    assert listed_units(exchange, 20.0, smart_id) == ["0.0", "9.0"]
    exchange.set_price(21.0, DOGE, last="1.2")
    trade: Any = exchange.get(21.0, smart_id)
    first = trade["take_profit"]["steps"][0]
    assert (first["status"]["type"], first.get("closed_at")) == (
        "order_placed",
        None,
    )
    assert first["data"]["panic_sell_available"] is False
    assert refusal(lambda: exchange.close_trade(21.0, smart_id, first["id"]))[0] == 400
    exchange.set_price(22.0, DOGE, last="1.3")
    assert status_of(exchange, 22.0, smart_id) == "finished"
    assert exits(exchange) == [Decimal(90), Decimal("9.9")]
    listed: list[Any] = exchange.list_trades(22.0, smart_id)
    assert [leg["status"] for leg in listed] == ["finished", "cancelled", "finished", "finished"]


def test_breakeven_is_not_armed_by_a_target_without_a_lot() -> None:
    exchange, smart_id = reduced_to_a_tenth(stop=stop_at("0.9") | {"breakeven": True})
    exchange.set_price(20.0, DOGE, last="1.2")
    assert trigger_of(exchange, 20.0, smart_id) == "0.9"


def test_a_close_that_a_reduction_left_nothing_for_goes_on_waiting() -> None:
    exchange, smart_id = reduced_to_a_tenth()
    exchange.close_trade(12.5, smart_id, exchange.trades[smart_id].steps[0].id)
    trade: Any = exchange.get(20.0, smart_id)
    assert [step["status"]["type"] for step in trade["take_profit"]["steps"]] == ["order_placed"] * 2
    assert exits(exchange) == [Decimal(90)]


def test_a_cancelled_target_leaves_its_share_to_nobody() -> None:
    exchange, smart_id = filled(targets=[target("0.12", "50"), target("0.2", "50")])
    first, second = (step.id for step in exchange.trades[smart_id].steps)
    exchange.cancel_trade(10.0, smart_id, first)
    exchange.set_price(12.0, DOGE, last="0.2")
    assert exits(exchange) == [Decimal(49)]
    trade: Any = exchange.get(20.0, smart_id)
    assert trade["status"]["type"] == "waiting_targets"
    assert [step["id"] for step in trade["take_profit"]["steps"]] == [second]
    assert trade["data"]["closed_amount"] == "49.0"
    exchange.cancel(20.0, smart_id)
    assert status_of(exchange, 22.0, smart_id) == "cancelled"


def test_new_targets_take_along_what_a_cancelled_one_left() -> None:
    exchange, smart_id = filled(targets=[target("0.12", "50"), target("0.2", "50")])
    exchange.cancel_trade(10.0, smart_id, exchange.trades[smart_id].steps[0].id)
    exchange.advance(12.0)
    changed(exchange, 12.0, smart_id, target("0.15"))
    exchange.set_price(14.0, DOGE, last="0.15")
    assert exits(exchange) == [Decimal("99.9")]
    assert status_of(exchange, 14.0, smart_id) == "finished"


def test_cancelling_the_last_target_that_is_left_cancels_the_whole() -> None:
    exchange, smart_id, (_, second) = with_first_executed()
    exchange.cancel_trade(12.0, smart_id, second)
    assert status_of(exchange, 14.0, smart_id) == "cancelled"
    assert exits(exchange) == [Decimal(49)]


def test_a_carried_share_makes_the_next_target_larger() -> None:
    exchange = Exchange()
    exchange.set_price(0.0, DOGE, last="1", ask="1")
    targets = [target("1.2", "6"), target("1.3", "24"), target("1.4", "70")]
    smart_id = opened(exchange, units="100", skip_enter_step=True, targets=targets)
    exchange.advance(10.0)
    assert listed_units(exchange, 10.0, smart_id) == ["6.0", "24.0", "70.0"]
    exchange.reduce_funds(10.0, smart_id, {"order_type": "market", "units": {"value": "90"}})
    # Of 10: 0.6 are no lot, and make 3 of the 2.4.
    assert listed_units(exchange, 20.0, smart_id) == ["0.0", "3.0", "7.0"]


def test_a_target_of_what_was_held_keeps_its_share_when_another_is_cancelled() -> None:
    exchange, smart_id, _ = with_first_executed()
    changed(exchange, 12.0, smart_id, target("0.15", "50"), target("0.2", "50"))
    exchange.advance(14.0)
    exchange.cancel_trade(14.0, smart_id, exchange.trades[smart_id].steps[2].id)
    exchange.set_price(16.0, DOGE, last="0.15")
    # Half of the 50.9 that were held at the update.
    assert exits(exchange) == [Decimal(49), Decimal(25)]
