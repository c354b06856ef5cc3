"""Whatever is ordered and however prices move: amounts and money of the sandbox add up."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.sandbox_orders import TERMINAL
from threecommas_async.endpoints import (
    GET_SMART_TRADE,
    LIST_SMART_TRADES,
    LIST_TRADES,
    REDUCE_FUNDS_INFO,
)
from threecommas_async.sandbox import EVERY_STATUS, FUTURES_ACCOUNT, PAPER_ACCOUNT, Fill, Refusal
from threecommas_async.sandbox.exchange import Exchange
from threecommas_async.sandbox.market import RULES, TICKERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from threecommas_async.models.smart_trade import SmartTrade

PAIRS = ("USDT_DOGE", "BTC_ETH")
SOLD = {"panic_sold", "finished", "stop_loss_finished"}
VOLUMES = ((), ("100",), ("50", "50"), ("33.3", "33.3", "33.4"), ("90", "10"))
UNKNOWN = 5
UNEVEN = ["100", "33.3333", "1234.567890123456789"]
WHOLE_LOTS = {"USDT_DOGE": ["100", "33", "1234"], "BTC_ETH": ["100", "33.3333", "1234.5678"]}

thousandths = st.integers(850, 1150)
order_types = st.sampled_from(["market", "limit"])
watched = st.sampled_from(["bid", "ask", "last"])
distances = st.sampled_from(["0.01", "0.5", "3", "99"])


def price_near(pair: str, share: int) -> str:
    tick = RULES[pair].tick
    return format(max(tick, TICKERS[pair].last * share / 1000 // tick * tick), "f")


@st.composite
def target_lists(draw: st.DrawFn, pair: str, *, trails: bool = False) -> dict[str, Any]:
    steps: list[dict[str, Any]] = []
    for volume in draw(st.sampled_from(VOLUMES)):
        price = {"type": draw(watched), "value": price_near(pair, draw(thousandths))}
        if trails and draw(st.sampled_from([False, True])):
            price = {"type": draw(watched), "percent": str(draw(st.integers(1, 20)))}
        step: dict[str, Any] = {"order_type": draw(order_types), "volume": volume, "price": price}
        steps.append(step)
    if draw(st.booleans()) and steps:
        steps[-1]["trailing"] = {"enabled": True, "percent": draw(distances)}
    return {"enabled": bool(steps), "steps": steps}


@st.composite
def stops(draw: st.DrawFn, pair: str, targets: int) -> dict[str, Any]:
    if draw(st.booleans()):
        return {"enabled": False}
    trigger = {"type": draw(watched), "value": price_near(pair, draw(thousandths))}
    conditional: dict[str, Any] = {"price": trigger}
    if draw(st.booleans()):
        conditional["trailing"] = {"enabled": True, "percent": draw(distances)}
    return {
        "enabled": True,
        "order_type": draw(order_types),
        "price": {"value": price_near(pair, draw(thousandths))},
        "conditional": conditional,
        "breakeven": targets > 1 and draw(st.booleans()),
        "timeout": {"enabled": draw(st.booleans()), "value": draw(st.integers(0, 5))},
    }


@st.composite
def creates(draw: st.DrawFn) -> dict[str, Any]:
    pair = draw(st.sampled_from(PAIRS))
    instant = draw(st.integers(0, 9)) == 0
    own = not instant and draw(st.integers(0, 4)) == 0
    order_type = draw(st.sampled_from(["market", "limit", "conditional"]))
    trails = order_type == "conditional" and draw(st.booleans())
    position: dict[str, Any] = {
        "type": draw(st.sampled_from(["buy", "sell"])),
        "order_type": order_type,
        "units": {"value": draw(st.sampled_from(UNEVEN if own else WHOLE_LOTS[pair]))},
        "price": {"value": price_near(pair, draw(thousandths))},
    }
    if order_type == "conditional":
        price = {"value": price_near(pair, draw(thousandths)), "type": draw(watched)}
        conditional: dict[str, Any] = {"order_type": draw(order_types), "price": price}
        if trails:
            conditional["trailing"] = {"enabled": True, "percent": draw(distances)}
        position["conditional"] = conditional
    take_profit = draw(target_lists(pair, trails=trails and not own))
    off = {"enabled": False}
    return {
        "account_id": draw(st.sampled_from([PAPER_ACCOUNT.id, FUTURES_ACCOUNT.id])),
        "pair": pair,
        "instant": instant,
        "skip_enter_step": own,
        "leverage": {"enabled": True, "type": "custom", "value": 3},
        "position": position,
        "take_profit": off if instant else take_profit,
        "stop_loss": off if instant else draw(stops(pair, len(take_profit["steps"]))),
    }


@st.composite
def updates(draw: st.DrawFn) -> dict[str, Any]:
    pair = draw(st.sampled_from(PAIRS))
    take_profit = draw(target_lists(pair))
    parts: dict[str, dict[str, Any]] = {
        "take_profit": take_profit,
        "stop_loss": draw(stops(pair, len(take_profit["steps"]))),
        "position": {"price": {"value": price_near(pair, draw(thousandths))}},
    }
    return {name: parts[name] for name in draw(st.sets(st.sampled_from(sorted(parts))))}


class Conservation(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.exchange = Exchange()
        self.exchange.seed(2, ["waiting_targets", "pending_reduce_funds"])
        self.own = {
            id: (trade.order.units, trade.price)
            for id, trade in self.exchange.trades.items()
            if trade.order.skip_enter_step
        }
        self.ended: dict[int, tuple[object, ...]] = {}

    def known(self, number: int) -> int:
        ids = [*self.exchange.trades, UNKNOWN]
        return ids[number % len(ids)]

    def known_leg(self, id: int, number: int) -> int:
        trade = self.exchange.trades.get(id)
        ids = [UNKNOWN] if trade is None else [leg.id for leg in trade.legs]
        return ids[number % len(ids)]

    def call(self, id: int, act: Callable[[], dict[str, object]]) -> SmartTrade | None:
        """Make a call; when it is refused, see to it that nothing was changed."""
        known = id in self.exchange.trades
        before = self.exchange.get(self.now, id) if known else None
        accepted = len(self.exchange.ledger)
        refused = None
        try:
            answer = act()
        except Refusal as refusal:
            answer, refused = {}, refusal.status
        if refused is not None:
            assert refused in (400, 404, 422)
            assert before == (self.exchange.get(self.now, id) if known else None)
            assert len(self.exchange.ledger) == accepted
            return None
        assert len(self.exchange.ledger) == accepted + 1
        return GET_SMART_TRADE.decode(msgspec.json.encode(answer))

    @initialize(orders=st.lists(creates(), min_size=2, max_size=4))
    def begin(self, orders: list[dict[str, Any]]) -> None:
        for order in orders:
            self.create(order, 1.0)

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(pair=st.sampled_from(PAIRS), share=thousandths)
    def a_price_moves(self, pair: str, share: int) -> None:
        self.exchange.set_price(self.now, pair, last=price_near(pair, share))

    @rule(order=creates(), wait=st.sampled_from([0.0, 1.0, 4.0]))
    def order_one(self, order: dict[str, Any], wait: float) -> None:
        self.create(order, wait)

    def create(self, order: dict[str, Any], wait: float) -> None:
        trade = self.call(0, lambda: self.exchange.create(self.now, order))
        assert trade is not None
        if order["skip_enter_step"]:
            units, price = trade.position.units.value, trade.position.price.value
            assert units is not None
            assert price is not None
            self.own[trade.id] = (units, price)
        self.now += wait

    @rule(
        number=st.integers(0, 20),
        action=st.sampled_from(["cancel", "close_by_market", "force_start", "force_process"]),
    )
    def order_the_whole(self, number: int, action: str) -> None:
        id = self.known(number)
        self.call(id, lambda: getattr(self.exchange, action)(self.now, id))

    @rule(
        number=st.integers(0, 20),
        leg=st.integers(0, 20),
        action=st.sampled_from(["close_trade", "cancel_trade"]),
    )
    def order_a_part(self, number: int, leg: int, action: str) -> None:
        id = self.known(number)
        part = self.known_leg(id, leg)
        self.call(id, lambda: getattr(self.exchange, action)(self.now, id, part))

    @rule(
        number=st.integers(0, 20),
        action=st.sampled_from(["add_funds", "reduce_funds"]),
        order_type=order_types,
        units=st.sampled_from(["10", "20.202", "85.5", "85", "31", "0.0000001", "all"]),
        share=thousandths,
    )
    def change_the_size(self, number: int, action: str, order_type: str, units: str, share: int) -> None:
        id = self.known(number)
        trade = self.exchange.trades.get(id)
        if units == "all":
            units = "1" if trade is None else format(trade.position.rest, "f")
        price = price_near(PAIRS[0] if trade is None else trade.order.pair, share)
        funds = {"order_type": order_type, "units": {"value": units}, "price": {"value": price}}
        self.call(id, lambda: getattr(self.exchange, action)(self.now, id, funds))

    @rule(number=st.integers(0, 20), changes=updates())
    def update(self, number: int, changes: dict[str, Any]) -> None:
        id = self.known(number)
        done = self.call(id, lambda: self.exchange.update(self.now, id, changes))
        if done is not None and id in self.own and "position" in changes:
            self.own[id] = (self.own[id][0], Decimal(changes["position"]["price"]["value"]))

    @rule(number=st.integers(0, 20))
    def send_the_targets_back(self, number: int) -> None:
        id = self.known(number)
        if id == UNKNOWN:
            return
        shown: Any = self.exchange.get(self.now, id)
        steps: list[Any] = shown["take_profit"]["steps"]
        finished = {step["id"] for step in steps if step["status"]["type"] == "finished"}
        for step in steps:
            step["price"]["percent"] = None
        take_profit = {"enabled": True, "steps": steps}
        done = self.call(id, lambda: self.exchange.update(self.now, id, {"take_profit": take_profit}))
        if done is not None:
            assert finished <= {step.id for step in done.take_profit.steps}

    @rule(number=st.integers(0, 20), note=st.sampled_from(["x", "", "x" * 301]))
    def set_note(self, number: int, note: str) -> None:
        id = self.known(number)
        self.call(id, lambda: self.exchange.set_note(self.now, id, {"note": note}))

    @rule(number=st.integers(0, 20))
    def what_may_be_reduced_is_less_than_what_is_held(self, number: int) -> None:
        try:
            info = self.exchange.reduce_funds_info(self.now, self.known(number))
        except Refusal:
            return
        most = REDUCE_FUNDS_INFO.decode(msgspec.json.encode(info)).max_reduce_funds_amount
        position = self.exchange.trades[self.known(number)].position
        assert 0 <= most <= position.rest

    @invariant()
    def every_trade_is_the_sum_of_its_fills(self) -> None:
        fills: dict[int, list[Fill]] = defaultdict(list)
        self.exchange.advance(self.now)
        for fill in self.exchange.fills:
            fills[fill.smart_trade_id].append(fill)
        for id in self.exchange.trades:
            trade = GET_SMART_TRADE.decode(msgspec.json.encode(self.exchange.get(self.now, id)))
            with localcontext(prec=300):
                self.check_sums(trade, fills[id])

    def check_sums(self, trade: SmartTrade, fills: list[Fill]) -> None:
        data, long = trade.data, trade.position.type == "buy"
        units, price = self.own.get(trade.id, (Decimal(0), Decimal(0)))
        if trade.position.status.code != "smart_sell":
            units = Decimal(0)
        entries = [fill for fill in fills if fill.purpose == "position"]
        exits = [fill for fill in fills if fill.purpose != "position"]
        sign = 1 if long else -1
        entered = units + sum(fill.units - (fill.fee if long else 0) for fill in entries)
        spent = units * price + sum(fill.units * fill.price - (0 if long else fill.fee) for fill in entries)
        closed = sum(fill.units for fill in exits)
        back = sum(fill.units * fill.price - sign * fill.fee for fill in exits)
        assert data.entered_amount == entered
        assert data.entered_total == spent
        assert data.closed_amount == closed
        assert data.closed_total == back
        held = entered - closed
        assert held >= 0
        status = trade.status.code.value
        assert status in EVERY_STATUS
        open_units = [
            step.units.value or Decimal(0)
            for step in trade.take_profit.steps
            if step.status.code != "finished"
        ]
        assert sum(open_units) <= held
        if status in SOLD and not trade.instant:
            assert held == 0
            assert trade.profit.volume == sign * (back - spent)
        for fill in fills:
            in_base = long and fill.purpose == "position"
            assert fill.fee == fill.units * (1 if in_base else fill.price) * Decimal("0.001")
        end = (status, entered, spent, closed, back, data.closed_at)
        if status in TERMINAL:
            assert self.ended.setdefault(trade.id, end) == end
            assert data.finished is (status in {"finished", "stop_loss_finished"})
        else:
            assert trade.id not in self.ended

    @invariant()
    def every_list_decodes(self) -> None:
        page = LIST_SMART_TRADES.decode(msgspec.json.encode(self.exchange.page(self.now, {"per_page": 100})))
        assert page.malformed == ()
        assert {trade.id for trade in page} == set(self.exchange.trades)
        for id in self.exchange.trades:
            trades = LIST_TRADES.decode(msgspec.json.encode(self.exchange.list_trades(self.now, id)))
            assert trades.malformed == ()
            executed = [fill.trade_id for fill in self.exchange.fills if fill.smart_trade_id == id]
            # Every order is executed once at most.
            assert len(set(executed)) == len(executed)
            assert {trade.id for trade in trades if trade.realised_amount} >= set(executed) - {None}


TestConservation = Conservation.TestCase
TestConservation.settings = settings(
    max_examples=70,
    stateful_step_count=40,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
