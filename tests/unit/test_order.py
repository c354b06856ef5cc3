from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from threecommas_async import (
    OrderConditional,
    OrderLeverage,
    OrderPosition,
    OrderStopLoss,
    OrderTakeProfit,
    OrderTakeProfitStep,
    OrderTimeout,
    OrderTrailing,
    OrderTriggerPrice,
    OrderValue,
    SmartTradeOrder,
    SmartTradeUpdate,
    UpdatePosition,
    stop_loss,
    take_profit,
    target,
    trigger,
)
from threecommas_async.models.encoding import encode_body


def sent(body: msgspec.Struct) -> Any:
    return msgspec.json.decode(encode_body(body))


def test_every_parameter_of_the_documented_create_table_can_be_sent() -> None:
    trigger = OrderTriggerPrice(type="last", value=Decimal("0.5"))
    trailing = OrderTrailing(enabled=True, percent=Decimal("0.01"))
    order = SmartTradeOrder(
        account_id=32455218,
        pair="USDT_BTC",
        instant=False,
        skip_enter_step=False,
        leverage=OrderLeverage(enabled=True, type="isolated", value=Decimal(12)),
        position=OrderPosition(
            type="buy",
            order_type="conditional",
            units=OrderValue(value=Decimal("0.01")),
            price=OrderValue(value=Decimal(60000)),
            conditional=OrderConditional(order_type="limit", price=trigger, trailing=trailing),
        ),
        take_profit=OrderTakeProfit(
            enabled=True,
            steps=(
                OrderTakeProfitStep(
                    order_type="market",
                    volume=Decimal(100),
                    price=OrderTriggerPrice(type="bid", percent=Decimal(5)),
                    trailing=trailing,
                ),
            ),
        ),
        stop_loss=OrderStopLoss(
            enabled=True,
            breakeven=True,
            order_type="limit",
            price=OrderValue(value=Decimal(40000)),
            conditional=OrderConditional(
                price=OrderTriggerPrice(type="ask", value=Decimal(41000), percent=Decimal(-3)),
                trailing=trailing,
            ),
            timeout=OrderTimeout(enabled=True, value=60),
        ),
        note="a ü b",
    )
    assert sent(order) == {
        "account_id": 32455218,
        "pair": "USDT_BTC",
        "instant": False,
        "skip_enter_step": False,
        "leverage": {"enabled": True, "type": "isolated", "value": "12"},
        "position": {
            "type": "buy",
            "order_type": "conditional",
            "units": {"value": "0.01"},
            "price": {"value": "60000"},
            "conditional": {
                "order_type": "limit",
                "price": {"type": "last", "value": "0.5"},
                "trailing": {"enabled": True, "percent": "0.01"},
            },
        },
        "take_profit": {
            "enabled": True,
            "steps": [
                {
                    "order_type": "market",
                    "volume": "100",
                    "price": {"type": "bid", "percent": "5"},
                    "trailing": {"enabled": True, "percent": "0.01"},
                }
            ],
        },
        "stop_loss": {
            "enabled": True,
            "breakeven": True,
            "order_type": "limit",
            "price": {"value": "40000"},
            "conditional": {
                "price": {"type": "ask", "value": "41000", "percent": "-3"},
                "trailing": {"enabled": True, "percent": "0.01"},
            },
            "timeout": {"enabled": True, "value": 60},
        },
        "note": "a ü b",
    }


