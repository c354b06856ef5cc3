"""`Sandbox`: the exchange behind a port on this machine."""

from __future__ import annotations

import asyncio
import math
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self

from aiohttp import web

from threecommas_async.endpoints import Permission
from threecommas_async.limits import GENERAL, RateLimit
from threecommas_async.sandbox.app import App
from threecommas_async.sandbox.exchange import Exchange
from threecommas_async.sandbox.faults import Fault, Network
from threecommas_async.sandbox.keys import Grant, KeyRing
from threecommas_async.sandbox.ledger import Ledger
from threecommas_async.sandbox.routes import BASE_PATH
from threecommas_async.sandbox.window import Window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from types import TracebackType

    from threecommas_async.models.order_groups import Number
    from threecommas_async.sandbox.faults import AnyFault
    from threecommas_async.sandbox.keys import RequestType
    from threecommas_async.sandbox.ledger import Fill
    from threecommas_async.sandbox.lifecycle import Delays
    from threecommas_async.sandbox.market import Walk

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_LAST_PORT = 65535
_BAN = 120.0
_LONGEST_BAN = 3 * 86400.0
_GRACE = 1.0


class Sandbox:
    """A 3Commas of one's own, on loopback.

    It keeps no balances: whoever orders has the money, and what was bought can be closed. It liquidates
    nothing. Every order is executed as a whole.

    It has four accounts: `PAPER_ACCOUNT` (32199203), `REAL_ACCOUNT` (32884189, ``binance``),
    `FUTURES_ACCOUNT` (32951724, ``binance_futures``) and `WALLET_ACCOUNT` (33016408, ``bitstamp``), which
    takes no SmartTrades. The pairs of all of them are ``USDT_BTC``, ``USDT_ETH``, ``USDT_DOGE``,
    ``USDT_1INCH`` and ``BTC_ETH``.

    Its clock starts when it is made, and runs ``time_scale`` times as fast as the real one; `advance` moves
    it.

    Args:
        trades: How many SmartTrades there are from the start, all on the paper account.
        statuses: Their states, in turns; `EVERY_STATUS` has all.
        seed: Seed of their sizes and prices, of the walk of prices, of latency and of faults.
        time_scale: Simulated seconds in a real one. Every duration of the sandbox (the limit's period
            and lock-out, the ban, the way from order to execution) is divided by it; 1.0 is the real
            minute. Latency is in real seconds.
        limit: The request limit, as published.
        latency: Bounds of the random delay of each request, in real seconds.
        unreliable: Probability that a request suffers a fault; ``network.unreliable`` changes it.
        every: Each request whose number is a multiple of this one suffers a fault; None spares them.
        faults: Which faults there are, all equally likely; see `Fault` and `RareFault`.
        accept_both_json_forms: Whether a JSON body may be signed in the form of the other kind of key too.
        permissions: What its keys are allowed to do, unless `credentials` says otherwise.
        delays: How long the exchange takes, in simulated seconds.
        walk: How prices move by themselves; None lets them stand still until `set_price`.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        allow_remote: Whether ``host`` may be an address that other machines can reach.

    Raises:
        ValueError: ``host`` is not loopback, or a number is out of its range.
    """

    def __init__(
        self,
        *,
        trades: int = 0,
        statuses: Sequence[str] = ("waiting_targets",),
        seed: int = 0,
        time_scale: float = 20.0,
        limit: RateLimit = GENERAL,
        latency: tuple[float, float] = (0.0, 0.0),
        unreliable: float = 0.0,
        every: int | None = None,
        faults: Iterable[AnyFault] = tuple(Fault),
        accept_both_json_forms: bool = False,
        permissions: Collection[Permission] = frozenset(Permission),
        delays: Delays | None = None,
        walk: Walk | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_remote: bool = False,
    ) -> None:
        if host not in _LOOPBACK and not allow_remote:
            raise ValueError(f"host must be a loopback address, not {host!r}; allow_remote=True lifts this")
        if trades < 0:
            raise ValueError(f"trades must not be negative, not {trades!r}")
        if type(port) is not int or not 0 <= port <= _LAST_PORT:
            raise ValueError(f"port must be 0 to {_LAST_PORT}, not {port!r}")
        if not time_scale > 0:
            raise ValueError(f"time_scale must be positive, not {time_scale!r}")
        self.limit: RateLimit = RateLimit(
            limit.requests, limit.period / time_scale, limit.lockout / time_scale
        )
        """The limit in force, in real seconds."""
        self.network: Network = Network(
            latency=latency, unreliable=unreliable, every=every, faults=faults, seed=seed
        )
        """The road to it; here faults are ordered and switched off at run time."""
        self.time_scale: float = time_scale
        """Simulated seconds in a real one."""
        self._host, self._port = host, port
        self._began = time.monotonic()
        self._exchange = Exchange(
            epoch=datetime.now(UTC), delays=delays, time_scale=time_scale, walk=walk, seed=seed
        )
        self._exchange.seed(trades, statuses)
        self._window = Window(self.limit, ban=_BAN / time_scale, longest_ban=_LONGEST_BAN / time_scale)
        self._keys = KeyRing(accept_both_json_forms=accept_both_json_forms)
        self._grant = Grant(frozenset(permissions))
        self._made: dict[tuple[str, Grant], tuple[str, str]] = {}
        self._app = App(
            exchange=self._exchange,
            keys=self._keys,
            window=self._window,
            network=self.network,
            clock=self._clock,
        )
        self._runner: web.ServerRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen.

        Raises:
            RuntimeError: It listens already.
            OSError: The port is taken.
        """
        if self._runner is not None:
            raise RuntimeError("the sandbox is running already")
        # The body must stay as it was signed: no decompression.
        server = web.Server(self._app.handle, access_log=None, auto_decompress=False)
        runner = web.ServerRunner(server, shutdown_timeout=_GRACE)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner

    async def stop(self) -> None:
        """Stop listening and break off what is in flight; what was ordered goes on.

        What a gateway has yet to pass on is waited for; see `RareFault.GATEWAY_TIMEOUT`.
        """
        runner, self._runner = self._runner, None
        if runner is None:
            return
        in_flight = list(self._app.in_flight)
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)
        await runner.cleanup()
        await asyncio.gather(*self._app.late)

    @property
    def base_url(self) -> str:
        """Where it answers, with the path of the real API.

        Raises:
            RuntimeError: It does not listen.
        """
        if self._runner is None:
            raise RuntimeError("the sandbox is not running")
        host, port = self._runner.addresses[0][:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}{BASE_PATH}"

    def credentials(
        self,
        kind: Literal["hmac", "rsa"] = "hmac",
        *,
        permissions: Collection[Permission] | None = None,
        plan_allows: Collection[RequestType] = ("read", "write"),
        **overrides: Any,
    ) -> dict[str, Any]:
        """Return keyword arguments for a client: a key of this sandbox, its address and its limit.

        The same arguments give the same key. The mode is ``paper``; ``credentials(mode="real")`` is for the
        real accounts.

        Args:
            kind: Kind of key. ``rsa`` needs the extra of that name and makes a key pair at the first call.
            permissions: What the key is allowed to do; None is what the sandbox was made with.
            plan_allows: Types of request that the subscription plan includes: ``read`` is every GET,
                ``write`` everything else. The others are answered with the 429 that waiting does not cure.
            **overrides: Keyword arguments for the client, added to the others or in their place.

        Raises:
            RuntimeError: The sandbox does not listen.
        """
        base_url = self.base_url
        granted = self._grant.permissions if permissions is None else frozenset(permissions)
        grant = Grant(granted, frozenset(plan_allows))
        if (kind, grant) not in self._made:
            make = self._keys.new_rsa if kind == "rsa" else self._keys.new_hmac
            self._made[kind, grant] = make(grant)
        api_key, secret = self._made[kind, grant]
        return {
            "api_key": api_key,
            "rsa_private_key" if kind == "rsa" else "api_secret": secret,
            "mode": "paper",
            "base_url": base_url,
            "limits": self.limit,
            **overrides,
        }

    def set_price(
        self, pair: str, *, last: Number, bid: Number | None = None, ask: Number | None = None
    ) -> None:
        """Set the prices of a pair now, and let its trades meet them.

        Args:
            pair: QUOTE_BASE.
            last: Last price, in quote.
            bid: Best bid; None takes the last price.
            ask: Best ask; None takes one price step above the higher of the two others.

        Raises:
            ValueError: There is no such pair, or the prices are not positive, or the bid is above the ask.
        """
        self._exchange.set_price(self._clock(), pair, last=last, bid=bid, ask=ask)

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock ahead: everything that is due by then has happened.

        Delays, timeouts, the walk of prices, the request limit, a lock-out and a ban are on this clock, and
        the instants and the ``Date`` of answers. Clients have clocks of their own: one that keeps the request
        limit still waits. `threecommas_async.testing.Clock` moves both.

        Args:
            seconds: Simulated seconds.

        Raises:
            ValueError: ``seconds`` is negative or not finite.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"seconds must be a number from 0, not {seconds!r}: time does not run backwards")
        self._began -= seconds / self.time_scale

    def lock_out(self) -> None:
        """Refuse everything with 429 for the length of a lock-out, as after too many requests."""
        self._window.lock_out(self._clock())

    def ban(self) -> None:
        """Refuse everything with 418 for the length of a ban, as after going on in a lock-out."""
        self._window.ban(self._clock())

    def set_rules(self, pair: str, **limits: Number | None) -> None:
        """Change what the exchange accepts for a pair, from now on.

        Other limits stay as they are; orders that were accepted before stay so.

        Args:
            pair: QUOTE_BASE.
            **limits: Limits by the names of the API: ``minPrice``, ``maxPrice``, ``priceStep``;
                ``minLotSize``, ``maxLotSize``, ``lotStep``, ``minMarketBuyAmount``, ``maxMarketBuyAmount``,
                ``minMarketSellAmount`` and ``maxMarketSellAmount`` in base; ``minTotal``, ``minMarketTotal``
                and ``maxTotal`` in quote; ``max_leverage``. None takes one away, and so does a step of 0 or
                a maximum of ``"Infinity"``, which are answered as they are.

        Raises:
            ValueError: There is no such pair or limit, or it cannot be one.

        Example::

            sandbox.set_rules("USDT_BTC", lotStep="0.001", minTotal=10, maxTotal="Infinity")
        """
        self._exchange.set_rules(pair, limits)

    @property
    def exchange(self) -> Exchange:
        """The exchange as it stands now."""
        self._exchange.advance(self._clock())
        return self._exchange

    @property
    def ledger(self) -> Ledger:
        """The accepted orders, oldest first."""
        return Ledger(self._exchange.ledger)

    @property
    def fills(self) -> tuple[Fill, ...]:
        """The executed orders, those of seeded trades included."""
        return tuple(self.exchange.fills)

    @property
    def requests(self) -> int:
        """How many requests arrived."""
        return self._app.requests

    @property
    def refused(self) -> int:
        """How many were answered with 429."""
        return self._window.counts[429]

    @property
    def banned(self) -> int:
        """How many were answered with 418."""
        return self._window.counts[418]

    @property
    def worst_window(self) -> int:
        """The largest number of requests in any period of the limit, refused ones included."""
        return self._window.worst_window()

    @property
    def forced_mode(self) -> str | None:
        """Header ``Forced-Mode`` of the latest accepted request; None when it had none."""
        return self._app.forced_mode

    def _clock(self) -> float:
        return time.monotonic() - self._began
