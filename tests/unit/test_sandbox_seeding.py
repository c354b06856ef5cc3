from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.sandbox_orders import (
    FOREVER,
    REAL,
    TERMINAL,
    UNFILLED,
    documented,
    exchange_with,
    status_of,
)
from threecommas_async.endpoints import GET_SMART_TRADE
from threecommas_async.sandbox import EVERY_STATUS
from threecommas_async.sandbox.exchange import Exchange
from threecommas_async.sandbox.market import TICKERS

if TYPE_CHECKING:
    from threecommas_async.models.smart_trade import SmartTrade
    from threecommas_async.sandbox.trades import Trade


def test_there_are_fifteen_statuses() -> None:
    assert set(EVERY_STATUS) == {
        "created",
        "waiting_position",
        "waiting_targets",
        "stop_loss_in_progress",
        "reduce_funds_in_progress",
        "pending_reduce_funds",
        "panic_sell_pending",
        "panic_sell_in_progress",
        "cancellation_pending",
        "cancellation_in_progress",
        "panic_sold",
        "finished",
        "stop_loss_finished",
        "cancelled",
        "failed",
    }
    assert len(EVERY_STATUS) == 15


def test_a_seed_makes_exactly_as_many_trades_and_takes_the_statuses_in_turns() -> None:
    exchange = Exchange()
    ids = exchange.seed(5, ["failed", "waiting_targets"])
    assert [exchange.trades[smart_id].status.value for smart_id in ids] == [
        "failed",
        "waiting_targets",
        "failed",
        "waiting_targets",
        "failed",
    ]
    assert len(exchange.trades) == 5


@pytest.mark.parametrize("statuses", [[], ["open"], ["failed", "idle"]])
def test_a_seed_in_a_state_that_no_smart_trade_has_is_refused(statuses: list[str]) -> None:
    with pytest.raises(ValueError, match="statuses"):
        Exchange().seed(1, statuses)


def test_a_seed_can_be_put_on_the_other_account() -> None:
    exchange = Exchange()
    (smart_id,) = exchange.seed(1, account_id=REAL)
    trade: Any = exchange.get(0.0, smart_id)
    assert trade["account"] == {
        "id": REAL,
        "type": "binance",
        "name": "My Binance",
        "market": "Binance Spot",
        "link": f"/accounts/{REAL}",
    }


def test_ids_and_creation_times_of_seeded_trades_are_unique_and_grow_together() -> None:
    exchange = Exchange()
    ids = exchange.seed(200, EVERY_STATUS)
    times = [
        GET_SMART_TRADE.decode(msgspec.json.encode(exchange.get(0.0, smart_id))).data.created_at
        for smart_id in ids
    ]
    assert ids == sorted(set(ids))
    assert times == sorted(set(times), key=str)


def test_smart_trade_ids_do_not_fit_31_bits() -> None:
    assert Exchange().seed(1)[0] > 2**31


def test_the_same_seed_gives_the_same_trades_and_another_seed_others() -> None:
    def pairs_and_sizes(seed: int) -> list[tuple[str, Decimal]]:
        exchange = Exchange(seed=seed)
        exchange.seed(20)
        return [(trade.order.pair, trade.order.units) for trade in exchange.trades.values()]

    assert pairs_and_sizes(1) == pairs_and_sizes(1)
    assert pairs_and_sizes(1) != pairs_and_sizes(2)


@pytest.mark.parametrize("status", EVERY_STATUS)
def test_a_seeded_trade_decodes_and_is_consistent_with_its_status(status: str) -> None:
    exchange = Exchange()
    for smart_id in exchange.seed(40, [status]):
        trade = GET_SMART_TRADE.decode(msgspec.json.encode(exchange.get(0.0, smart_id)))
        assert trade.status.basic_type == trade.status.type == status
        assert trade.account.type == "paper_trading"
        assert (trade.data.closed_at is not None) == (status in TERMINAL)
        assert trade.data.finished == (status in {"finished", "stop_loss_finished"})
        assert (trade.status.error is not None) == (status == "failed")
        assert (trade.position.status.error is not None) == (status == "failed")
        if status in UNFILLED | {"failed"}:
            assert trade.is_position_not_filled
            assert trade.data.entered_amount == trade.data.entered_total == 0
            assert trade.data.average_enter_price is None
        if status in UNFILLED | {"failed", "cancelled"}:
            assert trade.profit.volume is trade.profit.usd is None
            assert trade.profit.percent == 0
        if status in TERMINAL | {"panic_sell_in_progress", "cancellation_in_progress"}:
            assert trade.take_profit.steps == ()
            assert trade.stop_loss.enabled is False


def seeded(status: str, count: int = 80) -> list[SmartTrade]:
    exchange = Exchange()
    return [
        GET_SMART_TRADE.decode(msgspec.json.encode(exchange.get(0.0, smart_id)))
        for smart_id in exchange.seed(count, [status])
    ]


def test_seeded_trades_lie_in_the_past() -> None:
    trades = seeded("panic_sold")
    now = datetime(2025, 1, 1, tzinfo=UTC)
    for trade in trades:
        assert trade.data.created_at is not None
        assert trade.data.closed_at is not None
        assert trade.data.created_at < trade.data.closed_at < now


@pytest.mark.parametrize("status", ["panic_sold", "finished", "stop_loss_finished"])
def test_a_seeded_trade_that_was_closed_adds_up(status: str) -> None:
    trades = [trade for trade in seeded(status) if not trade.instant]
    assert len(trades) > 40
    for trade in trades:
        data = trade.data
        assert data.closed_amount == data.entered_amount
        assert data.closed_total is not None
        assert data.entered_total is not None
        gain = data.closed_total - data.entered_total
        assert trade.profit.volume == (gain if trade.position.type == "buy" else -gain)


