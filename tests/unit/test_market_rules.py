from __future__ import annotations

import decimal
import json
import pickle
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from threecommas_async import (
    LeverageData,
    MarketRules,
    MarketRulesError,
    OrderLeverage,
    RoundedNumber,
    SmartTradeOrder,
    Violation,
    endpoints,
    stop_loss,
    take_profit,
    target,
    trigger,
)

if TYPE_CHECKING:
    from collections.abc import Callable

D = Decimal
SPOT: dict[str, Any] = {
    "last": "60000",
    "bid": "59999",
    "ask": "60001",
    "priceStep": "0.01",
    "minPrice": "1",
    "maxPrice": "1000000.0",
    "lotStep": "0.001",
    "minLotSize": "0.002",
    "maxLotSize": "100",
    "maxMarketBuyAmount": "10",
    "maxMarketSellAmount": "20",
    "minMarketBuyAmount": "0.004",
    "minMarketSellAmount": "0.003",
    "minTotal": "5",
    "minMarketTotal": "200",
    "maxTotal": "9000000",
}


def rules_of(pair: str | None = "USDT_BTC", **changes: object) -> MarketRules:
    content = {name: value for name, value in {**SPOT, **changes}.items() if value is not None}
    rates = endpoints.LEVERAGE_RATES.decode(json.dumps(content).encode())
    return MarketRules.from_rates(rates, pair=pair)


def long(units: str, price: str | None = None, **more: Any) -> SmartTradeOrder:
    limit: dict[str, Any] = {} if price is None else {"order_type": "limit", "price": price}
    return SmartTradeOrder.smart_trade(account_id=5, pair="USDT_BTC", units=units, **limit, **more)


def short(units: str, price: str | None = None, **more: Any) -> SmartTradeOrder:
    limit: dict[str, Any] = {} if price is None else {"order_type": "limit", "price": price}
    return SmartTradeOrder.smart_cover(account_id=5, pair="USDT_BTC", units=units, **limit, **more)


def found(order: SmartTradeOrder, rules: MarketRules | None = None) -> list[tuple[str, Any, Any, str]]:
    violations = (rules or rules_of()).check(order)
    return [(each.field, each.value, each.bound, each.limit) for each in violations]


UNITS, PRICE, TOTAL = "position.units.value", "position.price.value", "position.total"
TARGET, STOP, SHARE = (
    "take_profit.steps[0].price.value",
    "stop_loss.price.value",
    "take_profit.steps[1].units",
)


@pytest.mark.parametrize(
    ("order", "violations"),
    [
        (long("0.01", "50000"), []),
        (long("0.0105", "50000"), [(UNITS, D("0.0105"), D("0.001"), "lotStep")]),
        (long("0.001", "50000"), [(UNITS, D("0.001"), D("0.002"), "minLotSize")]),
        (long("100.001", "50"), [(UNITS, D("100.001"), D(100), "maxLotSize")]),
        (long("0.01", "50000.001"), [(PRICE, D("50000.001"), D("0.01"), "priceStep")]),
        (long("10", "0.99"), [(PRICE, D("0.99"), D(1), "minPrice")]),
        (long("0.01", "1000000.01"), [(PRICE, D("1000000.01"), D("1000000.0"), "maxPrice")]),
        (long("0.01", "499.99"), [(TOTAL, D("4.9999"), D(5), "minTotal")]),
        (long("100", "90000.01"), [(TOTAL, D("9000001"), D(9000000), "maxTotal")]),
        # Market orders have bounds of their own, by side.
        (long("0.004"), []),
        (
            long("0.003"),
            [
                (UNITS, D("0.003"), D("0.004"), "minMarketBuyAmount"),
                (TOTAL, D("180.003"), D(200), "minMarketTotal"),
            ],
        ),
        (long("10.001"), [(UNITS, D("10.001"), D(10), "maxMarketBuyAmount")]),
        (short("20.001"), [(UNITS, D("20.001"), D(20), "maxMarketSellAmount")]),
        (short("0.003"), [(TOTAL, D("179.997"), D(200), "minMarketTotal")]),
        # A trigger that sends a market order is worth what it fires at, and is on no step.
        (long("0.004", conditional=trigger("50000.0001"), order_type="conditional"), []),
        (
            long("0.004", conditional=trigger("49999"), order_type="conditional"),
            [(TOTAL, D("199.996"), D(200), "minMarketTotal")],
        ),
        # One order can break several.
        (
            long("0.0001", "0.001"),
            [
                (UNITS, D("0.0001"), D("0.001"), "lotStep"),
                (UNITS, D("0.0001"), D("0.002"), "minLotSize"),
                (PRICE, D("0.001"), D("0.01"), "priceStep"),
                (PRICE, D("0.001"), D(1), "minPrice"),
                (TOTAL, D("1E-7"), D(5), "minTotal"),
            ],
        ),
    ],
)
def test_an_entry_is_held_against_every_limit(
    order: SmartTradeOrder, violations: list[tuple[str, Any, Any, str]]
) -> None:
    assert found(order) == violations


