"""What the rules of a market say of an order is what the sandbox does with it, for any rules and any order.

The two share no code: `threecommas_async.market_rules` reads the answer of the market data, and the sandbox
enforces what it was told by `set_rules` in `threecommas_async.sandbox.rules`. Only that makes this a proof.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tests.property.constructors import CONSTRUCTORS
from threecommas_async import (
    MarketRules,
    MarketRulesError,
    OrderLeverage,
    OrderStopLoss,
    OrderTakeProfit,
    RoundedOrder,
    SmartTradeOrder,
    Violation,
    endpoints,
    stop_loss,
    take_profit,
    target,
    trigger,
)
from threecommas_async.models import rules as documented
from threecommas_async.models.encoding import encode_body
from threecommas_async.sandbox import FUTURES_ACCOUNT, REAL_ACCOUNT, Refusal
from threecommas_async.sandbox.exchange import Exchange
from threecommas_async.sandbox.market import LIMITS, TICKERS

if TYPE_CHECKING:
    from threecommas_async.models.order_groups import MarketOrLimit

ORDER_TYPES: tuple[MarketOrLimit, ...] = ("market", "limit")
order_types = st.sampled_from(ORDER_TYPES)
TINY = Decimal("1E-10")
PAIR = "USDT_DOGE"  # About 0.11 USDT each.


def numbers(least: str, most: str) -> st.SearchStrategy[Decimal]:
    """Round numbers, and those with a tail of up to 20 decimals."""
    low, high = Decimal(least), Decimal(most)
    return st.integers(2, 20).flatmap(lambda places: st.decimals(low, high, places=places)).filter(bool)


STEPS = ("0", "1E-8", "0.00001", "0.0000000001234567", "0.001", "0.003", "0.1", "1", "7", "30")
steps = st.sampled_from(STEPS).map(Decimal)
on_steps = st.sampled_from(("0.1", "0.2", "0.05", "0.11", "1", "0.12")).map(Decimal)
prices = on_steps | numbers("0.05", "0.5")
units = st.sampled_from(("10", "35", "70", "100", "210", "0.5")).map(Decimal) | numbers("1", "300")


@st.composite
def targets(draw: st.DrawFn) -> OrderTakeProfit:
    cuts = draw(st.lists(st.integers(1, 99), max_size=3, unique=True))
    volumes = [after - before for before, after in pairwise([0, *sorted(cuts), 100])]
    return take_profit(
        *(target(draw(prices), volume=volume, order_type=draw(order_types)) for volume in volumes)
    )


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    order_type = draw(st.sampled_from(("market", "limit", "conditional")))
    if order_type == "market":
        return {}
    if order_type == "limit":
        return {"order_type": "limit", "price": draw(prices)}
    sends = draw(order_types)
    conditional = trigger(draw(prices), order_type=sends)
    price = draw(prices) if sends == "limit" else None
    return {"order_type": "conditional", "conditional": conditional, "price": price}


@st.composite
def orders(draw: st.DrawFn) -> SmartTradeOrder:
    make = draw(st.sampled_from(CONSTRUCTORS))
    more: dict[str, Any] = {}
    if make.__name__.startswith("smart"):
        more["take_profit"] = draw(st.none() | targets())
        limit = draw(st.none() | prices)
        more["stop_loss"] = draw(st.sampled_from((None, stop_loss(draw(prices), limit_price=limit))))
    if make.__name__ in {"smart_sell", "smart_buy"}:
        more["price"] = draw(st.none() | prices)
    else:
        more |= draw(entries())
    account = draw(st.sampled_from((REAL_ACCOUNT, FUTURES_ACCOUNT)))
    if account is FUTURES_ACCOUNT and draw(st.booleans()):
        value = Decimal(draw(st.integers(1, 120)))
        more["leverage"] = OrderLeverage(enabled=True, type="cross", value=value)
    order: SmartTradeOrder = make(account_id=account.id, pair=PAIR, units=draw(units), **more)
    documented.check_order(order)
    return order


def numbers_of(order: SmartTradeOrder) -> list[Decimal]:
    """The numbers of an order that limits are about, to be drawn right at, above and below them."""
    position, units = order.position, order.position.units.value
    prices = [TICKERS[PAIR].bid, TICKERS[PAIR].ask]
    if position.price is not None:
        prices.append(position.price.value)
    if position.conditional is not None and position.conditional.price.value is not None:
        prices.append(position.conditional.price.value)
    steps = (order.take_profit.steps if order.take_profit else None) or ()
    shares = [units * fee * step.volume / 100 for step in steps for fee in (1, Decimal("0.999"))]
    limits = [step.price.value for step in steps if step.price.value is not None]
    if order.stop_loss is not None and order.stop_loss.price is not None:
        limits.append(order.stop_loss.price.value)
    leverage = order.leverage.value if order.leverage else None
    return [units, *prices, *(units * price for price in prices), *shares, *limits, leverage or units]


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], SmartTradeOrder]:
    """An order, and limits of which few are set: so each of them gets to be the only one that is broken."""
    order = draw(orders())
    limits: dict[str, Any] = {} if draw(st.booleans()) else dict.fromkeys(LIMITS)
    for name in draw(st.sets(st.sampled_from(LIMITS), max_size=3)):
        if name.endswith("Step"):
            limits[name] = draw(steps)
        else:
            near = draw(st.sampled_from(numbers_of(order))) + draw(st.sampled_from((-1, 0, 0, 1))) * TINY
            nothing = "Infinity" if name.startswith("max") else Decimal(0)
            limits[name] = draw(st.sampled_from((near, near, near, nothing)))
    return limits, order


def market_of(limits: dict[str, Any]) -> tuple[Exchange, MarketRules]:
    """An exchange with such limits, and what a client reads of them."""
    exchange = Exchange()
    exchange.set_rules(PAIR, limits)
    asked = {"market_code": FUTURES_ACCOUNT.type, "pair": PAIR}
    answer = msgspec.json.encode(exchange.rates(0.0, asked, leverage=True))
    return exchange, MarketRules.from_rates(endpoints.LEVERAGE_RATES.decode(answer), pair=PAIR)


def answer_of(exchange: Exchange, order: SmartTradeOrder) -> int:
    try:
        exchange.create(0.0, msgspec.json.decode(encode_body(order)))
    except Refusal as refusal:
        return refusal.status
    return 201


def try_to_round(rules: MarketRules, order: SmartTradeOrder) -> RoundedOrder | tuple[Violation, ...]:
    try:
        return rules.round(order)
    except MarketRulesError as error:
        return error.violations


def two_targets(first: int) -> SmartTradeOrder:
    targets = take_profit(target(1, volume=first), target(2, volume=100 - first))
    return SmartTradeOrder.smart_trade(account_id=REAL_ACCOUNT.id, pair=PAIR, units=10, take_profit=targets)


def one_target() -> SmartTradeOrder:
    return SmartTradeOrder.smart_trade(
        account_id=REAL_ACCOUNT.id, pair=PAIR, units=10, take_profit=take_profit(target(1))
    )


@settings(max_examples=400)
@given(cases())
@example(({}, two_targets(10)))  # One lot, less the fee.
@example(({}, two_targets(11)))
@example(({"minLotSize": 10}, one_target()))  # It closes whatever is left after the fee.
def test_the_sandbox_refuses_what_the_rules_refuse_and_nothing_else(
    case: tuple[dict[str, Any], SmartTradeOrder],
) -> None:
    limits, order = case
    exchange, rules = market_of(limits)
    violations = rules.check(order)
    event(", ".join(sorted({violation.limit for violation in violations})) or "accepted")
    assert answer_of(exchange, order) == (422 if violations else 201), violations


@settings(max_examples=400)
@given(cases())
def test_the_sandbox_accepts_what_was_rounded_and_that_is_never_more(
    case: tuple[dict[str, Any], SmartTradeOrder],
) -> None:
    limits, order = case
    exchange, rules = market_of(limits)
    rounded = try_to_round(rules, order)
    if isinstance(rounded, tuple):
        event("cannot be rounded")
        assert rounded
        assert answer_of(exchange, order) == 422
        return
    event(f"{len(rounded.changes)} changes")
    assert answer_of(exchange, rounded.order) == 201
    if not rules.check(order):
        assert rounded == RoundedOrder(order)
    for change in rounded.changes:
        is_price = "price" in change.field
        step = rules.price_step if is_price else rules.lot_step
        assert step is not None
        assert 0 < abs(change.asked - change.rounded) < step
        # Amounts go down, a limit gets no worse for the one who ordered, and a stop gets nearer to its fill.
        assert (change.rounded > change.asked) == (is_price and goes_up(order, change.field))
    assert unchanged_but_for_steps(order) == unchanged_but_for_steps(rounded.order)


def goes_up(order: SmartTradeOrder, field: str) -> bool:
    """Whether a price is rounded up: who sells asks for more, and who has to buy back pays more."""
    is_long = order.position.type == "buy"
    return is_long if field.startswith("take_profit") else not is_long


def unchanged_but_for_steps(order: SmartTradeOrder) -> Any:
    """What rounding must leave as it is."""
    position = order.position
    steps = order.take_profit.steps if order.take_profit else None
    stop = order.stop_loss or OrderStopLoss(enabled=False)
    return (
        (order.account_id, order.pair, order.instant, order.skip_enter_step, order.leverage, order.note),
        (position.type, position.order_type, position.conditional, position.price is None),
        [
            (
                step.order_type,
                step.volume,
                step.price.type,
                step.trailing,
                step.order_type == "market" and step,
            )
            for step in steps or ()
        ],
        (stop.enabled, stop.order_type, stop.conditional, stop.breakeven, stop.timeout, stop.price is None),
    )


@settings(max_examples=200)
@given(order=orders(), step=steps, lot=st.sampled_from(("0.001", "0.1", "1")).map(Decimal))
def test_where_there_are_only_steps_rounding_fails_for_amounts_of_less_than_one_alone(
    order: SmartTradeOrder, step: Decimal, lot: Decimal
) -> None:
    rules = MarketRules(price_step=step or None, lot_step=lot)
    rounded = try_to_round(rules, order)
    if isinstance(rounded, tuple):
        assert {violation.limit for violation in rounded} <= {"lotStep", "priceStep"}
        assert all(
            isinstance(violation.value, Decimal) and violation.value < (violation.bound or 0)
            for violation in rounded
        )
