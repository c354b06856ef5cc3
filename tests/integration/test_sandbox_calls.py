"""Every call of the table over HTTP, keys with fewer rights, and the plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.integration.test_sandbox_app import Caller
from threecommas_async import endpoints
from threecommas_async.endpoints import TABLE, Permission
from threecommas_async.limits import RateLimit
from threecommas_async.sandbox import PAPER_ACCOUNT, Delays, Sandbox, Walk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TRADES = "/v2/smart_trades"
LONG = {
    "account_id": PAPER_ACCOUNT.id,
    "pair": "USDT_DOGE",
    "position": {"type": "buy", "order_type": "limit", "units": {"value": "100"}, "price": {"value": "0.1"}},
    "take_profit": {
        "enabled": True,
        "steps": [
            {"order_type": "limit", "volume": "50", "price": {"type": "last", "value": price}}
            for price in ("0.2", "0.3")
        ],
    },
    "stop_loss": {"enabled": False},
}
MARKET = {"order_type": "market", "units": {"value": "20"}}
STOP = {
    "enabled": True,
    "order_type": "market",
    "conditional": {"price": {"type": "last", "value": "0.05"}},
}
# From the order to its execution nothing takes time here.
AT_ONCE = Delays(place=0.0, fill=0.0, close=0.0, sell=0.0, cancel=0.0)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


class Key(Caller):
    """A caller with a key of its own."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession, **rights: Any) -> None:
        super().__init__(sandbox, session)
        credentials = sandbox.credentials(**rights)
        self.api_key, self.secret = credentials["api_key"], credentials["api_secret"]

    async def call(self, method: str, target: str, sent: object = None) -> tuple[int, Any]:
        body = b"" if sent is None else json.dumps(sent).encode()
        status, answer, _ = await self.send(method, TRADES + target, body)
        return status, answer


async def test_a_trade_lives_through_every_call(session: aiohttp.ClientSession) -> None:
    async with Sandbox(delays=AT_ONCE, time_scale=1.0) as sandbox:
        key = Key(sandbox, session)
        status, trade = await key.call("POST", "", LONG)
        id, seen = trade["id"], [status]

        async def check(expected: str, method: str, target: str, sent: object = None) -> Any:
            status, answer = await key.call(method, f"/{id}{target}", sent)
            seen.append(status)
            state = sandbox.exchange.trades[id].status.value
            assert state == expected, (target, answer)
            return answer

        await check("waiting_position", "POST", "/set_note", {"note": "n"})
        await check("waiting_position", "PATCH", "", {"position": {"price": {"value": "0.101"}}})
        sandbox.set_price("USDT_DOGE", last="0.101")
        sandbox.set_price("USDT_DOGE", last="0.11")
        await check("waiting_targets", "PATCH", "", {"stop_loss": STOP})
        await check("waiting_targets", "POST", "/add_funds", MARKET)
        info = await check("waiting_targets", "GET", "/reduce_funds_info")
        assert endpoints.REDUCE_FUNDS_INFO.decode(json.dumps(info).encode()).max_reduce_funds_amount > 100
        await check("waiting_targets", "POST", "/reduce_funds", MARKET)
        trades = await check("waiting_targets", "GET", "/trades")
        purposes = [trade["trade_purpose"] for trade in trades]
        assert purposes == ["position", "take_profit", "take_profit", "stop_loss", "position", "reduce_funds"]
        await check("waiting_targets", "POST", f"/trades/{trades[1]['id']}/close_by_market")
        await check("cancelled", "DELETE", f"/trades/{trades[2]['id']}")
        assert seen == [201, 201, 200, 200, 201, 200, 201, 200, 201, 200]
        assert [fill.purpose for fill in sandbox.fills] == [
            "position",
            "position",
            "reduce_funds",
            "take_profit",
        ]


async def test_force_process_is_a_post(session: aiohttp.ClientSession) -> None:
    async with Sandbox() as sandbox:
        key = Key(sandbox, session)
        _, trade = await key.call("POST", "", LONG)
        status, forced = await key.call("POST", f"/{trade['id']}/force_process")
        assert (status, forced["status"]["type"]) == (201, "waiting_targets")


