"""Bots on one sandbox: what each of them meant, what it was told, and what the ledger says was done."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tests.stopwatch import Stopwatch
from threecommas_async import (
    APIStatusError,
    ClientStateError,
    NotSentError,
    OutcomeUnknownError,
    ServerError,
    SmartTradeOrder,
    ThreeCommas,
    endpoints,
)
from threecommas_async.limits import RateLimit
from threecommas_async.retry import RetryBudget
from threecommas_async.sandbox import PAPER_ACCOUNT, REAL_ACCOUNT, Sandbox
from threecommas_async.sandbox.keys import Grant
from threecommas_async.sandbox.market import RULES

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator
    from decimal import Decimal
    from types import TracebackType

    from aiohttp import web

    from threecommas_async import SmartTrade
    from threecommas_async.endpoints import Endpoint
    from threecommas_async.retry import RetryPolicy
    from threecommas_async.sandbox import LedgerEntry

NOT_BINDING: Final = RateLimit(requests=1000, period=1.0, lockout=1.0)
NO_PAIR: Final = "USDT_NOPE"
HALF_PRICE: Final = {"USDT_DOGE": "0.05", "USDT_1INCH": "0.13", "USDT_ETH": "1600", "USDT_BTC": "28000"}
ROUNDING: Final = 1.0
"""Seconds: aiohttp rounds a timeout of more than 5 s up to a whole second of the loop's clock."""


@dataclass(frozen=True)
class Place:
    """Where a trade is or is to be.

    Args:
        account_id: Account.
        pair: Pair; a trade on `NO_PAIR` is refused.
        waits: The entry waits for a price that does not come.
    """

    account_id: int
    pair: str
    waits: bool


PLACES: Final = tuple(
    itertools.starmap(
        Place, itertools.product((PAPER_ACCOUNT.id, REAL_ACCOUNT.id), HALF_PRICE, (False, True))
    )
)
NOWHERE: Final = Place(PAPER_ACCOUNT.id, NO_PAIR, waits=False)


class LoopSandbox(Sandbox):
    """A sandbox on the clock of the loop that it is made in; it comes back at the address it went from."""

    def __init__(self, **options: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._made_at = self._loop.time()
        self._place = socket.socket()
        super().__init__(**options)

    def _clock(self) -> float:
        return self._loop.time() - self._made_at

    async def start(self) -> None:
        self._place.close()
        await super().start()
        self._address = super().base_url
        self._port = urlsplit(self._address).port or 0

    async def stop(self) -> None:
        runner = self._runner
        if runner is not None:
            await self._accept_no_more(runner)
        await super().stop()
        if runner is not None:
            # Bound and not listening: whoever connects is refused, and nobody else gets the port.
            self._place = socket.socket()
            self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._place.bind((self._host, self._port))

    async def _accept_no_more(self, runner: web.ServerRunner) -> None:
        # To asyncio a connection that was accepted just before the server closes is a failed assertion: it
        # leaks the socket. So nothing is accepted any more, and what was gets the turns that it needs.
        for site in runner.sites:
            server: Any = site._server
            for listener in server.sockets:
                self._loop.remove_reader(listener.fileno())
        for _ in range(3):
            await asyncio.sleep(0)

    def release(self) -> None:
        """Give the address up."""
        self._place.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, traceback)
        self.release()

    @property
    def base_url(self) -> str:
        return self._address

    @property
    def is_up(self) -> bool:
        return self._runner is not None

    async def all_arrived(self) -> None:
        """Wait until no request is on its way any more whose caller has gone."""
        await asyncio.sleep(self.network._latency[1])
        await asyncio.gather(*self._app.late)


class Kind(StrEnum):
    CREATE = "create"
    CREATE_REFERENCED = "create with a reference"
    ADD_FUNDS = "add_funds"
    CLOSE = "close_by_market"
    CANCEL = "cancel"
    FORCE_START = "force_start"
    SET_NOTE = "set_note"

    @property
    def makes_order(self) -> bool:
        """Each call of this kind is an order of its own, recognisable by its units."""
        return self in _MAKING


