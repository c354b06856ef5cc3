"""What is ordered is what arrives: any valid order, through bytes, as the sandbox reads it."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.constructors import CONSTRUCTORS
from threecommas_async import (
    OrderConditional,
    OrderLeverage,
    OrderStopLoss,
    OrderTakeProfit,
    OrderTakeProfitStep,
    OrderTrailing,
    SmartTradeOrder,
    stop_loss,
    take_profit,
    target,
    trigger,
)
from threecommas_async.models import rules
from threecommas_async.models.encoding import encode_body
from threecommas_async.sandbox.accounts import FUTURES_ACCOUNT
from threecommas_async.sandbox.create import read_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from threecommas_async.models.order_groups import PriceType
    from threecommas_async.sandbox.orders import Order, Stop, Target, Trigger


# From 1E-20 to 1E+15, in every spelling that a Decimal can have.
amounts = st.builds(
    lambda digits, exponent: Decimal((0, tuple(map(int, str(digits))), exponent)),
    st.integers(1, 10**12),
    st.integers(-20, 3),
)
percents = st.decimals(Decimal("0.01"), Decimal(99), places=2)
PRICE_TYPES: tuple[PriceType, ...] = ("bid", "ask", "last")
watched = st.sampled_from(PRICE_TYPES)
notes = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=300)


@st.composite
def volumes(draw: st.DrawFn) -> list[Decimal]:
    cuts = draw(st.lists(st.integers(1, 9999), max_size=7, unique=True))
    edges = [0, *sorted(cuts), 10000]
    return [Decimal(after - before) / 100 for before, after in pairwise(edges)]


@st.composite
def take_profits(draw: st.DrawFn, *, trails: bool) -> OrderTakeProfit:
    if draw(st.booleans()):
        return OrderTakeProfit(enabled=False)
    steps: list[OrderTakeProfitStep] = []
    shares = draw(volumes())
    for number, volume in enumerate(shares, start=1):
        distance = trails and draw(st.booleans())
        steps.append(
            target(
                None if distance else draw(amounts),
                percent=draw(percents) if distance else None,
                volume=volume,
                trailing=draw(st.none() | percents) if number == len(shares) else None,
                order_type=draw(st.sampled_from(("market", "limit"))),
                watch=draw(watched),
            )
        )
    return take_profit(*steps)


@st.composite
def stop_losses(draw: st.DrawFn, *, trails: bool, targets: int) -> OrderStopLoss:
    if draw(st.booleans()):
        return OrderStopLoss(enabled=False)
    distance = trails and draw(st.booleans())
    return stop_loss(
        None if distance else draw(amounts),
        percent=-draw(percents) if distance else None,
        limit_price=draw(st.none() | amounts),
        trailing=draw(st.none() | percents),
        breakeven=targets > 1 and draw(st.booleans()),
        timeout=draw(st.none() | st.integers(1, 10**6)),
        watch=draw(watched),
    )


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    order_type = draw(st.sampled_from(("market", "limit", "conditional")))
    conditional: OrderConditional | None = None
    if order_type == "conditional":
        conditional = trigger(
            draw(amounts),
            order_type=draw(st.sampled_from(("market", "limit"))),
            trailing=draw(st.none() | percents),
            watch=draw(st.none() | watched),
        )
    sends = conditional.order_type if conditional else order_type
    return {
        "order_type": order_type,
        "price": draw(amounts) if sends == "limit" else None,
        "conditional": conditional,
    }


@st.composite
def orders(draw: st.DrawFn) -> SmartTradeOrder:
    options: dict[str, Any] = {
        "account_id": FUTURES_ACCOUNT.id,
        "pair": draw(st.sampled_from(("USDT_BTC", "BTC_1INCH", "USDT_BTCUSDT_UMCBL"))),
        "units": draw(amounts),
        "note": draw(st.none() | notes),
        "leverage": draw(
            st.none()
            | st.just(OrderLeverage(enabled=False))
            | st.builds(
                OrderLeverage,
                enabled=st.just(True),
                type=st.sampled_from(("cross", "isolated")),
                value=st.integers(1, 125).map(Decimal),
            )
        ),
    }
    make = draw(st.sampled_from(CONSTRUCTORS))
    held = make in (SmartTradeOrder.smart_sell, SmartTradeOrder.smart_buy)
    entry: dict[str, Any] = {"price": draw(st.none() | amounts)} if held else draw(entries())
    conditional: OrderConditional | None = entry.get("conditional")
    trails = bool(conditional and conditional.trailing and conditional.trailing.enabled)
    if make not in (SmartTradeOrder.simple_buy, SmartTradeOrder.simple_sell):
        options["take_profit"] = draw(take_profits(trails=trails))
        steps = len(options["take_profit"].steps or ())
        options["stop_loss"] = draw(stop_losses(trails=trails, targets=steps))
    order: SmartTradeOrder = make(**options, **entry)
    return order


@given(orders())
@settings(max_examples=200, derandomize=True)
def test_a_valid_order_arrives_as_it_was_made(order: SmartTradeOrder) -> None:
    rules.check_order(order)
    body = encode_body(order)
    read = read_order(json.loads(body), {FUTURES_ACCOUNT.id: FUTURES_ACCOUNT})
    position = order.position
    assert (read.account_id, read.pair, read.side, read.order_type) == (
        order.account_id,
        order.pair,
        position.type,
        position.order_type,
    )
    assert (read.instant, read.skip_enter_step) == (order.instant, order.skip_enter_step)
    assert read.units == position.units.value
    assert read.price == (position.price.value if position.price else None)
    assert read.note == order.note
    assert_same_trigger(read.conditional, position.conditional, facing="ask" if read.side == "buy" else "bid")
    assert_same_targets(read, order.take_profit)
    assert_same_stop(read.stop, order.stop_loss)
    on = order.leverage if order.leverage and order.leverage.enabled else None
    assert (read.leverage is None) == (on is None)
    if read.leverage and on:
        assert (read.leverage.type, read.leverage.value) == (on.type, on.value)


@given(orders())
@settings(max_examples=200, derandomize=True)
def test_no_number_leaves_in_exponent_form_or_as_a_float(order: SmartTradeOrder) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(f"a JSON float: {text}")

    for name, text in texts(json.loads(encode_body(order), parse_float=refuse)):
        if name in {"value", "percent", "volume"}:
            assert "e" not in text.lower()
            assert str(Decimal(text)) == text or format(Decimal(text), "f") == text


def texts(content: Any, name: str = "") -> Iterator[tuple[str, str]]:
    match content:
        case dict():
            for key, value in content.items():
                yield from texts(value, key)
        case list():
            for value in content:
                yield from texts(value, name)
        case str():
            yield name, content
        case _:
            pass


def trailing_of(trailing: OrderTrailing | None) -> Decimal | None:
    return trailing.percent if trailing and trailing.enabled else None


def assert_same_trigger(read: Trigger | None, sent: OrderConditional | None, *, facing: str) -> None:
    assert (read is None) == (sent is None)
    if read and sent:
        assert (read.order_type, read.price) == (sent.order_type, sent.price.value)
        assert read.watched == (sent.price.type or facing)
        assert read.trailing == trailing_of(sent.trailing)


def assert_same_targets(read: Order, sent: OrderTakeProfit | None) -> None:
    assert read.take_profit == bool(sent and sent.enabled)
    steps = (sent.steps or ()) if sent and sent.enabled else ()
    assert len(read.targets) == len(steps)
    for got, step in zip(read.targets, steps, strict=True):
        assert_same_target(got, step)


def assert_same_target(read: Target, sent: OrderTakeProfitStep) -> None:
    assert (read.order_type, read.volume, read.watched) == (sent.order_type, sent.volume, sent.price.type)
    assert (read.price, read.percent) == (sent.price.value, sent.price.percent)
    assert read.trailing == trailing_of(sent.trailing)


def assert_same_stop(read: Stop | None, sent: OrderStopLoss | None) -> None:
    assert (read is not None) == bool(sent and sent.enabled)
    if read and sent and sent.conditional:
        price = sent.conditional.price
        assert (read.order_type, read.watched) == (sent.order_type, price.type)
        assert (read.trigger, read.percent) == (price.value, price.percent)
        assert read.limit_price == (sent.price.value if sent.price else None)
        assert read.breakeven == bool(sent.breakeven)
        assert read.trailing == trailing_of(sent.conditional.trailing)
        assert read.timeout == (sent.timeout.value if sent.timeout else None)
