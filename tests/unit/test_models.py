from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact, Overflow, localcontext
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.conftest import SAMPLES
from tests.documented_answers import compare, exact, follow
from threecommas_async import endpoints
from threecommas_async.models import decoding
from threecommas_async.models.decoding import DECODING_ERRORS, Decoder, PageDecoder
from threecommas_async.models.status import CLOSEABLE, CLOSING, TERMINAL, UNFILLED, StatusCode
from threecommas_async.models.trade import ReduceFundsInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from threecommas_async.models.smart_trade import SmartTrade


def decode(content: object) -> SmartTrade:
    return endpoints.GET_SMART_TRADE.decode(json.dumps(content).encode())


def smart_trade_samples() -> list[Path]:
    return [
        path
        for path in sorted(SAMPLES.glob("*/20?.json"))
        if b'"is_position_not_filled"' in path.read_bytes()
        and not path.read_bytes().lstrip().startswith(b"[")
    ]


def test_a_number_that_is_none_is_malformed_whatever_the_decimal_context() -> None:
    with localcontext(Context(traps=[])):
        page = endpoints.LIST_SMART_TRADES.decode(
            b'[{"id":1,"status":{},"profit":{"usd":"abc"}},{"id":2,"status":{},"profit":{"usd":"1"}}]'
        )
        with pytest.raises(msgspec.ValidationError):
            endpoints.GET_SMART_TRADE.decode(b'{"id":1,"status":{},"profit":{"usd":"abc"}}')
    assert [trade.id for trade in page] == [2]
    assert [bad.id for bad in page.malformed] == [1]


@pytest.mark.parametrize("path", smart_trade_samples(), ids=lambda path: path.parent.name)
def test_every_value_of_a_documented_answer_is_decoded_exactly(path: Path) -> None:
    trade = endpoints.GET_SMART_TRADE.decode(path.read_bytes())
    assert compare(trade, exact(path.read_bytes())) > 60


def test_there_are_thirteen_documented_single_trades() -> None:
    assert len(smart_trade_samples()) == 13


def test_force_start_answer_has_its_documented_decimals(sample: Callable[[str], bytes]) -> None:
    trade = endpoints.FORCE_START.decode(sample("smart_trades.force_start/201"))
    assert trade.position.units.value == Decimal("31.0")
    assert trade.position.price.value == Decimal("0.2422")
    assert trade.position.total.value == Decimal("7.5082")
    assert trade.take_profit.steps[0].price.value == Decimal("0.2665")
    assert trade.take_profit.steps[0].units.value is None
    assert trade.data.current_price.quote_volume == Decimal("2534772.74421")
    assert trade.data.commission == Decimal("0.001")
    assert trade.data.created_at == datetime(2024, 10, 29, 19, 50, 36, 196000, tzinfo=UTC)


def test_close_answer_has_its_documented_decimals(sample: Callable[[str], bytes]) -> None:
    trade = endpoints.CLOSE_BY_MARKET.decode(sample("smart_trades.close_by_market/201"))
    assert trade.status.code is StatusCode.PANIC_SELL_PENDING
    assert trade.position.conditional is not None
    assert trade.position.conditional.price.value == Decimal("0.255")
    assert trade.position.total.value == Decimal("1.977066")
    assert trade.profit.volume == Decimal("-0.0841932")
    assert trade.market_close.id is None


def test_trade_close_answer_has_its_documented_decimals(sample: Callable[[str], bytes]) -> None:
    trade = endpoints.CLOSE_TRADE.decode(sample("smart_trades.trades.close_by_market/201"))
    assert [step.id for step in trade.take_profit.steps] == [1047934727, 1047934728, 1047934729]
    assert [step.units.value for step in trade.take_profit.steps] == [
        Decimal("8.0"),
        Decimal("3.0"),
        Decimal("3.0"),
    ]
    assert trade.profit.volume == Decimal("0.0236249442")
    assert trade.take_profit.steps[2].status.code is StatusCode.PANIC_SELL_PENDING


FORTY_DIGITS = "1.123456789012345678901234567890123456789"