_MAKING: Final = (Kind.CREATE, Kind.CREATE_REFERENCED, Kind.ADD_FUNDS)
_ROWS: Final[dict[Kind, Endpoint[SmartTrade]]] = {
    Kind.CREATE: endpoints.CREATE_SMART_TRADE,
    Kind.CREATE_REFERENCED: endpoints.CREATE_SMART_TRADE,
    Kind.ADD_FUNDS: endpoints.ADD_FUNDS,
    Kind.CLOSE: endpoints.CLOSE_BY_MARKET,
    Kind.CANCEL: endpoints.CANCEL_SMART_TRADE,
    Kind.FORCE_START: endpoints.FORCE_START,
    Kind.SET_NOTE: endpoints.SET_NOTE,
}
_SHOWN_BY: Final = {
    Kind.CLOSE: {"panic_sell_pending", "panic_sell_in_progress", "panic_sold"},
    Kind.CANCEL: {"cancellation_pending", "cancellation_in_progress", "cancelled"},
}


@dataclass(eq=False)
class Intent:
    """One call: what was meant by it, and what its caller was told.

    Args:
        number: Its number; units and notes are made of it.
        client: Who makes it.
        kind: Which call.
        place: Where the trade is, or is to be.
        target: The trade that it acts on; None for a create.
        timeout: Seconds that it may take.
        reference: The name of the order; other clients have orders of the same name.
    """

    number: int
    client: ThreeCommas
    kind: Kind
    place: Place
    target: int | None
    timeout: float
    reference: str | None
    began: float = 0.0
    took: float | None = None
    answer: SmartTrade | None = None
    error: BaseException | None = None
    learnt: list[int] = field(default_factory=list[int])
    unknown: list[OutcomeUnknownError] = field(default_factory=list[OutcomeUnknownError])
    is_resolved: bool = False
    cancellations: int = 0
    task: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        told = f"got {self.answer.id}" if self.answer else repr(self.error)
        on = f" on {self.target}" if self.target else f" of {self.units} {self.place.pair}"
        return f"#{self.number} {self.kind}{on} ({told})"

    @property
    def units(self) -> Decimal:
        """An amount that no other call of the fleet has."""
        return (100 + self.number) * RULES.get(self.place.pair, RULES["USDT_DOGE"]).lot

    @property
    def note(self) -> str:
        return f"note {self.number}"

    @property
    def is_running(self) -> bool:
        return self.took is None

    @property
    def was_cancelled(self) -> bool:
        return isinstance(self.error, asyncio.CancelledError)

    @property
    def is_unknown(self) -> bool:
        return isinstance(self.error, OutcomeUnknownError)

    @property
    def was_refused(self) -> bool:
        """Its caller was told that nothing was done."""
        if isinstance(self.error, ServerError):
            return False
        return isinstance(self.error, NotSentError | ClientStateError | APIStatusError)

    @property
    def remembered(self) -> list[OutcomeUnknownError]:
        """What the client remembers of this call, or of calls that it cannot be told from."""
        return [
            error
            for error in self.client.in_flight_unknown()
            if error.endpoint is _ROWS[self.kind]
            and (self.target is None or f"/{self.target}" in error.path)
            and (not self.kind.makes_order or _units(error) == self.units)
        ]

    def call(self) -> Coroutine[Any, Any, SmartTrade]:
        trades = self.client.with_options(timeout=self.timeout).smart_trades
        match self.kind, self.target:
            case Kind.CREATE | Kind.CREATE_REFERENCED, _:
                return trades.create(self._order(), reference=self.reference)
            case Kind.ADD_FUNDS, int(target):
                return trades.add_funds(target, units=self.units)
            case Kind.SET_NOTE, int(target):
                return trades.set_note(target, self.note)
            case kind, int(target):
                method: Any = getattr(trades, kind)
                coroutine: Coroutine[Any, Any, SmartTrade] = method(target)
                return coroutine
            case _:
                raise AssertionError(self)

    def _order(self) -> SmartTradeOrder:
        return SmartTradeOrder.smart_trade(
            account_id=self.place.account_id,
            pair=self.place.pair,
            units=self.units,
            order_type="limit" if self.place.waits else "market",
            price=HALF_PRICE[self.place.pair] if self.place.waits else None,
        )


