"""The single trades of a SmartTrade: list, cancel, and the order that is waited for next."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import pytest

from tests.sandbox_orders import (
    TERMINAL,
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
from threecommas_async.endpoints import LIST_TRADES
from threecommas_async.sandbox import EVERY_STATUS
from threecommas_async.sandbox.exchange import Exchange

DOGE = "USDT_DOGE"
# Null in both documented trades, with the type that the entity page declares.
DECLARED = {
    "take_profit_percentage": str,
    "trail_percentage": str,
    "trailing_last_price": str,
    "trailing_last_price_updated_at": int,
    "trigger_price_percentage": str,
}


def trades_of(exchange: Exchange, now: float, smart_id: int) -> list[Any]:
    return list(exchange.list_trades(now, smart_id))


def everything() -> tuple[Exchange, list[int]]:
    """Return trades with orders of every sort and in every state."""
    exchange = Exchange()
    ids = exchange.seed(60, EVERY_STATUS)
    trailing = target("0.12", kind="market") | {"trailing": {"enabled": True, "percent": "1"}}
    stop = stop_at("0.05") | {"conditional": {"price": {"type": "last", "percent": "5"}}}
    for parameters in (trailing_entry("0.1", stop=stop), order(targets=[trailing])):
        trade: Any = exchange.create(0.0, parameters)
        ids.append(trade["id"])
    exchange.set_price(10.0, DOGE, last="0.1")
    exchange.set_price(11.0, DOGE, last="0.12")
    return exchange, ids


def test_every_trade_has_the_documented_keys_and_json_types() -> None:
    samples: list[Any] = documented("smart_trades.trades.list/200.json")
    types = {key: {type(sample[key]) for sample in samples} for key in samples[0]}
    exchange, ids = everything()
    trades = [trade for smart_id in ids for trade in trades_of(exchange, 11.0, smart_id)]
    assert len(trades) > 100
    assert {trade["trade_purpose"] for trade in trades} == {
        "position",
        "take_profit",
        "stop_loss",
        "reduce_funds",
    }
    for trade in trades:
        assert trade.keys() == types.keys()
        odd = {key: value for key, value in trade.items() if type(value) not in types[key]}
        assert all(type(value) is DECLARED[key] for key, value in odd.items()), odd


def test_a_finished_entry_and_a_waiting_stop_are_listed_as_documented() -> None:
    entry, stop = documented("smart_trades.trades.list/200.json")
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", units="15", price="0.10664", stop=stop_at("0.1013"))
    exchange.set_price(5.0, DOGE, last="0.10664")
    listed = trades_of(exchange, 5.0, smart_id)
    volatile = ("id", "created_at", "updated_at")
    # Here the fee is 0.1 %, and in the documented trade 0.4 %.
    fee = {"average_price": "0.106746746746746746746746746746746746", "realised_amount": "14.985"}
    fee |= {"realised_price": "0.10674"}
    for trade, sample, other in ((listed[0], entry, fee), (listed[1], stop, {})):
        shown = {key: value for key, value in trade.items() if key not in volatile}
        assert shown == {key: value for key, value in sample.items() if key not in volatile} | other


def test_orders_are_listed_oldest_first_with_what_replaced_them() -> None:
    exchange, smart_id = filled(
        targets=[
            target("0.2"),
        ],
        stop=stop_at("0.1"),
    )
    exchange.update(10.0, smart_id, {"take_profit": {"enabled": True, "steps": [target("0.3")]}})
    listed = trades_of(exchange, 12.0, smart_id)
    assert [(trade["trade_purpose"], trade["status"]) for trade in listed] == [
        ("position", "finished"),
        ("take_profit", "cancelled"),
        ("stop_loss", "to_process"),
        ("take_profit", "order_placed"),
    ]
    assert [trade["id"] for trade in listed] == sorted(trade["id"] for trade in listed)
    page = LIST_TRADES.decode(msgspec.json.encode(listed))
    assert [trade.initial_price for trade in page][1::2] == [Decimal("0.2"), Decimal("0.3")]


def test_an_idle_target_and_a_stop_show_what_they_would_close() -> None:
    exchange = Exchange()
    smart_id = opened(
        exchange,
        kind="limit",
        price="0.1",
        units="15",
        targets=[target("0.2", "50"), target("0.3", "50")],
        stop=stop_at("0.05"),
    )
    listed = trades_of(exchange, 5.0, smart_id)
    assert [trade["initial_amount"] for trade in listed] == ["15.0", "7.0", "7.0", "15.0"]
    assert [trade["position_percentage"] for trade in listed] == [None, "50.0", "50.0", "100.0"]


@pytest.mark.parametrize(("side", "condition"), [("buy", "greater_or_equal"), ("sell", "less_or_equal")])
def test_a_market_target_is_listed_with_its_trigger(side: str, condition: str) -> None:
    exchange = Exchange()
    price = "0.2" if side == "buy" else "0.05"
    smart_id = opened(exchange, side=side, targets=[target(price, kind="market")])
    entry, step = trades_of(exchange, 10.0, smart_id)
    assert entry["order_price"] is None
    assert (step["trigger_type"], step["trigger_condition"], step["trigger_price"]) == (
        "conditional",
        condition,
        price,
    )
    assert (step["order_price"], step["cancelable"], step["force_processable"]) == (None, True, True)


def test_a_cancelled_target_is_shown_as_it_was_and_is_gone_after_a_while() -> None:
    exchange, smart_id = filled(targets=[target("0.2", "50"), target("0.3", "50")])
    first, second = (step.id for step in exchange.trades[smart_id].steps)
    answer: Any = exchange.cancel_trade(10.0, smart_id, first)
    assert answer["status"]["type"] == "waiting_targets"
    assert [step["status"]["type"] for step in answer["take_profit"]["steps"]] == ["order_placed"] * 2
    between: Any = exchange.get(10.5, smart_id)
    assert between["take_profit"]["steps"][0]["status"]["type"] == "pending_cancellation"
    assert refusal(lambda: exchange.cancel_trade(10.5, smart_id, first))[0] == 400
    after: Any = exchange.get(11.0, smart_id)
    assert [step["id"] for step in after["take_profit"]["steps"]] == [second]
    exchange.set_price(12.0, DOGE, last="0.2")
    assert [fill.purpose for fill in exchange.fills] == ["position"]


def test_a_target_on_the_way_out_is_not_executed() -> None:
    exchange, smart_id = filled(targets=[target("0.2", "50"), target("0.3", "50")])
    exchange.cancel_trade(10.0, smart_id, exchange.trades[smart_id].steps[0].id)
    exchange.set_price(10.5, DOGE, last="0.3")
    # The other one sells its own half, and the rest stays.
    assert [fill.units for fill in exchange.fills] == [Decimal(100), Decimal(49)]
    assert status_of(exchange, 20.0, smart_id) == "waiting_targets"


@pytest.mark.parametrize("purpose", ["take_profit", "stop_loss"])
def test_without_its_last_target_or_its_stop_the_whole_is_cancelled(purpose: str) -> None:
    exchange, smart_id = filled(targets=[target("0.2")], stop=stop_at("0.1"))
    leg = next(leg for leg in exchange.trades[smart_id].legs if leg.purpose == purpose)
    answer: Any = exchange.cancel_trade(10.0, smart_id, leg.id)
    assert answer["status"]["type"] == "cancellation_pending"
    assert answer["take_profit"]["steps"][0]["status"]["type"] == "order_placed"
    assert answer["stop_loss"]["status"]["type"] == "to_process"
    assert status_of(exchange, 12.0, smart_id) == "cancelled"
    assert [(entry.action, entry.trade_id) for entry in exchange.ledger][1:] == [("cancel_trade", leg.id)]


def test_the_last_of_two_targets_to_be_cancelled_cancels_the_whole() -> None:
    exchange, smart_id = filled(targets=[target("0.2", "50"), target("0.3", "50")])
    first, second = (step.id for step in exchange.trades[smart_id].steps)
    exchange.cancel_trade(10.0, smart_id, first)
    exchange.cancel_trade(10.0, smart_id, second)
    assert status_of(exchange, 12.0, smart_id) == "cancelled"


def test_neither_an_entry_nor_what_is_over_is_cancelled_or_closed() -> None:
    exchange, smart_id = filled(targets=[target("0.2", "50"), target("0.3", "50")])
    exchange.set_price(11.0, DOGE, last="0.2")
    trade = exchange.trades[smart_id]
    for leg in (trade.entry, trade.steps[0]):
        for action in (exchange.cancel_trade, exchange.close_trade):
            code, body = refusal(partial(action, 11.0, smart_id, leg.id))
            assert (code, body["error"]) == (400, "Wrong param(s)")


@pytest.mark.parametrize(
    ("call", "ids", "entity"),
    [
        ("list_trades", (5,), "Smart Trade"),
        ("cancel_trade", (5, 6), "Smart Trade"),
        ("cancel_trade", (None, 6), "Trade"),
        ("force_process", (5,), "Smart Trade"),
    ],
)
def test_what_is_unknown_is_not_found(call: str, ids: tuple[int | None, ...], entity: str) -> None:
    exchange, smart_id = filled()
    known = [smart_id if id is None else id for id in ids]
    assert refusal(lambda: getattr(exchange, call)(10.0, *known)) == (
        404,
        {"error": "Not found", "error_description": f"{entity} not found"},
    )


def test_an_unknown_list_of_trades_is_answered_as_documented() -> None:
    body = documented("smart_trades.trades.list/404.json")
    assert refusal(lambda: Exchange().list_trades(0.0, 5)) == (404, body)


def test_forcing_carries_out_entry_reduction_targets_and_stop_one_after_the_other() -> None:
    exchange = Exchange()
    smart_id = opened(
        exchange,
        kind="limit",
        price="0.05",
        targets=[target("0.2", "50"), target("0.3", "50")],
        stop=stop_at("0.01"),
    )
    entered: Any = exchange.force_process(0.0, smart_id)
    assert entered["status"]["type"] == "waiting_targets"
    exchange.reduce_funds(
        1.0, smart_id, {"order_type": "limit", "units": {"value": "20"}, "price": {"value": "9"}}
    )
    statuses: list[str] = []
    for at in (1.0, 2.0, 3.0):
        answer: Any = exchange.force_process(at, smart_id)
        statuses.append(answer["status"]["type"])
    assert statuses == ["waiting_targets", "waiting_targets", "finished"]
    assert [(fill.purpose, fill.at, fill.price, fill.units) for fill in exchange.fills] == [
        ("position", 0.0, Decimal("0.10953"), Decimal(100)),
        ("reduce_funds", 1.0, Decimal("0.10938"), Decimal(20)),
        ("take_profit", 2.0, Decimal("0.10938"), Decimal(39)),
        ("take_profit", 3.0, Decimal("0.10938"), Decimal("40.9")),
    ]
    entry = exchange.ledger[-1]
    assert (entry.action, entry.side, entry.units) == ("force_process", "sell", Decimal("40.9"))


@pytest.mark.parametrize(
    ("status", "end"),
    [
        ("waiting_position", "waiting_targets"),
        ("stop_loss_in_progress", "stop_loss_finished"),
        ("pending_reduce_funds", "waiting_targets"),
        ("reduce_funds_in_progress", "waiting_targets"),
        ("panic_sell_pending", "panic_sold"),
        ("panic_sell_in_progress", "panic_sold"),
        ("cancellation_pending", "cancelled"),
        ("cancellation_in_progress", "cancelled"),
    ],
)
def test_forcing_does_at_once_what_the_state_waits_for(status: str, end: str) -> None:
    exchange, smart_id = exchange_with(status)
    answer: Any = exchange.force_process(0.0, smart_id)
    assert answer["status"]["type"] == end


def test_forcing_accepts_own_funds_and_stops_out_what_has_no_target() -> None:
    exchange = Exchange()
    smart_id = opened(exchange, skip_enter_step=True, stop=stop_at("0.1"))
    held: Any = exchange.force_process(0.0, smart_id)
    assert held["status"]["type"] == "waiting_targets"
    stopped: Any = exchange.force_process(0.0, smart_id)
    assert stopped["status"]["type"] == "stop_loss_finished"


def test_added_funds_are_forced_before_targets() -> None:
    exchange, smart_id = filled(targets=[target("0.2")])
    added = {"order_type": "limit", "units": {"value": "50"}, "price": {"value": "0.05"}}
    exchange.add_funds(10.0, smart_id, added)
    exchange.force_process(10.0, smart_id)
    assert [(fill.purpose, str(fill.price)) for fill in exchange.fills][1:] == [("position", "0.10953")]


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_nothing_is_left_to_force_in_the_end(status: str) -> None:
    exchange, smart_id = exchange_with(status)
    assert refusal(lambda: exchange.force_process(0.0, smart_id))[0] == 400


def test_nothing_is_forced_where_only_the_user_is_waited_for() -> None:
    exchange, smart_id = filled()
    assert refusal(lambda: exchange.force_process(10.0, smart_id)) == (
        400,
        {
            "error": "Wrong param(s)",
            "error_description": "Force process is not allowed in the current status",
        },
    )


def test_new_targets_that_do_not_work_yet_are_forced_all_the_same() -> None:
    exchange, smart_id = filled()
    steps = [target("0.2", "50"), target("0.3", "50")]
    exchange.update(10.0, smart_id, {"take_profit": {"enabled": True, "steps": steps}})
    exchange.force_process(10.0, smart_id)
    assert exchange.fills[1].units == Decimal(49)


def test_a_target_is_cancelled_before_the_entry_too() -> None:
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", price="0.1", targets=[target("0.2", "50"), target("0.3", "50")])
    first = exchange.trades[smart_id].steps[0]
    exchange.cancel_trade(5.0, smart_id, first.id)
    trade: Any = exchange.get(6.0, smart_id)
    assert [step["price"]["value"] for step in trade["take_profit"]["steps"]] == ["0.3"]


def test_a_stop_shows_what_is_left_to_close_and_its_trigger() -> None:
    stop = stop_at("0.1") | {"price": {"value": "0.09"}}
    exchange, smart_id = filled(targets=[target("0.12", "50"), target("0.3", "50")], stop=stop)
    exchange.set_price(11.0, DOGE, last="0.12")
    shown = trades_of(exchange, 11.0, smart_id)[-1]
    assert (shown["initial_amount"], shown["initial_price"], shown["order_price"]) == ("50.0", "0.1", None)
