from __future__ import annotations

import asyncio
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from tests import virtual_time
from threecommas_async import (
    Account,
    CurrentPrice,
    FundsOrder,
    Malformed,
    OrderConditional,
    OrderTriggerPrice,
    OrderValue,
    Page,
    Position,
    RiskLimitError,
    RiskLimits,
    SmartTrade,
    SmartTradeData,
    SmartTradeOrder,
    Status,
    endpoints,
)
from threecommas_async.endpoints import ADD_FUNDS, CLOSE_BY_MARKET, CREATE_SMART_TRADE, GET_SMART_TRADE
from threecommas_async.risk import LOOK_AGAIN, Rails, price_of_funds, price_of_order, worth

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def order(
    units: str = "1", price: str | None = "100", pair: str = "USDT_BTC", account_id: int = 5
) -> SmartTradeOrder:
    kind: Any = "market" if price is None else "limit"
    return SmartTradeOrder.simple_buy(
        account_id=account_id, pair=pair, units=units, order_type=kind, price=price
    )


def funds(units: str, price: str | None = None) -> FundsOrder:
    limit = None if price is None else OrderValue(value=Decimal(price))
    kind: Any = "market" if price is None else "limit"
    return FundsOrder(order_type=kind, units=OrderValue(value=Decimal(units)), price=limit)


def trade(id: int, pair: str | None = "USDT_BTC", side: str = "buy", **ticker: str) -> SmartTrade:
    prices = CurrentPrice(**{name: Decimal(price) for name, price in ticker.items()})
    return SmartTrade(
        id=id,
        status=Status(),
        pair=pair,
        account=Account(id=5),
        position=Position(type=side),
        data=SmartTradeData(current_price=prices),
    )


class Server:
    """Answers with one trade, and with lists of ids page by page, each after a second."""

    def __init__(self, *ids: int, trade: SmartTrade | None = None) -> None:
        self.ids = list(ids)
        self.malformed: tuple[Malformed, ...] = ()
        self.trade = trade
        self.asked: list[object] = []

    def __call__(
        self, endpoint: endpoints.Endpoint[Any], /, *, path: Any = None, query: Any = None
    ) -> Awaitable[Any]:
        return self._answer(endpoint, path, query)

    async def _answer(self, endpoint: endpoints.Endpoint[Any], path: Any, query: Any) -> Any:
        await asyncio.sleep(1)
        if endpoint is GET_SMART_TRADE:
            self.asked.append(path["id"])
            return self.trade
        assert (query["status"], query["order_by"]) == ("active", "created_at")
        self.asked.append(query["page"])
        listed = sorted(self.ids, reverse=query["order_direction"] == "DESC")
        page = listed[(query["page"] - 1) * 100 : query["page"] * 100]
        return Page(tuple(trade(id) for id in page), self.malformed)


def run(limits: RiskLimits, main: Callable[[Rails], Awaitable[Any]]) -> Any:
    async def start() -> Any:
        return await main(Rails(limits, clock=asyncio.get_running_loop().time))

    return virtual_time.run(start())


async def refused(rails: Rails, body: SmartTradeOrder, server: Server | None = None) -> RiskLimitError:
    with pytest.raises(RiskLimitError) as caught:
        await rails.reserve(CREATE_SMART_TRADE, {}, body, server or Server())
    return caught.value


async def placed(rails: Rails, body: SmartTradeOrder, server: Server | None = None, id: int = 1) -> Any:
    share = await rails.reserve(CREATE_SMART_TRADE, {}, body, server or Server())
    assert share is not None
    rails.settle(share, trade(id))
    return share