class Fleet:
    """Clients with keys of their own on one sandbox, and every call that they made.

    Args:
        sandbox: It listens.
        policy: How often and after which waits a request is sent again; None is the client's own.
    """

    def __init__(self, sandbox: LoopSandbox, *, policy: RetryPolicy | None = None) -> None:
        self.sandbox = sandbox
        self.clients: list[ThreeCommas] = []
        self.intents: list[Intent] = []
        self.known: dict[int, Place] = {}
        """Where the trades are that the bots were told of."""
        self.closed: list[ThreeCommas] = []
        self.problems: list[str] = []
        for trade in sandbox.exchange.trades.values():
            order = trade.order
            waits = order.order_type != "market" and not trade.is_entered
            self.known[trade.id] = Place(order.account_id, order.pair, waits)
        self._policy = policy
        self._calls: Counter[ThreeCommas] = Counter()
        self._orders: dict[tuple[object, ...], list[LedgerEntry]] = defaultdict(list)
        self._read = 0
        self._loop = asyncio.get_running_loop()
        self._watch = Stopwatch()

    def add_client(self, *, budget: int | None = None, limits: RateLimit = NOT_BINDING) -> ThreeCommas:
        api_key, secret = self.sandbox._keys.new_hmac(Grant())
        options = self.sandbox.credentials(mode="real", limits=limits, api_key=api_key, api_secret=secret)
        client = ThreeCommas(**options)
        session, epoch = client._session, self.sandbox._exchange.epoch
        session._clock = self._loop.time
        session._now = lambda: epoch + timedelta(seconds=self.sandbox._clock())
        if self._policy is not None:
            session._policy = self._policy
        if budget is not None:
            session._budget = RetryBudget(budget)
        self.clients.append(client)
        return client

    async def replace_client(self, bot: int) -> None:
        """Close a client in the middle of its calls, and put a new one in its place."""
        place = bot % len(self.clients)
        self.closed.append(self.clients[place])
        await self.clients[place].aclose()
        self.clients[place] = self.add_client()
        self.clients.pop()

    def begin(
        self,
        bot: int,
        kind: Kind,
        *,
        target: int | None = None,
        place: Place = NOWHERE,
        timeout: float = 30.0,
    ) -> Intent:
        """Begin a call."""
        client = self.clients[bot % len(self.clients)]
        place = place if target is None else self.known[target]
        self._calls[client] += 1
        reference = f"r{self._calls[client]}" if kind is Kind.CREATE_REFERENCED else None
        intent = Intent(len(self.intents), client, kind, place, target, timeout, reference)
        self.intents.append(intent)
        self._send(intent)
        return intent

    def repeat(self, intent: Intent) -> Intent:
        """Make a call again that ended unknown or cancelled: with its reference it is the same order."""
        intent.cancellations += intent.was_cancelled
        intent.error = intent.took = None
        intent.is_resolved = False
        self._send(intent)
        return intent

    def join(self, intent: Intent, *, timeout: float) -> Intent:
        """Make a call with a reference while another call with it is under way: both are one order."""
        same = intent.number, intent.client, intent.kind, intent.place, intent.target, timeout
        twin = Intent(*same, intent.reference)
        self.intents.append(twin)
        self._send(twin)
        return twin

    @property
    def repeatable(self) -> list[Intent]:
        """Creates that a bot may want to repeat: its client knows them, and nobody knows of an order yet."""
        return [
            intent
            for intent in self.intents
            if intent.kind is Kind.CREATE_REFERENCED
            and intent.client in self.clients
            and not intent.learnt
            and (intent.is_running or intent.is_unknown or intent.was_cancelled)
        ]

    def _send(self, intent: Intent) -> None:
        intent.began = self._watch.elapsed
        intent.task = asyncio.create_task(self._make(intent))

    async def _make(self, intent: Intent) -> None:
        try:
            intent.answer = await intent.call()
            self._learn(intent, [intent.answer.id])
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is what the caller was told
            intent.error = error
            if isinstance(error, OutcomeUnknownError):
                intent.unknown.append(error)
        intent.took = self._watch.elapsed - intent.began

    def _learn(self, intent: Intent, ids: Iterable[int]) -> None:
        intent.learnt = list(ids)
        if intent.kind in {Kind.CREATE, Kind.CREATE_REFERENCED}:
            self.known.update(dict.fromkeys(ids, intent.place))

    @property
    def running(self) -> list[Intent]:
        return [intent for intent in self.intents if intent.is_running]

    async def cancel(self, intent: Intent, *, after: float = 0.0) -> None:
        """Cancel a call, unless it ends in this many seconds."""
        assert intent.task is not None
        await asyncio.wait([intent.task], timeout=after)
        intent.task.cancel()
        await asyncio.wait([intent.task], timeout=ROUNDING)

    async def end(self, intents: Iterable[Intent], *, margin: float = ROUNDING) -> None:
        """Wait until calls have ended; those that do not in their time are a problem, and are cancelled."""
        for intent in intents:
            if intent.task is None or not intent.is_running:
                continue
            ends_by = max(intent.began + intent.timeout + margin, self._watch.elapsed) + margin
            while intent.is_running and (left := ends_by - self._watch.elapsed) > 0:
                await asyncio.wait([intent.task], timeout=left)
            if intent.is_running:
                self.problems.append(f"hung: {intent}")
                intent.task.cancel()
                await asyncio.wait([intent.task], timeout=margin)

    async def settle(self) -> None:
        """Let the server answer again, everything arrive, and every bot find out what it does not know."""
        self.sandbox.network.calm()
        if not self.sandbox.is_up:
            await self.sandbox.start()
        await self.end(self.running)
        await self.sandbox.all_arrived()
        for intent in self.intents:
            if not intent.is_resolved and intent.answer is None:
                intent.is_resolved = True
                await self._resolve(intent)

    async def _resolve(self, intent: Intent) -> None:
        errors = [*intent.unknown, *intent.remembered]
        if not errors:
            return
        auditor = self.clients[0] if intent.client in self.closed else intent.client
        if intent.kind in {Kind.CREATE, Kind.CREATE_REFERENCED}:
            found = [await auditor.smart_trades.find_created(error) for error in errors]
            ids = {trade.id for trades in found for trade in trades}
            made = {entry.smart_trade_id for entry in self.orders_of(intent)}
            self._check_found(intent, ids, made)
            self._learn(intent, made)
        elif intent.target is not None and intent.kind in _SHOWN_BY:
            trade = await auditor.smart_trades.get(intent.target)
            if (trade.status.code in _SHOWN_BY[intent.kind]) != bool(self.orders_of(intent)):
                self.problems.append(f"lost: {intent} shows {trade.status.code}")

    def _check_found(self, intent: Intent, ids: set[int], made: set[int]) -> None:
        if not made <= ids:
            self.problems.append(f"lost: {intent} made {made} and find_created has {ids}")
        elif intent.reference is not None and ids != made:
            self.problems.append(f"mistaken: {intent} made {made} and find_created has {ids}")

    def orders_of(self, intent: Intent) -> list[LedgerEntry]:
        """The orders of a call; or of all calls that do the same to the same trade, which share them."""
        for entry in self.sandbox.ledger[self._read :]:
            self._read += 1
            self._orders["at", entry.action, entry.smart_trade_id].append(entry)
            self._orders["of", entry.action, entry.pair, entry.units].append(entry)
        return self._orders.get(_key(intent), [])

    def doubled(self) -> list[str]:
        """The calls that are more than one order."""
        return [
            f"doubled: {intent} made {[entry.smart_trade_id for entry in orders]}"
            for intent in self.intents
            if intent.kind is not Kind.SET_NOTE and len(orders := self.orders_of(intent)) > 1
        ]

    def verdict(self) -> Counter[str]:
        """Count the ends of all calls, and what is wrong with them; `problems` names that."""
        together: dict[tuple[object, ...], list[Intent]] = defaultdict(list)
        for intent in self.intents:
            together[_key(intent)].append(intent)
            if intent.took is not None and intent.took > intent.timeout + ROUNDING:
                self.problems.append(f"hung: {intent} took {intent.took:.2f} of {intent.timeout} s")
        self.problems += self.doubled()
        for intents in together.values():
            self.problems += _wrong(intents, self.orders_of(intents[0]))
        meant = sum(len(self.orders_of(intents[0])) for intents in together.values())
        if meant != len(self.sandbox.ledger):
            self.problems.append(f"doubled: {len(self.sandbox.ledger) - meant} orders that nobody meant")
        self.problems += self._wrongly_remembered()
        ends = Counter(_end_of(intent) for intent in self.intents)
        return ends + Counter(problem.partition(":")[0] for problem in self.problems)

    def _wrongly_remembered(self) -> Iterator[str]:
        for client in {*self.clients, *self.closed}:
            mine = [intent for intent in self.intents if intent.client is client]
            cancelled = sum(intent.cancellations + intent.was_cancelled for intent in mine)
            if len(client.in_flight_unknown()) > cancelled:
                yield f"mistaken: {cancelled} cancelled, {client.in_flight_unknown()} remembered"

    async def close(self) -> None:
        for intent in self.running:
            if intent.task is not None:
                intent.task.cancel()
        await asyncio.gather(*(intent.task for intent in self.intents if intent.task is not None))
        for client in self.clients:
            await client.aclose()
        self._watch.stop()
        await self.sandbox.stop()
        self.sandbox.release()


