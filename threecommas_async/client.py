"""`ThreeCommas`: holds the options, owns or borrows the HTTP session, and carries the resources."""

from __future__ import annotations

import copy
import os
import reprlib
from collections.abc import Collection
from inspect import isawaitable, iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from threecommas_async import errors, signing
from threecommas_async.arguments import is_finite, is_number
from threecommas_async.endpoints import BASE_URL
from threecommas_async.guard import PREVIEWING, Guard
from threecommas_async.limiter import Limiter
from threecommas_async.limits import GENERAL, Pacer, RateLimit
from threecommas_async.mode import AccountBook, PaperWatch
from threecommas_async.resources.accounts import Accounts
from threecommas_async.resources.market_data import MarketData
from threecommas_async.resources.smart_trades import SmartTrades
from threecommas_async.risk import Rails, RiskLimits
from threecommas_async.session import Session
from threecommas_async.transport import Transport, read_base_url, read_proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

    import aiohttp

    from threecommas_async.attempt import Attempt
    from threecommas_async.endpoints import Endpoint
    from threecommas_async.errors import OutcomeUnknownError
    from threecommas_async.recording import Exchange
    from threecommas_async.wire import PreparedRequest, Response

Mode = Literal["real", "paper"]
"""Which accounts a client is made for."""

MAX_WAIT: Final = 30.0
"""Seconds that a single call waits for the request limit unless told otherwise."""

TIMEOUT: Final = 30.0
"""Seconds that one call may take, all its attempts together."""