@pytest.mark.parametrize(
    ("exits", "violations"),
    [
        (
            {"take_profit": take_profit(target("70000.001"))},
            [(TARGET, D("70000.001"), D("0.01"), "priceStep")],
        ),
        ({"take_profit": take_profit(target("70000.001", order_type="market"))}, []),
        (
            {"take_profit": take_profit(target("1000000.01"))},
            [(TARGET, D("1000000.01"), D("1000000.0"), "maxPrice")],
        ),
        # 20 % of 0.01, less the fee of 0.1 %.
        (
            {"take_profit": take_profit(target(65000, volume=80), target(70000, volume=20))},
            [(SHARE, D("0.001998"), D("0.002"), "minLotSize")],
        ),
        (
            {
                "take_profit": take_profit(
                    target(65000, volume=95), target(70000, volume=5, order_type="market")
                )
            },
            [
                (SHARE, D("0.0004995"), D("0.001"), "lotStep"),
                (SHARE, D("0.0004995"), D("0.002"), "minLotSize"),
            ],
        ),
        ({"take_profit": take_profit(target("500"))}, []),
        ({"stop_loss": stop_loss("40000.0001")}, []),
        (
            {"stop_loss": stop_loss(40000, limit_price="39999.999")},
            [(STOP, D("39999.999"), D("0.01"), "priceStep")],
        ),
        ({"stop_loss": stop_loss(40000, limit_price="0.5")}, [(STOP, D("0.5"), D(1), "minPrice")]),
        ({"stop_loss": stop_loss(40000, trailing="1.234567")}, []),
    ],
)
def test_exits_are_held_against_what_the_exchange_gets_to_see(
    exits: dict[str, Any], violations: list[tuple[str, Any, Any, str]]
) -> None:
    assert found(long("0.01", "50000", **exits)) == violations


def test_the_fee_of_a_short_and_of_own_funds_takes_nothing_from_a_target() -> None:
    exits: dict[str, Any] = {"take_profit": take_profit(target(40000, volume=80), target(30000, volume=20))}
    assert found(short("0.01", "50000", **exits)) == []
    held = SmartTradeOrder.smart_sell(account_id=5, pair="USDT_BTC", units="0.01", price=50000, **exits)
    assert found(held) == []


def test_a_single_target_closes_whatever_there_is() -> None:
    assert found(long("0.002", "50000", take_profit=take_profit(target(70000)))) == []


def test_a_position_that_is_held_has_bounds_and_no_steps() -> None:
    held = SmartTradeOrder.smart_sell(account_id=5, pair="USDT_BTC", units="0.0123456", price="1234.5678")
    assert found(held) == []
    tiny = SmartTradeOrder.smart_sell(account_id=5, pair="USDT_BTC", units="0.0012", price="1234.5678")
    assert found(tiny) == [
        (UNITS, D("0.0012"), D("0.002"), "minLotSize"),
        (TOTAL, D("1.48148136"), D(5), "minTotal"),
    ]


KINDS = [
    {"code": "cross", "valid": {"min": 2, "max": "25.0"}, "max_leverage": "20.0"},
    {"code": "isolated", "available_leverage_values": ["1", "5"]},
]


@pytest.mark.parametrize(
    ("kind", "value", "violations"),
    [
        ("cross", 20, []),
        ("cross", 21, [("leverage.value", D(21), D("20.0"), "max_leverage")]),
        ("cross", 1, [("leverage.value", D(1), D(2), "min")]),
        ("isolated", 5, []),
        ("isolated", 4, [("leverage.value", D(4), None, "available_leverage_values")]),
        ("none", 4, [("leverage.type", "none", None, "leverage_data")]),
    ],
)
def test_leverage_is_held_against_its_kind(
    kind: Any, value: int, violations: list[tuple[str, Any, Any, str]]
) -> None:
    leverage = OrderLeverage(enabled=True, type=kind, value=D(value))
    order = long("0.01", "50000", leverage=leverage)
    assert found(order, rules_of(leverage_data=KINDS)) == violations
    assert found(order, rules_of()) == []
    off = long("0.01", "50000", leverage=OrderLeverage(enabled=False, type=kind, value=D(value)))
    assert found(off, rules_of(leverage_data=KINDS)) == []


