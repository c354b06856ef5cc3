from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from threecommas_async.endpoints import GET_SMART_TRADE
from threecommas_async.sandbox import EVERY_STATUS, Delays, LedgerEntry, Refusal
from threecommas_async.sandbox.exchange import Exchange
from threecommas_async.sandbox.market import TICKERS, Ticker
from threecommas_async.sandbox.parameters import from_form, merged
from threecommas_async.sandbox.shapes import decimal_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from threecommas_async.models.smart_trade import SmartTrade
    from threecommas_async.sandbox.trades import Trade

PAPER, REAL = 32199203, 32884189
FOREVER = 1e9
SAMPLES = Path(__file__).parents[1] / "samples"
SAMPLE_TRADES = [
    *SAMPLES.glob("smart_trades.*/20*.json"),
    SAMPLES / "deals.convert_to_smart_trade" / "201.json",
]
UNFILLED = {"created", "waiting_position"}
TERMINAL = {"panic_sold", "finished", "stop_loss_finished", "cancelled", "failed"}
# No documented object has these; recorded answers and the entity page's declarations do.
UNDOCUMENTED = {
    "data.average_close_price": "string",
    "data.average_close_price_without_commission": "string",
    "take_profit.steps[].closed_at": "string",
}


def order(
    kind: str = "market",
    side: str = "buy",
    *,
    units: object = "100",
    price: object = None,
    targets: list[dict[str, Any]] | None = None,
    stop: dict[str, Any] | None = None,
    **more: object,
) -> dict[str, Any]:
    position: dict[str, Any] = {"type": side, "order_type": kind, "units": {"value": units}}
    if price is not None:
        position["price"] = {"value": price}
    return {
        "account_id": PAPER,
        "pair": "USDT_DOGE",
        "position": position,
        "take_profit": {"enabled": targets is not None, "steps": targets or []},
        "stop_loss": stop or {"enabled": False},
        **more,
    }


def target(price: str, volume: str = "100", kind: str = "limit") -> dict[str, Any]:
    return {"order_type": kind, "volume": volume, "price": {"type": "last", "value": price}}


def stop_at(price: str) -> dict[str, Any]:
    conditional = {"price": {"type": "last", "value": price}}
    return {"enabled": True, "order_type": "market", "conditional": conditional}


def exchange_with(status: str, **options: Any) -> tuple[Exchange, int]:
    exchange = Exchange(**options)
    (smart_id,) = exchange.seed(1, [status])
    return exchange, smart_id


def opened(exchange: Exchange, **what: Any) -> int:
    smart_id: Any = exchange.create(0.0, order(**what))["id"]
    return int(smart_id)


def filled(**what: Any) -> tuple[Exchange, int]:
    exchange = Exchange()
    smart_id = opened(exchange, **what)
    exchange.advance(10.0)
    return exchange, smart_id


def refusal(call: Callable[[], object]) -> tuple[int, dict[str, Any]]:
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value.status, caught.value.body()


def status_of(exchange: Exchange, now: float, smart_id: int) -> str:
    trade: Any = exchange.get(now, smart_id)
    return str(trade["status"]["basic_type"])


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            yield path, "object"
            for key, member in value.items():  # pyright: ignore[reportUnknownVariableType] - any JSON
                yield from leaves(member, f"{path}.{key}".lstrip("."))
        case list():
            yield path, "array"
            for member in value:  # pyright: ignore[reportUnknownVariableType] - any JSON
                yield from leaves(member, f"{path}[]")
        case bool():
            yield path, "bool"
        case int() | float():
            yield path, "number"
        case str():
            yield path, "string"
        case _:
            assert value is None
            yield path, "null"


def documented_trades() -> list[dict[str, Any]]:
    documents: list[Any] = [json.loads(path.read_bytes()) for path in SAMPLE_TRADES]
    trades: list[dict[str, Any]] = []
    for document in documents:
        trades += document if isinstance(document, list) else [document]
    return [trade for trade in trades if "position" in trade]