class ThreeCommas:
    """Client for the 3Commas API.

    Make one client for each API key and event loop: the request limit is kept per client. Use it as an
    asynchronous context manager, or call `aclose` at the end. It can be made outside of a running loop.

    Args:
        api_key: The API key.
        api_secret: The secret of a system-generated key (signed with HMAC-SHA256).
        rsa_private_key: The private key of a self-generated key: PEM text or bytes, or a `pathlib.Path`.
            Exactly one of ``api_secret`` and ``rsa_private_key`` is needed.
        mode: ``real`` or ``paper``. Sent with every request as ``Forced-Mode``: without it the API follows
            the switch in the user's web interface. The header was last documented in 2024-11, and users
            have seen paper mode place real trades on a real account. So with ``paper`` a write is sent only
            if its account is known to be a paper account, and refused with `ModeMismatchError` otherwise:
            accounts are looked up once, and so is a SmartTrade that no answer has shown yet (one request for
            such an id, or for a page of them in a batch; those of lists cost nothing). With ``real`` a write
            on a paper account is sent, and logged once for each account.
        base_url: Where the API is. Plain ``http`` is taken on this machine's loopback only.
        limits: The request limit to keep; None is the published one, 100 requests a minute. `STARTER`, `PRO`
            and `EXPERT` are what plans are reported to have (5 and 50 a minute, reads only; 120). Clients of
            one key that are in one process can share a `Limiter`; processes share a
            `threecommas_async.limits_redis.SharedLimiter`, or the number out between them. A client that is
            closed closes the limiter that it was given, see `aclose`.
        timeout: Seconds that a call may take, all its attempts, the waits between them and the looks at what
            became of a lost answer together; waiting for the request limit does not count. One attempt may
            take half of what is left of it, so that something can still be done about silence; where nothing
            can (an order without a reference), all of it. The last look for an order with a reference begins
            7 s after the attempt: with half of ``timeout`` gone in silence, it ends unknown sooner where
            ``timeout`` is below about 15 s.
        max_wait: The longest acceptable wait for the request limit in seconds. A call whose permit is further
            away raises `LimitWaitError` at once, and nothing is sent. None is 30 s for a single call, while
            batches, walks and polls wait as long as it takes; a number holds for those too, and ``math.inf``
            lets every call wait.
        session: An `aiohttp.ClientSession` to use. It stays the caller's and is not closed. Its middlewares
            do not apply; whether connections are kept and the environment's proxies used is as it says.
        proxy: URL of an HTTP proxy.
        json_payload: How a JSON body joins the signed payload: ``"path?body"`` or ``"path+body"``. None is
            the form that is documented for the kind of key, ``path?body`` for HMAC and ``path+body`` for
            RSA. Public clients use both forms for both kinds.
        paper_accounts: Ids of accounts that you know to be paper accounts, for ``mode="paper"`` and a key
            that may not read accounts. An answer that says otherwise outweighs this.
        read_only: Refuse every write with `ReadOnlyError`.
        dry_run: Send no write: build, check and sign it, and raise a `DryRunError` that holds the request.
            Reads go out. See `preview` for a single call. In a batch each trade is ``REFUSED`` with such an
            error; for the plan of a batch give ``dry_run=True`` to the batch instead.
        risk: Bounds for the orders of this client, its views included; None is none. See `RiskLimits`.
        on_attempt: Called with an `Attempt` after each attempt of each call, looks at what became of a lost
            answer included. A plain function that returns at once; what it raises is logged.

    Raises:
        ValueError: An option cannot be used; the text says which one. Nothing was sent.

    Attributes:
        smart_trades: The calls on SmartTrades.
        accounts: The calls on connected accounts.
        market_data: The calls on market data: markets, pairs, rates and limits.
    """

    smart_trades: SmartTrades
    accounts: Accounts
    market_data: MarketData
    _name = "not made yet"

    def __init__(
        self,
        api_key: str,
        api_secret: str | None = None,
        *,
        rsa_private_key: str | bytes | os.PathLike[str] | None = None,
        mode: Mode = "real",
        base_url: str = BASE_URL,
        limits: RateLimit | Pacer | None = None,
        timeout: float = TIMEOUT,
        max_wait: float | None = None,
        session: aiohttp.ClientSession | None = None,
        proxy: str | None = None,
        json_payload: signing.JsonPayload | None = None,
        paper_accounts: Collection[int] = (),
        read_only: bool = False,
        dry_run: bool = False,
        risk: RiskLimits | None = None,
        on_attempt: Callable[[Attempt], object] | None = None,
    ) -> None:
        try:
            _check_options(mode, timeout, max_wait, limits, on_attempt)
            _check_guards(mode, paper_accounts, risk, read_only=read_only, dry_run=dry_run)
            limiter: Pacer = Limiter(limits or GENERAL) if isinstance(limits, RateLimit | None) else limits
            credentials = signing.make_credentials(
                api_key, api_secret, rsa_private_key, json_payload=json_payload
            )
            url = read_base_url(base_url)
            transport = Transport(url, session=session, proxy=read_proxy(proxy))
        finally:
            # A traceback that shows locals must not show these.
            del api_key, api_secret, rsa_private_key, proxy, base_url
        book, is_paper = AccountBook(paper_accounts), mode == "paper"
        guard = Guard(
            book=book if is_paper else None,
            read_only=read_only,
            rails=None if risk is None else Rails(risk),
        )
        needs_guard = is_paper or read_only or risk is not None
        made = Session(
            credentials,
            transport,
            limiter,
            base_path=url.raw_path.rstrip("/"),
            mode=mode,
            timeout=timeout,
            max_wait=MAX_WAIT if max_wait is None else max_wait,
            patience=max_wait,
            on_attempt=on_attempt,
            guard=guard if needs_guard else None,
            book=book,
            notice=_learn(book) if is_paper else PaperWatch().notice,
        )
        self._session = made.dry() if dry_run else made
        self._mode: Mode = mode
        self.accounts = Accounts(self._session)
        self.market_data = MarketData(self._session)
        self.smart_trades = SmartTrades(self._session, self.market_data)
        self._name = f"{mode} {url}"

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Make a client from environment variables.

        ``THREECOMMAS_API_KEY`` and either ``THREECOMMAS_API_SECRET`` or ``THREECOMMAS_RSA_KEY_FILE`` (path of
        a PEM file) are needed; ``THREECOMMAS_MODE`` and ``THREECOMMAS_BASE_URL`` are optional.

        Args:
            **overrides: Arguments of the constructor, instead of what the environment says.

        Raises:
            ValueError: A variable is missing or cannot be used.
        """
        options: dict[str, Any] = {}
        value: str | None = None
        try:
            for option, variable in _VARIABLES.items():
                if (value := os.environ.get(variable)) is None:
                    continue
                if not value:
                    raise ValueError(f"{variable} is set and empty")
                options[option] = Path(value) if option == "rsa_private_key" else value
            if overrides.keys() & {"api_secret", "rsa_private_key"}:
                options.pop("api_secret", None)
                options.pop("rsa_private_key", None)
            if options.keys() >= {"api_secret", "rsa_private_key"}:
                raise ValueError(
                    "THREECOMMAS_API_SECRET and THREECOMMAS_RSA_KEY_FILE are both set: a key is of one kind"
                )
            options.update(overrides)
            if not options.get("api_key"):
                raise ValueError("THREECOMMAS_API_KEY is not set")
            if not (options.get("api_secret") or options.get("rsa_private_key")):
                raise ValueError("neither THREECOMMAS_API_SECRET nor THREECOMMAS_RSA_KEY_FILE is set")
            return cls(**options)
        finally:
            options.clear()
            overrides.clear()
            value = None

    def with_raw(self) -> AbstractContextManager[list[Response]]:
        """Keep the answers as they came, beside their typed form.

        Inside the block every answer to a call of this task, and of tasks that it starts, is appended to the
        list: status, headers (``X-Request-Id`` is what the support of 3Commas asks for) and body.

        Example::

            with client.with_raw() as answers:
                trade = await client.smart_trades.get(42)
            print(answers[-1].status, answers[-1].headers["X-Request-Id"], answers[-1].body)
        """
        return self._session.recorder.recording()

    def listening(self, on_exchange: Callable[[Exchange], object]) -> AbstractContextManager[None]:
        """Tell a function of every answer that comes while the block lasts, whatever task made the call.

        Args:
            on_exchange: Called with an `Exchange` before the answer is looked at. A plain function that
                returns at once; what it raises is logged.

        Example::

            with client.listening(print):
                trade = await client.smart_trades.get(42)

        Raises:
            ValueError: ``on_exchange`` is no plain function.
        """
        if not callable(on_exchange) or iscoroutinefunction(on_exchange):
            raise ValueError(f"on_exchange must be a plain function, not {on_exchange!r}")
        return self._session.recorder.listening(on_exchange)

    def with_options(self, *, timeout: float | None = None, max_wait: float | None = None) -> Self:
        """Return a view of this client with other options, for one call or many.

        It shares everything else with this client: connections, request limit, what is known of a ban.
        Closing either closes both.

        Args:
            timeout: Seconds that a call may take, as in the constructor; None leaves it as it is.
            max_wait: The longest acceptable wait for the request limit, in seconds, as in the constructor;
                None leaves it as it is, and ``math.inf`` waits as long as it takes.

        Example::

            trade = await client.with_options(timeout=5).smart_trades.get(42)

        Raises:
            ValueError: An option cannot be used.
        """
        _check_times(1.0 if timeout is None else timeout, max_wait)
        return self._view(self._session.with_options(timeout=timeout, max_wait=max_wait))

    def _view(self, session: Session) -> Self:
        view = copy.copy(self)
        view._session = session  # noqa: SLF001 - a copy of its own
        view.smart_trades = self.smart_trades.with_session(session)
        view.market_data = self.market_data.with_session(session)
        view.accounts = self.accounts.with_session(session)
        return view

    async def preview(self, call: Callable[[Self], Awaitable[object]], /) -> PreparedRequest:
        """Return the write that a call would send, and do not send it.

        The call is made on a view of this client that sends no writes: its arguments are checked, so are the
        mode and whatever else this client was told not to do, and the request is built and signed. The reads
        that this takes go out.

        Args:
            call: Takes the view and makes one call on it. A write on any other client is refused meanwhile.

        Returns:
            The request, key and signature masked.

        Example::

            request = await client.preview(lambda dry: dry.smart_trades.create(order))

        Raises:
            ValueError: It is no function, it returned no call, or it ended and no write reached the view: a
                read has no preview, nor has a batch, whose plan is a call with ``dry_run=True``.
            GuardError: The call was made on another client than the one that the function is given.
            ThreeCommasError: What the call raises without sending.
        """
        if not callable(call):  # pyright: ignore[reportUnnecessaryComparison] - callers may be untyped
            raise ValueError("preview takes a function: lambda dry: dry.smart_trades.create(order)")
        previewing = PREVIEWING.set(True)
        try:
            made = call(self._view(self._session.dry()))
            if not isawaitable(made):
                raise ValueError(f"the function of a preview must return a call, not {reprlib.repr(made)}")
            await made
        except errors.DryRunError as shown:
            return shown.request
        finally:
            PREVIEWING.reset(previewing)
        raise ValueError(
            "no write reached the preview: a read has none, and the plan of a batch is "
            "close_many(…, dry_run=True)"
        )

    @property
    def mode(self) -> Mode:
        """``real`` or ``paper``, as the client was made."""
        return self._mode

    @property
    def limits(self) -> Pacer:
        """What keeps the request limit; ``client.limits.snapshot()`` says how it is being used."""
        return self._session.limiter

    def in_flight_unknown(self) -> tuple[OutcomeUnknownError, ...]:
        """Return the writes that were cancelled after they may have left, oldest first.

        A cancelled call raises `asyncio.CancelledError`, which cannot say what became of the order. Here it
        is as the error that the call would have ended with; ``smart_trades.find_created`` takes it. The
        newest 10 000 are kept, until `forget_unknown` takes one off the list or the same reference is asked
        for again with success.
        """
        return self._session.in_flight_unknown

    def forget_unknown(self, error: OutcomeUnknownError, /) -> None:
        """Take one of `in_flight_unknown` off the list, once you know what became of it."""
        self._session.forget(error)

    async def aclose(self) -> None:
        """Close the client.

        Calls that wait for the request limit are not sent: each ends with `ClientStateError` in its turn. The
        limiter is closed too, if it was given by the caller as well. To a `Limiter` that is nothing; a
        `threecommas_async.limits_redis.SharedLimiter` ends the waits of its other clients with
        `ClientStateError` as well, and opens again when it is used again.
        """
        await self._session.close()

    async def __aenter__(self) -> Self:
        self._session.check_usable()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<ThreeCommas {self._name}>"


def _check_options(
    mode: str, timeout: float, max_wait: float | None, limits: object, on_attempt: object
) -> None:
    if mode not in ("real", "paper"):
        raise ValueError(f'mode must be "real" or "paper", not {mode!r}')
    _check_times(timeout, max_wait)
    if limits is not None and (isinstance(limits, type) or not isinstance(limits, RateLimit | Pacer)):
        raise ValueError(f"limits must be a RateLimit or a limiter, not {limits!r}")
    if on_attempt is not None and (not callable(on_attempt) or iscoroutinefunction(on_attempt)):
        raise ValueError(f"on_attempt must be a plain function, not {on_attempt!r}")


def _check_guards(
    mode: str, paper_accounts: Collection[int], risk: object, *, read_only: bool, dry_run: bool
) -> None:
    for name, value in (("read_only", read_only), ("dry_run", dry_run)):
        if not isinstance(value, bool):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise ValueError(f"{name} must be True or False, not {value!r}")
    is_collection = isinstance(paper_accounts, Collection) and not isinstance(paper_accounts, str | bytes)  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
    if not is_collection or not all(type(id) is int and id > 0 for id in paper_accounts):
        raise ValueError(
            f"paper_accounts must be ids of accounts, such as [32199203], not {paper_accounts!r}"
        )
    if paper_accounts and mode != "paper":
        raise ValueError('paper_accounts is for mode="paper"')
    if risk is not None and not isinstance(risk, RiskLimits):
        raise ValueError(f"risk must be RiskLimits, not {risk!r}")


def _learn(book: AccountBook) -> Callable[[Endpoint[Any], object], None]:
    return lambda _, value: book.learn(value)


def _check_times(timeout: float, max_wait: float | None) -> None:
    if not (is_finite(timeout) and timeout > 0):
        raise ValueError(f"timeout must be a positive number of seconds, not {timeout!r}")
    if max_wait is not None and not (is_number(max_wait) and max_wait >= 0):
        raise ValueError(f"max_wait must be None or a number of seconds from 0, not {max_wait!r}")


_VARIABLES: Final = {
    "api_key": "THREECOMMAS_API_KEY",
    "api_secret": "THREECOMMAS_API_SECRET",
    "rsa_private_key": "THREECOMMAS_RSA_KEY_FILE",
    "mode": "THREECOMMAS_MODE",
    "base_url": "THREECOMMAS_BASE_URL",
}
