from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, localcontext
from typing import Any, cast

import pytest
from msgspec import UNSET, structs

from threecommas_async import (
    FundsOrder,
    OrderConditional,
    OrderLeverage,
    OrderStopLoss,
    OrderTakeProfit,
    OrderTimeout,
    OrderTrailing,
    OrderTriggerPrice,
    OrderValue,
    SmartTradeOrder,
    SmartTradeUpdate,
    StopLoss,
    UpdatePosition,
    stop_loss,
    take_profit,
    target,
    trigger,
)
from threecommas_async.models import rules

LONG = SmartTradeOrder.smart_trade(account_id=1, pair="USDT_BTC", units="0.01")
TRAILING_ENTRY: dict[str, Any] = {"order_type": "conditional", "conditional": trigger(50000, trailing=1)}


def order(**options: Any) -> SmartTradeOrder:
    return SmartTradeOrder.smart_trade(
        account_id=1, pair=options.pop("pair", "USDT_BTC"), units="0.01", **options
    )


def raw(**changes: Any) -> SmartTradeOrder:
    return structs.replace(LONG, **changes)


def entry(**changes: Any) -> SmartTradeOrder:
    return raw(position=structs.replace(LONG.position, **changes))


GOOD_ORDERS = {
    "market": LONG,
    "limit": order(order_type="limit", price="60000"),
    "conditional market": order(order_type="conditional", conditional=trigger("60000")),
    "conditional limit": order(
        order_type="conditional", price="60100", conditional=trigger("60000", order_type="limit")
    ),
    "trailing entry with distances": order(
        **TRAILING_ENTRY, take_profit=take_profit(target(percent=5)), stop_loss=stop_loss(percent=-3)
    ),
    "two targets, trailing, stop": order(
        take_profit=take_profit(target(65000, volume=50), target(70000, volume="50", trailing="1.5")),
        stop_loss=stop_loss(55000, breakeven=True, timeout=60),
    ),
    "eight targets": order(take_profit=take_profit(*[target(65000 + n, volume="12.5") for n in range(8)])),
    "limit stop": order(stop_loss=stop_loss(55000, limit_price=54900)),
    "note of 300": order(note="é" * 300),
    "leverage": order(leverage=OrderLeverage(enabled=True, type="cross", value=Decimal(5))),
    "leverage off": order(leverage=OrderLeverage(enabled=False)),
    "bounds of trailing": order(take_profit=take_profit(target(65000, trailing="0.01"))),
    "held, with its price": SmartTradeOrder.smart_sell(account_id=1, pair="USDT_BTC", units=1, price=50000),
    "futures pair": order(pair="USDT_BTCUSDT_UMCBL"),
}


@pytest.mark.parametrize("good", GOOD_ORDERS.values(), ids=GOOD_ORDERS.keys())
def test_a_documented_order_passes(good: SmartTradeOrder) -> None:
    rules.check_order(good)


def stop(**changes: Any) -> SmartTradeOrder:
    return raw(stop_loss=structs.replace(stop_loss(55000), **changes))