@pytest.mark.parametrize(
    ("limits", "body", "limit", "value", "bound"),
    [
        (RiskLimits(pairs=["USDT_ETH"]), order(), "pairs", "USDT_BTC", ["USDT_ETH"]),
        (RiskLimits(accounts={7, 6}), order(), "accounts", 5, [6, 7]),
        (
            RiskLimits(max_quote_per_order="99.99"),
            order(),
            "max_quote_per_order",
            Decimal(100),
            Decimal("99.99"),
        ),
        (RiskLimits(max_quote_per_hour=99), order(), "max_quote_per_hour", Decimal(100), Decimal(99)),
        (
            RiskLimits(max_quote_per_order={"BTC": 1, "USDT": 99}),
            order(),
            "max_quote_per_order",
            Decimal(100),
            Decimal(99),
        ),
        (
            RiskLimits(max_quote_per_order={"BTC": 1}),
            order(),
            "max_quote_per_order",
            "USDT",
            {"BTC": Decimal(1)},
        ),
        (RiskLimits(max_quote_per_order=99), order(price=None), "max_quote_per_order", None, Decimal(99)),
        (RiskLimits(max_quote_per_hour=99), order(price=None), "max_quote_per_hour", None, Decimal(99)),
        (RiskLimits(max_open_trades=0), order(), "max_open_trades", 1, 0),
    ],
)
def test_an_order_past_a_bound_is_refused_with_what_it_would_come_to(
    limits: RiskLimits, body: SmartTradeOrder, limit: str, value: object, bound: object
) -> None:
    error = run(limits, lambda rails: refused(rails, body))
    assert (error.limit, error.value, error.bound) == (limit, value, bound)
    assert error.endpoint is CREATE_SMART_TRADE


def test_a_market_order_that_cannot_be_valued_is_told_what_would_value_it() -> None:
    error = run(RiskLimits(max_quote_per_order=100), lambda rails: refused(rails, order(price=None)))
    assert "give a market order's price by RiskLimits(price_of=…), or make it a limit order" in str(error)


@pytest.mark.parametrize(
    ("limits", "body"),
    [
        (RiskLimits(), order(price=None)),
        (RiskLimits(pairs=["USDT_BTC"], accounts=[5]), order(price=None)),
        (RiskLimits(max_quote_per_order=100, max_quote_per_hour=100), order()),
        (RiskLimits(max_quote_per_order=100, price_of=lambda _: Decimal(100)), order(price=None)),
        # What is held already costs nothing.
        (
            RiskLimits(max_quote_per_order=100, max_quote_per_hour=100),
            SmartTradeOrder.smart_sell(account_id=5, pair="USDT_BTC", units=1000),
        ),
        (RiskLimits(max_open_trades=1), order(price=None)),
    ],
)
def test_an_order_within_its_bounds_is_let_through(limits: RiskLimits, body: SmartTradeOrder) -> None:
    assert run(limits, lambda rails: placed(rails, body)) is not None


def test_market_orders_are_valued_by_the_users_own_prices() -> None:
    asked: list[str] = []

    def price_of(pair: str) -> Decimal | None:
        asked.append(pair)
        return Decimal("100.5") if pair == "USDT_BTC" else None

    async def main(rails: Rails) -> list[object]:
        first = await refused(rails, order(price=None))
        second = await refused(rails, order(price=None, pair="USDT_ETH"))
        await placed(rails, order(price="99"))
        return [first.value, second.value]

    assert run(RiskLimits(max_quote_per_order=100, price_of=price_of), main) == [Decimal("100.5"), None]
    assert asked == ["USDT_BTC", "USDT_ETH"]


def test_an_order_is_refused_for_which_the_users_own_source_raises() -> None:
    async def main(rails: Rails) -> RiskLimitError:
        return await refused(rails, order(price=None))

    prices: dict[str, Decimal] = {}
    error = run(RiskLimits(max_quote_per_order=100, price_of=prices.__getitem__), main)
    assert "nothing was sent: price_of raised KeyError for USDT_BTC" in str(error)
    assert (error.limit, type(error.__cause__)) == ("price_of", KeyError)


def test_an_hour_slides() -> None:
    async def main(rails: Rails) -> list[Decimal]:
        seen = []
        await placed(rails, order("3"))
        await asyncio.sleep(1800)
        await placed(rails, order("2"))
        await refused(rails, order("0.01"))
        await asyncio.sleep(1799)
        seen.append(rails.spent("USDT"))
        await refused(rails, order("0.01"))
        await asyncio.sleep(1)
        seen.append(rails.spent("USDT"))
        await placed(rails, order("3"))
        await refused(rails, order("0.01"))
        await asyncio.sleep(3600)
        seen.append(rails.spent("USDT"))
        await placed(rails, order("5"))
        assert len(rails._taken) == 1
        return seen

    assert run(RiskLimits(max_quote_per_hour=500), main) == [500, 200, 0]