@pytest.mark.parametrize(
    "changes",
    [
        dict.fromkeys(SPOT.keys() - {"last"}),
        dict.fromkeys(SPOT.keys() - {"last", "bid", "ask"}, "0"),
        dict.fromkeys(SPOT.keys() - {"last", "bid", "ask"}, 0),
        {name: "Infinity" if name.startswith("max") else None for name in SPOT if name != "last"},
        {name: "-1" if name.startswith("min") else None for name in SPOT if name != "last"},
    ],
    ids=["missing", "0", "number 0", "Infinity", "negative minimum"],
)
@pytest.mark.parametrize("order", [long("1E-20"), long("123456.789", "0.000000000001"), short("1E+20")])
def test_a_limit_that_says_nothing_is_none(changes: dict[str, Any], order: SmartTradeOrder) -> None:
    rules = rules_of(**changes)
    assert rules.check(order) == ()
    assert rules.round(order).order is order


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("lotStep", "-0.1"),
        ("priceStep", "Infinity"),
        ("priceStep", "NaN"),
        ("minTotal", "Infinity"),
        ("minTotal", "NaN"),
        ("maxTotal", "-1"),
        ("maxTotal", "-Infinity"),
        ("lotStep", "1E-999999"),
        ("maxLotSize", "1E+999999"),
        ("maxLotSize", "9" * 101),
    ],
)
def test_a_limit_that_can_be_none_is_an_error_that_names_it(limit: str, value: str) -> None:
    with pytest.raises(MarketRulesError, match=f"{limit} of USDT_BTC cannot be a limit") as caught:
        rules_of(**{limit: value})
    assert isinstance(caught.value, ValueError)
    assert caught.value.pair == "USDT_BTC"
    assert caught.value.violations == ()


def test_a_bound_of_leverage_that_is_no_number_is_an_error() -> None:
    with pytest.raises(MarketRulesError, match="leverage of USDT_BTC is no number"):
        rules_of(leverage_data=[{"code": "cross", "valid": {"max": "NaN"}}])
    with pytest.raises(MarketRulesError, match="leverage of USDT_BTC is no number"):
        rules_of(leverage_data=[{"code": "cross", "available_leverage_values": ["5", "sNaN"]}])
    rules = rules_of(leverage_data=[{"code": "cross", "valid": {"max": "Infinity"}}])
    leverage = OrderLeverage(enabled=True, type="cross", value=D(1000))
    assert found(long("0.01", "50000", leverage=leverage), rules) == []


def test_an_answer_that_states_nothing_makes_no_rules() -> None:
    with pytest.raises(MarketRulesError, match="states nothing about USDT_NOPE"):
        MarketRules.from_rates(endpoints.CURRENCY_RATES.decode(b'{"error": "?"}'), pair="USDT_NOPE")


def test_a_price_that_is_none_leaves_the_total_of_a_market_order_open() -> None:
    for price in (None, "NaN", "0", "-1", "Infinity"):
        assert found(long("0.005"), rules_of(ask=price)) == []
    assert [each[0] for each in found(long("0.005"), rules_of(minMarketTotal=1000))] == [TOTAL]


@pytest.mark.parametrize("commission", ["-0.1", 1, "x", 0.001])
def test_a_fee_is_a_fraction(commission: Any) -> None:
    rates = endpoints.CURRENCY_RATES.decode(b'{"last":"1"}')
    with pytest.raises(ValueError, match="commission"):
        MarketRules.from_rates(rates, commission=commission)