BAD_ORDERS: list[tuple[SmartTradeOrder, str]] = [
    (raw(account_id=0), "account_id: "),
    (raw(account_id=True), "account_id: "),
    (raw(pair=""), "pair: give it as QUOTE_BASE"),
    (raw(pair="USDT_BTC\n"), "pair: "),
    (raw(pair="USDT BTC"), "pair: "),
    (raw(note=""), "note: 1 to 300 characters, not 0"),
    (raw(note="x" * 301), "note: 1 to 300 characters, not 301"),
    (raw(note="\ud800"), "text with a lone surrogate"),
    (raw(instant=True, skip_enter_step=True), "skip_enter_step: "),
    (raw(instant=True, take_profit=take_profit(target(65000))), "take_profit: an instant order has none"),
    (raw(instant=True, stop_loss=stop_loss(5)), "stop_loss: an instant order has none"),
    (raw(leverage=OrderLeverage(enabled=True, value=Decimal(5))), "leverage.type: cross or isolated"),
    (raw(leverage=OrderLeverage(enabled=True, type="cross")), "leverage.value: needed"),
    (
        raw(leverage=OrderLeverage(enabled=True, type="cross", value=Decimal(0))),
        "leverage.value: must be a positive whole number, not 0",
    ),
    (
        raw(leverage=OrderLeverage(enabled=True, type="custom", value=Decimal(12))),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - the bad input
        "leverage.type: custom is deprecated, and stored as isolated: say isolated",
    ),
    (entry(units=OrderValue(value=Decimal(0))), "position.units.value: must be positive, not 0"),
    (entry(units=OrderValue(value=Decimal(-1))), "position.units.value: must be positive, not -1"),
    (entry(order_type="limit"), "position.price.value: a limit order needs one"),
    (entry(price=OrderValue(value=Decimal(5))), "position.price: a market order has none"),
    (entry(order_type="conditional"), "position.conditional: a conditional order needs one"),
    (entry(conditional=trigger(5)), "position.conditional: only for"),
    (
        entry(order_type="conditional", conditional=trigger(5, order_type="limit")),
        "position.price.value: a limit order needs one",
    ),
    (
        entry(
            order_type="conditional", conditional=OrderConditional(price=OrderTriggerPrice(value=Decimal(5)))
        ),
        "position.conditional.order_type: market or limit",
    ),
    (
        entry(
            order_type="conditional",
            conditional=OrderConditional(order_type="market", price=OrderTriggerPrice(percent=Decimal(5))),
        ),
        "position.conditional.price.percent: an entry is triggered by a price",
    ),
    (
        entry(order_type="conditional", conditional=trigger(5, trailing=0)),
        "position.conditional.trailing.percent: 0.01 to 100, not 0",
    ),
    (
        entry(
            order_type="conditional",
            conditional=structs.replace(trigger(5), trailing=OrderTrailing(enabled=True)),
        ),
        "position.conditional.trailing.percent: needed",
    ),
    (raw(take_profit=OrderTakeProfit(enabled=True)), "take_profit.steps: 1 to 8 targets, not 0"),
    (
        raw(take_profit=take_profit(*[target(65000, volume=10)] * 10)),
        "take_profit.steps: 1 to 8 targets, not 10",
    ),
    (
        raw(take_profit=take_profit(target(65000, volume=50), target(66000, volume="49.9"))),
        "take_profit.steps: the volumes must add up to 100, not 99.9",
    ),
    (
        raw(take_profit=take_profit(target(65000, volume=0), target(66000))),
        "take_profit.steps[0].volume: must be positive, not 0",
    ),
    (
        raw(take_profit=take_profit(target(65000, volume=50, trailing=1), target(66000, volume=50))),
        "take_profit.steps[0].trailing: only the last target can trail",
    ),
    (
        raw(take_profit=take_profit(target(65000, trailing="0.001"))),
        "take_profit.steps[0].trailing.percent: 0.01 to 100, not 0.001",
    ),
    (
        raw(take_profit=take_profit(target(65000, trailing="100.1"))),
        "take_profit.steps[0].trailing.percent: 0.01 to 100, not 100.1",
    ),
    (
        raw(take_profit=take_profit(target(65000, percent=5))),
        "take_profit.steps[0].price.percent: value and percent exclude each other",
    ),
    (raw(take_profit=take_profit(target())), "take_profit.steps[0].price.value: give it"),
    (
        raw(take_profit=take_profit(target(percent=5))),
        "take_profit.steps[0].price.percent: only while the entry trails",
    ),
    (raw(take_profit=take_profit(target(-5))), "take_profit.steps[0].price.value: must be positive, not -5"),
    (
        raw(take_profit=take_profit(structs.replace(target(5), price=OrderTriggerPrice(value=Decimal(5))))),
        "take_profit.steps[0].price.type: bid, ask or last",
    ),
    (raw(stop_loss=OrderStopLoss(enabled=True)), "stop_loss.order_type: market or limit"),
    (stop(conditional=None), "stop_loss.conditional: needed"),
    (
        raw(stop_loss=stop_loss(percent=-3)),
        "stop_loss.conditional.price.percent: only while the entry trails",
    ),
    (stop(order_type="limit"), "stop_loss.price.value: a limit order needs one"),
    (raw(stop_loss=stop_loss(5, breakeven=True)), "stop_loss.breakeven: needs two or more targets, not 0"),
    (
        raw(take_profit=take_profit(target(65000)), stop_loss=stop_loss(5, breakeven=True)),
        "stop_loss.breakeven: needs two or more targets, not 1",
    ),
    (stop(timeout=OrderTimeout(enabled=True)), "stop_loss.timeout.value: seconds"),
    (stop(timeout=OrderTimeout(enabled=True, value=0)), "stop_loss.timeout.value: seconds"),
    (raw(stop_loss=stop_loss(0)), "stop_loss.conditional.price.value: must be positive, not 0"),
    (
        raw(stop_loss=stop_loss(5, trailing=101)),
        "stop_loss.conditional.trailing.percent: 0.01 to 100, not 101",
    ),
]


@pytest.mark.parametrize(
    ("bad", "fault"), BAD_ORDERS, ids=[f"{n} {fault}" for n, (_, fault) in enumerate(BAD_ORDERS)]
)
def test_an_order_that_breaks_a_documented_rule_names_the_field_and_says_what_to_do(
    bad: SmartTradeOrder, fault: str
) -> None:
    with pytest.raises(ValueError, match=r"^the order would be refused: ") as caught:
        rules.check_order(bad)
    assert fault in str(caught.value)


def test_volumes_are_summed_exactly_whatever_the_decimal_context() -> None:
    thirds = take_profit(target(1, volume="33.333"), target(2, volume="33.333"), target(3, volume="33.334"))
    excess = take_profit(target(1, volume=50), target(2, volume="50." + "0" * 60 + "1"))
    huge = take_profit(target(1, volume="1E+50"), target(2, volume=50))
    with localcontext(Context(prec=4, Emax=9, Emin=-9, traps=[Inexact, InvalidOperation, Overflow])):
        rules.check_order(raw(take_profit=thirds))
        for wrong in (excess, huge):
            with pytest.raises(ValueError, match="add up to 100"):
                rules.check_order(raw(take_profit=wrong))