@pytest.mark.parametrize(
    ("content", "where", "expected"),
    [
        ({"data": {"commission": 0.001}}, "data.commission", Decimal("0.001")),
        ({"data": {"commission": "0.00045"}}, "data.commission", Decimal("0.00045")),
        ({"data": {"missing_funds_to_close": 0}}, "data.missing_funds_to_close", Decimal(0)),
        ({"profit": {"percent": 0}}, "profit.percent", Decimal(0)),
        ({"profit": {"usd": FORTY_DIGITS}}, "profit.usd", Decimal(FORTY_DIGITS)),
        ({"leverage": {"enabled": True, "value": "1.0"}}, "leverage.value", Decimal("1.0")),
        ({"leverage": {"enabled": True, "value": 5}}, "leverage.value", Decimal(5)),
        ({"take_profit": {"steps": [{"position": "2"}]}}, "take_profit.steps.0.position", 2),
        ({"take_profit": {"steps": [{"position": 2.0}]}}, "take_profit.steps.0.position", 2),
        (
            {"take_profit": {"steps": [{"trailing": {"percent": "-0.15"}}]}},
            "take_profit.steps.0.trailing.percent",
            Decimal("-0.15"),
        ),
        ({"market_close": {}}, "market_close.status", None),
        ({"stop_loss": {"enabled": False}}, "stop_loss.conditional.price.value", None),
        ({"reduce_funds": None}, "reduce_funds.steps", ()),
        ({"take_profit": None, "stop_loss": None, "position": None}, "position.units.value", None),
        ({"take_profit": {"steps": None}}, "take_profit.steps", ()),
        ({"status": {"type": "waiting_targets"}}, "status.code", StatusCode.WAITING_TARGETS),
        ({"status": {"basic_type": "brand_new"}}, "status.code", "brand_new"),
        ({"position": {"status": {"basic_type": "brand_new"}}}, "position.status.code", "brand_new"),
        ({"field_of_tomorrow": {"a": [1]}}, "id", 9007199254740993),
        ({"data": {"closed_at": None}}, "data.closed_at", None),
        ({"note": "a &amp; b", "note_raw": "a & b"}, "note_raw", "a & b"),
        ({"pair": "USDT_BTCUSDT_UMCBL"}, "pair", "USDT_BTCUSDT_UMCBL"),
    ],
)
def test_an_oddity_seen_in_answers_is_decoded(content: dict[str, Any], where: str, expected: object) -> None:
    trade = decode({"id": 9007199254740993, "status": {"basic_type": "waiting_targets"}} | content)
    assert follow(trade, where) == expected


def test_a_number_of_forty_digits_is_exact_as_a_json_number_too() -> None:
    text = f'{{"id": 1, "status": {{}}, "take_profit": null, "profit": {{"usd": {FORTY_DIGITS}}}}}'
    assert endpoints.GET_SMART_TRADE.decode(text.encode()).profit.usd == Decimal(FORTY_DIGITS)


def test_an_absent_key_reads_as_none_or_as_an_empty_group() -> None:
    trade = decode({"id": 1, "status": {"type": "created"}})
    assert trade.account.id is None
    assert trade.data.panic_sell_available is None
    assert trade.take_profit.steps == ()
    assert trade.pair is None