@pytest.mark.parametrize("limit", ["lot_step", "min_total", "max_amount", "ask"])
@pytest.mark.parametrize("value", [0, "-1", D("NaN"), D("sNaN"), D("Infinity"), D("1E-5000"), 0.1, True, "x"])
def test_rules_made_by_hand_are_held_to_what_can_be_one(limit: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{limit} must"):
        MarketRules(**{limit: value})


def test_rules_made_by_hand_take_any_exact_number_and_no_odd_fee_or_leverage() -> None:
    assert MarketRules(lot_step="0.1", min_amount=1).lot_step == D("0.1")  # type: ignore[arg-type]  # as an untyped caller may
    with pytest.raises(ValueError, match="commission must be a fraction"):
        MarketRules(commission=D(2))
    odd = LeverageData(code="cross", max_leverage=D("NaN"))
    with pytest.raises(MarketRulesError, match="leverage of the pair is no number"):
        MarketRules(leverage=(odd,))


def changes(order: SmartTradeOrder, rules: MarketRules | None = None) -> list[tuple[str, str, str]]:
    rounded = (rules or rules_of()).round(order)
    return [(each.field, str(each.asked), str(each.rounded)) for each in rounded.changes]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (long("0.0109999", "50000.019"), [(UNITS, "0.0109999", "0.010"), (PRICE, "50000.019", "50000.01")]),
        (short("0.0109999", "50000.011"), [(UNITS, "0.0109999", "0.010"), (PRICE, "50000.011", "50000.02")]),
        (
            long(
                "0.01",
                take_profit=take_profit(target("70000.001")),
                stop_loss=stop_loss("40000.001", limit_price="39999.999"),
            ),
            [(TARGET, "70000.001", "70000.01"), (STOP, "39999.999", "39999.99")],
        ),
        (
            short(
                "0.01",
                take_profit=take_profit(target("40000.009")),
                stop_loss=stop_loss("70000.001", limit_price="70000.001"),
            ),
            [(TARGET, "40000.009", "40000.00"), (STOP, "70000.001", "70000.01")],
        ),
        (long("0.01", take_profit=take_profit(target("70000.001", order_type="market"))), []),
        (SmartTradeOrder.smart_sell(account_id=5, pair="USDT_BTC", units="0.0123", price="5000.001"), []),
    ],
)
def test_amounts_go_down_and_prices_to_the_safe_side(
    order: SmartTradeOrder, expected: list[tuple[str, str, str]]
) -> None:
    assert changes(order) == expected


def test_a_rounded_order_is_an_order_again() -> None:
    order = long(
        "0.0109",
        "50000.019",
        take_profit=take_profit(target("70000.001", volume=50), target(80000, volume=50)),
    )
    rounded = rules_of().round(order)
    expected = long(
        "0.01", "50000.01", take_profit=take_profit(target("70000.01", volume=50), target(80000, volume=50))
    )
    assert rounded.order == expected
    assert rounded.changes[0] == RoundedNumber(UNITS, D("0.0109"), D("0.010"))
    assert order.position.units.value == D("0.0109")
    assert rules_of().round(rounded.order) == type(rounded)(rounded.order, ())


def test_rounding_mends_what_is_above_the_largest_lot_by_less_than_a_step() -> None:
    assert rules_of().round(long("100.0005", "1")).order.position.units.value == D(100)


@pytest.mark.parametrize(
    ("order", "fields"),
    [
        (long("0.0019", "50000"), {UNITS: "minLotSize"}),
        (long("0.0009", "50000"), {UNITS: "minLotSize", TOTAL: "minTotal"}),
        (long("100.001", "1"), {UNITS: "maxLotSize"}),
        (long("0.0109", "499.999"), {TOTAL: "minTotal"}),
        (
            long("0.01", "50000", stop_loss=stop_loss(2, limit_price="0.995")),
            {STOP: "minPrice"},
        ),
    ],
)
def test_what_rounding_cannot_mend_is_refused(order: SmartTradeOrder, fields: dict[str, str]) -> None:
    with pytest.raises(MarketRulesError, match="rounding does not make the order acceptable") as caught:
        rules_of().round(order)
    assert {each.field: each.limit for each in caught.value.violations} == fields


def test_an_amount_of_less_than_one_step_is_refused_though_there_is_no_minimum() -> None:
    rules = MarketRules(lot_step=D(1), price_step=D("0.1"))
    with pytest.raises(MarketRulesError) as caught:
        rules.round(long("0.5", "0.05"))
    assert [(each.field, each.value, each.bound) for each in caught.value.violations] == [
        (UNITS, D(0), D(1)),
        (PRICE, D(0), D("0.1")),
    ]