def rendered_trades(count: int = 450) -> list[dict[str, Any]]:
    exchange = Exchange(seed=7)
    exchange.seed(count, EVERY_STATUS)
    pages = [exchange.page(0.0, {"per_page": 100, "page": page}) for page in range(1, count // 100 + 2)]
    return [json.loads(msgspec.json.encode(trade)) for page in pages for trade in page]


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


def test_every_key_and_json_type_of_a_rendered_trade_is_documented() -> None:
    documented = {leaf for trade in documented_trades() for leaf in leaves(trade)} | set(UNDOCUMENTED.items())
    for trade in rendered_trades():
        assert set(leaves(trade)) - documented == set()


def test_every_key_that_all_documented_trades_have_is_rendered() -> None:
    first, *others = ({path for path, _ in leaves(trade)} for trade in documented_trades())
    always = first.intersection(*others)
    assert "data.current_price.bid" in always
    for trade in rendered_trades():
        assert always - {path for path, _ in leaves(trade)} == set()


def test_what_varies_in_the_documented_trades_varies_as_often() -> None:
    trades = rendered_trades()
    texts = sum(isinstance(trade["data"]["commission"], str) for trade in trades)
    unversioned = sum("version" not in trade for trade in trades)
    # 2 of 14 each, and the newer keys in 3 of the 9 that have targets.
    assert 0.1 < texts / len(trades) < 0.19
    assert 0.1 < unversioned / len(trades) < 0.19
    steps = [step for trade in trades for step in trade["take_profit"]["steps"]]
    assert 0.2 < sum("closed_at" in step for step in steps) / len(steps) < 0.5
    stops = [trade["stop_loss"] for trade in trades if trade["stop_loss"]["enabled"]]
    assert 0.2 < sum("units" in stop for stop in stops) / len(stops) < 0.5


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0", "0.0"),
        ("-0.00", "0.0"),
        ("15", "15.0"),
        ("1500", "1500.0"),
        ("1E-8", "0.00000001"),
        ("1E+3", "1000.0"),
        ("0.00000280", "0.0000028"),
        ("-0.1230", "-0.123"),
        ("28.819532219570405727923627685", "28.819532219570405727923627685"),
    ],
)
def test_a_number_is_spelled_as_the_api_does(number: str, text: str) -> None:
    assert decimal_text(Decimal(number)) == text


def test_commission_is_written_as_a_plain_number() -> None:
    texts = [msgspec.json.encode(trade) for trade in rendered_trades(20)]
    assert sum(b'"commission":0.001,' in text for text in texts) > 10


def test_amounts_and_prices_are_strings_with_a_point_and_no_exponent() -> None:
    def numbers(value: Any) -> Iterator[str]:
        match value:
            case dict():
                for key, member in value.items():  # pyright: ignore[reportUnknownVariableType] - any JSON
                    if key not in {"note", "note_raw", "name", "link", "id"}:
                        yield from numbers(member)
            case list():
                for member in value:  # pyright: ignore[reportUnknownVariableType] - any JSON
                    yield from numbers(member)
            case str() if re.match(r"-?[0-9.]+($|[eE])", value):
                yield value
            case _:
                return

    texts = {text for trade in rendered_trades() for text in numbers(trade)}
    assert len(texts) > 500
    assert {text for text in texts if not re.fullmatch(r"-?(0|[1-9]\d*)\.(0|\d*[1-9])", text)} == set()