@pytest.mark.parametrize(
    "content", [{"status": {}}, {"id": "abc", "status": {}}, {"id": None, "status": {}}, {"id": 1}]
)
def test_a_trade_without_id_or_status_is_malformed(content: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(content)


def test_one_malformed_trade_does_not_cost_the_others() -> None:
    good = {"id": 1, "status": {"type": "created"}}
    page = endpoints.LIST_SMART_TRADES.decode(
        json.dumps(
            [good, {"id": 2, "status": {}, "profit": {"usd": "abc"}}, {"status": {}}, 7, good | {"id": 3}]
        ).encode()
    )
    assert [trade.id for trade in page] == [1, 3]
    assert [(bad.index, bad.id) for bad in page.malformed] == [(1, 2), (2, None), (3, None)]
    assert "$.profit.usd" in page.malformed[0].fault
    assert "`id`" in page.malformed[1].fault
    assert page.received == 5


@pytest.mark.parametrize(
    ("bad", "survives"),
    [
        (rb'{"id": 2, "status": {}, "note": "\ud83d"}', True),
        (b'{"id": 2, "status": {}, "note": "\xff"}', True),
        (b'{"id": 2, "status": {}, "leverage": {"value": 1e9999999999999999999999}}', False),
        (b'{"id": 2, "status": {}, "unknown": 1e9999999999999999999999, "profit": null}', True),
        (b'{"id": 2, "status": {}, "profit": {"usd": NaN}}', True),
        (b'{"id": ' + b"9" * 5000 + b', "status": {}}', False),
        (b'{"id": 2, "status": {}, "profit": {"usd": "' + b"9" * 5000 + b'"}}', True),
    ],
)
def test_an_element_that_is_hardly_json_costs_at_most_itself(bad: bytes, survives: bool) -> None:
    page = endpoints.LIST_SMART_TRADES.decode(b'[{"id":1,"status":{}},' + bad + b',{"id":3,"status":{}}]')
    assert [trade.id for trade in page] == ([1, 2, 3] if survives else [1, 3])
    assert len(page.malformed) == (0 if survives else 1)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b"[", b"[1", b"[" * 100_000, b"[" + b"{}," * 2000 + b"{}]"]
)
def test_a_body_that_is_no_list_of_trades_is_an_error(body: bytes) -> None:
    with pytest.raises(DECODING_ERRORS):
        endpoints.LIST_SMART_TRADES.decode(body)


def test_a_page_is_a_sequence() -> None:
    page = endpoints.LIST_SMART_TRADES.decode(b'[{"id":1,"status":{}},{"id":2,"status":{}}]')
    assert len(page) == 2
    assert page[1].id == 2
    assert [trade.id for trade in page[:1]] == [1]
    assert page.malformed == ()


@pytest.mark.parametrize("path", smart_trade_samples(), ids=lambda path: path.parent.name)
def test_unrealised_profit_is_exact_on_the_documented_open_trades(path: Path) -> None:
    trade = endpoints.GET_SMART_TRADE.decode(path.read_bytes())
    if trade.is_terminal:
        assert trade.profit.volume is None
    else:
        assert trade.unrealised_profit == trade.profit.volume


@pytest.mark.parametrize(
    ("side", "expected"),
    [
        # 10 entered for 1000, 4 closed for 480; the other 6 at 110 or 111 with a fee of 0.1 %.
        ("buy", Decimal("139.340")),
        ("sell", Decimal("-146.666")),
    ],
)
def test_unrealised_profit_counts_what_was_closed_already(side: str, expected: Decimal) -> None:
    trade = decode(
        {
            "id": 1,
            "status": {"type": "waiting_targets"},
            "position": {"type": side, "units": {"value": "10"}},
            "is_position_not_filled": False,
            "data": {
                "current_price": {"bid": "110", "ask": "111"},
                "commission": "0.001",
                "entered_amount": "10",
                "entered_total": "1000",
                "closed_amount": "4",
                "closed_total": "480",
            },
        }
    )
    assert trade.unrealised_profit == expected
    with localcontext(Context(prec=3, Emax=1, Emin=-1, traps=[Inexact, Overflow])):
        assert trade.unrealised_profit == expected


def test_the_derived_properties_of_a_documented_trade(sample: Callable[[str], bytes]) -> None:
    trade = endpoints.CLOSE_BY_MARKET.decode(sample("smart_trades.close_by_market/201"))
    assert (trade.side, trade.quote, trade.base, trade.is_filled) == ("sell", "USDT", "1INCH", True)
    assert decode({"id": 1, "status": {}, "pair": "USDT_BTCUSDT_UMCBL"}).base == "BTCUSDT_UMCBL"
    assert decode({"id": 1, "status": {}}).base is None
    assert decode({"id": 1, "status": {}}).unrealised_profit is None
    assert decode({"id": 1, "status": {}, "data": {"entered_amount": "1.0"}}).is_filled