def test_numbers_of_many_digits_are_exact_whatever_the_context_is() -> None:
    step = "0." + "0" * 55 + "3"
    rules = rules_of(lotStep=step, minLotSize=None, minMarketBuyAmount=None, minMarketTotal=None)
    units = "1." + "0123456789" * 5 + "123459"
    with decimal.localcontext(decimal.Context(prec=3, Emax=9, Emin=-9, traps=[decimal.Inexact])):
        [violation] = rules.check(long(units))
        rounded = rules.round(long(units)).order.position.units.value
    assert (violation.value, violation.bound) == (D(units), D(step))
    asked, got = (int(str(number).replace(".", "")) for number in (D(units), rounded))
    assert asked % 3 == 1
    assert got == asked - 1


@pytest.mark.parametrize(
    "order", [long("1E-99"), long("1E+99"), long("9" * 100), long("0." + "9" * 100), long("1E+99", "1E-99")]
)
def test_no_number_that_an_order_can_hold_is_too_much(order: SmartTradeOrder) -> None:
    rules = rules_of(lotStep="0." + "0" * 54 + "7", maxLotSize="Infinity")
    assert {violation.field for violation in rules.check(order)} <= {UNITS, PRICE, TOTAL}
    with suppress(MarketRulesError):
        rules.round(order)


def test_the_rules_of_one_pair_are_not_those_of_another() -> None:
    order = SmartTradeOrder.simple_buy(account_id=5, pair="USDT_ETH", units=1)
    for call in (rules_of().check, rules_of().round):
        with pytest.raises(ValueError, match="rules of USDT_BTC, and the order is for USDT_ETH"):
            call(order)
        with pytest.raises(ValueError, match="must be a SmartTradeOrder"):
            call("order")  # type: ignore[arg-type]
    assert rules_of(pair=None).check(order) == ()


@pytest.mark.parametrize(
    ("violation", "text"),
    [
        (Violation("a", D("1E-8"), D("0.1"), "lotStep"), "a: 0.00000001 is no multiple of 0.1 (lotStep)"),
        (Violation(TOTAL, D(1), D(5), "minTotal"), f"{TOTAL}: 1 is less than 5 (minTotal)"),
        (Violation(TOTAL, D(9), D(5), "maxTotal"), f"{TOTAL}: 9 is more than 5 (maxTotal)"),
        (Violation("a.type", "cross", None, "leverage_data"), "a.type: cross is not offered (leverage_data)"),
    ],
)
def test_a_violation_reads_as_a_sentence(violation: Violation, text: str) -> None:
    assert str(violation) == text


def test_a_rounded_number_reads_as_a_sentence() -> None:
    change = RoundedNumber("position.units.value", D("0.0100012"), D("1E-2"))
    assert str(change) == "position.units.value: 0.0100012 is rounded to 0.01"


def test_the_error_keeps_its_violations_when_it_is_pickled() -> None:
    with pytest.raises(MarketRulesError) as caught:
        rules_of().round(long("0.0009", "50000"))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.violations == caught.value.violations != ()
    assert (str(copy), copy.pair) == (str(caught.value), "USDT_BTC")


def test_the_documented_rates_make_rules(sample: Callable[[str], bytes]) -> None:
    rates = endpoints.CURRENCY_RATES.decode(sample("market_data.currency_rates/200"))
    assert MarketRules.from_rates(rates, pair="USDT_BTC") == MarketRules(
        pair="USDT_BTC",  # type: ignore[arg-type]
        price_step=D("0.01"),
        min_price=D("0.01"),
        max_price=D("1000000.0"),
        lot_step=D("0.00001"),
        min_amount=D("0.00001"),
        max_amount=D("9000.0"),
        max_market_buy=D("121.22278732"),
        max_market_sell=D("121.22278732"),
        min_total=D("5.0"),
        max_total=D("9000000.0"),
        min_market_total=D("5.0"),
        bid=D("63802.44"),
        ask=D("63802.45"),
    )
    rates = endpoints.LEVERAGE_RATES.decode(sample("market_data.currency_rates_with_leverage_data/200"))
    rules = MarketRules.from_rates(rates, pair="BNFCR_1INCHUSDT")
    assert rules.leverage is not None
    assert [type(kind) for kind in rules.leverage] == [LeverageData]
    assert (rules.min_market_buy, rules.min_market_total, rules.max_total) == (D("1.0"), None, None)
    leverage = OrderLeverage(enabled=True, type="cross", value=D(26))
    order = SmartTradeOrder.smart_trade(account_id=5, pair="BNFCR_1INCHUSDT", units="20.5", leverage=leverage)
    assert found(order, rules) == [
        (UNITS, D("20.5"), D("1.0"), "lotStep"),
        ("leverage.value", D(26), D("25.0"), "max_leverage"),
    ]
