from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.sandbox_orders import (
    FOREVER,
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
from threecommas_async.sandbox import EVERY_STATUS, Delays
from threecommas_async.sandbox.exchange import Exchange


def test_a_close_answers_pending_at_once_and_still_lists_the_targets() -> None:
    exchange, smart_id = filled(targets=[target("0.2")], stop=stop_at("0.1"))
    trade: Any = exchange.close_by_market(10.0, smart_id)
    assert trade["status"] == {
        "type": "panic_sell_pending",
        "basic_type": "panic_sell_pending",
        "title": "Closing at Market Price",
    }
    assert len(trade["take_profit"]["steps"]) == 1
    assert trade["stop_loss"]["enabled"] is True
    assert trade["data"]["panic_sell_available"] is False
    assert trade["data"]["editable"] is False


def test_a_close_passes_through_in_progress_to_sold_in_its_time() -> None:
    exchange, smart_id = filled(targets=[target("0.2")], stop=stop_at("0.1"))
    exchange.close_by_market(10.0, smart_id)
    assert status_of(exchange, 11.9, smart_id) == "panic_sell_pending"
    between: Any = exchange.get(12.0, smart_id)
    assert between["status"]["type"] == "panic_sell_in_progress"
    assert between["take_profit"]["steps"] == []
    assert between["stop_loss"] == {"enabled": False}
    assert "closed_at" not in between["data"]
    assert status_of(exchange, 13.9, smart_id) == "panic_sell_in_progress"
    assert status_of(exchange, 14.0, smart_id) == "panic_sold"


def test_a_closed_long_adds_up_exactly() -> None:
    exchange, smart_id = filled(targets=[target("0.2")])
    exchange.close_by_market(10.0, smart_id)
    trade: Any = exchange.get(FOREVER, smart_id)
    data = trade["data"]
    assert data["finished"] is False
    # Bought 100 at 0.10953 less 0.1 % in DOGE; sold at 0.10938 less 0.1 % in USDT.
    assert (data["entered_amount"], data["entered_total"]) == ("99.9", "10.953")
    assert (data["closed_amount"], data["closed_total"]) == ("99.9", "10.916134938")
    assert data["average_enter_price"] == "0.10963"
    assert data["average_enter_price_without_commission"] == "0.10953"
    assert data["average_close_price"] == "0.10927"
    assert data["average_close_price_without_commission"] == "0.10938"
    assert trade["profit"]["volume"] == "-0.036865062"
    assert trade["profit"]["usd"] == "-0.036865062"
    assert trade["profit"]["percent"] == "-0.34"


def test_a_closed_short_adds_up_exactly() -> None:
    exchange, smart_id = filled(side="sell")
    exchange.close_by_market(10.0, smart_id)
    trade: Any = exchange.get(FOREVER, smart_id)
    data = trade["data"]
    # Sold 100 at 0.10938 less 0.1 %; bought back at 0.10953 plus 0.1 %.
    assert (data["entered_amount"], data["entered_total"]) == ("100.0", "10.927062")
    assert (data["closed_amount"], data["closed_total"]) == ("100.0", "10.963953")
    assert trade["profit"]["volume"] == "-0.036891"


def test_money_is_not_rounded_to_the_28_digits_of_the_default_context() -> None:
    units = "1234.567890123456789012345678"
    exchange, smart_id = filled(units=units, price="0.10953", skip_enter_step=True)
    exchange.close_by_market(10.0, smart_id)
    exchange.advance(FOREVER)
    trade = exchange.trades[smart_id]
    assert trade.position.entered_total == Decimal("135.22222100522222210052222211134")
    assert trade.position.closed_amount == Decimal(units)
    # 0.10938 for each, less 0.1 %.
    assert trade.position.closed_total == Decimal("134.90199878588199987858819988938036")


def test_profit_in_usd_is_valued_at_the_price_of_the_quote_currency() -> None:
    exchange, smart_id = filled(units="1", pair="BTC_ETH")
    trade: Any = exchange.get(10.0, smart_id)
    # 0.999 ETH x 0.03702 x 0.999 - 0.03703, and 56282.73 USDT for a BTC.
    assert trade["profit"]["volume"] == "-0.00008400298"
    assert trade["profit"]["usd"] == "-4.7279170425354"


def test_states_change_at_their_own_instants_however_late_one_looks() -> None:
    exchange, smart_id = filled()
    exchange.close_by_market(10.0, smart_id)
    exchange.advance(FOREVER)
    assert exchange.trades[smart_id].closed_at == 14.0


def test_updated_at_does_not_move_while_a_close_goes_on() -> None:
    exchange, smart_id = filled()
    exchange.close_by_market(10.0, smart_id)
    exchange.advance(13.0)
    assert exchange.trades[smart_id].status == "panic_sell_in_progress"
    assert exchange.trades[smart_id].updated_at == 10.0


def test_a_cancelled_trade_keeps_what_it_holds_and_has_no_result() -> None:
    exchange, smart_id = filled(targets=[target("0.2")])
    first: Any = exchange.cancel(10.0, smart_id)
    assert first["status"]["type"] == "cancellation_pending"
    assert len(first["take_profit"]["steps"]) == 1
    assert status_of(exchange, 11.0, smart_id) == "cancellation_in_progress"
    trade: Any = exchange.get(12.0, smart_id)
    assert trade["status"]["type"] == "cancelled"
    assert trade["take_profit"] == {"enabled": True, "price_type": "value", "steps": []}
    assert trade["data"]["closed_at"] == "2025-01-01T00:00:12.000Z"
    assert trade["data"]["entered_amount"] == "99.9"
    assert trade["profit"] == {"volume": None, "usd": None, "percent": "0.0", "roe": None}
    assert trade["is_position_not_filled"] is False


def test_a_trade_cancelled_before_its_entry_never_fills() -> None:
    exchange = Exchange(delays=Delays(fill=2.0, cancel=30.0))
    smart_id = opened(exchange)
    assert status_of(exchange, 1.5, smart_id) == "waiting_position"
    exchange.cancel(1.5, smart_id)
    trade: Any = exchange.get(FOREVER, smart_id)
    assert trade["status"]["type"] == "cancelled"
    assert trade["is_position_not_filled"] is True
    assert trade["position"]["status"]["type"] == "cancelled"


def test_a_market_entry_fills_by_itself() -> None:
    exchange = Exchange()
    smart_id = opened(exchange)
    assert status_of(exchange, 0.9, smart_id) == "created"
    assert status_of(exchange, 1.0, smart_id) == "waiting_position"
    assert status_of(exchange, 2.9, smart_id) == "waiting_position"
    assert status_of(exchange, 3.0, smart_id) == "waiting_targets"


@pytest.mark.parametrize("kind", ["limit", "conditional"])
def test_an_entry_with_a_price_waits_until_it_is_forced(kind: str) -> None:
    exchange = Exchange()
    parameters = order(kind, price="0.1")
    conditional = {"order_type": "limit", "price": {"value": "0.1", "type": "bid"}}
    parameters["position"] |= {"conditional": conditional}
    smart_id: Any = exchange.create(0.0, parameters)["id"]
    assert status_of(exchange, FOREVER, smart_id) == "waiting_position"
    forced: Any = exchange.force_start(FOREVER, smart_id)
    assert forced["status"]["type"] == "waiting_position"
    assert forced["position"]["status"]["type"] == "panic_sell_pending"
    assert status_of(exchange, FOREVER + 2.0, smart_id) == "waiting_targets"


def test_a_market_entry_that_is_forced_fills_once() -> None:
    exchange = Exchange()
    smart_id = opened(exchange)
    exchange.force_start(2.5, smart_id)
    assert status_of(exchange, 3.0, smart_id) == "waiting_position"
    assert status_of(exchange, 4.5, smart_id) == "waiting_targets"


def test_prices_are_looked_up_when_they_are_needed() -> None:
    exchange = Exchange()
    smart_id = opened(exchange)
    exchange.set_price(0.5, "USDT_DOGE", last="0.10937", bid="0.2", ask="0.3")
    exchange.advance(FOREVER)
    trade: Any = exchange.get(FOREVER, smart_id)
    assert trade["data"]["entered_total"] == "30.0"
    assert trade["profit"]["volume"] == "-10.03998"
    assert trade["profit"]["percent"] == "-33.47"


@pytest.mark.parametrize(("side", "kind"), [("buy", "simple_buy"), ("sell", "simple_sell")])
def test_an_instant_trade_ends_as_finished(side: str, kind: str) -> None:
    exchange = Exchange()
    trade: Any = exchange.create(0.0, order(side=side, instant=True))
    assert trade["data"]["type"] == kind
    done: Any = exchange.get(3.0, trade["id"])
    assert done["status"]["type"] == "finished"
    assert done["data"]["finished"] is True
    assert done["data"]["closed_at"] == "2025-01-01T00:00:03.000Z"


@pytest.mark.parametrize(
    ("side", "kind", "price"), [("buy", "smart_sell", "0.2"), ("sell", "smart_buy", "0.05")]
)
def test_own_funds_go_to_their_targets_without_an_entry(side: str, kind: str, price: str) -> None:
    exchange = Exchange()
    trade: Any = exchange.create(0.0, order(side=side, skip_enter_step=True, targets=[target(price)]))
    assert trade["data"]["type"] == kind
    active: Any = exchange.get(1.0, trade["id"])
    assert active["status"]["type"] == "waiting_targets"
    assert active["position"]["status"] == {
        "type": "smart_sell",
        "basic_type": "smart_sell",
        "title": "Own funds",
    }
    assert active["data"]["entered_amount"] == "100.0"


def test_target_sizes_are_rounded_down_to_the_lot() -> None:
    exchange, smart_id = filled(units="15", targets=[target("0.2", "50"), target("0.3", "50")])
    trade: Any = exchange.get(10.0, smart_id)
    steps = trade["take_profit"]["steps"]
    assert [step["units"]["value"] for step in steps] == ["7.0", "7.0"]
    assert [step["total"] for step in steps] == ["1.4", "2.1"]
    assert [step["position"] for step in steps] == [1, 2]


def test_a_distance_of_a_target_lies_above_a_long_and_below_a_short() -> None:
    percent = {"order_type": "limit", "volume": "100", "price": {"type": "last", "percent": "5"}}
    for side, price in (("buy", "0.105"), ("sell", "0.095")):
        trade: Any = Exchange().create(0.0, trailing_entry("0.1", side=side, targets=[percent]))
        assert trade["take_profit"]["steps"][0]["price"] == {"type": "last", "value": price, "percent": "5.0"}


def test_closing_the_last_target_finishes_the_trade_and_takes_the_remainder_along() -> None:
    exchange, smart_id = filled(units="15", targets=[target("0.2", "50"), target("0.3", "50", "market")])
    first, second = (step.id for step in exchange.trades[smart_id].steps)
    answer: Any = exchange.close_trade(10.0, smart_id, first)
    assert answer["status"]["type"] == "waiting_targets"
    assert answer["take_profit"]["steps"][0]["status"]["title"] == "Panic closing"
    assert answer["take_profit"]["steps"][0]["data"] == {"cancelable": True, "panic_sell_available": False}
    between: Any = exchange.get(12.0, smart_id)
    assert between["data"]["closed_amount"] == "7.0"
    assert between["take_profit"]["steps"][0]["closed_at"] == "2025-01-01T00:00:12.000Z"
    exchange.close_trade(12.0, smart_id, second)
    done: Any = exchange.get(14.0, smart_id)
    assert done["status"]["type"] == "finished"
    assert done["data"]["closed_amount"] == done["data"]["entered_amount"] == "14.985"


def test_a_close_after_a_closed_target_sells_only_the_rest() -> None:
    exchange, smart_id = filled(targets=[target("0.2", "50"), target("0.3", "50")])
    exchange.close_trade(10.0, smart_id, exchange.trades[smart_id].steps[0].id)
    exchange.advance(12.0)
    exchange.close_by_market(12.0, smart_id)
    trade: Any = exchange.get(FOREVER, smart_id)
    assert trade["status"]["type"] == "panic_sold"
    assert trade["data"]["closed_amount"] == "99.9"
    assert trade["profit"]["volume"] == "-0.036865062"
    assert [entry.units for entry in exchange.ledger[1:]] == [Decimal(49), Decimal("50.9")]


def test_a_target_that_is_being_closed_is_not_sold_again_with_the_whole() -> None:
    exchange, smart_id = filled(targets=[target("0.2")])
    exchange.close_trade(10.0, smart_id, exchange.trades[smart_id].steps[0].id)
    exchange.close_by_market(11.0, smart_id)
    assert status_of(exchange, FOREVER, smart_id) == "panic_sold"
    assert exchange.trades[smart_id].position.closed_amount == Decimal("99.9")


ACTIONS = ["close_by_market", "cancel", "force_start"]
CLOSEABLE = {"waiting_targets", "stop_loss_in_progress", "reduce_funds_in_progress", "pending_reduce_funds"}
ACCEPTED = {
    "close_by_market": CLOSEABLE,
    "cancel": CLOSEABLE | {"waiting_position"},
    "force_start": {"waiting_position"},
}


@pytest.mark.parametrize("status", EVERY_STATUS)
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_accepted_in_its_documented_states_only(action: str, status: str) -> None:
    exchange, smart_id = exchange_with(status)
    call = getattr(exchange, action)
    if status in ACCEPTED[action]:
        call(0.0, smart_id)
        assert [entry.action for entry in exchange.ledger] == [action]
    else:
        code, body = refusal(lambda: call(0.0, smart_id))
        assert (code, body["error"]) == (400, "Wrong param(s)")
        assert exchange.ledger == []
        assert exchange.trades[smart_id].status == status


def test_a_second_close_is_refused() -> None:
    exchange, smart_id = filled()
    exchange.close_by_market(10.0, smart_id)
    assert refusal(lambda: exchange.close_by_market(10.0, smart_id)) == (
        400,
        {
            "error": "Wrong param(s)",
            "error_description": "Close by market is not allowed in the current status",
        },
    )


def test_a_simple_buy_can_be_forced_while_it_is_only_created() -> None:
    exchange = Exchange()
    trade: Any = exchange.create(0.0, order("limit", price="0.1", instant=True))
    forced: Any = exchange.force_start(0.5, trade["id"])
    assert forced["data"]["updated_at"] == "2025-01-01T00:00:00.500Z"
    assert forced["data"]["add_funds_available"] is False
    assert status_of(exchange, 2.5, trade["id"]) == "finished"


def test_a_target_is_closed_only_while_it_is_at_work() -> None:
    exchange, smart_id = filled(targets=[target("0.2")])
    step = exchange.trades[smart_id].steps[0].id
    exchange.close_trade(10.0, smart_id, step)
    assert refusal(lambda: exchange.close_trade(10.0, smart_id, step))[0] == 400


def test_an_idle_target_is_not_closed() -> None:
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", price="0.1", targets=[target("0.2")])
    step = exchange.trades[smart_id].steps[0].id
    assert refusal(lambda: exchange.close_trade(5.0, smart_id, step))[0] == 400


@pytest.mark.parametrize(
    ("action", "ids", "status"),
    [
        ("get", [5], 400),
        ("cancel", [5], 400),
        ("close_by_market", [5], 404),
        ("force_start", [5], 404),
        ("close_trade", [5, 6], 404),
    ],
)
def test_an_unknown_id_is_refused_as_documented(action: str, ids: list[int], status: int) -> None:
    body = documented("smart_trades.get/400.json")
    assert body == documented("smart_trades.close_by_market/404.json")
    assert refusal(lambda: getattr(Exchange(), action)(0.0, *ids)) == (status, body)


def test_an_unknown_target_is_refused() -> None:
    exchange, smart_id = filled(targets=[target("0.2")])
    assert refusal(lambda: exchange.close_trade(10.0, smart_id, 6)) == (
        404,
        {"error": "Not found", "error_description": "Trade not found"},
    )


def test_delays_are_divided_all_alike() -> None:
    delays = Delays(place=1.0, fill=2.0, close=3.0, sell=4.0, cancel=5.0)
    assert delays.divided(10.0) == Delays(place=0.1, fill=0.2, close=0.3, sell=0.4, cancel=0.5)


def test_what_takes_no_time_is_done_at_once() -> None:
    exchange = Exchange(delays=Delays(place=0.0, fill=0.0, close=0.0, sell=0.0, cancel=0.0))
    smart_id = opened(exchange)
    assert status_of(exchange, 0.0, smart_id) == "waiting_targets"
    exchange.close_by_market(0.0, smart_id)
    assert status_of(exchange, 0.0, smart_id) == "panic_sold"