def test_seeded_finished_trades_are_of_both_sorts() -> None:
    trades = seeded("finished")
    assert {trade.instant for trade in trades} == {True, False}
    assert {trade.data.closed_amount for trade in trades if trade.instant} == {Decimal(0)}
    # A target brought profit; nothing else can have finished a trade that had one.
    assert all(
        trade.profit.volume > 0 for trade in trades if trade.profit.volume and trade.take_profit.enabled
    )


def test_a_seeded_stop_brought_a_loss() -> None:
    assert all(trade.profit.volume < 0 for trade in seeded("stop_loss_finished") if trade.profit.volume)


def test_seeded_cancelled_trades_are_partly_filled_and_partly_not() -> None:
    trades = seeded("cancelled")
    assert {trade.is_position_not_filled for trade in trades} == {True, False}
    unfilled = [trade for trade in trades if trade.is_position_not_filled]
    assert {trade.position.status.code.value for trade in unfilled} == {"cancelled"}


@pytest.mark.parametrize("status", ["waiting_position", "waiting_targets"])
def test_seeded_targets_lie_on_the_winning_side_and_stops_on_the_losing_one(status: str) -> None:
    trades = seeded(status)
    assert {trade.position.type for trade in trades} == {"buy", "sell"}
    assert {len(trade.take_profit.steps) for trade in trades} == {0, 1, 2, 3}
    assert {trade.stop_loss.enabled for trade in trades} == {True, False}
    for trade in trades:
        entry = trade.position.price.value
        stop = trade.stop_loss.conditional.price.value
        assert entry is not None
        sign = 1 if trade.position.type == "buy" else -1
        prices = [step.price.value for step in trade.take_profit.steps]
        assert all(price is not None and (price - entry) * sign > 0 for price in prices)
        assert len(set(prices)) == len(prices)
        assert (stop is not None) == (trade.stop_loss.enabled is True)
        assert stop is None or (entry - stop) * sign > 0


def test_seeded_trades_are_worth_20_to_500_usdt_at_prices_around_the_market() -> None:
    exchange = Exchange()
    for smart_id in exchange.seed(200):
        trade = exchange.trades[smart_id]
        pair, price = trade.order.pair, trade.price
        rate = TICKERS["USDT_BTC"].last if pair.startswith("BTC_") else 1
        assert Decimal("19.4") < trade.order.units * price * rate <= 500
        assert Decimal("0.979") < price / TICKERS[pair].last < Decimal("1.021")
        assert trade.order.units % trade.rules.lot == price % trade.rules.tick == 0


def test_seeded_trades_are_of_all_sorts() -> None:
    orders = [trade.order for status in EVERY_STATUS for trade in orders_of(status)]
    assert {order.pair for order in orders} == set(TICKERS)
    assert {order.order_type for order in orders} == {"market", "limit", "conditional"}
    assert {order.skip_enter_step for order in orders} == {True, False}
    assert {order.note is None for order in orders} == {True, False}
    assert {trade.order.order_type for trade in orders_of("created") + orders_of("waiting_position")} == {
        "limit",
        "conditional",
    }
    assert {trade.order.skip_enter_step for trade in orders_of("created")} == {False}


def orders_of(status: str) -> list[Trade]:
    exchange = Exchange()
    exchange.seed(40, [status])
    return list(exchange.trades.values())


def test_a_seeded_reduction_is_a_tenth_of_the_order_at_the_market_price() -> None:
    for trade in seeded("pending_reduce_funds", 10):
        (step,) = trade.reduce_funds.steps
        assert trade.pair is not None
        assert step.type == "market"
        assert step.units.value is not None
        assert step.price.value is not None
        assert step.price.value in (TICKERS[trade.pair].bid, TICKERS[trade.pair].ask)
        assert step.total.value == step.units.value * step.price.value


def test_a_seeded_reduction_is_rendered_as_documented_and_goes_with_the_targets() -> None:
    (sample,) = documented("smart_trades.reduce_funds/201.json")["reduce_funds"]["steps"]
    exchange, smart_id = exchange_with("pending_reduce_funds")
    trade: Any = exchange.close_by_market(0.0, smart_id)
    (step,) = trade["reduce_funds"]["steps"]
    assert step.keys() == sample.keys()
    for key in ("type", "status", "closed_at", "data"):
        assert step[key] == sample[key]
    sold: Any = exchange.get(2.0, smart_id)
    assert sold["reduce_funds"] == {"steps": []}


def test_ids_of_steps_are_unique_and_do_not_fit_32_bits() -> None:
    exchange = Exchange()
    exchange.seed(40)
    ids = [step.id for trade in exchange.trades.values() for step in trade.steps]
    assert len(ids) > 20
    assert ids == sorted(set(ids))
    assert ids[0] > 2**32


def test_seeded_trades_are_not_in_the_ledger() -> None:
    assert exchange_with("waiting_targets")[0].ledger == []


@pytest.mark.parametrize(
    ("status", "end"),
    [
        ("created", "waiting_position"),
        ("panic_sell_pending", "panic_sold"),
        ("panic_sell_in_progress", "panic_sold"),
        ("cancellation_pending", "cancelled"),
        ("cancellation_in_progress", "cancelled"),
        ("waiting_position", "waiting_position"),
        ("waiting_targets", "waiting_targets"),
        ("stop_loss_in_progress", "stop_loss_finished"),
        ("reduce_funds_in_progress", "waiting_targets"),
        ("pending_reduce_funds", "waiting_targets"),
    ],
)
def test_a_seeded_trade_on_its_way_goes_on_and_any_other_stays(status: str, end: str) -> None:
    exchange, smart_id = exchange_with(status)
    assert status_of(exchange, FOREVER, smart_id) == end