@pytest.mark.parametrize("name", ["smart_trades.trades.list/200", "trade.entity/200"])
def test_every_value_of_a_documented_order_is_decoded_exactly(
    name: str, sample: Callable[[str], bytes]
) -> None:
    content = exact(sample(name))
    entries = content if isinstance(content, list) else [content]
    trades = endpoints.LIST_TRADES.decode(sample(name) if content is entries else b"[%b]" % sample(name))
    assert trades.malformed == ()
    for trade, entry in zip(trades, entries, strict=True):
        assert compare(trade, entry) == len(entry)


def test_the_largest_documented_number_is_exact(sample: Callable[[str], bytes]) -> None:
    info = endpoints.REDUCE_FUNDS_INFO.decode(sample("smart_trades.reduce_funds_info/200"))
    assert info.max_reduce_funds_amount == Decimal("28.819532219570405727923627685")


def test_an_unknown_state_behaves_like_its_text() -> None:
    code = StatusCode("brand_new")
    assert code == "brand_new"
    assert {"brand_new": 1}[code] == 1
    assert str(code) == code.value == "brand_new"
    assert code not in TERMINAL


@pytest.mark.parametrize(
    ("state", "is_open", "is_closing", "is_terminal", "is_unfilled", "is_closeable"),
    [
        ("created", True, False, False, True, False),
        ("waiting_position", True, False, False, True, False),
        ("waiting_targets", True, False, False, False, True),
        ("stop_loss_in_progress", True, False, False, False, True),
        ("reduce_funds_in_progress", True, False, False, False, True),
        ("pending_reduce_funds", True, False, False, False, True),
        ("panic_sell_pending", False, True, False, False, False),
        ("panic_sell_in_progress", False, True, False, False, False),
        ("cancellation_pending", False, True, False, False, False),
        ("cancellation_in_progress", False, True, False, False, False),
        ("panic_sold", False, False, True, False, False),
        ("finished", False, False, True, False, False),
        ("stop_loss_finished", False, False, True, False, False),
        ("cancelled", False, False, True, False, False),
        ("failed", False, False, True, False, False),
        ("brand_new", True, False, False, False, False),
    ],
)
def test_state_tells_what_can_be_done(
    state: str, is_open: bool, is_closing: bool, is_terminal: bool, is_unfilled: bool, is_closeable: bool
) -> None:
    trade = decode({"id": 1, "status": {"basic_type": state}})
    assert (trade.is_open, trade.is_closing, trade.is_terminal, trade.is_unfilled, trade.is_closeable) == (
        is_open,
        is_closing,
        is_terminal,
        is_unfilled,
        is_closeable,
    )


def test_the_state_sets_do_not_overlap() -> None:
    sets = (UNFILLED, CLOSEABLE, CLOSING, TERMINAL)
    assert sum(map(len, sets)) == len(frozenset().union(*sets)) == 15


def test_finished_flag_ends_a_trade_of_unknown_state() -> None:
    assert decode({"id": 1, "status": {"type": "brand_new"}, "data": {"finished": True}}).is_terminal
    assert not decode(
        {"id": 1, "status": {"type": "waiting_targets"}, "data": {"closed_at": None}}
    ).is_terminal


@pytest.mark.parametrize(
    ("make", "body"), [(Decoder, b'{"max_reduce_funds_amount":1}'), (PageDecoder, b"[]")]
)
def test_one_decoder_is_made_at_a_time(
    make: Callable[[type[ReduceFundsInfo]], Callable[[bytes], object]],
    body: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two threads that make decoders at once crash msgspec 0.22: there is no catching that."""
    was_locked: list[bool] = []

    def decoder(type_: Any) -> msgspec.json.Decoder[Any]:
        was_locked.append(decoding.MAKING.locked())
        return original(type_)

    original = msgspec.json.Decoder
    decode = make(ReduceFundsInfo)
    monkeypatch.setattr(msgspec.json, "Decoder", decoder)
    decode(body)
    decode(body)
    assert was_locked == [True]