@pytest.mark.parametrize("digits", [3, 28])
def test_leverage_of_any_length_is_checked_whatever_the_decimal_context(digits: int) -> None:
    def with_leverage(value: str) -> SmartTradeOrder:
        return raw(leverage=OrderLeverage(enabled=True, type="cross", value=Decimal(value)))

    with localcontext(Context(prec=digits, Emax=9, Emin=-9, traps=[Inexact, InvalidOperation, Overflow])):
        rules.check_order(with_leverage("1" + "0" * 40))
        with pytest.raises(ValueError, match="must be a positive whole number"):
            rules.check_order(with_leverage("1" + "0" * 40 + ".5"))


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ValueError, match="refused") as caught:
        rules.check_order(raw(account_id=0, note="", pair=""))
    assert str(caught.value).count(";") == 2


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (entry(order_type="LIMIT"), "position.order_type: Invalid enum value 'LIMIT'"),
        (entry(type="long"), "position.type: Invalid enum value 'long'"),
        (raw(take_profit=target(65000)), "take_profit: Object contains unknown field `order_type`"),
        (
            raw(take_profit=OrderTakeProfit(enabled=True, steps=cast("Any", ([target(65000)],)))),
            "take_profit.steps[0]: Expected `object`, got `array`",
        ),
        (
            raw(take_profit=take_profit(target(65000, watch=cast("Any", "mark")))),
            "take_profit.steps[0].price.type: Invalid",
        ),
        (raw(stop_loss="55000"), "stop_loss: Expected `object | null`, got `str`"),
        (raw(stop_loss=StopLoss(enabled=True)), "stop_loss: Object contains unknown field"),
        (raw(account_id="7"), "account_id: Expected `int`, got `str`"),
        (raw(pair=None), "pair: Expected `str`, got `null`"),
        (raw(pair="BTC/USDT"), "pair: give it as QUOTE_BASE"),
        (raw(note=5), "note: Expected `str | null`, got `int`"),
        ({"account_id": 1}, "Object missing required field `pair`"),
        (SmartTradeUpdate(), "Object missing required field `account_id`"),
    ],
)
def test_what_is_of_a_wrong_type_or_kind_is_refused(bad: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=r"^the order would be refused: ") as caught:
        rules.check_order(bad)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [LONG, SmartTradeUpdate(stop_loss=None), SmartTradeUpdate(take_profit=target(5)), None, 5],  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - the bad input
)
def test_an_update_of_a_wrong_kind_is_refused(bad: Any) -> None:
    """An order passed for an update would strip the targets and the stop."""
    with pytest.raises(ValueError, match=r"^the update would be refused: "):
        rules.check_update(bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [(None, "would be refused"), (5, "would be refused"), (b"text", "bytes cannot be sent")],
)
def test_a_note_that_is_no_text_is_refused(bad: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rules.check_note(bad)


def test_an_update_is_held_against_the_rules_that_do_not_depend_on_the_trade() -> None:
    rules.check_update(SmartTradeUpdate(stop_loss=stop_loss(percent=-3)))
    rules.check_update(SmartTradeUpdate(stop_loss=stop_loss(5, breakeven=True)))
    rules.check_update(SmartTradeUpdate(position=UpdatePosition(price=None)))
    for update, fault in (
        (SmartTradeUpdate(), "set at least one"),
        (SmartTradeUpdate(position=UpdatePosition()), "position: set at least one"),
        (
            SmartTradeUpdate(position=UpdatePosition(units=OrderValue(value=Decimal(0)))),
            "position.units.value",
        ),
        (SmartTradeUpdate(take_profit=take_profit(target(5, volume=50))), "add up to 100, not 50"),
        (SmartTradeUpdate(stop_loss=OrderStopLoss(enabled=True)), "stop_loss.order_type"),
        (SmartTradeUpdate(leverage=OrderLeverage(enabled=True)), "leverage.type"),
        (
            SmartTradeUpdate(take_profit=take_profit(target(5)), stop_loss=stop_loss(5, breakeven=True)),
            "stop_loss.breakeven",
        ),
    ):
        with pytest.raises(ValueError, match=r"^the update would be refused: ") as caught:
            rules.check_update(update)
        assert fault in str(caught.value)
    assert SmartTradeUpdate().take_profit is UNSET


@pytest.mark.parametrize(
    ("funds", "fault"),
    [
        (
            FundsOrder(order_type="market", units=OrderValue(value=Decimal(0))),
            "units.value: must be positive",
        ),
        (
            FundsOrder(order_type="limit", units=OrderValue(value=Decimal(1))),
            "price.value: a limit order needs one",
        ),
        (
            FundsOrder(
                order_type="market", units=OrderValue(value=Decimal(1)), price=OrderValue(value=Decimal(1))
            ),
            "price: a market order has none",
        ),
    ],
)
def test_funds_are_held_against_their_rules(funds: FundsOrder, fault: str) -> None:
    with pytest.raises(ValueError, match="refused") as caught:
        rules.check_funds(funds)
    assert fault in str(caught.value)