def test_an_order_counts_from_its_end_and_each_currency_by_itself() -> None:
    async def main(rails: Rails) -> None:
        share = await rails.reserve(CREATE_SMART_TRADE, {}, order("5"), Server())
        assert share is not None
        await asyncio.sleep(1000)
        rails.settle(share, trade(1))
        await asyncio.sleep(3599)
        assert (await refused(rails, order())).value == 600
        await placed(rails, order("500", "1", pair="BTC_ETH"))
        assert rails.spent("USDT") == rails.spent("BTC") == 500

    run(RiskLimits(max_quote_per_hour=500), main)


def test_two_orders_at_once_do_not_share_the_last_room() -> None:
    async def main(rails: Rails) -> list[str]:
        server = Server(1)
        asked = [rails.reserve(CREATE_SMART_TRADE, {}, order(), server) for _ in range(5)]
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert server.asked == [1]
        return [type(end).__name__ for end in ended]

    kinds = ["Reservation", "RiskLimitError", "RiskLimitError", "RiskLimitError", "RiskLimitError"]
    assert run(RiskLimits(max_open_trades=2), main) == kinds
    assert run(RiskLimits(max_open_trades=9, max_quote_per_hour=150), main) == kinds


def test_what_was_not_carried_out_gives_its_share_back() -> None:
    async def main(rails: Rails) -> None:
        share = await rails.reserve(CREATE_SMART_TRADE, {}, order(), Server())
        assert share is not None
        await refused(rails, order())
        rails.give_back(share)
        await placed(rails, order())

    run(RiskLimits(max_quote_per_hour=100), main)
    run(RiskLimits(max_open_trades=1), main)


def test_a_lost_order_counts_as_open_until_the_list_must_show_it() -> None:
    async def main(rails: Rails) -> list[int]:
        server, seen = Server(), []
        share = await rails.reserve(CREATE_SMART_TRADE, {}, order(), server)
        assert share is not None
        rails.settle(share, None)
        for pause in (10, 100, 12):
            await asyncio.sleep(pause)
            await refused(rails, order(), server) if pause != 12 else await placed(rails, order(), server)
            seen.append(rails.open_trades)
        return seen

    assert run(RiskLimits(max_open_trades=1), main) == [1, 1, 1]


def test_a_lost_order_counts_for_an_hour_from_when_it_was_carried_out_at_the_latest() -> None:
    async def main(rails: Rails) -> None:
        share = await rails.reserve(CREATE_SMART_TRADE, {}, order(), Server())
        assert share is not None
        rails.settle(share, None)
        await asyncio.sleep(3600 + 119)
        await refused(rails, order())
        await asyncio.sleep(1)
        await placed(rails, order())

    run(RiskLimits(max_quote_per_hour=100), main)


def test_open_trades_are_counted_anew_when_the_count_is_old_or_full() -> None:
    async def main(rails: Rails) -> None:
        server = Server(1, 2)
        await placed(rails, order(), server, id=3)
        assert (rails.open_trades, server.asked) == (3, [1])
        server.ids = [1, 2, 3]
        await refused(rails, order(), server)
        assert server.asked == [1]  # It was counted a moment ago.
        await asyncio.sleep(5)
        server.ids = [2, 3]
        await placed(rails, order(), server, id=4)
        assert (rails.open_trades, server.asked) == (3, [1, 1])
        server.ids = [4]
        await asyncio.sleep(60)
        await placed(rails, order(), server, id=5)
        assert (rails.open_trades, server.asked) == (2, [1, 1, 1])
        await placed(rails, order(), server, id=6)
        assert (rails.open_trades, server.asked) == (3, [1, 1, 1])

    run(RiskLimits(max_open_trades=3), main)


def test_a_long_list_is_read_from_its_end_as_far_as_the_bound_asks_for() -> None:
    async def main(rails: Rails) -> list[object]:
        server = Server(*range(1, 351))
        assert (await refused(rails, order(), server)).value == 301
        return server.asked

    assert run(RiskLimits(max_open_trades=250), main) == [3, 2, 1]