@pytest.mark.parametrize("row", [row for row in TABLE if row.is_signed], ids=str)
async def test_every_row_needs_its_permission(
    session: aiohttp.ClientSession, row: endpoints.Endpoint[Any]
) -> None:
    async with Sandbox(trades=1) as sandbox:
        target = row.path.replace("{id}", "5").replace("{smart_trade_id}", "5").replace("{trade_id}", "6")
        lacking = Key(sandbox, session, permissions=set(Permission) - {row.permission})
        status, body, _ = await lacking.send(row.method, target)
        assert (status, body["error"]) == (403, "access_denied")
        having = Key(sandbox, session, permissions={row.permission})
        status, _, _ = await having.send(row.method, target)
        assert status in (200, 400, 404)


async def test_a_read_only_key_lives_beside_one_that_may_write(session: aiohttp.ClientSession) -> None:
    async with Sandbox(trades=1) as sandbox:
        reader = Key(sandbox, session, permissions={Permission.SMART_TRADES_READ})
        (id,) = sandbox.exchange.trades
        assert (await reader.call("GET", f"/{id}"))[0] == 200
        assert (await reader.call("GET", f"/{id}/reduce_funds_info"))[0] == 403
        assert (await reader.call("POST", f"/{id}/close_by_market"))[0] == 403
        assert (await Key(sandbox, session).call("POST", f"/{id}/close_by_market"))[0] == 201


@pytest.mark.parametrize(
    ("plan_allows", "refused"),
    [(("write",), "read"), (("read",), "write"), ((), "read")],
)
async def test_what_the_plan_lacks_is_a_429_of_its_own(
    session: aiohttp.ClientSession, plan_allows: tuple[str, ...], refused: str
) -> None:
    async with Sandbox(trades=1) as sandbox:
        key = Key(sandbox, session, plan_allows=plan_allows)
        (id,) = sandbox.exchange.trades
        calls = {"read": ("GET", f"/{id}"), "write": ("POST", f"/{id}/close_by_market")}
        status, body = await key.call(*calls[refused])
        assert status == 429
        assert body == {
            "error": f"The request type '{refused}' is not available with your current subscription plan. "
            "Upgrade the plan to use it."
        }
        assert sandbox.ledger == ()
        assert sandbox.refused == 0
        if plan_allows:
            other = "write" if refused == "read" else "read"
            assert (await key.call(*calls[other]))[0] in (200, 201)


async def test_the_same_rights_give_the_same_key_and_others_another() -> None:
    async with Sandbox() as sandbox:
        reader = {Permission.SMART_TRADES_READ}
        assert sandbox.credentials(permissions=reader) == sandbox.credentials(permissions=reader)
        keys = [
            sandbox.credentials()["api_key"],
            sandbox.credentials(permissions=reader)["api_key"],
            sandbox.credentials(plan_allows=["write"])["api_key"],
        ]
        assert len(set(keys)) == 3
        assert sandbox.credentials(permissions=set(Permission))["api_key"] == keys[0]


async def test_credentials_take_overrides() -> None:
    limit = RateLimit(requests=1, period=1.0, lockout=1.0)
    async with Sandbox() as sandbox:
        plain = sandbox.credentials()
        assert sandbox.credentials(limits=limit, mode="real", timeout=3.0) == plain | {
            "limits": limit,
            "mode": "real",
            "timeout": 3.0,
        }


async def test_prices_of_a_sandbox_can_walk() -> None:
    async with Sandbox(walk=Walk(step=1.0, swing=100), time_scale=1) as sandbox:
        before = sandbox.exchange.tickers["USDT_BTC"].last
        sandbox.advance(10)
        assert sandbox.exchange.tickers["USDT_BTC"].last != before


async def test_prices_stand_still_until_they_are_set() -> None:
    sandbox = Sandbox(time_scale=1e9)
    before = dict(sandbox.exchange.tickers)
    assert sandbox.exchange.tickers == before
    sandbox.set_price("USDT_DOGE", last="0.5", bid="0.4", ask="0.6")
    ticker = sandbox.exchange.tickers["USDT_DOGE"]
    assert [str(price) for price in (ticker.bid, ticker.last, ticker.ask)] == ["0.4", "0.5", "0.6"]