def test_a_long_at_market_price_takes_one_line() -> None:
    order = SmartTradeOrder.smart_trade(account_id=1, pair="USDT_DOGE", units="15", order_type="market")
    assert sent(order) == {
        "account_id": 1,
        "pair": "USDT_DOGE",
        "instant": False,
        "skip_enter_step": False,
        "position": {"type": "buy", "order_type": "market", "units": {"value": "15"}},
        "take_profit": {"enabled": False},
        "stop_loss": {"enabled": False},
    }


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Decimal("1E-8"), "0.00000001"),
        (Decimal("1E+3"), "1000"),
        ("0.00000001", "0.00000001"),
        ("1e-10", "0.0000000001"),
        (15, "15"),
        (Decimal("3.141592653589793238462643383279502884197"), "3.141592653589793238462643383279502884197"),
    ],
)
def test_a_number_leaves_as_a_plain_decimal_string(given: Any, text: str) -> None:
    assert encode_body(OrderValue(value=given)) == f'{{"value":"{text}"}}'.encode()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (0.1, 'write "0.1" or Decimal\\("0.1"\\)'),
        (float("nan"), "must not be a float"),
        ("NaN", "must be a number such as"),
        (Decimal("Infinity"), "finite"),
        (Decimal("sNaN"), "finite"),
        ("ten", "must be a number such as"),
        ("1_000", "must be a number such as"),
        ("٣", "must be a number such as"),
        (" 1", "must be a number such as"),
        ("", "must be a number such as"),
        ("1E+200000000", "must be a number such as"),
        ("1e101", "at most 100 digits"),
        ("1" * 1_000_000 + "x", "must be a number such as"),
        (Decimal("1E+999999"), "at most 100 digits"),
        (Decimal("1E-101"), "at most 100 digits"),
        (True, "must be a Decimal, an int or a str, not bool"),
        (b"1", "must be a Decimal, an int or a str, not bytes"),
    ],
)
def test_a_number_that_is_not_exact_is_refused(bad: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OrderValue(value=bad)
    with pytest.raises(ValueError, match=f"units.*{message}" if "write" not in message else message):
        SmartTradeOrder.smart_trade(account_id=1, pair="USDT_DOGE", units=bad)


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        (SmartTradeOrder.simple_buy(account_id=1, pair="USDT_BTC", units=1), (True, False, "buy")),
        (SmartTradeOrder.simple_sell(account_id=1, pair="USDT_BTC", units=1), (True, False, "sell")),
        (SmartTradeOrder.smart_trade(account_id=1, pair="USDT_BTC", units=1), (False, False, "buy")),
        (SmartTradeOrder.smart_cover(account_id=1, pair="USDT_BTC", units=1), (False, False, "sell")),
        (SmartTradeOrder.smart_sell(account_id=1, pair="USDT_BTC", units=1), (False, True, "buy")),
        (SmartTradeOrder.smart_buy(account_id=1, pair="USDT_BTC", units=1), (False, True, "sell")),
    ],
    ids=["simple_buy", "simple_sell", "smart_trade", "smart_cover", "smart_sell", "smart_buy"],
)
def test_a_constructor_makes_the_kind_that_it_is_named_after(
    order: SmartTradeOrder, kind: tuple[bool, bool, str]
) -> None:
    """The documented table of kinds: instant, skip_enter_step, position.type."""
    assert (order.instant, order.skip_enter_step, order.position.type) == kind
    body = sent(order)
    assert ("take_profit" in body) == ("stop_loss" in body) == (not order.instant)


def test_a_full_long_reads_well() -> None:
    order = SmartTradeOrder.smart_trade(
        account_id=32199203,
        pair="USDT_BTC",
        units="0.01",
        take_profit=take_profit(target(65000, volume=50), target("70000", volume=50, trailing="1.5")),
        stop_loss=stop_loss("55000", breakeven=True, timeout=60),
    )
    assert sent(order)["take_profit"] == {
        "enabled": True,
        "steps": [
            {
                "order_type": "limit",
                "volume": "50",
                "price": {"type": "last", "value": "65000"},
                "trailing": {"enabled": False},
            },
            {
                "order_type": "market",
                "volume": "50",
                "price": {"type": "last", "value": "70000"},
                "trailing": {"enabled": True, "percent": "1.5"},
            },
        ],
    }
    assert sent(order)["stop_loss"] == {
        "enabled": True,
        "order_type": "market",
        "conditional": {
            "price": {"type": "last", "value": "55000"},
            "trailing": {"enabled": False},
        },
        "breakeven": True,
        "timeout": {"enabled": True, "value": 60},
    }


def test_a_group_that_is_made_by_a_helper_says_what_is_off() -> None:
    assert sent(stop_loss(5)) == {
        "enabled": True,
        "order_type": "market",
        "conditional": {"price": {"type": "last", "value": "5"}, "trailing": {"enabled": False}},
        "breakeven": False,
        "timeout": {"enabled": False},
    }


def test_an_update_sends_only_what_was_set_and_null_for_none() -> None:
    assert sent(SmartTradeUpdate()) == {}
    assert sent(SmartTradeUpdate(leverage=None)) == {"leverage": None}
    assert sent(SmartTradeUpdate(position=UpdatePosition(price=None))) == {"position": {"price": None}}
    assert sent(SmartTradeUpdate(stop_loss=OrderStopLoss(enabled=False))) == {"stop_loss": {"enabled": False}}


@pytest.mark.parametrize("bad", [0.5, "x", True])
@pytest.mark.parametrize("make", [target, stop_loss, trigger])
def test_helpers_refuse_what_is_no_exact_number(make: Any, bad: object) -> None:
    with pytest.raises(ValueError, match="price"):
        make(bad)


@pytest.mark.parametrize("seconds", [60, Decimal(60), Decimal("60.0"), Decimal("6E+1")])
def test_a_delay_may_be_the_decimal_of_an_answer(seconds: Any) -> None:
    for timeout in (stop_loss(1, timeout=seconds).timeout, OrderTimeout(enabled=True, value=seconds)):
        assert timeout is not None
        assert (timeout.value, type(timeout.value)) == (60, int)


@pytest.mark.parametrize(
    "seconds",
    [
        True,
        60.0,
        "60",
        Decimal("60.5"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("inf"),
        Decimal("1E+999999"),
    ],
)
def test_a_delay_that_is_no_whole_number_is_refused(seconds: Any) -> None:
    with pytest.raises(ValueError, match="timeout must be a whole number of seconds, not"):
        stop_loss(1, timeout=seconds)
    with pytest.raises(ValueError, match="timeout must be a whole number of seconds, not"):
        OrderTimeout(enabled=True, value=seconds)