def test_an_order_that_is_carried_out_while_the_list_is_read_hides_no_other_trade() -> None:
    """A trade that opens moves none of the others to a page that has been read already."""

    async def main(rails: Rails) -> None:
        server = Server(*range(1, 150))
        share = await rails.reserve(CREATE_SMART_TRADE, {}, order(), server)
        assert share is not None
        await asyncio.sleep(LOOK_AGAIN)
        asking = asyncio.create_task(refused(rails, order(), server))
        await asyncio.sleep(1.5)  # The first page that is read has been answered, and the next one has not.
        server.ids.append(200)
        rails.settle(share, trade(200))
        await asking

    run(RiskLimits(max_open_trades=150), main)


def test_a_trade_that_cannot_be_read_counts_as_open() -> None:
    async def main(rails: Rails) -> object:
        server = Server(1)
        server.malformed = (Malformed(1, None, "odd"),)
        return (await refused(rails, order(), server)).value

    assert run(RiskLimits(max_open_trades=2), main) == 3


@pytest.mark.parametrize(
    ("limits", "body", "at", "limit"),
    [
        (RiskLimits(pairs=["USDT_ETH"]), funds("1"), trade(7), "pairs"),
        (RiskLimits(pairs=["USDT_BTC"]), funds("1"), trade(7, pair=None), "pairs"),
        (RiskLimits(accounts=[6]), funds("1"), trade(7), "accounts"),
        (RiskLimits(max_quote_per_order=99), funds("1", "100"), trade(7, ask="1"), "max_quote_per_order"),
        (RiskLimits(max_quote_per_order=99), funds("1"), trade(7, ask="100"), "max_quote_per_order"),
        (RiskLimits(max_quote_per_order=99), funds("1"), trade(7), "max_quote_per_order"),
        (RiskLimits(max_quote_per_hour=99), funds("1"), trade(7, ask="100"), "max_quote_per_hour"),
        (RiskLimits(max_quote_per_hour=99), funds("1"), trade(7, ask="99"), None),
        (RiskLimits(max_open_trades=0), funds("1"), None, None),
    ],
)
def test_added_funds_are_held_against_the_bounds_of_their_trade(
    limits: RiskLimits, body: FundsOrder, at: SmartTrade | None, limit: str | None
) -> None:
    async def main(rails: Rails) -> str | None:
        server = Server(trade=at)
        try:
            await rails.reserve(ADD_FUNDS, {"id": 7}, body, server)
        except RiskLimitError as error:
            return error.limit
        finally:
            assert server.asked == ([] if at is None else [7])
        return None

    assert run(limits, main) == limit


def test_other_writes_have_no_share() -> None:
    async def main(rails: Rails) -> object:
        return await rails.reserve(CLOSE_BY_MARKET, {"id": 7}, None, Server())

    assert run(RiskLimits(max_open_trades=0, pairs=[], accounts=[], max_quote_per_order=1), main) is None


def test_an_order_is_worth_what_it_names() -> None:
    trigger = OrderConditional(price=OrderTriggerPrice(type="ask", value=Decimal(90)), order_type="market")
    waits = SmartTradeOrder.simple_buy(
        account_id=5, pair="USDT_BTC", units=1, order_type="conditional", conditional=trigger
    )
    assert price_of_order(order(price="100")) == 100
    assert price_of_order(order(price=None)) is None
    assert price_of_order(waits) == 90
    at = trade(7, bid="98", ask="99", last="97")
    assert price_of_funds(funds("1"), at) == 99
    assert price_of_funds(funds("1", "50"), at) == 50
    assert price_of_funds(funds("1"), trade(7, side="sell", bid="98", ask="99")) == 98
    assert price_of_funds(funds("1"), trade(7, last="97")) == 97
    assert worth(Decimal("0.1"), Decimal("0.2")) == Decimal("0.02")
    assert [worth(Decimal(1), Decimal(price)) for price in ("0", "-1", "Infinity", "NaN")] == [None] * 4