def volatile(trade: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs between two trades of the same kind."""
    trade = json.loads(msgspec.json.encode(trade))
    for key in ("id", "version", "account"):
        trade.pop(key, None)
    for key in ("created_at", "updated_at", "commission"):
        trade["data"].pop(key)
    for step in trade["take_profit"]["steps"]:
        step.pop("id")
        step.pop("closed_at", None)
    for key in ("units", "total", "closed_at"):
        trade["stop_loss"].pop(key, None)
    return trade


def documented(name: str) -> dict[str, Any]:
    trade: dict[str, Any] = json.loads((SAMPLES / name).read_bytes())
    return trade


def exchange_of(trade: dict[str, Any]) -> Exchange:
    prices = {key: Decimal(value) for key, value in trade["data"]["current_price"].items()}
    return Exchange(tickers={trade["pair"]: Ticker(**prices)})


def test_a_simple_buy_is_rendered_as_documented() -> None:
    sample = documented("smart_trades.create/201.json")
    request = documented("smart_trades.create/request.json") | {"account_id": PAPER}
    assert volatile(exchange_of(sample).create(0.0, request)) == volatile(sample)


def test_a_waiting_limit_entry_is_rendered_as_documented() -> None:
    sample = documented("smart_trades.entity/200.json")
    exchange = exchange_of(sample)
    request = order(
        "limit",
        units="15",
        price="0.10664",
        targets=[target("0.11731")],
        stop=stop_at("0.1013"),
        note="Place for your note.",
    )
    smart_id: Any = exchange.create(0.0, request)["id"]
    assert volatile(exchange.get(5.0, smart_id)) == volatile(sample)


def test_a_forced_entry_is_rendered_as_documented() -> None:
    sample = documented("smart_trades.force_start/201.json")
    exchange = exchange_of(sample)
    request = order("limit", units="31", price="0.2422", targets=[target("0.2665")], pair="USDT_1INCH")
    smart_id: Any = exchange.create(0.0, request)["id"]
    assert volatile(exchange.force_start(5.0, smart_id)) == volatile(sample)


def test_own_funds_are_rendered_as_documented() -> None:
    sample = documented("smart_trades.trades.cancel/200.json")
    exchange = exchange_of(sample)
    request = order(
        units="20",
        price="0.10268",
        targets=[target("0.3", "35"), target("0.4", "35"), target("0.5", "30")],
        stop=stop_at("0.09754"),
        skip_enter_step=True,
    )
    smart_id: Any = exchange.create(0.0, request)["id"]
    exchange.advance(5.0)
    # The documented trade had three targets, and its third was cancelled.
    del exchange.trades[smart_id].steps[2]
    assert volatile(exchange.get(5.0, smart_id)) == volatile(sample)


def test_dates_are_in_utc_with_milliseconds() -> None:
    exchange = Exchange(epoch=datetime(2025, 3, 1, 12, 0, 0, 500_999, tzinfo=UTC))
    trade: Any = exchange.create(59.7771, order())
    assert trade["data"]["created_at"] == "2025-03-01T12:01:00.277Z"


def test_two_trades_of_one_instant_show_different_creation_times() -> None:
    exchange = Exchange()
    trades: list[Any] = [exchange.create(1.0004, order()) for _ in range(3)]
    assert [trade["data"]["created_at"][-5:] for trade in trades] == [".000Z", ".001Z", ".002Z"]


def test_a_note_is_html_escaped_and_its_raw_text_kept() -> None:
    trade = Exchange().create(0.0, order(note="a < b & \"c\" 'd'"))
    assert trade["note"] == "a &lt; b &amp; &quot;c&quot; &#x27;d&#x27;"
    assert trade["note_raw"] == "a < b & \"c\" 'd'"


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
    exchange, smart_id = filled(units=units)
    exchange.close_by_market(10.0, smart_id)
    exchange.advance(FOREVER)
    trade = exchange.trades[smart_id]
    assert trade.entered_total == Decimal("135.22222100522222210052222211134")
    assert trade.closed_amount == Decimal("1233.333322233333332223333332322")


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
    tickers = dict(TICKERS)
    exchange = Exchange(tickers=tickers)
    smart_id = opened(exchange)
    doge = tickers["USDT_DOGE"]
    tickers["USDT_DOGE"] = Ticker(
        bid=Decimal("0.2"),
        ask=Decimal("0.3"),
        last=doge.last,
        quote_volume=doge.quote_volume,
        day_change_percent=doge.day_change_percent,
    )
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


@pytest.mark.parametrize(("side", "kind"), [("buy", "smart_sell"), ("sell", "smart_buy")])
def test_own_funds_go_to_their_targets_without_an_entry(side: str, kind: str) -> None:
    exchange = Exchange()
    trade: Any = exchange.create(0.0, order(side=side, skip_enter_step=True, targets=[target("0.2")]))
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
        trade: Any = Exchange().create(0.0, order("limit", side, price="0.1", targets=[percent]))
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
    assert exchange.trades[smart_id].closed_amount == Decimal("99.9")


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


BOTH = "take_profit[steps][0][price][value],take_profit[steps][0][price][percent]"


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
    trade: Any = Exchange().create(0.0, order("limit", side, price="0.1", stop=stop))
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


def conditional(order_type: str | None = "market", **price: str) -> dict[str, Any]:
    parameters = order("conditional")
    parameters["position"]["conditional"] = {"order_type": order_type, "price": price}
    return parameters


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
    exchange.create(0.0, order("limit", units=Decimal("15.5"), price=1))
    assert exchange.ledger[0].units == Decimal("15.5")


def test_the_ledger_has_one_entry_for_each_accepted_order() -> None:
    exchange = Exchange()
    smart_id = opened(exchange, kind="limit", price="0.1", targets=[target("0.2")])
    exchange.force_start(2.0, smart_id)
    exchange.advance(9.0)
    step = exchange.trades[smart_id].steps[0].id
    exchange.close_trade(9.0, smart_id, step)
    exchange.close_by_market(9.5, smart_id)

    def entry(at: float, action: Any, side: str, units: str, trade_id: int | None = None) -> LedgerEntry:
        return LedgerEntry(
            at=at,
            action=action,
            smart_trade_id=smart_id,
            trade_id=trade_id,
            account_id=PAPER,
            pair="USDT_DOGE",
            side=side,
            units=Decimal(units),
        )

    assert exchange.ledger == [
        entry(0.0, "create", "buy", "100"),
        entry(2.0, "force_start", "buy", "100"),
        entry(9.0, "close_trade", "sell", "99", step),
        entry(9.5, "close_by_market", "sell", "99.9"),
    ]


@pytest.mark.parametrize(
    ("now", "units"), [(1.5, Decimal(100)), (10.0, Decimal("99.9"))], ids=["before the fill", "after it"]
)
def test_the_ledger_has_a_cancel_with_what_it_is_about(now: float, units: Decimal) -> None:
    exchange = Exchange()
    smart_id = opened(exchange)
    exchange.cancel(now, smart_id)
    entry = exchange.ledger[1]
    assert (entry.action, entry.at, entry.side, entry.units) == ("cancel", now, "buy", units)


@pytest.mark.parametrize(
    ("action", "now"), [("cancel", 1.5), ("force_start", 1.5), ("close_by_market", 10.0)]
)
def test_an_order_meets_the_trade_as_it_stands_at_its_instant(action: str, now: float) -> None:
    exchange = Exchange()
    smart_id = opened(exchange)
    getattr(exchange, action)(now, smart_id)
    assert [(entry.at, entry.action) for entry in exchange.ledger] == [(0.0, "create"), (now, action)]


def test_an_order_to_close_a_target_meets_it_as_it_stands_and_counts_as_an_update() -> None:
    exchange = Exchange()
    smart_id = opened(exchange, targets=[target("0.2")])
    trade: Any = exchange.close_trade(10.0, smart_id, exchange.trades[smart_id].steps[0].id)
    assert trade["data"]["updated_at"] == "2025-01-01T00:00:10.000Z"


def test_delays_are_divided_all_alike() -> None:
    delays = Delays(place=1.0, fill=2.0, close=3.0, sell=4.0, cancel=5.0)
    assert delays.divided(10.0) == Delays(place=0.1, fill=0.2, close=0.3, sell=0.4, cancel=0.5)


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
        ("stop_loss_in_progress", "stop_loss_in_progress"),
        ("reduce_funds_in_progress", "reduce_funds_in_progress"),
        ("pending_reduce_funds", "pending_reduce_funds"),
    ],
)
def test_a_seeded_trade_on_its_way_goes_on_and_any_other_stays(status: str, end: str) -> None:
    exchange, smart_id = exchange_with(status)
    assert status_of(exchange, FOREVER, smart_id) == end


def ids_of(page: list[dict[str, object]]) -> list[object]:
    return [trade["id"] for trade in page]


def test_pages_are_of_ten_and_the_last_is_shorter() -> None:
    exchange = Exchange()
    ids = exchange.seed(23)
    pages = [
        ids_of(exchange.page(0.0, {"order_by": "created_at", "page": str(number)})) for number in range(1, 5)
    ]
    assert [len(page) for page in pages] == [10, 10, 3, 0]
    assert [smart_id for page in pages for smart_id in page] == ids[::-1]


def test_ascending_order_is_oldest_first() -> None:
    exchange = Exchange()
    ids = exchange.seed(3)
    page = exchange.page(0.0, {"order_by": "created_at", "order_direction": "ASC"})
    assert ids_of(page) == ids


def test_the_default_order_is_by_status() -> None:
    exchange = Exchange()
    exchange.seed(4, ["waiting_targets", "cancelled", "failed", "finished"])
    page: list[Any] = exchange.page(0.0, {})
    assert [trade["status"]["type"] for trade in page] == [
        "waiting_targets",
        "finished",
        "failed",
        "cancelled",
    ]


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("all", set(EVERY_STATUS)),
        ("active", set(EVERY_STATUS) - TERMINAL),
        ("finished", TERMINAL),
        ("successfully_finish", {"panic_sold", "finished", "stop_loss_finished"}),
        ("successfully_finished", {"panic_sold", "finished", "stop_loss_finished"}),
        ("cancelled", {"cancelled"}),
        ("failed", {"failed"}),
    ],
)
def test_the_status_filter_shows_its_states_only(status: str, shown: set[str]) -> None:
    exchange = Exchange()
    exchange.seed(30, EVERY_STATUS)
    page: list[Any] = exchange.page(0.0, {"status": status, "per_page": "100"})
    assert {trade["status"]["type"] for trade in page} == shown
    assert len(page) == 2 * len(shown)


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ({"account_id": str(REAL)}, [2]),
        ({"pair": "USDT_BTC"}, [1]),
        ({"type": "smart_cover"}, [3]),
        ({"base": "BTC"}, [1]),
        ({"quote": "BTC"}, [0]),
        ({"from": "2025-01-01T00:00:03Z"}, [3]),
        ({"to": "2025-01-01T00:00:00.000Z"}, [0]),
        ({"from": "2025-01-01T00:00:01Z", "to": "2025-01-01T03:00:02+03:00"}, [1, 2]),
        ({}, [0, 1, 2, 3]),
    ],
)
def test_a_filter_shows_what_fits_only(filters: dict[str, str], shown: list[int]) -> None:
    exchange = Exchange()
    orders = [
        order(units="1", pair="BTC_ETH"),
        order(units="1", pair="USDT_BTC"),
        order(account_id=REAL),
        order(side="sell"),
    ]
    ids = [exchange.create(float(second), what)["id"] for second, what in enumerate(orders)]
    page = exchange.page(3.0, {"order_by": "created_at", "order_direction": "ASC"} | filters)
    assert ids_of(page) == [ids[index] for index in shown]


@pytest.mark.parametrize("order_by", ["profit", "profit_percentage", "closed_at", "updated_at"])
def test_a_page_is_sorted_by_what_is_asked_for(order_by: str) -> None:
    exchange = Exchange()
    exchange.seed(60, EVERY_STATUS)
    page = exchange.page(0.0, {"order_by": order_by, "order_direction": "ASC", "per_page": "100"})
    trades = [GET_SMART_TRADE.decode(msgspec.json.encode(trade)) for trade in page]
    values: dict[str, list[Any]] = {
        "profit": [trade.profit.volume for trade in trades],
        "profit_percentage": [
            None if trade.profit.volume is None else trade.profit.percent for trade in trades
        ],
        "closed_at": [trade.data.closed_at for trade in trades],
        "updated_at": [trade.data.updated_at for trade in trades],
    }
    given = [value for value in values[order_by] if value is not None]
    assert len(given) >= 20
    assert given == sorted(given)
    assert values[order_by][-len(given) :] == given


@pytest.mark.parametrize(
    ("parameters", "attributes"),
    [
        ({"per_page": "101"}, {"per_page": ["must be less than or equal to 100"]}),
        ({"per_page": "0"}, {"per_page": ["must be greater than or equal to 1"]}),
        ({"page": "x"}, {"page": ["is invalid"]}),
        ({"page": "9" * 5000}, {"page": ["is invalid"]}),
        ({"status": "open"}, {"status": ["does not have a valid value"]}),
        ({"order_by": "id"}, {"order_by": ["does not have a valid value"]}),
        ({"order_direction": "up"}, {"order_direction": ["does not have a valid value"]}),
        ({"type": "grid"}, {"type": ["does not have a valid value"]}),
        ({"from": "1733000000000"}, {"from": ["is invalid"]}),
    ],
)
def test_a_malformed_list_parameter_is_refused(
    parameters: dict[str, str], attributes: dict[str, list[str]]
) -> None:
    status, body = refusal(lambda: Exchange().page(0.0, parameters))
    assert (status, body["error"], body["error_attributes"]) == (400, "record_invalid", attributes)


def test_brackets_in_a_form_make_groups_and_arrays_are_lost() -> None:
    text = (
        "pair=USDT_DOGE&position%5Bunits%5D%5Bvalue%5D=1&position[type]=buy&take_profit[steps][][volume]=100"
    )
    assert from_form(text) == {
        "pair": "USDT_DOGE",
        "position": {"units": {"value": "1"}, "type": "buy"},
    }


def test_the_query_wins_over_the_body_parameter_by_parameter() -> None:
    body = {"pair": "A", "position": {"type": "buy", "order_type": "market"}}
    query = {"pair": "B", "position": {"type": "sell"}}
    assert merged(body, query) == {"pair": "B", "position": {"type": "sell", "order_type": "market"}}


def test_a_group_in_the_query_replaces_what_is_no_group_in_the_body() -> None:
    assert merged({"position": "x"}, {"position": {"type": "sell"}}) == {"position": {"type": "sell"}}
    assert merged({"position": {"type": "sell"}}, {"position": "x"}) == {"position": "x"}
