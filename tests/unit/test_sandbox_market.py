"""Prices moved by hand: entries, targets and stops on a pair at 0.10938 bid, 0.10953 ask, 0.10937 last."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.sandbox_orders import filled, opened, order, status_of, stop_at, target, trailing_entry
from threecommas_async.sandbox import Fill, Walk
from threecommas_async.sandbox.exchange import Exchange
from threecommas_async.sandbox.market import TICKERS, Market

DOGE = "USDT_DOGE"


def prices_of(exchange: Exchange) -> list[tuple[str, Decimal, Decimal]]:
    return [(fill.purpose, fill.units, fill.price) for fill in exchange.fills]


def conditional_entry(
    side: str, trigger: str, kind: str = "market", price: str | None = None
) -> dict[str, Any]:
    parameters = order("conditional", side, price=price)
    parameters["position"]["conditional"] = {
        "order_type": kind,
        "price": {"value": trigger, "type": "last"},
    }
    return parameters


def smart_id_of(exchange: Exchange, parameters: dict[str, Any]) -> int:
    trade: Any = exchange.create(0.0, parameters)
    return int(trade["id"])


def test_bid_and_ask_follow_the_last_price_by_one_price_step() -> None:
    exchange = Exchange()
    exchange.set_price(0.0, DOGE, last="0.2")
    ticker = exchange.tickers[DOGE]
    assert (ticker.bid, ticker.ask, ticker.last) == (Decimal("0.2"), Decimal("0.20001"), Decimal("0.2"))
    exchange.set_price(0.0, DOGE, last="0.2", bid="0.3")
    assert exchange.tickers[DOGE].ask == Decimal("0.30001")


@pytest.mark.parametrize(
    ("pair", "prices"),
    [
        ("USDT_NONE", {"last": "1"}),
        (DOGE, {"last": "0"}),
        (DOGE, {"last": "1", "bid": "1.1", "ask": "1.0"}),
        (DOGE, {"last": 0.1}),
        (DOGE, {"last": "NaN"}),
    ],
)
def test_an_impossible_price_is_refused(pair: str, prices: dict[str, Any]) -> None:
    exchange = Exchange()
    with pytest.raises(ValueError, match=r"pair|prices|last"):
        exchange.set_price(0.0, pair, **prices)
    assert exchange.tickers == TICKERS


@pytest.mark.parametrize(
    ("side", "limit", "miss", "hit"), [("buy", "0.1", "0.10001", "0.09"), ("sell", "0.12", "0.11999", "0.13")]
)
def test_a_limit_entry_that_rested_fills_at_its_own_price(side: str, limit: str, miss: str, hit: str) -> None:
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", side=side, price=limit)
    exchange.set_price(5.0, DOGE, last=miss)
    assert status_of(exchange, 6.0, smart_id) == "waiting_position"
    exchange.set_price(7.0, DOGE, last=hit)
    assert status_of(exchange, 7.0, smart_id) == "waiting_targets"
    assert prices_of(exchange) == [("position", Decimal(100), Decimal(limit))]


@pytest.mark.parametrize(("side", "limit", "price"), [("buy", "0.2", "0.10953"), ("sell", "0.05", "0.10938")])
def test_a_limit_entry_that_is_met_at_once_gets_the_better_price_of_the_market(
    side: str, limit: str, price: str
) -> None:
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", side=side, price=limit)
    assert status_of(exchange, 1.0, smart_id) == "waiting_targets"
    assert prices_of(exchange) == [("position", Decimal(100), Decimal(price))]


@pytest.mark.parametrize(
    ("side", "prices"),
    [
        ("sell", {"last": "0.11", "bid": "0.12", "ask": "0.13"}),
        ("sell", {"last": "0.12", "bid": "0.11", "ask": "0.13"}),
        ("buy", {"last": "0.11", "bid": "0.09", "ask": "0.1"}),
        ("buy", {"last": "0.1", "bid": "0.09", "ask": "0.11"}),
    ],
)
def test_a_limit_order_is_met_by_a_trade_or_by_the_other_side_of_the_book(
    side: str, prices: dict[str, str]
) -> None:
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", side=side, price="0.12" if side == "sell" else "0.1")
    exchange.set_price(5.0, DOGE, **prices)
    assert status_of(exchange, 5.0, smart_id) == "waiting_targets"


@pytest.mark.parametrize("side", ["buy", "sell"])
@pytest.mark.parametrize(("trigger", "miss", "hit"), [("0.12", "0.11999", "0.12"), ("0.1", "0.10001", "0.1")])
def test_a_conditional_entry_fires_when_the_price_comes_to_it_from_either_side(
    side: str, trigger: str, miss: str, hit: str
) -> None:
    exchange = Exchange()
    smart_id = smart_id_of(exchange, conditional_entry(side, trigger))
    exchange.set_price(5.0, DOGE, last=miss)
    waiting: Any = exchange.get(5.0, smart_id)
    assert waiting["position"]["status"]["type"] == "to_process"
    exchange.set_price(6.0, DOGE, last=hit, bid="0.095", ask="0.125")
    assert status_of(exchange, 6.0, smart_id) == "waiting_targets"
    assert exchange.fills[0].price == Decimal("0.125" if side == "buy" else "0.095")


@pytest.mark.parametrize(
    ("watched", "fires"), [("bid", {"bid": "0.12"}), ("ask", {"ask": "0.12"}), ("last", {"last": "0.12"})]
)
def test_a_conditional_entry_watches_the_price_that_it_was_told_to(
    watched: str, fires: dict[str, str]
) -> None:
    parameters = conditional_entry("buy", "0.12")
    parameters["position"]["conditional"]["price"]["type"] = watched
    exchange = Exchange()
    smart_id = smart_id_of(exchange, parameters)
    quiet = {"last": "0.11", "bid": "0.11", "ask": "0.13" if watched == "bid" else "0.119"}
    below = quiet | {"ask": "0.1199"}
    exchange.set_price(5.0, DOGE, **below)
    assert status_of(exchange, 5.0, smart_id) == "waiting_position"
    exchange.set_price(6.0, DOGE, **(quiet | fires))
    assert status_of(exchange, 6.0, smart_id) == "waiting_targets"


def test_a_conditional_entry_can_send_a_limit_order_that_rests() -> None:
    exchange = Exchange()
    smart_id = smart_id_of(exchange, conditional_entry("buy", "0.12", "limit", "0.115"))
    exchange.set_price(5.0, DOGE, last="0.12")
    fired: Any = exchange.get(5.0, smart_id)
    assert fired["position"]["status"]["type"] == "order_placed"
    exchange.set_price(6.0, DOGE, last="0.115")
    assert prices_of(exchange) == [("position", Decimal(100), Decimal("0.115"))]


def test_a_trailing_entry_buys_when_the_price_turns_and_then_prices_its_distances() -> None:
    distance = {"order_type": "limit", "volume": "100", "price": {"type": "last", "percent": "5"}}
    stop = stop_at("1") | {"conditional": {"price": {"type": "last", "percent": "5"}}}
    parameters = trailing_entry("0.1", "1", targets=[distance], stop=stop)
    parameters["position"]["conditional"]["price"]["type"] = "last"
    exchange = Exchange()
    smart_id = smart_id_of(exchange, parameters)
    for at, last, status in (
        (5.0, "0.10001", "to_process"),
        (6.0, "0.1", "trailing_activated"),
        (7.0, "0.09", "trailing_activated"),
        (8.0, "0.09089", "trailing_activated"),  # 1 % above 0.09 is 0.0909.
        (9.0, "0.0909", "finished"),
    ):
        exchange.set_price(at, DOGE, last=last)
        seen: Any = exchange.get(at, smart_id)
        assert seen["position"]["status"]["type"] == status
    trade: Any = exchange.get(9.0, smart_id)
    assert prices_of(exchange) == [("position", Decimal(100), Decimal("0.09091"))]
    assert trade["data"]["average_enter_price"] == "0.091"
    assert trade["take_profit"]["steps"][0]["price"]["value"] == "0.09555"
    assert trade["stop_loss"]["conditional"]["price"]["value"] == "0.08645"


def test_two_targets_then_the_stop_add_up_exactly() -> None:
    exchange, smart_id = filled(
        targets=[target("0.12", "50"), target("0.13", "50", "market")], stop=stop_at("0.1")
    )
    exchange.set_price(11.0, DOGE, last="0.121")
    trade: Any = exchange.get(11.0, smart_id)
    assert [step["status"]["type"] for step in trade["take_profit"]["steps"]] == ["finished", "to_process"]
    assert trade["take_profit"]["steps"][0]["closed_at"] == "2025-01-01T00:00:11.000Z"
    exchange.set_price(12.0, DOGE, last="0.1")
    assert status_of(exchange, 12.0, smart_id) == "stop_loss_in_progress"
    assert status_of(exchange, 13.9, smart_id) == "stop_loss_in_progress"
    done: Any = exchange.get(14.0, smart_id)
    assert done["status"]["type"] == "stop_loss_finished"
    assert done["data"]["finished"] is True
    assert done["data"]["closed_at"] == "2025-01-01T00:00:14.000Z"
    # 49 x 0.12 and 50.9 x 0.1, less 0.1 %; entered for 10.953.
    assert done["data"]["closed_total"] == "10.95903"
    assert done["profit"]["volume"] == "0.00603"
    assert exchange.fills[1:] == [
        Fill(
            at=11.0,
            smart_trade_id=smart_id,
            trade_id=trade["take_profit"]["steps"][0]["id"],
            purpose="take_profit",
            side="sell",
            units=Decimal(49),
            price=Decimal("0.12"),
            fee=Decimal("0.00588"),
            fee_currency="USDT",
        ),
        Fill(
            at=14.0,
            smart_trade_id=smart_id,
            trade_id=exchange.trades[smart_id].legs[-1].id,
            purpose="stop_loss",
            side="sell",
            units=Decimal("50.9"),
            price=Decimal("0.1"),
            fee=Decimal("0.00509"),
            fee_currency="USDT",
        ),
    ]


def test_both_targets_at_once_finish_the_trade() -> None:
    exchange, smart_id = filled(targets=[target("0.12", "50"), target("0.13", "50", "market")])
    exchange.set_price(11.0, DOGE, last="0.14")
    trade: Any = exchange.get(11.0, smart_id)
    assert trade["status"]["type"] == "finished"
    assert trade["data"]["finished"] is True
    # A limit target gets its price, a market target the bid, and the last one the remainder.
    assert prices_of(exchange)[1:] == [
        ("take_profit", Decimal(49), Decimal("0.12")),
        ("take_profit", Decimal("50.9"), Decimal("0.14")),
    ]


def test_a_trailing_target_sells_when_the_price_comes_back() -> None:
    trailing = target("0.12", kind="market") | {"trailing": {"enabled": True, "percent": "2"}}
    exchange, smart_id = filled(targets=[trailing])
    for at, last in ((11.0, "0.12"), (12.0, "0.15"), (13.0, "0.14701")):
        exchange.set_price(at, DOGE, last=last)
        trade: Any = exchange.get(at, smart_id)
        assert trade["take_profit"]["steps"][0]["status"]["type"] == "trailing_activated"
    exchange.set_price(14.0, DOGE, last="0.147")
    assert status_of(exchange, 14.0, smart_id) == "finished"
    assert prices_of(exchange)[1:] == [("take_profit", Decimal("99.9"), Decimal("0.147"))]


def test_a_trailing_stop_follows_the_price_and_never_goes_back() -> None:
    stop = stop_at("0.1")
    stop["conditional"]["trailing"] = {"enabled": True, "percent": "5"}
    exchange, smart_id = filled(stop=stop)
    triggers: list[str] = []
    for at, last in ((11.0, "0.104"), (12.0, "0.12"), (13.0, "0.118")):
        exchange.set_price(at, DOGE, last=last)
        trade: Any = exchange.get(at, smart_id)
        triggers.append(trade["stop_loss"]["conditional"]["price"]["value"])
    # 5 % below 0.10937, which was the price when it began, then below 0.12.
    assert triggers == ["0.1039", "0.114", "0.114"]
    exchange.set_price(14.0, DOGE, last="0.11399")
    assert status_of(exchange, 16.0, smart_id) == "stop_loss_finished"


def test_a_stop_with_a_timeout_needs_its_condition_to_hold() -> None:
    stop = stop_at("0.1") | {"timeout": {"enabled": True, "value": 10}}
    exchange, smart_id = filled(stop=stop)
    exchange.set_price(20.0, DOGE, last="0.099")
    exchange.set_price(29.9, DOGE, last="0.101")
    exchange.set_price(31.0, DOGE, last="0.1")
    exchange.set_price(35.0, DOGE, last="0.05")
    assert status_of(exchange, 40.9, smart_id) == "waiting_targets"
    assert status_of(exchange, 41.0, smart_id) == "stop_loss_in_progress"
    assert status_of(exchange, 43.0, smart_id) == "stop_loss_finished"


def test_the_timeout_of_a_stop_is_in_simulated_seconds() -> None:
    stop = stop_at("0.1") | {"timeout": {"enabled": True, "value": 10}}
    exchange = Exchange(time_scale=10.0)
    smart_id = opened(exchange, stop=stop)
    exchange.set_price(1.0, DOGE, last="0.099")
    assert status_of(exchange, 1.99, smart_id) == "waiting_targets"
    assert status_of(exchange, 2.0, smart_id) == "stop_loss_in_progress"


def test_a_limit_stop_waits_for_its_price() -> None:
    stop = stop_at("0.1") | {"order_type": "limit", "price": {"value": "0.098"}}
    exchange, smart_id = filled(stop=stop)
    exchange.set_price(11.0, DOGE, last="0.09")
    assert status_of(exchange, 1000.0, smart_id) == "stop_loss_in_progress"
    exchange.set_price(1001.0, DOGE, last="0.099")
    assert status_of(exchange, 1001.0, smart_id) == "stop_loss_finished"
    assert prices_of(exchange)[1:] == [("stop_loss", Decimal("99.9"), Decimal("0.098"))]


def test_targets_rest_while_the_stop_is_under_way() -> None:
    stop = stop_at("0.1") | {"order_type": "limit", "price": {"value": "0.098"}}
    exchange, smart_id = filled(targets=[target("0.12")], stop=stop)
    exchange.set_price(11.0, DOGE, last="0.09")
    trade: Any = exchange.get(20.0, smart_id)
    assert trade["take_profit"]["steps"][0]["status"]["type"] == "idle"
    assert trade["take_profit"]["steps"][0]["units"]["value"] is None
    exchange.set_price(21.0, DOGE, last="0.2")
    assert [fill.purpose for fill in exchange.fills] == ["position", "stop_loss"]


def test_breakeven_moves_the_stop_to_the_entry_after_the_first_target() -> None:
    stop = stop_at("0.1") | {"breakeven": True}
    exchange, smart_id = filled(targets=[target("0.12", "50"), target("0.13", "50")], stop=stop)
    exchange.set_price(11.0, DOGE, last="0.12")
    trade: Any = exchange.get(11.0, smart_id)
    assert trade["stop_loss"]["conditional"]["price"]["value"] == "0.10963"
    exchange.set_price(12.0, DOGE, last="0.10963")
    assert status_of(exchange, 14.0, smart_id) == "stop_loss_finished"
    assert prices_of(exchange)[2] == ("stop_loss", Decimal("50.9"), Decimal("0.10963"))


def test_a_short_takes_profit_below_and_stops_out_above() -> None:
    exchange, smart_id = filled(
        side="sell", targets=[target("0.1", "50"), target("0.09", "50", "market")], stop=stop_at("0.12")
    )
    exchange.set_price(11.0, DOGE, last="0.1")
    exchange.set_price(12.0, DOGE, last="0.11999")
    assert status_of(exchange, 12.0, smart_id) == "waiting_targets"
    exchange.set_price(13.0, DOGE, last="0.12")
    done: Any = exchange.get(15.0, smart_id)
    assert done["status"]["type"] == "stop_loss_finished"
    assert prices_of(exchange) == [
        ("position", Decimal(100), Decimal("0.10938")),
        ("take_profit", Decimal(50), Decimal("0.1")),
        ("stop_loss", Decimal(50), Decimal("0.12001")),
    ]
    # 10.938 less 0.1 % came in, 5 and 6.0005 plus 0.1 % went out.
    assert done["data"]["closed_total"] == "11.0115005"
    assert done["profit"]["volume"] == "-0.0844385"


def test_the_stop_goes_first_where_a_target_is_met_too() -> None:
    exchange, smart_id = filled(targets=[target("0.1")], stop=stop_at("0.11"))
    assert status_of(exchange, 10.0, smart_id) == "stop_loss_finished"


def test_a_walk_depends_on_the_seed_and_on_instants_only() -> None:
    def walked(seed: int, *instants: float) -> list[Decimal]:
        exchange = Exchange(walk=Walk(step=2.0, swing=50), seed=seed)
        for at in instants:
            exchange.advance(at)
        return [ticker.last for ticker in exchange.tickers.values()]

    assert walked(1, 100.0) == walked(1, 0.5, 33.3, 99.0, 100.0)
    assert walked(1, 100.0) == walked(1, 101.9)
    assert walked(1, 100.0) != walked(1, 102.0)
    assert walked(1, 100.0) != walked(2, 100.0)
    assert walked(1, 1.9) == [ticker.last for ticker in TICKERS.values()]


def test_a_walk_moves_by_whole_price_steps_within_its_swing() -> None:
    market = Market(TICKERS, walk=Walk(step=1.0, swing=50), step=1.0, seed=3)
    before = market.tickers["USDT_BTC"].last
    for _ in range(200):
        market.move()
        last = market.tickers["USDT_BTC"].last
        assert last % Decimal("0.01") == 0
        assert abs(last - before) <= before * Decimal("0.005")
        before = last
    assert before != TICKERS["USDT_BTC"].last


def test_a_walk_ends_trades_by_itself() -> None:
    exchange = Exchange(walk=Walk(step=10.0, swing=100), seed=1)
    exchange.seed(30)
    exchange.advance(21600.0)
    statuses = {trade.status.value for trade in exchange.trades.values()}
    assert {"finished", "stop_loss_finished"} <= statuses


@pytest.mark.parametrize("numbers", [{"step": 0.0}, {"swing": 0}, {"step": float("nan")}])
def test_a_walk_goes_somewhere(numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="positive"):
        Walk(**numbers)
