"""A paper client never gets a write through to a real account, whatever the server says.

The server answers what hypothesis tells it to: accounts of any kind, half an account, somebody else's, no
JSON, silence, and something else the next time. Calls overlap, and some are cancelled. What the server has
said so far is kept here, apart from the client: a write that arrives must be about an account or trade that
something said to be paper, nothing to be real.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests import virtual_time
from tests.scripted_api import GATEWAY_502, LOST, NOT_SENT, REFUSED_422, SILENCE, new_session
from threecommas_async import OrderStopLoss, SmartTradeOrder, SmartTradeUpdate, ThreeCommasError
from threecommas_async.guard import Guard
from threecommas_async.mode import AccountBook
from threecommas_async.resources.accounts import Accounts
from threecommas_async.resources.order_rules import known_account
from threecommas_async.resources.smart_trades import SmartTrades
from threecommas_async.wire import Failure, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from threecommas_async.wire import Progress, Request

IDS: Final = (1, 2)
KINDS: Final = ("paper_trading", "paper_trading", "paper_trading", "binance", "Paper_Trading", "", None)
NO_ANSWER: Final = (
    *(LOST, NOT_SENT, SILENCE, GATEWAY_502, REFUSED_422),
    *(Response(status, {}, b'{"error":"nope"}') for status in (400, 401, 403, 404, 500)),
    *(Response(200, {}, body) for body in (b"", b"{", b"null", b"[]", b"{}", b'{"id":"x"}', b'{"id":1}')),
    Response(204, {}, b""),
)


def account(id: int, kind: str | None) -> dict[str, Any]:
    return {"id": id, "market_code": kind, "smart_trading_supported": True}


def trade(id: int, account_id: int | None, kind: str | None) -> dict[str, Any]:
    where = {"id": account_id, "type": kind}
    return {"id": id, "status": {"type": "waiting_targets"}, "account": where, "field": 1}


accounts = st.builds(account, st.sampled_from(IDS), st.sampled_from(KINDS))
trades = st.builds(trade, st.sampled_from(IDS), st.sampled_from((1, 1, 2, None)), st.sampled_from(KINDS))
broken = st.sampled_from(({"id": 1}, {"id": 2, "account": 7, "status": 1}, 7, None))
failures = st.sampled_from(NO_ANSWER)


@dataclass
class Server:
    """Answers from what it is told, and keeps what it has said and what was ordered.

    What an answer says that does not fit is not counted: the client cannot read it.
    """

    draw: Callable[[Any], Any]
    stated: tuple[int, ...]
    statements: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    violations: list[tuple[str, set[str]]] = field(default_factory=list)

    async def send(
        self, request: Request, *, timeout: float, new_connection: bool, progress: Progress
    ) -> Response | Failure:
        del timeout, new_connection
        loop = asyncio.get_running_loop()
        method, path = request.method, request.target.partition("?")[0].removeprefix("/public/api")
        if method != "GET":
            self.check(path, request.body, loop.time())
        answer, entities = self.answer(method, path, request.body)
        progress.sent = isinstance(answer, Response) or answer.sent
        await asyncio.sleep(1)
        self.statements += [(loop.time(), entity) for entity in entities if is_readable(entity)]
        return answer

    async def close(self) -> None:
        pass

    def check(self, path: str, body: bytes, now: float) -> None:
        """The promise. What was said at this very instant may have been read already, or not."""
        said_by_now = [entity for at, entity in self.statements if at <= now]
        said_before = [entity for at, entity in self.statements if at < now]
        # Not asserted here: whoever calls may take an exception for the end of an attempt.
        if "paper" not in self.said_of(path, body, said_by_now):
            self.violations.append((path, {"nothing says paper"}))
        if "real" in self.said_of(path, body, said_before):
            self.violations.append((path, {"something says real"}))
        self.writes.append(path)

    def said_of(self, path: str, body: bytes, said: list[dict[str, Any]]) -> set[str]:
        """What was said of what a write is about."""
        if path == "/v2/smart_trades":
            return self.said_of_account(json.loads(body)["account_id"], said)
        number = int(path.split("/")[3])
        if path.startswith("/ver1/accounts"):
            return self.said_of_account(number, said)
        homes = [entity["account"] for entity in said if "account" in entity and entity["id"] == number]
        ids = {where["id"] for where in homes} - {None}
        on_two = {"real"} if len(ids) > 1 else set[str]()
        of_them = {word for id in ids for word in self.said_of_account(id, said)}
        return on_two | of_them | {spoken(where["type"]) for where in homes}

    def said_of_account(self, id: int, said: list[dict[str, Any]]) -> set[str]:
        records = {spoken(e["market_code"]) for e in said if "market_code" in e and e["id"] == id}
        homes = {spoken(e["account"]["type"]) for e in said if "account" in e and e["account"]["id"] == id}
        return records | homes | ({"paper"} if id in self.stated else set())

    def answer(self, method: str, path: str, body: bytes) -> tuple[Response | Failure, list[Any]]:
        """Return an answer, and what the client can read in it."""
        asked = re.findall(r"/(\d+)", path)
        entities = accounts if path.startswith("/ver1/accounts") else trades
        if self.draw(st.integers(0, 3)) == 0:
            return self.draw(failures), []
        if path.endswith("/trades"):
            return Response(200, {}, b'[{"id":8,"status":{}}]'), []
        if not asked and method == "GET":
            page = self.draw(st.lists(st.one_of(entities, broken), max_size=3))
            return Response(200, {}, json.dumps(page).encode()), page
        entity = self.draw(entities)
        if self.draw(st.integers(0, 4)) > 0:
            entity |= {"id": int(asked[0]) if asked else 1}
        if asked:
            is_read = entity["id"] == int(asked[0])
        else:  # An order that is answered with one on another account is not answered.
            is_read = entity["account"]["id"] in {None, json.loads(body)["account_id"]}
        return Response(200, {}, json.dumps(entity).encode()), [entity] if is_read else []


def is_readable(entity: object) -> bool:
    return isinstance(entity, dict) and ("market_code" in entity or "field" in entity)


def spoken(kind: str | None) -> str:
    return "nothing" if kind is None else "paper" if kind == "paper_trading" else "real"


def order(account_id: int) -> SmartTradeOrder:
    return SmartTradeOrder.simple_buy(account_id=account_id, pair="USDT_BTC", units=1)


UPDATE: Final = SmartTradeUpdate(stop_loss=OrderStopLoss(enabled=False))
CALLS: dict[str, Callable[[SmartTrades, Accounts, int], Awaitable[object]]] = {
    "create": lambda trades, _, n: trades.create(order(n)),
    "create with a reference": lambda trades, _, n: trades.create(order(n), reference=f"r{n}"),
    "close": lambda trades, _, n: trades.close_by_market(n),
    "close many": lambda trades, _, n: trades.close_many([n, 3 - n]),
    "close one target": lambda trades, _, n: trades.close_trade_by_market(n, 8),
    "cancel": lambda trades, _, n: trades.cancel(n),
    "note": lambda trades, _, n: trades.set_note(n, "x"),
    "add funds": lambda trades, _, n: trades.add_funds(n, units=1),
    "reduce funds": lambda trades, _, n: trades.reduce_funds(n, units=1),
    "update": lambda trades, _, n: trades.update(n, UPDATE),
    "force start": lambda trades, _, n: trades.force_start(n),
    "force process": lambda trades, _, n: trades.force_process(n),
    "note many": lambda trades, _, n: trades.set_note_many([n, 3 - n], "x"),
    "follow": lambda trades, _, n: trades.wait_closed([n], timeout=20),
    "orders": lambda trades, _, n: trades.list_trades(n),
    "close all": lambda trades, _, n: trades.close_all(pair=f"USDT_{n}", deadline=20),
    "cancel many": lambda trades, _, n: trades.cancel_many([3 - n, n]),
    "cancel one order": lambda trades, _, n: trades.cancel_trade(n, 8),
    "create many": lambda trades, _, n: trades.run_many(SmartTrades.create, [order(n), order(3 - n)]),
    "rename": lambda _, accounts, n: accounts.rename(n, "x"),
    "load balances": lambda _, accounts, n: accounts.load_balances(n),
    "list": lambda trades, _, n: trades.list(page=n),
    "get": lambda trades, _, n: trades.get(n),
    "list accounts": lambda _, accounts, n: accounts.list(page=n),
    "get account": lambda _, accounts, n: accounts.get(n),
    "known account": lambda _, accounts, n: known_account(accounts._session, n),
}
WAITS: Final = (None, None, math.inf, math.inf, 0.5, 1.5)
"""Seconds after which a call is cancelled; None lets the next begin at once, infinity waits for its end."""
calls = st.tuples(st.sampled_from(sorted(CALLS)), st.sampled_from(IDS), st.sampled_from(WAITS), st.booleans())


@settings(max_examples=300)
@given(
    st.data(),
    st.lists(calls, min_size=1, max_size=12),
    st.sampled_from(((), (), (), (1,), IDS)),
)
def test_no_write_reaches_an_account_that_is_not_known_to_be_a_paper_account(
    data: st.DataObject, script: list[tuple[str, int, float | None, bool]], stated: tuple[int, ...]
) -> None:
    async def main() -> Server:
        server = Server(data.draw, stated)
        book = AccountBook(stated)
        session = new_session(
            server,  # type: ignore[arg-type]
            guard=Guard(book=book),
            book=book,
            notice=lambda _, value: book.learn(value),
        )
        trades, accounts = SmartTrades(session), Accounts(session)
        pending: list[asyncio.Future[object]] = []
        view = trades.with_session(session.with_options(timeout=7, max_wait=None))
        for name, number, wait, is_view in script:
            call = CALLS[name](view if is_view else trades, accounts, number)
            pending.append(asyncio.ensure_future(call))
            if wait == math.inf:
                await settle(pending)
            elif wait is not None:
                asyncio.get_running_loop().call_later(wait, pending[-1].cancel)
        await settle(pending)
        return server

    server = virtual_time.run(main())
    assert server.violations == []
    kinds = Counter("account" if "accounts" in path else "trade" for path in server.writes)
    event(f"writes on accounts: {min(kinds['account'], 2)}, on trades: {min(kinds['trade'], 2)}")


async def settle(pending: list[asyncio.Future[object]]) -> None:
    for ended in await asyncio.gather(*pending, return_exceptions=True):
        if isinstance(ended, BaseException) and not isinstance(
            ended, ThreeCommasError | asyncio.CancelledError
        ):
            raise ended
    pending.clear()
