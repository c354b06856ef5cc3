"""An order is held against the rules of its market before it is sent."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest

from tests.raw_server import RawServer, Received, answer
from threecommas_async import (
    AccountError,
    InvalidRequestError,
    MarketRules,
    MarketRulesError,
    OrderLeverage,
    PermissionDeniedError,
    RateLimit,
    SmartTradeOrder,
    SmartTradeUpdate,
    ThreeCommas,
    take_profit,
    target,
)
from threecommas_async.endpoints import CURRENCY_RATES, Permission
from threecommas_async.sandbox import FOREIGN_ACCOUNT, FUTURES_ACCOUNT, REAL_ACCOUNT, WALLET_ACCOUNT, Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAIR = "USDT_BTC"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(limit=RateLimit(1000, 60, 300)) as sandbox:
        sandbox.set_price(PAIR, last=60000)
        yield sandbox


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[ThreeCommas]:
    async with ThreeCommas(**sandbox.credentials(mode="real")) as client:
        yield client


def long(units: str = "0.01", account_id: int = REAL_ACCOUNT.id, **more: Any) -> SmartTradeOrder:
    return SmartTradeOrder.smart_trade(account_id=account_id, pair=PAIR, units=units, **more)


async def test_what_the_market_would_refuse_is_not_sent(sandbox: Sandbox, client: ThreeCommas) -> None:
    sandbox.set_rules(PAIR, lotStep="0.001", minTotal=100)
    order = long("0.00123", take_profit=take_profit(target("65000.001")))
    with pytest.raises(MarketRulesError, match="the market binance would refuse the order") as caught:
        await client.smart_trades.create(order, check_rules=True)
    assert [(each.field, each.limit) for each in caught.value.violations] == [
        ("position.units.value", "lotStep"),
        ("position.total", "minTotal"),
        ("take_profit.steps[0].price.value", "priceStep"),
    ]
    assert sandbox.ledger == ()
    assert sandbox.requests == 2
    # The server says the same.
    with pytest.raises(InvalidRequestError) as refused:
        await client.smart_trades.create(order)
    assert set(refused.value.attributes) == {"position", "units_to_buy", "position.total"}


async def test_what_was_rounded_is_accepted(sandbox: Sandbox, client: ThreeCommas) -> None:
    order = long("0.0123456789", take_profit=take_profit(target("65000.001")))
    rates = await client.market_data.currency_rates("binance", PAIR)
    rounded = MarketRules.from_rates(rates, pair=PAIR).round(order)
    trade = await client.smart_trades.create(rounded.order, check_rules=True)
    assert trade.position.units.value == Decimal("0.01234")
    assert trade.take_profit.steps[0].price.value == Decimal("65000.01")
    assert len(sandbox.ledger) == 1


async def test_account_and_rates_are_read_once_for_many_orders(sandbox: Sandbox, client: ThreeCommas) -> None:
    for _ in range(3):
        await client.with_options(timeout=5).smart_trades.create(long(), check_rules=True)
    assert sandbox.requests == 2 + 3
    await client.smart_trades.create(long())
    assert sandbox.requests == 6


async def test_leverage_is_checked_with_its_own_rates(sandbox: Sandbox, client: ThreeCommas) -> None:
    sandbox.set_rules(PAIR, max_leverage=10)
    for value, refused in ((10, False), (11, True)):
        order = long(
            account_id=FUTURES_ACCOUNT.id,
            leverage=OrderLeverage(enabled=True, type="isolated", value=Decimal(value)),
        )
        if not refused:
            await client.smart_trades.create(order, check_rules=True)
            continue
        with pytest.raises(MarketRulesError, match=r"leverage\.value: 11 is more than 10"):
            await client.smart_trades.create(order, check_rules=True)
        with pytest.raises(InvalidRequestError) as caught:
            await client.smart_trades.create(order)
        assert caught.value.attributes == {"leverage[value]": ("must be less than or equal to 10",)}


async def test_an_order_whose_reference_is_known_is_not_checked_again(
    sandbox: Sandbox, client: ThreeCommas
) -> None:
    first = await client.smart_trades.create(long(), reference="alert-1", check_rules=True)
    sandbox.set_rules(PAIR, minTotal=10000)
    await client.market_data.currency_rates("binance", PAIR, max_age=0)
    with pytest.raises(MarketRulesError):
        await client.smart_trades.create(long(), check_rules=True)
    again = await client.smart_trades.create(long(), reference="alert-1", check_rules=True)
    assert again.id == first.id
    assert len(sandbox.ledger) == 1


async def test_a_reference_whose_order_was_refused_by_the_check_is_still_free(
    sandbox: Sandbox, client: ThreeCommas
) -> None:
    with pytest.raises(MarketRulesError):
        await client.smart_trades.create(long("0.0100001"), reference="alert-2", check_rules=True)
    await client.smart_trades.create(long("0.01"), reference="alert-2", check_rules=True)
    assert len(sandbox.ledger) == 1


async def test_a_reference_whose_order_was_not_sent_is_checked_when_it_is_asked_for_again(
    sandbox: Sandbox, client: ThreeCommas
) -> None:
    order = long("0.0100001")
    with pytest.raises(InvalidRequestError):
        await client.smart_trades.create(order, reference="alert-3")
    sent = sandbox.requests
    with pytest.raises(MarketRulesError):
        await client.smart_trades.create(order, reference="alert-3", check_rules=True)
    assert sandbox.requests == sent + 2


@pytest.mark.parametrize(
    ("account_id", "pair", "kind", "message"),
    [
        (FOREIGN_ACCOUNT.id, PAIR, AccountError, "this key has no account 31077106"),
        (
            REAL_ACCOUNT.id,
            "USDT_NOPE",
            MarketRulesError,
            r"rules cannot be read: .* 422.*invalid; .*pairs\('binance'\) lists .* instead of USDT_NOPE",
        ),
        (WALLET_ACCOUNT.id, PAIR, AccountError, "takes no SmartTrades"),
    ],
)
async def test_an_unfit_account_or_an_unknown_pair_is_an_error_before_anything_is_sent(
    account_id: int,
    pair: str,
    kind: type[Exception],
    message: str,
    sandbox: Sandbox,
    client: ThreeCommas,
) -> None:
    order = SmartTradeOrder.simple_buy(account_id=account_id, pair=pair, units="0.01")
    with pytest.raises(kind, match=message):
        await client.smart_trades.create(order, check_rules=True)
    assert sandbox.ledger == ()


async def test_an_unknown_market_is_refused(client: ThreeCommas) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await client.market_data.pairs("nowhere")
    assert caught.value.attributes == {"market_code": ("is invalid",)}


async def test_a_key_that_may_not_read_accounts_is_told_so(sandbox: Sandbox) -> None:
    writer = sandbox.credentials(permissions={Permission.SMART_TRADES_WRITE}, mode="real")
    async with ThreeCommas(**writer) as client:
        with pytest.raises(PermissionDeniedError, match="ACCOUNTS_READ"):
            await client.smart_trades.create(long(), check_rules=True)
        await client.smart_trades.create(long())


ACCOUNT = b'{"id":5,"market_code":"okex","smart_trading_supported":true}'


@pytest.mark.parametrize(
    ("account", "rates", "message"),
    [
        (b'{"id":5}', b"{}", "does not say which market account 5 is of"),
        (ACCOUNT, b"{}", "the market states nothing about USDT_BTC"),
        (ACCOUNT, b'{"last":"1","lotStep":"-1"}', "lotStep of USDT_BTC cannot be a limit: -1"),
        (ACCOUNT, b'{"last":"1","lotStep":"x"}', "rules cannot be read"),
    ],
)
async def test_nothing_is_sent_where_the_rules_cannot_be_known(
    account: bytes, rates: bytes, message: str
) -> None:
    async def act(received: Received, writer: asyncio.StreamWriter) -> None:
        body = rates if "currency_rates" in received.target else account
        await answer(body)(received, writer)

    async with RawServer(act) as server, ThreeCommas("key", "secret", base_url=server.base_url) as client:
        with pytest.raises(MarketRulesError, match=message):
            await client.smart_trades.create(long(account_id=5), check_rules=True)
    assert {received.head.split()[0] for received in server.received} == {b"GET"}


async def test_the_sandbox_answers_anybody(sandbox: Sandbox) -> None:
    base = f"{sandbox.base_url}/ver1/accounts"
    targets = {
        "market_list": 200,
        "market_pairs?market_code=binance": 200,
        "market_pairs": 400,
        "market_pairs?market_code=nowhere": 422,
        "currency_rates?market_code=binance&pair=USDT_BTC": 200,
        "currency_rates?market_code=binance&pair=USDT_BTC&limit_type=dca": 400,
        "currency_rates?market_code=binance": 400,
        "currency_rates?market_code=binance&pair=USDT_NOPE": 422,
        "currency_rates_with_leverage_data?market_code=paper_trading&pair=USDT_BTC": 200,
        "5": 401,
        "nothing/here": 401,
    }
    async with aiohttp.ClientSession() as session:
        for target_, expected in targets.items():
            async with session.get(f"{base}/{target_}") as got:
                assert (target_, got.status) == (target_, expected)


async def test_the_market_data_of_the_sandbox_has_its_documented_shape(
    sandbox: Sandbox, client: ThreeCommas
) -> None:
    data = client.market_data
    markets = await data.markets()
    assert [market.market_code for market in markets] == ["binance", "binance_futures"]
    assert markets[0].form_fields.required[1].field == "api_key"
    pairs = await data.pairs("binance")
    assert [(pair, pair.base) for pair in pairs if pair.quote == "BTC"] == [("BTC_ETH", "ETH")]
    sandbox.set_rules(PAIR, maxTotal="Infinity", priceStep=0, minTotal=None, max_leverage=None)
    rates = await data.currency_rates("binance", PAIR)
    assert (rates.last, rates.bid, rates.ask) == (Decimal(60000), Decimal(60000), Decimal("60000.01"))
    assert (rates.maxTotal, rates.priceStep, rates.minTotal) == (Decimal("Infinity"), Decimal(0), None)
    assert (rates.instrumentKind, rates.leverage_data, rates.lotStep) == ("spot", None, Decimal("0.00001"))
    leveraged = await data.currency_rates_with_leverage_data("binance_futures", PAIR)
    assert leveraged.instrumentKind == "linear_futures"
    assert leveraged.leverage_data is not None
    assert [(kind.code, kind.bounds.min, kind.bounds.max) for kind in leveraged.leverage_data] == [
        ("none", None, None),
        ("cross", Decimal(1), None),
        ("isolated", Decimal(1), None),
    ]


async def test_trades_that_are_open_meet_the_new_rules_too(sandbox: Sandbox, client: ThreeCommas) -> None:
    trade = await client.smart_trades.create(long(order_type="limit", price=50000))
    async with asyncio.timeout(60):
        while (await client.smart_trades.get(trade.id)).status.code == "created":
            await asyncio.sleep(0.01)
    sandbox.set_rules(PAIR, lotStep="0.01", minLotSize="0.02")
    with pytest.raises(InvalidRequestError) as caught:
        await client.smart_trades.add_funds(trade.id, units="0.011")
    assert caught.value.attributes == {"units": ("must be greater than or equal to 0.02",)}
    with pytest.raises(InvalidRequestError) as caught:
        await client.smart_trades.add_funds(trade.id, units="0.021")
    assert caught.value.attributes == {"units": ("must be a multiple of 0.01",)}
    await client.smart_trades.add_funds(trade.id, units="0.02")


async def test_leverage_is_held_against_its_bound_when_it_is_changed(
    sandbox: Sandbox, client: ThreeCommas
) -> None:
    trade = await client.smart_trades.create(
        long(account_id=FUTURES_ACCOUNT.id, order_type="limit", price=50000)
    )
    async with asyncio.timeout(60):
        while (await client.smart_trades.get(trade.id)).status.code == "created":
            await asyncio.sleep(0.01)
    sandbox.set_rules(PAIR, max_leverage=10)
    for value, refused in ((10, False), (11, True)):
        leverage = OrderLeverage(enabled=True, type="cross", value=Decimal(value))
        if not refused:
            changed = await client.smart_trades.update(trade.id, SmartTradeUpdate(leverage=leverage))
            assert changed.leverage.value == 10
            continue
        with pytest.raises(InvalidRequestError) as caught:
            await client.smart_trades.update(trade.id, SmartTradeUpdate(leverage=leverage))
        assert set(caught.value.attributes) == {"leverage[value]"}


@pytest.mark.parametrize(
    ("pair", "limits", "message"),
    [
        ("USDT_NOPE", {}, "pair must be one of"),
        (PAIR, {"lot_step": 1}, "there are no such limits: lot_step"),
        (PAIR, {"lotStep": -1}, "lotStep must be positive"),
        (PAIR, {"maxTotal": 0}, "maxTotal must be positive"),
        (PAIR, {"minTotal": "Infinity"}, "minTotal must be a number"),
        (PAIR, {"lotStep": 0.1}, "must not be a float"),
        (PAIR, {"lotStep": "NaN"}, "lotStep must be a number"),
    ],
)
def test_rules_that_can_be_none_are_not_set(pair: str, limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sandbox().set_rules(pair, **limits)


def test_the_default_rules_say_what_a_spot_exchange_says() -> None:
    exchange = Sandbox().exchange
    for pair in exchange.rules:
        answered = exchange.rates(0.0, {"market_code": "binance", "pair": pair}, leverage=False)
        rules = MarketRules.from_rates(CURRENCY_RATES.decode(msgspec.json.encode(answered)))
        assert rules.lot_step is not None
        assert rules.price_step is not None
        assert rules.lot_step > 0 < rules.price_step