def _key(intent: Intent) -> tuple[object, ...]:
    action = "create" if intent.target is None else str(intent.kind)
    if intent.kind.makes_order:
        return "of", action, intent.place.pair, intent.units
    return "at", action, intent.target


def _wrong(intents: list[Intent], orders: list[LedgerEntry]) -> Iterator[str]:
    """Say what is wrong with calls that share their orders: one call, or those that end the same trade."""
    for intent in intents:
        if intent.answer is not None:
            if not orders:
                yield f"lost: {intent} succeeded, and nothing was done"
            elif intent.answer.id != orders[0].smart_trade_id:
                yield f"mistaken: {intent} made {orders[0].smart_trade_id}"
            elif intent.reference is not None and intent.answer.reference != intent.reference:
                yield f"mistaken: {intent} has the reference {intent.answer.reference}"
            elif intent.kind is Kind.SET_NOTE and intent.answer.note_raw != intent.note:
                yield f"mistaken: {intent} shows {intent.answer.note_raw}"
        elif not (intent.is_unknown or intent.was_cancelled or intent.was_refused):
            yield f"mistaken: {intent} ended neither known nor unknown"
    if orders and not any(
        intent.answer
        or ((intent.unknown or intent.remembered) and not isinstance(intent.error, APIStatusError))
        for intent in intents
    ):
        yield f"lost: {', '.join(map(str, intents))}: the ledger has {orders}"


def _end_of(intent: Intent) -> str:
    if intent.answer is not None:
        return "answered"
    if intent.was_cancelled:
        return "cancelled"
    if intent.is_unknown:
        return "unknown"
    return "refused" if isinstance(intent.error, APIStatusError) else "not sent"


def _units(error: OutcomeUnknownError) -> Decimal | None:
    body: Any = error.request
    units = body.position.units if isinstance(body, SmartTradeOrder) else body.units
    value: Decimal | None = units.value
    return value