def test_a_price_that_the_order_will_not_keep_to_is_no_price() -> None:
    """A market order with a price passes only unvalidated; it is carried out at the market's price."""
    bare = OrderConditional(price=OrderTriggerPrice(type="ask", value=Decimal(90)), order_type="market")
    common: Any = {"account_id": 5, "pair": "USDT_BTC", "units": 1}
    assert price_of_order(SmartTradeOrder.simple_buy(**common, order_type="market", price=1)) is None
    assert price_of_order(SmartTradeOrder.simple_buy(**common, order_type="market", conditional=bare)) is None
    waits = SmartTradeOrder.simple_buy(**common, order_type="conditional", conditional=bare, price=1)
    assert price_of_order(waits) == 90
    added = FundsOrder(order_type="market", units=waits.position.units, price=OrderValue(value=Decimal(1)))
    assert price_of_funds(added, trade(7, ask="99")) == 99


def test_a_limit_to_sell_is_worth_what_the_market_gives_for_it() -> None:
    """It is the least that the order takes: one far below the market is filled at the market's price."""

    def sell(price: str, **more: Any) -> SmartTradeOrder:
        kind: Any = "conditional" if more else "limit"
        return SmartTradeOrder.smart_cover(
            account_id=5, pair="USDT_BTC", units=1, order_type=kind, price=price, **more
        )

    def price_of(pair: str) -> Decimal | None:
        return Decimal(100) if pair == "USDT_BTC" else None

    async def main(rails: Rails) -> None:
        assert (await refused(rails, sell("0.01"))).value == 100
        assert (await refused(rails, sell("101"))).value == 101
        at = Server(trade=trade(7, side="sell", bid="99.5"))
        with pytest.raises(RiskLimitError) as caught:
            await rails.reserve(ADD_FUNDS, {"id": 7}, funds("1", "0.01"), at)
        assert caught.value.value == Decimal("99.5")
        await placed(rails, replace(sell("98"), pair="USDT_ETH"))
        await placed(rails, order(price="98"))

    run(RiskLimits(max_quote_per_order=99, price_of=price_of), main)
    fires = OrderConditional(price=OrderTriggerPrice(type="bid", value=Decimal(90)), order_type="limit")
    assert price_of_order(sell("1", conditional=fires)) == 90
    assert price_of_order(sell("91", conditional=fires)) == 91
    odd = trade(7, side="sell", bid="NaN", last="97")
    assert price_of_funds(funds("1", "50"), odd) == 50


@pytest.mark.parametrize("change", [{"skip_enter_step": "false"}, {"skip_enter_step": True, "instant": True}])
def test_only_a_position_that_is_held_for_certain_costs_nothing(change: dict[str, Any]) -> None:
    async def main(rails: Rails) -> object:
        return (await refused(rails, replace(order("2"), **change))).value

    assert run(RiskLimits(max_quote_per_order=199), main) == 200


def test_what_an_order_is_worth_does_not_depend_on_the_callers_context() -> None:
    async def main(rails: Rails) -> object:
        server = Server(trade=trade(7, ask="1E+999999"))
        with pytest.raises(RiskLimitError) as caught:
            await rails.reserve(ADD_FUNDS, {"id": 7}, funds("1000"), server)
        with localcontext(prec=2, Emax=2):
            await placed(rails, order("1.001", "100"))
        return caught.value.value, rails.spent("USDT")

    expected = (Decimal("1E+1000002"), Decimal("100.1"))
    assert run(RiskLimits(max_quote_per_order=200, max_quote_per_hour=200), main) == expected


@pytest.mark.parametrize(
    "bad",
    [
        {"max_open_trades": -1},
        {"max_open_trades": True},
        {"max_open_trades": "3"},
        {"max_quote_per_order": 0.5},
        {"max_quote_per_order": 0},
        {"max_quote_per_hour": "many"},
        {"max_quote_per_hour": {"USDT": -1}},
        {"pairs": "USDT_BTC"},
        {"accounts": 32199203},
        {"pairs": 5},
        {"pairs": [b"USDT_BTC"]},
        {"accounts": 5},
        {"accounts": [5, "6"]},
        {"accounts": [True]},
        {"accounts": b"5"},
        {"price_of": 5},
        {"price_of": asyncio.sleep},
    ],
)
def test_a_bound_that_cannot_be_one_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        RiskLimits(**bad)
